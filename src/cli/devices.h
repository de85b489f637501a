/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Devices in use that cannot reach all memory
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGE_DEVICES_H
#define TWOSTAGE_DEVICES_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct limited_device - a device in use that cannot reach all memory
 * @name: its driver and its PCI address
 * @last: the highest physical address that it can reach
 */
struct limited_device {
	char name[128];
	uint64_t last;
};

bool bounce_buffers_missing(bool *known);
bool find_limited_device(uint64_t last, struct limited_device *limited);

#endif /* TWOSTAGE_DEVICES_H */
