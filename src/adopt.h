/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Taking over memory that the ACPI memory driver adds
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_ADOPT_H
#define _TWOSTAGE_ADOPT_H

#include <linux/types.h>

struct seq_file;

int adopt_init(void);
void adopt_exit(void);
void adopt_show_hooks(struct seq_file *m);

bool adopt_enabled(void);
void adopt_enable(bool on);

#endif /* _TWOSTAGE_ADOPT_H */
