// SPDX-License-Identifier: GPL-2.0-only
/*
 * Paths that are not ours: the same with the module and a region as without
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

#define START (4 * GIB)

/* What one pass over the paths has shown. */
struct outcome {
	long long dimm_total;
	int dimm_blocks;
	bool dimm_online, dimm_offline, dimm_gone;
	int boot_offline, boot_online;
	bool pmem;
};

#define MAX_BLOCKS 1024

static void note_blocks(bool *there)
{
	int i;

	for (i = 0; i < MAX_BLOCKS; i++)
		there[i] = exists(MEMORY "/memory%d", i);
}

/* Blocks that have come, or with come = false gone, since they were noted; the first of them. */
static int new_blocks(const bool *before, bool come, int *first)
{
	bool after[MAX_BLOCKS];
	int count = 0, i;

	note_blocks(after);
	for (i = 0; i < MAX_BLOCKS; i++) {
		if (before[i] != after[i] && after[i] == come) {
			if (!count && first)
				*first = i;
			count++;
		}
	}
	return count;
}

static int await_blocks(const bool *before, bool come, int count, int *first)
{
	int tries, found = 0;

	for (tries = 0; tries < 100; tries++) {
		found = new_blocks(before, come, first);
		if (found == count)
			break;
		usleep(100000);
	}
	return found;
}

static void plug_dimm(struct outcome *outcome)
{
	bool before[MAX_BLOCKS], plugged[MAX_BLOCKS];
	long long total = meminfo("MemTotal");
	int block = 0, i;

	note_blocks(before);
	host("object_add memory-backend-ram,id=mem1,size=%d", (int)(2 * block_size));
	host("device_add pc-dimm,id=dimm1,memdev=mem1");
	outcome->dimm_blocks = await_blocks(before, true, 2, &block);
	if (outcome->dimm_blocks != 2)
		return;

	outcome->dimm_online = true;
	for (i = 0; i < 2; i++) {
		/* The kernel may have set it online by itself, and then in a kernel zone. */
		for (int tries = 0; tries < 20 && strcmp(block_state(block + i), "offline"); tries++)
			write_file("offline", MEMORY "/memory%d/state", block + i);
		outcome->dimm_online &= !write_file("online_movable", MEMORY "/memory%d/state", block + i);
	}
	outcome->dimm_total = meminfo("MemTotal") - total;
	outcome->dimm_offline = true;
	for (i = 0; i < 2; i++)
		outcome->dimm_offline &= !write_file("offline", MEMORY "/memory%d/state", block + i);
	note_blocks(plugged);
	host("device_del dimm1");
	outcome->dimm_gone = await_blocks(plugged, false, 2, NULL) == 2;
	usleep(300000);
	host("object_del mem1");
}

/* A block of boot memory from the upper end, which is rarely in use early on. */
static void boot_memory(struct outcome *outcome)
{
	int tries, block = block_at(3 * GIB) - 8;

	outcome->boot_offline = -EBUSY;
	for (tries = 0; tries < 16 && outcome->boot_offline; tries++)
		outcome->boot_offline = write_file("offline", MEMORY "/memory%d/state", block - tries % 16);
	outcome->boot_online = outcome->boot_offline ? 1 :
		write_file("online", MEMORY "/memory%d/state", block - (tries - 1) % 16);
}

static void pass(struct outcome *outcome)
{
	memset(outcome, 0, sizeof(*outcome));
	boot_memory(outcome);
	plug_dimm(outcome);
	/* A device mapping of legacy persistent memory: struct pages by way of ZONE_DEVICE */
	outcome->pmem = exists("/dev/pmem0") &&
		run_command("dd if=/dev/zero of=/dev/pmem0 bs=1M count=8 2>/dev/null") == 0;
}

/* Before any account is taken: ZONE_DEVICE never gets smaller again. */
static void setup(void)
{
	ok(module_load_system("nd_e820", NULL) == 0 && module_load_system("nd_pmem", NULL) == 0,
	   "the drivers for persistent memory are there");
	usleep(500000);
}

static void run(void)
{
	struct outcome without, with;
	char *hooks;

	pass(&without);
	diag("without: boot %d %d, dimm %d blocks, MemTotal +%lld, online %d, offline %d, gone %d, pmem %d",
	     without.boot_offline, without.boot_online, without.dimm_blocks, without.dimm_total,
	     without.dimm_online, without.dimm_offline, without.dimm_gone, without.pmem);
	ok(without.dimm_blocks == 2 && without.dimm_online && without.dimm_offline && without.dimm_gone,
	   "without the module a DIMM is plugged, used and unplugged");
	ok(!without.boot_offline && !without.boot_online, "without the module boot memory goes offline and online");
	ok(without.pmem, "without the module persistent memory is mapped");

	if (!load_twostage(NULL))
		return;
	ok(region_add(START, 2 * block_size, NULL) == 0 && region_online(0, "1 online_movable") == 0,
	   "a region is there, half of it online");
	ok(write_file("namespace0.0", "/sys/bus/nd/drivers/nd_pmem/unbind") == 0 &&
	   write_file("namespace0.0", "/sys/bus/nd/drivers/nd_pmem/bind") == 0 && exists("/dev/pmem0"),
	   "persistent memory is unmapped and mapped again beside it");
	pass(&with);
	diag("with: boot %d %d, dimm %d blocks, MemTotal +%lld, online %d, offline %d, gone %d, pmem %d",
	     with.boot_offline, with.boot_online, with.dimm_blocks, with.dimm_total, with.dimm_online,
	     with.dimm_offline, with.dimm_gone, with.pmem);
	ok(!memcmp(&with, &without, sizeof(with)), "with the module and a region all of it is the same");

	hooks = read_whole("/sys/kernel/debug/twostage/hooks");
	/* One online of ours, and one add; none of the others' was redirected. */
	ok(strstr(hooks, "online_pages") && strstr(strstr(hooks, "online_pages"), "redirected=1 ") &&
	   strstr(strstr(hooks, "arch_add_memory"), "redirected=1 ") &&
	   strstr(strstr(hooks, "arch_remove_memory"), "redirected=0 "),
	   "not one call of the others' was redirected");
	free(hooks);
	ok(region_offline(0, "all") == 0 && region_remove(0) == 0, "the region is removed");
	unload_twostage();
}

const struct group group_bystanders = {
	.name = "bystanders", .title = "paths that are not ours", .setup = setup, .run = run,
};
