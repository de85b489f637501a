/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * RAM as the firmware's device tree has it
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGE_DEVICE_TREE_H
#define TWOSTAGE_DEVICE_TREE_H

#include "ranges.h"

int device_tree_ram(struct ranges *ram);

#endif /* TWOSTAGE_DEVICE_TREE_H */
