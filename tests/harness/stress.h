/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Several processes at once: what they did, how long it took them, and what went wrong
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef STRESS_H
#define STRESS_H

#include <stdbool.h>
#include <stdint.h>

/* An error that is no fault of anybody's, and why. Commands may have words of their own for it. */
struct stress_error {
	int error;
	const char *reason, *words;
};

/* The words of a command that says none */
#define STRESS_SILENT "(nothing is said)"

/* A kind of operation. Errors that are not listed are not expected; the list ends with error 0. */
struct stress_kind {
	const char *name;
	const struct stress_error *errors;
};

/* What a process does, over and over */
struct stress_job {
	const char *name;
	void (*run)(void);
	int processes;
};

/* From here on operations of these kinds are counted, by all processes. */
void stress_begin(const struct stress_kind *kinds, int count);
void stress_end(void);
/* An operation has been done: ret is 0 or a negative errno. Returns it. */
int stress_note(int kind, double started, int ret);
/* As write_file(), noted */
int stress_write(int kind, const char *text, const char *path, ...) __attribute__((format(printf, 3, 4)));
/* A command, noted by the error that it tells, or by its exit status */
int stress_command(int kind, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* How often it was done, and how often it failed */
long stress_done(int kind);
long stress_failed(int kind);

/*
 * Memory that is about to be used or to go, so that the others leave it alone: false if there is not as much.
 * Whoever only holds memory for the fun of it gives some back then.
 */
bool stress_book(uint64_t size);
void stress_unbook(uint64_t size);
/* Fill memory with data, hold it that long, check the data. What is lost is counted. */
void stress_use_memory(int fill, int check, uint64_t size, int milliseconds);
uint64_t stress_checked(void);
uint64_t stress_lost(void);

/*
 * All jobs at once, for so many seconds; each_minute is called with the number of minutes, and may be NULL.
 * False if a process did not end well, or not at all.
 */
bool stress_run(const struct stress_job *jobs, int count, int seconds, unsigned int seed,
		void (*each_minute)(int minute));
/*
 * For each kind how often it was done and the distribution of its times, and all errors, as diagnostics.
 * Returns how many errors were not expected.
 */
long stress_report(void);

#endif /* STRESS_H */
