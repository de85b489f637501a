/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory allocation that ends the command on failure
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGE_MEMORY_OR_DIE_H
#define TWOSTAGE_MEMORY_OR_DIE_H

#include <stdio.h>
#include <stdlib.h>

static inline void __attribute__((noreturn)) out_of_memory(void)
{
	fputs("twostage: out of memory\n", stderr);
	exit(1);
}

static inline void *realloc_or_die(void *memory, size_t count, size_t size)
{
	memory = reallocarray(memory, count, size);
	if (!memory)
		out_of_memory();
	return memory;
}

#endif /* TWOSTAGE_MEMORY_OR_DIE_H */
