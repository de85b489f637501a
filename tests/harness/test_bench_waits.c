// SPDX-License-Identifier: GPL-2.0-only
/*
 * How often add, online, offline and remove interrupt other CPUs, flush TLBs
 * and wait
 *
 * kprobe events count the calls of the functions that do it:
 *
 *	# waits-counted FUNCTION...
 *	# waits OPERATION CONTENDER blocks=NUMBER FUNCTION=CALLS...
 *
 * Functions without a call are left out. The calls of all tasks count, since
 * works do a part of it.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define CYCLES 3
#define TRACING "/sys/kernel/tracing"
#define EVENTS "waits"

/* Kernels that lack one, or have inlined it, do not count it. */
static const char *const functions[] = {
	/* interrupts of other CPUs that carry a function call */
	"native_send_call_func_single_ipi", "native_send_call_func_ipi",
	/* TLB flushes */
	"flush_tlb_all", "flush_tlb_kernel_range",
	/* waits for grace periods */
	"synchronize_rcu", "synchronize_rcu_expedited", "synchronize_rcu_tasks",
	"synchronize_srcu", "synchronize_srcu_expedited", "rcu_barrier",
	/* waits for each CPU, or for works on it */
	"stop_machine", "stop_machine_cpuslocked", "__drain_all_pages", "__lru_add_drain_all",
	"schedule_on_each_cpu", "flush_work", "__flush_workqueue",
	/* locks */
	"percpu_down_write", "mem_hotplug_begin",
};

#define FUNCTIONS ARRAY_SIZE(functions)

struct counts {
	long calls[FUNCTIONS];
};

static bool counting_begin(void)
{
	char names[1024] = "", probe[128];
	size_t i;

	write_file("0", TRACING "/tracing_on");
	for (i = 0; i < FUNCTIONS; i++) {
		snprintf(probe, sizeof(probe), "p:" EVENTS "/%s %s\n", functions[i], functions[i]);
		if (!write_file(probe, TRACING "/kprobe_events"))
			snprintf(names + strlen(names), sizeof(names) - strlen(names), " %s",
				 functions[i]);
	}
	diag("waits-counted%s", names);
	return !write_file("1", TRACING "/events/" EVENTS "/enable");
}

static void counting_end(void)
{
	write_file("0", TRACING "/events/" EVENTS "/enable");
	write_file("-:" EVENTS "/", TRACING "/kprobe_events");
	write_file("1", TRACING "/tracing_on");
}

/* The lines of kprobe_profile are: event, hits, misses. */
static struct counts count(void)
{
	char *profile = read_whole(TRACING "/kprobe_profile"), *line = profile, name[64];
	struct counts now = {};
	long hits;
	size_t i;

	for (; line && *line; line = strchr(line, '\n'), line += !!line) {
		if (sscanf(line, " %63s %ld", name, &hits) != 2)
			continue;
		for (i = 0; i < FUNCTIONS; i++)
			if (!strcmp(name, functions[i]))
				now.calls[i] = hits;
	}
	free(profile);
	return now;
}

static long calls_of(const struct counts *before, const struct counts *after, const char *function)
{
	size_t i;

	for (i = 0; i < FUNCTIONS; i++)
		if (!strcmp(functions[i], function))
			return after->calls[i] - before->calls[i];
	return -1;
}

static void print(const char *operation, const char *contender, int blocks,
		  const struct counts *before, const struct counts *after)
{
	char line[1024] = "";
	size_t i;

	for (i = 0; i < FUNCTIONS; i++)
		if (after->calls[i] != before->calls[i])
			snprintf(line + strlen(line), sizeof(line) - strlen(line), " %s=%ld",
				 functions[i], after->calls[i] - before->calls[i]);
	diag("waits %s %s blocks=%d%s", operation, contender, blocks, line);
}

static bool change(int block, const char *state)
{
	int ret = write_file(state, MEMORY "/memory%d/state", block);

	if (ret)
		diag("memory%d: %s: %s", block, state, strerror(-ret));
	return !ret;
}

/* Each block by a write of its own, with a pause before each */
static bool change_each(const char *operation, const char *state, const char *contender, int first)
{
	bool changed = true;
	int i;

	for (i = 0; i < BENCH_BLOCKS; i++) {
		struct counts before, after;

		bench_quiet();
		before = count();
		changed &= change(first + i, state);
		after = count();
		print(operation, contender, 1, &before, &after);
	}
	return changed;
}

/* All blocks by a write for each, without a pause */
static bool change_all(const char *operation, const char *state, const char *contender, int first)
{
	struct counts before, after;
	bool changed = true;
	int i;

	bench_quiet();
	before = count();
	for (i = 0; i < BENCH_BLOCKS; i++)
		changed &= change(first + i, state);
	after = count();
	print(operation, contender, BENCH_BLOCKS, &before, &after);
	return changed;
}

/*
 * Whether mem_hotplug_lock was taken for each block anew: @times is how often
 * that is for one.
 */
static bool taken_for_each(const struct counts *before, const struct counts *after, int times)
{
	return calls_of(before, after, "mem_hotplug_begin") == (long)times * BENCH_BLOCKS;
}

/* All blocks of the region by one write to its attribute */
static bool change_by_region(bool *lock_is_given_up)
{
	struct counts before, after;
	bool changed;

	bench_quiet();
	before = count();
	changed = !region_online(0, "all online_movable");
	after = count();
	print("online-all", "one-write", BENCH_BLOCKS, &before, &after);
	*lock_is_given_up &= taken_for_each(&before, &after, 1);

	bench_quiet();
	before = count();
	changed &= !region_offline(0, "all");
	after = count();
	print("offline-all", "one-write", BENCH_BLOCKS, &before, &after);
	/* Once for the offline and once for stage 2 */
	*lock_is_given_up &= taken_for_each(&before, &after, 2);
	return changed;
}

static bool change_blocks(const char *contender, int first)
{
	return change_each("online", "online_movable", contender, first) &&
	       change_each("offline", "offline", contender, first) &&
	       change_all("online-all", "online_movable", contender, first) &&
	       change_all("offline-all", "offline", contender, first);
}

/* What happens in the time of an operation without one */
static void measure_nothing(void)
{
	struct counts before, after;

	bench_quiet();
	before = count();
	usleep(100000);
	after = count();
	print("nothing", "nothing", BENCH_BLOCKS, &before, &after);
}

static bool measure_twostage(bool *lock_is_given_up)
{
	struct counts before, after;
	bool done;

	bench_quiet();
	before = count();
	done = !region_add(BENCH_START, BENCH_SIZE, NULL);
	after = count();
	print("add", "twostage", BENCH_BLOCKS, &before, &after);
	done = done && change_blocks("twostage", block_at(BENCH_START)) &&
	       change_by_region(lock_is_given_up);
	bench_quiet();
	before = count();
	done &= !region_remove(0);
	after = count();
	print("remove", "twostage", BENCH_BLOCKS, &before, &after);
	return done;
}

static bool measure_stock(void)
{
	struct counts before, after;
	bool done;

	bench_quiet();
	before = count();
	done = bench_dimm_plug();
	after = count();
	print("add", "stock", BENCH_BLOCKS, &before, &after);
	done = done && change_blocks("stock", bench_dimm_block);
	bench_quiet();
	before = count();
	done &= bench_dimm_unplug();
	after = count();
	print("remove", "stock", BENCH_BLOCKS, &before, &after);
	return done;
}

static void run(void)
{
	bool twostage = true, stock = true, lock_is_given_up = true;
	int cycle;

	write_file("offline", MEMORY "/auto_online_blocks");
	if (!ok(bench_dimm_find(BENCH_START + BENCH_SIZE, BENCH_SIZE),
		"a DIMM can be plugged and unplugged") ||
	    !load_twostage(NULL))
		return;
	if (ok(counting_begin(), "calls can be counted by kprobe events")) {
		for (cycle = 0; cycle < CYCLES && twostage && stock; cycle++) {
			measure_nothing();
			twostage &= measure_twostage(&lock_is_given_up);
			stock &= measure_stock();
		}
		ok(twostage, "a region and its blocks can be changed while calls are counted");
		ok(stock, "a DIMM and its blocks can be changed while calls are counted");
		ok(lock_is_given_up,
		   "a write to a region's attribute takes mem_hotplug_lock anew for each block");
	}
	counting_end();
	host("object_del mem1");
	unload_twostage();
}

GROUP(group_bench_waits) = {
	.name = "bench-waits", .title = "interrupts, flushes and waits by operation", .run = run,
};
