// SPDX-License-Identifier: GPL-2.0-only
/*
 * The virtio_mem provider: standby memory on a virtio-mem device
 *
 * A virtio-mem device has a range of physical addresses, in which the guest
 * plugs and unplugs pieces (device blocks). The driver makes one standby region
 * of all of it. Setting a memory block online plugs its device blocks; setting
 * it offline unplugs them, which returns their memory to the host. The guest
 * chooses the blocks; the host limits their total size (requested_size), which
 * is the region's budget.
 *
 * Unplugged memory must never be accessed. So the driver records for each
 * granule whether it is plugged, and relies on the record only where the device
 * has confirmed it. After a request that failed or was not answered, the driver
 * asks the device for the granule's state before it uses the granule again.
 *
 * Unassigning a granule always succeeds for the core. If the device does not
 * unplug it (QEMU answers BUSY to all requests while it migrates the guest),
 * the driver retries in the background.
 *
 * The module has no device table and is not loaded automatically: the kernel
 * has a driver of its own for these devices, and the administrator decides
 * which of the two drives a device.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage_virtio_mem: " fmt

#include <linux/acpi.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/memory.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/numa.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/suspend.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mem.h>
#include <linux/workqueue.h>

#include "granules.h"
#include "twostage.h"

/* In the specification, but not in the headers of all supported kernels */
#ifndef VIRTIO_MEM_F_PERSISTENT_SUSPEND
#define VIRTIO_MEM_F_PERSISTENT_SUSPEND 2
#endif

/* A device that does not answer a request in this time is not used any more. */
#define ANSWER_TIMEOUT (10 * HZ)

/* For how long and how often a request is repeated while the device is busy */
#define BUSY_TIMEOUT (5 * HZ)
#define BUSY_INTERVAL_MS 20

/*
 * Delay before a retry in the background; it doubles from the first to the
 * last.
 */
#define RETRY_DELAY_MIN HZ
#define RETRY_DELAY_MAX (60 * HZ)

/**
 * struct virtio_mem - a device, and the memory that came from it
 * @node: in the list of devices; protected by devices_lock
 * @lock: held while there is a request, and while the device starts or stops;
 *	taken inside device_hotplug_lock
 * @vdev: the device; NULL if it is not bound to this driver although its memory
 *	is in use; protected by @lock
 * @queue: the device's only queue
 * @request: the current request; the device may read it until it has answered
 *	or has been reset
 * @response: the answer; the device may write it for as long
 * @answered: completed when the device has answered
 * @unasked: the last request could not be queued
 * @broken: no more requests are made: the device did not answer in time, has no
 *	queue after a resume, or its region could not be added; changed under
 *	@lock, read without
 * @frozen: the system is suspended
 * @unplug_all: memory may have been plugged before the driver was bound: unplug
 *	all before anything is plugged
 * @config_work: handles a change of the configuration
 * @retry_work: retries what is still to be done for the device
 * @retry_delay: the delay of the next retry, in jiffies; protected by @lock
 * @address: start of the device's memory, in bytes
 * @size: size of the device's memory, in bytes
 * @block_size: size of a device block, the smallest piece that can be plugged,
 *	in bytes
 * @budget: requested_size when it was last read, in bytes; changed under @lock,
 *	read without
 * @granules: the granules of the region, with the state of each; protected by
 *	@lock
 * @region: the standby region; NULL until it has been added; changed under
 *	@lock, read without
 */
struct virtio_mem {
	struct list_head node;
	struct mutex lock;
	struct virtio_device *vdev;
	struct virtqueue *queue;
	struct virtio_mem_req request;
	struct virtio_mem_resp response;
	struct completion answered;
	bool unasked;
	bool broken;
	bool frozen;
	bool unplug_all;
	struct work_struct config_work;
	struct delayed_work retry_work;
	unsigned long retry_delay;
	u64 address;
	u64 size;
	u64 block_size;
	u64 budget;
	struct granules granules;
	struct twostage_region *region;
};

/*
 * Devices that are bound to this driver, and those that were and whose memory
 * is still in use.
 */
static LIST_HEAD(devices);

/*
 * Protects the list and which of its devices are bound. Taken outside of
 * device_hotplug_lock, with one exception: ACPI hotplug probes and removes
 * devices with device_hotplug_lock held. That does not deadlock, because a task
 * that holds devices_lock waits for device_hotplug_lock for a limited time.
 */
static DEFINE_MUTEX(devices_lock);

/*
 * Unload flushes this queue: a work item that has dropped the last reference to
 * the module may still be running.
 */
static struct workqueue_struct *workqueue;

/*
 * Read a field of the configuration atomically: the bus reads 64 bits in two
 * halves, between which the host may change the field.
 */
#define read_config(vm, field) ({							\
	u64 _value;									\
	virtio_cread_le((vm)->vdev, struct virtio_mem_config, field, &_value);		\
	_value;										\
})

static void queue_callback(struct virtqueue *queue)
{
	struct virtio_mem *vm = queue->vdev->priv;
	unsigned int length;

	while (virtqueue_get_buf(queue, &length))
		complete(&vm->answered);
}

static int queue_request(struct virtio_mem *vm)
{
	struct scatterlist request, response, *lists[] = { &request, &response };
	int ret;

	sg_init_one(&request, &vm->request, sizeof(vm->request));
	sg_init_one(&response, &vm->response, sizeof(vm->response));
	/*
	 * Not a valid answer, in case the device returns the buffer without
	 * one.
	 */
	memset(&vm->response, 0xff, sizeof(vm->response));
	reinit_completion(&vm->answered);
	ret = virtqueue_add_sgs(vm->queue, lists, 1, 1, vm, GFP_KERNEL);
	if (!ret)
		virtqueue_kick(vm->queue);
	return ret;
}

/* Returns the type of the answer to @vm->request, or a negative errno. */
static noinline int ask_once(struct virtio_mem *vm)
{
	int ret;

	ret = queue_request(vm);
	vm->unasked = ret;
	if (ret)
		return -EIO;
	if (!wait_for_completion_timeout(&vm->answered, ANSWER_TIMEOUT)) {
		WRITE_ONCE(vm->broken, true);
		dev_err(&vm->vdev->dev, "no answer from the device for %d s: it is not used any more; unbind and bind it to try again\n",
			ANSWER_TIMEOUT / HZ);
		return -ETIMEDOUT;
	}
	return virtio16_to_cpu(vm->vdev, vm->response.type);
}

/* Translate an answer into an errno. */
static int error_of(int answer)
{
	switch (answer) {
	case VIRTIO_MEM_RESP_ACK:
		return 0;
	case VIRTIO_MEM_RESP_NACK:
		return -ENOSPC;
	case VIRTIO_MEM_RESP_BUSY:
		return -EBUSY;
	default:
		return answer < 0 ? answer : -EIO;
	}
}

/*
 * Make a plug, unplug or state request, which all have the same format. Repeat
 * it for up to BUSY_TIMEOUT while the device is busy.
 */
static int ask(struct virtio_mem *vm, u16 type, u64 start, u64 size)
{
	const unsigned long until = jiffies + BUSY_TIMEOUT;
	int answer;

	if (!vm->vdev || vm->frozen)
		return -ENODEV;
	/*
	 * The device may still read the request that it did not answer: do not
	 * overwrite it.
	 */
	if (vm->broken)
		return -EIO;

	memset(&vm->request, 0, sizeof(vm->request));
	vm->request.type = cpu_to_virtio16(vm->vdev, type);
	vm->request.u.plug.addr = cpu_to_virtio64(vm->vdev, start);
	vm->request.u.plug.nb_blocks = cpu_to_virtio16(vm->vdev, size / vm->block_size);

	answer = ask_once(vm);
	while (answer == VIRTIO_MEM_RESP_BUSY && time_before(jiffies, until)) {
		msleep(BUSY_INTERVAL_MS);
		answer = ask_once(vm);
	}
	return error_of(answer);
}

/* Returns VIRTIO_MEM_STATE_* of the device blocks, or a negative errno. */
static int ask_state(struct virtio_mem *vm, u64 start, u64 size)
{
	int ret = ask(vm, VIRTIO_MEM_REQ_STATE, start, size);

	return ret ? ret : virtio16_to_cpu(vm->vdev, vm->response.u.state.state);
}

static const char *reason(const struct virtio_mem *vm, int error)
{
	switch (error) {
	case -EBUSY:
		return "the device is too busy";
	case -ENODEV:
		return "the device is not bound to this driver";
	case -ETIMEDOUT:
		return "the device did not answer";
	default:
		return vm->broken ? "the device is broken (unbind and bind it to try again)" :
		       vm->unasked ? "the request could not be queued" :
				     "the device rejected the request as invalid";
	}
}

static int request_state(void *device, u64 start, u64 size)
{
	return ask_state(device, start, size);
}

static int request_change(void *device, bool plug, u64 start, u64 size)
{
	return ask(device, plug ? VIRTIO_MEM_REQ_PLUG : VIRTIO_MEM_REQ_UNPLUG, start, size);
}

static const struct granule_requests requests = {
	.state = request_state,
	.change = request_change,
};

static void retry(struct virtio_mem *vm)
{
	const unsigned long delay = vm->retry_delay;

	vm->retry_delay = min_t(unsigned long, 2 * delay, RETRY_DELAY_MAX);
	mod_delayed_work(workqueue, &vm->retry_work, delay);
}

static void retry_soon(struct virtio_mem *vm)
{
	vm->retry_delay = RETRY_DELAY_MIN;
	retry(vm);
}

/*
 * Unplug memory that was plugged before a reboot or by another driver. It is
 * not in use: otherwise the region could not have been added.
 */
static int unplug_leftovers(struct virtio_mem *vm)
{
	int ret;

	if (!vm->unplug_all)
		return 0;
	ret = ask(vm, VIRTIO_MEM_REQ_UNPLUG_ALL, 0, 0);
	if (!ret)
		vm->unplug_all = false;
	return ret;
}

static int check_usable(struct virtio_mem *vm, u64 start)
{
	u64 usable = read_config(vm, usable_region_size);

	if (start + vm->granules.size <= vm->address + usable)
		return 0;
	twostage_region_report(vm->region, start, "outside of the %#llx bytes from %#llx that the host makes usable: use lower blocks, or raise requested-size on the host",
			       usable, vm->address);
	return -ENOSPC;
}

static void explain_plug(struct virtio_mem *vm, int error, u64 start)
{
	if (error == -ENOSPC)
		twostage_region_report(vm->region, start, "the host's budget does not allow %#llx more bytes: %#llx of %#llx are plugged; raise requested-size on the host",
				       vm->granules.size, read_config(vm, plugged_size), read_config(vm, requested_size));
	else
		twostage_region_report(vm->region, start, "cannot plug %#llx bytes: %s", vm->granules.size, reason(vm, error));
}

static void unplug_granule(struct virtio_mem *vm, u64 start, bool left)
{
	int ret;

	ret = granule_unplug(&vm->granules, start, left, &requests, vm);
	if (!ret)
		return;
	twostage_region_report(vm->region, start, "cannot unplug %#llx bytes that are not used any more: %s; to be retried",
			       vm->granules.size, reason(vm, ret));
	retry_soon(vm);
}

/* After an error no part of the granule is in use. */
static int plug_granule(struct virtio_mem *vm, u64 start)
{
	u64 done;
	int ret;

	ret = check_usable(vm, start);
	if (ret)
		return ret;
	ret = granule_plug(&vm->granules, start, &requests, vm, &done);
	if (!ret)
		return 0;
	explain_plug(vm, ret, start);
	/*
	 * A refused request changes nothing; a request that is not answered may
	 * have.
	 */
	if (done || vm->broken)
		unplug_granule(vm, start, true);
	return ret;
}

/* Logs the reason if the device cannot plug memory. */
static int check_device_ready(struct virtio_mem *vm, u64 start)
{
	int ret;

	if (!vm->vdev || vm->frozen) {
		twostage_region_report(vm->region, start, "cannot plug memory: the device is not bound to this driver");
		return -ENODEV;
	}
	ret = unplug_leftovers(vm);
	if (ret)
		twostage_region_report(vm->region, start, "cannot plug memory: memory that was plugged before the driver was bound cannot be unplugged: %s",
				       reason(vm, ret));
	return ret;
}

static int virtio_mem_assign(struct twostage_region *region, u64 start, u64 size)
{
	struct virtio_mem *vm = twostage_region_data(region);
	u64 done = 0;
	int ret;

	mutex_lock(&vm->lock);
	/* A block may be set online before twostage_region_add() returns. */
	if (vm->region != region)
		WRITE_ONCE(vm->region, region);
	ret = check_device_ready(vm, start);
	while (!ret && done < size) {
		ret = plug_granule(vm, start + done);
		if (!ret)
			done += vm->granules.size;
	}
	while (ret && done) {
		done -= vm->granules.size;
		unplug_granule(vm, start + done, false);
	}
	mutex_unlock(&vm->lock);
	return ret;
}

/* Always succeeds: unplug_granule() retries in the background if it has to. */
static int virtio_mem_unassign(struct twostage_region *region, u64 start, u64 size)
{
	struct virtio_mem *vm = twostage_region_data(region);
	u64 done;

	mutex_lock(&vm->lock);
	for (done = 0; done < size; done += vm->granules.size)
		unplug_granule(vm, start + done, false);
	mutex_unlock(&vm->lock);
	return 0;
}

static u64 virtio_mem_budget(struct twostage_region *region)
{
	struct virtio_mem *vm = twostage_region_data(region);

	return READ_ONCE(vm->budget);
}

static u64 virtio_mem_plugged(struct twostage_region *region)
{
	struct virtio_mem *vm = twostage_region_data(region);
	u64 plugged;

	mutex_lock(&vm->lock);
	if (vm->vdev && !vm->frozen)
		plugged = read_config(vm, plugged_size);
	else
		/* The device cannot be asked. */
		plugged = granules_in_use(&vm->granules);
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

static void free_device(struct virtio_mem *vm)
{
	kvfree(vm->granules.states);
	kfree(vm);
}

/*
 * Whether the device has to take memory back that the core does not use. Not
 * before the region exists: until then another driver may use that memory.
 */
static bool any_left(const struct virtio_mem *vm)
{
	return vm->region && (vm->unplug_all || granules_any(&vm->granules, GRANULE_LEFT));
}

static int device_node(struct virtio_device *vdev)
{
	int nid = NUMA_NO_NODE;

#ifdef CONFIG_ACPI_NUMA
	if (virtio_has_feature(vdev, VIRTIO_MEM_F_ACPI_PXM)) {
		u16 pxm;

		virtio_cread_le(vdev, struct virtio_mem_config, node_id, &pxm);
		nid = pxm_to_node(pxm);
	}
#endif
	return nid;
}

/*
 * Add the region before anything is unplugged: if the memory is in use, perhaps
 * because another driver was unbound while it was, this fails with -EBUSY.
 */
static int add_region(struct virtio_mem *vm)
{
	const struct twostage_region_params params = {
		.provider = &virtio_mem_provider,
		.data = vm,
		.start = vm->granules.start,
		.size = vm->granules.count * vm->granules.size,
		.granule = vm->granules.size,
		.nid = device_node(vm->vdev),
		.memmap_on_memory = true,
	};
	const u64 plugged = read_config(vm, plugged_size);
	struct device *dev = &vm->vdev->dev;
	struct twostage_region *region;
	int ret;

	/*
	 * Set this before the call: a block may be set online before
	 * twostage_region_add() returns, and must not be plugged before all
	 * else is unplugged.
	 */
	vm->unplug_all = plugged;
	region = twostage_region_add(&params);
	ret = PTR_ERR_OR_ZERO(region);
	if (ret) {
		if (plugged && ret != -ETIMEDOUT)
			dev_err(dev, "%#llx bytes stay plugged, because they may be in use: if another driver has left them in use, reboot before this driver uses the device\n",
				plugged);
		return ret;
	}
	if (plugged)
		dev_info(dev, "unplugging %#llx bytes that were plugged before the driver was bound\n",
			 plugged);
	mutex_lock(&vm->lock);
	WRITE_ONCE(vm->region, region);
	ret = unplug_leftovers(vm);
	if (ret) {
		dev_err(dev, "cannot unplug the memory that was plugged before the driver was bound: %s; to be retried\n",
			reason(vm, ret));
		retry_soon(vm);
	}
	mutex_unlock(&vm->lock);
	return 0;
}

/*
 * Add the region of a device that was bound while device_hotplug_lock was
 * taken.
 */
static void retry_add(struct virtio_mem *vm)
{
	int ret = add_region(vm);

	if (!ret)
		return;
	mutex_lock(&vm->lock);
	if (ret == -ETIMEDOUT) {
		retry(vm);
	} else {
		dev_err(&vm->vdev->dev, "not used: the region cannot be added (%pe): see the lines above, then unbind and bind the device to try again\n",
			ERR_PTR(ret));
		WRITE_ONCE(vm->broken, true);
	}
	mutex_unlock(&vm->lock);
}

/* Unplug all that any_left() is about; stop at the first error. */
static int unplug_left(struct virtio_mem *vm)
{
	struct granules *granules = &vm->granules;
	unsigned long i;
	int ret;

	ret = unplug_leftovers(vm);
	for (i = 0; !ret && i < granules->count; i++)
		if (granules->states[i] == GRANULE_LEFT)
			ret = granule_unplug(granules, granule_start(granules, i), true, &requests, vm);
	return ret;
}

/*
 * Remove the region of a device that is not bound to this driver any more, if
 * its memory is not in use. Returns false if this has to be retried.
 */
static bool forget_abandoned(struct virtio_mem *vm)
{
	bool unused, forgotten = false;

	/* virtio_mem_remove() waits for this work item with the lock held. */
	if (!mutex_trylock(&devices_lock))
		return false;
	mutex_lock(&vm->lock);
	unused = !vm->vdev && !granules_any(&vm->granules, GRANULE_PLUGGED);
	mutex_unlock(&vm->lock);
	if (unused && !twostage_region_remove(vm->region)) {
		list_del(&vm->node);
		forgotten = true;
	}
	mutex_unlock(&devices_lock);
	if (forgotten) {
		/*
		 * The offline of the last block may have queued this work item
		 * again.
		 */
		cancel_delayed_work(&vm->retry_work);
		free_device(vm);
	}
	return forgotten || !unused;
}

static void retry_work(struct work_struct *work)
{
	struct virtio_mem *vm = container_of(to_delayed_work(work), struct virtio_mem, retry_work);
	int ret;

	if (!READ_ONCE(vm->region)) {
		retry_add(vm);
		return;
	}
	mutex_lock(&vm->lock);
	if (!vm->vdev) {
		mutex_unlock(&vm->lock);
		if (!forget_abandoned(vm)) {
			mutex_lock(&vm->lock);
			retry(vm);
			mutex_unlock(&vm->lock);
		}
		return;
	}
	/*
	 * A broken device gets no more requests. For one that is frozen,
	 * virtio_mem_restore() queues this again.
	 */
	if (!vm->broken && !vm->frozen && any_left(vm)) {
		ret = unplug_left(vm);
		if (ret && !vm->broken)
			retry(vm);
		else if (!ret)
			dev_info(&vm->vdev->dev, "memory whose unplug had failed earlier is unplugged now\n");
	}
	mutex_unlock(&vm->lock);
}

/*
 * If the budget shrinks below what is plugged, nothing is set offline here:
 * user space has to decide which blocks it can spare.
 */
static void config_work(struct work_struct *work)
{
	struct virtio_mem *vm = container_of(work, struct virtio_mem, config_work);
	struct twostage_region *region;
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
		dev_warn(&vm->vdev->dev, "the host wants %#llx bytes back: its budget is %#llx bytes now, %#llx are plugged; set blocks offline\n",
			 plugged - budget, budget, plugged);
	else if (changed)
		dev_info(&vm->vdev->dev, "the host's budget is %#llx bytes now, %#llx are plugged\n",
			 budget, plugged);
	mutex_unlock(&vm->lock);

	region = READ_ONCE(vm->region);
	if (changed && region)
		twostage_region_changed(region);
}

static void virtio_mem_config_changed(struct virtio_device *vdev)
{
	struct virtio_mem *vm = vdev->priv;

	queue_work(system_freezable_wq, &vm->config_work);
}

/*
 * Reset the device, and repeat what the virtio bus has done before it called
 * probe(). A reset does not unplug memory.
 */
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

	/*
	 * Another driver whose probe() failed may have left its queue enabled.
	 */
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

/*
 * The region consists of whole memory blocks, and of whole device blocks if
 * those are larger.
 */
static int find_granules(struct virtio_mem *vm)
{
	struct granules *granules = &vm->granules;
	u64 unused;

	if (!granules_fit(granules, vm->address, vm->size, vm->block_size, memory_block_size_bytes())) {
		dev_err(&vm->vdev->dev, "not used: [%#llx-%#llx] contains no aligned unit of %#llx bytes: the device needs more memory, or another address\n",
			vm->address, vm->address + vm->size - 1, granules->size);
		return -EINVAL;
	}
	unused = vm->size - granules->count * granules->size;
	if (unused)
		dev_info(&vm->vdev->dev, "%#llx bytes of [%#llx-%#llx] cannot be used: they are outside of its aligned units of %#llx bytes\n",
			 unused, vm->address, vm->address + vm->size - 1, granules->size);

	granules->states = kvzalloc(granules->count, GFP_KERNEL);
	return granules->states ? 0 : -ENOMEM;
}

/*
 * Find a device that was unbound from this driver while its memory was in use,
 * and that has the same memory as @device.
 */
static struct virtio_mem *find_abandoned(const struct virtio_mem *device)
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
	if (!granules_device_valid(vm->address, vm->size, vm->block_size)) {
		dev_err(&vm->vdev->dev, "not used: its configuration is invalid: %#llx bytes at %#llx in device blocks of %#llx\n",
			vm->size, vm->address, vm->block_size);
		return -EINVAL;
	}
	return 0;
}

/*
 * Check that a device is the one that was unbound while its memory was in use.
 * It has no serial number, but only that one reports the memory as plugged.
 */
static int check_plugged(struct virtio_mem *vm)
{
	const struct granules *granules = &vm->granules;
	unsigned long i;
	u64 done;
	int ret;

	for (i = 0; i < granules->count; i++) {
		const u64 start = granule_start(granules, i);

		if (granules->states[i] != GRANULE_PLUGGED)
			continue;
		for (done = 0; done < granules->size; done += granule_piece(granules, done)) {
			ret = ask_state(vm, start + done, granule_piece(granules, done));
			if (ret == VIRTIO_MEM_STATE_PLUGGED)
				continue;
			dev_err(&vm->vdev->dev, "not used: [%#llx-%#llx] of %s is in use, but the device does not report it as plugged: set the blocks of the region offline first\n",
				start, start + granules->size - 1, twostage_region_name(vm->region));
			return ret < 0 ? ret : -EIO;
		}
	}
	return 0;
}

static void stop_device(struct virtio_mem *vm)
{
	virtio_reset_device(vm->vdev);
	vm->vdev->config->del_vqs(vm->vdev);
	vm->vdev = NULL;
	/*
	 * The device does not access a request any more after the reset, so it
	 * is not broken for the next probe(). A probe() never happens while the
	 * system is suspended.
	 */
	WRITE_ONCE(vm->broken, false);
	vm->frozen = false;
}

/* Bind a device again whose memory has been in use since it was unbound. */
static int resume_abandoned(struct virtio_mem *vm, struct virtio_device *vdev)
{
	int ret;

	mutex_lock(&vm->lock);
	vdev->priv = vm;
	ret = find_queue(vm, vdev);
	if (ret)
		goto unlock;
	vm->vdev = vdev;
	virtio_device_ready(vdev);
	ret = check_plugged(vm);
	if (ret) {
		stop_device(vm);
		goto unlock;
	}
	dev_info(&vdev->dev, "drives %s again, whose memory has been in use\n", twostage_region_name(vm->region));
	if (any_left(vm))
		retry_soon(vm);
	virtio_mem_config_changed(vdev);
unlock:
	mutex_unlock(&vm->lock);
	return ret;
}

static int start_device(struct virtio_mem *vm, struct virtio_device *vdev)
{
	int ret;

	vdev->priv = vm;
	ret = check_device(vm);
	if (ret)
		return ret;
	ret = find_granules(vm);
	if (ret)
		return ret;
	ret = find_queue(vm, vdev);
	if (ret)
		return ret;
	virtio_device_ready(vdev);

	ret = add_region(vm);
	/*
	 * The hotplug code that is probing this device may hold
	 * device_hotplug_lock and wait for probe() to return: finish later.
	 */
	if (ret == -ETIMEDOUT) {
		dev_notice(&vdev->dev, "the region is not added yet, since memory is being added, removed, or set online or offline: to be retried\n");
		mutex_lock(&vm->lock);
		retry_soon(vm);
		mutex_unlock(&vm->lock);
		return 0;
	}
	if (ret)
		stop_device(vm);
	return ret;
}

/*
 * A failed probe, by this or another driver, leaves the device in status
 * FAILED.
 */
static int virtio_mem_validate(struct virtio_device *vdev)
{
	return vdev->config->get_status(vdev) & VIRTIO_CONFIG_S_FAILED ? reset_device(vdev) : 0;
}

static int virtio_mem_probe(struct virtio_device *vdev)
{
	struct virtio_mem *vm, *abandoned;
	int ret;

	vm = kzalloc(sizeof(*vm), GFP_KERNEL);
	if (!vm)
		return -ENOMEM;
	mutex_init(&vm->lock);
	init_completion(&vm->answered);
	INIT_WORK(&vm->config_work, config_work);
	INIT_DELAYED_WORK(&vm->retry_work, retry_work);
	read_device(vm, vdev);

	mutex_lock(&devices_lock);
	abandoned = find_abandoned(vm);
	if (abandoned) {
		ret = resume_abandoned(abandoned, vdev);
	} else {
		ret = start_device(vm, vdev);
		if (!ret)
			list_add(&vm->node, &devices);
	}
	mutex_unlock(&devices_lock);

	if (ret || abandoned)
		free_device(vm);
	return ret;
}

/*
 * The device is unbound, and its region remains. Called with the lock held: an
 * offline of the region's blocks may want a retry, too.
 */
static void abandon(struct virtio_mem *vm, struct virtio_device *vdev)
{
	if (granules_any(&vm->granules, GRANULE_PLUGGED)) {
		dev_warn(&vdev->dev, "driver unbound while memory of %s is online: the region remains until its last block is offline or the device is bound to this driver again\n",
			 twostage_region_name(vm->region));
		retry_soon(vm);
		return;
	}
	dev_info(&vdev->dev, "%s cannot be removed yet, usually because other memory is being added, removed, or set online or offline: to be retried\n",
		 twostage_region_name(vm->region));
	vm->retry_delay = RETRY_DELAY_MIN;
	/*
	 * forget_abandoned() only tries to take devices_lock, which is held
	 * here.
	 */
	mod_delayed_work(workqueue, &vm->retry_work, HZ / 20);
}

/*
 * A driver cannot refuse to be unbound. Memory that is in use stays plugged,
 * since a reset does not unplug it, and the region stays until its last block
 * goes offline or the device is bound to this driver again.
 */
static void virtio_mem_remove(struct virtio_device *vdev)
{
	struct virtio_mem *vm = vdev->priv;
	bool removed;

	/* The bus does not report changes of the configuration any more. */
	cancel_work_sync(&vm->config_work);
	/* If the region has not been added by now, it will not be. */
	cancel_delayed_work_sync(&vm->retry_work);
	mutex_lock(&devices_lock);
	removed = !vm->region || !twostage_region_remove(vm->region);
	if (removed)
		cancel_delayed_work_sync(&vm->retry_work);

	mutex_lock(&vm->lock);
	if (!granules_any(&vm->granules, GRANULE_PLUGGED) && any_left(vm) && unplug_left(vm))
		dev_warn(&vdev->dev, "cannot unplug %#llx bytes that are not used any more: they stay plugged until the device is bound again\n",
			 read_config(vm, plugged_size));
	stop_device(vm);
	if (!removed)
		abandon(vm, vdev);
	mutex_unlock(&vm->lock);

	if (removed) {
		list_del(&vm->node);
		free_device(vm);
	}
	mutex_unlock(&devices_lock);
}

/*
 * A power cycle unplugs all memory, unless the device has PERSISTENT_SUSPEND.
 */
static int __maybe_unused virtio_mem_freeze(struct virtio_device *vdev)
{
	struct virtio_mem *vm = vdev->priv;

	if (!virtio_has_feature(vdev, VIRTIO_MEM_F_PERSISTENT_SUSPEND) && vm->region &&
	    twostage_region_populated(vm->region)) {
		dev_err(&vdev->dev, "cannot suspend: memory of %s is in use and may be lost: set its blocks offline first\n",
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
	vm->frozen = false;
	WRITE_ONCE(vm->broken, ret);
	if (!ret) {
		virtio_device_ready(vdev);
		if (!vm->region || any_left(vm))
			retry_soon(vm);
	}
	mutex_unlock(&vm->lock);
	if (!ret)
		virtio_mem_config_changed(vdev);
	return ret;
}

static struct virtio_mem *vm_of(struct device *dev)
{
	return dev_to_virtio(dev)->priv;
}

static ssize_t region_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	const struct twostage_region *region = READ_ONCE(vm_of(dev)->region);

	return sysfs_emit(buf, "%s\n", region ? twostage_region_name(region) : "");
}
static DEVICE_ATTR_RO(region);

static ssize_t block_size_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%#llx\n", vm_of(dev)->block_size);
}
static DEVICE_ATTR_RO(block_size);

static ssize_t left_over_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct virtio_mem *vm = vm_of(dev);

	return sysfs_emit(buf, "%#llx\n", vm->size - vm->granules.count * vm->granules.size);
}
static DEVICE_ATTR_RO(left_over);

static ssize_t usable_size_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct virtio_mem *vm = vm_of(dev);
	u64 usable = 0;

	mutex_lock(&vm->lock);
	if (!vm->frozen)
		usable = read_config(vm, usable_region_size);
	mutex_unlock(&vm->lock);
	return sysfs_emit(buf, "%#llx\n", usable);
}
static DEVICE_ATTR_RO(usable_size);

static ssize_t state_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	const struct virtio_mem *vm = vm_of(dev);

	return sysfs_emit(buf, "%s\n", READ_ONCE(vm->broken) ? "broken" :
			  READ_ONCE(vm->region) ? "running" : "starting");
}
static DEVICE_ATTR_RO(state);

/* "budget" and "plugged" are attributes of the region. */
static struct attribute *device_attrs[] = {
	&dev_attr_region.attr,
	&dev_attr_block_size.attr,
	&dev_attr_left_over.attr,
	&dev_attr_usable_size.attr,
	&dev_attr_state.attr,
	NULL
};

static const struct attribute_group device_group = {
	.name = "twostage",
	.attrs = device_attrs,
};

static const struct attribute_group *device_groups[] = {
	&device_group,
	NULL
};

static const unsigned int features[] = {
#ifdef CONFIG_ACPI_NUMA
	VIRTIO_MEM_F_ACPI_PXM,
#endif
	VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE,
	VIRTIO_MEM_F_PERSISTENT_SUSPEND,
};

/* No MODULE_DEVICE_TABLE(): not loaded automatically, see above. */
static const struct virtio_device_id ids[] = {
	{ VIRTIO_ID_MEM, VIRTIO_DEV_ANY_ID },
	{ }
};

static struct virtio_driver virtio_mem_driver = {
	.feature_table = features,
	.feature_table_size = ARRAY_SIZE(features),
	.driver.name = KBUILD_MODNAME,
	.driver.owner = THIS_MODULE,
	.driver.dev_groups = device_groups,
	.id_table = ids,
	.validate = virtio_mem_validate,
	.probe = virtio_mem_probe,
	.remove = virtio_mem_remove,
	.config_changed = virtio_mem_config_changed,
#ifdef CONFIG_PM_SLEEP
	.freeze = virtio_mem_freeze,
	.restore = virtio_mem_restore,
#endif
};

/*
 * virtio_mem_freeze() is called only for bound devices: refuse to suspend while
 * memory of an unbound one is in use, too.
 */
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

	pr_err("cannot suspend: memory of a device that is not bound to a driver is in use and may be lost: set its blocks offline first\n");
	return notifier_from_errno(-EBUSY);
}

static struct notifier_block pm_notifier = { .notifier_call = pm_callback };

static int __init virtio_mem_init(void)
{
	int ret;

	workqueue = alloc_workqueue("twostage_virtio_mem", WQ_UNBOUND | WQ_FREEZABLE, 0);
	if (!workqueue)
		return -ENOMEM;
	ret = register_pm_notifier(&pm_notifier);
	if (ret)
		goto destroy;
	ret = register_virtio_driver(&virtio_mem_driver);
	if (ret)
		goto unregister;
	/*
	 * Devices that exist by now have been probed, in their order. Probe
	 * others in a thread of their own: ACPI hotplug adds a device with
	 * device_hotplug_lock held, and probe() needs that lock for its region.
	 */
	virtio_mem_driver.driver.probe_type = PROBE_PREFER_ASYNCHRONOUS;
	return 0;

unregister:
	unregister_pm_notifier(&pm_notifier);
destroy:
	destroy_workqueue(workqueue);
	return ret;
}

/*
 * A region holds a reference to this module, so none exists, except after
 * "rmmod -f".
 */
static void __exit virtio_mem_exit(void)
{
	unregister_virtio_driver(&virtio_mem_driver);
	twostage_wait_for_regions(THIS_MODULE);
	unregister_pm_notifier(&pm_notifier);
	destroy_workqueue(workqueue);
}

module_init(virtio_mem_init);
module_exit(virtio_mem_exit);

MODULE_AUTHOR("the twostage developers");
MODULE_DESCRIPTION("Standby memory on virtio-mem devices, for twostage");
MODULE_LICENSE("GPL");
MODULE_VERSION(TWOSTAGE_VERSION);
