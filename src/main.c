// SPDX-License-Identifier: GPL-2.0-only
/*
 * twostage: memory that is added in two stages
 *
 * Load and unload, and the module's parameters
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/crash_dump.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>

#include "claims.h"
#include "debugfs.h"
#include "dma.h"
#include "hibernate.h"
#include "hook.h"
#include "hotplug_lock.h"
#include "kprobes_guard.h"
#include "log.h"
#include "memory_failure.h"
#include "mm_internals.h"
#include "online.h"
#include "oom.h"
#include "page_owner.h"
#include "parallel.h"
#include "parse.h"
#include "pfn_walkers.h"
#include "providers/dimm.h"
#include "providers/ram.h"
#include "region.h"
#include "symbols.h"
#include "sysfs.h"
#include "sysfs_block.h"

/* A region= parameter, until its region is added at the end of the load */
struct region_parameter {
	struct list_head node;
	struct twostage_region_params params;
};

static LIST_HEAD(region_parameters);

static int region_parameter_parse(char *text, struct twostage_region_params *params)
{
	char *start = strsep(&text, ":");
	char *size = strsep(&text, ":");
	char *node = strsep(&text, ":");

	ram_region_params(params);
	if (!size || text || parse_size(start, &params->start) || parse_size(size, &params->size))
		return -EINVAL;
	return node ? parse_node(node, &params->nid) : 0;
}

/* The kernel parses parameters before it calls twostage_init(). */
static int region_parameter_set(const char *value, const struct kernel_param *kp)
{
	struct region_parameter *parameter;
	char *text;
	int ret = -ENOMEM;

	text = kstrdup(value, GFP_KERNEL);
	parameter = kzalloc(sizeof(*parameter), GFP_KERNEL);
	if (!text || !parameter)
		goto free;

	ret = region_parameter_parse(strim(text), &parameter->params);
	if (ret) {
		pr_err("region=" ESCAPED ": not START:SIZE or START:SIZE:NODE\n", escaped(value));
		goto free;
	}
	list_add_tail(&parameter->node, &region_parameters);
	kfree(text);
	return 0;

free:
	kfree(parameter);
	kfree(text);
	return ret;
}

static void free_region_parameters(void)
{
	struct region_parameter *parameter, *next;

	list_for_each_entry_safe(parameter, next, &region_parameters, node) {
		list_del(&parameter->node);
		kfree(parameter);
	}
}

/* Called when a later parameter is refused, and at unload. */
static void region_parameter_free(void *arg)
{
	free_region_parameters();
}

static const struct kernel_param_ops region_parameter_ops = {
	.set = region_parameter_set,
	.free = region_parameter_free,
};
module_param_cb(region, &region_parameter_ops, NULL, 0);
MODULE_PARM_DESC(region, "START:SIZE[:NODE] of a region of the ram provider to add at load; repeatable");

static bool adopt;
module_param(adopt, bool, 0);
MODULE_PARM_DESC(adopt, "adopt DIMMs that are plugged, as /sys/bus/twostage/adopt does (default: 0)");

static bool online_on_oom;
module_param(online_on_oom, bool, 0);
MODULE_PARM_DESC(online_on_oom, "the online_on_oom attribute of new regions: set standby blocks online instead of an OOM kill (default: 0)");

static int add_region_parameters(void)
{
	struct twostage_region_params *params;
	struct region_parameter *parameter;
	unsigned int count = 0, i = 0;
	int ret;

	list_for_each_entry(parameter, &region_parameters, node)
		count++;
	params = kcalloc(count, sizeof(*params), GFP_KERNEL);
	if (!params)
		return -ENOMEM;
	list_for_each_entry(parameter, &region_parameters, node)
		params[i++] = parameter->params;
	ret = regions_open(params, count);
	kfree(params);

	if (ret)
		pr_err("not loaded: the region of a region= parameter cannot be added (see above)\n");
	/*
	 * modprobe takes -EEXIST for "the module is loaded already", a success.
	 */
	return ret == -EEXIST ? -EBUSY : ret;
}

/*
 * In the order of initialisation: a file uses only those above it in this table
 * (see "Floors" in docs/design.md).
 */
static const struct {
	int (*init)(void);
	void (*exit)(void);
} files[] = {
	{ symbols_init },
	{ hooks_init, hooks_exit },
	{ mm_internals_init },
	{ claims_init },
	{ pfn_walkers_init, pfn_walkers_exit },
	{ parallel_init, parallel_exit },
	{ .exit = region_table_exit },
	{ .exit = wrappers_wait },
	{ dma_init, dma_exit },
	{ memory_failure_init, memory_failure_exit },
	{ page_owner_init, page_owner_exit },
	{ hibernate_init, hibernate_exit },
	{ kprobes_guard_init, kprobes_guard_exit },
	{ online_init, online_exit },
	{ regions_init, regions_exit },
	{ dimm_init, dimm_exit },
	{ oom_init, oom_exit },
	{ sysfs_init, sysfs_exit },
	{ sysfs_block_init, sysfs_block_exit },
	{ twostage_debugfs_init, twostage_debugfs_exit },
};

static void exit_first(unsigned int count)
{
	while (count--)
		if (files[count].exit)
			files[count].exit();
}

static int __init twostage_init(void)
{
	unsigned int i;
	int ret;

	/*
	 * This kernel sees the memory of the crashed kernel as unused, but the
	 * dump is made of it: setting it online would overwrite the dump, so no
	 * provider may add regions. -ENODEV, which tells user space that there
	 * is nothing to do, keeps a boot that loads the module from failing.
	 */
	if (is_kdump_kernel()) {
		pr_err("not loaded: this kernel takes a crash dump, which memory that comes online would overwrite\n");
		return -ENODEV;
	}

	for (i = 0; i < ARRAY_SIZE(files); i++) {
		ret = files[i].init ? files[i].init() : 0;
		if (ret)
			goto exit;
	}
	oom_default(online_on_oom);
	ret = add_region_parameters();
	if (ret)
		goto exit;

	free_region_parameters();
	dimm_adopt(adopt);
	return 0;

exit:
	exit_first(i);
	return ret;
}

static void __exit twostage_exit(void)
{
	twostage_wait_for_regions(THIS_MODULE);
	exit_first(ARRAY_SIZE(files));
}

module_init(twostage_init);
module_exit(twostage_exit);

MODULE_AUTHOR("the twostage developers");
MODULE_DESCRIPTION("Memory that is added in two stages: sections first, memmap when it is set online");
MODULE_LICENSE("GPL");
MODULE_VERSION(TWOSTAGE_VERSION);
