// SPDX-License-Identifier: GPL-2.0-only
/*
 * Setting several blocks of a region online or offline
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/delay.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/minmax.h>
#include <linux/sched/signal.h>

#include "hotplug_lock.h"
#include "mm_internals.h"
#include "online.h"
#include "region.h"
#include "region_online.h"
#include "report.h"

/* Number of blocks that are changed under one hold of device_hotplug_lock */
#define BATCH_BLOCKS 16UL

static enum block_stage target_stage(int online_type)
{
	return online_type == MMOP_OFFLINE ? BLOCK_STANDBY : BLOCK_POPULATED;
}

/*
 * Return: 0; 1 to skip the block, which needs no change or is poisoned; or a
 * negative errno
 */
static int change_block(struct twostage_block *block, int online_type)
{
	struct memory_block *memory;
	int ret;

	if (block->region->removed)
		return -ENODEV;
	if (block->stage == target_stage(online_type) || block->stage == BLOCK_POISONED)
		return 1;

	memory = mm_find_memory_block(block_first_pfn(block));
	if (!memory)
		return -ENXIO;
	if (online_type == MMOP_OFFLINE) {
		ret = mm_call(device_offline)(&memory->dev);
	} else {
		memory->online_type = online_type;
		ret = mm_call(device_online)(&memory->dev);
	}
	put_device(&memory->dev);
	return ret;
}

/*
 * Change up to @most blocks, and at most BATCH_BLOCKS, under one hold of
 * device_hotplug_lock. *@position counts the blocks that have been looked at:
 * from the lowest one for online, from the highest one for offline.
 */
static int change_batch(struct twostage_region *region, unsigned long *position,
			unsigned long most, int online_type, unsigned long *changed)
{
	const unsigned long last = region->nr_blocks - 1;
	int ret;

	most = min(most, BATCH_BLOCKS);
	*changed = 0;
	ret = region_lock(region);
	if (ret)
		return ret;
	online_batch_begin();
	for (; *position < region->nr_blocks && *changed < most; (*position)++) {
		const bool down = online_type == MMOP_OFFLINE;

		ret = change_block(&region->blocks[down ? last - *position : *position],
				   online_type);
		if (ret < 0)
			break;
		*changed += !ret;
		ret = 0;
	}
	online_batch_end(region);
	hotplug_unlock();
	return ret;
}

static unsigned long available_blocks(const struct twostage_region *region, int online_type)
{
	unsigned long populated = READ_ONCE(region->nr_populated);

	if (online_type == MMOP_OFFLINE)
		return populated;
	return region->nr_blocks - populated - READ_ONCE(region->nr_poisoned);
}

static int change_blocks(struct twostage_region *region, unsigned long count, int online_type)
{
	const bool online = online_type != MMOP_OFFLINE;
	const char *state = online ? "online" : "offline";
	const unsigned long available = available_blocks(region, online_type);
	unsigned long done = 0, position = 0, changed;
	int ret = 0;

	if (count == REGION_ALL_BLOCKS) {
		count = available;
	} else if (count > available) {
		pr_err("%s: cannot set blocks %s: %lu requested, but only %lu %s\n",
		       dev_name(&region->dev), state, count, available,
		       online ? "standby" : "online");
		return -EINVAL;
	}

	report_forget(region);
	while (!ret && position < region->nr_blocks && done < count) {
		if (signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		ret = change_batch(region, &position, count - done, online_type, &changed);
		done += changed;
		/*
		 * The kernel's own attributes poll for device_hotplug_lock
		 * every 5 ms: leave it free for longer than that.
		 */
		if (!ret && done < count)
			usleep_range(10000, 12000);
	}

	report_forget(region);

	/* No block failed, but other tasks have changed blocks meanwhile. */
	if (!ret && done < count)
		ret = -EBUSY;
	if (done < count)
		pr_warn("%s: set %lu of %lu block%s %s, then stopped (%pe)\n",
			dev_name(&region->dev), done, count, count == 1 ? "" : "s", state,
			ERR_PTR(ret));
	return ret;
}

/**
 * region_online() - set the next standby blocks online, lowest first
 * @region: the region
 * @count: number of blocks, or REGION_ALL_BLOCKS
 * @online_type: MMOP_ONLINE, MMOP_ONLINE_KERNEL or MMOP_ONLINE_MOVABLE
 *
 * Stops at the first block that fails; those before stay online.
 *
 * Context: Process context; takes device_hotplug_lock for a few blocks at a
 * time.
 * Return: 0; -EINVAL, with nothing changed, if there are fewer standby blocks;
 * -EINTR; -ENODEV if the region has been removed; -EBUSY if other tasks changed
 * blocks in the meantime; or the error of the block that failed.
 */
int region_online(struct twostage_region *region, unsigned long count, int online_type)
{
	return change_blocks(region, count, online_type);
}

/**
 * region_online_next() - set one standby block online
 * @region: the region
 * @from: number of the block to begin with; the first one follows the last one
 * @online_type: as for region_online()
 * @index: the result: number of the block that was tried
 *
 * Context: Process context, device_hotplug_lock held.
 * Return: 0; -ENOENT if there is no standby block; or the error of the block.
 */
int region_online_next(struct twostage_region *region, unsigned long from, int online_type,
		       unsigned long *index)
{
	unsigned long i;
	int ret;

	for (i = 0; i < region->nr_blocks; i++) {
		*index = (from + i) % region->nr_blocks;
		ret = change_block(&region->blocks[*index], online_type);
		if (ret <= 0)
			return ret;
	}
	return -ENOENT;
}

/**
 * region_offline() - set online blocks offline, highest first
 * @region: the region
 * @count: number of blocks, or REGION_ALL_BLOCKS
 *
 * Context: Process context; takes device_hotplug_lock for a few blocks at a
 * time.
 * Return: As region_online().
 */
int region_offline(struct twostage_region *region, unsigned long count)
{
	return change_blocks(region, count, MMOP_OFFLINE);
}
