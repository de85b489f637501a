// SPDX-License-Identifier: GPL-2.0-only
/*
 * What differs between architectures, and what Debian's kernels for them have
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <unistd.h>

#include "harness.h"

const struct architecture architecture = {
#if defined(__aarch64__)
	.console = "/dev/ttyAMA0",
	.ram_start = GIB,
	/* QEMU has the configuration space of PCI devices at 256 GiB. */
	.nowhere = 1024 * GIB,
	/*
	 * Without a BIOS that has them assigned, the kernel names it after the
	 * host bridge. (Its other window, below RAM, is not always in reach of
	 * the direct map.)
	 */
	.devices_start = 0x8000000000,
	.devices_name = "overlaps pcie@10000000 [",
	.no_memory = "block at 0x1000000000: the firmware",
	.numa = true,
	.shows_added_pages = true,
	.virtio_bus = "virtio_pci",
	.virtio_mem = "virtio-mem-pci",
	.virtio_slot = ",bus=plug",
	.kernel_has_virtio_mem = true,
#elif defined(__s390x__)
	.console = "/dev/ttysclp0",
	/* The kernel addresses 512 GiB. */
	.nowhere = 128 * GIB,
	.no_memory = "no memory at 0x1000000000",
	.virtio_mem = "virtio-mem-ccw",
	.virtio_slot = "",
#else
	.console = "/dev/ttyS0",
	.nowhere = 128 * GIB,
	.no_memory = "no memory at 0x1000000000",
	.devices_start = 0xe8000000,
	.devices_name = "overlaps PCI Bus 0000:00 [",
	.numa = true,
	.dimms = true,
	.shows_added_pages = true,
	.firmware_memmap = true,
	.virtio_bus = "virtio_pci",
	.virtio_mem = "virtio-mem-pci",
	.virtio_slot = ",node=0",
	.kernel_has_virtio_mem = true,
#endif
};

long page_size;

void architecture_init(void)
{
	page_size = sysconf(_SC_PAGESIZE);
}

bool has_kallsyms_all(void)
{
#if defined(__aarch64__) || defined(__s390x__)
	return !kernel_before(6, 2);
#else
	return true;
#endif
}

const char *devices_name(void)
{
	if (!has_kallsyms_all())
		return "overlaps a device's memory or another driver's [";
	/* By ACPI the window has this name on each architecture. */
	return exists("/sys/firmware/acpi") ? "overlaps PCI Bus 0000:00 [" :
					      architecture.devices_name;
}

uint64_t memmap_size(uint64_t size)
{
	return size / page_size * 64;
}

/*
 * A memmap in its block is mapped by whole PMDs, of which the block's has to be
 * a multiple: not with pages of 16 KiB (a PMD of 32 MiB). On s390 the kernel
 * can do it from 6.8 on.
 */
bool memmap_fits_block(void)
{
#if defined(__s390x__)
	if (kernel_before(6, 8))
		return false;
#endif
	return memmap_size(block_size) % (page_size / 8 * page_size) == 0;
}

uint64_t usable_size(uint64_t size)
{
	return memmap_fits_block() ? size - memmap_size(size) : size;
}
