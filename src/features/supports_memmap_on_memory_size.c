// SPDX-License-Identifier: GPL-2.0-only
/* mhp_supports_memmap_on_memory() depends on the size of what is added. */
#include <linux/memory_hotplug.h>
bool test(void);
#ifdef FEATURE
bool test(void) { return mhp_supports_memmap_on_memory(0UL); }
#else
bool test(void) { return mhp_supports_memmap_on_memory(); }
#endif
