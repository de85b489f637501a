// SPDX-License-Identifier: GPL-2.0-only
/*
 * Regions and their memory blocks
 *
 * sysfs does not tell what set a block online. The daemon remembers the blocks
 * that it has set online itself. It takes all others for set online by hand, and
 * does not set them offline unless manage=all.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../cli/sysfs.h"
#include "journal.h"
#include "memory.h"

#define DEVICES "/sys/bus/twostage/devices"
#define BLOCKS "/sys/devices/system/memory"

/* regionN with a higher N are not looked for, unless they are configured */
#define HIGHEST_REGION 63

/* The first and the longest wait after an offline that failed, milliseconds */
#define RETRY_MIN 5000
#define RETRY_MAX 3600000

static struct memory_entry table[MEMORY_BLOCKS];

/* The blocks that an earlier daemon has set online: "32-35,40" */
static char inherited[2048];
/* The numbers of the regions of which it has set online_on_oom */
static char inherited_net[512];

/**
 * memory_init() - begin with no region
 * @memory: the result
 *
 * Return: 0; or a negative errno, if the system has no memory blocks.
 */
int memory_init(struct memory *memory)
{
	int ret;

	*memory = (struct memory){ 0 };
	ret = sysfs_read_number(&memory->block_size, 16, BLOCKS "/block_size_bytes");
	return ret ? ret : memory->block_size ? 0 : -EINVAL;
}

/**
 * memory_inherit() - take over what a daemon that has ended has set
 * @blocks: what memory_own() wrote then
 * @net: what memory_net() wrote then
 */
void memory_inherit(const char *blocks, const char *net)
{
	snprintf(inherited, sizeof(inherited), "%s", blocks);
	snprintf(inherited_net, sizeof(inherited_net), "%s", net);
}

static bool is_in(const char *text, uint64_t id)
{
	while (*text) {
		uint64_t first, last;
		char *end;

		first = strtoull(text, &end, 10);
		last = *end == '-' ? strtoull(end + 1, &end, 10) : first;
		if (id >= first && id <= last)
			return true;
		if (*end != ',')
			break;
		text = end + 1;
	}
	return false;
}

static uint64_t block_id(const struct memory *memory, const struct memory_region *region, uint64_t index)
{
	return region->attributes.start / memory->block_size + index;
}

static bool is_movable(uint64_t id)
{
	char zones[64];

	/* A block that spans nodes or has holes shows "none". */
	return !sysfs_read(zones, sizeof(zones), BLOCKS "/memory%" PRIu64 "/valid_zones", id) &&
	       !strcmp(zones, "Movable");
}

/* Blocks that came online instead of an OOM kill are the daemon's own. */
static void claim_oom_onlined(struct memory *memory, struct memory_region *region, uint64_t count)
{
	const uint64_t before = region->attributes.oom_onlined;

	if (count <= before)
		return;
	region->claims += count - before;
	region->scan = true;
	memory->oom_onlined += count - before;
	region->attributes.oom_onlined = count;
}

/*
 * Whether a block that has come online is the daemon's own: one that it has set
 * online, or one for an OOM, also if that was after the region was read.
 */
static bool claim(struct memory *memory, struct memory_region *region)
{
	uint64_t count;

	if (!region->claims &&
	    !sysfs_read_number(&count, 0, DEVICES "/%s/oom_onlined", region->attributes.name))
		claim_oom_onlined(memory, region, count);
	if (!region->claims)
		return false;
	region->claims--;
	return true;
}

/*
 * Look at blocks, lowest first, because that is the order in which they come
 * online: the first that have come online are the daemon's, if it has set any
 * online. Without @all the search ends with the last of these.
 */
static void scan(struct memory *memory, struct memory_region *region, bool all, bool at_start)
{
	uint64_t appeared = 0, vanished = 0, index, id;

	for (index = 0; index < region->attributes.blocks && (all || region->claims); index++) {
		struct memory_entry *entry = &table[region->first + index];
		bool online;

		if (entry->online && !all)
			continue;
		id = block_id(memory, region, index);
		online = memory_block_is_online(id);
		if (online == entry->online)
			continue;
		region->online += online ? 1 : -1;
		*entry = (struct memory_entry){ .online = online };
		if (!online) {
			vanished++;
			continue;
		}
		entry->zone = is_movable(id) ? POLICY_MOVABLE : POLICY_KERNEL;
		entry->own = at_start ? is_in(inherited, id) : claim(memory, region);
		appeared += !entry->own;
	}
	if (all) {
		region->scan = false;
		region->claims = 0;
	}
	if (appeared && !at_start)
		say(LOG_NOTICE, "%s: blocks that were set online by hand: %" PRIu64, region->attributes.name, appeared);
	if (vanished)
		say(LOG_NOTICE, "%s: blocks that were set offline by hand: %" PRIu64, region->attributes.name, vanished);
}

/* A gap that is large enough, or the end; -1 if there is no place */
static int place_for(const struct memory *memory, uint64_t blocks)
{
	unsigned int at = 0, i;
	bool moved = true;

	while (moved) {
		moved = false;
		for (i = 0; i < memory->count; i++) {
			const struct memory_region *region = &memory->region[i];

			if (region->here && region->first < at + blocks &&
			    at < region->first + region->attributes.blocks) {
				at = region->first + region->attributes.blocks;
				moved = true;
			}
		}
	}
	return at + blocks <= MEMORY_BLOCKS ? (int)at : -1;
}

static int open_online(const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s" DEVICES "/%s/online", sysroot(), name);
	return open(path, O_WRONLY | O_CLOEXEC);
}

static void add(struct memory *memory, const struct region *found)
{
	/* 1 more than the number of the region that was said last */
	static unsigned int refused;
	struct memory_region *region = NULL;
	unsigned int i;
	int first;

	for (i = 0; i < memory->count && !region; i++)
		if (!memory->region[i].here)
			region = &memory->region[i];
	if (!region && memory->count < POLICY_REGIONS)
		region = &memory->region[memory->count++];
	first = place_for(memory, found->blocks);
	if (!region || first < 0 || found->node < 0 || found->node >= POLICY_NODES) {
		if (refused != found->id + 1)
			say(LOG_WARNING, "%s is not used: there are more than %d regions, %d nodes, or %d blocks", found->name,
			    POLICY_REGIONS, POLICY_NODES, MEMORY_BLOCKS);
		refused = found->id + 1;
		return;
	}
	*region = (struct memory_region){ .attributes = *found, .first = first, .scan = true };
	region->online_file = open_online(found->name);
	region->here = true;
	region->net = found->online_on_oom && is_in(inherited_net, found->id);
	memset(&table[first], 0, found->blocks * sizeof(table[0]));
	scan(memory, region, true, true);
	memory->changes++;
	say(LOG_INFO, "%s: found, %" PRIu64 " of %" PRIu64 " block%s online, node %d", found->name, region->online,
	    found->blocks, found->blocks == 1 ? "" : "s", found->node);
}

/*
 * While the daemon has set it, it is the daemon's; if it was set already, by hand
 * or by the module's parameter, it stays.
 */
static void set_net(struct memory_region *region, bool on)
{
	const char *name = region->attributes.name;
	int ret;

	if (region->net == on || region->net_failed || (on && region->attributes.online_on_oom))
		return;
	ret = sysfs_write(on ? "1" : "0", DEVICES "/%s/online_on_oom", name);
	if (!ret) {
		region->net = on;
		return;
	}
	region->net_failed = true;
	/* A module that does not have the attribute */
	if (ret != -ENOENT)
		say(LOG_WARNING, "%s: cannot set online_on_oom to %d: %s: the kernel's log may have the reason", name, on,
		    strerror(-ret));
}

static void drop(struct memory *memory, struct memory_region *region, const char *why)
{
	say(LOG_NOTICE, "%s: %s", region->attributes.name, why);
	if (region->online_file >= 0)
		close(region->online_file);
	region->online_file = -1;
	region->here = false;
	memory->changes++;
}

static void update(struct memory *memory, struct memory_region *region, const struct region *now)
{
	const struct region *before = &region->attributes;

	if (now->has_budget && before->has_budget && now->budget != before->budget) {
		memory->changes++;
		say(LOG_NOTICE, "%s: the budget is %" PRIu64 " MiB, it was %" PRIu64 " MiB; plugged: %" PRIu64 " MiB",
		    now->name, now->budget >> 20, before->budget >> 20, now->plugged >> 20);
	}
	claim_oom_onlined(memory, region, now->oom_onlined);
	region->attributes = *now;
}

static struct memory_region *slot_of(struct memory *memory, unsigned int id)
{
	unsigned int i;

	for (i = 0; i < memory->count; i++)
		if (memory->region[i].here && memory->region[i].attributes.id == id)
			return &memory->region[i];
	return NULL;
}

static void find_one(struct memory *memory, unsigned int id)
{
	struct memory_region *region = slot_of(memory, id);
	struct region found;
	char name[32];
	int ret;

	snprintf(name, sizeof(name), "region%u", id);
	ret = region_read(&found, name);
	if (ret) {
		/* Any other error may pass. */
		if (region && (ret == -ENOENT || ret == -ENODEV))
			drop(memory, region, "removed");
		return;
	}
	if (region && (found.start != region->attributes.start || found.blocks != region->attributes.blocks)) {
		drop(memory, region, "removed, and another one added");
		region = NULL;
	}
	if (!region) {
		add(memory, &found);
		return;
	}
	update(memory, region, &found);
	if (region->online_file < 0)
		region->online_file = open_online(name);
}

static bool is_wanted(const struct config *config, unsigned int id)
{
	unsigned int i;

	for (i = 0; i < config->regions; i++)
		if (config->region[i] == id)
			return true;
	return !config->regions;
}

/**
 * memory_find() - look for regions that have appeared or disappeared, and for
 *	blocks that have been changed by hand
 * @memory: the regions
 * @config: the configuration
 */
void memory_find(struct memory *memory, const struct config *config)
{
	unsigned int id, i;

	for (i = 0; i < memory->count; i++)
		if (memory->region[i].here && !is_wanted(config, memory->region[i].attributes.id)) {
			set_net(&memory->region[i], false);
			drop(memory, &memory->region[i], "not used any more");
		}
	for (id = 0; !config->regions && id <= HIGHEST_REGION; id++)
		find_one(memory, id);
	for (i = 0; i < config->regions; i++)
		find_one(memory, config->region[i]);
	for (i = 0; i < memory->count; i++) {
		struct memory_region *region = &memory->region[i];

		if (region->here && (region->scan || region->online != region->attributes.online))
			scan(memory, region, true, false);
	}
}

/**
 * memory_refresh() - read what others change: budgets, and how much is online
 * @memory: the regions
 */
void memory_refresh(struct memory *memory)
{
	struct region now;
	unsigned int i;

	for (i = 0; i < memory->count; i++) {
		struct memory_region *region = &memory->region[i];

		if (region->here && !region_read(&now, region->attributes.name) &&
		    now.start == region->attributes.start)
			update(memory, region, &now);
	}
}

static bool is_ready(const struct config *config, const struct memory_entry *entry, uint64_t now)
{
	return entry->online && (entry->own || config->manage_all) && entry->retry <= now;
}

/* The slots of the regions in the order in which they are used; their number */
static unsigned int sort(const struct memory *memory, const struct config *config, unsigned int order[POLICY_REGIONS])
{
	unsigned int count = 0, i, at;

	for (i = 0; i < config->regions; i++) {
		const struct memory_region *region = slot_of((struct memory *)memory, config->region[i]);

		if (region)
			order[count++] = region - memory->region;
	}
	for (i = 0; !config->regions && i < memory->count; i++) {
		if (!memory->region[i].here)
			continue;
		for (at = count++; at && memory->region[order[at - 1]].attributes.id > memory->region[i].attributes.id;
		     at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
	return count;
}

/**
 * memory_show() - fill in the regions for the policy
 * @memory: the regions
 * @config: the configuration
 * @now: the time
 * @input: the regions and the block size are filled in
 * @order: for each region of @input, its index in @memory
 */
void memory_show(const struct memory *memory, const struct config *config, uint64_t now,
		 struct policy_input *input, unsigned int order[POLICY_REGIONS])
{
	unsigned int i;
	uint64_t n;

	input->block_size = memory->block_size;
	input->regions = sort(memory, config, order);
	for (i = 0; i < input->regions; i++) {
		const struct memory_region *region = &memory->region[order[i]];
		const struct region *attributes = &region->attributes;

		input->region[i] = (struct policy_region){
			.node = attributes->node,
			.standby = region->online_file < 0 ? 0 :
				   attributes->blocks - attributes->online - attributes->poisoned,
			.has_budget = attributes->has_budget,
			.budget = attributes->budget,
			.plugged = attributes->plugged,
		};
		for (n = 0; n < attributes->blocks; n++) {
			const struct memory_entry *entry = &table[region->first + n];

			if (is_ready(config, entry, now))
				input->region[i].ready[entry->zone]++;
		}
	}
}

/**
 * memory_came_online() - after the daemon has set blocks online
 * @memory: the regions
 * @slot: the region
 * @count: how many
 */
void memory_came_online(struct memory *memory, unsigned int slot, uint64_t count)
{
	struct memory_region *region = &memory->region[slot];

	if (!region->here || !count)
		return;
	region->claims += count;
	region->attributes.online += count;
	region->attributes.plugged += count * memory->block_size;
	scan(memory, region, false, false);
}

/**
 * memory_easiest() - the block that is the easiest to set offline
 * @memory: the regions
 * @config: the configuration
 * @slot: the region
 * @zone: in which zone it has to be
 * @now: the time
 *
 * That is one that has failed least often. Of these it is the one with the
 * highest address, which has come online last and has had the least time to be
 * filled with what stays.
 *
 * Return: its number in the region, or -1.
 */
int memory_easiest(const struct memory *memory, const struct config *config, unsigned int slot,
		   enum policy_zone zone, uint64_t now)
{
	const struct memory_region *region = &memory->region[slot];
	int best = -1, n;

	for (n = region->attributes.blocks - 1; n >= 0; n--) {
		const struct memory_entry *entry = &table[region->first + n];

		if (is_ready(config, entry, now) && entry->zone == zone &&
		    (best < 0 || entry->failures < table[region->first + best].failures))
			best = n;
	}
	return best;
}

/**
 * memory_id() - the X of memoryX
 * @memory: the regions
 * @slot: the region
 * @index: the block's number in the region
 */
uint64_t memory_id(const struct memory *memory, unsigned int slot, int index)
{
	return block_id(memory, &memory->region[slot], index);
}

/**
 * memory_tried() - after the daemon has tried to set a block offline
 * @memory: the regions
 * @slot: the region
 * @index: the block's number in the region
 * @now: the time
 * @offline: whether it is offline
 */
void memory_tried(struct memory *memory, unsigned int slot, int index, uint64_t now, bool offline)
{
	struct memory_region *region = &memory->region[slot];
	struct memory_entry *entry = &table[region->first + index];
	uint64_t wait;

	if (!region->here)
		return;
	if (offline) {
		*entry = (struct memory_entry){ 0 };
		region->online--;
		region->attributes.online--;
		if (region->attributes.plugged >= memory->block_size)
			region->attributes.plugged -= memory->block_size;
		return;
	}
	wait = RETRY_MIN << (entry->failures < 16 ? entry->failures : 16);
	entry->retry = now + (wait < RETRY_MAX ? wait : RETRY_MAX);
	entry->failures += entry->failures < UINT8_MAX;
}

/**
 * memory_own() - list the blocks that the daemon has set online
 * @memory: the regions
 * @text: the list, such as "32-35,40"; what does not fit is left out
 * @size: size of @text
 */
void memory_own(const struct memory *memory, char *text, size_t size)
{
	size_t length = 0, added;
	unsigned int i;
	uint64_t n, last;

	*text = '\0';
	for (i = 0; i < memory->count; i++) {
		const struct memory_region *region = &memory->region[i];

		for (n = 0; region->here && n < region->attributes.blocks; n = last + 1) {
			last = n;
			if (!table[region->first + n].own)
				continue;
			while (last + 1 < region->attributes.blocks && table[region->first + last + 1].own)
				last++;
			added = snprintf(text + length, size - length, "%s%" PRIu64 "-%" PRIu64, length ? "," : "",
					 block_id(memory, region, n), block_id(memory, region, last));
			if (added >= size - length) {
				text[length] = '\0';
				return;
			}
			length += added;
		}
	}
}

/**
 * memory_set_net() - have standby blocks come online instead of an OOM kill, or
 *	put that back as it was
 * @memory: the regions
 * @on: they come online
 */
void memory_set_net(struct memory *memory, bool on)
{
	unsigned int i;

	for (i = 0; i < memory->count; i++)
		if (memory->region[i].here)
			set_net(&memory->region[i], on);
}

/**
 * memory_net() - list the regions of which the daemon has set online_on_oom
 * @memory: the regions
 * @text: the list of their numbers, such as "0,1"
 * @size: size of @text, enough for POLICY_REGIONS numbers
 *
 * Return: of how many regions online_on_oom is set, by the daemon or otherwise.
 */
unsigned int memory_net(const struct memory *memory, char *text, size_t size)
{
	unsigned int count = 0, i;
	size_t length = 0;

	*text = '\0';
	for (i = 0; i < memory->count; i++) {
		const struct memory_region *region = &memory->region[i];

		if (!region->here)
			continue;
		count += region->net || region->attributes.online_on_oom;
		if (region->net && length < size)
			length += snprintf(text + length, size - length, "%s%u", length ? "," : "", region->attributes.id);
	}
	return count;
}
