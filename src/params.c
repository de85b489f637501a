// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checks of the parameters of a new region: its range, its node
 *
 * These functions change nothing. tests/unit/ runs them in user space.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/errno.h>
#include <linux/ioport.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/minmax.h>
#include <linux/nodemask.h>
#include <linux/numa.h>
#include <linux/overflow.h>
#include <linux/printk.h>
#include <linux/range.h>

#include "params.h"
#include "region_table.h"

/**
 * params_check_range() - check the range of a new region, apart from others
 * @params: the parameters of the region
 *
 * Context: Any.
 * Return: 0; with the reason in the log, -EINVAL for a range that is empty, not
 * aligned or beyond the last address, and for a granule that is not a power of
 * two; -ERANGE for a range that the kernel cannot map.
 */
int params_check_range(const struct twostage_region_params *params)
{
	const u64 block_size = memory_block_size_bytes();
	const u64 unit = max(params->granule, block_size);
	struct range mappable;
	u64 end;

	if (!params->size) {
		pr_err("region at %#llx: the size is 0\n", params->start);
		return -EINVAL;
	}
	if (check_add_overflow(params->start, params->size - 1, &end)) {
		pr_err("region at %#llx: size %#llx goes beyond the last address\n",
		       params->start, params->size);
		return -EINVAL;
	}
	if (params->granule && !is_power_of_2(params->granule)) {
		pr_err("region at %#llx: granule %#llx is not a power of two\n",
		       params->start, params->granule);
		return -EINVAL;
	}
	if (!IS_ALIGNED(params->start, unit) || !IS_ALIGNED(params->size, unit)) {
		pr_err("region [%#llx-%#llx]: start and size must be multiples of %#llx, the %s\n",
		       params->start, end, unit,
		       unit > block_size ? "provider's granule" : "memory block size");
		return -EINVAL;
	}

	mappable = mhp_get_pluggable_range(true);
	mappable.end = min(mappable.end, iomem_resource.end);
	if (params->start < mappable.start || end > mappable.end) {
		pr_err("region [%#llx-%#llx]: this system can address only [%#llx-%#llx]\n",
		       params->start, end, mappable.start, mappable.end);
		return -ERANGE;
	}
	return 0;
}

/**
 * params_check_node() - check, or choose, the node of a new region
 * @params: the parameters of the region; if they name no node, the one that the
 *	kernel knows for the address is chosen, or else the first one online
 *
 * Context: Any.
 * Return: the node; -EINVAL, with the reason in the log, if this system cannot
 * have it.
 */
int params_check_node(const struct twostage_region_params *params)
{
	int nid = params->nid;

	if (nid == NUMA_NO_NODE) {
		nid = memory_add_physaddr_to_nid(params->start);
		if (nid >= 0 && nid < MAX_NUMNODES && node_possible(nid))
			return nid;
		return first_online_node;
	}
	if (nid < 0 || nid >= MAX_NUMNODES || !node_possible(nid)) {
		pr_err("region at %#llx: this system has no node %d, see /sys/devices/system/node/possible\n",
		       params->start, nid);
		return -EINVAL;
	}
	return nid;
}

/**
 * params_check_overlap() - check that a new region overlaps no other
 * @params: the parameters of the region; its range has been checked
 *
 * Context: device_hotplug_lock held.
 * Return: 0; -EEXIST, with the reason in the log.
 */
int params_check_overlap(const struct twostage_region_params *params)
{
	const struct twostage_block *block = first_block_in(params->start, params->size);
	const struct twostage_region *region;

	if (!block)
		return 0;
	region = block->region;
	pr_err("region [%#llx-%#llx]: overlaps %s [%#llx-%#llx]\n", params->start,
	       params->start + params->size - 1, dev_name(&region->dev), region->start,
	       region->start + region->size - 1);
	return -EEXIST;
}
