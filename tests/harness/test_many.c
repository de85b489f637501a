// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many regions: operations in any order, and by several processes concurrently
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define START (4 * GIB)
#define REGIONS 4
#define REGION_BLOCKS 4
#define PROCESSES 4

static uint64_t region_start(int n)
{
	return START + n * REGION_BLOCKS * block_size;
}

static int add(int n)
{
	return region_add(region_start(n), REGION_BLOCKS * block_size,
			  n % 2 ? "memmap_on_memory=0" : "");
}

static void orders(void)
{
	static const int added[REGIONS] = { 3, 0, 2, 1 };
	static const int offlined[] = { 3, 1, 2 };
	static const int removed[REGIONS] = { 1, 3, 0, 2 };
	static const struct {
		int id;
		const char *what;
	} onlined[REGIONS] = {
		{ 2, "2 online_movable" }, { 0, "1 online_movable" },
		{ 3, "all online_movable" }, { 1, "1 online_movable" },
	};
	struct accounts *before = accounts_take();
	size_t i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(added); i++) {
		ret = add(added[i]);
		ok(ret == 0,
		   "range %d of %d adjacent ranges is added as a region, in random order (%s)",
		   added[i], REGIONS, strerror(-ret));
	}
	for (i = 0; i < ARRAY_SIZE(added); i += 3) {
		long long start = read_number(REGION "/start", (int)i);

		ok(start == (long long)region_start(added[i]),
		   "region%zu is the range that was added as number %zu (start %#llx, expected %#" PRIx64 ")",
		   i, i, start, region_start(added[i]));
	}
	for (i = 0; i < ARRAY_SIZE(onlined); i++) {
		ret = region_online(onlined[i].id, onlined[i].what);
		ok(ret == 0, "\"%s\" sets blocks of region%d online, regions in random order (%s)",
		   onlined[i].what, onlined[i].id, strerror(-ret));
	}
	ret = region_offline(0, "all");
	ok(ret == 0, "all blocks of region0 go offline while other regions are online (%s)",
	   strerror(-ret));
	ret = region_remove(2);
	ok(ret == -EBUSY, "removal of a region with online blocks fails with EBUSY (%s)",
	   strerror(-ret));
	ret = region_remove(0);
	ok(ret == 0,
	   "a region without online blocks is removed while other regions are online (%s)",
	   strerror(-ret));
	ret = add(3);
	ok(ret == 0 && exists(REGION, 0), "a new region gets the lowest free number, 0 (%s)",
	   strerror(-ret));
	for (i = 0; i < ARRAY_SIZE(offlined); i++) {
		ret = region_offline(offlined[i], "all");
		ok(ret == 0, "all blocks of region%d go offline, regions in random order (%s)",
		   offlined[i],
		   strerror(-ret));
	}
	for (i = 0; i < ARRAY_SIZE(removed); i++) {
		ret = region_remove(removed[i]);
		ok(ret == 0, "region%d is removed, regions in random order (%s)", removed[i],
		   strerror(-ret));
	}
	ok(accounts_same(before),
	   "the system matches the baseline after regions were used in random order");
	accounts_free(before);
}

static void hammer(unsigned int seed, double until)
{
	srand(seed);
	while (now() < until) {
		int id = rand() % REGIONS;
		int block = block_at(region_start(id)) + rand() % REGION_BLOCKS;

		switch (rand() % 8) {
		case 0:
			add(id);
			break;
		case 1:
			region_remove(id);
			break;
		case 2:
			region_online(id, "1 online_movable");
			break;
		case 3:
			region_offline(id, "1");
			break;
		case 4:
			region_online(id, "all online_movable");
			break;
		case 5:
			write_file("online_movable", MEMORY "/memory%d/state", block);
			break;
		case 6:
			write_file("offline", MEMORY "/memory%d/state", block);
			break;
		case 7:
			block_stage(block);
			read_file(REGION "/blocks_online", id);
			break;
		}
	}
	_exit(0);
}

/*
 * Wait for the child processes; false if one was killed or exited with an
 * error.
 */
static bool wait_all(int count)
{
	bool well = true;
	int status;

	while (count--)
		well &= wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	return well;
}

static void at_once(void)
{
	struct accounts *before = accounts_take();
	double until = now() + 15;
	int i;

	for (i = 0; i < PROCESSES; i++)
		if (fork() == 0)
			hammer(i + 1, until);
	ok(wait_all(PROCESSES),
	   "%d processes that add, remove, online and offline the same regions exit with 0",
	   PROCESSES);

	/*
	 * A removed region frees its range a little before its number, so
	 * region numbers may exceed the count of regions.
	 */
	for (i = 0; i < REGIONS + PROCESSES; i++) {
		if (!exists(REGION, i))
			continue;
		region_give_back(i);
		region_remove(i);
	}
	ok(run_command("ls " BUS "/devices | grep -q .") != 0,
	   "all regions can be removed after concurrent adds, removals, onlines and offlines");
	ok(accounts_same(before),
	   "the system matches the baseline after concurrent operations on regions");
	accounts_free(before);
}

static bool cycle(void)
{
	return !add(0) && !region_online(0, "all online_movable") && !region_give_back(0) &&
	       !region_remove(0);
}

static void cycles(void)
{
	/* A cycle takes some seconds on a debug kernel. */
	const int count = kernel_debugs() ? 20 : 100;
	bool well = true;
	long long slab;
	int i;

	/* Let the kernel's caches fill before the first measurement. */
	for (i = 0; i < 5; i++)
		well &= cycle();
	write_file("3", "/proc/sys/vm/drop_caches");
	sleep(1);
	slab = meminfo("SUnreclaim");
	for (i = 0; i < count; i++)
		well &= cycle();
	write_file("3", "/proc/sys/vm/drop_caches");
	sleep(1);
	slab = meminfo("SUnreclaim") - slab;
	diag("slab grew by %lld KiB over %d cycles", slab, count);
	/* A leak of 2 KiB for each of the 400 blocks would be 800 KiB. */
	if (kernel_debugs())
		ok(well, "%d cycles of add, online, offline and remove succeed", count);
	else
		ok(well && slab < 512,
		   "%d cycles of add, online, offline and remove leak no slab memory", count);
}

static void run(void)
{
	if (!load_twostage(NULL))
		return;
	orders();
	at_once();
	cycles();
	unload_twostage();
}

GROUP(group_many) = {
	.name = "many", .title = "many regions, in any order and concurrently", .run = run,
};
