// SPDX-License-Identifier: GPL-2.0-only
/*
 * twostage list, twostage blocks
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "errors.h"
#include "regions.h"
#include "table.h"

enum region_column {
	REGION_NAME, REGION_RANGE, REGION_SIZE, REGION_NODE, REGION_PROVIDER, REGION_BLOCK, REGION_BLOCKS,
	REGION_ONLINE, REGION_STANDBY, REGION_POISONED, REGION_MEMMAP, REGION_ON_MEMORY, REGION_BUDGET,
	REGION_PLUGGED, REGION_COLUMNS
};

static struct column region_columns[] = {
	[REGION_NAME]      = { "REGION", COLUMN_TEXT, true, "name of the region" },
	[REGION_RANGE]     = { "RANGE", COLUMN_TEXT, true, "start and end address of the region" },
	[REGION_SIZE]      = { "SIZE", COLUMN_SIZE, true, "size of the region" },
	[REGION_NODE]      = { "NODE", COLUMN_NUMBER, true, "NUMA node of the memory" },
	[REGION_PROVIDER]  = { "PROVIDER", COLUMN_TEXT, true, "what makes the memory accessible" },
	[REGION_BLOCK]     = { "BLOCK", COLUMN_TEXT, false, "memory block numbers, as a range" },
	[REGION_BLOCKS]    = { "BLOCKS", COLUMN_NUMBER, true, "number of memory blocks" },
	[REGION_ONLINE]    = { "ONLINE", COLUMN_NUMBER, true, "number of online memory blocks" },
	[REGION_STANDBY]   = { "STANDBY", COLUMN_NUMBER, false, "number of standby memory blocks" },
	/* Shown by default if a region has such blocks */
	[REGION_POISONED]  = { "POISONED", COLUMN_NUMBER, false, "number of memory blocks with a hardware-poisoned page" },
	[REGION_MEMMAP]    = { "MEMMAP", COLUMN_SIZE, true, "memory that blocks use for their own memmap" },
	[REGION_ON_MEMORY] = { "ON-MEMORY", COLUMN_BOOLEAN, false, "whether blocks hold their own memmap" },
	/* Shown by default if the provider of a region has a budget */
	[REGION_BUDGET]    = { "BUDGET", COLUMN_SIZE, false, "memory that the provider allows to be online" },
	[REGION_PLUGGED]   = { "PLUGGED", COLUMN_SIZE, false, "memory that the provider has made accessible" },
};

enum block_column {
	BLOCK_RANGE, BLOCK_SIZE, BLOCK_STAGE, BLOCK_STATE, BLOCK_ZONES, BLOCK_NODE, BLOCK_REGION,
	BLOCK_BLOCK, BLOCK_COLUMNS
};

static const struct column block_columns[] = {
	[BLOCK_RANGE]  = { "RANGE", COLUMN_TEXT, true, "start and end address of the memory range" },
	[BLOCK_SIZE]   = { "SIZE", COLUMN_SIZE, true, "size of the memory range" },
	[BLOCK_STAGE]  = { "STAGE", COLUMN_TEXT, true, "standby, populated or poisoned" },
	[BLOCK_STATE]  = { "STATE", COLUMN_TEXT, true, "online status of the memory range" },
	[BLOCK_ZONES]  = { "ZONES", COLUMN_TEXT, true, "zone of online memory, possible zones of offline memory" },
	[BLOCK_NODE]   = { "NODE", COLUMN_NUMBER, true, "NUMA node of the memory" },
	[BLOCK_REGION] = { "REGION", COLUMN_TEXT, true, "region of the memory range" },
	[BLOCK_BLOCK]  = { "BLOCK", COLUMN_TEXT, true, "memory block number or blocks range" },
};

static void print_list_help(void)
{
	printf("Usage: twostage list [OPTION]... [REGION]...\n\n"
	       "List the named regions, or all regions.\n\n"
	       "Options:\n"
	       TABLE_HELP
	       "  -h, --help             display this help\n");
	table_help(region_columns, REGION_COLUMNS);
	printf("\nExit status: 0 if everything was listed, 1 if not, 2 if the command line was wrong.\n");
}

static void print_blocks_help(void)
{
	printf("Usage: twostage blocks [OPTION]... [REGION]...\n\n"
	       "List the memory blocks of the named regions, or of all regions. Adjacent blocks of a region with the\n"
	       "same stage, state and zones are shown as one range.\n\n"
	       "Options:\n"
	       "  -a, --all              list each memory block\n"
	       TABLE_HELP
	       "  -h, --help             display this help\n");
	table_help(block_columns, BLOCK_COLUMNS);
	printf("\nExit status: 0 if everything was listed, 1 if not, 2 if the command line was wrong.\n");
}

static void add_region_line(struct table *table, const struct region *region, uint64_t block_size)
{
	struct range ids = region_block_ids(region, block_size);

	table_line(table);
	table_set(table, REGION_NAME, "%s", region->name);
	table_set_addresses(table, REGION_RANGE,
			    (struct range){ region->start, region->start + region->size - 1 });
	table_set_size(table, REGION_SIZE, region->size);
	table_set(table, REGION_NODE, "%d", region->node);
	table_set(table, REGION_PROVIDER, "%s", region->provider);
	table_set_blocks(table, REGION_BLOCK, ids);
	table_set(table, REGION_BLOCKS, "%" PRIu64, region->blocks);
	table_set(table, REGION_ONLINE, "%" PRIu64, region->online);
	table_set(table, REGION_STANDBY, "%" PRIu64, region->blocks - region->online - region->poisoned);
	table_set(table, REGION_POISONED, "%" PRIu64, region->poisoned);
	table_set_size(table, REGION_MEMMAP, region->memmap_pages * sysconf(_SC_PAGESIZE));
	table_set(table, REGION_ON_MEMORY, "%s", region->memmap_on_memory ? "yes" : "no");
	if (region->has_budget) {
		table_set_size(table, REGION_BUDGET, region->budget);
		table_set_size(table, REGION_PLUGGED, region->plugged);
	}
}

/* Consecutive blocks that are shown as one line */
struct span {
	const struct region *region;
	struct memory_block first;
	uint64_t count;
};

static bool span_continues_with(const struct span *span, const struct memory_block *block)
{
	return span->count && span->first.id + span->count == block->id &&
	       !strcmp(span->first.stage, block->stage) && !strcmp(span->first.state, block->state) &&
	       !strcmp(span->first.zones, block->zones);
}

static void add_span_line(struct table *table, const struct span *span, uint64_t block_size)
{
	const uint64_t start = span->first.id * block_size;
	const uint64_t size = span->count * block_size;

	table_line(table);
	table_set_addresses(table, BLOCK_RANGE, (struct range){ start, start + size - 1 });
	table_set_size(table, BLOCK_SIZE, size);
	table_set(table, BLOCK_STAGE, "%s", span->first.stage);
	table_set(table, BLOCK_STATE, "%s", span->first.state);
	table_set(table, BLOCK_ZONES, "%s", span->first.zones);
	table_set(table, BLOCK_NODE, "%d", span->region->node);
	table_set(table, BLOCK_REGION, "%s", span->region->name);
	table_set_blocks(table, BLOCK_BLOCK,
			 (struct range){ span->first.id, span->first.id + span->count - 1 });
}

/*
 * Standby blocks beside each other differ in nothing but their numbers: a zone
 * that their memory could join neither begins nor ends where there is no memory
 * online. So only the first of them is read.
 */
static int read_next_block(struct memory_block *block, uint64_t id, const char *stages, uint64_t index)
{
	if (stages && index && stages[index] == STAGE_STANDBY && !strcmp(block->stage, "standby")) {
		block->id = id;
		return 0;
	}
	return memory_block_read(block, id);
}

static int add_block_lines(struct table *table, const struct region *region, uint64_t block_size,
			   bool each)
{
	struct range ids = region_block_ids(region, block_size);
	struct span span = { .region = region };
	char *stages = region_stages(region);
	struct memory_block block;
	uint64_t id;
	int ret = 0;

	for (id = ids.start; id <= ids.end; id++) {
		ret = read_next_block(&block, id, stages, id - ids.start);
		if (ret)
			break;
		if (!each && span_continues_with(&span, &block)) {
			span.count++;
			continue;
		}
		if (span.count)
			add_span_line(table, &span, block_size);
		span.first = block;
		span.count = 1;
	}
	free(stages);
	if (ret == -ENOENT || ret == -ENODEV) {
		error("%s was removed while its memory blocks were listed", region->name);
		return EXIT_FAILURE;
	}
	if (ret) {
		error("cannot read the state of memory block %" PRIu64 ": %s", id, strerror(-ret));
		return EXIT_FAILURE;
	}
	if (span.count)
		add_span_line(table, &span, block_size);
	return EXIT_SUCCESS;
}

static int list_regions(struct table *table, const struct regions *regions, uint64_t block_size)
{
	size_t i;

	for (i = 0; i < regions->count; i++)
		add_region_line(table, &regions->region[i], block_size);
	return EXIT_SUCCESS;
}

static int list_blocks(struct table *table, const struct regions *regions, uint64_t block_size, bool each)
{
	int status = EXIT_SUCCESS;
	size_t i;

	for (i = 0; i < regions->count; i++)
		if (add_block_lines(table, &regions->region[i], block_size, each))
			status = EXIT_FAILURE;
	return status;
}

/* Select the named regions, and print a table of them or of their blocks. */
static int list(const char *command, char *const *names, int count, const struct table_options *options,
		bool blocks, bool each)
{
	struct regions regions;
	uint64_t block_size;
	struct table table;
	int status, i;

	for (i = 0; i < count; i++)
		if (!region_name_valid(names[i]))
			return usage_error(command, "\"%s\" is not a region name: use a name like region0",
					   names[i]);
	if (blocks)
		status = table_begin(&table, command, "blocks", block_columns, BLOCK_COLUMNS, options);
	else
		status = table_begin(&table, command, "regions", region_columns, REGION_COLUMNS, options);
	if (status)
		return status;
	if (module_missing() || memory_block_size(&block_size) || regions_read(&regions)) {
		table_drop(&table);
		return EXIT_FAILURE;
	}

	if (regions_select(&regions, names, count)) {
		table_drop(&table);
		status = EXIT_FAILURE;
	} else {
		if (blocks)
			status = list_blocks(&table, &regions, block_size, each);
		else
			status = list_regions(&table, &regions, block_size);
		if (table_end(&table))
			status = EXIT_FAILURE;
		/* A user may take an empty table for a failure. */
		if (!regions.count && isatty(STDOUT_FILENO) && !options->json)
			hint("there are no regions; to find memory for a region: twostage discover");
	}
	regions_free(&regions);
	return status;
}

/**
 * command_list() - list regions
 */
int command_list(int argc, char **argv)
{
	static const struct option options[] = {
		TABLE_LONG_OPTIONS,
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	struct table_options table_options = { 0 };
	int option;

	while ((option = getopt_long(argc, argv, TABLE_SHORT_OPTIONS "h", options, NULL)) != -1) {
		if (option == 'h') {
			print_list_help();
			return EXIT_SUCCESS;
		}
		if (!table_option(option, &table_options))
			return getopt_error("list");
	}
	region_columns[REGION_BUDGET].by_default = any_region_has_budget();
	region_columns[REGION_POISONED].by_default = any_region_is_poisoned();
	region_columns[REGION_PLUGGED].by_default = region_columns[REGION_BUDGET].by_default;
	return list("list", argv + optind, argc - optind, &table_options, false, false);
}

/**
 * command_blocks() - list memory blocks
 */
int command_blocks(int argc, char **argv)
{
	static const struct option options[] = {
		{ "all", no_argument, NULL, 'a' },
		TABLE_LONG_OPTIONS,
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	struct table_options table_options = { 0 };
	bool each = false;
	int option;

	while ((option = getopt_long(argc, argv, "a" TABLE_SHORT_OPTIONS "h", options, NULL)) != -1) {
		if (option == 'h') {
			print_blocks_help();
			return EXIT_SUCCESS;
		}
		if (option == 'a')
			each = true;
		else if (!table_option(option, &table_options))
			return getopt_error("blocks");
	}
	return list("blocks", argv + optind, argc - optind, &table_options, true, each);
}
