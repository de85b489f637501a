// SPDX-License-Identifier: GPL-2.0-only
/*
 * Single words of memory that has no direct map, on s390
 *
 * sturg and lurag access a word by its real address, which needs no mapping
 * (ioremap() is for PCI). For absent memory they cause an addressing exception.
 * The address that is reported with it is that of the next instruction, so the
 * exception table has that one. Caches are coherent.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <linux/errno.h>

#include <asm/asm-extable.h>

#include "memory_word.h"

bool memory_word_allowed(u64 start, u64 size)
{
	return true;
}

void *memory_word_map(u64 address)
{
	return (void *)address;
}

void memory_word_unmap(void *word)
{
}

int memory_word_write(void *word, u64 value)
{
	int ret = -ENXIO;

	asm volatile("	sturg	%[value],%[word]\n"
		     "0:	lhi	%[ret],0\n"
		     "1:\n"
		     EX_TABLE(0b, 1b)
		     : [ret] "+d" (ret)
		     : [value] "d" (value), [word] "a" (word)
		     : "memory");
	return ret;
}

int memory_word_read(void *word, u64 *value)
{
	int ret = -ENXIO;

	asm volatile("	lurag	%[value],%[word]\n"
		     "0:	lhi	%[ret],0\n"
		     "1:\n"
		     EX_TABLE(0b, 1b)
		     : [ret] "+d" (ret), [value] "=&d" (*value)
		     : [word] "a" (word)
		     : "memory");
	return ret;
}
