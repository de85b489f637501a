/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which granules of a virtio-mem device are plugged
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_GRANULES_H
#define _TWOSTAGE_GRANULES_H

#include <linux/types.h>

/**
 * enum granule_state - what is known about a granule, the unit in which the
 *	core assigns and unassigns memory
 * @GRANULE_UNPLUGGED: no part of it is plugged
 * @GRANULE_PLUGGED: all of it is plugged and assigned to the core
 * @GRANULE_LEFT: it is not assigned, but parts of it may be plugged, because an
 *	unplug request failed or a request was not answered
 */
enum granule_state {
	GRANULE_UNPLUGGED,
	GRANULE_PLUGGED,
	GRANULE_LEFT,
};

/**
 * struct granules - the granules of a device
 * @start: of the first one, in bytes
 * @size: of each, in bytes
 * @piece: the most bytes of a granule that one request covers
 * @count: number of granules
 * @states: the state of each, an &enum granule_state
 */
struct granules {
	u64 start;
	u64 size;
	u64 piece;
	unsigned long count;
	u8 *states;
};

/**
 * struct granule_requests - functions that send requests to a device
 * @state: return VIRTIO_MEM_STATE_* of a range, or a negative errno
 * @change: plug or unplug all of a range; return 0 or a negative errno
 */
struct granule_requests {
	int (*state)(void *device, u64 start, u64 size);
	int (*change)(void *device, bool plug, u64 start, u64 size);
};

bool granules_device_valid(u64 address, u64 size, u64 block_size);
bool granules_fit(struct granules *granules, u64 address, u64 size, u64 block_size, u64 unit);

u64 granule_start(const struct granules *granules, unsigned long number);
u8 *granule_at(const struct granules *granules, u64 start);
u64 granule_piece(const struct granules *granules, u64 done);
bool granules_any(const struct granules *granules, enum granule_state state);
u64 granules_in_use(const struct granules *granules);

int granule_plug(struct granules *granules, u64 start, const struct granule_requests *requests,
		 void *device, u64 *done);
int granule_unplug(struct granules *granules, u64 start, bool left,
		   const struct granule_requests *requests, void *device);

#endif /* _TWOSTAGE_GRANULES_H */
