// SPDX-License-Identifier: GPL-2.0-only
/*
 * Root switches the hooks off, or wants the functions patched
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define START (4 * GIB)
#define ARMED "/sys/kernel/debug/kprobes/enabled"

/* The knobs of region1, for as long as there is one */
static void use_knobs(void)
{
	for (;;) {
		write_file("all", REGION "/online", 1);
		write_file("1", REGION "/memmap_on_memory", 1);
		usleep(100);
	}
}

/* An add that fails takes away a directory whose knobs are in use by then. */
static bool add_fails_under_use(uint64_t start)
{
	pid_t users[2];
	bool failed = true;
	int i;

	for (i = 0; i < (int)ARRAY_SIZE(users); i++) {
		users[i] = fork();
		if (!users[i])
			use_knobs();
	}
	for (i = 0; i < 100; i++)
		failed &= region_add(start, block_size, NULL) == -EIO && !exists(REGION, 1);
	for (i = 0; i < (int)ARRAY_SIZE(users); i++) {
		kill(users[i], SIGKILL);
		waitpid(users[i], NULL, 0);
	}
	return failed;
}

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
	ok(add_fails_under_use(START + 2 * block_size), "even if somebody is in its knobs already");
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

#define PATCH "/sys/kernel/livepatch/livepatch_test"

/* A task that sleeps in the kernel for long may keep the patch; there is no such in this guest. */
static bool patch_removed(void)
{
	int tries;

	write_file("0", PATCH "/enabled");
	for (tries = 0; tries < 300 && exists(PATCH); tries++)
		usleep(100000);
	return module_unload("livepatch_test") == 0;
}

static void live_patch(void)
{
	struct kmsg kmsg;

	if (!exists("/sys/kernel/livepatch") || !exists("/twostage/livepatch_test.ko")) {
		skip("this kernel has no live patches", "a live patch of a wrapped function");
		return;
	}
	if (!load_twostage(NULL))
		return;
	ok(region_add(START, block_size, NULL) == 0, "a region is added");
	ok(module_load("livepatch_test", NULL) != 0 && !module_loaded("livepatch_test"),
	   "a live patch of a wrapped function is refused");
	ok(region_online(0, "1 online_movable") == 0 && region_offline(0, "1") == 0 && region_remove(0) == 0,
	   "and all goes on");
	unload_twostage();

	kmsg = kmsg_mark();
	ok(module_load("livepatch_test", NULL) == 0, "without the module it is not");
	ok(module_load("twostage", NULL) == -EBUSY && !module_loaded("twostage") &&
	   kmsg_lines(&kmsg, "cannot wrap online_pages(): a live patch", NULL, 0) == 1,
	   "then the module does not load, and says why");
	kmsg_close(&kmsg);
	ok(patch_removed(), "the live patch is removed");
	if (load_twostage(NULL))
		unload_twostage();
}

const struct group group_guards = { .name = "guards", .title = "root switches the hooks off", .run = run };
const struct group group_livepatch = { .name = "livepatch", .title = "a live patch of what is wrapped", .run = live_patch };
