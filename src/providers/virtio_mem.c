// SPDX-License-Identifier: GPL-2.0-only
/*
 * The virtio_mem provider: standby memory on a virtio-mem device
 *
 * The device has a region of the physical address space, of which the guest can plug and unplug pieces
 * (device blocks). All of it becomes a standby region at once. Setting a memory block online plugs it,
 * setting it offline unplugs it, and the hypervisor has the memory back. Which blocks is for the guest to
 * choose, how much of it at a time for the host (requested_size): its budget.
 *
 * Unplugged memory is never touched, for whatever reason.
 *
 * The driver is not loaded for a device by itself, for that would be the end of the kernel's own driver of
 * such devices on systems that use it: who is to drive a device is for the administrator to say.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage_virtio_mem: " fmt

#include <linux/acpi.h>
#include <linux/completion.h>
#include <linux/crash_dump.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/memory.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/numa.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/suspend.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mem.h>
#include <linux/workqueue.h>

#include "twostage.h"

/* Of the specification, but later than some kernels' headers */
#ifndef VIRTIO_MEM_F_PERSISTENT_SUSPEND
#define VIRTIO_MEM_F_PERSISTENT_SUSPEND 2
#endif

/* A device that has not answered by then never will, as far as we are concerned. */
#define ANSWER_TIMEOUT (10 * HZ)

/* How long a busy device is asked again and again, and how often. */
#define BUSY_TIMEOUT (5 * HZ)
#define BUSY_INTERVAL_MS 20

/**
 * struct virtio_mem - one device, and the memory that came from it
 * @node: in the list of all; protected by devices_lock
 * @lock: one request at a time, and the device does not go while there is one; inside of
 *	device_hotplug_lock
 * @vdev: the device; NULL while we do not drive it, though its memory may be in use; @lock
 * @queue: its only one
 * @request: what is asked; the device's while @pending
 * @response: its answer; likewise
 * @answered: it has answered
 * @pending: the device has not given @request and @response back
 * @broken: it did not answer in time; nothing is asked of it any more
 * @frozen: the system sleeps
 * @config_work: for a change of the configuration
 * @address: of the device's memory, in bytes
 * @size: of it, in bytes
 * @block_size: the device block: what can be plugged at once, in bytes
 * @budget: requested_size as it was last seen, in bytes
 * @region: the standby region
 */
struct virtio_mem {
	struct list_head node;
	struct mutex lock;
	struct virtio_device *vdev;
	struct virtqueue *queue;
	struct virtio_mem_req request;
	struct virtio_mem_resp response;
	struct completion answered;
	bool pending;
	bool broken;
	bool frozen;
	struct work_struct config_work;
	u64 address;
	u64 size;
	u64 block_size;
	u64 budget;
	struct twostage_region *region;
};

/* Devices that are driven, and those that are not any more while their memory is in use. */
static LIST_HEAD(devices);
static DEFINE_MUTEX(devices_lock);

static u64 read_size(struct virtio_mem *vm, unsigned int offset)
{
	__le64 value;

	vm->vdev->config->get(vm->vdev, offset, &value, sizeof(value));
	return le64_to_cpu(value);
}

#define read_config(vm, field) read_size(vm, offsetof(struct virtio_mem_config, field))

static void queue_callback(struct virtqueue *queue)
{
	struct virtio_mem *vm = queue->vdev->priv;
	unsigned int length;

	while (virtqueue_get_buf(queue, &length)) {
		WRITE_ONCE(vm->pending, false);
		complete(&vm->answered);
	}
}

static int queue_request(struct virtio_mem *vm)
{
	struct scatterlist request, response, *lists[] = { &request, &response };
	int ret;

	sg_init_one(&request, &vm->request, sizeof(vm->request));
	sg_init_one(&response, &vm->response, sizeof(vm->response));
	reinit_completion(&vm->answered);
	WRITE_ONCE(vm->pending, true);
	ret = virtqueue_add_sgs(vm->queue, lists, 1, 1, vm, GFP_KERNEL);
	if (ret)
		WRITE_ONCE(vm->pending, false);
	else
		virtqueue_kick(vm->queue);
	return ret;
}

/* The type of the answer to what is in @vm->request, or a negative errno if there is none. */
static noinline int ask_once(struct virtio_mem *vm)
{
	int ret;

	ret = queue_request(vm);
	if (ret) {
		dev_err(&vm->vdev->dev, "cannot ask the device (%pe)\n", ERR_PTR(ret));
		return ret;
	}
	if (!wait_for_completion_timeout(&vm->answered, ANSWER_TIMEOUT)) {
		vm->broken = true;
		dev_err(&vm->vdev->dev, "no answer from the device for %d s: it is not used any more\n",
			ANSWER_TIMEOUT / HZ);
		return -ETIMEDOUT;
	}
	return virtio16_to_cpu(vm->vdev, vm->response.type);
}

/* As ask_once(), but does not take BUSY for an answer at once. */
static int ask(struct virtio_mem *vm)
{
	const unsigned long until = jiffies + BUSY_TIMEOUT;
	int answer;

	if (!vm->vdev || vm->frozen)
		return -ENODEV;
	if (vm->broken)
		return -EIO;

	answer = ask_once(vm);
	while (answer == VIRTIO_MEM_RESP_BUSY && time_before(jiffies, until)) {
		msleep(BUSY_INTERVAL_MS);
		answer = ask_once(vm);
	}
	return answer;
}

static int ask_unplug_all(struct virtio_mem *vm)
{
	memset(&vm->request, 0, sizeof(vm->request));
	vm->request.type = cpu_to_virtio16(vm->vdev, VIRTIO_MEM_REQ_UNPLUG_ALL);
	return ask(vm);
}

/* Plug or unplug device blocks; the requests look the same. */
static int ask_range(struct virtio_mem *vm, u16 type, u64 start, u64 size)
{
	if (!vm->vdev)
		return -ENODEV;
	memset(&vm->request, 0, sizeof(vm->request));
	vm->request.type = cpu_to_virtio16(vm->vdev, type);
	vm->request.u.plug.addr = cpu_to_virtio64(vm->vdev, start);
	vm->request.u.plug.nb_blocks = cpu_to_virtio16(vm->vdev, size / vm->block_size);
	return ask(vm);
}

static const char *name_of(const struct virtio_mem *vm)
{
	return vm->vdev ? dev_name(&vm->vdev->dev) : "the device";
}

/* Say why not, and as what the one who sets the block online gets to know it. */
static int explain_plug(struct virtio_mem *vm, int answer, u64 start, u64 size)
{
	switch (answer) {
	case VIRTIO_MEM_RESP_ACK:
		return 0;
	case VIRTIO_MEM_RESP_NACK:
		pr_err("%s: the host's budget does not allow %#llx bytes more: %#llx of %#llx are plugged\n",
		       name_of(vm), size, read_config(vm, plugged_size), read_config(vm, requested_size));
		return -ENOSPC;
	case VIRTIO_MEM_RESP_BUSY:
		pr_err("%s: the device is too busy to plug [%#llx-%#llx]\n", name_of(vm), start,
		       start + size - 1);
		return -EBUSY;
	case VIRTIO_MEM_RESP_ERROR:
		pr_err("%s: the device finds an error in the request to plug [%#llx-%#llx]\n",
		       name_of(vm), start, start + size - 1);
		return -EIO;
	default:
		pr_err("%s: cannot plug [%#llx-%#llx]: %s\n", name_of(vm), start, start + size - 1,
		       answer == -ENODEV ? "the device is not driven by this driver" :
		       answer == -EIO ? "the device is broken" :
		       answer < 0 ? "no answer" : "an answer that does not exist");
		return answer < 0 ? answer : -EIO;
	}
}

static int explain_unplug(struct virtio_mem *vm, int answer, u64 start, u64 size)
{
	if (answer == VIRTIO_MEM_RESP_ACK)
		return 0;
	pr_err("%s: cannot unplug [%#llx-%#llx]: %s\n", name_of(vm), start, start + size - 1,
	       answer == VIRTIO_MEM_RESP_BUSY ? "the device is too busy" :
	       answer == -ENODEV ? "the device is not driven by this driver" :
	       answer == -EIO ? "the device is broken" :
	       answer < 0 ? "no answer" : "the device refuses");
	return answer == VIRTIO_MEM_RESP_BUSY ? -EBUSY : answer < 0 ? answer : -EIO;
}

/* What one request can ask for: it counts device blocks in 16 bits. */
static u64 request_size(const struct virtio_mem *vm, u64 size)
{
	return min(size, U16_MAX * vm->block_size);
}

static int unplug(struct virtio_mem *vm, u64 start, u64 size)
{
	u64 done, length;
	int ret = 0;

	for (done = 0; done < size && !ret; done += length) {
		length = request_size(vm, size - done);
		ret = explain_unplug(vm, ask_range(vm, VIRTIO_MEM_REQ_UNPLUG, start + done, length),
				     start + done, length);
	}
	return ret;
}

static int plug(struct virtio_mem *vm, u64 start, u64 size)
{
	u64 done, length;
	int ret = 0;

	/* The device would call that an error, without saying which. */
	if (vm->vdev && !vm->frozen && start + size > vm->address + read_config(vm, usable_region_size)) {
		pr_err("%s: [%#llx-%#llx] is beyond what the host makes usable, %#llx bytes from %#llx: take lower blocks, or have requested-size raised\n",
		       name_of(vm), start, start + size - 1, read_config(vm, usable_region_size), vm->address);
		return -ENOSPC;
	}

	for (done = 0; done < size; done += length) {
		length = request_size(vm, size - done);
		ret = explain_plug(vm, ask_range(vm, VIRTIO_MEM_REQ_PLUG, start + done, length),
				   start + done, length);
		if (ret)
			break;
	}
	/* All or nothing. What cannot be taken back is the device's own, and not used by anybody. */
	if (ret && done)
		unplug(vm, start, done);
	return ret;
}

static int virtio_mem_assign(struct twostage_region *region, u64 start, u64 size)
{
	struct virtio_mem *vm = twostage_region_data(region);
	int ret;

	mutex_lock(&vm->lock);
	ret = plug(vm, start, size);
	mutex_unlock(&vm->lock);
	return ret;
}

static int virtio_mem_unassign(struct twostage_region *region, u64 start, u64 size)
{
	struct virtio_mem *vm = twostage_region_data(region);
	int ret;

	mutex_lock(&vm->lock);
	ret = unplug(vm, start, size);
	mutex_unlock(&vm->lock);
	return ret;
}

static u64 virtio_mem_budget(struct twostage_region *region)
{
	struct virtio_mem *vm = twostage_region_data(region);

	return READ_ONCE(vm->budget);
}

static u64 virtio_mem_plugged(struct twostage_region *region)
{
	struct virtio_mem *vm = twostage_region_data(region);
	u64 plugged = 0;

	mutex_lock(&vm->lock);
	if (vm->vdev && !vm->frozen)
		plugged = read_config(vm, plugged_size);
	mutex_unlock(&vm->lock);
	return plugged;
}

static const struct twostage_provider virtio_mem_provider = {
	.name = "virtio_mem",
	.owner = THIS_MODULE,
	.assign = virtio_mem_assign,
	.unassign = virtio_mem_unassign,
	.budget = virtio_mem_budget,
	.plugged = virtio_mem_plugged,
};

/* A budget that shrinks is for somebody to act on who can tell which memory can be spared. */
static void config_work(struct work_struct *work)
{
	struct virtio_mem *vm = container_of(work, struct virtio_mem, config_work);
	u64 budget, plugged;
	bool changed;

	mutex_lock(&vm->lock);
	if (!vm->vdev || vm->frozen) {
		mutex_unlock(&vm->lock);
		return;
	}
	budget = read_config(vm, requested_size);
	plugged = read_config(vm, plugged_size);
	changed = budget != vm->budget;
	WRITE_ONCE(vm->budget, budget);
	if (changed && plugged > budget)
		dev_warn(&vm->vdev->dev, "the host wants %#llx bytes back: its budget is %#llx now, %#llx are plugged\n",
			 plugged - budget, budget, plugged);
	else if (changed)
		dev_info(&vm->vdev->dev, "the host's budget is %#llx bytes now, %#llx are plugged\n",
			 budget, plugged);
	mutex_unlock(&vm->lock);

	if (changed)
		twostage_region_changed(vm->region);
}

static void virtio_mem_config_changed(struct virtio_device *vdev)
{
	struct virtio_mem *vm = vdev->priv;

	queue_work(system_freezable_wq, &vm->config_work);
}

/* From the start to where the bus had brought the device when it called us; nothing is unplugged by it. */
static int reset_device(struct virtio_device *vdev)
{
	int ret;

	virtio_reset_device(vdev);
	virtio_add_status(vdev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	virtio_add_status(vdev, VIRTIO_CONFIG_S_DRIVER);
	ret = vdev->config->finalize_features(vdev);
	if (!ret)
		virtio_add_status(vdev, VIRTIO_CONFIG_S_FEATURES_OK);
	return ret;
}

static int find_queue(struct virtio_mem *vm, struct virtio_device *vdev)
{
	struct virtqueue *queue = virtio_find_single_vq(vdev, queue_callback, "guest-request");
	int ret;

	/* A driver that has tried before us, and failed, may have left its queue enabled. */
	if (queue == ERR_PTR(-ENOENT)) {
		ret = reset_device(vdev);
		if (ret)
			return ret;
		queue = virtio_find_single_vq(vdev, queue_callback, "guest-request");
	}
	if (IS_ERR(queue))
		return PTR_ERR(queue);
	vm->queue = queue;
	return 0;
}

static int device_node(struct virtio_device *vdev)
{
	int nid = NUMA_NO_NODE;

#ifdef CONFIG_ACPI_NUMA
	if (virtio_has_feature(vdev, VIRTIO_MEM_F_ACPI_PXM)) {
		__le16 pxm;

		vdev->config->get(vdev, offsetof(struct virtio_mem_config, node_id), &pxm, sizeof(pxm));
		nid = pxm_to_node(le16_to_cpu(pxm));
	}
#endif
	return nid;
}

/* What a reset of the system, or a driver before us, has left plugged. Nothing of it is in use. */
static int unplug_leftovers(struct virtio_mem *vm)
{
	u64 plugged = read_config(vm, plugged_size);
	int answer;

	if (!plugged)
		return 0;
	dev_info(&vm->vdev->dev, "%#llx bytes are plugged already: unplugging all\n", plugged);
	answer = ask_unplug_all(vm);
	if (answer == VIRTIO_MEM_RESP_ACK)
		return 0;
	dev_err(&vm->vdev->dev, "cannot unplug what is plugged already (answer %d)\n", answer);
	return answer == VIRTIO_MEM_RESP_BUSY ? -EBUSY : answer < 0 ? answer : -EIO;
}

/* The whole memory blocks of the device's memory, and whole device blocks if those are larger. */
static int add_region(struct virtio_mem *vm)
{
	const u64 unit = max_t(u64, vm->block_size, memory_block_size_bytes());
	struct twostage_region_params params = {
		.provider = &virtio_mem_provider,
		.data = vm,
		.start = ALIGN(vm->address, unit),
		.granule = vm->block_size,
		.nid = device_node(vm->vdev),
		.memmap_on_memory = true,
	};
	const u64 end = ALIGN_DOWN(vm->address + vm->size, unit);
	struct twostage_region *region;

	if (params.start >= end) {
		dev_err(&vm->vdev->dev, "no whole unit of %#llx bytes in [%#llx-%#llx]\n", unit, vm->address,
			vm->address + vm->size - 1);
		return -EINVAL;
	}
	params.size = end - params.start;
	if (params.size < vm->size)
		dev_info(&vm->vdev->dev, "%#llx bytes of [%#llx-%#llx] are left over beside whole units of %#llx\n",
			 vm->size - params.size, vm->address, vm->address + vm->size - 1, unit);

	region = twostage_region_add(&params);
	if (IS_ERR(region))
		return PTR_ERR(region);
	vm->region = region;
	return 0;
}

/* Memory of this device that is in use since a time when we drove it before */
static struct virtio_mem *find_abandoned(struct virtio_device *vdev, const struct virtio_mem *device)
{
	struct virtio_mem *vm;

	list_for_each_entry(vm, &devices, node)
		if (!vm->vdev && vm->address == device->address && vm->size == device->size &&
		    vm->block_size == device->block_size)
			return vm;
	return NULL;
}

static void read_device(struct virtio_mem *vm, struct virtio_device *vdev)
{
	vm->vdev = vdev;
	vm->address = read_config(vm, addr);
	vm->size = read_config(vm, region_size);
	vm->block_size = read_config(vm, block_size);
	vm->budget = read_config(vm, requested_size);
}

static int check_device(const struct virtio_mem *vm)
{
	if (!is_power_of_2(vm->block_size) || vm->block_size < PAGE_SIZE ||
	    !IS_ALIGNED(vm->address, vm->block_size) || !IS_ALIGNED(vm->size, vm->block_size) ||
	    !vm->size || vm->address + vm->size < vm->address) {
		dev_err(&vm->vdev->dev, "its configuration makes no sense: %#llx bytes at %#llx in blocks of %#llx\n",
			vm->size, vm->address, vm->block_size);
		return -EINVAL;
	}
	return 0;
}

/* Take the device up again whose memory has stayed in use, all of it plugged as it was. */
static int resume_abandoned(struct virtio_mem *vm, struct virtio_device *vdev)
{
	int ret;

	mutex_lock(&vm->lock);
	vdev->priv = vm;
	ret = find_queue(vm, vdev);
	if (!ret) {
		vm->vdev = vdev;
		vm->broken = false;
		vm->pending = false;
		virtio_device_ready(vdev);
		dev_info(&vdev->dev, "takes up %s again\n", twostage_region_name(vm->region));
	}
	mutex_unlock(&vm->lock);
	if (!ret)
		virtio_mem_config_changed(vdev);
	return ret;
}

static int start_device(struct virtio_mem *vm, struct virtio_device *vdev)
{
	int ret;

	vdev->priv = vm;
	ret = check_device(vm);
	if (ret)
		return ret;
	ret = find_queue(vm, vdev);
	if (ret)
		return ret;
	virtio_device_ready(vdev);

	mutex_lock(&vm->lock);
	ret = unplug_leftovers(vm);
	mutex_unlock(&vm->lock);
	if (!ret)
		ret = add_region(vm);
	if (ret) {
		virtio_reset_device(vdev);
		vdev->config->del_vqs(vdev);
	}
	return ret;
}

static int virtio_mem_probe(struct virtio_device *vdev)
{
	struct virtio_mem *vm, *abandoned;
	int ret;

	if (is_kdump_kernel()) {
		dev_err(&vdev->dev, "not driven in a kernel that takes a crash dump\n");
		return -ENODEV;
	}
	vm = kzalloc(sizeof(*vm), GFP_KERNEL);
	if (!vm)
		return -ENOMEM;
	mutex_init(&vm->lock);
	init_completion(&vm->answered);
	INIT_WORK(&vm->config_work, config_work);
	read_device(vm, vdev);

	mutex_lock(&devices_lock);
	abandoned = find_abandoned(vdev, vm);
	if (abandoned) {
		ret = resume_abandoned(abandoned, vdev);
	} else {
		ret = start_device(vm, vdev);
		if (!ret)
			list_add(&vm->node, &devices);
	}
	mutex_unlock(&devices_lock);

	if (ret || abandoned)
		kfree(vm);
	return ret;
}

/*
 * A driver cannot refuse to let go. Memory that is in use stays so: the device goes on backing it, and the
 * region stays, until we are given the device again. A reset unplugs nothing.
 */
static void virtio_mem_remove(struct virtio_device *vdev)
{
	struct virtio_mem *vm = vdev->priv;
	int ret;

	/* Changes of the configuration are not reported to us any more. */
	cancel_work_sync(&vm->config_work);
	mutex_lock(&devices_lock);
	ret = twostage_region_remove(vm->region);

	virtio_reset_device(vdev);
	mutex_lock(&vm->lock);
	vdev->config->del_vqs(vdev);
	vm->vdev = NULL;
	mutex_unlock(&vm->lock);
	if (ret) {
		dev_warn(&vdev->dev, "let go under %s, whose memory is in use: it stays, and cannot be unplugged until this driver has the device again\n",
			 twostage_region_name(vm->region));
	} else {
		list_del(&vm->node);
		kfree(vm);
	}
	mutex_unlock(&devices_lock);
}

/* After a power cycle nothing is plugged any more, unless the device says otherwise. */
static int __maybe_unused virtio_mem_freeze(struct virtio_device *vdev)
{
	struct virtio_mem *vm = vdev->priv;

	if (!virtio_has_feature(vdev, VIRTIO_MEM_F_PERSISTENT_SUSPEND) &&
	    twostage_region_populated(vm->region)) {
		dev_err(&vdev->dev, "refuses to sleep: memory of %s is in use, and would be gone afterwards\n",
			twostage_region_name(vm->region));
		return -EPERM;
	}

	mutex_lock(&vm->lock);
	vm->frozen = true;
	virtio_reset_device(vdev);
	vdev->config->del_vqs(vdev);
	mutex_unlock(&vm->lock);
	return 0;
}

static int __maybe_unused virtio_mem_restore(struct virtio_device *vdev)
{
	struct virtio_mem *vm = vdev->priv;
	int ret;

	mutex_lock(&vm->lock);
	ret = find_queue(vm, vdev);
	if (!ret) {
		virtio_device_ready(vdev);
		vm->frozen = false;
		vm->pending = false;
	}
	mutex_unlock(&vm->lock);
	if (!ret)
		virtio_mem_config_changed(vdev);
	return ret;
}

static const unsigned int features[] = {
#ifdef CONFIG_ACPI_NUMA
	VIRTIO_MEM_F_ACPI_PXM,
#endif
	VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE,
	VIRTIO_MEM_F_PERSISTENT_SUSPEND,
};

/* No MODULE_DEVICE_TABLE(), see above. */
static const struct virtio_device_id ids[] = {
	{ VIRTIO_ID_MEM, VIRTIO_DEV_ANY_ID },
	{ }
};

static struct virtio_driver virtio_mem_driver = {
	.feature_table = features,
	.feature_table_size = ARRAY_SIZE(features),
	.driver.name = KBUILD_MODNAME,
	.driver.owner = THIS_MODULE,
	.id_table = ids,
	.probe = virtio_mem_probe,
	.remove = virtio_mem_remove,
	.config_changed = virtio_mem_config_changed,
#ifdef CONFIG_PM_SLEEP
	.freeze = virtio_mem_freeze,
	.restore = virtio_mem_restore,
#endif
};

/* Memory of a device that is not driven has nobody else to speak up for it: see virtio_mem_freeze(). */
static int pm_callback(struct notifier_block *nb, unsigned long action, void *data)
{
	struct virtio_mem *vm;
	bool abandoned = false;

	if (action != PM_SUSPEND_PREPARE)
		return NOTIFY_DONE;

	mutex_lock(&devices_lock);
	list_for_each_entry(vm, &devices, node)
		if (!vm->vdev && twostage_region_populated(vm->region))
			abandoned = true;
	mutex_unlock(&devices_lock);
	if (!abandoned)
		return NOTIFY_DONE;

	pr_err("suspend refused: memory is in use that would be gone afterwards, of a device that is not driven\n");
	return notifier_from_errno(-EBUSY);
}

static struct notifier_block pm_notifier = { .notifier_call = pm_callback };

static int __init virtio_mem_init(void)
{
	int ret;

	ret = register_pm_notifier(&pm_notifier);
	if (ret)
		return ret;
	ret = register_virtio_driver(&virtio_mem_driver);
	if (ret)
		unregister_pm_notifier(&pm_notifier);
	return ret;
}

static void __exit virtio_mem_exit(void)
{
	unregister_virtio_driver(&virtio_mem_driver);
	unregister_pm_notifier(&pm_notifier);
}

module_init(virtio_mem_init);
module_exit(virtio_mem_exit);

MODULE_AUTHOR("the twostage developers");
MODULE_DESCRIPTION("Standby memory on virtio-mem devices, for twostage");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
