/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Parsing of what is written to attributes and given as parameters
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_PARSE_H
#define _TWOSTAGE_PARSE_H

#include <linux/types.h>

char *parse_word(char **text);
int parse_size(const char *text, u64 *value);
int parse_node(const char *text, int *nid);

#endif /* _TWOSTAGE_PARSE_H */
