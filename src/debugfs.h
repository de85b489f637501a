/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The directory twostage/ in debugfs
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_DEBUGFS_H
#define _TWOSTAGE_DEBUGFS_H

int twostage_debugfs_init(void);
void twostage_debugfs_exit(void);

#endif /* _TWOSTAGE_DEBUGFS_H */
