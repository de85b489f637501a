// SPDX-License-Identifier: GPL-2.0-only
/*
 * parse.c: what is written to attributes, and given as parameters
 *
 * Copyright (C) 2026 the twostage developers
 */
#include "stubs.h"

#include "parse.h"
#include "unit.h"

static void test_words(void)
{
	char text[] = "  0x1000\t\t2G\n node=1\n\t";
	char blank[] = " \t\n", empty[] = "", one[] = "word";
	char *rest = text;
	bool passed;

	passed = !strcmp(parse_word(&rest), "0x1000") && !strcmp(parse_word(&rest), "2G") &&
		 !strcmp(parse_word(&rest), "node=1");
	ok(passed, "words are split at any number of blanks, tabs and newlines");
	ok(!parse_word(&rest) && !parse_word(&rest), "after the last word there are no more");

	rest = blank;
	ok(!parse_word(&rest), "a text of blanks has no word");
	rest = empty;
	ok(!parse_word(&rest), "an empty text has no word");
	rest = one;
	ok(!strcmp(parse_word(&rest), "word") && !rest, "a text without blanks is one word");
}

static void test_valid_sizes(void)
{
	static const struct {
		const char *text;
		u64 value;
	} cases[] = {
		{ "0", 0 }, { "1", 1 }, { "4096", 4096 }, { "010", 8 }, { "0x10", 16 },
		{ "0X1f", 31 },
		{ "1K", 1ULL << 10 }, { "1k", 1ULL << 10 }, { "3m", 3ULL << 20 }, { "2G",
		2ULL << 30 },
		{ "2t", 2ULL << 40 }, { "5P", 5ULL << 50 }, { "1E", 1ULL << 60 }, { "15e",
		15ULL << 60 },
		{ "0K", 0 }, { "0x1K", 1ULL << 10 }, { "010K", 8ULL << 10 }, { "0xfG",
		15ULL << 30 },
		/* A digit, not a suffix */
		{ "0x1e", 0x1e }, { "0x1E", 0x1e }, { "0XE", 0xe },
		{ "18446744073709551615", ~0ULL }, { "0xffffffffffffffff", ~0ULL },
		{ "0x3fffffffffffffK", 0x3fffffffffffffULL << 10 }, { "16777215T",
		16777215ULL << 40 },
		{ "01777777777777777777777", ~0ULL },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		u64 value = 42;
		bool passed;

		passed = same(parse_size(cases[i].text, &value), 0);
		ok(same(value, cases[i].value) && passed, "\"%s\" is a size", cases[i].text);
	}
}

static void test_invalid_sizes(void)
{
	static const char * const cases[] = {
		"", " ", " 1", "1 ", "-1", "+1", "K", "0x", "0xK", "xK", "1KK", "1KB",
		"1.5G", "1,5G", "G1",
		"08", "0b1", "1e1", "eE", "0xg", "128M-", "1\t", "0x1Z",
		/* Too large, by one and by far */
		"18446744073709551616", "0x10000000000000000", "16E", "16777216T",
		"0x40000000000000K",
		"99999999999999999999999", "999999999999999999999999",
		"1000000000000000000000000000",
		"00000000000000000000000000001",
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		u64 value;

		ok(same(parse_size(cases[i], &value), -EINVAL), "\"%s\" is not a size", cases[i]);
	}
}

static void test_each_suffix(void)
{
	static const char suffixes[] = "KMGTPE";
	unsigned int bit, suffix;
	bool passed = true;

	for (bit = 0; bit < 64; bit++)
		for (suffix = 0; suffix < 5; suffix++) {
			const unsigned int shift = 10 * (suffix + 1);
			char text[40];
			u64 value = 0;
			int ret;

			snprintf(text, sizeof(text), "%#llx%c", 1ULL << bit, suffixes[suffix]);
			ret = parse_size(text, &value);
			if (bit + shift < 64 ? ret || value != 1ULL << (bit + shift) : ret != -EINVAL)
				passed = same(ret, 0) && same(value, 1ULL << (bit + shift));
		}
	ok(passed,
	   "each power of two with each suffix is its product, or refused if that is too large");
}

static void test_nodes(void)
{
	static const char * const invalid[] = {
		"", "-1", "+1", " 1", "1 ", "0x1", "1K", "node1", "2147483648", "4294967296",
		"99999999999999999999",
	};
	unsigned int i;
	bool passed;
	int nid = 42;

	passed = !parse_node("0", &nid) && nid == 0;
	passed = !parse_node("7", &nid) && nid == 7 && passed;
	passed = !parse_node("010", &nid) && nid == 10 && passed;
	passed = !parse_node("2147483647", &nid) && nid == 2147483647 && passed;
	ok(passed, "decimal digits are the number of a node");
	for (i = 0; i < ARRAY_SIZE(invalid); i++)
		ok(parse_node(invalid[i], &nid), "\"%s\" is not the number of a node", invalid[i]);
}

void test_parse(void)
{
	test_words();
	test_valid_sizes();
	test_invalid_sizes();
	test_each_suffix();
	test_nodes();
}
