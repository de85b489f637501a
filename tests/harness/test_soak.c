// SPDX-License-Identifier: GPL-2.0-only
/*
 * Concurrent operations on regions of all providers under memory pressure, for
 * SOAK_MINUTES (default 1), with data that is checked
 *
 * Each provider has a steady region on node 1, whose blocks come online in any
 * zone. Other regions are added and removed all the time, and their blocks come
 * online in ZONE_MOVABLE only. The kernel may allocate the metadata of such a
 * region from a kernel zone of a steady one, which can go offline once that
 * region is removed. If they had kernel zones, too, two regions could hold
 * metadata of each other, and neither could go offline. Node 0 has the boot
 * memory, from which the kernel allocates as long as some is free.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "stress.h"

#define VIRTIO_ID_MEM 24
#define OURS "twostage_virtio_mem"
#define AUTO_ONLINE MEMORY "/auto_online_blocks"
/* As in the scenario */
#define RAM_START (4 * GIB)
#define RAM_REGIONS 3
#define RAM_BLOCKS 5
#define BUDGET GIB
#define STEP (64 * MIB)
/* Tolerated growth of SUnreclaim once all regions are removed, in KiB */
#define SLAB_TOLERANCE 2048
#define MAX_REGIONS 64
/* Number of processes in crowd(), several times as many as at any other time */
#define CROWD 500

/* DIMMs are identified by their sizes, in blocks. */
static const struct dimm {
	const char *name;
	int blocks, node;
} dimms[] = { { "soak3", 3, 1 }, { "soak2", 2, 0 }, { "soak4", 4, 1 } };

/* Index of the steady one of the ram regions and of the DIMMs */
#define STEADY 0

enum {
	ADD_ATTRIBUTE, ADD_COMMAND, REMOVE_ATTRIBUTE, REMOVE_COMMAND,
	ONLINE_STATE, ONLINE_ONLINE, ONLINE_ATTRIBUTE, ONLINE_COMMAND, ONLINE_CHMEM,
	OFFLINE_STATE, OFFLINE_ONLINE, OFFLINE_ATTRIBUTE, OFFLINE_COMMAND, OFFLINE_CHMEM,
	FLIP, PLUG, UNPLUG, SET_BUDGET,
	READ_ZONES, READ_FLAGS, READ_COUNT, READ_TYPES, READ_KCORE,
	FILL, CHECK, COMPACT, DROP, KINDS
};

/* Another process changed the state between the check and the operation. */
#define RACE(error) { error, "another process was faster", NULL }
#define GONE { ENOENT, "another process was faster", "there is no " }, \
	     { ENODEV, "another process was faster", "is in no region" }, RACE(ENXIO)
/* More blocks than have the other state, or one that is in the state already */
#define NOT_SO { EINVAL, "another process was faster", "are standby" }, \
	       { EINVAL, "another process was faster", "are online" }, \
	       { EINVAL, "another process was faster", ") is standby" }, \
	       { EINVAL, "another process was faster", ") is online" }, \
	       { EINVAL, "another process was faster", "others were quicker" }
#define END { 0, NULL, NULL }

static const struct stress_error add_errors[] = { RACE(EEXIST), END };
static const struct stress_error remove_errors[] = {
	GONE, { EBUSY, "blocks of it are online", "memory blocks of it are online" }, END
};
static const struct stress_error online_errors[] = {
	GONE, NOT_SO, { ENOSPC, "the host's budget is used up", NULL },
	{ EBUSY, "the region is being removed", NULL },
	{ ENOMEM, "no ordinary memory for a memmap", NULL }, END
};
static const struct stress_error offline_errors[] = {
	GONE, NOT_SO, { EBUSY, "there are pages that cannot be moved", NULL }, END
};
static const struct stress_error chmem_errors[] = {
	GONE, { ENOENT, "another process was faster", STRESS_SILENT }, NOT_SO,
	/* Another process set it online in a kernel zone. */
	{ EINVAL, "another process was faster", "Zone mismatch" },
	{ EBUSY, "there are pages that cannot be moved", NULL },
	{ ENOSPC, "the host's budget is used up", NULL },
	{ ENOMEM, "no ordinary memory for a memmap", NULL }, END
};
static const struct stress_error flip_errors[] = {
	GONE, { EBUSY, "blocks of it are online", NULL }, END
};
static const struct stress_error unplug_errors[] = {
	{ EBUSY, "refused, there are pages that cannot be moved", NULL }, END
};
static const struct stress_error read_errors[] = { RACE(ENODATA), END };

static const struct stress_kind kinds[KINDS] = {
	[ADD_ATTRIBUTE] = { "add, by add_region", add_errors },
	[ADD_COMMAND] = { "add, by twostage", add_errors },
	[REMOVE_ATTRIBUTE] = { "remove, by remove_region", remove_errors },
	[REMOVE_COMMAND] = { "remove, by twostage", remove_errors },
	[ONLINE_STATE] = { "online, by memoryX/state", online_errors },
	[ONLINE_ONLINE] = { "online, by memoryX/online", online_errors },
	[ONLINE_ATTRIBUTE] = { "online, by regionN/online", online_errors },
	[ONLINE_COMMAND] = { "online, by twostage", online_errors },
	[ONLINE_CHMEM] = { "online, by chmem", chmem_errors },
	[OFFLINE_STATE] = { "offline, by memoryX/state", offline_errors },
	[OFFLINE_ONLINE] = { "offline, by memoryX/online", offline_errors },
	[OFFLINE_ATTRIBUTE] = { "offline, by regionN/offline", offline_errors },
	[OFFLINE_COMMAND] = { "offline, by twostage", offline_errors },
	[OFFLINE_CHMEM] = { "offline, by chmem", chmem_errors },
	[FLIP] = { "memmap_on_memory changed", flip_errors },
	[PLUG] = { "DIMM plugged, host included", NULL },
	[UNPLUG] = { "DIMM unplugged, host included", unplug_errors },
	[SET_BUDGET] = { "budget changed, host included", NULL },
	[READ_ZONES] = { "read valid_zones and stage", read_errors },
	[READ_FLAGS] = { "read kpageflags", read_errors },
	[READ_COUNT] = { "read kpagecount", read_errors },
	[READ_TYPES] = { "read pagetypeinfo", read_errors },
	[READ_KCORE] = { "read kcore", read_errors },
	[FILL] = { "fill memory with data", NULL },
	[CHECK] = { "check the data", NULL },
	[COMPACT] = { "compact all memory", NULL },
	[DROP] = { "drop caches", NULL },
};

struct region {
	int id, node, blocks, first;
	char provider[16];
};

/* False if the region was removed meanwhile */
static bool look_up(int id, struct region *region)
{
	uint64_t start = strtoull(read_file(REGION "/start", id), NULL, 0);

	region->id = id;
	region->first = block_at(start);
	region->node = read_number(REGION "/node", id);
	region->blocks = read_number(REGION "/blocks", id);
	snprintf(region->provider, sizeof(region->provider), "%s",
		 read_file(REGION "/provider", id));
	return start && region->blocks && *region->provider;
}

static int all_regions(struct region *regions)
{
	DIR *directory = opendir(BUS "/devices");
	struct dirent *entry;
	int count = 0;

	while (directory && count < MAX_REGIONS && (entry = readdir(directory)))
		if (!strncmp(entry->d_name, "region", 6) &&
		    look_up(atoi(entry->d_name + 6), &regions[count]))
			count++;
	if (directory)
		closedir(directory);
	return count;
}

static bool find_region(int first, struct region *region)
{
	struct region regions[MAX_REGIONS];
	int count = all_regions(regions), i;

	for (i = 0; i < count; i++) {
		if (regions[i].first == first) {
			*region = regions[i];
			return true;
		}
	}
	return false;
}

static bool random_region(struct region *region)
{
	struct region regions[MAX_REGIONS];
	int count = all_regions(regions);

	if (!count)
		return false;
	*region = regions[rand() % count];
	return region->first != block_at(RAM_START);
}

/*
 * The first block is a region of its own, and the first memory of node 1. It
 * comes online as movable and remains online: newer kernels allocate the node's
 * kswapd and kcompactd from the node's first memory if they can.
 */
static bool set_anchor(void)
{
	struct region region;

	return !region_add(RAM_START, block_size, "node=1") &&
	       find_region(block_at(RAM_START), &region) &&
	       !region_online(region.id, "1 online_movable");
}

static uint64_t ram_start(int n)
{
	return RAM_START + (1 + n * RAM_BLOCKS) * block_size;
}

static int ram_node(int n)
{
	return n < RAM_REGIONS - 1;
}

static bool is_steady(const struct region *region)
{
	return !strcmp(region->provider, "virtio_mem") ||
	       region->first == block_at(ram_start(STEADY)) ||
	       (!strcmp(region->provider, "dimm") && region->blocks == dimms[STEADY].blocks);
}

static const char *random_zone(const struct region *region)
{
	static const char *const zones[] = { "online_movable", "online", "online_kernel" };

	return zones[is_steady(region) ? rand() % 3 : 0];
}

/* Names of zones as the twostage command takes them */
static const char *random_zone_name(const struct region *region)
{
	static const char *const names[] = { "movable", "auto", "kernel" };

	return names[is_steady(region) ? rand() % 3 : 0];
}

static void online_block(const struct region *region, int block)
{
	switch (rand() % 8) {
	case 0:
		/* This attribute lets the kernel choose the zone. */
		if (is_steady(region)) {
			stress_write(ONLINE_ONLINE, "1", MEMORY "/memory%d/online", block);
			break;
		}
		/* fallthrough */
	case 1:
		stress_command(ONLINE_CHMEM, "chmem -e -b -z Movable %d-%d", block, block);
		break;
	case 2:
		stress_command(ONLINE_COMMAND, "twostage online --blocks %d --zone %s", block,
			       random_zone_name(region));
		break;
	default:
		stress_write(ONLINE_STATE, random_zone(region), MEMORY "/memory%d/state", block);
	}
}

static void offline_block(int block)
{
	if (!stress_book(block_size))
		return;
	switch (rand() % 8) {
	case 0:
		stress_command(OFFLINE_CHMEM, "chmem -d -b %d-%d", block, block);
		break;
	case 1:
		stress_command(OFFLINE_COMMAND, "twostage offline --blocks %d", block);
		break;
	case 2:
	case 3:
		stress_write(OFFLINE_ONLINE, "0", MEMORY "/memory%d/online", block);
		break;
	default:
		stress_write(OFFLINE_STATE, "offline", MEMORY "/memory%d/state", block);
	}
	stress_unbook(block_size);
}

static void change_blocks(void)
{
	struct region region;
	const char *state;
	int block;

	if (!random_region(&region)) {
		usleep(10000);
		return;
	}
	block = region.first + rand() % region.blocks;
	state = block_state(block);
	if (!strcmp(state, "offline"))
		online_block(&region, block);
	else if (!strcmp(state, "online"))
		offline_block(block);
}

/* Set several blocks online in one operation. */
static void online_some(const struct region *region)
{
	int standby = region->blocks - blocks_online(region->id);
	int count = standby > 0 ? 1 + rand() % standby : 1;
	char text[64];

	if (rand() % 4) {
		snprintf(text, sizeof(text), "%d %s", count, random_zone(region));
		stress_write(ONLINE_ATTRIBUTE, text, REGION "/online", region->id);
	} else {
		stress_command(ONLINE_COMMAND, "twostage online region%d --count %d --zone %s",
			       region->id, count,
			       random_zone_name(region));
	}
}

static void offline_some(const struct region *region, bool all)
{
	int online = blocks_online(region->id), count;
	char text[16];

	if (online <= 0)
		return;
	count = all ? online : 1 + rand() % online;
	if (!stress_book(count * block_size))
		return;
	snprintf(text, sizeof(text), "%d", count);
	if (rand() % 4)
		stress_write(OFFLINE_ATTRIBUTE, text, REGION "/offline", region->id);
	else
		stress_command(OFFLINE_COMMAND, "twostage offline region%d --count %d", region->id,
			       count);
	stress_unbook(count * block_size);
}

static void change_many_blocks(void)
{
	struct region region;

	usleep(rand() % 500000);
	if (!random_region(&region))
		return;
	if (rand() % 2)
		online_some(&region);
	else
		offline_some(&region, false);
}

/* Change memmap_on_memory, preferably of a region without online blocks. */
static void flip(void)
{
	struct region regions[MAX_REGIONS];
	int count = all_regions(regions), i, at = count ? rand() % count : 0;

	if (!count)
		return;
	for (i = 0; i < count && blocks_online(regions[at].id); i++)
		at = (at + 1) % count;
	stress_write(FLIP, read_number(REGION "/memmap_on_memory", regions[at].id) ? "0" : "1",
		     REGION "/memmap_on_memory", regions[at].id);
}

static void add(int n)
{
	const uint64_t start = ram_start(n), size = RAM_BLOCKS * block_size;
	bool own_memmap = rand() % 3;
	char text[64];
	double started;

	if (rand() % 4) {
		snprintf(text, sizeof(text), "node=%d memmap_on_memory=%d", ram_node(n),
			 own_memmap);
		started = now();
		stress_note(ADD_ATTRIBUTE, started, region_add(start, size, text));
	} else {
		stress_command(ADD_COMMAND,
			       "twostage add --node %d --memmap-on-memory %s %#" PRIx64 " %" PRIu64,
			       ram_node(n), own_memmap ? "yes" : "no", start, size);
	}
}

static void change_regions(void)
{
	int n = STEADY + 1 + rand() % (RAM_REGIONS - 1), tries;
	struct region region;
	double started;

	usleep(rand() % 300000);
	flip();
	if (!find_region(block_at(ram_start(n)), &region)) {
		add(n);
		return;
	}
	for (tries = 0; tries < 5 && blocks_online(region.id); tries++)
		offline_some(&region, true);
	if (rand() % 4) {
		started = now();
		stress_note(REMOVE_ATTRIBUTE, started, region_remove(region.id));
	} else {
		stress_command(REMOVE_COMMAND, "twostage remove region%d", region.id);
	}
}

static bool find_dimm(const struct dimm *dimm, struct region *region)
{
	struct region regions[MAX_REGIONS];
	int count = all_regions(regions), i;

	for (i = 0; i < count; i++) {
		if (!strcmp(regions[i].provider, "dimm") && regions[i].blocks == dimm->blocks) {
			*region = regions[i];
			return true;
		}
	}
	return false;
}

static bool wait_for_dimm(const struct dimm *dimm, bool there, int seconds)
{
	double until = now() + seconds;
	struct region region;

	while (now() < until) {
		if (find_dimm(dimm, &region) == there &&
		    (!there ||
		     exists(MEMORY "/memory%d/firmware_node", region.first + region.blocks - 1)))
			return true;
		usleep(5000);
	}
	return false;
}

/* Which of the DIMMs the host has plugged */
static bool plugged[ARRAY_SIZE(dimms)];

static void forget(int n)
{
	/* The guest removes the memory before QEMU deletes the device. */
	usleep(500000);
	dimm_forget(dimms[n].name);
	plugged[n] = false;
}

static int unplug(int n, int seconds)
{
	const struct dimm *dimm = &dimms[n];
	double started = now();

	dimm_unplug(dimm->name);
	if (!wait_for_dimm(dimm, false, seconds))
		return stress_note(UNPLUG, started, -EBUSY);
	stress_note(UNPLUG, started, 0);
	forget(n);
	return 0;
}

static void change_dimms(void)
{
	int n = STEADY + 1 + rand() % (ARRAY_SIZE(dimms) - 1);
	const struct dimm *dimm = &dimms[n];
	struct region region;
	double started;
	uint64_t used;

	usleep(rand() % 2000000);
	if (!find_dimm(dimm, &region)) {
		/* An unplug that timed out may have completed later. */
		if (plugged[n])
			forget(n);
		write_file(rand() % 2 ? "online_movable" : "offline", AUTO_ONLINE);
		started = now();
		dimm_plug(dimm->name, dimm->blocks * block_size, dimm->node);
		plugged[n] = true;
		stress_note(PLUG, started, wait_for_dimm(dimm, true, 60) ? 0 : -ETIMEDOUT);
		return;
	}
	used = blocks_online(region.id) * block_size;
	if (!stress_book(used))
		return;
	unplug(n, 15);
	stress_unbook(used);
}

static bool find_virtio(struct region *region)
{
	struct region regions[MAX_REGIONS];
	int count = all_regions(regions), i;

	for (i = 0; i < count; i++) {
		if (!strcmp(regions[i].provider, "virtio_mem")) {
			*region = regions[i];
			return true;
		}
	}
	return false;
}

static int set_budget(const struct region *region, uint64_t size)
{
	double started = now();

	host("qom-set vm0 requested-size %" PRIu64, size);
	while (now() < started + 60) {
		if (strtoull(read_file(REGION "/budget", region->id), NULL, 0) == size)
			return stress_note(SET_BUDGET, started, 0);
		usleep(5000);
	}
	return stress_note(SET_BUDGET, started, -ETIMEDOUT);
}

/*
 * Set a budget, which need not be a multiple of the block size, and set blocks
 * beyond a smaller budget offline.
 */
static void change_budget(void)
{
	struct region region;
	uint64_t size;
	int beyond;
	char text[16];

	usleep(1000000 + rand() % 3000000);
	if (!find_virtio(&region))
		return;
	size = rand() % (3 * BUDGET / 2 / STEP + 1) * STEP;
	if (set_budget(&region, size))
		return;
	beyond = blocks_online(region.id) - size / block_size;
	if (beyond <= 0 || !stress_book(beyond * block_size))
		return;
	snprintf(text, sizeof(text), "%d", beyond);
	stress_write(OFFLINE_ATTRIBUTE, text, REGION "/offline", region.id);
	stress_unbook(beyond * block_size);
}

static void look(void)
{
	struct region region;
	double started;
	int view;

	if (!random_region(&region)) {
		usleep(10000);
		return;
	}
	/* Leave time for the other processes. */
	usleep(20000);
	view = rand() % VIEWS;
	started = now();
	/* A block that is removed during the read returns no data. */
	stress_note(READ_ZONES + view, started,
		    look_at(view, region.first + rand() % region.blocks) > 0 ? 0 : -ENODATA);
}

static void use_memory(void)
{
	uint64_t available = meminfo("MemAvailable") * UINT64_C(1024);

	memory_prefer(rand() % 3 - 1);
	/* Mostly up to 128 MiB, sometimes up to 11/16 of the available memory */
	stress_use_memory(FILL, CHECK,
			  rand() % 4 ? (16 + rand() % 112) * MIB : available / 16 * (4 + rand() % 8),
			  rand() % 4000);
}

static void press(void)
{
	usleep(rand() % 10000000);
	if (rand() % 4)
		stress_write(COMPACT, "1", "/proc/sys/vm/compact_memory");
	else
		stress_write(DROP, "3", "/proc/sys/vm/drop_caches");
}

static const struct stress_job jobs[] = {
	{ "blocks", change_blocks, 2 },
	{ "several blocks", change_many_blocks, 1 },
	{ "regions", change_regions, 1 },
	{ "DIMMs", change_dimms, 1 },
	{ "the budget", change_budget, 1 },
	{ "readers", look, 2 },
	{ "memory", use_memory, 3 },
	{ "pressure", press, 1 },
};

static long changes(void)
{
	long sum = 0;
	int kind;

	for (kind = 0; kind < READ_ZONES; kind++)
		sum += stress_done(kind);
	return sum;
}

static void print_minute(int minute)
{
	struct region regions[MAX_REGIONS];
	int count = all_regions(regions), online = 0, kernel = 0, i, block;
	long failed = 0;

	for (i = 0; i < count; i++) {
		online += blocks_online(regions[i].id);
		for (block = regions[i].first; block < regions[i].first + regions[i].blocks; block++)
			kernel += !strcmp(read_file(MEMORY "/memory%d/state", block), "online") &&
				  !strcmp(read_file(MEMORY "/memory%d/valid_zones", block),
					  "Normal");
	}
	for (i = 0; i < KINDS; i++)
		failed += stress_failed(i);
	diag("progress: minute %d: %ld changes done, %ld refused, %llu MiB of data checked, "
	     "%llu bytes lost; now %d regions, %d blocks online, %d of them in kernel zones, "
	     "MemTotal %lld, MemAvailable %lld, SUnreclaim %lld KiB", minute, changes(),
	     failed, (unsigned long long)(stress_checked() / MIB),
	     (unsigned long long)stress_lost(), count,
	     online, kernel, meminfo("MemTotal"), meminfo("MemAvailable"), meminfo("SUnreclaim"));
}

/* Remove a region whose blocks are offline. */
static bool give_up_region(const struct region *region)
{
	size_t n;

	if (!strcmp(region->provider, "ram"))
		return !region_remove(region->id);
	for (n = 0; n < ARRAY_SIZE(dimms); n++)
		if (dimms[n].blocks == region->blocks)
			return !unplug(n, 60);
	return false;
}

/*
 * The final offline needs files of sysfs, which it opens in advance, because
 * their dentries would be in the last blocks (see memory_init()).
 */
static struct {
	int states[64], count;
} kept;

static void keep_open(void)
{
	struct region regions[MAX_REGIONS];
	int count = all_regions(regions), i, block, fd;
	char path[300];

	for (i = 0; i < count; i++) {
		for (block = 0; is_steady(&regions[i]) && block < regions[i].blocks; block++) {
			snprintf(path, sizeof(path), MEMORY "/memory%d/state",
				 regions[i].first + block);
			fd = open(path, O_WRONLY | O_CLOEXEC);
			if (fd >= 0 && kept.count < (int)ARRAY_SIZE(kept.states))
				kept.states[kept.count++] = fd;
		}
	}
}

/*
 * vfree() frees its vmap areas lazily, once many have accumulated. A change of
 * memory attributes, as for a module that is loaded, purges them at once.
 */
static void purge_vmalloc(void)
{
	if (!module_load_system("hwpoison-inject", NULL))
		module_unload("hwpoison_inject");
}

static void offline_kept(void)
{
	int i;

	purge_vmalloc();
	memory_free_unused();
	sleep(1);
	/* Errors are ignored: a block may be removed or offline already. */
	for (i = 0; i < kept.count; i++)
		write_open(kept.states[i], "offline");
}

static void close_kept(void)
{
	while (kept.count)
		close(kept.states[--kept.count]);
}

/*
 * For each block that cannot go offline, the kernel's log names a page. Print
 * the vmalloc areas with memory of node 1: kernel stacks, modules, per-CPU
 * memory. A page that is in none of them and no slab page is mostly a page
 * table.
 */
static void print_vmalloc_areas(void)
{
	char *text = read_whole("/proc/vmallocinfo"), *line, *rest = text;

	while ((line = strsep(&rest, "\n")))
		if (strstr(line, " N1="))
			diag("still mapped: %s", line);
	free(text);
}

/*
 * Set all blocks offline and remove all regions but that of the virtio-mem
 * device. Pages in kernel zones are freed when their users exit; idle kernel
 * threads do so after up to five minutes.
 */
static bool give_all_back(void)
{
	struct region regions[MAX_REGIONS];
	int round, count, left = 1, online = 0, i;
	double started = now();

	for (round = 0; round < 360 && left; round++) {
		if (round && kept.count) {
			offline_kept();
		} else if (round) {
			write_file("3", "/proc/sys/vm/drop_caches");
			sleep(1);
		}
		count = all_regions(regions);
		for (left = online = 0, i = 0; i < count; i++) {
			int blocks = region_offline_each(regions[i].id);

			online += blocks;
			left += blocks ||
				(strcmp(regions[i].provider, "virtio_mem") &&
				 !give_up_region(&regions[i]));
		}
	}
	diag("final offline: %.0f s, %d rounds, %d blocks remain online, %d blocks and regions in all",
	     now() - started, round, online, left);
	if (online)
		print_vmalloc_areas();
	return !left;
}

/*
 * Run many processes once. Page tables of the vmalloc range (kernel stacks and
 * other memory of processes) are never freed. They are allocated from boot
 * memory now; later, under memory pressure, they might come from a block in a
 * kernel zone, which could not go offline any more.
 */
static bool crowd(void)
{
	pid_t pids[CROWD];
	int count, i;

	for (count = 0; count < CROWD; count++) {
		pids[count] = fork();
		if (pids[count] < 0)
			break;
		if (!pids[count]) {
			pause();
			_exit(0);
		}
	}
	for (i = 0; i < count; i++)
		kill(pids[i], SIGKILL);
	for (i = 0; i < count; i++)
		waitpid(pids[i], NULL, 0);
	return count == CROWD;
}

/*
 * Allocate page tables for 64 MiB of the vmalloc range in advance, through the
 * table of a large zram device that is never used.
 */
static bool page_tables(void)
{
	bool well = !module_load_system("zram", NULL);

	usleep(300000);
	well = well && !write_file("16G", "/sys/block/zram0/disksize") &&
	       !write_file("1", "/sys/block/zram0/reset");
	return well && !module_unload("zram");
}

/*
 * Use each provider once, so that the kernel's caches fill before measurements.
 */
static bool warm_up(void)
{
	struct region region;
	bool well = crowd() && page_tables();
	size_t n;

	well &= set_anchor();
	for (n = 0; n < RAM_REGIONS; n++)
		add(n);
	for (n = 0; n < ARRAY_SIZE(dimms); n++) {
		dimm_plug(dimms[n].name, dimms[n].blocks * block_size, dimms[n].node);
		well &= wait_for_dimm(&dimms[n], true, 60);
	}
	well &= find_virtio(&region);
	for (n = 0; n < 2; n++) {
		struct region regions[MAX_REGIONS];
		int count = all_regions(regions), i;

		for (i = 0; i < count; i++)
			region_online(regions[i].id, "all online_movable");
		for (i = 0; i < count; i++)
			well &= !region_offline_each(regions[i].id);
	}
	return well & give_all_back();
}

/* Add the regions that exist all the time. */
static bool set_up_steady(void)
{
	if (!set_anchor())
		return false;
	add(STEADY);
	dimm_plug(dimms[STEADY].name, dimms[STEADY].blocks * block_size, dimms[STEADY].node);
	return wait_for_dimm(&dimms[STEADY], true, 60);
}

static long long settled_slab(void)
{
	memory_free_unused();
	sleep(2);
	return meminfo("SUnreclaim");
}

static bool slab_is_freed(long long before)
{
	long long slab = 0;
	int tries;

	for (tries = 0; tries < 30; tries++) {
		slab = settled_slab();
		if (slab - before <= SLAB_TOLERANCE)
			break;
	}
	diag("SUnreclaim: %lld KiB before the soak, %lld KiB now, %d KiB more tolerated", before, slab,
	     SLAB_TOLERANCE);
	return slab - before <= SLAB_TOLERANCE;
}

static void setup(void)
{
	/*
	 * Raise the watermarks, which reserve memory for the kernel: otherwise
	 * user data could fill kernel zones.
	 */
	write_file("1000", "/proc/sys/vm/watermark_scale_factor");
	write_file("offline", AUTO_ONLINE);
	/*
	 * A busy host stalls an emulated CPU for longer than the watchdogs
	 * allow.
	 */
	write_file("60", "/proc/sys/kernel/watchdog_thresh");
	write_file("300", "/proc/sys/kernel/hung_task_timeout_secs");
	if (readers_trip_over_huge_pages())
		write_file("never", "/sys/kernel/mm/transparent_hugepage/enabled");
	ok(module_load_system("virtio_pci", NULL) == 0, "virtio_pci loads");
	usleep(300000);
}

static void soak(int minutes, unsigned int seed)
{
	long long slab, total = meminfo("MemTotal");
	struct region virtio;
	long unexpected, kind, idle = 0;
	bool well;

	ok(warm_up(), "blocks of each provider go online and offline before the soak");
	slab = settled_slab();
	stress_end();
	stress_begin(kinds, KINDS);
	if (!ok(set_up_steady(), "each provider has a steady region before the soak"))
		return;
	keep_open();
	well = stress_run(jobs, ARRAY_SIZE(jobs), 60 * minutes, seed, print_minute);
	unexpected = stress_report();
	diag("data checked_mib=%llu lost_bytes=%llu", (unsigned long long)(stress_checked() / MIB),
	     (unsigned long long)stress_lost());
	ok(well, "all processes run for %d minutes and exit without error", minutes);
	ok(!stress_lost(), "no data is lost during the soak (%llu bytes)",
	   (unsigned long long)stress_lost());
	ok(stress_checked() > GIB,
	   "more than 1024 MiB of data are checked during the soak (%llu MiB)",
	   (unsigned long long)(stress_checked() / MIB));
	ok(!unexpected,
	   "each operation of the soak succeeds or fails with an expected error (%ld others)",
	   unexpected);
	for (kind = 0; kind < KINDS; kind++)
		idle += !stress_done(kind);
	/* Within a few minutes, some kinds may not succeed once, by chance. */
	ok(idle <= (minutes < 5 ? 3 : 0),
	   "kinds of operations succeed at least once during the soak (%ld of %d do not)", idle,
	   KINDS);

	ok(give_all_back(),
	   "all blocks go offline, all regions are removed and all DIMMs unplugged after the soak");
	close_kept();
	ok(find_virtio(&virtio) && !set_budget(&virtio, BUDGET),
	   "the virtio-mem device gets back its initial budget");
	ok(meminfo("MemTotal") == total, "MemTotal is as before the soak (%lld KiB, expected %lld)",
	   meminfo("MemTotal"), total);
	ok(slab_is_freed(slab), "SUnreclaim grows by at most %d KiB over the soak", SLAB_TOLERANCE);
}

static void run(void)
{
	const char *setting = getenv("SOAK_MINUTES");
	int minutes = setting ? atoi(setting) : 1;
	struct accounts *before;
	unsigned int seed = time(NULL);
	char device[32];

	snprintf(device, sizeof(device), "%s", virtio_device(VIRTIO_ID_MEM, 0));
	if (!ok(*device, "the guest has a virtio-mem device") || !load_twostage("adopt=1"))
		return;
	diag("seed %u", seed);
	before = accounts_take();
	ok(module_load(OURS, NULL) == 0, "the virtio-mem driver loads");
	stress_begin(kinds, KINDS);
	soak(minutes, seed);
	stress_end();
	ok(virtio_unbind(device) == 0 && module_unload(OURS) == 0,
	   "the virtio-mem driver is unbound from its device and unloads");
	write_file("offline", AUTO_ONLINE);
	ok(accounts_same(before), "the system matches the baseline after the soak");
	accounts_tell(before);
	accounts_free(before);
	unload_twostage();
}

GROUP(group_soak) = {
	.name = "soak", .title = "concurrent operations of all providers under memory pressure",
	.setup = setup, .run = run,
};
