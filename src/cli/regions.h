/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Regions and their memory blocks, as sysfs shows them
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGE_REGIONS_H
#define TWOSTAGE_REGIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ranges.h"

/**
 * struct region - attributes in /sys/bus/twostage/devices/regionN/
 * @name: "regionN"
 * @id: N
 * @start: physical address in bytes
 * @size: in bytes
 * @node: NUMA node
 * @provider: name of the provider of the memory
 * @blocks: number of memory blocks
 * @online: number of online blocks
 * @poisoned: number of offline blocks that keep their memory until the next
 *	boot because of a hardware-poisoned page
 * @memmap_pages: number of pages of the region that hold its own memmap
 * @has_budget: whether the provider has a budget, so that @budget and @plugged
 *	are valid
 * @budget: memory that the provider allows to be assigned now, in bytes
 * @plugged: memory that the provider has assigned now, in bytes
 * @memmap_on_memory: whether blocks that are set online hold their own memmap
 * @online_on_oom: whether standby blocks come online instead of an OOM kill
 * @oom_onlined: number of blocks that did
 */
struct region {
	char name[32];
	unsigned int id;
	uint64_t start;
	uint64_t size;
	int node;
	char provider[32];
	uint64_t blocks;
	uint64_t online;
	uint64_t poisoned;
	uint64_t memmap_pages;
	bool has_budget;
	uint64_t budget;
	uint64_t plugged;
	bool memmap_on_memory;
	bool online_on_oom;
	uint64_t oom_onlined;
};

/* Sorted by id */
struct regions {
	struct region *region;
	size_t count;
};

/**
 * struct memory_block - attributes in /sys/devices/system/memory/memoryX/
 * @id: X
 * @stage: "standby", "populated" or "poisoned"
 * @state: "online", "offline", ...
 * @zones: the zone of an online block; the possible zones of an offline block
 */
struct memory_block {
	uint64_t id;
	char stage[16];
	char state[16];
	char zones[64];
};

int regions_read(struct regions *regions);
int region_read(struct region *region, const char *name);
int region_refresh(struct region *region);
void regions_free(struct regions *regions);
const struct region *regions_find(const struct regions *regions, const char *name);
int regions_select(struct regions *regions, char *const *names, int count);
bool any_region_has_budget(void);
bool any_region_is_poisoned(void);
bool any_region_comes_online_on_oom(void);
bool region_name_valid(const char *name);

int memory_block_size(uint64_t *size);
int memory_block_read(struct memory_block *block, uint64_t id);
bool memory_block_is_online(uint64_t id);
bool memory_block_is_poisoned(uint64_t id);
int memory_block_region(uint64_t id, char *name, size_t size);
/* In the result of region_stages() */
#define STAGE_STANDBY 's'

char *region_stages(const struct region *region);
struct range region_block_ids(const struct region *region, uint64_t block_size);
void region_online_blocks(const struct region *region, uint64_t block_size, struct ranges *blocks);

#endif /* TWOSTAGE_REGIONS_H */
