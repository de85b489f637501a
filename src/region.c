// SPDX-License-Identifier: GPL-2.0-only
/*
 * Adding and removing regions: stage 1
 *
 * Stage 1 is add_memory_resource() for the whole region. The wrapper of
 * arch_add_memory() in online.c makes neither a memmap nor a direct map for it,
 * but only allocates the section structures.
 *
 * Locks, in this order: the core's device_hotplug_lock (one hotplug operation
 * at a time; also protects the list of regions), then its mem_hotplug_lock (for
 * writing while sections, memmap and zones change).
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/bitmap.h>
#include <linux/idr.h>
#include <linux/list.h>
#include <linux/memory.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "claims.h"
#include "dma.h"
#include "hook.h"
#include "hotplug_lock.h"
#include "log.h"
#include "mm_internals.h"
#include "params.h"
#include "populate.h"
#include "region.h"
#include "report.h"
#include "trace.h"

static DEFINE_IDA(region_ids);

struct bus_type region_bus = {
	.name = "twostage",
};

BLOCKING_NOTIFIER_HEAD(region_notifiers);

/* The parent of all regions in sysfs */
static struct device *root;

/*
 * Timeouts for device_hotplug_lock, in seconds. Its holder may be waiting for
 * our caller: ACPI hotplug, for example, probes and removes PCI devices with
 * the lock held. Waiting without a limit would deadlock.
 */
#define ADD_LOCK_TIMEOUT_S 10
#define REMOVE_LOCK_TIMEOUT_S 2

/*
 * Runs region_drop() for callers that hold device_hotplug_lock: region_drop()
 * waits for tasks that may wait for this lock.
 */
static struct workqueue_struct *drop_workqueue;

/*
 * Whether regions can be added. False until the load cannot fail any more: a
 * failed load would leave the regions behind without the module's code.
 * device_hotplug_lock
 */
static bool accepting_regions;

/**
 * twostage_region_data() - what the provider gave as
 *	twostage_region_params.data
 * @region: the region
 */
void *twostage_region_data(const struct twostage_region *region)
{
	return region->data;
}
EXPORT_SYMBOL_GPL(twostage_region_data);

/**
 * twostage_region_name() - "regionN"
 * @region: the region
 */
const char *twostage_region_name(const struct twostage_region *region)
{
	return dev_name(&region->dev);
}
EXPORT_SYMBOL_GPL(twostage_region_name);

/**
 * twostage_region_populated() - number of blocks that need their memory
 * @region: the region
 *
 * Context: Any. The answer may be outdated at once.
 * Return: the number of blocks that are populated, or poisoned.
 */
unsigned long twostage_region_populated(const struct twostage_region *region)
{
	return READ_ONCE(region->nr_populated) + READ_ONCE(region->nr_poisoned);
}
EXPORT_SYMBOL_GPL(twostage_region_populated);

/**
 * twostage_region_changed() - tell user space that the provider's budget for a
 *	region has changed
 * @region: the region
 *
 * By a uevent of the region (ACTION=change, BUDGET=...), and by poll() on its
 * ``budget`` attribute.
 *
 * Context: Process context.
 */
void twostage_region_changed(struct twostage_region *region)
{
	char budget[40];
	char *environment[] = { budget, NULL };

	snprintf(budget, sizeof(budget), "BUDGET=%#llx", region->provider->budget(region));
	sysfs_notify(&region->dev.kobj, NULL, "budget");
	kobject_uevent_env(&region->dev.kobj, KOBJ_CHANGE, environment);
}
EXPORT_SYMBOL_GPL(twostage_region_changed);

static void region_release(struct device *dev)
{
	struct twostage_region *region = to_region(dev);

	bitmap_free(region->assigned);
	/* A hook may have found a block in the table just before. */
	kvfree_rcu(region, rcu);
}

static bool report_claimed(const struct twostage_region *region)
{
	const u64 end = region->start + region->size - 1;
	struct claim claim;

	if (!claim_find(region->start, end, region->resource, &claim))
		return false;
	pr_err("region [%#llx-%#llx]: overlaps %s [%#llx-%#llx], see /proc/iomem\n",
	       region->start, end, claim.name, claim.start, claim.end);
	return true;
}

/*
 * The resource is exclusive, so standby memory cannot be mapped by /dev/mem. It
 * is not System RAM, or code that walks System RAM (kcore, kexec, kdump) would
 * find memory without a memmap. With ARCH_KEEP_MEMBLOCK, stage 1 adds the
 * region to memblock, which kexec searches for a place for the next kernel: it
 * passes over memory that is marked "driver managed".
 *
 * __request_region() accepts a range inside a resource that is not busy, even
 * if that is the memory of a PCI device, so search for such resources. Search
 * before the request, because even a short-lived resource of ours could make a
 * driver's request fail; and again after it, because only our resource keeps
 * others from claiming the range after the search.
 */
static int request_resource_of(struct twostage_region *region)
{
	if (report_claimed(region))
		return -EBUSY;

	snprintf(region->resource_name, sizeof(region->resource_name), "Standby memory (%s)",
		 dev_name(&region->dev));
	region->resource = __request_region(&iomem_resource, region->start, region->size,
					    region->resource_name, IORESOURCE_EXCLUSIVE |
					    IORESOURCE_SYSRAM_DRIVER_MANAGED);
	if (!region->resource) {
		pr_err("region [%#llx-%#llx]: is partly inside of a reserved range, see /proc/iomem: add the parts inside and outside separately\n",
		       region->start, region->start + region->size - 1);
		return -EBUSY;
	}
	if (report_claimed(region)) {
		release_mem_region(region->start, region->size);
		region->resource = NULL;
		return -EBUSY;
	}
	return 0;
}

static int stage_one(struct twostage_region *region)
{
	int ret;

	if (!hooks_armed()) {
		pr_err("%s: not added: the hooks are switched off: echo 1 > /sys/kernel/debug/kprobes/enabled, then try again\n",
		       dev_name(&region->dev));
		return -EIO;
	}
	if (mm_sections_present(region->start, region->size)) {
		pr_err("region [%#llx-%#llx]: overlaps memory sections that the kernel has already\n",
		       region->start, region->start + region->size - 1);
		return -EBUSY;
	}

	WRITE_ONCE(region->adding, current);
	ret = mm_call(add_memory_resource)(region->group, region->resource, MHP_NID_IS_MGID);
	WRITE_ONCE(region->adding, NULL);
	if (!ret && region->add_error) {
		/*
		 * Because of the error, auto-online has not touched any block.
		 * The removal frees the resource, too.
		 */
		ret = region->add_error;
		WRITE_ONCE(region->removed, true);
		mm_call(__remove_memory)(region->start, region->size);
		region->resource = NULL;
	}
	if (ret)
		pr_err("%s [%#llx-%#llx]: adding its memory blocks failed (%pe)\n",
		       dev_name(&region->dev), region->start, region->start + region->size - 1,
		       ERR_PTR(ret));
	return ret;
}

static void drop_work(struct work_struct *work);

static struct twostage_region *region_alloc(const struct twostage_region_params *params, int nid)
{
	const unsigned long block_size = memory_block_size_bytes();
	const unsigned long nr_blocks = params->size / block_size;
	struct twostage_region *region;
	unsigned long i;
	int ret = -ENOMEM;

	region = kvzalloc(struct_size(region, blocks, nr_blocks), GFP_KERNEL);
	if (!region)
		return ERR_PTR(-ENOMEM);

	region->start = params->start;
	region->size = params->size;
	region->nid = nid;
	region->provider = params->provider;
	region->data = params->data;
	region->auto_online = params->auto_online;
	region->memmap_on_memory = params->memmap_on_memory && mm_memmap_on_memory_pages();
	region->nr_blocks = nr_blocks;
	region->unit_blocks = max(params->granule, (u64)block_size) / block_size;
	for (i = 0; i < nr_blocks; i++) {
		region->blocks[i].region = region;
		region->blocks[i].index = i;
	}

	INIT_WORK(&region->drop_work, drop_work);
	report_init(region);

	region->assigned = bitmap_zalloc(nr_blocks / region->unit_blocks, GFP_KERNEL);
	if (!region->assigned)
		goto free;

	region->id = ida_alloc(&region_ids, GFP_KERNEL);
	if (region->id < 0) {
		ret = region->id;
		goto free;
	}

	region->dev.bus = &region_bus;
	region->dev.parent = root;
	region->dev.release = region_release;
	device_initialize(&region->dev);
	ret = dev_set_name(&region->dev, "region%d", region->id);
	if (ret) {
		ida_free(&region_ids, region->id);
		put_device(&region->dev);
		return ERR_PTR(ret);
	}
	return region;

free:
	bitmap_free(region->assigned);
	kvfree(region);
	return ERR_PTR(ret);
}

/*
 * The inverse of region_alloc(). The device's last reference frees the
 * structure.
 */
static void region_free(struct twostage_region *region)
{
	ida_free(&region_ids, region->id);
	put_device(&region->dev);
}

/*
 * All blocks are in one memory group: the auto-movable policy takes the zones
 * of the group's other blocks into account.
 */
static int join_group(struct twostage_region *region, int group)
{
	const u64 unit = region->unit_blocks * (u64)memory_block_size_bytes();

	region->own_group = group < 0;
	if (region->own_group)
		group = memory_group_register_dynamic(region->nid, PHYS_PFN(unit));
	region->group = group;
	return min(group, 0);
}

static void leave_group(const struct twostage_region *region)
{
	if (region->own_group)
		memory_group_unregister(region->group);
}

/*
 * @group: the memory group of the driver that adds the memory; negative if
 *	region.c has to make one
 * @abandoned: for a region that the caller has to drop once it has given up
 *	device_hotplug_lock; NULL if the caller cannot do that
 */
static struct twostage_region *region_make(const struct twostage_region_params *params, int nid,
					   int group, struct twostage_region **abandoned)
{
	struct twostage_region *region;
	int ret;

	ret = params_check_overlap(params);
	if (ret)
		return ERR_PTR(ret);

	region = region_alloc(params, nid);
	if (IS_ERR(region)) {
		pr_err("region at %#llx: no memory for %#llx bytes of standby memory\n",
		       params->start, params->size);
		return region;
	}

	ret = request_resource_of(region);
	if (ret)
		goto free;

	ret = join_group(region, group);
	if (ret) {
		pr_err("%s: cannot make its memory group (%pe)\n", dev_name(&region->dev), ERR_PTR(ret));
		goto release_resource;
	}

	ret = region_table_insert(region);
	if (ret) {
		pr_err("%s: no memory for the table of its blocks\n", dev_name(&region->dev));
		goto leave_group;
	}

	/*
	 * Make the directory before stage 1, because this may fail, but send
	 * its uevent after it: user space expects the blocks to exist by then.
	 */
	dev_set_uevent_suppress(&region->dev, true);
	ret = device_add(&region->dev);
	if (ret) {
		pr_err("%s: cannot make its directory in sysfs (%pe)\n", dev_name(&region->dev),
		       ERR_PTR(ret));
		goto erase;
	}

	/* Before stage 1, in which blocks may come online. */
	regions_list_add(region);
	blocking_notifier_call_chain(&region_notifiers, REGION_ADDING, region);
	ret = stage_one(region);
	if (ret)
		goto abandon;

	dev_set_uevent_suppress(&region->dev, false);
	kobject_uevent(&region->dev.kobj, KOBJ_ADD);
	pr_info("%s: [%#llx-%#llx], %lu block%s on node %d, provider %s\n", dev_name(&region->dev),
		region->start, region->start + region->size - 1, region->nr_blocks,
		region->nr_blocks == 1 ? "" : "s", nid, region->provider->name);
	if (params->memmap_on_memory && !region->memmap_on_memory)
		pr_info("%s: a memory block of %#lx bytes cannot host its memmap on this system: it will come from ordinary memory\n",
			dev_name(&region->dev), memory_block_size_bytes());
	dma_added(region->start, region->size);
	return region;

abandon:
	/*
	 * A task may be in an attribute of the region and wait for
	 * device_hotplug_lock, so region_drop() must be called without that
	 * lock. Take the module references that it puts: region_add() puts its
	 * own.
	 */
	WRITE_ONCE(region->removed, true);
	regions_list_del(region);
	region_table_erase(region);
	leave_group(region);
	if (region->resource)
		release_mem_region(region->start, region->size);
	__module_get(params->provider->owner);
	__module_get(THIS_MODULE);
	if (abandoned)
		*abandoned = region;
	else
		queue_work(drop_workqueue, &region->drop_work);
	return ERR_PTR(ret);
erase:
	region_table_erase(region);
leave_group:
	leave_group(region);
release_resource:
	release_mem_region(region->start, region->size);
free:
	region_free(region);
	return ERR_PTR(ret);
}

/*
 * Checks what can be checked without a lock, and pins the modules that the
 * region needs.
 */
static struct twostage_region *region_add(const struct twostage_region_params *params, int group,
					  struct twostage_region **abandoned)
{
	struct twostage_region *region;
	u64 started = trace_start();
	int ret, nid;

	ret = params_check_range(params);
	if (ret)
		return ERR_PTR(ret);
	nid = params_check_node(params);
	if (nid < 0)
		return ERR_PTR(nid);
	ret = dma_check_add(params->start, params->size);
	if (ret)
		return ERR_PTR(ret);

	if (!try_module_get(THIS_MODULE))
		return ERR_PTR(-ENODEV);
	if (!try_module_get(params->provider->owner)) {
		module_put(THIS_MODULE);
		return ERR_PTR(-ENODEV);
	}

	region = region_make(params, nid, group, abandoned);
	if (IS_ERR(region)) {
		module_put(params->provider->owner);
		module_put(THIS_MODULE);
		return region;
	}
	trace_region_add(region->id, region->start, region->size, trace_duration(started));
	return region;
}

/* No unassign is tried after this, so report memory that is still assigned. */
static void report_assigned(const struct twostage_region *region)
{
	unsigned long units = region->nr_blocks / region->unit_blocks;
	unsigned long left = bitmap_weight(region->assigned, units);

	if (left)
		pr_warn("%s: provider %s never took back %lu of %lu units of %#llx bytes\n",
			dev_name(&region->dev), region->provider->name, left, units,
			region->unit_blocks * (u64)memory_block_size_bytes());
}

/*
 * Waits for tasks in an attribute of the region, which may wait for
 * device_hotplug_lock: not to be called with that lock held.
 */
static void region_drop(struct twostage_region *region)
{
	struct module *owner = region->provider->owner;

	report_assigned(region);
	device_del(&region->dev);
	blocking_notifier_call_chain(&region_notifiers, REGION_DROPPED, region);
	report_exit(region);
	region_free(region);
	module_put(owner);
	module_put(THIS_MODULE);
}

/* Called with device_hotplug_lock held, and gives it up. */
static struct twostage_region *region_add_unlock(const struct twostage_region_params *params)
{
	struct twostage_region *region = ERR_PTR(-ENODEV), *abandoned = NULL;

	if (accepting_regions)
		region = region_add(params, -1, &abandoned);
	else
		pr_err("region at %#llx: the module is not ready yet\n", params->start);
	hotplug_unlock();
	if (abandoned)
		region_drop(abandoned);
	return region;
}

/**
 * region_add_by_name() - add a region that user space asks for
 * @params: as for twostage_region_add()
 *
 * Context: Process context; waits for device_hotplug_lock without a limit.
 * Return: 0 or as twostage_region_add().
 */
int region_add_by_name(const struct twostage_region_params *params)
{
	hotplug_lock();
	return PTR_ERR_OR_ZERO(region_add_unlock(params));
}

/**
 * twostage_region_add() - add a region: stage 1
 * @params: what it is to be
 *
 * Afterwards the memory blocks exist, offline, under their node; the provider
 * has not been asked for anything yet. With @params->auto_online and a kernel
 * that sets new memory online, blocks may be online already. The region holds
 * references to this module and to the provider's.
 *
 * Context: Process context. Waits for device_hotplug_lock for a limited time,
 * because its holder may wait for the caller (a driver in its probe function).
 * The caller holds no lock that the provider's functions take.
 *
 * Return: the region, or an ERR_PTR, with the reason in the log unless a module
 * is being unloaded: -ETIMEDOUT if other tasks were adding, removing or
 * changing memory all the time; -EINVAL for a range that is empty, not aligned
 * or overflowing, and for a node that cannot exist; -ERANGE if the kernel
 * cannot map the range (mhp_get_pluggable_range()), or a device in use cannot
 * reach it; -EEXIST if it overlaps a region; -EBUSY if it overlaps anything in
 * /proc/iomem but reserved memory; -EIO if the hooks are switched off; -ENOMEM;
 * -ENODEV if the provider's module or this one is being unloaded, or this one
 * is not ready yet.
 */
struct twostage_region *twostage_region_add(const struct twostage_region_params *params)
{
	if (hotplug_lock_timeout(ADD_LOCK_TIMEOUT_S)) {
		pr_err("region at %#llx: not added: memory was going online or offline for %d s: try again\n",
		       params->start, ADD_LOCK_TIMEOUT_S);
		return ERR_PTR(-ETIMEDOUT);
	}
	return region_add_unlock(params);
}
EXPORT_SYMBOL_GPL(twostage_region_add);

/**
 * region_adopt() - make a region of memory that a driver is adding right now
 * @params: as for twostage_region_add()
 * @group: the driver's memory group, which it unregisters after the removal
 *
 * The same driver removes the memory, see region_remove_adopted().
 *
 * Context: Process context, device_hotplug_lock held.
 * Return: As twostage_region_add().
 */
struct twostage_region *region_adopt(const struct twostage_region_params *params, int group)
{
	return accepting_regions ? region_add(params, group, NULL) : ERR_PTR(-ENODEV);
}

/* __remove_memory() stops with a BUG() at a block that is not offline. */
static bool all_offline(const struct twostage_region *region)
{
	bool offline = true;
	unsigned long i;

	for (i = 0; offline && i < region->nr_blocks; i++) {
		struct memory_block *memory;

		memory = mm_find_memory_block(block_first_pfn(&region->blocks[i]));
		if (!memory)
			continue;
		offline = memory->state == MEM_OFFLINE;
		put_device(&memory->dev);
	}
	return offline;
}

static int check_removable(const struct twostage_region *region)
{
	if (!hooks_armed()) {
		pr_err("%s: cannot remove it: the hooks are switched off: echo 1 > /sys/kernel/debug/kprobes/enabled, then try again\n",
		       dev_name(&region->dev));
		return -EIO;
	}
	if (region->nr_populated || !all_offline(region)) {
		pr_err("%s: cannot remove it: blocks are online (%lu of %lu): set them offline first\n",
		       dev_name(&region->dev), region->nr_populated, region->nr_blocks);
		return -EBUSY;
	}
	if (region->nr_poisoned) {
		pr_err("%s: cannot remove it: blocks have a hardware-poisoned page and keep their memory until the next boot (%lu of %lu)\n",
		       dev_name(&region->dev), region->nr_poisoned, region->nr_blocks);
		return -EBUSY;
	}
	return 0;
}

static int region_remove_locked(struct twostage_region *region)
{
	u64 started = trace_start();
	int ret;

	ret = check_removable(region);
	if (ret)
		return ret;

	WRITE_ONCE(region->removed, true);
	mm_call(__remove_memory)(region->start, region->size);
	leave_group(region);
	regions_list_del(region);
	pr_info("%s: removed\n", dev_name(&region->dev));
	trace_region_remove(region->id, region->start, region->size, trace_duration(started));
	return 0;
}

/**
 * twostage_region_remove() - undo twostage_region_add()
 * @region: the region; it must not be used afterwards
 *
 * Context: Process context. Waits for device_hotplug_lock for a limited time.
 * Return: 0; -EBUSY if one of its blocks is online, or has a hardware-poisoned
 * page; -EIO if the hooks are switched off; -ETIMEDOUT if other tasks are
 * adding, removing or changing memory. After an error nothing has changed.
 */
int twostage_region_remove(struct twostage_region *region)
{
	int ret;

	ret = hotplug_lock_timeout(REMOVE_LOCK_TIMEOUT_S);
	if (ret)
		return ret;
	ret = region_remove_locked(region);
	hotplug_unlock();
	if (!ret)
		region_drop(region);
	return ret;
}
EXPORT_SYMBOL_GPL(twostage_region_remove);

/**
 * twostage_wait_for_regions() - at unload, wait for the regions that hold a
 *	reference to a module
 * @owner: the module
 *
 * While there are regions, a module can be unloaded only by force
 * (``rmmod -f``), which cannot be refused. Only the module can release the
 * memory that is in use then, so it stays until the last region is removed.
 *
 * Context: Process context, in the exit function of a provider's module.
 * Sleeps.
 */
void twostage_wait_for_regions(struct module *owner)
{
	if (module_refcount(owner) <= 0)
		return;
	pr_err("%s is unloaded by force: it stays until its regions have been removed\n",
	       module_name(owner));
	while (module_refcount(owner) > 0)
		schedule_timeout_idle(HZ / 10);
}
EXPORT_SYMBOL_GPL(twostage_wait_for_regions);

static struct twostage_region *find_by_name(const char *name)
{
	struct twostage_region *region;

	for_each_region(region)
		if (!strcmp(name, dev_name(&region->dev)))
			return region;
	return NULL;
}

/**
 * region_remove_by_name() - remove a region that user space names
 * @name: "regionN"
 *
 * Only regions that were added in the same way: the region of a device is
 * removed by its driver.
 *
 * Context: Process context; takes device_hotplug_lock.
 * Return: As twostage_region_remove(), and -ENXIO if there is no such region,
 * -EPERM if it belongs to a device.
 */
int region_remove_by_name(const char *name)
{
	struct twostage_region *region;
	int ret;

	hotplug_lock();
	region = find_by_name(name);
	if (!region) {
		pr_err("there is no region \"" ESCAPED "\"\n", escaped(name));
		ret = -ENXIO;
	} else if (region->provider->owner != THIS_MODULE || !region->own_group) {
		pr_err("%s: belongs to provider %s: unplug the DIMM or unbind the driver to remove it\n",
		       name, region->provider->name);
		ret = -EPERM;
	} else {
		ret = region_remove_locked(region);
	}
	hotplug_unlock();
	if (!ret)
		region_drop(region);
	return ret;
}

/*
 * The task that queues this holds device_hotplug_lock and may still use the
 * region: wait until it has given up the lock.
 */
static void drop_work(struct work_struct *work)
{
	struct twostage_region *region = container_of(work, struct twostage_region, drop_work);

	hotplug_lock();
	hotplug_unlock();
	region_drop(region);
}

/**
 * region_remove_adopted() - remove an adopted region, for the driver that added
 *	its memory
 * @region: the region; its directory is removed a moment later
 *
 * The driver cannot be told that this failed. After a failure the region stays,
 * its blocks cannot come online any more, and the administrator can remove it
 * through remove_region.
 *
 * Context: Process context, device_hotplug_lock held.
 */
void region_remove_adopted(struct twostage_region *region)
{
	if (region_remove_locked(region)) {
		pr_err("%s: the DIMM was ejected, but the region cannot be removed (see above): stop using its memory, set its blocks offline, then write %s to /sys/bus/twostage/remove_region\n",
		       dev_name(&region->dev), dev_name(&region->dev));
		region->own_group = true;
		region->ejected = true;
		return;
	}
	queue_work(drop_workqueue, &region->drop_work);
}

/**
 * regions_open() - add the first regions, all or none, and accept others from
 *	then on
 * @params: for each region, as for twostage_region_add()
 * @count: number of regions
 *
 * No block can come online before all of them exist, so that they can be
 * removed if one cannot be added.
 *
 * Context: Process context; takes device_hotplug_lock. Once, at the end of the
 * load.
 * Return: 0; or the error of a region that could not be added, with the reason
 * in the log, and there is no region.
 */
int regions_open(const struct twostage_region_params *params, unsigned int count)
{
	struct twostage_region *region, *next;
	LIST_HEAD(removed);
	unsigned int i;
	int ret = 0;

	hotplug_lock();
	for (i = 0; i < count && !ret; i++)
		ret = PTR_ERR_OR_ZERO(region_add(&params[i], -1, NULL));
	if (ret) {
		list_for_each_entry_safe_reverse(region, next, &regions, node)
			if (!region_remove_locked(region))
				list_add(&region->node, &removed);
		/* Possible if kprobes were disarmed after the first add. */
		if (!list_empty(&regions)) {
			pr_err("the module stays loaded, because not all regions could be removed (see above)\n");
			ret = 0;
		}
	}
	accepting_regions = !ret;
	hotplug_unlock();

	list_for_each_entry_safe(region, next, &removed, node)
		region_drop(region);
	if (ret)
		flush_workqueue(drop_workqueue);
	return ret;
}

/**
 * region_lock() - take device_hotplug_lock in a sysfs attribute of a region
 * @region: the region
 *
 * Do not block on the lock: its holder may wait for a task that is removing the
 * region, and that task waits until this attribute returns. Poll, and give up
 * when the region has been removed or a fatal signal is pending.
 *
 * Context: Process context.
 * Return: 0; -ENODEV if the region has been removed; -EINTR.
 */
int region_lock(struct twostage_region *region)
{
	do {
		if (READ_ONCE(region->removed))
			return -ENODEV;
		if (fatal_signal_pending(current))
			return -EINTR;
	} while (hotplug_lock_timeout(1));
	if (!region->removed)
		return 0;
	hotplug_unlock();
	return -ENODEV;
}

/**
 * region_set_memmap_on_memory() - choose where the memmap of blocks comes from
 * @region: the region
 * @on: out of the blocks themselves, or out of ordinary memory
 *
 * Context: Process context; takes device_hotplug_lock.
 * Return: 0; -EBUSY if a block is populated; -EOPNOTSUPP if blocks of this
 * system cannot host a memmap; -ENODEV if the region has been removed; -EINTR.
 */
int region_set_memmap_on_memory(struct twostage_region *region, bool on)
{
	int ret;

	ret = region_lock(region);
	if (ret)
		return ret;
	if (region->nr_populated) {
		pr_err("%s: memmap_on_memory cannot change while blocks are online (%lu of %lu): set them offline first\n",
		       dev_name(&region->dev), region->nr_populated, region->nr_blocks);
		ret = -EBUSY;
	} else if (on && !mm_memmap_on_memory_pages()) {
		pr_err("%s: memmap_on_memory: a memory block of %#lx bytes cannot host its memmap on this system\n",
		       dev_name(&region->dev), memory_block_size_bytes());
		ret = -EOPNOTSUPP;
	} else {
		WRITE_ONCE(region->memmap_on_memory, on);
	}
	hotplug_unlock();
	return ret;
}

/**
 * regions_init() - get ready to add regions
 *
 * Return: 0 or a negative errno.
 */
int regions_init(void)
{
	drop_workqueue = alloc_workqueue("twostage_drop", WQ_UNBOUND, 0);
	if (!drop_workqueue)
		return -ENOMEM;
	root = root_device_register("twostage");
	if (IS_ERR(root)) {
		destroy_workqueue(drop_workqueue);
		return PTR_ERR(root);
	}
	return 0;
}

/** regions_exit() - undo regions_init(); no region is left */
void regions_exit(void)
{
	root_device_unregister(root);
	/*
	 * drop_work() may still be about to return after region_drop() has put
	 * the reference to this module: wait for it.
	 */
	destroy_workqueue(drop_workqueue);
	ida_destroy(&region_ids);
}
