// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stage 2 of one block, and its exact inverse
 *
 * The steps, which are undone in reverse order: the provider makes the memory
 * accessible (assign); the direct map and the memmap are made, the memmap at
 * the block's start by way of an altmap; the block becomes System RAM in
 * /proc/iomem; the struct pages are initialised and enter the zone, first those
 * of the pages that hold the memmap, then the others.
 *
 * Code that walks System RAM expects a memmap there (kcore cannot be opened
 * without), so the resource is made after the memmap and removed before it.
 *
 * All of it runs with mem_hotplug_lock held for writing.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "mm_internals.h"
#include "parallel.h"
#include "pfn_walkers.h"
#include "populate.h"
#include "report.h"
#include "system_ram.h"
#include "trace.h"

static u64 block_size(void)
{
	return memory_block_size_bytes();
}

static bool unit_in_use(const struct twostage_region *region, unsigned long unit)
{
	unsigned long index = unit * region->unit_blocks;
	unsigned long end = index + region->unit_blocks;

	for (; index < end; index++)
		if (region->blocks[index].stage != BLOCK_STANDBY)
			return true;
	return false;
}

/* A unit that could not be unassigned before is still assigned. */
static int unit_assign(struct twostage_region *region, unsigned long unit)
{
	const u64 size = region->unit_blocks * block_size();
	const u64 start = region->start + unit * size;
	const unsigned long reported = READ_ONCE(region->report.total);
	u64 started = trace_start();
	int ret;

	if (test_bit(unit, region->assigned))
		return 0;

	ret = region->provider->assign(region, start, size);
	trace_assign(region->id, start, size, trace_duration(started), ret);
	if (ret) {
		/* Not if the provider has logged the reason. */
		if (READ_ONCE(region->report.total) == reported)
			twostage_region_report(region, start,
					       "provider %s does not assign %#llx bytes there (%pe)",
					       region->provider->name, size, ERR_PTR(ret));
		return ret;
	}
	set_bit(unit, region->assigned);
	return 0;
}

static void unit_unassign(struct twostage_region *region, unsigned long unit)
{
	const u64 size = region->unit_blocks * block_size();
	const u64 start = region->start + unit * size;
	u64 started = trace_start();
	int ret;

	if (!test_bit(unit, region->assigned) || unit_in_use(region, unit))
		return;

	ret = region->provider->unassign(region, start, size);
	trace_unassign(region->id, start, size, trace_duration(started), ret);
	if (ret) {
		/*
		 * The range makes each text different, so the first few are not
		 * suppressed as repetitions.
		 */
		twostage_region_report(region, start,
				       "provider %s does not take [%#llx-%#llx] back, it stays assigned (%pe)",
				       region->provider->name, start, start + size - 1, ERR_PTR(ret));
		return;
	}
	clear_bit(unit, region->assigned);
}

static struct vmem_altmap *altmap_alloc(const struct twostage_block *block)
{
	const struct vmem_altmap altmap = {
		.base_pfn = block_first_pfn(block),
		.end_pfn = block_first_pfn(block) + block_pages() - 1,
		.free = mm_memmap_on_memory_pages(),
	};

	return kmemdup(&altmap, sizeof(altmap), GFP_KERNEL);
}

static void altmap_free(const struct twostage_block *block, struct vmem_altmap *altmap)
{
	unsigned long leaked;

	if (!altmap)
		return;
	leaked = mm_altmap_leaked(altmap);
	if (leaked)
		pr_err("%s: block at %#llx: %lu pages of its memmap leaked\n",
		       dev_name(&block->region->dev), block_start(block), leaked);
	kfree(altmap);
}

/*
 * If there is not enough ordinary memory for the memmap, arch_add_memory()
 * fails half way with a warning, and leaves the block's direct map behind:
 * check before the call.
 */
static int check_ordinary_memory(const struct twostage_block *block)
{
	const long needed = PHYS_PFN(block_pages() * sizeof(struct page));

	if (si_mem_available() > needed)
		return 0;
	twostage_region_report(block->region, block_start(block),
			       "no memory left for its memmap of %ld pages: free memory, or set memmap_on_memory",
			       needed);
	return -ENOMEM;
}

static void unmap_range(u64 start, u64 size, struct vmem_altmap *altmap)
{
	mutex_lock(&memmaps_lock);
	mm_arch_remove_memory(start, size, altmap);
	mutex_unlock(&memmaps_lock);
}

/*
 * arch_add_memory() does not clean up when it fails. Remove the memmap of the
 * sections that got one, one by one. Page tables of the direct map may remain
 * for a section that got none: the next add of that section uses them, and its
 * removal frees them.
 */
static void remove_valid_sections(u64 start, struct vmem_altmap *altmap)
{
	const u64 section_size = PFN_PHYS(PAGES_PER_SECTION);
	u64 address;

	for (address = start; address < start + block_size(); address += section_size)
		if (mm_section_valid(address))
			unmap_range(address, section_size, altmap);
}

static int map_block(const struct twostage_block *block, struct vmem_altmap *altmap)
{
	struct twostage_region *region = block->region;
	const u64 start = block_start(block);
	u64 started = trace_start();
	int ret;

	if (!altmap) {
		ret = check_ordinary_memory(block);
		if (ret)
			return ret;
	}

	ret = mm_arch_add_memory(region->nid, start, block_size(), altmap);
	trace_add_memmap(region->id, start, block_size(), trace_duration(started), ret);
	if (ret) {
		twostage_region_report(region, start, "cannot make its memmap (%pe)", ERR_PTR(ret));
		remove_valid_sections(start, altmap);
	}
	return ret;
}

static void unmap_block(const struct twostage_block *block, struct vmem_altmap *altmap)
{
	const u64 start = block_start(block);
	u64 started = trace_start();

	unmap_range(start, block_size(), altmap);
	trace_remove_memmap(block->region->id, start, block_size(), trace_duration(started), 0);
}

/**
 * block_memmap_pages() - pages at the start of a block that its memmap takes up
 * @block: the block
 *
 * Return: for a standby block, the pages that its memmap is going to take.
 */
unsigned long block_memmap_pages(const struct twostage_block *block)
{
	if (block->stage != BLOCK_STANDBY)
		return block->altmap ? block->altmap->free : 0;
	return block->region->memmap_on_memory ? mm_memmap_on_memory_pages() : 0;
}

/**
 * block_populate() - stage 2 of a block
 * @block: the block, which is standby
 * @move: the zone move that the core has asked for
 *
 * Context: mem_hotplug_lock held for writing, from within our MEM_GOING_ONLINE
 * callback.
 * Return: 0; or an error, with its reason in the log, and the block is standby.
 */
int block_populate(struct twostage_block *block, const struct zone_move *move)
{
	struct twostage_region *region = block->region;
	const unsigned long memmap_pages = block_memmap_pages(block);
	const unsigned long unit = block->index / region->unit_blocks;
	const u64 start = block_start(block);
	struct vmem_altmap *altmap = NULL;
	u64 started = trace_start();
	int ret;

	if (memmap_pages) {
		altmap = altmap_alloc(block);
		if (!altmap) {
			twostage_region_report(region, start, "no memory for its altmap");
			ret = -ENOMEM;
			goto trace;
		}
	}

	ret = unit_assign(region, unit);
	if (ret)
		goto free_altmap;
	ret = map_block(block, altmap);
	if (ret)
		goto unassign;
	ret = system_ram_add(block);
	if (ret) {
		twostage_region_report(region, start, "cannot make its entry in /proc/iomem (%pe)",
				       ERR_PTR(ret));
		goto unmap;
	}
	if (memmap_pages) {
		ret = mm_init_memmap_on_memory(PHYS_PFN(start), memmap_pages, move->zone);
		if (ret) {
			twostage_region_report(region, start, "cannot initialise its own memmap (%pe)",
					       ERR_PTR(ret));
			goto release_resource;
		}
	}
	parallel_move_pfn_range_to_zone(move);

	block->altmap = altmap;
	block->hwpoison = false;
	WRITE_ONCE(block->stage, BLOCK_POPULATED);
	WRITE_ONCE(region->nr_populated, region->nr_populated + 1);
	WRITE_ONCE(region->memmap_pages, region->memmap_pages + memmap_pages);
	report_online(region);
	goto trace;

release_resource:
	system_ram_remove(block);
unmap:
	unmap_block(block, altmap);
unassign:
	unit_unassign(region, unit);
free_altmap:
	altmap_free(block, altmap);
trace:
	trace_populate(region->id, start, block_size(), trace_duration(started), ret);
	return ret;
}

/**
 * block_withdraw() - the first step of undoing stage 2: take the block out of
 *	System RAM
 * @block: the block, which is populated; its sections are not online
 *
 * kcore, and crash hotplug for the ELF headers of a loaded kdump kernel, build
 * lists of System RAM, and renew them in their MEM_OFFLINE callbacks. The block
 * must have left System RAM before these run.
 *
 * Context: mem_hotplug_lock held for writing.
 */
void block_withdraw(struct twostage_block *block)
{
	system_ram_remove(block);
}

/**
 * block_depopulate() - undo the rest of stage 2 of a block
 * @block: the block, which is populated and has been withdrawn. The core has
 *	taken its pages out of the zone, aside from those of its own memmap, and
 *	no code looks at the memmap any more
 *
 * Cannot fail: memory that the provider does not take back stays assigned, and
 * is reported.
 *
 * Context: mem_hotplug_lock held for writing.
 */
void block_depopulate(struct twostage_block *block)
{
	struct twostage_region *region = block->region;
	const unsigned long memmap_pages = block_memmap_pages(block);
	struct vmem_altmap *altmap = block->altmap;
	u64 started = trace_start();

	if (memmap_pages)
		mm_call(mhp_deinit_memmap_on_memory)(block_first_pfn(block), memmap_pages);
	unmap_block(block, altmap);

	block->altmap = NULL;
	WRITE_ONCE(block->stage, BLOCK_STANDBY);
	WRITE_ONCE(region->nr_populated, region->nr_populated - 1);
	WRITE_ONCE(region->memmap_pages, region->memmap_pages - memmap_pages);

	altmap_free(block, altmap);
	unit_unassign(region, block->index / region->unit_blocks);
	trace_depopulate(region->id, block_start(block), block_size(), trace_duration(started), 0);
}

/**
 * block_keep_poisoned() - keep what stage 2 has made, for a block with a
 *	hardware-poisoned page
 * @block: the block, which is populated and has been withdrawn
 *
 * There is no way back: code may still refer to the poisoned page.
 *
 * Context: mem_hotplug_lock held for writing.
 */
void block_keep_poisoned(struct twostage_block *block)
{
	struct twostage_region *region = block->region;
	const unsigned long memmap_pages = block_memmap_pages(block);

	/* The memmap's own pages leave the zone, as all others have. */
	if (memmap_pages)
		mm_call(mhp_deinit_memmap_on_memory)(block_first_pfn(block), memmap_pages);
	WRITE_ONCE(block->stage, BLOCK_POISONED);
	WRITE_ONCE(region->nr_populated, region->nr_populated - 1);
	WRITE_ONCE(region->nr_poisoned, region->nr_poisoned + 1);
	pr_warn("%s: block at %#llx: has a hardware-poisoned page: it is offline, but keeps its memory until the next boot\n",
		dev_name(&region->dev), block_start(block));
}

/**
 * blocks_unassign() - ask the provider once more to take back memory that it
 *	did not take back before
 * @region: the region, whose blocks are all standby
 *
 * Context: mem_hotplug_lock held for writing.
 */
void blocks_unassign(struct twostage_region *region)
{
	const unsigned long units = region->nr_blocks / region->unit_blocks;
	unsigned long unit;

	for_each_set_bit(unit, region->assigned, units)
		unit_unassign(region, unit);
}
