/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ram provider
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_PROVIDERS_RAM_H
#define _TWOSTAGE_PROVIDERS_RAM_H

#include "twostage.h"

void ram_region_params(struct twostage_region_params *params);

#endif /* _TWOSTAGE_PROVIDERS_RAM_H */
