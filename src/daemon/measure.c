// SPDX-License-Identifier: GPL-2.0-only
/*
 * Measuring memory and memory pressure
 *
 * The files stay open and are read into static buffers, so that measuring needs
 * no memory when there is none.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../cli/sysfs.h"
#include "measure.h"

/* Pressure is averaged over at least so many milliseconds. */
#define PRESSURE_TIME 250

/* Microseconds of the window of a PSI trigger */
#define WINDOW 1000000

/* What is known of the zone that is being read, in pages */
struct zone {
	unsigned int node;
	char name[16];
	uint64_t free, low, protected, present, file;
};

static uint64_t number(const char *text)
{
	return strtoull(text, NULL, 10);
}

/*
 * The pages of the zone that only requests for the zone itself may have, as seen
 * by a request for zone Normal: "(0, 2885, 3380, 3380, 3380)" has an entry for
 * DMA, DMA32, Normal and so on.
 */
static uint64_t protection(const char *text)
{
	int i;

	for (i = 0; i < 2; i++) {
		text = strchr(text, ',');
		if (!text)
			return 0;
		text++;
	}
	while (*text == ' ')
		text++;
	return number(text);
}

/*
 * What is free above the low watermark, and the page cache but for the part that
 * is likely to be in use, as the kernel counts MemAvailable. Slabs count as used
 * although the kernel calls many of them reclaimable: an inode stays as long as
 * its pages are cached, and these may be in zone Movable.
 */
static uint64_t zone_available(const struct zone *zone)
{
	const uint64_t reserve = zone->low + zone->protected;
	const uint64_t kept = zone->file / 2 < zone->low ? zone->file / 2 : zone->low;

	return (zone->free > reserve ? zone->free - reserve : 0) + zone->file - kept;
}

static void add_zone(const struct zone *zone, uint64_t page_size,
		     struct policy_memory node[POLICY_NODES][POLICY_ZONES])
{
	struct policy_memory *memory;

	if (!zone->name[0] || !strcmp(zone->name, "Device") || zone->node >= POLICY_NODES)
		return;
	memory = &node[zone->node][strcmp(zone->name, "Movable") ? POLICY_KERNEL : POLICY_MOVABLE];
	memory->present += zone->present * page_size;
	memory->free += zone->free * page_size;
	memory->available += zone_available(zone) * page_size;
}

/* Set @value to the number behind a name at the start of a line. */
static bool has_value(const char *line, const char *name, uint64_t *value)
{
	const size_t length = strlen(name);

	if (strncmp(line, name, length) || !isspace((unsigned char)line[length]))
		return false;
	*value = number(line + length);
	return true;
}

static void parse_zone_line(const char *line, struct zone *zone)
{
	uint64_t file;

	while (*line == ' ')
		line++;
	if (has_value(line, "nr_zone_inactive_file", &file) || has_value(line, "nr_zone_active_file", &file))
		zone->file += file;
	else if (!strncmp(line, "protection:", strlen("protection:")))
		zone->protected = protection(line);
	else if (!has_value(line, "pages free", &zone->free) && !has_value(line, "low", &zone->low))
		has_value(line, "present", &zone->present);
}

/**
 * parse_zoneinfo() - read the memory of each node
 * @text: what is in /proc/zoneinfo
 * @page_size: in bytes
 * @node: the result
 *
 * Return: whether there is any zone in the text.
 */
bool parse_zoneinfo(const char *text, uint64_t page_size, struct policy_memory node[POLICY_NODES][POLICY_ZONES])
{
	struct zone zone = { 0 };
	bool any = false;

	memset(node, 0, sizeof(struct policy_memory) * POLICY_NODES * POLICY_ZONES);
	while (text && *text) {
		if (!strncmp(text, "Node ", 5)) {
			add_zone(&zone, page_size, node);
			zone = (struct zone){ 0 };
			any |= sscanf(text, "Node %u, zone %15s", &zone.node, zone.name) == 2;
		} else {
			parse_zone_line(text, &zone);
		}
		text = strchr(text, '\n');
		text += !!text;
	}
	add_zone(&zone, page_size, node);
	return any;
}

/**
 * parse_meminfo() - read how much memory is available
 * @text: what is in /proc/meminfo
 * @available: the result, in bytes
 *
 * Return: whether it is in the text.
 */
bool parse_meminfo(const char *text, uint64_t *available)
{
	const char *line = strstr(text, "MemAvailable:");

	if (!line)
		return false;
	*available = 1024 * number(line + strlen("MemAvailable:"));
	return true;
}

/**
 * parse_pressure() - read how long tasks have waited for memory
 * @text: what is in /proc/pressure/memory
 * @total: the result, in microseconds since the boot
 *
 * Return: whether it is in the text.
 */
bool parse_pressure(const char *text, uint64_t *total)
{
	const char *some = strstr(text, "some "), *value = some ? strstr(some, "total=") : NULL;

	if (!value)
		return false;
	*total = number(value + strlen("total="));
	return true;
}

static int open_file(const char *path, int flags)
{
	char full[PATH_MAX];
	int fd;

	snprintf(full, sizeof(full), "%s%s", sysroot(), path);
	fd = open(full, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/**
 * measure_open() - open the files
 * @measure: the result
 *
 * Return: 0 or a negative errno.
 */
int measure_open(struct measure *measure)
{
	*measure = (struct measure){ .pressure = -1 };
	measure->zoneinfo = open_file("/proc/zoneinfo", O_RDONLY);
	if (measure->zoneinfo < 0)
		return measure->zoneinfo;
	measure->meminfo = open_file("/proc/meminfo", O_RDONLY);
	if (measure->meminfo < 0)
		return measure->meminfo;
	/* A kernel that has PSI but has it switched off returns EOPNOTSUPP. */
	measure->pressure = open_file("/proc/pressure/memory", O_RDWR | O_NONBLOCK);
	if (measure->pressure < 0)
		measure->pressure = -1;
	return 0;
}

/**
 * measure_watch() - have the kernel signal memory pressure by POLLPRI
 * @measure: the files; without PSI, or if the kernel refuses, @pressure is
 *	closed
 * @percent: the pressure
 */
void measure_watch(struct measure *measure, uint64_t percent)
{
	char trigger[64];
	int length;

	if (measure->pressure < 0)
		return;
	/* One percent is the least that the kernel takes for this window. */
	length = snprintf(trigger, sizeof(trigger), "some %llu %d",
			  (unsigned long long)(percent ? percent : 10) * WINDOW / 100, WINDOW);
	if (write(measure->pressure, trigger, length + 1) < 0) {
		close(measure->pressure);
		measure->pressure = -1;
	}
}

/* Read a whole file into the buffer. Return its length or a negative errno. */
static ssize_t read_all(int fd, char *text, size_t size)
{
	size_t length = 0;
	ssize_t part;

	for (;;) {
		part = pread(fd, text + length, size - 1 - length, length);
		if (part < 0 && errno == EINTR)
			continue;
		if (part < 0)
			return -errno;
		if (!part)
			break;
		length += part;
		if (length == size - 1)
			return -EFBIG;
	}
	text[length] = '\0';
	return length;
}

static void read_pressure(struct measure *measure, char *text, size_t size, uint64_t now)
{
	uint64_t total;

	if (measure->pressure < 0)
		return;
	if (now - measure->since < PRESSURE_TIME && measure->since)
		return;
	if (read_all(measure->pressure, text, size) < 0 || !parse_pressure(text, &total))
		return;
	if (measure->since && total >= measure->total)
		measure->percent = (total - measure->total) / 10 / (now - measure->since);
	if (measure->percent > 100)
		measure->percent = 100;
	measure->since = now;
	measure->total = total;
}

/**
 * measure_read() - measure
 * @measure: the files
 * @input: the result; regions and the block size are left as they are
 *
 * Return: 0 or a negative errno.
 */
int measure_read(struct measure *measure, struct policy_input *input)
{
	/* Some hundred bytes for each CPU and zone */
	static char text[1 << 20];
	ssize_t length;

	input->now = measure_now();
	length = read_all(measure->meminfo, text, sizeof(text));
	if (length < 0)
		return length;
	if (!parse_meminfo(text, &input->available))
		return -ENODATA;
	length = read_all(measure->zoneinfo, text, sizeof(text));
	if (length < 0)
		return length;
	if (!parse_zoneinfo(text, sysconf(_SC_PAGESIZE), input->node))
		return -ENODATA;
	read_pressure(measure, text, sizeof(text), input->now);
	input->pressure = measure->percent;
	return 0;
}

/**
 * measure_now() - the time of a clock that does not go backwards, in
 *	milliseconds; never 0
 */
uint64_t measure_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return 1 + now.tv_sec * UINT64_C(1000) + now.tv_nsec / 1000000;
}

static uint64_t nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
}

/**
 * measure_speed() - measure how fast programs can use up memory
 *
 * Return: bytes per millisecond, for as many programs as there are CPUs, but for
 * four at most.
 */
uint64_t measure_speed(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	const size_t size = 16 << 20, part = 1 << 20;
	uint64_t started, time, shortest = UINT64_MAX;
	char *memory;
	size_t at;

	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return 1 << 20;
	/* What else runs now may not run when it matters: the best part counts. */
	for (at = 0; at < size; at += part) {
		started = nanoseconds();
		memset(memory + at, 1, part);
		time = nanoseconds() - started;
		shortest = time < shortest ? time : shortest;
	}
	munmap(memory, size);
	if (cpus < 1 || cpus > 4)
		cpus = cpus < 1 ? 1 : 4;
	return part * UINT64_C(1000000) / (shortest ? shortest : 1) * cpus;
}
