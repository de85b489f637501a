/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How much memory the kernel can use for itself
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGE_ZONES_H
#define TWOSTAGE_ZONES_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct zones - memory of all nodes by what it can be used for
 * @kernel: size of the kernel zones in bytes
 * @movable: size of ZONE_MOVABLE in bytes
 * @limit: how much larger than @kernel @movable should be at most, in percent
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
