/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Error messages, which say what failed and why, and hints, which say what to
 * do next
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGE_ERRORS_H
#define TWOSTAGE_ERRORS_H

#include <stdbool.h>

/*
 * Exit status for a wrong command line. EXIT_SUCCESS means that all was done,
 * EXIT_FAILURE that nothing or only a part was done.
 */
#define EXIT_USAGE 2

void error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void hint(const char *format, ...) __attribute__((format(printf, 1, 2)));
int usage_error(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
int getopt_error(const char *command);

void kernel_log_mark(void);
bool kernel_log_show(void);

void hint_by_errno(int err);
int module_missing(void);

#endif /* TWOSTAGE_ERRORS_H */
