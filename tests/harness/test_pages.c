// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages of each kind in blocks that go offline
 *
 * Movable pages are migrated with their data. A page that cannot be migrated
 * keeps its block online, and the block remains usable.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define START (4 * GIB)
#define BLOCKS 4
#define PAGE 4096
#define SIZE (48 * MIB)
#define KSM "/sys/kernel/mm/ksm"
#define OPTIMIZE "/proc/sys/vm/hugetlb_optimize_vmemmap"
#define HUGE_ON "/sys/devices/system/node/node%d/hugepages/hugepages-%dkB/nr_hugepages"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
/* KPF_* of linux/kernel-page-flags.h */
#define FLAG_OFFLINE 23

static uint64_t region_bytes(void)
{
	return BLOCKS * block_size;
}

static bool in_region(const struct memory *memory)
{
	uint64_t inside = memory_inside(memory, START, region_bytes());

	diag("%" PRIu64 " of %zu MiB of the test's memory are in the region",
	     (uint64_t)(inside / MIB),
	     memory->size / (size_t)MIB);
	return inside > memory->size / 2;
}

static bool add_online(const char *memmap)
{
	return ok(region_add(START, region_bytes(), memmap) == 0 &&
		  region_online(0, "all online_movable") == 0,
		  "a region is added and comes online in ZONE_MOVABLE (%s)", memmap);
}

/* All blocks go offline while the memory is in use, and come online again. */
static void moved(const char *kind, const struct memory *memory)
{
	double started = now();
	int ret = region_give_back(0);
	uint64_t inside;

	ok(ret == 0, "%s: all blocks go offline while in use (%s, %.1f s)", kind,
	   strerror(-ret), now() - started);
	ok(memory_check(memory) < 0, "%s: data is intact after offline", kind);
	inside = memory_inside(memory, START, region_bytes());
	ok(inside == 0, "%s: no page is in the region after offline (%" PRIu64 " bytes)", kind,
	   inside);
	ok(region_online(0, "all online_movable") == 0, "%s: all blocks come online again", kind);
	ok(memory_check(memory) < 0, "%s: data is intact after blocks came online again", kind);
}

static void anonymous(const char *kind, int flags, int advice, bool lock)
{
	struct memory memory;

	if (!ok(memory_map(&memory, SIZE, flags, advice), "%s: 48 MiB are mapped", kind))
		return;
	memory_write(&memory, 1);
	ok((!lock || !mlock(memory.words, memory.size)) && in_region(&memory),
	   "%s: most of the mapped memory is in the region", kind);
	if (advice == MADV_HUGEPAGE)
		ok(meminfo("AnonHugePages") >= (long long)(SIZE / 2 / 1024),
		   "%s: at least half of the mapped memory is in huge pages (%lld KiB)", kind,
		   meminfo("AnonHugePages"));
	moved(kind, &memory);
	memory_free(&memory);
}

/* All pages have the same contents: KSM merges them into one page. */
static void merged(void)
{
	struct memory memory;
	bool right = true;
	size_t i;

	if (!exists(KSM "/run")) {
		skip("this kernel has no KSM", "pages merged by KSM: all blocks go offline");
		return;
	}
	if (!ok(memory_map(&memory, 16 * MIB, MAP_PRIVATE, MADV_MERGEABLE),
		"pages merged by KSM: 16 MiB are mapped"))
		return;
	memset(memory.words, 0x5a, memory.size);
	ok(in_region(&memory), "pages merged by KSM: most of the mapped memory is in the region");
	write_file("10000", KSM "/pages_to_scan");
	write_file("1", KSM "/sleep_millisecs");
	write_file("1", KSM "/run");
	ok(wait_until(read_number(KSM "/pages_sharing") >= 3000, 30),
	   "pages merged by KSM: at least 3000 of 4096 pages are merged (%lld)",
	   read_number(KSM "/pages_sharing"));
	ok(region_give_back(0) == 0, "pages merged by KSM: all blocks go offline");
	for (i = 0; i < memory.size / 8; i++)
		right &= memory.words[i] == UINT64_C(0x5a5a5a5a5a5a5a5a);
	ok(right, "pages merged by KSM: data is intact after offline");
	ok(memory_inside(&memory, START, region_bytes()) == 0,
	   "pages merged by KSM: no page is in the region after offline");
	write_file("2", KSM "/run");
	write_file("0", KSM "/run");
	memory_free(&memory);
	ok(region_online(0, "all online_movable") == 0,
	   "pages merged by KSM: all blocks come online again");
}

static void swapped(void)
{
	struct memory memory;
	long long free;
	pid_t pid;
	int status;

	if (module_load_system("zram", NULL)) {
		skip("this kernel has no zram",
		     "swapped pages: all blocks go offline while in use");
		return;
	}
	ok(wait_until(exists("/sys/block/zram0/disksize"), 10) &&
	   write_file("512M", "/sys/block/zram0/disksize") == 0 &&
	   run_command("mkswap /dev/zram0 >/dev/null") == 0 &&
	   swapon("/dev/zram0", 0) == 0, "swapped pages: a swap device on zram is set up");
	if (!ok(memory_map(&memory, SIZE, MAP_PRIVATE, 0), "swapped pages: 48 MiB are mapped"))
		return;
	memory_write(&memory, 3);
	ok(in_region(&memory), "swapped pages: most of the mapped memory is in the region");
	free = meminfo("SwapFree");
	madvise(memory.words, memory.size / 2, MADV_PAGEOUT);
	free -= meminfo("SwapFree");
	ok(free > (long long)(SIZE / 4 / 1024),
	   "swapped pages: more than a quarter of the memory is swapped out (%lld KiB)",
	   free);
	/* A child swaps the memory in and out while blocks go offline. */
	pid = fork();
	if (!pid) {
		for (status = 0; status < 6; status++) {
			if (memory_check(&memory) >= 0)
				_exit(1);
			madvise(memory.words, memory.size, MADV_PAGEOUT);
		}
		_exit(0);
	}
	moved("swapped pages", &memory);
	ok(waitpid(pid, &status, 0) == pid && status == 0,
	   "swapped pages: data is intact in a process that swaps it in and out during the offline");
	memory_free(&memory);
	ok(swapoff("/dev/zram0") == 0 && write_file("1", "/sys/block/zram0/reset") == 0 &&
	   module_unload("zram") == 0,
	   "swapped pages: the swap device is removed");
}

/*
 * optimize: with hugetlb_optimize_vmemmap, which frees redundant pages of
 * memmap
 */
static void huge_pages(const char *memmap, bool optimize)
{
	const int count = SIZE / (2 * MIB);
	char kind[96], number[16];
	struct memory memory;
	long long before = 0, lost;
	int n;

	snprintf(kind, sizeof(kind), "huge pages%s, %s",
		 optimize ? " with an optimised memmap" : "", memmap);
	if (optimize && !kernel_before(6, 12) && kernel_before(6, 13)) {
		skip("6.12.117 reports bad pages when these are freed, without the module too",
		     "%s: all blocks go offline while in use", kind);
		return;
	}
	if (optimize && write_file("1", OPTIMIZE)) {
		skip("this kernel has no hugetlb_optimize_vmemmap",
		     "%s: all blocks go offline while in use",
		     kind);
		return;
	}
	if (!add_online(memmap))
		return;
	snprintf(number, sizeof(number), "%d", count);
	for (n = 0; n < 6; n++) {
		bool well;

		write_file(number, HUGE_ON, 0, 2048);
		well = memory_map(&memory, SIZE, MAP_PRIVATE | MAP_HUGETLB, 0);
		if (well)
			memory_write(&memory, n);
		if (!n)
			ok(well && in_region(&memory),
			   "%s: most of the mapped memory is in the region", kind);
		if (!n && well)
			moved(kind, &memory);
		if (well)
			memory_free(&memory);
		/* Offline must migrate free huge pages of the pool as well. */
		if (region_give_back(0) || region_online(0, "all online_movable"))
			ok(false, "%s: blocks with free huge pages go offline and online", kind);
		write_file("0", HUGE_ON, 0, 2048);
		if (!n) {
			usleep(500000);
			before = meminfo("MemFree");
		}
	}
	usleep(500000);
	lost = before - meminfo("MemFree");
	ok(meminfo("HugePages_Total") == 0, "%s: all huge pages are freed (%lld left)", kind,
	   meminfo("HugePages_Total"));
	ok(lost < 3000,
	   "%s: five more rounds leak no memory (MemFree is less by %lld KiB, expected below 3000)",
	   kind, lost);
	ok(region_give_back(0) == 0 && region_remove(0) == 0,
	   "%s: the region goes offline and is removed", kind);
	if (optimize)
		write_file("0", OPTIMIZE);
}

/*
 * A gigantic page needs one contiguous GiB: the first of the region's two. With
 * memmap_on_memory=1 each block has its memmap in it, and there is none.
 *
 * The region is on a node without other memory, and its blocks come online in
 * an order that keeps kernel allocations out of the first GiB: what the kernel
 * allocates when the node gets its first memory is in the last block, and
 * memmaps in ordinary memory and all else are in the first kernel-zone block,
 * which is in the second GiB.
 */
static void gigantic_pages(const char *memmap, int wanted)
{
	const int blocks = 2 * GIB / block_size;
	long long pages, free;
	char options[64], kind[96], what[32];

	snprintf(kind, sizeof(kind), "gigantic pages, %s", memmap);
	if (kernel_debugs()) {
		skip("KASAN has its shadow of the node's blocks in them",
		     "%s: a gigantic page can be allocated", kind);
		return;
	}
	snprintf(options, sizeof(options), "%s node=1", memmap);
	snprintf(what, sizeof(what), "%d online_kernel", blocks - 2);
	if (!ok(region_add(START, 2 * GIB, options) == 0 &&
		write_file("online_movable", MEMORY "/memory%d/state",
			   block_at(START) + blocks - 1) == 0 &&
		write_file("online_kernel", MEMORY "/memory%d/state",
			   block_at(START) + blocks / 2) == 0 &&
		region_online(0, what) == 0, "%s: a region of 2 GiB is online on node 1", kind))
		return;
	if (!exists(HUGE_ON, 1, 1048576)) {
		skip("this machine has no gigantic pages", "%s: a gigantic page can be allocated",
		     kind);
	} else {
		free = meminfo("MemFree");
		write_file("1", HUGE_ON, 1, 1048576);
		pages = read_number(HUGE_ON, 1, 1048576);
		free -= meminfo("MemFree");
		diag("%lld gigantic pages are allocated, MemFree is less by %lld KiB", pages, free);
		ok(pages == wanted, "%s: %d gigantic pages can be allocated on node 1 (%lld)", kind,
		   wanted, pages);
		if (pages) {
			struct memory memory;
			/* log2(GIB) */
			bool well = memory_map(&memory, GIB,
					       MAP_PRIVATE | MAP_HUGETLB | 30 << MAP_HUGE_SHIFT, 0);

			if (well)
				memory_write(&memory, 8);
			ok(well && memory_inside(&memory, START, 2 * GIB) == GIB,
			   "%s: the gigantic page is in the region", kind);
			ok(well && memory_check(&memory) < 0,
			   "%s: data in the gigantic page reads back correctly", kind);
			if (well)
				memory_free(&memory);
		}
		write_file("0", HUGE_ON, 1, 1048576);
		ok(read_number(HUGE_ON, 1, 1048576) == 0, "%s: gigantic pages are freed", kind);
	}
	/* The block with the memmaps of the others must go offline last. */
	for (int i = 0; i < blocks; i++)
		if (i != blocks / 2)
			write_file("offline", MEMORY "/memory%d/state", block_at(START) + i);
	ok(region_give_back(0) == 0 && region_remove(0) == 0,
	   "%s: the region goes offline and is removed", kind);
}

static void on_alarm(int signal)
{
	(void)signal;
}

/* Set all blocks offline, interrupted by a signal after so many seconds. */
static int offline_for(unsigned int seconds)
{
	struct sigaction action = { .sa_handler = on_alarm };
	int ret;

	sigaction(SIGALRM, &action, NULL);
	alarm(seconds);
	ret = region_offline(0, "all");
	alarm(0);
	return ret;
}

static void unmovable(void)
{
	struct accounts *before = accounts_take(), *standby;
	struct memory memory;
	double started;
	struct pin pin;
	pid_t pid;
	char most[32];
	int ret;

	/* Page tables are allocated from kernel zones only. */
	snprintf(most, sizeof(most), "%d online_movable", BLOCKS - 1);
	ok(region_add(START, region_bytes(), "node=1") == 0,
	   "a region is added on node 1, which has no other memory");
	standby = accounts_take();
	ok(region_online(0, most) == 0 && region_online(0, "all online_kernel") == 0,
	   "all blocks come online, the last one in a kernel zone");
	pid = memory_page_tables(1);
	started = now();
	ret = offline_for(30);
	started = now() - started;
	ok(ret == -EBUSY && started < 20,
	   "offline of a block with page tables fails with EBUSY within 20 s (%s, %.1f s)",
	   strerror(-ret), started);
	ok(blocks_online(0) > 0, "a block with page tables remains online (%d blocks)",
	   blocks_online(0));
	ret = region_remove(0);
	ok(ret == -EBUSY, "removal of a region whose offline was refused fails with EBUSY (%s)",
	   strerror(-ret));
	region_online(0, "all online_movable");
	ok(blocks_online(0) == BLOCKS,
	   "all blocks are online again after a refused offline (%d, expected %d)",
	   blocks_online(0), BLOCKS);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ok(region_give_back(0) == 0, "all blocks go offline once the page tables are freed");
	ok(accounts_same(standby),
	   "the system matches the standby baseline after a block with page tables went offline");
	accounts_free(standby);
	ok(region_remove(0) == 0, "the region is removed once its blocks are offline");

	/*
	 * The kernel cannot know how long a page remains pinned, so an offline
	 * retries until it is interrupted by a signal.
	 */
	if (!add_online("memmap_on_memory=1") ||
	    !memory_map(&memory, SIZE, MAP_PRIVATE, MADV_NOHUGEPAGE))
		return;
	memory_write(&memory, 5);
	ok(in_region(&memory) && memory_pin(&memory, &pin, START, region_bytes()),
	   "a page of a block in ZONE_MOVABLE is pinned by a pipe");
	started = now();
	ret = offline_for(4);
	started = now() - started;
	ok(ret == -EINTR && started < 15,
	   "offline of a block with a pinned page is interrupted by a signal (%s, %.1f s)",
	   strerror(-ret), started);
	ok(blocks_online(0) > 0, "a block with a pinned page remains online (%d blocks)",
	   blocks_online(0));
	ok(memory_check(&memory) < 0, "data is intact after the offline was interrupted");
	ok(region_online(0, "all online_movable") == 0 && blocks_online(0) == BLOCKS,
	   "all blocks come online again after the offline was interrupted");
	ok(memory_check(&memory) < 0,
	   "data is intact after blocks came online beside the pinned page");
	memory_unpin(&pin);
	moved("pages that were pinned before", &memory);

	/* FOLL_LONGTERM pins migrate pages out of ZONE_MOVABLE first. */
	struct io_uring_params parameters = { 0 };
	struct iovec all = { memory.words, 4 * MIB };
	int ring = syscall(SYS_io_uring_setup, 4, &parameters);

	if (ring < 0) {
		skip("this kernel has no io_uring",
		     "all blocks go offline while pages are registered as io_uring buffers");
	} else {
		memory_write(&memory, 6);
		ret = syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &all, 1);
		ok(ret == 0, "4 MiB of pages are registered as io_uring buffers (%s)",
		   ret ? strerror(errno) : "");
		ret = offline_for(30);
		ok(ret == 0,
		   "all blocks go offline while pages are registered as io_uring buffers (%s)",
		   strerror(-ret));
		ok(memory_check(&memory) < 0, "data is intact after offline with io_uring buffers");
		close(ring);
	}
	memory_free(&memory);
	ok(region_give_back(0) == 0 && region_remove(0) == 0,
	   "the region goes offline and is removed after unmovable pages");
	ok(accounts_same(before), "the system matches the baseline after unmovable pages");
	accounts_free(before);
}

/* Pages of the region with a flag of /proc/kpageflags */
static long pages_with(int flag)
{
	const size_t count = region_bytes() / PAGE;
	uint64_t *flags = malloc(count * 8);
	int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	ssize_t length = pread(fd, flags, count * 8, START / PAGE * 8);
	long with = 0;

	for (ssize_t i = 0; i < length / 8; i++)
		with += flags[i] >> flag & 1;
	close(fd);
	free(flags);
	return with;
}

/*
 * Set the size that the balloon leaves to the guest, in MiB; false on a
 * timeout.
 */
static bool balloon(int size)
{
	char text[32];

	host("balloon %d", size);
	snprintf(text, sizeof(text), "actual=%d", size);
	return wait_until(strstr(host_ask("info balloon"), text), 60);
}

static long long resident_mib(void)
{
	return strtoll(host_ask("rss"), NULL, 10) / 1024;
}

static void ballooned(void)
{
	long long full, reported = 0;
	struct memory memory;
	long pages;
	int tries;

	if (!exists("/sys/bus/virtio/drivers/virtio_balloon")) {
		skip("this kernel has no virtio balloon",
		     "balloon: all blocks go offline with ballooned pages in them");
		return;
	}
	if (!add_online("memmap_on_memory=1"))
		return;
	ok(balloon(6144 - 256), "balloon: it inflates by 256 MiB");
	pages = pages_with(FLAG_OFFLINE);
	ok(pages > 10000, "balloon: more than 10000 ballooned pages are in the region (%ld)",
	   pages);
	ok(region_give_back(0) == 0, "balloon: all blocks go offline with ballooned pages in them");
	ok(region_online(0, "all online_movable") == 0,
	   "balloon: all blocks come online beside the inflated balloon");
	ok(balloon(6144), "balloon: it deflates after blocks with its pages went offline");

	ok(memory_fill(&memory, 256 * MIB, 9) && in_region(&memory),
	   "reporting: most of 256 MiB of used memory is in the region");
	full = resident_mib();
	memory_free(&memory);
	if (!kernel_debugs())
		wait_until((reported = full - resident_mib()) > 100, 30);
	if (kernel_debugs())
		skip("a kernel that poisons free pages does not report them",
		     "reporting: free pages are reported to the host");
	else
		ok(reported > 100,
		   "reporting: free pages are reported to the host (%lld MiB freed there, expected more than 100)",
		   reported);
	for (tries = 0; tries < 3; tries++) {
		if (region_give_back(0) || region_online(0, "all online_movable"))
			break;
		sleep(1);
	}
	ok(tries == 3, "reporting: all blocks go offline and online three times (%d)", tries);
	ok(tries == 3 && memory_fill(&memory, 256 * MIB, 10) && memory_check(&memory) < 0,
	   "reporting: data reads back correctly after blocks went offline and online");
	memory_free(&memory);
	ok(region_give_back(0) == 0 && region_remove(0) == 0,
	   "balloon: the region goes offline and is removed");
}

/* Load drivers before the baseline is taken, because they stay loaded. */
static void setup(void)
{
	write_file("offline", MEMORY "/auto_online_blocks");
	virtio_bus();
	module_load_system("virtio_balloon", NULL);
	settle_zones();
}

static void run(void)
{
	static const char *const memmaps[] = { "memmap_on_memory=1", "memmap_on_memory=0" };
	size_t i;

	if (!load_twostage(NULL))
		return;
	for (i = 0; i < ARRAY_SIZE(memmaps); i++) {
		if (!add_online(memmaps[i]))
			return;
		anonymous("small pages", MAP_PRIVATE, MADV_NOHUGEPAGE, false);
		anonymous("transparent huge pages", MAP_PRIVATE, MADV_HUGEPAGE, false);
		anonymous("shared memory", MAP_SHARED, 0, false);
		anonymous("locked pages", MAP_PRIVATE, 0, true);
		merged();
		swapped();
		ok(region_give_back(0) == 0 && region_remove(0) == 0,
		   "the region goes offline and is removed after pages of each kind (%s)",
		   memmaps[i]);
	}
	for (i = 0; i < ARRAY_SIZE(memmaps); i++)
		huge_pages(memmaps[i], false);
	gigantic_pages("memmap_on_memory=0", 1);
	gigantic_pages("memmap_on_memory=1", 0);
	unmovable();
	ballooned();
	unload_twostage();
}

GROUP(group_pages) = {
	.name = "pages", .title = "pages of each kind in blocks that go offline", .setup = setup,
	.run = run,
};

static void run_optimised(void)
{
	if (!load_twostage(NULL))
		return;
	huge_pages("memmap_on_memory=1", true);
	huge_pages("memmap_on_memory=0", true);
	unload_twostage();
}

/*
 * The group does not check its baseline: the kernel adds boot memmap that
 * hugetlb_optimize_vmemmap frees to MemTotal, and does not subtract it later.
 */
GROUP(group_optimised) = {
	.name = "optimised", .title = "huge pages with an optimised memmap", .run = run_optimised,
	.stays = true,
};

/*
 * The CMA area of gigantic pages (hugetlb_cma=), whose free memory the kernel
 * uses for movable pages. Allocating a gigantic page migrates all of them out.
 */
static void run_contiguous(void)
{
	const size_t size = 256 * MIB;
	struct memory memory;
	long long free;

	if (!meminfo("CmaTotal")) {
		skip("this kernel has no CMA area",
		     "all blocks go offline with a CMA area as target");
		return;
	}
	if (!load_twostage(NULL) || !add_online("memmap_on_memory=1") ||
	    !ok(memory_map(&memory, size, MAP_PRIVATE, MADV_NOHUGEPAGE), "256 MiB are mapped"))
		return;
	memory_write(&memory, 21);
	ok(in_region(&memory), "most of the mapped memory is in the region");
	free = meminfo("CmaFree");
	ok(region_give_back(0) == 0, "all blocks go offline with a CMA area as target");
	ok(memory_check(&memory) < 0, "data is intact after offline with a CMA area as target");
	free -= meminfo("CmaFree");
	ok(free > 16 * 1024,
	   "offline migrates pages into the CMA area (%lld MiB, expected more than 16)",
	   free / 1024);

	ok(region_online(0, "all online_movable") == 0, "all blocks come online again");
	write_file("1", HUGE_ON, 0, 1048576);
	ok(read_number(HUGE_ON, 0, 1048576) == 1, "a gigantic page is allocated from the CMA area");
	ok(memory_check(&memory) < 0,
	   "data that was in the CMA area is intact after it was migrated out");
	diag("%" PRIu64 " of 256 MiB are in the region after a gigantic page was allocated",
	     (uint64_t)(memory_inside(&memory, START, region_bytes()) / MIB));
	ok(region_give_back(0) == 0,
	   "all blocks go offline beside a gigantic page in the CMA area");
	ok(memory_check(&memory) < 0,
	   "data is intact after offline beside a gigantic page in the CMA area");
	free = meminfo("CmaFree");
	write_file("0", HUGE_ON, 0, 1048576);
	free = meminfo("CmaFree") - free;
	ok(read_number(HUGE_ON, 0, 1048576) == 0 && free > 512 * 1024,
	   "the gigantic page is freed into the CMA area (%lld MiB, expected more than 512)",
	   free / 1024);
	memory_free(&memory);
	ok(region_remove(0) == 0, "the region is removed once its blocks are offline");
	unload_twostage();
}

GROUP(group_contiguous) = {
	.name = "contiguous", .title = "data moves into and out of a CMA area",
	.run = run_contiguous,
};
