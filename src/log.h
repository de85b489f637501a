/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Text from user space in log messages
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_LOG_H
#define _TWOSTAGE_LOG_H

#include <linux/minmax.h>
#include <linux/string.h>

/*
 * For printk(), with ESCAPED in its format: text that user space has written.
 * A terminal that shows the log would obey control characters in it. 64
 * characters are enough to recognise what was written.
 */
#define ESCAPED "%*pE"
#define escaped(text) (int)min_t(size_t, strlen(text), 64), (text)

#endif /* _TWOSTAGE_LOG_H */
