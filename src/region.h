/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table of regions
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_REGION_H
#define _TWOSTAGE_REGION_H

#include <linux/device.h>
#include <linux/ioport.h>
#include <linux/memory_hotplug.h>
#include <linux/memremap.h>
#include <linux/workqueue.h>

#include "report.h"
#include "twostage.h"

/**
 * struct region_block - what a region knows about one of its memory blocks
 * @populated: stage 2 has happened
 * @leaving: it is populated and offline, and stage 2 is about to be undone
 * @altmap: where the memmap of a populated block is; NULL if it is in ordinary memory
 */
struct region_block {
	bool populated;
	bool leaving;
	struct vmem_altmap *altmap;
};

/**
 * struct twostage_region - a contiguous physical range under two-stage control
 * @rcu: for its end
 * @dev: regionN, a child of the "twostage" root device, on the twostage bus
 * @node: in the list of regions; protected by device_hotplug_lock
 * @id: N
 * @start: in bytes
 * @size: in bytes
 * @nid: node
 * @provider: whose memory it is
 * @data: the provider's
 * @group: id of the memory group that the blocks are in
 * @own_group: that group is ours, and so it is for us to remove the memory; it is the group of the one
 *	who added the memory otherwise
 * @resource: "Standby memory (regionN)" in /proc/iomem; belongs to the core once stage 1 is done
 * @resource_name: that name
 * @adding: the task that runs stage 1 at this moment
 * @add_error: what has gone wrong in stage 1 without the core being able to know
 * @gone: who added the memory has said that it goes, and it could not be removed; device_hotplug_lock
 * @removed: the memory blocks are gone, or about to go; changed under device_hotplug_lock, read without
 * @drop_work: for what is left to be done when device_hotplug_lock is free
 * @auto_online: the core's auto-online may reach the blocks when they are added
 * @memmap_on_memory: take the memmap out of the blocks where possible; protected by
 *	device_hotplug_lock
 * @nr_blocks: number of memory blocks
 * @unit_blocks: in how many blocks at once memory is assigned, at least 1
 * @nr_populated: number of populated blocks; changed under mem_hotplug_lock, read without
 * @memmap_pages: pages of populated blocks that hold their memmap; likewise
 * @assigned: a bit for every unit: the provider has made it accessible; mem_hotplug_lock
 * @blocks: one for every block; mem_hotplug_lock
 * @report: what was logged about the blocks
 */
struct twostage_region {
	struct rcu_head rcu;
	struct device dev;
	struct list_head node;
	int id;
	u64 start;
	u64 size;
	int nid;
	const struct twostage_provider *provider;
	void *data;
	int group;
	bool own_group;
	struct resource *resource;
	char resource_name[40];
	struct task_struct *adding;
	int add_error;
	bool gone;
	bool removed;
	struct work_struct drop_work;
	bool auto_online;
	bool memmap_on_memory;
	unsigned long nr_blocks;
	unsigned long unit_blocks;
	unsigned long nr_populated;
	unsigned long memmap_pages;
	unsigned long *assigned;
	struct region_block *blocks;
	struct report report;
};

#define to_region(_dev) container_of(_dev, struct twostage_region, dev)

static inline u64 region_block_start(const struct twostage_region *region, unsigned long index)
{
	return region->start + index * (u64)memory_block_size_bytes();
}

static inline unsigned long region_block_index(const struct twostage_region *region, u64 address)
{
	return (address - region->start) / memory_block_size_bytes();
}

int regions_init(void);
void regions_exit(void);
int regions_open(const struct twostage_region_params *params, unsigned int count);

struct twostage_region *region_of(u64 address);
struct twostage_region *region_within(u64 start, u64 size);
bool regions_exist(void);
bool regions_on_node(int nid);
struct twostage_region *region_adopt(const struct twostage_region_params *params, int group);
void region_take_away(struct twostage_region *region);
void region_forget_blocks(struct twostage_region *region);
int region_add_by_name(const struct twostage_region_params *params);
int region_remove_by_name(const char *name);
int region_set_memmap_on_memory(struct twostage_region *region, bool on);
int region_online(struct twostage_region *region, unsigned long count, int online_type);
int region_offline(struct twostage_region *region, unsigned long count);
int regions_forget_populated(void);

/* Stands for "all" in the counts above. */
#define REGION_ALL_BLOCKS ULONG_MAX

#endif /* _TWOSTAGE_REGION_H */
