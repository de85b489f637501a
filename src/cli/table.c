// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tables, with the output options of lsmem
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "errors.h"
#include "memory_or_die.h"
#include "size.h"
#include "table.h"

/**
 * table_option() - handle an output option
 * @option: value that getopt_long() returned
 * @options: the output options so far
 *
 * Return: whether it was an output option.
 */
bool table_option(int option, struct table_options *options)
{
	switch (option) {
	case 'J':
		options->json = true;
		return true;
	case 'r':
		options->raw = true;
		return true;
	case 'b':
		options->bytes = true;
		return true;
	case 'n':
		options->noheadings = true;
		return true;
	case 'o':
		options->output = optarg;
		return true;
	case OPTION_OUTPUT_ALL:
		options->output_all = true;
		return true;
	}
	return false;
}

/**
 * table_help() - print the available columns
 * @columns: the columns
 * @count: number of columns
 */
void table_help(const struct column *columns, size_t count)
{
	int width = 0;
	size_t i;

	for (i = 0; i < count; i++)
		if ((int)strlen(columns[i].name) > width)
			width = strlen(columns[i].name);
	printf("\nAvailable output columns (* by default):\n");
	for (i = 0; i < count; i++)
		printf("  %*s %c %s\n", width, columns[i].name, columns[i].by_default ? '*' : ' ',
		       columns[i].help);
}

static int find_column(const struct table *table, const char *name, size_t length)
{
	size_t i;

	for (i = 0; i < table->count; i++)
		if (strlen(table->columns[i].name) == length &&
		    !strncasecmp(table->columns[i].name, name, length))
			return i;
	return -1;
}

static int json_type(const struct column *column, const struct table_options *options)
{
	switch (column->kind) {
	case COLUMN_NUMBER:
		return SCOLS_JSON_NUMBER;
	case COLUMN_SIZE:
		return options->bytes ? SCOLS_JSON_NUMBER : SCOLS_JSON_STRING;
	case COLUMN_BOOLEAN:
		return SCOLS_JSON_BOOLEAN;
	case COLUMN_TEXT:
		break;
	}
	return SCOLS_JSON_STRING;
}

static void show_column(struct table *table, size_t index)
{
	const struct column *column = &table->columns[index];
	struct libscols_column *shown;

	if (table->position[index] >= 0)
		return;
	shown = scols_table_new_column(table->table, column->name, 0,
				       column->kind == COLUMN_NUMBER || column->kind == COLUMN_SIZE ?
				       SCOLS_FL_RIGHT : 0);
	if (!shown || scols_column_set_json_type(shown, json_type(column, table->options)))
		out_of_memory();
	table->position[index] = scols_table_get_ncols(table->table) - 1;
}

/* --output is "NAME,NAME" or "+NAME,NAME". */
static int choose_columns(struct table *table, const char *command)
{
	const struct table_options *options = table->options;
	const char *names = options->output;
	size_t i, length;
	int column;

	if (options->output_all || !names || *names == '+')
		for (i = 0; i < table->count; i++)
			if (options->output_all || table->columns[i].by_default)
				show_column(table, i);
	if (!names)
		return 0;

	for (names += *names == '+'; ; names += length + 1) {
		length = strcspn(names, ",");
		column = find_column(table, names, length);
		if (column < 0)
			return usage_error(command, "unknown output column \"%.*s\"", (int)length,
					   names);
		show_column(table, column);
		if (!names[length])
			return 0;
	}
}

/**
 * table_begin() - start a table
 * @table: the table
 * @command: the subcommand
 * @name: name of the array in JSON output
 * @columns: the available columns
 * @count: number of columns
 * @options: the output options
 *
 * Return: 0; or an exit status, after printing an error.
 */
int table_begin(struct table *table, const char *command, const char *name,
		const struct column *columns, size_t count, const struct table_options *options)
{
	size_t i;
	int ret;

	if (options->json && options->raw)
		return usage_error(command, "--json and --raw are mutually exclusive");

	*table = (struct table){ .options = options, .columns = columns, .count = count };
	table->position = realloc_or_die(NULL, count, sizeof(*table->position));
	for (i = 0; i < count; i++)
		table->position[i] = -1;
	table->table = scols_new_table();
	if (!table->table || scols_table_set_name(table->table, name))
		out_of_memory();
	scols_table_enable_json(table->table, options->json);
	scols_table_enable_raw(table->table, options->raw);
	scols_table_enable_noheadings(table->table, options->noheadings);

	ret = choose_columns(table, command);
	if (ret)
		table_drop(table);
	return ret;
}

/**
 * table_shows() - whether a column is shown
 * @table: the table
 * @column: index of the column
 */
bool table_shows(const struct table *table, size_t column)
{
	return table->position[column] >= 0;
}

/**
 * table_line() - add a line
 * @table: the table
 */
void table_line(struct table *table)
{
	table->line = scols_table_new_line(table->table, NULL);
	if (!table->line)
		out_of_memory();
}

/**
 * table_set() - set a cell of the last line
 * @table: the table
 * @column: index of the column; if it is not shown, nothing happens
 * @format: the text
 */
void table_set(struct table *table, size_t column, const char *format, ...)
{
	va_list args;
	char *text;
	int length;

	if (!table_shows(table, column))
		return;
	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0 || scols_line_refer_data(table->line, table->position[column], text))
		out_of_memory();
}

/**
 * table_set_size() - set a cell of the last line to a size
 * @table: the table
 * @column: index of the column
 * @bytes: the size
 */
void table_set_size(struct table *table, size_t column, uint64_t bytes)
{
	char text[SIZE_TEXT];

	if (table->options->bytes)
		table_set(table, column, "%" PRIu64, bytes);
	else
		table_set(table, column, "%s", format_size(text, bytes));
}

/**
 * table_set_addresses() - set a cell of the last line to an address range
 * @table: the table
 * @column: index of the column
 * @range: the addresses
 */
void table_set_addresses(struct table *table, size_t column, struct range range)
{
	table_set(table, column, "0x%016" PRIx64 "-0x%016" PRIx64, range.start, range.end);
}

/**
 * table_set_blocks() - set a cell of the last line to one or more memory blocks
 * @table: the table
 * @column: index of the column
 * @ids: the blocks' numbers
 */
void table_set_blocks(struct table *table, size_t column, struct range ids)
{
	if (ids.start == ids.end)
		table_set(table, column, "%" PRIu64, ids.start);
	else
		table_set(table, column, "%" PRIu64 "-%" PRIu64, ids.start, ids.end);
}

/**
 * table_end() - print the table and free it
 * @table: the table
 *
 * Return: an exit status.
 */
int table_end(struct table *table)
{
	int ret = scols_print_table(table->table);

	table_drop(table);
	if (ret) {
		error("cannot print the table: %s", strerror(-ret));
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

/**
 * table_drop() - free the table without printing it
 * @table: the table
 */
void table_drop(struct table *table)
{
	scols_unref_table(table->table);
	free(table->position);
}
