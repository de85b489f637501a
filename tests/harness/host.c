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

/* Longer than the runner's own timeout for QEMU */
#define REPLY_SECONDS 40

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

/* Switch echo off: it would be mixed into the kernel's log on the same line. */
static void no_echo(int console)
{
	struct termios settings;

	if (!tcgetattr(console, &settings)) {
		settings.c_lflag &= ~(ECHO | ECHONL);
		tcsetattr(console, TCSANOW, &settings);
	}
}

static int console_open(void)
{
	int console = open(architecture.console, O_RDONLY | O_NOCTTY | O_CLOEXEC);

	if (console >= 0) {
		no_echo(console);
		/* Drop a late reply to an earlier command. */
		tcflush(console, TCIFLUSH);
	}
	return console;
}

static const char *reply_from(int fd)
{
	struct pollfd console = { .fd = fd, .events = POLLIN };
	static char reply[4096];
	ssize_t length = 0;

	if (poll(&console, 1, 1000 * REPLY_SECONDS) == 1)
		length = read(fd, reply, sizeof(reply) - 1);
	else
		ok(false, "the host replies to a monitor command within %d seconds", REPLY_SECONDS);
	close(fd);
	reply[length > 0 ? length : 0] = '\0';
	reply[strcspn(reply, "\r\n")] = '\0';
	return reply;
}

const char *host_ask(const char *format, ...)
{
	int console = console_open();
	va_list arguments;

	if (console < 0)
		return "";
	va_start(arguments, format);
	command("? ", format, arguments);
	va_end(arguments);
	return reply_from(console);
}

bool host_wakes(int seconds, int (*sleep)(void), int *ret)
{
	int console = console_open();

	if (console < 0)
		return false;
	host("wake %d", seconds);
	*ret = sleep();
	return !strcmp(reply_from(console), "wake");
}
