// SPDX-License-Identifier: GPL-2.0-only
/* A "hmem" platform device has its range in its platform data, and no resource. */
#include <linux/memregion.h>
u64 test(struct memregion_info *info);
#ifdef FEATURE
u64 test(struct memregion_info *info) { return info->range.start; }
#else
u64 test(struct memregion_info *info) { return info->target_node; }
#endif
