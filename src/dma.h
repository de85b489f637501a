/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether the devices in use can reach memory
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_DMA_H
#define _TWOSTAGE_DMA_H

#include "region_table.h"

int dma_check_add(u64 start, u64 size);
void dma_added(u64 start, u64 size);
int dma_check_online(const struct twostage_block *block);

int dma_init(void);
void dma_exit(void);

#endif /* _TWOSTAGE_DMA_H */
