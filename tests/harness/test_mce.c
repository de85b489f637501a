// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that the machine itself says is broken
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

static bool add_online(int blocks, int id)
{
	return ok(region_add(START, blocks * block_size, "node=1") == 0 && region_online(id, "all online_movable") == 0,
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

/* The direct map is not changed beside somebody who may be changing it, nor does that wait for him to the end. */
static void broken_beside_online(void)
{
	bool broken, online;
	struct memory memory;
	struct kmsg kmsg;
	uint64_t address;
	char text[96];
	int status;
	pid_t pid;

	snprintf(text, sizeof(text), "%#" PRIx64 " %#" PRIx64 " %#" PRIx64, START + 4 * block_size, block_size, block_size);
	ok(module_load("twostage_test", NULL) == 0 && write_file(text, PROVIDER "/add") == 0,
	   "a region of a slow provider is there");
	if (!add_online(2, 1))
		return;
	ok(memory_prefer(1) && memory_fill(&memory, 4096, 3), "a page of another one is used");
	memory_prefer(-1);
	address = memory_address(&memory, 0);
	write_file("10000", PROVIDER "/delay_ms");
	kmsg = kmsg_mark();
	pid = fork();
	if (!pid)
		_exit(region_online(0, "all online_movable") ? 1 : 0);
	usleep(500000);
	broken = break_page(address) && kmsg_wait(&kmsg, "stays in the direct map", 10);
	ok(broken && !waitpid(pid, &status, WNOHANG),
	   "it breaks while the first comes online: it is taken out of use, and the log says that it stays in the direct map");
	online = waitpid(pid, &status, 0) == pid && status == 0;
	write_file("0", PROVIDER "/delay_ms");
	kmsg_close(&kmsg);
	memory_free(&memory);
	ok(online && region_give_back(0) == 0 && region_give_back(1) == 0, "the first is online, and both go offline");
	ok(region_remove(1) == 0 && write_file("region0", PROVIDER "/remove") == 0 && module_unload("twostage_test") == 0,
	   "they are removed");
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
	if (!add_online(2, 0))
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
	if (!add_online(2, 0))
		return;
	use(address);
	ok(region_give_back(0) == 0 && region_remove(0) == 0, "the region is removed");
	broken_beside_online();
	ok(accounts_same(before), "every account is what it was");
	accounts_free(before);
	unload_twostage();
}

const struct group group_mce = { .name = "mce", .title = "memory that the machine says is broken", .run = run };
