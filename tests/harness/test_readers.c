// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads of physical memory and its memmap while blocks go through all stages
 *
 * Each reader is a process that reads all blocks of a region in a loop, while
 * another process takes these blocks through all stages: standby, populated in
 * each zone, standby again.
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

/*
 * Read a file from an offset, up to a size. Returns the bytes that were read; 0
 * if the file does not exist or cannot be read.
 */
static long read_at(const char *path, off_t offset, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length;
	long sum = 0;

	if (fd < 0)
		return 0;
	while (size &&
	       (length = pread(fd, buffer, size < sizeof(buffer) ? size : sizeof(buffer),
			       offset)) > 0) {
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
	/*
	 * The file offset is a PFN, and a read returns one record. The page is
	 * at the start of a random block.
	 */
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

/*
 * Read kcore as a debugger does: the start and the end of each segment, and in
 * segments of the region every 16th page
 */
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
		/*
		 * type and flags, offset, address, physical address, size in
		 * the file
		 */
		offset = header[1];
		physical = header[3];
		size = header[4];
		if (!size)
			continue;
		sum += pread(fd, buffer, size < 65536 ? size : 65536, offset) > 0;
		if (size > PAGE)
			sum += pread(fd, buffer, PAGE, offset + size - PAGE) > 0;
		if (physical == UINT64_MAX || physical >= START + BLOCKS * block_size ||
		    physical + size <= START) {
			/* Random pages of other segments, such as memmaps */
			for (int n = 0; n < 32; n++)
				sum += pread(fd, buffer, PAGE,
					     offset + (((uint64_t)rand() << 20) + rand()) % size) > 0;
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

/*
 * Read the region's direct map whether it exists or not, by headers read
 * before.
 */
static long read_kcore_outdated(void)
{
	return look_at(VIEW_KCORE, block_at(START) + rand() % BLOCKS);
}

static long read_sysfs(void)
{
	int block = block_at(START) + rand() % BLOCKS;

	return strlen(read_file(MEMORY "/memory%d/valid_zones",
				block)) + strlen(block_stage(block)) +
	       strlen(read_file(MEMORY "/memory%d/removable", block)) + strlen(block_state(block));
}

/* Use memory, and read all files that show a process's pages. */
static long read_processes(void)
{
	struct memory memory;
	long sum = 0;

	if (!memory_fill(&memory, 16 * MIB, rand()))
		return 0;
	sum += read_all_of("/proc/self/smaps") + read_all_of("/proc/self/numa_maps");
	sum += memory_inside(&memory, START, BLOCKS * block_size) + 1;
	if (memory_check(&memory) >= 0) {
		diag("data in memory of a reader differs from what was written");
		_exit(1);
	}
	memory_free(&memory);
	return sum;
}

static long compact(void)
{
	/* An offline waits until a task that compacts memory sleeps. */
	usleep(50000);
	return write_file("1", "/proc/sys/vm/compact_memory") == 0;
}

static const struct reader {
	const char *name;
	long (*read)(void);
	/* A file that exists if the kernel has this interface */
	const char *file;
} readers[] = {
	{ "kcore", read_kcore, "/proc/kcore" },
	{ "kcore by outdated headers", read_kcore_outdated, "/proc/kcore" },
	{ "kpageflags", read_kpageflags, "/proc/kpageflags" },
	{ "kpagecount", read_kpagecount, "/proc/kpagecount" },
	{ "kpagecgroup", read_kpagecgroup, "/proc/kpagecgroup" },
	{ "pagetypeinfo, buddyinfo, zoneinfo", read_pagetypeinfo, "/proc/pagetypeinfo" },
	{ "page_owner", read_page_owner, "/sys/kernel/debug/page_owner" },
	{ "pagemap, smaps, numa_maps", read_processes, "/proc/self/numa_maps" },
	{ "memory blocks in sysfs", read_sysfs, MEMORY "/block_size_bytes" },
	{ "compaction", compact, "/proc/sys/vm/compact_memory" },
};

/* Counters in memory that all processes share */
static struct counts {
	long read[ARRAY_SIZE(readers)], stages, busy, refused;
} *counts;

static void online(const char *what)
{
	int ret = region_online(0, what);

	if (ret) {
		diag("online \"%s\" failed: %s", what, strerror(-ret));
		counts->refused++;
	} else {
		counts->stages++;
	}
}

/* Take all blocks through all stages once. */
static void round_of_stages(int n, const char *type)
{
	static const char *const memmaps[] = { "1", "0" };
	char what[48];

	write_file(memmaps[n % 2], REGION "/memmap_on_memory", 0);
	/* Some blocks may have remained online in the round before. */
	snprintf(what, sizeof(what), "2 %s", type);
	if (blocks_online(0) <= BLOCKS - 2)
		online(what);
	if (blocks_online(0) < BLOCKS)
		online("all online_movable");
	/* A page that is being read cannot be migrated at that moment. */
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

/* Take all blocks through all stages, again and again, while readers run. */
static void stages(double until)
{
	static const char *const types[] = { "online_movable", "online_kernel", "online" };
	int n;

	counts_begin();
	/*
	 * On the debug kernel, allocations of KASAN would keep kernel-zone
	 * blocks online.
	 */
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
		skip("this kernel has no such file",
		     "%s is read while blocks go through all stages", reader->name);
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
	ok(well && counts->read[n] > 0, "%s is read while blocks go through all stages (%ld times)",
	   reader->name,
	   counts->read[n]);
	ok(counts->stages >= 3,
	   "blocks go through all stages while %s is read (%ld onlines and offlines, expected at least 3)",
	   reader->name, counts->stages);
	ok(!counts->busy, "offline of all blocks succeeds while %s is read (%ld failures)",
	   reader->name, counts->busy);
	ok(!counts->refused, "online of blocks succeeds while %s is read (%ld failures)",
	   reader->name, counts->refused);
	ok(region_give_back(0) == 0 && accounts_same(standby),
	   "the system matches the standby baseline after %s was read",
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
			diag("%s: no read succeeded", readers[i].name);
			well = false;
		}
	}
	diag("with all readers: %ld onlines and offlines, %ld offlines failed", counts->stages,
	     counts->busy);
	ok(well, "all readers run concurrently and read data while blocks go through all stages");
	ok(counts->stages >= 3,
	   "blocks go through all stages beside all readers (%ld onlines and offlines, expected at least 3)",
	   counts->stages);
	ok(!counts->refused, "online of blocks succeeds beside all readers (%ld failures)",
	   counts->refused);
	ok(region_give_back(0) == 0 && accounts_same(standby),
	   "the system matches the standby baseline after all readers ran concurrently");
	accounts_free(standby);
}

/* Reads of standby memory return zeroes, not its former contents. */
static void nothing_of_standby(void)
{
	struct memory memory;
	long sum = 0;
	int i;

	ok(region_online(0, "all online_movable") == 0 &&
	   memory_fill(&memory, BLOCKS / 2 * block_size, 4),
	   "half of the region's size is filled with data");
	for (i = 0; i < BLOCKS; i++)
		sum += kcore_words(START + i * block_size + block_size / 2, 512);
	ok(sum > 0, "kcore has data of populated blocks (%ld words)", sum);
	memory_free(&memory);
	ok(region_give_back(0) == 0, "all blocks are standby again");
	sum = 0;
	for (i = 0; i < BLOCKS; i++)
		sum += kcore_words(START + i * block_size + block_size / 2, 512);
	ok(sum == 0, "kcore has no data of standby blocks that were populated before (%ld words)",
	   sum);
	sum = 0;
	for (i = 0; i < BLOCKS; i++)
		sum += read_at("/dev/mem", START + i * block_size, PAGE);
	ok(sum == 0,
	   "/dev/mem cannot be read at standby blocks that were populated before (%ld bytes)", sum);
	ok(read_at("/dev/mem", 0xf0000, PAGE) == PAGE, "/dev/mem can be read at the BIOS");
}

static void run(void)
{
	int i;

	if (!load_twostage(NULL))
		return;
	/* See readers_trip_over_huge_pages() */
	if (readers_trip_over_huge_pages())
		write_file("never", "/sys/kernel/mm/transparent_hugepage/enabled");
	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	ok(region_add(START, BLOCKS * block_size, NULL) == 0, "a region is added");
	for (i = 0; i < (int)ARRAY_SIZE(readers); i++)
		reader_beside_stages(i);
	all_at_once();
	nothing_of_standby();
	ok(region_remove(0) == 0, "the region is removed");
	munmap(counts, sizeof(*counts));
	unload_twostage();
}

/* All of the reserved RAM, because each block can be poisoned only once */
#define POISONED_BLOCKS (2 * BLOCKS)

/*
 * Shared with the process that poisons pages: how many soft and hard offlines
 * succeeded and failed, and the blocks in which they succeeded
 */
static struct poisoning {
	long soft, hard, refused;
	unsigned int blocks;
	/* Block whose pages are to be poisoned */
	int target;
	bool ready;
} *poisoning;

static void poison_pages(void)
{
	/* Keep the pages of this process out of blocks that go offline. */
	poisoning->ready = mlockall(MCL_CURRENT) == 0;
	srand(200);
	for (;;) {
		const int block = poisoning->target;
		const bool hard = block % 2 == 0;
		/*
		 * No page of the memmap: when the kernel refuses to poison such
		 * a page, its hwpoison flag remains set.
		 */
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

/*
 * Blocks that contain a poisoned page but are not in stage poisoned; *stayed is
 * the number of blocks in stage poisoned
 */
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

/* Poison pages of one block after the other while they go through all stages. */
static void run_poisoning(void)
{
	double until = now() + 5 * SECONDS, limit = now() + 120;
	long long corrupted = meminfo("HardwareCorrupted");
	struct accounts *standby;
	int status, n, lost, stayed;
	bool well;
	pid_t pid;

	if (!exists(MEMORY "/soft_offline_page")) {
		skip("this kernel does not handle memory errors",
		     "pages are poisoned while blocks go through all stages");
		return;
	}
	if (!load_twostage(NULL))
		return;
	ok(region_add(START, POISONED_BLOCKS * block_size, NULL) == 0, "a region is added");
	standby = accounts_take();
	poisoning = mmap(NULL, sizeof(*poisoning), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid = fork();
	if (!pid)
		poison_pages();
	well = mlockall(MCL_CURRENT) == 0;
	well &= wait_until(poisoning->ready, 10);
	for (n = 0; well && poisoning->target < POISONED_BLOCKS &&
	     (now() < until ||
	      (now() < limit &&
	       !(poisoning->soft && poisoning->hard && poisoning->refused))); n++) {
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
	ok(well && n >= 2,
	   "blocks go through all stages while their pages are poisoned (%d rounds, expected at least 2)", n);
	ok(poisoning->soft, "soft offline poisons pages while blocks go through all stages (%ld)",
	   poisoning->soft);
	ok(poisoning->hard, "hard offline poisons pages while blocks go through all stages (%ld)",
	   poisoning->hard);
	ok(poisoning->refused,
	   "soft or hard offline of pages is refused in some stages (%ld times)",
	   poisoning->refused);
	lost = blocks_lost(&stayed);
	ok(lost == 0, "no block with a hardware-poisoned page goes back to standby (%d do)", lost);
	ok(stayed > 1, "more than one block is in stage poisoned in the end (%d)", stayed);
	ok(read_number(REGION "/blocks_poisoned", 0) == stayed,
	   "blocks_poisoned counts blocks in stage poisoned (%lld, expected %d)",
	   read_number(REGION "/blocks_poisoned", 0), stayed);
	accounts_add_poisoned(standby, stayed, (meminfo("HardwareCorrupted") - corrupted) / 4);
	ok(accounts_same(standby),
	   "the system matches the standby baseline but for what poisoned blocks keep");
	accounts_free(standby);
	munmap(poisoning, sizeof(*poisoning));
}

GROUP(group_readers) = {
	.name = "readers", .title = "reads of memory and its memmap while blocks change stages",
	.setup = settle_zones, .run = run,
};
GROUP(group_poisoning) = {
	.name = "poisoning", .title = "pages that are poisoned while blocks change stages",
	.setup = settle_zones, .run = run_poisoning, .stays = true,
};
