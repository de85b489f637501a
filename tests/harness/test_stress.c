// SPDX-License-Identifier: GPL-2.0-only
/*
 * All at once, for STRESS_SECONDS (default 60), with data that is checked
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define START (4 * GIB)
#define REGION_BLOCKS 4
/* Of this many regions, the last come and go. */
#define REGIONS 4
#define STEADY 2

static uint64_t region_start(int n)
{
	return START + n * REGION_BLOCKS * block_size;
}

static int random_block(void)
{
	return block_at(START) + rand() % (REGIONS * REGION_BLOCKS);
}

/* Counted by all processes. */
static struct counts {
	long online, offline, added, removed, pages_read, checked;
} *counts;

static void change_blocks(void)
{
	if (rand() % 2)
		counts->online += !write_file("online_movable", MEMORY "/memory%d/state", random_block());
	else
		counts->offline += !write_file("offline", MEMORY "/memory%d/state", random_block());
}

static void change_regions(void)
{
	int id = STEADY + rand() % (REGIONS - STEADY);

	if (exists(REGION, id)) {
		region_offline(id, "all");
		counts->removed += !region_remove(id);
	} else {
		counts->added += !region_add(region_start(id), REGION_BLOCKS * block_size,
					     rand() % 2 ? "memmap_on_memory=0" : "");
	}
	change_blocks();
}

static void read_all(void)
{
	counts->pages_read += look_at_block(random_block());
}

static void use_memory(void)
{
	struct memory memory;
	ssize_t wrong;

	if (!memory_fill(&memory, (64 + rand() % 256) * MIB, rand()))
		return;
	usleep(rand() % 300000);
	wrong = memory_check(&memory);
	if (wrong >= 0) {
		diag("wrong data at offset %zd", wrong);
		_exit(1);
	}
	counts->checked += memory.size / MIB;
	memory_free(&memory);
}

/*
 * Until 6.2, folio_mapped() looked at as many struct pages as the second one of a compound page says, and
 * that holds something else (TAIL_MAPPING, half of which are 0xdead0000) while the compound page is being
 * made. So kpageflags walks off the end of whatever memmap there is when it meets a huge page in the
 * making. That is none of our doing, with memory that is plugged in one stage the same.
 */
static bool readers_trip_over_huge_pages(void)
{
	struct utsname name;
	int major, minor;

	return !uname(&name) && sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
	       (major < 6 || (major == 6 && minor < 2));
}

static void (*const jobs[])(void) = { change_blocks, change_regions, read_all, use_memory };

static void run(void)
{
	const char *setting = getenv("STRESS_SECONDS");
	int seconds = setting ? atoi(setting) : 60;
	double until = now() + seconds;
	struct accounts *before;
	bool well = true;
	int enough, status, i;

	if (!load_twostage(NULL))
		return;
	if (readers_trip_over_huge_pages())
		write_file("never", "/sys/kernel/mm/transparent_hugepage/enabled");
	before = accounts_take();
	counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (i = 0; i < REGIONS; i++)
		well &= !region_add(region_start(i), REGION_BLOCKS * block_size, "");
	ok(well, "%d regions are added", REGIONS);

	for (i = 0; i < (int)ARRAY_SIZE(jobs); i++) {
		if (fork() == 0) {
			srand(i + 1);
			while (now() < until)
				jobs[i]();
			_exit(0);
		}
	}
	for (i = 0; i < (int)ARRAY_SIZE(jobs); i++)
		well &= wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;

	diag("%d s: %ld blocks online, %ld offline, %ld regions added, %ld removed, %ld entries read, %ld MiB checked",
	     seconds, counts->online, counts->offline, counts->added, counts->removed, counts->pages_read,
	     counts->checked);
	ok(well, "four processes run for %d seconds and no data is lost", seconds);
	/* A guest under emulation on a busy machine is slow. */
	enough = seconds < 60 ? seconds / 6 : 10;
	ok(counts->online > enough && counts->offline > enough && counts->added > enough / 5 &&
	   counts->removed > enough / 5 && counts->pages_read > 1000 && counts->checked > 100,
	   "all of them got something done");

	for (i = 0; i < REGIONS; i++) {
		if (!exists(REGION, i))
			continue;
		region_give_back(i);
		well &= !region_remove(i);
	}
	ok(well, "all regions can be removed afterwards");
	ok(accounts_same(before), "every account is what it was");
	accounts_free(before);
	munmap(counts, 4096);
	unload_twostage();
}

const struct group group_stress = { .name = "stress", .title = "all at once, with data that is checked", .run = run };
