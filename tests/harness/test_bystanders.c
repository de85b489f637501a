// SPDX-License-Identifier: GPL-2.0-only
/*
 * Paths that are not ours: the same with the module and a region as without
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
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
	bool devdax;
	int kmem_blocks;
	long long kmem_total;
	bool kmem_online, kmem_offline, kmem_gone;
};

#define ND "/sys/bus/nd"
#define DAX "/sys/bus/dax"
#define NAMESPACE "namespace0.0"

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

/* The kernel may have set it online by itself, and then in a kernel zone. */
static bool set_movable(int block)
{
	int tries;

	for (tries = 0; tries < 20 && strcmp(block_state(block), "offline"); tries++)
		write_file("offline", MEMORY "/memory%d/state", block);
	return !write_file("online_movable", MEMORY "/memory%d/state", block);
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
	for (i = 0; i < 2; i++)
		outcome->dimm_online &= set_movable(block + i);
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

static bool has_dax;

static const char *dax_device(void)
{
	DIR *directory = opendir(DAX "/devices");
	static char name[32];
	struct dirent *entry;

	name[0] = '\0';
	while (directory && (entry = readdir(directory)))
		if (entry->d_name[0] != '.')
			snprintf(name, sizeof(name), "%.31s", entry->d_name);
	if (directory)
		closedir(directory);
	return name;
}

static bool write_zeros(void)
{
	return run_command("[ -b /dev/pmem0 ] && dd if=/dev/zero of=/dev/pmem0 bs=1M count=8 2>/dev/null") == 0;
}

/* What makes a dax device of it wrote a label there, which has to go. */
static void make_pmem_again(void)
{
	write_file("1", ND "/devices/" NAMESPACE "/force_raw");
	write_file(NAMESPACE, ND "/drivers/nd_pmem/bind");
	write_zeros();
	write_file(NAMESPACE, ND "/drivers/nd_pmem/unbind");
	write_file("0", ND "/devices/" NAMESPACE "/force_raw");
	write_file(NAMESPACE, ND "/drivers/nd_pmem/bind");
}

/* Persistent memory as a dax device, and that as memory of the system */
static void kmem(struct outcome *outcome)
{
	bool before[MAX_BLOCKS], added[MAX_BLOCKS];
	long long total = meminfo("MemTotal");
	char seed[32], dax[32];
	int block = 0;

	note_blocks(before);
	snprintf(seed, sizeof(seed), "%.31s", read_file(ND "/devices/region0/dax_seed"));
	write_file(NAMESPACE, ND "/drivers/nd_pmem/unbind");
	write_file("6b1e5a80-3a8c-4d53-9f2e-1f0c5d1a7e42", ND "/devices/%s/uuid", seed);
	write_file("pmem", ND "/devices/%s/mode", seed);
	write_file("2097152", ND "/devices/%s/align", seed);
	write_file(NAMESPACE, ND "/devices/%s/namespace", seed);
	outcome->devdax = !write_file(seed, ND "/drivers/dax_pmem/bind");
	snprintf(dax, sizeof(dax), "%s", dax_device());
	write_file(dax, DAX "/drivers/device_dax/unbind");
	write_file(dax, DAX "/drivers/kmem/new_id");
	outcome->kmem_blocks = await_blocks(before, true, 1, &block);
	if (outcome->kmem_blocks == 1) {
		outcome->kmem_online = set_movable(block);
		outcome->kmem_total = meminfo("MemTotal") - total;
		outcome->kmem_offline = !write_file("offline", MEMORY "/memory%d/state", block);
		note_blocks(added);
		write_file(dax, DAX "/drivers/kmem/unbind");
		outcome->kmem_gone = await_blocks(added, false, 1, NULL) == 1;
	}
	write_file(dax, DAX "/drivers/kmem/remove_id");
	write_file(seed, ND "/drivers/dax_pmem/unbind");
	/* It has a claim to the namespace until then. */
	write_file("\n", ND "/devices/%s/namespace", seed);
	make_pmem_again();
}

static void tell(const char *when, const struct outcome *outcome)
{
	diag("%s: boot %d %d, dimm %d blocks, MemTotal +%lld, online %d, offline %d, gone %d", when,
	     outcome->boot_offline, outcome->boot_online, outcome->dimm_blocks, outcome->dimm_total,
	     outcome->dimm_online, outcome->dimm_offline, outcome->dimm_gone);
	diag("%s: pmem %d, devdax %d, kmem %d blocks, MemTotal +%lld, online %d, offline %d, gone %d", when,
	     outcome->pmem, outcome->devdax, outcome->kmem_blocks, outcome->kmem_total, outcome->kmem_online,
	     outcome->kmem_offline, outcome->kmem_gone);
}

static void pass(struct outcome *outcome)
{
	memset(outcome, 0, sizeof(*outcome));
	boot_memory(outcome);
	plug_dimm(outcome);
	/* A device mapping of legacy persistent memory: struct pages by way of ZONE_DEVICE */
	outcome->pmem = write_zeros();
	if (has_dax)
		kmem(outcome);
}

/* Before any account is taken: ZONE_DEVICE never gets smaller again. */
static void setup(void)
{
	ok(module_load_system("nd_e820", NULL) == 0 && module_load_system("nd_pmem", NULL) == 0,
	   "the drivers for persistent memory are there");
	has_dax = module_load_system("dax_pmem", NULL) == 0 && module_load_system("device_dax", NULL) == 0 &&
		  module_load_system("kmem", NULL) == 0;
	usleep(500000);
}

static void run(void)
{
	struct outcome without, with;
	char *hooks;

	pass(&without);
	tell("without", &without);
	ok(without.dimm_blocks == 2 && without.dimm_online && without.dimm_offline && without.dimm_gone,
	   "without the module a DIMM is plugged, used and unplugged");
	ok(!without.boot_offline && !without.boot_online, "without the module boot memory goes offline and online");
	ok(without.pmem, "without the module persistent memory is mapped");
	if (!has_dax)
		skip("this kernel has no drivers for them", "dax devices");
	else
		ok(without.devdax && without.kmem_blocks == 1 && without.kmem_total > 0 && without.kmem_online &&
		   without.kmem_offline && without.kmem_gone,
		   "without the module it is a dax device, and memory of the system");

	if (!load_twostage(NULL))
		return;
	ok(region_add(START, 2 * block_size, NULL) == 0 && region_online(0, "1 online_movable") == 0,
	   "a region is there, half of it online");
	ok(write_file("namespace0.0", "/sys/bus/nd/drivers/nd_pmem/unbind") == 0 &&
	   write_file("namespace0.0", "/sys/bus/nd/drivers/nd_pmem/bind") == 0 && exists("/dev/pmem0"),
	   "persistent memory is unmapped and mapped again beside it");
	pass(&with);
	tell("with", &with);
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

GROUP(group_bystanders) = {
	.name = "bystanders", .title = "paths that are not ours", .setup = setup, .run = run,
};
