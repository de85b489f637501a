// SPDX-License-Identifier: GPL-2.0-only
/*
 * Concurrent operations for STRESS_SECONDS (default 60), with data that is
 * checked
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <stdlib.h>

#include "harness.h"
#include "stress.h"

#define START (4 * GIB)
#define REGION_BLOCKS 4
/* Regions from STEADY on are added and removed all the time. */
#define REGIONS 4
#define STEADY 2

static uint64_t region_start(int n)
{
	return START + n * REGION_BLOCKS * block_size;
}

static int random_block(void)
{
	return block_at(START) + rand() % (REGIONS * REGION_BLOCKS);
}

enum { ONLINE, OFFLINE, ADD, REMOVE, READ, FILL, CHECK, KINDS };

/*
 * The block may be in no region at that moment, or in one that is being
 * removed.
 */
#define GONE { ENOENT, "its region does not exist", NULL }, { ENODEV, "its region is being removed", NULL }

static const struct stress_error online_errors[] = {
	GONE, { EINVAL, "it is online already", NULL },
	{ ENOMEM, "no ordinary memory for a memmap", NULL }, { 0 },
};
static const struct stress_error offline_errors[] = {
	GONE, { EINVAL, "it is offline already", NULL },
	{ EBUSY, "there are pages that cannot be moved", NULL }, { 0 },
};
static const struct stress_error add_errors[] = {
	{ EEXIST, "a region with another number has the range", NULL }, { 0 },
};
static const struct stress_error remove_errors[] = { { EBUSY, "blocks of it are online", NULL },
	{ 0 } };

static const struct stress_kind kinds[KINDS] = {
	[ONLINE] = { .name = "online", .errors = online_errors },
	[OFFLINE] = { .name = "offline", .errors = offline_errors },
	[ADD] = { .name = "add", .errors = add_errors },
		[REMOVE] = { .name = "remove", .errors = remove_errors },
	[READ] = { .name = "read" }, [FILL] = { .name = "fill" }, [CHECK] = { .name = "check" },
};

/*
 * Offline takes memory away: a block goes offline only if that much is
 * reserved, or else the OOM killer would kill a task.
 */
static void change_blocks(void)
{
	if (rand() % 2) {
		stress_write(ONLINE, "online_movable", MEMORY "/memory%d/state", random_block());
	} else if (stress_book(block_size)) {
		stress_write(OFFLINE, "offline", MEMORY "/memory%d/state", random_block());
		stress_unbook(block_size);
	}
}

static void change_regions(void)
{
	int id = STEADY + rand() % (REGIONS - STEADY);
	double started;

	if (exists(REGION, id)) {
		if (stress_book(REGION_BLOCKS * block_size)) {
			region_offline(id, "all");
			stress_unbook(REGION_BLOCKS * block_size);
		}
		started = now();
		stress_note(REMOVE, started, region_remove(id));
	} else {
		started = now();
		stress_note(ADD, started, region_add(region_start(id), REGION_BLOCKS * block_size,
						     rand() % 2 ? "memmap_on_memory=0" : ""));
	}
	change_blocks();
}

static void read_all(void)
{
	double started = now();

	stress_note(READ, started, look_at_block(random_block()) > 0 ? 0 : -EIO);
}

/*
 * Use most of the memory that is available, so that offline has hardly any free
 * page to migrate data to.
 */
static void use_memory(void)
{
	uint64_t available = meminfo("MemAvailable") * UINT64_C(1024);

	stress_use_memory(FILL, CHECK, available / 100 * (30 + rand() % 60), rand() % 300);
}

static const struct stress_job jobs[] = {
	{ "blocks", change_blocks, 1 },
	{ "regions", change_regions, 1 },
	{ "readers", read_all, 1 },
	{ "memory", use_memory, 1 },
};

static void check_done(int kind, long enough)
{
	ok(stress_done(kind) > enough, "operation \"%s\" succeeds more than %ld times (%ld)",
	   kinds[kind].name, enough,
	   stress_done(kind));
}

static bool all_done(long enough)
{
	return stress_done(ONLINE) > enough && stress_done(OFFLINE) > enough &&
	       stress_done(ADD) > enough / 5 && stress_done(REMOVE) > enough / 5 &&
	       stress_done(READ) > enough && stress_checked() > 100 * MIB;
}

static void run(void)
{
	const char *setting = getenv("STRESS_SECONDS");
	int seconds = setting ? atoi(setting) : 60;
	struct accounts *before;
	int enough, i, rounds;
	bool well = true;
	long unexpected;

	if (!load_twostage(NULL))
		return;
	if (readers_trip_over_huge_pages())
		write_file("never", "/sys/kernel/mm/transparent_hugepage/enabled");
	before = accounts_take();
	stress_begin(kinds, KINDS);
	for (i = 0; i < REGIONS; i++)
		well &= !region_add(region_start(i), REGION_BLOCKS * block_size, "");
	ok(well, "%d regions are added before the stress", REGIONS);

	/* Emulation on a busy machine is slow, more so of the debug kernel. */
	enough = kernel_debugs() || seconds < 60 ? 5 : 10;
	for (rounds = 0; well && rounds < 4 && (!rounds || !all_done(enough)); rounds++)
		well &= stress_run(jobs, ARRAY_SIZE(jobs), seconds, rounds + 1, NULL);
	unexpected = stress_report();
	diag("%d times %d s: %llu MiB checked", rounds, seconds,
	     (unsigned long long)(stress_checked() / MIB));
	ok(well, "%zu processes run for %d seconds and exit without error", ARRAY_SIZE(jobs),
	   seconds);
	ok(!stress_lost(), "no data is lost in blocks that go online and offline (%llu bytes)",
	   (unsigned long long)stress_lost());
	ok(!unexpected,
	   "each operation of the stress succeeds or fails with an expected error (%ld others)",
	   unexpected);
	check_done(ONLINE, enough);
	check_done(OFFLINE, enough);
	check_done(ADD, enough / 5);
	check_done(REMOVE, enough / 5);
	check_done(READ, enough);
	ok(stress_checked() > 100 * MIB, "more than 100 MiB of data are checked (%llu MiB)",
	   (unsigned long long)(stress_checked() / MIB));

	for (i = 0; i < REGIONS; i++) {
		if (!exists(REGION, i))
			continue;
		region_give_back(i);
		well &= !region_remove(i);
	}
	ok(well, "all regions can be removed after the stress");
	ok(accounts_same(before), "the system matches the baseline after the stress");
	accounts_free(before);
	stress_end();
	unload_twostage();
}

GROUP(group_stress) = {
	.name = "stress",
	.title = "concurrent operations under memory pressure, with data that is checked",
	.run = run,
};
