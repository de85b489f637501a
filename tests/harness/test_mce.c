// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that the machine itself says is broken
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"

#define START (4 * GIB)
/* An error that was found by scrubbing: software may act on it. As QEMU has it for those of its host */
#define STATUS UINT64_C(0xbd000000000000c0)
#define MCG_STATUS 5
/* An address, which is right to a page */
#define MISC 0x8c

static bool add_online(int blocks)
{
	return ok(region_add(START, blocks * block_size, "node=1") == 0 && region_online(0, "all online_movable") == 0,
		  "a region is online, on a node of its own");
}

/* The kernel's part of memory failure, with all that comes before and after it */
static bool break_page(uint64_t address)
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

/* The page is used once more: whoever gets it, it is cleared by way of the direct map. */
static void use(uint64_t address)
{
	struct memory memory;
	bool used = false, right = true;
	int tries;

	memory_prefer(1);
	for (tries = 0; tries < 5 && !used; tries++) {
		right &= memory_fill(&memory, 250 * MIB, 6) && memory_check(&memory) < 0;
		used = memory_inside(&memory, address, 4096) == 4096;
		memory_free(&memory);
	}
	memory_prefer(-1);
	ok(right && used, "the page is there, and is used");
}

static void run(void)
{
	struct accounts *before;
	struct memory memory;
	uint64_t address;
	int ret;

	if (!load_twostage(NULL))
		return;
	before = accounts_take();
	if (!add_online(2))
		return;
	ok(memory_prefer(1) && memory_fill(&memory, 4096, 3), "a page of it is used");
	memory_prefer(-1);
	address = memory_address(&memory, 0);
	ok(address >= START && address < START + 2 * block_size, "it is at %#" PRIx64, address);
	ok(break_page(address), "the machine says that it is broken, and the kernel takes it out of use");
	ok(region_offline(0, "all") == -EBUSY && blocks_online(0) >= 1,
	   "its block does not go offline while the process goes on that had it");
	memory_free(&memory);
	ok(region_give_back(0) == 0, "after that it does");
	ret = region_online(0, "all online_movable");
	ok(ret == 0 || ret == -EHWPOISON, "the kernel says whether it takes it again (%s)", strerror(-ret));
	ok(region_give_back(0) == 0 && region_remove(0) == 0 && meminfo("HardwareCorrupted") == 0,
	   "the region is removed, and what was broken is not counted any more");

	/* As if it had been replaced: there is no hole in the direct map. */
	if (!add_online(2))
		return;
	use(address);
	ok(region_give_back(0) == 0 && region_remove(0) == 0, "the region is removed");
	ok(accounts_same(before), "every account is what it was");
	accounts_free(before);
	unload_twostage();
}

const struct group group_mce = { .name = "mce", .title = "memory that the machine says is broken", .run = run };
