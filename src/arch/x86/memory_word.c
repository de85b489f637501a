// SPDX-License-Identifier: GPL-2.0-only
/*
 * Single words of memory that has no direct map, on x86
 *
 * At absent memory the hardware drops writes, and reads return ones, so any
 * address may be tried. The mapping is not cached.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <linux/io.h>

#include "memory_word.h"

bool memory_word_allowed(u64 start, u64 size)
{
	return true;
}

void *memory_word_map(u64 address)
{
	return (__force void *)ioremap_wc(address, sizeof(u64));
}

void memory_word_unmap(void *word)
{
	iounmap((__force void __iomem *)word);
}

int memory_word_write(void *word, u64 value)
{
	writeq(value, (__force void __iomem *)word);
	return 0;
}

int memory_word_read(void *word, u64 *value)
{
	*value = readq((__force void __iomem *)word);
	return 0;
}
