// SPDX-License-Identifier: GPL-2.0-only
/*
 * DIMMs that the host plugs
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
	int tries;

	snprintf(id, sizeof(id), "\"%s\"", name);
	for (tries = 0; tries < 100 && strstr(host_ask("info memory-devices"), id); tries++)
		usleep(100000);
	return tries < 100;
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

bool wait_for_blocks(int count)
{
	/*
	 * With a preemptible kernel each offline waits for all tasks; on a busy
	 * host that takes long.
	 */
	const int limit = 800 + 20 * abs(count_blocks() - count);
	int tries;

	for (tries = 0; tries < limit && count_blocks() != count; tries++)
		usleep(50000);
	/* The task that adds or removes the last block has not finished yet. */
	usleep(300000);
	return count_blocks() == count;
}
