// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allocations that are made to fail, one at a time (Documentation/fault-injection)
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

#define DEBUGFS "/sys/kernel/debug"

/* Addresses of the kernel's code: from start, and below end */
struct range {
	uint64_t start, end;
};

static void extend(struct range *range, uint64_t start, uint64_t end)
{
	if (!range->end || start < range->start)
		range->start = start;
	if (end > range->end)
		range->end = end;
}

/*
 * A call of "visit" for each function, with where the next one begins. The file has the kernel's in the order of
 * their addresses, those of modules in any.
 */
static void visit_functions(void (*visit)(const char *name, const char *module, struct range range, void *data),
			    void *data)
{
	char *text = read_whole("/proc/kallsyms"), *rest = text, *line;
	char name[256] = "", module[64] = "";
	uint64_t address = 0;

	while ((line = strsep(&rest, "\n"))) {
		char next_name[256], next_module[64] = "", type;
		uint64_t next;

		if (sscanf(line, "%" SCNx64 " %c %255s [%63[^]]", &next, &type, next_name, next_module) < 3 ||
		    !strchr("tTwW", type) || next == address)
			continue;
		if (*name)
			visit(name, module, (struct range){ address, next > address ? next : address + 4096 }, data);
		address = next;
		snprintf(name, sizeof(name), "%s", next_name);
		snprintf(module, sizeof(module), "%s", next_module);
	}
	free(text);
}

/*
 * The functions in which the leak detector allocates for itself: without that it gives up. Of those that stand
 * together in the kernel's text, or all between would be spared, too.
 */
static void visit_kmemleak(const char *name, const char *module, struct range range, void *data)
{
	if (!*module && (!strcmp(name, "mem_pool_alloc") || !strcmp(name, "__alloc_object") ||
			 !strcmp(name, "__create_object") || !strcmp(name, "__link_object")))
		extend(data, range.start, range.end);
}

/*
 * Page tables of the direct map: the kernel writes to what alloc_low_pages() returns without looking whether it is
 * NULL, in every memory hotplug on x86. That function is not in the stack itself, its last call is a jump.
 */
static void visit_page_tables(const char *name, const char *module, struct range range, void *data)
{
	if (!*module && (!strcmp(name, "phys_pte_init") || !strcmp(name, "phys_pmd_init") ||
			 !strcmp(name, "phys_pud_init") || !strcmp(name, "phys_p4d_init") ||
			 !strcmp(name, "__kernel_physical_mapping_init")))
		extend(data, range.start, range.end);
}

/* What modules do when they are loaded, as opposed to what the loader does before that */
static void visit_initialisation(const char *name, const char *module, struct range range, void *data)
{
	if (!*module && !strcmp(name, "do_init_module"))
		extend(data, range.start, range.end);
}

static void visit_parameters(const char *name, const char *module, struct range range, void *data)
{
	if (!*module && !strcmp(name, "parse_args"))
		extend(data, range.start, range.end);
}

static void visit_twostage(const char *name, const char *module, struct range range, void *data)
{
	(void)name;
	if (!strcmp(module, "twostage"))
		extend(data, range.start, range.start + 4096);
}

static void set(const char *attribute, const char *knob, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%#" PRIx64, value);
	if (write_file(text, DEBUGFS "/%s/%s", attribute, knob))
		diag("cannot write %s to %s/%s", text, attribute, knob);
}

static void configure(const char *attribute, struct range spared)
{
	set(attribute, "probability", 0);
	set(attribute, "verbose", 0);
	set(attribute, "stacktrace-depth", 32);
	set(attribute, "reject-start", spared.start);
	set(attribute, "reject-end", spared.end);
	write_file("N", DEBUGFS "/%s/ignore-gfp-wait", attribute);
}

bool failures_possible(void)
{
	return exists("/proc/self/fail-nth") && exists(DEBUGFS "/failslab") && exists(DEBUGFS "/fail_page_alloc");
}

void failures_configure(void)
{
	struct range kmemleak = { 0, 0 }, page_tables = { 0, 0 };

	visit_functions(visit_kmemleak, &kmemleak);
	visit_functions(visit_page_tables, &page_tables);
	configure("failslab", kmemleak);
	configure("fail_page_alloc", page_tables);
	/* The pages that vmalloc() hands out: KASAN takes thousands for the shadow of a block that comes online. */
	write_file("Y", DEBUGFS "/fail_page_alloc/ignore-gfp-highmem");
	set("fail_page_alloc", "min-order", 0);
}

void failures_only_in(enum failures_place place)
{
	struct range within = { 0, 0 };

	if (place == FAILURES_IN_TWOSTAGE)
		visit_functions(visit_twostage, &within);
	else if (place == FAILURES_IN_INITIALISATION)
		visit_functions(visit_initialisation, &within);
	else if (place == FAILURES_IN_PARAMETERS)
		visit_functions(visit_parameters, &within);
	else
		within.end = UINT64_MAX;
	set("failslab", "require-start", within.start);
	set("failslab", "require-end", within.end);
	set("fail_page_alloc", "require-start", within.start);
	set("fail_page_alloc", "require-end", within.end);
}

/* Opened beforehand, so that this is no allocation that counts. */
static int own = -1;

static void set_own(unsigned int nth)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", nth);
	if (pwrite(own, text, strlen(text), 0) < 0)
		_exit(3);
}

void failures_begin(unsigned int nth)
{
	if (own < 0)
		own = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
	set_own(nth);
}

bool failures_end(void)
{
	char text[16] = "";

	if (pread(own, text, sizeof(text) - 1, 0) < 0)
		_exit(3);
	set_own(0);
	return !strtoul(text, NULL, 10);
}

/* Those who have been told. One that comes later has not, and cannot be told from one in which it has failed. */
static int workers[512], nr_workers;

static bool is_worker(const char *pid)
{
	return pid[0] >= '0' && pid[0] <= '9' && !strncmp(read_file("/proc/%s/comm", pid), "kworker/", 8);
}

static void tell_worker(int pid, unsigned int nth)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", nth);
	write_file(text, "/proc/%d/fail-nth", pid);
}

void failures_begin_in_workers(unsigned int nth)
{
	DIR *directory = opendir("/proc");
	struct dirent *entry;

	nr_workers = 0;
	while (directory && (entry = readdir(directory)) && nr_workers < (int)ARRAY_SIZE(workers))
		if (is_worker(entry->d_name))
			workers[nr_workers++] = atoi(entry->d_name);
	if (directory)
		closedir(directory);
	for (int i = 0; i < nr_workers; i++)
		tell_worker(workers[i], nth);
}

enum failures_outcome failures_in_workers(unsigned int nth)
{
	enum failures_outcome outcome = FAILURES_NOT_ASKED;

	for (int i = 0; i < nr_workers; i++) {
		const char *left = read_file("/proc/%d/fail-nth", workers[i]);

		if (!strcmp(left, "0"))
			return FAILURES_FAILED;
		if (*left && strtoul(left, NULL, 10) < nth)
			outcome = FAILURES_UNTOUCHED;
	}
	return outcome;
}

enum failures_outcome failures_end_in_workers(unsigned int nth)
{
	enum failures_outcome outcome = failures_in_workers(nth);

	for (int i = 0; i < nr_workers; i++)
		tell_worker(workers[i], 0);
	return outcome;
}
