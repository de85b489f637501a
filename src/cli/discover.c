// SPDX-License-Identifier: GPL-2.0-only
/*
 * twostage discover
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
#include "devices.h"
#include "errors.h"
#include "firmware.h"
#include "regions.h"
#include "size.h"
#include "sysfs.h"
#include "table.h"

enum column_id {
	COLUMN_RANGE, COLUMN_RANGE_SIZE, COLUMN_USABLE, COLUMN_USABLE_SIZE, COLUMN_BLOCK, COLUMN_LEFT,
	COLUMN_COMMAND, COLUMNS
};

static const struct column columns[] = {
	[COLUMN_RANGE]       = { "RANGE", COLUMN_TEXT, true, "start and end address of what is unused" },
	[COLUMN_RANGE_SIZE]  = { "SIZE", COLUMN_SIZE, true, "size of what is unused" },
	[COLUMN_USABLE]      = { "USABLE-RANGE", COLUMN_TEXT, false, "start and end address of the whole memory blocks in it" },
	[COLUMN_USABLE_SIZE] = { "USABLE", COLUMN_SIZE, true, "size of the whole memory blocks in it" },
	[COLUMN_BLOCK]       = { "BLOCK", COLUMN_TEXT, false, "memory block numbers that they will have" },
	[COLUMN_LEFT]        = { "LEFT", COLUMN_SIZE, true, "size of what is left over beside them" },
	[COLUMN_COMMAND]     = { "COMMAND", COLUMN_TEXT, true, "how to add them" },
};

static void print_help(void)
{
	printf("Usage: twostage discover [OPTION]...\n\n"
	       "Find ranges that the firmware calls RAM and the kernel does not use, because it was told so\n"
	       "(memmap=SIZE$START, mem=SIZE); and how much of each is left over beside whole memory blocks.\n\n"
	       "Options:\n"
	       "  -a, --all              also ranges that contain no whole memory block\n"
	       TABLE_HELP
	       "  -h, --help             display this help\n");
	table_help(columns, COLUMNS);
	printf("\nExit status: 0 if it could be found out (there may be none), 1 if not, 2 if the command line\n"
	       "was wrong.\n");
}

/* The ranges; or an exit status, after having said what was wrong. */
static int find_unused(struct ranges *unused)
{
	FILE *iomem;
	int ret;

	ret = firmware_ram(unused);
	if (ret) {
		error("/sys/firmware/memmap: %s", strerror(-ret));
		if (ret == -ENOENT)
			hint("this system does not keep the firmware's memory map; name the range yourself: twostage add");
		else
			hint_by_errno(-ret);
		return EXIT_FAILURE;
	}

	iomem = sysroot_fopen("/proc/iomem");
	if (!iomem) {
		ret = errno;
		error("/proc/iomem: %s", strerror(ret));
		hint_by_errno(ret);
		ranges_free(unused);
		return EXIT_FAILURE;
	}
	ret = iomem_subtract_claimed(iomem, unused);
	fclose(iomem);
	if (ret) {
		ranges_free(unused);
		if (ret == -EPERM) {
			error("/proc/iomem shows only zeros");
			hint("only root gets to see addresses: try it with sudo");
		} else {
			error("/proc/iomem: there is a line that is not understood");
		}
		return EXIT_FAILURE;
	}
	dax_subtract(unused);
	return EXIT_SUCCESS;
}

static void add_line(struct table *table, struct range range, struct range usable, uint64_t block_size)
{
	uint64_t usable_size = range_size(usable);
	char size[SIZE_TEXT];

	table_line(table);
	table_set_addresses(table, COLUMN_RANGE, range);
	table_set_size(table, COLUMN_RANGE_SIZE, range_size(range));
	table_set_size(table, COLUMN_USABLE_SIZE, usable_size);
	table_set_size(table, COLUMN_LEFT, range_size(range) - usable_size);
	if (!usable_size)
		return;
	table_set_addresses(table, COLUMN_USABLE, usable);
	table_set_blocks(table, COLUMN_BLOCK,
			 (struct range){ usable.start / block_size, usable.end / block_size });
	table_set(table, COLUMN_COMMAND, "twostage add 0x%" PRIx64 " %s", usable.start,
		  format_exact_size(size, usable_size));
}

/* The module refuses memory that a device in use cannot reach. */
static void hint_at_bounce_buffers(uint64_t last)
{
	struct limited_device limited;
	bool known;

	if (bounce_buffers_missing(&known) && find_limited_device(last, &limited))
		hint("%s can reach only addresses up to 0x%" PRIx64 ": %s; " BOUNCE_BUFFERS_PARAMETER
		     " on the kernel command line makes the kernel have bounce buffers",
		     limited.name, limited.last,
		     known ? "there are no bounce buffers (SWIOTLB), so memory above is not added"
			   : "memory above is not added unless there are bounce buffers (SWIOTLB)");
}

static int discover(const struct table_options *options, bool all)
{
	uint64_t block_size, crumbs = 0, last = 0;
	char size[SIZE_TEXT];
	struct ranges unused;
	struct table table;
	size_t found = 0, i;
	int status;

	status = table_begin(&table, "discover", "ranges", columns, COLUMNS, options);
	if (status)
		return status;
	if (memory_block_size(&block_size) || find_unused(&unused)) {
		table_drop(&table);
		return EXIT_FAILURE;
	}

	for (i = 0; i < unused.count; i++) {
		struct range usable = whole_blocks(unused.range[i], block_size);

		if (range_size(usable)) {
			found++;
			last = usable.end;
		} else {
			crumbs += range_size(unused.range[i]);
		}
		if (all || range_size(usable))
			add_line(&table, unused.range[i], usable, block_size);
	}
	status = table_end(&table);

	if (!found)
		hint("no whole memory block of %s is unused; memmap=SIZE$START on the kernel command line keeps memory free",
		     format_size(size, block_size));
	else if (crumbs && !all && isatty(STDOUT_FILENO))
		hint("another %s in pieces without a whole memory block: twostage discover --all",
		     format_size(size, crumbs));
	if (found)
		hint_at_bounce_buffers(last);
	ranges_free(&unused);
	return status;
}

/**
 * command_discover() - find RAM that the kernel does not use
 */
int command_discover(int argc, char **argv)
{
	static const struct option options[] = {
		{ "all", no_argument, NULL, 'a' },
		TABLE_LONG_OPTIONS,
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	struct table_options table_options = { 0 };
	bool all = false;
	int option;

	while ((option = getopt_long(argc, argv, "a" TABLE_SHORT_OPTIONS "h", options, NULL)) != -1) {
		if (option == 'h') {
			print_help();
			return EXIT_SUCCESS;
		}
		if (option == 'a')
			all = true;
		else if (!table_option(option, &table_options))
			return getopt_error("discover");
	}
	if (optind < argc)
		return usage_error("discover", "takes no argument, such as \"%s\"", argv[optind]);
	return discover(&table_options, all);
}
