// SPDX-License-Identifier: GPL-2.0-only
/*
 * Populated memory in /proc/iomem
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

int ram_entries(struct segment *entries, int count)
{
	char *iomem = read_whole("/proc/iomem"), *line, *rest = iomem;
	uint64_t first, last;
	int found = 0;

	while ((line = strsep(&rest, "\n"))) {
		if (!strstr(line, " : System RAM (twostage)") || found == count ||
		    sscanf(line, "%" SCNx64 "-%" SCNx64, &first, &last) != 2)
			continue;
		entries[found++] = (struct segment){ .start = first, .size = last + 1 - first };
	}
	free(iomem);
	return found;
}

int ram_runs(unsigned int blocks)
{
	return __builtin_popcount(blocks & ~(blocks << 1));
}

bool ram_is(uint64_t start, unsigned int blocks)
{
	struct segment entries[33];
	int count = ram_entries(entries, ARRAY_SIZE(entries)), i, bit = 0;
	bool same = count == ram_runs(blocks);

	for (i = 0; same && i < count; i++) {
		const int first = bit + __builtin_ctz(blocks >> bit);

		for (bit = first; bit < 32 && blocks >> bit & 1;)
			bit++;
		same = entries[i].start == start + first * block_size &&
		       entries[i].size == (bit - first) * block_size;
	}
	for (i = 0; !same && i < count; i++)
		diag("/proc/iomem: [%#" PRIx64 "-%#" PRIx64 "]", entries[i].start,
		     entries[i].start + entries[i].size - 1);
	if (!same)
		diag("expected one entry for each run of adjacent blocks in the mask %#x", blocks);
	return same;
}
