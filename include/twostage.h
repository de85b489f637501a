/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * twostage: memory that is added in two stages
 *
 * A *region* is a contiguous physical range made of whole memory blocks. After
 * stage 1 its blocks are *standby*: there are structures for their sections and
 * they have their directories in sysfs, but there is no memmap and no direct
 * map, and the memory need not be accessible. Stage 2 runs for each block when
 * it is set online: the region's *provider* makes the memory accessible
 * (assign), and the memmap is built, out of the block's own first pages where
 * that is possible. The block is then *populated* until it is set offline; that
 * undoes stage 2 and ends with unassign.
 *
 * This is the interface for providers. A provider describes itself once, in a
 * &struct twostage_provider, and registers any number of regions with it.
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_H
#define _TWOSTAGE_H

#include <linux/module.h>
#include <linux/types.h>

struct twostage_region;

/**
 * struct twostage_provider - makes the memory of a region accessible, and takes
 *	it back
 * @name: shown in the region's ``provider`` attribute; a word
 * @owner: the module that stays loaded while a region of this provider exists
 * @survives_power_cycle: assigned memory is still assigned when a hibernated
 *	system resumes. If it is not, hibernation is refused while blocks of the
 *	provider are populated.
 * @assign: make the range [@start, @start + @size) accessible. All of it or
 *	nothing: after an error, no part of the range may be left assigned. Not
 *	called again for a range before it has been unassigned.
 * @unassign: take the range back; the kernel does not access it any more.
 *	After an error the memory counts as still assigned: the error is
 *	reported, and the next online of the range does not call @assign.
 * @budget: how much may be assigned at present, in bytes, if that is limited;
 *	shown in the region's ``budget`` attribute. May be NULL.
 * @plugged: how much is assigned at present, in bytes, as the provider sees it;
 *	shown in the region's ``plugged`` attribute. May be NULL.
 *
 * @start and @size are bytes, multiples of the region's granule and of the
 * memory block size.
 *
 * Context: @budget and @plugged are called in process context, without locks.
 * @assign and @unassign are called in process context, with
 * ``device_hotplug_lock`` and ``mem_hotplug_lock`` (for writing) held. They may
 * sleep and allocate memory. They must not add, remove, online or offline
 * memory, nor wait for a task that does. They should not wait without a limit.
 *
 * Return: 0 or a negative errno. The task that set the block online gets the
 * error of @assign; the error of @unassign is only logged, since the block is
 * offline by then. A provider logs the reason with twostage_region_report(),
 * which limits the number of lines: thousands of blocks may fail for the same
 * reason. If it does not, the core logs the errno in the same way.
 */
struct twostage_provider {
	const char *name;
	struct module *owner;
	bool survives_power_cycle;
	int (*assign)(struct twostage_region *region, u64 start, u64 size);
	int (*unassign)(struct twostage_region *region, u64 start, u64 size);
	u64 (*budget)(struct twostage_region *region);
	u64 (*plugged)(struct twostage_region *region);
};

/**
 * struct twostage_region_params - parameters of a new region
 * @provider: the provider of the region's memory
 * @data: a pointer for the provider, see twostage_region_data()
 * @start: physical address in bytes, a multiple of the memory block size and of
 *	@granule
 * @size: in bytes, a multiple of the same sizes
 * @granule: the smallest size in bytes that the provider can assign, a power of
 *	two, larger or smaller than a memory block; 0 stands for one memory
 *	block. If it is larger, all of a granule is assigned for the first of
 *	its blocks that is set online, and unassigned after the last.
 * @nid: the node, or NUMA_NO_NODE for the one that the firmware gives @start
 * @memmap_on_memory: take the memmap out of the blocks themselves where
 *	possible
 * @auto_online: let the kernel's own auto-online policy reach the blocks when
 *	they are added
 */
struct twostage_region_params {
	const struct twostage_provider *provider;
	void *data;
	u64 start;
	u64 size;
	u64 granule;
	int nid;
	bool memmap_on_memory;
	bool auto_online;
};

struct twostage_region *twostage_region_add(const struct twostage_region_params *params);
int twostage_region_remove(struct twostage_region *region);

void *twostage_region_data(const struct twostage_region *region);
const char *twostage_region_name(const struct twostage_region *region);
unsigned long twostage_region_populated(const struct twostage_region *region);
void twostage_region_changed(struct twostage_region *region);
__printf(3, 4)
void twostage_region_report(struct twostage_region *region, u64 start, const char *format, ...);

void twostage_wait_for_regions(struct module *owner);

#endif /* _TWOSTAGE_H */
