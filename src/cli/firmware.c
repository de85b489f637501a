// SPDX-License-Identifier: GPL-2.0-only
/*
 * RAM as the firmware reports it, and what the kernel uses of it
 *
 * /sys/firmware/memmap has the firmware's memory map. Parameters such as
 * memmap= and mem= do not change it, while they do change the map that the
 * kernel works with, and so /proc/iomem.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "firmware.h"
#include "memory_or_die.h"
#include "sysfs.h"

#define MEMMAP "/sys/firmware/memmap"
#define DAX "/sys/bus/dax/devices"

/**
 * parse_iomem_line() - parse a line of /proc/iomem
 * @text: "  00001000-0009fbff : System RAM"
 * @line: the result
 *
 * Return: whether the text has that format.
 */
bool parse_iomem_line(const char *text, struct iomem_line *line)
{
	const char *number = text + strspn(text, " ");
	int name = 0;

	if (sscanf(number, "%" SCNx64 "-%" SCNx64 " : %n", &line->range.start, &line->range.end,
		   &name) != 2 || !name || line->range.end < line->range.start)
		return false;
	line->depth = (number - text) / 2;
	snprintf(line->name, sizeof(line->name), "%.*s", (int)strcspn(number + name, "\n"),
		 number + name);
	return true;
}

/*
 * Whether the firmware, or memmap=, withholds this memory from the kernel. The
 * module accepts regions in exactly these resources. "reserved", in lower case,
 * is not one of them: the parameter reserve= makes it, to keep memory for
 * devices.
 */
static bool is_reserved(const struct iomem_line *line)
{
	return !strcmp(line->name, "Reserved") || !strcmp(line->name, "Soft Reserved");
}

/**
 * iomem_subtract_claimed() - remove all that has an owner in /proc/iomem
 * @iomem: /proc/iomem
 * @unused: physical addresses in bytes
 *
 * A reserved resource does not count as an owner. But a region must not cross
 * its boundaries, so ranges are split there.
 *
 * Return: 0; -EPERM if the kernel hides the addresses from the caller; -EINVAL
 * if a line cannot be parsed.
 */
int iomem_subtract_claimed(FILE *iomem, struct ranges *unused)
{
	uint64_t *boundaries = NULL;
	struct iomem_line line;
	bool shown = false;
	size_t count = 0;
	char text[256];
	int ret = 0;
	size_t i;

	while (!ret && fgets(text, sizeof(text), iomem)) {
		if (!parse_iomem_line(text, &line)) {
			ret = -EINVAL;
		} else if (is_reserved(&line)) {
			boundaries = realloc_or_die(boundaries, count + 2, sizeof(*boundaries));
			boundaries[count++] = line.range.start;
			/* May wrap to 0, which ranges_split() ignores. */
			boundaries[count++] = line.range.end + 1;
		} else {
			ranges_subtract(unused, line.range);
		}
		shown = shown || line.range.end;
	}
	for (i = 0; i < count; i++)
		ranges_split(unused, boundaries[i]);
	free(boundaries);
	if (!ret && !shown)
		ret = -EPERM;
	return ret;
}

/**
 * dax_subtract() - remove the memory of dax devices
 * @unused: physical addresses in bytes
 *
 * A dax device without a driver has no line of its own in /proc/iomem. If a
 * region took its memory, no driver could be bound to the device any more.
 */
void dax_subtract(struct ranges *unused)
{
	struct dirent *entry;
	uint64_t start, size;
	DIR *dir;

	dir = sysroot_opendir(DAX);
	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.' &&
		    !sysfs_read_number(&start, 0, DAX "/%s/resource", entry->d_name) &&
		    !sysfs_read_number(&size, 0, DAX "/%s/size", entry->d_name) && size)
			ranges_subtract(unused, (struct range){ start, start + size - 1 });
	closedir(dir);
}

static int read_entry(const char *name, struct ranges *ram)
{
	struct range range;
	char type[64];
	int ret;

	ret = sysfs_read(type, sizeof(type), MEMMAP "/%s/type", name);
	if (!ret)
		ret = sysfs_read_number(&range.start, 0, MEMMAP "/%s/start", name);
	if (!ret)
		ret = sysfs_read_number(&range.end, 0, MEMMAP "/%s/end", name);
	if (!ret && !strcmp(type, "System RAM") && range.end >= range.start)
		ranges_add(ram, range);
	return ret;
}

/**
 * firmware_ram() - read which ranges the firmware reports as RAM
 * @ram: physical addresses in bytes
 *
 * Return: 0; -ENOENT if this kernel has no /sys/firmware/memmap; or another
 * negative errno.
 */
int firmware_ram(struct ranges *ram)
{
	struct dirent *entry;
	int ret = 0;
	DIR *dir;

	*ram = (struct ranges){ 0 };
	dir = sysroot_opendir(MEMMAP);
	if (!dir)
		return -errno;
	while (!ret && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			ret = read_entry(entry->d_name, ram);
	closedir(dir);
	if (ret)
		ranges_free(ram);
	return ret;
}

/**
 * whole_blocks() - trim a range to whole memory blocks
 * @range: physical addresses in bytes
 * @block_size: in bytes
 *
 * Return: the whole blocks; { 0, UINT64_MAX }, whose size is 0, if there are
 * none.
 */
struct range whole_blocks(struct range range, uint64_t block_size)
{
	static const struct range nothing = { 0, UINT64_MAX };
	uint64_t start, end;

	if (__builtin_add_overflow(range.start, block_size - 1, &start))
		return nothing;
	start -= start % block_size;
	/*
	 * Round down without computing the first address after the range: for a
	 * range that reaches the last address, that would be 2^64.
	 */
	end = range.end - (range.end % block_size);
	if (range.end % block_size == block_size - 1)
		end += block_size - 1;
	else if (end)
		end--;
	else
		return nothing;
	return start < end ? (struct range){ start, end } : nothing;
}
