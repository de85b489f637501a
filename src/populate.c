// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stage 2 of one block, and its exact inverse
 *
 * In this order, and undone in the reverse one: the provider makes the memory accessible (assign); the
 * direct map and the memmap are made, the latter at the block's start by way of an altmap; the block
 * becomes System RAM in /proc/iomem; the struct pages are initialised, first those of the memmap's own
 * pages and then the others, which brings the block into its zone.
 *
 * Whoever walks System RAM expects a memmap there (kcore refuses to be opened without), so the resource
 * comes after the memmap and goes before it.
 *
 * All of it runs with mem_hotplug_lock held for writing.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "populate.h"
#include "trace.h"

static const char system_ram[] = "System RAM (twostage)";

static u64 block_size(void)
{
	return memory_block_size_bytes();
}

static bool unit_populated(const struct twostage_region *region, unsigned long unit)
{
	unsigned long index = unit * region->unit_blocks;
	unsigned long end = index + region->unit_blocks;

	for (; index < end; index++)
		if (region->blocks[index].populated)
			return true;
	return false;
}

/* What an earlier unassign has failed to take back is still assigned, and not assigned again. */
static int unit_assign(struct twostage_region *region, unsigned long unit)
{
	const u64 size = region->unit_blocks * block_size();
	const u64 start = region->start + unit * size;
	const unsigned long reported = region->report.total;
	u64 started = trace_start();
	int ret;

	if (test_bit(unit, region->assigned))
		return 0;

	ret = region->provider->assign(region, start, size);
	trace_assign(region, start, size, trace_duration(started), ret);
	if (ret) {
		if (region->report.total == reported)
			twostage_region_report(region, start, "provider %s does not assign %#llx bytes there (%pe)",
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

	if (!test_bit(unit, region->assigned) || unit_populated(region, unit))
		return;

	ret = region->provider->unassign(region, start, size);
	trace_unassign(region, start, size, trace_duration(started), ret);
	if (ret) {
		/* With its range, so that the first few are listed one by one */
		twostage_region_report(region, start, "provider %s does not take [%#llx-%#llx] back, it stays assigned (%pe)",
				       region->provider->name, start, start + size - 1, ERR_PTR(ret));
		return;
	}
	clear_bit(unit, region->assigned);
}

static struct vmem_altmap *altmap_alloc(u64 start)
{
	const struct vmem_altmap altmap = {
		.base_pfn = PHYS_PFN(start),
		.end_pfn = PHYS_PFN(start + block_size() - 1),
		.free = mm_memmap_on_memory_pages(),
	};

	return kmemdup(&altmap, sizeof(altmap), GFP_KERNEL);
}

static void altmap_free(const struct twostage_region *region, u64 start, struct vmem_altmap *altmap)
{
	if (!altmap)
		return;
	if (altmap->alloc)
		pr_err("%s: block at %#llx: %lu pages of its memmap leaked\n",
		       dev_name(&region->dev), start, altmap->alloc);
	kfree(altmap);
}

/*
 * Where a memmap from ordinary memory does not fit, arch_add_memory() would find that out half way,
 * with a warning, and leave the block's direct map behind.
 */
static int check_ordinary_memory(struct twostage_region *region, u64 start)
{
	const long needed = PHYS_PFN(PHYS_PFN(block_size()) * sizeof(struct page));

	if (si_mem_available() > needed)
		return 0;
	twostage_region_report(region, start, "no memory left for its memmap of %ld pages", needed);
	return -ENOMEM;
}

DEFINE_MUTEX(memmaps_lock);

static void unmap_range(u64 start, u64 size, struct vmem_altmap *altmap)
{
	mutex_lock(&memmaps_lock);
	mm_arch_remove_memory(start, size, altmap);
	mutex_unlock(&memmaps_lock);
}

/*
 * arch_add_memory() leaves behind what it has done when it fails. Sections that got a memmap lose it
 * again, one by one. Page tables of the direct map may stay behind a section that got none: they are
 * found and used by the next one who maps the section, and removed by the next one who removes it.
 */
static void remove_valid_sections(u64 start, struct vmem_altmap *altmap)
{
	const u64 section_size = PFN_PHYS(PAGES_PER_SECTION);
	u64 address;

	for (address = start; address < start + block_size(); address += section_size)
		if (mm_section_valid(address))
			unmap_range(address, section_size, altmap);
}

static int map_block(struct twostage_region *region, u64 start, struct vmem_altmap *altmap)
{
	u64 started = trace_start();
	int ret;

	if (!altmap) {
		ret = check_ordinary_memory(region, start);
		if (ret)
			return ret;
	}

	ret = mm_arch_add_memory(region->nid, start, block_size(), altmap);
	trace_add_memmap(region, start, block_size(), trace_duration(started), ret);
	if (ret) {
		twostage_region_report(region, start, "cannot make its memmap (%pe)", ERR_PTR(ret));
		remove_valid_sections(start, altmap);
	}
	return ret;
}

static void unmap_block(struct twostage_region *region, u64 start, struct vmem_altmap *altmap)
{
	u64 started = trace_start();

	mm_clear_mce_nospec(PHYS_PFN(start), PHYS_PFN(block_size()));
	unmap_range(start, block_size(), altmap);
	trace_remove_memmap(region, start, block_size(), trace_duration(started), 0);
}

/* Kexec must not put the next kernel here: it would not know how to get at this memory. */
static int request_system_ram(struct twostage_region *region, u64 start)
{
	if (__request_region(region->resource, start, block_size(), system_ram,
			     IORESOURCE_SYSTEM_RAM | IORESOURCE_SYSRAM_DRIVER_MANAGED))
		return 0;
	pr_err("%s: block at %#llx: no memory for its entry in /proc/iomem\n",
	       dev_name(&region->dev), start);
	return -ENOMEM;
}

static void release_system_ram(struct twostage_region *region, u64 start)
{
	__release_region(region->resource, start, block_size());
}

/**
 * block_memmap_pages() - pages at the start of a block that its memmap takes up
 * @region: the region
 * @index: of the block
 *
 * Return: for a populated block, what it is; for a standby one, what it is going to be.
 */
unsigned long block_memmap_pages(const struct twostage_region *region, unsigned long index)
{
	const struct region_block *block = &region->blocks[index];

	if (block->populated)
		return block->altmap ? block->altmap->free : 0;
	return region->memmap_on_memory ? mm_memmap_on_memory_pages() : 0;
}

/**
 * block_populate() - stage 2 of a block
 * @region: the region
 * @index: of the block, which is standby
 * @move: the zone move that the core has asked for
 *
 * Context: mem_hotplug_lock held for writing, from within our MEM_GOING_ONLINE callback.
 * Return: 0; or an error, with its reason in the log, and the block is what it was.
 */
int block_populate(struct twostage_region *region, unsigned long index,
		   const struct zone_move *move)
{
	const u64 start = region_block_start(region, index);
	const unsigned long memmap_pages = block_memmap_pages(region, index);
	const unsigned long unit = index / region->unit_blocks;
	struct region_block *block = &region->blocks[index];
	struct vmem_altmap *altmap = NULL;
	u64 started = trace_start();
	int ret;

	if (memmap_pages) {
		altmap = altmap_alloc(start);
		if (!altmap) {
			twostage_region_report(region, start, "no memory for its altmap");
			ret = -ENOMEM;
			goto trace;
		}
	}

	ret = unit_assign(region, unit);
	if (ret)
		goto free_altmap;
	ret = map_block(region, start, altmap);
	if (ret)
		goto unassign;
	ret = request_system_ram(region, start);
	if (ret)
		goto unmap;
	if (memmap_pages) {
		ret = mm_init_memmap_on_memory(PHYS_PFN(start), memmap_pages, move->zone);
		if (ret) {
			twostage_region_report(region, start, "cannot initialise its own memmap (%pe)",
					       ERR_PTR(ret));
			goto release_resource;
		}
	}
	mm_move_pfn_range_to_zone(move);

	block->altmap = altmap;
	block->populated = true;
	WRITE_ONCE(region->nr_populated, region->nr_populated + 1);
	WRITE_ONCE(region->memmap_pages, region->memmap_pages + memmap_pages);
	report_online(region);
	goto trace;

release_resource:
	release_system_ram(region, start);
unmap:
	unmap_block(region, start, altmap);
unassign:
	unit_unassign(region, unit);
free_altmap:
	altmap_free(region, start, altmap);
trace:
	trace_populate(region, start, block_size(), trace_duration(started), ret);
	return ret;
}

/**
 * block_withdraw() - the first step back from stage 2: nobody new finds the block's memmap
 * @region: the region
 * @index: of the block, which is populated; its sections are not online (any more)
 *
 * It is no System RAM any more. Those who keep a list of that, like kcore and what a loaded kdump kernel finds in
 * its headers, renew it at MEM_OFFLINE, so this comes before their callbacks.
 *
 * Context: mem_hotplug_lock held for writing.
 */
void block_withdraw(struct twostage_region *region, unsigned long index)
{
	release_system_ram(region, region_block_start(region, index));
}

/**
 * block_depopulate() - undo the rest of stage 2 of a block
 * @region: the region
 * @index: of the block, which is populated and has been withdrawn; the core has taken its pages out of the
 *	zone, aside from those of its own memmap, and nobody looks at the memmap any more
 *
 * Cannot fail: memory that the provider does not take back stays assigned, and is reported.
 *
 * Context: mem_hotplug_lock held for writing.
 */
void block_depopulate(struct twostage_region *region, unsigned long index)
{
	const u64 start = region_block_start(region, index);
	const unsigned long memmap_pages = block_memmap_pages(region, index);
	struct region_block *block = &region->blocks[index];
	struct vmem_altmap *altmap = block->altmap;
	u64 started = trace_start();

	if (memmap_pages)
		mm_deinit_memmap_on_memory(PHYS_PFN(start), memmap_pages);
	unmap_block(region, start, altmap);

	block->altmap = NULL;
	block->populated = false;
	WRITE_ONCE(region->nr_populated, region->nr_populated - 1);
	WRITE_ONCE(region->memmap_pages, region->memmap_pages - memmap_pages);

	altmap_free(region, start, altmap);
	unit_unassign(region, index / region->unit_blocks);
	trace_depopulate(region, start, block_size(), trace_duration(started), 0);
}

/**
 * blocks_unassign() - ask the provider once more to take back what it did not take back before
 * @region: the region, which has no populated block
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
