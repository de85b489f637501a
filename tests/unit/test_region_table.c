// SPDX-License-Identifier: GPL-2.0-only
/*
 * region_table.c: finding blocks, and the list of regions
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <stdlib.h>

#include "stubs.h"
#include "region_table.h"
#include "unit.h"

#define BLOCK 0x8000000ULL

static struct twostage_region *make(u64 start, unsigned long blocks, int nid)
{
	struct twostage_region *region;
	unsigned long i;

	region = calloc(1, sizeof(*region) + blocks * sizeof(region->blocks[0]));
	region->start = start;
	region->size = blocks * BLOCK;
	region->nr_blocks = blocks;
	region->nid = nid;
	for (i = 0; i < blocks; i++) {
		region->blocks[i].region = region;
		region->blocks[i].index = i;
	}
	return region;
}

static void test_look_ups(void)
{
	struct twostage_region *low = make(4 * BLOCK, 3, 0), *high = make(10 * BLOCK, 1, 0);
	/* A region above 16 TiB */
	struct twostage_region *far = make(0x100000000000ULL, 2, 0);
	bool passed;

	passed = !region_table_insert(high) && !region_table_insert(low) &&
		 !region_table_insert(far);
	ok(passed && same(xarray_entries, 6),
	   "the table has an entry for each block of each region");

	passed = holds(block_at(4 * BLOCK) == &low->blocks[0]);
	passed &= holds(block_at(5 * BLOCK - 1) == &low->blocks[0]);
	passed &= holds(block_at(5 * BLOCK) == &low->blocks[1]);
	passed &= holds(block_at(7 * BLOCK - 1) == &low->blocks[2]);
	passed &= holds(block_at(10 * BLOCK) == &high->blocks[0]);
	passed &= holds(block_at(far->start + BLOCK) == &far->blocks[1]);
	ok(passed, "each address of a block finds the block, the first and the last included");

	passed = holds(!block_at(0)) & holds(!block_at(4 * BLOCK - 1)) &
		 holds(!block_at(7 * BLOCK)) & holds(!block_at(11 * BLOCK)) &
		 holds(!block_at(~0ULL));
	ok(passed, "addresses beside all regions find none");

	passed = holds(block_at_pfn(5 * BLOCK / PAGE_SIZE) == &low->blocks[1]);
	passed &= holds(block_at_pfn(5 * BLOCK / PAGE_SIZE - 1) == &low->blocks[0]);
	passed &= holds(block_at_pfn((far->start + 2 * BLOCK) / PAGE_SIZE - 1) == &far->blocks[1]);
	passed &= holds(!block_at_pfn(7 * BLOCK / PAGE_SIZE));
	ok(passed, "each page of a block finds the block");

	{
		const struct memory_block inside = {.start_section_nr = 6},
					  beside = {.start_section_nr = 7};

		passed = holds(block_of_device(&inside.dev) == &low->blocks[2]);
		passed &= holds(!block_of_device(&beside.dev));
		ok(passed, "a memory block of the core finds its block");
	}

	region_table_erase(low);
	passed = holds(!block_at(4 * BLOCK)) & holds(!block_at(6 * BLOCK)) &
		 holds(block_at(10 * BLOCK) == &high->blocks[0]) & same(xarray_entries, 3);
	ok(passed, "the blocks of a region that is removed are not found, those of others are");

	region_table_exit();
	ok(same(xarray_entries, 0), "the table is freed");
	free(low);
	free(high);
	free(far);
}

static void test_first_block(void)
{
	struct twostage_region *low = make(4 * BLOCK, 3, 0), *high = make(10 * BLOCK, 2, 0);
	bool passed;

	region_table_insert(low);
	region_table_insert(high);

	passed = holds(first_block_in(4 * BLOCK, BLOCK) == &low->blocks[0]);
	passed &= holds(first_block_in(0, 20 * BLOCK) == &low->blocks[0]);
	passed &= holds(first_block_in(6 * BLOCK, 5 * BLOCK) == &low->blocks[2]);
	passed &= holds(first_block_in(7 * BLOCK, 4 * BLOCK) == &high->blocks[0]);
	passed &= holds(first_block_in(11 * BLOCK, ~0ULL - 11 * BLOCK) == &high->blocks[1]);
	passed &= holds(first_block_in(4 * BLOCK - 1, 2) == &low->blocks[0]);
	passed &= holds(first_block_in(7 * BLOCK - 1, 1) == &low->blocks[2]);
	ok(passed, "a range finds the first block that it overlaps");

	passed = holds(!first_block_in(0, 4 * BLOCK)) & holds(!first_block_in(4 * BLOCK - 1, 1)) &
		 holds(!first_block_in(7 * BLOCK, 3 * BLOCK)) &
		 holds(!first_block_in(12 * BLOCK, 1)) &
		 holds(!first_block_in(12 * BLOCK, -12 * BLOCK));
	ok(passed, "a range that ends where a region begins, or begins where it ends, finds none");

	region_table_exit();
	free(low);
	free(high);
}

static void test_no_memory(void)
{
	struct twostage_region *region = make(4 * BLOCK, 3, 0);
	const unsigned int room = xarray_room;
	bool passed = true;

	for (xarray_room = 0; xarray_room < 3; xarray_room++)
		passed &= same(region_table_insert(region), -ENOMEM) & same(xarray_entries, 0);
	ok(passed, "without memory for one of its entries a region has none");
	passed = same(region_table_insert(region), 0) & same(xarray_entries, 3);
	ok(passed, "with memory for all of its entries a region has them");
	region_table_exit();
	xarray_room = room;
	free(region);
}

static void test_offsets(void)
{
	struct twostage_region *region = make(0x100000000ULL, 40, 0);

	ok(same(block_start(&region->blocks[0]), 0x100000000ULL) &
		   same(block_start(&region->blocks[39]), 0x100000000ULL + 39 * BLOCK),
	   "a block begins as many block sizes after its region as it has predecessors");
	ok(same(block_first_pfn(&region->blocks[2]), 0x100000 + 2 * BLOCK / PAGE_SIZE) &
		   same(block_pages(), BLOCK / PAGE_SIZE),
	   "blocks have the right pages");

	/* 2 GiB, which an int does not hold */
	memory_block_size = 0x80000000ULL;
	ok(same(block_start(&region->blocks[39]), 0x100000000ULL + 39 * 0x80000000ULL),
	   "blocks of 2 GiB begin at the right addresses");
	memory_block_size = BLOCK;
	free(region);
}

static void test_nodes(void)
{
	struct twostage_region *regions_of_test[] = {
		make(4 * BLOCK, 1, 0),
		make(5 * BLOCK, 1, 2),
		make(6 * BLOCK, 1, 2),
	};
	struct twostage_region *region;
	unsigned int i = 0;
	bool passed;

	for (i = 0; i < ARRAY_SIZE(regions_of_test); i++)
		regions_list_add(regions_of_test[i]);
	i = 0;
	passed = true;
	for_each_region(region)
		passed &= holds(region == regions_of_test[i++]);
	ok(passed & same(i, 3), "the list has all regions in their order");
	ok(holds(regions_on_node(0)) & holds(!regions_on_node(1)) & holds(regions_on_node(2)),
	   "nodes have regions if a region is theirs");

	regions_list_del(regions_of_test[1]);
	passed = holds(regions_on_node(2));
	regions_list_del(regions_of_test[2]);
	passed &= holds(!regions_on_node(2)) & holds(regions_on_node(0));
	ok(passed, "a node has regions until the last one is removed");
	i = 0;
	for_each_region(region)
		i++;
	ok(same(i, 1), "regions that are removed are not in the list");
	regions_list_del(regions_of_test[0]);
	for (i = 0; i < ARRAY_SIZE(regions_of_test); i++)
		free(regions_of_test[i]);
}

void test_region_table(void)
{
	memory_block_size = BLOCK;
	xarray_room = 64;
	test_look_ups();
	test_first_block();
	test_no_memory();
	test_offsets();
	test_nodes();
}
