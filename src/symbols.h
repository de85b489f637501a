/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Addresses of the kernel's symbols that are not exported
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_SYMBOLS_H
#define _TWOSTAGE_SYMBOLS_H

int symbols_init(void);
unsigned long symbol_address(const char *name);

#endif /* _TWOSTAGE_SYMBOLS_H */
