// SPDX-License-Identifier: GPL-2.0-only
/*
 * The daemon's files in /run/twostaged
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../cli/sysfs.h"
#include "instance.h"

static int status = -1;

static int open_in_run(const char *file, mode_t mode)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s%s", sysroot(), file);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);
	return fd < 0 ? -errno : fd;
}

static int make_directory(const char *directory)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s%s", sysroot(), directory);
	return mkdir(path, 0755) && errno != EEXIST ? -errno : 0;
}

/**
 * instance_lock() - become the only daemon, until the process ends
 * @other: the process that is, on failure with -EBUSY
 *
 * The lock is one of fcntl(): others can ask about it without taking it.
 *
 * Return: 0; -EBUSY if another daemon runs; or another negative errno.
 */
int instance_lock(pid_t *other)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd, ret;

	ret = make_directory("/run");
	if (!ret)
		ret = make_directory(INSTANCE_DIRECTORY);
	if (ret)
		return ret;
	fd = open_in_run(INSTANCE_LOCK, 0644);
	if (fd < 0)
		return fd;
	/* The file stays open: the lock ends with it. */
	if (fcntl(fd, F_SETLK, &lock)) {
		if (errno != EACCES && errno != EAGAIN)
			return -errno;
		*other = fcntl(fd, F_GETLK, &lock) || lock.l_type == F_UNLCK ? 0 : lock.l_pid;
		return -EBUSY;
	}
	status = open_in_run(INSTANCE_STATUS, 0644);
	return status < 0 ? status : 0;
}

/**
 * instance_read() - read a value that the last daemon has left
 * @key: its name
 * @value: the result; "" if there is none
 * @size: size of @value
 */
void instance_read(const char *key, char *value, size_t size)
{
	char text[INSTANCE_SIZE + 1], *line;
	const size_t length = strlen(key);
	ssize_t got = pread(status, text, INSTANCE_SIZE, 0);

	*value = '\0';
	text[got > 0 ? got : 0] = '\0';
	for (line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, key, length) && line[length] == '=') {
			snprintf(value, size, "%.*s", (int)strcspn(line + length + 1, "\n"), line + length + 1);
			return;
		}
	}
}

/**
 * instance_write() - replace the status
 * @format: all lines but for "begin" and "end"
 *
 * The file keeps its size, so that it needs no memory.
 */
void instance_write(const char *format, ...)
{
	static unsigned int number;
	static char text[INSTANCE_SIZE + 1];
	size_t length;
	va_list args;
	ssize_t written;

	length = snprintf(text, sizeof(text), "begin=%u\n", ++number);
	va_start(args, format);
	length += vsnprintf(text + length, sizeof(text) - length, format, args);
	va_end(args);
	/* Truncated text has no "end" and is not taken for a whole one. */
	if (length + 32 < INSTANCE_SIZE)
		length += snprintf(text + length, sizeof(text) - length, "end=%u\n", number);
	if (length < INSTANCE_SIZE)
		memset(text + length, '\n', INSTANCE_SIZE - length);
	written = pwrite(status, text, INSTANCE_SIZE, 0);
	/* Without a status the daemon works as well. */
	(void)written;
}
