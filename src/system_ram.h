/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Populated blocks in /proc/iomem
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_SYSTEM_RAM_H
#define _TWOSTAGE_SYSTEM_RAM_H

#include "region_table.h"

int system_ram_add(const struct twostage_block *block);
void system_ram_remove(const struct twostage_block *block);

#endif /* _TWOSTAGE_SYSTEM_RAM_H */
