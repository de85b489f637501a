// SPDX-License-Identifier: GPL-2.0-only
/*
 * Several memory blocks with one processor and with two, and of the stock kernel
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <sched.h>

#include "bench.h"

/* The memory from there on is reserved. */
#define START (8 * GIB)
/* Processors on which workers may run that are not bound to one */
#define WORKERS "/sys/devices/virtual/workqueue/cpumask"

enum contender { ONE, TWO, STOCK, CONTENDERS };
static const char *const names[CONTENDERS] = { "one-processor", "two-processors", "stock" };

static int blocks, cycles;

static bool change(enum contender contender, bool online)
{
	bool changed = true;
	int i;

	if (contender != STOCK)
		return online ? !region_online(0, "all online_movable") : !region_offline(0, "all");
	for (i = 0; i < blocks; i++)
		changed &= !write_file(online ? "online_movable" : "offline", MEMORY "/memory%d/state",
				       bench_dimm_block + (online ? i : blocks - 1 - i));
	return changed;
}

static bool measure(enum contender contender, bool counts)
{
	const char *const operations[] = { "offline", "online" };
	bool changed = true;
	int online;

	changed &= !write_file(contender == ONE ? "1" : "3", WORKERS);
	for (online = 1; online >= 0; online--) {
		double started;

		bench_quiet();
		started = now();
		changed &= change(contender, online);
		if (counts)
			sample(operations[online], names[contender],
			       (now() - started) * 1e6 / blocks);
	}
	return changed;
}

/*
 * This process stays on one processor, and the workers are kept on the same one
 * or not. (With the other processor offline, there would be no waits for it
 * either.) The first cycle is not counted: the host backs the memory then.
 */
static void run(void)
{
	bool changed = true;
	int cycle, turn;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	write_file("offline", MEMORY "/auto_online_blocks");
	blocks = block_size >= GIB ? 4 : 64;
	cycles = block_size >= GIB ? 24 : 8;
	if (!ok(bench_dimm_find(START + blocks * block_size, blocks * block_size) && bench_dimm_plug(),
		"a DIMM is plugged") ||
	    !load_twostage(NULL))
		return;
	if (!ok(region_add(START, blocks * block_size, NULL) == 0, "a region is added"))
		return;
	for (cycle = 0; cycle <= cycles && changed; cycle++)
		for (turn = 0; turn < CONTENDERS; turn++)
			changed &= measure((cycle + turn) % CONTENDERS, cycle > 0);
	ok(changed, "all blocks go online and offline in each cycle");
	ok(region_remove(0) == 0, "the region is removed");
	ok(bench_dimm_unplug(), "the DIMM is unplugged");
	host("object_del mem1");
	unload_twostage();
}

GROUP(group_bench_processors) = {
	.name = "bench-processors",
	.title = "several memory blocks with one processor and with two",
	.run = run,
};
