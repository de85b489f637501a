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
/* An error that was found by scrubbing: software may act on it. As QEMU has it for those of its host */
#define STATUS UINT64_C(0xbd000000000000c0)
#define MCG_STATUS 5
/* An address, which is right to a page */
#define MISC 0x8c

/* The kernel's part of memory failure, with all that comes before and after it */
static bool report(uint64_t address)
{
	long long corrupted = meminfo("HardwareCorrupted");
	struct kmsg kmsg = kmsg_mark();
	bool told;
	int tries;

	host("mce -b 0 9 %#" PRIx64 " %d %#" PRIx64 " %#x", STATUS, MCG_STATUS, address, MISC);
	told = kmsg_wait(&kmsg, "recovery action", 20);
	kmsg_close(&kmsg);
	for (tries = 0; tries < 50 && meminfo("HardwareCorrupted") == corrupted; tries++)
		usleep(100000);
	/* Some more is done with it after that. */
	usleep(500000);
	return told && meminfo("HardwareCorrupted") == corrupted + 4;
}

/* A page on node 1, where there is nothing but the regions */
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

/* The kernel unmaps the page from the direct map: that must not be beside the removal of the block's direct map. */
static void poisoned(void)
{
	struct accounts *standby;
	struct memory memory;
	uint64_t address;
	int ret;

	ok(region_add(START, 2 * block_size, "node=1") == 0, "a region is standby, on a node of its own");
	standby = accounts_take();
	if (!ok(region_online(0, "all online_movable") == 0 && use_page(&memory), "a page of it is used"))
		return;
	address = memory_address(&memory, 0);
	ok(address >= START && address < START + 2 * block_size, "it is at %#" PRIx64, address);
	ok(report(address), "the machine reports an error in it, and the kernel poisons it");
	ok(region_give_back(0) == 0 && !strcmp(stage_at(address), "poisoned") &&
	   !strcmp(stage_at(START + (address < START + block_size ? block_size : 0)), "standby"),
	   "both blocks go offline, its block is poisoned, the other one is standby");
	ok(*read_file("/proc/self/smaps"), "a process that still maps it can read its smaps");
	memory_free(&memory);
	ret = write_file("online_movable", MEMORY "/memory%d/state", block_at(address));
	ok(ret == -EHWPOISON && region_online(0, "all online_movable") == 0 && blocks_online(0) == 1,
	   "only the other block comes online again (%s)", strerror(-ret));
	ok(region_give_back(0) == 0, "and goes offline");
	accounts_add_poisoned(standby, 1, 1);
	ok(accounts_same(standby), "every other account is what it was");
	accounts_free(standby);
	refused("region0", EBUSY, "hardware-poisoned page", BUS "/remove_region");
}

/* A block of another region comes online meanwhile, which takes long, and changes the direct map, too. */
static void poisoned_beside_online(void)
{
	struct memory memory;
	bool reported;
	uint64_t address;
	char text[96];
	int status;
	pid_t pid;

	snprintf(text, sizeof(text), "%#" PRIx64 " %#" PRIx64 " %#" PRIx64, START + 4 * block_size, block_size, block_size);
	ok(module_load("twostage_test", NULL) == 0 && write_file(text, PROVIDER "/add") == 0,
	   "a region of a slow provider is there");
	if (!ok(region_add(START + 2 * block_size, 2 * block_size, "node=1") == 0 &&
		region_online(2, "all online_movable") == 0 && use_page(&memory), "a page of another one is used"))
		return;
	address = memory_address(&memory, 0);
	write_file("10000", PROVIDER "/delay_ms");
	pid = fork();
	if (!pid)
		_exit(region_online(1, "all online_movable") ? 1 : 0);
	usleep(500000);
	reported = report(address);
	ok(reported && !waitpid(pid, &status, WNOHANG),
	   "the machine reports an error in it while the first comes online");
	ok(waitpid(pid, &status, 0) == pid && status == 0 && blocks_online(1) == 1, "which it does");
	write_file("0", PROVIDER "/delay_ms");
	memory_free(&memory);
	ok(region_give_back(1) == 0 && region_give_back(2) == 0 && !strcmp(stage_at(address), "poisoned"),
	   "both go offline, and the block with the page is poisoned");
	ok(write_file("region1", PROVIDER "/remove") == 0 && module_unload("twostage_test") == 0,
	   "the first is removed");
}

static void run(void)
{
	if (!load_twostage(NULL))
		return;
	poisoned();
	poisoned_beside_online();
}

GROUP(group_mce) = {
	.name = "mce", .title = "hardware-poisoned pages that a machine check reports", .run = run, .stays = true,
};
