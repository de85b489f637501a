// SPDX-License-Identifier: GPL-2.0-only
/*
 * The wrapped online and offline path
 *
 * Every request to set a block online ends in the core's online_pages(). For a
 * standby block our wrapper runs in its place. It calls the original for the
 * block without the pages that the block's own memmap will take. The steps of
 * the original:
 *
 *   1. move_pfn_range_to_zone()	would initialise struct pages that do
 *					not exist yet: its wrapper only notes
 *					the arguments;
 *   2. MEM_GOING_ONLINE		our callback runs first: it does stage 2
 *					and then the zone move of step 1, so
 *					that all others find the struct pages;
 *   3. the onlining itself		is left to the core.
 *
 * If a callback refuses, the core calls MEM_CANCEL_ONLINE and then
 * remove_pfn_range_from_zone(). Both still touch the struct pages, so stage 2
 * is undone only after the original has returned. If stage 2 itself failed,
 * there are no struct pages, and the wrapper of remove_pfn_range_from_zone()
 * does nothing.
 *
 * The wrapper of offline_pages() calls the original for the same shortened
 * range, and then undoes stage 2.
 *
 * At stage 1 and at the removal, arch_add_memory() and arch_remove_memory()
 * have nothing to map or to unmap, so their wrappers do not call the originals.
 * The sections of standby memory are not even marked present. The core does not
 * need that, while makedumpfile expects a memmap in each section that is
 * present, and fails without.
 *
 * online_pages() and offline_pages() run with mem_hotplug_lock held for
 * writing, so there is one operation at a time.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/delay.h>
#include <linux/firmware-map.h>
#include <linux/jiffies.h>
#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/notifier.h>
#include <linux/numa.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/spinlock.h>
#include <linux/sysfs.h>

#include "dma.h"
#include "hibernate.h"
#include "hook.h"
#include "hotplug_lock.h"
#include "memory_failure.h"
#include "mm_internals.h"
#include "online.h"
#include "parallel.h"
#include "pfn_walkers.h"
#include "populate.h"
#include "region_table.h"
#include "report.h"
#include "trace.h"
#include "twostage_arch.h"

/**
 * enum operation_phase - how far the operation in flight has come
 * @PHASE_STANDBY: the block goes online and has no struct pages
 * @PHASE_BUSY: the struct pages are being made or freed, or exist: the core's
 *	functions run as they are. An offline is in this phase throughout.
 */
enum operation_phase {
	PHASE_STANDBY,
	PHASE_BUSY,
};

/*
 * The online or offline of a block that is in flight.
 *
 * Written under mem_hotplug_lock. Hooks read @task without that lock: only the
 * task that runs the operation can find itself there, and while it does, no
 * other task changes the other members.
 */
static struct operation {
	struct task_struct *task;
	struct twostage_block *block;
	enum operation_phase phase;
	struct zone_move move;
	bool zone_is_new;
} operation;

static bool in_operation(void)
{
	return READ_ONCE(operation.task) == current;
}

static void operation_begin(struct twostage_block *block, enum operation_phase phase)
{
	operation.block = block;
	operation.phase = phase;
	operation.zone_is_new = false;
	WRITE_ONCE(operation.task, current);
}

static void operation_end(void)
{
	WRITE_ONCE(operation.task, NULL);
}

/* The task that is in a batch of operations; device_hotplug_lock */
static struct task_struct *batch_task;

static bool in_batch(void)
{
	return READ_ONCE(batch_task) == current;
}

/*
 * Wrappers call the originals from within an operation: redirect only calls
 * that come from outside of one.
 */
static bool block_call_wanted(const unsigned long *arguments)
{
	return block_at_pfn(arguments[0]) && !in_operation();
}

/* The core's auto-online, from within the add of the region */
static bool is_unwanted_auto_online(const struct twostage_region *region)
{
	return READ_ONCE(region->adding) == current && (!region->auto_online || region->add_error);
}

static int check_online(const struct twostage_block *block, unsigned long nr_pages)
{
	struct twostage_region *region = block->region;

	if (block->stage == BLOCK_POISONED) {
		twostage_region_report(region, block_start(block),
				       "cannot come online: it has a hardware-poisoned page: reboot to use the rest of it");
		return -EHWPOISON;
	}
	/* The core sets only whole blocks online, and only once. */
	if (WARN_ON_ONCE(nr_pages != block_pages() || block->stage != BLOCK_STANDBY))
		return -EINVAL;
	if (hibernation_loses(region)) {
		twostage_region_report(region, block_start(block),
				       "cannot come online: the system hibernates, which would lose its memory: try again after the resume");
		return -EBUSY;
	}
	return dma_check_online(block);
}

/*
 * With online_on_oom an OOM waits for an operation that is in flight, and the
 * operation's own allocations must not wait for that OOM. So they use the
 * reserves instead of reclaim, where they are few: not for a memmap from
 * ordinary memory.
 */
static bool uses_reserves(const struct twostage_block *block)
{
	return READ_ONCE(block->region->online_on_oom) && block_memmap_pages(block);
}

static int wrapped_online_pages(unsigned long pfn, unsigned long nr_pages, struct zone *zone,
				struct memory_group *group)
{
	struct twostage_block *block = block_at_pfn(pfn);
	const unsigned long memmap_pages = block_memmap_pages(block);
	u64 started = trace_start();
	const bool reserves = uses_reserves(block);
	unsigned int flags = 0;
	int ret;

	/* The error ends the core's auto-online at the first block. */
	if (is_unwanted_auto_online(block->region))
		return -ECANCELED;
	ret = check_online(block, nr_pages);
	if (ret)
		return ret;

	if (reserves)
		flags = memalloc_noreclaim_save();
	operation_begin(block, PHASE_STANDBY);
	operation.zone_is_new = READ_ONCE(block->region->online_on_oom) && !populated_zone(zone);
	ret = parallel_online_pages(pfn + memmap_pages, nr_pages - memmap_pages, zone, group);
	if (!ret && memmap_pages)
		mm_call(adjust_present_page_count)(pfn_to_page(pfn), group, memmap_pages);
	if (ret && block->stage == BLOCK_POPULATED) {
		/*
		 * The sections have never been online, so no walker can have
		 * found their struct pages: pfn_walkers_wait() is not needed.
		 */
		block_withdraw(block);
		block_depopulate(block);
	}
	operation_end();
	if (reserves)
		memalloc_noreclaim_restore(flags);

	trace_block_online(block->region->id, PFN_PHYS(pfn), PFN_PHYS(nr_pages),
			   trace_duration(started), ret);
	return ret;
}

static void wait_for_walkers(const struct twostage_region *region, u64 start, u64 size)
{
	u64 started = trace_start();

	pfn_walkers_wait();
	trace_wait_readers(region->id, start, size, trace_duration(started), 0);
}

/* The block is offline, and pfn_walkers_wait() has been called since. */
static void depopulate_or_keep(struct twostage_block *block)
{
	const bool reserves = uses_reserves(block);
	unsigned int flags = 0;

	if (reserves)
		flags = memalloc_noreclaim_save();
	if (block_has_hwpoison(block))
		block_keep_poisoned(block);
	else
		block_depopulate(block);
	if (reserves)
		memalloc_noreclaim_restore(flags);
}

static void depopulate_or_defer(struct twostage_block *block)
{
	if (in_batch()) {
		block->teardown_pending = true;
		return;
	}
	wait_for_walkers(block->region, block_start(block), memory_block_size_bytes());
	depopulate_or_keep(block);
}

/*
 * Gives up mem_hotplug_lock after each block, because an unassign may take long
 * and other tasks need the lock.
 */
static void depopulate_pending(struct twostage_region *region)
{
	bool waited = false;
	unsigned long i;

	for (i = 0; i < region->nr_blocks; i++) {
		struct twostage_block *block = &region->blocks[i];

		if (!block->teardown_pending)
			continue;
		mm_call(mem_hotplug_begin)();
		if (!waited)
			wait_for_walkers(region, region->start, region->size);
		waited = true;
		operation_begin(block, PHASE_BUSY);
		block->teardown_pending = false;
		depopulate_or_keep(block);
		operation_end();
		mm_call(mem_hotplug_done)();
	}
}

/**
 * online_batch_begin() - the calling task is going to set several blocks of a
 *	region online or offline
 *
 * Blocks that go offline stay populated until online_batch_end(), so that it
 * waits for walkers of the memmap only once.
 *
 * Context: device_hotplug_lock held until online_batch_end().
 */
void online_batch_begin(void)
{
	WRITE_ONCE(batch_task, current);
}

/* The task in a batch uses the reserves until the end of the batch. */
static bool batch_uses_reserves;

/**
 * online_batch_use_reserves() - let the calling task allocate from the reserves
 *	instead of reclaiming, if it is in a batch
 *
 * For an OOM of that task, which holds device_hotplug_lock: no other task can
 * set a block online then. What it allocates outside of the wrappers is little,
 * uevents for instance. Its offlines have to give way first, since they would
 * use up the reserves.
 *
 * Context: Any.
 * Return: whether it is in a batch.
 */
bool online_batch_use_reserves(void)
{
	if (!in_batch())
		return false;
	batch_uses_reserves = true;
	current->flags |= PF_MEMALLOC;
	return true;
}

/**
 * online_batch_end() - do what was put off since online_batch_begin()
 * @region: the region of the blocks
 *
 * Context: Process context, sleeps. device_hotplug_lock held.
 */
void online_batch_end(struct twostage_region *region)
{
	depopulate_pending(region);
	WRITE_ONCE(batch_task, NULL);
	if (batch_uses_reserves)
		current->flags &= ~PF_MEMALLOC;
	batch_uses_reserves = false;
}

/*
 * The offline in flight, while it can be made to give up, and the time before
 * which no other begins.
 */
static struct {
	spinlock_t lock;
	struct task_struct *task;
	bool aborted;
	unsigned long not_before;
} offline = {
	.lock = __SPIN_LOCK_UNLOCKED(offline.lock),
};

/**
 * offline_give_way() - the system is out of memory: the offline in flight gives
 *	up, and no other one begins for a while
 * @seconds: how long
 *
 * An offline looks for a place for each of its pages, with
 * device_hotplug_lock held, until it has found one or a signal is pending. So
 * the task is made to believe that there is a signal. It gives up once it has
 * tried the pages that it has isolated.
 *
 * Context: Any.
 * Return: whether there is an offline in flight.
 */
bool offline_give_way(unsigned int seconds)
{
	bool in_flight;

	spin_lock(&offline.lock);
	offline.not_before = jiffies + seconds * HZ;
	in_flight = offline.task;
	if (in_flight) {
		offline.aborted = true;
		set_tsk_thread_flag(offline.task, TIF_SIGPENDING);
	}
	spin_unlock(&offline.lock);
	return in_flight;
}

/**
 * offline_is_own() - whether the calling task is in an offline
 *
 * Context: Any.
 */
bool offline_is_own(void)
{
	return READ_ONCE(offline.task) == current;
}

static bool offline_begin(void)
{
	bool allowed;

	spin_lock(&offline.lock);
	allowed = !time_before(jiffies, offline.not_before);
	if (allowed)
		WRITE_ONCE(offline.task, current);
	offline.aborted = false;
	spin_unlock(&offline.lock);
	return allowed;
}

/* Whether the offline was made to give up */
static bool offline_end(void)
{
	bool aborted;

	spin_lock(&offline.lock);
	WRITE_ONCE(offline.task, NULL);
	aborted = offline.aborted;
	spin_unlock(&offline.lock);
	if (aborted)
		recalc_sigpending_current();
	return aborted;
}

static int offline_without_memmap(unsigned long pfn, unsigned long nr_pages,
				  unsigned long memmap_pages, struct zone *zone,
				  struct memory_group *group)
{
	int ret;

	/*
	 * Subtract the pages of the memmap before the call, or the original
	 * would not recognise that the zone has become empty.
	 */
	if (memmap_pages)
		mm_call(adjust_present_page_count)(pfn_to_page(pfn), group, -(long)memmap_pages);
	ret = mm_call(offline_pages)(pfn + memmap_pages, nr_pages - memmap_pages, zone, group);
	if (ret && memmap_pages)
		mm_call(adjust_present_page_count)(pfn_to_page(pfn), group, memmap_pages);
	return ret;
}

/*
 * Once all blocks of a DIMM are offline, its driver lets the firmware eject it,
 * and cannot be told that a poisoned block has to stay. That block's memmap
 * would be ejected with the DIMM, so the block has to stay online. If a page is
 * poisoned only after this check, region_remove_adopted() fails.
 */
static int check_poison(const struct twostage_block *block)
{
	if (block->region->own_group || !block_has_hwpoison(block))
		return 0;
	pr_err("%s: block at %#llx: cannot go offline: it has a hardware-poisoned page, and ejecting its DIMM would remove the memmap that the page still needs: reboot first\n",
	       dev_name(&block->region->dev), block_start(block));
	return -EBUSY;
}

static int offline_or_give_way(struct twostage_block *block, unsigned long pfn,
			       unsigned long nr_pages, unsigned long memmap_pages,
			       struct zone *zone, struct memory_group *group)
{
	int ret;

	if (!offline_begin()) {
		twostage_region_report(block->region, block_start(block),
				       "cannot go offline: the system ran out of memory a moment ago: try again later");
		return -EAGAIN;
	}
	ret = offline_without_memmap(pfn, nr_pages, memmap_pages, zone, group);
	if (offline_end() && ret == -EINTR) {
		twostage_region_report(block->region, block_start(block),
				       "its offline is given up: the system is out of memory: try again later");
		ret = -EAGAIN;
	}
	return ret;
}

static int wrapped_offline_pages(unsigned long pfn, unsigned long nr_pages, struct zone *zone,
				 struct memory_group *group)
{
	struct twostage_block *block = block_at_pfn(pfn);
	const unsigned long memmap_pages = block_memmap_pages(block);
	u64 started = trace_start();
	int ret;

	if (WARN_ON_ONCE(nr_pages != block_pages() || block->stage != BLOCK_POPULATED))
		return -EINVAL;
	ret = check_poison(block);
	if (ret)
		return ret;

	operation_begin(block, PHASE_BUSY);
	ret = offline_or_give_way(block, pfn, nr_pages, memmap_pages, zone, group);
	if (!ret)
		depopulate_or_defer(block);
	operation_end();

	trace_block_offline(block->region->id, PFN_PHYS(pfn), PFN_PHYS(nr_pages),
			    trace_duration(started), ret);
	return ret;
}

static bool zone_call_wanted(const unsigned long *arguments)
{
	return in_operation() && operation.phase == PHASE_STANDBY;
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
 * In a zone that is marked contiguous (without holes), pageblock_pfn_to_page()
 * does not check for each pageblock whether it is online. Compaction notes the
 * end of the zone when it begins, and sleeps in between. If the zone's last
 * block goes offline meanwhile, the zone shrinks and is still contiguous, so
 * compaction goes on to the old end. The stock kernel still has a memmap there,
 * but that of our block has been freed.
 *
 * So do not mark zones contiguous in nodes that have regions: not only zones
 * with a block of a region, since compaction may be under way in a zone that
 * has had such a block. That also saves the search for holes, which looks at
 * every pageblock of the zone, twice for a block that hosts its memmap.
 */
static bool set_zone_contiguous_wanted(const unsigned long *arguments)
{
	struct zone *zone = (struct zone *)arguments[0];

	return in_operation() || regions_on_node(zone_to_nid(zone));
}

static void wrapped_set_zone_contiguous(struct zone *zone)
{
}

/*
 * The first memory of a zone puts the zone into the lists of zones that
 * allocations try, in front of others. An allocation that waits for free memory
 * meanwhile goes on with the place in the list where it was, which now may be
 * zone Movable even if the allocation is the kernel's own; the block with it
 * would never go offline again. It looks for a changed list only after it has
 * failed once more. At an OOM there are such allocations: let them fail before
 * the first pages can be allocated.
 */
#define ALLOCATIONS_FAIL_MS 50

static bool undo_isolate_page_range_wanted(const unsigned long *arguments)
{
	return in_operation() && operation.zone_is_new;
}

static void wrapped_undo_isolate_page_range(UNDO_ISOLATE_PAGE_RANGE_PARAMETERS)
{
	operation.zone_is_new = false;
	msleep(ALLOCATIONS_FAIL_MS);
	mm_call(undo_isolate_page_range)(UNDO_ISOLATE_PAGE_RANGE_ARGUMENTS);
}

static bool arch_add_memory_wanted(const unsigned long *arguments)
{
	const struct twostage_block *block = block_at(arguments[1]);

	return block && READ_ONCE(block->region->adding) == current && !in_operation();
}

static int wrapped_arch_add_memory(int nid, u64 start, u64 size, struct mhp_params *params)
{
	return mm_sections_alloc(start, size, nid);
}

static bool arch_remove_memory_wanted(const unsigned long *arguments)
{
	return block_at(arguments[0]) && !in_operation();
}

static void wrapped_arch_remove_memory(ARCH_REMOVE_MEMORY_PARAMETERS)
{
	struct twostage_region *region = block_at(start)->region;

	blocks_unassign(region);
	region_table_erase(region);
}

/*
 * While stage 1 runs, memory blocks are in sysfs before the core has told them
 * their node, and valid_zones would look for the zones of node -1. For a large
 * region stage 1 takes a second. (Without NUMA it is never set, and not used.)
 * The core sets it once, by a plain write. A read at that moment may return
 * either value: both texts are right then.
 */
static bool valid_zones_wanted(const unsigned long *arguments)
{
	const struct device *dev = (const struct device *)arguments[0];
	const struct memory_block *block = container_of(dev, const struct memory_block, dev);

	return IS_ENABLED(CONFIG_NUMA) && data_race(READ_ONCE(block->nid)) == NUMA_NO_NODE &&
	       block_of_device(dev);
}

static ssize_t wrapped_valid_zones_show(struct device *dev, struct device_attribute *attr,
					char *buf)
{
	return sysfs_emit(buf, "none\n");
}

#ifdef CONFIG_FIRMWARE_MEMMAP
/*
 * /sys/firmware/memmap tells the next kernel, started by kexec, what memory
 * there is. When memory is removed, the core also removes the entry for its
 * range. A region has none of its own, but the firmware may have reported the
 * same range as RAM (which memmap= then withheld from the kernel). That entry
 * has to stay, or the next kernel would not know of the memory.
 */
static bool firmware_map_remove_wanted(const unsigned long *arguments)
{
	return block_at(arguments[0]);
}

static int wrapped_firmware_map_remove(u64 start, u64 end, const char *type)
{
	return 0;
}

static typeof(firmware_map_remove) wrapped_firmware_map_remove __maybe_unused;
#endif

/*
 * The compiler checks the wrappers against the prototypes of the originals: a
 * hook's pointer to its wrapper has no type.
 */
static typeof(online_pages) wrapped_online_pages __maybe_unused;
static typeof(offline_pages) wrapped_offline_pages __maybe_unused;
static typeof(move_pfn_range_to_zone) wrapped_move_pfn_range_to_zone __maybe_unused;
static typeof(remove_pfn_range_from_zone) wrapped_remove_pfn_range_from_zone __maybe_unused;
static typeof(set_zone_contiguous) wrapped_set_zone_contiguous __maybe_unused;
static typeof(undo_isolate_page_range) wrapped_undo_isolate_page_range __maybe_unused;
static typeof(arch_add_memory) wrapped_arch_add_memory __maybe_unused;
static typeof(arch_remove_memory) wrapped_arch_remove_memory __maybe_unused;

static struct hook hooks[] = {
	{
		.symbol = "online_pages",
		.wrapper = wrapped_online_pages,
		.wanted = block_call_wanted,
	}, {
		.symbol = "offline_pages",
		.wrapper = wrapped_offline_pages,
		.wanted = block_call_wanted,
	}, {
		.symbol = "move_pfn_range_to_zone",
		.wrapper = wrapped_move_pfn_range_to_zone,
		.wanted = zone_call_wanted,
	}, {
		.symbol = "remove_pfn_range_from_zone",
		.wrapper = wrapped_remove_pfn_range_from_zone,
		.wanted = zone_call_wanted,
	}, {
		.symbol = "set_zone_contiguous",
		.wrapper = wrapped_set_zone_contiguous,
		.wanted = set_zone_contiguous_wanted,
	}, {
		.symbol = "undo_isolate_page_range",
		.wrapper = wrapped_undo_isolate_page_range,
		.wanted = undo_isolate_page_range_wanted,
		.without = "a block that comes online in zone Movable instead of an OOM kill can get data of the kernel, and then does not go offline",
	}, {
		.symbol = "arch_add_memory",
		.wrapper = wrapped_arch_add_memory,
		.wanted = arch_add_memory_wanted,
	}, {
		.symbol = "arch_remove_memory",
		.wrapper = wrapped_arch_remove_memory,
		.wanted = arch_remove_memory_wanted,
	}, {
		.symbol = "valid_zones_show",
		.wrapper = wrapped_valid_zones_show,
		.wanted = valid_zones_wanted,
	},
#ifdef CONFIG_FIRMWARE_MEMMAP
	{
		.symbol = "firmware_map_remove",
		.wrapper = wrapped_firmware_map_remove,
		.wanted = firmware_map_remove_wanted,
		.without = "removing a region can remove the firmware's own entry from /sys/firmware/memmap",
	},
#endif
};

static struct hook_table table = HOOK_TABLE(hooks);

static int memory_going_online(void)
{
	int ret;

	if (!in_operation() || operation.phase != PHASE_STANDBY)
		return NOTIFY_DONE;

	operation.phase = PHASE_BUSY;
	ret = block_populate(operation.block, &operation.move);
	if (ret)
		operation.phase = PHASE_STANDBY;
	return notifier_from_errno(ret);
}

/*
 * Before it isolates the block's pages, the core refuses a block that has data
 * of the kernel. It does not find slabs whose pages have no reference: all of
 * them on 7.3, and on each kernel one that is being made right then. It would
 * wait until they are freed, with mem_hotplug_lock held. Now that the pages are
 * isolated, no slab is added.
 */
static bool has_slabs(const struct twostage_block *block)
{
	const unsigned long end = block_first_pfn(block) + block_pages();
	unsigned long pfn = block_first_pfn(block) + block_memmap_pages(block);

	if (page_zonenum(pfn_to_page(pfn)) == ZONE_MOVABLE)
		return false;
	for (; pfn < end; pfn++)
		if (PageSlab(pfn_to_page(pfn)))
			return true;
	return false;
}

static int memory_going_offline(struct memory_notify *range)
{
	if (!in_operation())
		return NOTIFY_DONE;
	if (has_slabs(operation.block))
		return notifier_from_errno(-EBUSY);
	/* The kernel's other callbacks get the same range after ours. */
	if (ARCH_OFFLINE_TELLS_WHOLE_BLOCK) {
		range->start_pfn = block_first_pfn(operation.block);
		range->nr_pages = block_pages();
	}
	return NOTIFY_DONE;
}

/* From here on an offline cannot fail. */
static void memory_offline(void)
{
	if (in_operation())
		block_withdraw(operation.block);
}

static int memory_callback(struct notifier_block *nb, unsigned long action, void *data)
{
	switch (action) {
	case MEM_GOING_ONLINE:
		return memory_going_online();
	case MEM_GOING_OFFLINE:
		return memory_going_offline(data);
	case MEM_OFFLINE:
		memory_offline();
		break;
	}
	return NOTIFY_DONE;
}

static struct notifier_block memory_notifier = {
	.notifier_call = memory_callback,
	/* All other callbacks expect the struct pages to exist. */
	.priority = INT_MAX,
};

/**
 * online_init() - wrap the path
 *
 * Return: 0; or an error with its reason in the log, and nothing is wrapped.
 */
int online_init(void)
{
	int ret;

	offline.not_before = jiffies;
	ret = hooks_install(&table);
	if (ret)
		return ret;
	ret = register_memory_notifier(&memory_notifier);
	if (ret)
		hooks_remove(&table);
	return ret;
}

/**
 * online_exit() - undo online_init()
 *
 * Context: Process context, sleeps. No region is left.
 */
void online_exit(void)
{
	unregister_memory_notifier(&memory_notifier);
	hooks_remove(&table);
}
