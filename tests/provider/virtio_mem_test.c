// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes a virtio-mem device, or the core of twostage, answer the driver with
 * errors that are rare otherwise
 *
 * Parameters, which can be written at any time:
 *
 *   answer	type of the answer that the driver gets instead of the device's;
 *		-1: requests reach the device
 *   count	the number of requests that get that answer
 *   silent	1: requests do not reach the device, so it never answers
 *   add_error	the error that twostage_region_add() returns without adding a
 *		region, a positive number; 0: regions are added
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "virtio_mem_test: " fmt

#include <linux/err.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/virtio.h>
#include <linux/virtio_ids.h>

#include "twostage_arch.h"

static int answer = -1;
module_param(answer, int, 0600);
static int count;
module_param(count, int, 0600);
static bool silent;
module_param(silent, bool, 0600);
static int add_error;
module_param(add_error, int, 0600);

static int given_answer(void *device)
{
	return answer;
}

/*
 * A post_handler keeps the kprobe from being optimised into a jump, which
 * cannot redirect the call.
 */
static void after(struct kprobe *kprobe, struct pt_regs *regs, unsigned long flags)
{
}

static int ask(struct kprobe *kprobe, struct pt_regs *regs)
{
	if (answer < 0 || count <= 0)
		return 0;
	count--;
	instruction_pointer_set(regs, (unsigned long)given_answer);
	return 1;
}

static struct kprobe ask_probe = {
	.symbol_name = "ask_once",
	.pre_handler = ask,
	.post_handler = after,
};

static bool no_kick(struct virtqueue *queue)
{
	return true;
}

static int kick(struct kprobe *kprobe, struct pt_regs *regs)
{
	struct virtqueue *queue = (struct virtqueue *)arch_argument(regs, 0);

	if (!silent || queue->vdev->id.device != VIRTIO_ID_MEM)
		return 0;
	instruction_pointer_set(regs, (unsigned long)no_kick);
	return 1;
}

static struct kprobe kick_probe = {
	.symbol_name = "virtqueue_kick",
	.pre_handler = kick,
	.post_handler = after,
};

static void *region_add_failure(const void *params)
{
	return ERR_PTR(-add_error);
}

static int add_region(struct kprobe *kprobe, struct pt_regs *regs)
{
	if (!add_error)
		return 0;
	instruction_pointer_set(regs, (unsigned long)region_add_failure);
	return 1;
}

static struct kprobe add_region_probe = {
	.symbol_name = "twostage_region_add",
	.pre_handler = add_region,
	.post_handler = after,
};

static struct kprobe *probes[] = { &ask_probe, &kick_probe, &add_region_probe };

static int __init virtio_mem_test_init(void)
{
	return register_kprobes(probes, ARRAY_SIZE(probes));
}

static void __exit virtio_mem_test_exit(void)
{
	unregister_kprobes(probes, ARRAY_SIZE(probes));
}

module_init(virtio_mem_test_init);
module_exit(virtio_mem_test_exit);

MODULE_DESCRIPTION("Changes the answers of virtio-mem devices, for tests of twostage_virtio_mem");
MODULE_LICENSE("GPL");
