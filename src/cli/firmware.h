/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * RAM as the firmware reports it, and what the kernel uses of it
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGE_FIRMWARE_H
#define TWOSTAGE_FIRMWARE_H

#include <stdbool.h>
#include <stdio.h>

#include "ranges.h"

/**
 * struct iomem_line - a line of /proc/iomem
 * @range: physical addresses in bytes
 * @depth: level of nesting, 0 for the outermost
 * @name: name of the resource
 */
struct iomem_line {
	struct range range;
	unsigned int depth;
	char name[64];
};

bool parse_iomem_line(const char *text, struct iomem_line *line);
int iomem_subtract_claimed(FILE *iomem, struct ranges *unused);
void dax_subtract(struct ranges *unused);
int firmware_ram(struct ranges *ram);
struct range whole_blocks(struct range range, uint64_t block_size);

#endif /* TWOSTAGE_FIRMWARE_H */
