// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waiting for a state, a task or the end of an operation, not for a time
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

/* In microseconds */
#define FIRST_PAUSE 2000
#define LONGEST_PAUSE 50000

struct waiting waiting_begin(const char *condition, double seconds)
{
	return (struct waiting){
		.condition = condition,
		.seconds = seconds,
		.until = now() + seconds,
		.pause = FIRST_PAUSE,
	};
}

bool waiting_goes_on(struct waiting *waiting)
{
	if (now() > waiting->until) {
		diag("not true within %.0f s: %s", waiting->seconds, waiting->condition);
		return false;
	}
	usleep(waiting->pause);
	if (waiting->pause < LONGEST_PAUSE)
		waiting->pause *= 2;
	return true;
}

bool sleeps_in(pid_t pid, const char *function)
{
	char path[32];
	char *stack;
	bool found;

	snprintf(path, sizeof(path), "/proc/%d/stack", pid);
	stack = read_whole(path);
	found = stack && strstr(stack, function);
	free(stack);
	return found;
}

bool any_sleeps_in(const char *function)
{
	bool found = false;
	glob_t tasks;
	size_t i;

	if (glob("/proc/[0-9]*", 0, NULL, &tasks))
		return false;
	for (i = 0; i < tasks.gl_pathc && !found; i++)
		found = sleeps_in(atoi(tasks.gl_pathv[i] + strlen("/proc/")), function);
	globfree(&tasks);
	return found;
}

bool hotplug_settles(void)
{
	/*
	 * Block 0 is online already, so the write only waits for
	 * device_hotplug_lock. For tests with DIMMs: arm64 may have no block 0.
	 */
	return write_file("1", MEMORY "/memory0/online") == 0;
}
