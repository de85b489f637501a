/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Regions and their memory blocks
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_REGION_TABLE_H
#define _TWOSTAGE_REGION_TABLE_H

#include <linux/device.h>
#include <linux/ioport.h>
#include <linux/list.h>
#include <linux/memory.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/workqueue.h>

#include "twostage.h"

/**
 * enum block_stage - state of a memory block
 * @BLOCK_STANDBY: sections and a directory in sysfs. No memmap, no direct map;
 *	the memory need not be accessible.
 * @BLOCK_POPULATED: stage 2 has happened. The block is online, or about to be.
 * @BLOCK_POISONED: the block is offline, but one of its pages is
 *	hardware-poisoned, so it keeps its memmap, its direct map and its
 *	assignment until the next boot.
 */
enum block_stage {
	BLOCK_STANDBY,
	BLOCK_POPULATED,
	BLOCK_POISONED,
};

/**
 * struct twostage_block - a memory block of a region
 * @region: the region
 * @index: number of the block in the region
 * @stage: changed under mem_hotplug_lock, read without
 * @altmap: where the memmap is, if not standby; NULL if it is in ordinary
 *	memory. mem_hotplug_lock
 * @teardown_pending: the block is populated and offline, and stage 2 is about
 *	to be undone. mem_hotplug_lock
 * @hwpoison: a page of it has been hardware-poisoned since it was populated;
 *	see memory_failure.c
 */
struct twostage_block {
	struct twostage_region *region;
	unsigned long index;
	/* populate.c */
	enum block_stage stage;
	struct vmem_altmap *altmap;
	/* online.c */
	bool teardown_pending;
	/* memory_failure.c */
	bool hwpoison;
};

/* Longer texts are cut off. */
#define REPORT_LENGTH 256

/**
 * struct report - what was logged about the blocks of a region
 * @lock: protects the rest; innermost
 * @text: of the last message
 * @repeated: a message with the same text gets no line
 * @start: address of the last message's block
 * @suppressed: number of messages since the last line in the log
 * @lines: number of lines since there was no message for QUIET_TIME
 * @last: time of the last message, in jiffies
 * @delay: from a suppressed message to @summary, in jiffies
 * @summary: logs how many messages were suppressed
 * @total: number of messages so far, suppressed ones included; changed under
 *	@lock, read without
 */
struct report {
	struct mutex lock;
	char text[REPORT_LENGTH];
	bool repeated;
	u64 start;
	unsigned long suppressed;
	unsigned int lines;
	unsigned long last;
	unsigned long delay;
	struct delayed_work summary;
	unsigned long total;
};

/**
 * struct twostage_region - a contiguous physical range under two-stage control
 * @rcu: the structure is freed a grace period after its last reference
 * @dev: regionN, on the twostage bus
 * @node: in the list of regions; device_hotplug_lock
 * @start: in bytes
 * @size: in bytes
 * @nid: node
 * @nr_blocks: number of memory blocks
 * @id: N
 * @provider: makes the memory accessible and takes it back
 * @data: the provider's
 * @auto_online: the core's auto-online may reach the blocks when they are added
 * @group: id of the memory group that the blocks are in
 * @own_group: region.c unregisters that group and removes the region;
 *	otherwise the driver that added the memory does
 * @resource: "Standby memory (regionN)" in /proc/iomem; belongs to the core
 *	once stage 1 is done
 * @resource_name: that name
 * @adding: the task that runs stage 1 at this moment
 * @add_error: an error in stage 1 that the core cannot know about
 * @ejected: the driver that added the memory has requested its removal, which
 *	failed; device_hotplug_lock
 * @removed: the memory blocks are removed, or about to be; changed under
 *	device_hotplug_lock, read without
 * @drop_work: what remains to be done when device_hotplug_lock is free
 * @spare_resources: see system_ram.c; mem_hotplug_lock
 * @memmap_on_memory: take the memmap out of the blocks where possible; changed
 *	under device_hotplug_lock, read without
 * @unit_blocks: number of blocks that the provider assigns at once, at least 1
 * @nr_populated: number of populated blocks; changed under mem_hotplug_lock,
 *	read without
 * @nr_poisoned: number of poisoned blocks; likewise
 * @memmap_pages: pages of the blocks that hold their memmap; likewise
 * @assigned: a bit for every unit: the provider has made it accessible;
 *	mem_hotplug_lock
 * @report: what was logged about the blocks
 * @online_on_oom: standby blocks come online instead of an OOM kill; changed
 *	under a lock of oom.c, read without
 * @oom_onlined: number of blocks that did; device_hotplug_lock, read without
 * @oom_next: number of the block to begin with at the next OOM;
 *	device_hotplug_lock
 * @blocks: one for every memory block
 */
struct twostage_region {
	struct rcu_head rcu;
	struct device dev;
	/* region_table.c */
	struct list_head node;
	u64 start;
	u64 size;
	int nid;
	unsigned long nr_blocks;
	/* region.c */
	int id;
	const struct twostage_provider *provider;
	void *data;
	bool auto_online;
	int group;
	bool own_group;
	struct resource *resource;
	char resource_name[40];
	struct task_struct *adding;
	int add_error;
	bool ejected;
	bool removed;
	struct work_struct drop_work;
	/* system_ram.c */
	struct resource *spare_resources;
	/* populate.c */
	bool memmap_on_memory;
	unsigned long unit_blocks;
	unsigned long nr_populated;
	unsigned long nr_poisoned;
	unsigned long memmap_pages;
	unsigned long *assigned;
	/* report.c */
	struct report report;
	/* oom.c */
	bool online_on_oom;
	unsigned long oom_onlined;
	unsigned long oom_next;

	struct twostage_block blocks[];
};

#define to_region(_dev) container_of(_dev, struct twostage_region, dev)

/** block_start() - physical address of a block in bytes */
static inline u64 block_start(const struct twostage_block *block)
{
	return block->region->start + block->index * (u64)memory_block_size_bytes();
}

/** block_first_pfn() - number of the first page of a block */
static inline unsigned long block_first_pfn(const struct twostage_block *block)
{
	return PHYS_PFN(block_start(block));
}

/** block_pages() - number of pages of a memory block */
static inline unsigned long block_pages(void)
{
	return PHYS_PFN(memory_block_size_bytes());
}

void region_table_exit(void);

struct twostage_block *block_at(u64 address);
struct twostage_block *block_at_pfn(unsigned long pfn);
struct twostage_block *block_of_device(const struct device *dev);
struct twostage_block *first_block_in(u64 start, u64 size);
int region_table_insert(struct twostage_region *region);
void region_table_erase(struct twostage_region *region);

/* The list of regions; device_hotplug_lock */
extern struct list_head regions;
#define for_each_region(region) list_for_each_entry(region, &regions, node)
void regions_list_add(struct twostage_region *region);
void regions_list_del(struct twostage_region *region);
bool regions_on_node(int nid);

#endif /* _TWOSTAGE_REGION_TABLE_H */
