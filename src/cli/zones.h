/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory in kernel zones, which the kernel can use for its own data
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGE_ZONES_H
#define TWOSTAGE_ZONES_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct zones - sizes of the zones of all nodes
 * @kernel: size of the kernel zones in bytes
 * @movable: size of ZONE_MOVABLE in bytes
 * @limit: what @movable should not exceed, in percent of @kernel
 */
struct zones {
	uint64_t kernel;
	uint64_t movable;
	uint64_t limit;
};

int zones_read(struct zones *zones);
uint64_t zones_ratio(const struct zones *zones);
void zones_warn(const struct zones *zones);

#endif /* TWOSTAGE_ZONES_H */
