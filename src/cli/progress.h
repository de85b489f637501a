/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A progress bar on a terminal, for what takes longer than a moment
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
 * struct progress - how far something has come
 * @what: what is being done
 * @total: in how many blocks
 * @block_size: in bytes
 * @started: when
 * @drawn: when it was drawn last; 0 if it has not been
 * @terminal: whether there is somebody to see it
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
