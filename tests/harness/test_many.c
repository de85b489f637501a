// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any number of regions, in any order, and several processes at once
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
	return region_add(region_start(n), REGION_BLOCKS * block_size, n % 2 ? "memmap_on_memory=0" : "");
}

static void orders(void)
{
	struct accounts *before = accounts_take();

	ok(!add(3) && !add(0) && !add(2) && !add(1), "touching regions are added in any order");
	ok(read_number(REGION "/start", 0) == (long long)region_start(3) &&
	   read_number(REGION "/start", 3) == (long long)region_start(1), "they are numbered as they come");
	ok(!region_online(2, "2 online_movable") && !region_online(0, "1 online_movable") &&
	   !region_online(3, "all online_movable") && !region_online(1, "1 online_movable"),
	   "blocks go online in any order");
	ok(!region_offline(0, "all") && region_remove(2) == -EBUSY && !region_remove(0),
	   "a region without online blocks is removed, one with some is not");
	ok(!add(3) && exists(REGION, 0), "the lowest free number is taken again");
	ok(!region_offline(3, "all") && !region_offline(1, "all") && !region_offline(2, "all"),
	   "blocks go offline in any order");
	ok(!region_remove(1) && !region_remove(3) && !region_remove(0) && !region_remove(2),
	   "regions are removed in any order");
	ok(accounts_same(before), "then every account is what it was");
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

/* Waits for the children; false if one did not end well. */
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
	ok(wait_all(PROCESSES), "four processes add, remove, online and offline the same regions at once");

	/* A region keeps its number a little longer than its addresses: there can be more numbers than regions. */
	for (i = 0; i < REGIONS + PROCESSES; i++) {
		if (!exists(REGION, i))
			continue;
		region_give_back(i);
		region_remove(i);
	}
	ok(run_command("ls " BUS "/devices | grep -q .") != 0, "afterwards all of them can be removed");
	ok(accounts_same(before), "afterwards every account is what it was");
	accounts_free(before);
}

static bool cycle(void)
{
	return !add(0) && !region_online(0, "all online_movable") && !region_give_back(0) && !region_remove(0);
}

static void cycles(void)
{
	/* Each takes some seconds there. */
	const int count = kernel_debugs() ? 20 : 100;
	bool well = true;
	long long slab;
	int i;

	/* What is kept for the next time is kept by now. */
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
	/* 400 blocks have come and gone: one 2 KiB object lost for each would be 800 KiB. */
	if (kernel_debugs())
		ok(well, "%d cycles of a region work", count);
	else
		ok(well && slab < 512, "%d cycles of a region leave no slab memory behind", count);
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

GROUP(group_many) = { .name = "many", .title = "any number of regions, in any order, at once", .run = run };
