// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tasks that read and write all attributes of a region as fast as they can,
 * while its blocks go online and offline: for the kernel that finds data races
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define START (4 * GIB)
#define SECONDS 20

/* How often each of the jobs below was done, in shared memory */
static long *done;

static void read_region(void)
{
	static const char *const names[] = { "blocks", "blocks_online", "blocks_poisoned",
		"memmap_pages", "memmap_on_memory", "online_on_oom", "oom_onlined", "stages" };

	read_file(REGION "/%s", 0, names[rand() % ARRAY_SIZE(names)]);
}

static void read_blocks(void)
{
	int block = block_at(START) + rand() % 4;

	block_stage(block);
	read_file(MEMORY "/memory%d/valid_zones", block);
	read_file(BUS "/adopt");
}

/* Without device_hotplug_lock, for which the others wait */
static void write_unlocked(void)
{
	const char *value = rand() % 2 ? "1" : "0";

	write_file(value, REGION "/online_on_oom", 0);
	write_file(value, BUS "/adopt");
}

static void write_locked(void)
{
	write_file(rand() % 2 ? "1" : "0", REGION "/memmap_on_memory", 0);
}

static void change_blocks(void)
{
	region_online(0, "1 online_movable");
	region_offline(0, "1");
}

static void run(void)
{
	static void (*const jobs[])(void) = { read_region, read_blocks, write_unlocked,
		write_unlocked, write_locked, change_blocks };
	struct accounts *before;
	pid_t tasks[ARRAY_SIZE(jobs)];
	int i, busy = 0;

	if (!load_twostage(NULL))
		return;
	before = accounts_take();
	ok_return(region_add(START, 4 * block_size, NULL), 0, "a region of four blocks is added");
	done = mmap(NULL, sizeof(*done) * ARRAY_SIZE(jobs), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (i = 0; i < (int)ARRAY_SIZE(jobs); i++) {
		tasks[i] = fork();
		if (tasks[i])
			continue;
		srand(i + 1);
		for (;;) {
			jobs[i]();
			__atomic_fetch_add(&done[i], 1, __ATOMIC_RELAXED);
		}
	}
	sleep(SECONDS);
	for (i = 0; i < (int)ARRAY_SIZE(jobs); i++) {
		kill(tasks[i], SIGKILL);
		waitpid(tasks[i], NULL, 0);
		diag("job %d was done %ld times", i, done[i]);
		busy += done[i] > 0;
	}
	ok_number(busy, ARRAY_SIZE(jobs),
		  "tasks read and write attributes of a region while its blocks go online and offline");
	munmap(done, sizeof(*done) * ARRAY_SIZE(jobs));
	write_file("0", BUS "/adopt");
	region_offline(0, "all");
	ok_return(region_remove(0), 0, "the region is removed after tasks have used it side by side");
	ok(accounts_same(before),
	   "the system matches the baseline after tasks have used a region side by side");
	accounts_free(before);
	unload_twostage();
}

GROUP(group_races) = {
	.name = "races",
	.title = "tasks that use all attributes of a region side by side",
	.run = run,
};
