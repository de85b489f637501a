// SPDX-License-Identifier: GPL-2.0-only
/*
 * A node that had no memory before
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <string.h>
#include <stdio.h>

#include "harness.h"

#define START (4 * GIB)

static bool node_has_memory(void)
{
	return strchr(read_file("/sys/devices/system/node/has_memory"), '1') != NULL;
}

/*
 * The node's first memory is movable throughout: newer kernels allocate the node's own threads (kswapd,
 * kcompactd) from it if they can, and then that block stays for good. So would one in a kernel zone once another
 * comes online on a kernel with KASAN, which describes the other's shadow there: then there is only the last one.
 */
static void zone(const char *type)
{
	const int movable = kernel_debugs() && !strcmp(type, "online_kernel") ? 3 : 1;
	struct accounts *standby = accounts_take();
	char first[64], rest[64];

	snprintf(first, sizeof(first), "%d online_movable", movable);
	snprintf(rest, sizeof(rest), "%d %s", 4 - movable, type);
	ok(region_online(0, first) == 0, "%s: the node gets its first memory", type);
	ok(node_has_memory(), "%s: it is a node with memory then", type);
	ok(exists("/sys/devices/system/node/node1/memory%d", block_at(START)),
	   "%s: the blocks are under it", type);
	ok(region_online(0, rest) == 0 && blocks_online(0) == 4, "%s: the node gets more", type);
	if (!strcmp(type, "online_movable")) {
		struct memory memory;

		ok(memory_prefer(1) && memory_fill(&memory, 256 * MIB, 7) && memory_check(&memory) < 0 &&
		   memory_inside(&memory, START, 4 * block_size) > 200 * MIB, "%s: its memory is used", type);
		memory_prefer(-1);
		ok(region_offline(0, "all") == 0, "%s: all of it is given back", type);
		ok(memory_check(&memory) < 0, "%s: the data has moved unharmed", type);
		memory_free(&memory);
	} else {
		int tries;

		for (tries = 0; tries < 20 && blocks_online(0); tries++)
			region_offline(0, "all");
		ok(blocks_online(0) == 0, "%s: all of it is given back", type);
	}
	ok(!node_has_memory(), "%s: then the node has no memory again", type);
	ok(accounts_same(standby), "%s: every account is as after stage 1", type);
	accounts_free(standby);
}

static void run(void)
{
	if (!load_twostage(NULL))
		return;
	ok(!node_has_memory() && strstr(read_file("/sys/devices/system/node/possible"), "1"),
	   "node 1 is possible and has no memory");
	ok(region_add(START, 4 * block_size, "node=1") == 0 && read_number(REGION "/node", 0) == 1,
	   "a region is added to it");
	zone("online_movable");
	zone("online_kernel");
	zone("online_movable");
	ok(region_remove(0) == 0 && !exists("/sys/devices/system/node/node1"),
	   "the region is removed, and the node with it");
	unload_twostage();
}

GROUP(group_numa) = { .name = "numa", .title = "a node that had no memory before", .run = run };
