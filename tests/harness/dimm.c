// SPDX-License-Identifier: GPL-2.0-only
/*
 * DIMMs that the host plugs
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <dirent.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

void dimm_plug(const char *name, uint64_t size, int node)
{
	char on_node[32] = "";

	if (node >= 0)
		snprintf(on_node, sizeof(on_node), ",node=%d", node);
	host("object_add memory-backend-ram,id=mem-%s,size=%" PRIu64, name, size);
	host("device_add pc-dimm,id=%s,memdev=mem-%s%s", name, name, on_node);
}

void dimm_unplug(const char *name)
{
	host("device_del %s", name);
}

bool dimm_gone(const char *name)
{
	char id[40];

	snprintf(id, sizeof(id), "\"%s\"", name);
	return wait_until(!strstr(host_ask("info memory-devices"), id), 20);
}

void dimm_forget(const char *name)
{
	host("object_del mem-%s", name);
}

int count_blocks(void)
{
	DIR *directory = opendir(MEMORY);
	struct dirent *entry;
	int count = 0;

	if (!directory)
		return -1;
	while ((entry = readdir(directory)))
		if (!strncmp(entry->d_name, "memory", 6) && entry->d_name[6] >= '0' &&
		    entry->d_name[6] <= '9')
			count++;
	closedir(directory);
	return count;
}

static long count_holders(void)
{
	glob_t holders;
	long count = 0;

	if (glob("/sys/module/twostage/holders/*", 0, NULL, &holders))
		return count;
	count = holders.gl_pathc;
	globfree(&holders);
	return count;
}

/* References to twostage: one for the region, one for its provider */
static int references_of(const char *region)
{
	const char *provider = read_file("%s/provider", region);

	return !strcmp(provider, "ram") || !strcmp(provider, "dimm") ? 2 : 1;
}

/*
 * Whether a region is being removed: its directory goes after the last of its
 * blocks, then its number is free again, and its references to modules are put
 * at the end.
 */
static bool region_removal_runs(void)
{
	long references = count_holders();
	bool found = false;
	glob_t regions;
	size_t i;

	if (!glob(BUS "/devices/region*", 0, NULL, &regions)) {
		for (i = 0; i < regions.gl_pathc && !found; i++) {
			const char *start = read_file("%s/start", regions.gl_pathv[i]);

			found = *start &&
				!exists(MEMORY "/memory%d", block_at(strtoull(start, NULL, 0)));
			references += references_of(regions.gl_pathv[i]);
		}
		globfree(&regions);
	}
	return found || references != read_number("/sys/module/twostage/refcnt");
}

bool wait_for_blocks(int count)
{
	/*
	 * With a preemptible kernel each offline waits for all tasks; on a busy
	 * host that takes long.
	 */
	const int limit = 40 + abs(count_blocks() - count);

	/* The task that adds or removes the last block has not finished then. */
	return wait_until(count_blocks() == count, limit) && hotplug_settles() &&
	       wait_until(!region_removal_runs(), 20) && count_blocks() == count;
}
