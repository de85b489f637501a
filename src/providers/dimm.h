/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The dimm provider: memory that the ACPI memory driver adds
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_PROVIDERS_DIMM_H
#define _TWOSTAGE_PROVIDERS_DIMM_H

#include <linux/types.h>

int dimm_init(void);
void dimm_exit(void);

bool dimm_adopting(void);
void dimm_adopt(bool on);

#endif /* _TWOSTAGE_PROVIDERS_DIMM_H */
