// SPDX-License-Identifier: GPL-2.0-only
/*
 * All providers at once under memory pressure, for SOAK_MINUTES (default 1), with data that is checked
 *
 * Each provider has a steady region, on node 1, whose blocks go online in any zone. Other regions come and go, and
 * their blocks are in ZONE_MOVABLE: what the kernel keeps about them may be in kernel zones of the steady ones, which
 * can go offline after they are gone. The other way round, or among themselves, they would hold each other for good.
 * Node 0 has the boot memory, and the kernel's own for as long as there is some left.
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
/* What SUnreclaim may have grown by when all is given back, in KiB */
#define SLAB_TOLERANCE 2048
#define MAX_REGIONS 64
/* Processes: several times as many as there are at any other time */
#define CROWD 500

/* Told apart by their sizes, in blocks */
static const struct dimm {
	const char *name;
	int blocks, node;
} dimms[] = { { "soak3", 3, 1 }, { "soak2", 2, 0 }, { "soak4", 4, 1 } };

/* The steady ones of the regions of RAM and of the DIMMs */
#define STEADY 0

enum {
	ADD_KNOB, ADD_COMMAND, REMOVE_KNOB, REMOVE_COMMAND,
	ONLINE_STATE, ONLINE_ONLINE, ONLINE_KNOB, ONLINE_COMMAND, ONLINE_CHMEM,
	OFFLINE_STATE, OFFLINE_ONLINE, OFFLINE_KNOB, OFFLINE_COMMAND, OFFLINE_CHMEM,
	FLIP, PLUG, UNPLUG, SET_BUDGET,
	READ_ZONES, READ_FLAGS, READ_COUNT, READ_TYPES, READ_KCORE,
	FILL, CHECK, COMPACT, DROP, KINDS
};

/* What others do between a look and the operation that follows */
#define RACE(error) { error, "somebody else was there first", NULL }
#define GONE { ENOENT, "somebody else was there first", "there is no " }, \
	     { ENODEV, "somebody else was there first", "is in no region" }, RACE(ENXIO)
/* More blocks than there are, or one that is in that state already */
#define NOT_SO { EINVAL, "somebody else was there first", "are standby" }, \
	       { EINVAL, "somebody else was there first", "are online" }, \
	       { EINVAL, "somebody else was there first", ") is standby" }, \
	       { EINVAL, "somebody else was there first", ") is online" }, \
	       { EINVAL, "somebody else was there first", "others were quicker" }
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
	GONE, { ENOENT, "somebody else was there first", STRESS_SILENT }, NOT_SO,
	/* By now it is online, in a kernel zone. */
	{ EINVAL, "somebody else was there first", "Zone mismatch" },
	{ EBUSY, "there are pages that cannot be moved", NULL },
	{ ENOSPC, "the host's budget is used up", NULL }, { ENOMEM, "no ordinary memory for a memmap", NULL }, END
};
static const struct stress_error flip_errors[] = { GONE, { EBUSY, "blocks of it are online", NULL }, END };
static const struct stress_error unplug_errors[] = {
	{ EBUSY, "refused, there are pages that cannot be moved", NULL }, END
};
static const struct stress_error read_errors[] = { RACE(ENODATA), END };

static const struct stress_kind kinds[KINDS] = {
	[ADD_KNOB] = { "add, by add_region", add_errors },
	[ADD_COMMAND] = { "add, by twostage", add_errors },
	[REMOVE_KNOB] = { "remove, by remove_region", remove_errors },
	[REMOVE_COMMAND] = { "remove, by twostage", remove_errors },
	[ONLINE_STATE] = { "online, by memoryX/state", online_errors },
	[ONLINE_ONLINE] = { "online, by memoryX/online", online_errors },
	[ONLINE_KNOB] = { "online, by regionN/online", online_errors },
	[ONLINE_COMMAND] = { "online, by twostage", online_errors },
	[ONLINE_CHMEM] = { "online, by chmem", chmem_errors },
	[OFFLINE_STATE] = { "offline, by memoryX/state", offline_errors },
	[OFFLINE_ONLINE] = { "offline, by memoryX/online", offline_errors },
	[OFFLINE_KNOB] = { "offline, by regionN/offline", offline_errors },
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

/* False if it has gone meanwhile */
static bool look_up(int id, struct region *region)
{
	uint64_t start = strtoull(read_file(REGION "/start", id), NULL, 0);

	region->id = id;
	region->first = block_at(start);
	region->node = read_number(REGION "/node", id);
	region->blocks = read_number(REGION "/blocks", id);
	snprintf(region->provider, sizeof(region->provider), "%s", read_file(REGION "/provider", id));
	return start && region->blocks && *region->provider;
}

static int all_regions(struct region *regions)
{
	DIR *directory = opendir(BUS "/devices");
	struct dirent *entry;
	int count = 0;

	while (directory && count < MAX_REGIONS && (entry = readdir(directory)))
		if (!strncmp(entry->d_name, "region", 6) && look_up(atoi(entry->d_name + 6), &regions[count]))
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
 * The first block of all is a region of its own. It is node 1's first memory, movable, and stays online: newer
 * kernels take the node's own threads out of its first memory if they can.
 */
static bool set_anchor(void)
{
	struct region region;

	return !region_add(RAM_START, block_size, "node=1") && find_region(block_at(RAM_START), &region) &&
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
	return !strcmp(region->provider, "virtio_mem") || region->first == block_at(ram_start(STEADY)) ||
	       (!strcmp(region->provider, "dimm") && region->blocks == dimms[STEADY].blocks);
}

static const char *random_zone(const struct region *region)
{
	static const char *const zones[] = { "online_movable", "online", "online_kernel" };

	return zones[is_steady(region) ? rand() % 3 : 0];
}

/* As the command has them */
static const char *random_zone_name(const struct region *region)
{
	static const char *const names[] = { "movable", "auto", "kernel" };

	return names[is_steady(region) ? rand() % 3 : 0];
}

static void online_block(const struct region *region, int block)
{
	switch (rand() % 8) {
	case 0:
		/* That leaves the zone to the kernel. */
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

/* Several blocks at a time */
static void online_some(const struct region *region)
{
	int standby = region->blocks - blocks_online(region->id);
	int count = standby > 0 ? 1 + rand() % standby : 1;
	char text[64];

	if (rand() % 4) {
		snprintf(text, sizeof(text), "%d %s", count, random_zone(region));
		stress_write(ONLINE_KNOB, text, REGION "/online", region->id);
	} else {
		stress_command(ONLINE_COMMAND, "twostage online region%d --count %d --zone %s", region->id, count,
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
		stress_write(OFFLINE_KNOB, text, REGION "/offline", region->id);
	else
		stress_command(OFFLINE_COMMAND, "twostage offline region%d --count %d", region->id, count);
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

/* Mostly where it can succeed */
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
		snprintf(text, sizeof(text), "node=%d memmap_on_memory=%d", ram_node(n), own_memmap);
		started = now();
		stress_note(ADD_KNOB, started, region_add(start, size, text));
	} else {
		stress_command(ADD_COMMAND, "twostage add --node %d --memmap-on-memory %s %#" PRIx64 " %" PRIu64,
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
		stress_note(REMOVE_KNOB, started, region_remove(region.id));
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
		    (!there || exists(MEMORY "/memory%d/firmware_node", region.first + region.blocks - 1)))
			return true;
		usleep(5000);
	}
	return false;
}

/* Which of them are plugged, as far as the host is concerned */
static bool plugged[ARRAY_SIZE(dimms)];

static void forget(int n)
{
	/* The guest is done with it before the host is. */
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
		/* It may have gone after it was given up. */
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

/* Sizes that are no multiple of a block's, too. What is beyond a new budget is given back, as it should be. */
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
	stress_write(OFFLINE_KNOB, text, REGION "/offline", region.id);
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
	/* They are not to be all that there is going on. */
	usleep(20000);
	view = rand() % VIEWS;
	started = now();
	/* A block that goes while it is looked at has nothing to show. */
	stress_note(READ_ZONES + view, started,
		    look_at(view, region.first + rand() % region.blocks) > 0 ? 0 : -ENODATA);
}

static void use_memory(void)
{
	uint64_t available = meminfo("MemAvailable") * UINT64_C(1024);

	memory_prefer(rand() % 3 - 1);
	/* Mostly some, at times most of what there is */
	stress_use_memory(FILL, CHECK, rand() % 4 ? (16 + rand() % 112) * MIB : available / 16 * (4 + rand() % 8),
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

static void tell_minute(int minute)
{
	struct region regions[MAX_REGIONS];
	int count = all_regions(regions), online = 0, kernel = 0, i, block;
	long failed = 0;

	for (i = 0; i < count; i++) {
		online += blocks_online(regions[i].id);
		for (block = regions[i].first; block < regions[i].first + regions[i].blocks; block++)
			kernel += !strcmp(read_file(MEMORY "/memory%d/state", block), "online") &&
				  !strcmp(read_file(MEMORY "/memory%d/valid_zones", block), "Normal");
	}
	for (i = 0; i < KINDS; i++)
		failed += stress_failed(i);
	diag("progress: minute %d: %ld changes done, %ld refused, %llu MiB of data checked, %llu bytes lost; now %d "
	     "regions, %d blocks online, %d of them in kernel zones, MemTotal %lld, MemAvailable %lld, SUnreclaim %lld KiB", minute, changes(),
	     failed, (unsigned long long)(stress_checked() / MIB), (unsigned long long)stress_lost(), count,
	     online, kernel, meminfo("MemTotal"), meminfo("MemAvailable"), meminfo("SUnreclaim"));
}

/* A region whose blocks are offline */
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
 * Whoever looks for a file of sysfs has the kernel note its name and its inode, in a slab that has room: that may be the
 * last one in a block, which cannot go offline as long as it is looked for. So what the last tries take is opened while
 * there is no kernel zone but in boot memory.
 */
static struct {
	int caches, pressure, shrink[512], states[64];
	int shrink_count, state_count;
} kept;

static void keep_open(void)
{
	DIR *directory = opendir("/sys/kernel/slab");
	struct region regions[MAX_REGIONS];
	int count = all_regions(regions), i, block, fd;
	struct dirent *entry;
	char path[300];

	kept.caches = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	kept.pressure = open("/proc/sys/vm/vfs_cache_pressure", O_WRONLY | O_CLOEXEC);
	while (directory && (entry = readdir(directory)) && kept.shrink_count < (int)ARRAY_SIZE(kept.shrink)) {
		snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink", entry->d_name);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd >= 0)
			kept.shrink[kept.shrink_count++] = fd;
	}
	if (directory)
		closedir(directory);
	for (i = 0; i < count; i++) {
		for (block = 0; is_steady(&regions[i]) && block < regions[i].blocks; block++) {
			snprintf(path, sizeof(path), MEMORY "/memory%d/state", regions[i].first + block);
			fd = open(path, O_WRONLY | O_CLOEXEC);
			if (fd >= 0 && kept.state_count < (int)ARRAY_SIZE(kept.states))
				kept.states[kept.state_count++] = fd;
		}
	}
}

/* What is not there any more, or offline already, refuses. */
static void write_all(const int *files, int count, const char *text)
{
	while (count--)
		pwrite(files[count], text, strlen(text), 0);
}

/*
 * Of the unused names that a node has of a file system of the kernel's own (proc, sysfs), no more than half are
 * dropped at a time, and of a single one nothing is, ever. Unless it counts as many: then it is looked at twice, in the
 * first of which it was used lately.
 */
static void drop_caches_kept(void)
{
	write_all(&kept.pressure, 1, "100000");
	write_all(&kept.caches, 1, "3");
	write_all(&kept.pressure, 1, "100");
}

/*
 * What vfree() gives back is described on until a lot of it has come together, or somebody changes the attributes of
 * memory, as it happens with a module's.
 */
static void purge_vmalloc(void)
{
	if (!module_load_system("hwpoison-inject", NULL))
		module_unload("hwpoison_inject");
}

static void offline_kept(void)
{
	purge_vmalloc();
	drop_caches_kept();
	/* Names are freed after a grace period. */
	sleep(1);
	write_all(kept.shrink, kept.shrink_count, "1");
	write_all(kept.states, kept.state_count, "offline");
}

static void close_kept(void)
{
	close(kept.caches);
	close(kept.pressure);
	while (kept.shrink_count)
		close(kept.shrink[--kept.shrink_count]);
	while (kept.state_count)
		close(kept.states[--kept.state_count]);
}

/*
 * Where blocks stay online, the kernel's log has a page that keeps each. This is who has mapped what is left of node
 * 1: kernel stacks, modules, memory of each processor. What is not here and no slab is mostly a page table.
 */
static void tell_who_maps(void)
{
	char *text = read_whole("/proc/vmallocinfo"), *line, *rest = text;

	while ((line = strsep(&rest, "\n")))
		if (strstr(line, " N1="))
			diag("still mapped: %s", line);
	free(text);
}

/*
 * All blocks of all regions offline, and all regions but that of the virtio-mem device gone. What is in kernel zones
 * goes when those who use it are gone, some of the kernel's threads after five minutes.
 */
static bool give_all_back(void)
{
	struct region regions[MAX_REGIONS];
	int round, count, left = 1, online = 0, i;
	double started = now();

	for (round = 0; round < 360 && left; round++) {
		if (round && kept.state_count) {
			offline_kept();
		} else if (round) {
			write_file("3", "/proc/sys/vm/drop_caches");
			sleep(1);
		}
		count = all_regions(regions);
		for (left = online = 0, i = 0; i < count; i++) {
			int blocks = region_offline_each(regions[i].id);

			online += blocks;
			left += blocks || (strcmp(regions[i].provider, "virtio_mem") && !give_up_region(&regions[i]));
		}
	}
	diag("all given back after %.0f s, %d rounds; %d blocks are online, %d regions left", now() - started, round,
	     online, left);
	if (online)
		tell_who_maps();
	return !left;
}

/*
 * Many processes at once. The page tables of the kernel's stacks, and of what else vmalloc() has for processes, are
 * never given back: they come from boot memory now, and not when memory is short, from a block in a kernel zone, which
 * would stay online for good.
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

/* The same for 64 MiB of what vmalloc() has: the table of a large zram device, which is never used. */
static bool page_tables(void)
{
	bool well = !module_load_system("zram", NULL);

	usleep(300000);
	well = well && !write_file("16G", "/sys/block/zram0/disksize") && !write_file("1", "/sys/block/zram0/reset");
	return well && !module_unload("zram");
}

/* What is kept for the next time is kept by now. */
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

/* What is there all the time */
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
	write_file("3", "/proc/sys/vm/drop_caches");
	memory_shrink_slabs();
	sleep(2);
	return meminfo("SUnreclaim");
}

static bool slab_comes_back(long long before)
{
	long long slab = 0;
	int tries;

	for (tries = 0; tries < 30; tries++) {
		slab = settled_slab();
		if (slab - before <= SLAB_TOLERANCE)
			break;
	}
	diag("SUnreclaim was %lld KiB before and is %lld KiB now (%d KiB more are tolerated)", before, slab,
	     SLAB_TOLERANCE);
	return slab - before <= SLAB_TOLERANCE;
}

static void setup(void)
{
	/* Room that only the kernel can use: without it, data in kernel zones leaves none for the kernel. */
	write_file("1000", "/proc/sys/vm/watermark_scale_factor");
	write_file("offline", AUTO_ONLINE);
	/* A host that is busy stops the processors of an emulated guest for longer than the kernel believes in. */
	write_file("60", "/proc/sys/kernel/watchdog_thresh");
	write_file("300", "/proc/sys/kernel/hung_task_timeout_secs");
	if (readers_trip_over_huge_pages())
		write_file("never", "/sys/kernel/mm/transparent_hugepage/enabled");
	ok(module_load_system("virtio_pci", NULL) == 0, "the virtio bus is there");
	usleep(300000);
}

static void soak(int minutes, unsigned int seed)
{
	long long slab, total = meminfo("MemTotal");
	struct region virtio;
	long unexpected, kind, idle = 0;
	bool well;

	ok(warm_up(), "all providers work, and everything is given back");
	slab = settled_slab();
	stress_end();
	stress_begin(kinds, KINDS);
	if (!ok(set_up_steady(), "each provider has a steady region"))
		return;
	keep_open();
	well = stress_run(jobs, ARRAY_SIZE(jobs), 60 * minutes, seed, tell_minute);
	unexpected = stress_report();
	diag("data checked_mib=%llu lost_bytes=%llu", (unsigned long long)(stress_checked() / MIB),
	     (unsigned long long)stress_lost());
	ok(well, "all processes run for %d minutes and end", minutes);
	ok(!stress_lost() && stress_checked() > GIB, "no data is lost");
	ok(!unexpected, "there is no error that is not expected");
	for (kind = 0; kind < KINDS; kind++)
		idle += !stress_done(kind);
	/* By chance, not everything may be done in a minute. */
	ok(idle <= (minutes < 5 ? 3 : 0), "everything is done (%ld of %d kinds of operations are not)", idle, KINDS);

	ok(give_all_back(), "all blocks can be set offline, all regions removed, all DIMMs unplugged");
	close_kept();
	ok(find_virtio(&virtio) && !set_budget(&virtio, BUDGET), "the budget is what it was");
	ok(meminfo("MemTotal") == total, "MemTotal is what it was (%lld KiB)", total);
	ok(slab_comes_back(slab), "the slab comes back");
}

static void run(void)
{
	const char *setting = getenv("SOAK_MINUTES");
	int minutes = setting ? atoi(setting) : 1;
	struct accounts *before;
	unsigned int seed = time(NULL);
	char device[32];

	snprintf(device, sizeof(device), "%s", virtio_device(VIRTIO_ID_MEM, 0));
	if (!ok(*device, "a virtio-mem device is there") || !load_twostage("adopt=1"))
		return;
	diag("seed %u", seed);
	before = accounts_take();
	ok(module_load(OURS, NULL) == 0, "its driver loads");
	stress_begin(kinds, KINDS);
	soak(minutes, seed);
	stress_end();
	ok(virtio_unbind(device) == 0 && module_unload(OURS) == 0, "the driver lets go of its device and unloads");
	write_file("offline", AUTO_ONLINE);
	ok(accounts_same(before), "every account is what it was");
	accounts_tell(before);
	accounts_free(before);
	unload_twostage();
}

GROUP(group_soak) = {
	.name = "soak", .title = "all providers under memory pressure, for long", .setup = setup, .run = run,
};
