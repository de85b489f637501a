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

int kmsg_lines(struct kmsg *kmsg, const char *needle, char *line, size_t size)
{
	char record[2048];
	ssize_t length;
	int count = 0;

	for (;;) {
		char *text;

		length = read(kmsg->fd, record, sizeof(record) - 1);
		/* A record that was overwritten before it was read */
		if (length < 0 && errno == EPIPE)
			continue;
		if (length <= 0)
			return count;
		record[length] = '\0';
		record[strcspn(record, "\n")] = '\0';
		text = strchr(record, ';');
		if (!text || !strstr(text + 1, needle))
			continue;
		count++;
		if (line)
			snprintf(line, size, "%s", text + 1);
	}
}

void kmsg_close(struct kmsg *kmsg)
{
	close(kmsg->fd);
}
