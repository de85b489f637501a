/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tests in user space: results as in the harness of the guests
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef UNIT_H
#define UNIT_H

#include <stdbool.h>

/* Prints the result of a test. Its name states what has to hold. */
void ok(bool passed, const char *promise, ...) __attribute__((format(printf, 2, 3)));
/* A part of a test: returns whether it holds; if it does not, it is printed. */
#define holds(condition) unit_holds(#condition, __FILE__, __LINE__, condition)
bool unit_holds(const char *condition, const char *file, int line, bool holds);
/* holds() for two numbers, which are printed */
#define same(got, expected) unit_same(#got, __FILE__, __LINE__, got, expected)
bool unit_same(const char *what, const char *file, int line, unsigned long long got,
	       unsigned long long expected);

/* Each is a file. */
void test_granules(void);
void test_params(void);
void test_parse(void);
void test_region_table(void);

#endif /* UNIT_H */
