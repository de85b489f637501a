/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Measuring memory and memory pressure, without allocating any
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGED_MEASURE_H
#define TWOSTAGED_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

#include "policy.h"

/**
 * struct measure - the files, which stay open
 * @zoneinfo, @meminfo: of /proc
 * @pressure: /proc/pressure/memory; -1 if the kernel has no PSI
 * @since: time of the last change of @percent
 * @total: the stall time then, in microseconds
 * @percent: the pressure
 */
struct measure {
	int zoneinfo;
	int meminfo;
	int pressure;
	uint64_t since;
	uint64_t total;
	uint64_t percent;
};

int measure_open(struct measure *measure);
void measure_watch(struct measure *measure, uint64_t percent);
int measure_read(struct measure *measure, struct policy_input *input);
uint64_t measure_now(void);
uint64_t measure_speed(void);

bool parse_zoneinfo(const char *text, uint64_t page_size, struct policy_memory node[POLICY_NODES][POLICY_ZONES]);
bool parse_meminfo(const char *text, uint64_t *available);
bool parse_pressure(const char *text, uint64_t *total);

#endif /* TWOSTAGED_MEASURE_H */
