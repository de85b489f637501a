// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's function tracer: how long a call takes, and what it calls
 *
 * Traces are written to the console, for the host to read:
 *
 *	# trace OPERATION ORDER
 *	| ...
 *	# end of trace
 *
 * The kernel's log is too small for them.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

#define TRACING "/sys/kernel/tracing"

/* Opening these files with O_TRUNC empties them. */
static void clear(const char *file_name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), TRACING "/%s", file_name);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
}

/*
 * Functions that the kernel does not have, or that were inlined, are left out.
 */
static void add_functions(const char *file_name, const char *const *functions)
{
	char path[64];

	snprintf(path, sizeof(path), TRACING "/%s", file_name);
	for (; *functions; functions++) {
		FILE *file = fopen(path, "a");

		if (!file)
			continue;
		fputs(*functions, file);
		fclose(file);
	}
}

/*
 * Each CPU has a trace buffer, and the clocks by which they are merged differ.
 */
static void stay_on_one_cpu(bool stay)
{
	cpu_set_t cpus;
	int cpu;

	CPU_ZERO(&cpus);
	for (cpu = 0; cpu < (stay ? 1 : CPU_SETSIZE); cpu++)
		CPU_SET(cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
}

void trace_begin(const char *const *roots, const char *const *functions)
{
	write_file("nop", TRACING "/current_tracer");
	write_file("0", TRACING "/tracing_on");
	write_file("16384", TRACING "/buffer_size_kb");
	clear("set_ftrace_filter");
	clear("set_graph_function");
	add_functions("set_ftrace_filter", roots);
	add_functions("set_ftrace_filter", functions);
	add_functions("set_graph_function", roots);
	write_file("0", TRACING "/options/funcgraph-irqs");
	write_file("1", TRACING "/options/funcgraph-proc");
	write_file("1", TRACING "/options/funcgraph-tail");
	write_file("function_graph", TRACING "/current_tracer");
	stay_on_one_cpu(true);
}

void trace_on(void)
{
	clear("trace");
	write_file("1", TRACING "/tracing_on");
}

void trace_off(void)
{
	write_file("0", TRACING "/tracing_on");
}

void trace_print(const char *operation, const char *order)
{
	char *trace = read_whole(TRACING "/trace"), *line, *next;
	FILE *console = fopen("/dev/console", "w");

	if (console) {
		fprintf(console, "\n# trace %s %s\n", operation, order);
		for (line = trace; *line; line = next) {
			next = strchr(line, '\n');
			next = next ? next + 1 : line + strlen(line);
			if (*line != '#')
				fprintf(console, "| %.*s\n", (int)strcspn(line, "\n"), line);
		}
		fprintf(console, "# end of trace\n");
		fclose(console);
	}
	free(trace);
}

void trace_end(void)
{
	stay_on_one_cpu(false);
	write_file("nop", TRACING "/current_tracer");
	clear("set_ftrace_filter");
	clear("set_graph_function");
	write_file("1", TRACING "/tracing_on");
}
