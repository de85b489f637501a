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

#include "architecture.h"
#include "commands.h"
#include "device_tree.h"
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
	[COLUMN_RANGE]       = { "RANGE", COLUMN_TEXT, true, "start and end address of the unused range" },
	[COLUMN_RANGE_SIZE]  = { "SIZE", COLUMN_SIZE, true, "size of the unused range" },
	[COLUMN_USABLE]      = { "USABLE-RANGE", COLUMN_TEXT, false, "start and end address of the whole memory blocks in it" },
	[COLUMN_USABLE_SIZE] = { "USABLE", COLUMN_SIZE, true, "size of the whole memory blocks in it" },
	[COLUMN_BLOCK]       = { "BLOCK", COLUMN_TEXT, false, "numbers that these memory blocks will have" },
	[COLUMN_LEFT]        = { "LEFT", COLUMN_SIZE, true, "size of the rest of the range, outside of them" },
	[COLUMN_COMMAND]     = { "COMMAND", COLUMN_TEXT, true, "command that adds them" },
};

static void print_help(void)
{
	printf("Usage: twostage discover [OPTION]...\n\n"
	       "Find ranges that the firmware reports as RAM and that the kernel does not use, because its command\n"
	       "line excludes them (memmap=SIZE$START on x86, mem=SIZE). Only the whole memory blocks of a range can be\n"
	       "added.\n\n"
	       "Options:\n"
	       "  -a, --all              also list ranges that contain no whole memory block\n"
	       TABLE_HELP
	       "  -h, --help             display this help\n");
	table_help(columns, COLUMNS);
	printf("\nExit status: 0 if the search succeeded, even if it found no range, 1 if it failed, 2 if the\n"
	       "command line was wrong.\n");
}

/* Return EXIT_SUCCESS, or EXIT_FAILURE after printing an error. */
static int find_unused(struct ranges *unused)
{
	FILE *iomem;
	int ret;

	ret = firmware_ram(unused);
	/* Only kernels for x86 have the firmware's memory map in sysfs. */
	if (ret == -ENOENT && !device_tree_ram(unused))
		ret = 0;
	if (ret) {
		error("cannot read /sys/firmware/memmap: %s", strerror(-ret));
		if (ret == -ENOENT)
			hint("this kernel does not show the firmware's memory map: note the lines \"System RAM\" of /proc/iomem before you boot with " UNUSED_MEMORY_PARAMETER ", and then: twostage add START SIZE");
		else
			hint_by_errno(-ret);
		return EXIT_FAILURE;
	}

	iomem = sysroot_fopen("/proc/iomem");
	if (!iomem) {
		ret = errno;
		error("cannot read /proc/iomem: %s", strerror(ret));
		hint_by_errno(ret);
		ranges_free(unused);
		return EXIT_FAILURE;
	}
	ret = iomem_subtract_claimed(iomem, unused);
	fclose(iomem);
	if (ret) {
		ranges_free(unused);
		if (ret == -EPERM) {
			error("/proc/iomem shows only zeros instead of addresses");
			hint("only root can see the addresses: try again with sudo");
		} else {
			error("/proc/iomem has a line in an unknown format");
			hint("to add a range that you know: twostage add START SIZE");
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
static void hint_bounce_buffers(uint64_t last)
{
	struct limited_device limited;
	bool known;

	if (bounce_buffers_missing(&known) && find_limited_device(last, &limited))
		hint("%s can reach only addresses up to 0x%" PRIx64 ", %s: boot with " BOUNCE_BUFFERS_PARAMETER
		     " on the kernel command line to get bounce buffers",
		     limited.name, limited.last,
		     known ? "and there are no bounce buffers (SWIOTLB), so memory above cannot be added"
			   : "so memory above can be added only if there are bounce buffers (SWIOTLB)");
}

static int discover(const struct table_options *options, bool all)
{
	uint64_t block_size, too_small = 0, last = 0;
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
			too_small += range_size(unused.range[i]);
		}
		if (all || range_size(usable))
			add_line(&table, unused.range[i], usable, block_size);
	}
	status = table_end(&table);

	if (!found)
		hint("no whole memory block of %s is unused; to keep memory unused, boot with " UNUSED_MEMORY_PARAMETER " on the kernel command line",
		     format_size(size, block_size));
	else if (too_small && !all && isatty(STDOUT_FILENO))
		hint("%s more are unused, in ranges without a whole memory block; to list them: twostage discover --all",
		     format_size(size, too_small));
	if (found)
		hint_bounce_buffers(last);
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
		return usage_error("discover", "unexpected argument \"%s\"", argv[optind]);
	return discover(&table_options, all);
}
