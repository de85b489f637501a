// SPDX-License-Identifier: GPL-2.0-only
/* mhp_init_memmap_on_memory() has a flag for memory that was not accessible when it was added. */
#include <linux/memory_hotplug.h>
int test(void);
#ifdef FEATURE
int test(void) { return mhp_init_memmap_on_memory(0, 0, NULL, false); }
#else
int test(void) { return mhp_init_memmap_on_memory(0, 0, NULL); }
#endif
