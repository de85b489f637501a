/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Work on the pages of a large block, spread over the processors of a node
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_PARALLEL_H
#define _TWOSTAGE_PARALLEL_H

struct memory_group;
struct zone;
struct zone_move;

int parallel_init(void);
void parallel_exit(void);
int parallel_online_pages(unsigned long pfn, unsigned long nr_pages, struct zone *zone,
			  struct memory_group *group);
void parallel_move_pfn_range_to_zone(const struct zone_move *move);

#endif /* _TWOSTAGE_PARALLEL_H */
