/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The knobs
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_SYSFS_H
#define _TWOSTAGE_SYSFS_H

#include <linux/minmax.h>
#include <linux/string.h>

#include "region.h"

int sysfs_init(void);
void sysfs_exit(void);
void sysfs_region_init(struct twostage_region *region);
int sysfs_block_add(struct device *dev);
int parse_size(const char *text, u64 *value);
int parse_node(const char *text, int *nid);

/*
 * For printk(), with ESCAPED in its format: what somebody has written. Terminals obey control characters, and
 * more of it than this tells nobody anything.
 */
#define ESCAPED "%*pE"
#define escaped(text) (int)min_t(size_t, strlen(text), 64), (text)

#endif /* _TWOSTAGE_SYSFS_H */
