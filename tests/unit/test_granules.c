// SPDX-License-Identifier: GPL-2.0-only
/*
 * granules.c: which granules of a virtio-mem device are plugged
 *
 * The device is an array of device blocks. It rejects what a device of the
 * specification rejects, and what the driver must not ask for.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <linux/virtio_mem.h>

#include "stubs.h"

#include "granules.h"
#include "unit.h"

#define BLOCK 0x8000000ULL
#define DEVICE_BLOCK 0x200000ULL
#define ADDRESS 0x100000000ULL
#define SIZE (4 * BLOCK)

static struct {
	bool plugged[SIZE / DEVICE_BLOCK];
	/* Requests so far, and which of them fails with an error; 0: none */
	unsigned int asked, fails, changes;
	int error;
	/* A request that was not as it has to be */
	bool confused;
} device;

static int answer(void)
{
	return ++device.asked == device.fails ? device.error : 0;
}

static int device_state(void *context, u64 start, u64 size)
{
	const unsigned long first = (start - ADDRESS) / DEVICE_BLOCK, count = size / DEVICE_BLOCK;
	unsigned long i, plugged = 0;
	int ret = answer();

	device.confused |= context != &device;
	if (ret)
		return ret;
	for (i = first; i < first + count; i++)
		plugged += device.plugged[i];
	return plugged == count ? VIRTIO_MEM_STATE_PLUGGED :
	       plugged		? VIRTIO_MEM_STATE_MIXED :
				  VIRTIO_MEM_STATE_UNPLUGGED;
}

static int device_change(void *context, bool plug, u64 start, u64 size)
{
	const unsigned long first = (start - ADDRESS) / DEVICE_BLOCK, count = size / DEVICE_BLOCK;
	unsigned long i;
	int ret = answer();

	device.confused |= context != &device || !count || count > 0xffff || start < ADDRESS ||
			   start + size > ADDRESS + SIZE || size > 0x4000000;
	if (ret)
		return ret;
	device.changes++;
	for (i = first; i < first + count; i++)
		if (device.plugged[i] == plug)
			return -EIO;
	for (i = first; i < first + count; i++)
		device.plugged[i] = plug;
	return 0;
}

static const struct granule_requests requests = {
	.state = device_state,
	.change = device_change,
};

static u8 states[4];
static struct granules granules;

static void reset(void)
{
	memset(&device, 0, sizeof(device));
	memset(states, GRANULE_UNPLUGGED, sizeof(states));
	memset(&granules, 0, sizeof(granules));
	granules_fit(&granules, ADDRESS, SIZE, DEVICE_BLOCK, BLOCK);
	granules.states = states;
}

/* Makes the nth request from now on fail. */
static void fail(unsigned int nth, int error)
{
	device.asked = 0;
	device.fails = nth;
	device.error = error;
}

static u64 plugged(void)
{
	unsigned long i, count = 0;

	for (i = 0; i < SIZE / DEVICE_BLOCK; i++)
		count += device.plugged[i];
	return count * DEVICE_BLOCK;
}

static int plug(u64 start, u64 *done)
{
	return granule_plug(&granules, start, &requests, &device, done);
}

static int unplug(u64 start, bool left)
{
	return granule_unplug(&granules, start, left, &requests, &device);
}

static void test_devices(void)
{
	bool passed;

	ok(holds(granules_device_valid(ADDRESS, SIZE, DEVICE_BLOCK)) &
		   holds(granules_device_valid(0, 4096, 4096)) &
		   holds(granules_device_valid(ADDRESS, 2 * BLOCK, 2 * BLOCK)),
	   "a device of whole device blocks is valid");
	passed = holds(!granules_device_valid(ADDRESS, SIZE, 0)) &
		 holds(!granules_device_valid(ADDRESS, SIZE, 2048)) &
		 holds(!granules_device_valid(0, 0x1000000, 0x300000)) &
		 holds(!granules_device_valid(ADDRESS + 4096, SIZE, DEVICE_BLOCK)) &
		 holds(!granules_device_valid(ADDRESS, SIZE + 4096, DEVICE_BLOCK)) &
		 holds(!granules_device_valid(ADDRESS, 0, DEVICE_BLOCK)) &
		 holds(!granules_device_valid(-DEVICE_BLOCK, 2 * DEVICE_BLOCK, DEVICE_BLOCK));
	ok(passed,
	   "a device with a bad block size, unaligned, empty or beyond the last address is not valid");
}

/* Whether the granules of a device are as many as expected, from @start on */
static bool fit(u64 address, u64 size, u64 block_size, u64 start, unsigned long count)
{
	struct granules fitted = {0};
	const bool any = granules_fit(&fitted, address, size, block_size, BLOCK);

	return holds(any == !!count) & same(fitted.count, count) &
	       (!count || same(fitted.start, start));
}

static void test_fit(void)
{
	bool passed;

	ok(fit(ADDRESS, SIZE, DEVICE_BLOCK, ADDRESS, 4),
	   "a device of whole memory blocks is all granules");
	passed = fit(ADDRESS + DEVICE_BLOCK, SIZE, DEVICE_BLOCK, ADDRESS + BLOCK, 3);
	passed &= fit(ADDRESS, SIZE - DEVICE_BLOCK, DEVICE_BLOCK, ADDRESS, 3);
	passed &= fit(ADDRESS - DEVICE_BLOCK, BLOCK + 2 * DEVICE_BLOCK, DEVICE_BLOCK, ADDRESS, 1);
	ok(passed, "granules are the aligned memory blocks that are inside of a device");
	passed = fit(ADDRESS, SIZE, 2 * BLOCK, ADDRESS, 2);
	passed &= fit(ADDRESS + BLOCK, 3 * BLOCK, BLOCK, ADDRESS + BLOCK, 3);
	ok(passed, "a device block that is larger than a memory block is a granule");
	passed = fit(ADDRESS, BLOCK - DEVICE_BLOCK, DEVICE_BLOCK, 0, 0);
	passed &= fit(ADDRESS + DEVICE_BLOCK, 2 * BLOCK - 2 * DEVICE_BLOCK, DEVICE_BLOCK, 0, 0);
	passed &= fit(ADDRESS + DEVICE_BLOCK, DEVICE_BLOCK, DEVICE_BLOCK, 0, 0);
	ok(passed, "a device without an aligned memory block has no granule");
	ok(fit(-BLOCK + DEVICE_BLOCK, DEVICE_BLOCK, DEVICE_BLOCK, 0, 0),
	   "a device within the last memory block of all has no granule");
}

/* Whether requests cover a granule, and are no larger than allowed */
static bool covered(u64 block_size, u64 unit, u64 piece)
{
	struct granules fitted = {0};
	u64 done = 0, length;

	granules_fit(&fitted, 0, 1ULL << 40, block_size, unit);
	while (done < fitted.size) {
		length = granule_piece(&fitted, done);
		if (!holds(length && length <= piece && length % block_size == 0 &&
			   length / block_size <= 0xffff))
			return false;
		done += length;
	}
	return same(done, fitted.size) & same(granule_piece(&fitted, 0), piece);
}

static void test_pieces(void)
{
	bool passed;

	passed = covered(DEVICE_BLOCK, BLOCK, 0x4000000);
	ok(passed, "a request is about 64 MiB");
	passed = covered(DEVICE_BLOCK, 0x1000000, 0x1000000);
	ok(passed, "a request is about no more than a granule");
	passed = covered(0x20000000, BLOCK, 0x20000000);
	ok(passed, "a request is about no less than a device block");
	passed = covered(PAGE_SIZE, 0x80000000, 0x4000000);
	passed &= covered(512, BLOCK, 0xffff * 512);
	ok(passed, "a request is about no more device blocks than 16 bits can count");
}

static void test_plug(void)
{
	u64 done;
	bool passed;

	reset();
	passed = same(plug(ADDRESS + BLOCK, &done), 0) & same(done, BLOCK);
	passed &= same(granules_in_use(&granules), BLOCK) & same(plugged(), BLOCK);
	passed &= same(states[0], GRANULE_UNPLUGGED) & same(states[1], GRANULE_PLUGGED);
	passed &= holds(device.plugged[BLOCK / DEVICE_BLOCK]);
	ok(passed & same(device.asked, 2), "a granule is plugged without asking for its state");
	ok(holds(granules_any(&granules, GRANULE_PLUGGED)) &
		   holds(!granules_any(&granules, GRANULE_LEFT)),
	   "a granule that is plugged counts as plugged");

	passed = same(unplug(ADDRESS + BLOCK, false), 0) & same(plugged(), 0) &
		 same(granules_in_use(&granules), 0) &
		 holds(!granules_any(&granules, GRANULE_PLUGGED));
	ok(passed, "a granule that is unplugged does not count as plugged");
	ok(holds(!device.confused), "requests are for device blocks of the device");
}

static void test_refused_plug(void)
{
	u64 done;
	bool passed;

	reset();
	fail(1, -ENOSPC);
	passed = same(plug(ADDRESS, &done), -ENOSPC) & same(done, 0) &
		 same(states[0], GRANULE_UNPLUGGED);
	ok(passed & same(device.asked, 1), "a granule whose plug is refused stays unplugged");

	reset();
	fail(2, -ENOSPC);
	passed = same(plug(ADDRESS, &done), -ENOSPC) & same(done, BLOCK / 2) &
		 same(plugged(), BLOCK / 2);
	ok(passed & same(states[0], GRANULE_UNPLUGGED),
	   "after a plug that is refused in the middle, the size that is plugged is known");
	passed = same(unplug(ADDRESS, true), 0) & same(plugged(), 0) &
		 same(states[0], GRANULE_UNPLUGGED);
	ok(passed, "a granule that is plugged in part is unplugged");
}

static void test_refused_unplug(void)
{
	unsigned int nth;
	u64 done;
	bool passed = true;

	for (nth = 1; nth <= 2; nth++) {
		reset();
		plug(ADDRESS + 2 * BLOCK, &done);
		fail(nth, -EBUSY);
		passed &= same(unplug(ADDRESS + 2 * BLOCK, false), -EBUSY) &
			  same(states[2], GRANULE_LEFT);
		passed &= same(granules_in_use(&granules), BLOCK) &
			  holds(!granules_any(&granules, GRANULE_PLUGGED));
	}
	ok(passed, "a granule whose unplug is refused is left, and counts as in use");

	/* Its first half has been unplugged. */
	fail(0, 0);
	device.changes = 0;
	passed = same(unplug(ADDRESS + 2 * BLOCK, true), 0) & same(states[2], GRANULE_UNPLUGGED);
	ok(passed & same(plugged(), 0) & same(device.changes, 1),
	   "only those pieces of a granule are unplugged that are plugged");

	for (nth = 1, passed = true; nth <= 3; nth++) {
		reset();
		plug(ADDRESS, &done);
		states[0] = GRANULE_LEFT;
		fail(nth, -ETIMEDOUT);
		passed &= same(unplug(ADDRESS, true), -ETIMEDOUT) & same(states[0], GRANULE_LEFT);
	}
	ok(passed, "a granule that was left stays left if a request fails");
}

static void test_plug_of_left(void)
{
	unsigned int half;
	u64 done;
	bool passed = true;

	/* Neither half is plugged, the first, the second, both */
	for (half = 0; half < 4; half++) {
		reset();
		memset(device.plugged, half & 1, BLOCK / 2 / DEVICE_BLOCK);
		memset(device.plugged + BLOCK / 2 / DEVICE_BLOCK, half >> 1,
		       BLOCK / 2 / DEVICE_BLOCK);
		states[0] = GRANULE_LEFT;
		passed &= same(plug(ADDRESS, &done), 0) & same(plugged(), BLOCK) &
			  same(states[0], GRANULE_PLUGGED);
		passed &= same(device.changes, 2 - (half & 1) - (half >> 1)) & same(done, BLOCK);
	}
	ok(passed, "those pieces of a left granule are plugged that are not");

	reset();
	device.plugged[0] = true;
	states[0] = GRANULE_LEFT;
	passed = same(plug(ADDRESS, &done), -EIO) & same(states[0], GRANULE_LEFT) & same(done, 0);
	ok(passed, "a granule with a piece that is plugged in part stays left, with the error");

	reset();
	states[0] = GRANULE_LEFT;
	fail(3, -ENODEV);
	passed = same(plug(ADDRESS, &done), -ENODEV) & same(done, BLOCK / 2) &
		 same(states[0], GRANULE_LEFT);
	ok(passed, "a left granule for whose state the device cannot be asked stays left");
	ok(holds(!device.confused),
	   "requests for left granules are for device blocks of the device");
}

static void test_numbers(void)
{
	bool passed = true;
	unsigned long i;

	reset();
	for (i = 0; i < granules.count; i++) {
		passed &= same(granule_start(&granules, i), ADDRESS + i * BLOCK);
		passed &= holds(granule_at(&granules, ADDRESS + i * BLOCK) == &states[i]);
		passed &= holds(granule_at(&granules, ADDRESS + (i + 1) * BLOCK - 1) == &states[i]);
	}
	ok(passed, "each address of a granule finds its state");
	states[0] = GRANULE_LEFT;
	states[3] = GRANULE_PLUGGED;
	ok(holds(granules_any(&granules, GRANULE_PLUGGED)) &
		   holds(granules_any(&granules, GRANULE_LEFT)) &
		   same(granules_in_use(&granules), 2 * BLOCK),
	   "the first and the last granule are counted");
}

void test_granules(void)
{
	test_devices();
	test_fit();
	test_pieces();
	test_numbers();
	test_plug();
	test_refused_plug();
	test_refused_unplug();
	test_plug_of_left();
}
