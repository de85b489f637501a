/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Parameters of the kernel command line that depend on the architecture
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGE_ARCHITECTURE_H
#define TWOSTAGE_ARCHITECTURE_H

/* The parameter that makes the kernel set up bounce buffers at boot */
#if defined(__x86_64__) || defined(__i386__)
#define BOUNCE_BUFFERS_PARAMETER "iommu=soft"
#else
#define BOUNCE_BUFFERS_PARAMETER "swiotlb=force"
#endif

/* The one that keeps memory unused */
#if defined(__x86_64__) || defined(__i386__)
#define UNUSED_MEMORY_PARAMETER "memmap=SIZE$START"
#else
#define UNUSED_MEMORY_PARAMETER "mem=SIZE"
#endif

#endif /* TWOSTAGE_ARCHITECTURE_H */
