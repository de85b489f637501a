// SPDX-License-Identifier: GPL-2.0-only
/* move_pfn_range_to_zone() has an isolate_pageblock argument. */
#include <linux/memory_hotplug.h>
void test(void);
#ifdef FEATURE
void test(void) { move_pfn_range_to_zone(NULL, 0, 0, NULL, 0, true); }
#else
void test(void) { move_pfn_range_to_zone(NULL, 0, 0, NULL, 0); }
#endif
