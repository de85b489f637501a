// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs all tests, and prints TAP
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <stdarg.h>
#include <stdio.h>

#include "unit.h"

static int tests, failed;

void ok(bool passed, const char *promise, ...)
{
	va_list arguments;

	tests++;
	failed += !passed;
	printf("%s %d ", passed ? "ok" : "not ok", tests);
	va_start(arguments, promise);
	vprintf(promise, arguments);
	va_end(arguments);
	putchar('\n');
}

bool unit_holds(const char *condition, const char *file, int line, bool holds)
{
	if (!holds)
		printf("# %s:%d: not true: %s\n", file, line, condition);
	return holds;
}

bool unit_same(const char *what, const char *file, int line, unsigned long long got,
	       unsigned long long expected)
{
	if (got != expected)
		printf("# %s:%d: %s is %#llx, not %#llx\n", file, line, what, got, expected);
	return got == expected;
}

int main(void)
{
	/* What a test has printed is not lost if the next one crashes. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n");
	test_parse();
	test_region_table();
	test_params();
	test_granules();
	printf("1..%d\n", tests);
	return failed ? 1 : 0;
}
