// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which granules of a virtio-mem device are plugged
 *
 * The caller passes the functions that send requests to the device, so that
 * tests/unit/ can run this file in user space.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <linux/align.h>
#include <linux/limits.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/virtio_mem.h>

#include "granules.h"

/*
 * Limit for one request. A device may allocate and clear the memory before it
 * answers, and has to answer before the driver's timeout expires.
 */
#define REQUEST_SIZE SZ_64M

/**
 * granules_device_valid() - whether a device's configuration makes sense
 * @address: start of its memory in bytes
 * @size: size of its memory in bytes
 * @block_size: size of its blocks in bytes
 */
bool granules_device_valid(u64 address, u64 size, u64 block_size)
{
	return is_power_of_2(block_size) && block_size >= PAGE_SIZE &&
	       IS_ALIGNED(address, block_size) && IS_ALIGNED(size, block_size) && size &&
	       address + size >= address;
}

/**
 * granules_fit() - find the granules of a device
 * @granules: the result; @states is not changed
 * @address: start of the device's memory in bytes
 * @size: size of the device's memory in bytes
 * @block_size: size of the device's blocks, of which a granule has one or more
 * @unit: the granule's size is a multiple of this, too; a power of two
 *
 * Return: false if the device's memory contains no aligned granule.
 */
bool granules_fit(struct granules *granules, u64 address, u64 size, u64 block_size, u64 unit)
{
	u64 end;

	granules->size = max(block_size, unit);
	/* A request has a 16-bit count of device blocks. */
	granules->piece = min(max_t(u64, block_size, REQUEST_SIZE), U16_MAX * block_size);
	granules->start = ALIGN(address, granules->size);
	end = ALIGN_DOWN(address + size, granules->size);
	/* ALIGN() wraps to 0 if there is no aligned address after @address. */
	granules->count = granules->start >= address && granules->start < end ?
			  (end - granules->start) / granules->size : 0;
	return granules->count;
}

/**
 * granule_start() - where a granule begins
 * @granules: the granules
 * @number: from 0
 */
u64 granule_start(const struct granules *granules, unsigned long number)
{
	return granules->start + number * granules->size;
}

/**
 * granule_at() - the state of a granule
 * @granules: the granules
 * @start: physical address in the granule
 */
u8 *granule_at(const struct granules *granules, u64 start)
{
	return &granules->states[(start - granules->start) / granules->size];
}

/**
 * granule_piece() - number of bytes of a granule that the next request covers
 * @granules: the granules
 * @done: number of bytes that the previous requests have covered
 *
 * All requests divide a granule into the same pieces, so that each piece is
 * either plugged or unplugged. A device rejects a plug or unplug of a range
 * that is plugged in part.
 */
u64 granule_piece(const struct granules *granules, u64 done)
{
	return min(granules->piece, granules->size - done);
}

/**
 * granules_any() - whether any granule has a state
 * @granules: the granules
 * @state: the state
 */
bool granules_any(const struct granules *granules, enum granule_state state)
{
	return memchr(granules->states, state, granules->count);
}

/**
 * granules_in_use() - how many bytes are plugged, or may be
 * @granules: the granules
 */
u64 granules_in_use(const struct granules *granules)
{
	unsigned long i;
	u64 bytes = 0;

	for (i = 0; i < granules->count; i++)
		bytes += granules->states[i] == GRANULE_UNPLUGGED ? 0 : granules->size;
	return bytes;
}

/*
 * Plug or unplug a granule, in as many requests as needed. If @left, parts of
 * the granule may be plugged: ask for the state of each piece first, and skip
 * the pieces that have the wanted state.
 *
 * Returns 0 or the first error; @done is the number of bytes that have the
 * wanted state by then.
 */
static int change(const struct granules *granules, u64 start, bool plug, bool left,
		  const struct granule_requests *requests, void *device, u64 *done)
{
	const int wanted = plug ? VIRTIO_MEM_STATE_PLUGGED : VIRTIO_MEM_STATE_UNPLUGGED;
	u64 length;
	int ret;

	for (*done = 0; *done < granules->size; *done += length) {
		length = granule_piece(granules, *done);
		if (left) {
			ret = requests->state(device, start + *done, length);
			if (ret == wanted)
				continue;
			if (ret < 0)
				return ret;
		}
		ret = requests->change(device, plug, start + *done, length);
		if (ret)
			return ret;
	}
	return 0;
}

/**
 * granule_plug() - plug a granule
 * @granules: the granules
 * @start: of the granule, in bytes
 * @requests: how to reach the device
 * @device: for @requests
 * @done: how many bytes are plugged afterwards
 *
 * The state of the granule changes only if all of it is plugged. After an error
 * the caller unplugs the granule if a part of it may be plugged.
 *
 * Return: 0 or the first error.
 */
int granule_plug(struct granules *granules, u64 start, const struct granule_requests *requests,
		 void *device, u64 *done)
{
	u8 *state = granule_at(granules, start);
	int ret;

	ret = change(granules, start, true, *state == GRANULE_LEFT, requests, device, done);
	if (!ret)
		*state = GRANULE_PLUGGED;
	return ret;
}

/**
 * granule_unplug() - unplug a granule, of which no part is in use
 * @granules: the granules
 * @start: of the granule, in bytes
 * @left: parts of it may be unplugged already; the device is asked for each
 * @requests: how to reach the device
 * @device: for @requests
 *
 * After an error the state is GRANULE_LEFT: parts of it may be plugged.
 *
 * Return: 0 or the first error.
 */
int granule_unplug(struct granules *granules, u64 start, bool left,
		   const struct granule_requests *requests, void *device)
{
	u64 done;
	int ret;

	ret = change(granules, start, false, left, requests, device, &done);
	*granule_at(granules, start) = ret ? GRANULE_LEFT : GRANULE_UNPLUGGED;
	return ret;
}
