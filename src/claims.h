/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Resources that other drivers have in a range of physical addresses
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_CLAIMS_H
#define _TWOSTAGE_CLAIMS_H

#include <linux/ioport.h>
#include <linux/types.h>

/**
 * struct claim - a resource in a range
 * @start: first physical address in bytes
 * @end: last physical address in bytes
 * @name: its name in /proc/iomem
 */
struct claim {
	u64 start;
	u64 end;
	char name[64];
};

int claims_init(void);
bool claim_find(u64 start, u64 end, const struct resource *except, struct claim *claim);

#endif /* _TWOSTAGE_CLAIMS_H */
