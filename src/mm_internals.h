/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's internal functions, and every difference between kernels
 *
 * The rest of the module reads as if there were only one kernel. HAVE_... is
 * the result of a compile test in features/, run against the kernel that the
 * module is built for.
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_MM_INTERNALS_H
#define _TWOSTAGE_MM_INTERNALS_H

#include <linux/device.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/page-isolation.h>
#include <linux/range.h>
#include <linux/static_call.h>

#include "twostage_arch.h"

/* In mm/internal.h, which is private to mm/ */
void set_zone_contiguous(struct zone *zone);
#ifdef HAVE_MOVE_PFN_RANGE_ISOLATE
void memmap_init_range(unsigned long size, int nid, unsigned long zone, unsigned long start_pfn,
		       unsigned long zone_end_pfn, enum meminit_context context,
		       struct vmem_altmap *altmap, int migratetype, bool isolate_pageblock);
#else
void memmap_init_range(unsigned long size, int nid, unsigned long zone, unsigned long start_pfn,
		       unsigned long zone_end_pfn, enum meminit_context context,
		       struct vmem_altmap *altmap, int migratetype);
#endif
/*
 * Static in drivers/base/memory.c: "online" and "offline" of the bus of memory
 * blocks
 */
int memory_subsys_online(struct device *dev);
int memory_subsys_offline(struct device *dev);
/* Static in kernel/kprobes.c: a write to debugfs kprobes/enabled */
ssize_t write_enabled_file_bool(struct file *file, const char __user *text, size_t count,
				loff_t *pos);
/* Static in mm/page_owner.c: a read of debugfs page_owner */
ssize_t read_page_owner(struct file *file, char __user *text, size_t count, loff_t *pos);

/* Without one of these the module does not load. */
#define MM_INTERNALS_REQUIRED(X)	\
	X(online_pages)			\
	X(offline_pages)		\
	X(move_pfn_range_to_zone)	\
	X(arch_add_memory)		\
	X(arch_remove_memory)		\
	X(mhp_init_memmap_on_memory)	\
	X(mhp_deinit_memmap_on_memory)	\
	X(adjust_present_page_count)	\
	X(add_memory_resource)		\
	X(__add_memory)			\
	X(__remove_memory)		\
	X(mhp_supports_memmap_on_memory) \
	X(memory_group_find_by_id)	\
	X(walk_memory_blocks)		\
	X(for_each_memory_block)	\
	X(mem_hotplug_begin)		\
	X(mem_hotplug_done)		\
	X(lock_device_hotplug)		\
	X(unlock_device_hotplug)	\
	X(lock_device_hotplug_sysfs)	\
	X(device_online)		\
	X(device_offline)		\
	X(memory_subsys_online)		\
	X(memory_subsys_offline)	\
	ARCH_INTERNALS(X)

/*
 * Wrapped where the kernel has them: the file with the hook says whether the
 * module loads without.
 */
#define MM_INTERNALS_CONFIGURED(X)	\
	X(memory_failure)		\
	X(soft_offline_page)		\
	X(memmap_init_range)		\
	X(undo_isolate_page_range)	\
	X(write_enabled_file_bool)	\
	X(read_page_owner)

#define MM_INTERNALS(X)			\
	MM_INTERNALS_REQUIRED(X)	\
	MM_INTERNALS_CONFIGURED(X)

#define DECLARE_INTERNAL(function) DECLARE_STATIC_CALL(mm_##function, function);
MM_INTERNALS(DECLARE_INTERNAL)
#undef DECLARE_INTERNAL

/*
 * mm_call(function)(arguments) calls a function of the lists above, with the
 * types of its prototype in the kernel's headers. If the function is wrapped,
 * the original runs: the hook's wanted() recognises such a call and does not
 * redirect it.
 *
 * It is a static call, which is a direct call where the architecture can do
 * that: an indirect call of a function that the kernel never calls indirectly
 * faults where indirect branches are tracked (IBT).
 */
#define mm_call(function) static_call(mm_##function)

int mm_internals_init(void);

/* Functions whose prototypes or conditions differ between kernels */
int mm_online_pages(unsigned long pfn, unsigned long nr_pages, struct zone *zone,
		    struct memory_group *group, online_page_callback_t hand_out);
int mm_arch_add_memory(int nid, u64 start, u64 size, struct vmem_altmap *altmap);
void mm_arch_remove_memory(u64 start, u64 size, struct vmem_altmap *altmap);
unsigned long mm_altmap_leaked(const struct vmem_altmap *altmap);
int mm_init_memmap_on_memory(unsigned long pfn, unsigned long nr_pages, struct zone *zone);
bool mm_kernel_hosts_memmap(u64 size);
unsigned long mm_memmap_on_memory_pages(void);
int mm_group_nid(int group);
bool mm_dax_range(const struct device *dev, struct range *range);
struct memory_block *mm_find_memory_block(unsigned long pfn);
const struct bus_type *mm_memory_subsys(void);

/*
 * Sections: present means that the core has memory there, valid that they have
 * a memmap.
 */
int mm_sections_alloc(u64 start, u64 size, int nid);
bool mm_sections_present(u64 start, u64 size);
bool mm_section_valid(u64 address);

/*
 * The arguments of a call of move_pfn_range_to_zone() that is to be carried out
 * later
 */
struct zone_move {
	struct zone *zone;
	unsigned long start_pfn;
	unsigned long nr_pages;
	struct vmem_altmap *altmap;
	int migratetype;
	bool isolate_pageblock;
};

void mm_move_pfn_range_to_zone(const struct zone_move *move);

/*
 * The arguments of a call of memmap_init_range(), but for the range
 */
struct memmap_init {
	int nid;
	unsigned long zone;
	unsigned long zone_end_pfn;
	enum meminit_context context;
	struct vmem_altmap *altmap;
	int migratetype;
	bool isolate_pageblock;
};

void mm_memmap_init_range(const struct memmap_init *init, unsigned long pfn,
			  unsigned long nr_pages);

/*
 * The parameters of move_pfn_range_to_zone() and memmap_init_range() in this
 * kernel, for a wrapper's definition, and the structures that they make. One
 * change of the kernel added the last parameter to both.
 */
#ifdef HAVE_MOVE_PFN_RANGE_ISOLATE
#define MOVE_PFN_RANGE_PARAMETERS						\
	struct zone *zone, unsigned long start_pfn, unsigned long nr_pages,	\
	struct vmem_altmap *altmap, int migratetype, bool isolate_pageblock
#define MOVE_PFN_RANGE_ARGUMENTS						\
	{ zone, start_pfn, nr_pages, altmap, migratetype, isolate_pageblock }
#define MEMMAP_INIT_PARAMETERS							\
	unsigned long size, int nid, unsigned long zone, unsigned long start_pfn, \
	unsigned long zone_end_pfn, enum meminit_context context,		\
	struct vmem_altmap *altmap, int migratetype, bool isolate_pageblock
#define MEMMAP_INIT_ARGUMENTS							\
	{ nid, zone, zone_end_pfn, context, altmap, migratetype, isolate_pageblock }
#else
#define MOVE_PFN_RANGE_PARAMETERS						\
	struct zone *zone, unsigned long start_pfn, unsigned long nr_pages,	\
	struct vmem_altmap *altmap, int migratetype
#define MOVE_PFN_RANGE_ARGUMENTS						\
	{ zone, start_pfn, nr_pages, altmap, migratetype, false }
#define MEMMAP_INIT_PARAMETERS							\
	unsigned long size, int nid, unsigned long zone, unsigned long start_pfn, \
	unsigned long zone_end_pfn, enum meminit_context context,		\
	struct vmem_altmap *altmap, int migratetype
#define MEMMAP_INIT_ARGUMENTS							\
	{ nid, zone, zone_end_pfn, context, altmap, migratetype, false }
#endif

/*
 * The parameters of arch_remove_memory() in this kernel, for a wrapper's
 * definition
 */
#ifdef HAVE_ARCH_REMOVE_MEMORY_PGMAP
#define ARCH_REMOVE_MEMORY_PARAMETERS						\
	u64 start, u64 size, struct vmem_altmap *altmap, struct dev_pagemap *pgmap
#else
#define ARCH_REMOVE_MEMORY_PARAMETERS						\
	u64 start, u64 size, struct vmem_altmap *altmap
#endif

/*
 * The same of undo_isolate_page_range(), which lost one together with
 * move_pfn_range_to_zone()
 */
#ifdef HAVE_MOVE_PFN_RANGE_ISOLATE
#define UNDO_ISOLATE_PAGE_RANGE_PARAMETERS					\
	unsigned long start_pfn, unsigned long end_pfn
#define UNDO_ISOLATE_PAGE_RANGE_ARGUMENTS start_pfn, end_pfn
#else
#define UNDO_ISOLATE_PAGE_RANGE_PARAMETERS					\
	unsigned long start_pfn, unsigned long end_pfn, int migratetype
#define UNDO_ISOLATE_PAGE_RANGE_ARGUMENTS start_pfn, end_pfn, migratetype
#endif

/* The first parameter of a bus attribute's functions. */
#ifdef HAVE_BUS_ATTRIBUTE_CONST
typedef const struct bus_type bus_attribute_bus;
#else
typedef struct bus_type bus_attribute_bus;
#endif

/*
 * A binary attribute, as its functions get it, and the start of a definition of
 * a group's list of them.
 */
#ifdef HAVE_BIN_ATTRIBUTE_CONST
typedef const struct bin_attribute binary_attribute;
#define BINARY_ATTRIBUTES(name) const struct bin_attribute *const name[]
#else
typedef struct bin_attribute binary_attribute;
#define BINARY_ATTRIBUTES(name) struct bin_attribute *name[]
#endif

/* Flags of a workqueue whose works run on the CPU that they are queued on */
#ifdef HAVE_WORKQUEUE_PERCPU
#define MM_WQ_PERCPU WQ_PERCPU
#else
#define MM_WQ_PERCPU 0
#endif

#endif /* _TWOSTAGE_MM_INTERNALS_H */
