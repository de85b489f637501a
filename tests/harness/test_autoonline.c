// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's policies for new memory: auto-online, auto-movable
 *
 * The guest is booted with memhp_default_state=online and
 * memory_hotplug.online_policy=auto-movable.
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
	ok_text(read_file(MEMORY "/auto_online_blocks"), "online",
		"auto_online_blocks is online before a region is added");
	ok_return(region_add(START, 4 * block_size, NULL), 0,
		  "a region without auto_online=1 is added");
	ok_number(blocks_online(0), 0, "blocks of a region without auto_online=1 stay standby");
	ok_text(read_file(MEMORY "/auto_online_blocks"), "online",
		"adding a region does not change auto_online_blocks");
	ok_return(region_online(0, "1"), 0, "a standby block goes online when it is asked for");
	ok_number(blocks_online(0), 1,
		  "one block is online after 1 was written to the region's online attribute");
	ok_text(read_file(MEMORY "/memory%d/valid_zones", block_at(START)), "Movable",
		"the auto-movable policy chooses the zone of a block that comes online");
	ok_return(region_offline(0, "all"), 0, "the online block goes offline");
	ok_return(region_remove(0), 0, "the region without auto_online=1 is removed");

	ok_return(region_add(START, 4 * block_size, "auto_online=1"), 0,
		  "a region with auto_online=1 is added");
	ok_number(blocks_online(0), 4,
		  "all blocks of a region with auto_online=1 are online after the add");
	ok_text(block_stage(block_at(START) + 3), "populated",
		"the last block of a region with auto_online=1 is populated");
	ok_number(read_number(REGION "/memmap_pages", 0), memmap_fits_block() ? memmap_size(4 * block_size) / page_size : 0,
		  "each block of a region with auto_online=1 contains its memmap");
	ok(succeeds(region_offline(0, "all")) && succeeds(region_remove(0)),
	   "blocks of a region with auto_online=1 go offline, and the region is removed");

	ok_return(write_file("offline", MEMORY "/auto_online_blocks"), 0,
		  "auto_online_blocks can be set to offline");
	ok_return(region_add(START, 4 * block_size, "auto_online=1"), 0,
		  "with auto_online_blocks=offline a region with auto_online=1 is added");
	ok_number(blocks_online(0), 0,
		  "with auto_online_blocks=offline blocks stay standby despite auto_online=1");
	ok_return(region_remove(0), 0, "with auto_online_blocks=offline the region is removed");
	ok(accounts_same(before),
	   "after all regions are removed the system state matches the baseline");
	accounts_free(before);
	unload_twostage();
}

GROUP(group_autoonline) = {
	.name = "autoonline",
	.title = "the kernel's policies auto-online and auto-movable",
	.run = run,
};
