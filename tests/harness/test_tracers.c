// SPDX-License-Identifier: GPL-2.0-only
/*
 * Foreign tracers and probes on the wrapped functions, installed before or
 * after the module is loaded
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

/*
 * Functions whose instruction pointer is changed by ftrace (flag I). Functions
 * of modules, whose name follows in brackets, are left out.
 */
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
		diag("wrapped: %s", functions[i]);
}

static bool listed(const char *name)
{
	for (int i = 0; i < function_count; i++)
		if (!strcmp(functions[i], name))
			return true;
	return false;
}

/*
 * Add a kprobe (type p) or kretprobe (type r) event on each wrapped function.
 */
static bool probe_all(char type)
{
	char line[160];

	for (int i = 0; i < function_count; i++) {
		snprintf(line, sizeof(line), "%c:bystander/%c_%.63s %.63s", type, type,
			 functions[i], functions[i]);
		if (write_file(line, TRACING "/kprobe_events")) {
			diag("adding the probe \"%s\" failed", line);
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

/* How often an event was hit; -1 if it does not exist */
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

/*
 * Add a region, set its blocks online and offline through the attributes of the
 * region and of the block, and remove it.
 */
static bool cycle(void)
{
	struct accounts *before = accounts_take();
	bool same;

	same = region_add(START, 2 * block_size, NULL) == 0 &&
	       region_online(0, "1 online_movable") == 0 &&
	       write_file("online_movable", MEMORY "/memory%d/state", block_at(START) + 1) == 0 &&
	       blocks_online(0) == 2 && !strcmp(block_stage(block_at(START)), "populated") &&
	       region_give_back(0) == 0 && !strcmp(block_stage(block_at(START)), "standby") &&
	       region_remove(0) == 0 && accounts_same(before);
	accounts_free(before);
	return same;
}

/*
 * unload_twostage() checks all probes of the kernel too; foreign ones have
 * changed since the load, so check only that the module is gone.
 */
static void unload_beside(const char *when, const char *name)
{
	ok(module_unload("twostage") == 0 && !module_loaded("twostage"),
	   "the module unloads %s %s on wrapped functions", when, name);
}

/* Foreign probes are installed after the module is loaded and outlive it. */
static void installed_second(const char *name, bool (*on)(void), bool (*off)(void))
{
	if (!load_twostage(NULL))
		return;
	ok(on(), "%s installed on all wrapped functions while the module is loaded", name);
	ok(cycle(), "a region is added, used and removed beside %s installed after the module",
	   name);
	ok(off(), "%s removed while the module is loaded", name);
	ok(cycle(), "a region is added, used and removed after %s were installed and removed",
	   name);
	ok(on(), "%s installed a second time while the module is loaded", name);
	unload_beside("beside", name);
	ok(off(), "%s removed after the module is unloaded", name);
}

/*
 * Foreign probes are installed before the module is loaded; they are removed
 * before it is unloaded, and in a second round after that.
 */
static void installed_first(const char *name, bool (*on)(void), bool (*off)(void))
{
	ok(on(), "%s installed on all functions before the module wraps them", name);
	if (!load_twostage(NULL)) {
		off();
		return;
	}
	ok(cycle(), "a region is added, used and removed beside %s installed before the module",
	   name);
	ok(off(), "%s that were installed before the module are removed while it is loaded", name);
	ok(cycle(),
	   "a region is added, used and removed after %s from before the module were removed",
	   name);
	unload_beside("after removal of", name);

	ok(on(), "%s installed a second time before the module wraps the functions", name);
	if (load_twostage(NULL))
		unload_beside("beside", name);
	ok(off(), "%s that outlived the module are removed", name);
}

static void run(void)
{
	static const char *const wrapped[] = {
		"online_pages", "offline_pages", "memory_subsys_online", "__add_memory",
	};
	size_t i;

	if (!load_twostage(NULL))
		return;
	find_functions();
	for (i = 0; i < ARRAY_SIZE(wrapped); i++)
		ok(listed(wrapped[i]), "enabled_functions of ftrace lists %s as wrapped",
		   wrapped[i]);
	ok(probe_on() && cycle(),
	   "a region is added, used and removed with probes on all wrapped functions");
	ok(hits("p_online_pages") > 0, "a kprobe on the wrapped online_pages() is hit (%lld times)",
	   hits("p_online_pages"));
	ok(hits("r_online_pages") > 0,
	   "a kretprobe on the wrapped online_pages() is hit (%lld times)",
	   hits("r_online_pages"));
	ok(probe_off(), "probes on wrapped functions are removed");
	ok(function_on() && cycle() && traced("online_pages"),
	   "the function tracer records calls of the wrapped online_pages()");
	ok(reset_tracer(), "the function tracer is switched off");
	unload_twostage();

	installed_second("foreign probes", probe_on, probe_off);
	installed_second("hooks of the function tracer", function_on, reset_tracer);
	installed_second("hooks of the function graph tracer", graph_on, reset_tracer);
	installed_first("foreign probes", probe_on, probe_off);
	installed_first("hooks of the function tracer", function_on, reset_tracer);
}

GROUP(group_tracers) = {
	.name = "tracers", .title = "foreign tracers and probes on wrapped functions", .run = run,
};
