// SPDX-License-Identifier: GPL-2.0-only
/*
 * Refusing online and offline while kprobes are disarmed
 *
 * Without the hooks the core would initialise a memmap that does not exist, or
 * take a block offline and leave stage 2 behind. So memory_subsys_online() and
 * memory_subsys_offline(), through which all online and offline requests come,
 * are guarded by ftrace: for blocks of a region they fail while the hooks are
 * disarmed. Writes to debugfs kprobes/enabled are serialised with them, so the
 * hooks cannot be disarmed in the middle of an operation.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/device.h>
#include <linux/memory.h>
#include <linux/sched.h>

#include "hook.h"
#include "hotplug_lock.h"
#include "kprobes_guard.h"
#include "mm_internals.h"
#include "region_table.h"
#include "report.h"

/* The task that calls the original; device_hotplug_lock */
static struct task_struct *calling_original;

static bool block_call_wanted(const unsigned long *arguments)
{
	return READ_ONCE(calling_original) != current &&
	       block_of_device((const struct device *)arguments[0]);
}

static int guarded_call(struct device *dev, int (*original)(struct device *dev))
{
	int ret;

	if (!hooks_armed()) {
		const struct twostage_block *block = block_of_device(dev);

		/*
		 * Reset the zone that was asked for, as the original does, or
		 * the next request would use it.
		 */
		container_of(dev, struct memory_block, dev)->online_type = MMOP_OFFLINE;
		twostage_region_report(block->region, block_start(block),
				       "refused: the hooks are switched off: echo 1 > /sys/kernel/debug/kprobes/enabled, then try again");
		return -EIO;
	}
	WRITE_ONCE(calling_original, current);
	ret = original(dev);
	WRITE_ONCE(calling_original, NULL);
	return ret;
}

static int call_memory_subsys_online(struct device *dev)
{
	return mm_call(memory_subsys_online)(dev);
}

static int call_memory_subsys_offline(struct device *dev)
{
	return mm_call(memory_subsys_offline)(dev);
}

static int wrapped_memory_subsys_online(struct device *dev)
{
	return guarded_call(dev, call_memory_subsys_online);
}

static int wrapped_memory_subsys_offline(struct device *dev)
{
	return guarded_call(dev, call_memory_subsys_offline);
}

static bool switch_wanted(const unsigned long *arguments)
{
	return !in_hotplug_section();
}

static ssize_t wrapped_write_enabled_file_bool(struct file *file, const char __user *text,
					       size_t count, loff_t *pos)
{
	ssize_t ret;

	hotplug_section_begin();
	ret = mm_call(write_enabled_file_bool)(file, text, count, pos);
	hotplug_section_end();
	return ret;
}

static typeof(memory_subsys_online) wrapped_memory_subsys_online __maybe_unused;
static typeof(memory_subsys_offline) wrapped_memory_subsys_offline __maybe_unused;
static typeof(write_enabled_file_bool) wrapped_write_enabled_file_bool __maybe_unused;

static struct hook hooks[] = {
	{
		.symbol = "memory_subsys_online",
		.wrapper = wrapped_memory_subsys_online,
		.wanted = block_call_wanted,
		.guard = true,
	}, {
		.symbol = "memory_subsys_offline",
		.wrapper = wrapped_memory_subsys_offline,
		.wanted = block_call_wanted,
		.guard = true,
	},
#ifdef CONFIG_DEBUG_FS
	{
		.symbol = "write_enabled_file_bool",
		.wrapper = wrapped_write_enabled_file_bool,
		.wanted = switch_wanted,
		.guard = true,
		.without = "writing to debugfs kprobes/enabled while blocks go online or offline can crash the kernel",
	},
#endif
};

static struct hook_table table = HOOK_TABLE(hooks);

/**
 * kprobes_guard_init() - install the guards
 *
 * Return: 0 or a negative errno, with the reason in the log.
 */
int kprobes_guard_init(void)
{
	return hooks_install(&table);
}

/** kprobes_guard_exit() - undo kprobes_guard_init() */
void kprobes_guard_exit(void)
{
	hooks_remove(&table);
}
