// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest harness: runs groups of tests and prints KTAP
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

#define LOCKDEP "/proc/lockdep_stats"
#define TAINTED "/proc/sys/kernel/tainted"
/* As in linux/panic.h */
#define TAINT_FORCED_RMMOD 3

static const struct group *const groups[] = {
	&group_basic, &group_lacking, &group_errors, &group_many, &group_providers, &group_numa, &group_autoonline,
	&group_scale, &group_scale_large, &group_stress, &group_notifier, &group_bystanders,
	&group_guards, &group_livepatch, &group_tracers, &group_faults,
	&group_dimm, &group_dimm_large, &group_dimm_stock, &group_dimm_reserved, &group_soak, &group_dimm_hosted,
	&group_large_blocks, &group_virtio_mem, &group_virtio_mem_odd, &group_virtio_mem_taken,
	&group_alloc_failures, &group_alloc_failures_online, &group_alloc_failures_unload,
	&group_alloc_failures_virtio, &group_alloc_failures_dimm,
	&group_virtio_mem_given_back, &group_sleep, &group_security, &group_security_relaxed,
	&group_kdump, &group_kdump_load, &group_kexec, &group_hostile, &group_forced, &group_patience, &group_mce,
	&group_hwpoison, &group_poisoning,
	&group_fuzz, &group_readers, &group_pages, &group_optimised, &group_contiguous,
	&group_bench_time, &group_bench_breakdown, &group_bench_scale, &group_bench_scale_online, &group_bench_bystanders,
	&group_bench_virtio, &group_bench_virtio_stock, &group_bench_cost_twostage,
	&group_bench_cost_dimm, &group_bench_cost_hosted, &group_bench_cost_kmem,
	&group_bench_cost_virtio,
};

static void usage(FILE *file)
{
	fprintf(file, "Usage: harness [--kmsg] GROUP...\n"
		"       harness --list\n\n"
		"Runs groups of tests in a guest and prints KTAP, with --kmsg into the kernel's log.\n"
		"Exit status: 0 if all passed, 1 if not, 2 for a usage error.\n");
}

static const struct group *find(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(groups); i++)
		if (!strcmp(groups[i]->name, name))
			return groups[i];
	return NULL;
}

/* True, too, on a kernel without lockdep */
static bool lockdep_looks(void)
{
	char *stats = exists(LOCKDEP) ? read_whole(LOCKDEP) : NULL, *word;
	bool looks;

	if (!stats)
		return true;
	word = strstr(stats, "debug_locks:");
	looks = word && strtol(word + strlen("debug_locks:"), NULL, 10);
	free(stats);
	return looks;
}

/*
 * Lockdep switches itself off with the first thing that it reports, and when a module is unloaded by force. The report
 * fails the guest's log, unless it is known to be the kernel's own: what has not been looked at is told in any case.
 */
static void check_lockdep(bool before)
{
	static const char promise[] = "lockdep has looked at all of it";

	if (!exists(LOCKDEP))
		return;
	if (lockdep_looks())
		ok(true, "%s", promise);
	else if (read_number(TAINTED) & 1 << TAINT_FORCED_RMMOD)
		skip("it does not once a module was unloaded by force", "%s", promise);
	else
		skip(before ? "it has reported something meanwhile" : "it had reported something before", "%s", promise);
}

static void run(const struct group *group)
{
	bool lockdep = lockdep_looks();
	struct kmsg kmsg = kmsg_mark();
	struct accounts *before;
	char line[512] = "";
	bool leaks;

	ktap_group(group->name);
	if (group->setup)
		group->setup();
	before = accounts_take();
	leaks = kmemleak_wanted();
	if (leaks)
		kmemleak_forget();
	group->run();
	check_lockdep(lockdep);
	if (group->stays)
		return;

	ok(accounts_same(before), "afterwards every account is what it was");
	ok(!kmsg_lines(&kmsg, "leaked", line, sizeof(line)), "no page of a memmap leaks %s", line);
	ok(!module_loaded("twostage"), "nothing of it is left loaded");
	/* A detector that has switched itself off meanwhile has not looked. */
	if (leaks)
		ok(kmemleak_there() && !kmemleak_leaks(), "nothing that was allocated is lost");
	kmsg_close(&kmsg);
	accounts_free(before);
}

int main(int argc, char **argv)
{
	bool kmsg = false;
	size_t i;
	int n = 1;

	if (n < argc && !strcmp(argv[n], "--list")) {
		for (i = 0; i < ARRAY_SIZE(groups); i++)
			printf("%-16s %s\n", groups[i]->name, groups[i]->title);
		return 0;
	}
	if (n < argc && !strcmp(argv[n], "--help")) {
		usage(stdout);
		return 0;
	}
	if (n < argc && !strcmp(argv[n], "--kmsg")) {
		kmsg = true;
		n++;
	}
	if (n == argc) {
		usage(stderr);
		return 2;
	}
	for (int name = n; name < argc; name++) {
		if (!find(argv[name])) {
			fprintf(stderr, "harness: there is no group \"%s\", see --list\n", argv[name]);
			return 2;
		}
	}

	twostage_init();
	ktap_begin(kmsg);
	for (; n < argc; n++)
		run(find(argv[n]));
	return ktap_end() ? 1 : 0;
}
