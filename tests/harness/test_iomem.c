// SPDX-License-Identifier: GPL-2.0-only
/*
 * Populated blocks in /proc/iomem: adjacent blocks share one entry
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

/* Retry, because a page that is pinned for a moment makes an offline fail. */
static bool set_block(int i, bool online)
{
	int tries, ret = -EBUSY;

	for (tries = 0; tries < 20 && ret; tries++) {
		if (tries)
			usleep(100000);
		ret = write_file(online ? "online_movable" : "offline", MEMORY "/memory%d/state",
				 block_at(START) + i);
	}
	if (ret)
		diag("setting block %d %s failed 20 times, last with: %s", i,
		     online ? "online" : "offline", strerror(-ret));
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

/*
 * Whether kcore has two program headers for each run of adjacent populated
 * blocks (memory and memmap), beside the others that it had before
 */
static bool kcore_is(unsigned int blocks, int others)
{
	int runs = ram_runs(blocks), headers = kcore_headers();

	if (headers == others + 2 * runs)
		return true;
	diag("kcore has %d program headers; expected %d: %d from before the region was populated, %d of the region",
	     headers, others + 2 * runs, others, 2 * runs);
	return false;
}

/* One block changes its state, after which these blocks are populated. */
static void set_and_check(int block, bool online, unsigned int populated, int others,
			  const char *promise)
{
	bool done = set_block(block, online);

	ok(done && ram_is(START, populated), "%s in /proc/iomem", promise);
	ok(kcore_is(populated, others), "%s: kcore has two program headers for each entry",
	   promise);
}

static void three_neighbours(int others)
{
	set_and_check(4, true, 1 << 4, others,
		      "a block that comes online gets an entry of its own");
	set_and_check(6, true, 5 << 4, others,
		      "a second block that is not adjacent gets a second entry");
	set_and_check(5, true, 7 << 4, others, "a block between two entries joins them into one");
	set_and_check(5, false, 5 << 4, others, "offline of a middle block splits an entry in two");
	set_and_check(5, true, 7 << 4, others,
		      "a block between two entries joins them into one again");
	ok(set_block(4, false) && ram_is(START, 6 << 4),
	   "offline of the first block of an entry shortens the entry at its start");
	ok(set_block(6, false) && ram_is(START, 2 << 4),
	   "offline of the last block of an entry shortens the entry at its end");
	ok(set_block(6, true) && ram_is(START, 6 << 4),
	   "a block that comes online behind an entry extends the entry");
	ok(set_block(4, true) && ram_is(START, 7 << 4),
	   "a block that comes online before an entry extends the entry");
	ok(set_blocks(7 << 4, false), "three adjacent blocks go offline");
	ok(ram_is(START, 0), "/proc/iomem has no entry of blocks that went offline");
	ok(kcore_is(0, others), "kcore has no program header of blocks that went offline");
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
	ok(right, "entries match the populated blocks after each of %d changes of a random block",
	   n);
	ok(set_blocks(populated, false) && ram_is(START, 0),
	   "/proc/iomem has no entry of the region after blocks went offline in random order");
}

/* Every second block goes offline: each one splits an entry. */
static void halves(int others)
{
	ok(region_online(0, "all online_movable") == 0, "all blocks of the region come online");
	ok(ram_is(START, ALL), "a fully populated region is one entry");
	ok(kcore_is(ALL, others), "kcore has two program headers for a fully populated region");
	ok(set_blocks(0xaaaa, false), "every second block goes offline");
	ok(ram_is(START, 0x5555),
	   "with every second block offline, each populated block is an entry");
	ok(kcore_is(0x5555, others),
	   "with every second block offline, kcore has two program headers for each populated block");
	ok(set_blocks(0xaaaa, true) && ram_is(START, ALL),
	   "all blocks are one entry after every second block came online again");
	ok(region_give_back(0) == 0 && ram_is(START, 0),
	   "/proc/iomem has no entry of a region whose blocks are all offline");
}

/*
 * The refusing notifier is called after the module's own: the entry in
 * /proc/iomem has been made by then and must be undone.
 */
static void refused_between(void)
{
	static const struct {
		unsigned int populated;
		const char *where;
	} cases[] = {
		{ 0, "without adjacent entries" }, { 1 << 4, "with an entry before the block" },
		{ 1 << 6, "with an entry behind the block" },
		{ 5 << 4, "with an entry on both sides" },
	};
	size_t i;
	int ret;

	if (!notifier_add("an online that is refused", "-10"))
		return;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		bool was = set_blocks(cases[i].populated, true);

		notifier_refuse("MEM_GOING_ONLINE", ENOMEM);
		ret = write_file("online_movable", MEMORY "/memory%d/state", block_at(START) + 5);
		ok(was && ret == -ENOMEM,
		   "online that a notifier refuses fails with ENOMEM, %s (%s)", cases[i].where,
		   strerror(-ret));
		ok(ram_is(START, cases[i].populated),
		   "online that a notifier refuses leaves the entries unchanged, %s",
		   cases[i].where);
		notifier_refuse("MEM_GOING_ONLINE", 0);
		ok(set_block(5, true) && ram_is(START, cases[i].populated | 1 << 5),
		   "online after a refused online adds the block to the entries, %s",
		   cases[i].where);
		notifier_refuse("MEM_GOING_OFFLINE", EBUSY);
		ret = write_file("offline", MEMORY "/memory%d/state", block_at(START) + 5);
		ok(ret == -EBUSY, "offline that a notifier refuses fails with EBUSY, %s (%s)",
		   cases[i].where,
		   strerror(-ret));
		ok(ram_is(START, cases[i].populated | 1 << 5),
		   "offline that a notifier refuses leaves the entries unchanged, %s",
		   cases[i].where);
		notifier_refuse("MEM_GOING_OFFLINE", 0);
		ok(set_blocks(cases[i].populated | 1 << 5, false) && ram_is(START, 0),
		   "offline of all blocks after a refused offline removes the entries, %s",
		   cases[i].where);
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

/*
 * Read /proc/iomem until SIGTERM. The exit status is 1 if a populated block was
 * missing in a read.
 */
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
	diag("%ld reads of /proc/iomem, a populated block was missing in %ld of them", reads,
	     missing);
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
	ok(done, "a block between two populated blocks goes online and offline %d times", n / 2);
	ok(waitpid(watcher, &status, 0) == watcher && status == 0,
	   "each read of /proc/iomem has both populated blocks while the block between goes online and offline");
	ok(set_blocks(7 << 4, false) && ram_is(START, 0),
	   "/proc/iomem has no entry of the region after reads beside changes of a block");
}

/* Entries of different regions are not joined. */
static void adjacent_regions(void)
{
	struct segment entries[8];
	int count, i;

	ok(region_remove(0) == 0, "the region of %d blocks is removed", BLOCKS);
	ok(region_add(START, 2 * block_size, NULL) == 0, "a region of two blocks is added");
	ok(region_add(START + 2 * block_size, 2 * block_size, NULL) == 0,
	   "a second, adjacent region is added");
	ok(region_online(0, "all online_movable") == 0,
	   "all blocks of the first of two adjacent regions come online");
	ok(region_online(1, "all online_movable") == 0,
	   "all blocks of the second of two adjacent regions come online");
	count = ram_entries(entries, ARRAY_SIZE(entries));
	ok(count == 2,
	   "each of two adjacent populated regions is an entry (%d entries, expected 2)", count);
	ok(region_give_back(0) == 0 && ram_is(START, 0xc),
	   "offline of one of two adjacent regions leaves the other region's entry");
	for (i = 1; i >= 0; i--)
		ok(region_give_back(i) == 0 && region_remove(i) == 0,
		   "region%d goes offline and is removed", i);
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
	adjacent_regions();
	unload_twostage();
}

GROUP(group_iomem) = {
	.name = "iomem", .title = "adjacent populated blocks are one entry in /proc/iomem", .run = run,
};
