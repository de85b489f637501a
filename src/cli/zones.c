// SPDX-License-Identifier: GPL-2.0-only
/*
 * How much memory the kernel can use for itself
 *
 * Memory in ZONE_MOVABLE holds only what can be moved: the data of processes
 * and the page cache. Page tables, inodes, dentries and all else that the
 * kernel allocates for itself has to fit into the other zones, and what the
 * kernel needs grows with the data. With too little memory in these zones the
 * OOM killer runs while most of the memory is free.
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

/* The kernel's default, for kernels without the parameter */
#define DEFAULT_RATIO 301

/**
 * zones_read() - find out how much memory is in which zones
 * @zones: the result
 *
 * The limit is that of the kernel's policy auto-movable.
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
 * zones_ratio() - the size of ZONE_MOVABLE in percent of that of the kernel zones
 * @zones: the zones
 */
uint64_t zones_ratio(const struct zones *zones)
{
	return (unsigned __int128)zones->movable * 100 / zones->kernel;
}

/* How much has to move from ZONE_MOVABLE into kernel zones to be within the limit */
static uint64_t excess(const struct zones *zones)
{
	const unsigned __int128 total = (unsigned __int128)zones->kernel + zones->movable;

	return zones->movable - (uint64_t)(total * zones->limit / (100 + zones->limit));
}

/* The highest blocks of regions that are in ZONE_MOVABLE, @count at the most */
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
		ids = region_block_ids(&regions.region[i], block_size);
		for (id = ids.end; count && id + 1 > ids.start; id--) {
			if (!memory_block_is_online(id) || memory_block_read(&block, id) ||
			    strcmp(block.zones, "Movable"))
				continue;
			ranges_add(&found, (struct range){ id, id });
			count--;
		}
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
	warning("only %s of memory is in kernel zones, and %s in zone Movable, which is %" PRIu64
		" %% of that (more than %" PRIu64 " %%): the kernel may run out of memory for itself while memory is free",
		format_size(kernel, zones->kernel), format_size(movable, zones->movable),
		zones_ratio(zones), zones->limit);
	blocks = movable_blocks(block_size, (excess(zones) + block_size - 1) / block_size);
	if (blocks.count) {
		text = format_ranges(&blocks);
		hint("have some of it in a kernel zone, from which it may never go offline again: twostage offline --blocks %s && twostage online --zone kernel --blocks %s",
		     text, text);
		free(text);
	}
	ranges_free(&blocks);
}
