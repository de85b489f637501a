// SPDX-License-Identifier: GPL-2.0-only
/*
 * The dimm provider: memory that the ACPI memory driver adds
 *
 * When a DIMM is plugged, that driver calls __add_memory() with a memory group
 * of its own (MHP_NID_IS_MGID), which no other caller passes on architectures
 * with ACPI. Our wrapper makes a region of the range instead. The provider has
 * nothing to do, since the memory is accessible. When the DIMM is ejected, the
 * driver calls __remove_memory(), whose wrapper removes the region.
 *
 * The wrapper calls the original __add_memory(), and logs that, if the kernel
 * itself takes the memmap out of the added memory, if the hooks are disarmed,
 * and if the range is System RAM already (a DIMM that was there at boot):
 * then the core returns -EEXIST, which the driver expects for such a DIMM.
 *
 * Both functions are guarded, so they are wrapped even while kprobes are
 * disarmed. Otherwise the original __add_memory() would fail with -EEXIST for a
 * range inside a region, so that the driver binds the region's blocks to the
 * DIMM, and the original __remove_memory() would tear down a memmap that does
 * not exist.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/ioport.h>
#include <linux/memory_hotplug.h>
#include <linux/sched.h>

#include "hook.h"
#include "hotplug_lock.h"
#include "mm_internals.h"
#include "providers/dimm.h"
#include "region.h"

/* Adopt DIMMs that are plugged from now on */
static bool adopting;

/* The task that calls the original __add_memory(); device_hotplug_lock */
static struct task_struct *bypass_task;

static int dimm_assign(struct twostage_region *region, u64 start, u64 size)
{
	if (!region->ejected)
		return 0;
	twostage_region_report(region, start,
			       "the DIMM was ejected, its memory cannot come online: write %s to /sys/bus/twostage/remove_region",
			       dev_name(&region->dev));
	return -ENXIO;
}

static int dimm_unassign(struct twostage_region *region, u64 start, u64 size)
{
	return 0;
}

static const struct twostage_provider dimm_provider = {
	.name = "dimm",
	.owner = THIS_MODULE,
	.assign = dimm_assign,
	.unassign = dimm_unassign,
};

static bool add_memory_wanted(const unsigned long *arguments)
{
	const mhp_t flags = (__force mhp_t)arguments[3];

	return flags & MHP_NID_IS_MGID && READ_ONCE(bypass_task) != current &&
	       (READ_ONCE(adopting) || first_block_in(arguments[1], arguments[2]));
}

static bool is_system_ram(u64 start, u64 size)
{
	return region_intersects(start, size, IORESOURCE_SYSTEM_RAM, IORES_DESC_NONE) !=
	       REGION_DISJOINT;
}

static int call_original_add(int group, u64 start, u64 size, mhp_t flags)
{
	int ret;

	WRITE_ONCE(bypass_task, current);
	ret = mm_call(__add_memory)(group, start, size, flags);
	WRITE_ONCE(bypass_task, NULL);
	return ret;
}

/*
 * Return: why the kernel itself adds the memory of a DIMM; NULL if it does not
 */
static const char *why_not(u64 start, u64 size, mhp_t flags)
{
	if (!hooks_armed())
		return "the hooks are switched off; to have DIMMs adopted, echo 1 > /sys/kernel/debug/kprobes/enabled";
	if (is_system_ram(start, size))
		return "some of it is in use as System RAM already";
	if (flags & MHP_MEMMAP_ON_MEMORY && mm_kernel_hosts_memmap(size))
		return "the kernel itself takes the memmap out of it; to have DIMMs adopted, boot without memory_hotplug.memmap_on_memory";
	return NULL;
}

static int leave_to_kernel(int group, u64 start, u64 size, mhp_t flags, const char *reason)
{
	pr_info("DIMM [%#llx-%#llx] is not adopted: %s\n", start, start + size - 1, reason);
	return call_original_add(group, start, size, flags);
}

static int wrapped_add_memory(int group, u64 start, u64 size, mhp_t flags)
{
	const struct twostage_region_params params = {
		.provider = &dimm_provider,
		.start = start,
		.size = size,
		.nid = mm_group_nid(group),
		.memmap_on_memory = true,
		/*
		 * As for any DIMM, the system decides whether it comes online
		 * by itself.
		 */
		.auto_online = true,
	};
	const struct twostage_block *block = first_block_in(start, size);
	struct twostage_region *region;
	const char *reason;

	/*
	 * Not -EEXIST: the driver takes that for memory of the DIMM that is in
	 * use already, and binds to it.
	 */
	if (block) {
		pr_err("a DIMM is refused: [%#llx-%#llx] overlaps %s: remove that region, then plug the DIMM again\n",
		       start, start + size - 1, dev_name(&block->region->dev));
		return -EBUSY;
	}
	if (!READ_ONCE(adopting))
		return call_original_add(group, start, size, flags);
	reason = why_not(start, size, flags);
	if (reason)
		return leave_to_kernel(group, start, size, flags, reason);

	region = region_adopt(&params, group);
	if (region == ERR_PTR(-ENODEV))
		return leave_to_kernel(group, start, size, flags, "twostage is being unloaded");
	return region == ERR_PTR(-EEXIST) ? -EBUSY : PTR_ERR_OR_ZERO(region);
}

/* Not the removal that region.c itself has begun */
static bool remove_memory_wanted(const unsigned long *arguments)
{
	const struct twostage_block *block = first_block_in(arguments[0], arguments[1]);

	return block && !READ_ONCE(block->region->removed);
}

static void wrapped_remove_memory(u64 start, u64 size)
{
	struct twostage_region *region = first_block_in(start, size)->region;

	if (region->provider == &dimm_provider && region->start == start && region->size == size)
		region_remove_adopted(region);
	else
		pr_err("%s: not removed: removal of [%#llx-%#llx] was requested by a driver that did not add this region\n",
		       dev_name(&region->dev), start, start + size - 1);
}

static typeof(__add_memory) wrapped_add_memory __maybe_unused;
static typeof(__remove_memory) wrapped_remove_memory __maybe_unused;

static struct hook hooks[] = {
	{
		.symbol = "__add_memory",
		.wrapper = wrapped_add_memory,
		.wanted = add_memory_wanted,
		.guard = true,
	}, {
		.symbol = "__remove_memory",
		.wrapper = wrapped_remove_memory,
		.wanted = remove_memory_wanted,
		.guard = true,
	},
};

static struct hook_table table = HOOK_TABLE(hooks);

/** dimm_adopting() - whether DIMMs that are plugged from now on are adopted */
bool dimm_adopting(void)
{
	return READ_ONCE(adopting);
}

/**
 * dimm_adopt() - choose whether DIMMs that are plugged from now on are adopted
 * @on: adopt them
 *
 * Does not change what has been adopted.
 *
 * Context: Any.
 */
void dimm_adopt(bool on)
{
	WRITE_ONCE(adopting, on);
}

/**
 * dimm_init() - get ready to adopt DIMMs
 *
 * Return: 0, or an error with its reason in the log.
 */
int dimm_init(void)
{
	return hooks_install(&table);
}

/**
 * dimm_exit() - undo dimm_init()
 *
 * Context: No region is left. A task that has been redirected before the hooks
 * were removed may still be about to enter the wrapper; it holds
 * device_hotplug_lock.
 */
void dimm_exit(void)
{
	dimm_adopt(false);
	hooks_remove(&table);
	hotplug_lock();
	hotplug_unlock();
}
