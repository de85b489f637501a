// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's internal functions, and every difference between kernels
 *
 * None of the functions is exported, so their addresses are looked up at load.
 * Their prototypes are those of the kernel's own headers: a call that does not
 * match does not compile.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/list.h>
#include <linux/memregion.h>
#include <linux/pageblock-flags.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "mm_internals.h"
#include "symbols.h"

#define DEFINE_INTERNAL(function) DEFINE_STATIC_CALL_NULL(mm_##function, function);
MM_INTERNALS(DEFINE_INTERNAL)

/*
 * Static in mm/memory_hotplug.c: the function that hands out pages of a block
 * that comes online. Balloon drivers (Hyper-V, Xen) replace it by one that
 * keeps pages which they did not plug. NULL if the symbol cannot be found.
 */
static online_page_callback_t *page_callback;

/**
 * mm_online_pages() - online_pages() of mm/memory_hotplug.c, without the
 *	online_page_callback of a balloon driver
 * @pfn: first page, pageblock aligned
 * @nr_pages: up to the end of a section
 * @zone: where the pages go
 * @group: the memory block's, or NULL
 * @hand_out: called instead of that callback
 *
 * Without CONFIG_KALLSYMS_ALL the callback cannot be replaced.
 *
 * Context: mem_hotplug_lock held for writing, which also protects the callback.
 * Return: 0 or a negative errno.
 */
int mm_online_pages(unsigned long pfn, unsigned long nr_pages, struct zone *zone,
		    struct memory_group *group, online_page_callback_t hand_out)
{
	online_page_callback_t replaced;
	int ret;

	if (!page_callback)
		return mm_call(online_pages)(pfn, nr_pages, zone, group);

	replaced = *page_callback;
	*page_callback = hand_out;
	ret = mm_call(online_pages)(pfn, nr_pages, zone, group);
	*page_callback = replaced;
	return ret;
}

/*
 * The kernel writes to page tables of the direct map without checking whether
 * it got the page (alloc_low_pages() on x86), or stops with a BUG() if it did
 * not (arm64), so running out of memory there is a crash. Its allocations do
 * not reclaim, but use the reserves. So allocate as much in advance, with
 * reclaim, and free it: it stays on this CPU's free list, where the kernel's
 * allocations find it.
 */
static int check_page_table_memory(u64 size)
{
	unsigned long i, pages = arch_page_table_pages(size);
	struct page *page;
	LIST_HEAD(list);

	for (i = 0; i < pages; i++) {
		page = alloc_page(GFP_KERNEL | __GFP_HIGH | __GFP_RETRY_MAYFAIL | __GFP_NOWARN);
		if (!page)
			break;
		list_add(&page->lru, &list);
	}
	while ((page = list_first_entry_or_null(&list, struct page, lru))) {
		list_del(&page->lru);
		__free_page(page);
	}
	return i < pages ? -ENOMEM : 0;
}

/**
 * mm_arch_add_memory() - arch_add_memory(): the direct map and the memmap of a
 *	range
 * @nid: its node
 * @start: in bytes
 * @size: in bytes
 * @altmap: where the memmap is to come from, NULL for ordinary memory
 *
 * Context: mem_hotplug_lock held for writing. Allocates memory with reclaim.
 * Return: 0; -ENOMEM with nothing done; or an error of arch_add_memory(), which
 * leaves behind what it has done.
 */
int mm_arch_add_memory(int nid, u64 start, u64 size, struct vmem_altmap *altmap)
{
	struct mhp_params params = {
		.altmap = altmap,
		.pgprot = pgprot_mhp(PAGE_KERNEL),
	};
	int ret;

	ret = check_page_table_memory(size);
	if (ret)
		return ret;
	if (altmap)
		arch_prepare_hosted_memmap(PFN_PHYS(altmap->base_pfn), PFN_PHYS(altmap->free));
	return mm_call(arch_add_memory)(nid, start, size, &params);
}

/**
 * mm_arch_remove_memory() - arch_remove_memory(), the inverse of
 *	mm_arch_add_memory()
 * @start: in bytes
 * @size: in bytes
 * @altmap: the one that the range was added with
 *
 * Context: mem_hotplug_lock held for writing.
 */
void mm_arch_remove_memory(u64 start, u64 size, struct vmem_altmap *altmap)
{
#ifdef HAVE_ARCH_REMOVE_MEMORY_PGMAP
	mm_call(arch_remove_memory)(start, size, altmap, NULL);
#else
	mm_call(arch_remove_memory)(start, size, altmap);
#endif
}

/**
 * mm_altmap_leaked() - pages of an altmap that are still in use
 * @altmap: the altmap of a range, after mm_arch_remove_memory()
 *
 * Return: number of pages; 0 if the kernel does not count them. Before 6.6 it
 * does that only for ZONE_DEVICE.
 */
unsigned long mm_altmap_leaked(const struct vmem_altmap *altmap)
{
	return IS_ENABLED(CONFIG_ZONE_DEVICE) ? altmap->alloc : 0;
}

/**
 * mm_init_memmap_on_memory() - mhp_init_memmap_on_memory(): initialise the
 *	struct pages of the pages that hold the block's own memmap
 * @pfn: the block's first page, where the memmap begins
 * @nr_pages: length of the memmap
 * @zone: that of the block's other pages
 *
 * Its inverse is mm_call(mhp_deinit_memmap_on_memory)(pfn, nr_pages).
 *
 * Context: mem_hotplug_lock held for writing.
 * Return: 0 or a negative errno.
 */
int mm_init_memmap_on_memory(unsigned long pfn, unsigned long nr_pages, struct zone *zone)
{
	/*
	 * "false": the memory has been accessible since before the memmap was
	 * made, so there is no need to poison the memmap now.
	 */
#ifdef HAVE_INIT_MEMMAP_INACCESSIBLE
	return mm_call(mhp_init_memmap_on_memory)(pfn, nr_pages, zone, false);
#else
	return mm_call(mhp_init_memmap_on_memory)(pfn, nr_pages, zone);
#endif
}

/**
 * mm_move_pfn_range_to_zone() - move_pfn_range_to_zone() with the arguments of
 *	an earlier call
 * @move: that call
 *
 * Context: mem_hotplug_lock held for writing.
 */
void mm_move_pfn_range_to_zone(const struct zone_move *move)
{
#ifdef HAVE_MOVE_PFN_RANGE_ISOLATE
	mm_call(move_pfn_range_to_zone)(move->zone, move->start_pfn, move->nr_pages, move->altmap,
					move->migratetype, move->isolate_pageblock);
#else
	mm_call(move_pfn_range_to_zone)(move->zone, move->start_pfn, move->nr_pages, move->altmap,
					move->migratetype);
#endif
}

/**
 * mm_memmap_init_range() - memmap_init_range() with the arguments of an earlier
 *	call, for a part of its range
 * @init: that call
 * @pfn: first page
 * @nr_pages: number of pages
 *
 * Context: mem_hotplug_lock held for writing, by this or another task.
 */
void mm_memmap_init_range(const struct memmap_init *init, unsigned long pfn,
			  unsigned long nr_pages)
{
#ifdef HAVE_MOVE_PFN_RANGE_ISOLATE
	mm_call(memmap_init_range)(nr_pages, init->nid, init->zone, pfn, init->zone_end_pfn,
				   init->context, init->altmap, init->migratetype,
				   init->isolate_pageblock);
#else
	mm_call(memmap_init_range)(nr_pages, init->nid, init->zone, pfn, init->zone_end_pfn,
				   init->context, init->altmap, init->migratetype);
#endif
}

/**
 * mm_kernel_hosts_memmap() - whether the kernel itself would take the memmap
 *	out of memory that is added
 * @size: of the memory that is added in one call, in bytes
 *
 * That is what memory_hotplug.memmap_on_memory=1 asks for. Some kernels can do
 * it only if @size is one memory block.
 */
bool mm_kernel_hosts_memmap(u64 size)
{
#ifdef HAVE_SUPPORTS_MEMMAP_ON_MEMORY_SIZE
	return mm_call(mhp_supports_memmap_on_memory)(size);
#else
	return mm_call(mhp_supports_memmap_on_memory)();
#endif
}

/**
 * mm_group_nid() - node of a memory group
 * @group: its id
 *
 * Return: the node; NUMA_NO_NODE if there is no such group.
 */
int mm_group_nid(int group)
{
	struct memory_group *found = mm_call(memory_group_find_by_id)(group);

	return found ? found->nid : NUMA_NO_NODE;
}

/**
 * mm_dax_range() - the memory of which the kernel has made a dax device
 * @dev: a platform device
 * @range: the result, physical addresses in bytes
 *
 * Memory that the firmware calls soft reserved belongs to "hmem" devices. Where
 * these have resources, the memory is also in /proc/iomem.
 *
 * Return: true if @dev is such a device without resources, and its driver has
 * made a dax device.
 */
bool mm_dax_range(const struct device *dev, struct range *range)
{
#ifdef HAVE_MEMREGION_RANGE
	const struct memregion_info *info = dev_get_platdata(dev);

	if (strncmp(dev_name(dev), "hmem.", strlen("hmem.")) || !info || !READ_ONCE(dev->driver))
		return false;
	*range = info->range;
	return true;
#else
	return false;
#endif
}

static int get_block(struct memory_block *block, void *found)
{
	get_device(&block->dev);
	*(struct memory_block **)found = block;
	return 0;
}

/**
 * mm_find_memory_block() - the memory block that contains a page
 * @pfn: the page
 *
 * Context: device_hotplug_lock held.
 * Return: the block with a reference to its device, or NULL.
 */
struct memory_block *mm_find_memory_block(unsigned long pfn)
{
	struct memory_block *block = NULL;

	mm_call(walk_memory_blocks)(PFN_PHYS(pfn), PAGE_SIZE, &block, get_block);
	return block;
}

static int first_block_bus(struct memory_block *block, void *bus)
{
	*(const struct bus_type **)bus = block->dev.bus;
	return 1;
}

/**
 * mm_memory_subsys() - the bus of memory blocks
 *
 * Return: the bus, or NULL in a system without any memory block.
 */
const struct bus_type *mm_memory_subsys(void)
{
	const struct bus_type *bus = NULL;

	mm_call(for_each_memory_block)(&bus, first_block_bus);
	return bus;
}

/**
 * mm_sections_alloc() - make sure that a range has section structures
 * @start: in bytes, section aligned
 * @size: in bytes
 * @nid: node to take memory from
 *
 * This is what sparse_index_init() does. Like the kernel, do not free them: the
 * next memory that is added at these addresses uses them.
 *
 * Context: mem_hotplug_lock held for writing.
 * Return: 0 or -ENOMEM.
 */
int mm_sections_alloc(u64 start, u64 size, int nid)
{
#ifdef CONFIG_SPARSEMEM_EXTREME
	unsigned long last = SECTION_NR_TO_ROOT(pfn_to_section_nr(PHYS_PFN(start + size - 1)));
	unsigned long root = SECTION_NR_TO_ROOT(pfn_to_section_nr(PHYS_PFN(start)));

	for (; root <= last; root++) {
		if (mem_section[root])
			continue;
		mem_section[root] = kzalloc_node(SECTIONS_PER_ROOT * sizeof(struct mem_section),
						 GFP_KERNEL, nid);
		if (!mem_section[root])
			return -ENOMEM;
	}
#endif
	return 0;
}

#define for_each_section(section, start, size)						\
	for (unsigned long nr = pfn_to_section_nr(PHYS_PFN(start)),			\
	     end = pfn_to_section_nr(PHYS_PFN((start) + (size) - 1));			\
	     nr <= end && ((section) = __nr_to_section(nr), true); nr++)

/**
 * mm_sections_present() - whether any section of a range is present
 * @start: in bytes
 * @size: in bytes
 *
 * Context: Any. Without mem_hotplug_lock the answer may be outdated at once.
 */
bool mm_sections_present(u64 start, u64 size)
{
	struct mem_section *section;

	for_each_section(section, start, size)
		if (present_section(section))
			return true;
	return false;
}

/**
 * mm_section_valid() - whether an address is in a section with a memmap
 * @address: physical address in bytes
 *
 * Context: mem_hotplug_lock held.
 */
bool mm_section_valid(u64 address)
{
	return valid_section(__pfn_to_section(PHYS_PFN(address)));
}

/**
 * mm_memmap_on_memory_pages() - length of a memory block's memmap, if the block
 *	can host it
 *
 * The conditions are those of mhp_supports_memmap_on_memory() in
 * mm/memory_hotplug.c, without the kernel parameter. The memmap must fill
 * complete PMDs, so that it shares none with a neighbour's, and complete
 * pageblocks, so that the rest of the block can come online.
 *
 * Return: pages, or 0 if a block of this system cannot host its memmap.
 */
unsigned long mm_memmap_on_memory_pages(void)
{
#ifdef CONFIG_MHP_MEMMAP_ON_MEMORY
	unsigned long block_pages = PHYS_PFN(memory_block_size_bytes());
	unsigned long memmap_size = block_pages * sizeof(struct page);
	unsigned long memmap_pages = PHYS_PFN(memmap_size);

	if (!IS_ENABLED(CONFIG_SPARSEMEM_VMEMMAP) ||
	    !IS_ALIGNED(memmap_size, PMD_SIZE) ||
	    !IS_ALIGNED(memmap_pages, pageblock_nr_pages) ||
	    memmap_pages >= block_pages)
		return 0;

	return memmap_pages;
#else
	return 0;
#endif
}

static void *required_symbol(const char *name)
{
	void *address = (void *)symbol_address(name);

	if (!address)
		pr_err("cannot call %s(): this kernel has no such function, or inlined it\n", name);
	return address;
}

/**
 * mm_internals_init() - find the kernel's internal functions
 *
 * Context: Process context, may sleep. After symbols_init().
 * Return: 0; -ENOENT if the kernel lacks a required one, which is named in the
 * log.
 */
int mm_internals_init(void)
{
	void *address;

#define FIND_REQUIRED(function)						\
	do {								\
		address = required_symbol(#function);			\
		if (!address)						\
			return -ENOENT;					\
		static_call_update(mm_##function, address);		\
	} while (0);
	MM_INTERNALS_REQUIRED(FIND_REQUIRED)

#define FIND_CONFIGURED(function)					\
	do {								\
		address = (void *)symbol_address(#function);		\
		if (address)						\
			static_call_update(mm_##function, address);	\
	} while (0);
	MM_INTERNALS_CONFIGURED(FIND_CONFIGURED)

	page_callback = (online_page_callback_t *)symbol_address("online_page_callback");
	if (!page_callback)
		pr_notice("this kernel is built without CONFIG_KALLSYMS_ALL: do not use a balloon driver of Hyper-V or Xen, it would keep pages of blocks that come online\n");
	return 0;
}
