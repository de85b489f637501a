// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of a virtio-mem device: how long until it is usable, and what the host has of it
 *
 * Ours from the write that sets it online until that returns; the kernel's own driver from the interrupt by
 * which it is told of a new requested size until the last block is online, which the trace tells.
 *
 *	# rss WHO STEP MIB
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

static const char *who;
static bool (*change)(int blocks);

/* As many blocks as this are to be in use. */
static bool change_ours(int blocks)
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
		sample(blocks - now_online == 1 ? "usable-1" : "usable-8", who, (now() - started) * 1e6);
		return true;
	}
	snprintf(text, sizeof(text), "%d", now_online - blocks);
	return region_offline(0, text) == 0;
}

/* The driver takes its time with what it is asked to give back. */
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
		trace_print(blocks - before == 1 ? "usable-1" : "usable-8", who);
	before = blocks;
	return tries < 100;
}

static void tell_resident(const char *step)
{
	diag("rss %s %s %lld", who, step, strtoll(host_ask("rss"), NULL, 10) / 1024);
}

static bool resident_cycle(void)
{
	struct memory memory;
	bool done;

	tell_resident("standby");
	done = change(MANY);
	tell_resident("online");
	done &= memory_fill(&memory, 900 * MIB, 1);
	tell_resident("used");
	memory_free(&memory);
	tell_resident("freed");
	done &= change(0);
	tell_resident("given-back");
	return done;
}

static void measure(void)
{
	bool done = true;
	int cycle;

	for (cycle = 0; cycle < CYCLES; cycle++)
		done &= change(1) && change(0) && change(MANY) && change(0);
	ok(done, "%s: memory comes and goes", who);
	ok(resident_cycle(), "%s: memory is used, and given back", who);
}

static void run_ours(void)
{
	who = "twostage";
	change = change_ours;
	write_file("offline", MEMORY "/auto_online_blocks");
	ok(module_load_system("virtio_pci", NULL) == 0, "the virtio bus is there");
	host("qom-set vm0 requested-size %" PRIu64, MANY * block_size);
	usleep(700000);
	if (!load_twostage(NULL) || !ok(!module_load("twostage_virtio_mem", NULL), "the driver loads"))
		return;
	measure();
	ok(virtio_unbind(virtio_device(24, 0)) == 0 && module_unload("twostage_virtio_mem") == 0,
	   "the driver unloads");
	unload_twostage();
}

/* The driver claims the device's whole range, and stays. */
static void setup_stock(void)
{
	write_file("online_movable", MEMORY "/auto_online_blocks");
	ok(module_load_system("virtio_pci", NULL) == 0 && module_load_system("virtio_mem", NULL) == 0,
	   "the driver loads");
	usleep(500000);
}

static void run_stock(void)
{
	who = "virtio-mem";
	change = change_stock;
	trace_begin(roots, nothing);
	write_file("1", "/sys/kernel/tracing/options/funcgraph-abstime");
	measure();
	trace_end();
}

GROUP(group_bench_virtio) = {
	.name = "bench-virtio", .title = "memory of a virtio-mem device", .run = run_ours,
};
GROUP(group_bench_virtio_stock) = {
	.name = "bench-virtio-stock", .title = "the same with the kernel's own driver",
	.setup = setup_stock, .run = run_stock,
};
