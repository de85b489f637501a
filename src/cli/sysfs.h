/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading and writing the kernel's files
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGE_SYSFS_H
#define TWOSTAGE_SYSFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <dirent.h>

const char *sysroot(void);

bool sysfs_exists(const char *format, ...) __attribute__((format(printf, 1, 2)));
int sysfs_read(char *text, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int sysfs_read_number(uint64_t *number, int base, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int sysfs_read_bytes(void *bytes, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int sysfs_write(const char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

FILE *sysroot_fopen(const char *path);
DIR *sysroot_opendir(const char *path);

#endif /* TWOSTAGE_SYSFS_H */
