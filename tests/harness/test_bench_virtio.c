// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of a virtio-mem device: the time until it is usable, and what the host
 * has resident
 *
 * With twostage, the time of the write that sets the blocks online. With the
 * kernel's own driver, the time from the interrupt for a new requested size
 * until the last block is online, taken from the trace.
 *
 *	# rss CONTENDER STEP MIB
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"

#define CYCLES 6
#define MANY 8

static const char *const roots[] = { "virtio_mem_config_changed", "memory_subsys_online", NULL };
static const char *const nothing[] = { NULL };

static const char *contender;
static bool (*change)(int blocks);

/* Changes the number of blocks that are online */
static bool change_twostage(int blocks)
{
	char text[64];
	int now_online = blocks_online(0);

	if (blocks == now_online)
		return true;
	if (blocks > now_online) {
		double started = now();

		snprintf(text, sizeof(text), "%d online_movable", blocks - now_online);
		if (region_online(0, text))
			return false;
		sample(blocks - now_online == 1 ? "usable-1" : "usable-8", contender,
		       (now() - started) * 1e6);
		return true;
	}
	snprintf(text, sizeof(text), "%d", now_online - blocks);
	return region_offline(0, text) == 0;
}

/* The driver unplugs asynchronously. */
static bool change_stock(int blocks)
{
	static int before;
	int tries;

	trace_on();
	host("qom-set vm0 requested-size %" PRIu64, blocks * block_size);
	for (tries = 0; tries < 100; tries++) {
		usleep(200000);
		if (strtoull(host_ask("qom-get vm0 size"), NULL, 10) == blocks * block_size)
			break;
	}
	usleep(200000);
	trace_off();
	if (blocks > before)
		trace_print(blocks - before == 1 ? "usable-1" : "usable-8", contender);
	before = blocks;
	return tries < 100;
}

static void print_resident(const char *step)
{
	diag("rss %s %s %lld", contender, step, strtoll(host_ask("rss"), NULL, 10) / 1024);
}

static bool resident_cycle(void)
{
	struct memory memory;
	bool done;

	print_resident("standby");
	done = change(MANY);
	print_resident("online");
	done &= memory_fill(&memory, 900 * MIB, 1);
	print_resident("used");
	memory_free(&memory);
	print_resident("freed");
	done &= change(0);
	print_resident("given-back");
	return done;
}

static void measure(void)
{
	bool done = true;
	int cycle;

	for (cycle = 0; cycle < CYCLES; cycle++)
		done &= change(1) && change(0) && change(MANY) && change(0);
	ok(done, "%s: 1 and 8 blocks of memory are added and removed in each cycle", contender);
	ok(resident_cycle(), "%s: 8 blocks of memory are added, used and removed", contender);
}

static void run_twostage(void)
{
	contender = "twostage";
	change = change_twostage;
	write_file("offline", MEMORY "/auto_online_blocks");
	ok(module_load_system("virtio_pci", NULL) == 0, "the virtio bus driver loads");
	host("qom-set vm0 requested-size %" PRIu64, MANY * block_size);
	usleep(700000);
	if (!load_twostage(NULL) ||
	    !ok(!module_load("twostage_virtio_mem", NULL), "twostage_virtio_mem loads"))
		return;
	measure();
	ok(virtio_unbind(virtio_device(24, 0)) == 0 && module_unload("twostage_virtio_mem") == 0,
	   "twostage_virtio_mem unbinds and unloads");
	unload_twostage();
}

/* The driver requests the device's whole range, and stays loaded. */
static void setup_stock(void)
{
	write_file("online_movable", MEMORY "/auto_online_blocks");
	ok(module_load_system("virtio_pci", NULL) == 0 &&
	   module_load_system("virtio_mem", NULL) == 0,
	   "setup: the kernel's driver for virtio-mem loads");
	usleep(500000);
}

static void run_stock(void)
{
	contender = "virtio-mem";
	change = change_stock;
	trace_begin(roots, nothing);
	write_file("1", "/sys/kernel/tracing/options/funcgraph-abstime");
	measure();
	trace_end();
}

GROUP(group_bench_virtio) = {
	.name = "bench-virtio",
	.title = "memory of a virtio-mem device with twostage",
	.run = run_twostage,
};
GROUP(group_bench_virtio_stock) = {
	.name = "bench-virtio-stock",
	.title = "memory of a virtio-mem device with the kernel's own driver",
	.setup = setup_stock,
	.run = run_stock,
};
