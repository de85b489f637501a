// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory in use, with data that is verified
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "harness.h"

#define PAGE page_size

/* The first word of the page at an offset; each further word is one more. */
static uint64_t value(const struct memory *memory, size_t offset)
{
	return memory->seed ^ (offset * 0x9e3779b97f4a7c15ULL);
}

/* A value of a node's meminfo in KiB; @name includes the colon */
static long long node_kib(int node, const char *name)
{
	char path[64], *text, *line;
	long long kib;

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/meminfo", node);
	text = read_whole(path);
	line = strstr(text, name);
	kib = line ? strtoll(line + strlen(name), NULL, 10) : 0;
	free(text);
	return kib;
}

static bool set_policy(int mode, int node)
{
	unsigned long mask = node < 0 ? 0 : 1UL << node;
	int tries = 0;

	while (syscall(SYS_set_mempolicy, mode, node < 0 ? NULL : &mask,
		       node < 0 ? 0 : 8 * sizeof(mask))) {
		/*
		 * A policy may only name nodes with memory, as the cpusets know
		 * them, and these are updated some time after the node's first
		 * memory came online.
		 */
		if (errno != EINVAL || !node_kib(node, "MemTotal:") || tries++ == 100)
			return false;
		usleep(100000);
	}
	return true;
}

bool memory_prefer(int node)
{
	return set_policy(node < 0 ? MPOL_DEFAULT : MPOL_PREFERRED, node);
}

bool memory_bind(int node)
{
	return set_policy(MPOL_BIND, node);
}

/* A kernel without transparent huge pages returns EINVAL for advice against them. */
static bool advise(void *address, size_t size, int advice)
{
	return !madvise(address, size, advice) || (advice == MADV_NOHUGEPAGE && errno == EINVAL);
}

bool memory_map(struct memory *memory, size_t size, int flags, int advice)
{
	memory->size = size;
	memory->words = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);
	return memory->words != MAP_FAILED && (!advice || advise(memory->words, size, advice));
}

void memory_write(struct memory *memory, uint64_t seed)
{
	size_t offset;
	int i;

	memory->seed = seed;
	for (offset = 0; offset < memory->size; offset += PAGE) {
		uint64_t *page = memory->words + offset / 8, first = value(memory, offset);

		for (i = 0; i < PAGE / 8; i++)
			page[i] = first + i;
	}
}

bool memory_fill(struct memory *memory, size_t size, uint64_t seed)
{
	if (!memory_map(memory, size, MAP_PRIVATE, 0))
		return false;
	memory_write(memory, seed);
	return true;
}

static bool page_is_right(const struct memory *memory, size_t offset)
{
	const uint64_t *page = memory->words + offset / 8, first = value(memory, offset);
	uint64_t wrong = 0;
	int i;

	/* No early exit, so that the compiler can vectorise the loop. */
	for (i = 0; i < PAGE / 8; i++)
		wrong |= page[i] ^ (first + i);
	return !wrong;
}

ssize_t memory_check(const struct memory *memory)
{
	size_t offset;

	for (offset = 0; offset < memory->size; offset += PAGE)
		if (!page_is_right(memory, offset))
			return offset;
	return -1;
}

uint64_t memory_lost(const struct memory *memory)
{
	uint64_t lost = 0;
	size_t offset;

	for (offset = 0; offset < memory->size; offset += PAGE)
		if (!page_is_right(memory, offset))
			lost += PAGE;
	return lost;
}

uint64_t memory_address(const struct memory *memory, size_t offset)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uintptr_t address = (uintptr_t)memory->words + offset;
	uint64_t entry = 0;

	if (fd < 0 || pread(fd, &entry, sizeof(entry), address / PAGE * 8) != sizeof(entry) ||
	    !(entry >> 63))
		entry = 0;
	if (fd >= 0)
		close(fd);
	return (entry & ((1ULL << 55) - 1)) * PAGE;
}

uint64_t memory_inside(const struct memory *memory, uint64_t start, uint64_t size)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t inside = 0, entries[512];
	size_t offset, i;

	if (fd < 0)
		return 0;
	for (offset = 0; offset < memory->size; offset += ARRAY_SIZE(entries) * PAGE) {
		uintptr_t address = (uintptr_t)memory->words + offset;
		ssize_t length = pread(fd, entries, sizeof(entries), address / PAGE * 8);

		for (i = 0; length > 0 && i < (size_t)length / 8; i++) {
			uint64_t physical = (entries[i] & ((1ULL << 55) - 1)) * PAGE;

			if (entries[i] >> 63 && offset + i * PAGE < memory->size &&
			    physical >= start && physical < start + size)
				inside += PAGE;
		}
	}
	close(fd);
	return inside;
}

/*
 * Reads map the zero page: a page table for each 2 MiB, and no memory besides.
 */
static bool fill_page_tables(int node)
{
	const size_t size = 16 * GIB;
	char *memory =
		mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t offset;

	if (memory == MAP_FAILED || !advise(memory, size, MADV_NOHUGEPAGE))
		return false;
	/*
	 * Bind only now: slab pages that are allocated on the node before this
	 * point would be shared with other tasks, and stay.
	 */
	if (!memory_bind(node))
		return false;
	for (offset = 0; offset < size; offset += 2 * MIB)
		*(volatile char *)(memory + offset);
	return true;
}

static bool fill_pipes(int node)
{
	static const char data[65536];
	int ends[8][2], i, part;

	for (i = 0; i < (int)ARRAY_SIZE(ends); i++)
		if (pipe2(ends[i], O_NONBLOCK) || fcntl(ends[i][1], F_SETPIPE_SZ, MIB) < 0)
			return false;
	if (!memory_bind(node))
		return false;
	for (i = 0; i < (int)ARRAY_SIZE(ends); i++)
		for (part = 0; part < 16; part++)
			if (write(ends[i][1], data, sizeof(data)) != sizeof(data))
				return false;
	return true;
}

pid_t memory_page_tables(int node)
{
	struct pollfd ready;
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return -1;
	pid = fork();
	if (!pid) {
		/*
		 * With lockdep each page table has a lock in a slab, which
		 * would stay.
		 */
		if ((kernel_debugs() ? fill_pipes(node) : fill_page_tables(node)) &&
		    write(ends[1], "", 1) == 1)
			pause();
		_exit(0);
	}
	close(ends[1]);
	/*
	 * poll() also returns when the child has died. Emulated guests are
	 * slow.
	 */
	ready = (struct pollfd){ .fd = ends[0], .events = POLLIN };
	poll(&ready, 1, 60000);
	if (!(ready.revents & POLLIN))
		diag("no unmovable pages could be allocated on node %d", node);
	close(ends[0]);
	return pid;
}

bool memory_pin(const struct memory *memory, struct pin *pin, uint64_t start, uint64_t size)
{
	size_t offset;

	if (pipe2(pin->pipe, O_CLOEXEC))
		return false;
	for (offset = 0; offset < memory->size; offset += PAGE) {
		struct iovec page = { (char *)memory->words + offset, PAGE };
		const struct memory one = { page.iov_base, PAGE, 0 };

		if (memory_inside(&one, start, size))
			return vmsplice(pin->pipe[1], &page, 1, 0) == PAGE;
	}
	return false;
}

void memory_unpin(struct pin *pin)
{
	close(pin->pipe[0]);
	close(pin->pipe[1]);
}

/*
 * An open() allocates a page for the path, a dentry and an inode, possibly from
 * the last slab in a block, or from a new one there if empty slabs have just
 * been freed: the block could not go offline. So these files are opened while
 * boot memory is the only kernel zone, and an attribute that sets blocks
 * offline before memory_free_unused().
 */
static struct {
	int caches, pressure, shrink[512], count;
} unused;

void memory_init(void)
{
	DIR *directory = opendir("/sys/kernel/slab");
	struct dirent *entry;
	char path[300];
	int file;

	unused.caches = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	unused.pressure = open("/proc/sys/vm/vfs_cache_pressure", O_WRONLY | O_CLOEXEC);
	while (directory && (entry = readdir(directory)) &&
	       unused.count < (int)ARRAY_SIZE(unused.shrink)) {
		snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink", entry->d_name);
		file = open(path, O_WRONLY | O_CLOEXEC);
		if (file >= 0)
			unused.shrink[unused.count++] = file;
	}
	if (directory)
		closedir(directory);
}

/*
 * drop_caches frees at most half of the unused dentries of an internal file
 * system (proc, sysfs) on a node, and never a single one. With a high
 * vfs_cache_pressure a dentry counts as many; it is then scanned twice, and the
 * first scan only clears its reference bit.
 */
void memory_free_unused(void)
{
	int i;

	write_open(unused.pressure, "100000");
	write_open(unused.caches, "3");
	write_open(unused.pressure, "100");
	/* Dentries are freed after an RCU grace period. */
	usleep(100000);
	/* Errors are ignored: a cache may be gone. */
	for (i = 0; i < unused.count; i++)
		write_open(unused.shrink[i], "1");
}

void memory_free(struct memory *memory)
{
	munmap(memory->words, memory->size);
}
