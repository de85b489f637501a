/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tables, with the output options of lsmem
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGE_TABLE_H
#define TWOSTAGE_TABLE_H

#include <getopt.h>
#include <libsmartcols.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ranges.h"

enum column_kind {
	COLUMN_TEXT,
	COLUMN_NUMBER,
	COLUMN_SIZE,
	COLUMN_BOOLEAN,
};

/* An available column; @by_default: shown without --output and --output-all */
struct column {
	const char *name;
	enum column_kind kind;
	bool by_default;
	const char *help;
};

/* The output options of the command line */
struct table_options {
	bool json;
	bool raw;
	bool bytes;
	bool noheadings;
	bool output_all;
	const char *output;
};

struct table {
	const struct table_options *options;
	const struct column *columns;
	size_t count;
	/* Position in @table of each of @columns; -1 if it is not shown */
	int *position;
	struct libscols_table *table;
	struct libscols_line *line;
};

enum { OPTION_OUTPUT_ALL = 256 };

#define TABLE_SHORT_OPTIONS "Jrbno:"
#define TABLE_LONG_OPTIONS						\
	{ "json", no_argument, NULL, 'J' },				\
	{ "raw", no_argument, NULL, 'r' },				\
	{ "bytes", no_argument, NULL, 'b' },				\
	{ "noheadings", no_argument, NULL, 'n' },			\
	{ "output", required_argument, NULL, 'o' },			\
	{ "output-all", no_argument, NULL, OPTION_OUTPUT_ALL }
#define TABLE_HELP							\
	"  -J, --json             use JSON output format\n"		\
	"  -r, --raw              use raw output format\n"		\
	"  -b, --bytes            print sizes in bytes\n"		\
	"  -n, --noheadings       don't print headings\n"		\
	"  -o, --output COLUMNS   output columns; +COLUMNS adds to the default ones\n" \
	"      --output-all       output all columns\n"

bool table_option(int option, struct table_options *options);
void table_help(const struct column *columns, size_t count);

int table_begin(struct table *table, const char *command, const char *name,
		const struct column *columns, size_t count, const struct table_options *options);
bool table_shows(const struct table *table, size_t column);
void table_line(struct table *table);
void table_set(struct table *table, size_t column, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void table_set_size(struct table *table, size_t column, uint64_t bytes);
void table_set_addresses(struct table *table, size_t column, struct range range);
void table_set_blocks(struct table *table, size_t column, struct range ids);
int table_end(struct table *table);
void table_drop(struct table *table);

#endif /* TWOSTAGE_TABLE_H */
