/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Populated blocks in /proc/iomem
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_SYSTEM_RAM_H
#define _TWOSTAGE_SYSTEM_RAM_H

#include "region.h"

int system_ram_add_block(struct twostage_region *region, unsigned long index);
void system_ram_remove_block(struct twostage_region *region, unsigned long index);

#endif /* _TWOSTAGE_SYSTEM_RAM_H */
