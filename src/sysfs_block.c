// SPDX-License-Identifier: GPL-2.0-only
/*
 * The directory twostage/ of memory blocks in sysfs
 *
 *   /sys/devices/system/memory/memoryX/twostage/	stage, region
 *
 * A memory block of a region gets the directory when it is added, before its
 * uevent is sent, so that a udev rule can recognise such a block. The region is
 * not added if a directory cannot be made. The core removes the directory with
 * the block.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/device.h>
#include <linux/notifier.h>
#include <linux/sysfs.h>

#include "mm_internals.h"
#include "region_table.h"
#include "sysfs_block.h"

static const char *const stage_names[] = {
	[BLOCK_STANDBY] = "standby",
	[BLOCK_POPULATED] = "populated",
	[BLOCK_POISONED] = "poisoned",
};

static ssize_t stage_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", stage_names[READ_ONCE(block_of_device(dev)->stage)]);
}
static DEVICE_ATTR_RO(stage);

static ssize_t region_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", dev_name(&block_of_device(dev)->region->dev));
}
static DEVICE_ATTR_RO(region);

static struct attribute *block_attrs[] = {
	&dev_attr_stage.attr,
	&dev_attr_region.attr,
	NULL
};

static const struct attribute_group block_group = {
	.name = "twostage",
	.attrs = block_attrs,
};

static int memory_block_added(struct notifier_block *nb, unsigned long action, void *data)
{
	struct device *dev = data;
	struct twostage_block *block = block_of_device(dev);
	int ret;

	if (action != BUS_NOTIFY_ADD_DEVICE || !block)
		return NOTIFY_DONE;
	ret = sysfs_create_group(&dev->kobj, &block_group);
	/*
	 * The core ignores what a notifier returns here; region.c checks
	 * add_error.
	 */
	if (ret) {
		pr_err("%s: cannot make its twostage directory in sysfs (%pe)\n", dev_name(dev),
		       ERR_PTR(ret));
		block->region->add_error = ret;
	}
	return NOTIFY_DONE;
}

static struct notifier_block memory_bus_notifier = { .notifier_call = memory_block_added };

static struct bus_type *memory_bus(void)
{
	/* bus_register_notifier() of some kernels takes no pointer to const. */
	return (struct bus_type *)mm_memory_subsys();
}

/**
 * sysfs_block_init() - get notified of memory blocks
 *
 * Return: 0 or a negative errno.
 */
int sysfs_block_init(void)
{
	if (!memory_bus()) {
		pr_err("this kernel has no memory blocks\n");
		return -ENODEV;
	}
	return bus_register_notifier(memory_bus(), &memory_bus_notifier);
}

/** sysfs_block_exit() - undo sysfs_block_init() */
void sysfs_block_exit(void)
{
	bus_unregister_notifier(memory_bus(), &memory_bus_notifier);
}
