/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What else is at a range of physical addresses
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_CLAIMS_H
#define _TWOSTAGE_CLAIMS_H

#include <linux/ioport.h>
#include <linux/types.h>

/**
 * struct claim - what has a range of physical addresses
 * @start: first byte
 * @end: last byte
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
