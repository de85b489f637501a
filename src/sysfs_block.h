/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The directory twostage/ of memory blocks in sysfs
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_SYSFS_BLOCK_H
#define _TWOSTAGE_SYSFS_BLOCK_H

int sysfs_block_init(void);
void sysfs_block_exit(void);

#endif /* _TWOSTAGE_SYSFS_BLOCK_H */
