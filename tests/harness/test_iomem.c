// SPDX-License-Identifier: GPL-2.0-only
/*
 * Populated blocks in /proc/iomem: neighbours are one entry
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define START (4 * GIB)
#define BLOCKS 16
#define ALL ((1U << BLOCKS) - 1)

/* A page of it may be pinned for a moment, so an offline is tried again. */
static bool set_block(int i, bool online)
{
	int tries, ret = -EBUSY;

	for (tries = 0; tries < 20 && ret; tries++) {
		if (tries)
			usleep(100000);
		ret = write_file(online ? "online_movable" : "offline", MEMORY "/memory%d/state", block_at(START) + i);
	}
	if (ret)
		diag("block %d does not go %s: %s", i, online ? "online" : "offline", strerror(-ret));
	return !ret;
}

static bool set_blocks(unsigned int blocks, bool online)
{
	bool done = true;
	int i;

	for (i = 0; i < BLOCKS; i++)
		if (blocks >> i & 1)
			done &= set_block(i, online);
	return done;
}

/* Whether kcore has a header for the memory of each run, one for its memmap, and none besides */
static bool kcore_is(unsigned int blocks, int others)
{
	int runs = ram_runs(blocks), headers = kcore_headers();

	if (headers == others + 2 * runs)
		return true;
	diag("kcore has %d headers, %d of them not for the region; %d were expected for it", headers, others, 2 * runs);
	return false;
}

static void three_neighbours(int others)
{
	ok(set_block(4, true) && ram_is(START, 1 << 4) && kcore_is(1 << 4, others), "a block is an entry");
	ok(set_block(6, true) && ram_is(START, 5 << 4) && kcore_is(5 << 4, others), "one that is not its neighbour is another");
	ok(set_block(5, true) && ram_is(START, 7 << 4) && kcore_is(7 << 4, others), "the block between joins them into one");
	ok(set_block(5, false) && ram_is(START, 5 << 4) && kcore_is(5 << 4, others), "without it they are two again");
	ok(set_block(5, true) && ram_is(START, 7 << 4) && kcore_is(7 << 4, others), "with it they are one again");
	ok(set_block(4, false) && ram_is(START, 6 << 4), "an entry ends after its first block goes offline");
	ok(set_block(6, false) && ram_is(START, 2 << 4), "an entry ends after its last block goes offline");
	ok(set_block(6, true) && ram_is(START, 6 << 4), "a block joins the entry before it");
	ok(set_block(4, true) && ram_is(START, 7 << 4), "a block joins the entry after it");
	ok(set_blocks(7 << 4, false) && ram_is(START, 0) && kcore_is(0, others), "no entry is left of blocks that are offline");
}

static void every_order(int others)
{
	unsigned int populated = 0;
	bool right = true;
	int n;

	srand(1);
	for (n = 0; n < 150 && right; n++) {
		int i = rand() % BLOCKS;

		right = set_block(i, !(populated >> i & 1));
		populated ^= 1U << i;
		right = right && ram_is(START, populated) && (n % 8 || kcore_is(populated, others));
	}
	ok(right, "a random block goes online or offline, %d times: the entries are those of the populated blocks", n);
	ok(set_blocks(populated, false) && ram_is(START, 0), "no entry is left of them");
}

/* Each interior block that goes offline splits an entry. */
static void halves(int others)
{
	ok(region_online(0, "all online_movable") == 0 && ram_is(START, ALL) && kcore_is(ALL, others),
	   "a region that is all populated is one entry");
	ok(set_blocks(0xaaaa, false) && ram_is(START, 0x5555) && kcore_is(0x5555, others),
	   "every second of its blocks is an entry");
	ok(set_blocks(0xaaaa, true) && ram_is(START, ALL), "all of them are one entry again");
	ok(region_give_back(0) == 0 && ram_is(START, 0), "none is left of a region that is all offline");
}

/* By a notifier that is called after ours: the entry has been made by then. */
static void refused_between(void)
{
	static const struct {
		unsigned int populated;
		const char *where;
	} cases[] = { { 0, "alone" }, { 1 << 4, "after another" }, { 1 << 6, "before another" }, { 5 << 4, "between two" } };
	size_t i;

	if (!notifier_add("an online that is refused", "-10"))
		return;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		bool was = set_blocks(cases[i].populated, true);

		notifier_refuse("MEM_GOING_ONLINE", ENOMEM);
		ok(was && write_file("online_movable", MEMORY "/memory%d/state", block_at(START) + 5) == -ENOMEM &&
		   ram_is(START, cases[i].populated), "an online that is refused, %s, leaves the entries as they were",
		   cases[i].where);
		notifier_refuse("MEM_GOING_ONLINE", 0);
		ok(set_block(5, true) && ram_is(START, cases[i].populated | 1 << 5), "the next try, %s, works", cases[i].where);
		notifier_refuse("MEM_GOING_OFFLINE", EBUSY);
		ok(write_file("offline", MEMORY "/memory%d/state", block_at(START) + 5) == -EBUSY &&
		   ram_is(START, cases[i].populated | 1 << 5), "an offline that is refused, %s, leaves the entries as they were",
		   cases[i].where);
		notifier_refuse("MEM_GOING_OFFLINE", 0);
		ok(set_blocks(cases[i].populated | 1 << 5, false) && ram_is(START, 0), "all go offline, %s", cases[i].where);
	}
	notifier_remove("an online that is refused");
}

static bool covered(const struct segment *entries, int count, int i)
{
	return elf_covered(entries, count, START + i * block_size, block_size) >= block_size;
}

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

/* Reads until it is told to stop; exits with whether a block that is populated was ever missing. */
static void watch(void)
{
	static struct segment entries[64];
	long reads = 0, missing = 0;
	int count;

	signal(SIGTERM, stop);
	while (!stopped) {
		count = ram_entries(entries, ARRAY_SIZE(entries));
		missing += !covered(entries, count, 4) || !covered(entries, count, 6);
		reads++;
	}
	diag("%ld reads of /proc/iomem, a block was missing in %ld", reads, missing);
	_exit(missing || !reads);
}

static void never_missing(void)
{
	bool done = set_blocks(7 << 4, true);
	int status = -1, n;
	pid_t watcher;

	watcher = fork();
	if (watcher == 0)
		watch();
	for (n = 0; n < 60; n++)
		done &= set_block(5, n & 1);
	kill(watcher, SIGTERM);
	ok(waitpid(watcher, &status, 0) == watcher && status == 0 && done,
	   "a reader of /proc/iomem always finds the populated blocks beside one that goes online and offline");
	ok(set_blocks(7 << 4, false) && ram_is(START, 0), "no entry is left");
}

/* Entries of different regions are not joined. */
static void touching(void)
{
	struct segment entries[8];
	int i;

	ok(region_remove(0) == 0 && region_add(START, 2 * block_size, NULL) == 0 &&
	   region_add(START + 2 * block_size, 2 * block_size, NULL) == 0, "two regions touch");
	ok(region_online(0, "all online_movable") == 0 && region_online(1, "all online_movable") == 0 &&
	   ram_entries(entries, ARRAY_SIZE(entries)) == 2, "each of them is an entry");
	ok(region_give_back(0) == 0 && ram_is(START, 0xc), "the other one's is left when one goes offline");
	for (i = 1; i >= 0; i--)
		ok(region_give_back(i) == 0 && region_remove(i) == 0, "region%d goes", i);
}

static void run(void)
{
	int others;

	if (!load_twostage(NULL))
		return;
	ok(region_add(START, BLOCKS * block_size, NULL) == 0, "a region is added");
	others = kcore_headers();
	three_neighbours(others);
	every_order(others);
	halves(others);
	refused_between();
	never_missing();
	touching();
	unload_twostage();
}

GROUP(group_iomem) = {
	.name = "iomem", .title = "populated blocks that are neighbours are one entry in /proc/iomem", .run = run,
};
