// SPDX-License-Identifier: GPL-2.0-only
/*
 * Readers of physical memory and its memmap that take no lock
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "harness.h"

/* Returns how many words could be read at an offset */
static long read_some(const char *path, off_t offset)
{
	static char buffer[65536];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	if (fd < 0)
		return 0;
	length = pread(fd, buffer, sizeof(buffer), offset);
	close(fd);
	return length > 0 ? length / 8 : 0;
}

/* The segments of /proc/kcore at this moment, by physical address */
static int kcore_segments(struct segment *segments, int count)
{
	int fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC), found;

	if (fd < 0)
		return 0;
	found = elf_segments(fd, segments, count);
	close(fd);
	return found;
}

bool kcore_has(uint64_t physical)
{
	struct segment segments[64];
	int found = kcore_segments(segments, ARRAY_SIZE(segments));

	return elf_covered(segments, found, physical, 1);
}

/* The file offset of a physical address in /proc/kcore. Looked up only once. */
static off_t kcore_offset(uint64_t physical)
{
	static struct segment segments[64];
	static int found = -1;
	int i;

	if (found < 0)
		found = kcore_segments(segments, ARRAY_SIZE(segments));
	/*
	 * Offsets in the file differ as addresses do. The segment of the first
	 * MiB of RAM belongs to the direct map; the kernel's text has a mapping
	 * of its own, and lies higher.
	 */
	for (i = 0; i < found; i++)
		if (segments[i].start >= architecture.ram_start &&
		    segments[i].start < architecture.ram_start + MIB)
			return segments[i].offset + physical - segments[i].start;
	return 0;
}

/*
 * As in linux/kernel-page-flags.h. KPF_NOPAGE is also returned if the flags
 * cannot be read.
 */
#define KPF_NOPAGE (UINT64_C(1) << 20)
#define KPF_HWPOISON (UINT64_C(1) << 19)

static uint64_t page_flags(uint64_t physical)
{
	int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	uint64_t flags;

	if (fd < 0)
		return KPF_NOPAGE;
	if (pread(fd, &flags, 8, physical / page_size * 8) != 8)
		flags = KPF_NOPAGE;
	close(fd);
	return flags;
}

bool has_struct_page(uint64_t physical)
{
	return !(page_flags(physical) & KPF_NOPAGE);
}

bool page_is_broken(uint64_t physical)
{
	return page_flags(physical) & KPF_HWPOISON;
}

long look_at(enum view view, int block)
{
	uint64_t physical = (uint64_t)block * block_size + (rand() % (block_size / page_size)) * page_size;

	switch (view) {
	case VIEW_ZONES:
		return strlen(read_file(MEMORY "/memory%d/valid_zones", block)) +
		       strlen(block_stage(block));
	case VIEW_FLAGS:
		return read_some("/proc/kpageflags", physical / page_size * 8);
	case VIEW_COUNT:
		return read_some("/proc/kpagecount", physical / page_size * 8);
	case VIEW_TYPES:
		return read_some("/proc/pagetypeinfo", 0);
	case VIEW_KCORE:
		return read_some("/proc/kcore", kcore_offset(physical));
	default:
		return 0;
	}
}

/*
 * Before 6.2, folio_mapped() takes the number of struct pages to look at from
 * the second page of a compound page. While the compound page is being made,
 * that field holds something else (TAIL_MAPPING, half of which is 0xdead0000).
 * A read of kpageflags at that moment walks beyond the end of the memmap. This
 * is a bug of the kernel that does not depend on twostage.
 */
bool readers_trip_over_huge_pages(void)
{
	return kernel_before(6, 2);
}

long kcore_words(uint64_t physical, long words)
{
	int fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
	uint64_t word;
	long count = 0;

	if (fd < 0)
		return 0;
	for (; words > 0; words--, physical += sizeof(word))
		count += pread(fd, &word, sizeof(word), kcore_offset(physical)) == sizeof(word) &&
			 word;
	close(fd);
	return count;
}

bool kcore_read(uint64_t physical, void *bytes, size_t size)
{
	int fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
	ssize_t length = 1;
	size_t done = 0;

	if (fd < 0)
		return false;
	for (; done < size && length > 0; done += length > 0 ? length : 0)
		length = pread(fd, (char *)bytes + done, size - done, kcore_offset(physical) + done);
	close(fd);
	return done == size;
}

int page_offline(const char *how, uint64_t physical)
{
	char text[32];

	snprintf(text, sizeof(text), "%#" PRIx64, physical);
	return write_file(text, MEMORY "/%s_offline_page", how);
}

long look_at_block(int block)
{
	long words = 0;
	int view;

	for (view = 0; view < VIEWS; view++)
		words += look_at(view, block);
	return words;
}
