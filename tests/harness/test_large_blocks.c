// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory blocks of several sections, as machines with a lot of memory have them
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
	long long total;

	ok(block_size == 2 * GIB, "memory blocks are of 2 GiB");
	if (!load_twostage(NULL))
		return;
	before = accounts_take();
	ok(region_add(START, 4 * block_size, NULL) == 0, "a region of four such blocks is added");
	standby = accounts_take();
	total = meminfo("MemTotal");
	ok(region_online(0, "2 online_movable") == 0, "two of them come online");
	ok(meminfo("MemTotal") - total == (long long)(2 * block_size / 1024 * 63 / 64) &&
	   read_number(REGION "/memmap_pages", 0) == (long long)(2 * block_size / 64 / 4096),
	   "each with its memmap, of all its sections, in itself");
	ok(memory_fill(&memory, GIB, 9) && memory_check(&memory) < 0, "memory is used");
	diag("%" PRIu64 " MiB of it are in the region", memory_inside(&memory, START, 4 * block_size) / MIB);
	for (int i = 0; i < 20; i++)
		look_at_block(block_at(START) + i % 4);
	ok(region_offline(0, "all") == 0 && memory_check(&memory) < 0, "they go offline under it");
	memory_free(&memory);
	ok(accounts_same(standby), "every account is as after stage 1");

	ok(write_file("0", REGION "/memmap_on_memory", 0) == 0 && region_online(0, "1 online_movable") == 0 &&
	   read_number(REGION "/memmap_pages", 0) == 0, "one comes online with a memmap in ordinary memory");
	ok(region_offline(0, "all") == 0 && accounts_same(standby), "and offline");
	accounts_free(standby);
	ok(region_remove(0) == 0 && accounts_same(before), "without the region every account is what it was");
	accounts_free(before);
	unload_twostage();
}

GROUP(group_large_blocks) = { .name = "large-blocks", .title = "memory blocks of 2 GiB", .run = run };
