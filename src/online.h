/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The wrapped online and offline path
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_ONLINE_H
#define _TWOSTAGE_ONLINE_H

#include <linux/types.h>

struct twostage_region;

int online_init(void);
void online_exit(void);
bool offline_give_way(unsigned int seconds);
bool offline_is_own(void);
bool online_batch_use_reserves(void);
void online_batch_begin(void);
void online_batch_end(struct twostage_region *region);

#endif /* _TWOSTAGE_ONLINE_H */
