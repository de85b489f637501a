// SPDX-License-Identifier: GPL-2.0-only
/*
 * Those who look at physical memory and its memmap without asking anybody
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#include "harness.h"

/* How many words could be read there */
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

/* Where kcore has the direct map: found once, from its program headers. */
static off_t kcore_offset(uint64_t physical)
{
	static struct {
		uint64_t offset, address, size;
	} headers[64];
	static int found = -1;
	uint16_t number;
	uint64_t header[7], table;
	int fd, i;

	if (found < 0) {
		found = 0;
		fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return 0;
		if (pread(fd, &table, 8, 32) == 8 && pread(fd, &number, 2, 56) == 2) {
			for (i = 0; i < number && found < (int)ARRAY_SIZE(headers); i++) {
				if (pread(fd, header, 56, table + i * 56) != 56)
					break;
				headers[found].offset = header[1];
				headers[found].address = header[3];
				headers[found++].size = header[5];
			}
		}
		close(fd);
	}
	/* Offsets in the file differ by as much as addresses do. */
	for (i = 0; i < found; i++)
		if (headers[i].address != UINT64_MAX && headers[i].address < GIB)
			return headers[i].offset + physical - headers[i].address;
	return 0;
}

long look_at_block(int block)
{
	uint64_t physical = (uint64_t)block * block_size + (rand() % (block_size / 4096)) * 4096;
	long words = 0;

	read_file(MEMORY "/memory%d/valid_zones", block);
	block_stage(block);
	words += read_some("/proc/kpageflags", physical / 4096 * 8);
	words += read_some("/proc/kpagecount", physical / 4096 * 8);
	words += read_some("/proc/pagetypeinfo", 0);
	words += read_some("/proc/kcore", kcore_offset(physical));
	return words;
}
