// SPDX-License-Identifier: GPL-2.0-only
/*
 * Standby memory on a node that has no other memory
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"

#define START (4 * GIB)

static bool node_has_memory(void)
{
	return strchr(read_file("/sys/devices/system/node/has_memory"), '1') != NULL;
}

/*
 * The first block of the node is always set online as movable: newer kernels
 * allocate the node's kswapd and kcompactd from the node's first memory if they
 * can, and the block that holds them could not go offline again. KASAN
 * allocates the shadow of a block from a block that is already online in a
 * kernel zone; therefore only the last block is set online in a kernel zone on
 * the debug kernel.
 */
static void zone(const char *type)
{
	const int movable = kernel_debugs() && !strcmp(type, "online_kernel") ? 3 : 1;
	struct accounts *standby = accounts_take();
	char first[64], rest[64];

	snprintf(first, sizeof(first), "%d online_movable", movable);
	snprintf(rest, sizeof(rest), "%d %s", 4 - movable, type);
	ok(region_online(0, first) == 0, "%s: the first block of node 1 comes online", type);
	ok(node_has_memory(), "%s: has_memory lists node 1 while a block of it is online", type);
	ok(exists("/sys/devices/system/node/node1/memory%d", block_at(START)),
	   "%s: node1 in sysfs has a link to its first block", type);
	ok(region_online(0, rest) == 0, "%s: the other blocks of node 1 come online", type);
	ok(blocks_online(0) == 4, "%s: four blocks of node 1 are online (%d)", type,
	   blocks_online(0));
	if (!strcmp(type, "online_movable")) {
		struct memory memory;
		uint64_t inside;

		ok(memory_prefer(1) && memory_fill(&memory, 256 * MIB, 7),
		   "%s: 256 MiB are allocated with node 1 preferred", type);
		ok(memory_check(&memory) < 0, "%s: data in memory of node 1 reads back correctly",
		   type);
		inside = memory_inside(&memory, START, 4 * block_size);
		ok(inside > 200 * MIB,
		   "%s: more than 200 of 256 MiB are in the region (%" PRIu64 " MiB)", type,
		   inside / MIB);
		memory_prefer(-1);
		ok(region_offline(0, "all") == 0,
		   "%s: all blocks of node 1 go offline while in use", type);
		ok(memory_check(&memory) < 0,
		   "%s: data that was in blocks of node 1 is intact after their offline",
		   type);
		memory_free(&memory);
	} else {
		int tries;

		for (tries = 0; tries < 20 && blocks_online(0); tries++)
			region_offline(0, "all");
		ok(blocks_online(0) == 0,
		   "%s: all unused blocks of node 1 go offline within 20 attempts (%d left)",
		   type, blocks_online(0));
	}
	ok(!node_has_memory(), "%s: has_memory does not list node 1 once its blocks are offline",
	   type);
	ok(accounts_same(standby),
	   "%s: the system matches the standby baseline once node 1 is offline", type);
	accounts_free(standby);
}

static void run(void)
{
	if (!load_twostage(NULL))
		return;
	ok(!node_has_memory() && strstr(read_file("/sys/devices/system/node/possible"), "1"),
	   "node 1 is possible and has no memory before a region is added");
	ok(region_add(START, 4 * block_size, "node=1") == 0 && read_number(REGION "/node", 0) == 1,
	   "a region that is added with node=1 shows 1 in its attribute node");
	zone("online_movable");
	zone("online_kernel");
	zone("online_movable");
	ok(region_remove(0) == 0 && !exists("/sys/devices/system/node/node1"),
	   "removal of the only region of node 1 removes node 1 from sysfs");
	unload_twostage();
}

GROUP(group_numa) = {
	.name = "numa", .title = "standby memory on a node without other memory", .run = run,
};
