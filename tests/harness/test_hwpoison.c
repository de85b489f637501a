// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hardware-poisoned pages in blocks that go offline
 *
 * A block with such a page goes offline, but keeps its memmap, direct map and
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
#define PAGE page_size
#define PROVIDER "/sys/kernel/debug/twostage_test"
#define VIRTIO_ID_MEM 24

#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif

#define KEPT "has a hardware-poisoned page: it is offline, but keeps its memory until the next boot"

/*
 * Number of regions so far, which is the next region's number: none is removed
 */
static int regions;

/* Start of the next region of BLOCKS blocks in reserved RAM */
static uint64_t next_start(void)
{
	return 4 * GIB + regions * BLOCKS * block_size;
}

static uint64_t last_page(uint64_t block)
{
	return block + block_size - PAGE;
}

/* Pages of a block that contain its memmap */
static long long memmap_pages(void)
{
	return memmap_size(block_size) / PAGE;
}

static const char *stage_at(uint64_t address)
{
	return block_stage(block_at(address));
}

/* Map a page and write to it; whether it is in the region at start */
static bool use_page(struct memory *memory, uint64_t start)
{
	if (!memory_map(memory, PAGE, MAP_PRIVATE, 0))
		return false;
	memory_write(memory, 3);
	return memory_inside(memory, start, BLOCKS * block_size) == (uint64_t)PAGE;
}

/*
 * A child process poisons a page and then writes to it. Returns whether the
 * child was killed by SIGBUS.
 */
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

/*
 * memory_failure() replaces PTEs of the page by hwpoison entries with its PFN.
 * smaps and pagemap follow them to the struct page, which therefore must exist.
 */
static void read_page_tables(const struct memory *pages, int count, const char *when)
{
	static const char promise[] = "a process that maps hardware-poisoned pages reads its smaps and pagemap";
	char *smaps;
	int i;

	if (kernel_debugs()) {
		skip("the debug kernel overwrites struct pages of offline memory", "%s (%s)",
		     promise, when);
		return;
	}
	smaps = read_whole("/proc/self/smaps");
	/* What pagemap shows for such a page depends on the kernel version. */
	for (i = 0; i < count; i++)
		memory_address(&pages[i], 0);
	ok(strstr(smaps, "VmFlags") != NULL, "%s (%s)", promise, when);
	free(smaps);
}

/* Add a region and set its blocks online in ZONE_MOVABLE. */
static bool add_online(uint64_t start, const char *memmap)
{
	return ok(region_add(start, BLOCKS * block_size, memmap) == 0 &&
		  region_online(regions, "all online_movable") == 0,
		  "a region is added and comes online (%s)", memmap);
}

/* Check the kernel's count of hardware-poisoned memory, in KiB. */
static void check_corrupted(long long expected, const char *after)
{
	long long corrupted = meminfo("HardwareCorrupted");

	ok(corrupted == expected, "HardwareCorrupted is correct after %s (%lld KiB, expected %lld)",
	   after, corrupted, expected);
}

/* Whether the output of a twostage command with these columns has such a row */
static bool has_row(const char *command, const char *columns, const char *row)
{
	return run_command("twostage %s -n -o %s | tr -s ' ' | grep -q '%s'", command, columns,
			   row) == 0;
}

/* Pages are poisoned before their blocks go offline, through each interface. */
static void poisoned_before(const char *memmap)
{
	enum { HARD, SOFT, ADVISED, INJECTED, PAGES };
	const bool in_block = !strstr(memmap, "=0") && memmap_fits_block();
	const uint64_t start = next_start();
	struct memory data, pages[PAGES];
	unsigned int expected = 0, found = 0;
	long long corrupted = meminfo("HardwareCorrupted");
	uint64_t address[PAGES];
	struct accounts *standby;
	int i, ret, poisoned, lines, bad = 0, other = -1;
	char text[128], command[64];
	long long kept;
	struct kmsg kmsg;

	ok(region_add(start, BLOCKS * block_size, memmap) == 0, "a region is added (%s)", memmap);
	ok(page_offline("soft", start + 5 * PAGE) < 0,
	   "soft offline of a page of a standby block fails");
	ok(page_offline("hard", start + 5 * PAGE) < 0,
	   "hard offline of a page of a standby block fails");
	ok(page_offline("soft", last_page(start)) < 0,
	   "soft offline of the last page of a standby block fails");
	check_corrupted(corrupted, "refused attempts to poison pages of a standby block");
	standby = accounts_take();
	if (!ok(region_online(regions, "all online_movable") == 0 &&
		memory_map(&data, 48 * MIB, MAP_PRIVATE, MADV_NOHUGEPAGE),
		"all blocks of the region come online (%s)", memmap))
		return;
	memory_write(&data, 7);
	for (i = 0; i < PAGES; i++) {
		if (!ok(use_page(&pages[i], start),
			"page %d of %d that are to be poisoned is in the region", i + 1, PAGES))
			return;
		address[i] = memory_address(&pages[i], 0);
		expected |= 1 << (address[i] - start) / block_size;
	}
	poisoned = __builtin_popcount(expected);
	ok(memory_inside(&data, start, BLOCKS * block_size) > data.size / 2,
	   "most of 48 MiB of other data is in the region");

	ok(page_offline("hard", address[HARD]) == 0 && page_is_broken(address[HARD]),
	   "a page that is written to hard_offline_page is hardware-poisoned");
	ok(page_offline("soft", address[SOFT]) == 0 && page_is_broken(address[SOFT]),
	   "a page that is written to soft_offline_page is hardware-poisoned");
	ok(memory_check(&pages[SOFT]) < 0, "soft_offline_page migrates the data of the page");
	ok(madvise(pages[ADVISED].words, PAGE, MADV_SOFT_OFFLINE) == 0 &&
	   page_is_broken(address[ADVISED]),
	   "MADV_SOFT_OFFLINE makes a page hardware-poisoned");
	ok(memory_check(&pages[ADVISED]) < 0, "MADV_SOFT_OFFLINE migrates the data of the page");
	ok(inject(&pages[INJECTED]),
	   "a process that uses a page after MADV_HWPOISON is killed by SIGBUS");
	ok(page_is_broken(address[INJECTED]), "MADV_HWPOISON makes a page hardware-poisoned");
	check_corrupted(corrupted + PAGES * PAGE / 1024, "pages were poisoned in four ways");
	ok(memory_check(&data) < 0, "other data of the blocks is intact after pages were poisoned");
	read_page_tables(pages, PAGES, "blocks online");

	kmsg = kmsg_mark();
	ret = region_give_back(regions);
	ok(ret == 0, "blocks with hardware-poisoned pages go offline (%s)", strerror(-ret));
	ok(memory_check(&data) < 0,
	   "other data is intact after offline of blocks with hardware-poisoned pages");
	ok(memory_check(&pages[SOFT]) < 0 && memory_check(&pages[ADVISED]) < 0,
	   "data of soft-offlined pages is intact after offline of their blocks");
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
	ok(!bad, "each block is offline, in stage poisoned or standby (%d are not)", bad);
	ok(found == expected,
	   "offline blocks with a hardware-poisoned page, and no others, are in stage poisoned (%#x, expected %#x)",
	   found, expected);
	ok(other >= 0, "offline blocks without a hardware-poisoned page are standby");
	lines = kmsg_lines(&kmsg, KEPT, NULL, 0);
	ok(lines == poisoned,
	   "the log has a line for each block that is in stage poisoned (%d, expected %d)", lines,
	   poisoned);
	kmsg_close(&kmsg);
	read_page_tables(pages, PAGES, "blocks offline");

	accounts_add_poisoned(standby, poisoned, PAGES);
	ok(accounts_same(standby),
	   "the system matches the standby baseline but for what poisoned blocks keep (%s)",
	   memmap);
	ok(read_number(REGION "/blocks_online", regions) == 0,
	   "blocks_online is 0 with poisoned blocks (%lld)",
	   read_number(REGION "/blocks_online", regions));
	ok(read_number(REGION "/blocks_poisoned", regions) == poisoned,
	   "blocks_poisoned counts poisoned blocks (%lld, expected %d)",
	   read_number(REGION "/blocks_poisoned", regions), poisoned);
	kept = in_block ? poisoned * memmap_pages() : 0;
	ok(read_number(REGION "/memmap_pages", regions) == kept,
	   "memmap_pages counts the memmaps of poisoned blocks (%lld, expected %lld)",
	   read_number(REGION "/memmap_pages", regions), kept);
	ok(page_offline("hard", address[HARD]) < 0,
	   "hard offline of the poisoned page of a poisoned block fails");
	ok(page_offline("soft", last_page(address[HARD] & -block_size)) < 0,
	   "soft offline of another page of a poisoned block fails");
	check_corrupted(corrupted + PAGES * PAGE / 1024,
			"refused attempts to poison pages of a poisoned block");
	ok(!kcore_has(address[HARD]), "kcore has no segment of a poisoned block");

	ret = write_file("online_movable", MEMORY "/memory%d/state", block_at(address[HARD]));
	ok(ret == -EHWPOISON, "online of a poisoned block fails with EHWPOISON (%s)",
	   strerror(-ret));
	ok(!strcmp(stage_at(address[HARD]), "poisoned"),
	   "a block remains in stage poisoned after a refused online (%s)",
	   stage_at(address[HARD]));
	snprintf(text, sizeof(text), "%d", BLOCKS);
	ret = region_online(regions, text);
	ok(ret == -EINVAL && blocks_online(regions) == 0,
	   "online of more blocks than are standby beside poisoned ones fails with EINVAL (%s)",
	   strerror(-ret));
	ret = region_online(regions, "all online_movable");
	ok(ret == 0, "online of all blocks succeeds with poisoned blocks in the region (%s)",
	   strerror(-ret));
	ok(blocks_online(regions) == BLOCKS - poisoned,
	   "online of all blocks sets those online that are not poisoned (%d, expected %d)",
	   blocks_online(regions),
	   BLOCKS - poisoned);
	ok(memory_check(&data) < 0, "other data is intact with blocks online beside poisoned ones");
	ok(region_give_back(regions) == 0, "blocks beside poisoned ones go offline again");
	ok(accounts_same(standby),
	   "the system matches the standby baseline after blocks beside poisoned ones were online");
	snprintf(text, sizeof(text), "region%d", regions);
	refused(text, EBUSY,
		"have a hardware-poisoned page and keep their memory until the next boot",
		BUS "/remove_region");

	snprintf(command, sizeof(command), "list region%d", regions);
	snprintf(text, sizeof(text), "^ *%d 0 %d %d *$", BLOCKS, BLOCKS - poisoned, poisoned);
	ok(has_row(command, "BLOCKS,ONLINE,STANDBY,POISONED", text),
	   "twostage list counts standby and poisoned blocks");
	snprintf(command, sizeof(command), "blocks region%d --all", regions);
	ok(has_row(command, "STAGE,STATE", "^ *poisoned offline *$"),
	   "twostage blocks shows a block in stage poisoned");
	ok(has_row(command, "STAGE,STATE", "^ *standby offline *$"),
	   "twostage blocks shows a block in stage standby");
	ok(run_command("twostage online --blocks %d 2>&1 | grep -q 'hint:.*hardware-poisoned'",
		       block_at(address[HARD])) == 0,
	   "twostage online explains why a poisoned block does not come online");
	ok(run_command("twostage remove region%d 2>&1 | grep -q 'hint:.*hardware-poisoned'",
		       regions) == 0,
	   "twostage remove explains why a region with poisoned blocks is not removed");

	for (i = 0; i < PAGES; i++)
		memory_free(&pages[i]);
	memory_free(&data);
	ok(accounts_same(standby),
	   "the system matches the standby baseline after poisoned pages are unmapped");
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

/*
 * An offline retries as long as a page is pinned. When that page is poisoned,
 * the offline passes over it and completes.
 */
static void poisoned_during(void)
{
	long long corrupted = meminfo("HardwareCorrupted");
	const uint64_t start = next_start();
	struct memory memory;
	bool pinned;
	struct accounts *standby;
	uint64_t first, word = 0;
	pid_t offline;
	bool waiting;
	int ret;

	/*
	 * With DEBUG_VM remove_pfn_range_from_zone() overwrites struct pages,
	 * and KASAN frees the shadow of offline memory, whatever still uses
	 * them: the pipe's end would be an Oops, without the module, too.
	 */
	if (kernel_debugs()) {
		skip("the debug kernel overwrites struct pages of offline memory",
		     "a pinned page is poisoned during an offline");
		return;
	}
	ok(region_add(start, BLOCKS * block_size, NULL) == 0,
	   "a region is added for a page poisoned during an offline");
	standby = accounts_take();
	pinned = region_online(regions, "all online_movable") == 0 && use_page(&memory, start) &&
		 memory_pin(&memory, &pin, start, BLOCKS * block_size);
	ok(pinned, "a page of a block is pinned by a pipe");
	if (!pinned)
		return;
	first = memory.words[0];
	offline_at = memory_address(&memory, 0);
	/*
	 * Unmap the page: memory_failure() of 6.1 clears the hwpoison flag for
	 * a moment when it retries. An offline that finds the page just then
	 * tries to unmap it in vain and prints a warning, without the module
	 * too.
	 */
	memory_free(&memory);
	offline = meanwhile(offline_block);
	waiting = wait_until(!strcmp(block_state(block_at(offline_at)), "going-offline"), 20) &&
		  !waitpid(offline, &ret, WNOHANG);
	/* EBUSY: the kernel has poisoned the page, but it is still in use. */
	ret = page_offline("hard", offline_at);
	ok(waiting, "offline of a block waits for a pinned page");
	ok(ret == 0 || ret == -EBUSY,
	   "hard offline poisons a pinned page while its block goes offline (%s)", strerror(-ret));
	check_corrupted(corrupted + PAGE / 1024, "a page was poisoned during an offline");
	ret = later(offline);
	ok(ret == 0, "offline of a block completes when its pinned page is poisoned (%s)",
	   strerror(-ret));
	ok(!strcmp(stage_at(offline_at), "poisoned"),
	   "a block with a page poisoned during its offline is in stage poisoned (%s)",
	   stage_at(offline_at));
	ok(read(pin.pipe[0], &word, sizeof(word)) == sizeof(word) && word == first,
	   "a pinned page can be read through its pipe after its block went offline poisoned");
	memory_unpin(&pin);
	ok(region_give_back(regions) == 0,
	   "the other blocks go offline after a page was poisoned during an offline");
	accounts_add_poisoned(standby, 1, 1);
	ok(accounts_same(standby),
	   "the system matches the standby baseline but for what a block poisoned while offlining keeps");
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

	snprintf(text, sizeof(text), "%#" PRIx64 " %#" PRIx64 " %#" PRIx64, start,
		 blocks * block_size, block_size);
	return write_file(text, PROVIDER "/add") == 0;
}

/* Start a slow offline of the first block while a page of it is in use. */
static pid_t offline_slowly(uint64_t start, struct memory *memory)
{
	pid_t offline;

	ok(region_online(regions, "1 online_movable") == 0 &&
	   memory_map(memory, PAGE, MAP_PRIVATE, 0),
	   "a block of the test provider's region comes online");
	memory_write(memory, 3);
	ok(memory_inside(memory, start, block_size) == (uint64_t)PAGE,
	   "a page of the test provider's block is in use");
	write_file("6000", PROVIDER "/offline_delay_ms");
	offline = meanwhile(offline_region);
	wait_until(sleeps_in(offline, "[twostage_test]"), 20);
	return offline;
}

static uint64_t hard_at;

static int hard_offline(void)
{
	return page_offline("hard", hard_at);
}

/* During an offline, soft offline is refused and hard offline is not. */
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

	ok(module_load("twostage_test", NULL) == 0 && add_slow(start, 2),
	   "the test provider adds a region");
	offline = offline_slowly(start, &memory);
	started = now();
	soft = page_offline("soft", last_page(start));
	advised = madvise(memory.words, PAGE, MADV_SOFT_OFFLINE) ? -errno : 0;
	started = now() - started;
	waiting = !waitpid(offline, &ret, WNOHANG);
	ok(waiting && started < 3,
	   "two soft offlines return within 3 s during a slow offline (%.1f s)", started);
	ok(soft == -EBUSY, "a write to soft_offline_page fails with EBUSY during an offline (%s)",
	   strerror(-soft));
	ok(advised == -EBUSY, "MADV_SOFT_OFFLINE fails with EBUSY during an offline (%s)",
	   strerror(-advised));
	check_corrupted(corrupted, "soft offlines were refused during an offline");
	write_file("0", PROVIDER "/offline_delay_ms");
	ret = later(offline);
	ok(ret == 0 && !strcmp(stage_at(start), "standby"),
	   "a refused soft offline keeps no page reference: the block goes offline to standby (%s)",
	   strerror(-ret));
	ok(memory_check(&memory) < 0,
	   "data is intact after an offline during which soft offlines were refused");
	memory_free(&memory);

	offline = offline_slowly(start, &memory);
	/* A free page, as poisoned_during() explains */
	hard_at = last_page(start);
	started = now();
	hard = meanwhile(hard_offline);
	/*
	 * memory_failure() itself waits for the end of an offline in the same
	 * zone after it has set the page's hwpoison flag.
	 */
	wait_until(page_is_broken(hard_at), 20);
	started = now() - started;
	waiting = !waitpid(offline, &ret, WNOHANG);
	ok(waiting && started < 3,
	   "hard offline sets a page's hwpoison flag within 3 s during a slow offline (%.1f s)",
	   started);
	write_file("0", PROVIDER "/offline_delay_ms");
	ret = later(offline);
	ok(ret == 0 && !strcmp(stage_at(start), "poisoned"),
	   "an offline during which hard offline poisons a page ends in stage poisoned (%s)",
	   strerror(-ret));
	/* EBUSY: the block is offline by now. */
	ret = later(hard);
	ok(ret == 0 || ret == -EBUSY, "hard offline during an offline returns 0 or EBUSY (%s)",
	   strerror(-ret));
	check_corrupted(corrupted + PAGE / 1024, "hard offline poisoned a page during an offline");
	ok(memory_check(&memory) < 0,
	   "other data is intact after hard offline poisoned a page during an offline");
	memory_free(&memory);

	ok(region_online(regions, "1 online_movable") == 0 && region_give_back(regions) == 0 &&
	   !strcmp(stage_at(start + block_size), "standby"),
	   "another block of a region with a poisoned block goes online and offline");
	ok(read_number(PROVIDER "/assigned") == (long long)block_size,
	   "only the poisoned block remains assigned (%lld bytes, expected %" PRIu64 ")",
	   read_number(PROVIDER "/assigned"),
	   block_size);
	ok(read_number(PROVIDER "/violations") == 0,
	   "no memory was assigned or unassigned twice beside a poisoned block");
	snprintf(name, sizeof(name), "region%d", regions);
	ret = write_file(name, PROVIDER "/remove");
	ok(ret == -EBUSY && exists(REGION, regions),
	   "the provider's removal of a region with a poisoned block fails with EBUSY (%s)",
	   strerror(-ret));
	ret = module_unload("twostage_test");
	ok(ret == -EWOULDBLOCK, "unload of a provider with a poisoned block fails with EAGAIN (%s)",
	   strerror(-ret));
	regions++;
}

/* twostage offline explains why a block is not standby afterwards. */
static void offline_by_command(void)
{
	const uint64_t start = next_start();

	if (!add_online(start, "memmap_on_memory=1"))
		return;
	ok(page_offline("hard", last_page(start)) == 0,
	   "a free page of an online block is poisoned");
	ok(run_command("twostage offline region%d --all >/tmp/output 2>&1 && "
		       "grep -q 'hint:.*hardware-poisoned' /tmp/output",
		       regions) == 0 && !strcmp(stage_at(start), "poisoned"),
	   "twostage offline explains why a poisoned block keeps its memory");
	run_command("sed 's/^/# /' /tmp/output >/dev/kmsg");
	regions++;
}

static void not_hibernated(void)
{
	if (!strstr(read_file("/sys/power/state"), "disk")) {
		skip("this kernel cannot hibernate",
		     "hibernation is refused while a block is poisoned");
		return;
	}
	refused("disk", EBUSY, "hibernation refused: it would lose the memmap of",
		"/sys/power/state");
}

static void of_virtio_mem(void)
{
	const char *device = virtio_device(VIRTIO_ID_MEM, 0);
	uint64_t start;

	if (!ok(module_load("twostage_virtio_mem", NULL) == 0 && exists(REGION, regions),
		"a virtio-mem device (%s) has a region", device))
		return;
	start = strtoull(read_file(REGION "/start", regions), NULL, 0);
	ok(region_online(regions, "2 online_movable") == 0 &&
	   page_offline("hard", last_page(start)) == 0,
	   "a page of a virtio-mem block is poisoned");
	ok(region_give_back(regions) == 0,
	   "two virtio-mem blocks go offline, one with a poisoned page");
	ok(!strcmp(stage_at(start), "poisoned"),
	   "a virtio-mem block with a poisoned page is in stage poisoned (%s)",
	   stage_at(start));
	ok(!strcmp(stage_at(start + block_size), "standby"),
	   "a virtio-mem block without a poisoned page is standby (%s)",
	   stage_at(start + block_size));
	ok(strtoull(read_file(REGION "/plugged", regions), NULL, 0) == block_size,
	   "plugged of a virtio-mem region is the size of its poisoned block (%s)",
	   read_file(REGION "/plugged", regions));
	regions++;
}

static void of_dimm(void)
{
	const int blocks = count_blocks();
	struct kmsg kmsg;
	uint64_t start;
	bool said;
	int ret;

	if (!architecture.dimms) {
		skip("this kernel has no driver for DIMMs", "a plugged DIMM is adopted as a region");
		return;
	}
	ok(write_file("1", BUS "/adopt") == 0, "adoption of DIMMs is switched on");
	dimm_plug("d1", 2 * block_size, 0);
	if (!ok(wait_for_blocks(blocks + 2) && exists(REGION, regions),
		"a plugged DIMM is adopted as a region"))
		return;
	start = strtoull(read_file(REGION "/start", regions), NULL, 0);
	ok(region_online(regions, "all online_movable") == 0 &&
	   page_offline("hard", last_page(start)) == 0,
	   "a page of an adopted DIMM is poisoned");
	kmsg = kmsg_mark();
	dimm_unplug("d1");
	said = kmsg_wait(&kmsg, "Offline failed", 60);
	hotplug_settles();
	ok(said, "the log says that offline failed when a DIMM with a poisoned page is unplugged");
	ok(exists(REGION, regions) && strstr(host_ask("info memory-devices"), "\"d1\""),
	   "a DIMM with a poisoned page is not ejected");
	ok(!strcmp(stage_at(start), "populated"),
	   "a DIMM's block with a poisoned page is populated after a refused unplug (%s)",
	   stage_at(start));
	kmsg_close(&kmsg);
	kmsg = kmsg_mark();
	ret = write_file("offline", MEMORY "/memory%d/state", block_at(start));
	ok(ret == -EBUSY, "offline of a DIMM's block with a poisoned page fails with EBUSY (%s)",
	   strerror(-ret));
	ok(kmsg_lines(&kmsg, "ejecting its DIMM would remove the memmap", NULL, 0) == 1,
	   "the log has one line why a DIMM's block with a poisoned page does not go offline");
	kmsg_close(&kmsg);
	regions++;
}

static void run(void)
{
	if (!exists(MEMORY "/hard_offline_page")) {
		skip("this kernel does not handle memory errors",
		     "blocks with hardware-poisoned pages go offline");
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
	   "unload of the module fails with EAGAIN while blocks are poisoned");
}

static void setup(void)
{
	virtio_bus();
	settle_zones();
}

GROUP(group_hwpoison) = {
	.name = "hwpoison", .title = "hardware-poisoned pages in blocks that go offline",
	.setup = setup, .run = run, .stays = true,
};
