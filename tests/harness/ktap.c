// SPDX-License-Identifier: GPL-2.0-only
/*
 * Results as KTAP
 *
 * Into the kernel's log if asked for: a record there is never torn by another, as two writers on a serial
 * line are, and the results stand in order with what the kernel says.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

static int out = STDOUT_FILENO;
static const char *group = "";
static int tests, failures;

static void print(const char *text)
{
	char line[900];
	int length;

	/* The digits are the level, notice. */
	length = snprintf(line, sizeof(line), "%s%s\n", out == STDOUT_FILENO ? "" : "<5>", text);
	if (length >= (int)sizeof(line))
		length = sizeof(line) - 1;
	if (write(out, line, length) < 0)
		_exit(3);
}

void ktap_begin(bool kmsg)
{
	if (kmsg) {
		out = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
		if (out < 0) {
			perror("/dev/kmsg");
			_exit(3);
		}
	}
	print("KTAP version 1");
}

int ktap_end(void)
{
	char plan[32];

	/* Only at the end is it known, and only who gets here prints one. */
	snprintf(plan, sizeof(plan), "1..%d", tests);
	print(plan);
	return failures;
}

void ktap_group(const char *name)
{
	group = name;
}

static void result(bool passed, const char *reason, const char *format, va_list arguments)
{
	char name[600], line[800];

	vsnprintf(name, sizeof(name), format, arguments);
	snprintf(line, sizeof(line), "%s %d - %s: %s%s%s", passed ? "ok" : "not ok", ++tests, group, name,
		 reason ? " # SKIP " : "", reason ? reason : "");
	print(line);
	if (!passed)
		failures++;
}

bool ok(bool passed, const char *promise, ...)
{
	va_list arguments;

	va_start(arguments, promise);
	result(passed, NULL, promise, arguments);
	va_end(arguments);
	return passed;
}

void skip(const char *reason, const char *promise, ...)
{
	va_list arguments;

	va_start(arguments, promise);
	result(true, reason, promise, arguments);
	va_end(arguments);
}

static void print_prefixed(const char *prefix, const char *format, va_list arguments)
{
	char text[700], line[800];

	vsnprintf(text, sizeof(text), format, arguments);
	snprintf(line, sizeof(line), "%s%s", prefix, text);
	print(line);
}

void diag(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_prefixed("# ", format, arguments);
	va_end(arguments);
}

void say_to_host(const char *text)
{
	print(text);
}
