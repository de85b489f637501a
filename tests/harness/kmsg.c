// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's log since a mark
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

struct kmsg kmsg_mark(void)
{
	struct kmsg kmsg = { open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC) };

	lseek(kmsg.fd, 0, SEEK_END);
	return kmsg;
}

bool kmsg_next(struct kmsg *kmsg, const char *needle, char *line, size_t size)
{
	char record[2048];
	ssize_t length;

	for (;;) {
		char *text;

		length = read(kmsg->fd, record, sizeof(record) - 1);
		/*
		 * A record was overwritten before it was read: go on with the
		 * next.
		 */
		if (length < 0 && errno == EPIPE)
			continue;
		if (length <= 0)
			return false;
		record[length] = '\0';
		record[strcspn(record, "\n")] = '\0';
		text = strchr(record, ';');
		if (!text || !strstr(text + 1, needle))
			continue;
		if (line)
			snprintf(line, size, "%s", text + 1);
		return true;
	}
}

bool kmsg_wait(struct kmsg *kmsg, const char *needle, int seconds)
{
	bool found = wait_until(kmsg_next(kmsg, needle, NULL, 0), seconds);

	if (!found)
		diag("the log has no line with \"%s\"", needle);
	return found;
}

int kmsg_lines(struct kmsg *kmsg, const char *needle, char *line, size_t size)
{
	int count = 0;

	while (kmsg_next(kmsg, needle, line, size))
		count++;
	return count;
}

void kmsg_close(struct kmsg *kmsg)
{
	close(kmsg->fd);
}
