/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between architectures, for x86
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_ARCH_H
#define _TWOSTAGE_ARCH_H

#include <linux/math.h>
#include <linux/mm.h>
#include <linux/ptrace.h>

/* The parameter that makes the kernel set up bounce buffers at boot */
#define ARCH_BOUNCE_BUFFER_PARAMETER "iommu=soft"

/* Whether PCI devices always reach memory through translation tables */
#define ARCH_PCI_ALWAYS_TRANSLATED false

/* More functions for the lists of mm_internals.h */
#define ARCH_INTERNALS(X)

/*
 * Whether memory notifiers have to be told the range of the whole block when it
 * goes offline, with the pages of its own memmap, although the core sets only
 * the pages behind these offline
 */
#define ARCH_OFFLINE_TELLS_WHOLE_BLOCK false

/**
 * arch_argument() - an argument of the call that a kprobe or ftrace has caught
 * @regs: registers at the entry of the function
 * @n: number of the argument, from 0
 */
static __always_inline unsigned long arch_argument(struct pt_regs *regs, unsigned int n)
{
	return regs_get_kernel_argument(regs, n);
}

/**
 * arch_page_table_pages() - the most pages that page tables of a new part of
 *	the direct map can take
 * @size: of that part in bytes
 *
 * init_memory_mapping() takes a page for each PMD table, and at most one for
 * each level above. It uses them without checking whether it got them
 * (alloc_low_pages() in arch/x86/mm/init.c).
 *
 * Return: that number; 0 on an architecture where an add fails cleanly if it
 * gets no page.
 */
static inline unsigned long arch_page_table_pages(u64 size)
{
	unsigned long pages = DIV_ROUND_UP(size, PUD_SIZE) + 3;

	/* debug_pagealloc unmaps single pages, so there are PTE tables. */
	if (debug_pagealloc_enabled())
		pages += DIV_ROUND_UP(size, PMD_SIZE);
	return pages;
}

/**
 * arch_prepare_hosted_memmap() - prepare memory in which a memmap is to be made
 * @start: physical address in bytes
 * @size: in bytes
 *
 * The memory is accessible, but has no direct map.
 */
static inline void arch_prepare_hosted_memmap(u64 start, u64 size)
{
}

#endif /* _TWOSTAGE_ARCH_H */
