// SPDX-License-Identifier: GPL-2.0-only
/*
 * The wrapped online and offline path, and the memory notifier
 *
 * A block is set online, by whomever, in the core's online_pages(). For a standby block our wrapper
 * runs in its place. It calls the original for the block without the pages that its own memmap will
 * take, and of what the original does
 *
 *   1. move_pfn_range_to_zone()	initialises struct pages that are not there yet: the wrapper
 *					only notes the arguments;
 *   2. MEM_GOING_ONLINE		our callback comes first: stage 2, and then the zone move of 1,
 *					so that all other callbacks find their struct pages;
 *   3. the onlining proper		is the core's.
 *
 * If a callback refuses, the core calls MEM_CANCEL_ONLINE and then remove_pfn_range_from_zone(). Both
 * still touch the struct pages, so stage 2 is undone only after the original has returned; and if
 * stage 2 itself failed, there are no struct pages, and the wrapper of the latter does nothing.
 *
 * Offline: the original for the shortened range, then stage 2 is undone.
 *
 * set_zone_contiguous(), with which the core finds out whether a zone that it has resized is without holes, is left out
 * in both, and on each node that has regions.
 *
 * At stage 1 and at the removal, arch_add_memory() and arch_remove_memory() have nothing to map or to
 * unmap. The sections of standby memory are not even marked present: the core does not look at that for
 * memory that is added, but makedumpfile takes a present section for one with a memmap, and gives up.
 *
 * online_pages() and offline_pages() run with mem_hotplug_lock held for writing, so there is one
 * operation at a time.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/firmware-map.h>
#include <linux/list.h>
#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/notifier.h>
#include <linux/mutex.h>
#include <linux/numa.h>
#include <linux/pagemap.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/set_memory.h>
#include <linux/suspend.h>
#include <linux/sysfs.h>
#include <linux/uaccess.h>

#include "hook.h"
#include "mm_internals.h"
#include "online.h"
#include "populate.h"
#include "region.h"
#include "trace.h"

/**
 * enum operation_phase - how far the operation in flight has come
 * @PHASE_STANDBY: the block goes online and has no struct pages
 * @PHASE_BUSY: the struct pages come into being, or are there, or go: nothing is to be withheld from
 *	the core's functions. An offline is in this phase throughout.
 */
enum operation_phase {
	PHASE_STANDBY,
	PHASE_BUSY,
};

/*
 * The one online or offline of a block that is in flight.
 *
 * Written under mem_hotplug_lock. Hooks look at @task without it: it can be equal to current only if
 * current itself is in the operation, and then the rest is current's own.
 */
static struct operation {
	struct task_struct *task;
	struct twostage_region *region;
	unsigned long index;
	enum operation_phase phase;
	struct zone_move move;
	bool populated;
} operation;

static bool in_operation(void)
{
	return READ_ONCE(operation.task) == current;
}

static void operation_begin(struct twostage_region *region, unsigned long index,
			    enum operation_phase phase)
{
	operation.region = region;
	operation.index = index;
	operation.phase = phase;
	operation.populated = false;
	WRITE_ONCE(operation.task, current);
}

/* The task between online_batch_begin() and online_batch_end(); device_hotplug_lock. */
static struct task_struct *batch_task;

static bool in_batch(void)
{
	return READ_ONCE(batch_task) == current;
}

static void operation_end(void)
{
	WRITE_ONCE(operation.task, NULL);
}

/*
 * The system hibernates. Set before it is looked whether blocks are populated, under device_hotplug_lock,
 * which whoever sets one online holds.
 */
static bool hibernating;

static u64 pfn_argument(struct pt_regs *regs, unsigned int n)
{
	return PFN_PHYS(regs_get_kernel_argument(regs, n));
}

/* Our own calls of the originals come from within an operation. */
static bool block_call_wanted(struct pt_regs *regs)
{
	return region_of(pfn_argument(regs, 0)) && !in_operation();
}

static bool zone_call_wanted(struct pt_regs *regs)
{
	return in_operation() && operation.phase == PHASE_STANDBY;
}

static bool zone_resized_wanted(struct pt_regs *regs)
{
	struct zone *zone = (struct zone *)regs_get_kernel_argument(regs, 0);

	return in_operation() || regions_on_node(zone_to_nid(zone));
}

static bool arch_add_wanted(struct pt_regs *regs)
{
	struct twostage_region *region = region_of(regs_get_kernel_argument(regs, 1));

	return region && READ_ONCE(region->adding) == current && !in_operation();
}

static bool arch_remove_wanted(struct pt_regs *regs)
{
	return region_of(regs_get_kernel_argument(regs, 0)) && !in_operation();
}

static int wrapped_online_pages(unsigned long pfn, unsigned long nr_pages, struct zone *zone,
				struct memory_group *group)
{
	struct twostage_region *region = region_of(PFN_PHYS(pfn));
	const unsigned long index = region_block_index(region, PFN_PHYS(pfn));
	const unsigned long memmap_pages = block_memmap_pages(region, index);
	u64 started = trace_start();
	int ret;

	/* The core's auto-online, from within the add. Its walk over the blocks ends with this. */
	if (READ_ONCE(region->adding) == current && (!region->auto_online || region->add_error))
		return -ECANCELED;

	/* Only whole blocks can be set online, and only once: anything else is not the core's doing. */
	if (WARN_ON_ONCE(nr_pages != PHYS_PFN(memory_block_size_bytes()) ||
			 region->blocks[index].populated))
		return -EINVAL;

	if (READ_ONCE(hibernating) && !region->provider->survives_power_cycle) {
		twostage_region_report(region, PFN_PHYS(pfn), "the system hibernates, its memory would be lost");
		return -EBUSY;
	}

	operation_begin(region, index, PHASE_STANDBY);
	ret = mm_online_pages(pfn + memmap_pages, nr_pages - memmap_pages, zone, group);
	if (!ret && memmap_pages)
		mm_adjust_present_page_count(pfn_to_page(pfn), group, memmap_pages);
	if (ret && operation.populated) {
		/* Its sections have never been online, so there are no readers to wait for. */
		block_withdraw(region, index);
		block_depopulate(region, index);
	}
	operation_end();

	trace_block_online(region, PFN_PHYS(pfn), PFN_PHYS(nr_pages), trace_duration(started), ret);
	return ret;
}

/*
 * Wrappers in which a task may sleep without anything that keeps the module, and not with device_hotplug_lock, for
 * which they may wait.
 */
static atomic_t visitors = ATOMIC_INIT(0);

/*
 * A call of memory_failure() for a page of a region, on the stack of the one who makes it. The page is part of no more
 * than what is from first to end: how large it is, is not known by then, it may be gigantic, and in several blocks.
 */
struct failure {
	struct list_head node;
	unsigned long first, end;
};

/* All of them, and where pages have ever broken */
static struct {
	spinlock_t lock;
	struct list_head list;
	unsigned long first, end;
} failures = {
	.lock = __SPIN_LOCK_UNLOCKED(failures.lock),
	.list = LIST_HEAD_INIT(failures.list),
	.first = ULONG_MAX,
};

static bool failure_within(unsigned long pfn, unsigned long end)
{
	struct failure *failure;
	bool within = false;

	spin_lock(&failures.lock);
	list_for_each_entry(failure, &failures.list, node)
		within |= failure->first < end && failure->end > pfn;
	spin_unlock(&failures.lock);
	return within;
}

/* With the hooks gone; the first and the last instructions of a wrapper are not counted. */
static void wait_for_visitors(void)
{
	synchronize_rcu_tasks();
	while (atomic_read(&visitors))
		schedule_timeout_idle(HZ / 10);
	synchronize_rcu_tasks();
}

/*
 * A block is offline: whoever is not in the list by now does not find a page of it. Of who has to do with other pages
 * nobody knows what he waits for. (Of these who is here may have to wait for one, who was first to have memory failure's
 * lock.)
 */
static void wait_for_failures(struct twostage_region *region, unsigned long index)
{
	const unsigned long pfn = PHYS_PFN(region_block_start(region, index));

	while (failure_within(pfn, pfn + PHYS_PFN(memory_block_size_bytes())))
		schedule_timeout_uninterruptible(1);
}

static void wait_for_readers(struct twostage_region *region, u64 start, u64 size)
{
	u64 started = trace_start();

	mm_wait_for_memmap_readers();
	trace_wait_readers(region, start, size, trace_duration(started), 0);
}

/*
 * The offline that is under way, as long as it can be told to give up: without a way back, it would have gone past a page
 * that has broken meanwhile. An offline looks for signals all the time, whoever runs it.
 */
static struct {
	spinlock_t lock;
	struct task_struct *task;
	unsigned long pfn, end;
	bool told;
} offlining = {
	.lock = __SPIN_LOCK_UNLOCKED(offlining.lock),
};

static void offlining_begin(unsigned long pfn, unsigned long nr_pages)
{
	spin_lock(&offlining.lock);
	offlining.pfn = pfn;
	offlining.end = pfn + nr_pages;
	offlining.told = false;
	offlining.task = current;
	spin_unlock(&offlining.lock);
}

/* Whether it was told to give up */
static bool offlining_end(void)
{
	bool told;

	spin_lock(&offlining.lock);
	offlining.task = NULL;
	told = offlining.told;
	spin_unlock(&offlining.lock);
	if (told)
		mm_forget_false_signal();
	return told;
}

static bool may_have_broken_pages(unsigned long pfn, unsigned long nr_pages)
{
	bool may;

	spin_lock(&failures.lock);
	may = pfn < failures.end && pfn + nr_pages > failures.first;
	spin_unlock(&failures.lock);
	return may;
}

/* Memory failure has a reference to a page that it was done with, and has taken it from all who could find it. */
static bool is_used(struct page *page)
{
	struct folio *folio = page_folio(page);

	return page_count(page) > 1 || folio_test_lru(folio) || folio_mapped(folio) || folio_mapping(folio);
}

/*
 * An offline takes no notice of who uses a page that is broken. Elsewhere he may go on, since nothing of the page goes
 * away; ours would pull the memmap and the direct map from under him. In a kernel zone it may be any part of the kernel;
 * of movable memory it is whoever has a reference, and page tables that have had the page.
 */
static int broken_pages_in_use(struct twostage_region *region, unsigned long pfn, unsigned long nr_pages)
{
	const bool movable = page_zonenum(pfn_to_page(pfn)) == ZONE_MOVABLE;
	const u64 start = region_block_start(region, region_block_index(region, PFN_PHYS(pfn)));
	unsigned long i;
	int user;

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE) || !may_have_broken_pages(pfn, nr_pages))
		return 0;
	for (i = 0; i < nr_pages; i++) {
		struct page *page = pfn_to_page(pfn + i);

		if (!(i % 1024))
			cond_resched();
		if (PageHWPoison(page) && (!movable || is_used(page))) {
			pr_err("%s: block at %#llx: has a page that is broken and in use\n", dev_name(&region->dev), start);
			return -EBUSY;
		}
	}

	/* Of a gigantic page that was broken in another block, there may be no more than this here. */
	user = mm_broken_page_mapped(pfn, nr_pages);
	if (user > 0)
		pr_err("%s: block at %#llx: has a page that is broken, of process %d: it has to end first\n",
		       dev_name(&region->dev), start, user);
	else if (user < 0)
		pr_err("%s: block at %#llx: may have a page that is broken, and whose cannot be found out (%pe)\n",
		       dev_name(&region->dev), start, ERR_PTR(user));
	return user ? -EBUSY : 0;
}

static void depopulate_or_defer(struct twostage_region *region, unsigned long index)
{
	if (in_batch()) {
		region->blocks[index].leaving = true;
		return;
	}
	wait_for_failures(region, index);
	wait_for_readers(region, region_block_start(region, index), memory_block_size_bytes());
	block_depopulate(region, index);
}

/* Not under one hold of mem_hotplug_lock: a provider may take its time. */
static void depopulate_leaving(struct twostage_region *region)
{
	bool waited = false;
	unsigned long i;

	for (i = 0; i < region->nr_blocks; i++) {
		if (!region->blocks[i].leaving)
			continue;
		mm_hotplug_begin();
		wait_for_failures(region, i);
		if (!waited)
			wait_for_readers(region, region->start, region->size);
		waited = true;
		operation_begin(region, i, PHASE_BUSY);
		region->blocks[i].leaving = false;
		block_depopulate(region, i);
		operation_end();
		mm_hotplug_done();
	}
}

/**
 * online_batch_begin() - the calling task is going to set several blocks of a region online or offline
 *
 * What is better done once for all of them is put off until online_batch_end(): blocks that go offline stay
 * populated so long, since there is a wait before stage 2 can be undone.
 *
 * Context: device_hotplug_lock held until online_batch_end().
 */
void online_batch_begin(void)
{
	WRITE_ONCE(batch_task, current);
}

/**
 * online_batch_end() - do what was put off since online_batch_begin()
 * @region: the blocks'
 *
 * Context: Process context, sleeps. device_hotplug_lock held.
 */
void online_batch_end(struct twostage_region *region)
{
	depopulate_leaving(region);
	WRITE_ONCE(batch_task, NULL);
}

static int offline_without_memmap(unsigned long pfn, unsigned long nr_pages, unsigned long memmap_pages,
				  struct zone *zone, struct memory_group *group)
{
	int ret;

	/* First, so that a zone that becomes empty is seen to be empty by the original. */
	if (memmap_pages)
		mm_adjust_present_page_count(pfn_to_page(pfn), group, -(long)memmap_pages);
	ret = mm_offline_pages(pfn + memmap_pages, nr_pages - memmap_pages, zone, group);
	if (ret && memmap_pages)
		mm_adjust_present_page_count(pfn_to_page(pfn), group, memmap_pages);
	return ret;
}

static int wrapped_offline_pages(unsigned long pfn, unsigned long nr_pages, struct zone *zone,
				 struct memory_group *group)
{
	struct twostage_region *region = region_of(PFN_PHYS(pfn));
	const unsigned long index = region_block_index(region, PFN_PHYS(pfn));
	const unsigned long memmap_pages = block_memmap_pages(region, index);
	u64 started = trace_start();
	bool breaks;
	int ret;

	if (WARN_ON_ONCE(nr_pages != PHYS_PFN(memory_block_size_bytes()) ||
			 !region->blocks[index].populated))
		return -EINVAL;

	operation_begin(region, index, PHASE_BUSY);
	offlining_begin(pfn, nr_pages);
	/* Whoever is not in the list by now tells us: see wrapped_memory_failure(). */
	breaks = failure_within(pfn, pfn + nr_pages);
	ret = breaks ? -EBUSY : broken_pages_in_use(region, pfn + memmap_pages, nr_pages - memmap_pages);
	if (!ret)
		ret = offline_without_memmap(pfn, nr_pages, memmap_pages, zone, group);
	if ((offlining_end() && ret == -EINTR) || breaks) {
		pr_err("%s: block at %#llx: a page of it, or near it, breaks at this moment, try again\n", dev_name(&region->dev),
		       PFN_PHYS(pfn));
		ret = -EBUSY;
	}
	if (!ret)
		depopulate_or_defer(region, index);
	operation_end();

	trace_block_offline(region, PFN_PHYS(pfn), PFN_PHYS(nr_pages), trace_duration(started), ret);
	return ret;
}

static void wrapped_move_pfn_range_to_zone(MOVE_PFN_RANGE_PARAMETERS)
{
	operation.move = (struct zone_move)MOVE_PFN_RANGE_ARGUMENTS;
}

static void wrapped_remove_pfn_range_from_zone(struct zone *zone, unsigned long start_pfn,
					       unsigned long nr_pages)
{
}

/*
 * Who walks a zone without holes does not ask for each pageblock whether it is online (pageblock_pfn_to_page()).
 * Compaction walks a span that it has noted before, and sleeps: with a block at the zone's end offline, the zone is
 * smaller and has no hole either, and compaction goes on beyond its end. The stock kernel still has a memmap there.
 *
 * So zones with blocks of ours count as having holes, as each zone does while it is being resized, and zones that have
 * had some: others may resize them while compaction is still on its way. That also saves the search for holes, which
 * looks at every pageblock of the zone, twice for a block that hosts its memmap.
 */
static void wrapped_set_zone_contiguous(struct zone *zone)
{
}

static int wrapped_arch_add_memory(int nid, u64 start, u64 size, struct mhp_params *params)
{
	return mm_sections_alloc(start, size, nid);
}

static void wrapped_arch_remove_memory(ARCH_REMOVE_MEMORY_PARAMETERS)
{
	struct twostage_region *region = region_of(start);

	blocks_unassign(region);
	region_forget_blocks(region);
}

/*
 * While stage 1 is going on, memory blocks are in sysfs before the core has told them their node, and
 * valid_zones would look for the zones of no node at all. For a large region that takes a second.
 */
static bool valid_zones_wanted(struct pt_regs *regs)
{
	struct device *dev = (struct device *)regs_get_kernel_argument(regs, 0);
	struct memory_block *block = container_of(dev, struct memory_block, dev);

	return READ_ONCE(block->nid) == NUMA_NO_NODE &&
	       region_of(PFN_PHYS(section_nr_to_pfn(block->start_section_nr)));
}

static ssize_t wrapped_valid_zones_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "none\n");
}

/*
 * The firmware's memory map tells the next kernel, started by kexec, what memory there is. Standby memory was
 * never entered there, but what the firmware itself says about this very range (and the kernel was told to
 * leave alone) would be taken for an entry of ours, and go with the region.
 */
static bool firmware_map_wanted(struct pt_regs *regs)
{
	return region_of(regs_get_kernel_argument(regs, 0));
}

static int wrapped_firmware_map_remove(u64 start, u64 end, const char *type)
{
	return 0;
}

/*
 * A wrapper that waits for its turn as if it were a hotplug operation, and calls the original then: that call comes from
 * this task.
 */
static struct task_struct *serialised_task;

static void serialised_begin(void)
{
	atomic_inc(&visitors);
	mm_lock_device_hotplug();
	WRITE_ONCE(serialised_task, current);
}

static void serialised_end(void)
{
	WRITE_ONCE(serialised_task, NULL);
	mm_unlock_device_hotplug();
	atomic_dec(&visitors);
}

#ifdef CONFIG_MEMORY_FAILURE
/*
 * Memory failure finds a page by pfn_to_online_page(), and then waits for locks before it takes hold of the page, or
 * holds nothing but a reference that an offline does not mind. Of a block that goes offline meanwhile the struct page
 * would be gone.
 *
 * An offline of its block that is under way gives up, and the page is not marked as broken before it has, or the offline
 * would go past it without a look at who uses it. One that has succeeded waits for memory failure in the end. Its own
 * calls of the original have a flag that nobody else knows.
 */
#define MF_OURS BIT(30)

static bool failure_wanted(struct pt_regs *regs)
{
	return !(regs_get_kernel_argument(regs, 1) & MF_OURS) && region_of(pfn_argument(regs, 0));
}

static bool tell_offline(unsigned long pfn, unsigned long end)
{
	bool under_way;

	spin_lock(&offlining.lock);
	under_way = offlining.task && offlining.task != current && offlining.pfn < end && offlining.end > pfn;
	if (under_way) {
		offlining.told = true;
		set_tsk_thread_flag(offlining.task, TIF_SIGPENDING);
	}
	spin_unlock(&offlining.lock);
	return under_way;
}

static void failure_begin(struct failure *failure)
{
	spin_lock(&failures.lock);
	list_add(&failure->node, &failures.list);
	failures.first = min(failures.first, failure->first);
	failures.end = max(failures.end, failure->end);
	spin_unlock(&failures.lock);
}

static void failure_end(struct failure *failure)
{
	spin_lock(&failures.lock);
	list_del(&failure->node);
	spin_unlock(&failures.lock);
}

static int wrapped_memory_failure(unsigned long pfn, int flags)
{
	const unsigned long until = jiffies + 10 * HZ, gigantic = PHYS_PFN(PUD_SIZE);
	struct failure failure = {
		.first = ALIGN_DOWN(pfn, gigantic),
		.end = ALIGN_DOWN(pfn, gigantic) + gigantic,
	};
	int ret;

	/* The next line may sleep, on PREEMPT_RT. */
	atomic_inc(&visitors);
	/* Before it is asked whether the page is online, or its block goes offline: see wait_for_failures(). */
	failure_begin(&failure);
	/*
	 * An offline looks for signals between two rounds through the block. There is an end to the wait, since what is
	 * broken should not be used for long.
	 */
	while (tell_offline(failure.first, failure.end) && time_before(jiffies, until))
		schedule_timeout_uninterruptible(1);
	ret = mm_memory_failure(pfn, flags | MF_OURS);
	failure_end(&failure);
	atomic_dec(&visitors);
	return ret;
}

/* Whether the original would wait for somebody to be done with the page. Nothing goes offline meanwhile. */
static bool page_is_busy(unsigned long pfn)
{
	struct page *page = pfn_to_online_page(pfn);
	struct folio *folio;
	bool busy;

	if (!page)
		return false;
	folio = page_folio(page);
	if (!folio_try_get(folio))
		return false;
	busy = folio == page_folio(page) && (folio_test_locked(folio) || folio_test_writeback(folio));
	folio_put(folio);
	return busy;
}

/*
 * soft_offline_page() is in no hurry, and waits for mem_hotplug_lock with a lock in hand that memory_failure() takes:
 * that must not happen during an offline, wherever its page is. So it waits for its turn first. A reference to the page
 * that its caller has got for it would keep the block's offline from ending.
 */
static bool serialised_wanted(struct pt_regs *regs)
{
	return READ_ONCE(serialised_task) != current && regions_exist();
}

/*
 * A turn when nobody has the page, or memory failure's lock, who may need a turn himself to be done with it. They are
 * waited for without.
 */
static int serialised_begin_idle(unsigned long pfn)
{
	unsigned long until = 0;
	bool idle;

	atomic_inc(&visitors);
	for (;;) {
		serialised_begin();
		idle = !page_is_busy(pfn) && !mm_memory_failure_busy();
		if (idle)
			break;
		serialised_end();
		/* The wait for the first turn does not count. */
		until = until ?: jiffies + 5 * HZ;
		if (time_after(jiffies, until) || fatal_signal_pending(current))
			break;
		schedule_timeout_uninterruptible(1);
	}
	atomic_dec(&visitors);
	return idle ? 0 : -EBUSY;
}

static int wrapped_soft_offline_page(unsigned long pfn, int flags)
{
	int ret;

	/* Here already: the next line may sleep, on PREEMPT_RT. */
	atomic_inc(&visitors);
	if (flags & MF_COUNT_INCREASED)
		put_page(pfn_to_page(pfn));
	ret = serialised_begin_idle(pfn);
	if (!ret) {
		ret = mm_soft_offline_page(pfn, flags & ~MF_COUNT_INCREASED);
		serialised_end();
	}
	atomic_dec(&visitors);
	return ret;
}

static int wrapped_unpoison_memory(unsigned long pfn)
{
	int ret;

	ret = serialised_begin_idle(pfn);
	if (ret)
		return ret;
	ret = mm_unpoison_memory(pfn);
	serialised_end();
	return ret;
}

#ifdef CONFIG_X86_MCE
static int serialised_begin_timeout(unsigned int seconds)
{
	int ret;

	atomic_inc(&visitors);
	ret = mm_lock_device_hotplug_timeout(seconds);
	if (ret)
		atomic_dec(&visitors);
	else
		WRITE_ONCE(serialised_task, current);
	return ret;
}

static bool nospec_wanted(struct pt_regs *regs)
{
	return READ_ONCE(serialised_task) != current && region_of(pfn_argument(regs, 0));
}

/*
 * After memory failure the page is taken out of the direct map. Not when there is no more of that; nor does it wait for
 * long, since other errors wait for this one.
 */
static int wrapped_set_mce_nospec(unsigned long pfn)
{
	int ret;

	ret = serialised_begin_timeout(2);
	if (ret) {
		pr_warn("the broken page at %#llx stays in the direct map\n", PFN_PHYS(pfn));
		return ret;
	}
	if (pfn_to_online_page(pfn))
		ret = mm_set_mce_nospec(pfn);
	serialised_end();
	return ret;
}
#endif
#endif

#ifdef CONFIG_PAGE_OWNER
static struct task_struct *page_owner_reader;

static bool page_owner_wanted(struct pt_regs *regs)
{
	/* Whether there are regions or not: there may be one before he is done. */
	return READ_ONCE(page_owner_reader) != current;
}

/*
 * Who reads page_owner walks through every memmap there is, whether its pages are online or not, so the wait for
 * readers does not keep him from one that is about to go: that waits for him. He may not wait for anybody meanwhile, and
 * where the text goes to may be the memory of one who never answers: so there are no page faults.
 */
static ssize_t wrapped_read_page_owner(struct file *file, char __user *text, size_t count, loff_t *pos)
{
	/* No more is written at a time. */
	const size_t most = min(count, PAGE_SIZE);
	const loff_t first = *pos;
	ssize_t ret = -EFAULT;
	int tries;

	atomic_inc(&visitors);
	/* What has been faulted in may be gone again. */
	for (tries = 0; tries < 100 && ret == -EFAULT; tries++) {
		if (most && fault_in_subpage_writeable(text, most) == most)
			break;
		ret = mutex_lock_killable(&memmaps_lock);
		if (ret)
			break;
		WRITE_ONCE(page_owner_reader, current);
		pagefault_disable();
		*pos = first;
		ret = mm_read_page_owner(file, text, count, pos);
		pagefault_enable();
		WRITE_ONCE(page_owner_reader, NULL);
		mutex_unlock(&memmaps_lock);
	}
	atomic_dec(&visitors);
	return ret;
}
#endif

static struct hook hooks[] = {
	HOOK(wrapped_online_pages,		block_call_wanted,  "online_pages"),
	HOOK(wrapped_offline_pages,		block_call_wanted,  "offline_pages"),
	HOOK(wrapped_move_pfn_range_to_zone,	zone_call_wanted,   "move_pfn_range_to_zone"),
	HOOK(wrapped_remove_pfn_range_from_zone, zone_call_wanted,  "remove_pfn_range_from_zone"),
	HOOK(wrapped_set_zone_contiguous,	zone_resized_wanted, "set_zone_contiguous"),
	HOOK(wrapped_arch_add_memory,		arch_add_wanted,    "arch_add_memory"),
	HOOK(wrapped_arch_remove_memory,	arch_remove_wanted, "arch_remove_memory"),
	HOOK(wrapped_valid_zones_show,		valid_zones_wanted, "valid_zones_show"),
#ifdef CONFIG_FIRMWARE_MEMMAP
	HOOK(wrapped_firmware_map_remove,	firmware_map_wanted, "firmware_map_remove"),
#endif
};

/*
 * The compiler checks the wrappers against the prototypes of what they stand for; a hook's pointer to
 * its wrapper has no type.
 */
static typeof(online_pages) wrapped_online_pages __maybe_unused;
static typeof(offline_pages) wrapped_offline_pages __maybe_unused;
static typeof(move_pfn_range_to_zone) wrapped_move_pfn_range_to_zone __maybe_unused;
static typeof(remove_pfn_range_from_zone) wrapped_remove_pfn_range_from_zone __maybe_unused;
static typeof(set_zone_contiguous) wrapped_set_zone_contiguous __maybe_unused;
static typeof(arch_add_memory) wrapped_arch_add_memory __maybe_unused;
static typeof(arch_remove_memory) wrapped_arch_remove_memory __maybe_unused;
static typeof(firmware_map_remove) wrapped_firmware_map_remove __maybe_unused;
#ifdef CONFIG_MEMORY_FAILURE
static typeof(memory_failure) wrapped_memory_failure __maybe_unused;
static typeof(soft_offline_page) wrapped_soft_offline_page __maybe_unused;
static typeof(unpoison_memory) wrapped_unpoison_memory __maybe_unused;
#ifdef CONFIG_X86_MCE
static typeof(set_mce_nospec) wrapped_set_mce_nospec __maybe_unused;
#endif
#endif

/*
 * Without the hooks the core would initialise a memmap that is not there, or take a block offline and
 * leave stage 2 behind. So memory_subsys_online() and memory_subsys_offline(), through which all comes,
 * are guarded: for our blocks they run only while the hooks do.
 */
static struct task_struct *guarded_task;

static bool guarded_call_wanted(struct pt_regs *regs)
{
	struct device *dev = (struct device *)regs_get_kernel_argument(regs, 0);
	struct memory_block *block = container_of(dev, struct memory_block, dev);

	return READ_ONCE(guarded_task) != current &&
	       region_of(PFN_PHYS(section_nr_to_pfn(block->start_section_nr)));
}

static int guarded_call(struct device *dev, int (*original)(struct device *dev))
{
	int ret;

	if (!hooks_armed()) {
		struct memory_block *block = container_of(dev, struct memory_block, dev);
		const u64 start = PFN_PHYS(section_nr_to_pfn(block->start_section_nr));

		/* As the original does: the zone that was asked for is not for the next time. */
		block->online_type = MMOP_OFFLINE;
		twostage_region_report(region_of(start), start, "refused, the hooks are switched off, see /sys/kernel/debug/kprobes/enabled");
		return -EIO;
	}
	/* Under device_hotplug_lock, so nobody else is here. */
	WRITE_ONCE(guarded_task, current);
	ret = original(dev);
	WRITE_ONCE(guarded_task, NULL);
	return ret;
}

static int guarded_memory_subsys_online(struct device *dev)
{
	return guarded_call(dev, mm_memory_subsys_online);
}

static int guarded_memory_subsys_offline(struct device *dev)
{
	return guarded_call(dev, mm_memory_subsys_offline);
}

/* And nobody switches kprobes off between the question whether the hooks work and the last of them. */
static bool switch_wanted(struct pt_regs *regs)
{
	return READ_ONCE(serialised_task) != current;
}

static ssize_t guarded_write_kprobes_enabled(struct file *file, const char __user *text, size_t count, loff_t *pos)
{
	ssize_t ret;

	serialised_begin();
	ret = mm_write_kprobes_enabled(file, text, count, pos);
	serialised_end();
	return ret;
}

/* Pages break while kprobes are switched off, too, and an offline that comes after that has to know. */
static struct guard guards[] = {
	{ "memory_subsys_online", guarded_memory_subsys_online, guarded_call_wanted },
	{ "memory_subsys_offline", guarded_memory_subsys_offline, guarded_call_wanted },
	{ "write_enabled_file_bool", guarded_write_kprobes_enabled, switch_wanted },
#ifdef CONFIG_MEMORY_FAILURE
	{ "memory_failure", wrapped_memory_failure, failure_wanted },
	{ "soft_offline_page", wrapped_soft_offline_page, serialised_wanted },
	{ "unpoison_memory", wrapped_unpoison_memory, serialised_wanted },
#ifdef CONFIG_X86_MCE
	{ "set_mce_nospec", wrapped_set_mce_nospec, nospec_wanted },
#endif
#endif
#ifdef CONFIG_PAGE_OWNER
	{ "read_page_owner", wrapped_read_page_owner, page_owner_wanted },
#endif
};

static int memory_going_online(void)
{
	int ret;

	if (!in_operation() || operation.phase != PHASE_STANDBY)
		return NOTIFY_DONE;

	operation.phase = PHASE_BUSY;
	ret = block_populate(operation.region, operation.index, &operation.move);
	if (ret)
		operation.phase = PHASE_STANDBY;
	else
		operation.populated = true;
	return notifier_from_errno(ret);
}

/* Nothing fails any more. Others who keep a list of System RAM renew it in their callbacks. */
static void memory_offline(void)
{
	if (in_operation())
		block_withdraw(operation.region, operation.index);
}

static int memory_callback(struct notifier_block *nb, unsigned long action, void *data)
{
	switch (action) {
	case MEM_GOING_ONLINE:
		return memory_going_online();
	case MEM_OFFLINE:
		memory_offline();
		break;
	}
	return NOTIFY_DONE;
}

static struct notifier_block memory_notifier = {
	.notifier_call = memory_callback,
	/* Everybody else expects the struct pages to be there. */
	.priority = INT_MAX,
};

/*
 * The kernel that resumes from hibernation starts without our regions: what was in populated blocks
 * would be lost. That holds for those that are set online once the hibernation has begun, too: until tasks
 * are frozen, or for as long as somebody has /dev/snapshot open.
 */
static int pm_callback(struct notifier_block *nb, unsigned long action, void *data)
{
	int ret;

	switch (action) {
	case PM_HIBERNATION_PREPARE:
		WRITE_ONCE(hibernating, true);
		ret = regions_forget_populated();
		if (!ret)
			break;
		WRITE_ONCE(hibernating, false);
		if (ret == -ETIMEDOUT)
			pr_err("hibernation refused: memory is going online or offline all the time, try again\n");
		else
			pr_err("hibernation refused: blocks are online whose memory would be lost, set them offline\n");
		return notifier_from_errno(-EBUSY);
	case PM_POST_HIBERNATION:
		WRITE_ONCE(hibernating, false);
		break;
	}
	return NOTIFY_DONE;
}

static struct notifier_block pm_notifier = { .notifier_call = pm_callback };

/**
 * online_show_hooks() - print a line for each hook and guard
 * @m: where to
 */
void online_show_hooks(struct seq_file *m)
{
	hooks_show(m, hooks, ARRAY_SIZE(hooks));
	guards_show(m, guards, ARRAY_SIZE(guards));
}

/**
 * online_init() - wrap the path, all of it or nothing
 *
 * Return: 0, or an error with its reason in the log.
 */
int online_init(void)
{
	int ret;

	ret = hooks_install(hooks, ARRAY_SIZE(hooks));
	if (ret)
		return ret;
	ret = guards_install(guards, ARRAY_SIZE(guards));
	if (ret)
		goto remove_hooks;
	ret = register_memory_notifier(&memory_notifier);
	if (ret)
		goto remove_guards;
	ret = register_pm_notifier(&pm_notifier);
	if (ret)
		goto unregister_memory;
	return 0;

unregister_memory:
	unregister_memory_notifier(&memory_notifier);
remove_guards:
	guards_remove(guards, ARRAY_SIZE(guards));
remove_hooks:
	hooks_remove(hooks, ARRAY_SIZE(hooks));
	wait_for_visitors();
	return ret;
}

/**
 * online_exit() - undo online_init()
 *
 * Context: Process context, sleeps. There is no region left, and device_hotplug_lock has been held since: only
 * visitors may still be in a wrapper.
 */
void online_exit(void)
{
	unregister_pm_notifier(&pm_notifier);
	unregister_memory_notifier(&memory_notifier);
	guards_remove(guards, ARRAY_SIZE(guards));
	hooks_remove(hooks, ARRAY_SIZE(hooks));
	wait_for_visitors();
}
