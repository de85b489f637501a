// SPDX-License-Identifier: GPL-2.0-only
/*
 * The configuration
 *
 * It is read again while the daemon runs, so no memory is allocated here.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../cli/array_size.h"
#include "../cli/size.h"
#include "../cli/sysfs.h"
#include "config.h"

/* The largest file, and the most files in a directory of them */
#define FILE_SIZE 16384
#define FILES 64
/* The longest name of a file, so that messages have place for it */
#define FILE_NAME 256

const struct config_key_help config_keys[CONFIG_KEYS] = {
	[CONFIG_MIN]        = { "min", "SIZE", "0", "memory of the system below which no block goes offline" },
	[CONFIG_MAX]        = { "max", "SIZE|none", "none", "memory of the system above which no block comes online" },
	[CONFIG_LOW]        = { "low", "SIZE|auto", "auto", "set blocks online if less than this is available" },
	[CONFIG_TARGET]     = { "target", "SIZE|auto", "auto", "... until this much is available" },
	[CONFIG_HIGH]       = { "high", "SIZE|auto", "auto", "set blocks offline if more than this is available" },
	[CONFIG_KERNEL_LOW] = { "kernel-low", "SIZE|auto", "auto", "like low=, for the kernel's own zones" },
	[CONFIG_RATIO]      = { "ratio", "N", "3", "at most N times as much memory in zone Movable as in kernel zones" },
	[CONFIG_PRESSURE]   = { "pressure", "PERCENT", "10", "tasks waiting for memory so often need more of it" },
	[CONFIG_SETTLE]     = { "settle", "TIME", "30", "... for so long before a block goes offline" },
	[CONFIG_HYSTERESIS] = { "hysteresis", "TIME", "30", "no block goes offline so long after one came online" },
	[CONFIG_TRY]        = { "try", "TIME", "10", "longest time for one try to set a block offline" },
	[CONFIG_BUDGET]     = { "budget", "strict|gentle", "strict", "whether a lower budget may cross low=" },
	[CONFIG_MANAGE]     = { "manage", "own|all", "own", "all: blocks set online by hand may go offline, too" },
	[CONFIG_REGIONS]    = { "regions", "NAMES", "all", "use these regions, in this order: region1,region0" },
	[CONFIG_OOM_NET]    = { "oom-net", "yes|no", "yes", "set the regions' online_on_oom, as a safety net" },
};

/**
 * config_defaults() - set all keys to their defaults
 * @config: the configuration
 */
void config_defaults(struct config *config)
{
	char error[CONFIG_ERROR];
	int key;

	*config = (struct config){ 0 };
	for (key = 0; key < CONFIG_KEYS; key++)
		config_set(config, config_keys[key].name, config_keys[key].default_text, error);
}

static int set_size(uint64_t *size, const char *value)
{
	if (!strcmp(value, "auto") || !strcmp(value, "none")) {
		*size = 0;
		return 0;
	}
	return parse_size(value, size) || !*size ? -EINVAL : 0;
}

/* A number with up to two decimals, in hundredths */
static int set_hundredths(uint64_t *hundredths, const char *value, uint64_t most)
{
	unsigned int whole, fraction = 0;
	int length = 0, digits = 0;

	if (!isdigit((unsigned char)*value) || sscanf(value, "%6u%n", &whole, &length) != 1)
		return -EINVAL;
	if (value[length] == '.') {
		value += length + 1;
		if (!isdigit((unsigned char)*value) || sscanf(value, "%2u%n", &fraction, &digits) != 1)
			return -EINVAL;
		fraction *= digits == 1 ? 10 : 1;
		length = digits;
	}
	*hundredths = 100 * (uint64_t)whole + fraction;
	return value[length] || *hundredths > most ? -EINVAL : 0;
}

static int set_percent(uint64_t *percent, const char *value)
{
	return parse_count(value, percent) || *percent > 100 ? -EINVAL : 0;
}

/* "30", "30s", "5min", "1h" */
static int set_time(uint64_t *milliseconds, const char *value)
{
	static const struct {
		const char *unit;
		unsigned int factor;
	} units[] = { { "", 1000 }, { "ms", 1 }, { "s", 1000 }, { "min", 60000 }, { "h", 3600000 } };
	unsigned int number, i;
	int length;

	if (!isdigit((unsigned char)*value) || sscanf(value, "%7u%n", &number, &length) != 1)
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(units); i++) {
		if (!strcmp(value + length, units[i].unit)) {
			*milliseconds = (uint64_t)number * units[i].factor;
			return 0;
		}
	}
	return -EINVAL;
}

static int set_choice(bool *second, const char *value, const char *choices)
{
	const size_t length = strcspn(choices, "|");

	*second = !strcmp(value, choices + length + 1);
	return *second || (strlen(value) == length && !strncmp(value, choices, length)) ? 0 : -EINVAL;
}

static int set_regions(struct config *config, const char *value)
{
	unsigned int number, count = 0;
	int length;

	config->regions = 0;
	if (!strcmp(value, "all"))
		return 0;
	for (;;) {
		if (count == POLICY_REGIONS || !isdigit((unsigned char)value[strcspn(value, "0123456789")]) ||
		    sscanf(value, "region%6u%n", &number, &length) != 1)
			return -EINVAL;
		config->region[count++] = number;
		value += length;
		if (!*value)
			break;
		if (*value++ != ',')
			return -EINVAL;
		while (*value == ' ')
			value++;
	}
	config->regions = count;
	return 0;
}

static int set_key(struct config *config, enum config_key key, const char *value)
{
	struct policy_config *limits = &config->limits;
	bool second = false;
	int ret = -EINVAL;

	switch (key) {
	case CONFIG_MIN:
		return parse_size(value, &limits->min);
	case CONFIG_MAX:
		return strcmp(value, "auto") ? set_size(&limits->max, value) : -EINVAL;
	case CONFIG_LOW:
	case CONFIG_TARGET:
	case CONFIG_HIGH:
	case CONFIG_KERNEL_LOW:
		if (!strcmp(value, "none"))
			return -EINVAL;
		return set_size(key == CONFIG_LOW ? &limits->low : key == CONFIG_TARGET ? &limits->target :
				key == CONFIG_HIGH ? &limits->high : &limits->kernel_low, value);
	case CONFIG_RATIO:
		return set_hundredths(&limits->ratio, value, 100000);
	case CONFIG_PRESSURE:
		return set_percent(&limits->pressure, value);
	case CONFIG_SETTLE:
		return set_time(&limits->settle, value);
	case CONFIG_HYSTERESIS:
		return set_time(&limits->hysteresis, value);
	case CONFIG_TRY:
		ret = set_time(&config->try_time, value);
		return ret || config->try_time ? ret : -EINVAL;
	case CONFIG_BUDGET:
		ret = set_choice(&second, value, config_keys[key].argument);
		limits->budget = second ? POLICY_GENTLE : POLICY_STRICT;
		return ret;
	case CONFIG_MANAGE:
		return set_choice(&config->manage_all, value, config_keys[key].argument);
	case CONFIG_REGIONS:
		return set_regions(config, value);
	case CONFIG_OOM_NET:
		ret = set_choice(&second, value, config_keys[key].argument);
		config->oom_net = !second;
		return ret;
	case CONFIG_KEYS:
		break;
	}
	return ret;
}

/* What a value has to be, for messages */
static const char *expected(enum config_key key)
{
	const char *argument = config_keys[key].argument;

	if (!strcmp(argument, "SIZE"))
		return "a size such as 512M";
	if (!strncmp(argument, "SIZE|", 5))
		return argument[5] == 'n' ? "a size such as 8G, or none" : "a size such as 512M, or auto";
	if (!strcmp(argument, "TIME"))
		return "a time such as 30s or 5min";
	if (!strcmp(argument, "PERCENT"))
		return "a whole number from 0 to 100";
	if (!strcmp(argument, "N"))
		return "a number such as 3 or 2.5, at most 1000";
	if (!strcmp(argument, "NAMES"))
		return "all, or names of regions such as region1,region0";
	return argument;
}

/**
 * config_set() - set a key
 * @config: the configuration
 * @name: the key
 * @value: its value
 * @error: the message, on failure
 *
 * Return: 0; or -EINVAL, with @config undefined.
 */
int config_set(struct config *config, const char *name, const char *value, char error[CONFIG_ERROR])
{
	int key;

	for (key = 0; key < CONFIG_KEYS; key++)
		if (!strcmp(name, config_keys[key].name))
			break;
	if (key == CONFIG_KEYS) {
		snprintf(error, CONFIG_ERROR, "unknown key \"%.60s\": see twostaged(8)", name);
		return -EINVAL;
	}
	if (set_key(config, key, value)) {
		snprintf(error, CONFIG_ERROR, "%s: \"%.60s\" is not %s", name, value, expected(key));
		return -EINVAL;
	}
	return 0;
}

static char *trim(char *text)
{
	char *end;

	while (isspace((unsigned char)*text))
		text++;
	end = text + strlen(text);
	while (end > text && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return text;
}

/* One line, which is changed; its error has no position yet. */
static int read_line(struct config *config, char *line, char error[CONFIG_ERROR])
{
	char *equals;

	line = trim(line);
	if (!*line || *line == '#' || *line == ';')
		return 0;
	equals = strchr(line, '=');
	if (!equals) {
		snprintf(error, CONFIG_ERROR, "\"%.60s\" is not KEY=VALUE", line);
		return -EINVAL;
	}
	*equals = '\0';
	return config_set(config, trim(line), trim(equals + 1), error);
}

/* -ENOENT if the file does not exist; @error is set in all cases. */
static int read_file(struct config *config, const char *path, char error[CONFIG_ERROR])
{
	static char text[FILE_SIZE];
	int fd, number, err;
	char *line, *next;
	ssize_t length;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	err = length < 0 ? errno : length == sizeof(text) - 1 ? EFBIG : 0;
	if (fd >= 0)
		close(fd);
	if (length < 0 || err) {
		snprintf(error, CONFIG_ERROR, "cannot read %.300s: %s", path, strerror(err));
		return -err;
	}
	text[length] = '\0';
	if (strlen(text) != (size_t)length) {
		snprintf(error, CONFIG_ERROR, "%.300s is not a text file", path);
		return -EINVAL;
	}
	for (line = text, number = 1; line; line = next, number++) {
		char why[CONFIG_ERROR];

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (read_line(config, line, why)) {
			snprintf(error, CONFIG_ERROR, "%.300s:%d: %.190s", path, number, why);
			return -EINVAL;
		}
	}
	return 0;
}

/* Not by qsort(), which allocates memory. */
static void insert_name(char names[FILES][NAME_MAX + 1], int count, const char *name)
{
	for (; count && strcmp(names[count - 1], name) > 0; count--)
		memcpy(names[count], names[count - 1], sizeof(names[count]));
	snprintf(names[count], sizeof(names[count]), "%s", name);
}

/* The names of the files *.conf in a directory, sorted; -EINVAL: too many */
static int list_files(const char *directory, char names[FILES][NAME_MAX + 1])
{
	char entries[4096] __attribute__((aligned(__alignof__(struct dirent64))));
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), count = 0;
	ssize_t length, at;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	while (count >= 0 && (length = getdents64(fd, entries, sizeof(entries))) > 0) {
		for (at = 0; at < length;) {
			const struct dirent64 *entry = (const void *)(entries + at);
			const size_t name = strlen(entry->d_name);

			at += entry->d_reclen;
			if (entry->d_name[0] == '.' || name < 6 || strcmp(entry->d_name + name - 5, ".conf"))
				continue;
			if (count == FILES) {
				count = -EINVAL;
				break;
			}
			insert_name(names, count++, entry->d_name);
		}
	}
	close(fd);
	return count;
}

/**
 * config_read() - read the file and those in the directory beside it
 * @config: the configuration, to which they are added
 * @file: the file; those of FILE.d/ with names *.conf follow, sorted by name
 * @must_exist: whether it is an error if @file does not exist
 * @error: the message, on failure, with the file, the line and the key
 *
 * Return: 0; or a negative errno, with @config undefined.
 */
int config_read(struct config *config, const char *file, bool must_exist, char error[CONFIG_ERROR])
{
	static char names[FILES][NAME_MAX + 1];
	char directory[FILE_NAME], path[FILE_NAME + NAME_MAX + 2];
	int ret, count, i;

	if (snprintf(directory, sizeof(directory), "%s.d", file) >= (int)sizeof(directory)) {
		snprintf(error, CONFIG_ERROR, "cannot read %.300s: its name is too long", file);
		return -ENAMETOOLONG;
	}

	ret = read_file(config, file, error);
	if (ret && (ret != -ENOENT || must_exist))
		return ret;
	count = list_files(directory, names);
	if (count < 0) {
		snprintf(error, CONFIG_ERROR, "cannot read %.300s: %s", directory,
			 count == -EINVAL ? "there are more than 64 files in it" : strerror(-count));
		return count;
	}
	for (i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%.*s/%.*s", FILE_NAME, directory, NAME_MAX, names[i]);
		ret = read_file(config, path, error);
		if (ret)
			return ret;
	}
	return 0;
}

static int out_of_order(const char *smaller, uint64_t small, const char *larger, uint64_t large,
			char error[CONFIG_ERROR])
{
	char texts[2][SIZE_TEXT];

	if (!small || !large || small < large)
		return 0;
	snprintf(error, CONFIG_ERROR, "%s: %s is not less than the %s of %s=", smaller,
		 format_exact_size(texts[0], small), format_exact_size(texts[1], large), larger);
	return -EINVAL;
}

/**
 * config_check() - check that the limits fit together
 * @config: the configuration
 * @error: the message, on failure
 *
 * Return: 0 or -EINVAL.
 */
int config_check(const struct config *config, char error[CONFIG_ERROR])
{
	const struct policy_config *limits = &config->limits;

	if (limits->max && limits->min > limits->max)
		return out_of_order("min", limits->min, "max", limits->max, error);
	if (out_of_order("low", limits->low, "target", limits->target, error) ||
	    out_of_order("target", limits->target, "high", limits->high, error) ||
	    out_of_order("low", limits->low, "high", limits->high, error))
		return -EINVAL;
	return 0;
}
