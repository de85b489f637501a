// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests an address range, as a driver does for the registers of its device
 *
 * Parameters: start and size, in bytes
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <linux/ioport.h>
#include <linux/module.h>

static unsigned long start;
module_param(start, ulong, 0400);
static unsigned long size;
module_param(size, ulong, 0400);

static int __init claim_test_init(void)
{
	return request_mem_region(start, size, KBUILD_MODNAME) ? 0 : -EBUSY;
}

static void __exit claim_test_exit(void)
{
	release_mem_region(start, size);
}

module_init(claim_test_init);
module_exit(claim_test_exit);

MODULE_DESCRIPTION("Requests an address range, for tests of twostage");
MODULE_LICENSE("GPL");
