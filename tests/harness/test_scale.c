// SPDX-License-Identifier: GPL-2.0-only
/*
 * What standby memory costs
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <inttypes.h>
#include <unistd.h>

#include "harness.h"

#define START (1024 * GIB)

struct cost {
	long long kib;
	double seconds;
};

static struct cost add_and_remove(uint64_t size)
{
	struct cost cost = { -1, 0 };
	long long before, taken;
	double started;

	write_file("3", "/proc/sys/vm/drop_caches");
	sleep(1);
	before = meminfo("MemFree");
	started = now();
	if (!ok(region_add(START, size, NULL) == 0, "%" PRIu64 " GiB of standby memory are added", size / GIB))
		return cost;
	cost.seconds = now() - started;
	taken = before - meminfo("MemFree");
	cost.kib = taken;
	diag("%" PRIu64 " GiB: %" PRIu64 " blocks, %lld KiB (%lld bytes a block), %.2f s; stock: %" PRIu64
	     " MiB of memmap", size / GIB, size / block_size, taken,
	     taken * 1024 / (long long)(size / block_size), cost.seconds, size / 64 / MIB);
	ok(region_remove(0) == 0, "%" PRIu64 " GiB of standby memory are removed", size / GIB);
	return cost;
}

/* Twice the blocks cost no more than twice the memory, give or take a page for each of them. */
static void check_linear(const struct cost *small, const struct cost *large, int factor)
{
	ok(large->kib < small->kib * factor * 5 / 4 + 1024, "%d times the blocks cost about %d times the memory",
	   factor, factor);
}

static void run(void)
{
	struct cost small, medium, large;

	if (!load_twostage(NULL))
		return;
	/* The first of all pays for what stays: the sections' roots. */
	add_and_remove(1024 * GIB);
	small = add_and_remove(64 * GIB);
	medium = add_and_remove(256 * GIB);
	large = add_and_remove(1024 * GIB);
	check_linear(&small, &medium, 4);
	check_linear(&medium, &large, 4);
	ok(large.kib > 0 && large.kib < 48 * 1024, "1 TiB of standby memory costs less than 48 MiB");
	unload_twostage();
}

static void run_large(void)
{
	struct cost small, large;

	if (!load_twostage(NULL))
		return;
	small = add_and_remove(1024 * GIB);
	large = add_and_remove(4096 * GIB);
	check_linear(&small, &large, 4);
	unload_twostage();
}

const struct group group_scale = { .name = "scale", .title = "what up to 1 TiB of standby memory costs", .run = run };
const struct group group_scale_large = { .name = "scale-large", .title = "what 4 TiB of standby memory cost", .run = run_large };
