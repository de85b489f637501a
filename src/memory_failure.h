/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hardware-poisoned pages of populated blocks
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_MEMORY_FAILURE_H
#define _TWOSTAGE_MEMORY_FAILURE_H

#include "region_table.h"

#ifdef CONFIG_MEMORY_FAILURE
int memory_failure_init(void);
void memory_failure_exit(void);
bool block_has_hwpoison(const struct twostage_block *block);
#else
static inline int memory_failure_init(void)
{
	return 0;
}

static inline void memory_failure_exit(void)
{
}

static inline bool block_has_hwpoison(const struct twostage_block *block)
{
	return false;
}
#endif

#endif /* _TWOSTAGE_MEMORY_FAILURE_H */
