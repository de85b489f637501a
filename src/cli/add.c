// SPDX-License-Identifier: GPL-2.0-only
/*
 * twostage add, twostage remove
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "errors.h"
#include "firmware.h"
#include "regions.h"
#include "size.h"
#include "sysfs.h"

/**
 * struct add_request - arguments of twostage add
 * @range: physical addresses in bytes
 * @node: NUMA node; NULL for the one that the firmware reports
 * @memmap_on_memory: "0" or "1"; NULL for the module's default
 * @auto_online: apply the kernel's auto-online policy to the blocks
 */
struct add_request {
	struct range range;
	const char *node;
	const char *memmap_on_memory;
	bool auto_online;
};

static void print_add_help(void)
{
	printf("Usage: twostage add [OPTION]... START SIZE\n\n"
	       "Add a region of SIZE bytes of standby memory at the physical address START. Both must be multiples\n"
	       "of the memory block size. A region takes only a few KiB of other memory per memory block until its\n"
	       "blocks are set online.\n\n"
	       "START and SIZE are numbers like 0x100000000, 4G, 512M or 4GiB. To find ranges that can be added:\n"
	       "twostage discover.\n\n"
	       "Options:\n"
	       "      --node N                    NUMA node of the memory (default: the one that the firmware\n"
	       "                                  reports)\n"
	       "      --memmap-on-memory yes|no   yes (default): each memory block holds its own memmap, if the\n"
	       "                                  system supports that; no: ordinary memory holds it\n"
	       "      --auto-online               apply the kernel's auto-online policy to the new blocks\n"
	       "  -h, --help                      display this help\n\n"
	       "Exit status: 0 if the region was added, 1 if not, 2 if the command line was wrong.\n");
}

static void print_remove_help(void)
{
	printf("Usage: twostage remove REGION...\n"
	       "       twostage remove --all\n\n"
	       "Remove the named regions (region0, ...). All memory blocks of a region must be standby.\n\n"
	       "Options:\n"
	       "  -a, --all    remove all regions\n"
	       "  -h, --help   display this help\n\n"
	       "Exit status: 0 if all of these regions were removed, 1 if not, 2 if the command line was wrong.\n");
}

static int parse_address(const char *what, const char *text, uint64_t *value)
{
	int ret = parse_size(text, value);

	if (ret == -ERANGE)
		usage_error("add", "%s \"%s\" does not fit into 64 bits", what, text);
	else if (ret)
		usage_error("add", "\"%s\" is not a valid %s: use a number like 0x100000000, 4G or 4GiB",
			    text, what);
	return ret;
}

static const struct region *region_at(const struct regions *regions, struct range range)
{
	size_t i;

	for (i = 0; i < regions->count; i++) {
		const struct region *region = &regions->region[i];

		if (region->start <= range.end && range.start <= region->start + region->size - 1)
			return region;
	}
	return NULL;
}

static void hint_overlapping_region(struct range range)
{
	const struct region *region;
	struct regions regions;

	if (regions_read(&regions))
		return;
	region = region_at(&regions, range);
	if (region)
		hint("the range overlaps %s, 0x%" PRIx64 "-0x%" PRIx64, region->name, region->start,
		     region->start + region->size - 1);
	regions_free(&regions);
}

/* @explained: the module's log lines, already printed, give the reason */
static void hint_alignment(struct range range, bool explained)
{
	uint64_t block_size, size = range_size(range);
	char size_text[SIZE_TEXT];
	struct range whole;

	if (memory_block_size(&block_size))
		return;
	if (!(range.start % block_size) && !(size % block_size))
		return;
	if (!explained)
		hint("START and SIZE must be multiples of the memory block size, %s",
		     format_exact_size(size_text, block_size));
	whole = whole_blocks(range, block_size);
	if (range_size(whole))
		hint("to add the whole memory blocks in this range: twostage add 0x%" PRIx64 " %s", whole.start,
		     format_exact_size(size_text, range_size(whole)));
}

static void explain_add(const struct add_request *request, int err)
{
	bool explained = kernel_log_show();

	switch (err) {
	case EINVAL:
		hint_alignment(request->range, explained);
		break;
	case EEXIST:
		if (!explained)
			hint_overlapping_region(request->range);
		break;
	case EBUSY:
		hint("to list ranges that can be added: twostage discover");
		break;
	default:
		hint_by_errno(err);
		break;
	}
}

static void print_added(const struct add_request *request)
{
	const struct region *region;
	struct regions regions;
	char policy[32];
	char size[SIZE_TEXT];

	if (regions_read(&regions))
		return;
	region = region_at(&regions, request->range);
	if (region) {
		printf("%s: 0x%" PRIx64 "-0x%" PRIx64 ", %s in %" PRIu64 " block%s on node %d, %" PRIu64
		       " online\n", region->name, region->start, region->start + region->size - 1,
		       format_size(size, region->size), region->blocks, region->blocks == 1 ? "" : "s",
		       region->node, region->online);
		if (request->auto_online && !region->online &&
		    !sysfs_read(policy, sizeof(policy), "/sys/devices/system/memory/auto_online_blocks"))
			hint("its blocks stay offline because the kernel's auto-online policy is \"%s\"; to set them online: twostage online %s --all",
			     policy, region->name);
	}
	regions_free(&regions);
}

static int add(const struct add_request *request)
{
	char text[256];
	int length, ret;

	if (module_missing())
		return EXIT_FAILURE;

	length = snprintf(text, sizeof(text), "0x%" PRIx64 " 0x%" PRIx64, request->range.start,
			  range_size(request->range));
	if (request->node)
		length += snprintf(text + length, sizeof(text) - length, " node=%s", request->node);
	if (request->memmap_on_memory)
		length += snprintf(text + length, sizeof(text) - length, " memmap_on_memory=%s",
				   request->memmap_on_memory);
	if (request->auto_online)
		snprintf(text + length, sizeof(text) - length, " auto_online=1");

	kernel_log_mark();
	ret = sysfs_write(text, "/sys/bus/twostage/add_region");
	if (ret) {
		error("cannot add 0x%" PRIx64 "-0x%" PRIx64 ": %s", request->range.start,
		      request->range.end, strerror(-ret));
		explain_add(request, -ret);
		return EXIT_FAILURE;
	}
	print_added(request);
	return EXIT_SUCCESS;
}

/**
 * command_add() - add a region
 */
int command_add(int argc, char **argv)
{
	enum { OPTION_NODE = 256, OPTION_MEMMAP_ON_MEMORY, OPTION_AUTO_ONLINE };
	static const struct option options[] = {
		{ "node", required_argument, NULL, OPTION_NODE },
		{ "memmap-on-memory", required_argument, NULL, OPTION_MEMMAP_ON_MEMORY },
		{ "auto-online", no_argument, NULL, OPTION_AUTO_ONLINE },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	struct add_request request = { 0 };
	uint64_t node, size;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case OPTION_NODE:
			if (parse_count(optarg, &node) || strlen(optarg) > 9)
				return usage_error("add", "--node: \"%s\" is not a node number", optarg);
			request.node = optarg;
			break;
		case OPTION_MEMMAP_ON_MEMORY:
			if (strcmp(optarg, "yes") && strcmp(optarg, "no"))
				return usage_error("add", "--memmap-on-memory: \"%s\" is neither yes nor no", optarg);
			request.memmap_on_memory = strcmp(optarg, "yes") ? "0" : "1";
			break;
		case OPTION_AUTO_ONLINE:
			request.auto_online = true;
			break;
		case 'h':
			print_add_help();
			return EXIT_SUCCESS;
		default:
			return getopt_error("add");
		}
	}
	if (argc - optind != 2)
		return usage_error("add", "needs exactly two arguments, START and SIZE");
	if (parse_address("start address", argv[optind], &request.range.start) ||
	    parse_address("size", argv[optind + 1], &size))
		return EXIT_USAGE;
	if (!size)
		return usage_error("add", "SIZE must not be 0");
	if (__builtin_add_overflow(request.range.start, size - 1, &request.range.end))
		return usage_error("add", "SIZE %s at START %s extends beyond the last address",
				   argv[optind + 1], argv[optind]);
	return add(&request);
}

static void hint_online_blocks(const struct region *region)
{
	struct ranges online = { 0 };
	uint64_t block_size;
	char *text;

	if (memory_block_size(&block_size))
		return;
	region_online_blocks(region, block_size, &online);
	if (online.count) {
		text = format_ranges(&online);
		hint("online memory blocks: %s; to set them offline: twostage offline %s --all", text,
		     region->name);
		free(text);
	}
	ranges_free(&online);
}

static int remove_region(const struct region *region)
{
	int ret;

	kernel_log_mark();
	ret = sysfs_write(region->name, "/sys/bus/twostage/remove_region");
	if (!ret) {
		printf("%s removed\n", region->name);
		return EXIT_SUCCESS;
	}

	error("cannot remove %s: %s", region->name, ret != -EBUSY ? strerror(-ret) :
	      region->poisoned && !region->online ? "memory blocks of it have a hardware-poisoned page" :
	      "memory blocks of it are online");
	switch (-ret) {
	case EBUSY:
		hint_online_blocks(region);
		if (region->poisoned)
			hint("number of its memory blocks with a hardware-poisoned page: %" PRIu64 "; they keep their memory, so the region cannot be removed until the next boot",
			     region->poisoned);
		break;
	case ENXIO:
		hint("another process has removed the region; to list regions: twostage list");
		break;
	default:
		kernel_log_show();
		hint_by_errno(-ret);
		break;
	}
	return EXIT_FAILURE;
}

/**
 * command_remove() - remove regions
 */
int command_remove(int argc, char **argv)
{
	static const struct option options[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	int status = EXIT_SUCCESS;
	struct regions regions;
	bool all = false;
	int option;
	size_t i;

	while ((option = getopt_long(argc, argv, "ah", options, NULL)) != -1) {
		switch (option) {
		case 'a':
			all = true;
			break;
		case 'h':
			print_remove_help();
			return EXIT_SUCCESS;
		default:
			return getopt_error("remove");
		}
	}
	if (all == (optind < argc))
		return usage_error("remove", "needs either region names or --all");
	for (i = optind; i < (size_t)argc; i++)
		if (!region_name_valid(argv[i]))
			return usage_error("remove", "\"%s\" is not a region name: use a name like region0",
					   argv[i]);

	if (module_missing() || regions_read(&regions))
		return EXIT_FAILURE;
	if (regions_select(&regions, argv + optind, argc - optind)) {
		regions_free(&regions);
		return EXIT_FAILURE;
	}
	/* Go on after a failure: the regions do not depend on each other. */
	for (i = 0; i < regions.count; i++)
		if (remove_region(&regions.region[i]))
			status = EXIT_FAILURE;
	regions_free(&regions);
	return status;
}
