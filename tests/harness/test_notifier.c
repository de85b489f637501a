// SPDX-License-Identifier: GPL-2.0-only
/*
 * Somebody else's memory notifier refuses, before us or after us
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"

#define START (4 * GIB)
#define INJECT "/sys/kernel/debug/notifier-error-inject/memory/actions"

static void refusals(const char *when, const char *priority, const char *memmap)
{
	struct accounts *standby;
	char options[64];
	int tries;

	snprintf(options, sizeof(options), "priority=%s", priority);
	if (!ok(module_load_system("memory-notifier-error-inject", options) == 0,
		"%s: a notifier that refuses is there", when))
		return;
	ok(region_add(START, 2 * block_size, memmap) == 0, "%s: a region is added", when);
	standby = accounts_take();

	for (tries = 0; tries < 3; tries++) {
		write_file("-12", INJECT "/MEM_GOING_ONLINE/error");
		ok(region_online(0, "1 online_movable") == -ENOMEM && blocks_online(0) == 0 &&
		   !strcmp(block_stage(block_at(START)), "standby"),
		   "%s: an online that it refuses fails with its error (%d)", when, tries);
		ok(accounts_same(standby), "%s: all is as before then (%d)", when, tries);
	}
	write_file("0", INJECT "/MEM_GOING_ONLINE/error");
	ok(region_online(0, "1 online_movable") == 0, "%s: the next try works", when);

	write_file("-16", INJECT "/MEM_GOING_OFFLINE/error");
	ok(region_offline(0, "1") == -EBUSY && blocks_online(0) == 1 &&
	   !strcmp(block_state(block_at(START)), "online"),
	   "%s: an offline that it refuses fails with its error", when);
	write_file("0", INJECT "/MEM_GOING_OFFLINE/error");
	ok(region_offline(0, "1") == 0, "%s: and the next try works", when);
	ok(accounts_same(standby), "%s: every account is as after stage 1", when);
	ok(region_remove(0) == 0, "%s: the region is removed", when);
	accounts_free(standby);
	ok(module_unload("memory_notifier_error_inject") == 0, "%s: the notifier goes", when);
}

static void run(void)
{
	if (!load_twostage(NULL))
		return;
	refusals("a notifier after ours", "0", "");
	refusals("a notifier at the end", "-2147483648", "");
	refusals("a notifier after ours, memmap elsewhere", "0", "memmap_on_memory=0");
	unload_twostage();

	/* Of two with the same priority, the first one there is the first one called. */
	ok(module_load_system("memory-notifier-error-inject", "priority=2147483647") == 0,
	   "a notifier before ours is there");
	if (!load_twostage(NULL))
		return;
	ok(region_add(START, 2 * block_size, "") == 0, "a notifier before ours: a region is added");
	write_file("-12", INJECT "/MEM_GOING_ONLINE/error");
	ok(region_online(0, "1 online_movable") == -ENOMEM && blocks_online(0) == 0,
	   "a notifier before ours: an online that it refuses fails with its error");
	write_file("0", INJECT "/MEM_GOING_ONLINE/error");
	ok(region_online(0, "1 online_movable") == 0 && region_offline(0, "1") == 0,
	   "a notifier before ours: the next try works");
	ok(region_remove(0) == 0, "a notifier before ours: the region is removed");
	unload_twostage();
	module_unload("memory_notifier_error_inject");
}

const struct group group_notifier = { .name = "notifier", .title = "another notifier refuses", .run = run };
