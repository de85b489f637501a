// SPDX-License-Identifier: GPL-2.0-only
/*
 * A function of the kernel fails half way through a stage, or is not there at all
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

/* What does not happen in the kernel at hand cannot fail there. */
static bool fault(const char *function, int error, const char *argument)
{
	char options[160];

	snprintf(options, sizeof(options), "function=%s error=%d %s", function, error, argument);
	if (module_load("fault_test", options)) {
		skip("this kernel has no such function", "%s() fails", function);
		return false;
	}
	return true;
}

/* All failures that were asked for have happened. */
static bool happened(void)
{
	return read_number(COUNT) == 0;
}

static void stage_one(const char *function, int error)
{
	struct accounts *before = accounts_take();

	if (fault(function, error, "")) {
		write_file("1", COUNT);
		ok(region_add(START, 4 * block_size, NULL) == -ENOMEM && happened() && !exists(REGION, 0),
		   "%s() fails: no region is made", function);
		ok(accounts_same(before), "%s() fails: all is as before", function);
		ok(region_add(START, 4 * block_size, NULL) == 0 && region_online(0, "1 online_movable") == 0 &&
		   region_offline(0, "1") == 0 && region_remove(0) == 0, "%s() works again: so does a region", function);
		module_unload("fault_test");
	}
	ok(accounts_same(before), "%s(): every account is what it was", function);
	accounts_free(before);
}

/* Directories of the blocks themselves, which the core makes, and of what is in them, which it does not. */
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
			diag("the call number %u fails, and the add returns %d (%s)", failed + 1, ret, strerror(-ret));
			wrong++;
			region_give_back(0);
			region_remove(0);
		}
		write_file("0", COUNT);
		ok(!wrong && failed >= 4 && !ret, "%s() fails at each of %u calls: no region is made", function, failed);
		ok(exists(MEMORY "/memory%d/twostage/stage", block_at(START) + 3) && region_give_back(0) == 0 &&
		   region_remove(0) == 0, "%s() works again: so does a region", function);
		module_unload("fault_test");
	}
	write_file(policy, MEMORY "/auto_online_blocks");
	ok(accounts_same(before), "%s(): every account is what it was", function);
	accounts_free(before);
}

static void stage_two(const char *function, int error)
{
	struct accounts *standby;

	ok(region_add(START, 2 * block_size, NULL) == 0, "a region is added");
	standby = accounts_take();
	if (fault(function, error, "")) {
		write_file("1", COUNT);
		ok(region_online(0, "1 online_movable") == -ENOMEM && happened() && blocks_online(0) == 0 &&
		   !strcmp(block_stage(block_at(START)), "standby"), "%s() fails: the block stays standby", function);
		ok(accounts_same(standby), "%s() fails: all is as before", function);
		ok(region_online(0, "all online_movable") == 0 && region_offline(0, "all") == 0,
		   "%s() works again: so does the block", function);
		module_unload("fault_test");
	}
	ok(accounts_same(standby), "%s(): every account is as after stage 1", function);
	accounts_free(standby);
	ok(region_remove(0) == 0, "the region is removed");
}

/* The entry in /proc/iomem of a block that is beside others, which are populated */
static void beside(const char *function, unsigned int populated, const char *where)
{
	const int block = block_at(START) + 1;
	struct accounts *before;
	bool online = true;
	int i, ret;

	ok(region_add(START, 3 * block_size, NULL) == 0, "a region is added");
	for (i = 0; i < 3; i++)
		if (populated >> i & 1)
			online &= !write_file("online_movable", MEMORY "/memory%d/state", block_at(START) + i);
	ok(online && ram_is(START, populated), "%s(), %s: the others are populated", function, where);
	before = accounts_take();
	if (fault(function, -ENOMEM, "")) {
		write_file("1", COUNT);
		ret = write_file("online_movable", MEMORY "/memory%d/state", block);
		ok(ret == -ENOMEM && happened() && !strcmp(block_stage(block), "standby"),
		   "%s() fails, %s: the block stays standby", function, where);
		ok(accounts_same(before), "%s() fails, %s: all is as before", function, where);
		module_unload("fault_test");
		ok(write_file("online_movable", MEMORY "/memory%d/state", block) == 0 && ram_is(START, populated | 1 << 1),
		   "%s() works again, %s: so does the block", function, where);
	}
	accounts_free(before);
	ok(region_give_back(0) == 0 && region_remove(0) == 0, "all blocks go offline, and the region");
}

/* One line says what is missing, and nothing is left behind. */
static void missing(const char *function, const char *line)
{
	struct kmsg kmsg;
	char argument[64];

	snprintf(argument, sizeof(argument), "argument=%s", function);
	if (!fault("kallsyms_lookup_name", 0, argument))
		return;
	write_file("1000", COUNT);
	kmsg = kmsg_mark();
	ok(module_load("twostage", NULL) == -ENOENT && !module_loaded("twostage") && !happened(),
	   "without %s() the module does not load", function);
	ok(kmsg_lines(&kmsg, line, NULL, 0) == 1, "and says that it is missing");
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
	beside("adjust_resource", 1 << 0, "after another");
	beside("adjust_resource", 1 << 2, "before another");
	beside("insert_resource", 1 << 0 | 1 << 2, "between two others");
	stage_two("mhp_init_memmap_on_memory", -ENOMEM);
	unload_twostage();

	missing("walk_memory_blocks", "cannot call walk_memory_blocks(): this kernel has no such function");
	missing("valid_zones_show", "cannot wrap valid_zones_show(): this kernel has no such function");
	missing("memory_subsys_offline", "cannot call memory_subsys_offline(): this kernel has no such function");
	if (load_twostage(NULL))
		unload_twostage();
}

GROUP(group_faults) = { .name = "faults", .title = "functions of the kernel fail, or are not there", .run = run };
