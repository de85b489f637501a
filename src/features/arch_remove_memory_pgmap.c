// SPDX-License-Identifier: GPL-2.0-only
/* arch_remove_memory() has a dev_pagemap argument. */
#include <linux/memory_hotplug.h>
void test(void);
#ifdef FEATURE
void test(void) { arch_remove_memory(0, 0, NULL, (struct dev_pagemap *)NULL); }
#else
void test(void) { arch_remove_memory(0, 0, NULL); }
#endif
