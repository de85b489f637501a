// SPDX-License-Identifier: GPL-2.0-only
/*
 * Parsing and formatting of sizes and counts
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "size.h"

static const char suffixes[] = "KMGTPE";

/* The suffix (none, B, K, KiB, M, ...) as a power of two; -EINVAL if unknown */
static int suffix_shift(const char *suffix)
{
	const char *found;

	if (!*suffix || !strcasecmp(suffix, "B"))
		return 0;
	found = strchr(suffixes, toupper((unsigned char)*suffix));
	if (!found)
		return -EINVAL;
	/* Refuse KB: it may stand for 1000 bytes. */
	if (suffix[1] && strcasecmp(suffix + 1, "iB"))
		return -EINVAL;
	return 10 * (int)(found - suffixes + 1);
}

/*
 * Convert the digits after the decimal point ("5" of "1.5G") to bytes. The
 * result must be a whole number of bytes.
 */
static int parse_fraction(const char *digits, int length, int shift, uint64_t *bytes)
{
	unsigned __int128 numerator = 0, denominator = 1;
	int i;

	/* 18 digits, shifted by up to 60 bits, fit into 128 bits. */
	if (!length || length > 18)
		return -EINVAL;
	for (i = 0; i < length; i++) {
		numerator = numerator * 10 + (digits[i] - '0');
		denominator *= 10;
	}
	numerator <<= shift;
	*bytes = numerator / denominator;
	return numerator % denominator ? -EINVAL : 0;
}

/**
 * parse_size() - parse an address or a size
 * @text: decimal, 0x... or 0..., with an optional suffix K, M, G, T, P, E or
 *	KiB, MiB, ..., upper or lower case; a decimal number may have a
 *	fraction (1.5G)
 * @bytes: the result
 *
 * Return: 0, -EINVAL if the text has no such format, -ERANGE if the result does
 * not fit into 64 bits.
 */
int parse_size(const char *text, uint64_t *bytes)
{
	uint64_t number, fraction = 0;
	const char *digits = NULL;
	int length = 0;
	int shift;
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, 0);
	if (errno)
		return -ERANGE;

	/* Octal and hexadecimal numbers have no fractions. */
	if (*end == '.' && (text[0] != '0' || end == text + 1)) {
		digits = end + 1;
		length = strspn(digits, "0123456789");
		end += 1 + length;
	}
	shift = suffix_shift(end);
	if (shift < 0 || (digits && parse_fraction(digits, length, shift, &fraction)))
		return -EINVAL;

	if (number > UINT64_MAX >> shift)
		return -ERANGE;
	*bytes = number << shift;
	return __builtin_add_overflow(*bytes, fraction, bytes) ? -ERANGE : 0;
}

/**
 * parse_count() - parse a decimal number
 * @text: decimal
 * @count: the result
 *
 * Return: 0, -EINVAL or -ERANGE.
 */
int parse_count(const char *text, uint64_t *count)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	*count = strtoull(text, &end, 10);
	if (*end)
		return -EINVAL;
	return errno ? -ERANGE : 0;
}

/**
 * format_size() - format a size for users, as lsmem does: 128M, 1.5G
 * @text: the result
 * @bytes: the size
 */
const char *format_size(char text[SIZE_TEXT], uint64_t bytes)
{
	unsigned int whole, tenths;
	int unit = 0;

	while (unit < 6 && bytes >> (10 * (unit + 1)))
		unit++;
	if (!unit) {
		snprintf(text, SIZE_TEXT, "%uB", (unsigned int)bytes);
		return text;
	}

	/* Round to one decimal. 1024 of a unit become 1 of the next unit. */
	whole = bytes >> (10 * unit);
	tenths = ((bytes >> (10 * (unit - 1)) & 1023) * 10 + 512) / 1024;
	if (tenths == 10) {
		whole++;
		tenths = 0;
	}
	if (whole == 1024 && unit < 6) {
		whole = 1;
		unit++;
	}
	if (tenths)
		snprintf(text, SIZE_TEXT, "%u.%u%c", whole, tenths, suffixes[unit - 1]);
	else
		snprintf(text, SIZE_TEXT, "%u%c", whole, suffixes[unit - 1]);
	return text;
}

/**
 * format_exact_size() - format a size for parse_size(), without rounding:
 *	1152M, not 1.1G
 * @text: the result
 * @bytes: the size
 */
const char *format_exact_size(char text[SIZE_TEXT], uint64_t bytes)
{
	static const char *const units[] = { "", "K", "M", "G", "T", "P", "E" };
	int unit = 0;

	while (unit < 6 && bytes && !(bytes & 1023)) {
		bytes >>= 10;
		unit++;
	}
	snprintf(text, SIZE_TEXT, "%llu%s", (unsigned long long)bytes, units[unit]);
	return text;
}
