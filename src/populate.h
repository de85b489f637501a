/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stage 2 of one block, and its inverse
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_POPULATE_H
#define _TWOSTAGE_POPULATE_H

#include "region_table.h"

struct zone_move;

unsigned long block_memmap_pages(const struct twostage_block *block);
int block_populate(struct twostage_block *block, const struct zone_move *move);
void block_withdraw(struct twostage_block *block);
void block_depopulate(struct twostage_block *block);
void block_keep_poisoned(struct twostage_block *block);
void blocks_unassign(struct twostage_region *region);

#endif /* _TWOSTAGE_POPULATE_H */
