// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hardware-poisoned pages that a machine check reports
 *
 * Their blocks stay poisoned, so each test has a region of its own.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define START (4 * GIB)
#define PROVIDER "/sys/kernel/debug/twostage_test"
/*
 * A memory error found by scrubbing, on which software may act; the same status
 * that QEMU passes on for errors of its host
 */
#define STATUS UINT64_C(0xbd000000000000c0)
#define MCG_STATUS 5
/* MISC: the address is physical, and exact to a page */
#define MISC 0x8c

/*
 * Inject a machine check for an address. Returns whether the kernel has handled
 * it and counts the page as poisoned.
 */
static bool report(uint64_t address)
{
	long long corrupted = meminfo("HardwareCorrupted");
	struct kmsg kmsg = kmsg_mark();
	bool handled;

	host("mce -b 0 9 %#" PRIx64 " %d %#" PRIx64 " %#x", STATUS, MCG_STATUS, address, MISC);
	handled = kmsg_wait(&kmsg, "recovery action", 20);
	kmsg_close(&kmsg);
	handled &= wait_until(meminfo("HardwareCorrupted") == corrupted + 4, 10);
	/*
	 * After that a worker still unmaps the page from the direct map, for
	 * which there is no event.
	 */
	usleep(500000);
	return handled;
}

/* Use a page on node 1, which has no memory but the regions. */
static bool use_page(struct memory *memory)
{
	bool used = memory_prefer(1) && memory_fill(memory, 4096, 3);

	memory_prefer(-1);
	return used;
}

static const char *stage_at(uint64_t address)
{
	return block_stage(block_at(address));
}

/*
 * After a machine check the kernel unmaps the page from the direct map. That
 * must not race with the removal of the block's direct map.
 */
static void poisoned(void)
{
	struct accounts *standby;
	struct memory memory;
	uint64_t address, other;
	int ret;

	ok(region_add(START, 2 * block_size, "node=1") == 0,
	   "a region of two blocks is added on node 1");
	standby = accounts_take();
	if (!ok(region_online(0, "all online_movable") == 0 && use_page(&memory),
		"both blocks come online, and a page on node 1 is used"))
		return;
	address = memory_address(&memory, 0);
	ok(address >= START && address < START + 2 * block_size,
	   "the used page is in the region (%#" PRIx64 ")", address);
	ok(report(address),
	   "a machine check for a page of a populated block makes it hardware-poisoned");
	other = START + (address < START + block_size ? block_size : 0);
	ok(region_give_back(0) == 0, "both blocks go offline after the machine check");
	ok(!strcmp(stage_at(address), "poisoned"),
	   "the block with the hardware-poisoned page is in stage poisoned (%s)",
	   stage_at(address));
	ok(!strcmp(stage_at(other), "standby"),
	   "the block without a hardware-poisoned page is standby (%s)", stage_at(other));
	ok(*read_file("/proc/self/smaps"),
	   "a process that maps the hardware-poisoned page can read its smaps");
	memory_free(&memory);
	ret = write_file("online_movable", MEMORY "/memory%d/state", block_at(address));
	ok(ret == -EHWPOISON,
	   "online of a block poisoned by a machine check fails with EHWPOISON (%s)",
	   strerror(-ret));
	ret = region_online(0, "all online_movable");
	ok(ret == 0 && blocks_online(0) == 1,
	   "the other block of the region comes online again (%s)", strerror(-ret));
	ok(region_give_back(0) == 0, "the other block of the region goes offline again");
	accounts_add_poisoned(standby, 1, 1);
	ok(accounts_same(standby),
	   "the system matches the standby baseline but for what the poisoned block keeps");
	accounts_free(standby);
	refused("region0", EBUSY, "hardware-poisoned page", BUS "/remove_region");
}

/*
 * The same while a block of another region comes online, which is slow and
 * changes the direct map too
 */
static void poisoned_beside_online(void)
{
	struct memory memory;
	bool reported;
	uint64_t address;
	char text[96];
	int status;
	pid_t pid;

	snprintf(text, sizeof(text), "%#" PRIx64 " %#" PRIx64 " %#" PRIx64, START + 4 * block_size,
		 block_size, block_size);
	ok(module_load("twostage_test", NULL) == 0 && write_file(text, PROVIDER "/add") == 0,
	   "a slow provider adds a region");
	if (!ok(region_add(START + 2 * block_size, 2 * block_size, "node=1") == 0 &&
		region_online(2, "all online_movable") == 0 && use_page(&memory),
		"a second region comes online on node 1, and a page is used"))
		return;
	address = memory_address(&memory, 0);
	write_file("10000", PROVIDER "/delay_ms");
	pid = fork();
	if (!pid)
		_exit(region_online(1, "all online_movable") ? 1 : 0);
	wait_until(sleeps_in(pid, "[twostage_test]"), 20);
	reported = report(address);
	ok(reported && !waitpid(pid, &status, WNOHANG),
	   "a machine check makes a page hardware-poisoned while a block of another region comes online");
	ok(waitpid(pid, &status, 0) == pid && status == 0 && blocks_online(1) == 1,
	   "a slow online succeeds although a page of another region is poisoned meanwhile");
	write_file("0", PROVIDER "/delay_ms");
	memory_free(&memory);
	ok(region_give_back(1) == 0,
	   "the slow provider's region goes offline after the machine check");
	ok(region_give_back(2) == 0 && !strcmp(stage_at(address), "poisoned"),
	   "a block with a page poisoned during another online goes offline to stage poisoned (%s)",
	   stage_at(address));
	ok(write_file("region1", PROVIDER "/remove") == 0 && module_unload("twostage_test") == 0,
	   "the slow provider's region is removed and its module unloads");
}

static void run(void)
{
	if (!exists(MEMORY "/hard_offline_page")) {
		skip("this kernel does not handle memory errors",
		     "a machine check makes a page hardware-poisoned");
		return;
	}
	if (!load_twostage(NULL))
		return;
	poisoned();
	poisoned_beside_online();
}

GROUP(group_mce) = {
	.name = "mce", .title = "hardware-poisoned pages that a machine check reports", .run = run,
	.stays = true,
};
