// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sets of numbers (addresses, memory blocks) as sorted lists of ranges
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory_or_die.h"
#include "ranges.h"

static void insert_at(struct ranges *ranges, size_t index, struct range range)
{
	ranges->range = realloc_or_die(ranges->range, ranges->count + 1, sizeof(*ranges->range));
	memmove(&ranges->range[index + 1], &ranges->range[index],
		(ranges->count - index) * sizeof(*ranges->range));
	ranges->range[index] = range;
	ranges->count++;
}

static void delete_at(struct ranges *ranges, size_t index)
{
	ranges->count--;
	memmove(&ranges->range[index], &ranges->range[index + 1],
		(ranges->count - index) * sizeof(*ranges->range));
}

/**
 * ranges_add() - add a range to the set, merged with ranges that it overlaps or
 *	adjoins
 * @ranges: the set
 * @range: the range
 */
void ranges_add(struct ranges *ranges, struct range range)
{
	size_t i = 0;

	while (i < ranges->count && range.start && ranges->range[i].end < range.start - 1)
		i++;
	while (i < ranges->count &&
	       (range.end == UINT64_MAX || ranges->range[i].start <= range.end + 1)) {
		if (ranges->range[i].start < range.start)
			range.start = ranges->range[i].start;
		if (ranges->range[i].end > range.end)
			range.end = ranges->range[i].end;
		delete_at(ranges, i);
	}
	insert_at(ranges, i, range);
}

/**
 * ranges_subtract() - remove a range from the set
 * @ranges: the set
 * @range: the range
 */
void ranges_subtract(struct ranges *ranges, struct range range)
{
	size_t i = 0;

	while (i < ranges->count) {
		struct range *this = &ranges->range[i];

		if (this->end < range.start || this->start > range.end) {
			i++;
		} else if (this->start < range.start && this->end > range.end) {
			struct range above = { range.end + 1, this->end };

			this->end = range.start - 1;
			insert_at(ranges, i + 1, above);
			i += 2;
		} else if (this->start < range.start) {
			this->end = range.start - 1;
			i++;
		} else if (this->end > range.end) {
			this->start = range.end + 1;
			i++;
		} else {
			delete_at(ranges, i);
		}
	}
}

/**
 * ranges_split() - split the range that contains a boundary
 * @ranges: the set
 * @boundary: first number of the second part
 */
void ranges_split(struct ranges *ranges, uint64_t boundary)
{
	size_t i;

	for (i = 0; i < ranges->count; i++) {
		struct range *this = &ranges->range[i];

		if (this->start < boundary && boundary <= this->end) {
			struct range above = { boundary, this->end };

			this->end = boundary - 1;
			insert_at(ranges, i + 1, above);
			return;
		}
	}
}

/**
 * ranges_free() - free the ranges, which leaves the empty set
 * @ranges: the set
 */
void ranges_free(struct ranges *ranges)
{
	free(ranges->range);
	*ranges = (struct ranges){ 0 };
}

static int parse_number(const char **text, uint64_t *number)
{
	char *end;

	if (!isdigit((unsigned char)**text))
		return -EINVAL;
	errno = 0;
	*number = strtoull(*text, &end, 10);
	if (errno)
		return -ERANGE;
	*text = end;
	return 0;
}

/**
 * parse_ranges() - parse numbers and ranges, as lsmem prints them for blocks
 * @text: "32-35" or "32,40-41"
 * @ranges: the result
 *
 * Return: 0; or -EINVAL or -ERANGE, with an empty result.
 */
int parse_ranges(const char *text, struct ranges *ranges)
{
	struct range range;
	int ret;

	*ranges = (struct ranges){ 0 };
	for (;; text++) {
		ret = parse_number(&text, &range.start);
		if (ret)
			break;
		range.end = range.start;
		if (*text == '-') {
			text++;
			ret = parse_number(&text, &range.end);
			if (ret)
				break;
		}
		ret = -EINVAL;
		if (range.end < range.start || (*text && *text != ','))
			break;
		ranges_add(ranges, range);
		if (!*text)
			return 0;
	}
	ranges_free(ranges);
	return ret;
}

/**
 * format_ranges() - the inverse of parse_ranges()
 * @ranges: the set
 *
 * Return: the text; the caller frees it.
 */
char *format_ranges(const struct ranges *ranges)
{
	char *text = NULL;
	size_t size, i;
	FILE *stream;

	stream = open_memstream(&text, &size);
	if (!stream)
		out_of_memory();
	for (i = 0; i < ranges->count; i++) {
		fprintf(stream, "%s%" PRIu64, i ? "," : "", ranges->range[i].start);
		if (ranges->range[i].end != ranges->range[i].start)
			fprintf(stream, "-%" PRIu64, ranges->range[i].end);
	}
	if (fclose(stream))
		out_of_memory();
	return text;
}
