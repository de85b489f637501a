// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every failure path of stage 2, with a provider that fails on command
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"

#define START (4 * GIB)
#define BLOCKS 8
#define PROVIDER "/sys/kernel/debug/twostage_test"

static void set(const char *knob, const char *value)
{
	if (write_file(value, PROVIDER "/%s", knob))
		diag("cannot write %s", knob);
}

static long long get(const char *knob)
{
	return read_number(PROVIDER "/%s", knob);
}

static int add(uint64_t granule, bool memmap_on_memory)
{
	char text[128];

	snprintf(text, sizeof(text), "%#" PRIx64 " %#" PRIx64 " %#" PRIx64 " %d", (uint64_t)START,
		 BLOCKS * block_size, granule, memmap_on_memory);
	return write_file(text, PROVIDER "/add");
}

static void failures(const char *name, uint64_t granule, bool memmap_on_memory)
{
	struct accounts *before = accounts_take(), *standby;
	uint64_t unit = granule > block_size ? granule : block_size;
	struct kmsg kmsg;
	double started;

	if (!ok(add(granule, memmap_on_memory) == 0, "%s: a region is added", name)) {
		accounts_free(before);
		return;
	}
	ok(get("assigned") == 0, "%s: stage 1 assigns nothing", name);
	standby = accounts_take();

	set("assign_error", "5");
	kmsg = kmsg_mark();
	ok(region_online(0, "1 online_movable") == -EIO && blocks_online(0) == 0 &&
	   kmsg_lines(&kmsg, "does not assign", NULL, 0) == 1,
	   "%s: an assign that fails refuses the online with its error, and is reported", name);
	ok(get("assigned") == 0 && accounts_same(standby), "%s: then all is as before", name);
	set("assign_error", "0");

	set("delay_ms", "300");
	started = now();
	ok(region_online(0, "1 online_movable") == 0 && now() - started >= 0.3,
	   "%s: an assign that is slow is waited for", name);
	ok(get("assigned") == (long long)unit, "%s: one unit is assigned then", name);
	set("delay_ms", "0");
	ok(region_offline(0, "1") == 0 && get("assigned") == 0 && accounts_same(standby),
	   "%s: offline unassigns it", name);

	ok(region_online(0, "all online_movable") == 0 &&
	   get("assigned") == (long long)(BLOCKS * block_size), "%s: online all assigns all", name);

	set("unassign_error", "16");
	ok(region_offline(0, "all") == 0 && get("assigned") == (long long)(BLOCKS * block_size),
	   "%s: an unassign that fails does not hinder the offline", name);
	ok(kmsg_lines(&kmsg, "stays assigned", NULL, 0) == (int)(BLOCKS * block_size / unit),
	   "%s: it is reported", name);
	ok(accounts_same(standby), "%s: every account but the provider's is as before", name);
	set("unassign_error", "0");

	ok(region_online(0, "1 online_movable") == 0 && get("violations") == 0,
	   "%s: the next online does not assign again", name);
	ok(region_offline(0, "1") == 0 && get("assigned") == (long long)(BLOCKS * block_size - unit),
	   "%s: and its offline unassigns", name);

	ok(region_remove(0) == -EPERM, "%s: only the provider removes its region", name);
	ok(module_unload("twostage_test") != 0, "%s: it is not unloaded under its region", name);
	ok(write_file("region0", PROVIDER "/remove") == 0, "%s: the region is removed", name);
	ok(get("assigned") == 0, "%s: what was still assigned is asked for once more then", name);
	ok(get("violations") == 0, "%s: nothing was ever assigned or unassigned twice", name);
	ok(accounts_same(before), "%s: every account is what it was", name);

	kmsg_close(&kmsg);
	accounts_free(standby);
	accounts_free(before);
}

/* A granule of two blocks: assigned for the first that comes, unassigned after the last. */
static void shared_granule(void)
{
	ok(add(2 * block_size, true) == 0, "shared granule: a region is added");
	ok(write_file("online_movable", MEMORY "/memory%d/state", block_at(START) + 1) == 0 &&
	   get("assigned") == (long long)(2 * block_size), "shared granule: its first block assigns all of it");
	ok(write_file("online_movable", MEMORY "/memory%d/state", block_at(START)) == 0 &&
	   get("assigned") == (long long)(2 * block_size), "shared granule: its second block assigns nothing");
	ok(write_file("offline", MEMORY "/memory%d/state", block_at(START) + 1) == 0 &&
	   get("assigned") == (long long)(2 * block_size), "shared granule: it stays for the other block");
	ok(write_file("offline", MEMORY "/memory%d/state", block_at(START)) == 0 && get("assigned") == 0,
	   "shared granule: the last block gives it back");
	ok(write_file("region0", PROVIDER "/remove") == 0, "shared granule: the region is removed");
}

/* Blocks that go offline together are given back together, those before one that refuses too. */
static void refused_half_way(void)
{
	struct accounts *standby;
	char address[32];

	ok(add(block_size, true) == 0, "refused half way: a region is added");
	standby = accounts_take();
	ok(region_online(0, "all online_movable") == 0, "refused half way: all of it is online");
	snprintf(address, sizeof(address), "%#" PRIx64, (uint64_t)START + 4 * block_size);
	set("refuse_offline", address);
	ok(region_offline(0, "all") == -EBUSY && blocks_online(0) == 5,
	   "refused half way: offline all stops at a block that does not go");
	ok(get("assigned") == (long long)(5 * block_size) && !strcmp(block_stage(block_at(START) + 4), "populated") &&
	   !strcmp(block_stage(block_at(START) + 5), "standby"),
	   "refused half way: what went before it is given back, and nothing else");
	set("refuse_offline", "0");
	ok(region_offline(0, "all") == 0 && get("assigned") == 0, "refused half way: the next try gives back the rest");
	ok(accounts_same(standby), "refused half way: every account is as after stage 1");
	ok(write_file("region0", PROVIDER "/remove") == 0, "refused half way: the region is removed");
	accounts_free(standby);
}

/* hv_balloon and Xen's balloon say who hands out pages that come online: they, and nobody else's. */
static void pages_kept(void)
{
	struct accounts *before = accounts_take();
	long long total = meminfo("MemTotal");

	ok(add(block_size, true) == 0, "pages kept: a region is added");
	set("keep_pages", "1");
	ok(region_online(0, "2 online_movable") == 0 &&
	   meminfo("MemTotal") - total == 2 * (long long)(block_size / 1024 * 63 / 64),
	   "pages kept: all pages of its blocks can be used, though somebody else would have kept them");
	ok(write_file("0", PROVIDER "/keep_pages") == 0, "pages kept: who does so is still there, and goes");
	ok(region_give_back(0) == 0 && write_file("region0", PROVIDER "/remove") == 0, "pages kept: the region is removed");
	ok(accounts_same(before), "pages kept: every account is what it was");
	accounts_free(before);
}

static void run(void)
{
	if (!load_twostage(NULL))
		return;
	ok(module_load("twostage_test", NULL) == 0, "a provider in another module loads");
	ok(add(3 * MIB, true) == -EINVAL, "a granule that is no power of two is refused");
	ok(add(2 * GIB, true) == -EINVAL, "a region that is less than a granule is refused");
	failures("granule of a block", block_size, true);
	failures("granule of two blocks", 2 * block_size, true);
	failures("granule of 2 MiB", 2 * MIB, true);
	failures("memmap elsewhere", block_size, false);
	shared_granule();
	refused_half_way();
	pages_kept();
	ok(module_unload("twostage_test") == 0, "the provider unloads");
	unload_twostage();
}

GROUP(group_providers) = { .name = "providers", .title = "every failure path of stage 2", .run = run };
