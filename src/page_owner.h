/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Readers of debugfs page_owner
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_PAGE_OWNER_H
#define _TWOSTAGE_PAGE_OWNER_H

#ifdef CONFIG_PAGE_OWNER
int page_owner_init(void);
void page_owner_exit(void);
#else
static inline int page_owner_init(void)
{
	return 0;
}

static inline void page_owner_exit(void)
{
}
#endif

#endif /* _TWOSTAGE_PAGE_OWNER_H */
