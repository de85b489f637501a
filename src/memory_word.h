/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Single words of memory that has no direct map, to test whether it is there
 *
 * How that is done differs between architectures: src/arch/ARCH/memory_word.c
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_MEMORY_WORD_H
#define _TWOSTAGE_MEMORY_WORD_H

#include <linux/types.h>

/*
 * Whether words in the range [@start, @start + @size) may be accessed: an
 * access to absent memory does no harm, or the firmware says that the memory is
 * there.
 */
bool memory_word_allowed(u64 start, u64 size);

/*
 * Map the word at a physical address, a multiple of 8. May sleep. NULL if there
 * is no memory for the mapping.
 */
void *memory_word_map(u64 address);
void memory_word_unmap(void *word);

/*
 * Access the memory itself, not a cache: a cache would answer for memory that
 * is absent. -ENXIO if the hardware reports that there is none.
 */
int memory_word_write(void *word, u64 value);
int memory_word_read(void *word, u64 *value);

#endif /* _TWOSTAGE_MEMORY_WORD_H */
