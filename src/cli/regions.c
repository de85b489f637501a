// SPDX-License-Identifier: GPL-2.0-only
/*
 * Regions and their memory blocks, as sysfs shows them
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "array_size.h"
#include "errors.h"
#include "memory_or_die.h"
#include "regions.h"
#include "sysfs.h"

#define DEVICES "/sys/bus/twostage/devices"
#define MEMORY "/sys/devices/system/memory"

/**
 * region_read() - read a region, without allocating memory
 * @region: the result; undefined on failure
 * @name: "regionN"
 *
 * Return: 0, -ENOENT if there is no such region, or another negative errno.
 */
int region_read(struct region *region, const char *name)
{
	const struct {
		const char *file;
		uint64_t *value;
	} numbers[] = {
		{ "start", &region->start },
		{ "size", &region->size },
		{ "blocks", &region->blocks },
		{ "blocks_online", &region->online },
		{ "memmap_pages", &region->memmap_pages },
	};
	char node[16], memmap_on_memory[16], online_on_oom[16];
	size_t i;
	int ret;

	*region = (struct region){ 0 };
	if (sscanf(name, "region%u", &region->id) != 1)
		return -ENOENT;
	snprintf(region->name, sizeof(region->name), "region%u", region->id);

	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		ret = sysfs_read_number(numbers[i].value, 0, DEVICES "/%s/%s", name, numbers[i].file);
		if (ret)
			return ret;
	}
	ret = sysfs_read(region->provider, sizeof(region->provider), DEVICES "/%s/provider", name);
	if (!ret)
		ret = sysfs_read(node, sizeof(node), DEVICES "/%s/node", name);
	if (!ret)
		ret = sysfs_read(memmap_on_memory, sizeof(memmap_on_memory),
				 DEVICES "/%s/memmap_on_memory", name);
	if (ret)
		return ret;
	/* Only providers with a budget have these attributes. */
	region->has_budget = !sysfs_read_number(&region->budget, 0, DEVICES "/%s/budget", name) &&
			  !sysfs_read_number(&region->plugged, 0, DEVICES "/%s/plugged", name);
	/* An older module, loaded before an upgrade, lacks these attributes. */
	if (sysfs_read_number(&region->poisoned, 0, DEVICES "/%s/blocks_poisoned", name))
		region->poisoned = 0;
	if (sysfs_read_number(&region->oom_onlined, 0, DEVICES "/%s/oom_onlined", name))
		region->oom_onlined = 0;
	region->online_on_oom = !sysfs_read(online_on_oom, sizeof(online_on_oom),
					    DEVICES "/%s/online_on_oom", name) &&
				!strcmp(online_on_oom, "1");
	region->node = atoi(node);
	region->memmap_on_memory = !strcmp(memmap_on_memory, "1");
	return 0;
}

/**
 * region_refresh() - read a region with a budget again
 * @region: the region; unchanged on failure
 *
 * Return: 0 or a negative errno.
 */
int region_refresh(struct region *region)
{
	struct region now;
	int ret;

	ret = region_read(&now, region->name);
	if (!ret && now.has_budget)
		*region = now;
	return ret;
}

static int compare_ids(const void *a, const void *b)
{
	const struct region *first = a, *second = b;

	return (first->id > second->id) - (first->id < second->id);
}

/**
 * regions_read() - read all regions
 * @regions: the result
 *
 * Return: 0; or a negative errno, after printing an error.
 */
int regions_read(struct regions *regions)
{
	struct dirent *entry;
	int ret = 0;
	DIR *dir;

	*regions = (struct regions){ 0 };
	dir = sysroot_opendir(DEVICES);
	if (!dir) {
		ret = -errno;
		error("cannot read " DEVICES ": %s", strerror(-ret));
		return ret;
	}
	while (!ret && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		regions->region = realloc_or_die(regions->region, regions->count + 1,
						 sizeof(*regions->region));
		ret = region_read(&regions->region[regions->count], entry->d_name);
		if (!ret)
			regions->count++;
		else if (ret == -ENOENT || ret == -ENODEV)
			ret = 0;
		else
			error("cannot read " DEVICES "/%s: %s", entry->d_name, strerror(-ret));
	}
	closedir(dir);
	if (ret) {
		regions_free(regions);
		return ret;
	}
	if (regions->count)
		qsort(regions->region, regions->count, sizeof(*regions->region), compare_ids);
	return 0;
}

/**
 * any_region_has_budget() - whether the provider of any region has a budget
 */
bool any_region_has_budget(void)
{
	char pattern[PATH_MAX];
	glob_t found;
	bool any;

	snprintf(pattern, sizeof(pattern), "%s" DEVICES "/*/budget", sysroot());
	any = !glob(pattern, 0, NULL, &found);
	if (any)
		globfree(&found);
	return any;
}

static bool any_region(bool (*has)(const struct region *region))
{
	struct regions regions;
	bool any = false;
	size_t i;

	if (!sysfs_exists("/sys/bus/twostage") || regions_read(&regions))
		return false;
	for (i = 0; i < regions.count; i++)
		any |= has(&regions.region[i]);
	regions_free(&regions);
	return any;
}

static bool is_poisoned(const struct region *region)
{
	return region->poisoned > 0;
}

/**
 * any_region_is_poisoned() - whether any region has a poisoned block
 */
bool any_region_is_poisoned(void)
{
	return any_region(is_poisoned);
}

static bool comes_online_on_oom(const struct region *region)
{
	return region->online_on_oom;
}

/**
 * any_region_comes_online_on_oom() - whether any region has online_on_oom set
 */
bool any_region_comes_online_on_oom(void)
{
	return any_region(comes_online_on_oom);
}

/**
 * regions_free() - free what regions_read() allocated
 * @regions: the regions
 */
void regions_free(struct regions *regions)
{
	free(regions->region);
	*regions = (struct regions){ 0 };
}

/**
 * regions_find() - find a region by its name
 * @regions: the regions
 * @name: "regionN"
 *
 * Return: the region, or NULL.
 */
const struct region *regions_find(const struct regions *regions, const char *name)
{
	size_t i;

	for (i = 0; i < regions->count; i++)
		if (!strcmp(regions->region[i].name, name))
			return &regions->region[i];
	return NULL;
}

/**
 * region_name_valid() - whether a text has the form of a region name
 * @name: the text
 */
bool region_name_valid(const char *name)
{
	const char *digit = name + strlen("region");

	if (strncmp(name, "region", strlen("region")) || !*digit)
		return false;
	while (isdigit((unsigned char)*digit))
		digit++;
	return !*digit;
}

/**
 * regions_select() - reduce a list of regions to those that are named
 * @regions: all regions; on return, the named ones, once each
 * @names: their names
 * @count: number of names; 0 keeps all regions
 *
 * Return: 0; or -ENOENT, after printing an error, if a name does not exist.
 */
int regions_select(struct regions *regions, char *const *names, int count)
{
	size_t kept = 0, i;
	int name;

	for (name = 0; name < count; name++) {
		if (!regions_find(regions, names[name])) {
			error("there is no region \"%s\"", names[name]);
			hint("to list regions: twostage list");
			return -ENOENT;
		}
	}
	if (!count)
		return 0;
	for (i = 0; i < regions->count; i++) {
		for (name = 0; name < count; name++) {
			if (!strcmp(regions->region[i].name, names[name])) {
				regions->region[kept++] = regions->region[i];
				break;
			}
		}
	}
	regions->count = kept;
	return 0;
}

/**
 * memory_block_size() - read the memory block size
 * @size: the size in bytes
 *
 * Return: 0; or a negative errno, after printing an error.
 */
int memory_block_size(uint64_t *size)
{
	int ret = sysfs_read_number(size, 16, MEMORY "/block_size_bytes");

	if (!ret && !*size)
		ret = -EINVAL;
	if (ret)
		error("cannot read the memory block size from " MEMORY "/block_size_bytes: %s", strerror(-ret));
	return ret;
}

/**
 * memory_block_read() - read the state of a memory block of a region
 * @block: the result
 * @id: its number
 *
 * Return: 0 or a negative errno; -ENOENT if the block does not exist or is in
 * no region.
 */
int memory_block_read(struct memory_block *block, uint64_t id)
{
	int ret;

	block->id = id;
	ret = sysfs_read(block->stage, sizeof(block->stage), MEMORY "/memory%" PRIu64 "/twostage/stage",
			 id);
	if (!ret)
		ret = sysfs_read(block->state, sizeof(block->state), MEMORY "/memory%" PRIu64 "/state",
				 id);
	/* A kernel that cannot set memory offline has no valid_zones. */
	if (!ret && sysfs_read(block->zones, sizeof(block->zones),
			       MEMORY "/memory%" PRIu64 "/valid_zones", id))
		block->zones[0] = '\0';
	return ret;
}

/**
 * memory_block_is_online() - whether a memory block is online
 * @id: its number
 */
bool memory_block_is_online(uint64_t id)
{
	char state[16];

	return !sysfs_read(state, sizeof(state), MEMORY "/memory%" PRIu64 "/state", id) &&
	       !strcmp(state, "online");
}

/**
 * memory_block_is_poisoned() - whether a memory block is offline and keeps its
 *	memory because of a hardware-poisoned page
 * @id: its number
 */
bool memory_block_is_poisoned(uint64_t id)
{
	char stage[16];

	return !sysfs_read(stage, sizeof(stage), MEMORY "/memory%" PRIu64 "/twostage/stage", id) &&
	       !strcmp(stage, "poisoned");
}

/**
 * memory_block_region() - read which region a memory block is in
 * @id: the block's number
 * @name: the region's name
 * @size: size of @name
 *
 * Return: 0, -ENOENT if the block does not exist, -ENODEV if it is in no
 * region, or another negative errno.
 */
int memory_block_region(uint64_t id, char *name, size_t size)
{
	int ret = sysfs_read(name, size, MEMORY "/memory%" PRIu64 "/twostage/region", id);

	if (ret == -ENOENT && sysfs_exists(MEMORY "/memory%" PRIu64, id))
		ret = -ENODEV;
	return ret;
}

/**
 * region_block_ids() - the numbers of a region's memory blocks
 * @region: the region
 * @block_size: in bytes
 */
struct range region_block_ids(const struct region *region, uint64_t block_size)
{
	uint64_t first = region->start / block_size;

	return (struct range){ first, first + region->blocks - 1 };
}

/**
 * region_stages() - read the stages of all memory blocks of a region
 * @region: the region
 *
 * Return: a character for each block, STAGE_STANDBY or another, to be freed by
 * the caller; or NULL if that cannot be read: the region has been removed, or
 * the module is older than 0.2.0.
 */
char *region_stages(const struct region *region)
{
	char *stages = realloc_or_die(NULL, region->blocks, 1);

	if (!sysfs_read_bytes(stages, region->blocks, DEVICES "/%s/stages", region->name))
		return stages;
	free(stages);
	return NULL;
}

/**
 * region_online_blocks() - find the online memory blocks of a region
 * @region: the region
 * @block_size: in bytes
 * @blocks: the set to which to add their numbers
 */
void region_online_blocks(const struct region *region, uint64_t block_size, struct ranges *blocks)
{
	struct range ids = region_block_ids(region, block_size);
	char *stages = region_stages(region);
	uint64_t id;

	for (id = ids.start; id <= ids.end; id++) {
		if (stages && stages[id - ids.start] == STAGE_STANDBY)
			continue;
		if (memory_block_is_online(id))
			ranges_add(blocks, (struct range){ id, id });
	}
	free(stages);
}
