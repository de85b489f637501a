/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Regions and their memory blocks, in tables that are allocated once
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGED_MEMORY_H
#define TWOSTAGED_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../cli/regions.h"
#include "config.h"
#include "policy.h"

/* 8 TiB of blocks of 128 MiB */
#define MEMORY_BLOCKS 65536

/**
 * struct memory_entry - what is known of a memory block
 * @online: whether it is online
 * @zone: in which kind of zones, if it is
 * @own: whether the daemon has set it online
 * @failures: how many tries in a row to set it offline failed
 * @retry: the time before which it is not tried again, in milliseconds
 */
struct memory_entry {
	uint8_t online : 1;
	uint8_t zone : 1;
	uint8_t own : 1;
	uint8_t failures;
	uint64_t retry;
};

/**
 * struct memory_region - a region
 * @attributes: as sysfs shows them
 * @here: whether it exists; it keeps its place otherwise
 * @first: index of its first block in the table
 * @online: number of blocks that are online by the table
 * @claims: how many more the daemon has set online
 * @online_file: its attribute "online", open; -1 if it cannot be opened
 * @scan: whether blocks have changed since the last scan
 * @net: whether the daemon has set its attribute "online_on_oom"
 * @net_failed: whether that cannot be set
 */
struct memory_region {
	struct region attributes;
	bool here;
	unsigned int first;
	uint64_t online;
	uint64_t claims;
	int online_file;
	bool scan;
	bool net;
	bool net_failed;
};

/**
 * struct memory - all regions
 * @block_size: in bytes
 * @count: number of @region that have been in use
 * @region: in the order in which they were found
 * @changes: changes each time when a region appears or disappears, or its
 *	budget changes
 * @oom_onlined: number of blocks that came online instead of an OOM kill since
 *	the daemon was started
 */
struct memory {
	uint64_t block_size;
	unsigned int count;
	struct memory_region region[POLICY_REGIONS];
	unsigned int changes;
	uint64_t oom_onlined;
};

int memory_init(struct memory *memory);
void memory_inherit(const char *blocks, const char *net);
void memory_find(struct memory *memory, const struct config *config);
void memory_refresh(struct memory *memory);
void memory_show(const struct memory *memory, const struct config *config, uint64_t now,
		 struct policy_input *input, unsigned int order[POLICY_REGIONS]);
void memory_came_online(struct memory *memory, unsigned int slot, uint64_t count);
int memory_easiest(const struct memory *memory, const struct config *config, unsigned int slot,
		   enum policy_zone zone, uint64_t now);
uint64_t memory_id(const struct memory *memory, unsigned int slot, int index);
void memory_tried(struct memory *memory, unsigned int slot, int index, uint64_t now, bool offline);
void memory_own(const struct memory *memory, char *text, size_t size);
void memory_set_net(struct memory *memory, bool on);
unsigned int memory_net(const struct memory *memory, char *text, size_t size);

#endif /* TWOSTAGED_MEMORY_H */
