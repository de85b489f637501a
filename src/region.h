/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Adding and removing regions: stage 1
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_REGION_H
#define _TWOSTAGE_REGION_H

#include <linux/notifier.h>

#include "region_table.h"

/*
 * Calls of region_notifiers, with the region. At REGION_ADDING it has its
 * directory, and no block has come online; device_hotplug_lock is held. At
 * REGION_DROPPED no task is in one of its attributes any more; the lock is not
 * held.
 */
enum region_event {
	REGION_ADDING,
	REGION_DROPPED,
};

extern struct blocking_notifier_head region_notifiers;

/* The bus of regions; the file that has their attributes registers it. */
extern struct bus_type region_bus;

int regions_init(void);
void regions_exit(void);
int regions_open(const struct twostage_region_params *params, unsigned int count);

int region_add_by_name(const struct twostage_region_params *params);
int region_remove_by_name(const char *name);
struct twostage_region *region_adopt(const struct twostage_region_params *params, int group);
void region_remove_adopted(struct twostage_region *region);

int region_lock(struct twostage_region *region);
int region_set_memmap_on_memory(struct twostage_region *region, bool on);

#endif /* _TWOSTAGE_REGION_H */
