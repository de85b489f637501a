// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module on a kernel that lacks symbols
 *
 * Two copies of the module look for other names (scripts/build-modules): one
 * lacks what is optional, as on a kernel without KALLSYMS_ALL and DEBUG_FS, the
 * other lacks a required function.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

#define START (5 * GIB)
#define HOOKS "/sys/kernel/debug/twostage/hooks"
#define KPROBES "/sys/kernel/debug/kprobes/list"
#define TRACED "/sys/kernel/tracing/enabled_functions"

static void lacks_optional(void)
{
	struct kmsg kmsg = kmsg_mark(), start = kmsg_mark();
	char *hooks;

	if (!ok(module_load("twostage_lacks_optional", NULL) == 0,
		"the module loads on a kernel without optional symbols"))
		return;
	ok_number(kmsg_lines(&kmsg, "twostage: ", NULL, 0), architecture.firmware_memmap ? 4 : 3,
		  "the log has one line for each optional symbol that the kernel lacks");
	kmsg_close(&kmsg);
	kmsg = start;
	ok(kmsg_next(&kmsg, "without CONFIG_KALLSYMS_ALL: do not use a balloon driver", NULL, 0),
	   "without the symbol online_page_callback the log warns of balloon drivers");
	ok(kmsg_next(&kmsg,
		     "without CONFIG_KALLSYMS_ALL: a region inside of a reserved range is not checked",
		     NULL, 0),
	   "without the symbol resource_lock the log says that reserved ranges are not checked");
	ok(kmsg_next(&kmsg,
		     "write_enabled_file_boo-() is not wrapped: this kernel has no such function, or inlined it", NULL, 0),
	   "the log says that write_enabled_file_bool() is not wrapped where the kernel lacks it");
	ok(!architecture.firmware_memmap ||
		   kmsg_next(&kmsg,
		     "firmware_map_remov-() is not wrapped: this kernel has no such function, or inlined it", NULL, 0),
	   "the log says that firmware_map_remove() is not wrapped where the kernel lacks it");
	kmsg_close(&kmsg);
	hooks = read_whole(HOOKS);
	ok(!architecture.firmware_memmap ||
	   strstr(hooks,
		  "firmware_map_remov-          missing: removing a region can remove the firmware's own entry"),
	   "debugfs hooks shows an optional hook as missing, and what that means");
	free(hooks);
	ok(run_command("twostage status --hooks -n -o FUNCTION,STATE | tr -s ' ' | "
		       "grep -q '^ *%s missing *$'",
		       architecture.firmware_memmap ? "firmware_map_remov-" :
						      "write_enabled_file_boo-") == 0,
	   "twostage status --hooks shows an optional hook as missing");
	ok(region_add(GIB, block_size, NULL) == -EBUSY &&
	   region_add(4 * GIB, block_size, NULL) == -EBUSY,
	   "without the symbol resource_lock, adding a region over System RAM fails with EBUSY");
	ok(region_add(START, 2 * block_size, NULL) == 0,
	   "a region is added without optional symbols");
	ok(region_online(0, "all online_movable") == 0,
	   "all blocks come online without optional symbols");
	ok(region_give_back(0) == 0, "all blocks go offline without optional symbols");
	ok(region_remove(0) == 0, "the region is removed without optional symbols");
	ok(module_unload("twostage") == 0, "the module unloads without optional symbols");
}

static void lacks_required(void)
{
	char *kprobes = read_whole(KPROBES), *traced = read_whole(TRACED);
	char *kprobes_after, *traced_after;
	struct kmsg kmsg = kmsg_mark();
	int ret;

	ret = module_load("twostage_lacks_required", NULL);
	ok(ret == -ENOENT,
	   "loading the module on a kernel without a required function fails with ENOENT (%s)",
	   strerror(-ret));
	ok(!module_loaded("twostage") && !exists(BUS),
	   "the module is not loaded without a required function");
	ok(kmsg_lines(&kmsg,
		      "cannot wrap set_zone_contiguou-(): this kernel has no such function, or inlined it",
		      NULL, 0) == 1,
		      "the log has one line that says which required function cannot be wrapped, and why");
	kmsg_close(&kmsg);
	kprobes_after = read_whole(KPROBES);
	traced_after = read_whole(TRACED);
	ok(!strcmp(kprobes, kprobes_after) && !strcmp(traced, traced_after),
	   "no function remains wrapped after a load that failed");
	free(kprobes);
	free(traced);
	free(kprobes_after);
	free(traced_after);
}

static void run(void)
{
	lacks_optional();
	lacks_required();
}

GROUP(group_lacking) = {
	.name = "lacking", .title = "a kernel that lacks symbols", .run = run,
};
