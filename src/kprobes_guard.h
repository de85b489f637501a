/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Refusing online and offline while kprobes are disarmed
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_KPROBES_GUARD_H
#define _TWOSTAGE_KPROBES_GUARD_H

int kprobes_guard_init(void);
void kprobes_guard_exit(void);

#endif /* _TWOSTAGE_KPROBES_GUARD_H */
