// SPDX-License-Identifier: GPL-2.0-only
/*
 * One region of reserved RAM, through all stages and back
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
#define BLOCKS 4

static uint64_t size(void)
{
	return BLOCKS * block_size;
}

/* Usable KiB of a block */
static long long usable(void)
{
	return usable_size(block_size) / 1024;
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

/* What the region's attribute "stages" has to be by the blocks' own files */
static const char *stages_of_blocks(void)
{
	static char letters[BLOCKS + 1];
	int i;

	for (i = 0; i < BLOCKS; i++)
		letters[i] = block_stage(block_at(START) + i)[0];
	return letters;
}

/*
 * Whether "stages", read from each offset on, has the stages from that block
 * on, and is empty from its end on
 */
static bool stages_from_offsets(void)
{
	const char *all = stages_of_blocks();
	char path[64], text[2 * BLOCKS];
	ssize_t length;
	int offset, fd;
	bool same = true;

	snprintf(path, sizeof(path), REGION "/stages", 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	for (offset = 0; offset <= BLOCKS + 1; offset++) {
		const char *rest = all + (offset < BLOCKS ? offset : BLOCKS);

		length = pread(fd, text, sizeof(text), offset);
		if (length == (ssize_t)strlen(rest) && !memcmp(text, rest, length))
			continue;
		diag("from offset %d on: \"%.*s\" (%zd bytes), expected \"%s\"", offset,
		     length > 0 ? (int)length : 0, text, length, rest);
		same = false;
	}
	close(fd);
	return same;
}

static void check_standby(long long total, long long mapped)
{
	int block = block_at(START), i, offline = 0, standby = 0, in_region = 0, under_node = 0;
	const char *stages;

	for (i = 0; i < BLOCKS; i++) {
		offline += !strcmp(block_state(block + i), "offline");
		standby += !strcmp(block_stage(block + i), "standby");
		in_region += !strcmp(read_file(MEMORY "/memory%d/twostage/region", block + i),
				     "region0");
		under_node += exists("/sys/devices/system/node/node0/memory%d", block + i);
	}
	ok_number(offline, BLOCKS, "stage 1: all blocks are offline");
	ok_number(standby, BLOCKS, "stage 1: all blocks have the stage standby");
	ok_number(in_region, BLOCKS, "stage 1: twostage/region of all blocks names the region");
	if (architecture.numa)
		ok_number(under_node, BLOCKS, "stage 1: the node has links to all blocks");
	else
		skip("this kernel has no NUMA", "stage 1: the node has links to all blocks");
	ok_number(meminfo("MemTotal"), total, "stage 1: MemTotal is unchanged");
	ok_number(direct_map(), mapped, "stage 1: the direct map is unchanged");
	ok(!has_struct_page(START) && !has_struct_page(START + size() - page_size),
	   "stage 1: neither the first nor the last page of the region has a struct page");
	ok_number(iomem_count("Standby memory (region0)"), 1,
		  "stage 1: the region is one entry in /proc/iomem");
	ok_number(iomem_count("System RAM (twostage)"), 0,
		  "stage 1: /proc/iomem has no System RAM of the region");
	ok(kcore_opens() && !kcore_has(START),
	   "stage 1: /proc/kcore can be read and does not contain the region");
	ok(strstr(read_file(MEMORY "/memory%d/valid_zones", block), "Movable"),
	   "stage 1: valid_zones of a block without struct pages contains Movable");
	ok_number(blocks_online(0), 0, "stage 1: blocks_online of the region is 0");
	/* Not as an argument: it calls read_file() more often than that has texts. */
	stages = stages_of_blocks();
	ok_text(read_file(REGION "/stages", 0), stages,
		"stage 1: a region's stages are those of its blocks");
	ok_number(read_number(REGION "/memmap_pages", 0), 0,
		  "stage 1: memmap_pages of the region is 0");
	ok_number(read_number(REGION "/blocks", 0), BLOCKS,
		  "stage 1: blocks of the region is the number of its blocks");
	ok_number(read_number(REGION "/start", 0), START,
		  "stage 1: start of the region is its physical address");
	ok_number(read_number(REGION "/size", 0), size(),
		  "stage 1: size of the region is its size in bytes");
	ok_text(read_file(REGION "/provider", 0), "ram", "stage 1: provider of the region is ram");
	ok_number(read_number(REGION "/node", 0), 0, "stage 1: node of the region is 0");
}

static void check_populated(const char *how, int block, long long total, long long more,
			    const char *zone)
{
	ok_text(block_state(block), "online", "%s: the state of a populated block is online", how);
	ok_text(block_stage(block), "populated", "%s: the stage of an online block is populated",
		how);
	ok_number(meminfo("MemTotal") - total, more,
		  "%s: MemTotal grows by %lld MiB with an online block", how, more / 1024);
	ok_text(read_file(MEMORY "/memory%d/valid_zones", block), zone,
		"%s: an online block is in zone %s", how, zone);
	ok_number(iomem_count("System RAM (twostage)"), 1,
		  "%s: an online block is one System RAM entry in /proc/iomem", how);
	ok(holds(kcore_opens()) && holds(kcore_has(START)) && holds(!kcore_has(START + block_size)),
	   "%s: /proc/kcore contains an online block, and not the standby block behind it", how);
	if (!architecture.shows_added_pages) {
		skip("/proc/kpageflags does not show memory that was added",
		     "%s: an online block has struct pages, and the standby block behind it has none",
		     how);
		return;
	}
	ok(holds(has_struct_page(START)) && holds(has_struct_page(START + block_size - page_size)) &&
	   holds(!has_struct_page(START + block_size)),
	   "%s: an online block has struct pages, and the standby block behind it has none", how);
}

/*
 * In a kernel zone the block may contain unmovable memory of the kernel. It
 * rarely stays for long, once what is not used is freed.
 */
static int offline_patiently(int block)
{
	int tries, ret = -EBUSY, file;
	char path[64];

	if (!strcmp(block_state(block), "offline"))
		return 0;
	snprintf(path, sizeof(path), MEMORY "/memory%d/state", block);
	for (tries = 0; tries < 20 && ret; tries++) {
		/* Opened before empty slabs are freed, see memory_init() */
		file = open(path, O_WRONLY | O_CLOEXEC);
		if (tries)
			memory_free_unused();
		ret = write_open(file, "offline");
		close(file);
	}
	return ret;
}

static void check_offline(const char *how, int block, struct accounts *standby)
{
	ok_return(offline_patiently(block), 0, "%s: a populated block goes offline", how);
	ok_text(block_stage(block), "standby", "%s: a block that went offline is standby", how);
	ok(accounts_same(standby), "%s: after an offline the system state is as after stage 1",
	   how);
}

static void every_way_online(long long total)
{
	static const struct {
		const char *how, *text, *path, *zone;
	} ways[] = {
		{ "the block's state attribute, online_movable", "online_movable",
		  MEMORY "/memory%d/state", "Movable" },
		{ "the block's state attribute, online_kernel", "online_kernel",
		  MEMORY "/memory%d/state", "Normal" },
		{ "the block's state attribute, online", "online", MEMORY "/memory%d/state",
		  "Normal" },
		{ "the block's online attribute", "1", MEMORY "/memory%d/online", "Normal" },
		{ "the region's online attribute", "1", BUS "/devices/region0/online", "Normal" },
		{ "the region's online attribute, online_movable", "1 online_movable",
		  BUS "/devices/region0/online", "Movable" },
		{ "the region's online attribute, online_kernel", "1 online_kernel",
		  BUS "/devices/region0/online", "Normal" },
	};
	struct accounts *standby = accounts_take();
	int block = block_at(START);
	char path[128];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		snprintf(path, sizeof(path), ways[i].path, block);
		ok_return(write_file(ways[i].text, "%s", path), 0,
			  "%s: a standby block goes online", ways[i].how);
		check_populated(ways[i].how, block, total, usable(), ways[i].zone);
		ok_number(read_number(REGION "/memmap_pages", 0),
			  memmap_fits_block() ? memmap_size(block_size) / page_size : 0,
			  "%s: the memmap of an online block is in the block itself, if that can be",
			  ways[i].how);
		check_offline(ways[i].how, block, standby);
	}

	ok_number(run_command("chmem -e -z Movable %" PRIu64 "m >/dev/null", block_size >> 20), 0,
		  "chmem: -e with the size of one block succeeds");
	/* chmem ignores -z if there is no block 0, of which it reads valid_zones. */
	check_populated("chmem", block, total, usable(),
			exists(MEMORY "/memory0/valid_zones") ? "Movable" : "Normal");
	ok(run_command("lsmem | grep -q 'online  *yes'") == 0,
	   "chmem: after chmem -e lsmem shows online memory");
	ok_number(run_command("chmem -d %#" PRIx64 "-%#" PRIx64 " >/dev/null", (uint64_t)START,
			      START + block_size - 1),
		  0, "chmem: -d with the range of an online block succeeds");
	check_offline("chmem", block, standby);
	accounts_free(standby);
}

static void ordinary_memmap(long long total)
{
	struct accounts *standby = accounts_take();
	int block = block_at(START);

	ok_return(write_file("0", REGION "/memmap_on_memory", 0), 0,
		  "0 can be written to memmap_on_memory");
	ok_return(region_online(0, "1 online_movable"), 0,
		  "memmap_on_memory=0: a standby block goes online");
	check_populated("memmap_on_memory=0", block, total, block_size / 1024, "Movable");
	ok_number(read_number(REGION "/memmap_pages", 0), 0,
		  "memmap_on_memory=0: no memmap of an online block is in the block itself");
	check_offline("memmap_on_memory=0", block, standby);
	if (memmap_fits_block())
		ok_return(write_file("1", REGION "/memmap_on_memory", 0), 0,
			  "1 can be written to memmap_on_memory");
	else
		ok(write_file("1", REGION "/memmap_on_memory", 0) < 0,
		   "1 cannot be written to memmap_on_memory where a block cannot have its memmap");
	accounts_free(standby);
}

static void used_and_given_back(long long total)
{
	struct accounts *standby = accounts_take();
	uint64_t inside, fill = size() - block_size;
	struct memory memory;
	const char *stages;

	ok_return(region_online(0, "3 online_movable"), 0,
		  "writing 3 to the region's online attribute succeeds");
	ok_number(blocks_online(0), 3,
		  "writing 3 to the region's online attribute sets 3 blocks online");
	ok_return(region_online(0, "all online_movable"), 0,
		  "writing all to the region's online attribute succeeds");
	ok_number(blocks_online(0), BLOCKS,
		  "writing all to the region's online attribute sets all blocks online");
	ok_number(meminfo("MemTotal") - total, BLOCKS * usable(),
		  "with all blocks online MemTotal has grown by their size without the memmap");
	ok_return(region_offline(0, "2"), 0,
		  "writing 2 to the region's offline attribute succeeds");
	ok_number(blocks_online(0), BLOCKS - 2,
		  "writing 2 to the region's offline attribute sets 2 blocks offline");
	ok_text(block_stage(block_at(START) + BLOCKS - 1), "standby",
		"after the offline of 2 blocks by their number the highest block is standby");
	ok_text(block_stage(block_at(START)), "populated",
		"after the offline of 2 blocks by their number the lowest block is populated");
	stages = stages_of_blocks();
	ok_text(read_file(REGION "/stages", 0), stages,
		"a region's stages are those of its blocks, some of them populated");
	ok(stages_from_offsets(),
	   "a region's stages, read from an offset, begin with the block of that number");
	ok_return(region_online(0, "2 online_movable"), 0,
		  "blocks that went offline come online again");

	if (!ok(memory_fill(&memory, fill, 42),
		"memory of the size of all blocks but one can be filled with data"))
		return;
	inside = memory_inside(&memory, START, size());
	diag("%" PRIu64 " of %" PRIu64 " MiB of data are in the region", inside / MIB, fill / MIB);
	ok(inside > fill / 2, "more than half of the data is in the region");
	ok(memory_check(&memory) < 0, "data in the region reads as it was written");
	ok_return(region_offline(0, "all"), 0,
		  "all blocks go offline while they contain data of a process");
	ok_number(blocks_online(0), 0,
		  "no block is online after all was written to the region's offline attribute");
	ok_number(memory_inside(&memory, START, size()), 0,
		  "after the offline of all blocks no data is in the region");
	ok(memory_check(&memory) < 0,
	   "after the offline of all blocks the data reads as it was written");
	memory_free(&memory);
	ok(accounts_same(standby),
	   "after the offline of blocks in use the system state is as after stage 1");
	accounts_free(standby);
}

/* Each step has an event with its duration. */
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
		if (!event ||
		    sscanf(event + strlen(needle),
			   "start=%" SCNx64 " size=%" SCNx64 " duration_ns=%" SCNu64, &start,
			   &length, &duration) != 3 ||
		    start != START || length != block_size || !duration ||
		    duration > UINT64_C(60000000000)) {
			diag("event %s missing or wrong: \"%.*s\"", events[i],
			     event ? (int)strcspn(event, "\n") : 0, event ? event : "");
			all = false;
		}
	}
	ok(all,
	   "each step of a block's life has a trace event with region, start, size and duration");
	free(trace);
	write_file("", "/sys/kernel/tracing/trace");
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
 * In a zone that is marked contiguous, compaction would walk into the gap that
 * a removed memmap leaves. The core recomputes the mark whenever a block or its
 * memmap is added or removed; the hook keeps it unset each time.
 */
static void zones_have_holes(void)
{
	/* For each block that goes online or offline; for a memmap in it once more */
	const int expected = memmap_fits_block() ? 8 : 4;
	long before = redirected("set_zone_contiguous"), calls;

	region_online(0, "2 online_movable");
	region_offline(0, "all");
	calls = redirected("set_zone_contiguous") - before;
	ok_number(calls, expected,
		  "online and offline of 2 blocks: %d calls of set_zone_contiguous() redirected",
		  expected);
}

/*
 * Waiting for readers of the memmap takes long on some kernels. One wait is
 * enough for all blocks of an offline.
 */
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
	ok_number(alone, 1, "the offline of one block waits once for readers of the memmap");
	ok_number(together, 1,
		  "the offline of all blocks in one write waits once for readers of the memmap");
	ok_number(count_events(" depopulate: "), BLOCKS,
		  "each block that goes offline is depopulated once");
	write_file("", "/sys/kernel/tracing/trace");
}

static void run(void)
{
	long long total = meminfo("MemTotal"), mapped;
	struct accounts *before;
	char *hooks;
	int armed = 0, all = 0;

	ok_text(module_info("twostage", "license"), "GPL",
		"the licence of twostage in modinfo is GPL");
	ok(*module_info("twostage", "author"), "modinfo of twostage has an author");
	ok(*module_info("twostage", "description"), "modinfo of twostage has a description");
	ok(*module_info("twostage", "version"), "modinfo of twostage has a version");
	ok(*module_info("twostage", "parm"), "modinfo of twostage has parameters");
	if (!load_twostage(NULL))
		return;
	before = accounts_take();
	hooks = read_whole("/sys/kernel/debug/twostage/hooks");
	for (char *line = hooks; (line = strstr(line, " armed")); line++)
		armed++;
	for (char *line = hooks; (line = strchr(line, '\n')); line++)
		all++;
	ok(all > 0, "debugfs twostage/hooks lists hooks");
	ok_number(armed, all, "all hooks in debugfs twostage/hooks are armed");
	free(hooks);

	mapped = direct_map();
	ok_return(region_add(START, size(), NULL), 0, "a region of %d blocks is added", BLOCKS);
	check_standby(total, mapped);
	every_way_online(total);
	ordinary_memmap(total);
	used_and_given_back(total);
	zones_have_holes();
	waited_for_once();

	ok(module_unload("twostage") != 0 && module_loaded("twostage"),
	   "unloading twostage is refused while there is a region");
	ok(succeeds(region_remove(0)) && holds(!exists(REGION, 0)),
	   "a region with all blocks standby is removed");
	traced();
	ok(accounts_same(before),
	   "after the removal of the region the system state matches the baseline");
	accounts_free(before);
	unload_twostage();
}

GROUP(group_basic) = {
	.name = "basic",
	.title = "one region of reserved RAM, through all stages and back",
	.run = run,
};
