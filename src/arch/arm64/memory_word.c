// SPDX-License-Identifier: GPL-2.0-only
/*
 * Single words of memory that has no direct map, on arm64
 *
 * An access to absent memory causes an external abort, which crashes the kernel
 * (do_sea() does not look for a fixup). So access only memory that the firmware
 * lists: in EFI's memory map, or, without EFI, in the device tree's nodes of
 * type "memory". mem= changes neither.
 *
 * The word is mapped by ioremap_page_range(), because nothing else works:
 * ioremap() refuses addresses in memblock, to which stage 1 adds the region;
 * memremap() returns an address in the direct map, which does not exist yet;
 * not all kernels have vmap_pfn().
 *
 * The mapping is cached, like the direct map. If the block was online before,
 * caches may still hold lines of it; an uncached mapping would not be coherent
 * with these. To reach the memory itself, clean and invalidate the line at each
 * access.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <linux/efi.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/of.h>
#include <linux/of_address.h>
#include <linux/vmalloc.h>

#include "memory_word.h"
#include "mm_internals.h"

static bool is_usable(const efi_memory_desc_t *descriptor)
{
	switch (descriptor->type) {
	case EFI_LOADER_CODE:
	case EFI_LOADER_DATA:
	case EFI_BOOT_SERVICES_CODE:
	case EFI_BOOT_SERVICES_DATA:
	case EFI_CONVENTIONAL_MEMORY:
		return descriptor->attribute & EFI_MEMORY_WB;
	default:
		return false;
	}
}

/*
 * efi_memory_end() and device_tree_memory_end(): end of the range that contains
 * an address, of those that the firmware lists; 0 if there is none
 */
static u64 efi_memory_end(u64 address)
{
	efi_memory_desc_t *descriptor;

	for_each_efi_memory_desc(descriptor) {
		const u64 size = descriptor->num_pages << EFI_PAGE_SHIFT;

		if (is_usable(descriptor) && address >= descriptor->phys_addr &&
		    address - descriptor->phys_addr < size)
			return descriptor->phys_addr + size;
	}
	return 0;
}

static u64 device_tree_memory_end(u64 address)
{
	struct device_node *node;
	struct resource memory;
	int i;

	for_each_node_by_type(node, "memory") {
		if (!of_device_is_available(node))
			continue;
		for (i = 0; !of_address_to_resource(node, i, &memory); i++) {
			if (address >= memory.start && address <= memory.end) {
				of_node_put(node);
				return memory.end + 1;
			}
		}
	}
	return 0;
}

static u64 memory_end(u64 address)
{
	if (efi_enabled(EFI_BOOT))
		return efi_enabled(EFI_MEMMAP) ? efi_memory_end(address) : 0;
	return device_tree_memory_end(address);
}

/* The device tree may reserve ranges for firmware: an access to them faults. */
static bool is_reserved(u64 start, u64 size)
{
	struct device_node *parent = of_find_node_by_path("/reserved-memory");
	struct device_node *node;
	struct resource memory;
	bool found = false;
	int i;

	for_each_available_child_of_node(parent, node)
		for (i = 0; !of_address_to_resource(node, i, &memory); i++)
			if (start <= memory.end && memory.start < start + size)
				found = true;
	of_node_put(parent);
	return found;
}

bool memory_word_allowed(u64 start, u64 size)
{
	u64 address, end;

	for (address = start; address < start + size; address = end) {
		end = memory_end(address);
		if (!end)
			return false;
	}
	return !is_reserved(start, size);
}

void *memory_word_map(u64 address)
{
	struct vm_struct *area = mm_call(get_vm_area)(PAGE_SIZE, VM_IOREMAP);
	unsigned long page;

	if (!area)
		return NULL;
	page = (unsigned long)area->addr;
	if (mm_call(ioremap_page_range)(page, page + PAGE_SIZE, ALIGN_DOWN(address, PAGE_SIZE),
					PAGE_KERNEL)) {
		free_vm_area(area);
		return NULL;
	}
	return area->addr + offset_in_page(address);
}

void memory_word_unmap(void *word)
{
	vunmap(PTR_ALIGN_DOWN(word, PAGE_SIZE));
}

static void clean_and_invalidate(const void *word)
{
	asm volatile("dc civac, %0\n\tdsb sy" : : "r" (word) : "memory");
}

int memory_word_write(void *word, u64 value)
{
	WRITE_ONCE(*(u64 *)word, value);
	clean_and_invalidate(word);
	return 0;
}

int memory_word_read(void *word, u64 *value)
{
	clean_and_invalidate(word);
	*value = READ_ONCE(*(u64 *)word);
	return 0;
}
