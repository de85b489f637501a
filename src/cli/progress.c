// SPDX-License-Identifier: GPL-2.0-only
/*
 * A progress bar on a terminal, for operations that take longer than a second
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "progress.h"
#include "size.h"

/* Seconds before the bar is drawn first, and between two redraws */
#define SHOW_AFTER 1.0
#define INTERVAL 0.1

static double elapsed(const struct progress *progress)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - progress->started.tv_sec +
	       (now.tv_nsec - progress->started.tv_nsec) / 1e9;
}

static unsigned int terminal_width(void)
{
	struct winsize size;

	/* A serial console does not know its width. */
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || !size.ws_col)
		return 80;
	return size.ws_col;
}

static void format_duration(char *text, size_t size, double seconds)
{
	unsigned int rounded = seconds + 0.5;

	if (rounded < 60)
		snprintf(text, size, "%u s", rounded);
	else
		snprintf(text, size, "%u:%02u min", rounded / 60, rounded % 60);
}

/**
 * format_progress() - format a progress bar
 * @text: the result
 * @size: size of @text
 * @width: of the terminal, in columns
 * @progress: the operation
 * @done: number of blocks that are done
 * @seconds: time that these blocks took
 */
void format_progress(char *text, size_t size, unsigned int width, const struct progress *progress,
		     uint64_t done, double seconds)
{
	char done_size[SIZE_TEXT], total_size[SIZE_TEXT], left[32] = "", numbers[160];
	unsigned int bar, filled, used;

	if (done && done <= progress->total) {
		char duration[24];

		format_duration(duration, sizeof(duration),
				seconds / done * (progress->total - done));
		snprintf(left, sizeof(left), ", %s left", duration);
	}
	snprintf(numbers, sizeof(numbers), "%" PRIu64 "/%" PRIu64 " blocks, %s/%s%s", done,
		 progress->total, format_size(done_size, done * progress->block_size),
		 format_size(total_size, progress->total * progress->block_size), left);

	/* "what [bar] numbers"; text in the last column could wrap. */
	used = strlen(progress->what) + strlen(numbers) + 5;
	if (used + 8 > width) {
		snprintf(text, size, "%.*s", (int)width - 1, numbers);
		return;
	}
	bar = width - used;
	if (bar > 40)
		bar = 40;
	filled = progress->total ? (unsigned __int128)bar * done / progress->total : bar;
	snprintf(text, size, "%s [%.*s%.*s] %s", progress->what,
		 filled, "########################################",
		 bar - filled, "----------------------------------------", numbers);
}

/**
 * progress_begin() - start an operation
 * @progress: the operation
 * @what: its name
 * @total: number of blocks
 * @block_size: in bytes
 */
void progress_begin(struct progress *progress, const char *what, uint64_t total, uint64_t block_size)
{
	const char *term = getenv("TERM");

	*progress = (struct progress){
		.what = what,
		.total = total,
		.block_size = block_size,
		.terminal = isatty(STDERR_FILENO) && term && strcmp(term, "dumb"),
	};
	clock_gettime(CLOCK_MONOTONIC, &progress->started);
}

/**
 * progress_update() - draw the bar on a terminal, if the operation takes long
 * @progress: the operation
 * @done: number of blocks that are done
 */
void progress_update(struct progress *progress, uint64_t done)
{
	double seconds = elapsed(progress);
	char text[512];

	if (!progress->terminal || seconds < SHOW_AFTER ||
	    (progress->drawn > 0 && seconds < progress->drawn + INTERVAL))
		return;
	format_progress(text, sizeof(text), terminal_width(), progress, done, seconds);
	fprintf(stderr, "\r%s\033[K", text);
	fflush(stderr);
	progress->drawn = seconds;
}

/**
 * progress_clear() - erase the bar, until the next update
 * @progress: the operation
 */
void progress_clear(struct progress *progress)
{
	if (progress->drawn > 0) {
		fputs("\r\033[K", stderr);
		progress->drawn = 0;
	}
}
