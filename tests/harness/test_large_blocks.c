// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory blocks of several sections, as on machines with much memory
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define START (8 * GIB)
#define PROCESSOR "/sys/devices/system/cpu/cpu1/online"

/* What an online of a block has left, to be compared */
struct outcome {
	uint64_t *memmap;
	struct accounts *accounts;
	double seconds;
	/* Whether struct pages were initialised by several processors */
	bool spread;
};

/*
 * In a kernel zone the new pages are the last that are allocated, so none is in
 * use yet.
 */
static struct outcome online_with(const char *processors, const struct outcome *before)
{
	const long calls = redirected("memmap_init_range");
	struct outcome outcome = { .memmap = calloc(1, memmap_size(block_size)) };
	double started;

	if (!outcome.memmap)
		abort();
	write_file(processors, PROCESSOR);
	started = now();
	ok(region_online(0, "1 online_kernel") == 0, "a block of 2 GiB comes online with %s",
	   *processors == '0' ? "one processor" : "two processors");
	outcome.seconds = now() - started;
	outcome.spread = redirected("memmap_init_range") > calls;
	ok(kcore_read(START, outcome.memmap, memmap_size(block_size)),
	   "the memmap of that block can be read");
	outcome.accounts = accounts_take();
	if (before)
		ok(accounts_same(before->accounts),
		   "zones and all other accounts are those of an online with one processor");
	ok(region_give_back(0) == 0, "that block goes offline");
	write_file("1", PROCESSOR);
	return outcome;
}

static void outcome_free(struct outcome *outcome)
{
	free(outcome->memmap);
	accounts_free(outcome->accounts);
}

static void compare_processors(void)
{
	struct outcome one = online_with("0", NULL), two = online_with("1", &one);
	const size_t words = memmap_size(block_size) / sizeof(uint64_t);
	long different = 0, nonzero = 0;
	size_t i;

	for (i = 0; i < words; i++) {
		nonzero += two.memmap[i] != 0;
		if (one.memmap[i] == two.memmap[i])
			continue;
		if (different++ < 10)
			diag("page %zu, word %zu: %#" PRIx64 " and %#" PRIx64, i / 8, i % 8,
			     one.memmap[i], two.memmap[i]);
	}
	diag("online with one processor %.3f s, with two %.3f s", one.seconds, two.seconds);
	ok(!one.spread && two.spread, "two processors share the work on a block of 2 GiB, one does not");
	ok(nonzero > 0 && !different,
	   "struct pages are the same, whether one processor or two have initialised them and handed them out (%ld words of %zu differ)",
	   different, words);
	outcome_free(&one);
	outcome_free(&two);
}

static void stay_on(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
}

/* Takes a processor from all tasks that are not real-time, until it is killed */
static pid_t take_processor(int cpu)
{
	const struct sched_param priority = { .sched_priority = 1 };
	pid_t pid = fork();

	if (pid)
		return pid;
	stay_on(cpu);
	if (sched_setscheduler(0, SCHED_FIFO, &priority))
		_exit(1);
	for (;;)
		;
}

/* Workers do not get to run, as when the kernel has no memory to create one. */
static void without_help(void)
{
	const char *test =
		"a block of 2 GiB comes online while a real-time process keeps the other processor";
	cpu_set_t cpus;
	pid_t pid;

	/* On PREEMPT_RT the callbacks of RCU run in a task, which it keeps from running, too. */
	if (kernel_preempt_rt()) {
		skip("such a process stops RCU on PREEMPT_RT", "%s", test);
		return;
	}
	sched_getaffinity(0, sizeof(cpus), &cpus);
	stay_on(0);
	pid = take_processor(1);
	usleep(100000);
	ok(waitpid(pid, NULL, WNOHANG) == 0 && region_online(0, "1 online_movable") == 0,
	   "%s", test);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	ok(region_offline(0, "all") == 0, "the block that came online so goes offline");
}

static void run(void)
{
	struct accounts *before, *standby;
	struct memory memory;
	long long total, pages;

	ok(block_size == 2 * GIB, "memory blocks have 2 GiB (%" PRIu64 " MiB)", block_size / MIB);
	if (!load_twostage(NULL))
		return;
	before = accounts_take();
	ok(region_add(START, 4 * block_size, NULL) == 0,
	   "a region of four blocks of 2 GiB is added");
	standby = accounts_take();
	total = meminfo("MemTotal");
	ok(region_online(0, "2 online_movable") == 0, "two blocks of 2 GiB come online");
	total = meminfo("MemTotal") - total;
	ok(total == (long long)(2 * block_size / 1024 * 63 / 64),
	   "MemTotal grows by 63/64 of two blocks with memmap_on_memory=1 (%lld KiB, expected %lld)", total,
	   (long long)(2 * block_size / 1024 * 63 / 64));
	pages = read_number(REGION "/memmap_pages", 0);
	ok(pages == (long long)(2 * block_size / 64 / 4096),
	   "memmap_pages counts 1/64 of two blocks with memmap_on_memory=1 (%lld, expected %lld)",
	   pages,
	   (long long)(2 * block_size / 64 / 4096));
	ok(memory_fill(&memory, GIB, 9) && memory_check(&memory) < 0,
	   "data in 1 GiB of memory reads back correctly");
	diag("%" PRIu64 " of 1024 MiB are in the region",
	     memory_inside(&memory, START, 4 * block_size) / MIB);
	for (int i = 0; i < 20; i++)
		look_at_block(block_at(START) + i % 4);
	ok(region_offline(0, "all") == 0, "blocks of 2 GiB in use go offline");
	ok(memory_check(&memory) < 0,
	   "data that was in blocks of 2 GiB is intact after their offline");
	memory_free(&memory);
	ok(accounts_same(standby),
	   "the system matches the standby baseline after use of two blocks");

	compare_processors();
	ok(accounts_same(standby),
	   "the system matches the standby baseline after onlines with one processor and with two");
	without_help();

	ok(write_file("0", REGION "/memmap_on_memory", 0) == 0,
	   "memmap_on_memory is set to 0 while all blocks are standby");
	ok(region_online(0, "1 online_movable") == 0,
	   "a block of 2 GiB comes online with memmap_on_memory=0");
	pages = read_number(REGION "/memmap_pages", 0);
	ok(pages == 0, "memmap_pages counts no page with memmap_on_memory=0 (%lld)", pages);
	ok(region_offline(0, "all") == 0 && accounts_same(standby),
	   "the system matches the standby baseline after a block with memmap_on_memory=0 went offline");
	accounts_free(standby);
	ok(region_remove(0) == 0 && accounts_same(before),
	   "the system matches the baseline once the region is removed");
	accounts_free(before);
	unload_twostage();
}

GROUP(group_large_blocks) = {
	.name = "large-blocks", .title = "memory blocks of 2 GiB", .run = run,
};
