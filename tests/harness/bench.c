// SPDX-License-Identifier: GPL-2.0-only
/*
 * Helpers of the benchmark groups
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define ADDER "/sys/module/add_memory_test/parameters/"

int bench_dimm_block = -1;
static int dimm_blocks;

void sample(const char *operation, const char *contender, double value)
{
	diag("sample %s %s %.3f", operation, contender, value);
}

static bool wait_for_block(int block, bool there)
{
	int tries;

	for (tries = 0; tries < 400 && exists(MEMORY "/memory%d/state", block) != there; tries++)
		usleep(25000);
	/* The task that adds or removes the block has not finished yet. */
	usleep(300000);
	return exists(MEMORY "/memory%d/state", block) == there;
}

static bool set_adder(const char *parameter, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	return !write_file(text, ADDER "%s", parameter);
}

bool bench_stock_add(uint64_t start, uint64_t size)
{
	return set_adder("start", start) && set_adder("size", size) && set_adder("added", 1);
}

bool bench_stock_remove(void)
{
	return set_adder("added", 0);
}

static bool find_stock(uint64_t from, uint64_t size)
{
	bench_dimm_block = block_at(from);
	return !module_load("add_memory_test", NULL) && bench_stock_add(from, size) &&
	       bench_stock_remove();
}

static void plug(void)
{
	host("device_add pc-dimm,id=dimm1,memdev=mem1,node=%d", BENCH_DIMM_NODE);
}

bool bench_dimm_plug(void)
{
	if (!architecture.dimms)
		return set_adder("added", 1);
	plug();
	return wait_for_block(bench_dimm_block + dimm_blocks - 1, true);
}

bool bench_dimm_unplug(void)
{
	if (!architecture.dimms)
		return bench_stock_remove();
	host("device_del dimm1");
	return wait_for_block(bench_dimm_block, false);
}

bool bench_dimm_find(uint64_t from, uint64_t size)
{
	int tries, block;

	if (!architecture.dimms)
		return find_stock(from, size);
	host("object_add memory-backend-ram,id=mem1,size=%llu", (unsigned long long)size);
	dimm_blocks = size / block_size;
	plug();
	for (tries = 0; tries < 100 && bench_dimm_block < 0; tries++) {
		usleep(100000);
		for (block = block_at(from); block < block_at(128 * GIB);
		     block++)
			if (!strcmp(block_state(block), "offline")) {
				bench_dimm_block = block;
				break;
			}
	}
	usleep(500000);
	return bench_dimm_block >= 0 &&
	       exists(MEMORY "/memory%d/node%d", bench_dimm_block, BENCH_DIMM_NODE) &&
	       bench_dimm_unplug();
}

void bench_dimm_forget(void)
{
	if (architecture.dimms)
		host("object_del mem1");
	else
		module_unload("add_memory_test");
}

void bench_quiet(void)
{
	usleep(300000);
}

long bench_redirected(void)
{
	char *hooks = read_whole("/sys/kernel/debug/twostage/hooks"), *word = hooks;
	long sum = 0;

	while ((word = strstr(word, "redirected="))) {
		word += strlen("redirected=");
		sum += atol(word);
	}
	free(hooks);
	return sum;
}
