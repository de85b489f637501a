// SPDX-License-Identifier: GPL-2.0-only
/*
 * What others than root, and root by roundabout ways, can see and do
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define NOBODY 65534
#define START (4 * GIB)
#define BLOCKS 8
#define POPULATED 2
#define VIRTIO_ID_MEM 24
#define DRIVER "twostage_virtio_mem"
/* As in linux/syslog.h */
#define READ_ALL 3

/* Where the module's files are, and the driver's */
static const char *const places[] = {
	"/sys/bus/twostage", "/sys/devices/twostage", MEMORY "/memory32/twostage", "/sys/module/twostage",
	"/sys/kernel/debug/twostage", "/sys/kernel/tracing/events/twostage",
};
static char device_place[128];
static const char *const driver_places[] = {
	"/sys/devices/twostage", "/sys/module/" DRIVER, "/sys/bus/virtio/drivers/" DRIVER, device_place,
};

/* As in the README; the last part of the path */
struct mode {
	const char *directory, *name;
	mode_t mode;
};

static const struct mode modes[] = {
	{ BUS, "add_region", 0200 },
	{ BUS, "remove_region", 0200 },
	{ BUS, "adopt", 0600 },
	{ BUS "/devices/region0", "start", 0444 },
	{ BUS "/devices/region0", "size", 0444 },
	{ BUS "/devices/region0", "node", 0444 },
	{ BUS "/devices/region0", "provider", 0444 },
	{ BUS "/devices/region0", "blocks", 0444 },
	{ BUS "/devices/region0", "blocks_online", 0444 },
	{ BUS "/devices/region0", "blocks_poisoned", 0444 },
	{ BUS "/devices/region0", "memmap_pages", 0444 },
	{ BUS "/devices/region0", "memmap_on_memory", 0644 },
	{ BUS "/devices/region0", "online", 0200 },
	{ BUS "/devices/region0", "offline", 0200 },
	{ MEMORY "/memory32/twostage", "stage", 0444 },
	{ MEMORY "/memory32/twostage", "region", 0444 },
	{ "/sys/kernel/debug/twostage", "hooks", 0400 },
};

static const struct mode driver_modes[] = {
	{ BUS "/devices/region1", "start", 0444 },
	{ BUS "/devices/region1", "budget", 0444 },
	{ BUS "/devices/region1", "plugged", 0444 },
	{ BUS "/devices/region1", "online", 0200 },
	{ BUS "/devices/region1", "offline", 0200 },
	{ device_place, "region", 0444 },
	{ device_place, "block_size", 0444 },
	{ device_place, "left_over", 0444 },
	{ device_place, "usable_size", 0444 },
	{ device_place, "state", 0444 },
};

/* What the child found; it prints, and its parent counts. */
static int files_seen, faults;

static int run_as_nobody(void (*look)(void), int *seen)
{
	int pipes[2], found[2] = { 0, -1 }, status;
	pid_t child;

	*seen = 0;
	if (pipe(pipes))
		return -1;
	child = fork();
	if (!child) {
		files_seen = 0;
		faults = 0;
		if (syscall(SYS_setgroups, 0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
		    setresuid(NOBODY, NOBODY, NOBODY))
			_exit(1);
		look();
		found[0] = files_seen;
		found[1] = faults;
		_exit(write(pipes[1], found, sizeof(found)) != sizeof(found));
	}
	close(pipes[1]);
	if (child < 0 || read(pipes[0], found, sizeof(found)) != sizeof(found))
		found[1] = -1;
	close(pipes[0]);
	waitpid(child, &status, 0);
	*seen = found[0];
	return found[1];
}

/*
 * An address of the kernel's, or what %p makes of one: 16 digits that are not a number with 0x before it, or are as high
 * as the kernel is, which with five levels of page tables begins with ff.
 */
static bool has_pointer(const char *text)
{
	const char *digits;
	size_t length;

	for (digits = text; *digits; digits += length ? length : 1) {
		length = strspn(digits, "0123456789abcdefABCDEF");
		if (length >= 16 && (!strncasecmp(digits, "ff", 2) ||
				     digits == text || tolower(digits[-1]) != 'x'))
			return true;
	}
	return strstr(text, "ptrval") != NULL;
}

static int look_at_file(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
	char text[4096];
	ssize_t length;
	int fd;

	(void)ftw;
	if (type != FTW_F)
		return 0;
	files_seen++;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 || errno != EACCES) {
		diag("%s: nobody opens it for writing (%s)", path, fd >= 0 ? "success" : strerror(errno));
		faults++;
		close(fd);
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if ((fd < 0) == !!(status->st_mode & 0004)) {
		diag("%s: mode %o, and nobody %s it", path, status->st_mode & 07777,
		     fd >= 0 ? "reads" : "does not read");
		faults++;
	}
	if (fd < 0)
		return 0;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[length > 0 ? length : 0] = '\0';
	/* A build ID is as long as a pointer, and none. */
	if (!strstr(path, "/notes/") && !strstr(path, "srcversion") && has_pointer(text)) {
		diag("%s: has a pointer in it: %.80s", path, text);
		faults++;
	}
	return 0;
}

static void look_at_places(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(places); i++)
		nftw(places[i], look_at_file, 16, FTW_PHYS);
}

static void look_at_driver_places(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(driver_places); i++)
		nftw(driver_places[i], look_at_file, 16, FTW_PHYS);
}

/* Its lines have addresses in them. */
static void read_log(void)
{
	static char text[4096];
	int fd;

	files_seen++;
	if (klogctl(READ_ALL, text, sizeof(text)) >= 0 || errno != EPERM) {
		diag("nobody reads the log (%s)", strerror(errno));
		faults++;
	}
	fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 && read(fd, text, sizeof(text)) >= 0) {
		diag("nobody reads /dev/kmsg");
		faults++;
	}
	if (fd >= 0)
		close(fd);
}

/* Directories of debugfs and tracefs are root's: what is in there needs no look. */
static void look_at_root_places(void)
{
	static const char *const paths[] = {
		"/sys/kernel/debug/twostage/hooks", "/sys/kernel/tracing/events/twostage/enable",
		"/sys/kernel/tracing/events/twostage/populate/format", "/proc/kcore", "/dev/mem",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(paths); i++) {
		files_seen++;
		if (!access(paths[i], R_OK) || errno != EACCES) {
			diag("%s: nobody reads it (%s)", paths[i], strerror(errno));
			faults++;
		}
	}
}

/* From what every kernel shows of memory blocks, and which of these are the region's */
static void locate_region(void)
{
	uint64_t low = UINT64_MAX, high = 0, index, bytes;
	int block;

	bytes = strtoull(read_file(MEMORY "/block_size_bytes"), NULL, 16);
	for (block = 0; block < 4096; block++) {
		if (strcmp(read_file(MEMORY "/memory%d/twostage/region", block), "region0"))
			continue;
		index = strtoull(read_file(MEMORY "/memory%d/phys_index", block), NULL, 16);
		low = index < low ? index : low;
		high = index > high ? index : high;
		files_seen++;
	}
	if (low * bytes != strtoull(read_file(REGION "/start", 0), NULL, 16) ||
	    (high - low + 1) * bytes != strtoull(read_file(REGION "/size", 0), NULL, 16)) {
		diag("its blocks are [%#" PRIx64 "-%#" PRIx64 "]", low * bytes, (high + 1) * bytes - 1);
		faults++;
	}
}

static void read_iomem(void)
{
	char *iomem = read_whole("/proc/iomem"), *line, *rest = iomem;

	while ((line = strsep(&rest, "\n"))) {
		if (!strstr(line, "twostage") && !strstr(line, "Standby memory"))
			continue;
		files_seen++;
		while (*line == ' ')
			line++;
		if (line[strspn(line, "0-")] != ' ') {
			diag("/proc/iomem: %s", line);
			faults++;
		}
	}
	free(iomem);
}

static bool modes_are(const struct mode *mode, size_t count)
{
	struct stat status;
	bool right = true;
	char path[256];

	for (; count > 0; count--, mode++) {
		snprintf(path, sizeof(path), "%s/%s", mode->directory, mode->name);
		if (stat(path, &status) || (status.st_mode & 07777) != mode->mode || status.st_uid || status.st_gid) {
			diag("%s: mode %o of %u:%u", path, status.st_mode & 07777, status.st_uid, status.st_gid);
			right = false;
		}
	}
	return right;
}

static void knobs(void)
{
	int seen, found;

	ok(modes_are(modes, ARRAY_SIZE(modes)), "every file has the mode and owner that it is to have");
	found = run_as_nobody(look_at_places, &seen);
	diag("%d files", seen);
	ok(found == 0 && seen > 30, "nobody but root writes any, nor reads what is root's, nor finds a pointer in one");
	found = run_as_nobody(look_at_root_places, &seen);
	ok(found == 0 && seen > 0, "debugfs, tracepoints, and memory itself are root's alone");
	found = run_as_nobody(read_iomem, &seen);
	/* The region, and all that is populated of it */
	ok(found == 0 && seen == 2, "/proc/iomem tells nobody but root where anything is");
	found = run_as_nobody(locate_region, &seen);
	ok(found == 0 && seen == BLOCKS, "start and size tell no more than the numbers of the memory blocks");
	/* As distributions have it */
	if (kernel_debugs())
		write_file("1", "/proc/sys/kernel/dmesg_restrict");
	found = run_as_nobody(read_log, &seen);
	ok(found == 0 && seen == 1, "the log is root's");
}

static void knobs_of_a_device(void)
{
	int seen, found;

	snprintf(device_place, sizeof(device_place), "/sys/bus/virtio/devices/%s/twostage", virtio_device(VIRTIO_ID_MEM, 0));
	if (!ok(module_load(DRIVER, NULL) == 0 && exists(REGION, 1), "a virtio-mem device has a region"))
		return;
	ok(modes_are(driver_modes, ARRAY_SIZE(driver_modes)), "every file of its has the mode and owner that it is to have");
	found = run_as_nobody(look_at_driver_places, &seen);
	diag("%d files", seen);
	ok(found == 0 && seen > (int)ARRAY_SIZE(driver_modes),
	   "nobody but root writes any, nor reads what is root's, nor finds a pointer in one");
	ok(virtio_unbind(virtio_device(VIRTIO_ID_MEM, 0)) == 0 && module_unload(DRIVER) == 0 && !exists(REGION, 1),
	   "the driver unloads");
}

static void log_lines(struct kmsg *kmsg)
{
	int lines = 0, bad = 0;
	char line[2048];

	while (kmsg_next(kmsg, "twostage", line, sizeof(line))) {
		lines++;
		if (has_pointer(line)) {
			diag("%s", line);
			bad++;
		}
	}
	ok(lines > 1 && !bad, "no line of the log has a pointer in it");
}

/* What the trace of all that shows */
static void trace_lines(void)
{
	char *trace = read_whole("/sys/kernel/tracing/trace"), *line, *rest = trace;
	int lines = 0, bad = 0;

	while ((line = strsep(&rest, "\n"))) {
		if (!strstr(line, "region=region"))
			continue;
		lines++;
		bad += has_pointer(line);
	}
	free(trace);
	ok(lines > 1 && !bad, "nor has one of the trace");
}

enum access { REFUSED, ALLOWED, MIXED };

/* Whether /dev/mem lets root read, write or map what is there */
static enum access access_memory(uint64_t address)
{
	int fd = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC), allowed = 0;
	uint64_t word = 0;
	void *map;

	/* That would be no matter of the address. */
	if (fd < 0)
		return MIXED;
	allowed += pread(fd, &word, sizeof(word), address) > 0;
	/* The word that is there: should it get through, it does no harm. */
	allowed += pwrite(fd, &word, sizeof(word), address) > 0;
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, address);
	if (map != MAP_FAILED) {
		allowed++;
		munmap(map, 4096);
	}
	map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, address);
	if (map != MAP_FAILED) {
		allowed++;
		munmap(map, 4096);
	}
	close(fd);
	return allowed == 4 ? ALLOWED : allowed ? MIXED : REFUSED;
}

/* The first and the last page of each block of a range, and some in between */
static enum access access_blocks(int first, int count)
{
	enum access found, all = MIXED;
	uint64_t offset, start;
	int i;

	for (i = 0; i < count; i++) {
		start = START + (first + i) * block_size;
		for (offset = 0; offset < block_size; offset += block_size / 4 - 1024) {
			found = access_memory((start + offset) & ~UINT64_C(4095));
			if (found == MIXED || (all != MIXED && found != all))
				return MIXED;
			all = found;
		}
	}
	return all;
}

/* Of a range: how much of it is in segments of /proc/kcore */
static uint64_t in_kcore(uint64_t start, uint64_t size)
{
	int fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC), count;
	struct segment segments[256];

	if (fd < 0)
		return 0;
	count = elf_segments(fd, segments, ARRAY_SIZE(segments));
	close(fd);
	return elf_covered(segments, count, start, size);
}

static void run(void)
{
	struct kmsg kmsg = kmsg_mark();

	if (!load_twostage(NULL))
		return;
	write_file("1", "/sys/kernel/tracing/events/twostage/enable");
	ok(region_add(START, BLOCKS * block_size, NULL) == 0 && region_online(0, "2 online_movable") == 0,
	   "a region has blocks of both stages");
	knobs();
	knobs_of_a_device();

	ok(access_blocks(POPULATED, BLOCKS - POPULATED) == REFUSED,
	   "/dev/mem neither reads, writes nor maps standby memory");
	ok(access_blocks(0, POPULATED) == REFUSED, "nor populated memory");
	ok(in_kcore(START, POPULATED * block_size) == POPULATED * block_size &&
	   in_kcore(START + POPULATED * block_size, (BLOCKS - POPULATED) * block_size) == 0,
	   "/proc/kcore has all of populated, and nothing of standby memory");
	ok(region_give_back(0) == 0, "all blocks go offline");
	ok(access_blocks(0, BLOCKS) == REFUSED && in_kcore(START, BLOCKS * block_size) == 0,
	   "neither shows what has been populated");
	trace_lines();
	write_file("0", "/sys/kernel/tracing/events/twostage/enable");
	ok(region_remove(0) == 0, "the region is removed");
	log_lines(&kmsg);
	kmsg_close(&kmsg);
	unload_twostage();
}

/* Booted with iomem=relaxed, with which the kernel leaves to root what is not System RAM. */
static void run_relaxed(void)
{
	if (!load_twostage(NULL))
		return;
	ok(region_add(START, BLOCKS * block_size, NULL) == 0 && region_online(0, "2 online_movable") == 0,
	   "a region has blocks of both stages");
	ok(access_blocks(0, POPULATED) == REFUSED, "/dev/mem neither reads, writes nor maps populated memory");
	ok(access_blocks(POPULATED, BLOCKS - POPULATED) == ALLOWED,
	   "standby memory it does, as root wants it with iomem=relaxed");
	ok(region_give_back(0) == 0 && region_remove(0) == 0, "the region is removed");
	unload_twostage();
}

GROUP(group_security) = {
	.name = "security", .title = "who sees and does what", .setup = virtio_bus, .run = run,
};
GROUP(group_security_relaxed) = {
	.name = "security-relaxed", .title = "likewise with iomem=relaxed", .run = run_relaxed,
};
