// SPDX-License-Identifier: GPL-2.0-only
/*
 * Thousands of generated writes to each attribute
 *
 * The inputs are random bytes, known words in any order, and valid input with
 * changes: huge numbers, NULs, lines that are too long. A model of each
 * attribute, which does not know how the module parses, says what the result
 * has to be: an error, with one log line and no change, or what was asked for.
 * FUZZ_SEED sets the seed, which is printed.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

#define START (4 * GIB)
#define BLOCKS 16
/* A region that is present throughout, and not removed by these tests */
#define STEADY (64 * GIB)
#define STEADY_BLOCKS 8
#define PAGE 4096
/* Each of these loads a module. */
#define PARAMETER_ROUNDS 40
#define PROVIDER "/sys/kernel/debug/twostage_test"

/* Number of inputs for each attribute */
static int rounds;

struct input {
	char bytes[2 * PAGE];
	size_t length;
};

static const char *const words[] = {
	"4G", "0x100000000", "4294967296", "128M", "256M", "0x8000000", "1G", "0", "-1", "+1",
	"node=0", "node=1", "node=-0", "node=0x0", "node=1024", "node=99999999999",
	"memmap_on_memory=0", "memmap_on_memory=1", "memmap_on_memory=", "auto_online=0",
	"auto_online=2", "region0", "region1", "region-1", "region00", "region99999", "REGION0",
	"all", "ALL", "1", "2", "01", "0x1", "9", "online", "online_kernel", "online_movable",
	"offline", "=", "node=", "node", "%s%n%p", "18446744073709551615", "18446744073709551616",
	"9223372036854775808", "0xffffffffffffffff", "0x10000000000000000",
	"99999999999999999999999999", "1e3", "1E", "16E", "0x1E", "15E", "0x", "0xG", "08",
	"KMGT", "4G4G", "4GG", "4g", "128m", "128MB", "4.5G", "4,5", "\x1b[2J", "\x1b]0;x\x07",
	"\xff\xfe", "\xe2\x80\xae", "\r", "../../..", "$(reboot)", "`id`", "'", "\"", "\\", "yes",
	"on", "Y", "0\r", "1\t",
};

/* Valid input for each attribute, from which most inputs are made */
static const char *const valid_add[] = {
	"4G 128M",
	"0x108000000 256M node=0",
	"4352M 0x8000000 memmap_on_memory=0",
	"4480M 134217728 auto_online=0",
	"0x120000000 128m memmap_on_memory=1 node=0",
};
static const char *const valid_remove[] = { "region1", "region2", "region3", "region1\n" };
static const char *const valid_online[] = {
	"1", "2 online", "1 online_movable", "all", "all online_movable\n", "0"
};
static const char *const valid_offline[] = { "1", "2", "all", "0\n" };
static const char *const valid_bool[] = { "0", "1", "0\n", "1\n" };
static const char *const valid_provider[] = {
	"0x100000000 0x8000000 0x8000000",
	"4294967296 268435456 134217728 0",
	"0x110000000 0x10000000 0x200000 1",
};

static void append(struct input *input, const char *bytes, size_t length)
{
	if (length > sizeof(input->bytes) - 1 - input->length)
		length = sizeof(input->bytes) - 1 - input->length;
	memcpy(input->bytes + input->length, bytes, length);
	input->length += length;
}

static void mutate(struct input *input)
{
	size_t place = input->length ? rand() % input->length : 0, n;
	struct input old = *input;
	const char *word = words[rand() % ARRAY_SIZE(words)];

	switch (rand() % 9) {
	case 0: /* a byte */
		if (input->length)
			input->bytes[place] = rand();
		break;
	case 1: /* a character of a number, as most bytes are */
		if (input->length)
			input->bytes[place] = "0123456789abcdefxXKMGTPE -=\n"[rand() % 28];
		break;
	case 2: /* remove a byte */
		if (input->length) {
			memmove(input->bytes + place, input->bytes + place + 1,
				input->length - place - 1);
			input->length--;
		}
		break;
	case 3: /* insert a word */
		input->length = place;
		append(input, word, strlen(word));
		append(input, old.bytes + place, old.length - place);
		break;
	case 4: /* append a word */
		append(input, " ", 1);
		append(input, word, strlen(word));
		break;
	case 5: /* truncate */
		input->length = place;
		break;
	case 6: /* insert a NUL */
		input->length = place;
		append(input, "\0", 1);
		append(input, old.bytes + place, old.length - place);
		break;
	case 7: /* longer than a page, or nearly */
		for (n = rand() % 3 ? 1 + rand() % 4200 : PAGE - 2 + rand() % 5; input->length < n;)
			append(input, rand() % 8 ? "0" : " ", 1);
		break;
	case 8: /* twice the same */
		append(input, old.bytes, old.length);
		break;
	}
}

static void generate(struct input *input, const char *const *valid, size_t count)
{
	const char *text = valid[rand() % count];
	int n;

	input->length = 0;
	switch (rand() % 8) {
	case 0:
		for (n = rand() % 64; n > 0; n--)
			append(input, &(char){ rand() }, 1);
		break;
	case 1:
		for (n = rand() % 5; n >= 0; n--) {
			text = words[rand() % ARRAY_SIZE(words)];
			append(input, text, strlen(text));
			append(input, n ? " " : "", n ? 1 : 0);
		}
		break;
	default:
		append(input, text, strlen(text));
		for (n = rand() % 5 - 1; n > 0; n--)
			mutate(input);
	}
	input->bytes[input->length] = '\0';
}

/*
 * What an attribute gets: the kernel truncates to a page, and the text ends at
 * a NUL.
 */
static void seen(const struct input *input, char *text)
{
	size_t length = input->length < PAGE ? input->length : PAGE;

	memcpy(text, input->bytes, length);
	text[length] = '\0';
}

/*
 * Splits a text into words. Returns how many there are; the first @max are
 * stored.
 */
static int split(char *text, char **found, int max)
{
	char *save, *word;
	int count = 0;

	for (word = strtok_r(text, " \t\n", &save); word;
	     word = strtok_r(NULL, " \t\n", &save), count++)
		if (count < max)
			found[count] = word;
	return count;
}

/* A number in base 8, 10 or 16, with nothing behind it */
static bool model_number(const char *text, size_t length, uint64_t *value)
{
	unsigned __int128 number = 0;
	unsigned int base = 10;

	if (length > 2 && text[0] == '0' && (text[1] | 32) == 'x') {
		base = 16;
		text += 2;
		length -= 2;
	} else if (length > 1 && text[0] == '0') {
		base = 8;
	}
	if (!length)
		return false;
	for (; length; text++, length--) {
		unsigned int digit = isdigit((unsigned char)*text) ? *text - '0' :
			isalpha((unsigned char)*text) ? (*text | 32) - 'a' + 10 : 99;

		if (digit >= base)
			return false;
		number = number * base + digit;
		if (number >> 64)
			return false;
	}
	*value = number;
	return true;
}

static bool model_size(const char *text, uint64_t *value)
{
	static const char suffixes[] = "kmgtpe";
	size_t length = strlen(text);
	const char *suffix = NULL;
	unsigned __int128 size;
	int shift = 0;

	/*
	 * Longer texts do not fit, though leading zeros may make a text as
	 * long.
	 */
	if (!length || length > 23 || !isdigit((unsigned char)text[0]))
		return false;
	if (isalpha((unsigned char)text[length - 1]))
		suffix = strchr(suffixes, text[length - 1] | 32);
	if (suffix && *suffix == 'e' && text[0] == '0' && (text[1] | 32) == 'x')
		suffix = NULL;
	if (suffix) {
		shift = 10 * (suffix - suffixes + 1);
		length--;
	}
	if (!model_number(text, length, value))
		return false;
	size = (unsigned __int128)*value << shift;
	*value = size;
	return !(size >> 64);
}

static bool model_node(const char *text, long long *node)
{
	char *end;

	*node = strtoll(text, &end, 10);
	return isdigit((unsigned char)text[0]) && !*end && *node <= INT32_MAX;
}

/* A set of acceptable results: a bit for each errno, bit 0 for success */
#define OR(error) (UINT64_C(1) << (error))

struct wanted {
	uint64_t start, size;
	long long node;
};

static uint64_t model_range(const struct wanted *wanted)
{
	uint64_t end;

	if (!wanted->size || __builtin_add_overflow(wanted->start, wanted->size - 1, &end) ||
	    wanted->start % block_size || wanted->size % block_size)
		return OR(EINVAL);
	/*
	 * No guest can address more than 52 bits. Each can address 64 GiB;
	 * between them it depends on the processor.
	 */
	if (end >> 52)
		return OR(ERANGE);
	if (wanted->node > 0)
		return end >> 36 ? OR(EINVAL) | OR(ERANGE) : OR(EINVAL);
	if (wanted->start < START)
		return OR(EBUSY) | (end >> 36 ? OR(ERANGE) | OR(EEXIST) : 0);
	if (end >= START + BLOCKS * block_size)
		return OR(0) | OR(ERANGE) | OR(EEXIST) | OR(EBUSY);
	return OR(0) | OR(EEXIST);
}

static uint64_t model_add(char *text, struct wanted *wanted)
{
	char *found[16];
	int count = split(text, found, ARRAY_SIZE(found)), i;

	wanted->node = -1;
	if (count < 2 || count > (int)ARRAY_SIZE(found) || !model_size(found[0], &wanted->start) ||
	    !model_size(found[1], &wanted->size))
		return OR(EINVAL);
	for (i = 2; i < count; i++) {
		if (!strncmp(found[i], "node=", 5)) {
			if (!model_node(found[i] + 5, &wanted->node))
				return OR(EINVAL);
		} else if (strcmp(found[i], "memmap_on_memory=0") &&
			   strcmp(found[i], "memmap_on_memory=1") &&
			   strcmp(found[i], "auto_online=0") && strcmp(found[i], "auto_online=1")) {
			return OR(EINVAL);
		}
	}
	return model_range(wanted);
}

/* A digest of the state that is cheap enough to be taken for each write */
struct state {
	uint64_t regions, total;
	int count, online;
};

static void look(struct state *state)
{
	DIR *directory = opendir(BUS "/devices");
	struct dirent *entry;
	struct sysinfo info;
	int id;

	memset(state, 0, sizeof(*state));
	while (directory && (entry = readdir(directory))) {
		if (sscanf(entry->d_name, "region%d", &id) != 1)
			continue;
		state->count++;
		state->regions ^= (id + 1) * UINT64_C(0x9e3779b97f4a7c15) +
			strtoull(read_file(REGION "/start", id), NULL, 0) +
			strtoull(read_file(REGION "/size", id), NULL, 0) * 3 +
			read_number(REGION "/memmap_on_memory", id) * 5;
		state->online += blocks_online(id);
	}
	if (directory)
		closedir(directory);
	sysinfo(&info);
	state->total = info.totalram;
}

/*
 * Lines of the module since the mark. Splats and control characters, which a
 * terminal would obey, are counted, too.
 */
static struct {
	int lines, controls, splats;
	char last[400];
} told;

static void listen(struct kmsg *kmsg)
{
	char record[8192];
	ssize_t length;

	memset(&told, 0, sizeof(told));
	for (;;) {
		char *text, *escape;

		length = read(kmsg->fd, record, sizeof(record) - 1);
		if (length < 0 && errno == EPIPE)
			continue;
		if (length <= 0)
			return;
		record[length] = '\0';
		record[strcspn(record, "\n")] = '\0';
		text = strchr(record, ';');
		if (!text)
			continue;
		text++;
		told.splats += strstr(text, "Call Trace") || strstr(text, "WARNING: ") ||
			       strstr(text, "BUG: ");
		if (strncmp(text, "twostage: ", 10))
			continue;
		told.lines++;
		snprintf(told.last, sizeof(told.last), "%s", text);
		/*
		 * /dev/kmsg shows a backslash as \\x5c; any other number below
		 * 0xa0 is a control character that was not escaped by the
		 * module.
		 */
		for (escape = strchr(text, '\\'); escape; escape = strchr(escape + 1, '\\'))
			told.controls += strncmp(escape, "\\x5c", 4) &&
				strtol((char[]){ escape[2], escape[3], 0 }, NULL, 16) < 0xa0;
	}
}

static int put(const struct input *input, const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, input->bytes, input->length) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/* How many inputs were refused and accepted, and how many results were wrong */
struct score {
	int refused, done, wrong;
};

static void complain(struct score *score, const struct input *input, const char *what, int ret)
{
	char text[240];
	size_t i, n = 0;

	if (score->wrong++ > 5)
		return;
	for (i = 0; i < input->length && n < sizeof(text) - 5; i++)
		n += isprint((unsigned char)input->bytes[i]) ?
			     snprintf(text + n, sizeof(text) - n, "%c", input->bytes[i]) :
			     snprintf(text + n, sizeof(text) - n, "\\x%02x",
				      (unsigned char)input->bytes[i]);
	text[n] = '\0';
	diag("%s: %zu bytes \"%s\" gave %d (%s), %d lines, the last \"%.200s\"", what,
	     input->length, text, ret, strerror(-ret), told.lines, told.last);
}

/* Checks that apply to all attributes. True if the write succeeded. */
static bool common(struct score *score, const struct input *input, uint64_t right, int ret,
		   const struct state *before)
{
	struct state after;

	if (-ret < 0 || -ret > 63 || !(right & OR(-ret)))
		complain(score, input, "unexpected result", ret);
	else if (told.controls || told.splats)
		complain(score, input,
			 told.splats ? "a splat in the log" : "control characters in the log", ret);
	if (!ret) {
		score->done++;
		return true;
	}
	score->refused++;
	look(&after);
	if (told.lines != 1)
		complain(score, input, "refused without exactly one log line", ret);
	if (memcmp(before, &after, sizeof(after)))
		complain(score, input, "refused, but the state has changed", ret);
	return false;
}

static void verdict(const struct score *score, const char *name, int inputs)
{
	diag("%s: %d refused, %d accepted, %d wrong results", name, score->refused, score->done,
	     score->wrong);
	ok(!score->wrong && score->refused > inputs / 10 && score->done > inputs / 100,
	   "%s: invalid input is refused with one log line and no change, valid is accepted",
	   name);
}

static int region_at(uint64_t start, uint64_t size)
{
	int id;

	for (id = 0; id < 64; id++)
		if (exists(REGION, id) &&
		    strtoull(read_file(REGION "/start", id), NULL, 0) == start &&
		    strtoull(read_file(REGION "/size", id), NULL, 0) == size)
			return id;
	return -1;
}

static void remove_others(void)
{
	int id;

	for (id = 1; id < 64; id++) {
		if (!exists(REGION, id))
			continue;
		region_give_back(id);
		region_remove(id);
	}
}

static void fuzz_add(struct kmsg *kmsg)
{
	static struct input input;
	struct score score = { 0 };
	char text[PAGE + 1];
	int i, ret;

	for (i = 0; i < rounds; i++) {
		struct state before, after;
		struct wanted wanted = { 0 };
		uint64_t right;

		generate(&input, valid_add, ARRAY_SIZE(valid_add));
		seen(&input, text);
		/* A write of 0 bytes does not reach the attribute. */
		right = input.length ? model_add(text, &wanted) : OR(0);
		look(&before);
		ret = put(&input, BUS "/add_region");
		listen(kmsg);
		if (!common(&score, &input, right, ret, &before) || !input.length)
			continue;
		look(&after);
		if (after.count != before.count + 1 || region_at(wanted.start, wanted.size) < 1)
			complain(&score, &input, "accepted, but the region is not as requested",
				 ret);
		if (rand() % 3 || wanted.size > GIB)
			remove_others();
		listen(kmsg);
	}
	remove_others();
	listen(kmsg);
	verdict(&score, "add_region", rounds);
}

static void fuzz_remove(struct kmsg *kmsg)
{
	static struct input input;
	struct score score = { 0 };
	char text[PAGE + 1];
	int i, ret;

	for (i = 0; i < rounds; i++) {
		uint64_t right = OR(EINVAL);
		struct state before;
		char *found[2];
		int id = 0;

		for (id = 1; id < 4; id++)
			if (!exists(REGION, id))
				region_add(START + id * block_size, block_size, NULL);
		generate(&input, valid_remove, ARRAY_SIZE(valid_remove));
		seen(&input, text);
		id = 0;
		if (split(text, found, 2) == 1) {
			right = OR(ENXIO);
			/* Region 0 must stay. */
			if (!strcmp(found[0], "region0"))
				continue;
			for (id = 3; id > 0; id--)
				if (!strncmp(found[0], "region", 6) && found[0][6] == '0' + id &&
				    !found[0][7])
					break;
			if (id)
				right = OR(0);
		}
		if (!input.length)
			right = OR(0);
		look(&before);
		listen(kmsg);
		ret = put(&input, BUS "/remove_region");
		listen(kmsg);
		if (common(&score, &input, right, ret, &before) && input.length &&
		    exists(REGION, id))
			complain(&score, &input, "accepted, but the region still exists", ret);
	}
	remove_others();
	listen(kmsg);
	verdict(&score, "remove_region", rounds);
}

/* A number of blocks, INT32_MAX for "all", -1 if it is neither */
static long long model_count(const char *word)
{
	uint64_t count;

	if (!strcmp(word, "all"))
		return INT32_MAX;
	if (!isdigit((unsigned char)word[0]) || !model_number(word, strlen(word), &count) ||
	    count == UINT64_MAX)
		return -1;
	return count < INT32_MAX ? (long long)count : INT32_MAX - 1;
}

static bool is_type(const char *word)
{
	return !strcmp(word, "online") || !strcmp(word, "online_kernel") ||
	       !strcmp(word, "online_movable");
}

/*
 * Region 1 has memory. In the offline test one of its blocks stays online, for
 * the kernel's own use.
 */
static void fuzz_change(struct kmsg *kmsg, bool online)
{
	const char *attribute = online ? "online" : "offline";
	static struct input input;
	struct score score = { 0 };
	char text[PAGE + 1], path[64];
	int i, ret;

	region_add(START, BLOCKS * block_size, NULL);
	snprintf(path, sizeof(path), REGION "/%s", 1, attribute);
	for (i = 0; i < rounds; i++) {
		long long count = -1, available;
		struct state before, after;
		char *found[3];
		uint64_t right;
		bool movable;
		int n;

		if (online && blocks_online(1) > BLOCKS / 2)
			region_give_back(1);
		if (!online && blocks_online(1) < 2)
			region_online(1, "4 online_movable");
		generate(&input, online ? valid_online : valid_offline,
			 online ? ARRAY_SIZE(valid_online) : ARRAY_SIZE(valid_offline));
		seen(&input, text);
		n = split(text, found, 3);
		if (n == 1 || (n == 2 && online && is_type(found[1])))
			count = model_count(found[0]);
		/*
		 * A block in a kernel zone may not go offline again: try it
		 * seldom.
		 */
		movable = n == 2 && !strcmp(found[1], "online_movable");
		if (online && count > 0 && !movable && (count > 2 || rand() % 8)) {
			i--;
			continue;
		}
		look(&before);
		available = online ? BLOCKS - blocks_online(1) : blocks_online(1);
		if (count == INT32_MAX)
			count = available;
		listen(kmsg);
		ret = put(&input, path);
		listen(kmsg);
		if (!input.length)
			right = OR(0);
		else if (count < 0 || count > available)
			right = OR(EINVAL);
		else
			right = online ? OR(0) : OR(0) | OR(EBUSY);
		if (!common(&score, &input, right, ret, &before) || !input.length)
			continue;
		look(&after);
		if (after.online - before.online != (online ? count : -count))
			complain(&score, &input,
				 "accepted, but another number of blocks has changed", ret);
		if (online && !movable)
			region_give_back(1);
	}
	ok_return(region_give_back(1), 0, "after generated writes to %s all blocks go offline",
		  attribute);
	remove_others();
	listen(kmsg);
	verdict(&score, attribute, rounds);
}

/* Attributes that take 0 or 1, on region 0, which has no memory behind it */
static void fuzz_bool(struct kmsg *kmsg, const char *path)
{
	static struct input input;
	struct score score = { 0 };
	char text[PAGE + 1];
	int i, ret;

	for (i = 0; i < rounds; i++) {
		struct state before;
		bool right;
		size_t length;

		generate(&input, valid_bool, ARRAY_SIZE(valid_bool));
		seen(&input, text);
		length = strlen(text);
		right = (text[0] == '0' || text[0] == '1') &&
			(length == 1 || (length == 2 && text[1] == '\n'));
		look(&before);
		listen(kmsg);
		ret = put(&input, path);
		listen(kmsg);
		if (common(&score, &input, right || !input.length ? OR(0) : OR(EINVAL), ret,
			   &before) &&
		    right && read_number("%s", path) != text[0] - '0')
			complain(&score, &input, "accepted, but the attribute reads another value",
				 ret);
	}
	write_file("0", BUS "/adopt");
	verdict(&score, strrchr(path, '/') + 1, rounds);
}

/* Regions of a provider in another module: each number may be wrong. */
static void fuzz_provider(struct kmsg *kmsg)
{
	static struct input input;
	struct score score = { 0 };
	struct state before, after;
	char text[PAGE + 1], name[32];
	int i, id, ret;

	for (i = 0; i < rounds; i++) {
		generate(&input, valid_provider, ARRAY_SIZE(valid_provider));
		seen(&input, text);
		look(&before);
		ret = put(&input, PROVIDER "/add");
		listen(kmsg);
		if (told.controls || told.splats)
			complain(&score, &input, "control characters or a splat in the log", ret);
		look(&after);
		score.done += !ret && input.length;
		score.refused += ret != 0;
		if (ret && memcmp(&before, &after, sizeof(after)))
			complain(&score, &input, "refused, but the state has changed", ret);
		for (id = 1; !ret && id < 4; id++) {
			if (!exists(REGION, id))
				continue;
			snprintf(name, sizeof(name), "region%d", id);
			if (write_file(name, PROVIDER "/remove"))
				complain(&score, &input, "the region cannot be removed", ret);
		}
	}
	listen(kmsg);
	ok_number(read_number(PROVIDER "/assigned"), 0,
		  "generated regions of a provider: no memory is assigned");
	ok_number(read_number(PROVIDER "/violations"), 0,
		  "generated regions of a provider: it gets no invalid call");
	verdict(&score, "a provider's region", rounds);
}

/* The kernel parses module parameters first, and logs errors of its own. */
static void fuzz_parameter(void)
{
	static const char *const valid[] = { "4G:128M", "0x108000000:256M:0",
					     "4G:128M region=0x110000000:128M", "4G:0x8000000" };
	struct kmsg kmsg = kmsg_mark();
	struct score score = { 0 };
	static struct input input;
	char text[PAGE + 64];
	struct state after;
	int i, ret;

	for (i = 0; i < PARAMETER_ROUNDS; i++) {
		generate(&input, valid, ARRAY_SIZE(valid));
		snprintf(text, sizeof(text), "region=%.*s", 3000, input.bytes);
		ret = module_load("twostage", text);
		listen(&kmsg);
		if (told.splats)
			complain(&score, &input, "a splat in the log", ret);
		if (!ret) {
			score.done++;
			for (int id = 0; id < 64; id++)
				if (exists(REGION, id))
					region_remove(id);
			if (module_unload("twostage"))
				complain(&score, &input, "the module does not unload", ret);
			listen(&kmsg);
			continue;
		}
		score.refused++;
		look(&after);
		if (module_loaded("twostage") || after.count || exists(BUS))
			complain(&score, &input, "refused, but the module or a region exists", ret);
		if (!told.lines)
			complain(&score, &input, "refused without a log line", ret);
	}
	verdict(&score, "region=", PARAMETER_ROUNDS);
	ok_number(iomem_count("Standby memory"), 0,
		  "generated region= parameters leave no region behind");
	kmsg_close(&kmsg);
}

/* Escaping and truncation of what is logged, with known input */
static void hostile_strings(struct kmsg *kmsg)
{
	struct input input = { .length = 0 };
	const char *word;
	int ret;

	append(&input, "\x1b[2J%s%n", 8);
	listen(kmsg);
	ret = put(&input, BUS "/remove_region");
	listen(kmsg);
	ok_return(ret, -ENXIO, "a region name with control characters is refused with ENXIO");
	ok_number(told.lines, 1, "a region name with control characters is logged in one line");
	ok_number(told.controls, 0, "control characters of a region name are escaped in the log");
	ok(strstr(told.last, "[2J%s%n"), "%% in a region name is logged as it is");
	memset(input.bytes, 'A', PAGE);
	input.length = PAGE;
	ret = put(&input, BUS "/add_region");
	listen(kmsg);
	word = strchr(told.last, 'A');
	ok_return(ret, -EINVAL, "a word of a page is refused with EINVAL");
	ok_number(told.lines, 1, "a word of a page is logged in one line");
	ok(word && strspn(word, "A") <= 64 && !strchr(word + strspn(word, "A"), 'A'),
	   "of a word of a page the log contains at most 64 bytes");
	ok(strstr(told.last, "is not a start address"),
	   "the log line about a word of a page has the reason");
}

static void run(void)
{
	const char *setting = getenv("FUZZ_SEED");
	unsigned int seed = setting ? strtoul(setting, NULL, 0) : (unsigned int)time(NULL);
	struct accounts *before;
	struct kmsg kmsg;
	char path[64];

	/* On the debug kernel each write takes ten times as long. */
	rounds = kernel_debugs() ? 300 : 3000;
	diag("FUZZ_SEED=%u", seed);
	srand(seed);
	if (!load_twostage(NULL))
		return;
	before = accounts_take();
	kmsg = kmsg_mark();
	/*
	 * It has no memory behind it, so its blocks cannot go online. The tests
	 * of other regions must not change it.
	 */
	ok_return(region_add(STEADY, STEADY_BLOCKS * block_size, NULL), 0,
		  "a region that is to stay is added");
	hostile_strings(&kmsg);
	fuzz_add(&kmsg);
	fuzz_change(&kmsg, true);
	fuzz_change(&kmsg, false);
	snprintf(path, sizeof(path), REGION "/memmap_on_memory", 0);
	fuzz_bool(&kmsg, path);
	fuzz_bool(&kmsg, BUS "/adopt");
	ok_return(module_load("twostage_test", NULL), 0, "a provider in another module loads");
	fuzz_provider(&kmsg);
	ok_return(module_unload("twostage_test"), 0, "the provider in another module unloads");
	fuzz_remove(&kmsg);
	ok_number(region_at(STEADY, STEADY_BLOCKS * block_size), 0,
		  "after all generated writes the region that is to stay is region0");
	ok_return(region_remove(0), 0, "the region that is to stay is removed");
	ok(accounts_same(before),
	   "after all generated writes the system state matches the baseline");
	accounts_free(before);
	kmsg_close(&kmsg);
	unload_twostage();
	fuzz_parameter();
}

GROUP(group_fuzz) = {
	.name = "fuzz",
	.title = "thousands of generated writes to each attribute",
	.setup = settle_zones,
	.run = run,
};
