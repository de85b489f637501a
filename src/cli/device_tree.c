// SPDX-License-Identifier: GPL-2.0-only
/*
 * RAM as the firmware's device tree has it
 *
 * The kernel shows the tree as it got it: mem= does not change it. Numbers are
 * big-endian, in cells of 32 bits.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "device_tree.h"
#include "sysfs.h"

#define ROOT "/sys/firmware/devicetree/base"

/* Enough for the ranges of one node */
#define MOST_CELLS 1024

struct format {
	unsigned int address_cells, size_cells;
};

/* Returns how many cells a property has, 0 if it cannot be read */
static size_t read_cells(const char *node, const char *property, uint32_t *cells, size_t most)
{
	unsigned char bytes[4];
	char path[PATH_MAX];
	size_t count = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", node, property);
	file = sysroot_fopen(path);
	if (!file)
		return 0;
	while (count < most && fread(bytes, sizeof(bytes), 1, file) == 1)
		cells[count++] = (uint32_t)bytes[0] << 24 | bytes[1] << 16 | bytes[2] << 8 |
				 bytes[3];
	fclose(file);
	return count;
}

static unsigned int read_count(const char *node, const char *property, unsigned int otherwise)
{
	uint32_t count;

	return read_cells(node, property, &count, 1) ? count : otherwise;
}

/* How the nodes in a node write addresses and sizes */
static struct format format_in(const char *node)
{
	return (struct format){ read_count(node, "#address-cells", 2),
				read_count(node, "#size-cells", 1) };
}

static uint64_t number(const uint32_t *cells, unsigned int count)
{
	uint64_t value = 0;

	while (count--)
		value = value << 32 | *cells++;
	return value;
}

static void apply_to_ranges(const char *node, struct format format, struct ranges *ranges,
			   void (*apply)(struct ranges *ranges, struct range range))
{
	const unsigned int step = format.address_cells + format.size_cells;
	uint32_t cells[MOST_CELLS];
	size_t count = read_cells(node, "reg", cells, MOST_CELLS), i;

	for (i = 0; step && i + step <= count; i += step) {
		uint64_t start = number(cells + i, format.address_cells);
		uint64_t size = number(cells + i + format.address_cells, format.size_cells);

		if (size && start + size - 1 >= start)
			apply(ranges, (struct range){ start, start + size - 1 });
	}
}

/* A node without a status is in use. */
static bool is_available(const char *node)
{
	char status[16];

	return sysfs_read(status, sizeof(status), "%s/status", node) || !strcmp(status, "okay") ||
	       !strcmp(status, "ok");
}

static bool is_memory(const char *node)
{
	char type[16];

	return !sysfs_read(type, sizeof(type), "%s/device_type", node) && !strcmp(type, "memory");
}

/* Calls the function for each range of the nodes in a node that are wanted */
static int apply_to_nodes(const char *parent, bool (*wanted)(const char *node),
			 struct ranges *ranges,
			 void (*apply)(struct ranges *ranges, struct range range))
{
	const struct format format = format_in(parent);
	struct dirent *entry;
	char node[PATH_MAX];
	int found = 0;
	DIR *dir;

	dir = sysroot_opendir(parent);
	if (!dir)
		return 0;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.' ||
		    snprintf(node, sizeof(node), "%s/%s", parent, entry->d_name) >=
			    (int)sizeof(node) ||
		    !wanted(node) || !is_available(node))
			continue;
		apply_to_ranges(node, format, ranges, apply);
		found++;
	}
	closedir(dir);
	return found;
}

static bool is_node(const char *node)
{
	return sysfs_exists("%s/reg", node);
}

/**
 * device_tree_ram() - read which ranges the device tree has as RAM
 * @ram: physical addresses in bytes; ranges that the tree reserves for firmware
 *	are left out
 *
 * If EFI started the kernel, its memory map counts, which the kernel does not
 * show.
 *
 * Return: 0; -ENOENT if there is no device tree, or none that counts.
 */
int device_tree_ram(struct ranges *ram)
{
	*ram = (struct ranges){ 0 };
	if (sysfs_exists("/sys/firmware/efi") || !apply_to_nodes(ROOT, is_memory, ram, ranges_add))
		return -ENOENT;
	apply_to_nodes(ROOT "/reserved-memory", is_node, ram, ranges_subtract);
	return 0;
}
