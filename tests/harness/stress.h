/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Several processes at once: what they did, how long it took, what failed
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef STRESS_H
#define STRESS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * An error that is expected, and the reason. @words is how commands phrase it,
 * if that is not the errno's message.
 */
struct stress_error {
	int error;
	const char *reason, *words;
};

/* Matches a command that fails without a message */
#define STRESS_SILENT "(nothing is said)"

/*
 * A kind of operation, and the errors that are expected; error 0 ends the list.
 */
struct stress_kind {
	const char *name;
	const struct stress_error *errors;
};

/* What a process does in a loop */
struct stress_job {
	const char *name;
	void (*run)(void);
	int processes;
};

/* Starts counting operations of these kinds, in all processes */
void stress_begin(const struct stress_kind *kinds, int count);
void stress_end(void);
/* Counts an operation: @ret is 0 or a negative errno, and is returned. */
int stress_note(int kind, double started, int ret);
/* write_file(), counted */
int stress_write(int kind, const char *text, const char *path, ...)
	__attribute__((format(printf, 3, 4)));
/* Runs a command, counted by the error that it prints, or by its exit status */
int stress_command(int kind, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* How often the operation succeeded and failed */
long stress_done(int kind);
long stress_failed(int kind);

/*
 * Books memory that is about to be used or removed; false if there is not
 * enough. Processes that hold memory only to keep it in use free some then.
 */
bool stress_book(uint64_t size);
void stress_unbook(uint64_t size);
/*
 * Fills memory with data, holds it for that long, and verifies the data. Lost
 * bytes are counted.
 */
void stress_use_memory(int fill, int check, uint64_t size, int milliseconds);
uint64_t stress_checked(void);
uint64_t stress_lost(void);

/*
 * Runs all jobs at once for that many seconds. each_minute() is called with the
 * number of minutes; it may be NULL. Returns false if a process failed or did
 * not end.
 */
bool stress_run(const struct stress_job *jobs, int count, int seconds, unsigned int seed,
		void (*each_minute)(int minute));
/*
 * Prints for each kind the counts and the distribution of times, and all
 * errors. Returns how many errors were not expected.
 */
long stress_report(void);

#endif /* STRESS_H */
