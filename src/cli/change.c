// SPDX-License-Identifier: GPL-2.0-only
/*
 * twostage online, twostage offline
 *
 * Write to the state file of each block instead of the region's online or
 * offline attribute: this way the command can show its progress, tell which
 * block failed, and stop between two blocks when it is interrupted.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "commands.h"
#include "errors.h"
#include "memory_or_die.h"
#include "progress.h"
#include "regions.h"
#include "size.h"
#include "sysfs.h"
#include "zones.h"

enum amount { AMOUNT_NONE, AMOUNT_COUNT, AMOUNT_SIZE, AMOUNT_ALL, AMOUNT_BLOCKS, AMOUNT_BUDGET };

/**
 * struct request - arguments of twostage online and twostage offline
 * @online: true for online, false for offline
 * @state: text to write to a block's state file
 * @amount: option that gives the amount
 * @count: number of blocks (AMOUNT_COUNT)
 * @size: in bytes (AMOUNT_SIZE)
 * @blocks: numbers of blocks (AMOUNT_BLOCKS)
 * @keep_going: continue with other blocks when one fails
 * @verbose: print a line for each block
 */
struct request {
	bool online;
	const char *state;
	enum amount amount;
	uint64_t count;
	uint64_t size;
	struct ranges blocks;
	bool keep_going;
	bool verbose;
};

/**
 * struct change - state of the operation
 * @block_size: in bytes
 * @candidates: numbers of the blocks that can be changed, in the order in
 *	which to change them
 * @candidate_count: number of @candidates
 * @wanted: number of blocks to change
 * @region: the only region of the request (AMOUNT_BUDGET)
 * @done: numbers of the blocks that were changed
 * @done_count: number of blocks in @done
 * @poisoned: blocks of @done that went offline and are poisoned, not standby
 * @failed: the block that failed last
 * @err: why @failed failed, a positive errno; 0 if no block has failed
 */
struct change {
	uint64_t block_size;
	uint64_t *candidates;
	uint64_t candidate_count;
	uint64_t wanted;
	struct region region;
	struct ranges done;
	uint64_t done_count;
	struct ranges poisoned;
	uint64_t failed;
	int err;
};

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
	(void)signal;
	interrupted = 1;
}

static const char *state_name(const struct request *request)
{
	return request->online ? "online" : "offline";
}

static const char *plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

static void print_help(bool online)
{
	const char *name = online ? "online" : "offline";

	printf("Usage: twostage %s [OPTION]... [REGION]... --count N | --size SIZE | --all\n"
	       "       twostage %s [OPTION]... --blocks BLOCKS\n", name, name);
	if (online)
		printf("       twostage online [OPTION]... --to-budget REGION\n");
	putchar('\n');
	printf(online ?
	       "Set standby memory blocks of the named regions, or of all regions, online. The block with the lowest\n"
	       "address comes first.\n\n" :
	       "Set online memory blocks of the named regions, or of all regions, offline, back to standby. The block\n"
	       "with the highest address comes first.\n\n");
	printf("How much:\n"
	       "  -c, --count N          N memory blocks\n"
	       "  -s, --size SIZE        SIZE bytes (4G, 512M, 4GiB), a multiple of the memory block size\n"
	       "  -a, --all              all memory blocks\n"
	       "  -b, --blocks BLOCKS    these memory blocks: 32-35 or 32,40-41\n");
	if (online)
		printf("  -t, --to-budget        as many memory blocks of REGION as its provider's budget allows now\n");
	printf("\nOptions:\n");
	if (online)
		printf("  -z, --zone movable|kernel|auto\n"
		       "                         movable (default): the memory holds only movable data, so it can be set\n"
		       "                         offline again; kernel: the kernel may use it for its own data, so it may\n"
		       "                         never go offline again; auto: the kernel's online policy selects the zone\n");
	printf("  -k, --keep-going       when a block fails, continue with others instead of stopping\n"
	       "  -v, --verbose          print a line for each block\n"
	       "  -h, --help             display this help\n\n"
	       "If a block fails, or the command is interrupted, the blocks that were changed before stay changed.\n\n"
	       "Exit status: 0 if all was done, 1 if nothing or only a part was done, 2 if the command line was\n"
	       "wrong.\n");
}

static void add_candidate(struct change *change, uint64_t id)
{
	/* The array is full when the count reaches a power of two. */
	if (!(change->candidate_count & (change->candidate_count - 1)))
		change->candidates = realloc_or_die(change->candidates,
						    change->candidate_count ?
						    2 * change->candidate_count : 1,
						    sizeof(*change->candidates));
	change->candidates[change->candidate_count++] = id;
}

static void add_candidates_in_range(const struct request *request, struct change *change,
				    struct range ids)
{
	uint64_t i;

	for (i = 0; i < range_size(ids); i++) {
		if (memory_block_is_online(ids.start + i) == request->online)
			continue;
		/*
		 * A poisoned block cannot come online: skip it. If the user
		 * names it, try it, so that the error is reported.
		 */
		if (request->online && request->amount != AMOUNT_BLOCKS &&
		    memory_block_is_poisoned(ids.start + i))
			continue;
		add_candidate(change, ids.start + i);
	}
}

static void add_candidates_of_regions(const struct request *request, struct change *change,
			     const struct regions *regions)
{
	size_t i;

	for (i = 0; i < regions->count; i++)
		add_candidates_in_range(request, change,
			       region_block_ids(&regions->region[i], change->block_size));
}

static int compare_ascending(const void *a, const void *b)
{
	const uint64_t *first = a, *second = b;

	return (*first > *second) - (*first < *second);
}

static int compare_descending(const void *a, const void *b)
{
	return compare_ascending(b, a);
}

/* Regions are sorted by their numbers, which need not follow the addresses. */
static void sort_candidates(const struct request *request, struct change *change)
{
	if (change->candidate_count)
		qsort(change->candidates, change->candidate_count, sizeof(*change->candidates),
		      request->online ? compare_ascending : compare_descending);
}

static int check_block(uint64_t id)
{
	char region[32];
	int ret = memory_block_region(id, region, sizeof(region));

	if (!ret)
		return EXIT_SUCCESS;
	if (ret == -ENODEV) {
		error("memory block %" PRIu64 " is in no region", id);
		hint("to change memory that is in no region: chmem");
	} else {
		error("memory block %" PRIu64 ": %s", id,
		      ret == -ENOENT ? "there is no such block" : strerror(-ret));
		hint("to list the memory blocks of regions: twostage blocks");
	}
	return EXIT_FAILURE;
}

/* Check all of the blocks first: if one is in no region, change nothing. */
static int add_named_candidates(const struct request *request, struct change *change)
{
	size_t i;

	for (i = 0; i < request->blocks.count; i++) {
		struct range ids = request->blocks.range[i];
		uint64_t id = ids.start;

		/* Not a for loop: ids.end may be UINT64_MAX. */
		do {
			if (check_block(id))
				return EXIT_FAILURE;
		} while (id++ != ids.end);
	}
	for (i = 0; i < request->blocks.count; i++)
		add_candidates_in_range(request, change, request->blocks.range[i]);
	return EXIT_SUCCESS;
}

/* Whether the region's attributes say that the budget allows one more block */
static bool budget_allows(struct change *change)
{
	const struct region *region = &change->region;

	if (region_refresh(&change->region))
		return true;
	/*
	 * If the provider's granule spans several blocks, some standby blocks
	 * may already be plugged. They take nothing more of the budget.
	 */
	return region->plugged + change->block_size <= region->budget ||
	       (region->plugged <= region->budget && region->online * change->block_size < region->plugged);
}

/*
 * The result is an upper limit: the provider may plug several blocks at once,
 * and the host may lower the budget meanwhile.
 */
static void wanted_by_budget(struct change *change)
{
	const struct region *region = &change->region;
	const uint64_t allowed = region->budget / change->block_size;

	change->wanted = budget_allows(change) && allowed > region->online ? allowed - region->online : 0;
	if (change->wanted > change->candidate_count)
		change->wanted = change->candidate_count;
}

static int decide_wanted(const struct request *request, struct change *change)
{
	char size[SIZE_TEXT], block_size[SIZE_TEXT];

	switch (request->amount) {
	case AMOUNT_BUDGET:
		wanted_by_budget(change);
		return EXIT_SUCCESS;
	case AMOUNT_COUNT:
		change->wanted = request->count;
		break;
	case AMOUNT_SIZE:
		if (request->size % change->block_size) {
			error("--size: %s is not a multiple of the memory block size (%s)",
			      format_exact_size(size, request->size),
			      format_exact_size(block_size, change->block_size));
			return EXIT_FAILURE;
		}
		change->wanted = request->size / change->block_size;
		break;
	default:
		change->wanted = change->candidate_count;
		return EXIT_SUCCESS;
	}
	if (change->wanted > change->candidate_count) {
		error("cannot set %" PRIu64 " block%s %s: only %" PRIu64 " (%s) %s %s", change->wanted,
		      plural(change->wanted), state_name(request), change->candidate_count,
		      format_size(size, change->candidate_count * change->block_size),
		      change->candidate_count == 1 ? "is" : "are", request->online ? "standby" : "online");
		hint("to set as many as possible %s, use --all; to list regions: twostage list",
		     state_name(request));
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

static void explain_online(int err)
{
	switch (err) {
	case ENXIO:
		hint("there may be no memory at these addresses: compare them with those in /sys/firmware/memmap");
		break;
	case ENOSPC:
		hint("the host allows no more memory (see BUDGET in twostage list): raise the budget on the host");
		break;
	case ENOMEM:
		hint("free some memory, or let the blocks hold their own memmap: twostage add --memmap-on-memory yes");
		break;
	case ECANCELED:
	case EBUSY:
	case EAGAIN:
		hint("the provider or another part of the kernel refused to set the block online: try again later");
		break;
	default:
		hint_by_errno(err);
		break;
	}
}

static void explain_offline(uint64_t id, int err)
{
	struct memory_block block;

	switch (err) {
	case EBUSY:
	case EAGAIN:
		if (!memory_block_read(&block, id) && strncmp(block.zones, "Movable", strlen("Movable")))
			hint("the block is in zone %s, so the kernel may use it for its own data; only memory in zone Movable can be expected to go offline: try other blocks with --keep-going",
			     block.zones);
		else
			hint("some pages of the block cannot be moved, perhaps because a device uses them: try again, or try other blocks with --keep-going");
		break;
	case ENOMEM:
		hint("there is not enough free memory elsewhere for the data in the block: free some memory, then try again");
		break;
	default:
		hint_by_errno(err);
		break;
	}
}

/* @err: a positive errno; 0 if the block was changed */
static void report_block(const struct change *change, uint64_t id, int err, const char *state)
{
	uint64_t start = id * change->block_size;

	if (err)
		error("cannot set memory block %" PRIu64 " (0x%" PRIx64 "-0x%" PRIx64 ") %s: %s", id, start,
		      start + change->block_size - 1, state, strerror(err));
	else
		printf("memory block %" PRIu64 " (0x%" PRIx64 "-0x%" PRIx64 ") %s\n", id, start,
		       start + change->block_size - 1, state);
}

/* Return whether to continue with the next block. */
static bool change_block(const struct request *request, struct change *change, uint64_t id,
			 struct progress *progress)
{
	int ret;

	/* EINTR may come from another signal or from a suspend: try again. */
	do {
		ret = sysfs_write(request->state, "/sys/devices/system/memory/memory%" PRIu64 "/state", id);
	} while (ret == -EINTR && !interrupted);

	if (!ret) {
		ranges_add(&change->done, (struct range){ id, id });
		change->done_count++;
		if (!request->online && memory_block_is_poisoned(id))
			ranges_add(&change->poisoned, (struct range){ id, id });
		if (request->verbose) {
			progress_clear(progress);
			report_block(change, id, 0, state_name(request));
		}
		return true;
	}
	if (interrupted)
		return false;

	/*
	 * budget_allows() let this block through because it might already have
	 * been plugged. It was not, so the budget is used up.
	 */
	if (request->amount == AMOUNT_BUDGET && ret == -ENOSPC && !region_refresh(&change->region) &&
	    change->region.plugged + change->block_size > change->region.budget) {
		change->wanted = change->done_count;
		return false;
	}

	/*
	 * Another process has set the block to this state meanwhile. With
	 * --count and --size, another block is changed in its place.
	 */
	if (memory_block_is_online(id) == request->online && ret != -ENOENT) {
		if (request->amount == AMOUNT_ALL || request->amount == AMOUNT_BLOCKS)
			change->wanted--;
		return true;
	}

	change->failed = id;
	change->err = -ret;
	progress_clear(progress);
	report_block(change, id, -ret, state_name(request));
	return request->keep_going;
}

static void change_blocks(const struct request *request, struct change *change)
{
	/* No SA_RESTART: a signal also interrupts the current write(). */
	const struct sigaction action = { .sa_handler = interrupt };
	struct progress progress;
	bool go_on = true;
	uint64_t i;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	kernel_log_mark();
	progress_begin(&progress, state_name(request), change->wanted, change->block_size);
	for (i = 0; go_on && !interrupted && i < change->candidate_count &&
	     change->done_count < change->wanted; i++) {
		progress_update(&progress, change->done_count);
		if (request->amount == AMOUNT_BUDGET && !budget_allows(change)) {
			change->wanted = change->done_count;
			break;
		}
		go_on = change_block(request, change, change->candidates[i], &progress);
	}
	progress_clear(&progress);
}

static void report_budget(const struct change *change)
{
	char plugged[SIZE_TEXT], budget[SIZE_TEXT], over[SIZE_TEXT];
	const struct region *region = &change->region;

	format_size(plugged, region->plugged);
	format_size(budget, region->budget);
	if (region->plugged > region->budget) {
		printf("nothing to do: %s of %s are plugged, more than its budget of %s\n", plugged, region->name,
		       budget);
		hint("the host asks for %s back: twostage offline %s --count %" PRIu64,
		     format_size(over, region->plugged - region->budget), region->name,
		     (region->plugged - region->budget + change->block_size - 1) / change->block_size);
	} else if (!change->candidate_count) {
		printf("nothing to do: all of %s is online\n", region->name);
	} else {
		printf("nothing to do: %s of %s are plugged, all that its budget of %s allows\n", plugged, region->name,
		       budget);
	}
}

static void hint_poisoned(const struct change *change)
{
	char *blocks;

	if (!change->poisoned.count)
		return;
	blocks = format_ranges(&change->poisoned);
	hint("poisoned memory blocks: %s; each is offline but not standby: it has a hardware-poisoned page and keeps its memory until the next boot",
	     blocks);
	free(blocks);
}

static int report(const struct request *request, const struct change *change)
{
	char done_size[SIZE_TEXT], wanted_size[SIZE_TEXT];
	char *blocks;

	format_size(done_size, change->done_count * change->block_size);
	if (change->done_count >= change->wanted && change->done_count) {
		blocks = format_ranges(&change->done);
		printf("set %" PRIu64 " block%s (%s) %s: memory block%s %s\n", change->done_count,
		       plural(change->done_count), done_size, state_name(request),
		       plural(change->done_count), blocks);
		free(blocks);
		hint_poisoned(change);
		return EXIT_SUCCESS;
	}
	if (!change->wanted && request->amount == AMOUNT_BUDGET) {
		report_budget(change);
		return EXIT_SUCCESS;
	}
	if (!change->wanted) {
		printf("nothing to do: none of these memory blocks is %s\n", request->online ? "standby" : "online");
		return EXIT_SUCCESS;
	}

	error("set %" PRIu64 " of %" PRIu64 " block%s %s (%s of %s)%s", change->done_count, change->wanted,
	      plural(change->wanted), state_name(request), done_size,
	      format_size(wanted_size, change->wanted * change->block_size),
	      interrupted ? ", then was interrupted" : "");
	if (change->err) {
		kernel_log_show();
		if (request->online)
			explain_online(change->err);
		else
			explain_offline(change->failed, change->err);
	} else if (!interrupted) {
		hint("others were quicker to change blocks: twostage list");
	}
	hint_poisoned(change);
	return EXIT_FAILURE;
}

static int check_budget(struct change *change, const struct region *region)
{
	if (!region->has_budget) {
		error("--to-budget: %s has no budget: its provider %s allows all of its memory", region->name,
		      region->provider);
		hint("to set all of it online: twostage online %s --all", region->name);
		return EXIT_FAILURE;
	}
	change->region = *region;
	return EXIT_SUCCESS;
}

/* Blocks that went into a kernel zone (online_kernel) need no warning. */
static void warn_about_movable(const struct request *request)
{
	struct zones zones;

	if (request->online && strcmp(request->state, "online_kernel") && !zones_read(&zones))
		zones_warn(&zones);
}

static int change_memory(const struct request *request, char *const *names, int count)
{
	struct change change = { 0 };
	struct regions regions;
	int status = EXIT_FAILURE;

	if (module_missing() || memory_block_size(&change.block_size) || regions_read(&regions))
		return EXIT_FAILURE;
	if (regions_select(&regions, names, count))
		goto free;
	if (!regions.count) {
		error("there are no regions");
		hint("to find memory for a region: twostage discover; to add a region: twostage add");
		goto free;
	}

	if (request->amount == AMOUNT_BUDGET && check_budget(&change, &regions.region[0]))
		goto free;
	if (request->amount == AMOUNT_BLOCKS) {
		if (add_named_candidates(request, &change))
			goto free;
	} else {
		add_candidates_of_regions(request, &change, &regions);
	}
	sort_candidates(request, &change);
	if (decide_wanted(request, &change))
		goto free;
	change_blocks(request, &change);
	status = report(request, &change);
	if (change.done_count)
		warn_about_movable(request);
free:
	ranges_free(&change.done);
	ranges_free(&change.poisoned);
	free(change.candidates);
	regions_free(&regions);
	return status;
}

static const char *online_state(const char *zone)
{
	if (!strcasecmp(zone, "movable"))
		return "online_movable";
	if (!strcasecmp(zone, "kernel"))
		return "online_kernel";
	if (!strcasecmp(zone, "auto"))
		return "online";
	return NULL;
}

static const char *amount_options(const struct request *request)
{
	return request->online ? "--count N, --size SIZE, --all, --blocks BLOCKS or --to-budget REGION" :
				 "--count N, --size SIZE, --all or --blocks BLOCKS";
}

static int set_amount(struct request *request, const char *command, int option)
{
	static const enum amount amounts[] = {
		['c'] = AMOUNT_COUNT, ['s'] = AMOUNT_SIZE, ['a'] = AMOUNT_ALL, ['b'] = AMOUNT_BLOCKS,
		['t'] = AMOUNT_BUDGET,
	};

	if (request->amount)
		return usage_error(command, "accepts only one of %s", amount_options(request));
	request->amount = amounts[option];
	switch (request->amount) {
	case AMOUNT_COUNT:
		if (parse_count(optarg, &request->count) || !request->count)
			return usage_error(command, "--count: \"%s\" is not a valid number of memory blocks", optarg);
		break;
	case AMOUNT_SIZE:
		if (parse_size(optarg, &request->size) || !request->size)
			return usage_error(command, "--size: \"%s\" is not a valid size: use a size like 4G or 4GiB",
					   optarg);
		break;
	case AMOUNT_BLOCKS:
		if (parse_ranges(optarg, &request->blocks))
			return usage_error(command,
					   "--blocks: \"%s\" is not a list of memory blocks: use a list like 32-35 or 32,40-41",
					   optarg);
		break;
	default:
		break;
	}
	return EXIT_SUCCESS;
}

static int check_request(const struct request *request, const char *command, char *const *names,
			 int count)
{
	int i;

	if (!request->amount)
		return usage_error(command, "needs one of %s", amount_options(request));
	if (request->amount == AMOUNT_BLOCKS && count)
		return usage_error(command, "--blocks cannot be combined with a region, \"%s\"", names[0]);
	if (request->amount == AMOUNT_BUDGET && count != 1)
		return usage_error(command, "--to-budget needs exactly one region, not %d", count);
	for (i = 0; i < count; i++)
		if (!region_name_valid(names[i]))
			return usage_error(command, "\"%s\" is not a region name: use a name like region0",
					   names[i]);
	return EXIT_SUCCESS;
}

/*
 * @options and @short_options are the options of the command: offline has
 * neither --zone nor --to-budget.
 */
static int command_change(int argc, char **argv, struct request *request, const char *short_options,
			  const struct option *options)
{
	const char *command = state_name(request);
	int status, option;

	while ((option = getopt_long(argc, argv, short_options, options, NULL)) != -1) {
		switch (option) {
		case 'c':
		case 's':
		case 'a':
		case 'b':
		case 't':
			status = set_amount(request, command, option);
			if (status)
				return status;
			break;
		case 'z':
			request->state = online_state(optarg);
			if (!request->state)
				return usage_error(command, "--zone: \"%s\" is not movable, kernel or auto",
						   optarg);
			break;
		case 'k':
			request->keep_going = true;
			break;
		case 'v':
			request->verbose = true;
			break;
		case 'h':
			print_help(request->online);
			return EXIT_SUCCESS;
		default:
			return getopt_error(command);
		}
	}
	status = check_request(request, command, argv + optind, argc - optind);
	if (!status)
		status = change_memory(request, argv + optind, argc - optind);
	return status;
}

#define COMMON_OPTIONS						\
	{ "count", required_argument, NULL, 'c' },		\
	{ "size", required_argument, NULL, 's' },		\
	{ "all", no_argument, NULL, 'a' },			\
	{ "blocks", required_argument, NULL, 'b' },		\
	{ "keep-going", no_argument, NULL, 'k' },		\
	{ "verbose", no_argument, NULL, 'v' },			\
	{ "help", no_argument, NULL, 'h' }

/**
 * command_online() - set standby memory blocks online
 */
int command_online(int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{ "zone", required_argument, NULL, 'z' },
		{ "to-budget", no_argument, NULL, 't' },
		{ NULL, 0, NULL, 0 }
	};
	struct request request = { .online = true, .state = "online_movable" };
	int status = command_change(argc, argv, &request, "c:s:ab:tkvhz:", options);

	ranges_free(&request.blocks);
	return status;
}

/**
 * command_offline() - set memory blocks offline
 */
int command_offline(int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{ NULL, 0, NULL, 0 }
	};
	struct request request = { .state = "offline" };
	int status = command_change(argc, argv, &request, "c:s:ab:kvh", options);

	ranges_free(&request.blocks);
	return status;
}
