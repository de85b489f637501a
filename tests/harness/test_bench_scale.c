// SPDX-License-Identifier: GPL-2.0-only
/*
 * How times grow with the number of blocks
 *
 *	# scale OPERATION BLOCKS SECONDS
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <inttypes.h>

#include "bench.h"

static double timed_command(const char *command)
{
	double started = now();

	return run_command("%s > /dev/null", command) ? -1 : now() - started;
}

static void print_time(const char *operation, int blocks, double seconds)
{
	if (seconds >= 0)
		diag("scale %s %d %.4f", operation, blocks, seconds);
}

static bool measure(uint64_t gib)
{
	const int blocks = gib * GIB / block_size;
	double started = now();
	bool done;

	done = !region_add(4096 * GIB, gib * GIB, NULL);
	print_time("add", blocks, now() - started);
	/*
	 * Run each command once before, so that its file is in the page cache.
	 */
	timed_command("twostage list");
	print_time("twostage-list", blocks, timed_command("twostage list"));
	print_time("twostage-blocks", blocks, timed_command("twostage blocks"));
	timed_command("lsmem");
	print_time("lsmem", blocks, timed_command("lsmem"));
	started = now();
	done &= !region_remove(0);
	print_time("remove", blocks, now() - started);
	return done;
}

static void run(void)
{
	uint64_t gib;
	bool done = true;

	if (!load_twostage(NULL))
		return;
	for (gib = 64; gib <= 4096; gib *= 2)
		done &= measure(gib);
	ok(done, "regions of 64 GiB to 4 TiB are added and removed");
	unload_twostage();
}

/*
 * Regions with memory behind them. All RAM above 4 GiB is reserved, so the
 * kernel, which chooses the block size by the end of RAM, uses small memory
 * blocks.
 */
static void run_online(void)
{
	const uint64_t start = 4 * GIB;
	bool done = true;
	int blocks;

	if (!load_twostage(NULL))
		return;
	for (blocks = 64; blocks <= 1024; blocks *= 2) {
		double started;

		if (blocks * block_size > 128 * GIB)
			break;
		done &= !region_add(start, blocks * block_size, NULL);
		started = now();
		done &= !region_online(0, "all online_movable");
		print_time("online-all", blocks, now() - started);
		timed_command("lsmem");
		print_time("lsmem-online", blocks, timed_command("lsmem"));
		started = now();
		done &= !region_offline(0, "all");
		print_time("offline-all", blocks, now() - started);
		done &= !region_remove(0);
	}
	ok(done, "regions of 64 to 1024 blocks go online and offline");
	unload_twostage();
}

/*
 * udevd gets an event for each memory block. It costs the time by which the
 * write takes longer while it runs, and the time from then until all events are
 * handled.
 */
static bool measure_udev(uint64_t gib)
{
	const int blocks = gib * GIB / block_size;
	double started = now();
	bool done;

	done = !region_add(4096 * GIB, gib * GIB, NULL);
	print_time("add-udev", blocks, now() - started);
	started = now();
	done &= !run_command("udevadm settle --timeout=600");
	print_time("settle-add", blocks, now() - started);
	started = now();
	done &= !region_remove(0);
	print_time("remove-udev", blocks, now() - started);
	started = now();
	done &= !run_command("udevadm settle --timeout=600");
	print_time("settle-remove", blocks, now() - started);
	return done;
}

static bool measure_no_udev(uint64_t gib)
{
	const int blocks = gib * GIB / block_size;
	double started = now();
	bool done;

	done = !region_add(4096 * GIB, gib * GIB, NULL);
	print_time("add-no-udev", blocks, now() - started);
	started = now();
	done &= !region_remove(0);
	print_time("remove-no-udev", blocks, now() - started);
	return done;
}

static void run_udev(void)
{
	uint64_t gib;
	bool done = true;

	if (!load_twostage(NULL))
		return;
	/* The first add after boot allocates section structures, which stay. */
	measure_no_udev(1024);
	for (gib = 64; gib <= 1024; gib *= 4)
		done &= measure_no_udev(gib);
	if (!ok(run_command("systemd-udevd --daemon") == 0 && run_command("udevadm settle") == 0,
		"udevd starts and settles"))
		return;
	for (gib = 64; gib <= 1024; gib *= 4)
		done &= measure_udev(gib);
	ok(done, "regions of 64 GiB to 1 TiB are added and removed without udevd and with it");
	run_command("udevadm control --exit");
	unload_twostage();
}

GROUP(group_bench_scale_udev) = {
	.name = "bench-scale-udev",
	.title = "the time that udev takes for standby memory",
	.run = run_udev,
	.stays = true,
};
GROUP(group_bench_scale) = {
	.name = "bench-scale", .title = "how times grow with standby memory", .run = run,
};
GROUP(group_bench_scale_online) = {
	.name = "bench-scale-online",
	.title = "how times grow with memory that goes online",
	.run = run_online,
};
