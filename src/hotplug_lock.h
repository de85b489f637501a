/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * device_hotplug_lock, and tasks inside of wrappers
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_HOTPLUG_LOCK_H
#define _TWOSTAGE_HOTPLUG_LOCK_H

#include <linux/types.h>

void hotplug_lock(void);
bool hotplug_trylock(void);
int hotplug_lock_timeout(unsigned int seconds);
void hotplug_unlock(void);
bool hotplug_lock_is_own(void);
void recalc_sigpending_current(void);

void hotplug_section_begin(void);
int hotplug_section_trybegin(void);
void hotplug_section_end(void);
bool in_hotplug_section(void);

void wrapper_enter(void);
void wrapper_leave(void);
void wrappers_wait(void);

#endif /* _TWOSTAGE_HOTPLUG_LOCK_H */
