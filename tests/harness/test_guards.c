// SPDX-License-Identifier: GPL-2.0-only
/*
 * Root switches the hooks off, or wants the functions patched
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

/* Every way to change a block, with what has to be written where */
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

static int take(const struct path *path, int block)
{
	char file[128];

	snprintf(file, sizeof(file), path->file, strstr(path->file, "region") ? 0 : block);
	return write_file(path->text, "%s", file);
}

static int ftrace_off(void)
{
	return write_file("0", "/proc/sys/kernel/ftrace_enabled");
}

/* One block of the region, back and forth: refused while kprobes are off, done when they are on again */
static void every_path(const char *memmap)
{
	const int block = block_at(START);
	struct accounts *before;
	struct kmsg kmsg = kmsg_mark();
	size_t i;
	int ret;

	ok(region_add(START, block_size, memmap) == 0, "a region of one block is added (%s)", memmap);
	for (i = 0; i < ARRAY_SIZE(paths); i++) {
		const struct path *path = &paths[i];
		const char *name = strrchr(path->file, '/') + 1;

		if (path->online)
			region_give_back(0);
		else
			region_online(0, "1 online_movable");
		before = accounts_take();
		kmsg_lines(&kmsg, "", NULL, 0);
		write_file("0", ARMED);
		ret = take(path, block);
		ok(ret == -EIO && kmsg_lines(&kmsg, "refused, the hooks are switched off", NULL, 0) == 1 &&
		   !strcmp(block_stage(block), path->online ? "standby" : "populated") && accounts_same(before),
		   "without kprobes \"%s\" to %s is refused, one line tells why, nothing changes (%s)", path->text,
		   name, strerror(-ret));
		ret = ftrace_off();
		ok(ret == -EBUSY || ret == -EOPNOTSUPP, "nor is ftrace switched off then");
		write_file("1", ARMED);
		ret = take(path, block);
		/* Memory of a kernel zone may be in use for a moment. */
		if (ret == -EBUSY && !path->online)
			ret = region_give_back(0);
		ok(ret == 0 && !strcmp(block_stage(block), path->online ? "populated" : "standby"),
		   "with kprobes it is done (%s)", strerror(-ret));
		accounts_free(before);
	}
	ok(region_give_back(0) == 0 && region_remove(0) == 0, "the region is removed");
	kmsg_close(&kmsg);
}

static void region_knobs(void)
{
	struct accounts *standby;
	char text[64];
	int ret;

	ok(region_add(START, 2 * block_size, NULL) == 0, "a region is added");
	standby = accounts_take();
	write_file("0", ARMED);
	snprintf(text, sizeof(text), "%#" PRIx64 " %#" PRIx64, (uint64_t)START + 2 * block_size, block_size);
	ok(refused(text, EIO, "the hooks are switched off", BUS "/add_region") && !exists(REGION, 1),
	   "without kprobes no region is added");
	ok(refused("region0", EIO, "the hooks are switched off", BUS "/remove_region") && exists(REGION, 0),
	   "and none removed");
	ok(add_fails_under_use(START + 2 * block_size), "even if somebody is in its knobs already");
	ok(accounts_same(standby), "and nothing changes");
	ok(write_file("0", REGION "/memmap_on_memory", 0) == 0 && write_file("1", REGION "/memmap_on_memory", 0) == 0,
	   "what takes no hooks works on");
	write_file("1", ARMED);
	ret = ftrace_off();
	/* Newer kernels do not switch it off for anybody. */
	ok(ret == -EBUSY || ret == -EOPNOTSUPP,
	   "ftrace refuses to be switched off as long as the module is there");
	ok(write_file("0", "/proc/sys/debug/kprobes-optimization") == 0 && region_online(0, "1 online_movable") == 0 &&
	   write_file("1", "/proc/sys/debug/kprobes-optimization") == 0 && region_offline(0, "1") == 0,
	   "whether kprobes are optimised makes no difference");
	ok(region_remove(0) == 0, "the region is removed");
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
	region_knobs();
	ok(accounts_same(before), "every account is what it was");
	accounts_free(before);
	write_file("0", ARMED);
	ok(unload_twostage(), "without kprobes the module unloads all the same");

	ok(module_load("twostage", NULL) == -EBUSY && !module_loaded("twostage"),
	   "with kprobes switched off the module does not load");
	write_file("1", ARMED);
	if (ftrace_off() == -EOPNOTSUPP) {
		skip("this kernel's ftrace cannot be switched off",
		     "with ftrace switched off the module does not load");
	} else {
		ok(!strcmp(read_file("/proc/sys/kernel/ftrace_enabled"), "0"),
		   "without the module ftrace can be switched off");
		ok(module_load("twostage", NULL) != 0 && !module_loaded("twostage"),
		   "with ftrace switched off the module does not load");
		write_file("0", ARMED);
		ok(module_load("twostage", NULL) != 0 && !module_loaded("twostage"), "nor with both of them");
		write_file("1", "/proc/sys/kernel/ftrace_enabled");
		write_file("1", ARMED);
	}
	if (load_twostage(NULL)) {
		ok(region_add(START, block_size, NULL) == 0 && region_online(0, "1 online_movable") == 0 &&
		   region_offline(0, "1") == 0 && region_remove(0) == 0, "with both of them back it works");
		unload_twostage();
	}
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

static void live_patch_of(const char *function, const char *reason)
{
	struct kmsg kmsg;
	char options[64];

	snprintf(options, sizeof(options), "function=%s", function);
	if (!load_twostage(NULL))
		return;
	ok(region_add(START, block_size, NULL) == 0, "a region is added");
	ok(module_load("livepatch_test", options) != 0 && !module_loaded("livepatch_test"),
	   "a live patch of %s() is refused", function);
	ok(region_online(0, "1 online_movable") == 0 && region_offline(0, "1") == 0 && region_remove(0) == 0,
	   "and all goes on");
	unload_twostage();

	kmsg = kmsg_mark();
	ok(module_load("livepatch_test", options) == 0, "without the module it is not");
	ok(module_load("twostage", NULL) == -EBUSY && !module_loaded("twostage") &&
	   kmsg_lines(&kmsg, reason, NULL, 0) == 1, "then the module does not load, and says why");
	kmsg_close(&kmsg);
	ok(patch_removed(), "the live patch is removed");
	if (load_twostage(NULL))
		unload_twostage();
}

static void live_patch(void)
{
	if (!exists("/sys/kernel/livepatch") || !exists("/twostage/livepatch_test.ko")) {
		skip("this kernel has no live patches", "a live patch of a wrapped function");
		return;
	}
	live_patch_of("online_pages", "cannot wrap online_pages(): a live patch");
	live_patch_of("memory_subsys_offline", "cannot guard memory_subsys_offline(): a live patch");
}

GROUP(group_guards) = { .name = "guards", .title = "root switches the hooks off", .setup = settle_zones, .run = run };
GROUP(group_livepatch) = { .name = "livepatch", .title = "a live patch of what is wrapped", .run = live_patch };
