// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands for QEMU's monitor, which the runner on the host passes on
 *
 * The runner reads them on the guest's console, and writes replies there.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "harness.h"

static void command(const char *prefix, const char *format, va_list arguments)
{
	char text[700], line[800];

	vsnprintf(text, sizeof(text), format, arguments);
	snprintf(line, sizeof(line), "twostage-host: %s%s", prefix, text);
	say_to_host(line);
}

void host(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	command("", format, arguments);
	va_end(arguments);
}

/* An echo of the reply would tear the records of the kernel's log that come at the same moment. */
static void no_echo(int console)
{
	struct termios settings;

	if (!tcgetattr(console, &settings)) {
		settings.c_lflag &= ~(ECHO | ECHONL);
		tcsetattr(console, TCSANOW, &settings);
	}
}

const char *host_ask(const char *format, ...)
{
	static char reply[4096];
	struct pollfd console;
	ssize_t length = 0;
	va_list arguments;

	reply[0] = '\0';
	console.fd = open("/dev/ttyS0", O_RDONLY | O_NOCTTY | O_CLOEXEC);
	console.events = POLLIN;
	if (console.fd < 0)
		return reply;
	no_echo(console.fd);
	va_start(arguments, format);
	command("? ", format, arguments);
	va_end(arguments);
	if (poll(&console, 1, 20000) == 1)
		length = read(console.fd, reply, sizeof(reply) - 1);
	close(console.fd);
	reply[length > 0 ? length : 0] = '\0';
	reply[strcspn(reply, "\r\n")] = '\0';
	return reply;
}
