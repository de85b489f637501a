/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Standby blocks that come online instead of an OOM kill
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_OOM_H
#define _TWOSTAGE_OOM_H

#include <linux/types.h>

struct twostage_region;

int oom_init(void);
void oom_exit(void);
void oom_default(bool on);
int oom_set(struct twostage_region *region, bool on);

#endif /* _TWOSTAGE_OOM_H */
