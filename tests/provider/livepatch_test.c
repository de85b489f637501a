// SPDX-License-Identifier: GPL-2.0-only
/*
 * A live patch of a function that twostage wraps: two such cannot be, whichever comes first
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <linux/livepatch.h>
#include <linux/memory_hotplug.h>
#include <linux/module.h>

static typeof(online_pages) patched_online_pages;

static int patched_online_pages(unsigned long pfn, unsigned long nr_pages, struct zone *zone,
				struct memory_group *group)
{
	return -EPERM;
}

static struct klp_func functions[] = {
	{ .old_name = "online_pages", .new_func = patched_online_pages },
	{ }
};

static struct klp_object objects[] = {
	{ .funcs = functions },
	{ }
};

static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objects };

static int __init livepatch_test_init(void)
{
	return klp_enable_patch(&patch);
}

static void __exit livepatch_test_exit(void)
{
}

module_init(livepatch_test_init);
module_exit(livepatch_test_exit);

MODULE_DESCRIPTION("A live patch of online_pages(), for tests of twostage");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
