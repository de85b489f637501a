// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory blocks of several sections, as on machines with much memory
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

#define START (8 * GIB)

static void run(void)
{
	struct accounts *before, *standby;
	struct memory memory;
	long long total, pages;

	ok(block_size == 2 * GIB, "memory blocks have 2 GiB (%" PRIu64 " MiB)", block_size / MIB);
	if (!load_twostage(NULL))
		return;
	before = accounts_take();
	ok(region_add(START, 4 * block_size, NULL) == 0,
	   "a region of four blocks of 2 GiB is added");
	standby = accounts_take();
	total = meminfo("MemTotal");
	ok(region_online(0, "2 online_movable") == 0, "two blocks of 2 GiB come online");
	total = meminfo("MemTotal") - total;
	ok(total == (long long)(2 * block_size / 1024 * 63 / 64),
	   "MemTotal grows by 63/64 of two blocks with memmap_on_memory=1 (%lld KiB, expected %lld)", total,
	   (long long)(2 * block_size / 1024 * 63 / 64));
	pages = read_number(REGION "/memmap_pages", 0);
	ok(pages == (long long)(2 * block_size / 64 / 4096),
	   "memmap_pages counts 1/64 of two blocks with memmap_on_memory=1 (%lld, expected %lld)",
	   pages,
	   (long long)(2 * block_size / 64 / 4096));
	ok(memory_fill(&memory, GIB, 9) && memory_check(&memory) < 0,
	   "data in 1 GiB of memory reads back correctly");
	diag("%" PRIu64 " of 1024 MiB are in the region",
	     memory_inside(&memory, START, 4 * block_size) / MIB);
	for (int i = 0; i < 20; i++)
		look_at_block(block_at(START) + i % 4);
	ok(region_offline(0, "all") == 0, "blocks of 2 GiB in use go offline");
	ok(memory_check(&memory) < 0,
	   "data that was in blocks of 2 GiB is intact after their offline");
	memory_free(&memory);
	ok(accounts_same(standby),
	   "the system matches the standby baseline after use of two blocks");

	ok(write_file("0", REGION "/memmap_on_memory", 0) == 0,
	   "memmap_on_memory is set to 0 while all blocks are standby");
	ok(region_online(0, "1 online_movable") == 0,
	   "a block of 2 GiB comes online with memmap_on_memory=0");
	pages = read_number(REGION "/memmap_pages", 0);
	ok(pages == 0, "memmap_pages counts no page with memmap_on_memory=0 (%lld)", pages);
	ok(region_offline(0, "all") == 0 && accounts_same(standby),
	   "the system matches the standby baseline after a block with memmap_on_memory=0 went offline");
	accounts_free(standby);
	ok(region_remove(0) == 0 && accounts_same(before),
	   "the system matches the baseline once the region is removed");
	accounts_free(before);
	unload_twostage();
}

GROUP(group_large_blocks) = {
	.name = "large-blocks", .title = "memory blocks of 2 GiB", .run = run,
};
