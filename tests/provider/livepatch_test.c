// SPDX-License-Identifier: GPL-2.0-only
/*
 * A live patch of a function that twostage wraps
 *
 * Ftrace allows only one redirection of a function: whichever of the two comes
 * second is refused.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <linux/livepatch.h>
#include <linux/module.h>

static char *function = "online_pages";
module_param(function, charp, 0444);
MODULE_PARM_DESC(function, "the function to patch, which must not be called meanwhile");

/*
 * Called with any arguments. Some of the functions return an error, others
 * nothing.
 */
static noinline int patched(void)
{
	return -EPERM;
}

static struct klp_func functions[] = {
	{ .new_func = patched },
	{ }
};

static struct klp_object objects[] = {
	{ .funcs = functions },
	{ }
};

static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objects };

static int __init livepatch_test_init(void)
{
	functions[0].old_name = function;
	return klp_enable_patch(&patch);
}

static void __exit livepatch_test_exit(void)
{
}

module_init(livepatch_test_init);
module_exit(livepatch_test_exit);

MODULE_DESCRIPTION("A live patch of one function, for tests of twostage");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
