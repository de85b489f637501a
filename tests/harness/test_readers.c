// SPDX-License-Identifier: GPL-2.0-only
/*
 * All who read physical memory and its memmap, while blocks go through all stages
 *
 * Each reader is a process that does nothing else, over all of a region's blocks, as long as another process
 * takes these through every stage: standby, populated in each zone, standby again.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define START (4 * GIB)
#define BLOCKS 8
#define PAGE 4096
#define SECONDS 3

static char buffer[1 << 20];

/* How much of a file can be read from an offset on, up to a size; 0 if it is not there or refuses */
static long read_at(const char *path, off_t offset, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length;
	long sum = 0;

	if (fd < 0)
		return 0;
	while (size && (length = pread(fd, buffer, size < sizeof(buffer) ? size : sizeof(buffer), offset)) > 0) {
		sum += length;
		offset += length;
		size -= length;
	}
	close(fd);
	return sum;
}

static long read_by_page(const char *path)
{
	return read_at(path, START / PAGE * 8, BLOCKS * block_size / PAGE * 8);
}

static long read_kpageflags(void)
{
	return read_by_page("/proc/kpageflags");
}

static long read_kpagecount(void)
{
	return read_by_page("/proc/kpagecount");
}

static long read_kpagecgroup(void)
{
	return read_by_page("/proc/kpagecgroup");
}

static long read_all_of(const char *path)
{
	return read_at(path, 0, 64 * MIB);
}

static long read_pagetypeinfo(void)
{
	return read_all_of("/proc/pagetypeinfo") + read_all_of("/proc/buddyinfo") + read_all_of("/proc/zoneinfo");
}

static long read_page_owner(void)
{
	/* The offset is a page's number, and a read gives one record: some of a block that starts anywhere. */
	off_t page = (START + rand() % BLOCKS * block_size) / PAGE;
	int fd = open("/sys/kernel/debug/page_owner", O_RDONLY | O_CLOEXEC), i;
	ssize_t length = 1;
	long sum = 0;

	if (fd < 0)
		return 0;
	for (i = 0; i < 100 && length > 0; i++) {
		length = pread(fd, buffer, sizeof(buffer), page + i);
		sum += length > 0 ? length : 0;
	}
	close(fd);
	return sum;
}

/* Every program header, as a debugger walks it: from its beginning, its end, and all over the region */
static long read_kcore(void)
{
	int fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
	uint64_t header[7], table, offset;
	long sum = 0;
	uint16_t number;
	int i;

	if (fd < 0 || pread(fd, &table, 8, 32) != 8 || pread(fd, &number, 2, 56) != 2)
		goto out;
	for (i = 0; i < number; i++) {
		uint64_t size, physical;

		if (pread(fd, header, sizeof(header), table + i * sizeof(header)) != sizeof(header))
			break;
		/* type and flags, offset, address, physical address, size in the file */
		offset = header[1];
		physical = header[3];
		size = header[4];
		if (!size)
			continue;
		sum += pread(fd, buffer, size < 65536 ? size : 65536, offset) > 0;
		if (size > PAGE)
			sum += pread(fd, buffer, PAGE, offset + size - PAGE) > 0;
		if (physical == UINT64_MAX || physical >= START + BLOCKS * block_size || physical + size <= START) {
			/* The others, those of the memmaps among them, here and there */
			for (int n = 0; n < 32; n++)
				sum += pread(fd, buffer, PAGE, offset + (((uint64_t)rand() << 20) + rand()) % size) > 0;
			continue;
		}
		for (uint64_t at = 0; at < size; at += PAGE * 16)
			sum += pread(fd, buffer, PAGE, offset + at) > 0;
	}
out:
	if (fd >= 0)
		close(fd);
	return sum;
}

/* As if the direct map of the region were there all the time: by headers from when it was */
static long read_kcore_blindly(void)
{
	return look_at(VIEW_KCORE, block_at(START) + rand() % BLOCKS);
}

static long read_sysfs(void)
{
	int block = block_at(START) + rand() % BLOCKS;

	return strlen(read_file(MEMORY "/memory%d/valid_zones", block)) + strlen(block_stage(block)) +
	       strlen(read_file(MEMORY "/memory%d/removable", block)) + strlen(block_state(block));
}

/* A process that has some of the memory, and is looked at in all ways that there are */
static long read_processes(void)
{
	struct memory memory;
	long sum = 0;

	if (!memory_fill(&memory, 16 * MIB, rand()))
		return 0;
	sum += read_all_of("/proc/self/smaps") + read_all_of("/proc/self/numa_maps");
	sum += memory_inside(&memory, START, BLOCKS * block_size) + 1;
	if (memory_check(&memory) >= 0) {
		diag("wrong data");
		_exit(1);
	}
	memory_free(&memory);
	return sum;
}

static long compact(void)
{
	/* An offline waits until whoever compacts has slept. */
	usleep(50000);
	return write_file("1", "/proc/sys/vm/compact_memory") == 0;
}

static const struct reader {
	const char *name;
	long (*read)(void);
	/* By which it is known that the kernel has it */
	const char *file;
} readers[] = {
	{ "kcore", read_kcore, "/proc/kcore" },
	{ "kcore at addresses from before", read_kcore_blindly, "/proc/kcore" },
	{ "kpageflags", read_kpageflags, "/proc/kpageflags" },
	{ "kpagecount", read_kpagecount, "/proc/kpagecount" },
	{ "kpagecgroup", read_kpagecgroup, "/proc/kpagecgroup" },
	{ "pagetypeinfo, buddyinfo, zoneinfo", read_pagetypeinfo, "/proc/pagetypeinfo" },
	{ "page_owner", read_page_owner, "/sys/kernel/debug/page_owner" },
	{ "pagemap, smaps, numa_maps", read_processes, "/proc/self/numa_maps" },
	{ "memory blocks in sysfs", read_sysfs, MEMORY "/block_size_bytes" },
	{ "compaction", compact, "/proc/sys/vm/compact_memory" },
};

/* Counted by all processes */
static struct counts {
	long read[ARRAY_SIZE(readers)], stages, busy, refused;
} *counts;

static void online(const char *what)
{
	int ret = region_online(0, what);

	if (ret) {
		diag("online \"%s\": %s", what, strerror(-ret));
		counts->refused++;
	} else {
		counts->stages++;
	}
}

/* A round of all blocks through all stages */
static void round_of_stages(int n, const char *type)
{
	static const char *const memmaps[] = { "1", "0" };
	char what[48];

	write_file(memmaps[n % 2], REGION "/memmap_on_memory", 0);
	/* Of the round before, some may have stayed. */
	snprintf(what, sizeof(what), "2 %s", type);
	if (blocks_online(0) <= BLOCKS - 2)
		online(what);
	if (blocks_online(0) < BLOCKS)
		online("all online_movable");
	/* A page that is looked at cannot be moved for the moment. */
	if (region_give_back(0))
		counts->busy++;
	else
		counts->stages++;
}

static void counts_begin(void)
{
	counts->stages = 0;
	counts->busy = 0;
	counts->refused = 0;
}

/* All blocks through all stages, with the reader beside it */
static void stages(double until)
{
	static const char *const types[] = { "online_movable", "online_kernel", "online" };
	int n;

	counts_begin();
	/* In the kernel's zones there, its notes of all that is allocated would keep the blocks. */
	for (n = 0; now() < until || n < 2; n++)
		round_of_stages(n, kernel_debugs() ? "online_movable" : types[n % 3]);
}

static void reader_beside_stages(int n)
{
	const struct reader *reader = &readers[n];
	double until = now() + SECONDS;
	struct accounts *standby;
	pid_t pid;
	int status;
	bool well;

	if (!exists("%s", reader->file)) {
		skip("this kernel has no such file", "%s is read while blocks go through all stages", reader->name);
		return;
	}
	standby = accounts_take();
	pid = fork();
	if (!pid) {
		srand(n + 1);
		for (;;)
			counts->read[n] += reader->read() > 0;
	}
	stages(until);
	well = waitpid(pid, &status, WNOHANG) == 0;
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	diag("%s: %ld times read, %ld changes of stage", reader->name, counts->read[n], counts->stages);
	ok(well && counts->read[n] > 0 && counts->stages >= 3 && !counts->busy && !counts->refused,
	   "%s: read while blocks go through all stages", reader->name);
	ok(region_give_back(0) == 0 && accounts_same(standby), "%s: afterwards every account is as after stage 1",
	   reader->name);
	accounts_free(standby);
}

static void all_at_once(void)
{
	pid_t readers_of[ARRAY_SIZE(readers)];
	struct accounts *standby = accounts_take();
	int status, i;
	bool well = true;

	for (i = 0; i < (int)ARRAY_SIZE(readers); i++) {
		counts->read[i] = 0;
		readers_of[i] = fork();
		if (!readers_of[i]) {
			srand(i + 100);
			for (;;)
				counts->read[i] += readers[i].read() > 0;
		}
	}
	stages(now() + 3 * SECONDS);
	for (i = 0; i < (int)ARRAY_SIZE(readers); i++) {
		well &= waitpid(readers_of[i], &status, WNOHANG) == 0;
		kill(readers_of[i], SIGKILL);
		waitpid(readers_of[i], &status, 0);
		if (exists("%s", readers[i].file) && !counts->read[i]) {
			diag("%s: nothing was read", readers[i].name);
			well = false;
		}
	}
	diag("%ld changes of stage, %ld that took too long", counts->stages, counts->busy);
	ok(well && counts->stages >= 3 && !counts->refused, "all of them at once");
	ok(region_give_back(0) == 0 && accounts_same(standby), "afterwards every account is as after stage 1");
	accounts_free(standby);
}

/* Zeroes are what there is to read of standby memory, and what was in it is not. */
static void nothing_of_standby(void)
{
	struct memory memory;
	long sum = 0;
	int i;

	ok(region_online(0, "all online_movable") == 0 && memory_fill(&memory, BLOCKS / 2 * block_size, 4), "memory is filled");
	for (i = 0; i < BLOCKS; i++)
		sum += kcore_words(START + i * block_size + block_size / 2, 512);
	ok(sum > 0, "kcore shows it (%ld words)", sum);
	memory_free(&memory);
	ok(region_give_back(0) == 0, "and standby again");
	sum = 0;
	for (i = 0; i < BLOCKS; i++)
		sum += kcore_words(START + i * block_size + block_size / 2, 512);
	ok(sum == 0, "kcore has nothing to show of standby memory (%ld words)", sum);
	sum = 0;
	for (i = 0; i < BLOCKS; i++)
		sum += read_at("/dev/mem", START + i * block_size, PAGE);
	/* What it shows are devices and the BIOS. */
	ok(sum == 0 && read_at("/dev/mem", 0xf0000, PAGE) == PAGE, "nor has /dev/mem");
}

static void run(void)
{
	int i;

	if (!load_twostage(NULL))
		return;
	/* See readers_trip_over_huge_pages() */
	if (readers_trip_over_huge_pages())
		write_file("never", "/sys/kernel/mm/transparent_hugepage/enabled");
	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ok(region_add(START, BLOCKS * block_size, NULL) == 0, "a region is added");
	for (i = 0; i < (int)ARRAY_SIZE(readers); i++)
		reader_beside_stages(i);
	all_at_once();
	nothing_of_standby();
	ok(region_remove(0) == 0, "the region is removed");
	munmap(counts, sizeof(*counts));
	unload_twostage();
}

/* All that is reserved: each block can be poisoned only once. */
#define POISONED_BLOCKS (2 * BLOCKS)

/* What the task that poisons pages has done, softly and hard; how often it was refused; in which blocks it did */
static struct poisoning {
	long soft, hard, refused;
	unsigned int blocks;
	/* The block whose pages it is to poison */
	int target;
	bool ready;
} *poisoning;

static void poison_pages(void)
{
	/* It must not have a page there itself. */
	poisoning->ready = mlockall(MCL_CURRENT) == 0;
	srand(200);
	for (;;) {
		const int block = poisoning->target;
		const bool hard = block % 2 == 0;
		/* Not one of the memmap's, which stays marked when the kernel refuses to poison it */
		const uint64_t memmap = block_size / 32;
		const uint64_t page = memmap + rand() % ((block_size - memmap) / PAGE) * PAGE;

		usleep(10000);
		if (page_offline(hard ? "hard" : "soft", START + block * block_size + page)) {
			poisoning->refused++;
			continue;
		}
		__atomic_fetch_or(&poisoning->blocks, 1u << block, __ATOMIC_SEQ_CST);
		if (hard)
			poisoning->hard++;
		else
			poisoning->soft++;
	}
}

static bool is_poisoned(int block)
{
	return !strcmp(block_stage(block_at(START) + block), "poisoned");
}

/* In the end: blocks with a page that was poisoned for certain, but that did not stay; and how many stayed */
static int blocks_lost(int *stayed)
{
	int lost = 0, i;

	*stayed = 0;
	for (i = 0; i < POISONED_BLOCKS; i++) {
		*stayed += is_poisoned(i);
		lost += !is_poisoned(i) && poisoning->blocks >> i & 1;
	}
	return lost;
}

/* One block after the other has its pages poisoned, at any moment on its way through all stages. */
static void run_poisoning(void)
{
	double until = now() + 5 * SECONDS, limit = now() + 120;
	long long corrupted = meminfo("HardwareCorrupted");
	struct accounts *standby;
	int status, n, lost, stayed;
	bool well;
	pid_t pid;

	if (!exists(MEMORY "/soft_offline_page")) {
		skip("this kernel has none", "hardware-poisoned pages");
		return;
	}
	if (!load_twostage(NULL))
		return;
	ok(region_add(START, POISONED_BLOCKS * block_size, NULL) == 0, "a region is added");
	standby = accounts_take();
	poisoning = mmap(NULL, sizeof(*poisoning), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid = fork();
	if (!pid)
		poison_pages();
	well = mlockall(MCL_CURRENT) == 0;
	for (n = 0; n < 100 && !poisoning->ready; n++)
		usleep(50000);
	well &= poisoning->ready;
	for (n = 0; well && poisoning->target < POISONED_BLOCKS &&
	     (now() < until || (now() < limit && !(poisoning->soft && poisoning->hard && poisoning->refused))); n++) {
		well &= region_online(0, "all online_movable") == 0;
		/* Soft offline is refused beside an online or offline. */
		usleep(100000);
		well &= region_give_back(0) == 0;
		if (!is_poisoned(poisoning->target))
			continue;
		if (poisoning->target + 1 == POISONED_BLOCKS)
			break;
		poisoning->target++;
	}
	well &= waitpid(pid, &status, WNOHANG) == 0;
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	munlockall();
	well &= region_give_back(0) == 0;
	diag("%ld pages softly, %ld hard, %ld times refused; %d rounds", poisoning->soft, poisoning->hard,
	     poisoning->refused, n);
	ok(well && poisoning->soft && poisoning->hard && poisoning->refused && n >= 2,
	   "pages are poisoned while blocks go through all stages");
	lost = blocks_lost(&stayed);
	ok(lost == 0 && stayed > 1 && read_number(REGION "/blocks_poisoned", 0) == stayed,
	   "every block with such a page is poisoned in the end (%d)", stayed);
	accounts_add_poisoned(standby, stayed, (meminfo("HardwareCorrupted") - corrupted) / 4);
	ok(accounts_same(standby), "every other account is what it was");
	accounts_free(standby);
	munmap(poisoning, sizeof(*poisoning));
}

GROUP(group_readers) = { .name = "readers", .title = "all who read memory and its memmap", .setup = settle_zones, .run = run };
GROUP(group_poisoning) = {
	.name = "poisoning", .title = "pages that are poisoned at any moment", .setup = settle_zones, .run = run_poisoning,
	.stays = true,
};
