// SPDX-License-Identifier: GPL-2.0-only
/*
 * Functions of the kernel that fail half way through a stage, or are missing
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"

#define START (4 * GIB)
#define COUNT "/sys/module/fault_test/parameters/count"
#define SKIP "/sys/module/fault_test/parameters/skip"

/* A function that the kernel does not have cannot fail. */
static bool fault(const char *function, int error, const char *argument)
{
	char options[160];

	snprintf(options, sizeof(options), "function=%s error=%d %s", function, error, argument);
	if (module_load("fault_test", options)) {
		skip("this kernel has no such function", "a failure of %s() is handled", function);
		return false;
	}
	return true;
}

/* Whether all requested failures have occurred */
static bool happened(void)
{
	return read_number(COUNT) == 0;
}

static void stage_one(const char *function, int error)
{
	struct accounts *before = accounts_take();

	if (fault(function, error, "")) {
		write_file("1", COUNT);
		ok_return(region_add(START, 4 * block_size, NULL), -ENOMEM,
			  "an add in which %s() fails returns ENOMEM", function);
		ok(happened(), "an add calls %s()", function);
		ok(!exists(REGION, 0), "an add in which %s() fails makes no region", function);
		ok(accounts_same(before),
		   "an add in which %s() fails leaves the system state unchanged", function);
		ok(succeeds(region_add(START, 4 * block_size, NULL)) &&
		   succeeds(region_online(0, "1 online_movable")) &&
		   succeeds(region_offline(0, "1")) && succeeds(region_remove(0)),
		   "after a failure of %s() a region is added, used and removed",
		   function);
		module_unload("fault_test");
	}
	ok(accounts_same(before), "after the tests with %s() the system state matches the baseline",
	   function);
	accounts_free(before);
}

/*
 * Directories in sysfs: those of the blocks, which the core makes, and the ones
 * in them, which twostage makes
 */
static void directories(const char *function)
{
	struct accounts *before = accounts_take();
	unsigned int failed, wrong = 0;
	char policy[32], skipped[16];
	int ret;

	snprintf(policy, sizeof(policy), "%s", read_file(MEMORY "/auto_online_blocks"));
	write_file("online_movable", MEMORY "/auto_online_blocks");
	if (fault(function, -ENOMEM, "")) {
		for (failed = 0; failed < 100; failed++) {
			snprintf(skipped, sizeof(skipped), "%u", failed);
			write_file(skipped, SKIP);
			write_file("1", COUNT);
			ret = region_add(START, 4 * block_size, "auto_online=1");
			if (!happened())
				break;
			if (ret == -ENOMEM && !exists(REGION, 0) && accounts_same(before))
				continue;
			diag("call %u failed: the add returned %d (%s), expected %d and no change",
			     failed + 1, ret, strerror(-ret), -ENOMEM);
			wrong++;
			region_give_back(0);
			region_remove(0);
		}
		write_file("0", COUNT);
		ok_number(wrong, 0,
			  "an add in which one of %u calls of %s() fails changes nothing",
			  failed, function);
		ok(failed >= 4, "an add of 4 blocks calls %s() at least 4 times", function);
		ok_return(ret, 0, "an add in which no call of %s() fails succeeds", function);
		ok(exists(MEMORY "/memory%d/twostage/stage", block_at(START) + 3),
		   "after failures of %s() each block of a region has its directory", function);
		ok(succeeds(region_give_back(0)) && succeeds(region_remove(0)),
		   "after failures of %s() a region is removed", function);
		module_unload("fault_test");
	}
	write_file(policy, MEMORY "/auto_online_blocks");
	ok(accounts_same(before), "after the tests with %s() the system state matches the baseline",
	   function);
	accounts_free(before);
}

static void stage_two(const char *function, int error)
{
	struct accounts *standby;

	ok_return(region_add(START, 2 * block_size, NULL), 0,
		  "a region for the failure of %s() is added", function);
	standby = accounts_take();
	if (fault(function, error, "")) {
		write_file("1", COUNT);
		ok_return(region_online(0, "1 online_movable"), -ENOMEM,
			  "an online in which %s() fails returns ENOMEM", function);
		ok(happened(), "an online calls %s()", function);
		ok_number(blocks_online(0), 0, "an online in which %s() fails sets no block online",
			  function);
		ok_text(block_stage(block_at(START)), "standby",
			"a block in whose online %s() fails stays standby", function);
		ok(accounts_same(standby),
		   "an online in which %s() fails leaves the system state unchanged", function);
		ok(succeeds(region_online(0, "all online_movable")) &&
		   succeeds(region_offline(0, "all")),
		   "after a failure of %s() all blocks go online and offline", function);
		module_unload("fault_test");
	}
	ok(accounts_same(standby), "after the tests with %s() the system state is as after stage 1",
	   function);
	accounts_free(standby);
	ok_return(region_remove(0), 0, "the region for the failure of %s() is removed", function);
}

/* The /proc/iomem entry of a block next to others that are populated */
static void beside(const char *function, unsigned int populated, const char *where)
{
	const int block = block_at(START) + 1;
	struct accounts *before;
	bool online = true;
	int i, ret;

	ok_return(region_add(START, 3 * block_size, NULL), 0,
		  "a region for the failure of %s() with a block %s is added", function, where);
	for (i = 0; i < 3; i++)
		if (populated >> i & 1)
			online &= !write_file("online_movable", MEMORY "/memory%d/state",
					      block_at(START) + i);
	ok(online && ram_is(START, populated),
	   "all blocks but the one %s are populated before %s() fails", where, function);
	before = accounts_take();
	if (fault(function, -ENOMEM, "")) {
		write_file("1", COUNT);
		ret = write_file("online_movable", MEMORY "/memory%d/state", block);
		ok_return(ret, -ENOMEM, "if %s() fails, the online of a block %s returns ENOMEM",
			  function, where);
		ok(happened(), "the online of a block %s calls %s()", where, function);
		ok_text(block_stage(block), "standby", "if %s() fails, a block %s stays standby",
			function, where);
		ok(accounts_same(before),
		   "if %s() fails, the online of a block %s leaves the system state unchanged",
		   function, where);
		module_unload("fault_test");
		ok_return(write_file("online_movable", MEMORY "/memory%d/state", block), 0,
			  "after a failure of %s() the block %s goes online", function, where);
		ok(ram_is(START, populated | 1 << 1),
		   "after a failure of %s() the block %s shares its entry in /proc/iomem",
		   function, where);
	}
	accounts_free(before);
	ok(succeeds(region_give_back(0)) && succeeds(region_remove(0)),
	   "the region for the failure of %s() with a block %s is removed", function, where);
}

/* One log line names the missing function, and nothing is left behind. */
static void missing(const char *function, const char *line)
{
	struct kmsg kmsg;
	char argument[64];

	snprintf(argument, sizeof(argument), "argument=%s", function);
	if (!fault("kallsyms_lookup_name", 0, argument))
		return;
	write_file("1000", COUNT);
	kmsg = kmsg_mark();
	ok_return(module_load("twostage", NULL), -ENOENT,
		  "on a kernel without %s() the load fails with ENOENT", function);
	ok(!module_loaded("twostage"), "on a kernel without %s() twostage is not loaded", function);
	ok(!happened(), "on a kernel without %s() the load gives up after fewer than 1000 look-ups",
	   function);
	ok_number(kmsg_lines(&kmsg, line, NULL, 0), 1,
		  "on a kernel without %s() one log line names it", function);
	kmsg_close(&kmsg);
	module_unload("fault_test");
}

static void run(void)
{
	if (!load_twostage(NULL))
		return;
	stage_one("memory_group_register_dynamic", -ENOMEM);
	stage_one("create_memory_block_devices", -ENOMEM);
	directories("sysfs_create_group");
	stage_two("arch_add_memory", -ENOMEM);
	stage_two("request_resource", -ENOMEM);
	beside("adjust_resource", 1 << 0, "behind another");
	beside("adjust_resource", 1 << 2, "in front of another");
	beside("insert_resource", 1 << 0 | 1 << 2, "between two others");
	if (memmap_fits_block())
		stage_two("mhp_init_memmap_on_memory", -ENOMEM);
	unload_twostage();

	missing("walk_memory_blocks",
		"cannot call walk_memory_blocks(): this kernel has no such function");
	missing("valid_zones_show",
		"cannot wrap valid_zones_show(): this kernel has no such function");
	missing("memory_subsys_offline",
		"cannot call memory_subsys_offline(): this kernel has no such function");
	if (load_twostage(NULL))
		unload_twostage();
}

GROUP(group_faults) = {
	.name = "faults",
	.title = "functions of the kernel that fail or are missing",
	.run = run,
};
