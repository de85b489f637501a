// SPDX-License-Identifier: GPL-2.0-only
/*
 * The cost of standby memory
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

struct cost {
	long long kib;
	double seconds;
};

/*
 * The cost of memory blocks is mostly slab memory. MemFree is measured too, but
 * less reliable, because the system frees memory in its first seconds. Regions
 * are removed only after all measurements: memory that a removal frees would
 * make the next add look cheap.
 */
static struct cost add(uint64_t start, uint64_t size)
{
	const long long blocks = size / block_size;
	long long slab, free;
	struct cost cost;
	double started;

	write_file("3", "/proc/sys/vm/drop_caches");
	sleep(1);
	free = meminfo("MemFree");
	slab = meminfo("Slab");
	started = now();
	ok(region_add(start, size, NULL) == 0, "%" PRIu64 " GiB of standby memory are added",
	   size / GIB);
	cost.seconds = now() - started;
	cost.kib = meminfo("Slab") - slab;
	free -= meminfo("MemFree");
	diag("%" PRIu64
	     " GiB: %lld blocks, %lld KiB of slab (%lld bytes a block), %lld KiB of MemFree, %.2f s; "
	     "without the module: %" PRIu64 " MiB of memmap", size / GIB, blocks, cost.kib,
	     cost.kib * 1024 / blocks, free, cost.seconds,
	     size / 64 / MIB);
	if (free > cost.kib)
		cost.kib = free;
	return cost;
}

/*
 * Tolerate a quarter, and 4 MiB for other changes: the per-CPU lists of free
 * pages alone are some MiB.
 */
static void check_linear(const struct cost *small, const struct cost *large, int factor)
{
	ok(large->kib < small->kib * factor * 5 / 4 + 4096,
	   "%d times the blocks cost at most about %d times the memory (%lld KiB and %lld KiB)",
	   factor, factor,
	   small->kib, large->kib);
}

/* The attribute is longer than a page. */
static void check_stages(int id, uint64_t size)
{
	char path[64], *stages;

	snprintf(path, sizeof(path), REGION "/stages", id);
	stages = read_whole(path);
	ok_number(strspn(stages, "s"), size / block_size,
		  "stages of a standby region of %" PRIu64 " GiB has an s for each block",
		  size / GIB);
	free(stages);
}

static void remove_all(int count)
{
	bool removed = true;

	while (count--)
		removed &= !region_remove(count);
	ok(removed, "all regions of standby memory are removed");
}

static void run(void)
{
	struct cost small, medium, large;

	if (!load_twostage(NULL))
		return;
	small = add(1024 * GIB, 64 * GIB);
	medium = add(1280 * GIB, 256 * GIB);
	large = add(2048 * GIB, 1024 * GIB);
	check_stages(2, 1024 * GIB);
	check_linear(&small, &medium, 4);
	check_linear(&medium, &large, 4);
	if (kernel_debugs())
		skip("the debug kernel uses more memory for each allocation",
		     "1 TiB of standby memory costs less than 48 MiB");
	else
		ok(large.kib > 0 && large.kib < 48 * 1024,
		   "1 TiB of standby memory costs less than 48 MiB (%lld KiB)", large.kib);
	remove_all(3);
	unload_twostage();
}

/*
 * The read() calls of this process and of the processes that it has waited for;
 * -1 if the kernel does not count them
 */
static long reads_so_far(void)
{
	char *text = read_whole("/proc/self/io"), *found = strstr(text, "syscr: ");
	long reads = found ? atol(found + strlen("syscr: ")) : -1;

	free(text);
	return reads;
}

/*
 * The number of reads does not depend on the machine, as the time does. One for
 * each of tens of thousands of blocks would take seconds.
 */
static void check_reads(const char *command, long blocks)
{
	long reads = reads_so_far();
	double started = now();
	int status;

	status = run_command("%s > /dev/null", command);
	diag("%s: %.2f s", command, now() - started);
	reads = reads_so_far() - reads;
	ok(!status && reads > 0 && reads < blocks / 64,
	   "%s, with %ld standby blocks, reads less than %ld times (%ld, exit status %d)", command,
	   blocks, blocks / 64, reads, status);
}

static void check_lists(long blocks)
{
	check_reads("twostage list", blocks);
	check_reads("twostage blocks", blocks);
	/* What the shell completion runs */
	check_reads("twostage blocks -n -r -o BLOCK", blocks);
	check_reads("twostage blocks --all", blocks);
	ok_number(run_command("test $(twostage blocks -a -n -o BLOCK | wc -l) = %ld", blocks), 0,
		  "twostage blocks --all lists each of %ld blocks", blocks);
}

static void run_large(void)
{
	struct cost small, large;

	if (!load_twostage(NULL))
		return;
	small = add(2048 * GIB, 1024 * GIB);
	large = add(4096 * GIB, 4096 * GIB);
	check_linear(&small, &large, 4);
	check_lists(5 * 1024 * GIB / block_size);
	remove_all(2);
	unload_twostage();
}

GROUP(group_scale) = {
	.name = "scale", .title = "the cost of up to 1 TiB of standby memory", .run = run,
};
GROUP(group_scale_large) = {
	.name = "scale-large", .title = "the cost of 4 TiB of standby memory", .run = run_large,
};
