/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sets of numbers (addresses, memory blocks) as sorted lists of ranges
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGE_RANGES_H
#define TWOSTAGE_RANGES_H

#include <stddef.h>
#include <stdint.h>

/* @start and @end are inclusive, so that a range can reach the last address. */
struct range {
	uint64_t start;
	uint64_t end;
};

/* Sorted, without overlaps. { } is the empty set. */
struct ranges {
	struct range *range;
	size_t count;
};

void ranges_add(struct ranges *ranges, struct range range);
void ranges_subtract(struct ranges *ranges, struct range range);
void ranges_split(struct ranges *ranges, uint64_t boundary);
void ranges_free(struct ranges *ranges);

int parse_ranges(const char *text, struct ranges *ranges);
char *format_ranges(const struct ranges *ranges);

static inline uint64_t range_size(struct range range)
{
	return range.end - range.start + 1;
}

#endif /* TWOSTAGE_RANGES_H */
