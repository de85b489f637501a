// SPDX-License-Identifier: GPL-2.0-only
/*
 * Parsing of what is written to attributes and given as parameters
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <linux/ctype.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/overflow.h>
#include <linux/string.h>

#include "parse.h"

/**
 * parse_word() - split the next word off a text
 * @text: the text, which is changed; afterwards what follows the word
 *
 * Return: the word, or NULL at the end of the text.
 */
char *parse_word(char **text)
{
	char *word;

	do {
		word = strsep(text, " \t\n");
	} while (word && !*word);
	return word;
}

/**
 * parse_size() - parse an address or a size, in the form that memparse() takes
 * @text: 0x..., 0... or decimal, with a suffix K, M, G, T, P or E, upper or
 *	lower case
 * @value: the result in bytes
 *
 * Unlike memparse(), it reports text that is not a number and numbers that do
 * not fit into @value.
 *
 * Return: 0 or -EINVAL.
 */
int parse_size(const char *text, u64 *value)
{
	static const char suffixes[] = "KMGTPE";
	char digits[24];
	size_t length = strlen(text);
	const char *suffix;
	u64 number;

	if (!length || !isdigit(text[0]) || length >= sizeof(digits))
		return -EINVAL;
	strscpy(digits, text, sizeof(digits));

	/* In a hexadecimal number the E is a digit, as it is for memparse(). */
	suffix = strchr(suffixes, toupper(digits[length - 1]));
	if (suffix && *suffix == 'E' && !strncasecmp(digits, "0x", 2))
		suffix = NULL;
	if (suffix)
		digits[length - 1] = '\0';

	if (kstrtou64(digits, 0, &number))
		return -EINVAL;
	if (!suffix) {
		*value = number;
		return 0;
	}
	return check_shl_overflow(number, 10 * (suffix - suffixes + 1), value) ? -EINVAL : 0;
}

/**
 * parse_node() - parse the number of a node
 * @text: decimal digits and nothing else
 * @nid: the result, which need not be the number of an existing node
 *
 * Return: 0 or -EINVAL.
 */
int parse_node(const char *text, int *nid)
{
	return isdigit(text[0]) && !kstrtoint(text, 10, nid) ? 0 : -EINVAL;
}
