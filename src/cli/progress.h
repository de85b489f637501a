/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A progress bar on a terminal, for operations that take longer than a second
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGE_PROGRESS_H
#define TWOSTAGE_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/**
 * struct progress - an operation on memory blocks
 * @what: its name
 * @total: number of blocks
 * @block_size: in bytes
 * @started: time of the start
 * @drawn: seconds from the start to the last redraw; 0 if the bar is not on the
 *	terminal
 * @terminal: whether stderr is a terminal that can show a bar
 */
struct progress {
	const char *what;
	uint64_t total;
	uint64_t block_size;
	struct timespec started;
	double drawn;
	bool terminal;
};

void progress_begin(struct progress *progress, const char *what, uint64_t total, uint64_t block_size);
void progress_update(struct progress *progress, uint64_t done);
void progress_clear(struct progress *progress);

void format_progress(char *text, size_t size, unsigned int width, const struct progress *progress,
		     uint64_t done, double seconds);

#endif /* TWOSTAGE_PROGRESS_H */
