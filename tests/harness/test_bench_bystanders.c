// SPDX-License-Identifier: GPL-2.0-only
/*
 * The cost for systems that do not use twostage: a DIMM's blocks without the
 * module, with it, and with a region
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <stdio.h>
#include <string.h>

#include "bench.h"

#define CYCLES 12
#define LOADS 5

static const char *const roots[] = { "memory_subsys_online", "memory_subsys_offline", NULL };
static const char *const waits[] = {
	"synchronize_rcu", "synchronize_rcu_expedited", "synchronize_rcu_tasks", NULL
};

static bool change_all(const char *operation, const char *contender, bool online, bool counts)
{
	char order[512] = "";
	bool changed = true;
	int i;

	bench_quiet();
	trace_on();
	for (i = 0; i < BENCH_BLOCKS; i++) {
		changed &= !write_file(online ? "online_movable" : "offline",
				       MEMORY "/memory%d/state",
				       bench_dimm_block + (online ? i : BENCH_BLOCKS - 1 - i));
		snprintf(order + strlen(order), sizeof(order) - strlen(order), "%s%s", i ? "," : "",
			 contender);
	}
	trace_off();
	if (counts)
		trace_print(operation, order);
	return changed;
}

static bool pass(const char *contender, bool counts)
{
	return change_all("online", contender, true, counts) &&
	       change_all("offline", contender, false, counts);
}

/* How much longer the load takes with a region= parameter */
static void measure_loading(void)
{
	bool loaded = true;
	int i;

	for (i = 0; i < 2 * LOADS; i++) {
		const bool region = i % 2;
		double started;

		bench_quiet();
		started = now();
		loaded &= !module_load("twostage", region ? "region=1T:1T" : NULL);
		sample("load", region ? "with-1-TiB" : "without-region", (now() - started) * 1e6);
		if (region)
			loaded &= !region_remove(0);
		loaded &= !module_unload("twostage");
	}
	ok(loaded, "twostage loads with a region of 1 TiB and without, and unloads");
}

static const char *region_on(int node)
{
	static char option[16];

	snprintf(option, sizeof(option), "node=%d", node);
	return option;
}

static void run(void)
{
	bool same = true;
	int cycle;

	write_file("offline", MEMORY "/auto_online_blocks");
	if (!ok(bench_dimm_find(BENCH_START + BENCH_SIZE, BENCH_SIZE) && bench_dimm_plug(), "a DIMM is plugged"))
		return;
	trace_begin(roots, waits);
	for (cycle = 0; cycle <= CYCLES && same; cycle++) {
		same &= pass("without", cycle > 0);
		same &= !module_load("twostage", NULL);
		same &= pass("module", cycle > 0);
		same &= !region_add(BENCH_START, BENCH_SIZE, region_on(BENCH_REGION_NODE));
		same &= pass("region", cycle > 0);
		same &= !region_remove(0);
		same &= !region_add(BENCH_START, BENCH_SIZE, region_on(BENCH_DIMM_NODE));
		same &= pass("region-beside", cycle > 0);
		same &= !region_remove(0) && !module_unload("twostage");
	}
	trace_end();
	ok(same,
	   "the DIMM's blocks go online and offline in each cycle");
	ok(bench_dimm_unplug(), "the DIMM is unplugged after the last cycle");
	host("object_del mem1");
	measure_loading();
}

GROUP(group_bench_bystanders) = {
	.name = "bench-bystanders",
	.title = "the cost for systems that do not use twostage",
	.run = run,
};
