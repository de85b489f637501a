// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages, to the journal or to stderr
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "journal.h"

/* Whether stderr is a connection to the journal */
static bool to_journal;

/**
 * journal_open() - find out where messages go
 *
 * systemd names the connection in the environment, as DEVICE:INODE.
 */
void journal_open(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat file;

	to_journal = stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && !fstat(STDERR_FILENO, &file) &&
		     file.st_dev == device && file.st_ino == inode;
}

/**
 * say() - write a message, without allocating memory
 * @priority: LOG_ERR, LOG_INFO and so on
 * @format: a line without the newline
 */
void say(int priority, const char *format, ...)
{
	char message[1024] = "MESSAGE=", level[16];
	const size_t prefix = strlen(message);
	struct iovec fields[] = {
		{ message, 0 },
		{ level, 0 },
		{ (void *)"SYSLOG_IDENTIFIER=twostaged", strlen("SYSLOG_IDENTIFIER=twostaged") },
	};
	va_list args;
	ssize_t written;

	va_start(args, format);
	vsnprintf(message + prefix, sizeof(message) - prefix, format, args);
	va_end(args);
	snprintf(level, sizeof(level), "PRIORITY=%d", priority);
	fields[0].iov_len = strlen(message);
	fields[1].iov_len = strlen(level);
	if (to_journal && !sd_journal_sendv(fields, 3))
		return;
	if (priority > LOG_INFO)
		return;

	fields[0] = (struct iovec){ (void *)"twostaged: ", strlen("twostaged: ") };
	fields[1] = (struct iovec){ message + prefix, strlen(message) - prefix };
	fields[2] = (struct iovec){ (void *)"\n", 1 };
	written = writev(STDERR_FILENO, fields, 3);
	/* There is no place for a message about a message. */
	(void)written;
}
