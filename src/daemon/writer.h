/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A thread that sets memory blocks online and offline, so that the main loop
 * goes on meanwhile
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGED_WRITER_H
#define TWOSTAGED_WRITER_H

#include <stdint.h>

/**
 * struct writer_job - what to write
 * @fd: an open file, or -1
 * @path: the file to open otherwise
 * @text: what to write
 * @count: how many times to write it
 * @done: on return, how many of the writes succeeded
 * @error: on return, 0 or the negative errno of the write that failed
 * @time: on return, how long all of it took, in milliseconds
 */
struct writer_job {
	int fd;
	char path[128];
	char text[32];
	uint64_t count;
	uint64_t done;
	int error;
	uint64_t time;
};

int writer_start(void);
void writer_submit(const struct writer_job *job);
void writer_cancel(void);
int writer_result(struct writer_job *job);

#endif /* TWOSTAGED_WRITER_H */
