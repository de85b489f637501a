// SPDX-License-Identifier: GPL-2.0-only
/*
 * Others who trace and probe the functions that are wrapped, before the module is loaded or after that
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

#define START (4 * GIB)
#define TRACING "/sys/kernel/tracing"
#define EVENTS TRACING "/events/bystander"

static char functions[32][64];
static int function_count;

/* Whatever the kernel knows to be redirected. What is a module's own has its name behind it. */
static void find_functions(void)
{
	char *text = read_whole(TRACING "/enabled_functions");
	char *rest = text, *line;

	function_count = 0;
	while ((line = strsep(&rest, "\n"))) {
		char *flags = strchr(line, ')');

		if (!flags || memchr(line, '[', flags - line))
			continue;
		flags[strcspn(flags, "\t")] = '\0';
		if (strstr(flags, " I") && function_count < (int)ARRAY_SIZE(functions))
			sscanf(line, "%63s", functions[function_count++]);
	}
	free(text);
	for (int i = 0; i < function_count; i++)
		diag("redirected: %s", functions[i]);
}

static bool listed(const char *name)
{
	for (int i = 0; i < function_count; i++)
		if (!strcmp(functions[i], name))
			return true;
	return false;
}

/* Type p or r: a kprobe or a kretprobe on each function, with events that go to the trace buffer */
static bool probe_all(char type)
{
	char line[128];

	for (int i = 0; i < function_count; i++) {
		snprintf(line, sizeof(line), "%c:bystander/%c_%s %s", type, type, functions[i], functions[i]);
		if (write_file(line, TRACING "/kprobe_events")) {
			diag("no probe on %s", functions[i]);
			return false;
		}
	}
	return true;
}

static bool probe_on(void)
{
	return probe_all('p') && probe_all('r') && write_file("1", EVENTS "/enable") == 0;
}

static bool probe_off(void)
{
	bool off = write_file("0", EVENTS "/enable") == 0;

	return run_command("echo > " TRACING "/kprobe_events") == 0 && off && !exists(EVENTS);
}

/* How often an event was hit, -1 if there is no such */
static long long hits(const char *event)
{
	char *text = read_whole(TRACING "/kprobe_profile");
	char *rest = text, *line, name[64];
	long long count, found = -1;

	while ((line = strsep(&rest, "\n")))
		if (sscanf(line, "%63s %lld", name, &count) == 2 && !strcmp(name, event))
			found = count;
	free(text);
	return found;
}

static bool set_tracer(const char *tracer)
{
	run_command("echo > " TRACING "/set_ftrace_filter");
	for (int i = 0; i < function_count; i++)
		if (run_command("echo %s >> " TRACING "/set_ftrace_filter", functions[i]))
			return false;
	return write_file(tracer, TRACING "/current_tracer") == 0;
}

static bool reset_tracer(void)
{
	return write_file("nop", TRACING "/current_tracer") == 0 &&
	       run_command("echo > " TRACING "/set_ftrace_filter") == 0;
}

static bool traced(const char *function)
{
	return run_command("grep -q %s " TRACING "/trace", function) == 0;
}

static bool function_on(void) { return set_tracer("function"); }
static bool graph_on(void) { return set_tracer("function_graph"); }

/* Up and down again, by the region's knobs and by the block's own. */
static bool cycle(void)
{
	struct accounts *before = accounts_take();
	bool same;

	same = region_add(START, 2 * block_size, NULL) == 0 && region_online(0, "1 online_movable") == 0 &&
	       write_file("online_movable", MEMORY "/memory%d/state", block_at(START) + 1) == 0 &&
	       blocks_online(0) == 2 && !strcmp(block_stage(block_at(START)), "populated") &&
	       region_give_back(0) == 0 && !strcmp(block_stage(block_at(START)), "standby") &&
	       region_remove(0) == 0 && accounts_same(before);
	accounts_free(before);
	return same;
}

/* Others' probes came or went meanwhile, so what is looked at is only the module itself. */
static void unload_beside(const char *name)
{
	ok(module_unload("twostage") == 0 && !module_loaded("twostage"), "%s: the module unloads", name);
}

/* After us, and still there when we are gone */
static void comes_second(const char *name, bool (*on)(void), bool (*off)(void))
{
	if (!load_twostage(NULL))
		return;
	ok(on(), "%s on all wrapped functions, beside the module", name);
	ok(cycle(), "%s: all goes on", name);
	ok(off() && cycle(), "%s: and goes on after that", name);
	ok(on(), "%s once more", name);
	unload_beside(name);
	ok(off(), "%s: removed after the module", name);
}

/* Before us, and gone before us, or after us */
static void comes_first(const char *name, bool (*on)(void), bool (*off)(void))
{
	ok(on(), "%s on all functions that will be wrapped", name);
	if (!load_twostage(NULL)) {
		off();
		return;
	}
	ok(cycle(), "%s came first: all works", name);
	ok(off() && cycle(), "%s came first: and goes on after that", name);
	unload_beside(name);

	ok(on(), "%s again, before the module", name);
	if (load_twostage(NULL))
		unload_beside(name);
	ok(off(), "%s: there before the module and after it", name);
}

static void run(void)
{
	if (!load_twostage(NULL))
		return;
	find_functions();
	ok(listed("online_pages") && listed("offline_pages") && listed("memory_subsys_online") &&
	   listed("__add_memory"), "the kernel tells which functions are redirected");
	ok(probe_on() && cycle() && hits("p_online_pages") > 0 && hits("r_online_pages") > 0,
	   "who probes a wrapped function sees its calls");
	ok(probe_off(), "the probes are removed");
	ok(function_on() && cycle() && traced("online_pages"), "who traces a wrapped function sees its calls");
	ok(reset_tracer(), "tracing ends");
	unload_twostage();

	comes_second("probes", probe_on, probe_off);
	comes_second("function tracer", function_on, reset_tracer);
	comes_second("function graph tracer", graph_on, reset_tracer);
	comes_first("probes", probe_on, probe_off);
	comes_first("function tracer", function_on, reset_tracer);
}

GROUP(group_tracers) = { .name = "tracers", .title = "others who trace and probe what is wrapped", .run = run };
