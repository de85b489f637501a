// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of memory blocks, and the list of regions
 *
 * Hooks look up an address on each call of a wrapped function, so block_at()
 * can be called in any context and without locks. A block stays in the table
 * from before stage 1 until the memory blocks have been removed, so code that
 * holds a reference to the core's memory block, or is called on its behalf, can
 * use the block that it finds. A hook that only reads it runs with preemption
 * disabled, and the region is freed an RCU grace period after its removal.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <linux/xarray.h>

#include "region_table.h"

/* Memory blocks of all regions, by the number that the core gives them */
static DEFINE_XARRAY(blocks);

LIST_HEAD(regions);
/* How many regions each node has; read without locks */
static unsigned int node_regions[MAX_NUMNODES];

static unsigned long block_number(u64 address)
{
	return address / memory_block_size_bytes();
}

/**
 * block_at() - the block of a region that an address is in
 * @address: physical address in bytes
 *
 * Context: Any.
 * Return: the block, or NULL if the address is not in a region.
 */
struct twostage_block *block_at(u64 address)
{
	return xa_load(&blocks, block_number(address));
}

/**
 * block_at_pfn() - the block of a region that a page is in
 * @pfn: number of the page
 *
 * Context: Any.
 * Return: the block, or NULL if the page is not in a region.
 */
struct twostage_block *block_at_pfn(unsigned long pfn)
{
	return block_at(PFN_PHYS(pfn));
}

/**
 * block_of_device() - the block of a region that belongs to a memory block
 * @dev: the device of the core's memory block
 *
 * Context: Any.
 * Return: the block, or NULL if the memory block is not in a region.
 */
struct twostage_block *block_of_device(const struct device *dev)
{
	const struct memory_block *block = container_of(dev, const struct memory_block, dev);

	return block_at_pfn(section_nr_to_pfn(block->start_section_nr));
}

/**
 * first_block_in() - the first block of any region in a range
 * @start: physical address in bytes
 * @size: of the range in bytes, not 0
 *
 * Context: Any.
 * Return: the block, or NULL if no part of the range is in a region.
 */
struct twostage_block *first_block_in(u64 start, u64 size)
{
	unsigned long first = block_number(start);

	return xa_find(&blocks, &first, block_number(start + size - 1), XA_PRESENT);
}

/**
 * region_table_insert() - enter the blocks of a region into the table
 * @region: the region
 *
 * Context: Process context. device_hotplug_lock held.
 * Return: 0 or -ENOMEM.
 */
int region_table_insert(struct twostage_region *region)
{
	unsigned long first = block_number(region->start);
	unsigned long i;
	int ret;

	for (i = 0; i < region->nr_blocks; i++) {
		ret = xa_insert(&blocks, first + i, &region->blocks[i], GFP_KERNEL);
		if (ret)
			goto erase;
	}
	return 0;

erase:
	while (i--)
		xa_erase(&blocks, first + i);
	return ret;
}

/**
 * region_table_erase() - take the blocks of a region out of the table
 * @region: the region
 *
 * To be called before the region's resource is released: once it is, another
 * driver may add memory at these addresses, which must not be taken for ours.
 *
 * Context: Process context. device_hotplug_lock held. The memory blocks have
 * been removed, or have never been added.
 */
void region_table_erase(struct twostage_region *region)
{
	unsigned long first = block_number(region->start);
	unsigned long i;

	for (i = 0; i < region->nr_blocks; i++)
		xa_erase(&blocks, first + i);
}

/**
 * regions_list_add() - add a region to the list
 * @region: the region
 *
 * Context: device_hotplug_lock held.
 */
void regions_list_add(struct twostage_region *region)
{
	list_add_tail(&region->node, &regions);
	WRITE_ONCE(node_regions[region->nid], node_regions[region->nid] + 1);
}

/**
 * regions_list_del() - undo regions_list_add()
 * @region: the region
 *
 * Context: device_hotplug_lock held.
 */
void regions_list_del(struct twostage_region *region)
{
	list_del(&region->node);
	WRITE_ONCE(node_regions[region->nid], node_regions[region->nid] - 1);
}

/**
 * regions_on_node() - whether a node has regions
 * @nid: the node
 *
 * Context: Any.
 */
bool regions_on_node(int nid)
{
	return READ_ONCE(node_regions[nid]);
}

/** region_table_exit() - free the table; there is no region any more */
void region_table_exit(void)
{
	xa_destroy(&blocks);
}
