// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long it takes, beside what the stock kernel needs for the same work in the same guest
 *
 * The stock kernel's part is a DIMM of the same size. Its blocks and ours take turns, so that whatever else
 * the machine does hits both. What comes out are lines
 *
 *	# measure OPERATION WHO samples=N median_us=X min_us=X max_us=X
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

#define START (4 * GIB)
#define SIZE (2 * GIB)
#define ADD_CYCLES 7
#define ONLINE_CYCLES 5
#define MAX_SAMPLES 256
#define TRACING "/sys/kernel/tracing"

struct samples {
	double us[MAX_SAMPLES];
	int count;
};

/* The two that are compared, in this order in every array */
enum who { TWOSTAGE, STOCK, CONTENDERS };
static const char *const names[CONTENDERS] = { "twostage", "stock" };

static int compare(const void *a, const void *b)
{
	double first = *(const double *)a, second = *(const double *)b;

	return (first > second) - (first < second);
}

static void report(const char *operation, enum who who, struct samples *samples)
{
	if (!ok(samples->count > 0, "%s, %s: measured", operation, names[who]))
		return;
	qsort(samples->us, samples->count, sizeof(samples->us[0]), compare);
	diag("measure %s %s samples=%d median_us=%.1f min_us=%.1f max_us=%.1f", operation, names[who],
	     samples->count, samples->us[samples->count / 2], samples->us[0],
	     samples->us[samples->count - 1]);
}

static void add_sample(struct samples *samples, double us)
{
	if (samples->count < MAX_SAMPLES)
		samples->us[samples->count++] = us;
}

/* The core's functions for adding and removing are timed in the kernel: a DIMM's are called by ACPI. */
static void trace_functions(void)
{
	static const char *const functions[] = {
		"add_memory_resource", "__add_memory_resource", "try_remove_memory",
	};
	size_t i;

	write_file("", TRACING "/set_ftrace_filter");
	for (i = 0; i < ARRAY_SIZE(functions); i++) {
		FILE *filter = fopen(TRACING "/set_ftrace_filter", "a");

		if (!filter)
			continue;
		fputs(functions[i], filter);
		fclose(filter);
	}
	write_file("function_graph", TRACING "/current_tracer");
}

/* " 0) ! 1234.567 us |  add_memory_resource();", maybe over several lines of which the last has the time */
static double traced_us(const char *function)
{
	char *trace = read_whole(TRACING "/trace"), *line, *next;
	double us = -1;

	for (line = trace; *line; line = next) {
		const char *unit, *number;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		else
			next = line + strlen(line);
		unit = strstr(line, " us ");
		if (*line == '#' || !unit || !strstr(unit, function))
			continue;
		for (number = unit; number > line && strchr("0123456789.", number[-1]); number--)
			;
		us = atof(number);
	}
	free(trace);
	return us;
}

static void clear_trace(void)
{
	write_file("", TRACING "/trace");
}

/*
 * The lock for memory hotplug waits for readers once, and is quick for whoever comes soon after that: let
 * everybody start from the same.
 */
static void quiet(void)
{
	clear_trace();
	usleep(500000);
}

static void sample_traced(struct samples *samples, const char *function)
{
	double us = traced_us(function);

	if (us >= 0)
		add_sample(samples, us);
	else
		diag("%s() was not traced", function);
	clear_trace();
}

static int dimm_block = -1;

static bool wait_for_block(int block, bool there)
{
	int tries;

	for (tries = 0; tries < 100 && exists(MEMORY "/memory%d/state", block) != there; tries++)
		usleep(50000);
	usleep(200000);
	return exists(MEMORY "/memory%d/state", block) == there;
}

static bool plug_dimm(void)
{
	host("device_add pc-dimm,id=dimm1,memdev=mem1");
	return wait_for_block(dimm_block + SIZE / block_size - 1, true);
}

static bool unplug_dimm(void)
{
	host("device_del dimm1");
	return wait_for_block(dimm_block, false);
}

static void measure_add(void)
{
	struct samples add[CONTENDERS] = { 0 }, remove[CONTENDERS] = { 0 };
	bool plugged = true;
	int cycle;

	trace_functions();
	for (cycle = 0; cycle < ADD_CYCLES; cycle++) {
		quiet();
		region_add(START, SIZE, NULL);
		sample_traced(&add[TWOSTAGE], "add_memory_resource");
		quiet();
		region_remove(0);
		sample_traced(&remove[TWOSTAGE], "try_remove_memory");

		quiet();
		plugged &= plug_dimm();
		sample_traced(&add[STOCK], "add_memory_resource");
		quiet();
		plugged &= unplug_dimm();
		sample_traced(&remove[STOCK], "try_remove_memory");
	}
	write_file("nop", TRACING "/current_tracer");
	ok(plugged, "the DIMM comes and goes");
	diag("each of these for %d blocks", (int)(SIZE / block_size));
	report("add", TWOSTAGE, &add[TWOSTAGE]);
	report("add", STOCK, &add[STOCK]);
	report("remove", TWOSTAGE, &remove[TWOSTAGE]);
	report("remove", STOCK, &remove[STOCK]);
}

static void sample_block(struct samples *samples, int block, const char *state, bool counts)
{
	double started = now();
	int ret = write_file(state, MEMORY "/memory%d/state", block);

	if (!ret && counts)
		add_sample(samples, (now() - started) * 1e6);
	else if (ret)
		diag("memory%d: %s: %s", block, state, strerror(-ret));
}

/* The first cycle makes the hypervisor back the memory, and does not count. */
static void measure_online(void)
{
	struct samples online[CONTENDERS] = { 0 }, offline[CONTENDERS] = { 0 };
	const int first[CONTENDERS] = { block_at(START), dimm_block };
	const int blocks = SIZE / block_size;
	int cycle, i, turn;

	for (cycle = 0; cycle <= ONLINE_CYCLES; cycle++) {
		for (i = 0; i < blocks; i++)
			for (turn = 0; turn < CONTENDERS; turn++) {
				enum who who = (turn + i + cycle) % CONTENDERS;

				sample_block(&online[who], first[who] + i, "online_movable", cycle > 0);
			}
		for (i = blocks - 1; i >= 0; i--)
			for (turn = 0; turn < CONTENDERS; turn++) {
				enum who who = (turn + i + cycle) % CONTENDERS;

				sample_block(&offline[who], first[who] + i, "offline", cycle > 0);
			}
	}
	report("online", TWOSTAGE, &online[TWOSTAGE]);
	report("online", STOCK, &online[STOCK]);
	report("offline", TWOSTAGE, &offline[TWOSTAGE]);
	report("offline", STOCK, &offline[STOCK]);
}

/* Where the DIMM's blocks come: not told by the monitor, so look. */
static bool find_dimm(void)
{
	int tries, block;

	host("object_add memory-backend-ram,id=mem1,size=%llu", (unsigned long long)SIZE);
	host("device_add pc-dimm,id=dimm1,memdev=mem1");
	for (tries = 0; tries < 100 && dimm_block < 0; tries++) {
		usleep(100000);
		for (block = block_at(START + SIZE); block < block_at(64 * GIB) && dimm_block < 0; block++)
			if (exists(MEMORY "/memory%d", block) &&
			    !strcmp(read_file("/sys/devices/system/memory/memory%d/state", block), "offline"))
				dimm_block = block;
	}
	usleep(500000);
	return dimm_block >= 0 && unplug_dimm();
}

static void run(void)
{
	write_file("offline", MEMORY "/auto_online_blocks");
	if (!ok(find_dimm(), "a DIMM can be plugged and unplugged") || !load_twostage(NULL))
		return;
	measure_add();

	ok(plug_dimm() && region_add(START, SIZE, NULL) == 0, "a DIMM and a region are there");
	measure_online();
	ok(region_remove(0) == 0 && unplug_dimm(), "both are gone again");
	host("object_del mem1");
	unload_twostage();
}

const struct group group_bench = { .name = "bench", .title = "how long it takes, beside stock", .run = run };
