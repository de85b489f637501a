/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Log messages about single blocks, limited in number
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_REPORT_H
#define _TWOSTAGE_REPORT_H

#include "region_table.h"

void report_init(struct twostage_region *region);
void report_exit(struct twostage_region *region);
void report_forget(struct twostage_region *region);
void report_online(struct twostage_region *region);

#endif /* _TWOSTAGE_REPORT_H */
