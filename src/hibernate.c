// SPDX-License-Identifier: GPL-2.0-only
/*
 * Refusing hibernation while it would lose memory
 *
 * The kernel that resumes from hibernation starts without regions, so the
 * contents of populated blocks would be lost, and with them the memmap in
 * populated and poisoned blocks. Hibernation is refused while there are such
 * blocks. After this check, tasks still run until they are frozen, or as long
 * as a program has /dev/snapshot open: they cannot set blocks online.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/notifier.h>
#include <linux/suspend.h>

#include "hibernate.h"
#include "hotplug_lock.h"
#include "region_table.h"

/*
 * How long to wait for device_hotplug_lock, in seconds. Its holder may wait for
 * locks of the task that starts hibernation.
 */
#define LOCK_TIMEOUT_S 10

/*
 * Hibernation has begun. Set before the regions are checked under
 * device_hotplug_lock, which an online holds, too.
 */
static bool hibernating;

/**
 * hibernation_loses() - whether hibernation has begun, and would lose what is
 *	in a region
 * @region: the region
 *
 * Context: device_hotplug_lock held, or the answer may be outdated at once.
 */
bool hibernation_loses(const struct twostage_region *region)
{
	return READ_ONCE(hibernating) && !region->provider->survives_power_cycle;
}

static int check_regions(void)
{
	struct twostage_region *region;
	int ret;

	ret = hotplug_lock_timeout(LOCK_TIMEOUT_S);
	if (ret) {
		pr_err("hibernation refused: memory was going online or offline for %d s: try again\n",
		       LOCK_TIMEOUT_S);
		return ret;
	}
	for_each_region(region) {
		if (region->provider->survives_power_cycle ||
		    (!region->nr_populated && !region->nr_poisoned))
			continue;
		if (region->nr_populated)
			pr_err("hibernation refused: it would lose the memory of blocks of %s that are online (%lu): set them offline first\n",
			       dev_name(&region->dev), region->nr_populated);
		else
			pr_err("hibernation refused: it would lose the memmap of blocks of %s with a hardware-poisoned page (%lu): reboot first\n",
			       dev_name(&region->dev), region->nr_poisoned);
		ret = -EBUSY;
		break;
	}
	hotplug_unlock();
	return ret;
}

static int pm_callback(struct notifier_block *nb, unsigned long action, void *data)
{
	switch (action) {
	case PM_HIBERNATION_PREPARE:
		WRITE_ONCE(hibernating, true);
		if (!check_regions())
			break;
		WRITE_ONCE(hibernating, false);
		return notifier_from_errno(-EBUSY);
	case PM_POST_HIBERNATION:
		WRITE_ONCE(hibernating, false);
		break;
	}
	return NOTIFY_DONE;
}

static struct notifier_block pm_notifier = { .notifier_call = pm_callback };

/**
 * hibernate_init() - register for hibernation
 *
 * Return: 0 or a negative errno.
 */
int hibernate_init(void)
{
	return register_pm_notifier(&pm_notifier);
}

/** hibernate_exit() - undo hibernate_init() */
void hibernate_exit(void)
{
	unregister_pm_notifier(&pm_notifier);
}
