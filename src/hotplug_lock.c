// SPDX-License-Identifier: GPL-2.0-only
/*
 * device_hotplug_lock, and tasks inside of wrappers
 *
 * device_hotplug_lock allows one hotplug operation at a time. It is the
 * outermost lock of the module, and protects the list of regions, too.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <linux/atomic.h>
#include <linux/jiffies.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "hotplug_lock.h"
#include "mm_internals.h"

/** hotplug_lock() - take device_hotplug_lock */
void hotplug_lock(void)
{
	mm_call(lock_device_hotplug)();
}

/** hotplug_unlock() - give up device_hotplug_lock */
void hotplug_unlock(void)
{
	mm_call(unlock_device_hotplug)();
}

/*
 * Recompute TIF_SIGPENDING of current, which restart_syscall() has set without
 * a signal.
 */
static void recalc_sigpending_current(void)
{
	/* current->sighand does not change while the task runs. */
	struct sighand_struct *sighand = rcu_dereference_protected(current->sighand, true);

	spin_lock_irq(&sighand->siglock);
	recalc_sigpending();
	spin_unlock_irq(&sighand->siglock);
}

/**
 * hotplug_trylock() - take device_hotplug_lock if it is free
 *
 * Context: Process context. Sleeps for 5 ms if the lock is taken.
 * Return: true if the lock was taken.
 */
bool hotplug_trylock(void)
{
	/*
	 * On failure it has called restart_syscall(), since its usual callers
	 * are writes to sysfs that are to be restarted.
	 */
	if (!mm_call(lock_device_hotplug_sysfs)())
		return true;
	recalc_sigpending_current();
	return false;
}

/**
 * hotplug_lock_timeout() - take device_hotplug_lock, for callers that the
 *	lock's holder may wait for
 * @seconds: how long to wait for the lock
 *
 * Context: Process context.
 * Return: 0, or -ETIMEDOUT.
 */
int hotplug_lock_timeout(unsigned int seconds)
{
	const unsigned long until = jiffies + seconds * HZ;

	while (!hotplug_trylock())
		if (time_after(jiffies, until))
			return -ETIMEDOUT;
	return 0;
}

/*
 * Number of tasks inside a wrapper that may sleep while neither a module
 * reference nor device_hotplug_lock pins the module. Unload waits until it
 * drops to zero.
 */
static atomic_t wrappers_in_flight = ATOMIC_INIT(0);

/** wrapper_enter() - count the calling task as being inside a wrapper */
void wrapper_enter(void)
{
	atomic_inc(&wrappers_in_flight);
}

/** wrapper_leave() - undo wrapper_enter() */
void wrapper_leave(void)
{
	atomic_dec(&wrappers_in_flight);
}

/**
 * wrappers_wait() - wait until no task is inside a wrapper
 *
 * The instructions of a wrapper before wrapper_enter() and after
 * wrapper_leave() do not sleep, so waiting for RCU tasks covers them.
 *
 * Context: Process context, sleeps. The hooks have been removed.
 */
void wrappers_wait(void)
{
	synchronize_rcu_tasks();
	while (atomic_read(&wrappers_in_flight))
		schedule_timeout_idle(HZ / 10);
	synchronize_rcu_tasks();
}

/*
 * The task inside of a hotplug section: a wrapper that holds
 * device_hotplug_lock while it calls the original. Changed under that lock. A
 * hook's wanted() only compares it with current, which needs no lock: no other
 * task sets it to current, or changes it while it is.
 */
static struct task_struct *hotplug_section_owner;

/**
 * in_hotplug_section() - whether the calling task is in a hotplug section, so
 *	that the call comes from a wrapper and must not be redirected again
 *
 * Context: Any, for a hook's wanted().
 */
bool in_hotplug_section(void)
{
	return READ_ONCE(hotplug_section_owner) == current;
}

/**
 * hotplug_section_begin() - serialise a wrapper with all hotplug operations
 *
 * Context: Process context. Takes device_hotplug_lock.
 */
void hotplug_section_begin(void)
{
	wrapper_enter();
	hotplug_lock();
	WRITE_ONCE(hotplug_section_owner, current);
}

/**
 * hotplug_section_trybegin() - hotplug_section_begin() without waiting
 *
 * Context: Process context.
 * Return: 0, or -EBUSY if device_hotplug_lock is taken.
 */
int hotplug_section_trybegin(void)
{
	wrapper_enter();
	if (!hotplug_trylock()) {
		wrapper_leave();
		return -EBUSY;
	}
	WRITE_ONCE(hotplug_section_owner, current);
	return 0;
}

/** hotplug_section_end() - undo hotplug_section_begin() or _trybegin() */
void hotplug_section_end(void)
{
	WRITE_ONCE(hotplug_section_owner, NULL);
	hotplug_unlock();
	wrapper_leave();
}
