// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events that the kernel sends when a device changes
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"

int uevents_open(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

bool uevents_have(int fd, const char *header, const char *variable)
{
	char event[8192];
	bool found = false;
	ssize_t length;

	while ((length = recv(fd, event, sizeof(event) - 1, 0)) > 0) {
		char *end = event + length, *word;

		*end = '\0';
		if (strncmp(event, header, strlen(header)))
			continue;
		for (word = event; word < end; word += strlen(word) + 1)
			found |= !strcmp(word, variable);
	}
	return found;
}
