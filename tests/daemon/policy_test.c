// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the policy: single decisions, and properties that hold over generated
 * systems and loads
 *
 * A generated system is a model: some nodes and regions, memory in use that a
 * load changes over time, blocks that come online after a while, and offlines
 * that may fail. A failure prints the seed, with which --seed repeats it.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/daemon/policy.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define BLOCK (128 * MIB)
#define SECOND 1000

static uint64_t first_seed = 1;
static uint64_t seeds = 100;

/* A test fails by the first condition that does not hold. */
static bool failed;

static void __attribute__((format(printf, 1, 2))) fail(const char *format, ...)
{
	va_list args;

	if (failed)
		return;
	failed = true;
	printf("# ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

#define check(condition, ...) do { if (!(condition)) fail(#condition ": " __VA_ARGS__); } while (0)

/* xorshift64*: the same numbers on each machine */
static uint64_t random_state;

static uint64_t random_below(uint64_t limit)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * UINT64_C(0x2545f4914f6cdd1d) % limit;
}

static void seed_random(uint64_t seed)
{
	random_state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	random_below(2);
}

/* Single decisions: 512 MiB of kernel zones, 300 MiB available, 8 GiB standby */

struct situation {
	struct policy_config config;
	struct policy_state state;
	struct policy_input input;
};

static struct situation usual(void)
{
	struct situation s = { 0 };

	s.config = (struct policy_config){
		.max = UINT64_MAX, .low = 128 * MIB, .target = 256 * MIB, .high = 640 * MIB,
		.kernel_low = 32 * MIB, .settle = 30 * SECOND, .hysteresis = 60 * SECOND, .ratio = 300,
		.pressure = 10, .speed = MIB,
	};
	s.input.now = 1000 * SECOND;
	s.input.block_size = BLOCK;
	s.input.available = 300 * MIB;
	s.input.node[0][POLICY_KERNEL] = (struct policy_memory){ 512 * MIB, 200 * MIB, 300 * MIB };
	s.input.regions = 1;
	s.input.region[0].standby = 64;
	return s;
}

static struct policy_action decide(const struct situation *s)
{
	return policy(&s->config, &s->state, &s->input);
}

static void expect(const struct situation *s, enum policy_kind kind, enum policy_reason why, uint64_t count)
{
	struct policy_action action = decide(s);

	check(action.kind == kind && action.why == why && action.count == count,
	      "kind %d (%d), %s (%s), count %" PRIu64 " (%" PRIu64 ")", action.kind, kind,
	      policy_reason_text(action.why), policy_reason_text(why), action.count, count);
}

static void expect_wanted(const struct situation *s, enum policy_reason wanted, enum policy_reason why)
{
	struct policy_action action = decide(s);

	check(action.kind == POLICY_NOTHING && action.wanted == wanted && action.why == why,
	      "kind %d, wanted %s (%s), %s (%s)", action.kind, policy_reason_text(action.wanted),
	      policy_reason_text(wanted), policy_reason_text(action.why), policy_reason_text(why));
}

/* More memory than enough, for long, in blocks that may go offline */
static struct situation surplus(void)
{
	struct situation s = usual();

	s.input.available = 1500 * MIB;
	s.input.node[0][POLICY_MOVABLE] = (struct policy_memory){ GIB, 900 * MIB, 900 * MIB };
	s.input.region[0].ready[POLICY_MOVABLE] = 8;
	s.state.calm = s.input.now - 31 * SECOND;
	return s;
}

static void test_enough(void)
{
	struct situation s = usual();

	expect(&s, POLICY_NOTHING, POLICY_ENOUGH, 0);
}

static void test_low(void)
{
	struct situation s = usual();

	s.input.available = 127 * MIB;
	expect(&s, POLICY_GROW, POLICY_BELOW_LOW, 2);
	check(decide(&s).zone == POLICY_MOVABLE, "zone %d", decide(&s).zone);
	s.input.available = 128 * MIB;
	expect(&s, POLICY_NOTHING, POLICY_ENOUGH, 0);
}

static void test_target(void)
{
	struct situation s = usual();

	s.state.streak = 1;
	s.state.grown = s.input.now - 100;
	s.input.available = 200 * MIB;
	expect(&s, POLICY_GROW, POLICY_BELOW_TARGET, 2);
	s.input.available = 256 * MIB;
	expect(&s, POLICY_NOTHING, POLICY_ENOUGH, 0);
	/* Long after the last growth 200 MiB are enough again. */
	s.input.available = 200 * MIB;
	s.state.grown = s.input.now - 10 * SECOND;
	expect(&s, POLICY_NOTHING, POLICY_ENOUGH, 0);
}

static void test_more_at_a_time(void)
{
	struct situation s = usual();
	uint64_t count[4];
	int i;

	s.config.high = 4 * GIB;
	s.input.available = 100 * MIB;
	s.input.node[0][POLICY_KERNEL].present = 16 * GIB;
	for (i = 0; i < 4; i++) {
		s.state.streak = i;
		s.state.grown = s.input.now - 100;
		count[i] = decide(&s).count;
	}
	check(count[0] == 2 && count[1] == 4 && count[2] == 8 && count[3] == 16, "%" PRIu64 " %" PRIu64 " %" PRIu64
	      " %" PRIu64, count[0], count[1], count[2], count[3]);
	/* Never so many that they would be a surplus */
	s.config.high = 640 * MIB;
	s.state.streak = 5;
	check(decide(&s).count == 4, "%" PRIu64, decide(&s).count);
}

static void test_kernel_short(void)
{
	struct situation s = usual();

	s.input.available = 2 * GIB;
	s.input.node[0][POLICY_MOVABLE] = (struct policy_memory){ GIB, GIB, GIB };
	s.input.node[0][POLICY_KERNEL].available = 31 * MIB;
	expect(&s, POLICY_GROW, POLICY_KERNEL_SHORT, 1);
	check(decide(&s).zone == POLICY_KERNEL, "zone %d", decide(&s).zone);
	s.input.node[0][POLICY_KERNEL].available = 32 * MIB;
	expect(&s, POLICY_NOTHING, POLICY_SETTLING, 0);
}

static void test_ratio(void)
{
	struct situation s = usual();
	struct policy_action action;

	s.input.available = 64 * MIB;
	s.input.node[0][POLICY_MOVABLE].present = 3 * 512 * MIB - BLOCK;
	action = decide(&s);
	check(action.kind == POLICY_GROW && action.zone == POLICY_MOVABLE && action.count == 1,
	      "zone %d count %" PRIu64, action.zone, action.count);
	s.input.node[0][POLICY_MOVABLE].present = 3 * 512 * MIB;
	action = decide(&s);
	check(action.kind == POLICY_GROW && action.zone == POLICY_KERNEL && action.count == 1,
	      "zone %d count %" PRIu64, action.zone, action.count);
	s.config.ratio = 0;
	s.input.node[0][POLICY_MOVABLE].present = 0;
	check(decide(&s).zone == POLICY_KERNEL, "ratio=0");
}

static void test_pressure(void)
{
	struct situation s = usual();

	s.input.pressure = 10;
	expect(&s, POLICY_GROW, POLICY_UNDER_PRESSURE, 1);
	/* The pressure of a control group at its limit is no reason. */
	s.input.node[0][POLICY_KERNEL].free = 300 * MIB;
	expect(&s, POLICY_NOTHING, POLICY_ENOUGH, 0);
	/* Unless pressure is disregarded */
	s.input.node[0][POLICY_KERNEL].free = 200 * MIB;
	s.config.pressure = 0;
	expect(&s, POLICY_NOTHING, POLICY_ENOUGH, 0);
}

static void test_limits(void)
{
	struct situation s = usual();

	s.input.available = 64 * MIB;
	s.config.max = 512 * MIB + BLOCK - 1;
	expect_wanted(&s, POLICY_BELOW_LOW, POLICY_AT_MAX);
	s.config.max++;
	expect(&s, POLICY_GROW, POLICY_BELOW_LOW, 1);
	s.config.max = UINT64_MAX;
	s.input.region[0].has_budget = true;
	s.input.region[0].budget = GIB;
	s.input.region[0].plugged = GIB - BLOCK;
	expect(&s, POLICY_GROW, POLICY_BELOW_LOW, 1);
	s.input.region[0].plugged = GIB - BLOCK + 1;
	expect_wanted(&s, POLICY_BELOW_LOW, POLICY_BUDGET_USED);
	s.input.region[0].has_budget = false;
	s.input.region[0].standby = 0;
	expect_wanted(&s, POLICY_BELOW_LOW, POLICY_NO_STANDBY);
	s.input.regions = 0;
	expect_wanted(&s, POLICY_BELOW_LOW, POLICY_NO_REGION);
}

static void test_min(void)
{
	struct situation s = usual();

	s.config.min = GIB;
	expect(&s, POLICY_GROW, POLICY_BELOW_MIN, 4);
	s = surplus();
	s.config.min = 512 * MIB + GIB - BLOCK;
	expect(&s, POLICY_SHRINK, POLICY_SURPLUS, 1);
	s.config.min++;
	expect(&s, POLICY_NOTHING, POLICY_AT_MIN, 0);
}

static void test_retry(void)
{
	struct situation s = usual();
	struct policy_action action;
	uint64_t waits[3];
	int i;

	s.input.available = 64 * MIB;
	for (i = 0; i < 3; i++) {
		action = decide(&s);
		s.state = policy_done(&action.state, &action, s.input.now, 0, true);
		waits[i] = s.state.retry[0] - s.input.now;
		expect_wanted(&s, POLICY_BELOW_LOW, POLICY_RETRY_LATER);
		s.input.now = s.state.retry[0];
	}
	check(waits[0] > 0 && waits[1] == 2 * waits[0] && waits[2] == 2 * waits[1], "%" PRIu64 " %" PRIu64 " %" PRIu64,
	      waits[0], waits[1], waits[2]);
	/* Another region is used meanwhile. */
	s.state.retry[0] = s.input.now + 1;
	s.input.regions = 2;
	s.input.region[1].standby = 8;
	check(decide(&s).kind == POLICY_GROW && decide(&s).region == 1, "region %u", decide(&s).region);
}

static void test_node(void)
{
	struct situation s = usual();

	s.input.available = 100 * MIB;
	s.input.node[0][POLICY_KERNEL].available = 90 * MIB;
	s.input.node[1][POLICY_KERNEL] = (struct policy_memory){ 512 * MIB, 10 * MIB, 10 * MIB };
	s.input.regions = 3;
	s.input.region[1].node = 1;
	s.input.region[1].standby = 8;
	s.input.region[2].node = 1;
	s.input.region[2].standby = 8;
	check(decide(&s).region == 1, "the node that is short: region %u", decide(&s).region);
	s.input.node[1][POLICY_KERNEL].available = 64 * MIB;
	check(decide(&s).region == 0, "the order of the regions: region %u", decide(&s).region);
}

static void test_surplus(void)
{
	struct situation s = surplus();

	expect(&s, POLICY_SHRINK, POLICY_SURPLUS, 1);
	s.state.calm = s.input.now - 29 * SECOND;
	expect(&s, POLICY_NOTHING, POLICY_SETTLING, 0);
	s = surplus();
	s.state.grown = s.input.now - 59 * SECOND;
	expect(&s, POLICY_NOTHING, POLICY_AFTER_GROWTH, 0);
	s = surplus();
	s.input.pressure = 10;
	expect(&s, POLICY_NOTHING, POLICY_ENOUGH, 0);
	s = surplus();
	s.input.region[0].ready[POLICY_MOVABLE] = 0;
	expect_wanted(&s, POLICY_SURPLUS, POLICY_BLOCKS_IN_USE);
}

static void test_surplus_order(void)
{
	struct situation s = surplus();

	s.input.region[0].ready[POLICY_KERNEL] = 1;
	s.input.regions = 2;
	s.input.region[1].ready[POLICY_KERNEL] = 1;
	check(decide(&s).zone == POLICY_MOVABLE && decide(&s).region == 0, "movable first");
	s.input.region[1].ready[POLICY_MOVABLE] = 1;
	check(decide(&s).region == 1, "the last region first");
	/* A block of a kernel zone leaves only if the ratio allows it. */
	s.input.region[0].ready[POLICY_MOVABLE] = 0;
	s.input.region[1].ready[POLICY_MOVABLE] = 0;
	s.input.node[0][POLICY_KERNEL].available = 512 * MIB;
	expect(&s, POLICY_SHRINK, POLICY_SURPLUS, 1);
	s.input.node[0][POLICY_MOVABLE].present = 3 * (512 * MIB - BLOCK) + 1;
	check(decide(&s).kind == POLICY_NOTHING, "the ratio");
}

/* What is in a block of zone Movable must not make the kernel short. */
static void test_surplus_place(void)
{
	struct situation s = surplus();

	s.input.available = 700 * MIB;
	s.input.node[0][POLICY_MOVABLE].available = BLOCK - 1;
	s.input.node[0][POLICY_KERNEL].available = 64 * MIB;
	check(decide(&s).kind == POLICY_NOTHING && decide(&s).why == POLICY_NEEDED, "kind %d", decide(&s).kind);
	s.input.node[0][POLICY_KERNEL].available++;
	expect(&s, POLICY_SHRINK, POLICY_SURPLUS, 1);
	s.input.node[0][POLICY_MOVABLE].available = BLOCK;
	s.input.node[0][POLICY_KERNEL].available = 32 * MIB;
	expect(&s, POLICY_SHRINK, POLICY_SURPLUS, 1);
}

static void test_budget(void)
{
	struct situation s = usual();

	s.input.available = 400 * MIB;
	s.input.node[0][POLICY_MOVABLE] = (struct policy_memory){ GIB, 100 * MIB, 100 * MIB };
	s.input.region[0].ready[POLICY_MOVABLE] = 8;
	s.input.region[0].has_budget = true;
	s.input.region[0].plugged = GIB;
	s.input.region[0].budget = GIB;
	expect(&s, POLICY_NOTHING, POLICY_ENOUGH, 0);
	s.input.region[0].budget = GIB - 1;
	expect(&s, POLICY_SHRINK, POLICY_OVER_BUDGET, 1);
	/* Strict crosses low=, gentle does not. Neither takes all. */
	s.input.available = 200 * MIB;
	expect(&s, POLICY_SHRINK, POLICY_OVER_BUDGET, 1);
	s.config.budget = POLICY_GENTLE;
	expect_wanted(&s, POLICY_OVER_BUDGET, POLICY_NEEDED);
	s.config.budget = POLICY_STRICT;
	s.input.available = BLOCK + 31 * MIB;
	expect_wanted(&s, POLICY_OVER_BUDGET, POLICY_NEEDED);
	s.input.available = 400 * MIB;
	s.input.pressure = 10;
	expect(&s, POLICY_SHRINK, POLICY_OVER_BUDGET, 1);
	s.config.budget = POLICY_GENTLE;
	check(decide(&s).kind == POLICY_NOTHING, "gentle under pressure");
}

static void test_abort(void)
{
	struct situation s = surplus();
	struct policy_action action = decide(&s);

	s.state = action.state;
	expect(&s, POLICY_NOTHING, POLICY_RUNNING, 0);
	s.input.available = 100 * MIB;
	check(decide(&s).kind == POLICY_ABORT, "a shrink ends when memory is needed: %d", decide(&s).kind);
	s.state = policy_done(&s.state, &action, s.input.now, 0, true);
	check(decide(&s).kind == POLICY_GROW, "then blocks come online: %d", decide(&s).kind);
	s.state.running = POLICY_GROW;
	expect(&s, POLICY_NOTHING, POLICY_RUNNING, 0);
}

static void test_resolve(void)
{
	struct policy_config config = { .speed = MIB }, limits = policy_resolve(&config, 8 * GIB, BLOCK, 100);

	check(limits.low == 120 * MIB, "the reserve covers the growth: %" PRIu64, limits.low / MIB);
	check(limits.max == UINT64_MAX, "no limit");
	limits = policy_resolve(&config, 256 * MIB, BLOCK, 1000);
	check(limits.low == 64 * MIB, "at most a quarter: %" PRIu64, limits.low / MIB);
	check(limits.target > limits.low && limits.high >= limits.target + 2 * BLOCK, "the order");
	config.low = 3 * GIB;
	limits = policy_resolve(&config, 256 * MIB, BLOCK, 1000);
	check(limits.low == 3 * GIB && limits.target > limits.low, "what is configured stays");
}

static void test_faster(void)
{
	struct policy_config config = { .speed = MIB };

	config.speed = policy_faster(&config, 8 * GIB, 100);
	check(config.speed == MIB + MIB / 2, "half as much again: %" PRIu64, config.speed);
	/* 2 GiB in 128 ms is as much as the reserve may be. */
	for (int i = 0; i < 20; i++)
		config.speed = policy_faster(&config, 8 * GIB, 108);
	check(config.speed == 16 * MIB, "as far as the reserve gets larger: %" PRIu64, config.speed);
	config.speed = 1;
	config.speed = policy_faster(&config, 8 * GIB, 108);
	check(policy_resolve(&config, 8 * GIB, BLOCK, 108).low == 96 * MIB, "the least reserve gets larger, too");
	config.speed = 100 * MIB;
	check(policy_faster(&config, 8 * GIB, 108) == 100 * MIB, "a speed that was measured stays");
}

static void test_look(void)
{
	struct situation s = usual();

	s.input.available = 8 * GIB;
	check(decide(&s).wait == SECOND, "%" PRIu64, decide(&s).wait);
	s.input.available = 264 * MIB;
	check(decide(&s).wait == 100, "%" PRIu64, decide(&s).wait);
	s.input.available = 10 * MIB;
	check(decide(&s).wait == 10, "%" PRIu64, decide(&s).wait);
	/* The kernel zones by themselves */
	s.input.available = 8 * GIB;
	s.input.node[0][POLICY_KERNEL].available = 66 * MIB;
	check(decide(&s).wait == 200, "%" PRIu64, decide(&s).wait);
}

/* The model of a system */

struct world {
	struct policy_config config;
	struct policy_state state;
	struct policy_input input;
	uint64_t used;         /* of which the kernel's own data are */
	uint64_t kernel_used;
	uint64_t boot[POLICY_NODES];
	uint64_t online[POLICY_REGIONS][POLICY_ZONES];
	uint64_t blocks[POLICY_REGIONS];
	uint64_t grow_time;
	uint64_t fails;        /* percent of the offlines */
	struct policy_action running;
	uint64_t ends;
	uint64_t grown, shrunk, last_grow, last_shrink, starved;
};

static uint64_t part(uint64_t value, uint64_t of, uint64_t all)
{
	return all ? (unsigned __int128)value * of / all : 0;
}

/* What the model's system shows: memory in use is spread evenly. */
static void show(struct world *w)
{
	uint64_t present[POLICY_NODES][POLICY_ZONES] = { 0 }, sums[POLICY_ZONES] = { 0 }, used[POLICY_ZONES], total;
	unsigned int node, i;
	int zone;

	for (node = 0; node < POLICY_NODES; node++)
		present[node][POLICY_KERNEL] = w->boot[node];
	for (i = 0; i < w->input.regions; i++)
		for (zone = 0; zone < POLICY_ZONES; zone++)
			present[w->input.region[i].node][zone] += w->online[i][zone] * BLOCK;
	for (node = 0; node < POLICY_NODES; node++)
		for (zone = 0; zone < POLICY_ZONES; zone++)
			sums[zone] += present[node][zone];
	total = sums[POLICY_KERNEL] + sums[POLICY_MOVABLE];
	if (w->used > total || w->kernel_used > sums[POLICY_KERNEL]) {
		w->starved++;
		w->used = w->used > total ? total : w->used;
	}
	used[POLICY_MOVABLE] = w->used - w->kernel_used < sums[POLICY_MOVABLE] ? w->used - w->kernel_used :
			       sums[POLICY_MOVABLE];
	used[POLICY_KERNEL] = w->used - used[POLICY_MOVABLE];
	for (node = 0; node < POLICY_NODES; node++) {
		for (zone = 0; zone < POLICY_ZONES; zone++) {
			struct policy_memory *memory = &w->input.node[node][zone];

			memory->present = present[node][zone];
			memory->free = memory->present - part(used[zone], memory->present, sums[zone]);
			memory->available = memory->free;
		}
	}
	w->input.available = total - w->used;
	for (i = 0; i < w->input.regions; i++) {
		struct policy_region *region = &w->input.region[i];

		region->standby = w->blocks[i] - w->online[i][POLICY_KERNEL] - w->online[i][POLICY_MOVABLE];
		region->plugged = (w->blocks[i] - region->standby) * BLOCK;
		region->ready[POLICY_MOVABLE] = w->online[i][POLICY_MOVABLE];
		region->ready[POLICY_KERNEL] = w->online[i][POLICY_KERNEL];
	}
}

static uint64_t total(const struct world *w)
{
	return policy_total(&w->input, POLICY_KERNEL) + policy_total(&w->input, POLICY_MOVABLE);
}

static struct world generate(void)
{
	struct world w = { 0 };
	unsigned int nodes = 1 + random_below(2), i;
	uint64_t base = 0;

	for (i = 0; i < nodes; i++) {
		w.boot[i] = (256 + random_below(2048)) * MIB;
		base += w.boot[i];
	}
	w.input.block_size = BLOCK;
	w.input.now = 1;
	w.input.regions = 1 + random_below(3);
	for (i = 0; i < w.input.regions; i++) {
		w.blocks[i] = 1 + random_below(100);
		w.input.region[i].node = random_below(nodes);
		w.input.region[i].has_budget = random_below(2);
		w.input.region[i].budget = random_below(w.blocks[i] + 1) * BLOCK;
	}
	w.config = (struct policy_config){
		.max = random_below(2) ? base + random_below(8 * GIB) : 0,
		.min = random_below(3) ? 0 : base / 2 + random_below(base),
		.ratio = random_below(4) * 100 + random_below(100), .pressure = 10,
		.settle = random_below(60) * SECOND, .hysteresis = random_below(60) * SECOND,
		.speed = (1 + random_below(4)) * MIB,
		.budget = random_below(2) ? POLICY_STRICT : POLICY_GENTLE,
	};
	if (w.config.max && w.config.min > w.config.max)
		w.config.min = w.config.max;
	w.grow_time = 5 + random_below(50);
	w.fails = random_below(2) ? random_below(100) : 0;
	w.config = policy_resolve(&w.config, base, BLOCK, w.grow_time);
	w.kernel_used = w.boot[0] / 8;
	w.used = w.kernel_used + random_below(base - w.kernel_used);
	show(&w);
	return w;
}

/* The limits that hold for each action, at the time at which it is decided */
static void check_limits(const struct world *w, const struct policy_action *action)
{
	const struct policy_region *region = &w->input.region[action->region];
	const uint64_t size = action->count * BLOCK;

	if (action->kind == POLICY_GROW) {
		check(action->count >= 1 && action->count <= region->standby, "count %" PRIu64, action->count);
		check(total(w) + size <= w->config.max, "total %" PRIu64, total(w) / MIB);
		check(!region->has_budget || region->plugged + size <= region->budget, "plugged %" PRIu64,
		      region->plugged / MIB);
		check(action->zone == POLICY_KERNEL ||
		      (policy_total(&w->input, POLICY_MOVABLE) + size) * 100 <=
		      policy_total(&w->input, POLICY_KERNEL) * w->config.ratio, "ratio");
	} else if (action->kind == POLICY_SHRINK) {
		check(action->count == 1 && region->ready[action->zone], "zone %d", action->zone);
		check(total(w) - BLOCK >= w->config.min, "total %" PRIu64, total(w) / MIB);
		if (action->why == POLICY_SURPLUS) {
			check(w->input.available - BLOCK >= w->config.low, "available %" PRIu64,
			      w->input.available / MIB);
			check(!w->last_grow || w->input.now - w->last_grow >= w->config.hysteresis, "after a growth");
		} else {
			check(region->has_budget && region->plugged > region->budget, "budget");
			check(w->config.budget == POLICY_STRICT || w->input.available - BLOCK >= w->config.low,
			      "gentle");
		}
	}
	check(action->wait >= 1 && action->wait <= SECOND, "wait %" PRIu64, action->wait);
}

/* What has been started ends. */
static void finish(struct world *w)
{
	struct policy_action *action = &w->running;
	bool fails;

	if (action->kind == POLICY_NOTHING || w->input.now < w->ends)
		return;
	fails = action->kind == POLICY_SHRINK && random_below(100) < w->fails;
	if (action->kind == POLICY_GROW) {
		w->online[action->region][action->zone] += action->count;
		w->grown += action->count;
		w->last_grow = w->input.now;
	} else if (!fails) {
		/* Pages that are in use need a place. */
		w->online[action->region][action->zone]--;
		w->shrunk++;
		w->last_shrink = w->input.now;
	}
	w->state = policy_done(&w->state, action, w->input.now, fails ? 0 : action->count, fails);
	action->kind = POLICY_NOTHING;
}

/* Go on to the next decision. Returns the milliseconds. */
static uint64_t step(struct world *w)
{
	struct policy_action action;
	uint64_t wait;

	finish(w);
	show(w);
	action = policy(&w->config, &w->state, &w->input);
	w->state = action.state;
	check_limits(w, &action);
	if (action.kind == POLICY_GROW || action.kind == POLICY_SHRINK) {
		check(w->running.kind == POLICY_NOTHING, "one at a time");
		w->running = action;
		w->ends = w->input.now + action.count * w->grow_time;
	} else if (action.kind == POLICY_ABORT) {
		w->ends = w->input.now;
	}
	/* The end of an action is a reason to look, too. */
	wait = action.wait;
	if (w->running.kind != POLICY_NOTHING && w->ends > w->input.now && w->ends - w->input.now < wait)
		wait = w->ends - w->input.now;
	w->input.now += wait;
	return wait;
}

static void run_for(struct world *w, uint64_t time)
{
	const uint64_t end = w->input.now + time;

	while (w->input.now < end && !failed)
		step(w);
}

/* Any load, budget and pressure, changing at random */
static void property_limits(void)
{
	struct world w = generate();
	int i;

	for (i = 0; i < 100 && !failed; i++) {
		uint64_t most = total(&w), r = random_below(w.input.regions);

		w.used = w.kernel_used + random_below(most - w.kernel_used + most / 4);
		w.input.pressure = random_below(3) ? 0 : random_below(100);
		if (!random_below(4))
			w.input.region[r].budget = random_below(w.blocks[r] + 1) * BLOCK;
		run_for(&w, random_below(40 * SECOND));
	}
}

static void property_settles(void)
{
	struct world w = generate();
	uint64_t grown, shrunk;

	w.fails = 0;
	run_for(&w, 600 * SECOND);
	grown = w.grown;
	shrunk = w.shrunk;
	run_for(&w, 600 * SECOND);
	check(w.grown == grown && w.shrunk == shrunk, "%" PRIu64 " more online, %" PRIu64 " more offline",
	      w.grown - grown, w.shrunk - shrunk);
}

/* A load that comes and goes faster than settle= keeps its memory. */
static void property_no_flapping(void)
{
	struct world w = generate();
	uint64_t calm = w.used, busy, grown = 0, shrunk = 0, half;
	int i;

	w.config.settle = (10 + random_below(50)) * SECOND;
	/* A budget that is lower than what is plugged is followed at any time. */
	for (i = 0; i < (int)w.input.regions; i++)
		w.input.region[i].has_budget = false;
	half = w.config.settle / 4 + random_below(w.config.settle / 2);
	busy = w.used + random_below(total(&w));
	for (i = 0; i < 80 && !failed; i++) {
		if (i == 40) {
			grown = w.grown;
			shrunk = w.shrunk;
		}
		/* Memory that the busy phases do not need either is a surplus. */
		if (i == 41 && w.input.available > w.config.high)
			return;
		w.used = i & 1 ? calm : busy;
		show(&w);
		run_for(&w, half);
	}
	check(w.grown <= grown + 8 && w.shrunk == shrunk, "%" PRIu64 " online, %" PRIu64 " offline in 40 swings",
	      w.grown - grown, w.shrunk - shrunk);
}

/* How much memory an action gives, for comparison */
static int rank(enum policy_kind kind)
{
	return kind == POLICY_SHRINK ? 0 : kind == POLICY_NOTHING ? 1 : 2;
}

static void property_pressure(void)
{
	struct world w = generate();
	int i;

	for (i = 0; i < 200 && !failed; i++) {
		struct policy_action less, more;

		w.used = w.kernel_used + random_below(total(&w) - w.kernel_used + 1);
		if (!random_below(4))
			w.state.calm = 1;
		if (!random_below(4))
			w.state.streak = random_below(6);
		if (!random_below(8)) {
			/* Much of what is available is a page cache. */
			show(&w);
			w.input.node[0][POLICY_KERNEL].free /= 1 + random_below(8);
		}
		w.input.now += random_below(100 * SECOND);
		w.input.pressure = random_below(60);
		less = policy(&w.config, &w.state, &w.input);
		w.input.pressure += random_below(40);
		more = policy(&w.config, &w.state, &w.input);
		check(rank(more.kind) >= rank(less.kind), "kind %d, and %d with more pressure", less.kind, more.kind);
		check(less.kind != POLICY_GROW || more.zone != less.zone || more.why == POLICY_KERNEL_SHORT ||
		      more.count >= less.count, "count %" PRIu64 ", and %" PRIu64 " with more pressure", less.count,
		      more.count);
		step(&w);
	}
}

/* Memory that is used up at the configured speed is there in time. */
static void property_keeps_up(void)
{
	struct world w = generate();
	uint64_t most;
	unsigned int i;

	w.config.max = UINT64_MAX;
	w.config.min = 0;
	w.grow_time = 1 + random_below(20);
	w.config.speed = MIB / 2 + random_below(MIB * 2);
	w.config.low = w.config.target = w.config.high = w.config.kernel_low = 0;
	w.config = policy_resolve(&w.config, GIB + w.boot[0] + w.boot[1], BLOCK, w.grow_time);
	/* A block must come online in less time than it takes to use one up. */
	if (w.grow_time * w.config.speed > BLOCK / 2)
		w.config.speed = BLOCK / 2 / w.grow_time;
	w.used = w.kernel_used;
	for (i = 0; i < w.input.regions; i++)
		w.input.region[i].has_budget = false;
	for (most = total(&w), i = 0; i < w.input.regions; i++)
		most += w.blocks[i] * BLOCK;
	run_for(&w, SECOND);
	while (w.used < most - w.config.low && !failed) {
		uint64_t wait = step(&w);

		w.used += wait * w.config.speed;
		show(&w);
		check(!w.starved, "with %" PRIu64 " MiB of %" PRIu64 " in use", w.used / MIB, most / MIB);
	}
}

/* After a load has ended, what it got is given back. */
static void property_gives_back(void)
{
	struct world w = generate();
	uint64_t calm, blocks = 0;
	unsigned int i;

	w.fails = 0;
	w.config.min = 0;
	w.config.ratio = 1000;
	w.used = calm = total(&w) / 2;
	run_for(&w, 60 * SECOND);
	w.used += random_below(4 * GIB);
	run_for(&w, 30 * SECOND);
	w.used = calm;
	for (i = 0; i < w.input.regions; i++)
		blocks += w.online[i][POLICY_MOVABLE];
	run_for(&w, w.config.settle + w.config.hysteresis + (blocks + 60) * SECOND);
	for (blocks = 0, i = 0; i < w.input.regions; i++)
		blocks += w.online[i][POLICY_MOVABLE];
	check(w.input.available <= w.config.high || !blocks, "%" PRIu64 " MiB available, high %" PRIu64
	      ", %" PRIu64 " blocks left", w.input.available / MIB, w.config.high / MIB, blocks);
}

static const struct test {
	const char *name;
	void (*run)(void);
	bool property;
} tests[] = {
	{ "nothing is done while enough memory is available", test_enough, false },
	{ "blocks come online if less than low= is available", test_low, false },
	{ "a growth goes on until target= is available", test_target, false },
	{ "growths that follow each other get larger, but never beyond high=", test_more_at_a_time, false },
	{ "a block comes online in a kernel zone if these are short, however much is available", test_kernel_short,
	  false },
	{ "zone Movable stays within ratio= of the kernel zones", test_ratio, false },
	{ "under pressure free memory counts, not available memory", test_pressure, false },
	{ "a growth ends at max=, at the budget, and with the last standby block", test_limits, false },
	{ "min= makes blocks come online and keeps them there", test_min, false },
	{ "an online that failed is tried again after ever longer waits", test_retry, false },
	{ "the node that is short grows first, then the first region", test_node, false },
	{ "a block goes offline after settle= and hysteresis=, without pressure", test_surplus, false },
	{ "blocks in zone Movable go offline before those in kernel zones", test_surplus_order, false },
	{ "a block goes offline only if what is in it does not make the kernel short", test_surplus_place, false },
	{ "a budget that is lower than what is plugged is followed", test_budget, false },
	{ "an offline ends when memory is needed", test_abort, false },
	{ "limits that are not configured are chosen from the speed", test_resolve, false },
	{ "after a reserve that was too small a higher speed is reckoned with", test_faster, false },
	{ "the next measurement comes the sooner the less is available", test_look, false },
	{ "property: no action breaks a limit", property_limits, true },
	{ "property: under a constant load nothing happens in the end", property_settles, true },
	{ "property: a load that swings faster than settle= keeps its memory", property_no_flapping, true },
	{ "property: more pressure never means less memory", property_pressure, true },
	{ "property: memory used up at the configured speed is there in time", property_keeps_up, true },
	{ "property: memory goes back after a load", property_gives_back, true },
};

static void run(int number, const struct test *test)
{
	uint64_t seed;

	failed = false;
	if (!test->property)
		test->run();
	for (seed = first_seed; test->property && seed < first_seed + seeds && !failed; seed++) {
		seed_random(seed);
		test->run();
		if (failed)
			printf("# with --seed %" PRIu64 "\n", seed);
	}
	printf("%s %d %s\n", failed ? "not ok" : "ok", number, test->name);
}

int main(int argc, char **argv)
{
	bool any = false;
	size_t i;
	int n;

	for (n = 1; n < argc; n += 2) {
		if (n + 1 < argc && !strcmp(argv[n], "--seeds")) {
			seeds = strtoull(argv[n + 1], NULL, 0);
		} else if (n + 1 < argc && !strcmp(argv[n], "--seed")) {
			first_seed = strtoull(argv[n + 1], NULL, 0);
			seeds = 1;
		} else {
			printf("Usage: policy-test [--seeds N | --seed N]\n\n"
			       "Tests the policy of twostaged, and its properties with so many generated systems\n"
			       "(default: %" PRIu64 "), or with the one of a seed that a failure has printed.\n", seeds);
			return strcmp(argv[n], "--help") ? 2 : 0;
		}
	}
	printf("KTAP version 1\n1..%zu\n", ARRAY_SIZE(tests));
	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		run(i + 1, &tests[i]);
		any |= failed;
	}
	return any;
}
