// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ram provider: memory that needs no driver
 *
 * RAM that the kernel was told to leave alone (memmap=SIZE$START), or an
 * address range at which a hypervisor puts memory by other means. The
 * administrator names the range and may be wrong, so test the memory before it
 * is used.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/numa.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "memory_word.h"
#include "ram.h"

/*
 * For each word that is written, a hypervisor backs a page of its own (perhaps
 * 2 MiB), so test no more words than are needed to notice absent memory.
 */
#define PROBE_DISTANCE SZ_32M

static u64 pattern(u64 address)
{
	return address ^ 0x5aa5c33c0ff0a55aULL;
}

/*
 * Offset of the word number @n to test: one in each PROBE_DISTANCE, and the
 * last one
 */
static u64 probe_offset(u64 n, u64 size)
{
	return min(n * PROBE_DISTANCE, size - sizeof(u64));
}

static u64 nr_probes(u64 size)
{
	return DIV_ROUND_UP_ULL(size, PROBE_DISTANCE) + 1;
}

static int report_absent(struct twostage_region *region, u64 start, u64 address)
{
	twostage_region_report(region, start, "there is no memory at %#llx", address);
	return -ENXIO;
}

/*
 * Write all words, with a pattern that depends on the address, before reading
 * any of them back: that also detects memory which appears at two addresses.
 */
static int probe(struct twostage_region *region, void **words, u64 start, u64 size)
{
	const u64 count = nr_probes(size);
	u64 address, value, n;

	for (n = 0; n < count; n++) {
		address = start + probe_offset(n, size);
		words[n] = memory_word_map(address);
		if (!words[n]) {
			twostage_region_report(region, start, "cannot map its memory to test it");
			return -ENOMEM;
		}
		if (memory_word_write(words[n], pattern(address)))
			return report_absent(region, start, address);
	}

	for (n = 0; n < count; n++) {
		address = start + probe_offset(n, size);
		if (memory_word_read(words[n], &value) || value != pattern(address))
			return report_absent(region, start, address);
	}
	return 0;
}

/*
 * A mapping for each word: one of the whole range would need page tables for
 * all of it, and a flush of every processor's TLB to remove it.
 */
static int ram_assign(struct twostage_region *region, u64 start, u64 size)
{
	const u64 count = nr_probes(size);
	void **words;
	u64 n;
	int ret;

	if (!memory_word_allowed(start, size)) {
		twostage_region_report(region, start,
				       "the firmware (device tree or EFI memory map) lists no memory at %#llx, or less than %#llx bytes that are free to use: not touched, since on this architecture an access to absent memory can crash the system",
				       start, size);
		return -ENXIO;
	}

	words = kvcalloc(count, sizeof(*words), GFP_KERNEL);
	if (!words)
		return -ENOMEM;
	ret = probe(region, words, start, size);
	for (n = 0; n < count && words[n]; n++)
		memory_word_unmap(words[n]);
	kvfree(words);
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
 * ram_region_params() - the defaults for a region of the ram provider
 * @params: to be filled in; the caller sets start and size
 */
void ram_region_params(struct twostage_region_params *params)
{
	*params = (struct twostage_region_params){
		.provider = &ram_provider,
		.nid = NUMA_NO_NODE,
		.memmap_on_memory = true,
	};
}
