/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Refusing hibernation while it would lose memory
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_HIBERNATE_H
#define _TWOSTAGE_HIBERNATE_H

#include <linux/types.h>

struct twostage_region;

int hibernate_init(void);
void hibernate_exit(void);
bool hibernation_loses(const struct twostage_region *region);

#endif /* _TWOSTAGE_HIBERNATE_H */
