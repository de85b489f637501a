// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory in kernel zones, which the kernel can use for its own data
 *
 * Memory in ZONE_MOVABLE holds only movable data: anonymous memory of processes
 * and the page cache. Page tables, inodes, dentries and all other data of the
 * kernel must be in the other zones, the kernel zones, and this data grows with
 * the movable data. If the kernel zones are too small, the OOM killer runs
 * although most memory is free.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "errors.h"
#include "regions.h"
#include "size.h"
#include "sysfs.h"
#include "zones.h"

#define RATIO "/sys/module/memory_hotplug/parameters/auto_movable_ratio"

/* The default in mm/memory_hotplug.c, for kernels without the parameter */
#define DEFAULT_RATIO 301

/**
 * zones_read() - read how much memory is in kernel zones and in ZONE_MOVABLE
 * @zones: the result
 *
 * The limit is that of the kernel's online policy auto-movable.
 *
 * Return: 0; or a negative errno, -ENODATA if no kernel zone was found.
 */
int zones_read(struct zones *zones)
{
	const uint64_t page_size = sysconf(_SC_PAGESIZE);
	char zone[32] = "", line[256];
	uint64_t present;
	FILE *file;

	*zones = (struct zones){ 0 };
	file = sysroot_fopen("/proc/zoneinfo");
	if (!file)
		return -errno;
	/* "Node 0, zone  Movable", and some lines later "  present  262144" */
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "Node %*u, zone %31s", zone) == 1 ||
		    sscanf(line, " present %" SCNu64, &present) != 1)
			continue;
		if (!strcmp(zone, "Movable"))
			zones->movable += present * page_size;
		else if (strcmp(zone, "Device"))
			zones->kernel += present * page_size;
	}
	fclose(file);
	if (sysfs_read_number(&zones->limit, 0, RATIO) || !zones->limit)
		zones->limit = DEFAULT_RATIO;
	return zones->kernel ? 0 : -ENODATA;
}

/**
 * zones_ratio() - the size of ZONE_MOVABLE in percent of the kernel zones
 * @zones: the zones
 */
uint64_t zones_ratio(const struct zones *zones)
{
	return (unsigned __int128)zones->movable * 100 / zones->kernel;
}

/* How many bytes must move from ZONE_MOVABLE to kernel zones */
static uint64_t excess(const struct zones *zones)
{
	const unsigned __int128 total = (unsigned __int128)zones->kernel + zones->movable;

	return zones->movable - (uint64_t)(total * zones->limit / (100 + zones->limit));
}

/* The highest memory blocks of regions in ZONE_MOVABLE, at most @count */
static struct ranges movable_blocks(uint64_t block_size, uint64_t count)
{
	struct ranges found = { 0 };
	struct memory_block block;
	struct regions regions;
	struct range ids;
	uint64_t id;
	size_t i;

	if (regions_read(&regions))
		return found;
	for (i = regions.count; i-- && count;) {
		char *stages = region_stages(&regions.region[i]);

		ids = region_block_ids(&regions.region[i], block_size);
		for (id = ids.end; count && id + 1 > ids.start; id--) {
			if (stages && stages[id - ids.start] == STAGE_STANDBY)
				continue;
			if (!memory_block_is_online(id) || memory_block_read(&block, id) ||
			    strcmp(block.zones, "Movable"))
				continue;
			ranges_add(&found, (struct range){ id, id });
			count--;
		}
		free(stages);
	}
	regions_free(&regions);
	return found;
}

/**
 * zones_warn() - warn if there is too much memory in ZONE_MOVABLE
 * @zones: the zones
 */
void zones_warn(const struct zones *zones)
{
	char movable[SIZE_TEXT], kernel[SIZE_TEXT], *text;
	struct ranges blocks;
	uint64_t block_size;

	if (zones_ratio(zones) <= zones->limit || memory_block_size(&block_size))
		return;
	warning("only %s of memory is in kernel zones; %s in zone Movable is %" PRIu64
		" %% of that, more than the limit of %" PRIu64
		" %%: the kernel may run out of memory for its own data while other memory is free",
		format_size(kernel, zones->kernel), format_size(movable, zones->movable),
		zones_ratio(zones), zones->limit);
	blocks = movable_blocks(block_size, (excess(zones) + block_size - 1) / block_size);
	if (blocks.count) {
		text = format_ranges(&blocks);
		hint("to move some of it to a kernel zone, where it may never go offline again: twostage offline --blocks %s && twostage online --zone kernel --blocks %s",
		     text, text);
		free(text);
	}
	ranges_free(&blocks);
}
