// SPDX-License-Identifier: GPL-2.0-only
/*
 * Code that walks the memmap by page frame numbers
 *
 * The stock kernel keeps the memmap of offline memory until the memory is
 * removed; ours is freed when the block goes offline. Code that walks physical
 * memory without a lock (kpageflags, kcore, ...) calls pfn_to_online_page() and
 * then looks at the struct page. Before a memmap is freed, wait until no such
 * code can still be between the two.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <linux/atomic.h>
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/tracepoint.h>
#include <linux/workqueue.h>

#include "mm_internals.h"
#include "pfn_walkers.h"

DEFINE_MUTEX(memmaps_lock);

/*
 * WQ_MEM_RECLAIM, so that its works run without allocating memory: memory is
 * often set offline while the system is short of it.
 */
static struct workqueue_struct *switch_workqueue;

static void pass_context_switch(struct work_struct *work)
{
}

/*
 * Without kernel preemption a task leaves the CPU only at explicit points, such
 * as cond_resched(). Walkers have none between pfn_to_online_page() and the
 * last use of the page, so all are done with it once each CPU has run a work.
 */
static int switch_every_cpu(void)
{
	struct work_struct *works;
	int cpu;

	works = kcalloc(nr_cpu_ids, sizeof(*works), GFP_KERNEL);
	if (!works)
		return -ENOMEM;

	for_each_online_cpu(cpu) {
		INIT_WORK(&works[cpu], pass_context_switch);
		queue_work_on(cpu, switch_workqueue, &works[cpu]);
	}
	for_each_online_cpu(cpu)
		flush_work(&works[cpu]);

	kfree(works);
	return 0;
}

/*
 * Number of tasks that compact memory. Compaction checks whether a pageblock
 * is online when it reaches it, and then walks its struct pages with
 * cond_resched() in between. While very many pages are isolated it also sleeps
 * in between, 20 ms at a time.
 */
static atomic_t compacting = ATOMIC_INIT(0);

/*
 * Value of @compacting if the tracepoints cannot be used: assume that
 * compaction runs all the time, and do not wait for its end.
 */
#define COMPACTION_UNKNOWN (INT_MAX / 2)

/*
 * The probes have the types of the events in trace/events/compaction.h: a
 * kernel that checks indirect calls (CFI) wants the same types.
 */
struct compact_control;

static void compaction_begins(void *unused, struct compact_control *cc, unsigned long zone_start,
			      unsigned long zone_end, bool sync)
{
	atomic_inc(&compacting);
}

/* Compaction that began before the probes were registered was not counted. */
static void compaction_ends(void *unused, struct compact_control *cc, unsigned long zone_start,
			    unsigned long zone_end, bool sync, int status)
{
	atomic_dec_if_positive(&compacting);
}

static struct compaction_event {
	const char *name;
	void *probe;
	struct tracepoint *tracepoint;
} compaction_events[] = {
	{ "mm_compaction_end", compaction_ends },
	{ "mm_compaction_begin", compaction_begins },
};

static void find_compaction_event(struct tracepoint *tracepoint, void *event)
{
	struct compaction_event *wanted = event;

	if (!strcmp(tracepoint->name, wanted->name))
		wanted->tracepoint = tracepoint;
}

static void unwatch_compaction(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(compaction_events); i++) {
		struct compaction_event *event = &compaction_events[i];

		if (event->tracepoint)
			tracepoint_probe_unregister(event->tracepoint, event->probe, NULL);
		event->tracepoint = NULL;
	}
	tracepoint_synchronize_unregister();
}

static void watch_compaction(void)
{
	unsigned int i;
	int ret;

	atomic_set(&compacting, 0);
	for (i = 0; i < ARRAY_SIZE(compaction_events); i++) {
		struct compaction_event *event = &compaction_events[i];

		for_each_kernel_tracepoint(find_compaction_event, event);
		ret = -ENOENT;
		if (event->tracepoint)
			ret = tracepoint_probe_register(event->tracepoint, event->probe, NULL);
		if (!ret)
			continue;
		event->tracepoint = NULL;
		if (IS_ENABLED(CONFIG_COMPACTION))
			atomic_set(&compacting, COMPACTION_UNKNOWN);
	}
}

/*
 * Wait, for a limited time, until no task compacts memory. Under constant
 * compaction this times out, and synchronize_rcu_tasks() in the caller covers
 * the rest. Without CONFIG_TASKS_RCU that does not wait for a task that is
 * runnable but not running, so wait longer here.
 */
static void wait_for_compaction(void)
{
	const unsigned long until = jiffies + (IS_ENABLED(CONFIG_TASKS_RCU) ? HZ : 10 * HZ);
	int count;

	while ((count = atomic_read(&compacting)) && count < COMPACTION_UNKNOWN / 2 &&
	       time_before(jiffies, until))
		usleep_range(1000, 2000);
}

/**
 * pfn_walkers_wait() - wait for code that may still look at struct pages of
 *	offline memory
 *
 * Between pfn_to_online_page() and the last use of the page the walkers neither
 * sleep nor are in an RCU read-side section. There are three exceptions:
 * compaction, which is waited for here; memory_failure(), see memory_failure.c;
 * and page_owner, see page_owner.c.
 *
 * Context: Process context, sleeps. mem_hotplug_lock held, and thereby
 * cpu_hotplug_lock. The memory is offline.
 */
void pfn_walkers_wait(void)
{
	wait_for_compaction();
	if (!preempt_model_none() && !preempt_model_voluntary()) {
		/*
		 * Kernel code can be preempted anywhere: wait until each task
		 * has slept.
		 */
		synchronize_rcu_tasks();
		return;
	}
	/*
	 * A task that compacts memory may have switched in the middle of its
	 * walk, so a switch of every CPU does not cover it.
	 */
	if (switch_every_cpu() || atomic_read(&compacting))
		synchronize_rcu_tasks();
}

/**
 * pfn_walkers_init() - make pfn_walkers_wait() work
 *
 * Return: 0 or -ENOMEM.
 */
int pfn_walkers_init(void)
{
	switch_workqueue = alloc_workqueue("twostage",
					   WQ_HIGHPRI | WQ_MEM_RECLAIM | MM_WQ_PERCPU, 0);
	if (!switch_workqueue)
		return -ENOMEM;
	watch_compaction();
	return 0;
}

/** pfn_walkers_exit() - undo pfn_walkers_init() */
void pfn_walkers_exit(void)
{
	unwatch_compaction();
	destroy_workqueue(switch_workqueue);
}
