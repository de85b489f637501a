/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stage 2 of one block, and its inverse
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_POPULATE_H
#define _TWOSTAGE_POPULATE_H

#include <linux/mutex.h>

#include "mm_internals.h"
#include "region.h"

/* Who holds it finds no memmap going that he has found. Inside of mem_hotplug_lock. */
extern struct mutex memmaps_lock;

unsigned long block_memmap_pages(const struct twostage_region *region, unsigned long index);
int block_populate(struct twostage_region *region, unsigned long index,
		   const struct zone_move *move);
void block_withdraw(struct twostage_region *region, unsigned long index);
void block_depopulate(struct twostage_region *region, unsigned long index);
void blocks_unassign(struct twostage_region *region);

#endif /* _TWOSTAGE_POPULATE_H */
