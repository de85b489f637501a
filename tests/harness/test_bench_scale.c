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

static void tell(const char *operation, int blocks, double seconds)
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
	tell("add", blocks, now() - started);
	/* twice, so that the command itself is in memory */
	timed_command("twostage list");
	tell("twostage-list", blocks, timed_command("twostage list"));
	tell("twostage-blocks", blocks, timed_command("twostage blocks"));
	timed_command("lsmem");
	tell("lsmem", blocks, timed_command("lsmem"));
	started = now();
	done &= !region_remove(0);
	tell("remove", blocks, now() - started);
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
	ok(done, "up to 4 TiB of standby memory come and go");
	unload_twostage();
}

/*
 * Memory that is there: all above 4 GiB is left alone, so that the kernel, which goes by where its memory ends, takes
 * this for a small system and has small memory blocks.
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
		tell("online-all", blocks, now() - started);
		timed_command("lsmem");
		tell("lsmem-online", blocks, timed_command("lsmem"));
		started = now();
		done &= !region_offline(0, "all");
		tell("offline-all", blocks, now() - started);
		done &= !region_remove(0);
	}
	ok(done, "up to 1024 blocks go online and offline");
	unload_twostage();
}

/*
 * udevd gets an event for each memory block. Its share is what the write takes
 * longer while it runs, and the time from then until all events are handled.
 */
static bool measure_udev(uint64_t gib)
{
	const int blocks = gib * GIB / block_size;
	double started = now();
	bool done;

	done = !region_add(4096 * GIB, gib * GIB, NULL);
	tell("add-udev", blocks, now() - started);
	started = now();
	done &= !run_command("udevadm settle --timeout=600");
	tell("settle-add", blocks, now() - started);
	started = now();
	done &= !region_remove(0);
	tell("remove-udev", blocks, now() - started);
	started = now();
	done &= !run_command("udevadm settle --timeout=600");
	tell("settle-remove", blocks, now() - started);
	return done;
}

static bool measure_no_udev(uint64_t gib)
{
	const int blocks = gib * GIB / block_size;
	double started = now();
	bool done;

	done = !region_add(4096 * GIB, gib * GIB, NULL);
	tell("add-no-udev", blocks, now() - started);
	started = now();
	done &= !region_remove(0);
	tell("remove-no-udev", blocks, now() - started);
	return done;
}

static void run_udev(void)
{
	uint64_t gib;
	bool done = true;

	if (!load_twostage(NULL))
		return;
	/* The first add after the boot makes section structures that stay. */
	measure_no_udev(1024);
	for (gib = 64; gib <= 1024; gib *= 4)
		done &= measure_no_udev(gib);
	if (!ok(run_command("systemd-udevd --daemon") == 0 && run_command("udevadm settle") == 0, "udevd is running"))
		return;
	for (gib = 64; gib <= 1024; gib *= 4)
		done &= measure_udev(gib);
	ok(done, "up to 1 TiB of standby memory come and go");
	run_command("udevadm control --exit");
	unload_twostage();
}

GROUP(group_bench_scale_udev) = {
	.name = "bench-scale-udev", .title = "how long udev takes over standby memory", .run = run_udev, .stays = true,
};
GROUP(group_bench_scale) = {
	.name = "bench-scale", .title = "how times grow with standby memory", .run = run,
};
GROUP(group_bench_scale_online) = {
	.name = "bench-scale-online", .title = "how times grow with memory that goes online", .run = run_online,
};
