// SPDX-License-Identifier: GPL-2.0-only
/*
 * The job of tests/bench/ondemand-job: make a file of records, sort them in
 * memory, write them to a second file, and check that
 *
 * Usage: ondemand-sort RECORDS FILE SORTED
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORD 4096

static int compare(const void *a, const void *b)
{
	return memcmp(*(char *const *)a, *(char *const *)b, 8);
}

static void check(int right, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "ondemand-sort: %s failed\n", what);
	exit(1);
}

static int create(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);

	check(fd >= 0, "open");
	return fd;
}

/* xorshift: the same records each time */
static uint64_t next_random(void)
{
	static uint64_t state = 88172645463325252;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static uint64_t make(int file, long records)
{
	static char record[RECORD];
	uint64_t sum = 0;
	long i;

	for (i = 0; i < records; i++) {
		const uint64_t key = next_random();

		memcpy(record, &key, sizeof(key));
		memcpy(record + RECORD - sizeof(key), &key, sizeof(key));
		sum += key;
		check(write(file, record, RECORD) == RECORD, "write");
	}
	return sum;
}

int main(int argc, char *argv[])
{
	const long records = argc == 4 ? atol(argv[1]) : 0;
	uint64_t sum, key, last;
	int file, sorted;
	char **record;
	long i;

	check(records > 0, "usage");
	file = create(argv[2]);
	sorted = create(argv[3]);
	sum = make(file, records);
	record = malloc(records * sizeof(*record));
	check(!!record, "malloc");
	for (i = 0; i < records; i++) {
		record[i] = malloc(RECORD);
		check(record[i] && pread(file, record[i], RECORD, (off_t)i * RECORD) == RECORD, "read");
	}
	qsort(record, records, sizeof(*record), compare);
	for (i = 0; i < records; i++) {
		memcpy(&key, record[i], sizeof(key));
		memcpy(&last, record[i] + RECORD - sizeof(last), sizeof(last));
		sum -= key;
		check(key == last && (!i || compare(&record[i - 1], &record[i]) <= 0), "order");
		check(write(sorted, record[i], RECORD) == RECORD, "write");
	}
	check(!sum, "sum");
	return 0;
}
