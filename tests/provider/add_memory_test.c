// SPDX-License-Identifier: GPL-2.0-only
/*
 * Adds memory by the stock kernel's add_memory(), as the driver for DIMMs does
 *
 * For architectures whose kernels have no such driver.
 *
 * Parameters:
 *
 *   start, size	the memory, in bytes
 *   added		1 adds it, 0 removes it
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <linux/memory_hotplug.h>
#include <linux/module.h>

static unsigned long start;
module_param(start, ulong, 0600);
static unsigned long size;
module_param(size, ulong, 0600);
static bool added;

static int set_added(const char *text, const struct kernel_param *param)
{
	bool add;
	int ret = kstrtobool(text, &add);

	if (ret || add == added)
		return ret;
	/*
	 * The kernel heeds the flag if it was booted with
	 * memory_hotplug.memmap_on_memory=1.
	 */
	if (add)
		ret = add_memory(0, start, size, MHP_MEMMAP_ON_MEMORY);
	else
		ret = remove_memory(start, size);
	if (!ret)
		added = add;
	return ret;
}

static const struct kernel_param_ops added_ops = {
	.set = set_added,
	.get = param_get_bool,
};
module_param_cb(added, &added_ops, &added, 0600);

MODULE_DESCRIPTION("Adds memory as the driver for DIMMs does, to measure it beside twostage");
MODULE_LICENSE("GPL");
