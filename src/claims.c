// SPDX-License-Identifier: GPL-2.0-only
/*
 * Resources that other drivers have in a range of physical addresses
 *
 * /proc/iomem shows the kernel's tree of resources. A range that the firmware
 * calls reserved may have others below it: the window of a PCI host bridge, in
 * it the registers and memory of a device, and in that what its driver has
 * requested. The kernel's exported functions that search the tree do not look
 * below a resource that they have found, so search the whole tree here.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/device.h>
#include <linux/kernel.h>
#include <linux/platform_device.h>
#include <linux/printk.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include "claims.h"
#include "mm_internals.h"
#include "symbols.h"

/*
 * The lock of the tree, static in kernel/resource.c. NULL on a kernel without
 * CONFIG_KALLSYMS_ALL: there only the top level is searched, with an exported
 * function.
 */
static rwlock_t *resource_lock;

/*
 * Memory that the firmware or memmap= withholds from the kernel. Recognise it
 * by its name: a resource that is requested inside of it has the same
 * descriptor.
 */
static bool is_reserved(const struct resource *resource)
{
	return resource->name &&
	       (!strcmp(resource->name, "Reserved") || !strcmp(resource->name, "Soft Reserved"));
}

/* The next resource in the order of /proc/iomem */
static const struct resource *next_resource(const struct resource *resource, bool descend)
{
	if (descend && resource->child)
		return resource->child;
	while (resource && !resource->sibling)
		resource = resource->parent;
	return resource ? resource->sibling : NULL;
}

static bool overlaps(const struct resource *resource, u64 start, u64 end)
{
	return resource->start <= end && start <= resource->end;
}

static bool is_below(const struct resource *resource, const struct resource *ancestor)
{
	while (resource && resource != ancestor)
		resource = resource->parent;
	return resource;
}

/*
 * The innermost resource names the device or the driver, not the bus of the
 * device. Those below System RAM only describe it ("Kernel code").
 */
static const struct resource *find_locked(u64 start, u64 end, const struct resource *except)
{
	const struct resource *resource, *found = NULL;
	bool inside;

	for (resource = iomem_resource.child; resource; resource = next_resource(resource, inside)) {
		inside = resource != except && overlaps(resource, start, end);
		if (!inside || is_reserved(resource))
			continue;
		if (found && !is_below(resource, found))
			break;
		found = resource;
		if (found->flags & IORESOURCE_SYSRAM)
			break;
	}
	return found;
}

static void fill_claim(struct claim *claim, const struct resource *found, const char *name)
{
	claim->start = found->start;
	claim->end = found->end;
	strscpy(claim->name, name, sizeof(claim->name));
}

static bool search_tree(u64 start, u64 end, const struct resource *except, struct claim *claim)
{
	const struct resource *found;

	read_lock(resource_lock);
	found = find_locked(start, end, except);
	if (found)
		fill_claim(claim, found, found->name ?: "<BAD>");
	read_unlock(resource_lock);
	return found;
}

struct top_level_search {
	const struct resource *except;
	struct claim *claim;
};

/*
 * @resource: a copy of the part that overlaps the range; some kernels leave out
 * its name
 */
static int check_top_level(struct resource *resource, void *data)
{
	struct top_level_search *search = data;

	if (resource->desc == IORES_DESC_RESERVED || resource->desc == IORES_DESC_SOFT_RESERVED ||
	    (search->except && resource->start >= search->except->start &&
	     resource->end <= search->except->end))
		return 0;
	fill_claim(search->claim, resource, resource->flags & IORESOURCE_SYSRAM ?
		   "System RAM" : "a device's memory or another driver's");
	return 1;
}

static bool search_top_level(u64 start, u64 end, const struct resource *except,
			     struct claim *claim)
{
	struct top_level_search search = { .except = except, .claim = claim };

	return walk_iomem_res_desc(IORES_DESC_NONE, IORESOURCE_MEM, start, end, &search,
				   check_top_level) == 1;
}

struct dax_search {
	u64 start;
	u64 end;
	struct claim *claim;
};

static int check_dax(struct device *dev, void *data)
{
	struct dax_search *search = data;
	struct range range;

	if (!mm_dax_range(dev, &range) || range.start > search->end || range.end < search->start)
		return 0;
	search->claim->start = range.start;
	search->claim->end = range.end;
	snprintf(search->claim->name, sizeof(search->claim->name), "the dax device of %s",
		 dev_name(dev));
	return 1;
}

/* A dax device without a driver has no resource. */
static bool search_dax(u64 start, u64 end, struct claim *claim)
{
	struct dax_search search = { .start = start, .end = end, .claim = claim };

	return bus_for_each_dev(&platform_bus_type, NULL, &search, check_dax) == 1;
}

/**
 * claim_find() - find a resource in a range, other than reserved memory
 * @start: first physical address in bytes
 * @end: last physical address in bytes
 * @except: a resource that does not count, nor do those below it; may be NULL
 * @claim: filled in if a resource is found
 *
 * Resources that are not busy count, too: a PCI device without a driver has its
 * memory at its addresses all the same. So does a dax device without a driver.
 *
 * Context: Process context.
 * Return: true if a resource has a part of the range.
 */
bool claim_find(u64 start, u64 end, const struct resource *except, struct claim *claim)
{
	if (resource_lock ? search_tree(start, end, except, claim) :
			    search_top_level(start, end, except, claim))
		return true;
	return search_dax(start, end, claim);
}

/**
 * claims_init() - find the lock of the kernel's tree
 *
 * Return: 0.
 */
int claims_init(void)
{
	resource_lock = (rwlock_t *)symbol_address("resource_lock");
	if (!resource_lock)
		pr_notice("this kernel is built without CONFIG_KALLSYMS_ALL: a region inside of a reserved range is not checked for PCI devices there: look for them in /proc/iomem before you add one\n");
	return 0;
}
