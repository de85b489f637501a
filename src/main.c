// SPDX-License-Identifier: GPL-2.0-only
/*
 * twostage: memory that is added in two stages
 *
 * Load and unload: in order, all or nothing.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/crash_dump.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>

#include "adopt.h"
#include "claims.h"
#include "hook.h"
#include "mm_internals.h"
#include "online.h"
#include "providers/ram.h"
#include "region.h"
#include "sysfs.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

/* A region= parameter, until the regions are made at the end of the load. */
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

/* Runs before the load proper. */
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

/* Called when a later parameter is refused, and at the unload. */
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
MODULE_PARM_DESC(adopt, "take over memory that the ACPI memory driver adds, as /sys/bus/twostage/adopt does (default: 0)");

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
		pr_err("a region= cannot be added, so the module is not loaded\n");
	/* EEXIST from a load means that the module is loaded already, which modprobe takes for success. */
	return ret == -EEXIST ? -EBUSY : ret;
}

static int __init twostage_init(void)
{
	int ret;

	/*
	 * The memory of the kernel that crashed looks unused here, and is what
	 * the dump is made of. A module that is not there has no provider that
	 * could set it online, and takes no DIMM over. ENODEV is what a module
	 * answers with where it has nothing to do; no boot fails for it.
	 */
	if (is_kdump_kernel()) {
		pr_err("not loaded: this kernel takes a crash dump, which memory that comes online would overwrite\n");
		return -ENODEV;
	}

	ret = hooks_init();
	if (ret)
		return ret;
	ret = mm_internals_init();
	if (ret)
		goto exit_hooks;
	ret = claims_init();
	if (ret)
		goto exit_internals;
	ret = online_init();
	if (ret)
		goto exit_internals;
	ret = regions_init();
	if (ret)
		goto exit_online;
	ret = adopt_init();
	if (ret)
		goto exit_regions;
	ret = sysfs_init();
	if (ret)
		goto exit_adopt;
	ret = add_region_parameters();
	if (ret)
		goto exit_sysfs;

	free_region_parameters();
	adopt_enable(adopt);
	return 0;

exit_sysfs:
	sysfs_exit();
exit_adopt:
	adopt_exit();
exit_regions:
	regions_exit();
exit_online:
	online_exit();
exit_internals:
	mm_internals_exit();
exit_hooks:
	hooks_exit();
	return ret;
}

static void __exit twostage_exit(void)
{
	twostage_wait_for_regions(THIS_MODULE);
	sysfs_exit();
	adopt_exit();
	regions_exit();
	online_exit();
	mm_internals_exit();
	hooks_exit();
}

module_init(twostage_init);
module_exit(twostage_exit);

MODULE_AUTHOR("the twostage developers");
MODULE_DESCRIPTION("Memory that is added in two stages: sections first, memmap when it is set online");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
