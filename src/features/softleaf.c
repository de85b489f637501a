// SPDX-License-Identifier: GPL-2.0-only
/* What page tables have instead of a page is told by softleaf_...() */
#include <linux/leafops.h>
bool test(pte_t pte);
bool test(pte_t pte) { return softleaf_is_hwpoison(softleaf_from_pte(pte)); }
