// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory that standby memory takes: with twostage, and with each
 * alternative
 *
 * Each contender has a guest of its own, and adds more and more memory until it
 * is refused or all is tested:
 *
 *	# cost CONTENDER gib=N blocks=N taken_kib=N slab_kib=N seconds=X
 *	# slab CONTENDER gib=N cache=NAME bytes=N
 *
 * taken_kib is the decrease of MemFree, without what MemTotal has grown. A few
 * MiB are lost in what the system frees meanwhile; the host uses slab_kib, the
 * growth of slab, if that is larger.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define MAX_CACHES 400
/* GiB. The stock kernel needs RAM to be there, see place(). */
#define MOST_WITHOUT_DIMMS 64

struct contender {
	const char *name;
	bool (*add)(uint64_t gib);
	bool (*remove)(uint64_t gib);
};

struct cache {
	char name[64];
	long long bytes;
};

struct memory_use {
	long long taken, slab;
	struct cache caches[MAX_CACHES];
	int count;
};

static void read_caches(struct memory_use *use)
{
	char *text = read_whole("/proc/slabinfo"), *line, *next;

	use->count = 0;
	for (line = text; *line && use->count < MAX_CACHES; line = next) {
		struct cache *cache = &use->caches[use->count];
		long long active, objects, size;

		next = strchr(line, '\n');
		next = next ? next + 1 : line + strlen(line);
		if (sscanf(line, "%63s %lld %lld %lld", cache->name, &active, &objects, &size) != 4)
			continue;
		cache->bytes = active * size;
		use->count++;
	}
	free(text);
}

/* Free what the system would free by itself, so that it does not count. */
static void take(struct memory_use *use)
{
	write_file("3", "/proc/sys/vm/drop_caches");
	sleep(1);
	use->taken = meminfo("MemTotal") - meminfo("MemFree");
	use->slab = meminfo("Slab");
	read_caches(use);
}

/* Prints the caches that account for at least 1/50 of the growth of slab */
static void print_caches(const struct contender *contender, uint64_t gib,
			 const struct memory_use *before, const struct memory_use *after)
{
	const long long least = (after->slab - before->slab) * 1024 / 50;
	int i;

	for (i = 0; i < after->count && i < before->count; i++) {
		long long bytes = after->caches[i].bytes - before->caches[i].bytes;

		if (!strcmp(after->caches[i].name, before->caches[i].name) && bytes > 0 &&
		    bytes >= least)
			diag("slab %s gib=%" PRIu64 " cache=%s bytes=%lld", contender->name, gib,
			     after->caches[i].name, bytes);
	}
}

static bool measure(const struct contender *contender, uint64_t gib)
{
	static struct memory_use before, after;
	const int blocks = count_blocks();
	double started, seconds;

	take(&before);
	started = now();
	diag("cost %s gib=%" PRIu64 " begins", contender->name, gib);
	if (!contender->add(gib)) {
		diag("cost %s gib=%" PRIu64 " refused", contender->name, gib);
		return false;
	}
	seconds = now() - started;
	take(&after);
	diag("cost %s gib=%" PRIu64 " blocks=%d taken_kib=%lld slab_kib=%lld seconds=%.3f",
	     contender->name, gib, count_blocks() - blocks, after.taken - before.taken,
	     after.slab - before.slab, seconds);
	print_caches(contender, gib, &before, &after);
	return contender->remove(gib);
}

static void measure_all(const struct contender *contender, uint64_t most)
{
	uint64_t gib;

	for (gib = 1; gib <= most && measure(contender, gib); gib *= 4)
		;
	/*
	 * How far it gets, or whether the guest survives, is the result, no
	 * failure.
	 */
	ok(true, "%s: all sizes up to the first refusal are measured", contender->name);
}

static bool wait_for_more(int blocks)
{
	int tries;

	for (tries = 0; tries < 1200 && count_blocks() < blocks; tries++)
		usleep(50000);
	usleep(500000);
	return count_blocks() == blocks;
}

static int blocks_before;

/*
 * Each size at its own addresses: section structures are never freed, so reused
 * addresses would take no memory for them. s390x reaches 512 GiB; devices of
 * arm64 guests begin at 256 GiB.
 */
static uint64_t place(uint64_t gib)
{
	if (!architecture.dimms)
		return gib * 3 * GIB;
	return gib * 1024 * GIB <= 8192 * GIB ? 1024 * GIB * gib : 8192 * GIB;
}

static bool add_region(uint64_t gib)
{
	return region_add(place(gib), gib * GIB, NULL) == 0;
}

static bool remove_region(uint64_t gib)
{
	(void)gib;
	return region_remove(0) == 0;
}

static bool add_dimm(uint64_t gib)
{
	if (!architecture.dimms)
		return bench_stock_add(place(gib), gib * GIB);
	blocks_before = count_blocks();
	host("object_add memory-backend-ram,id=mem1,size=%" PRIu64 "G,reserve=off", gib);
	host("device_add pc-dimm,id=dimm1,memdev=mem1");
	return wait_for_more(blocks_before + gib * GIB / block_size);
}

static bool remove_dimm(uint64_t gib)
{
	bool removed;

	(void)gib;
	if (!architecture.dimms)
		return bench_stock_remove();
	host("device_del dimm1");
	removed = wait_for_blocks(blocks_before);
	host("object_del mem1");
	return removed;
}

/*
 * One device for each size, made at boot from soft reserved ranges: dax0.0 and
 * so on, in this order
 */
static char dax_device[32];

static bool add_dax(uint64_t gib)
{
	int i, index = 0;

	for (; gib > 1; gib /= 4)
		index++;
	blocks_before = count_blocks();
	for (i = 0; i < 32; i++) {
		const char *name = dax_device;

		snprintf(dax_device, sizeof(dax_device), "dax%d.0", i);
		if (!exists("/sys/bus/dax/devices/%s", name) || index--)
			continue;
		/*
		 * Where kmem does not match all dax devices, write the name to
		 * new_id.
		 */
		if (write_file(name, "/sys/bus/dax/drivers/kmem/bind") == -ENODEV)
			write_file(name, "/sys/bus/dax/drivers/kmem/new_id");
		return wait_for_more(blocks_before +
				     read_number("/sys/bus/dax/devices/%s/size", name) /
					     (long long)block_size);
	}
	return false;
}

static bool remove_dax(uint64_t gib)
{
	(void)gib;
	write_file(dax_device, "/sys/bus/dax/drivers/kmem/unbind");
	return wait_for_blocks(blocks_before);
}

static bool request(uint64_t gib)
{
	long long wanted = gib * GIB;
	int tries;

	host("qom-set vm0 requested-size %lld", wanted);
	for (tries = 0; tries < 240; tries++) {
		if (strtoll(host_ask("qom-get vm0 size"), NULL, 10) == wanted)
			return true;
		usleep(500000);
	}
	return false;
}

static bool give_back(uint64_t gib)
{
	(void)gib;
	return request(0);
}

static void run_twostage(void)
{
	static const struct contender contender = { "twostage", add_region, remove_region };

	if (!load_twostage(NULL))
		return;
	measure_all(&contender, architecture.dimms ? 4096 : MOST_WITHOUT_DIMMS);
	unload_twostage();
}

static void measure_dimm(const struct contender *contender)
{
	write_file("offline", MEMORY "/auto_online_blocks");
	if (architecture.dimms) {
		measure_all(contender, 1024);
		return;
	}
	ok_return(module_load("add_memory_test", NULL), 0, "the module that adds memory loads");
	measure_all(contender, MOST_WITHOUT_DIMMS);
	module_unload("add_memory_test");
}

static void run_dimm(void)
{
	static const struct contender contender = { "dimm", add_dimm, remove_dimm };

	measure_dimm(&contender);
}

static void run_hosted(void)
{
	static const struct contender contender = { "dimm-on-memory", add_dimm, remove_dimm };

	measure_dimm(&contender);
}

static void run_kmem(void)
{
	static const struct contender contender = { "dax-kmem", add_dax, remove_dax };

	write_file("offline", MEMORY "/auto_online_blocks");
	/* Otherwise the drivers would bind to all devices at once. */
	write_file("0", "/sys/bus/dax/drivers_autoprobe");
	ok(module_load_system("dax_hmem", NULL) == 0 &&
	   module_load_system("device_dax", NULL) == 0 &&
	   module_load_system("kmem", NULL) == 0,
	   "the drivers for dax devices load");
	measure_all(&contender, 1024);
}

/*
 * The driver adds at most 1 GiB of memory that is not online, so set it online.
 */
static void run_virtio_mem(void)
{
	static const struct contender contender = { "virtio-mem", request, give_back };

	write_file("online_movable", MEMORY "/auto_online_blocks");
	ok(module_load_system("virtio_pci", NULL) == 0 &&
	   module_load_system("virtio_mem", NULL) == 0,
	   "the kernel's driver for virtio-mem loads");
	measure_all(&contender, 1024);
}

#define COST(id, function, text) \
	GROUP(group_bench_cost_##id) = { .title = "the memory that is taken by " text, \
					 .name = "bench-cost-" #id, \
					 .run = function }

COST(twostage, run_twostage, "standby memory");
COST(dimm, run_dimm, "a DIMM");
COST(hosted, run_hosted, "a DIMM that hosts its memmap");
COST(kmem, run_kmem, "device memory as System RAM (kmem)");
COST(virtio, run_virtio_mem, "virtio-mem");
