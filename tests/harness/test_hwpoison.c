// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hardware-poisoned pages in blocks that go offline
 *
 * Such a block goes offline, and keeps its memmap, its direct map and its
 * assignment until the next boot: it is in stage "poisoned". So each test has a
 * region of its own, and the module stays loaded at the end.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define BLOCKS 4
#define PAGE 4096
#define PROVIDER "/sys/kernel/debug/twostage_test"
#define VIRTIO_ID_MEM 24

#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif

#define KEPT "has a hardware-poisoned page: it is offline, but keeps its memory until the next boot"

/* Number of regions so far: none of them is removed */
static int regions;

/* Of the next region, which has BLOCKS blocks of reserved RAM */
static uint64_t next_start(void)
{
	return 4 * GIB + regions * BLOCKS * block_size;
}

static uint64_t last_page(uint64_t block)
{
	return block + block_size - PAGE;
}

/* Pages of a block that its own memmap takes: 64 bytes for each page */
static long long memmap_pages(void)
{
	return block_size / PAGE * 64 / PAGE;
}

static const char *stage_at(uint64_t address)
{
	return block_stage(block_at(address));
}

/* One page of this process, in a region */
static bool use_page(struct memory *memory, uint64_t start)
{
	if (!memory_map(memory, PAGE, MAP_PRIVATE, 0))
		return false;
	memory_write(memory, 3);
	return memory_inside(memory, start, BLOCKS * block_size) == PAGE;
}

/* Poisons a page of this process, in a child, which uses the page afterwards. Whether the child was killed for that */
static bool inject(const struct memory *memory)
{
	int status;
	pid_t pid;

	pid = fork();
	if (!pid) {
		signal(SIGBUS, SIG_DFL);
		if (madvise(memory->words, PAGE, MADV_HWPOISON))
			_exit(1);
		(*(volatile uint64_t *)memory->words)++;
		_exit(2);
	}
	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS;
}

/* Page table entries of poisoned pages have the number of a struct page, at which both files look. */
static void read_page_tables(const struct memory *pages, int count, const char *when)
{
	static const char promise[] = "a process that still maps hardware-poisoned pages reads its smaps and pagemap";
	char *smaps;
	int i;

	if (kernel_debugs()) {
		skip("this kernel overwrites struct pages of offline memory", "%s (%s)", promise, when);
		return;
	}
	smaps = read_whole("/proc/self/smaps");
	/* What the kernel says of such a page depends on its version. */
	for (i = 0; i < count; i++)
		memory_address(&pages[i], 0);
	ok(strstr(smaps, "VmFlags") != NULL, "%s (%s)", promise, when);
	free(smaps);
}

/* A region that is online in the movable zone */
static bool add_online(uint64_t start, const char *memmap)
{
	return ok(region_add(start, BLOCKS * block_size, memmap) == 0 &&
		  region_online(regions, "all online_movable") == 0, "a region is online (%s)", memmap);
}

static bool has_row(const char *command, const char *columns, const char *row)
{
	return run_command("twostage %s -n -o %s | tr -s ' ' | grep -q '%s'", command, columns, row) == 0;
}

/* Pages that were poisoned before their blocks go offline, in each of the ways that there are */
static void poisoned_before(const char *memmap)
{
	enum { HARD, SOFT, ADVISED, INJECTED, PAGES };
	const bool in_block = !strstr(memmap, "=0");
	const uint64_t start = next_start();
	struct memory data, pages[PAGES];
	unsigned int expected = 0, found = 0;
	long long corrupted = meminfo("HardwareCorrupted");
	uint64_t address[PAGES];
	struct accounts *standby;
	int i, ret, bad = 0, other = -1;
	char text[128], command[64];
	struct kmsg kmsg;

	ok(region_add(start, BLOCKS * block_size, memmap) == 0, "a region is standby (%s)", memmap);
	ok(page_offline("soft", start + 5 * PAGE) < 0 && page_offline("hard", start + 5 * PAGE) < 0 &&
	   page_offline("soft", last_page(start)) < 0 && meminfo("HardwareCorrupted") == corrupted,
	   "standby memory has no page that could be poisoned");
	standby = accounts_take();
	if (!ok(region_online(regions, "all online_movable") == 0 &&
		memory_map(&data, 48 * MIB, MAP_PRIVATE, MADV_NOHUGEPAGE), "its blocks come online"))
		return;
	memory_write(&data, 7);
	for (i = 0; i < PAGES; i++) {
		if (!ok(use_page(&pages[i], start), "a page of it is in use"))
			return;
		address[i] = memory_address(&pages[i], 0);
		expected |= 1 << (address[i] - start) / block_size;
	}
	ok(memory_inside(&data, start, BLOCKS * block_size) > data.size / 2, "and so are many others");

	ok(page_offline("hard", address[HARD]) == 0 && page_is_broken(address[HARD]),
	   "a page is poisoned by hard_offline_page");
	ok(page_offline("soft", address[SOFT]) == 0 && page_is_broken(address[SOFT]) && memory_check(&pages[SOFT]) < 0,
	   "a page is poisoned by soft_offline_page, its data has moved");
	ok(madvise(pages[ADVISED].words, PAGE, MADV_SOFT_OFFLINE) == 0 && page_is_broken(address[ADVISED]) &&
	   memory_check(&pages[ADVISED]) < 0, "a page is poisoned by MADV_SOFT_OFFLINE, its data has moved");
	ok(inject(&pages[INJECTED]) && page_is_broken(address[INJECTED]),
	   "a page is poisoned by MADV_HWPOISON, the process that uses it is killed");
	ok(meminfo("HardwareCorrupted") == corrupted + PAGES * 4 && memory_check(&data) < 0,
	   "%d pages count as poisoned, other data of the blocks is unharmed", PAGES);
	read_page_tables(pages, PAGES, "blocks online");

	kmsg = kmsg_mark();
	ret = region_give_back(regions);
	ok(ret == 0 && memory_check(&data) < 0 && memory_check(&pages[SOFT]) < 0 && memory_check(&pages[ADVISED]) < 0,
	   "all blocks go offline, and the data has moved unharmed (%s)", strerror(-ret));
	for (i = 0; i < BLOCKS; i++) {
		const char *stage = stage_at(start + i * block_size);

		if (!strcmp(stage, "poisoned"))
			found |= 1 << i;
		else if (!strcmp(stage, "standby"))
			other = i;
		else
			bad++;
		bad += strcmp(block_state(block_at(start) + i), "offline") != 0;
	}
	ok(!bad && found == expected && other >= 0,
	   "blocks with such a page are in stage poisoned, the others are standby (%#x, %#x)", found, expected);
	ok(kmsg_lines(&kmsg, KEPT, NULL, 0) == __builtin_popcount(expected), "the log says so, a line for each block");
	kmsg_close(&kmsg);
	read_page_tables(pages, PAGES, "blocks offline");

	accounts_add_poisoned(standby, __builtin_popcount(expected), PAGES);
	ok(accounts_same(standby), "MemTotal, zones and /proc/iomem are what they were before the blocks were online");
	ok(read_number(REGION "/blocks_online", regions) == 0 &&
	   read_number(REGION "/blocks_poisoned", regions) == __builtin_popcount(expected) &&
	   read_number(REGION "/memmap_pages", regions) ==
	   (in_block ? __builtin_popcount(expected) * memmap_pages() : 0),
	   "blocks_online, blocks_poisoned and memmap_pages of the region say what is kept");
	ok(page_offline("hard", address[HARD]) < 0 &&
	   page_offline("soft", last_page(address[HARD] & -block_size)) < 0 &&
	   meminfo("HardwareCorrupted") == corrupted + PAGES * 4, "no page of a poisoned block can be poisoned again");
	ok(!kcore_has(address[HARD]), "kcore has nothing of a poisoned block");

	ok(write_file("online_movable", MEMORY "/memory%d/state", block_at(address[HARD])) == -EHWPOISON &&
	   !strcmp(stage_at(address[HARD]), "poisoned"), "a poisoned block does not come online");
	snprintf(text, sizeof(text), "%d", BLOCKS);
	ok(region_online(regions, text) == -EINVAL && blocks_online(regions) == 0,
	   "more blocks than are standby cannot be set online");
	ok(region_online(regions, "all online_movable") == 0 &&
	   blocks_online(regions) == BLOCKS - __builtin_popcount(expected) && memory_check(&data) < 0,
	   "all the others can");
	ok(region_give_back(regions) == 0 && accounts_same(standby), "and offline again");
	snprintf(text, sizeof(text), "region%d", regions);
	refused(text, EBUSY, "have a hardware-poisoned page and keep their memory until the next boot",
		BUS "/remove_region");

	snprintf(command, sizeof(command), "list region%d", regions);
	snprintf(text, sizeof(text), "^ *%d 0 %d %d *$", BLOCKS, BLOCKS - __builtin_popcount(expected),
		 __builtin_popcount(expected));
	ok(has_row(command, "BLOCKS,ONLINE,STANDBY,POISONED", text), "twostage list counts them");
	snprintf(command, sizeof(command), "blocks region%d --all", regions);
	ok(has_row(command, "STAGE,STATE", "^ *poisoned offline *$") &&
	   has_row(command, "STAGE,STATE", "^ *standby offline *$"),
	   "twostage blocks shows their stage");
	ok(run_command("twostage online --blocks %d 2>&1 | grep -q 'hint:.*hardware-poisoned'",
		       block_at(address[HARD])) == 0,
	   "twostage online explains why such a block does not come online");
	ok(run_command("twostage remove region%d 2>&1 | grep -q 'hint:.*hardware-poisoned'", regions) == 0,
	   "twostage remove explains why its region is not removed");

	for (i = 0; i < PAGES; i++)
		memory_free(&pages[i]);
	memory_free(&data);
	ok(accounts_same(standby), "nothing changes when the processes give up the pages");
	accounts_free(standby);
	regions++;
}

static struct pin pin;
static uint64_t offline_at;

static int offline_block(void)
{
	memory_unpin(&pin);
	return write_file("offline", MEMORY "/memory%d/state", block_at(offline_at));
}

/* An offline waits for a page that is pinned, until that is poisoned: then it passes over it. */
static void poisoned_during(void)
{
	long long corrupted = meminfo("HardwareCorrupted");
	const uint64_t start = next_start();
	struct memory memory;
	struct accounts *standby;
	uint64_t first, word = 0;
	pid_t offline;
	bool waiting;
	int ret;

	ok(region_add(start, BLOCKS * block_size, NULL) == 0, "a region is standby");
	standby = accounts_take();
	if (!ok(region_online(regions, "all online_movable") == 0 && use_page(&memory, start) &&
		memory_pin(&memory, &pin, start, BLOCKS * block_size), "a page of a block is pinned by a pipe"))
		return;
	first = memory.words[0];
	offline_at = memory_address(&memory, 0);
	/*
	 * Not mapped: the kernel of 6.1 takes the mark away for a moment when it tries again, and an offline that meets
	 * the page just then unmaps it for nothing, with a warning, whoever added the memory.
	 */
	memory_free(&memory);
	offline = meanwhile(offline_block);
	usleep(700000);
	waiting = !waitpid(offline, &ret, WNOHANG);
	/* -EBUSY: the kernel has marked it, and says that it is still in use. */
	ret = page_offline("hard", offline_at);
	ok(waiting && (ret == 0 || ret == -EBUSY) && meminfo("HardwareCorrupted") == corrupted + 4,
	   "it is poisoned while its block goes offline (%s)", strerror(-ret));
	ret = later(offline);
	ok(ret == 0 && !strcmp(stage_at(offline_at), "poisoned"), "the block goes offline, and is poisoned (%s)",
	   strerror(-ret));
	ok(read(pin.pipe[0], &word, sizeof(word)) == sizeof(word) && word == first,
	   "the task that has pinned it can still read it");
	memory_unpin(&pin);
	ok(region_give_back(regions) == 0, "the other blocks go offline");
	accounts_add_poisoned(standby, 1, 1);
	ok(accounts_same(standby), "every other account is what it was before the blocks were online");
	accounts_free(standby);
	regions++;
}

static int offline_region(void)
{
	return region_offline(regions, "1");
}

static bool add_slow(uint64_t start, int blocks)
{
	char text[128];

	snprintf(text, sizeof(text), "%#" PRIx64 " %#" PRIx64 " %#" PRIx64, start, blocks * block_size, block_size);
	return write_file(text, PROVIDER "/add") == 0;
}

/* The first block goes offline, which takes long, and a page of it is in use. */
static pid_t offline_slowly(uint64_t start, struct memory *memory)
{
	pid_t offline;

	ok(region_online(regions, "1 online_movable") == 0 && memory_map(memory, PAGE, MAP_PRIVATE, 0),
	   "a block of another provider's region is online");
	memory_write(memory, 3);
	ok(memory_inside(memory, start, block_size) == PAGE, "a page of it is in use");
	write_file("6000", PROVIDER "/offline_delay_ms");
	offline = meanwhile(offline_region);
	usleep(700000);
	return offline;
}

static uint64_t hard_at;

static int hard_offline(void)
{
	return page_offline("hard", hard_at);
}

/* Soft offline is refused beside an offline, memory failure is not. */
static void beside_slow_offline(void)
{
	const uint64_t start = next_start();
	long long corrupted = meminfo("HardwareCorrupted");
	int soft, advised, ret;
	struct memory memory;
	pid_t offline, hard;
	char name[32];
	double started;
	bool waiting;

	ok(module_load("twostage_test", NULL) == 0 && add_slow(start, 2), "another provider has a region");
	offline = offline_slowly(start, &memory);
	started = now();
	soft = page_offline("soft", last_page(start));
	advised = madvise(memory.words, PAGE, MADV_SOFT_OFFLINE) ? -errno : 0;
	started = now() - started;
	waiting = !waitpid(offline, &ret, WNOHANG);
	ok(waiting && soft == -EBUSY && advised == -EBUSY && started < 3 && meminfo("HardwareCorrupted") == corrupted,
	   "soft offline is refused at once beside an offline (%s, %s, %.1f s)", strerror(-soft),
	   strerror(-advised), started);
	write_file("0", PROVIDER "/offline_delay_ms");
	ret = later(offline);
	ok(ret == 0 && !strcmp(stage_at(start), "standby") && memory_check(&memory) < 0,
	   "which ends with the block standby: no reference to the page is left behind (%s)", strerror(-ret));
	memory_free(&memory);

	offline = offline_slowly(start, &memory);
	/* A free page, for the same reason */
	hard_at = last_page(start);
	started = now();
	hard = meanwhile(hard_offline);
	/* The kernel itself waits for the end of an offline in the same zone once it has marked the page. */
	while (!page_is_broken(hard_at) && now() - started < 20)
		usleep(50000);
	started = now() - started;
	waiting = !waitpid(offline, &ret, WNOHANG);
	ok(waiting && started < 3, "a page is marked at once beside an offline (%.1f s)", started);
	write_file("0", PROVIDER "/offline_delay_ms");
	ret = later(offline);
	ok(ret == 0 && !strcmp(stage_at(start), "poisoned"), "which ends with the block poisoned (%s)", strerror(-ret));
	/* -EBUSY: the block is offline by now. */
	ret = later(hard);
	ok((ret == 0 || ret == -EBUSY) && meminfo("HardwareCorrupted") == corrupted + 4,
	   "the page counts as poisoned (%s)", strerror(-ret));
	ok(memory_check(&memory) < 0, "other data of the block has moved unharmed");
	memory_free(&memory);

	ok(region_online(regions, "1 online_movable") == 0 && region_give_back(regions) == 0 &&
	   !strcmp(stage_at(start + block_size), "standby") &&
	   read_number(PROVIDER "/assigned") == (long long)block_size && read_number(PROVIDER "/violations") == 0,
	   "the provider gets back another block, but not this one");
	snprintf(name, sizeof(name), "region%d", regions);
	ok(write_file(name, PROVIDER "/remove") == -EBUSY && exists(REGION, regions) &&
	   module_unload("twostage_test") == -EWOULDBLOCK, "the provider cannot remove its region, nor be unloaded");
	regions++;
}

/* twostage offline says why a block did not become standby. */
static void offline_by_command(void)
{
	const uint64_t start = next_start();

	if (!add_online(start, "memmap_on_memory=1"))
		return;
	ok(page_offline("hard", last_page(start)) == 0, "a free page is poisoned");
	ok(run_command("twostage offline region%d --all >/tmp/output 2>&1 && "
		       "grep -q 'hint:.*hardware-poisoned' /tmp/output",
		       regions) == 0 && !strcmp(stage_at(start), "poisoned"),
	   "twostage offline says which block keeps its memory");
	run_command("sed 's/^/# /' /tmp/output >/dev/kmsg");
	regions++;
}

static void not_hibernated(void)
{
	if (!strstr(read_file("/sys/power/state"), "disk")) {
		skip("this kernel cannot hibernate", "hibernation is refused while there are poisoned blocks");
		return;
	}
	refused("disk", EBUSY, "hibernation refused: it would lose the memmap of", "/sys/power/state");
}

static void of_virtio_mem(void)
{
	const char *device = virtio_device(VIRTIO_ID_MEM, 0);
	uint64_t start;

	if (!ok(module_load("twostage_virtio_mem", NULL) == 0 && exists(REGION, regions),
		"a virtio-mem device (%s) has a region", device))
		return;
	start = strtoull(read_file(REGION "/start", regions), NULL, 0);
	ok(region_online(regions, "2 online_movable") == 0 && page_offline("hard", last_page(start)) == 0 &&
	   region_give_back(regions) == 0 && !strcmp(stage_at(start), "poisoned") &&
	   !strcmp(stage_at(start + block_size), "standby"), "a block of it is poisoned, another one is standby");
	ok(strtoull(read_file(REGION "/plugged", regions), NULL, 0) == block_size,
	   "plugged counts the poisoned block, and no other (%s)", read_file(REGION "/plugged", regions));
	regions++;
}

static void of_dimm(void)
{
	const int blocks = count_blocks();
	struct kmsg kmsg;
	uint64_t start;
	bool said;

	ok(write_file("1", BUS "/adopt") == 0, "DIMMs are adopted");
	dimm_plug("d1", 2 * block_size, 0);
	if (!ok(wait_for_blocks(blocks + 2) && exists(REGION, regions), "a DIMM is a region"))
		return;
	start = strtoull(read_file(REGION "/start", regions), NULL, 0);
	ok(region_online(regions, "all online_movable") == 0 && page_offline("hard", last_page(start)) == 0,
	   "a page of it is poisoned");
	kmsg = kmsg_mark();
	dimm_unplug("d1");
	said = kmsg_wait(&kmsg, "Offline failed", 60);
	usleep(1000000);
	ok(said && exists(REGION, regions) && strstr(host_ask("info memory-devices"), "\"d1\"") &&
	   !strcmp(stage_at(start), "populated"), "its ejection is refused, and the DIMM stays");
	kmsg_close(&kmsg);
	kmsg = kmsg_mark();
	ok(write_file("offline", MEMORY "/memory%d/state", block_at(start)) == -EBUSY &&
	   kmsg_lines(&kmsg, "ejecting its DIMM would remove the memmap", NULL, 0) == 1,
	   "its block does not go offline, and the log says why");
	kmsg_close(&kmsg);
	regions++;
}

static void run(void)
{
	if (!exists(MEMORY "/hard_offline_page")) {
		skip("this kernel has none", "hardware-poisoned pages");
		return;
	}
	if (!load_twostage(NULL))
		return;
	poisoned_before("memmap_on_memory=1");
	poisoned_before("memmap_on_memory=0");
	poisoned_during();
	not_hibernated();
	offline_by_command();
	beside_slow_offline();
	of_virtio_mem();
	of_dimm();
	ok(module_unload("twostage") == -EWOULDBLOCK && module_loaded("twostage"),
	   "the module is not unloaded while there are poisoned blocks");
}

static void setup(void)
{
	virtio_bus();
	settle_zones();
}

GROUP(group_hwpoison) = {
	.name = "hwpoison", .title = "hardware-poisoned pages in blocks that go offline", .setup = setup, .run = run,
	.stays = true,
};
