// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory hotplug paths that twostage does not manage: the same results with the
 * module and a region as without
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

/* The results of one pass over the paths */
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

/*
 * How many blocks were added, or with added = false removed, since
 * note_blocks(), and the first of them
 */
static int new_blocks(const bool *before, bool added, int *first)
{
	bool after[MAX_BLOCKS];
	int count = 0, i;

	note_blocks(after);
	for (i = 0; i < MAX_BLOCKS; i++) {
		if (before[i] != after[i] && after[i] == added) {
			if (!count && first)
				*first = i;
			count++;
		}
	}
	return count;
}

static int await_blocks(const bool *before, bool added, int count, int *first)
{
	wait_until(new_blocks(before, added, first) == count, 20);
	/* The task that adds or removes the last block has not finished then. */
	hotplug_settles();
	return new_blocks(before, added, first);
}

/* The kernel may have set the block online already, in a kernel zone. */
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
		outcome->dimm_offline &=
			!write_file("offline", MEMORY "/memory%d/state", block + i);
	note_blocks(plugged);
	host("device_del dimm1");
	outcome->dimm_gone = await_blocks(plugged, false, 2, NULL) == 2;
	host("object_del mem1");
}

/* A block near the end of boot memory, which is rarely in use early on */
static void boot_memory(struct outcome *outcome)
{
	int tries, block = block_at(3 * GIB) - 8;

	outcome->boot_offline = -EBUSY;
	for (tries = 0; tries < 16 && outcome->boot_offline; tries++)
		outcome->boot_offline =
			write_file("offline", MEMORY "/memory%d/state", block - tries % 16);
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
	return !run_command("[ -b /dev/pmem0 ] && "
			    "dd if=/dev/zero of=/dev/pmem0 bs=1M count=8 2>/dev/null");
}

/* The dax device has written a label there: erase it. */
static void make_pmem_again(void)
{
	write_file("1", ND "/devices/" NAMESPACE "/force_raw");
	write_file(NAMESPACE, ND "/drivers/nd_pmem/bind");
	write_zeros();
	write_file(NAMESPACE, ND "/drivers/nd_pmem/unbind");
	write_file("0", ND "/devices/" NAMESPACE "/force_raw");
	write_file(NAMESPACE, ND "/drivers/nd_pmem/bind");
}

/* Makes a dax device of persistent memory, and System RAM of that */
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
	/* Until this write it keeps its claim to the namespace. */
	write_file("\n", ND "/devices/%s/namespace", seed);
	make_pmem_again();
}

static void print_outcome(const char *when, const struct outcome *outcome)
{
	diag("%s: boot %d %d dimm %d blocks MemTotal +%lld online %d offline %d removed %d",
	     when, outcome->boot_offline, outcome->boot_online, outcome->dimm_blocks,
	     outcome->dimm_total, outcome->dimm_online, outcome->dimm_offline, outcome->dimm_gone);
	diag("%s: pmem %d devdax %d kmem %d blocks MemTotal +%lld online %d offline %d removed %d",
	     when, outcome->pmem, outcome->devdax, outcome->kmem_blocks, outcome->kmem_total,
	     outcome->kmem_online, outcome->kmem_offline, outcome->kmem_gone);
}

static void pass(struct outcome *outcome)
{
	memset(outcome, 0, sizeof(*outcome));
	boot_memory(outcome);
	plug_dimm(outcome);
	/*
	 * A device mapping of legacy persistent memory: struct pages in
	 * ZONE_DEVICE
	 */
	outcome->pmem = write_zeros();
	if (has_dax)
		kmem(outcome);
}

/* Before the baseline is taken: ZONE_DEVICE never shrinks. */
static void setup(void)
{
	ok(module_load_system("nd_e820", NULL) == 0 && module_load_system("nd_pmem", NULL) == 0,
	   "setup: the drivers for persistent memory load");
	has_dax = module_load_system("dax_pmem", NULL) == 0 &&
		  module_load_system("device_dax", NULL) == 0 &&
		  module_load_system("kmem", NULL) == 0;
	/* The bus probes its devices in the background. */
	ok(wait_until(exists("/dev/pmem0"), 20), "setup: the guest has persistent memory");
}

static void run(void)
{
	struct outcome without, with;
	char *hooks;

	pass(&without);
	print_outcome("without", &without);
	ok_number(without.dimm_blocks, 2,
		  "without twostage: a plugged DIMM of two blocks adds two blocks");
	ok(without.dimm_online, "without twostage: the DIMM's blocks go online");
	ok(without.dimm_offline, "without twostage: the DIMM's blocks go offline");
	ok(without.dimm_gone,
	   "without twostage: the DIMM's blocks are removed when it is unplugged");
	ok_return(without.boot_offline, 0, "without twostage: a block of boot memory goes offline");
	ok_return(without.boot_online, 0,
		  "without twostage: the block of boot memory goes online again");
	ok(without.pmem, "without twostage: persistent memory can be written");
	if (!has_dax) {
		skip("this kernel has no drivers for dax devices",
		     "without twostage: persistent memory becomes a dax device and System RAM");
	} else {
		ok(without.devdax, "without twostage: a dax device is made of persistent memory");
		ok_number(without.kmem_blocks, 1,
			  "without twostage: kmem adds one block of the dax device");
		ok(without.kmem_total > 0,
		   "without twostage: MemTotal grows when kmem's block goes online");
		ok(without.kmem_online, "without twostage: kmem's block goes online");
		ok(without.kmem_offline, "without twostage: kmem's block goes offline");
		ok(without.kmem_gone,
		   "without twostage: kmem's block is removed when kmem is unbound");
	}

	if (!load_twostage(NULL))
		return;
	ok(succeeds(region_add(START, 2 * block_size, NULL)) &&
	   succeeds(region_online(0, "1 online_movable")),
	   "a region of two blocks is added, and one of them goes online");
	ok(succeeds(write_file("namespace0.0", "/sys/bus/nd/drivers/nd_pmem/unbind")) &&
	   succeeds(write_file("namespace0.0", "/sys/bus/nd/drivers/nd_pmem/bind")) &&
	   holds(exists("/dev/pmem0")),
	   "with a region: persistent memory is unmapped and mapped again");
	pass(&with);
	print_outcome("with", &with);
	ok(!memcmp(&with, &without, sizeof(with)),
	   "with a region: DIMM, boot and persistent memory give the results of before");

	hooks = read_whole("/sys/kernel/debug/twostage/hooks");
	/*
	 * The test itself has caused one online, which is one call of each of
	 * the first two.
	 */
	ok(strstr(hooks, "online_pages") && strstr(strstr(hooks, "online_pages"), "redirected=1 "),
	   "of all calls of online_pages() only that for the region is redirected");
	ok(strstr(hooks, "arch_add_memory") &&
	   strstr(strstr(hooks, "arch_add_memory"), "redirected=1 "),
	   "of all calls of arch_add_memory() only that for the region is redirected");
	ok(strstr(hooks, "arch_remove_memory") &&
	   strstr(strstr(hooks, "arch_remove_memory"), "redirected=0 "),
	   "no call of arch_remove_memory() for other memory is redirected");
	free(hooks);
	ok(succeeds(region_offline(0, "all")) && succeeds(region_remove(0)),
	   "the region goes offline and is removed");
	unload_twostage();
}

GROUP(group_bystanders) = {
	.name = "bystanders",
	.title = "memory hotplug paths that twostage does not manage",
	.setup = setup,
	.run = run,
};
