/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The knobs
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_SYSFS_H
#define _TWOSTAGE_SYSFS_H

#include "region.h"

int sysfs_init(void);
void sysfs_exit(void);
void sysfs_region_init(struct twostage_region *region);
int sysfs_block_add(struct device *dev);
int parse_size(const char *text, u64 *value);

#endif /* _TWOSTAGE_SYSFS_H */
