// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of regions, and stage 1: add and remove
 *
 * Stage 1 is add_memory_resource() for the whole region, with arch_add_memory() wrapped (online.c) to
 * do no more than make sure that there are section structures. Between that and the removal, who meets an address asks
 * region_of() whether it is one of ours, at any time and without locks.
 *
 * Locks, in this order: the core's device_hotplug_lock (one hotplug operation at a time, by whomever;
 * protects the list of regions too), then its mem_hotplug_lock (for writing while sections, memmap and
 * zones change).
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/bitmap.h>
#include <linux/delay.h>
#include <linux/idr.h>
#include <linux/list.h>
#include <linux/memory.h>
#include <linux/module.h>
#include <linux/numa.h>
#include <linux/overflow.h>
#include <linux/range.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "claims.h"
#include "hook.h"
#include "mm_internals.h"
#include "online.h"
#include "region.h"
#include "sysfs.h"
#include "trace.h"

static LIST_HEAD(regions);
/* How many of them there are, and each node has; read without locks */
static unsigned int nr_regions;
static unsigned int node_regions[MAX_NUMNODES];
static DEFINE_IDA(region_ids);

/*
 * How many seconds to wait for device_hotplug_lock, for whom somebody may wait who holds it. A PCI device is plugged and
 * unplugged with it held, for instance, by the firmware's hotplug.
 */
#define ADD_PATIENCE 10
#define REMOVE_PATIENCE 2

/* How many blocks are changed under one hold of device_hotplug_lock */
#define BATCH_BLOCKS 16UL

/* Takes down what is left of regions, where that has to wait for device_hotplug_lock to be free. */
static struct workqueue_struct *drop_workqueue;

/*
 * Regions are made for anybody only once the load cannot fail any more: none may outlive the module. Protected by
 * device_hotplug_lock.
 */
static bool open;

/* For every memory block of every region, by the block's number: its region. Read without locks. */
static DEFINE_XARRAY(region_by_block);

static unsigned long block_number(u64 address)
{
	return address / memory_block_size_bytes();
}

/**
 * region_of() - the region that an address is in
 * @address: physical address in bytes
 *
 * Context: Any. The region stays for as long as its blocks do, so whoever holds one of them, or is
 * called on behalf of one, may use it.
 * Return: the region, or NULL if the address is not under two-stage control.
 */
struct twostage_region *region_of(u64 address)
{
	return xa_load(&region_by_block, block_number(address));
}

/**
 * region_within() - the first region that has some of a range
 * @start: physical address in bytes
 * @size: of the range in bytes, not 0
 *
 * Context: Any, as region_of().
 * Return: the region, or NULL if no part of the range is under two-stage control.
 */
struct twostage_region *region_within(u64 start, u64 size)
{
	unsigned long first = block_number(start);

	return xa_find(&region_by_block, &first, block_number(start + size - 1), XA_PRESENT);
}

/**
 * regions_exist() - whether there are any
 *
 * Context: Any.
 */
bool regions_exist(void)
{
	return READ_ONCE(nr_regions);
}

/**
 * regions_on_node() - whether a node has regions
 * @nid: the node
 *
 * Context: Any.
 */
bool regions_on_node(int nid)
{
	return READ_ONCE(node_regions[nid]);
}

static void list_region(struct twostage_region *region)
{
	list_add_tail(&region->node, &regions);
	WRITE_ONCE(nr_regions, nr_regions + 1);
	WRITE_ONCE(node_regions[region->nid], node_regions[region->nid] + 1);
}

static void unlist_region(struct twostage_region *region)
{
	list_del(&region->node);
	WRITE_ONCE(nr_regions, nr_regions - 1);
	WRITE_ONCE(node_regions[region->nid], node_regions[region->nid] - 1);
}

/**
 * twostage_region_data() - what the provider gave as twostage_region_params.data
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
 * twostage_region_populated() - number of populated blocks
 * @region: the region
 *
 * Context: Any. The answer may be outdated when it comes.
 */
unsigned long twostage_region_populated(const struct twostage_region *region)
{
	return READ_ONCE(region->nr_populated);
}
EXPORT_SYMBOL_GPL(twostage_region_populated);

/**
 * twostage_region_changed() - tell user space that the provider's budget for a region has changed
 * @region: the region
 *
 * By a uevent of the region (ACTION=change, BUDGET=...), and to those who poll its ``budget`` attribute.
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

	kvfree(region->blocks);
	bitmap_free(region->assigned);
	/* A hook may just have found it in the table, and looks at it. */
	kfree_rcu(region, rcu);
}

static int check_range(const struct twostage_region_params *params)
{
	const u64 block_size = memory_block_size_bytes();
	const u64 unit = max(params->granule, block_size);
	struct range mappable;
	u64 end;

	if (!params->size) {
		pr_err("region at %#llx: the size is 0\n", params->start);
		return -EINVAL;
	}
	if (check_add_overflow(params->start, params->size - 1, &end)) {
		pr_err("region at %#llx: size %#llx goes beyond the last address\n",
		       params->start, params->size);
		return -EINVAL;
	}
	if (params->granule && !is_power_of_2(params->granule)) {
		pr_err("region at %#llx: granule %#llx is not a power of two\n",
		       params->start, params->granule);
		return -EINVAL;
	}
	if (!IS_ALIGNED(params->start, unit) || !IS_ALIGNED(params->size, unit)) {
		pr_err("region [%#llx-%#llx]: start and size must be multiples of %#llx, the %s\n",
		       params->start, end, unit,
		       unit > block_size ? "provider's granule" : "memory block size");
		return -EINVAL;
	}

	mappable = mhp_get_pluggable_range(true);
	mappable.end = min(mappable.end, iomem_resource.end);
	if (params->start < mappable.start || end > mappable.end) {
		pr_err("region [%#llx-%#llx]: this system can address only [%#llx-%#llx]\n",
		       params->start, end, mappable.start, mappable.end);
		return -ERANGE;
	}
	return 0;
}

static int check_node(const struct twostage_region_params *params)
{
	int nid = params->nid;

	if (nid == NUMA_NO_NODE) {
		nid = memory_add_physaddr_to_nid(params->start);
		return nid >= 0 && nid < MAX_NUMNODES && node_possible(nid) ? nid : first_online_node;
	}
	if (nid < 0 || nid >= MAX_NUMNODES || !node_possible(nid)) {
		pr_err("region at %#llx: there is no node %d, and there cannot be\n", params->start, nid);
		return -EINVAL;
	}
	return nid;
}

static int check_overlap(u64 start, u64 size)
{
	struct twostage_region *region;

	list_for_each_entry(region, &regions, node) {
		if (start < region->start + region->size && region->start < start + size) {
			pr_err("region [%#llx-%#llx]: overlaps %s [%#llx-%#llx]\n",
			       start, start + size - 1, dev_name(&region->dev), region->start,
			       region->start + region->size - 1);
			return -EEXIST;
		}
	}
	return 0;
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
 * The resource is exclusive: nobody maps standby memory through /dev/mem. It is not System RAM, or
 * those who walk System RAM (kcore, kexec, kdump) would find memory that has no memmap. A kernel that keeps memblock
 * (ARCH_KEEP_MEMBLOCK) walks that for kexec, where stage 1 enters the region: as managed by a driver, or the next kernel
 * would be put there.
 *
 * A resource that is not busy would let ours in, even if it is a PCI device's
 * memory, so those are ruled out. They are looked for twice: before ours is
 * there, since even a short-lived one could make a driver's request fail; and
 * once it is there and keeps others out.
 */
static int request_resource_of(struct twostage_region *region)
{
	if (report_claimed(region))
		return -EBUSY;

	snprintf(region->resource_name, sizeof(region->resource_name), "Standby memory (%s)",
		 dev_name(&region->dev));
	region->resource = __request_region(&iomem_resource, region->start, region->size,
					    region->resource_name,
					    IORESOURCE_EXCLUSIVE | IORESOURCE_SYSRAM_DRIVER_MANAGED);
	if (!region->resource) {
		pr_err("region [%#llx-%#llx]: is partly inside of a reserved range, see /proc/iomem; add the parts inside and outside separately\n",
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

static int insert_blocks(struct twostage_region *region)
{
	unsigned long first = block_number(region->start);
	unsigned long i;
	int ret;

	for (i = 0; i < region->nr_blocks; i++) {
		ret = xa_insert(&region_by_block, first + i, region, GFP_KERNEL);
		if (ret)
			goto erase;
	}
	return 0;

erase:
	while (i--)
		xa_erase(&region_by_block, first + i);
	return ret;
}

/**
 * region_forget_blocks() - take a region's blocks out of the table
 * @region: the region
 *
 * Before its resource is free for others, who may add memory at these addresses at once. After this
 * nothing leads to the region but its own directory.
 *
 * Context: Process context. The memory blocks are gone, or have never come to be.
 */
void region_forget_blocks(struct twostage_region *region)
{
	unsigned long first = block_number(region->start);
	unsigned long i;

	for (i = 0; i < region->nr_blocks; i++)
		xa_erase(&region_by_block, first + i);
}

static int stage_one(struct twostage_region *region)
{
	int ret;

	if (!hooks_armed()) {
		pr_err("%s: the hooks are switched off, see /sys/kernel/debug/kprobes/enabled\n",
		       dev_name(&region->dev));
		return -EIO;
	}
	if (mm_sections_present(region->start, region->size)) {
		pr_err("region [%#llx-%#llx]: overlaps memory sections that are there already\n",
		       region->start, region->start + region->size - 1);
		return -EBUSY;
	}

	WRITE_ONCE(region->adding, current);
	ret = mm_add_memory_resource(region->group, region->resource, MHP_NID_IS_MGID);
	WRITE_ONCE(region->adding, NULL);
	if (!ret && region->add_error) {
		/* With an error noted auto-online has left all blocks alone. The resource goes with them. */
		ret = region->add_error;
		WRITE_ONCE(region->removed, true);
		mm_remove_memory(region->start, region->size);
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
	struct twostage_region *region;
	int ret = -ENOMEM;

	region = kzalloc(sizeof(*region), GFP_KERNEL);
	if (!region)
		return ERR_PTR(-ENOMEM);

	region->start = params->start;
	region->size = params->size;
	region->nid = nid;
	region->provider = params->provider;
	region->data = params->data;
	region->auto_online = params->auto_online;
	region->memmap_on_memory = params->memmap_on_memory && mm_memmap_on_memory_pages();
	region->nr_blocks = params->size / block_size;
	region->unit_blocks = max(params->granule, (u64)block_size) / block_size;

	INIT_WORK(&region->drop_work, drop_work);

	region->assigned = bitmap_zalloc(region->nr_blocks / region->unit_blocks, GFP_KERNEL);
	region->blocks = kvcalloc(region->nr_blocks, sizeof(*region->blocks), GFP_KERNEL);
	if (!region->assigned || !region->blocks)
		goto free;

	region->id = ida_alloc(&region_ids, GFP_KERNEL);
	if (region->id < 0) {
		ret = region->id;
		goto free;
	}

	sysfs_region_init(region);
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
	kvfree(region->blocks);
	bitmap_free(region->assigned);
	kfree(region);
	return ERR_PTR(ret);
}

/* The inverse of region_alloc(); the structure itself goes with the last reference to the device. */
static void region_free(struct twostage_region *region)
{
	ida_free(&region_ids, region->id);
	put_device(&region->dev);
}

/* One group: what the auto-movable policy decides for a block takes the others into account. */
static int join_group(struct twostage_region *region, int group)
{
	const u64 unit = region->unit_blocks * (u64)memory_block_size_bytes();

	region->own_group = group < 0;
	region->group = group < 0 ? memory_group_register_dynamic(region->nid, PHYS_PFN(unit)) : group;
	return min(region->group, 0);
}

static void leave_group(const struct twostage_region *region)
{
	if (region->own_group)
		memory_group_unregister(region->group);
}

/*
 * @group: the memory group of the one who adds; negative if it is for us to make one
 * @abandoned: a region that is to be dropped once device_hotplug_lock is given up; NULL if the caller cannot do that
 */
static struct twostage_region *region_make(const struct twostage_region_params *params, int nid, int group,
					   struct twostage_region **abandoned)
{
	struct twostage_region *region;
	int ret;

	ret = check_overlap(params->start, params->size);
	if (ret)
		return ERR_PTR(ret);

	region = region_alloc(params, nid);
	if (IS_ERR(region)) {
		pr_err("region at %#llx: no memory for %#llx bytes of standby memory\n",
		       params->start, params->size);
		return region;
	}
	if (params->memmap_on_memory && !region->memmap_on_memory)
		pr_info("%s: a memory block of %#lx bytes cannot host its memmap here, ordinary memory will\n",
			dev_name(&region->dev), memory_block_size_bytes());

	ret = request_resource_of(region);
	if (ret)
		goto free;

	ret = join_group(region, group);
	if (ret) {
		pr_err("%s: cannot make its memory group (%pe)\n", dev_name(&region->dev), ERR_PTR(ret));
		goto release_resource;
	}

	ret = insert_blocks(region);
	if (ret) {
		pr_err("%s: no memory to keep account of its blocks\n", dev_name(&region->dev));
		goto leave_group;
	}

	/* The directory first, since it may fail, but nobody is told of it before the blocks are there. */
	dev_set_uevent_suppress(&region->dev, true);
	ret = device_add(&region->dev);
	if (ret) {
		pr_err("%s: cannot make its directory in sysfs (%pe)\n", dev_name(&region->dev),
		       ERR_PTR(ret));
		goto erase;
	}

	/* Before its blocks are there, which may come online at once. */
	list_region(region);
	ret = stage_one(region);
	if (ret)
		goto abandon;

	dev_set_uevent_suppress(&region->dev, false);
	kobject_uevent(&region->dev.kobj, KOBJ_ADD);
	pr_info("%s: [%#llx-%#llx], %lu blocks on node %d, provider %s\n", dev_name(&region->dev),
		region->start, region->start + region->size - 1, region->nr_blocks, nid,
		region->provider->name);
	return region;

abandon:
	/*
	 * Somebody who has seen the directory may be in one of its knobs, and wait for the lock that we hold. Who
	 * drops the region gives up references of his own.
	 */
	WRITE_ONCE(region->removed, true);
	unlist_region(region);
	region_forget_blocks(region);
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
	region_forget_blocks(region);
leave_group:
	leave_group(region);
release_resource:
	release_mem_region(region->start, region->size);
free:
	region_free(region);
	return ERR_PTR(ret);
}

/* Checks what can be checked without a lock, and holds the modules that the region needs. */
static struct twostage_region *region_add(const struct twostage_region_params *params, int group,
					  struct twostage_region **abandoned)
{
	struct twostage_region *region;
	u64 started = trace_start();
	int ret, nid;

	ret = check_range(params);
	if (ret)
		return ERR_PTR(ret);
	nid = check_node(params);
	if (nid < 0)
		return ERR_PTR(nid);

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
	trace_region_add(region, region->start, region->size, trace_duration(started));
	return region;
}

/* For a provider's region, what no provider can take back any more is said once more at the end. */
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
 * Waits for those who are in one of the region's knobs, and they may wait for device_hotplug_lock: not
 * to be called with it.
 */
static void region_drop(struct twostage_region *region)
{
	struct module *owner = region->provider->owner;

	report_assigned(region);
	device_del(&region->dev);
	region_free(region);
	module_put(owner);
	module_put(THIS_MODULE);
}

/* With device_hotplug_lock, which is given up. */
static struct twostage_region *region_add_unlock(const struct twostage_region_params *params)
{
	struct twostage_region *region = ERR_PTR(-ENODEV), *abandoned = NULL;

	if (open)
		region = region_add(params, -1, &abandoned);
	else
		pr_err("region at %#llx: the module is not ready yet\n", params->start);
	mm_unlock_device_hotplug();
	/* Of one that was not made, nothing is there any more then, and the provider's data is not looked at. */
	if (abandoned)
		region_drop(abandoned);
	return region;
}

/**
 * region_add_by_name() - make a region that somebody asks for
 * @params: as for twostage_region_add()
 *
 * Context: Process context; takes device_hotplug_lock, for which it waits as long as it takes.
 * Return: 0 or as twostage_region_add().
 */
int region_add_by_name(const struct twostage_region_params *params)
{
	mm_lock_device_hotplug();
	return PTR_ERR_OR_ZERO(region_add_unlock(params));
}

/**
 * twostage_region_add() - make a region: stage 1
 * @params: what it is to be
 *
 * Afterwards the region's memory blocks are there, offline, under their node; the provider has not been
 * asked for anything yet. With @params->auto_online and a kernel that sets new memory online by itself,
 * blocks may be online already. The region holds references on this module and on the provider's.
 *
 * Context: Process context; takes device_hotplug_lock, so the caller holds no lock that @assign or
 * @unassign take. A driver may be asked to take or let go of a device by somebody who holds it, so there is a limit to
 * how long it is waited for.
 *
 * Return: the region or an ERR_PTR, with a line in the log that says what was wrong with what:
 * -ETIMEDOUT if others have been adding, removing or changing memory all the time; -EINVAL for a range that is empty, not aligned or overflowing, and a node that cannot exist; -ERANGE
 * if the kernel cannot map the range (mhp_get_pluggable_range()); -EEXIST if it overlaps a region;
 * -EBUSY if it overlaps System RAM or anything else but reserved memory in /proc/iomem; -EIO if the hooks are switched off;
 * -ENOMEM; -ENODEV if the provider's module is being unloaded, or this one is not ready yet.
 */
struct twostage_region *twostage_region_add(const struct twostage_region_params *params)
{
	if (mm_lock_device_hotplug_timeout(ADD_PATIENCE)) {
		pr_err("region at %#llx: others have been adding, removing or changing memory for %d s\n",
		       params->start, ADD_PATIENCE);
		return ERR_PTR(-ETIMEDOUT);
	}
	return region_add_unlock(params);
}
EXPORT_SYMBOL_GPL(twostage_region_add);

/**
 * region_adopt() - make a region of memory that somebody else is adding at this moment
 * @params: as for twostage_region_add()
 * @group: the memory group of the one who adds, who unregisters it after the removal
 *
 * It is for the same one to remove the memory again, see region_take_away().
 *
 * Context: Process context, device_hotplug_lock held.
 * Return: As twostage_region_add().
 */
struct twostage_region *region_adopt(const struct twostage_region_params *params, int group)
{
	return open ? region_add(params, group, NULL) : ERR_PTR(-ENODEV);
}

/* The core would stop at a block that is not offline with a BUG(), so it must not find one. */
static bool all_offline(const struct twostage_region *region)
{
	bool offline = !region->nr_populated;
	unsigned long i;

	for (i = 0; offline && i < region->nr_blocks; i++) {
		struct memory_block *block = mm_find_memory_block(PHYS_PFN(region_block_start(region, i)));

		if (!block)
			continue;
		offline = block->state == MEM_OFFLINE;
		put_device(&block->dev);
	}
	return offline;
}

static int check_removable(const struct twostage_region *region)
{
	if (!hooks_armed()) {
		pr_err("%s: the hooks are switched off, see /sys/kernel/debug/kprobes/enabled\n",
		       dev_name(&region->dev));
		return -EIO;
	}
	if (!all_offline(region)) {
		pr_err("%s: cannot remove it: %lu of its %lu blocks are online\n",
		       dev_name(&region->dev), region->nr_populated, region->nr_blocks);
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
	mm_remove_memory(region->start, region->size);
	leave_group(region);
	unlist_region(region);
	pr_info("%s: removed\n", dev_name(&region->dev));
	trace_region_remove(region, region->start, region->size, trace_duration(started));
	return 0;
}

/**
 * twostage_region_remove() - undo twostage_region_add()
 * @region: the region; gone afterwards
 *
 * Context: Process context; takes device_hotplug_lock, for which it does not wait long.
 * Return: 0; -EBUSY if one of its blocks is online; -EIO if the hooks are switched off; -ETIMEDOUT if others are
 * adding, removing or changing memory. After an error nothing has changed.
 */
int twostage_region_remove(struct twostage_region *region)
{
	int ret;

	ret = mm_lock_device_hotplug_timeout(REMOVE_PATIENCE);
	if (ret)
		return ret;
	ret = region_remove_locked(region);
	mm_unlock_device_hotplug();
	if (!ret)
		region_drop(region);
	return ret;
}
EXPORT_SYMBOL_GPL(twostage_region_remove);

/**
 * twostage_wait_for_regions() - at the unload, wait for the regions that hold a reference on a module
 * @owner: the module
 *
 * With regions, a module is unloaded only by force (``rmmod -f``), and nobody can refuse that. Memory is in
 * use then that only the module knows how to get rid of, so it stays until the last region has been removed.
 *
 * Context: Process context, in the exit of a module that is a provider's. Sleeps.
 */
void twostage_wait_for_regions(struct module *owner)
{
	if (module_refcount(owner) <= 0)
		return;
	pr_err("%s is unloaded by force, and stays until its regions have been removed\n", module_name(owner));
	while (module_refcount(owner) > 0)
		schedule_timeout_idle(HZ / 10);
}
EXPORT_SYMBOL_GPL(twostage_wait_for_regions);

static struct twostage_region *find_by_name(const char *name)
{
	struct twostage_region *region;

	list_for_each_entry(region, &regions, node)
		if (!strcmp(name, dev_name(&region->dev)))
			return region;
	return NULL;
}

/**
 * region_remove_by_name() - remove a region that somebody names
 * @name: "regionN"
 *
 * Only regions that were made by name: the region of a device is removed by its driver.
 *
 * Context: Process context; takes device_hotplug_lock.
 * Return: As twostage_region_remove(), and -ENXIO if there is no such region, -EPERM if it is for
 * somebody else to remove.
 */
int region_remove_by_name(const char *name)
{
	struct twostage_region *region;
	int ret;

	mm_lock_device_hotplug();
	region = find_by_name(name);
	if (!region) {
		pr_err("there is no region \"" ESCAPED "\"\n", escaped(name));
		ret = -ENXIO;
	} else if (region->provider->owner != THIS_MODULE || !region->own_group) {
		pr_err("%s: is for its provider %s to remove\n", name, region->provider->name);
		ret = -EPERM;
	} else {
		ret = region_remove_locked(region);
	}
	mm_unlock_device_hotplug();
	if (!ret)
		region_drop(region);
	return ret;
}

/*
 * When the one who holds the lock is done: who removes memory still uses the resource that has our name, and who
 * adds it tells what went wrong.
 */
static void drop_work(struct work_struct *work)
{
	struct twostage_region *region = container_of(work, struct twostage_region, drop_work);

	mm_lock_device_hotplug();
	mm_unlock_device_hotplug();
	region_drop(region);
}

/**
 * region_take_away() - remove an adopted region, for the one who added its memory
 * @region: the region; its directory goes a moment later
 *
 * Who adds memory can remove it, but cannot be told that this fails. Where it does, the region becomes
 * like one that was made by name, and stays until it is removed by name; none of its blocks comes online any more.
 *
 * Context: Process context, device_hotplug_lock held.
 */
void region_take_away(struct twostage_region *region)
{
	if (region_remove_locked(region)) {
		pr_err("%s: its memory is said to go; stop using it, and remove the region by name\n",
		       dev_name(&region->dev));
		region->own_group = true;
		region->gone = true;
		return;
	}
	queue_work(drop_workqueue, &region->drop_work);
}

/**
 * regions_open() - make the first regions, all or none, and then let others make some
 * @params: for each region, as for twostage_region_add()
 * @count: number of regions
 *
 * Nobody can set a block online before all of them are there, so that they can be removed if one is not.
 *
 * Context: Process context; takes device_hotplug_lock. Once, at the end of the load.
 * Return: 0; or the error of a region that could not be made, with the reason in the log, and there is none.
 */
int regions_open(const struct twostage_region_params *params, unsigned int count)
{
	struct twostage_region *region, *next;
	unsigned int i;
	LIST_HEAD(gone);
	int ret = 0;

	mm_lock_device_hotplug();
	for (i = 0; i < count && !ret; i++)
		ret = PTR_ERR_OR_ZERO(region_add(&params[i], -1, NULL));
	if (ret) {
		list_for_each_entry_safe_reverse(region, next, &regions, node)
			if (!region_remove_locked(region))
				list_add(&region->node, &gone);
		/* Somebody has switched the hooks off in the meantime. */
		if (!list_empty(&regions)) {
			pr_err("the module stays, since not all regions can be removed\n");
			ret = 0;
		}
	}
	open = !ret;
	mm_unlock_device_hotplug();

	list_for_each_entry_safe(region, next, &gone, node)
		region_drop(region);
	if (ret)
		flush_workqueue(drop_workqueue);
	return ret;
}

/*
 * device_hotplug_lock, for those in a knob of a region: who removes it waits for them, and somebody who holds the lock
 * may wait for him.
 */
static int lock_region(struct twostage_region *region)
{
	do {
		if (READ_ONCE(region->removed))
			return -ENODEV;
		if (fatal_signal_pending(current))
			return -EINTR;
	} while (mm_lock_device_hotplug_timeout(1));
	if (!region->removed)
		return 0;
	mm_unlock_device_hotplug();
	return -ENODEV;
}

/**
 * region_set_memmap_on_memory() - say where the memmap of blocks comes from
 * @region: the region
 * @on: out of the blocks themselves
 *
 * Context: Process context; takes device_hotplug_lock.
 * Return: 0; -EBUSY if a block is online; -EOPNOTSUPP if blocks of this system cannot host a memmap;
 * -ENODEV if the region has been removed; -EINTR.
 */
int region_set_memmap_on_memory(struct twostage_region *region, bool on)
{
	int ret;

	ret = lock_region(region);
	if (ret)
		return ret;
	if (region->nr_populated) {
		pr_err("%s: memmap_on_memory cannot change while %lu of its %lu blocks are online\n",
		       dev_name(&region->dev), region->nr_populated, region->nr_blocks);
		ret = -EBUSY;
	} else if (on && !mm_memmap_on_memory_pages()) {
		pr_err("%s: a memory block of %#lx bytes cannot host its memmap here\n",
		       dev_name(&region->dev), memory_block_size_bytes());
		ret = -EOPNOTSUPP;
	} else {
		region->memmap_on_memory = on;
	}
	mm_unlock_device_hotplug();
	return ret;
}

/* -EAGAIN if the block was already in that stage. */
static int change_block(struct twostage_region *region, unsigned long index, int online_type)
{
	struct memory_block *block;
	int ret;

	if (region->removed)
		return -ENODEV;
	if (region->blocks[index].populated == (online_type != MMOP_OFFLINE))
		return -EAGAIN;

	block = mm_find_memory_block(PHYS_PFN(region_block_start(region, index)));
	if (!block)
		return -ENXIO;
	if (online_type == MMOP_OFFLINE) {
		ret = mm_device_offline(&block->dev);
	} else {
		block->online_type = online_type;
		ret = mm_device_online(&block->dev);
	}
	put_device(&block->dev);
	/* A positive value says that there was nothing to do. */
	return ret > 0 ? -EAGAIN : ret;
}

/*
 * Change some of the blocks from *@position on, in the order of change_blocks(), @most at the most. Takes
 * device_hotplug_lock just for them, so that others get their turn.
 */
static int change_batch(struct twostage_region *region, unsigned long *position, unsigned long most,
			int online_type, unsigned long *changed)
{
	const bool online = online_type != MMOP_OFFLINE;
	int ret;

	most = min(most, BATCH_BLOCKS);
	*changed = 0;
	ret = lock_region(region);
	if (ret)
		return ret;
	online_batch_begin();
	for (; *position < region->nr_blocks && *changed < most; (*position)++) {
		unsigned long last = region->nr_blocks - 1;

		ret = change_block(region, online ? *position : last - *position, online_type);
		if (ret && ret != -EAGAIN)
			break;
		*changed += !ret;
		ret = 0;
	}
	online_batch_end(region);
	mm_unlock_device_hotplug();
	return ret;
}

/* Lowest first for online, highest first for offline */
static int change_blocks(struct twostage_region *region, unsigned long count, int online_type)
{
	const bool online = online_type != MMOP_OFFLINE;
	const char *state = online ? "online" : "offline";
	unsigned long populated = READ_ONCE(region->nr_populated);
	unsigned long available = online ? region->nr_blocks - populated : populated;
	unsigned long done = 0, position = 0, changed;
	int ret = 0;

	if (count == REGION_ALL_BLOCKS) {
		count = available;
	} else if (count > available) {
		pr_err("%s: cannot set %lu blocks %s: %lu are %s\n", dev_name(&region->dev), count, state,
		       available, online ? "standby" : "online");
		return -EINVAL;
	}

	while (!ret && position < region->nr_blocks && done < count) {
		if (signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		ret = change_batch(region, &position, count - done, online_type, &changed);
		done += changed;
		/* Others try for device_hotplug_lock every few milliseconds, as the kernel's own knobs do. */
		if (!ret && done < count)
			usleep_range(10000, 12000);
	}

	if (done < count)
		pr_warn("%s: set %lu of %lu blocks %s, then stopped (%pe)\n", dev_name(&region->dev),
			done, count, state, ERR_PTR(ret ?: -EBUSY));
	/* Not a single one failed, but others were quicker to change them. */
	if (!ret && done < count)
		ret = -EBUSY;
	return ret;
}

/**
 * region_online() - set the next standby blocks online, lowest first
 * @region: the region
 * @count: how many, or REGION_ALL_BLOCKS
 * @online_type: MMOP_ONLINE, MMOP_ONLINE_KERNEL or MMOP_ONLINE_MOVABLE
 *
 * Stops at the first block that fails; those before stay online.
 *
 * Context: Process context; takes device_hotplug_lock for a few blocks at a time.
 * Return: 0; -EINVAL if there are less standby blocks, and nothing has changed; -EINTR; -ENODEV if the region has
 * been removed; -EBUSY if others took blocks away in the meantime; or the error of the block that failed.
 */
int region_online(struct twostage_region *region, unsigned long count, int online_type)
{
	return change_blocks(region, count, online_type);
}

/**
 * region_offline() - set populated blocks offline, highest first
 * @region: the region
 * @count: how many, or REGION_ALL_BLOCKS
 *
 * Context: Process context; takes device_hotplug_lock for a few blocks at a time.
 * Return: As region_online().
 */
int region_offline(struct twostage_region *region, unsigned long count)
{
	return change_blocks(region, count, MMOP_OFFLINE);
}

/**
 * regions_forget_populated() - whether a power cycle would lose memory that is in use
 *
 * Context: Process context; takes device_hotplug_lock, for which it does not wait long: whoever holds it may wait for
 * locks of the caller's.
 * Return: 0; -EBUSY if a block is populated whose provider forgets its assignments over a power cycle; -ETIMEDOUT.
 */
int regions_forget_populated(void)
{
	struct twostage_region *region;
	int ret;

	ret = mm_lock_device_hotplug_timeout(ADD_PATIENCE);
	if (ret)
		return ret;
	list_for_each_entry(region, &regions, node)
		if (!region->provider->survives_power_cycle && region->nr_populated)
			ret = -EBUSY;
	mm_unlock_device_hotplug();
	return ret;
}

/*
 * A memory block gets its twostage/ directory when it is added, before udev hears of it, so that a rule
 * can tell by it what kind of block it is: without it the region is not made. The directory goes with the block.
 */
static int memory_block_added(struct notifier_block *nb, unsigned long action, void *data)
{
	struct device *dev = data;
	struct memory_block *block = container_of(dev, struct memory_block, dev);
	struct twostage_region *region = region_of(PFN_PHYS(section_nr_to_pfn(block->start_section_nr)));
	int ret;

	if (action != BUS_NOTIFY_ADD_DEVICE || !region)
		return NOTIFY_DONE;
	ret = sysfs_block_add(dev);
	/* The core does not ask; stage_one() does. */
	if (ret)
		region->add_error = ret;
	return NOTIFY_DONE;
}

static struct notifier_block memory_bus_notifier = { .notifier_call = memory_block_added };

static struct bus_type *memory_bus(void)
{
	/* Registering a notifier took a non-constant bus once. */
	return (struct bus_type *)mm_memory_subsys();
}

/**
 * regions_init() - make the table ready
 *
 * Return: 0 or why it cannot be.
 */
int regions_init(void)
{
	int ret;

	if (!memory_bus()) {
		pr_err("this kernel has no memory blocks\n");
		return -ENODEV;
	}
	drop_workqueue = alloc_workqueue("twostage_drop", WQ_UNBOUND, 0);
	if (!drop_workqueue)
		return -ENOMEM;
	ret = bus_register_notifier(memory_bus(), &memory_bus_notifier);
	if (ret)
		destroy_workqueue(drop_workqueue);
	return ret;
}

/**
 * regions_exit() - undo regions_init(); there are no regions left, since each holds a reference on us
 */
void regions_exit(void)
{
	bus_unregister_notifier(memory_bus(), &memory_bus_notifier);
	/* A work may still be on its way back from giving up its reference. */
	destroy_workqueue(drop_workqueue);
	xa_destroy(&region_by_block);
	ida_destroy(&region_ids);
}
