// SPDX-License-Identifier: GPL-2.0-only
/*
 * What else is at a range of physical addresses
 *
 * The kernel keeps a tree of what is at which addresses, which /proc/iomem
 * shows. Ranges that the firmware calls reserved may have other entries below
 * them: the window of a PCI host bridge, in it a device's registers and
 * memory, and in that what its driver has requested. The kernel's exported
 * functions that search the tree do not look below an entry that they have
 * found, so the whole tree is searched here.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/errno.h>
#include <linux/printk.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include "claims.h"
#include "mm_internals.h"

/* The lock of the tree, which is static in kernel/resource.c. */
static rwlock_t *resource_lock;

/*
 * Memory that the firmware, or memmap=, withholds from the kernel. Its
 * descriptor does not tell it from others: what is requested inside of it
 * inherits the descriptor.
 */
static bool is_reserved(const struct resource *resource)
{
	return resource->name &&
	       (!strcmp(resource->name, "Reserved") || !strcmp(resource->name, "Soft Reserved"));
}

/* The next entry in the order of /proc/iomem. */
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
 * The innermost entry names the device or the driver, not the bus that the
 * device is on. Entries below System RAM only describe it ("Kernel code").
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

/**
 * claim_find() - find what has a part of a range, apart from being reserved
 * @start: first physical address in bytes
 * @end: last one
 * @except: an entry of the kernel's tree that does not count, nor does what is
 *	below it; NULL if there is none
 * @claim: filled in if something is found
 *
 * Entries that are not busy count, too: a PCI device whose driver is not loaded
 * has its memory there all the same.
 *
 * Context: Process context.
 * Return: whether something has a part of the range.
 */
bool claim_find(u64 start, u64 end, const struct resource *except, struct claim *claim)
{
	const struct resource *found;

	read_lock(resource_lock);
	found = find_locked(start, end, except);
	if (found) {
		claim->start = found->start;
		claim->end = found->end;
		strscpy(claim->name, found->name ?: "<BAD>", sizeof(claim->name));
	}
	read_unlock(resource_lock);
	return found;
}

/**
 * claims_init() - find the lock of the kernel's tree
 *
 * Return: 0; -ENOENT, with its reason in the log.
 */
int claims_init(void)
{
	resource_lock = (rwlock_t *)mm_lookup_symbol("resource_lock");
	if (resource_lock)
		return 0;
	pr_err("cannot search /proc/iomem: this kernel has no symbol resource_lock; it takes CONFIG_KALLSYMS_ALL\n");
	return -ENOENT;
}
