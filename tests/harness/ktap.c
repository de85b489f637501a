// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test results as KTAP
 *
 * With --kmsg they are written to the kernel's log. Records there are not torn,
 * as lines of two writers on a serial console are, and the results are in order
 * with the kernel's own messages.
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

	/* <5> is the log level, notice. */
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

	/*
	 * The plan comes last: only then the number is known, and a run that
	 * was cut short has no plan.
	 */
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
	snprintf(line, sizeof(line), "%s %d - %s: %s%s%s", passed ? "ok" : "not ok", ++tests, group,
		 name, reason ? " # SKIP " : "", reason ? reason : "");
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

bool ok_number(long long got, long long expected, const char *promise, ...)
{
	const bool passed = got == expected;
	va_list arguments;

	if (!passed)
		diag("got %lld, expected %lld", got, expected);
	va_start(arguments, promise);
	result(passed, NULL, promise, arguments);
	va_end(arguments);
	return passed;
}

bool ok_text(const char *got, const char *expected, const char *promise, ...)
{
	const bool passed = !strcmp(got, expected);
	va_list arguments;

	if (!passed)
		diag("got \"%s\", expected \"%s\"", got, expected);
	va_start(arguments, promise);
	result(passed, NULL, promise, arguments);
	va_end(arguments);
	return passed;
}

bool ok_return(int got, int expected, const char *promise, ...)
{
	const bool passed = got == expected;
	va_list arguments;

	if (!passed)
		diag("got %d (%s), expected %d (%s)", got, strerror(-got), expected,
		     strerror(-expected));
	va_start(arguments, promise);
	result(passed, NULL, promise, arguments);
	va_end(arguments);
	return passed;
}

bool call_returns(const char *call, int got, int expected)
{
	if (got != expected)
		diag("%s returned %d (%s), expected %d (%s)", call, got, strerror(-got), expected,
		     strerror(-expected));
	return got == expected;
}

bool condition_holds(const char *condition, bool holds)
{
	if (!holds)
		diag("not true: %s", condition);
	return holds;
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
