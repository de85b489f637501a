/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between architectures, for arm64; arch/x86/twostage_arch.h
 * describes the functions
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_ARCH_H
#define _TWOSTAGE_ARCH_H

#include <linux/io.h>
#include <linux/math.h>
#include <linux/mm.h>
#include <linux/ptrace.h>
#include <linux/vmalloc.h>

#define ARCH_BOUNCE_BUFFER_PARAMETER "swiotlb=force"
#define ARCH_PCI_ALWAYS_TRANSLATED false

/* For memory_word.c: not all kernels export them. */
#define ARCH_INTERNALS(X)		\
	X(get_vm_area)			\
	X(ioremap_page_range)

/*
 * From 7.x on, prevent_memory_remove_notifier() refuses an offline whose range
 * begins or ends within a leaf entry of the direct map or of the vmemmap. The
 * vmemmap of a block consists of whole PMDs, and the range behind the block's
 * own memmap begins within the first. No leaf is split, because the whole block
 * is removed.
 */
#define ARCH_OFFLINE_TELLS_WHOLE_BLOCK true

static __always_inline unsigned long arch_argument(struct pt_regs *regs, unsigned int n)
{
	return regs_get_kernel_argument(regs, n);
}

/*
 * By default (rodata=full) the direct map consists of single pages, so there is
 * a PTE table for each PMD. Kernels before 7.x stop with a BUG() if they get no
 * page for a table (__pgd_pgtable_alloc() in arch/arm64/mm/mmu.c).
 */
static inline unsigned long arch_page_table_pages(u64 size)
{
	return DIV_ROUND_UP(size, PMD_SIZE) + DIV_ROUND_UP(size, PUD_SIZE) + 3;
}

static inline void arch_prepare_hosted_memmap(u64 start, u64 size)
{
}

#endif /* _TWOSTAGE_ARCH_H */
