// SPDX-License-Identifier: GPL-2.0-only
/*
 * Error paths of stage 2, with a test provider that fails on request
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

static void set(const char *attribute, const char *value)
{
	if (write_file(value, PROVIDER "/%s", attribute))
		diag("writing \"%s\" to " PROVIDER "/%s failed", value, attribute);
}

static long long get(const char *attribute)
{
	return read_number(PROVIDER "/%s", attribute);
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
	const long long all = BLOCKS * block_size;
	struct kmsg kmsg;
	double started;
	int lines, ret;

	if (!ok(add(granule, memmap_on_memory) == 0, "%s: the provider adds a region", name)) {
		accounts_free(before);
		return;
	}
	ok(get("assigned") == 0, "%s: stage 1 assigns no memory (%lld bytes)", name,
	   get("assigned"));
	standby = accounts_take();

	set("assign_error", "5");
	kmsg = kmsg_mark();
	ret = region_online(0, "1 online_movable");
	ok(ret == -EIO, "%s: online fails with EIO when the provider's assign does (%s)", name,
	   strerror(-ret));
	ok(blocks_online(0) == 0, "%s: no block is online after an assign that failed (%d)", name,
	   blocks_online(0));
	ok(kmsg_lines(&kmsg, "does not assign", NULL, 0) == 1,
	   "%s: the log has one line for an assign that failed", name);
	ok(get("assigned") == 0,
	   "%s: no memory is assigned after an assign that failed (%lld bytes)", name,
	   get("assigned"));
	ok(accounts_same(standby),
	   "%s: the system matches the standby baseline after an assign that failed", name);
	set("assign_error", "0");

	set("delay_ms", "300");
	started = now();
	/*
	 * Under emulation the ticks that msleep() counts may catch up faster
	 * than the clock.
	 */
	ok(region_online(0, "1 online_movable") == 0 && now() - started >= 0.15,
	   "%s: online of a block waits for an assign that takes 300 ms", name);
	ok(get("assigned") == (long long)unit,
	   "%s: online of one block assigns one unit (%lld bytes, expected %" PRIu64 ")",
	   name, get("assigned"), unit);
	set("delay_ms", "0");
	ok(region_offline(0, "1") == 0, "%s: the block goes offline", name);
	ok(get("assigned") == 0,
	   "%s: offline of the only online block unassigns its unit (%lld bytes left)", name,
	   get("assigned"));
	ok(accounts_same(standby),
	   "%s: the system matches the standby baseline after online and offline of a block", name);

	ok(region_online(0, "all online_movable") == 0, "%s: all blocks come online", name);
	ok(get("assigned") == all,
	   "%s: online of all blocks assigns the region (%lld bytes, expected %lld)", name,
	   get("assigned"), all);

	set("unassign_error", "16");
	ok(region_offline(0, "all") == 0,
	   "%s: all blocks go offline although the provider's unassign fails", name);
	ok(get("assigned") == all,
	   "%s: memory remains assigned after an unassign that failed (%lld bytes, expected %lld)",
	   name, get("assigned"), all);
	lines = kmsg_lines(&kmsg, "stays assigned", NULL, 0);
	ok(lines == (int)(all / unit),
	   "%s: the log has a line for each unassign that failed (%d, expected %d)", name, lines,
	   (int)(all / unit));
	ok(accounts_same(standby),
	   "%s: the system matches the standby baseline after an unassign that failed", name);
	set("unassign_error", "0");

	ok(region_online(0, "1 online_movable") == 0,
	   "%s: a block comes online after its unassign failed", name);
	ok(get("violations") == 0, "%s: online does not assign memory that is still assigned",
	   name);
	ok(region_offline(0, "1") == 0, "%s: the block goes offline after its unassign failed once",
	   name);
	ok(get("assigned") == all - (long long)unit,
	   "%s: offline unassigns a unit whose unassign failed before (%lld bytes left, expected %lld)", name,
	   get("assigned"), all - (long long)unit);

	ret = region_remove(0);
	ok(ret == -EPERM, "%s: remove_region fails with EPERM for a region of another module (%s)",
	   name, strerror(-ret));
	ok(module_unload("twostage_test") != 0,
	   "%s: unload of the provider's module fails while it has a region", name);
	ok(write_file("region0", PROVIDER "/remove") == 0, "%s: the provider removes its region",
	   name);
	ok(get("assigned") == 0,
	   "%s: removal of the region unassigns what was still assigned (%lld bytes left)", name,
	   get("assigned"));
	ok(get("violations") == 0, "%s: no memory was assigned or unassigned twice (%lld times)",
	   name, get("violations"));
	ok(accounts_same(before), "%s: the system matches the baseline once the region is removed",
	   name);

	kmsg_close(&kmsg);
	accounts_free(standby);
	accounts_free(before);
}

/*
 * A granule of two blocks is assigned when the first block comes online and
 * unassigned when the last one goes offline.
 */
static void shared_granule(void)
{
	ok(add(2 * block_size, true) == 0,
	   "shared granule: a region with a granule of two blocks is added");
	ok(write_file("online_movable", MEMORY "/memory%d/state", block_at(START) + 1) == 0 &&
	   get("assigned") == (long long)(2 * block_size),
	   "shared granule: online of the first block assigns the granule");
	ok(write_file("online_movable", MEMORY "/memory%d/state", block_at(START)) == 0 &&
	   get("assigned") == (long long)(2 * block_size),
	   "shared granule: online of the second block assigns no more memory");
	ok(write_file("offline", MEMORY "/memory%d/state", block_at(START) + 1) == 0 &&
	   get("assigned") == (long long)(2 * block_size),
	   "shared granule: the granule remains assigned while one of its blocks is online");
	ok(write_file("offline", MEMORY "/memory%d/state", block_at(START)) == 0 &&
	   get("assigned") == 0,
	   "shared granule: offline of the last block unassigns the granule");
	ok(write_file("region0", PROVIDER "/remove") == 0, "shared granule: the region is removed");
}

/*
 * A write of "all" to offline unassigns the memory of all its blocks in one
 * batch, including those before a block whose offline is refused.
 */
static void refused_halfway(void)
{
	struct accounts *standby;
	char address[32];
	int ret;

	ok(add(block_size, true) == 0, "offline refused halfway: a region is added");
	standby = accounts_take();
	ok(region_online(0, "all online_movable") == 0,
	   "offline refused halfway: all blocks come online");
	snprintf(address, sizeof(address), "%#" PRIx64, (uint64_t)START + 4 * block_size);
	set("refuse_offline", address);
	ret = region_offline(0, "all");
	ok(ret == -EBUSY, "offline refused halfway: offline of all blocks fails with EBUSY (%s)",
	   strerror(-ret));
	ok(blocks_online(0) == 5,
	   "offline refused halfway: the refused block and those below it remain online (%d, expected 5)",
	   blocks_online(0));
	ok(get("assigned") == (long long)(5 * block_size),
	   "offline refused halfway: the memory of the blocks above the refused one is unassigned (%lld bytes left)",
	   get("assigned"));
	ok(!strcmp(block_stage(block_at(START) + 4), "populated"),
	   "offline refused halfway: the refused block is populated (%s)",
	   block_stage(block_at(START) + 4));
	ok(!strcmp(block_stage(block_at(START) + 5), "standby"),
	   "offline refused halfway: the block above the refused one is standby (%s)",
	   block_stage(block_at(START) + 5));
	set("refuse_offline", "0");
	ok(region_offline(0, "all") == 0 && get("assigned") == 0,
	   "offline refused halfway: a second offline of all blocks unassigns the rest");
	ok(accounts_same(standby),
	   "offline refused halfway: the system matches the standby baseline after the second offline");
	ok(write_file("region0", PROVIDER "/remove") == 0,
	   "offline refused halfway: the region is removed");
	accounts_free(standby);
}

/*
 * hv_balloon and Xen's balloon install an online_page_callback that withholds
 * pages of memory that they did not add. The test provider does the same with
 * keep_pages; the module must bypass the callback for blocks of its regions.
 */
static void pages_kept(void)
{
	struct accounts *before = accounts_take();
	const long long usable = usable_size(2 * block_size) / 1024;
	long long total = meminfo("MemTotal"), more;

	ok(add(block_size, true) == 0, "foreign online_page_callback: a region is added");
	set("keep_pages", "1");
	ok(region_online(0, "2 online_movable") == 0,
	   "foreign online_page_callback: two blocks come online");
	more = meminfo("MemTotal") - total;
	ok(more == usable,
	   "foreign online_page_callback: MemTotal grows by all pages of two blocks (%lld KiB, expected %lld)",
	   more, usable);
	ok(write_file("0", PROVIDER "/keep_pages") == 0,
	   "foreign online_page_callback: the callback is still installed after the online and can be removed");
	ok(region_give_back(0) == 0 && write_file("region0", PROVIDER "/remove") == 0,
	   "foreign online_page_callback: the region goes offline and is removed");
	ok(accounts_same(before),
	   "foreign online_page_callback: the system matches the baseline once the region is removed");
	accounts_free(before);
}

static void run(void)
{
	if (!load_twostage(NULL))
		return;
	ok(module_load("twostage_test", NULL) == 0, "the module with the test provider loads");
	ok(add(3 * MIB, true) == -EINVAL,
	   "adding a region with a granule that is not a power of two fails with EINVAL");
	ok(add(2 * BLOCKS * block_size, true) == -EINVAL,
	   "adding a region that is smaller than its granule fails with EINVAL");
	failures("granule of a block", block_size, true);
	failures("granule of two blocks", 2 * block_size, true);
	failures("granule of 2 MiB", 2 * MIB, true);
	failures("memmap in ordinary memory", block_size, false);
	shared_granule();
	refused_halfway();
	if (has_kallsyms_all())
		pages_kept();
	else
		skip("this kernel has no KALLSYMS_ALL", "foreign online_page_callback: it is bypassed");
	ok(module_unload("twostage_test") == 0,
	   "the module with the test provider unloads once its regions are removed");
	unload_twostage();
}

GROUP(group_providers) = { .name = "providers", .title = "error paths of stage 2", .run = run };
