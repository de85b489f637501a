// SPDX-License-Identifier: GPL-2.0-only
/*
 * One region of reserved RAM, all the way up and down
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

#define START (5 * GIB)
#define BLOCKS 8

static uint64_t size(void)
{
	return BLOCKS * block_size;
}

/* KiB of a block that are usable, with its memmap in itself */
static long long usable(void)
{
	return (block_size - block_size / 4096 * 64) / 1024;
}

static bool kcore_opens(void)
{
	char header[64];
	int fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
	bool opens;

	if (fd < 0)
		return false;
	opens = read(fd, header, sizeof(header)) == sizeof(header) && !memcmp(header, "\177ELF", 4);
	close(fd);
	return opens;
}

/* KiB of the direct map, in pages of whatever size */
static long long direct_map(void)
{
	return meminfo("DirectMap4k") + meminfo("DirectMap2M") + meminfo("DirectMap1G");
}

static void check_standby(long long total, long long mapped)
{
	int block = block_at(START), i;
	bool standby = true;

	for (i = 0; i < BLOCKS; i++) {
		standby &= !strcmp(block_state(block + i), "offline");
		standby &= !strcmp(block_stage(block + i), "standby");
		standby &= !strcmp(read_file(MEMORY "/memory%d/twostage/region", block + i), "region0");
		standby &= exists("/sys/devices/system/node/node0/memory%d", block + i);
	}
	ok(standby, "stage 1: all blocks are there, offline, standby and under their node");
	ok(meminfo("MemTotal") == total, "stage 1: MemTotal does not move");
	ok(direct_map() == mapped, "stage 1: no direct map");
	ok(!has_struct_page(START) && !has_struct_page(START + size() - 4096), "stage 1: no struct pages");
	ok(iomem_count("Standby memory (region0)") == 1 && !iomem_count("System RAM (twostage)"),
	   "stage 1: the region is standby memory in /proc/iomem, and no System RAM");
	ok(kcore_opens() && !kcore_has(START), "stage 1: /proc/kcore opens, and does not have it");
	ok(strstr(read_file(MEMORY "/memory%d/valid_zones", block), "Movable"),
	   "stage 1: valid_zones is answered without struct pages");
	ok(blocks_online(0) == 0 && read_number(REGION "/memmap_pages", 0) == 0 &&
	   read_number(REGION "/blocks", 0) == BLOCKS &&
	   read_number(REGION "/start", 0) == (long long)START &&
	   read_number(REGION "/size", 0) == (long long)size() &&
	   !strcmp(read_file(REGION "/provider", 0), "ram") && read_number(REGION "/node", 0) == 0,
	   "stage 1: the region's attributes tell what it is");
}

static void check_populated(const char *how, int block, long long total, long long more, const char *zone)
{
	ok(!strcmp(block_state(block), "online") && !strcmp(block_stage(block), "populated"),
	   "%s: the block is online and populated", how);
	ok(meminfo("MemTotal") == total + more, "%s: MemTotal is %lld MiB more", how, more / 1024);
	if (meminfo("MemTotal") != total + more)
		diag("MemTotal is %lld more", meminfo("MemTotal") - total);
	ok(!strcmp(read_file(MEMORY "/memory%d/valid_zones", block), zone), "%s: it is in zone %s", how, zone);
	ok(iomem_count("System RAM (twostage)") == 1 && kcore_opens() && kcore_has(START) &&
	   !kcore_has(START + block_size), "%s: it is System RAM in /proc/iomem and in /proc/kcore", how);
	ok(has_struct_page(START) && has_struct_page(START + block_size - 4096) &&
	   !has_struct_page(START + block_size), "%s: it has struct pages, and the next one has none", how);
}

/* Kernel memory may have got into a kernel zone, which is not ours to promise. It rarely stays. */
static int offline_patiently(int block)
{
	int tries, ret = -EBUSY;

	if (!strcmp(block_state(block), "offline"))
		return 0;
	for (tries = 0; tries < 20 && ret; tries++) {
		ret = write_file("offline", MEMORY "/memory%d/state", block);
		if (ret) {
			write_file("3", "/proc/sys/vm/drop_caches");
			usleep(100000);
		}
	}
	return ret;
}

static void check_offline(const char *how, int block, struct accounts *standby)
{
	ok(offline_patiently(block) == 0, "%s: the block goes offline again", how);
	ok(!strcmp(block_stage(block), "standby"), "%s: it is standby then", how);
	ok(accounts_same(standby), "%s: every account is as after stage 1", how);
}

static void every_way_online(long long total)
{
	static const struct {
		const char *how, *text, *path, *zone;
	} ways[] = {
		{ "state online_movable", "online_movable", MEMORY "/memory%d/state", "Movable" },
		{ "state online_kernel", "online_kernel", MEMORY "/memory%d/state", "Normal" },
		{ "state online", "online", MEMORY "/memory%d/state", "Normal" },
		{ "the generic online file", "1", MEMORY "/memory%d/online", "Normal" },
		{ "the region's knob", "1", BUS "/devices/region0/online", "Normal" },
		{ "the region's knob with online_movable", "1 online_movable",
		  BUS "/devices/region0/online", "Movable" },
		{ "the region's knob with online_kernel", "1 online_kernel",
		  BUS "/devices/region0/online", "Normal" },
	};
	struct accounts *standby = accounts_take();
	int block = block_at(START);
	char path[128];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		snprintf(path, sizeof(path), ways[i].path, block);
		ok(write_file(ways[i].text, "%s", path) == 0, "%s: a standby block goes online", ways[i].how);
		check_populated(ways[i].how, block, total, usable(), ways[i].zone);
		ok(read_number(REGION "/memmap_pages", 0) == (long long)(block_size / 4096 * 64 / 4096),
		   "%s: its memmap is in itself", ways[i].how);
		check_offline(ways[i].how, block, standby);
	}

	ok(run_command("chmem -e -z Movable %" PRIu64 "m >/dev/null", block_size >> 20) == 0,
	   "chmem: enables the size of one block");
	check_populated("chmem", block, total, usable(), "Movable");
	ok(run_command("lsmem | grep -q 'online  *yes'") == 0, "chmem: lsmem shows memory online");
	ok(run_command("chmem -d %#" PRIx64 "-%#" PRIx64 " >/dev/null", (uint64_t)START,
		       START + block_size - 1) == 0, "chmem: disables it again");
	check_offline("chmem", block, standby);
	accounts_free(standby);
}

static void ordinary_memmap(long long total)
{
	struct accounts *standby = accounts_take();
	int block = block_at(START);

	ok(write_file("0", REGION "/memmap_on_memory", 0) == 0, "memmap_on_memory can be switched off");
	ok(region_online(0, "1 online_movable") == 0, "memmap elsewhere: a standby block goes online");
	check_populated("memmap elsewhere", block, total, block_size / 1024, "Movable");
	ok(read_number(REGION "/memmap_pages", 0) == 0, "memmap elsewhere: none of it is in the block");
	check_offline("memmap elsewhere", block, standby);
	ok(write_file("1", REGION "/memmap_on_memory", 0) == 0, "memmap_on_memory can be switched on");
	accounts_free(standby);
}

static void used_and_given_back(long long total)
{
	struct accounts *standby = accounts_take();
	uint64_t inside, fill = size() - block_size;
	struct memory memory;

	ok(region_online(0, "3 online_movable") == 0 && blocks_online(0) == 3,
	   "online N: the next N blocks come online");
	ok(region_online(0, "all online_movable") == 0 && blocks_online(0) == BLOCKS,
	   "online all: all of them are online");
	ok(meminfo("MemTotal") == total + BLOCKS * usable(), "online all: MemTotal is that much more");
	ok(region_offline(0, "2") == 0 && blocks_online(0) == BLOCKS - 2 &&
	   !strcmp(block_stage(block_at(START) + BLOCKS - 1), "standby") &&
	   !strcmp(block_stage(block_at(START)), "populated"), "offline N: the highest go first");
	ok(region_online(0, "2 online_movable") == 0, "online N: and come back");

	if (!ok(memory_fill(&memory, fill, 42), "the memory can be filled"))
		return;
	inside = memory_inside(&memory, START, size());
	diag("%" PRIu64 " of %" PRIu64 " MiB of data are in the region", inside / MIB, fill / MIB);
	ok(inside > fill / 2, "the data is really in the region");
	ok(memory_check(&memory) < 0, "the data is what was written");
	ok(region_offline(0, "all") == 0 && blocks_online(0) == 0, "offline all works while it is in use");
	ok(memory_inside(&memory, START, size()) == 0, "none of the data is in the region any more");
	ok(memory_check(&memory) < 0, "the data is still what was written");
	memory_free(&memory);
	ok(accounts_same(standby), "given back, every account is as after stage 1");
	accounts_free(standby);
}

/* Every step leaves its event, with how long it took. */
static void traced(void)
{
	static const char *const events[] = {
		"region_add", "assign", "add_memmap", "populate", "block_online", "wait_readers",
		"remove_memmap", "unassign", "depopulate", "block_offline", "region_remove",
	};
	bool all = true;
	char *trace;
	size_t i;

	write_file("1", "/sys/kernel/tracing/events/twostage/enable");
	region_add(START, block_size, NULL);
	region_online(0, "1 online_movable");
	region_offline(0, "1");
	region_remove(0);
	write_file("0", "/sys/kernel/tracing/events/twostage/enable");

	trace = read_whole("/sys/kernel/tracing/trace");
	for (i = 0; i < ARRAY_SIZE(events); i++) {
		uint64_t start = 0, length = 0, duration = 0;
		char needle[64];
		const char *event;

		snprintf(needle, sizeof(needle), " %s: region=region0 ", events[i]);
		event = strstr(trace, needle);
		if (!event || sscanf(event + strlen(needle), "start=%" SCNx64 " size=%" SCNx64 " duration_ns=%" SCNu64,
				     &start, &length, &duration) != 3 ||
		    start != START || length != block_size || !duration || duration > UINT64_C(60000000000)) {
			diag("%s: \"%.*s\"", events[i], event ? (int)strcspn(event, "\n") : 0, event);
			all = false;
		}
	}
	ok(all, "each step has its tracepoint, with region, start, size and duration");
	free(trace);
	write_file("", "/sys/kernel/tracing/trace");
}

/* How many calls of a function the module's hook has redirected */
static long redirected(const char *function)
{
	char *hooks = read_whole("/sys/kernel/debug/twostage/hooks"), *line, *rest = hooks;
	char name[64];
	long count = -1;

	while ((line = strsep(&rest, "\n")))
		if (sscanf(line, "%63s armed redirected=%ld", name, &count) == 2 && !strcmp(name, function))
			break;
	free(hooks);
	return count;
}

static int count_events(const char *event)
{
	char *trace = read_whole("/sys/kernel/tracing/trace");
	int count = 0;

	for (char *found = trace; (found = strstr(found, event)); found++)
		count++;
	free(trace);
	return count;
}

/*
 * Compaction would walk into where a memmap has been in a zone that counts as one without holes: the core is about to
 * find out whether it is, each time that a block or its memmap comes or goes, but never does.
 */
static void zones_have_holes(void)
{
	long before = redirected("set_zone_contiguous"), calls;

	region_online(0, "2 online_movable");
	region_offline(0, "all");
	calls = redirected("set_zone_contiguous") - before;
	ok(calls == 8, "a zone with blocks of a region counts as one with holes (%ld)", calls);
}

/* The wait for readers of the memmap takes long on some kernels, and one is enough for many blocks. */
static void waited_for_once(void)
{
	int alone, together;

	write_file("1", "/sys/kernel/tracing/events/twostage/enable");
	region_online(0, "all online_movable");
	write_file("offline", MEMORY "/memory%d/state", block_at(START));
	alone = count_events(" wait_readers: ");
	region_offline(0, "all");
	together = count_events(" wait_readers: ") - alone;
	write_file("0", "/sys/kernel/tracing/events/twostage/enable");
	ok(alone == 1 && together == 1 && count_events(" depopulate: ") == BLOCKS,
	   "offline all waits once for readers of all memmaps (%d, %d)", alone, together);
	write_file("", "/sys/kernel/tracing/trace");
}

static void run(void)
{
	long long total = meminfo("MemTotal"), mapped;
	struct accounts *before;
	char *hooks;
	int armed = 0, all = 0;

	ok(!strcmp(module_info("twostage", "license"), "GPL") && *module_info("twostage", "author") &&
	   *module_info("twostage", "description") && *module_info("twostage", "version") &&
	   *module_info("twostage", "parm"),
	   "modinfo has licence, author, description, version and parameters");
	if (!load_twostage(NULL))
		return;
	before = accounts_take();
	hooks = read_whole("/sys/kernel/debug/twostage/hooks");
	for (char *line = hooks; (line = strstr(line, " armed")); line++)
		armed++;
	for (char *line = hooks; (line = strchr(line, '\n')); line++)
		all++;
	ok(all > 0 && armed == all, "all hooks are armed");
	free(hooks);

	mapped = direct_map();
	ok(region_add(START, size(), NULL) == 0, "a region is added");
	check_standby(total, mapped);
	every_way_online(total);
	ordinary_memmap(total);
	used_and_given_back(total);
	zones_have_holes();
	waited_for_once();

	ok(module_unload("twostage") != 0 && module_loaded("twostage"),
	   "the module does not unload under a region");
	ok(region_remove(0) == 0 && !exists(REGION, 0), "the region is removed");
	traced();
	ok(accounts_same(before), "after that every account is what it was");
	accounts_free(before);
	unload_twostage();
}

GROUP(group_basic) = { .name = "basic", .title = "one region of reserved RAM, all the way up and down", .run = run };
