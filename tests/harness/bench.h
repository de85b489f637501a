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
 * that background activity affects both. The DIMM is on a node of its own: on
 * that of the region the module spares it a search of the zone for holes.
 */
#define BENCH_REGION_NODE 0
#define BENCH_DIMM_NODE 1
#define BENCH_START (4 * GIB)
#define BENCH_SIZE (2 * GIB)
#define BENCH_BLOCKS ((int)(BENCH_SIZE / block_size))

/* bench.c */
void sample(const char *operation, const char *contender, double value);
/*
 * Adds, by the stock kernel, memory which mem= has left out, and removes it: in
 * place of a DIMM where the kernel has no driver for one
 */
bool bench_stock_add(uint64_t start, uint64_t size);
bool bench_stock_remove(void);
/*
 * Plugs and unplugs the DIMM once, to find its first block, which is at @from or
 * higher. Without a driver for DIMMs, "DIMM" is the memory at @from.
 */
bool bench_dimm_find(uint64_t from, uint64_t size);
extern int bench_dimm_block;
bool bench_dimm_plug(void);
bool bench_dimm_unplug(void);
/* After the last of these calls */
void bench_dimm_forget(void);
/*
 * The first writer of mem_hotplug_lock waits for an RCU grace period, and one
 * that follows soon does not. Wait, so that each measurement starts in the same
 * state.
 */
void bench_quiet(void);
/* How many calls the hooks of twostage have redirected */
long bench_redirected(void);

#endif /* BENCH_H */
