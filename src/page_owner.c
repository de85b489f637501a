// SPDX-License-Identifier: GPL-2.0-only
/*
 * Readers of debugfs page_owner
 *
 * read_page_owner() walks every valid memmap without checking whether its
 * section is online, so pfn_walkers_wait() does not cover it. It is serialised
 * against the teardown of a memmap by memmaps_lock instead.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/uaccess.h>

#include "hook.h"
#include "hotplug_lock.h"
#include "mm_internals.h"
#include "page_owner.h"
#include "pfn_walkers.h"

/* The task that holds memmaps_lock for reading page_owner */
static struct task_struct *reader;

/*
 * All calls of other tasks, whether there are regions or not: a region may be
 * added before the read is done.
 */
static bool read_page_owner_wanted(const unsigned long *arguments)
{
	return READ_ONCE(reader) != current;
}

/*
 * The lock must not be held across a page fault, which may never be resolved
 * (userfaultfd, FUSE): fault the buffer in first, then copy with page faults
 * disabled, and retry if the buffer has been evicted in between.
 */
static ssize_t wrapped_read_page_owner(struct file *file, char __user *text, size_t count,
				       loff_t *pos)
{
	/* The original writes no more than a page in one call. */
	const size_t most = min(count, PAGE_SIZE);
	const loff_t first = *pos;
	ssize_t ret = -EFAULT;
	int tries;

	wrapper_enter();
	for (tries = 0; tries < 100 && ret == -EFAULT; tries++) {
		if (most && fault_in_subpage_writeable(text, most) == most)
			break;
		ret = mutex_lock_killable(&memmaps_lock);
		if (ret)
			break;
		WRITE_ONCE(reader, current);
		pagefault_disable();
		/* The original moves the position even if it fails. */
		*pos = first;
		ret = mm_call(read_page_owner)(file, text, count, pos);
		pagefault_enable();
		WRITE_ONCE(reader, NULL);
		mutex_unlock(&memmaps_lock);
	}
	wrapper_leave();
	return ret;
}

static typeof(read_page_owner) wrapped_read_page_owner __maybe_unused;

static struct hook hooks[] = {
	{
		.symbol = "read_page_owner",
		.wrapper = wrapped_read_page_owner,
		.wanted = read_page_owner_wanted,
		.guard = true,
		.without = "reading debugfs page_owner while blocks go offline can crash the kernel",
	},
};

static struct hook_table table = HOOK_TABLE(hooks);

/**
 * page_owner_init() - install the hook
 *
 * Return: 0 or a negative errno, with the reason in the log.
 */
int page_owner_init(void)
{
	return hooks_install(&table);
}

/** page_owner_exit() - undo page_owner_init() */
void page_owner_exit(void)
{
	hooks_remove(&table);
}
