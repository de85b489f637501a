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

/* The array of all groups, see GROUP() */
extern const struct group __start_groups[], __stop_groups[];

static void usage(FILE *file)
{
	fprintf(file,
		"Usage: harness [--kmsg] GROUP...\n"
		"       harness --list\n\n"
		"Runs groups of tests in a guest and prints KTAP, with --kmsg to the kernel log.\n"
		"Exit status: 0 if all passed, 1 if not, 2 for a usage error.\n");
}

static const struct group *find(const char *name)
{
	const struct group *group;

	for (group = __start_groups; group < __stop_groups; group++)
		if (!strcmp(group->name, name))
			return group;
	return NULL;
}

/* Whether lockdep is enabled; true on a kernel without it */
static bool lockdep_enabled(void)
{
	char *stats = exists(LOCKDEP) ? read_whole(LOCKDEP) : NULL, *word;
	bool enabled;

	if (!stats)
		return true;
	word = strstr(stats, "debug_locks:");
	enabled = word && strtol(word + strlen("debug_locks:"), NULL, 10);
	free(stats);
	return enabled;
}

/*
 * Lockdep disables itself at its first report, and when a module is unloaded by
 * force. A report fails the scenario, unless it is a known one of the kernel's
 * own; in that case too, say that the rest of the group ran without lockdep.
 */
static void check_lockdep(bool before)
{
	static const char promise[] = "lockdep was enabled throughout the group";

	if (!exists(LOCKDEP))
		return;
	if (lockdep_enabled())
		ok(true, "%s", promise);
	else if (read_number(TAINTED) & 1 << TAINT_FORCED_RMMOD)
		skip("a module was unloaded by force, which disables lockdep", "%s", promise);
	else
		skip(before ? "lockdep reported something during the group and disabled itself" :
			      "lockdep had reported something before the group and disabled itself",
		     "%s", promise);
}

static void run(const struct group *group)
{
	bool lockdep = lockdep_enabled();
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

	ok(accounts_same(before), "at the end of the group the system state matches the baseline");
	if (kmsg_lines(&kmsg, "leaked", line, sizeof(line)))
		diag("the last line: %s", line);
	ok(!*line, "the kernel log of the group reports no leaked memmap pages");
	ok(!module_loaded("twostage"), "at the end of the group twostage is not loaded");
	/* kmemleak disables itself when it runs out of memory. */
	if (leaks)
		ok(kmemleak_there() && !kmemleak_leaks(),
		   "kmemleak is enabled at the end of the group and finds no leak");
	kmsg_close(&kmsg);
	accounts_free(before);
}

int main(int argc, char **argv)
{
	bool kmsg = false;
	const struct group *group;
	int n = 1;

	if (n < argc && !strcmp(argv[n], "--list")) {
		for (group = __start_groups; group < __stop_groups; group++)
			printf("%-16s %s\n", group->name, group->title);
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
			fprintf(stderr,
				"harness: there is no group \"%s\": --list prints all groups\n",
				argv[name]);
			return 2;
		}
	}

	twostage_init();
	memory_init();
	ktap_begin(kmsg);
	for (; n < argc; n++)
		run(find(argv[n]));
	return ktap_end() ? 1 : 0;
}
