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

static bool add(enum contender contender, bool counts)
{
	bool done;

	bench_quiet();
	trace_on();
	done = contender == TWOSTAGE ? !region_add(BENCH_START, BENCH_SIZE, NULL) :
				       bench_dimm_plug();
	trace_off();
	print("add", names[contender], counts);
	return done;
}

static bool remove_again(enum contender contender, bool counts)
{
	bool done;

	bench_quiet();
	trace_on();
	done = contender == TWOSTAGE ? !region_remove(0) : bench_dimm_unplug();
	trace_off();
	print("remove", names[contender], counts);
	return done;
}

/* Alternates between the contenders, and which of them is first */
static bool change_all(const char *operation, enum contender from, int contenders, bool counts)
{
	const bool online = strstr(operation, "online");
	const char *state = online ? "online_movable" : "offline";
	const int first[CONTENDERS] = { block_at(BENCH_START), bench_dimm_block };
	char order[512] = "";
	bool done = true;
	int i, turn;

	bench_quiet();
	trace_on();
	for (i = 0; i < BENCH_BLOCKS; i++) {
		for (turn = 0; turn < contenders; turn++) {
			enum contender current = from + (turn + i) % contenders;
			int block = first[current] + (online ? i : BENCH_BLOCKS - 1 - i);
			int ret = write_file(state, MEMORY "/memory%d/state", block);

			if (ret)
				diag("memory%d: %s: %s", block, state, strerror(-ret));
			done &= !ret;
			snprintf(order + strlen(order), sizeof(order) - strlen(order), "%s%s",
				 *order ? "," : "", names[current]);
		}
	}
	trace_off();
	print(operation, order, counts);
	return done;
}

/* No hook does anything for the stock kernel's blocks. */
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

static bool added = true, changed = true, stock = true;

/* Measures contenders side by side */
static void measure(enum contender from, int contenders, bool counts)
{
	int i;

	for (i = 0; i < contenders; i++)
		added &= add(from + i, counts);
	changed &= change_all("online", from, contenders, counts);
	changed &= change_all("offline", from, contenders, counts);
	changed &= change_all("re-online", from, contenders, counts);
	changed &= change_all("re-offline", from, contenders, counts);
	if (from + contenders > STOCK)
		stock &= dimm_is_stock();
	for (i = 0; i < contenders; i++)
		added &= remove_again(from + i, counts);
}

/*
 * The first cycle is not counted: the host backs the memory then. Without DIMMs
 * the stock memory is on the region's node, where the module would spare it the
 * search for holes. So it is added when the region has been removed.
 */
static void run(void)
{
	int cycle;

	write_file("offline", MEMORY "/auto_online_blocks");
	if (!ok(bench_dimm_find(BENCH_START + BENCH_SIZE, BENCH_SIZE),
		"the stock kernel adds and removes memory of the region's size") ||
	    !load_twostage(NULL))
		return;
	trace_begin(roots, waits);
	for (cycle = 0; cycle <= CYCLES && added; cycle++) {
		if (architecture.dimms) {
			measure(TWOSTAGE, CONTENDERS, cycle > 0);
		} else {
			measure(TWOSTAGE, 1, cycle > 0);
			measure(STOCK, 1, cycle > 0);
		}
	}
	trace_end();
	ok(added, "a region and stock memory are added and removed in each cycle");
	ok(changed, "all blocks of a region and of stock memory go online and offline in each cycle");
	ok(stock, "no hook redirects a call while a block of stock memory goes online and offline");
	ok(measure_many(),
	   "blocks go online and offline by single writes and by one write to the region");
	bench_dimm_forget();
	unload_twostage();
}

GROUP(group_bench_time) = {
	.name = "bench-time", .title = "times of twostage and of the stock kernel", .run = run,
};
