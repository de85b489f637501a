// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes a virtio-mem device answer as devices rarely do, or not at all
 *
 * Parameters, to be written at any time:
 *
 *   answer	the type of answer that the driver gets without the device being asked; -1: the device is
 *   count	for how many requests that holds
 *   silent	1: requests do not reach the device, which so never answers
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "virtio_mem_test: " fmt

#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/virtio.h>
#include <linux/virtio_ids.h>

static int answer = -1;
module_param(answer, int, 0600);
static int count;
module_param(count, int, 0600);
static bool silent;
module_param(silent, bool, 0600);

static int given_answer(void *device)
{
	return answer;
}

/* Keeps a probe from being optimised into a jump, which could not redirect. */
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
	struct virtqueue *queue = (struct virtqueue *)regs_get_kernel_argument(regs, 0);

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

static int __init virtio_mem_test_init(void)
{
	int ret;

	ret = register_kprobe(&ask_probe);
	if (ret)
		return ret;
	ret = register_kprobe(&kick_probe);
	if (ret)
		unregister_kprobe(&ask_probe);
	return ret;
}

static void __exit virtio_mem_test_exit(void)
{
	unregister_kprobe(&kick_probe);
	unregister_kprobe(&ask_probe);
}

module_init(virtio_mem_test_init);
module_exit(virtio_mem_test_exit);

MODULE_DESCRIPTION("Changes the answers of virtio-mem devices, for tests of twostage_virtio_mem");
MODULE_LICENSE("GPL");
