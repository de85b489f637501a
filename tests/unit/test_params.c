// SPDX-License-Identifier: GPL-2.0-only
/*
 * params.c: which ranges and nodes a new region may have
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <stdlib.h>

#include "stubs.h"

#include "params.h"
#include "region_table.h"
#include "unit.h"

#define BLOCK 0x8000000ULL
/* Of a system with 46 bits of physical addresses */
#define LAST 0x3fffffffffffULL

static int check(u64 start, u64 size, u64 granule)
{
	const struct twostage_region_params params = {
		.start = start, .size = size, .granule = granule};

	logged[0] = '\0';
	return params_check_range(&params);
}

/* Whether a range is refused with an error, and the log has the reason */
static bool refused(u64 start, u64 size, u64 granule, int error, const char *reason)
{
	return same(check(start, size, granule), error) & holds(strstr(logged, reason));
}

static void test_ranges(void)
{
	bool passed;

	ok(same(check(BLOCK, BLOCK, 0), 0) & same(check(0, BLOCK, 0), 0) &
		   same(check(32 * BLOCK, 100 * BLOCK, 0), 0),
	   "a range of whole memory blocks is accepted");
	ok(refused(BLOCK, 0, 0, -EINVAL, "size is 0"), "an empty range is refused");

	passed = refused(BLOCK + 1, BLOCK, 0, -EINVAL, "0x8000000, the memory block size");
	passed &= refused(BLOCK + PAGE_SIZE, BLOCK, 0, -EINVAL, "memory block size");
	passed &= refused(BLOCK, BLOCK + 1, 0, -EINVAL, "memory block size");
	passed &= refused(BLOCK, BLOCK / 2, 0, -EINVAL, "memory block size");
	passed &= refused(BLOCK, 1, 0, -EINVAL, "memory block size");
	ok(passed, "a range with a part of a memory block is refused");

	passed = refused(-BLOCK, 2 * BLOCK, 0, -EINVAL, "beyond the last address");
	passed &= refused(BLOCK, -BLOCK + 1, 0, -EINVAL, "beyond the last address");
	passed &= refused(~0ULL, 2, 0, -EINVAL, "beyond the last address");
	passed &= refused(2, ~0ULL, 0, -EINVAL, "beyond the last address");
	ok(passed, "a range that wraps around is refused");

	passed = refused(-BLOCK, BLOCK, 0, -ERANGE, "can address only [0-0x3fffffffffff]");
	passed &= refused(LAST + 1 - BLOCK, 2 * BLOCK, 0, -ERANGE, "can address only");
	passed &= refused(LAST + 1, BLOCK, 0, -ERANGE, "can address only");
	ok(passed, "a range that the kernel cannot map is refused");
	ok(same(check(LAST + 1 - BLOCK, BLOCK, 0), 0),
	   "the last range that the kernel can map is accepted");

	iomem_resource.end = LAST / 2;
	passed = refused(LAST + 1 - BLOCK, BLOCK, 0, -ERANGE, "[0-0x1fffffffffff]");
	passed &= same(check(LAST / 2 + 1 - BLOCK, BLOCK, 0), 0);
	ok(passed, "a range that the processor cannot address is refused");
	iomem_resource.end = LAST;
}

static void test_granules_of_ranges(void)
{
	bool passed;

	ok(same(check(8 * BLOCK, 4 * BLOCK, 4 * BLOCK), 0),
	   "a range of whole granules is accepted");
	ok(same(check(BLOCK, BLOCK, 0x200000), 0), "granules may be smaller than a memory block");
	passed = refused(BLOCK, BLOCK + 0x200000, 0x200000, -EINVAL, "the memory block size");
	ok(passed, "with small granules a range is one of whole memory blocks");

	passed = refused(9 * BLOCK, 4 * BLOCK, 4 * BLOCK, -EINVAL,
			 "0x20000000, the provider's granule");
	passed &= refused(8 * BLOCK, 5 * BLOCK, 4 * BLOCK, -EINVAL, "the provider's granule");
	ok(passed, "a range with a part of a granule is refused");

	passed = refused(6 * BLOCK, 6 * BLOCK, 3 * BLOCK, -EINVAL,
			 "granule 0x18000000 is not a power of two");
	passed &= refused(BLOCK, BLOCK, 3, -EINVAL, "is not a power of two");
	passed &= refused(0, BLOCK, ~0ULL, -EINVAL, "is not a power of two");
	ok(passed, "a granule that is not a power of two is refused");
}

static int check_node(int nid)
{
	const struct twostage_region_params params = {.start = BLOCK, .size = BLOCK, .nid = nid};

	logged[0] = '\0';
	return params_check_node(&params);
}

static void test_nodes(void)
{
	bool passed = true;
	int nid;

	for (nid = 0; nid <= 3; nid++)
		passed &= same(check_node(nid), nid);
	ok(passed, "each possible node is accepted");

	passed = true;
	for (nid = -3; nid <= MAX_NUMNODES + 1; nid++)
		if (nid != NUMA_NO_NODE && (nid < 0 || nid > 3))
			passed &= same(check_node(nid), -EINVAL) & holds(strstr(logged, "no node"));
	passed &= same(check_node(2147483647), -EINVAL) & same(check_node(-2147483647), -EINVAL);
	ok(passed, "nodes that the system cannot have are refused");

	firmware_node = 2;
	ok(same(check_node(NUMA_NO_NODE), 2), "without a node, a region gets that of the firmware");
	passed = true;
	for (firmware_node = -1; firmware_node <= MAX_NUMNODES; firmware_node += MAX_NUMNODES + 1)
		passed &= same(check_node(NUMA_NO_NODE), first_online_node);
	firmware_node = 7;
	passed &= same(check_node(NUMA_NO_NODE), first_online_node);
	ok(passed,
	   "if the firmware has no node that is possible, a region gets the first one that is online");
	firmware_node = 0;
}

static bool overlaps(u64 start, u64 size)
{
	const struct twostage_region_params params = {.start = start, .size = size};
	const int ret = params_check_overlap(&params);

	return ret && same(ret, -EEXIST) &&
	       holds(strstr(logged, "overlaps region7 [0x20000000-0x37ffffff]"));
}

static void test_overlaps(void)
{
	struct twostage_region *region = calloc(1, sizeof(*region) + 3 * sizeof(region->blocks[0]));
	bool passed;

	region->dev.name = "region7";
	region->start = 4 * BLOCK;
	region->size = 3 * BLOCK;
	region->nr_blocks = 3;
	region->blocks[0].region = region;
	region->blocks[1].region = region;
	region->blocks[2].region = region;
	region_table_insert(region);

	passed = holds(overlaps(4 * BLOCK, 3 * BLOCK)) & holds(overlaps(3 * BLOCK, 2 * BLOCK)) &
		 holds(overlaps(6 * BLOCK, 2 * BLOCK)) & holds(overlaps(5 * BLOCK, BLOCK)) &
		 holds(overlaps(0, 100 * BLOCK));
	ok(passed,
	   "a range that overlaps a region at its start, its end, inside or all around is refused");
	passed = holds(!overlaps(3 * BLOCK, BLOCK)) & holds(!overlaps(7 * BLOCK, BLOCK)) &
		 holds(!overlaps(0, BLOCK));
	ok(passed, "a range that touches a region is accepted");
	region_table_exit();
	free(region);
}

void test_params(void)
{
	memory_block_size = BLOCK;
	last_mappable = LAST;
	iomem_resource.end = LAST;
	test_ranges();
	test_granules_of_ranges();
	test_nodes();
	test_overlaps();
}
