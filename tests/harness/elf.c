// SPDX-License-Identifier: GPL-2.0-only
/*
 * Physical memory in ELF files: /proc/kcore and /proc/vmcore
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

#include "harness.h"

int elf_segments(int fd, struct segment *segments, int count)
{
	Elf64_Phdr entry;
	Elf64_Ehdr header;
	int i, found = 0;

	if (pread(fd, &header, sizeof(header), 0) != sizeof(header))
		return 0;
	for (i = 0; i < header.e_phnum && found < count; i++) {
		if (pread(fd, &entry, sizeof(entry), header.e_phoff + i * sizeof(entry)) !=
		    sizeof(entry))
			break;
		/*
		 * An entry that is not memory has the physical address
		 * UINT64_MAX.
		 */
		if (entry.p_type != PT_LOAD || entry.p_paddr == UINT64_MAX)
			continue;
		segments[found].offset = entry.p_offset;
		segments[found].start = entry.p_paddr;
		segments[found++].size = entry.p_memsz;
	}
	return found;
}

uint64_t elf_covered(const struct segment *segments, int count, uint64_t start, uint64_t size)
{
	uint64_t low, high, sum = 0;
	int i;

	for (i = 0; i < count; i++) {
		low = segments[i].start > start ? segments[i].start : start;
		high = segments[i].start + segments[i].size;
		high = high < start + size ? high : start + size;
		sum += high > low ? high - low : 0;
	}
	return sum;
}

int kcore_headers(void)
{
	int fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
	Elf64_Ehdr header = { .e_phnum = 0 };

	if (fd < 0)
		return -1;
	if (read(fd, &header, sizeof(header)) != sizeof(header))
		header.e_phnum = 0;
	close(fd);
	return header.e_phnum;
}
