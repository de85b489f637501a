// SPDX-License-Identifier: GPL-2.0-only
/*
 * When memory blocks go online and offline
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <stddef.h>

#include "policy.h"

/* In milliseconds: how often to measure, at most and at least */
#define WAIT_MIN 10
#define WAIT_MAX 1000
/* Growths that are no further apart than this are one streak. */
#define STREAK_GAP 2000
/* A streak makes a growth at most 2^STREAK_MAX times as large. */
#define STREAK_MAX 5
/* The first and the longest wait after an online that failed */
#define RETRY_MIN 1000
#define RETRY_MAX 300000

#define MIB (UINT64_C(1) << 20)

/* The least reserve that is chosen */
#define LOW_MIN (64 * MIB)

/* Sums over all nodes and zones */
struct sums {
	uint64_t total;
	uint64_t present[POLICY_ZONES];
	uint64_t free;
	uint64_t movable_available;
	uint64_t kernel_available;
	uint64_t kernel_free;
};

static uint64_t at_most(uint64_t value, uint64_t limit)
{
	return value < limit ? value : limit;
}

static uint64_t at_least(uint64_t value, uint64_t limit)
{
	return value > limit ? value : limit;
}

static uint64_t missing(uint64_t have, uint64_t want)
{
	return want > have ? want - have : 0;
}

static uint64_t blocks_for(uint64_t bytes, uint64_t block_size)
{
	return bytes / block_size + !!(bytes % block_size);
}

static struct sums sum(const struct policy_input *input)
{
	struct sums sums = { 0 };
	int node, zone;

	for (node = 0; node < POLICY_NODES; node++) {
		for (zone = 0; zone < POLICY_ZONES; zone++) {
			const struct policy_memory *memory = &input->node[node][zone];

			sums.total += memory->present;
			sums.present[zone] += memory->present;
			sums.free += memory->free;
		}
		sums.movable_available += input->node[node][POLICY_MOVABLE].available;
		sums.kernel_available += input->node[node][POLICY_KERNEL].available;
		sums.kernel_free += input->node[node][POLICY_KERNEL].free;
	}
	return sums;
}

/**
 * policy_total() - the memory of the system in one kind of zones
 * @input: what has been measured
 * @zone: the kind of zones
 */
uint64_t policy_total(const struct policy_input *input, enum policy_zone zone)
{
	return sum(input).present[zone];
}

static bool under_pressure(const struct policy_config *config, const struct policy_input *input)
{
	return config->pressure && input->pressure >= config->pressure;
}

/*
 * What counts as available: under pressure only what is free, because what else
 * is available is a page cache that is in use. If the pressure is that of a
 * control group at its limit, enough is free.
 */
static uint64_t usable(const struct policy_config *config, const struct policy_input *input,
		       const struct sums *sums)
{
	return under_pressure(config, input) ? at_most(sums->free, input->available) : input->available;
}

static uint64_t usable_by_kernel(const struct policy_config *config, const struct policy_input *input,
				 const struct sums *sums)
{
	return under_pressure(config, input) ? at_most(sums->kernel_free, sums->kernel_available) :
					       sums->kernel_available;
}

static enum policy_reason reason_to_grow(const struct policy_config *config, const struct policy_state *state,
					 const struct policy_input *input, const struct sums *sums)
{
	const uint64_t kernel = usable_by_kernel(config, input, sums);

	if (sums->total < config->min)
		return POLICY_BELOW_MIN;
	if (kernel < config->kernel_low || (state->streak && kernel < 2 * config->kernel_low &&
					    state->running_why == POLICY_KERNEL_SHORT))
		return POLICY_KERNEL_SHORT;
	if (input->available < config->low)
		return POLICY_BELOW_LOW;
	if (usable(config, input, sums) < config->target) {
		if (under_pressure(config, input))
			return POLICY_UNDER_PRESSURE;
		if (state->streak)
			return POLICY_BELOW_TARGET;
	}
	return POLICY_NO_REASON;
}

/* How many blocks the region may set online now; @why not, if none */
static uint64_t room_in(const struct policy_state *state, const struct policy_input *input, unsigned int index,
			enum policy_reason *why)
{
	const struct policy_region *region = &input->region[index];
	uint64_t allowed = UINT64_MAX;

	*why = POLICY_NO_STANDBY;
	if (!region->standby)
		return 0;
	if (region->has_budget)
		allowed = missing(region->plugged, region->budget) / input->block_size;
	*why = POLICY_BUDGET_USED;
	if (!allowed)
		return 0;
	*why = POLICY_RETRY_LATER;
	if (state->retry[index] > input->now)
		return 0;
	return at_most(region->standby, allowed);
}

static uint64_t node_available(const struct policy_input *input, unsigned int node, bool kernel_only)
{
	const struct policy_memory *zones = input->node[node % POLICY_NODES];

	return zones[POLICY_KERNEL].available + (kernel_only ? 0 : zones[POLICY_MOVABLE].available);
}

static bool node_has_memory(const struct policy_input *input, unsigned int node)
{
	const struct policy_memory *zones = input->node[node % POLICY_NODES];

	return zones[POLICY_KERNEL].present + zones[POLICY_MOVABLE].present > 0;
}

/*
 * The region to grow: on the node that is shortest of those that are short, or
 * else the first. False, and @why not, if no region can grow.
 */
static bool region_to_grow(const struct policy_config *config, const struct policy_state *state,
			   const struct policy_input *input, bool kernel_only, unsigned int *found,
			   enum policy_reason *why)
{
	const uint64_t enough = kernel_only ? config->kernel_low : config->low;
	unsigned int nodes = 0, node, i;
	uint64_t least = UINT64_MAX;
	bool any = false;

	for (node = 0; node < POLICY_NODES; node++)
		nodes += node_has_memory(input, node);
	*why = POLICY_NO_REGION;
	for (i = 0; i < input->regions; i++) {
		const unsigned int on = input->region[i].node;
		uint64_t available = node_available(input, on, kernel_only);
		enum policy_reason why_not;

		if (!room_in(state, input, i, &why_not)) {
			/* The reason that passes most easily says most. */
			*why = at_least(*why, why_not);
			continue;
		}
		/* A node without memory has no programs that depend on it. */
		if (!node_has_memory(input, on) || available >= enough / at_least(nodes, 1))
			available = UINT64_MAX - 1;
		if (available < least) {
			least = available;
			*found = i;
			any = true;
		}
	}
	return any;
}

/* The zone, and how many of @count blocks to set online in it at a time */
static enum policy_zone zone_to_grow(const struct policy_config *config, const struct policy_input *input,
				     const struct sums *sums, uint64_t *count)
{
	const uint64_t limit = (unsigned __int128)sums->present[POLICY_KERNEL] * config->ratio / 100;
	const uint64_t allowed = missing(sums->present[POLICY_MOVABLE], limit) / input->block_size;

	if (allowed) {
		*count = at_most(*count, allowed);
		return POLICY_MOVABLE;
	}
	*count = at_least(*count * 100 / (100 + config->ratio), 1);
	return POLICY_KERNEL;
}

/* Fill in a growth for a reason, or why there is none. */
static void grow(struct policy_action *action, const struct policy_config *config, const struct policy_state *state,
		 const struct policy_input *input, const struct sums *sums, enum policy_reason reason)
{
	const bool kernel_only = reason == POLICY_KERNEL_SHORT;
	const uint64_t streak = at_most(state->streak, STREAK_MAX), size = input->block_size;
	const uint64_t have = usable(config, input, sums);
	enum policy_reason why_not;
	uint64_t need, most;

	action->wanted = reason;
	action->why = POLICY_AT_MAX;
	if (missing(sums->total, config->max) < size)
		return;
	/* The size of blocks is known if there is a region. */
	if (!region_to_grow(config, state, input, kernel_only, &action->region, &action->why) || !size)
		return;

	/*
	 * Never so many that they would be a surplus: that keeps a growth from
	 * being followed by a shrink.
	 */
	most = at_least(missing(have, config->high) / size, 1);
	need = blocks_for(missing(have, config->target), size) << streak;
	need = at_most(need, most);
	if (reason == POLICY_BELOW_MIN)
		need = at_least(need, blocks_for(config->min - sums->total, size));
	if (kernel_only)
		need = blocks_for(missing(usable_by_kernel(config, input, sums), 2 * config->kernel_low), size);
	need = at_least(need, 1);
	need = at_most(need, missing(sums->total, config->max) / size);
	need = at_most(need, room_in(state, input, action->region, &why_not));

	action->zone = kernel_only ? POLICY_KERNEL : zone_to_grow(config, input, sums, &need);
	action->count = need;
	action->kind = POLICY_GROW;
	action->why = reason;
	action->wanted = POLICY_NO_REASON;
}

/*
 * Whether a block of this zone may leave: without @reserve being crossed, and
 * without making the kernel short. What zone Movable has no place for goes to the
 * kernel zones.
 */
static bool may_leave(const struct policy_config *config, const struct policy_input *input, const struct sums *sums,
		      enum policy_zone zone, bool over_budget, uint64_t reserve)
{
	const uint64_t kernel_reserve = over_budget ? config->kernel_low / 2 : 2 * config->kernel_low;
	const uint64_t size = input->block_size;
	uint64_t kernel;

	if (input->available < size || input->available - size < reserve)
		return false;
	if (zone == POLICY_MOVABLE)
		return sums->movable_available >= size ||
		       sums->kernel_available >= kernel_reserve + size - sums->movable_available;
	kernel = missing(size, sums->present[POLICY_KERNEL]);
	return sums->kernel_available >= size && sums->kernel_available - size >= 3 * config->kernel_low &&
	       sums->present[POLICY_MOVABLE] <= (unsigned __int128)kernel * config->ratio / 100;
}

/*
 * The region of which a block goes offline: a block in a zone Movable, which is
 * easier to empty; then on the node with the most memory available; then the
 * last one, since the first one comes online first.
 */
static bool block_to_shrink(struct policy_action *action, const struct policy_config *config,
			    const struct policy_input *input, const struct sums *sums, bool over_budget,
			    uint64_t reserve)
{
	enum policy_zone zone;
	unsigned int i;

	action->why = POLICY_BLOCKS_IN_USE;
	for (zone = POLICY_MOVABLE; zone < POLICY_ZONES; zone++) {
		uint64_t most = 0;
		bool any = false;

		for (i = 0; i < input->regions; i++) {
			const struct policy_region *region = &input->region[i];
			const uint64_t available = node_available(input, region->node, false);

			if (!region->ready[zone] ||
			    (over_budget && !(region->has_budget && region->plugged > region->budget)))
				continue;
			if (!may_leave(config, input, sums, zone, over_budget, reserve)) {
				action->why = POLICY_NEEDED;
				continue;
			}
			if (any && available < most)
				continue;
			any = true;
			most = available;
			action->region = i;
		}
		if (any) {
			action->zone = zone;
			action->count = 1;
			action->kind = POLICY_SHRINK;
			return true;
		}
	}
	return false;
}

static bool any_over_budget(const struct policy_input *input)
{
	unsigned int i;

	for (i = 0; i < input->regions; i++)
		if (input->region[i].has_budget && input->region[i].plugged > input->region[i].budget)
			return true;
	return false;
}

static void shrink(struct policy_action *action, const struct policy_config *config,
		   const struct policy_input *input, const struct sums *sums, enum policy_reason reason)
{
	const bool over_budget = reason == POLICY_OVER_BUDGET;
	/* What the kernel needs to move pages must be left in any case. */
	const uint64_t strict = at_least(config->low / 4, 16 * MIB);
	uint64_t reserve = config->target;

	action->wanted = reason;
	action->why = POLICY_AT_MIN;
	if (missing(config->min, sums->total) < input->block_size)
		return;
	if (over_budget)
		reserve = config->budget == POLICY_STRICT ? strict : config->low;
	if (!block_to_shrink(action, config, input, sums, over_budget, reserve))
		return;
	action->why = reason;
	action->wanted = POLICY_NO_REASON;
}

/* Fill in what is done about surplus memory, or why nothing is. */
static void give_back(struct policy_action *action, const struct policy_config *config,
		      const struct policy_state *state, const struct policy_input *input, const struct sums *sums)
{
	bool calm = action->state.calm > 0;

	if (any_over_budget(input) && (config->budget == POLICY_STRICT || !under_pressure(config, input))) {
		shrink(action, config, input, sums, POLICY_OVER_BUDGET);
		return;
	}
	action->why = POLICY_ENOUGH;
	if (!calm)
		return;
	action->why = POLICY_SETTLING;
	if (input->now - action->state.calm < config->settle)
		return;
	action->why = POLICY_AFTER_GROWTH;
	if (state->grown && input->now - state->grown < config->hysteresis)
		return;
	shrink(action, config, input, sums, POLICY_SURPLUS);
	/* Memory that cannot be given back now is no failure. */
	if (action->kind == POLICY_NOTHING && action->why != POLICY_BLOCKS_IN_USE)
		action->wanted = POLICY_NO_REASON;
}

/*
 * Before programs that use memory up at the configured speed can have taken
 * half of what is left above the lower half of @low. The kernel needs memory for
 * its own data at an eighth of that speed at most: it does
 * more with each page of that than to clear it.
 */
static uint64_t time_to_look(const struct policy_config *config, const struct policy_input *input,
			     const struct sums *sums)
{
	const uint64_t spare = missing(config->low / 2, usable(config, input, sums));
	const uint64_t kernel = missing(config->kernel_low / 2, usable_by_kernel(config, input, sums));
	const uint64_t speed = at_least(config->speed, 1);
	const uint64_t wait = at_most(spare / 2 / speed, 8 * kernel / 2 / speed);

	return at_least(at_most(wait, WAIT_MAX), WAIT_MIN);
}

/**
 * policy() - decide what to do now
 * @config: the limits, see policy_resolve()
 * @state: what was done before; all 0 at first
 * @input: what has been measured
 *
 * Return: the action; its result is for policy_done().
 */
struct policy_action policy(const struct policy_config *config, const struct policy_state *state,
			    const struct policy_input *input)
{
	struct policy_action action = { .state = *state };
	const struct sums sums = sum(input);
	const bool calm = input->available > config->high && !under_pressure(config, input);
	struct policy_state *next = &action.state;
	enum policy_reason reason;

	next->calm = calm ? (state->calm ? state->calm : at_least(input->now, 1)) : 0;
	if (state->running == POLICY_NOTHING && state->streak && input->now - state->grown > STREAK_GAP)
		next->streak = 0;
	action.wait = time_to_look(config, input, &sums);

	reason = reason_to_grow(config, next, input, &sums);
	if (!reason && state->running == POLICY_NOTHING)
		next->streak = 0;
	if (reason)
		grow(&action, config, next, input, &sums, reason);
	if (state->running != POLICY_NOTHING) {
		/* A growth has time only once the shrink has ended. */
		if (action.kind == POLICY_GROW && state->running == POLICY_SHRINK &&
		    state->running_why != POLICY_OVER_BUDGET)
			action.kind = POLICY_ABORT;
		else
			action = (struct policy_action){
				.why = POLICY_RUNNING, .wait = action.wait, .state = action.state,
			};
		return action;
	}
	if (action.kind == POLICY_NOTHING && !reason)
		give_back(&action, config, state, input, &sums);
	else if (action.kind == POLICY_NOTHING && any_over_budget(input) && config->budget == POLICY_STRICT)
		shrink(&action, config, input, &sums, POLICY_OVER_BUDGET);
	if (action.kind != POLICY_NOTHING) {
		next->running = action.kind;
		next->running_why = action.why;
	}
	return action;
}

/**
 * policy_done() - the state after an action has ended
 * @state: the state before
 * @action: the action
 * @now: the time
 * @done: how many blocks were set online or offline
 * @failed: whether it ended because a block failed
 */
struct policy_state policy_done(const struct policy_state *state, const struct policy_action *action,
				uint64_t now, uint64_t done, bool failed)
{
	struct policy_state next = *state;

	next.running = POLICY_NOTHING;
	if (action->kind == POLICY_GROW) {
		uint64_t *failures = &next.failures[action->region];

		if (done) {
			next.grown = at_least(now, 1);
			next.streak++;
		}
		if (failed) {
			next.retry[action->region] =
				now + at_most(RETRY_MIN << at_most(*failures, 10), RETRY_MAX);
			++*failures;
		} else {
			*failures = 0;
		}
	} else if (done) {
		next.shrunk = at_least(now, 1);
	}
	return next;
}

/**
 * policy_resolve() - choose the limits that are not configured
 * @config: the limits; 0 for those to choose: @low, @target, @high, @kernel_low,
 *	@max
 * @base: the memory of the system without any region
 * @block_size: size of a memory block
 * @grow_time: how long it takes to set a block online, in milliseconds
 *
 * The reserve is what programs can use up from one measurement to the end of
 * the growth that follows it, at most a quarter of the system.
 *
 * Return: the limits, in an order that makes sense: low < target < high, and
 * high at least two blocks above target.
 */
struct policy_config policy_resolve(const struct policy_config *config, uint64_t base, uint64_t block_size,
				    uint64_t grow_time)
{
	struct policy_config limits = *config;

	if (!limits.max)
		limits.max = UINT64_MAX;
	if (!limits.low) {
		limits.low = limits.speed * (2 * WAIT_MIN + grow_time);
		limits.low = at_least(limits.low, LOW_MIN);
		limits.low = at_most(limits.low, base / 4);
	}
	limits.low = at_least(limits.low, 1);
	if (limits.target <= limits.low)
		limits.target = limits.low + at_least(limits.low, block_size / 2);
	limits.high = at_least(limits.high, limits.target + 2 * block_size);
	if (!limits.kernel_low)
		limits.kernel_low = at_most(at_least(limits.low / 4, 32 * MIB), base / 8);
	return limits;
}

/**
 * policy_faster() - the speed to reckon with after the reserve was too small
 * @config: the limits, see policy_resolve(), with the speed
 * @base: the memory of the system without any region
 * @grow_time: how long it takes to set a block online, in milliseconds
 *
 * Return: what makes the reserve that policy_resolve() chooses half as large
 * again, as far as it can be.
 */
uint64_t policy_faster(const struct policy_config *config, uint64_t base, uint64_t grow_time)
{
	const uint64_t time = 2 * WAIT_MIN + grow_time;
	const uint64_t reserve = at_least(config->speed * time, LOW_MIN);

	return at_least(config->speed, at_most(reserve + reserve / 2, base / 4) / time);
}

/**
 * policy_reason_text() - a reason, for messages
 * @reason: the reason
 */
const char *policy_reason_text(enum policy_reason reason)
{
	static const char *const texts[POLICY_REASONS] = {
		[POLICY_NO_REASON] = "no reason",
		[POLICY_BELOW_MIN] = "less memory than min=",
		[POLICY_KERNEL_SHORT] = "the kernel's own zones are short",
		[POLICY_BELOW_LOW] = "less than low= is available",
		[POLICY_UNDER_PRESSURE] = "memory pressure",
		[POLICY_BELOW_TARGET] = "less than target= is available",
		[POLICY_OVER_BUDGET] = "more is plugged than the budget",
		[POLICY_SURPLUS] = "more than high= has been available for settle=",
		[POLICY_ENOUGH] = "enough memory is available, and not too much",
		[POLICY_RUNNING] = "an action is running",
		[POLICY_NO_REGION] = "there is no region",
		[POLICY_AT_MAX] = "max= is reached",
		[POLICY_NO_STANDBY] = "no standby block is left",
		[POLICY_BUDGET_USED] = "the budget is used up",
		[POLICY_RETRY_LATER] = "the last try failed, and the next one is due later",
		[POLICY_AT_MIN] = "min= is reached",
		[POLICY_SETTLING] = "more than high= is available, but not yet for settle=",
		[POLICY_AFTER_GROWTH] = "the last growth was less than hysteresis= ago",
		[POLICY_NEEDED] = "the memory is needed",
		[POLICY_BLOCKS_IN_USE] = "no block can be tried now",
	};

	return reason < POLICY_REASONS ? texts[reason] : "?";
}
