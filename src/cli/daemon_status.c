// SPDX-License-Identifier: GPL-2.0-only
/*
 * What twostaged says about itself
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../daemon/instance.h"
#include "array_size.h"
#include "daemon_status.h"
#include "sysfs.h"

/* How often to read the status again if it is just being written */
#define TRIES 20

/* The process that holds the daemon's lock; 0 if there is none */
static pid_t lock_holder(void)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	FILE *file = sysroot_fopen(INSTANCE_LOCK);
	pid_t pid = 0;

	if (!file)
		return 0;
	if (!fcntl(fileno(file), F_GETLK, &lock) && lock.l_type != F_UNLCK)
		pid = lock.l_pid;
	fclose(file);
	return pid;
}

/* The value of a key, with its length in @length; NULL if there is none */
static const char *find(const char *text, const char *key, int *length)
{
	const size_t name = strlen(key);
	const char *line;

	for (line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, name) || line[name] != '=')
			continue;
		*length = strcspn(line + name + 1, "\n");
		return line + name + 1;
	}
	return NULL;
}

static void copy(char *value, size_t size, const char *text, const char *key)
{
	const char *found;
	int length;

	found = find(text, key, &length);
	snprintf(value, size, "%.*s", found ? length : 0, found ? found : "");
}

/* Whether the text is whole: its first and its last line have one number. */
static bool is_whole(const char *text)
{
	char begin[16], end[16];

	copy(begin, sizeof(begin), text, "begin");
	copy(end, sizeof(end), text, "end");
	return begin[0] && !strcmp(begin, end);
}

static bool read_text(char text[INSTANCE_SIZE + 1])
{
	FILE *file = sysroot_fopen(INSTANCE_STATUS);
	ssize_t length = 0;
	int tries;

	for (tries = 0; file && tries < TRIES; tries++) {
		length = pread(fileno(file), text, INSTANCE_SIZE, 0);
		text[length > 0 ? length : 0] = '\0';
		if (is_whole(text))
			break;
		usleep(10000);
	}
	if (file)
		fclose(file);
	return file && tries < TRIES;
}

static void read_limits(struct daemon_status *status, const char *text)
{
	static const char *const keys[] = { "min", "max", "low", "target", "high", "kernel-low" };
	size_t i, length = 0;
	char value[32];

	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		copy(value, sizeof(value), text, keys[i]);
		length += snprintf(status->limits + length, sizeof(status->limits) - length, "%s%s=%s",
				   i ? " " : "", keys[i], value);
	}
}

static void read_last(struct daemon_status *status, const char *text)
{
	char what[512], seconds[24], when[32] = "";
	struct tm tm;
	time_t time;

	status->last[0] = '\0';
	copy(what, sizeof(what), text, "last");
	copy(seconds, sizeof(seconds), text, "last-time");
	time = strtoll(seconds, NULL, 10);
	if (what[0] && localtime_r(&time, &tm) && strftime(when, sizeof(when), "%F %T", &tm))
		snprintf(status->last, sizeof(status->last), "%s, %s", when, what);
}

/**
 * daemon_status_read() - read the status of twostaged
 * @status: the result; only the limits and the rest that it has written last, if
 *	it does not run
 *
 * Return: whether it has been running since the boot.
 */
bool daemon_status_read(struct daemon_status *status)
{
	char text[INSTANCE_SIZE + 1];

	*status = (struct daemon_status){ 0 };
	if (!read_text(text))
		return false;
	status->pid = lock_holder();
	read_limits(status, text);
	read_last(status, text);
	copy(status->now, sizeof(status->now), text, "now");
	copy(status->net, sizeof(status->net), text, "net");
	return true;
}
