// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module on a kernel that lacks a function that it wraps
 *
 * Two builds of the module have another name for one of their hooks
 * (scripts/build-modules): one that is optional, and one that is required.
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
	struct kmsg kmsg = kmsg_mark();
	char *hooks;

	if (!ok(module_load("twostage_lacks_optional", NULL) == 0, "the module loads without an optional hook"))
		return;
	ok(kmsg_lines(&kmsg, "firmware_map_remove_lacking() is not wrapped: this kernel has no such function", NULL, 0) == 1,
	   "the log says which function is not wrapped, and why");
	kmsg_close(&kmsg);
	hooks = read_whole(HOOKS);
	ok(strstr(hooks, "firmware_map_remove_lacking  missing: removing a region can remove the firmware's own entry"),
	   "debugfs hooks shows it as missing, and what that means");
	free(hooks);
	ok(run_command("twostage status --hooks -n -o FUNCTION,STATE | tr -s ' ' | "
		       "grep -q '^ *firmware_map_remove_lacking missing *$'") == 0, "twostage status --hooks, too");
	ok(region_add(START, 2 * block_size, NULL) == 0 && region_online(0, "all online_movable") == 0 &&
	   region_give_back(0) == 0 && region_remove(0) == 0,
	   "a region is added, comes online, goes offline and is removed");
	ok(module_unload("twostage") == 0, "the module unloads");
}

static void lacks_required(void)
{
	char *kprobes = read_whole(KPROBES), *traced = read_whole(TRACED), *kprobes_after, *traced_after;
	struct kmsg kmsg = kmsg_mark();

	ok(module_load("twostage_lacks_required", NULL) == -ENOENT && !module_loaded("twostage") && !exists(BUS),
	   "the module does not load without a required hook");
	ok(kmsg_lines(&kmsg, "cannot wrap set_zone_contiguous_lacking(): this kernel has no such function", NULL, 0) == 1,
	   "the log says which function cannot be wrapped, and why");
	kmsg_close(&kmsg);
	kprobes_after = read_whole(KPROBES);
	traced_after = read_whole(TRACED);
	ok(!strcmp(kprobes, kprobes_after) && !strcmp(traced, traced_after), "no function stays wrapped");
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

const struct group group_lacking = {
	.name = "lacking", .title = "a kernel that lacks a function that is wrapped", .run = run,
};
