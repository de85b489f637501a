// SPDX-License-Identifier: GPL-2.0-only
/*
 * A memory notifier of another module refuses, called before or after ours
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"

#define START (5 * GIB)
#define PROVIDER "/sys/kernel/debug/twostage_test"
#define INJECT "/sys/kernel/debug/notifier-error-inject/memory/actions"

static const char *const types[] = { "online", "online_kernel", "online_movable" };

bool notifier_add(const char *when, const char *priority)
{
	char options[64];

	snprintf(options, sizeof(options), "priority=%s", priority);
	return ok(module_load_system("memory-notifier-error-inject", options) == 0,
		  "%s: the module with the refusing notifier loads", when);
}

void notifier_remove(const char *when)
{
	ok(module_unload("memory_notifier_error_inject") == 0,
	   "%s: the module with the refusing notifier unloads", when);
}

void notifier_refuse(const char *action, int error)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", -error);
	if (write_file(text, INJECT "/%s/error", action))
		diag("%s: setting the error that the notifier returns failed", action);
}

/*
 * Whether the two actions that are tested are all that the kernel's error
 * injection can refuse: another one would need a test.
 */
static bool two_actions(void)
{
	DIR *directory = opendir(INJECT);
	struct dirent *entry;
	int count = 0;

	while (directory && (entry = readdir(directory)))
		count += entry->d_name[0] != '.';
	if (directory)
		closedir(directory);
	return count == 2 && exists(INJECT "/MEM_GOING_ONLINE") &&
	       exists(INJECT "/MEM_GOING_OFFLINE");
}

void notifier_refusals(const char *when, const char *type, int id, int block)
{
	struct accounts *standby = accounts_take(), *populated;
	char what[32];
	int ret;

	snprintf(what, sizeof(what), "1 %s", type);
	notifier_refuse("MEM_GOING_ONLINE", ENOMEM);
	ret = region_online(id, what);
	ok(ret == -ENOMEM, "%s: refused %s through the region's online fails with ENOMEM (%s)",
	   when, type, strerror(-ret));
	ok(!strcmp(block_stage(block), "standby"),
	   "%s: the block is standby after a refused %s through the region (%s)",
	   when, type, block_stage(block));
	ret = write_file(type, MEMORY "/memory%d/state", block);
	ok(ret == -ENOMEM, "%s: refused %s through the block's state fails with ENOMEM (%s)", when,
	   type, strerror(-ret));
	ok(!strcmp(block_stage(block), "standby"),
	   "%s: the block is standby after a refused %s through its state (%s)",
	   when, type, block_stage(block));
	ok(!strcmp(block_state(block), "offline"),
	   "%s: the block is offline after a refused %s (%s)", when, type,
	   block_state(block));
	ok(accounts_same(standby), "%s: the system matches the standby baseline after a refused %s",
	   when, type);
	notifier_refuse("MEM_GOING_ONLINE", 0);
	ret = write_file(type, MEMORY "/memory%d/state", block);
	ok(ret == 0 && !strcmp(block_stage(block), "populated"),
	   "%s: %s succeeds after a refused %s (%s)", when, type, type,
	   strerror(-ret));

	populated = accounts_take();
	notifier_refuse("MEM_GOING_OFFLINE", EBUSY);
	ret = region_offline(id, "1");
	ok(ret == -EBUSY, "%s: refused offline through the region fails with EBUSY after %s (%s)",
	   when, type,
	   strerror(-ret));
	ret = write_file("offline", MEMORY "/memory%d/state", block);
	ok(ret == -EBUSY,
	   "%s: refused offline through the block's state fails with EBUSY after %s (%s)", when,
	   type,
	   strerror(-ret));
	ok(!strcmp(block_state(block), "online"),
	   "%s: the block is online after a refused offline (%s)", when,
	   block_state(block));
	ok(!strcmp(block_stage(block), "populated"),
	   "%s: the block is populated after a refused offline (%s)", when,
	   block_stage(block));
	ok(accounts_same(populated),
	   "%s: the system matches the populated baseline after a refused offline", when);
	notifier_refuse("MEM_GOING_OFFLINE", 0);
	ok(region_give_back(id) == 0, "%s: offline succeeds after a refused offline", when);
	ok(accounts_same(standby),
	   "%s: the system matches the standby baseline after %s and offline", when, type);
	accounts_free(populated);
	accounts_free(standby);
}

static void refusals(const char *when)
{
	static const char *const memmaps[] = { "memmap_on_memory=1", "memmap_on_memory=0" };
	char name[128];
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(memmaps); i++) {
		snprintf(name, sizeof(name), "%s, %s", when, memmaps[i]);
		ok(region_add(START, block_size, memmaps[i]) == 0, "%s: a region is added", name);
		for (j = 0; j < ARRAY_SIZE(types); j++)
			notifier_refusals(name, types[j], 0, block_at(START));
		ok(region_remove(0) == 0, "%s: the region is removed", name);
	}
}

/*
 * Memory that was assigned for a refused online is unassigned. A notifier that
 * is called before ours refuses before any memory is assigned.
 */
static void of_a_provider(const char *when, bool before)
{
	char text[128], name[128];
	long long assigns;

	snprintf(name, sizeof(name), "%s, region of the test provider", when);
	snprintf(text, sizeof(text), "%#" PRIx64 " %#" PRIx64 " %#" PRIx64 " 1", (uint64_t)START,
		 block_size, block_size);
	ok(module_load("twostage_test", NULL) == 0 && write_file(text, PROVIDER "/add") == 0,
	   "%s: a region is added", name);
	notifier_refuse("MEM_GOING_ONLINE", ENOMEM);
	assigns = read_number(PROVIDER "/assigns");
	ok(region_online(0, "1 online_movable") == -ENOMEM &&
	   read_number(PROVIDER "/assigned") == 0,
	   "%s: no memory remains assigned after a refused online", name);
	assigns = read_number(PROVIDER "/assigns") - assigns;
	ok(before ? assigns == 0 : assigns > 0,
	   "%s: the notifier refuses %s memory is assigned (%lld assigns)", name,
	   before ? "before" : "after", assigns);
	notifier_refuse("MEM_GOING_ONLINE", 0);
	notifier_refusals(name, "online_movable", 0, block_at(START));
	ok(read_number(PROVIDER "/assigned") == 0 && read_number(PROVIDER "/violations") == 0,
	   "%s: no memory remains assigned, and none was assigned or unassigned twice, after refusals", name);
	ok(write_file("region0", PROVIDER "/remove") == 0 && module_unload("twostage_test") == 0,
	   "%s: the region is removed and the provider's module unloads", name);
}

static void after_ours(const char *when, const char *priority)
{
	if (!notifier_add(when, priority))
		return;
	ok(two_actions(),
	   "%s: the kernel's error injection knows MEM_GOING_ONLINE and MEM_GOING_OFFLINE only",
	   when);
	refusals(when);
	of_a_provider(when, false);
	notifier_remove(when);
}

static void run(void)
{
	if (!load_twostage(NULL))
		return;
	after_ours("notifier right after ours", "2147483647");
	after_ours("notifier after ours", "0");
	after_ours("notifier called last", "-2147483648");
	unload_twostage();

	/* Notifiers of one priority are called in the order of registration. */
	if (!notifier_add("notifier before ours", "2147483647"))
		return;
	if (load_twostage(NULL)) {
		refusals("notifier before ours");
		of_a_provider("notifier before ours", true);
		unload_twostage();
	}
	notifier_remove("notifier before ours");
}

GROUP(group_notifier) = {
	.name = "notifier", .title = "a memory notifier of another module refuses",
	.setup = settle_zones, .run = run,
};
