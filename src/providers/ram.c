// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ram provider: memory that is simply there, or not
 *
 * RAM that the kernel was told to leave alone (memmap=SIZE$START), or an address range at which a
 * hypervisor puts memory by other means. Nobody has to be asked for it, but somebody may be wrong about
 * it, so it is tried before it is trusted.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/io.h>
#include <linux/minmax.h>
#include <linux/numa.h>
#include <linux/sizes.h>

#include "ram.h"

/*
 * Each word that is tried makes a hypervisor back a page of its own (2 MiB perhaps), which may be all
 * that is ever used of it, so try no more than it takes to find a range that is not there.
 */
#define PROBE_DISTANCE SZ_32M

static u64 pattern(u64 address)
{
	return address ^ 0x5aa5c33c0ff0a55aULL;
}

/* The next word to try after @offset: one in each PROBE_DISTANCE, and the last one of all. */
static u64 next_probe(u64 offset, u64 size)
{
	const u64 last = size - sizeof(u64);

	if (offset >= last)
		return size;
	return min(offset + PROBE_DISTANCE, last);
}

/*
 * Writes a pattern that depends on the address all over the range before reading any of it back: memory
 * that shows up at two addresses is found out too.
 */
static int probe(struct twostage_region *region, u64 __iomem *words, u64 start, u64 size)
{
	u64 offset;

	for (offset = 0; offset < size; offset = next_probe(offset, size))
		writeq(pattern(start + offset), words + offset / sizeof(u64));

	for (offset = 0; offset < size; offset = next_probe(offset, size)) {
		if (readq(words + offset / sizeof(u64)) != pattern(start + offset)) {
			pr_err("%s: there is no memory at %#llx\n", twostage_region_name(region),
			       start + offset);
			return -ENXIO;
		}
	}
	return 0;
}

static int ram_assign(struct twostage_region *region, u64 start, u64 size)
{
	u64 __iomem *words;
	int ret;

	/* Past the caches, which would answer for memory that is not there. */
	words = ioremap_wc(start, size);
	if (!words) {
		pr_err("%s: cannot map [%#llx-%#llx] to try it\n", twostage_region_name(region), start,
		       start + size - 1);
		return -ENOMEM;
	}
	ret = probe(region, words, start, size);
	iounmap(words);
	return ret;
}

static int ram_unassign(struct twostage_region *region, u64 start, u64 size)
{
	return 0;
}

static const struct twostage_provider ram_provider = {
	.name = "ram",
	.owner = THIS_MODULE,
	.assign = ram_assign,
	.unassign = ram_unassign,
};

/**
 * ram_region_params() - what a region of the ram provider is, if nothing else is said
 * @params: to be filled in; start and size are left to the caller
 */
void ram_region_params(struct twostage_region_params *params)
{
	*params = (struct twostage_region_params){
		.provider = &ram_provider,
		.nid = NUMA_NO_NODE,
		.memmap_on_memory = true,
	};
}
