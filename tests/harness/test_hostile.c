// SPDX-License-Identifier: GPL-2.0-only
/*
 * Thousands of regions, and root operations that race with each other
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define START (4 * GIB)
#define ARMED "/sys/kernel/debug/kprobes/enabled"
#define PROVIDER "/sys/kernel/debug/twostage_test"

#define MOST_REGIONS 2000

/* Operations that succeeded in the processes of use_*(), in shared memory */
static struct uses {
	long regions, blocks, writes, reads;
} *uses;

/* A range without memory, for a region whose block stays standby */
static uint64_t nowhere(int n)
{
	return architecture.nowhere + n * block_size;
}

/* As many regions of one block as there are addresses for */
static int regions(void)
{
	const uint64_t blocks = 256 * GIB / block_size;

	return blocks < MOST_REGIONS ? blocks : MOST_REGIONS;
}

static void shuffle(int *numbers, int count)
{
	int i;

	for (i = 0; i < count; i++)
		numbers[i] = i;
	for (i = count - 1; i > 0; i--) {
		int other = rand() % (i + 1), number = numbers[i];

		numbers[i] = numbers[other];
		numbers[other] = number;
	}
}

/* Without empty slabs: PREEMPT_RT of 7.x keeps some MiB of them. */
static long long slab_settled(void)
{
	sleep(1);
	memory_free_unused();
	return meminfo("Slab");
}

/* Add adjacent regions of one block each. Returns how many adds failed. */
static int add_all(const int *order)
{
	int i, wrong = 0;

	for (i = 0; i < regions(); i++)
		wrong += region_add(nowhere(order[i]), block_size, NULL) != 0;
	return wrong;
}

/* Returns how many removals failed. */
static int remove_all(const int *order)
{
	int i, wrong = 0;

	for (i = 0; i < regions(); i++)
		wrong += region_remove(order[i]) != 0;
	return wrong;
}

static void thousands(void)
{
	struct accounts *before = accounts_take();
	static int order[MOST_REGIONS];
	const int count = regions();
	double started = now();
	int i, lines, ret, wrong;
	long long slab;

	srand(2000);
	shuffle(order, count);
	ok(add_all(order) == 0 && exists(REGION, count - 1) && !exists(REGION, count),
	   "%d adjacent regions of one block are added in random order", count);
	diag("adding %d regions took %.1f s", count, now() - started);
	for (i = 0, wrong = 0; i < count; i += 37) {
		wrong += strtoull(read_file(REGION "/start", i), NULL, 0) != nowhere(order[i]) ||
			 read_number(REGION "/blocks", i) != 1;
	}
	ok(!wrong, "start and blocks of every 37th of %d regions are correct (%d are wrong)",
	   count, wrong);
	lines = iomem_count("Standby memory (region");
	ok(lines == count, "/proc/iomem has an entry for each of %d regions (%d)", count,
	   lines);
	ret = region_add(nowhere(order[5]), block_size, NULL);
	ok(ret == -EEXIST, "adding a range that is a region already fails with EEXIST (%s)",
	   strerror(-ret));
	started = now();
	shuffle(order, count);
	ok(remove_all(order) == 0 && !exists(REGION, 0), "%d regions are removed in random order",
	   count);
	diag("removing %d regions took %.1f s", count, now() - started);

	/* By now the kernel's caches are filled, so measure a second round. */
	slab = slab_settled();
	ok(add_all(order) == 0 && remove_all(order) == 0,
	   "%d regions are added and removed a second time", count);
	slab = slab_settled() - slab;
	/* 1 KiB lost for each region would be 2 MB. */
	if (kernel_debugs())
		diag("slab has grown by %lld KiB", slab);
	else
		ok(slab < 1500,
		   "adding and removing %d regions leaks no slab memory (%lld KiB, expected less than 1500)",
		   count, slab);
	ok(accounts_same(before), "the system matches the baseline after %d regions were removed",
	   count);
	accounts_free(before);
}

/*
 * Adjacent regions of one block, the smallest size, do not affect each other.
 */
static void adjacent_regions(void)
{
	struct accounts *standby;

	ok(region_add(START, block_size, NULL) == 0 &&
	   region_add(START + block_size, block_size, NULL) == 0,
	   "two adjacent regions of one block are added");
	standby = accounts_take();
	ok(region_online(0, "1 online_movable") == 0,
	   "the first of two adjacent regions comes online");
	ok(region_remove(1) == 0,
	   "a standby region is removed beside an adjacent region that is online");
	ok(blocks_online(0) == 1,
	   "a region remains online when an adjacent region is removed (%d blocks, expected 1)",
	   blocks_online(0));
	ok(region_add(START + block_size, block_size, "memmap_on_memory=0") == 0,
	   "a removed region is added again with memmap_on_memory=0");
	ok(region_online(1, "all online_movable") == 0,
	   "a region with memmap_on_memory=0 comes online beside an adjacent one");
	ok(region_offline(0, "all") == 0,
	   "a region goes offline beside an adjacent region that is online");
	ok(blocks_online(1) == 1,
	   "a region remains online when an adjacent region goes offline (%d blocks, expected 1)",
	   blocks_online(1));
	ok(region_offline(1, "all") == 0 && accounts_same(standby),
	   "the system matches the standby baseline once both adjacent regions are offline");
	ok(region_remove(0) == 0 && region_remove(1) == 0, "two adjacent regions are removed");
	accounts_free(standby);
}

static int online_all(void)
{
	return region_online(0, "all online_movable");
}

static int online_one(void)
{
	return region_online(0, "1 online_movable");
}

static int offline_one(void)
{
	return region_offline(0, "1");
}

static int add_slow(void)
{
	char text[128];

	snprintf(text, sizeof(text), "%#" PRIx64 " %#" PRIx64 " %#" PRIx64, (uint64_t)START,
		 4 * block_size, block_size);
	return write_file(text, PROVIDER "/add");
}

static int remove_slow(void)
{
	return write_file("region0", PROVIDER "/remove");
}

static void slow(const char *milliseconds, const char *error)
{
	write_file(milliseconds, PROVIDER "/delay_ms");
	write_file(error, PROVIDER "/assign_error");
}

static void removed_meanwhile(void)
{
	struct accounts *before = accounts_take();
	int ret, n, removed = 0;
	pid_t pid;

	ok(add_slow() == 0, "a region of a slow provider is added");
	slow("200", "0");
	/* The removal starts while the first block comes online. */
	pid = meanwhile(online_all);
	wait_until(sleeps_in(pid, "[twostage_test]"), 20);
	ret = remove_slow();
	ok(ret == -EBUSY && exists(REGION, 0),
	   "removal of a region fails with EBUSY while a block of it comes online (%s)",
	   strerror(-ret));
	ret = later(pid);
	ok(ret == 0 && blocks_online(0) == 4,
	   "all blocks come online although a removal was attempted meanwhile (%s)",
	   strerror(-ret));
	slow("0", "0");
	ok(region_offline(0, "all") == 0, "all blocks go offline after a removal was attempted");

	/* Race a removal of the region against an online of its block. */
	for (n = 0; n < 20; n++) {
		pid = meanwhile(online_one);
		usleep(n * 500);
		ret = remove_slow();
		if (ret) {
			ret = later(pid);
			if (ret || region_offline(0, "all") || remove_slow())
				break;
		} else {
			ret = later(pid);
			if (ret != -ENODEV && ret != -ENOENT && ret)
				break;
			removed++;
		}
		if (exists(REGION, 0) || add_slow())
			break;
	}
	diag("the removal came first in %d of %d races", removed, n);
	ok(n == 20,
	   "removal and online that race: one succeeds and the other fails, 20 times (%d, last error: %s)", n,
	   strerror(-ret));
	ok(remove_slow() == 0, "the region is removed after races of removal and online");
	ok(read_number(PROVIDER "/violations") == 0,
	   "no memory was assigned or unassigned twice in races of removal and online");
	ok(accounts_same(before),
	   "the system matches the baseline after races of removal and online");
	accounts_free(before);
}

static int memmap_in_ordinary_memory(void)
{
	return write_file("0", REGION "/memmap_on_memory", 0);
}

/* A task that waits in an attribute of a region can be killed. */
static void killed_meanwhile(void)
{
	struct accounts *before = accounts_take();
	pid_t online, writer;
	bool waiting;
	int status;

	ok(add_slow() == 0, "a region of a slow provider is added");
	slow("5000", "0");
	online = meanwhile(online_one);
	waiting = wait_until(sleeps_in(online, "[twostage_test]"), 20);
	writer = meanwhile(memmap_in_ordinary_memory);
	waiting &= wait_until(sleeps_in(writer, "region_set_memmap_on_memory"), 4);
	waiting &= !waitpid(online, &status, WNOHANG) && !waitpid(writer, &status, WNOHANG);
	ok(waiting, "a write to memmap_on_memory waits for a slow online");
	kill(writer, SIGKILL);
	ok(waiting && waitpid(writer, &status, 0) == writer && WIFSIGNALED(status),
	   "a task that waits in memmap_on_memory for a slow online is killed by SIGKILL");
	ok(waiting && !waitpid(online, &status, WNOHANG),
	   "the waiting task is killed before the slow online ends");
	ok(later(online) == 0 && blocks_online(0) == 1,
	   "a slow online succeeds after a task that waited for it was killed");
	slow("0", "0");
	ok(region_give_back(0) == 0 && remove_slow() == 0,
	   "the region goes offline and is removed after the kill");
	ok(accounts_same(before),
	   "the system matches the baseline after a task that waited for an online was killed");
	accounts_free(before);
}

/*
 * Disarming all kprobes (debugfs kprobes/enabled) during an operation would
 * leave it with only some of its hooks.
 */
static void disarmed_meanwhile(void)
{
	int n, ret, done = 0, refused = 0, other = 0;
	struct accounts *standby;
	double started;
	pid_t pid;

	ok(add_slow() == 0, "a region of a slow provider is added");
	standby = accounts_take();
	slow("1500", "5");
	pid = meanwhile(online_one);
	wait_until(sleeps_in(pid, "[twostage_test]"), 20);
	started = now();
	ret = write_file("0", ARMED);
	ok(ret == 0 && now() - started > 0.5,
	   "a write that disarms kprobes waits for a slow online (%s)", strerror(-ret));
	ret = later(pid);
	ok(ret == -EIO && blocks_online(0) == 0,
	   "an online whose assign fails returns EIO beside a disarm of kprobes (%s)",
	   strerror(-ret));
	ok(write_file("1", ARMED) == 0 && accounts_same(standby),
	   "the system matches the standby baseline after an online failed beside a disarm of kprobes");
	slow("0", "0");

	/* Another process arms and disarms kprobes all the time. */
	pid = fork();
	if (!pid) {
		for (;;) {
			write_file("0", ARMED);
			usleep(rand() % 3000);
			write_file("1", ARMED);
			usleep(rand() % 3000);
		}
	}
	/* How often one of the two wins is the scheduler's choice. */
	for (n = 0, started = now(); !other && (now() - started < 4 || (now() - started < 120 &&
	     (done < 2 || refused < 2))); n++) {
		ret = n % 2 ? offline_one() : online_one();
		done += !ret;
		refused += ret == -EIO;
		/*
		 * EINVAL: the block is in that state already, because the
		 * operation before was refused. EBUSY: a page of the block is
		 * pinned.
		 */
		if (ret && ret != -EIO && ret != -EINVAL && ret != -EBUSY) {
			diag("%s failed: %s, expected EIO, EINVAL or EBUSY",
			     n % 2 ? "offline" : "online", strerror(-ret));
			other++;
		}
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	write_file("1", ARMED);
	ok(done,
	   "some onlines and offlines succeed while kprobes are armed and disarmed (%d of %d)",
	   done, n);
	ok(refused, "some onlines and offlines fail with EIO while kprobes are disarmed (%d of %d)",
	   refused, n);
	ok(!other,
	   "onlines and offlines fail with no other error while kprobes are armed and disarmed (%d of %d)", other, n);
	ok(region_give_back(0) == 0 && accounts_same(standby),
	   "the system matches the standby baseline after kprobes were armed and disarmed during operations");
	ok(remove_slow() == 0,
	   "the region is removed after kprobes were armed and disarmed during operations");
	accounts_free(standby);
}

/*
 * Processes call one of these functions in a loop, while the module is loaded
 * or not.
 */
static void use_region(void)
{
	if (region_add(START, 2 * block_size, NULL) == 0)
		__atomic_fetch_add(&uses->regions, 1, __ATOMIC_RELAXED);
	if (region_online(0, "1 online_movable") == 0)
		__atomic_fetch_add(&uses->blocks, 1, __ATOMIC_RELAXED);
	region_offline(0, "1");
	region_remove(0);
	region_remove(1);
	/* An unload succeeds only at a moment without regions. */
	usleep(rand() % 60000);
}

static void write_attributes(void)
{
	if (write_file("1", BUS "/adopt") == 0)
		__atomic_fetch_add(&uses->writes, 1, __ATOMIC_RELAXED);
	write_file("0", BUS "/adopt");
	write_file("0", REGION "/memmap_on_memory", 0);
	write_file("nonsense", BUS "/add_region");
	region_remove(7);
	usleep(1000);
}

static void read_attributes(void)
{
	read_file(BUS "/adopt");
	read_file(REGION "/blocks_online", 0);
	read_file("/sys/kernel/debug/twostage/hooks");
	usleep(1000);
	if (*block_stage(block_at(START)))
		__atomic_fetch_add(&uses->reads, 1, __ATOMIC_RELAXED);
}

/* The module is loaded and unloaded while other processes use it. */
static void unloaded_meanwhile(void)
{
	static void (*const use[])(void) = { use_region, use_region, write_attributes,
		read_attributes };
	struct accounts *before = accounts_take();
	int i, loads = 0, unloads = 0, refused = 0, other = 0, ret;
	pid_t users[ARRAY_SIZE(use)];
	double started = now(), loaded;

	uses = mmap(NULL, sizeof(*uses), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (i = 0; i < (int)ARRAY_SIZE(use); i++) {
		users[i] = fork();
		if (users[i])
			continue;
		srand(i + 1);
		for (;;)
			use[i]();
	}
	/* The debug kernel takes seconds for a load. */
	while (!other && (now() - started < 5 || (now() - started < 120 &&
			  (unloads < 3 || !refused || !uses->regions || !uses->blocks ||
			   !uses->writes || !uses->reads)))) {
		ret = module_load("twostage", NULL);
		loads += ret == 0;
		loaded = now();
		usleep(rand() % 300000);
		/* Unload fails while a region exists or is being added. */
		while ((ret = module_unload("twostage")) == -EWOULDBLOCK && now() - loaded < 60) {
			refused++;
			usleep(rand() % 3000);
		}
		if (ret)
			diag("unload failed: %s", strerror(-ret));
		other += ret != 0;
		unloads += ret == 0;
	}
	for (i = 0; i < (int)ARRAY_SIZE(use); i++) {
		kill(users[i], SIGKILL);
		waitpid(users[i], NULL, 0);
	}
	ok(loads && loads == unloads && !other,
	   "the module is loaded and unloaded while other processes use it (%d loads, %d unloads, %d other errors)", loads,
	   unloads, other);
	ok(refused, "unload fails with EAGAIN while a region exists (%d times)", refused);
	ok(uses->regions, "regions are added between loads and unloads (%ld)", uses->regions);
	ok(uses->blocks, "blocks come online between loads and unloads (%ld)", uses->blocks);
	ok(uses->writes, "attributes are written between loads and unloads (%ld times)",
	   uses->writes);
	ok(uses->reads, "attributes are read between loads and unloads (%ld times)", uses->reads);
	ok(accounts_same(before),
	   "the system matches the baseline after loads and unloads beside other processes");
	munmap(uses, sizeof(*uses));
	accounts_free(before);
}

static void run(void)
{
	if (!load_twostage(NULL))
		return;
	thousands();
	adjacent_regions();
	ok(module_load("twostage_test", NULL) == 0, "the module with the slow provider loads");
	removed_meanwhile();
	disarmed_meanwhile();
	ok(module_unload("twostage_test") == 0, "the module with the slow provider unloads");
	unload_twostage();
	unloaded_meanwhile();
}

/* A wait that is ended by a signal */
static void run_patience(void)
{
	if (!load_twostage(NULL))
		return;
	ok(module_load("twostage_test", NULL) == 0, "the module with the slow provider loads");
	killed_meanwhile();
	ok(module_unload("twostage_test") == 0, "the module with the slow provider unloads");
	unload_twostage();
}

static int unload_by_force(void)
{
	return module_unload_by_force("twostage");
}

/* Forced unload, as by rmmod -f */
static void run_forced(void)
{
	struct kmsg kmsg = kmsg_mark();
	struct memory memory;
	bool gone, returned;
	pid_t pid;
	int ret;

	if (!load_twostage(NULL))
		return;
	ok(region_add(START, 8 * block_size, NULL) == 0 &&
	   region_online(0, "3 online_movable") == 0 &&
	   region_add(architecture.nowhere, block_size, NULL) == 0 && memory_fill(&memory, 256 * MIB, 6),
	   "three blocks of a region are online, and memory is in use");
	ok(module_unload("twostage") != 0 && module_loaded("twostage"),
	   "unload fails while there are regions");

	pid = meanwhile(unload_by_force);
	wait_until((returned = waitpid(pid, &ret, WNOHANG) == pid) ||
		   sleeps_in(pid, "twostage_wait_for_regions"), 30);
	if (returned) {
		if (WEXITSTATUS(ret) == EWOULDBLOCK)
			skip("this kernel does not force unloads",
			     "forced unload waits until the regions are removed");
		else
			ok(false,
			   "forced unload waits until the regions are removed (returned: %s)",
			   strerror(WEXITSTATUS(ret)));
		pid = 0;
	} else {
		ok(kmsg_lines(&kmsg, "is unloaded by force: it stays until", NULL, 0) == 1,
		   "the log has one line that a forced unload waits until the regions are removed");
		ok(memory_check(&memory) < 0, "data is intact after a forced unload was started");
		ok(blocks_online(0) == 3,
		   "blocks remain online after a forced unload was started (%d, expected 3)",
		   blocks_online(0));
		ret = region_add(START + 8 * block_size, block_size, NULL);
		ok(ret == -ENODEV && !exists(REGION, 2),
		   "adding a region fails with ENODEV after a forced unload was started (%s)",
		   strerror(-ret));
		ok(region_online(0, "1 online_movable") == 0,
		   "a block comes online after a forced unload was started");
		ok(region_offline(0, "1") == 0,
		   "a block goes offline after a forced unload was started");
		ok(write_file("1", BUS "/adopt") == 0,
		   "adopt can be written after a forced unload was started");
		kill(pid, SIGKILL);
	}
	memory_free(&memory);
	ok(region_give_back(0) == 0, "all blocks go offline after a forced unload was started");
	ok(region_remove(1) == 0 && module_loaded("twostage"),
	   "the module remains loaded when one of two regions is removed");
	ok(region_remove(0) == 0, "the last region is removed after a forced unload was started");
	if (pid) {
		gone = later(pid) != -EBUSY;
		ok(gone && wait_until(!module_loaded("twostage"), 20) && !exists(BUS),
		   "a forced unload completes when the last region is removed");
	} else {
		unload_twostage();
	}
	if (load_twostage(NULL)) {
		ok(region_add(START, block_size, NULL) == 0 &&
		   region_online(0, "1 online_movable") == 0 &&
		   region_offline(0, "1") == 0 && region_remove(0) == 0,
		   "a region is added, used and removed when the module is loaded again after a forced unload");
		unload_twostage();
	}
	kmsg_close(&kmsg);
}

GROUP(group_hostile) = {
	.name = "hostile", .title = "thousands of regions, and races with root", .run = run,
};
GROUP(group_patience) = {
	.name = "patience", .title = "waits that end by a signal", .run = run_patience,
};
GROUP(group_forced) = { .name = "forced", .title = "forced unload (rmmod -f)", .run = run_forced };
