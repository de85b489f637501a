// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's own ideas about new memory: auto-online, auto-movable
 *
 * The guest is booted with memhp_default_state=online and memory_hotplug.online_policy=auto-movable.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <string.h>

#include "harness.h"

#define START (4 * GIB)

static void run(void)
{
	struct accounts *before;

	if (!load_twostage(NULL))
		return;
	before = accounts_take();
	ok(!strcmp(read_file(MEMORY "/auto_online_blocks"), "online"), "the kernel sets new memory online");
	ok(region_add(START, 4 * block_size, NULL) == 0 && blocks_online(0) == 0,
	   "standby blocks stay standby all the same");
	ok(!strcmp(read_file(MEMORY "/auto_online_blocks"), "online"), "the kernel's setting is untouched");
	ok(region_online(0, "1") == 0 && blocks_online(0) == 1, "and go online when asked");
	ok(!strcmp(read_file(MEMORY "/memory%d/valid_zones", block_at(START)), "Movable"),
	   "the auto-movable policy chooses their zone");
	ok(region_offline(0, "all") == 0, "and offline again");
	ok(region_remove(0) == 0, "the region is removed");

	ok(region_add(START, 4 * block_size, "auto_online=1") == 0 && blocks_online(0) == 4,
	   "with auto_online=1 all blocks come online at once");
	ok(!strcmp(block_stage(block_at(START) + 3), "populated") &&
	   read_number(REGION "/memmap_pages", 0) == (long long)(4 * block_size / 4096 * 64 / 4096),
	   "each with its memmap in itself");
	ok(region_offline(0, "all") == 0 && region_remove(0) == 0, "and can be given back");

	ok(write_file("offline", MEMORY "/auto_online_blocks") == 0, "if the kernel leaves memory offline");
	ok(region_add(START, 4 * block_size, "auto_online=1") == 0 && blocks_online(0) == 0,
	   "auto_online=1 leaves it standby");
	ok(region_remove(0) == 0, "the region is removed");
	ok(accounts_same(before), "every account is what it was");
	accounts_free(before);
	unload_twostage();
}

GROUP(group_autoonline) = { .name = "autoonline", .title = "the kernel's auto-online and auto-movable", .run = run };
