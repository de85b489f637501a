/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the measuring groups share
 *
 * What they measure are lines "# sample OPERATION WHO VALUE" in the log; the host makes medians and tables
 * of them (tests/bench/).
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef BENCH_H
#define BENCH_H

#include "harness.h"

/* A region and a DIMM of the same size, whose blocks take turns, so that whatever else goes on hits both */
#define BENCH_START (4 * GIB)
#define BENCH_SIZE (2 * GIB)
#define BENCH_BLOCKS ((int)(BENCH_SIZE / block_size))

/* bench.c */
void sample(const char *operation, const char *who, double value);
/* Finds out where the DIMM's blocks come; it is unplugged again. */
bool bench_dimm_find(void);
extern int bench_dimm_block;
bool bench_dimm_plug(void);
bool bench_dimm_unplug(void);
/*
 * The lock for memory hotplug waits for readers once, and is quick for whoever comes soon after that: let
 * everybody start from the same.
 */
void bench_quiet(void);

#endif /* BENCH_H */
