// SPDX-License-Identifier: GPL-2.0-only
/*
 * Times of twostage and of the stock kernel for the same work in the same guest
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <stdio.h>
#include <string.h>

#include "bench.h"

#define CYCLES 5

enum contender { TWOSTAGE, STOCK, CONTENDERS };
static const char *const names[CONTENDERS] = { "twostage", "stock" };

/*
 * Measured in the kernel: user space does not know, for example, when ACPI
 * begins to add a DIMM.
 */
static const char *const roots[] = {
	"memory_subsys_online", "memory_subsys_offline",
	"add_memory_resource", "__add_memory_resource", "try_remove_memory", NULL
};

/*
 * Waits for RCU grace periods depend on the other CPUs, so they are reported
 * separately.
 */
static const char *const waits[] = {
	"synchronize_rcu", "synchronize_rcu_expedited", "synchronize_rcu_tasks", NULL
};

static void print(const char *operation, const char *order, bool counts)
{
	if (counts)
		trace_print(operation, order);
}

static bool add_both(bool counts)
{
	bool added;

	bench_quiet();
	trace_on();
	added = !region_add(BENCH_START, BENCH_SIZE, NULL);
	trace_off();
	print("add", names[TWOSTAGE], counts);

	bench_quiet();
	trace_on();
	added &= bench_dimm_plug();
	trace_off();
	print("add", names[STOCK], counts);
	return added;
}

static bool remove_both(bool counts)
{
	bool removed;

	bench_quiet();
	trace_on();
	removed = !region_remove(0);
	trace_off();
	print("remove", names[TWOSTAGE], counts);

	bench_quiet();
	trace_on();
	removed &= bench_dimm_unplug();
	trace_off();
	print("remove", names[STOCK], counts);
	return removed;
}

/* Alternates between the two, and which of them is first */
static bool change_all(const char *operation, const char *state, bool upwards, bool counts)
{
	const int first[CONTENDERS] = { block_at(BENCH_START), bench_dimm_block };
	char order[512] = "";
	bool changed = true;
	int i, turn;

	bench_quiet();
	trace_on();
	for (i = 0; i < BENCH_BLOCKS; i++) {
		for (turn = 0; turn < CONTENDERS; turn++) {
			enum contender current = (turn + i) % CONTENDERS;
			int block = first[current] + (upwards ? i : BENCH_BLOCKS - 1 - i);
			int ret = write_file(state, MEMORY "/memory%d/state", block);

			if (ret)
				diag("memory%d: %s: %s", block, state, strerror(-ret));
			changed &= !ret;
			snprintf(order + strlen(order), sizeof(order) - strlen(order), "%s%s",
				 *order ? "," : "", names[current]);
		}
	}
	trace_off();
	print(operation, order, counts);
	return changed;
}

/* The DIMM's blocks are the stock kernel's: no hook does anything for them. */
static bool dimm_is_stock(void)
{
	const long redirected = bench_redirected();
	bool changed;

	changed = !write_file("online_movable", MEMORY "/memory%d/state", bench_dimm_block) &&
		  !write_file("offline", MEMORY "/memory%d/state", bench_dimm_block);
	return changed && redirected > 0 && bench_redirected() == redirected;
}

/* One write for each block, against one write to the region's attribute */
static bool measure_many(void)
{
	const int first = block_at(BENCH_START);
	bool changed = true;
	int cycle, i;

	if (region_add(BENCH_START, BENCH_SIZE, NULL))
		return false;
	for (cycle = 0; cycle <= 2 * CYCLES; cycle++) {
		const bool one_write = cycle % 2;
		const char *contender = one_write ? "one-write" : "single-writes";
		double started;

		bench_quiet();
		started = now();
		if (one_write)
			changed &= !region_online(0, "16 online_movable");
		else
			for (i = 0; i < BENCH_BLOCKS; i++)
				changed &= !write_file("online_movable", MEMORY "/memory%d/state",
						       first + i);
		if (cycle)
			sample("online-many", contender, (now() - started) * 1e6 / BENCH_BLOCKS);

		bench_quiet();
		started = now();
		if (one_write)
			changed &= !region_offline(0, "16");
		else
			for (i = BENCH_BLOCKS - 1; i >= 0; i--)
				changed &=
					!write_file("offline", MEMORY "/memory%d/state", first + i);
		if (cycle)
			sample("offline-many", contender, (now() - started) * 1e6 / BENCH_BLOCKS);
	}
	return !region_remove(0) && changed;
}

/* The first cycle is not counted: the host backs the memory then. */
static void run(void)
{
	bool added = true, changed = true, stock = true;
	int cycle;

	write_file("offline", MEMORY "/auto_online_blocks");
	if (!ok(bench_dimm_find(BENCH_START + BENCH_SIZE, BENCH_SIZE), "a DIMM can be plugged and unplugged") || !load_twostage(NULL))
		return;
	trace_begin(roots, waits);
	for (cycle = 0; cycle <= CYCLES && added; cycle++) {
		added &= add_both(cycle > 0);
		changed &= change_all("online", "online_movable", true, cycle > 0);
		changed &= change_all("offline", "offline", false, cycle > 0);
		changed &= change_all("re-online", "online_movable", true, cycle > 0);
		changed &= change_all("re-offline", "offline", false, cycle > 0);
		stock &= dimm_is_stock();
		added &= remove_both(cycle > 0);
	}
	trace_end();
	ok(added, "a region and a DIMM are added and removed in each cycle");
	ok(changed, "all blocks of a region and a DIMM go online and offline in each cycle");
	ok(stock, "no hook redirects a call while the DIMM's blocks go online and offline beside a region");
	ok(measure_many(),
	   "blocks go online and offline by single writes and by one write to the region");
	host("object_del mem1");
	unload_twostage();
}

GROUP(group_bench_time) = {
	.name = "bench-time", .title = "times of twostage and of the stock kernel", .run = run,
};
