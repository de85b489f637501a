// SPDX-License-Identifier: GPL-2.0-only
/*
 * Standby blocks that come online instead of an OOM kill
 *
 * Stage 2 needs next to no memory, so it can run when there is none. While a
 * region has online_on_oom set, an OOM notifier is registered:
 * out_of_memory() calls it before it looks for a process to kill, and lets the
 * caller try its allocation again if the notifier says that there is memory
 * now.
 *
 * The notifier's caller may hold any lock, be inside a hotplug operation, or be
 * a thread that a provider waits for. So a worker sets the blocks online, which
 * tries for device_hotplug_lock and uses the reserves instead of reclaim, and
 * the notifier waits for a limited time. After that the OOM killer does what it
 * would have done, and no other OOM waits until the worker has returned.
 *
 * Callers of out_of_memory() hold the kernel's oom_lock, so there is one OOM at
 * a time. As long as another task holds it, allocations that may fail (those of
 * an offline for the pages that it moves) do not fail, but try again. So the
 * notifier waits only for a moment, and then has the allocation tried again
 * although there is no new memory, as often as the limited time allows.
 *
 * A notifier is not told what the allocation was for; a kprobe on
 * out_of_memory() notes that. It stays until the unload, since it costs nothing
 * but in an OOM.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/cpuset.h>
#include <linux/gfp.h>
#include <linux/jiffies.h>
#include <linux/kobject.h>
#include <linux/kprobes.h>
#include <linux/memory_hotplug.h>
#include <linux/minmax.h>
#include <linux/mutex.h>
#include <linux/nodemask.h>
#include <linux/notifier.h>
#include <linux/oom.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/topology.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "hook.h"
#include "hotplug_lock.h"
#include "oom.h"
#include "online.h"
#include "region.h"
#include "region_online.h"
#include "trace.h"
#include "twostage_arch.h"

/*
 * How long OOMs wait for a block, and the worker for device_hotplug_lock; and
 * how long one call of the notifier waits
 */
#define TIMEOUT (5 * HZ)
#define MOMENT (HZ / 20)
/* How long no offline begins after an OOM */
#define OFFLINE_PAUSE_S 3
/* OOMs with no more time in between are one burst. */
#define BURST_PAUSE HZ
#define BURST_BLOCKS_MAX 16U
/* A line in the log says what came online, when there was no OOM for so long. */
#define LOG_PAUSE (5 * HZ)
/* A reason that is the same as before gets a line again after this time. */
#define REFUSAL_PAUSE (60 * HZ)

/*
 * What the task in out_of_memory() has tried to allocate. Written by the probe
 * and read by the notifier, both in that task, with oom_lock held.
 */
static struct {
	struct task_struct *task;
	enum zone_type zone;
	nodemask_t nodes;
} failed;

/*
 * What the worker is to do, and what it has done:
 *
 * @running: the worker has not returned. The notifier writes the members up to
 *	@nid only while this is false, the worker the others only while it is
 *	true.
 * @started: time of the OOM, for the trace
 * @online_type: MMOP_ONLINE_KERNEL or MMOP_ONLINE_MOVABLE
 * @blocks: how many blocks
 * @nodes: those whose memory the task can use
 * @nid: the one that is closest to it
 * @until: until when OOMs wait for the next block
 * @onlined: number of blocks since the module was loaded
 * @error: why no block has come online; 0 if one has
 * @ended: when the worker returned
 */
static struct {
	bool running;
	u64 started;
	int online_type;
	unsigned int blocks;
	nodemask_t nodes;
	int nid;
	unsigned long until;
	unsigned long onlined;
	int error;
	unsigned long ended;
} request;

static DECLARE_WAIT_QUEUE_HEAD(progress);
static struct workqueue_struct *workqueue;

/* By kind of zone, kernel and movable: the burst of OOMs that is under way */
static struct burst {
	unsigned long last;
	unsigned int blocks;
} bursts[2];

/* What the line in the log at the end of a burst says */
static atomic_t burst_kernel, burst_movable;
static int burst_region;

/* Protects the rest, and online_on_oom of regions. */
static DEFINE_MUTEX(users_lock);
/* Regions that have online_on_oom set */
static unsigned int users;
static bool by_default;
static bool probed;

static int note_failed(struct kprobe *probe, struct pt_regs *regs)
{
	const struct oom_control *oc = (void *)arch_kprobe_argument(regs, 0);

	/* Not for the OOM of a memcg or of SysRq-F, which want a kill. */
	if (oc->memcg || oc->order < 0) {
		failed.task = NULL;
		return 0;
	}
	failed.task = current;
	failed.zone = gfp_zone(oc->gfp_mask);
	failed.nodes = oc->nodemask ? *oc->nodemask : node_states[N_POSSIBLE];
	return 0;
}

static struct kprobe probe = {
	.symbol_name = "out_of_memory",
	.pre_handler = note_failed,
};

#define BUSY "memory has been going online or offline for some seconds"

/* One line for a reason, until another one or a time has passed */
static void log_refusal(const char *reason)
{
	static const char *last;
	static unsigned long when;

	if (!last || strcmp(reason, last) || time_after(jiffies, when + REFUSAL_PAUSE))
		pr_warn("out of memory, and no standby block comes online: %s\n", reason);
	last = reason;
	when = jiffies;
}

static void log_burst(struct work_struct *work)
{
	const int kernel = atomic_xchg(&burst_kernel, 0), movable = atomic_xchg(&burst_movable, 0);

	pr_info("out of memory: %d blocks came online instead of an OOM kill, %d in kernel zones, %d movable, the last one of region%d\n",
		kernel + movable, kernel, movable, READ_ONCE(burst_region));
}

static DECLARE_DELAYED_WORK(burst_work, log_burst);

static bool lock_in_time(void)
{
	const unsigned long until = jiffies + TIMEOUT;

	do {
		offline_give_way(OFFLINE_PAUSE_S);
		if (hotplug_trylock())
			return true;
	} while (time_before(jiffies, until));
	return false;
}

/* The uevent needs memory, which there is now. */
static void tell_online(struct twostage_region *region)
{
	char onlined[40];
	char *environment[] = { onlined, NULL };

	snprintf(onlined, sizeof(onlined), "OOM_ONLINED=%lu", region->oom_onlined);
	kobject_uevent_env(&region->dev.kobj, KOBJ_CHANGE, environment);

	atomic_inc(request.online_type == MMOP_ONLINE_KERNEL ? &burst_kernel : &burst_movable);
	WRITE_ONCE(burst_region, region->id);
	mod_delayed_work(workqueue, &burst_work, LOG_PAUSE);
}

static int online_block(struct twostage_region *region)
{
	unsigned long index;
	int ret;

	ret = region_online_next(region, region->oom_next, request.online_type, &index);
	if (ret == -ENOENT)
		return ret;
	trace_oom_online(region->id, block_start(&region->blocks[index]), memory_block_size_bytes(),
			 trace_duration(request.started), ret);
	/* A block that always fails does not keep the others from being tried. */
	region->oom_next = ret ? index + 1 : 0;
	if (ret)
		return ret;
	WRITE_ONCE(region->oom_onlined, region->oom_onlined + 1);
	WRITE_ONCE(request.until, jiffies + TIMEOUT);
	WRITE_ONCE(request.onlined, request.onlined + 1);
	wake_up(&progress);
	tell_online(region);
	return 0;
}

/* A block of any region, first of those on the closest node */
static int online_any_block(void)
{
	struct twostage_region *region;
	int near, ret = -ENOENT;

	for (near = 1; near >= 0; near--) {
		for_each_region(region) {
			int error;

			if (!region->online_on_oom || (region->nid == request.nid) != near ||
			    !node_isset(region->nid, request.nodes))
				continue;
			error = online_block(region);
			if (!error)
				return 0;
			if (error != -ENOENT)
				ret = error;
		}
	}
	return ret;
}

static void online_blocks(struct work_struct *work)
{
	const unsigned long before = request.onlined;
	unsigned int flags = memalloc_noreclaim_save();
	unsigned int i;
	/* No block's error */
	int ret = -EAGAIN;

	if (lock_in_time()) {
		for (i = 0, ret = 0; i < request.blocks && !ret; i++)
			ret = online_any_block();
		hotplug_unlock();
	}
	memalloc_noreclaim_restore(flags);

	request.error = request.onlined == before ? ret : 0;
	request.ended = jiffies;
	smp_store_release(&request.running, false);
	wake_up(&progress);
}

static DECLARE_WORK(online_work, online_blocks);

/* The blocks double, so that a large allocation does not stop at each one. */
static unsigned int burst_blocks(bool kernel)
{
	struct burst *burst = &bursts[kernel];

	if (burst->blocks && time_before(jiffies, burst->last + BURST_PAUSE))
		burst->blocks = min(2 * burst->blocks, BURST_BLOCKS_MAX);
	else
		burst->blocks = 1;
	return burst->blocks;
}

/* The nodes whose memory the task can use */
static void usable_nodes(nodemask_t *nodes)
{
	*nodes = failed.nodes;
	/*
	 * A cpuset that has all nodes with memory gets those that will have
	 * some.
	 */
	if (!nodes_subset(node_states[N_MEMORY], cpuset_current_mems_allowed))
		nodes_and(*nodes, *nodes, cpuset_current_mems_allowed);
}

static void start_worker(const nodemask_t *nodes)
{
	const bool kernel = failed.zone != ZONE_MOVABLE;

	request.started = trace_start();
	request.online_type = kernel ? MMOP_ONLINE_KERNEL : MMOP_ONLINE_MOVABLE;
	request.blocks = burst_blocks(kernel);
	request.nodes = *nodes;
	request.nid = numa_mem_id();
	request.until = jiffies + TIMEOUT;
	WRITE_ONCE(request.running, true);
	queue_work(workqueue, &online_work);
}

/*
 * Whether the worker has just failed, for this OOM or for one that did not wait
 * for it. Then the OOM killer runs, and the next OOM starts the worker again.
 */
static bool take_error(const nodemask_t *nodes)
{
	const int error = request.error;

	if (!error || time_after(jiffies, request.ended + HZ) ||
	    !nodes_subset(*nodes, request.nodes))
		return false;
	request.error = 0;
	if (error == -EAGAIN)
		log_refusal(BUSY);
	else if (error == -ENOENT)
		log_refusal("there is none left on the nodes that the task can use");
	/* Otherwise the block's own message says why. */
	return true;
}

/*
 * Return: number of pages; 1 also if there are none yet, and the allocation is
 * to be tried again
 */
static unsigned long make_memory(void)
{
	const unsigned long before = READ_ONCE(request.onlined);
	static nodemask_t nodes;
	unsigned long blocks;

	usable_nodes(&nodes);
	if (!smp_load_acquire(&request.running)) {
		if (take_error(&nodes))
			return 0;
		start_worker(&nodes);
	}

	wait_event_timeout(progress, READ_ONCE(request.onlined) != before ||
			   !smp_load_acquire(&request.running), MOMENT);
	bursts[failed.zone != ZONE_MOVABLE].last = jiffies;
	blocks = READ_ONCE(request.onlined) - before;
	if (blocks)
		return blocks * PHYS_PFN(memory_block_size_bytes());
	if (!smp_load_acquire(&request.running))
		return !take_error(&nodes);
	if (time_before(jiffies, READ_ONCE(request.until)))
		return 1;
	log_refusal(BUSY);
	return 0;
}

static int oom_callback(struct notifier_block *nb, unsigned long unused, void *data)
{
	unsigned long *freed = data;
	const bool noted = failed.task == current;

	failed.task = NULL;
	/* The OOM killer lets such a task use the reserves. */
	if (fatal_signal_pending(current) || current->flags & PF_EXITING)
		return NOTIFY_DONE;
	if (!hooks_armed()) {
		log_refusal("the hooks are switched off, see /sys/kernel/debug/kprobes/enabled");
		return NOTIFY_DONE;
	}
	if (!noted || failed.zone < ZONE_NORMAL)
		return NOTIFY_DONE;
	if (hotplug_lock_is_own()) {
		offline_give_way(OFFLINE_PAUSE_S);
		if (online_batch_use_reserves()) {
			*freed += 1;
			return NOTIFY_OK;
		}
		log_refusal("the task is changing memory itself");
		return NOTIFY_DONE;
	}
	*freed += make_memory();
	return NOTIFY_OK;
}

static struct notifier_block oom_notifier = { .notifier_call = oom_callback };

static int start(void)
{
	int ret;

	if (!probed) {
		ret = register_kprobe(&probe);
		if (ret) {
			pr_err("online_on_oom: cannot probe out_of_memory() (%pe)\n", ERR_PTR(ret));
			return ret;
		}
		probed = true;
	}
	return register_oom_notifier(&oom_notifier);
}

/**
 * oom_set() - choose whether standby blocks of a region come online instead of
 *	an OOM kill
 * @region: the region
 * @on: they do
 *
 * Context: Process context, sleeps.
 * Return: 0; or an error, with its reason in the log.
 */
int oom_set(struct twostage_region *region, bool on)
{
	int ret = 0;

	mutex_lock(&users_lock);
	if (on == region->online_on_oom)
		goto unlock;
	if (on && !users)
		ret = start();
	if (ret)
		goto unlock;
	WRITE_ONCE(region->online_on_oom, on);
	users += on ? 1 : -1;
	if (!users)
		unregister_oom_notifier(&oom_notifier);
unlock:
	mutex_unlock(&users_lock);
	return ret;
}

/**
 * oom_default() - what online_on_oom is for regions that are added from now on
 * @on: its value
 */
void oom_default(bool on)
{
	WRITE_ONCE(by_default, on);
}

static int region_callback(struct notifier_block *nb, unsigned long event, void *region)
{
	oom_set(region, event == REGION_ADDING && READ_ONCE(by_default));
	return NOTIFY_OK;
}

static struct notifier_block region_notifier = { .notifier_call = region_callback };

/**
 * oom_init() - get ready for regions with online_on_oom
 *
 * Return: 0 or a negative errno.
 */
int oom_init(void)
{
	int ret;

	/* WQ_MEM_RECLAIM: when there is no memory for a worker, a rescuer runs. */
	workqueue = alloc_workqueue("twostage_oom", WQ_MEM_RECLAIM | WQ_HIGHPRI | WQ_UNBOUND, 0);
	if (!workqueue)
		return -ENOMEM;
	ret = blocking_notifier_chain_register(&region_notifiers, &region_notifier);
	if (ret)
		destroy_workqueue(workqueue);
	return ret;
}

/** oom_exit() - undo oom_init(); no region is left */
void oom_exit(void)
{
	blocking_notifier_chain_unregister(&region_notifiers, &region_notifier);
	/* Not later than it would be due: it has something to say. */
	flush_delayed_work(&burst_work);
	destroy_workqueue(workqueue);
	if (probed)
		probe_remove(&probe, "out_of_memory");
}
