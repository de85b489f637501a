// SPDX-License-Identifier: GPL-2.0-only
/*
 * Functions of the kernel that the files under test call, for user space
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <limits.h>
#include <stdlib.h>

#include "stubs.h"

char logged[512];
u64 memory_block_size, last_mappable;
int firmware_node;
struct resource iomem_resource;
unsigned int xarray_entries, xarray_room;

int kstrtou64(const char *text, unsigned int base, u64 *value)
{
	char *end;

	text += text[0] == '+';
	/* strtoull() also takes blanks and a minus. */
	if (!isdigit(text[0]))
		return -EINVAL;
	errno = 0;
	*value = strtoull(text, &end, base);
	if (errno)
		return -errno;
	return *end && strcmp(end, "\n") ? -EINVAL : 0;
}

int kstrtoint(const char *text, unsigned int base, int *value)
{
	u64 number;
	int ret = kstrtou64(text, base, &number);

	if (ret)
		return ret;
	if (number > INT_MAX)
		return -ERANGE;
	*value = number;
	return 0;
}

/* The place of the first entry from an index on */
static unsigned int place_of(const struct xarray *xarray, unsigned long index)
{
	unsigned int place = 0;

	while (place < xarray->count && xarray->entries[place].index < index)
		place++;
	return place;
}

void *xa_load(struct xarray *xarray, unsigned long index)
{
	return xa_find(xarray, &index, index, XA_PRESENT);
}

void *xa_find(struct xarray *xarray, unsigned long *index, unsigned long max, int mark)
{
	const unsigned int place = place_of(xarray, *index);

	(void)mark;
	if (place == xarray->count || xarray->entries[place].index > max)
		return NULL;
	*index = xarray->entries[place].index;
	return xarray->entries[place].value;
}

int xa_insert(struct xarray *xarray, unsigned long index, void *value, int flags)
{
	const unsigned int place = place_of(xarray, index);

	(void)flags;
	if (xa_load(xarray, index))
		return -EBUSY;
	if (!xarray_room || xarray->count == ARRAY_SIZE(xarray->entries))
		return -ENOMEM;
	memmove(&xarray->entries[place + 1], &xarray->entries[place],
		(xarray->count - place) * sizeof(xarray->entries[0]));
	xarray->entries[place] = (struct xarray_entry){ index, value };
	xarray->count++;
	xarray_entries++;
	xarray_room--;
	return 0;
}

void xa_erase(struct xarray *xarray, unsigned long index)
{
	const unsigned int place = place_of(xarray, index);

	if (!xa_load(xarray, index))
		return;
	xarray->count--;
	xarray_entries--;
	xarray_room++;
	memmove(&xarray->entries[place], &xarray->entries[place + 1],
		(xarray->count - place) * sizeof(xarray->entries[0]));
}

void xa_destroy(struct xarray *xarray)
{
	xarray_entries -= xarray->count;
	xarray_room += xarray->count;
	xarray->count = 0;
}
