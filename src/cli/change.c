// SPDX-License-Identifier: GPL-2.0-only
/*
 * twostage online, twostage offline
 *
 * Block by block, through each block's own state file: so it can be told how far it has come, at which
 * block it stopped, and it can be interrupted between two blocks.
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
 * struct request - what the user asks for
 * @online: online or offline
 * @state: what is to be written into a block's state file
 * @amount: how it is said how much
 * @count: number of blocks (AMOUNT_COUNT)
 * @size: in bytes (AMOUNT_SIZE)
 * @blocks: numbers of blocks (AMOUNT_BLOCKS)
 * @keep_going: go on with other blocks when one fails
 * @verbose: say each block
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
 * struct change - how far it has come
 * @block_size: in bytes
 * @candidates: numbers of the blocks that can be changed, in order
 * @candidate_count: how many
 * @wanted: how many of them are to be changed
 * @region: the only one (AMOUNT_BUDGET)
 * @done: those that have been
 * @done_count: how many
 * @poisoned: those that are offline now, but not standby
 * @failed: the block that failed last
 * @err: why, a positive errno; 0 if none has failed
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
	       "Set standby memory blocks online: those of the regions that are named, or of any, lowest address\n"
	       "first.\n\n" :
	       "Set memory blocks offline, which are standby then: those of the regions that are named, or of\n"
	       "any, highest address first.\n\n");
	printf("How much:\n"
	       "  -c, --count N          that many memory blocks\n"
	       "  -s, --size SIZE        that much (4G, 512M, 4GiB), a multiple of the memory block size\n"
	       "  -a, --all              all there are\n"
	       "  -b, --blocks BLOCKS    these memory blocks: 32-35 or 32,40-41\n");
	if (online)
		printf("  -t, --to-budget        as many of REGION as its provider's budget allows now\n");
	printf("\nOptions:\n");
	if (online)
		printf("  -z, --zone movable|kernel|auto\n"
		       "                         movable (default): only memory that can be taken offline again goes there;\n"
		       "                         kernel: for the kernel too, and then it may stay; auto: what the kernel's\n"
		       "                         policy says\n");
	printf("  -k, --keep-going       when a block fails, go on with others; without, stop there\n"
	       "  -v, --verbose          say each block\n"
	       "  -h, --help             display this help\n\n"
	       "What was done before a block fails, or before it is interrupted, stays.\n\n"
	       "Exit status: 0 if all was done, 1 if nothing or a part of it, 2 if the command line was wrong.\n");
}

static void add_candidate(struct change *change, uint64_t id)
{
	/* Grow when a power of two is full. */
	if (!(change->candidate_count & (change->candidate_count - 1)))
		change->candidates = realloc_or_die(change->candidates,
						    change->candidate_count ?
						    2 * change->candidate_count : 1,
						    sizeof(*change->candidates));
	change->candidates[change->candidate_count++] = id;
}

static void consider_range(const struct request *request, struct change *change, struct range ids)
{
	uint64_t i;

	for (i = 0; i < range_size(ids); i++) {
		if (memory_block_is_online(ids.start + i) == request->online)
			continue;
		/* It is offline and does not come online; one that is named is tried, to say why. */
		if (request->online && request->amount != AMOUNT_BLOCKS &&
		    memory_block_is_poisoned(ids.start + i))
			continue;
		add_candidate(change, ids.start + i);
	}
}

static void consider_regions(const struct request *request, struct change *change,
			     const struct regions *regions)
{
	size_t i;

	for (i = 0; i < regions->count; i++)
		consider_range(request, change,
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

/* The number of a region says nothing about its address. */
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
		hint("for other memory there is chmem");
	} else {
		error("memory block %" PRIu64 ": %s", id,
		      ret == -ENOENT ? "there is no such block" : strerror(-ret));
		hint("twostage blocks");
	}
	return EXIT_FAILURE;
}

/* Each of them has to be in a region, or nothing is changed. */
static int consider_blocks(const struct request *request, struct change *change)
{
	size_t i;

	for (i = 0; i < request->blocks.count; i++) {
		struct range ids = request->blocks.range[i];
		uint64_t id = ids.start;

		/* The last one may be the last number that there is. */
		do {
			if (check_block(id))
				return EXIT_FAILURE;
		} while (id++ != ids.end);
	}
	for (i = 0; i < request->blocks.count; i++)
		consider_range(request, change, request->blocks.range[i]);
	return EXIT_SUCCESS;
}

/* Whether one more block is within the budget, as far as can be seen from here */
static bool budget_allows(struct change *change)
{
	const struct region *region = &change->region;

	if (region_refresh(&change->region))
		return true;
	/*
	 * Blocks of what is plugged already take nothing more of the budget. There are such blocks if the
	 * provider plugs several at once.
	 */
	return region->plugged + change->block_size <= region->budget ||
	       (region->plugged <= region->budget && region->online * change->block_size < region->plugged);
}

/* At most: the provider may plug several blocks at once, and the host may change its mind */
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
			error("--size: %s is not a multiple of the memory block size, %s",
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
		error("cannot set %" PRIu64 " block%s %s: %" PRIu64 " (%s) %s %s", change->wanted,
		      plural(change->wanted), state_name(request), change->candidate_count,
		      format_size(size, change->candidate_count * change->block_size),
		      change->candidate_count == 1 ? "is" : "are", request->online ? "standby" : "online");
		hint("--all takes all there are; twostage list");
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

static void explain_online(int err)
{
	switch (err) {
	case ENXIO:
		hint("is there memory at these addresses? twostage discover lists what the firmware knows of");
		break;
	case ENOSPC:
		hint("twostage list shows the budget; it is for the host to raise it");
		break;
	case ENOMEM:
		hint("a block that holds its own memmap needs less: twostage add --memmap-on-memory yes");
		break;
	case ECANCELED:
	case EBUSY:
	case EAGAIN:
		hint("some other part of the kernel refused it; it may be worth another try");
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
			hint("it is in zone %s, and the kernel itself may use it; only memory in zone Movable can be expected to go offline",
			     block.zones);
		else
			hint("some of it is pinned, for a device perhaps; try again, or others: --keep-going");
		break;
	case ENOMEM:
		hint("there is not enough memory elsewhere for what is in it");
		break;
	default:
		hint_by_errno(err);
		break;
	}
}

static void report_block(const struct change *change, uint64_t id, int err, const char *what)
{
	uint64_t start = id * change->block_size;

	if (err)
		error("memory block %" PRIu64 " (0x%" PRIx64 "-0x%" PRIx64 "): %s", id, start,
		      start + change->block_size - 1, strerror(err));
	else
		printf("memory block %" PRIu64 " (0x%" PRIx64 "-0x%" PRIx64 ") %s\n", id, start,
		       start + change->block_size - 1, what);
}

/* Whether to go on with the next one */
static bool change_block(const struct request *request, struct change *change, uint64_t id,
			 struct progress *progress)
{
	int ret;

	/* The kernel gives up for any signal, and for a system that goes to sleep. */
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

	/* The block was tried since it might have been plugged already. */
	if (request->amount == AMOUNT_BUDGET && ret == -ENOSPC && !region_refresh(&change->region) &&
	    change->region.plugged + change->block_size > change->region.budget) {
		change->wanted = change->done_count;
		return false;
	}

	/* Somebody else was quicker. Of a number of blocks, it was not one of ours. */
	if (memory_block_is_online(id) == request->online && ret != -ENOENT) {
		if (request->amount == AMOUNT_ALL || request->amount == AMOUNT_BLOCKS)
			change->wanted--;
		return true;
	}

	change->failed = id;
	change->err = -ret;
	progress_clear(progress);
	report_block(change, id, -ret, NULL);
	return request->keep_going;
}

static void change_blocks(const struct request *request, struct change *change)
{
	/* No SA_RESTART: a block that is being changed is interrupted too. */
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
		printf("nothing to do: of %s %s are plugged, and its budget is %s\n", region->name, plugged, budget);
		hint("the host wants %s back: twostage offline %s --size %s",
		     format_size(over, region->plugged - region->budget), region->name, over);
	} else if (!change->candidate_count) {
		printf("nothing to do: all of %s is online\n", region->name);
	} else {
		printf("nothing to do: of %s %s are plugged, which is all that its budget of %s allows\n", region->name,
		       plugged, budget);
	}
}

static void hint_poisoned(const struct change *change)
{
	char *blocks;

	if (!change->poisoned.count)
		return;
	blocks = format_ranges(&change->poisoned);
	hint("offline, but not standby: memory blocks %s have a hardware-poisoned page, and keep their memory until the next boot",
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
		printf("nothing to do: no block of these is %s\n", request->online ? "standby" : "online");
		return EXIT_SUCCESS;
	}

	error("set %" PRIu64 " of %" PRIu64 " block%s %s (%s of %s)%s", change->done_count, change->wanted,
	      plural(change->wanted), state_name(request), done_size,
	      format_size(wanted_size, change->wanted * change->block_size),
	      interrupted ? ", then it was interrupted" : "");
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
	if (!region->limited) {
		error("--to-budget: %s has no budget, its provider %s allows all of it", region->name, region->provider);
		hint("twostage online %s --all", region->name);
		return EXIT_FAILURE;
	}
	change->region = *region;
	return EXIT_SUCCESS;
}

/* Memory that went into a kernel zone is no reason for a warning. */
static void warn_of_movable(const struct request *request)
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
		hint("twostage discover finds memory for one, twostage add makes it");
		goto free;
	}

	if (request->amount == AMOUNT_BUDGET && check_budget(&change, &regions.region[0]))
		goto free;
	if (request->amount == AMOUNT_BLOCKS) {
		if (consider_blocks(request, &change))
			goto free;
	} else {
		consider_regions(request, &change, &regions);
	}
	sort_candidates(request, &change);
	if (decide_wanted(request, &change))
		goto free;
	change_blocks(request, &change);
	status = report(request, &change);
	if (change.done_count)
		warn_of_movable(request);
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
	return request->online ? "--count, --size, --all, --blocks and --to-budget" :
				 "--count, --size, --all and --blocks";
}

static int set_amount(struct request *request, const char *command, int option)
{
	static const enum amount amounts[] = {
		['c'] = AMOUNT_COUNT, ['s'] = AMOUNT_SIZE, ['a'] = AMOUNT_ALL, ['b'] = AMOUNT_BLOCKS,
		['t'] = AMOUNT_BUDGET,
	};

	if (request->amount)
		return usage_error(command, "takes only one of %s", amount_options(request));
	request->amount = amounts[option];
	switch (request->amount) {
	case AMOUNT_COUNT:
		if (parse_count(optarg, &request->count) || !request->count)
			return usage_error(command, "--count: \"%s\" is not a number of blocks", optarg);
		break;
	case AMOUNT_SIZE:
		if (parse_size(optarg, &request->size) || !request->size)
			return usage_error(command, "--size: \"%s\" is not a size, like 4G or 4GiB", optarg);
		break;
	case AMOUNT_BLOCKS:
		if (parse_ranges(optarg, &request->blocks))
			return usage_error(command,
					   "--blocks: \"%s\" is not memory blocks, like 32-35 or 32,40-41",
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
		return usage_error(command, "say how much: --count N, --size SIZE, --all or --blocks BLOCKS%s",
				   request->online ? ", or --to-budget REGION" : "");
	if (request->amount == AMOUNT_BLOCKS && count)
		return usage_error(command, "--blocks says which already, so no \"%s\"", names[0]);
	if (request->amount == AMOUNT_BUDGET && count != 1)
		return usage_error(command, "--to-budget takes one region, not %d", count);
	for (i = 0; i < count; i++)
		if (!region_name_valid(names[i]))
			return usage_error(command, "\"%s\" is not the name of a region, like region0",
					   names[i]);
	return EXIT_SUCCESS;
}

/* Offline has no --zone and no --to-budget: @options and @short_options are what there is. */
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
