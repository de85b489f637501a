// SPDX-License-Identifier: GPL-2.0-only
/*
 * Work on the pages of a large block, spread over the processors of a node
 *
 * Two loops take nine tenths of the time in which a block comes online: one
 * initialises its struct pages, the other hands its pages to the allocator. The
 * kernel runs both on one processor. Where memory blocks are large, this file
 * has workers on the other processors of the node do a part of each loop.
 *
 * The task that sets the block online takes one section after the other itself,
 * and each worker that gets to run does the same, until all are taken. Then the
 * task cancels the workers that have not begun, and waits for those that are in
 * their last section. So it never waits for a worker to be found or created,
 * for which there may be no memory: at an OOM it does all the work itself, if
 * need be. Nothing is allocated.
 *
 * Sections share no cache line of the memmap and no word of the pageblock
 * flags. What the loops write elsewhere is atomic or under the zone's lock,
 * except for highest_memmap_pfn: see wrapped_memmap_init_range().
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/log2.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/minmax.h>
#include <linux/mmzone.h>
#include <linux/pageblock-flags.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/topology.h>
#include <linux/workqueue.h>

#include "hook.h"
#include "mm_internals.h"
#include "parallel.h"

/*
 * The length of blocks for which it is worth while to wake other processors,
 * twice: 1 GiB with pages of 4 KiB
 */
#define MIN_BLOCK_PAGES (SZ_1G / SZ_4K)

/* More processors than this wait for memory and for the zone's lock. */
#define MAX_HELPERS 7

/* NULL if memory blocks are small */
static struct workqueue_struct *workqueue;

/* Protected by mem_hotplug_lock: one at a time */
static struct job {
	void (*function)(unsigned long pfn, unsigned long end);
	unsigned long start, end;
	/* The next section that is not taken yet */
	atomic_long_t section;
	struct work_struct helpers[MAX_HELPERS];
} job;

static void take_sections(void)
{
	for (;;) {
		unsigned long section = atomic_long_fetch_inc(&job.section);
		unsigned long pfn = max(section_nr_to_pfn(section), job.start);

		if (pfn >= job.end)
			return;
		job.function(pfn, min(section_nr_to_pfn(section + 1), job.end));
		cond_resched();
	}
}

static void help(struct work_struct *work)
{
	take_sections();
}

/* Processors do not come or go: mem_hotplug_lock includes cpu_hotplug_lock. */
static unsigned int count_helpers(int nid)
{
	unsigned int cpus = cpumask_weight(cpumask_of_node(nid));

	/* A node of memory only, whose work any processor can do */
	if (!cpus)
		cpus = num_online_cpus();
	return min(cpus - 1, (unsigned int)MAX_HELPERS);
}

/* Call @function for parts of the range, which make up all of it. */
static void run(int nid, unsigned long pfn, unsigned long end,
		void (*function)(unsigned long pfn, unsigned long end))
{
	const unsigned int helpers = count_helpers(nid);
	unsigned int i;

	job.function = function;
	job.start = pfn;
	job.end = end;
	atomic_long_set(&job.section, pfn_to_section_nr(pfn));
	for (i = 0; i < helpers; i++)
		queue_work_node(nid, workqueue, &job.helpers[i]);
	take_sections();
	for (i = 0; i < helpers; i++)
		cancel_work_sync(&job.helpers[i]);
}

static bool worthwhile(int nid)
{
	return workqueue && count_helpers(nid);
}

/* The pages that the core is about to hand out; mem_hotplug_lock */
static struct {
	unsigned long pfn, end;
	int nid;
} to_hand_out;

/* As online_pages_range() in mm/memory_hotplug.c */
static void hand_out(unsigned long pfn, unsigned long end)
{
	while (pfn < end) {
		unsigned int order = min(ilog2(MAX_ORDER_NR_PAGES), (int)__ffs(pfn));

		generic_online_page(pfn_to_page(pfn), order);
		pfn += 1UL << order;
	}
}

/*
 * An online_page_callback: the core calls it for one chunk of the range after
 * the other. The first call hands out all of them.
 */
static void hand_out_all(struct page *page, unsigned int order)
{
	if (to_hand_out.pfn < to_hand_out.end)
		run(to_hand_out.nid, to_hand_out.pfn, to_hand_out.end, hand_out);
	to_hand_out.pfn = to_hand_out.end;
}

/**
 * parallel_online_pages() - mm_online_pages(), by several processors if
 *	blocks are large
 * @pfn: first page, pageblock aligned
 * @nr_pages: up to the end of a section
 * @zone: where the pages go
 * @group: the memory block's, or NULL
 *
 * Context: mem_hotplug_lock held for writing.
 * Return: 0 or a negative errno.
 */
int parallel_online_pages(unsigned long pfn, unsigned long nr_pages, struct zone *zone,
			  struct memory_group *group)
{
	const int nid = zone_to_nid(zone);

	if (!worthwhile(nid))
		return mm_online_pages(pfn, nr_pages, zone, group, generic_online_page);
	to_hand_out.pfn = pfn;
	to_hand_out.end = pfn + nr_pages;
	to_hand_out.nid = nid;
	return mm_online_pages(pfn, nr_pages, zone, group, hand_out_all);
}

/*
 * The task whose next call of memmap_init_range() is to be spread. Hooks read
 * it without a lock: only the task itself can find itself there.
 */
static struct task_struct *initialising;
/* The arguments of that call; mem_hotplug_lock */
static struct memmap_init memmap_init;

static void initialise(unsigned long pfn, unsigned long end)
{
	mm_memmap_init_range(&memmap_init, pfn, end - pfn);
}

static bool memmap_init_range_wanted(const unsigned long *arguments)
{
	return READ_ONCE(initialising) == current;
}

/*
 * memmap_init_range() raises highest_memmap_pfn if its range ends above that,
 * without a lock. So the last pageblock is done first, alone: after that the
 * other calls find nothing to raise.
 */
static void wrapped_memmap_init_range(MEMMAP_INIT_PARAMETERS)
{
	const unsigned long end = start_pfn + size;
	const unsigned long last = end - pageblock_nr_pages;

	WRITE_ONCE(initialising, NULL);
	memmap_init = (struct memmap_init)MEMMAP_INIT_ARGUMENTS;
	initialise(last, end);
	run(nid, start_pfn, last, initialise);
}

static typeof(memmap_init_range) wrapped_memmap_init_range __maybe_unused;

static struct hook hooks[] = {
	{
		.symbol = "memmap_init_range",
		.wrapper = wrapped_memmap_init_range,
		.wanted = memmap_init_range_wanted,
		.without = "the struct pages of a block that comes online are initialised by one processor",
	},
};

static struct hook_table table = HOOK_TABLE(hooks);

/**
 * parallel_move_pfn_range_to_zone() - mm_move_pfn_range_to_zone(), by several
 *	processors if blocks are large
 * @move: the call
 *
 * Context: mem_hotplug_lock held for writing.
 */
void parallel_move_pfn_range_to_zone(const struct zone_move *move)
{
	if (worthwhile(zone_to_nid(move->zone)))
		WRITE_ONCE(initialising, current);
	mm_move_pfn_range_to_zone(move);
	WRITE_ONCE(initialising, NULL);
}

/**
 * parallel_init() - where memory blocks are large, make the workqueue and wrap
 *	the function that initialises struct pages
 *
 * Context: Process context, may sleep.
 * Return: 0 or a negative errno.
 */
int parallel_init(void)
{
	unsigned int i;
	int ret;

	if (PHYS_PFN(memory_block_size_bytes()) < MIN_BLOCK_PAGES || num_possible_cpus() == 1)
		return 0;

	for (i = 0; i < MAX_HELPERS; i++)
		INIT_WORK(&job.helpers[i], help);
	/*
	 * Unbound, which spares isolated processors. WQ_MEM_RECLAIM, since the
	 * workqueue of an OOM waits for these workers.
	 */
	workqueue = alloc_workqueue("twostage_parallel", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!workqueue)
		return -ENOMEM;
	ret = hooks_install(&table);
	if (ret)
		destroy_workqueue(workqueue);
	return ret;
}

/**
 * parallel_exit() - undo parallel_init()
 *
 * Context: Process context, sleeps. No region is left.
 */
void parallel_exit(void)
{
	if (!workqueue)
		return;
	hooks_remove(&table);
	destroy_workqueue(workqueue);
	workqueue = NULL;
}
