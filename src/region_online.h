/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Setting several blocks of a region online or offline
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_REGION_ONLINE_H
#define _TWOSTAGE_REGION_ONLINE_H

#include <linux/limits.h>

struct twostage_region;

/* Stands for "all" in the counts below. */
#define REGION_ALL_BLOCKS ULONG_MAX

int region_online(struct twostage_region *region, unsigned long count, int online_type);
int region_online_next(struct twostage_region *region, unsigned long from, int online_type,
		       unsigned long *index);
int region_offline(struct twostage_region *region, unsigned long count);

#endif /* _TWOSTAGE_REGION_ONLINE_H */
