/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * When memory blocks go online and offline: a function of the configuration, of
 * what has been measured, and of what was done before
 *
 * Nothing in here reads a file or a clock, or allocates memory. Sizes are in
 * bytes, times in milliseconds of a clock that does not go backwards.
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGED_POLICY_H
#define TWOSTAGED_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#define POLICY_NODES 16
#define POLICY_REGIONS 32

/* Kinds of zones. Only kernel zones can hold the kernel's own data. */
enum policy_zone {
	POLICY_MOVABLE,
	POLICY_KERNEL,
	POLICY_ZONES
};

enum policy_budget {
	POLICY_STRICT,
	POLICY_GENTLE
};

/**
 * struct policy_config - the limits
 * @min: memory of the system below which no block goes offline
 * @max: memory of the system above which no block comes online
 * @low: available memory below which blocks come online
 * @target: available memory up to which they do
 * @high: available memory above which blocks go offline
 * @kernel_low: available memory in kernel zones below which blocks come online
 *	in a kernel zone, until there is twice as much
 * @settle: how long more than @high must have been available
 * @hysteresis: how long after a growth no block goes offline
 * @ratio: the most memory in zones Movable, in percent of the kernel zones
 * @pressure: memory pressure, in percent of the time, that asks for memory
 * @speed: how fast programs may use up memory, in bytes per millisecond
 * @budget: whether the budget of a region is followed although @low is crossed
 */
struct policy_config {
	uint64_t min;
	uint64_t max;
	uint64_t low;
	uint64_t target;
	uint64_t high;
	uint64_t kernel_low;
	uint64_t settle;
	uint64_t hysteresis;
	uint64_t ratio;
	uint64_t pressure;
	uint64_t speed;
	enum policy_budget budget;
};

/**
 * struct policy_memory - memory of a node in one kind of zones
 * @present: all of it
 * @free: what is free
 * @available: what is free or can be made so without swapping
 */
struct policy_memory {
	uint64_t present;
	uint64_t free;
	uint64_t available;
};

/**
 * struct policy_region - a region
 * @node: its node
 * @standby: number of blocks that may come online
 * @ready: number of online blocks that may be tried to set offline now, by zone
 * @has_budget: whether @budget and @plugged are valid
 * @budget: how much memory the provider allows to be assigned
 * @plugged: how much it has assigned
 */
struct policy_region {
	unsigned int node;
	uint64_t standby;
	uint64_t ready[POLICY_ZONES];
	bool has_budget;
	uint64_t budget;
	uint64_t plugged;
};

/**
 * struct policy_input - what has been measured
 * @now: the time
 * @pressure: the share of the time in which a task waited for memory, in percent
 * @available: available memory of the whole system
 * @block_size: size of a memory block
 * @node: memory of each node
 * @regions: number of regions
 * @region: the regions, the preferred one first
 */
struct policy_input {
	uint64_t now;
	uint64_t pressure;
	uint64_t available;
	uint64_t block_size;
	struct policy_memory node[POLICY_NODES][POLICY_ZONES];
	unsigned int regions;
	struct policy_region region[POLICY_REGIONS];
};

enum policy_kind {
	POLICY_NOTHING,
	POLICY_GROW,
	POLICY_SHRINK,
	/* Give up the shrink that is running, because memory is needed */
	POLICY_ABORT
};

/* Why something happens, ... */
enum policy_reason {
	POLICY_NO_REASON,
	POLICY_BELOW_MIN,
	POLICY_KERNEL_SHORT,
	POLICY_BELOW_LOW,
	POLICY_UNDER_PRESSURE,
	POLICY_BELOW_TARGET,
	POLICY_OVER_BUDGET,
	POLICY_SURPLUS,
	/* ... and why nothing does */
	POLICY_ENOUGH,
	POLICY_RUNNING,
	POLICY_NO_REGION,
	POLICY_AT_MAX,
	POLICY_NO_STANDBY,
	POLICY_BUDGET_USED,
	POLICY_RETRY_LATER,
	POLICY_AT_MIN,
	POLICY_SETTLING,
	POLICY_AFTER_GROWTH,
	POLICY_NEEDED,
	POLICY_BLOCKS_IN_USE,
	POLICY_REASONS
};

/**
 * struct policy_state - what was done before
 * @grown: time of the end of the last growth; 0: never
 * @shrunk: time of the end of the last shrink; 0: never
 * @streak: number of growths, each soon after the one before
 * @calm: since when more than @high has been available without pressure; 0: it
 *	is not now
 * @running: what has been started and has not ended
 * @running_why: its reason
 * @retry: for each region, the time before which no block of it comes online,
 *	because the last try failed
 * @failures: for each region, how many tries in a row failed
 */
struct policy_state {
	uint64_t grown;
	uint64_t shrunk;
	uint64_t streak;
	uint64_t calm;
	enum policy_kind running;
	enum policy_reason running_why;
	uint64_t retry[POLICY_REGIONS];
	uint64_t failures[POLICY_REGIONS];
};

/**
 * struct policy_action - what to do
 * @kind: what
 * @why: the reason
 * @wanted: POLICY_NO_REASON; or, if nothing happens although memory is needed or
 *	has to be given back, the reason for which something should
 * @region: index of the region
 * @zone: the zone in which blocks come online, or from which one goes offline
 * @count: number of blocks
 * @wait: after how many milliseconds to measure again
 * @state: the state from now on
 */
struct policy_action {
	enum policy_kind kind;
	enum policy_reason why;
	enum policy_reason wanted;
	unsigned int region;
	enum policy_zone zone;
	uint64_t count;
	uint64_t wait;
	struct policy_state state;
};

struct policy_action policy(const struct policy_config *config, const struct policy_state *state,
			    const struct policy_input *input);
struct policy_state policy_done(const struct policy_state *state, const struct policy_action *action,
				uint64_t now, uint64_t done, bool failed);
struct policy_config policy_resolve(const struct policy_config *config, uint64_t base, uint64_t block_size,
				    uint64_t grow_time);
uint64_t policy_faster(const struct policy_config *config, uint64_t base, uint64_t grow_time);
uint64_t policy_total(const struct policy_input *input, enum policy_zone zone);
const char *policy_reason_text(enum policy_reason reason);

#endif /* TWOSTAGED_POLICY_H */
