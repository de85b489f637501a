// SPDX-License-Identifier: GPL-2.0-only
/*
 * Invalid input to each attribute: the documented error, one log line, no
 * change
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define START (4 * GIB)
#define ADD "%s", BUS "/add_region"
#define REMOVE "%s", BUS "/remove_region"

static void add_region_errors(void)
{
	char text[64];

	refused("\n", EINVAL, "not a start address", ADD);
	refused("x", EINVAL, "not a start address", ADD);
	refused("-1 256M", EINVAL, "not a start address", ADD);
	refused("99999999999999999999 256M", EINVAL, "not a start address", ADD);
	refused("4G", EINVAL, "not a size", ADD);
	refused("4G 256Q", EINVAL, "not a size", ADD);
	refused("4G 17179869184G", EINVAL, "not a size", ADD);
	refused("4G 0", EINVAL, "size is 0", ADD);
	refused("4G 100M", EINVAL, "memory block size", ADD);
	refused("4097M 256M", EINVAL, "memory block size", ADD);
	refused("4G 17179869183G", EINVAL, "beyond the last address", ADD);
	refused("4G 256M node=x", EINVAL, "is not node=N", ADD);
	refused("4G 256M node=-1", EINVAL, "is not node=N", ADD);
	refused("4G 256M node=999", EINVAL, "no node 999", ADD);
	refused("4G 256M memmap_on_memory=2", EINVAL, "is not node=N", ADD);
	refused("4G 256M auto_online=yes", EINVAL, "is not node=N", ADD);
	refused("4G 256M more", EINVAL, "is not node=N", ADD);
	refused("0x8000000000000 256M", ERANGE, "can address only", ADD);
	snprintf(text, sizeof(text), "%#" PRIx64 " %#" PRIx64, architecture.ram_start, block_size);
	refused(text, EBUSY, "overlaps System RAM", ADD);
	refused("2G 3G", EBUSY, "overlaps System RAM", ADD);
	snprintf(text, sizeof(text), "%#" PRIx64 " %#" PRIx64, architecture.devices_start,
		 block_size);
	if (devices_name())
		refused(text, EBUSY, devices_name(), ADD);

	ok_return(region_add(START, 4 * block_size, NULL), 0,
		  "a region with a valid range is added");
	refused("4G 256M", EEXIST, "overlaps region0", ADD);
	refused("0x110000000 2G", EEXIST, "overlaps region0", ADD);
}

static void other_errors(void)
{
	refused("\n", EINVAL, "name of one region", REMOVE);
	refused("region0 region1", EINVAL, "name of one region", REMOVE);
	refused("region1", ENXIO, "no region \"region1\"", REMOVE);
	refused("region", ENXIO, "no region", REMOVE);

	refused("\n", EINVAL, "takes a number", REGION "/online", 0);
	refused("x", EINVAL, "takes a number", REGION "/online", 0);
	refused("-1", EINVAL, "takes a number", REGION "/online", 0);
	refused("1 offline", EINVAL, "takes a number", REGION "/online", 0);
	refused("1 online 2", EINVAL, "takes a number", REGION "/online", 0);
	refused("18446744073709551616", EINVAL, "takes a number", REGION "/online", 0);
	refused("5", EINVAL, "5 requested, but only 4 standby", REGION "/online", 0);
	refused("\n", EINVAL, "takes a number", REGION "/offline", 0);
	refused("1 online", EINVAL, "takes a number", REGION "/offline", 0);
	refused("1", EINVAL, "1 requested, but only 0 online", REGION "/offline", 0);
	refused("2", EINVAL, "takes 0 or 1", REGION "/memmap_on_memory", 0);
	refused("\n", EINVAL, "takes 0 or 1", REGION "/memmap_on_memory", 0);

	ok_return(region_online(0, "1 online_movable"), 0, "one of four blocks goes online");
	refused("region0", EBUSY, "blocks are online (1 of 4)", REMOVE);
	refused("0", EBUSY, "cannot change", REGION "/memmap_on_memory", 0);
	refused("4", EINVAL, "4 requested, but only 3 standby", REGION "/online", 0);
	ok_return(region_offline(0, "all"), 0,
		  "after writes that were refused the online block goes offline");
	ok_return(region_remove(0), 0, "after writes that were refused the region is removed");
}

/*
 * Exactly an entry of /sys/firmware/memmap, which the core would delete when
 * memory with this start and size is removed
 */
static void whole_range(void)
{
	struct accounts *before = accounts_take();

	ok(run_command("grep -q %#" PRIx64 " /sys/firmware/memmap/*/start", 4 * GIB) == 0 &&
	   run_command("grep -q %#" PRIx64 " /sys/firmware/memmap/*/end", 6 * GIB - 1) == 0,
	   "/sys/firmware/memmap has entries that start at 4 GiB and end at 6 GiB");
	ok(succeeds(region_add(START, 2 * GIB, NULL)) && succeeds(region_remove(0)),
	   "a region of exactly one firmware range is added and removed");
	ok(accounts_same(before),
	   "the removal of a region of one firmware range leaves /sys/firmware/memmap unchanged");
	accounts_free(before);
}

/* 2 GiB are reserved at 4 GiB. At 64 GiB there is no memory. */
static void no_memory_behind(void)
{
	struct kmsg kmsg;
	char line[256] = "";

	ok_return(region_add(64 * GIB, 2 * block_size, NULL), 0,
		  "a region without memory behind it is added");
	kmsg = kmsg_mark();
	ok_return(write_file("online", MEMORY "/memory%d/state", block_at(64 * GIB)), -ENXIO,
		  "without memory behind it the online of a block fails with ENXIO");
	ok_number(kmsg_lines(&kmsg, architecture.no_memory, line, sizeof(line)), 1,
		  "without memory behind it the online of a block logs a line with its address");
	kmsg_close(&kmsg);
	ok_return(region_online(0, "all"), -ENXIO,
		  "without memory behind it the online of a region fails with ENXIO");
	ok_number(blocks_online(0), 0, "without memory behind it no block of a region is online");
	ok_return(region_remove(0), 0, "the region without memory behind it is removed");
}

#define ONLINE_POLICY "/sys/module/memory_hotplug/parameters/online_policy"

/*
 * Each write either fails or makes a region that can be removed. By the policy
 * "auto-movable" no block comes online in a kernel zone, where it could get
 * memory of the kernel that stays in use.
 */
static void fuzz(void)
{
	static const char *const words[] = {
		"4G",
		"0x100000000",
		"256M",
		"1G",
		"0",
		"-1",
		"node=0",
		"node=1",
		"memmap_on_memory=0",
		"memmap_on_memory=1",
		"auto_online=0",
		"region0",
		"region-1",
		"all",
		"1",
		"online",
		"online_movable",
		"",
		"=",
		"node=",
		"\t",
		"\n",
		"%s%n",
		"\xff\xfe",
		"18446744073709551615",
		"9223372036854775808",
		"1e3",
		"0x",
		"0xG",
		"KMGT",
		"16E",
		"7E",
		"4G4G",
	};
	static const char *const attributes[] = { "add_region", "remove_region" };
	static const char *const region_attributes[] = { "online", "offline", "memmap_on_memory" };
	char text[256];
	int i, n, id;

	write_file("auto-movable", ONLINE_POLICY);
	srand(1);
	for (i = 0; i < 2000; i++) {
		text[0] = '\0';
		for (n = rand() % 5; n >= 0; n--) {
			strcat(text, words[rand() % ARRAY_SIZE(words)]);
			strcat(text, n ? " " : "");
		}
		if (rand() % 8 == 0)
			text[rand() % sizeof(text)] = rand();
		text[sizeof(text) - 1] = '\0';
		if (i % 2)
			write_file(text, BUS "/%s", attributes[rand() % ARRAY_SIZE(attributes)]);
		else
			write_file(text, REGION "/%s", 0,
				   region_attributes[rand() % ARRAY_SIZE(region_attributes)]);
	}
	for (id = 0; id < 32; id++) {
		if (!exists(REGION, id))
			continue;
		region_give_back(id);
		region_remove(id);
	}
	ok(run_command("ls " BUS "/devices | grep -q .") != 0,
	   "after 2000 random writes all regions that they made can be removed");
	write_file("contig-zones", ONLINE_POLICY);
}

/* As udev does on systems whose rules set each new block online */
static void set_online(int block, int count)
{
	for (;;) {
		write_file("online_movable", MEMORY "/memory%d/state", block + rand() % count);
		usleep(500);
	}
}

/*
 * The last of these region= parameters fails, so the regions of the others are
 * removed again, while other processes set their blocks online.
 */
static void load_fails_under_use(void)
{
	char options[512] = "";
	pid_t users[2];
	bool failed = true;
	int i;

	for (i = 0; i < 12; i++)
		sprintf(options + strlen(options), "region=%#" PRIx64 ":%#" PRIx64 " ",
			START + i * block_size, block_size);
	strcat(options, "region=4G:256M");
	for (i = 0; i < (int)ARRAY_SIZE(users); i++) {
		users[i] = fork();
		if (!users[i])
			set_online(block_at(START), 4);
	}
	for (i = 0; i < 3; i++)
		failed &= module_load("twostage", options) == -EBUSY && !module_loaded("twostage");
	for (i = 0; i < (int)ARRAY_SIZE(users); i++) {
		kill(users[i], SIGKILL);
		waitpid(users[i], NULL, 0);
	}
	ok(failed,
	   "a load with overlapping region= fails also while processes set its blocks online");
}

static void parameters(void)
{
	ok_return(module_load("twostage", "region=4G:256M region=0x110000000:256M:0"), 0,
		  "twostage loads with two region= parameters");
	ok(exists(REGION, 0) && exists(REGION, 1), "each region= parameter adds a region");
	ok(succeeds(region_remove(0)) && succeeds(region_remove(1)),
	   "regions of region= parameters are removed by name");
	unload_twostage();

	ok(module_load("twostage", "region=4G") != 0 && !module_loaded("twostage"),
	   "the load fails if region= has no size");
	ok(module_load("twostage", "region=4G:256M region=4G:256M:x") != 0 &&
	   !module_loaded("twostage"),
	   "the load fails if the node of region= is not a number");
	ok(returns(-EBUSY, module_load("twostage", "region=4G:256M region=4G:256M")) &&
	   holds(!module_loaded("twostage")),
	   "the load fails with EBUSY if region= parameters overlap");
	load_fails_under_use();
	ok_number(iomem_count("Standby memory"), 0,
		  "loads that failed leave no region in /proc/iomem");
}

static void run(void)
{
	if (!load_twostage(NULL))
		return;
	add_region_errors();
	other_errors();
	if (architecture.firmware_memmap)
		whole_range();
	no_memory_behind();
	fuzz();
	unload_twostage();
	parameters();
}

GROUP(group_errors) = { .name = "errors", .title = "invalid input to each attribute", .run = run };

/* Has to be the last group of its guest, because this cannot be undone. */
static void run_disabled(void)
{
	ok_return(write_file("1", "/proc/sys/kernel/modules_disabled"), 0,
		  "kernel.modules_disabled can be set to 1");
	ok(run_command("twostage load /twostage/twostage.ko >/tmp/said 2>&1") != 0 &&
	   !module_loaded("twostage"),
	   "with kernel.modules_disabled=1 \"twostage load\" fails");
	ok(run_command("grep -q 'kernel.modules_disabled is 1' /tmp/said") == 0,
	   "with kernel.modules_disabled=1 \"twostage load\" prints this reason");
}

GROUP(group_modules_disabled) = {
	.name = "modules-disabled",
	.title = "a system on which loading modules is disabled",
	.run = run_disabled,
};
