// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes one of the kernel's functions fail, or take long
 *
 * Parameters:
 *
 *   function	the function that fails
 *   error	what it answers with
 *   argument	if given, only calls with this string as the first argument fail
 *   skip	how many calls do not fail before those that do
 *   count	how many calls fail, from when this is written
 *   delay_ms	how long they take, with the locks that their callers have; for functions that may sleep
 *   late		1: they do not fail, and are made after that time
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "fault_test: " fmt

#include <linux/delay.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/string.h>

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
	if (count <= 0 || (argument && strcmp((const char *)regs_get_kernel_argument(regs, 0), argument)))
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
 * Keeps the probe from being optimised into a jump, which could not redirect. Those by way of ftrace never are, and
 * the kernel does not get one with a post_handler out again that has joined another without.
 */
static void after(struct kprobe *kprobe, struct pt_regs *regs, unsigned long flags)
{
}

static int register_probe(kprobe_post_handler_t post_handler)
{
	probe = (struct kprobe){ .symbol_name = function, .pre_handler = call, .post_handler = post_handler };
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
