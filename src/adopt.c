// SPDX-License-Identifier: GPL-2.0-only
/*
 * Taking over memory that the ACPI memory driver adds
 *
 * For a DIMM that is plugged, that driver calls __add_memory() with a memory group of its own, which no
 * other caller has on the architectures with ACPI. Our wrapper makes a region of the range instead, whose
 * provider has nothing to do: the memory is there. The driver never knows; it removes the memory with
 * __remove_memory() when the DIMM is ejected, and the region goes with it.
 *
 * What is not for us goes on as if we were not there, with a line in the log:
 * an add for which the kernel itself takes the memmap out of the added memory,
 * and ranges that the kernel has already (a DIMM that was there at boot), which
 * the driver is told by the core.
 *
 * Both functions are guarded, that is wrapped even while kprobes are switched off. What they do with a range that
 * touches a region has to come first at any time: the driver would take the region's blocks for the DIMM's, and
 * the core would tear down a memmap that is not there.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/ioport.h>
#include <linux/sched.h>

#include "adopt.h"
#include "hook.h"
#include "mm_internals.h"
#include "region.h"

static bool enabled;

/* The task that is in the wrapped function and calls the original; device_hotplug_lock. */
static struct task_struct *passing;

static int dimm_assign(struct twostage_region *region, u64 start, u64 size)
{
	if (!region->gone)
		return 0;
	pr_err("%s: its memory is said to be gone, and is not used any more: remove the region by name\n",
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

static bool add_wanted(struct pt_regs *regs)
{
	const mhp_t flags = (__force mhp_t)regs_get_kernel_argument(regs, 3);

	return flags & MHP_NID_IS_MGID && READ_ONCE(passing) != current &&
	       (READ_ONCE(enabled) ||
		region_within(regs_get_kernel_argument(regs, 1), regs_get_kernel_argument(regs, 2)));
}

/* The driver takes -EEXIST for memory of this DIMM that is in use already, and binds it. */
static bool is_system_ram(u64 start, u64 size)
{
	return region_intersects(start, size, IORESOURCE_SYSTEM_RAM, IORES_DESC_NONE) != REGION_DISJOINT;
}

static int pass_on(int group, u64 start, u64 size, mhp_t flags)
{
	int ret;

	WRITE_ONCE(passing, current);
	ret = mm_add_memory(group, start, size, flags);
	WRITE_ONCE(passing, NULL);
	return ret;
}

/* Why a DIMM is left to the kernel; NULL if it is not. */
static const char *why_not(u64 start, u64 size, mhp_t flags)
{
	if (!hooks_armed())
		return "the hooks are switched off, see /sys/kernel/debug/kprobes/enabled";
	if (is_system_ram(start, size))
		return "some of it is in use as System RAM already";
	if (flags & MHP_MEMMAP_ON_MEMORY && mm_kernel_hosts_memmap(size))
		return "the kernel itself takes the memmap out of it; to have DIMMs adopted, boot without memory_hotplug.memmap_on_memory";
	return NULL;
}

static int leave_to_kernel(int group, u64 start, u64 size, mhp_t flags, const char *reason)
{
	pr_info("DIMM [%#llx-%#llx] is not adopted: %s\n", start, start + size - 1, reason);
	return pass_on(group, start, size, flags);
}

static int wrapped_add_memory(int group, u64 start, u64 size, mhp_t flags)
{
	const struct twostage_region_params params = {
		.provider = &dimm_provider,
		.start = start,
		.size = size,
		.nid = mm_group_nid(group),
		.memmap_on_memory = true,
		/* Whether a DIMM comes online by itself is for the system to say, as ever. */
		.auto_online = true,
	};
	struct twostage_region *region = region_within(start, size);
	const char *reason;

	/* Not -EEXIST: the driver would take it for memory of the DIMM that is in use already. */
	if (region) {
		pr_err("a DIMM is refused: [%#llx-%#llx] overlaps %s\n", start, start + size - 1, dev_name(&region->dev));
		return -EBUSY;
	}
	if (!READ_ONCE(enabled))
		return pass_on(group, start, size, flags);
	reason = why_not(start, size, flags);
	if (reason)
		return leave_to_kernel(group, start, size, flags, reason);

	region = region_adopt(&params, group);
	if (region == ERR_PTR(-ENODEV))
		return leave_to_kernel(group, start, size, flags, "twostage is being unloaded");
	return region == ERR_PTR(-EEXIST) ? -EBUSY : PTR_ERR_OR_ZERO(region);
}

static typeof(__add_memory) wrapped_add_memory __maybe_unused;

/* The removal of a region by ourselves is under way already when it comes here. */
static bool remove_wanted(struct pt_regs *regs)
{
	struct twostage_region *region = region_within(regs_get_kernel_argument(regs, 0),
						       regs_get_kernel_argument(regs, 1));

	return region && !READ_ONCE(region->removed);
}

static void wrapped_remove_memory(u64 start, u64 size)
{
	struct twostage_region *region = region_within(start, size);

	if (region->provider == &dimm_provider && region->start == start && region->size == size)
		region_take_away(region);
	else
		pr_err("%s: stays, who removes [%#llx-%#llx] has not made it\n", dev_name(&region->dev), start,
		       start + size - 1);
}

static typeof(__remove_memory) wrapped_remove_memory __maybe_unused;

static struct guard guards[] = {
	{ "__add_memory", wrapped_add_memory, add_wanted },
	{ "__remove_memory", wrapped_remove_memory, remove_wanted },
};

/**
 * adopt_enabled() - whether memory that is added from now on is taken over
 */
bool adopt_enabled(void)
{
	return READ_ONCE(enabled);
}

/**
 * adopt_enable() - say whether memory that is added from now on is taken over
 * @on: do
 *
 * What has been taken over stays so.
 *
 * Context: Any.
 */
void adopt_enable(bool on)
{
	WRITE_ONCE(enabled, on);
}

/**
 * adopt_show_hooks() - print a line for each guard
 * @m: where to
 */
void adopt_show_hooks(struct seq_file *m)
{
	guards_show(m, guards, ARRAY_SIZE(guards));
}

/**
 * adopt_init() - get ready to take memory over
 *
 * Return: 0, or an error with its reason in the log.
 */
int adopt_init(void)
{
	return guards_install(guards, ARRAY_SIZE(guards));
}

/**
 * adopt_exit() - undo adopt_init()
 *
 * Context: There is no region left. An add that was redirected a moment ago may still be on its way to
 * the wrapper: with the guards gone, wait for it.
 */
void adopt_exit(void)
{
	adopt_enable(false);
	guards_remove(guards, ARRAY_SIZE(guards));
	mm_lock_device_hotplug();
	mm_unlock_device_hotplug();
}
