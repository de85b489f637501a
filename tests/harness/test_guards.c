// SPDX-License-Identifier: GPL-2.0-only
/*
 * Root switches the hooks off
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <string.h>

#include "harness.h"

#define START (4 * GIB)
#define ARMED "/sys/kernel/debug/kprobes/enabled"

static void run(void)
{
	struct accounts *before;
	int ret;

	if (!load_twostage(NULL))
		return;
	before = accounts_take();
	ok(region_add(START, 2 * block_size, NULL) == 0 && region_online(0, "1 online_movable") == 0,
	   "a region with one block online");

	ok(write_file("0", ARMED) == 0, "kprobes are switched off");
	ok(write_file("online_movable", MEMORY "/memory%d/state", block_at(START) + 1) == -EIO,
	   "then the online of a standby block is refused");
	ok(write_file("offline", MEMORY "/memory%d/state", block_at(START)) == -EIO,
	   "and the offline of a populated one");
	ok(region_add(START + 2 * block_size, block_size, NULL) == -EIO, "and the add of a region");
	ok(write_file("1", ARMED) == 0, "kprobes are switched on again");
	ok(region_online(0, "1 online_movable") == 0 && region_offline(0, "all") == 0,
	   "then all works as before");

	write_file("0", ARMED);
	ok(region_remove(0) == -EIO, "without kprobes the removal is refused");
	write_file("1", ARMED);

	/* Newer kernels do not switch it off for anybody. */
	ret = write_file("0", "/proc/sys/kernel/ftrace_enabled");
	ok(ret == -EBUSY || ret == -EOPNOTSUPP,
	   "ftrace refuses to be switched off as long as the module is there");
	ok(region_remove(0) == 0, "the region is removed");
	ok(accounts_same(before), "every account is what it was");
	accounts_free(before);
	unload_twostage();

	ok(write_file("0", ARMED) == 0 && module_load("twostage", NULL) == -EBUSY &&
	   !module_loaded("twostage"), "with kprobes switched off the module does not load");
	write_file("1", ARMED);
	if (write_file("0", "/proc/sys/kernel/ftrace_enabled") == -EOPNOTSUPP) {
		skip("this kernel's ftrace cannot be switched off",
		     "with ftrace switched off the module does not load");
	} else {
		ok(!strcmp(read_file("/proc/sys/kernel/ftrace_enabled"), "0"),
		   "without the module ftrace can be switched off");
		ok(module_load("twostage", NULL) != 0 && !module_loaded("twostage"),
		   "with ftrace switched off the module does not load");
		write_file("1", "/proc/sys/kernel/ftrace_enabled");
	}
	if (load_twostage(NULL))
		unload_twostage();
}

const struct group group_guards = { .name = "guards", .title = "root switches the hooks off", .run = run };
