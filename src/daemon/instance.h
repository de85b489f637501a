/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The daemon's files in /run/twostaged: a lock, and its status
 *
 * The status is lines KEY=VALUE. The first one, "begin", and the last one, "end",
 * have the same number unless the file is being written.
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGED_INSTANCE_H
#define TWOSTAGED_INSTANCE_H

#include <stddef.h>
#include <sys/types.h>

#define INSTANCE_DIRECTORY "/run/twostaged"
#define INSTANCE_LOCK INSTANCE_DIRECTORY "/lock"
#define INSTANCE_STATUS INSTANCE_DIRECTORY "/status"

/* The size of the status file, which does not change */
#define INSTANCE_SIZE 4096

int instance_lock(pid_t *other);
void instance_read(const char *key, char *value, size_t size);
void instance_write(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif /* TWOSTAGED_INSTANCE_H */
