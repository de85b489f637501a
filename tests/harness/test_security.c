// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an unprivileged user, and root through /dev/mem and kcore, can see and
 * do
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

/* Directories with files of the module, and of the virtio-mem driver */
static const char *const places[] = {
	"/sys/bus/twostage", "/sys/devices/twostage", MEMORY "/memory32/twostage",
	"/sys/module/twostage",
	"/sys/kernel/debug/twostage", "/sys/kernel/tracing/events/twostage",
};
static char device_place[128];
static const char *const driver_places[] = {
	"/sys/devices/twostage", "/sys/module/" DRIVER, "/sys/bus/virtio/drivers/" DRIVER,
	device_place,
};

/* Modes of files, as in the README; name is the last part of the path */
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
	{ BUS "/devices/region0", "stages", 0444 },
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

/*
 * What the child process found: it prints details, its parent gets the counts.
 */
static int files_seen, faults;

static int run_unprivileged(void (*look)(void), int *seen)
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
 * Whether a text contains a kernel address, or one that %p has hashed: at least
 * 16 hexadecimal digits that either have no 0x before them (a number has) or
 * begin with ff (as kernel addresses do, with five levels of page tables too)
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
		diag("%s: open for writing by an unprivileged user: %s, expected EACCES", path,
		     fd >= 0 ? "success" : strerror(errno));
		faults++;
		close(fd);
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if ((fd < 0) == !!(status->st_mode & 0004)) {
		diag("%s: mode %o, but an unprivileged user %s it for reading", path,
		     status->st_mode & 07777,
		     fd >= 0 ? "can open" : "cannot open");
		faults++;
	}
	if (fd < 0)
		return 0;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[length > 0 ? length : 0] = '\0';
	/* A build ID looks like a pointer, but is none. */
	if (!strstr(path, "/notes/") && !strstr(path, "srcversion") && has_pointer(text)) {
		diag("%s: contains a pointer: %.80s", path, text);
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

/* Lines of the log contain physical addresses. */
static void read_log(void)
{
	static char text[4096];
	int fd;

	files_seen++;
	if (klogctl(READ_ALL, text, sizeof(text)) >= 0 || errno != EPERM) {
		diag("syslog() as an unprivileged user: expected EPERM, last error: %s",
		     strerror(errno));
		faults++;
	}
	fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 && read(fd, text, sizeof(text)) >= 0) {
		diag("an unprivileged user can read /dev/kmsg");
		faults++;
	}
	if (fd >= 0)
		close(fd);
}

/*
 * The root directories of debugfs and tracefs are accessible to root only, so
 * these few files stand for all others in there.
 */
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
			diag("%s: read access of an unprivileged user: expected EACCES, got %s",
			     paths[i],
			     strerror(errno));
			faults++;
		}
	}
}

/*
 * Compute the region's range from world-readable files only: the numbers of
 * memory blocks, which every kernel shows, and their attribute "region"
 */
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
		diag("start and size of region0 differ from the range of its blocks, [%#" PRIx64
		     "-%#" PRIx64 "]",
		     low * bytes, (high + 1) * bytes - 1);
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
		if (stat(path, &status) || (status.st_mode & 07777) != mode->mode ||
		    status.st_uid || status.st_gid) {
			diag("%s: mode %o of %u:%u, expected %o of 0:0", path,
			     status.st_mode & 07777,
			     status.st_uid, status.st_gid, mode->mode);
			right = false;
		}
	}
	return right;
}

static void module_files(void)
{
	int seen, found;

	ok(modes_are(modes, ARRAY_SIZE(modes)),
	   "each file of the module has the mode that the README lists and belongs to root");
	found = run_unprivileged(look_at_places, &seen);
	ok(seen > 30,
	   "an unprivileged user finds the files of the module (%d, expected more than 30)", seen);
	ok(found == 0,
	   "an unprivileged user reads and writes files of the module only as their modes allow, and reads no pointer (%d faults)",
	   found);
	found = run_unprivileged(look_at_root_places, &seen);
	ok(found == 0 && seen > 0,
	   "an unprivileged user cannot read debugfs, tracefs, kcore and /dev/mem (%d of %d can be)",
	   found, seen);
	found = run_unprivileged(read_iomem, &seen);
	/* Its two lines are the region and its populated blocks. */
	ok(seen == 2, "an unprivileged user sees two lines of the region in /proc/iomem (%d)",
	   seen);
	ok(found == 0, "/proc/iomem shows an unprivileged user no address of the region");
	found = run_unprivileged(locate_region, &seen);
	ok(seen == BLOCKS,
	   "an unprivileged user finds the memory blocks of the region (%d, expected %d)", seen,
	   BLOCKS);
	ok(found == 0,
	   "attributes start and size reveal no more than the numbers of the memory blocks do");
	/* Distributions set this, the debug kernel does not. */
	if (kernel_debugs())
		write_file("1", "/proc/sys/kernel/dmesg_restrict");
	found = run_unprivileged(read_log, &seen);
	ok(found == 0 && seen == 1, "an unprivileged user cannot read the kernel's log");
}

static void device_files(void)
{
	int seen, found;

	snprintf(device_place, sizeof(device_place), "/sys/bus/virtio/devices/%s/twostage",
		 virtio_device(VIRTIO_ID_MEM, 0));
	if (!ok(module_load(DRIVER, NULL) == 0 && exists(REGION, 1),
		"a virtio-mem device has a region"))
		return;
	ok(modes_are(driver_modes, ARRAY_SIZE(driver_modes)),
	   "each file of a virtio-mem device has the mode that the README lists and belongs to root");
	found = run_unprivileged(look_at_driver_places, &seen);
	ok(seen > (int)ARRAY_SIZE(driver_modes),
	   "an unprivileged user finds files of a virtio-mem device and its driver (%d, at least %zu)",
	   seen, ARRAY_SIZE(driver_modes) + 1);
	ok(found == 0,
	   "an unprivileged user reads and writes files of a virtio-mem device only as their modes allow, and reads no pointer (%d faults)",
	   found);
	ok(virtio_unbind(virtio_device(VIRTIO_ID_MEM, 0)) == 0,
	   "the virtio-mem device is unbound from its driver");
	ok(module_unload(DRIVER) == 0, "the virtio-mem driver unloads");
	ok(!exists(REGION, 1), "the virtio-mem device's region is removed with its driver");
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
	ok(lines > 1, "the log has lines of the module (%d)", lines);
	ok(!bad, "no line of the module in the log contains a pointer (%d lines do)", bad);
}

/* The trace of everything that this group has done */
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
	ok(lines > 1, "the trace has lines of the module (%d)", lines);
	ok(!bad, "no line of the module in the trace contains a pointer (%d lines do)", bad);
}

enum access { REFUSED, ALLOWED, MIXED };

/* Whether /dev/mem lets root read, write and map a page */
static enum access access_memory(uint64_t address)
{
	int fd = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC), allowed = 0;
	uint64_t word = 0;
	void *map;

	/* A failure here does not depend on the address. */
	if (fd < 0)
		return MIXED;
	allowed += pread(fd, &word, sizeof(word), address) > 0;
	/* Write the word that was read, which does no harm if it succeeds. */
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

/*
 * The same for pages at the start, at the end and within each of these blocks
 */
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

/* Bytes of a physical range that are in segments of /proc/kcore */
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
	uint64_t covered;

	if (!load_twostage(NULL))
		return;
	write_file("1", "/sys/kernel/tracing/events/twostage/enable");
	ok(region_add(START, BLOCKS * block_size, NULL) == 0 &&
	   region_online(0, "2 online_movable") == 0,
	   "a region has two populated blocks, the others are standby");
	module_files();
	device_files();

	ok(access_blocks(POPULATED, BLOCKS - POPULATED) == REFUSED,
	   "/dev/mem refuses root to read, write and map standby memory");
	ok(access_blocks(0, POPULATED) == REFUSED,
	   "/dev/mem refuses root to read, write and map populated memory");
	covered = in_kcore(START, POPULATED * block_size);
	ok(covered == POPULATED * block_size,
	   "/proc/kcore has all populated memory of the region (%" PRIu64 " of %" PRIu64 " bytes)",
	   covered,
	   POPULATED * block_size);
	covered = in_kcore(START + POPULATED * block_size, (BLOCKS - POPULATED) * block_size);
	ok(covered == 0, "/proc/kcore has no standby memory of the region (%" PRIu64 " bytes)",
	   covered);
	ok(region_give_back(0) == 0, "all blocks of the region go offline");
	ok(access_blocks(0, BLOCKS) == REFUSED,
	   "/dev/mem refuses root to read, write and map memory that was populated before");
	covered = in_kcore(START, BLOCKS * block_size);
	ok(covered == 0, "/proc/kcore has no memory that was populated before (%" PRIu64 " bytes)",
	   covered);
	trace_lines();
	write_file("0", "/sys/kernel/tracing/events/twostage/enable");
	ok(region_remove(0) == 0, "the region is removed");
	log_lines(&kmsg);
	kmsg_close(&kmsg);
	unload_twostage();
}

/*
 * The guest is booted with iomem=relaxed: the kernel lets root access all
 * memory that is not System RAM.
 */
static void run_relaxed(void)
{
	if (!load_twostage(NULL))
		return;
	ok(region_add(START, BLOCKS * block_size, NULL) == 0 &&
	   region_online(0, "2 online_movable") == 0,
	   "a region has two populated blocks, the others are standby");
	ok(access_blocks(0, POPULATED) == REFUSED,
	   "with iomem=relaxed, /dev/mem refuses root to read, write and map populated memory");
	ok(access_blocks(POPULATED, BLOCKS - POPULATED) == ALLOWED,
	   "with iomem=relaxed, /dev/mem lets root read, write and map standby memory");
	ok(region_give_back(0) == 0 && region_remove(0) == 0,
	   "the region goes offline and is removed");
	unload_twostage();
}

GROUP(group_security) = {
	.name = "security", .title = "permissions of files, /dev/mem, kcore and the log",
	.setup = virtio_bus, .run = run,
};
GROUP(group_security_relaxed) = {
	.name = "security-relaxed", .title = "access to memory by /dev/mem with iomem=relaxed",
	.run = run_relaxed,
};
