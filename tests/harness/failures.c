// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fault injection: allocations that fail, one at a time (see
 * Documentation/fault-injection in the kernel's sources)
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

/* A range of kernel text: [start, end) */
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
 * Calls visit() for each function, with the range up to the next one. In
 * /proc/kallsyms the kernel's own symbols are in the order of their addresses,
 * those of modules are not.
 */
static void visit_functions(void (*visit)(const char *name, const char *module, struct range range,
					  void *data),
			    void *data)
{
	char *text = read_whole("/proc/kallsyms"), *rest = text, *line;
	char name[256] = "", module[64] = "";
	uint64_t address = 0;

	while ((line = strsep(&rest, "\n"))) {
		char next_name[256], next_module[64] = "", type;
		uint64_t next;

		if (sscanf(line, "%" SCNx64 " %c %255s [%63[^]]", &next, &type, next_name,
			   next_module) < 3 ||
		    !strchr("tTwW", type) || next == address)
			continue;
		if (*name)
			visit(name, module,
			      (struct range){ address, next > address ? next : address + 4096 },
			      data);
		address = next;
		snprintf(name, sizeof(name), "%s", next_name);
		snprintf(module, sizeof(module), "%s", next_module);
	}
	free(text);
}

/*
 * The functions that allocate for kmemleak, which disables itself if such an
 * allocation fails: exempt them. Only those that are adjacent in the kernel's
 * text, because all in between is exempt, too.
 */
static void visit_kmemleak(const char *name, const char *module, struct range range, void *data)
{
	if (!*module && (!strcmp(name, "mem_pool_alloc") || !strcmp(name, "__alloc_object") ||
			 !strcmp(name, "__create_object") || !strcmp(name, "__link_object")))
		extend(data, range.start, range.end);
}

/*
 * The functions that allocate page tables of the direct map: exempt them. On
 * x86 they use what alloc_low_pages() returns without checking for NULL,
 * whenever memory is added. That function itself is not on the call stack,
 * because its last call is a tail call.
 */
static void visit_page_tables(const char *name, const char *module, struct range range, void *data)
{
	if (!*module && (!strcmp(name, "phys_pte_init") || !strcmp(name, "phys_pmd_init") ||
			 !strcmp(name, "phys_pud_init") || !strcmp(name, "phys_p4d_init") ||
			 !strcmp(name, "__kernel_physical_mapping_init")))
		extend(data, range.start, range.end);
}

/* The init function of a module, without what the module loader does before */
static void visit_initialisation(const char *name, const char *module, struct range range,
				 void *data)
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

static void set(const char *capability, const char *file, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%#" PRIx64, value);
	if (write_file(text, DEBUGFS "/%s/%s", capability, file))
		diag("cannot write %s to %s/%s", text, capability, file);
}

static void configure(const char *capability, struct range exempt)
{
	set(capability, "probability", 0);
	set(capability, "verbose", 0);
	set(capability, "stacktrace-depth", 32);
	set(capability, "reject-start", exempt.start);
	set(capability, "reject-end", exempt.end);
	write_file("N", DEBUGFS "/%s/ignore-gfp-wait", capability);
}

bool failures_possible(void)
{
	return exists("/proc/self/fail-nth") && exists(DEBUGFS "/failslab") &&
	       exists(DEBUGFS "/fail_page_alloc");
}

void failures_configure(void)
{
	struct range kmemleak = { 0, 0 }, page_tables = { 0, 0 };

	visit_functions(visit_kmemleak, &kmemleak);
	visit_functions(visit_page_tables, &page_tables);
	configure("failslab", kmemleak);
	configure("fail_page_alloc", page_tables);
	/*
	 * Exempt the pages of vmalloc(): KASAN allocates thousands of them for
	 * the shadow of a block that comes online.
	 */
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

/* Opened in advance: opening it allocates memory, too. */
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

/*
 * The kworkers whose fail-nth has been set. A kworker that is created later is
 * left out: its fail-nth is 0, as that of one in which an allocation failed.
 */
static int workers[512], nr_workers;

static bool is_worker(const char *pid)
{
	return pid[0] >= '0' && pid[0] <= '9' &&
	       !strncmp(read_file("/proc/%s/comm", pid), "kworker/", 8);
}

static void set_worker(int pid, unsigned int nth)
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
		set_worker(workers[i], nth);
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
		set_worker(workers[i], 0);
	return outcome;
}
