/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's internal functions that are called or wrapped, and every difference between kernels
 *
 * The rest of the module reads as if one kernel existed. A HAVE_... macro is the result of a compile
 * test in features/, run against the kernel that is built for.
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_MM_INTERNALS_H
#define _TWOSTAGE_MM_INTERNALS_H

#include <linux/device.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/memremap.h>
#include <linux/mmzone.h>

/* Of mm/internal.h, which nobody else sees */
void set_zone_contiguous(struct zone *zone);

int mm_internals_init(void);
void mm_internals_exit(void);
unsigned long mm_lookup_symbol(const char *name);

/* The functions themselves: of those that are wrapped, @wanted of the hook tells such a call from others. */
int mm_online_pages(unsigned long pfn, unsigned long nr_pages, struct zone *zone,
		    struct memory_group *group);
int mm_offline_pages(unsigned long pfn, unsigned long nr_pages, struct zone *zone,
		     struct memory_group *group);
int mm_memory_failure(unsigned long pfn, int flags);
bool mm_memory_failure_busy(void);
int mm_soft_offline_page(unsigned long pfn, int flags);
int mm_unpoison_memory(unsigned long pfn);
int mm_broken_page_mapped(unsigned long pfn, unsigned long nr_pages);
int mm_set_mce_nospec(unsigned long pfn);
void mm_clear_mce_nospec(unsigned long pfn, unsigned long nr_pages);
int mm_memory_subsys_online(struct device *dev);
int mm_memory_subsys_offline(struct device *dev);
ssize_t mm_write_kprobes_enabled(struct file *file, const char __user *text, size_t count, loff_t *pos);
ssize_t mm_read_page_owner(struct file *file, char __user *text, size_t count, loff_t *pos);
int mm_arch_add_memory(int nid, u64 start, u64 size, struct vmem_altmap *altmap);
void mm_arch_remove_memory(u64 start, u64 size, struct vmem_altmap *altmap);
int mm_init_memmap_on_memory(unsigned long pfn, unsigned long nr_pages, struct zone *zone);
void mm_deinit_memmap_on_memory(unsigned long pfn, unsigned long nr_pages);
void mm_adjust_present_page_count(struct page *page, struct memory_group *group, long nr_pages);
int mm_add_memory_resource(int nid, struct resource *resource, mhp_t flags);
int mm_add_memory(int nid, u64 start, u64 size, mhp_t flags);
void mm_remove_memory(u64 start, u64 size);
bool mm_kernel_hosts_memmap(u64 size);
int mm_group_nid(int group);
void mm_hotplug_begin(void);
void mm_hotplug_done(void);
void mm_forget_false_signal(void);
void mm_lock_device_hotplug(void);
int mm_lock_device_hotplug_timeout(unsigned int seconds);
void mm_unlock_device_hotplug(void);
int mm_device_online(struct device *dev);
int mm_device_offline(struct device *dev);
struct memory_block *mm_find_memory_block(unsigned long pfn);
const struct bus_type *mm_memory_subsys(void);

/**
 * struct zone_move - a call of move_pfn_range_to_zone(), to be carried out later
 *
 * The members are that function's arguments.
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
 * The parameters of move_pfn_range_to_zone() in this kernel, for a wrapper's definition, and the
 * struct zone_move that they make.
 */
#ifdef HAVE_MOVE_PFN_RANGE_ISOLATE
#define MOVE_PFN_RANGE_PARAMETERS						\
	struct zone *zone, unsigned long start_pfn, unsigned long nr_pages,	\
	struct vmem_altmap *altmap, int migratetype, bool isolate_pageblock
#define MOVE_PFN_RANGE_ARGUMENTS						\
	{ zone, start_pfn, nr_pages, altmap, migratetype, isolate_pageblock }
#else
#define MOVE_PFN_RANGE_PARAMETERS						\
	struct zone *zone, unsigned long start_pfn, unsigned long nr_pages,	\
	struct vmem_altmap *altmap, int migratetype
#define MOVE_PFN_RANGE_ARGUMENTS						\
	{ zone, start_pfn, nr_pages, altmap, migratetype, false }
#endif

/* The parameters of arch_remove_memory() in this kernel, likewise. */
#ifdef HAVE_ARCH_REMOVE_MEMORY_PGMAP
#define ARCH_REMOVE_MEMORY_PARAMETERS						\
	u64 start, u64 size, struct vmem_altmap *altmap, struct dev_pagemap *pgmap
#else
#define ARCH_REMOVE_MEMORY_PARAMETERS						\
	u64 start, u64 size, struct vmem_altmap *altmap
#endif

/* The first parameter of a bus attribute's functions. */
#ifdef HAVE_BUS_ATTRIBUTE_CONST
typedef const struct bus_type bus_attribute_bus;
#else
typedef struct bus_type bus_attribute_bus;
#endif

/* Sections: present means that the core has memory there, valid that they have a memmap. */
int mm_sections_alloc(u64 start, u64 size, int nid);
bool mm_sections_present(u64 start, u64 size);
bool mm_section_valid(u64 address);

unsigned long mm_memmap_on_memory_pages(void);
void mm_wait_for_memmap_readers(void);

#endif /* _TWOSTAGE_MM_INTERNALS_H */
