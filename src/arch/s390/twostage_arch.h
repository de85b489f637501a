/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between architectures, for s390; arch/x86/twostage_arch.h
 * describes the functions
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_ARCH_H
#define _TWOSTAGE_ARCH_H

#include <linux/mm.h>
#include <linux/ptrace.h>

#include <asm/asm-extable.h>

#define ARCH_BOUNCE_BUFFER_PARAMETER "swiotlb=force"
/*
 * By zpci's translation tables. In older kernels the devices have no IOMMU
 * domain that dma.c could find.
 */
#define ARCH_PCI_ALWAYS_TRANSLATED true

#define ARCH_INTERNALS(X)

#define ARCH_OFFLINE_TELLS_WHOLE_BLOCK false

/*
 * regs_get_kernel_argument() calls a function that is not exported before 7.x.
 */
static __always_inline unsigned long arch_argument(struct pt_regs *regs, unsigned int n)
{
	return regs->gprs[2 + n];
}

/* vmem_add_mapping() fails cleanly if it gets no page, so needs no reserve. */
static inline unsigned long arch_page_table_pages(u64 size)
{
	return 0;
}

/* A command of the instruction ESSA (extract and set storage attributes) */
#define ARCH_ESSA_SET_STABLE 1

/*
 * With collaborative memory management (CMM), the page allocator sets the state
 * of a page that becomes free to "unused", and the hypervisor may discard its
 * contents; an allocation makes it "stable" again. If the block was online
 * before with its memmap elsewhere, the pages that are to host the memmap now
 * were free then and may still be "unused". They are not allocated, so make
 * them "stable". Without CMM the first instruction faults, which ends the loop.
 */
static inline void arch_prepare_hosted_memmap(u64 start, u64 size)
{
	unsigned long state;
	bool done = true;
	u64 address;

	for (address = start; done && address < start + size; address += PAGE_SIZE) {
		int failed = 1;

		asm volatile("	.insn	rrf,0xb9ab0000,%[state],%[address],%[command],0\n"
			     "0:	lhi	%[failed],0\n"
			     "1:\n"
			     EX_TABLE(0b, 1b)
			     : [state] "=&d" (state), [failed] "+d" (failed)
			     : [address] "a" (address), [command] "i" (ARCH_ESSA_SET_STABLE)
			     : "memory");
		done = !failed;
	}
}

#endif /* _TWOSTAGE_ARCH_H */
