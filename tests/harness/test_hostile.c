// SPDX-License-Identifier: GPL-2.0-only
/*
 * An administrator who is hostile, or careless, or merely has a lot of regions
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

/* What needs no memory behind it */
#define NOWHERE (64 * GIB)
#define REGIONS 2000

/* What others have done with the module meanwhile; shared by all processes */
static struct uses {
	long regions, blocks, knobs, attributes;
} *uses;

static uint64_t nowhere(int n)
{
	return NOWHERE + n * block_size;
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

static long long slab_settled(void)
{
	write_file("3", "/proc/sys/vm/drop_caches");
	sleep(1);
	return meminfo("Slab");
}

/* Regions of one block, each of which touches its neighbours; how many adds and removals went wrong */
static int add_all(const int *order)
{
	int i, wrong = 0;

	for (i = 0; i < REGIONS; i++)
		wrong += region_add(nowhere(order[i]), block_size, NULL) != 0;
	return wrong;
}

static int remove_all(const int *order)
{
	int i, wrong = 0;

	for (i = 0; i < REGIONS; i++)
		wrong += region_remove(order[i]) != 0;
	return wrong;
}

static void two_thousand(void)
{
	struct accounts *before = accounts_take();
	static int order[REGIONS];
	double started = now();
	long long slab;
	int i, wrong;

	srand(2000);
	shuffle(order, REGIONS);
	ok(add_all(order) == 0 && exists(REGION, REGIONS - 1) && !exists(REGION, REGIONS),
	   "%d regions of one block that touch are added in any order", REGIONS);
	diag("in %.1f s", now() - started);
	for (i = 0, wrong = 0; i < REGIONS; i += 37) {
		wrong += strtoull(read_file(REGION "/start", i), NULL, 0) != nowhere(order[i]) ||
			 read_number(REGION "/blocks", i) != 1;
	}
	ok(!wrong && iomem_count("Standby memory (region") == REGIONS, "each of them is what it is meant to be");
	ok(region_add(nowhere(order[5]), block_size, NULL) == -EEXIST, "none of them is added twice");
	started = now();
	shuffle(order, REGIONS);
	ok(remove_all(order) == 0 && !exists(REGION, 0), "all of them are removed in any order");
	diag("in %.1f s", now() - started);

	/* What is kept for the next time is kept by now. */
	slab = slab_settled();
	ok(add_all(order) == 0 && remove_all(order) == 0, "all of that once more");
	slab = slab_settled() - slab;
	diag("slab has grown by %lld KiB", slab);
	/* 1 KiB lost for each would be 2 MB. */
	if (!kernel_debugs())
		ok(slab < 1500, "which leaves no slab memory behind");
	ok(accounts_same(before), "with %d regions gone every account is what it was", REGIONS);
	accounts_free(before);
}

/* The smallest region there is, and neighbours: what happens to one does nothing to the other. */
static void neighbours(void)
{
	struct accounts *standby;

	ok(region_add(START, block_size, NULL) == 0 && region_add(START + block_size, block_size, NULL) == 0,
	   "two regions of one block that touch are added");
	standby = accounts_take();
	ok(region_online(0, "1 online_movable") == 0 && region_remove(1) == 0 && blocks_online(0) == 1,
	   "one is removed beside the other, which is online");
	ok(region_add(START + block_size, block_size, "memmap_on_memory=0") == 0 && region_online(1, "all online_movable") == 0,
	   "it is made again, with its memmap elsewhere, and comes online");
	ok(region_offline(0, "all") == 0 && blocks_online(1) == 1, "the first one goes offline beside it");
	ok(region_offline(1, "all") == 0 && accounts_same(standby), "then every account is as after stage 1");
	ok(region_remove(0) == 0 && region_remove(1) == 0, "both are removed");
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

	snprintf(text, sizeof(text), "%#" PRIx64 " %#" PRIx64 " %#" PRIx64, (uint64_t)START, 4 * block_size, block_size);
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
	slow("400", "0");
	pid = meanwhile(online_all);
	usleep(200000);
	ret = remove_slow();
	ok(ret == -EBUSY && exists(REGION, 0), "it is not removed while its first block comes online");
	ret = later(pid);
	ok(ret == 0 && blocks_online(0) == 4, "all of it comes online (%s)", strerror(-ret));
	slow("0", "0");
	ok(region_offline(0, "all") == 0, "and goes offline");

	/* One that wants to remove it, again and again, against one that wants it online */
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
	diag("%d times it was removed before", removed);
	ok(n == 20, "either it is removed or its block comes online, whoever comes first (%d, %s)", n, strerror(-ret));
	ok(remove_slow() == 0 && read_number(PROVIDER "/violations") == 0, "it is removed in the end");
	ok(accounts_same(before), "every account is what it was");
	accounts_free(before);
}

static int memmap_elsewhere(void)
{
	return write_file("0", REGION "/memmap_on_memory", 0);
}

/* Who waits in a knob for somebody else need not do so to the end. */
static void killed_meanwhile(void)
{
	struct accounts *before = accounts_take();
	pid_t online, knob;
	bool waiting;
	int status;

	ok(add_slow() == 0, "a region of a slow provider is added");
	slow("5000", "0");
	online = meanwhile(online_one);
	usleep(500000);
	knob = meanwhile(memmap_elsewhere);
	usleep(500000);
	waiting = !waitpid(online, &status, WNOHANG) && !waitpid(knob, &status, WNOHANG);
	kill(knob, SIGKILL);
	ok(waiting && waitpid(knob, &status, 0) == knob && WIFSIGNALED(status) && !waitpid(online, &status, WNOHANG),
	   "who waits for the end of an online that takes long can be killed");
	ok(later(online) == 0 && blocks_online(0) == 1, "which comes to its end");
	slow("0", "0");
	ok(region_give_back(0) == 0 && remove_slow() == 0, "the block goes offline, and the region");
	ok(accounts_same(before), "every account is what it was");
	accounts_free(before);
}

/* The hooks would be gone between their first and their last. */
static void switched_off_meanwhile(void)
{
	int n, done = 0, refused = 0, other = 0;
	struct accounts *standby;
	double started;
	pid_t pid;

	ok(add_slow() == 0, "a region of a slow provider is added");
	standby = accounts_take();
	slow("1500", "5");
	pid = meanwhile(online_one);
	usleep(500000);
	started = now();
	ok(write_file("0", ARMED) == 0 && now() - started > 0.5,
	   "who switches kprobes off waits for the online that is under way");
	ok(later(pid) == -EIO && blocks_online(0) == 0, "which fails as it has to");
	ok(write_file("1", ARMED) == 0 && accounts_same(standby), "and leaves everything as it was");
	slow("0", "0");

	/* Switched all the time, by somebody who does not wait for anybody */
	pid = fork();
	if (!pid) {
		for (;;) {
			write_file("0", ARMED);
			usleep(rand() % 3000);
			write_file("1", ARMED);
			usleep(rand() % 3000);
		}
	}
	for (n = 0, started = now(); now() - started < 10; n++) {
		int ret = n % 2 ? offline_one() : online_one();

		done += !ret;
		refused += ret == -EIO;
		/* It is in that state already, since the one before was refused; or a page of it is in somebody's hands. */
		if (ret && ret != -EIO && ret != -EINVAL && ret != -EBUSY) {
			diag("%s", strerror(-ret));
			other++;
		}
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	write_file("1", ARMED);
	ok(done && refused && !other, "of %d onlines and offlines meanwhile %d are done and %d refused", n, done, refused);
	ok(region_give_back(0) == 0 && accounts_same(standby), "with kprobes switched on and off all the time nothing breaks");
	ok(remove_slow() == 0, "the region is removed");
	accounts_free(standby);
}

/* Who uses the module all the time, whether it is there or not */
static void use_region(void)
{
	if (region_add(START, 2 * block_size, NULL) == 0)
		__atomic_fetch_add(&uses->regions, 1, __ATOMIC_RELAXED);
	if (region_online(0, "1 online_movable") == 0)
		__atomic_fetch_add(&uses->blocks, 1, __ATOMIC_RELAXED);
	region_offline(0, "1");
	region_remove(0);
	region_remove(1);
	/* For an unload there has to be a moment without regions. */
	usleep(rand() % 60000);
}

static void use_knobs(void)
{
	if (write_file("1", BUS "/adopt") == 0)
		__atomic_fetch_add(&uses->knobs, 1, __ATOMIC_RELAXED);
	write_file("0", BUS "/adopt");
	write_file("0", REGION "/memmap_on_memory", 0);
	write_file("nonsense", BUS "/add_region");
	region_remove(7);
	usleep(1000);
}

static void use_attributes(void)
{
	read_file(BUS "/adopt");
	read_file(REGION "/blocks_online", 0);
	read_file("/sys/kernel/debug/twostage/hooks");
	usleep(1000);
	if (*block_stage(block_at(START)))
		__atomic_fetch_add(&uses->attributes, 1, __ATOMIC_RELAXED);
}

/* It comes and goes under those who use it. */
static void unloaded_meanwhile(void)
{
	static void (*const use[])(void) = { use_region, use_region, use_knobs, use_attributes };
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
	/* The kernel of make check-debug takes seconds for a load. */
	while (!other && (now() - started < 10 || (now() - started < 120 && (unloads < 3 || !refused || !uses->blocks ||
									     !uses->attributes)))) {
		ret = module_load("twostage", NULL);
		loads += ret == 0;
		loaded = now();
		usleep(rand() % 300000);
		/* A region is there, or one of them is about to make one. */
		while ((ret = module_unload("twostage")) == -EWOULDBLOCK && now() - loaded < 60) {
			refused++;
			usleep(rand() % 3000);
		}
		if (ret)
			diag("unload: %s", strerror(-ret));
		other += ret != 0;
		unloads += ret == 0;
	}
	for (i = 0; i < (int)ARRAY_SIZE(use); i++) {
		kill(users[i], SIGKILL);
		waitpid(users[i], NULL, 0);
	}
	diag("%d loads, %d unloads, %d unloads refused; %ld regions, %ld blocks, %ld knobs, %ld attributes", loads, unloads,
	     refused, uses->regions, uses->blocks, uses->knobs, uses->attributes);
	ok(loads && loads == unloads && !other && refused && uses->regions && uses->blocks && uses->knobs && uses->attributes,
	   "it is loaded and unloaded while its knobs are written to all the time");
	ok(accounts_same(before), "then every account is what it was");
	munmap(uses, sizeof(*uses));
	accounts_free(before);
}

static void run(void)
{
	if (!load_twostage(NULL))
		return;
	two_thousand();
	neighbours();
	ok(module_load("twostage_test", NULL) == 0, "a provider that is slow is there");
	removed_meanwhile();
	switched_off_meanwhile();
	ok(module_unload("twostage_test") == 0, "it unloads");
	unload_twostage();
	unloaded_meanwhile();
}

/* Waits that have an end by themselves, and one that is ended */
static void run_patience(void)
{
	if (!load_twostage(NULL))
		return;
	ok(module_load("twostage_test", NULL) == 0, "a provider that is slow is there");
	killed_meanwhile();
	ok(module_unload("twostage_test") == 0, "it unloads");
	unload_twostage();
}

static int unload_by_force(void)
{
	return module_unload_by_force("twostage");
}

/* As rmmod -f does */
static void run_forced(void)
{
	struct kmsg kmsg = kmsg_mark();
	struct memory memory;
	bool gone;
	pid_t pid;
	int ret;

	if (!load_twostage(NULL))
		return;
	ok(region_add(START, 8 * block_size, NULL) == 0 && region_online(0, "3 online_movable") == 0 &&
	   region_add(NOWHERE, block_size, NULL) == 0 && memory_fill(&memory, 256 * MIB, 6),
	   "regions are there, and their memory is in use");
	ok(module_unload("twostage") != 0 && module_loaded("twostage"), "the module does not unload under them");

	pid = meanwhile(unload_by_force);
	usleep(1000000);
	if (waitpid(pid, &ret, WNOHANG) == pid) {
		if (WEXITSTATUS(ret) == EWOULDBLOCK)
			skip("this kernel does not do that", "it is unloaded by force");
		else
			ok(false, "unloaded by force, it waits (%s)", strerror(WEXITSTATUS(ret)));
		pid = 0;
	} else {
		ok(kmsg_lines(&kmsg, "is unloaded by force: it stays until", NULL, 0) == 1,
		   "unloaded by force, it says that it stays until the regions are gone");
		ok(memory_check(&memory) < 0 && blocks_online(0) == 3, "the memory is there, with the data in it");
		ok(region_add(START + 8 * block_size, block_size, NULL) == -ENODEV && !exists(REGION, 2),
		   "no region is added any more");
		ok(region_online(0, "1 online_movable") == 0 && region_offline(0, "1") == 0 &&
		   write_file("1", BUS "/adopt") == 0, "what is there works on");
		kill(pid, SIGKILL);
	}
	memory_free(&memory);
	ok(region_give_back(0) == 0 && region_remove(1) == 0 && module_loaded("twostage"),
	   "blocks go offline, and a region");
	ok(region_remove(0) == 0, "the last region is removed");
	if (pid) {
		gone = later(pid) != -EBUSY;
		for (ret = 0; ret < 50 && module_loaded("twostage"); ret++)
			usleep(100000);
		ok(gone && !module_loaded("twostage") && !exists(BUS), "then the module is gone");
	} else {
		unload_twostage();
	}
	if (load_twostage(NULL)) {
		ok(region_add(START, block_size, NULL) == 0 && region_online(0, "1 online_movable") == 0 &&
		   region_offline(0, "1") == 0 && region_remove(0) == 0, "loaded again, it works as before");
		unload_twostage();
	}
	kmsg_close(&kmsg);
}

GROUP(group_hostile) = { .name = "hostile", .title = "thousands of regions, and races with root", .run = run };
GROUP(group_patience) = { .name = "patience", .title = "waits that come to an end", .run = run_patience };
GROUP(group_forced) = { .name = "forced", .title = "rmmod -f", .run = run_forced };
