/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Parsing and formatting of sizes and counts
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGE_SIZE_H
#define TWOSTAGE_SIZE_H

#include <stdint.h>

/* Length that is enough for any size as text */
#define SIZE_TEXT 24

int parse_size(const char *text, uint64_t *bytes);
int parse_count(const char *text, uint64_t *count);
const char *format_size(char text[SIZE_TEXT], uint64_t bytes);
const char *format_exact_size(char text[SIZE_TEXT], uint64_t bytes);

#endif /* TWOSTAGE_SIZE_H */
