/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Checks of the parameters of a new region: its range, its node
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_PARAMS_H
#define _TWOSTAGE_PARAMS_H

#include "twostage.h"

int params_check_range(const struct twostage_region_params *params);
int params_check_node(const struct twostage_region_params *params);
int params_check_overlap(const struct twostage_region_params *params);

#endif /* _TWOSTAGE_PARAMS_H */
