// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages of every kind in blocks that go offline
 *
 * Those that can be moved are, with what is in them; those that cannot keep their block online, whole, for as
 * long as they are there.
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

	diag("%" PRIu64 " of %zu MiB are in the region", (uint64_t)(inside / MIB), memory->size / (size_t)MIB);
	return inside > memory->size / 2;
}

static bool add_online(const char *memmap)
{
	return ok(region_add(START, region_bytes(), memmap) == 0 && region_online(0, "all online_movable") == 0,
		  "a region is online in the movable zone (%s)", memmap);
}

/* On the way down, in use: all of it goes offline, and the data is right. Then it may come up again. */
static void moved(const char *kind, const struct memory *memory)
{
	double started = now();
	int ret = region_give_back(0);

	ok(ret == 0 && memory_check(memory) < 0, "%s: blocks go offline, and the data has moved unharmed (%.1f s)", kind,
	   now() - started);
	ok(memory_inside(memory, START, region_bytes()) == 0 && region_online(0, "all online_movable") == 0 &&
	   memory_check(memory) < 0, "%s: nothing of it is there any more, and they come online again", kind);
}

static void anonymous(const char *kind, int flags, int advice, bool lock)
{
	struct memory memory;

	if (!ok(memory_map(&memory, SIZE, flags, advice), "%s: there is memory", kind))
		return;
	memory_write(&memory, 1);
	ok((!lock || !mlock(memory.words, memory.size)) && in_region(&memory), "%s: it is in the region", kind);
	if (advice == MADV_HUGEPAGE)
		ok(meminfo("AnonHugePages") >= (long long)(SIZE / 2 / 1024), "%s: most of it is huge", kind);
	moved(kind, &memory);
	memory_free(&memory);
}

/* Every page the same: the kernel makes one of them, where it finds one. */
static void merged(void)
{
	struct memory memory;
	bool right = true;
	size_t i;
	int tries;

	if (!exists(KSM "/run")) {
		skip("this kernel has none", "merged pages");
		return;
	}
	if (!ok(memory_map(&memory, 16 * MIB, MAP_PRIVATE, MADV_MERGEABLE), "merged pages: there is memory"))
		return;
	memset(memory.words, 0x5a, memory.size);
	ok(in_region(&memory), "merged pages: it is in the region");
	write_file("10000", KSM "/pages_to_scan");
	write_file("1", KSM "/sleep_millisecs");
	write_file("1", KSM "/run");
	for (tries = 0; tries < 150 && read_number(KSM "/pages_sharing") < 3000; tries++)
		usleep(100000);
	ok(read_number(KSM "/pages_sharing") >= 3000, "merged pages: most of it is one page (%lld share)",
	   read_number(KSM "/pages_sharing"));
	ok(region_give_back(0) == 0, "merged pages: blocks go offline under them");
	for (i = 0; i < memory.size / 8; i++)
		right &= memory.words[i] == UINT64_C(0x5a5a5a5a5a5a5a5a);
	ok(right && memory_inside(&memory, START, region_bytes()) == 0, "merged pages: and the data has moved unharmed");
	write_file("2", KSM "/run");
	write_file("0", KSM "/run");
	memory_free(&memory);
	ok(region_online(0, "all online_movable") == 0, "merged pages: they come online again");
}

static void swapped(void)
{
	struct memory memory;
	long long free;
	pid_t pid;
	int status;

	if (module_load_system("zram", NULL)) {
		skip("this kernel has no zram", "pages that are swapped out");
		return;
	}
	usleep(300000);
	ok(write_file("512M", "/sys/block/zram0/disksize") == 0 && run_command("mkswap /dev/zram0 >/dev/null") == 0 &&
	   swapon("/dev/zram0", 0) == 0, "swapped out: there is swap space");
	if (!ok(memory_map(&memory, SIZE, MAP_PRIVATE, 0), "swapped out: there is memory"))
		return;
	memory_write(&memory, 3);
	ok(in_region(&memory), "swapped out: it is in the region");
	free = meminfo("SwapFree");
	madvise(memory.words, memory.size / 2, MADV_PAGEOUT);
	free -= meminfo("SwapFree");
	ok(free > (long long)(SIZE / 4 / 1024), "swapped out: %lld KiB of it are", free);
	/* Somebody takes it back in, and out again, while blocks go offline. */
	pid = fork();
	if (!pid) {
		for (status = 0; status < 6; status++) {
			if (memory_check(&memory) >= 0)
				_exit(1);
			madvise(memory.words, memory.size, MADV_PAGEOUT);
		}
		_exit(0);
	}
	moved("swapped out", &memory);
	ok(waitpid(pid, &status, 0) == pid && status == 0, "swapped out: nor did the one lose any who swapped meanwhile");
	memory_free(&memory);
	ok(swapoff("/dev/zram0") == 0 && write_file("1", "/sys/block/zram0/reset") == 0 && module_unload("zram") == 0,
	   "swapped out: the swap space goes");
}

/* optimize: without that part of their memmap which says nothing that the rest does not */
static void huge_pages(const char *memmap, bool optimize)
{
	const int count = SIZE / (2 * MIB);
	char kind[96], number[16];
	struct memory memory;
	long long before = 0, lost;
	int n;

	snprintf(kind, sizeof(kind), "huge pages%s, %s", optimize ? " with an optimised memmap" : "", memmap);
	if (optimize && !kernel_before(6, 12) && kernel_before(6, 13)) {
		skip("of these kernels one, 6.12.117, reports bad pages when such are freed, without any module", "%s", kind);
		return;
	}
	if (optimize && write_file("1", OPTIMIZE)) {
		skip("this kernel has none", "%s", kind);
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
			ok(well && in_region(&memory), "%s: they are in the region", kind);
		if (!n && well)
			moved(kind, &memory);
		if (well)
			memory_free(&memory);
		/* Free ones, too, are in the way of an offline. */
		if (region_give_back(0) || region_online(0, "all online_movable"))
			ok(false, "%s: blocks with free ones go offline and online", kind);
		write_file("0", HUGE_ON, 0, 2048);
		if (!n) {
			usleep(500000);
			before = meminfo("MemFree");
		}
	}
	usleep(500000);
	lost = before - meminfo("MemFree");
	diag("%s: %lld KiB less are free after 5 more times", kind, lost);
	ok(meminfo("HugePages_Total") == 0 && lost < 3000, "%s: they are given back, and nothing leaks", kind);
	ok(region_give_back(0) == 0 && region_remove(0) == 0, "%s: the region goes", kind);
	if (optimize)
		write_file("0", OPTIMIZE);
}

/*
 * A page of a GiB takes a GiB without a hole: the first of these two. Blocks that host their memmap have one each.
 * On a node without other memory: what the kernel keeps on a node from its first memory on goes into the last block,
 * and memmaps that come from elsewhere, and all else, into the first block in a kernel zone, which is in the second GiB.
 */
static void gigantic_pages(const char *memmap, int wanted)
{
	const int blocks = 2 * GIB / block_size;
	long long pages, free;
	char options[64], kind[96], what[32];

	snprintf(kind, sizeof(kind), "gigantic pages, %s", memmap);
	if (kernel_debugs()) {
		skip("this kernel has its notes of the node's blocks in them", "%s", kind);
		return;
	}
	snprintf(options, sizeof(options), "%s node=1", memmap);
	snprintf(what, sizeof(what), "%d online_kernel", blocks - 2);
	if (!ok(region_add(START, 2 * GIB, options) == 0 &&
		write_file("online_movable", MEMORY "/memory%d/state", block_at(START) + blocks - 1) == 0 &&
		write_file("online_kernel", MEMORY "/memory%d/state", block_at(START) + blocks / 2) == 0 &&
		region_online(0, what) == 0, "%s: 2 GiB are online on a node of their own", kind))
		return;
	if (!exists(HUGE_ON, 1, 1048576)) {
		skip("this machine has none", "%s", kind);
	} else {
		free = meminfo("MemFree");
		write_file("1", HUGE_ON, 1, 1048576);
		pages = read_number(HUGE_ON, 1, 1048576);
		free -= meminfo("MemFree");
		diag("%lld pages, for %lld KiB of what was free", pages, free);
		ok(pages == wanted, "%s: %d of them can be had", kind, wanted);
		if (pages) {
			struct memory memory;
			/* The logarithm of a GiB */
			bool well = memory_map(&memory, GIB, MAP_PRIVATE | MAP_HUGETLB | 30 << MAP_HUGE_SHIFT, 0);

			if (well)
				memory_write(&memory, 8);
			ok(well && memory_inside(&memory, START, 2 * GIB) == GIB && memory_check(&memory) < 0,
			   "%s: it is used", kind);
			if (well)
				memory_free(&memory);
		}
		write_file("0", HUGE_ON, 1, 1048576);
		ok(read_number(HUGE_ON, 1, 1048576) == 0, "%s: and given back", kind);
	}
	/* The block with the memmaps of others in it can only be the last. */
	for (int i = 0; i < blocks; i++)
		if (i != blocks / 2)
			write_file("offline", MEMORY "/memory%d/state", block_at(START) + i);
	ok(region_give_back(0) == 0 && region_remove(0) == 0, "%s: the region goes", kind);
}

static void on_alarm(int signal)
{
	(void)signal;
}

/* The error of an offline of all, which is told to stop after some seconds if it does not by itself */
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

static void in_the_way(void)
{
	struct accounts *before = accounts_take(), *standby;
	struct memory memory;
	double started;
	struct pin pin;
	pid_t pid;
	int ret;

	char most[32];

	/* Page tables are in kernel zones. */
	snprintf(most, sizeof(most), "%d online_movable", BLOCKS - 1);
	ok(region_add(START, region_bytes(), "node=1") == 0, "a region on a node of its own");
	standby = accounts_take();
	ok(region_online(0, most) == 0 && region_online(0, "all online_kernel") == 0, "is online");
	pid = memory_page_tables(1);
	started = now();
	ret = offline_for(30);
	ok(ret == -EBUSY && now() - started < 20 && blocks_online(0) > 0 && region_remove(0) == -EBUSY,
	   "with page tables in it the offline is refused (%s, %.1f s)", strerror(-ret), now() - started);
	region_online(0, "all online_movable");
	ok(blocks_online(0) == BLOCKS, "and it can be used on");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ok(region_give_back(0) == 0 && accounts_same(standby), "when they are gone it goes offline");
	accounts_free(standby);
	ok(region_remove(0) == 0, "and the region, too");

	/* Nobody knows how long a page stays pinned, so an offline goes on until it is told to stop. */
	if (!add_online("memmap_on_memory=1") || !memory_map(&memory, SIZE, MAP_PRIVATE, MADV_NOHUGEPAGE))
		return;
	memory_write(&memory, 5);
	ok(in_region(&memory) && memory_pin(&memory, &pin, START, region_bytes()), "a page of a movable block is pinned");
	started = now();
	ret = offline_for(4);
	ok(ret == -EINTR && now() - started < 15 && blocks_online(0) > 0 && memory_check(&memory) < 0,
	   "the offline ends with a signal, and the data is right (%s, %.1f s)", strerror(-ret), now() - started);
	ok(region_online(0, "all online_movable") == 0 && blocks_online(0) == BLOCKS && memory_check(&memory) < 0,
	   "the block is whole, and used on");
	memory_unpin(&pin);
	moved("unpinned", &memory);

	/* Who pins for long is moved out of the movable zone first. */
	struct io_uring_params parameters = { 0 };
	struct iovec all = { memory.words, 4 * MIB };
	int ring = syscall(SYS_io_uring_setup, 4, &parameters);

	if (ring < 0) {
		skip("this kernel has none", "buffers of io_uring");
	} else {
		memory_write(&memory, 6);
		ret = syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &all, 1);
		ok(ret == 0, "buffers of io_uring are pinned (%s)", ret ? strerror(errno) : "");
		ret = offline_for(30);
		ok(ret == 0 && memory_check(&memory) < 0, "blocks go offline all the same, and the data is right (%s)",
		   strerror(-ret));
		close(ring);
	}
	memory_free(&memory);
	ok(region_give_back(0) == 0 && region_remove(0) == 0, "the region goes");
	ok(accounts_same(before), "every account is what it was");
	accounts_free(before);
}

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

/* Megabytes that the host leaves to the guest */
static bool balloon(int size)
{
	char text[32];
	int tries;

	host("balloon %d", size);
	snprintf(text, sizeof(text), "actual=%d", size);
	for (tries = 0; tries < 200 && !strstr(host_ask("info balloon"), text); tries++)
		usleep(200000);
	return tries < 200;
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
		skip("this kernel has none", "a balloon");
		return;
	}
	if (!add_online("memmap_on_memory=1"))
		return;
	ok(balloon(6144 - 256), "balloon: the host takes 256 MiB back");
	pages = pages_with(FLAG_OFFLINE);
	ok(pages > 10000, "balloon: most of that out of the region (%ld pages)", pages);
	ok(region_give_back(0) == 0, "balloon: blocks go offline with it in them");
	ok(region_online(0, "all online_movable") == 0 && balloon(6144), "balloon: and the host gives it back");

	ok(memory_fill(&memory, 256 * MIB, 9) && in_region(&memory), "reporting: memory is used");
	full = resident_mib();
	memory_free(&memory);
	for (tries = 0; tries < 30; tries++) {
		reported = full - resident_mib();
		if (reported > 100)
			break;
		sleep(1);
	}
	if (kernel_debugs())
		skip("a kernel that poisons free pages does not report them", "reporting: the host is told what is free");
	else
		ok(reported > 100, "reporting: the host is told what is free (%lld MiB of QEMU's memory)", reported);
	for (tries = 0; tries < 3; tries++) {
		if (region_give_back(0) || region_online(0, "all online_movable"))
			break;
		sleep(1);
	}
	ok(tries == 3 && memory_fill(&memory, 256 * MIB, 10) && memory_check(&memory) < 0,
	   "reporting: blocks go offline and online beside it, and are used");
	memory_free(&memory);
	ok(region_give_back(0) == 0 && region_remove(0) == 0, "balloon: the region goes");
}

/* Devices are part of the system, not of what has to be gone at the end. */
static void setup(void)
{
	write_file("offline", MEMORY "/auto_online_blocks");
	module_load_system("virtio_pci", NULL);
	module_load_system("virtio_balloon", NULL);
	usleep(500000);
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
		ok(region_give_back(0) == 0 && region_remove(0) == 0, "the region goes");
	}
	for (i = 0; i < ARRAY_SIZE(memmaps); i++)
		huge_pages(memmaps[i], false);
	gigantic_pages("memmap_on_memory=0", 1);
	gigantic_pages("memmap_on_memory=1", 0);
	in_the_way();
	ballooned();
	unload_twostage();
}

GROUP(group_pages) = { .name = "pages", .title = "pages of every kind in blocks that go offline", .setup = setup, .run = run };

static void run_optimised(void)
{
	if (!load_twostage(NULL))
		return;
	huge_pages("memmap_on_memory=1", true);
	huge_pages("memmap_on_memory=0", true);
	unload_twostage();
}

/* The kernel counts memmap of the boot's that is given up by these as more memory than there was, for ever. */
GROUP(group_optimised) = {
	.name = "optimised", .title = "huge pages with an optimised memmap", .run = run_optimised, .stays = true,
};

/*
 * Memory that the kernel keeps for large contiguous allocations, and lends to whoever can be moved (hugetlb_cma=): a
 * gigantic page takes back all of it.
 */
static void run_contiguous(void)
{
	const size_t size = 256 * MIB;
	struct memory memory;
	long long free;

	if (!meminfo("CmaTotal")) {
		skip("this kernel has none", "contiguous memory");
		return;
	}
	if (!load_twostage(NULL) || !add_online("memmap_on_memory=1") ||
	    !ok(memory_map(&memory, size, MAP_PRIVATE, MADV_NOHUGEPAGE), "there is memory"))
		return;
	memory_write(&memory, 21);
	ok(in_region(&memory), "it is in the region");
	free = meminfo("CmaFree");
	ok(region_give_back(0) == 0 && memory_check(&memory) < 0, "blocks go offline, and the data has moved unharmed");
	free -= meminfo("CmaFree");
	ok(free > 16 * 1024, "into contiguous memory, too (%lld MiB)", free / 1024);

	ok(region_online(0, "all online_movable") == 0, "the blocks come online again");
	write_file("1", HUGE_ON, 0, 1048576);
	ok(read_number(HUGE_ON, 0, 1048576) == 1 && memory_check(&memory) < 0,
	   "all of the contiguous memory is taken back, and the data has moved unharmed");
	diag("%" PRIu64 " MiB are in the region", (uint64_t)(memory_inside(&memory, START, region_bytes()) / MIB));
	ok(region_give_back(0) == 0 && memory_check(&memory) < 0, "blocks go offline beside it");
	free = meminfo("CmaFree");
	write_file("0", HUGE_ON, 0, 1048576);
	free = meminfo("CmaFree") - free;
	ok(read_number(HUGE_ON, 0, 1048576) == 0 && free > 512 * 1024, "it is given back (%lld MiB)", free / 1024);
	memory_free(&memory);
	ok(region_remove(0) == 0, "the region goes");
	unload_twostage();
}

GROUP(group_contiguous) = {
	.name = "contiguous", .title = "memory for contiguous allocations", .run = run_contiguous,
};
