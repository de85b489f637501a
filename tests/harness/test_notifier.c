// SPDX-License-Identifier: GPL-2.0-only
/*
 * Somebody else's memory notifier refuses, before us or after us
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"

#define START (4 * GIB)
#define PROVIDER "/sys/kernel/debug/twostage_test"
#define INJECT "/sys/kernel/debug/notifier-error-inject/memory/actions"

static const char *const types[] = { "online", "online_kernel", "online_movable" };

bool notifier_add(const char *when, const char *priority)
{
	char options[64];

	snprintf(options, sizeof(options), "priority=%s", priority);
	return ok(module_load_system("memory-notifier-error-inject", options) == 0,
		  "%s: a notifier that refuses is there", when);
}

void notifier_remove(const char *when)
{
	ok(module_unload("memory_notifier_error_inject") == 0, "%s: the notifier goes", when);
}

void notifier_refuse(const char *action, int error)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", -error);
	if (write_file(text, INJECT "/%s/error", action))
		diag("no notifier refuses %s", action);
}

/*
 * All that it can refuse. Fails when there is more, which would then have to be tried.
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
	return count == 2 && exists(INJECT "/MEM_GOING_ONLINE") && exists(INJECT "/MEM_GOING_OFFLINE");
}

void notifier_refusals(const char *when, const char *type, int id, int block)
{
	struct accounts *standby = accounts_take(), *populated;
	char knob[32];
	int ret;

	snprintf(knob, sizeof(knob), "1 %s", type);
	notifier_refuse("MEM_GOING_ONLINE", ENOMEM);
	ok(region_online(id, knob) == -ENOMEM && !strcmp(block_stage(block), "standby") &&
	   write_file(type, MEMORY "/memory%d/state", block) == -ENOMEM &&
	   !strcmp(block_stage(block), "standby") && !strcmp(block_state(block), "offline") && accounts_same(standby),
	   "%s: %s that it refuses fails with its error, and all is as before", when, type);
	notifier_refuse("MEM_GOING_ONLINE", 0);
	ret = write_file(type, MEMORY "/memory%d/state", block);
	ok(ret == 0 && !strcmp(block_stage(block), "populated"), "%s: the next try of %s works (%s)", when, type,
	   strerror(-ret));

	populated = accounts_take();
	notifier_refuse("MEM_GOING_OFFLINE", EBUSY);
	ok(region_offline(id, "1") == -EBUSY && write_file("offline", MEMORY "/memory%d/state", block) == -EBUSY &&
	   !strcmp(block_state(block), "online") && !strcmp(block_stage(block), "populated") && accounts_same(populated),
	   "%s: an offline after %s that it refuses fails with its error, and all is as before", when, type);
	notifier_refuse("MEM_GOING_OFFLINE", 0);
	ok(region_give_back(id) == 0 && accounts_same(standby),
	   "%s: the next try of the offline works, and every account is as after stage 1", when);
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

/* What the provider has assigned, it gets back. A notifier before ours refuses before anything is assigned. */
static void of_a_provider(const char *when, bool before)
{
	char text[128], name[128];
	long long assigns;

	snprintf(name, sizeof(name), "%s, a provider", when);
	snprintf(text, sizeof(text), "%#" PRIx64 " %#" PRIx64 " %#" PRIx64 " 1", (uint64_t)START, block_size, block_size);
	ok(module_load("twostage_test", NULL) == 0 && write_file(text, PROVIDER "/add") == 0, "%s: a region is added", name);
	notifier_refuse("MEM_GOING_ONLINE", ENOMEM);
	assigns = read_number(PROVIDER "/assigns");
	ok(region_online(0, "1 online_movable") == -ENOMEM && read_number(PROVIDER "/assigned") == 0,
	   "%s: what was assigned for an online that it refuses is taken back", name);
	assigns = read_number(PROVIDER "/assigns") - assigns;
	ok(before ? assigns == 0 : assigns > 0, "%s: it is called %s the provider was asked (%lld times)", name,
	   before ? "before" : "after", assigns);
	notifier_refuse("MEM_GOING_ONLINE", 0);
	notifier_refusals(name, "online_movable", 0, block_at(START));
	ok(read_number(PROVIDER "/assigned") == 0 && read_number(PROVIDER "/violations") == 0,
	   "%s: nothing stays assigned, and nothing was assigned or unassigned twice", name);
	ok(write_file("region0", PROVIDER "/remove") == 0 && module_unload("twostage_test") == 0,
	   "%s: the region is removed", name);
}

static void after_ours(const char *when, const char *priority)
{
	if (!notifier_add(when, priority))
		return;
	ok(two_actions(), "%s: what it can refuse is an online and an offline", when);
	refusals(when);
	of_a_provider(when, false);
	notifier_remove(when);
}

static void run(void)
{
	if (!load_twostage(NULL))
		return;
	after_ours("a notifier right after ours", "2147483647");
	after_ours("a notifier after ours", "0");
	after_ours("a notifier at the end", "-2147483648");
	unload_twostage();

	/* Of two with the same priority, the first one there is the first one called. */
	if (!notifier_add("a notifier before ours", "2147483647"))
		return;
	if (load_twostage(NULL)) {
		refusals("a notifier before ours");
		of_a_provider("a notifier before ours", true);
		unload_twostage();
	}
	notifier_remove("a notifier before ours");
}

GROUP(group_notifier) = { .name = "notifier", .title = "another notifier refuses", .setup = settle_zones, .run = run };
