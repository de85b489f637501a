/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Messages, to the journal or to stderr
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGED_JOURNAL_H
#define TWOSTAGED_JOURNAL_H

#include <syslog.h>

void journal_open(void);
void say(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif /* TWOSTAGED_JOURNAL_H */
