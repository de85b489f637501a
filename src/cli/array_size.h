/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGE_ARRAY_SIZE_H
#define TWOSTAGE_ARRAY_SIZE_H

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#endif /* TWOSTAGE_ARRAY_SIZE_H */
