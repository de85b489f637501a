// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kprobes or ftrace are switched off, and live patches of wrapped functions
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define START (5 * GIB)
#define ARMED "/sys/kernel/debug/kprobes/enabled"
#define OPTIMIZATION "/proc/sys/debug/kprobes-optimization"

/* Writes to the attributes of region1 whenever they exist */
static void use_attributes(void)
{
	for (;;) {
		write_file("all", REGION "/online", 1);
		write_file("1", REGION "/memmap_on_memory", 1);
		usleep(100);
	}
}

/*
 * An add that fails removes the region's directory while processes write to
 * attributes in it.
 */
static bool add_fails_under_use(uint64_t start)
{
	pid_t users[2];
	bool failed = true;
	int i;

	for (i = 0; i < (int)ARRAY_SIZE(users); i++) {
		users[i] = fork();
		if (!users[i])
			use_attributes();
	}
	for (i = 0; i < 100; i++)
		failed &= region_add(start, block_size, NULL) == -EIO && !exists(REGION, 1);
	for (i = 0; i < (int)ARRAY_SIZE(users); i++) {
		kill(users[i], SIGKILL);
		waitpid(users[i], NULL, 0);
	}
	return failed;
}

/* Every way to set a block online or offline: the file, and what to write */
static const struct path {
	const char *file, *text;
	bool online;
} paths[] = {
	{ MEMORY "/memory%d/state", "online", true },
	{ MEMORY "/memory%d/state", "online_kernel", true },
	{ MEMORY "/memory%d/state", "online_movable", true },
	{ MEMORY "/memory%d/online", "1", true },
	{ REGION "/online", "1", true },
	{ REGION "/online", "all online_kernel", true },
	{ REGION "/online", "1 online_movable", true },
	{ MEMORY "/memory%d/state", "offline", false },
	{ MEMORY "/memory%d/online", "0", false },
	{ REGION "/offline", "1", false },
	{ REGION "/offline", "all", false },
};

static int change(const struct path *path, int block)
{
	char file[128];

	snprintf(file, sizeof(file), path->file, strstr(path->file, "region") ? 0 : block);
	return write_file(path->text, "%s", file);
}

static int ftrace_off(void)
{
	return write_file("0", "/proc/sys/kernel/ftrace_enabled");
}

/*
 * Sets the one block of a region online and offline: refused while kprobes are
 * disarmed, done when they are armed again
 */
static void every_path(const char *memmap)
{
	const int block = block_at(START);
	struct accounts *before;
	struct kmsg kmsg = kmsg_mark();
	size_t i;
	int ret;

	ok_return(region_add(START, block_size, memmap), 0,
		  "a region of one block with %s is added", memmap);
	for (i = 0; i < ARRAY_SIZE(paths); i++) {
		const struct path *path = &paths[i];
		const char *name = strrchr(path->file, '/') + 1;
		char write[80];

		snprintf(write, sizeof(write), "%s, writing \"%s\" to %s", memmap, path->text,
			 name);
		if (path->online)
			region_give_back(0);
		else
			region_online(0, "1 online_movable");
		before = accounts_take();
		kmsg_lines(&kmsg, "", NULL, 0);
		write_file("0", ARMED);
		ret = change(path, block);
		ok_return(ret, -EIO, "kprobes off: %s fails with EIO", write);
		ok_number(kmsg_lines(&kmsg, "refused: the hooks are switched off", NULL, 0), 1,
			  "kprobes off: %s logs one line with the reason", write);
		ok_text(block_stage(block), path->online ? "standby" : "populated",
			"kprobes off: %s leaves the stage of the block", write);
		ok(accounts_same(before), "kprobes off: %s leaves the system state unchanged",
		   write);
		ret = ftrace_off();
		ok(ret == -EBUSY || ret == -EOPNOTSUPP,
		   "kprobes off: setting kernel.ftrace_enabled to 0 is refused (%s)",
		   strerror(-ret));
		write_file("1", ARMED);
		ret = change(path, block);
		/* In a kernel zone memory may be in use for a moment. */
		if (ret == -EBUSY && !path->online)
			ret = region_give_back(0);
		ok_return(ret, 0, "kprobes on again: %s succeeds", write);
		ok_text(block_stage(block), path->online ? "populated" : "standby",
			"kprobes on again: %s changes the stage of the block", write);
		accounts_free(before);
	}
	ok(succeeds(region_give_back(0)) && succeeds(region_remove(0)),
	   "the region of one block with %s is removed", memmap);
	kmsg_close(&kmsg);
}

static void kprobes_optimization(void)
{
	const char *test = "a block goes online and offline with kprobes-optimization off and on";

	if (!exists(OPTIMIZATION)) {
		skip("this architecture's kprobes are not optimised", "%s", test);
		return;
	}
	ok(succeeds(write_file("0", OPTIMIZATION)) &&
	   succeeds(region_online(0, "1 online_movable")) &&
	   succeeds(write_file("1", OPTIMIZATION)) && succeeds(region_offline(0, "1")),
	   "%s", test);
}

static void attributes_without_kprobes(void)
{
	struct accounts *standby;
	char text[64];
	int ret;

	ok_return(region_add(START, 2 * block_size, NULL), 0, "a region of two blocks is added");
	standby = accounts_take();
	write_file("0", ARMED);
	snprintf(text, sizeof(text), "%#" PRIx64 " %#" PRIx64, (uint64_t)START + 2 * block_size,
		 block_size);
	ok(refused(text, EIO, "the hooks are switched off", BUS "/add_region") &&
	   !exists(REGION, 1),
	   "kprobes off: no region is added");
	ok(refused("region0", EIO, "the hooks are switched off", BUS "/remove_region") &&
	   exists(REGION, 0),
	   "kprobes off: no region is removed");
	ok(add_fails_under_use(START + 2 * block_size),
	   "kprobes off: an add fails with EIO while processes write to the region's attributes");
	ok(accounts_same(standby),
	   "kprobes off: adds and removes that are refused leave the system state unchanged");
	ok(succeeds(write_file("0", REGION "/memmap_on_memory", 0)) &&
	   returns(memmap_fits_block() ? 0 : -EOPNOTSUPP,
		   write_file("1", REGION "/memmap_on_memory", 0)),
	   "kprobes off: memmap_on_memory, which needs no hooks, can be changed");
	write_file("1", ARMED);
	ret = ftrace_off();
	/* Newer kernels never allow it. */
	ok(ret == -EBUSY || ret == -EOPNOTSUPP,
	   "while twostage is loaded setting kernel.ftrace_enabled to 0 is refused (%s)",
	   strerror(-ret));
	kprobes_optimization();
	ok_return(region_remove(0), 0, "the region of two blocks is removed");
	accounts_free(standby);
}

static void run(void)
{
	struct accounts *before;

	if (!load_twostage(NULL))
		return;
	before = accounts_take();
	every_path("memmap_on_memory=1");
	every_path("memmap_on_memory=0");
	attributes_without_kprobes();
	ok(accounts_same(before),
	   "after kprobes were off and on the system state matches the baseline");
	accounts_free(before);
	write_file("0", ARMED);
	ok(unload_twostage(), "kprobes off: twostage unloads");

	ok(returns(-EBUSY, module_load("twostage", NULL)) && holds(!module_loaded("twostage")),
	   "kprobes off: the load of twostage fails with EBUSY");
	write_file("1", ARMED);
	if (ftrace_off() == -EOPNOTSUPP) {
		skip("ftrace of this kernel cannot be switched off",
		     "ftrace off: the load of twostage fails");
	} else {
		ok(!strcmp(read_file("/proc/sys/kernel/ftrace_enabled"), "0"),
		   "without twostage kernel.ftrace_enabled can be set to 0");
		ok(module_load("twostage", NULL) != 0 && !module_loaded("twostage"),
		   "ftrace off: the load of twostage fails");
		write_file("0", ARMED);
		ok(module_load("twostage", NULL) != 0 && !module_loaded("twostage"),
		   "kprobes and ftrace off: the load of twostage fails");
		write_file("1", "/proc/sys/kernel/ftrace_enabled");
		write_file("1", ARMED);
	}
	if (load_twostage(NULL)) {
		ok(succeeds(region_add(START, block_size, NULL)) &&
		   succeeds(region_online(0, "1 online_movable")) &&
		   succeeds(region_offline(0, "1")) && succeeds(region_remove(0)),
		   "kprobes and ftrace on again: a region is added, used and removed");
		unload_twostage();
	}
}

#define PATCH "/sys/kernel/livepatch/livepatch_test"

/*
 * A patch is removed once no task is in the patched function. No task of this
 * guest sleeps there for long.
 */
static bool patch_removed(void)
{
	write_file("0", PATCH "/enabled");
	return wait_until(!exists(PATCH), 60) && module_unload("livepatch_test") == 0;
}

static void live_patch_of(const char *function, const char *reason)
{
	struct kmsg kmsg;
	char options[64];

	snprintf(options, sizeof(options), "function=%s", function);
	if (!load_twostage(NULL))
		return;
	ok_return(region_add(START, block_size, NULL), 0,
		  "a region is added before a live patch of %s() is tried", function);
	ok(module_load("livepatch_test", options) != 0 && !module_loaded("livepatch_test"),
	   "while twostage is loaded a live patch of %s() is refused", function);
	ok(succeeds(region_online(0, "1 online_movable")) && succeeds(region_offline(0, "1")) &&
	   succeeds(region_remove(0)),
	   "after a refused live patch of %s() the region is used and removed",
	   function);
	unload_twostage();

	kmsg = kmsg_mark();
	ok_return(module_load("livepatch_test", options), 0,
		  "without twostage a live patch of %s() is accepted", function);
	ok(returns(-EBUSY, module_load("twostage", NULL)) && holds(!module_loaded("twostage")),
	   "with a live patch of %s() the load of twostage fails with EBUSY", function);
	ok_number(kmsg_lines(&kmsg, reason, NULL, 0), 1,
		  "with a live patch of %s() the load of twostage logs one line with the reason",
		  function);
	kmsg_close(&kmsg);
	ok(patch_removed(), "the live patch of %s() is removed", function);
	if (load_twostage(NULL))
		unload_twostage();
}

static void live_patch(void)
{
	if (!exists("/sys/kernel/livepatch") || !exists("/twostage/livepatch_test.ko")) {
		skip("this kernel has no live patches",
		     "a live patch of a wrapped function is refused");
		return;
	}
	live_patch_of("online_pages", "cannot wrap online_pages(): a live patch");
	live_patch_of("memory_subsys_offline", "cannot wrap memory_subsys_offline(): a live patch");
}

GROUP(group_guards) = {
	.name = "guards",
	.title = "kprobes or ftrace are switched off",
	.setup = settle_zones,
	.run = run,
};
GROUP(group_livepatch) = {
	.name = "livepatch",
	.title = "live patches of wrapped functions",
	.run = live_patch,
};
