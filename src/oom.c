// SPDX-License-Identifier: GPL-2.0-only
/*
 * Standby blocks that come online instead of an OOM kill
 *
 * Stage 2 needs next to no memory, so it can run when there is none. While a
 * region has online_on_oom set, an OOM notifier is registered. out_of_memory()
 * calls it before it looks for a process to kill. If the notifier reports that
 * there is memory now, the allocation is tried again, and no process is killed.
 *
 * The task in out_of_memory() may hold any lock, be inside a hotplug operation,
 * or be a thread that a provider waits for. So a worker sets the blocks online:
 * it tries for device_hotplug_lock, and allocates from the reserves instead of
 * reclaiming. The notifier waits for the worker for a limited time. After that
 * the OOM killer runs as without the module, and later OOMs do not wait until
 * the worker has set a block online or returned.
 *
 * Callers of out_of_memory() hold the kernel's oom_lock, so there is one OOM at
 * a time. The notifier must not hold that lock for long: an offline that cannot
 * allocate a page to move data to would neither fail nor give up, but repeat
 * the allocation until it gets oom_lock, with device_hotplug_lock held, which
 * the worker needs. So the notifier waits only for a moment. If the worker has
 * not finished by then, the notifier has the allocation tried again although
 * there is no new memory; the next OOM continues to wait.
 *
 * A notifier is not told which allocation has failed, so a kprobe on
 * out_of_memory() notes that. It stays until the unload, since it runs only in
 * an OOM.
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

/* How long OOMs wait for a block, and the worker for device_hotplug_lock */
#define TIMEOUT (5 * HZ)
/*
 * The same if an offline of a block of ours has the lock. It gives up, but only
 * after it has tried to move the pages that it has isolated, for each of which
 * the kernel tries several times to find a place.
 */
#define TIMEOUT_OFFLINE (20 * HZ)
/* How long one call of the notifier waits */
#define MOMENT (HZ / 20)
/* How long no offline begins after an OOM */
#define OFFLINE_PAUSE_S 3
/* The longest time between two OOMs of one burst */
#define BURST_PAUSE HZ
#define BURST_BLOCKS_MAX 16U
/* Time from the last block that came online to the line in the log about all */
#define LOG_PAUSE (5 * HZ)
/* The same reason is logged once in this time. */
#define REFUSAL_PAUSE (60 * HZ)

/*
 * Zone and nodes that the failed allocation can use; @task is NULL if there is
 * no such allocation (OOM of a memcg, SysRq-F). Written by the probe and read
 * by the notifier, both in the task that is in out_of_memory(), with oom_lock
 * held.
 */
static struct {
	struct task_struct *task;
	enum zone_type zone;
	nodemask_t nodes;
} failed;

/*
 * What the worker is to do, and what it has done:
 *
 * @running: the worker has not returned. Only the worker writes the other
 *	members while this is true, only the notifier while it is false.
 * @started: time of the OOM, for the trace
 * @online_type: MMOP_ONLINE_KERNEL or MMOP_ONLINE_MOVABLE
 * @blocks: number of blocks to set online
 * @nodes: nodes whose memory the allocation can use
 * @nid: the node nearest to the task in out_of_memory()
 * @until: until when OOMs wait for the next block; the notifier reads it at any
 *	time
 * @onlined: number of blocks that came online since the module was loaded; the
 *	notifier reads it at any time
 * @error: why the worker has set no block online, until one OOM has been
 *	refused for it; -EAGAIN if it did not get device_hotplug_lock. 0 if a
 *	block came online
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

/*
 * The burst of OOMs in progress: for kernel zones ([true]) and for zone Movable
 * ([false])
 */
static struct burst {
	unsigned long last;
	unsigned int blocks;
} bursts[2];

/* For the line in the log at the end of a burst */
static atomic_t burst_kernel, burst_movable;
static int burst_region;

/* Protects users, probed, and changes of the regions' online_on_oom. */
static DEFINE_MUTEX(users_lock);
/* Number of regions that have online_on_oom set */
static unsigned int users;
static bool probed;
/* online_on_oom of regions that will be added */
static bool by_default;

static int note_failed(struct kprobe *probe, struct pt_regs *regs)
{
	const struct oom_control *oc = (void *)arch_argument(regs, 0);

	/* An OOM of a memcg and SysRq-F are to kill a process. */
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

/*
 * Log why the OOM killer runs. A reason that repeats the previous one is left
 * out, see REFUSAL_PAUSE.
 */
static void log_refusal(const char *reason)
{
	static const char *last;
	static unsigned long when;

	if (last && !strcmp(reason, last) && time_before(jiffies, when + REFUSAL_PAUSE))
		return;
	pr_warn("out of memory, and no standby block comes online: %s\n", reason);
	last = reason;
	when = jiffies;
}

static void log_burst(struct work_struct *work)
{
	const int kernel = atomic_xchg(&burst_kernel, 0), movable = atomic_xchg(&burst_movable, 0);

	pr_info("out of memory: blocks came online instead of an OOM kill: %d in kernel zones, %d in zone Movable, the last one of region%d\n",
		kernel, movable, READ_ONCE(burst_region));
}

static DECLARE_DELAYED_WORK(burst_work, log_burst);

static bool lock_in_time(void)
{
	const unsigned long started = jiffies;

	do {
		if (offline_give_way(OFFLINE_PAUSE_S))
			WRITE_ONCE(request.until, started + TIMEOUT_OFFLINE);
		if (hotplug_trylock())
			return true;
	} while (time_before(jiffies, READ_ONCE(request.until)));
	return false;
}

/* The uevent needs memory; there is some, now that the block is online. */
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
	/*
	 * The next one begins behind this block: one that always fails would
	 * keep the others from being tried.
	 */
	region->oom_next = index + 1;
	if (ret)
		return ret;
	WRITE_ONCE(region->oom_onlined, region->oom_onlined + 1);
	WRITE_ONCE(request.until, jiffies + TIMEOUT);
	WRITE_ONCE(request.onlined, request.onlined + 1);
	wake_up(&progress);
	tell_online(region);
	return 0;
}

/* Set one block online, of a region on the nearest node if possible. */
static int online_any_block(void)
{
	struct twostage_region *region;
	int near, ret = -ENOENT;

	for (near = 1; near >= 0; near--) {
		for_each_region(region) {
			int error;

			if (!READ_ONCE(region->online_on_oom) || (region->nid == request.nid) != near ||
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
	/* For a failed lock_in_time(): no block fails with this. */
	int ret = -EAGAIN;

	if (lock_in_time()) {
		for (i = 0, ret = 0; i < request.blocks && !ret; i++)
			ret = online_any_block();
		hotplug_unlock();
	}
	memalloc_noreclaim_restore(flags);

	request.error = request.onlined == before ? ret : 0;
	request.ended = jiffies;
	/* Publishes what the worker has written; see worker_runs() */
	smp_store_release(&request.running, false);
	wake_up(&progress);
}

static DECLARE_WORK(online_work, online_blocks);

static bool worker_runs(void)
{
	/* Pairs with the release at the end of online_blocks() */
	return smp_load_acquire(&request.running);
}

/*
 * The number of blocks to set online for this OOM. It doubles from one OOM of a
 * burst to the next: a program that needs much memory is held up by few OOMs.
 */
static unsigned int burst_blocks(bool kernel)
{
	struct burst *burst = &bursts[kernel];

	if (burst->blocks && time_before(jiffies, burst->last + BURST_PAUSE))
		burst->blocks = min(2 * burst->blocks, BURST_BLOCKS_MAX);
	else
		burst->blocks = 1;
	return burst->blocks;
}

/* The nodes whose memory the failed allocation can use; oom_lock */
static void usable_nodes(nodemask_t *nodes)
{
	static nodemask_t allowed;

	*nodes = failed.nodes;
	allowed = data_race(cpuset_current_mems_allowed);
	/*
	 * A cpuset that has all nodes with memory is most likely the top one,
	 * to which the kernel adds each node that gets memory. So do not
	 * exclude nodes that have none yet. Another task may be adding one: it
	 * does not matter whether this OOM takes it into account.
	 */
	if (!data_race(nodes_subset(node_states[N_MEMORY], allowed)))
		nodes_and(*nodes, *nodes, allowed);
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
 * Whether to leave this OOM to the OOM killer, because the worker has failed in
 * the last second, for these nodes at least. It may have been started by an
 * earlier OOM that did not wait until it failed. A failure counts for one OOM:
 * the next one starts the worker again.
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
	/* For other errors there is a message about the block already. */
	return true;
}

/*
 * Return: the number of pages that came online; 1 if none did yet, to have the
 * allocation tried again; 0 to let the OOM killer run
 */
static unsigned long make_memory(void)
{
	const unsigned long before = READ_ONCE(request.onlined);
	static nodemask_t nodes;
	unsigned long blocks;

	usable_nodes(&nodes);
	if (!worker_runs()) {
		if (take_error(&nodes))
			return 0;
		start_worker(&nodes);
	}

	wait_event_timeout(progress, READ_ONCE(request.onlined) != before || !worker_runs(),
			   MOMENT);
	bursts[failed.zone != ZONE_MOVABLE].last = jiffies;
	blocks = READ_ONCE(request.onlined) - before;
	if (blocks)
		return blocks * PHYS_PFN(memory_block_size_bytes());
	if (!worker_runs())
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
	/* out_of_memory() lets a task that is about to exit use the reserves. */
	if (fatal_signal_pending(current) || current->flags & PF_EXITING)
		return NOTIFY_DONE;
	/* Check this first: a kprobe that is disarmed has noted nothing. */
	if (!hooks_armed()) {
		log_refusal("the hooks are switched off, see /sys/kernel/debug/kprobes/enabled");
		return NOTIFY_DONE;
	}
	if (!noted || failed.zone < ZONE_NORMAL)
		return NOTIFY_DONE;
	if (hotplug_lock_is_own() || offline_is_own()) {
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
 * @on: whether they do
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
 * oom_default() - set online_on_oom of regions that are added from now on
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

	/* WQ_MEM_RECLAIM: a rescuer runs if there is no memory for a worker. */
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
	/* Log a pending line at once, instead of dropping it. */
	flush_delayed_work(&burst_work);
	destroy_workqueue(workqueue);
	if (probed)
		probe_remove(&probe, "out_of_memory");
}
