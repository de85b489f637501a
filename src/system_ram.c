// SPDX-License-Identifier: GPL-2.0-only
/*
 * Populated blocks in /proc/iomem
 *
 * Each run of neighbouring populated blocks is one resource "System RAM
 * (twostage)", a child of its region's resource. /proc/kcore has two program
 * headers for each such resource, and kexec-tools cannot load a kdump kernel
 * when there are more than about 1100 of them. So a block that comes online
 * is joined with its neighbours, as the core does with MHP_MERGE_RESOURCE, and
 * a run is split when one of its blocks goes offline.
 *
 * The core's own functions for that cannot be used: merge_system_ram_resource()
 * frees resources that a later split needs (see below), and
 * release_mem_region_adjustable() would split the region's resource, because it
 * does not search the children of a resource that it has found.
 *
 * A split needs one more resource and must not fail, because it is part of an
 * offline that has already happened. So each populated block brings a resource
 * at its online and frees one at its offline; those that are not in the tree
 * wait in region->spare_resources. A run of n blocks is one resource in the
 * tree and n - 1 spare ones, and a split takes two resources, but only where n
 * is at least 3.
 *
 * The tree can be walked at any time. Each change below is one call that holds
 * resource_lock, and between two of them no populated block is missing. While a
 * run replaces others, or is replaced, these are children of it for a moment:
 * walk_system_ram_range() and similar functions then see only the parent;
 * /proc/iomem shows both.
 *
 * All of it runs with mem_hotplug_lock held for writing.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/bug.h>
#include <linux/ioport.h>
#include <linux/memory.h>
#include <linux/slab.h>

#include "system_ram.h"

static const char system_ram[] = "System RAM (twostage)";

static void put_spare(struct twostage_region *region, struct resource *resource)
{
	resource->sibling = region->spare_resources;
	region->spare_resources = resource;
}

static struct resource *get_spare(struct twostage_region *region)
{
	struct resource *resource = region->spare_resources;

	region->spare_resources = resource->sibling;
	return resource;
}

/* "Driver managed" keeps kexec from putting the next kernel here. */
static struct resource *get_run(struct twostage_region *region, resource_size_t start,
				resource_size_t end)
{
	struct resource *run = get_spare(region);

	*run = (struct resource) {
		.name = system_ram,
		.start = start,
		.end = end,
		.flags = IORESOURCE_SYSTEM_RAM | IORESOURCE_BUSY | IORESOURCE_SYSRAM_DRIVER_MANAGED,
		.desc = IORES_DESC_NONE,
	};
	return run;
}

/*
 * Only this file changes the children of a region's resource, so it can walk
 * them without resource_lock.
 */
static struct resource *first_run_from(const struct twostage_region *region,
				       resource_size_t address)
{
	struct resource *run = region->resource->child;

	while (run && run->end < address)
		run = run->sibling;
	return run;
}

/*
 * The new run is inserted above the two, which become its children, and these
 * are released then.
 */
static int join(struct twostage_region *region, struct resource *left, struct resource *right)
{
	struct resource *run = get_run(region, left->start, right->end);
	int ret;

	ret = insert_resource(region->resource, run);
	if (ret) {
		put_spare(region, run);
		return ret;
	}
	release_resource(left);
	put_spare(region, left);
	release_resource(right);
	put_spare(region, right);
	return 0;
}

static int add_alone(struct twostage_region *region, resource_size_t start, resource_size_t end)
{
	struct resource *run = get_run(region, start, end);
	int ret;

	ret = request_resource(region->resource, run);
	if (ret)
		put_spare(region, run);
	return ret;
}

/**
 * system_ram_add() - make a block System RAM in /proc/iomem
 * @block: the block, which has a memmap by now
 *
 * Context: mem_hotplug_lock held for writing. Sleeps.
 * Return: 0; -ENOMEM; -EBUSY if a resource of another driver is in the way.
 * After an error nothing has changed.
 */
int system_ram_add(const struct twostage_block *block)
{
	struct twostage_region *region = block->region;
	const resource_size_t start = block_start(block);
	const resource_size_t size = memory_block_size_bytes();
	struct resource *run, *left, *right, *spare;
	int ret;

	spare = kzalloc(sizeof(*spare), GFP_KERNEL);
	if (!spare)
		return -ENOMEM;
	put_spare(region, spare);

	/*
	 * The run that ends where the block starts; without one, the first run
	 * after the block
	 */
	run = first_run_from(region, start - 1);
	left = run && run->end < start ? run : NULL;
	right = left ? left->sibling : run;
	if (right && right->start != start + size)
		right = NULL;

	if (left && right)
		ret = join(region, left, right);
	else if (left)
		ret = adjust_resource(left, left->start, resource_size(left) + size);
	else if (right)
		ret = adjust_resource(right, start, resource_size(right) + size);
	else
		ret = add_alone(region, start, start + size - 1);
	if (ret)
		kfree(get_spare(region));
	return ret;
}

/*
 * The two runs that replace @run are made its children first, and take its
 * place when it is removed.
 */
static void split(struct twostage_region *region, struct resource *run, resource_size_t start,
		  resource_size_t end)
{
	struct resource *left = get_run(region, run->start, start - 1);
	struct resource *right = get_run(region, end + 1, run->end);

	WARN_ON_ONCE(request_resource(run, left) || request_resource(run, right));
	remove_resource(run);
	put_spare(region, run);
}

/**
 * system_ram_remove() - undo system_ram_add()
 * @block: the block
 *
 * Context: mem_hotplug_lock held for writing.
 */
void system_ram_remove(const struct twostage_block *block)
{
	struct twostage_region *region = block->region;
	const resource_size_t start = block_start(block);
	const resource_size_t size = memory_block_size_bytes(), end = start + size - 1;
	struct resource *run = first_run_from(region, start);

	if (WARN_ON_ONCE(!run || run->start > start || run->end < end))
		return;
	if (run->start < start && run->end > end) {
		split(region, run, start, end);
	} else if (run->start < start) {
		WARN_ON_ONCE(adjust_resource(run, run->start, resource_size(run) - size));
	} else if (run->end > end) {
		WARN_ON_ONCE(adjust_resource(run, end + 1, resource_size(run) - size));
	} else {
		release_resource(run);
		put_spare(region, run);
	}
	kfree(get_spare(region));
}
