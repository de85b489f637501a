// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes a function of the kernel fail, or take long
 *
 * Parameters:
 *
 *   function	the function
 *   error	what it returns
 *   argument	if set, only calls with this string as first argument fail
 *   skip	how many calls succeed first
 *   count	how many calls fail then; starts when it is written
 *   delay_ms	how long these calls sleep, with the locks of their callers
 *		held: only for functions that may sleep
 *   late	1: after that time they call the function and do not fail
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "fault_test: " fmt

#include <linux/delay.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/string.h>

#include "twostage_arch.h"

static char *function;
module_param(function, charp, 0400);
static long error;
module_param(error, long, 0400);
static char *argument;
module_param(argument, charp, 0400);
static int skip;
module_param(skip, int, 0600);
static int count;
module_param(count, int, 0600);
static unsigned int delay_ms;
module_param(delay_ms, uint, 0400);
static bool late;
module_param(late, bool, 0400);

static struct kprobe probe;

static long failed(long a, long b, long c, long d, long e, long f)
{
	long (*original)(long, long, long, long, long, long) = (void *)probe.addr;

	if (delay_ms)
		msleep(delay_ms);
	if (late)
		return original(a, b, c, d, e, f);
	return error;
}

static int call(struct kprobe *kprobe, struct pt_regs *regs)
{
	if (count <= 0 ||
	    (argument && strcmp((const char *)arch_argument(regs, 0), argument)))
		return 0;
	if (skip > 0) {
		skip--;
		return 0;
	}
	count--;
	instruction_pointer_set(regs, (unsigned long)failed);
	return 1;
}

/*
 * A post_handler keeps the kprobe from being optimised into a jump, which
 * cannot redirect the call. Kprobes that use ftrace are never optimised, and
 * must not have one: the kernel fails to remove a kprobe with a post_handler
 * that was added to another without.
 */
static void after(struct kprobe *kprobe, struct pt_regs *regs, unsigned long flags)
{
}

static int register_probe(kprobe_post_handler_t post_handler)
{
	probe = (struct kprobe){ .symbol_name = function,
				 .pre_handler = call,
				 .post_handler = post_handler };
	return register_kprobe(&probe);
}

static int __init fault_test_init(void)
{
	int ret = function ? register_probe(NULL) : -EINVAL;

	if (ret || kprobe_ftrace(&probe))
		return ret;
	unregister_kprobe(&probe);
	return register_probe(after);
}

static void __exit fault_test_exit(void)
{
	unregister_kprobe(&probe);
}

module_init(fault_test_init);
module_exit(fault_test_exit);

MODULE_DESCRIPTION("Makes a function of the kernel fail, for tests of twostage");
MODULE_LICENSE("GPL");
