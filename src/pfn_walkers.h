/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Code that walks the memmap by page frame numbers
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_PFN_WALKERS_H
#define _TWOSTAGE_PFN_WALKERS_H

#include <linux/mutex.h>

/*
 * Held while a memmap is torn down, and by readers that must not see that
 * happen. Nests inside mem_hotplug_lock.
 */
extern struct mutex memmaps_lock;

int pfn_walkers_init(void);
void pfn_walkers_exit(void);
void pfn_walkers_wait(void);

#endif /* _TWOSTAGE_PFN_WALKERS_H */
