// SPDX-License-Identifier: GPL-2.0-only
/*
 * A library to preload: says so if a program allocates memory after it has told
 * systemd that it is ready. The first measurement comes after that, too, so it
 * begins a second later.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

/* The functions of libc that are replaced */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

static time_t ready;
static bool begun;

static void say(const char *text)
{
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		return;
}

static void watch(void)
{
	struct timespec now;

	if (!ready)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec < ready + 2)
		return;
	say("malloc-watch: allocation\n");
}

void *malloc(size_t size)
{
	watch();
	return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	watch();
	return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
	watch();
	return __libc_realloc(memory, size);
}

int sd_notify(int unset, const char *state)
{
	int (*original)(int unset, const char *state) = dlsym(RTLD_NEXT, "sd_notify");
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!strncmp(state, "READY=1", 7))
		ready = now.tv_sec;
	else if (!strncmp(state, "STOPPING=1", 10))
		ready = 0;
	return original(unset, state);
}

/* The program's clock: the first reading after the time says so. */
int clock_gettime(clockid_t clock, struct timespec *time)
{
	static int (*original)(clockid_t clock, struct timespec *time);
	int ret;

	if (!original)
		original = dlsym(RTLD_NEXT, "clock_gettime");
	ret = original(clock, time);
	if (ready && !begun && clock == CLOCK_MONOTONIC && time->tv_sec >= ready + 2) {
		begun = true;
		say("malloc-watch: begins\n");
	}
	return ret;
}
