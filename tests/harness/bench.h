/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Helpers of the benchmark groups
 *
 * Results are lines "# sample OPERATION CONTENDER VALUE" in the log. The host
 * makes medians and tables of them (tests/bench/).
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef BENCH_H
#define BENCH_H

#include "harness.h"

/*
 * A region and a DIMM of the same size. Their blocks are used alternately, so
 * that background activity affects both.
 */
#define BENCH_START (4 * GIB)
#define BENCH_SIZE (2 * GIB)
#define BENCH_BLOCKS ((int)(BENCH_SIZE / block_size))

/* bench.c */
void sample(const char *operation, const char *contender, double value);
/* Plugs and unplugs the DIMM once, to find its first block */
bool bench_dimm_find(void);
extern int bench_dimm_block;
bool bench_dimm_plug(void);
bool bench_dimm_unplug(void);
/*
 * The first writer of mem_hotplug_lock waits for an RCU grace period, and one
 * that follows soon does not. Wait, so that each measurement starts in the same
 * state.
 */
void bench_quiet(void);

#endif /* BENCH_H */
