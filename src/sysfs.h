/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Attributes of the bus and of regions
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_SYSFS_H
#define _TWOSTAGE_SYSFS_H

int sysfs_init(void);
void sysfs_exit(void);

#endif /* _TWOSTAGE_SYSFS_H */
