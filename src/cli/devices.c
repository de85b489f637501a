// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices in use that cannot reach all memory
 *
 * The module checks the same in the kernel (src/dma.c) when a region is added.
 * This check needs only sysfs, so it works before the module is loaded.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "devices.h"
#include "sysfs.h"

#define PCI_DEVICES "/sys/bus/pci/devices"
/* Every kernel that supports bounce buffers has this directory. */
#define SWIOTLB "/sys/kernel/debug/swiotlb"

/* From linux/pci_ids.h and linux/pci_regs.h */
#define BASE_CLASS_BRIDGE 0x06
#define COMMAND 4
#define COMMAND_MASTER 0x4

/* A driver that does DMA sets this bit in the command register. */
static bool is_bus_master(const char *device)
{
	unsigned char config[COMMAND + 1];
	char path[PATH_MAX];
	bool complete;
	FILE *file;

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/config", device);
	file = sysroot_fopen(path);
	if (!file)
		return false;
	complete = fread(config, sizeof(config), 1, file) == 1;
	fclose(file);
	return complete && config[COMMAND] & COMMAND_MASTER;
}

/* False if the device has no driver */
static bool driver_of(const char *device, char *driver, size_t size)
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *name;
	ssize_t length;

	snprintf(path, sizeof(path), "%s" PCI_DEVICES "/%s/driver", sysroot(), device);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return false;
	target[length] = '\0';
	name = strrchr(target, '/');
	snprintf(driver, size, "%.*s", (int)size - 1, name ? name + 1 : target);
	return true;
}

/* Whether an IOMMU translates for the device; type "identity" does not. */
static bool has_iommu(const char *device)
{
	char type[16];

	return !sysfs_read(type, sizeof(type), PCI_DEVICES "/%s/iommu_group/type", device) &&
	       !strncmp(type, "DMA", 3);
}

static bool is_limited(const char *device, uint64_t last, struct limited_device *limited)
{
	uint64_t class, bits;
	char driver[64];

	if (sysfs_read_number(&class, 0, PCI_DEVICES "/%s/class", device) ||
	    sysfs_read_number(&bits, 10, PCI_DEVICES "/%s/dma_mask_bits", device) ||
	    class >> 16 == BASE_CLASS_BRIDGE || !bits || bits >= 64 ||
	    last >> bits == 0 || !driver_of(device, driver, sizeof(driver)) ||
	    !is_bus_master(device) || has_iommu(device))
		return false;
	snprintf(limited->name, sizeof(limited->name), "%s %.32s", driver, device);
	limited->last = (UINT64_C(1) << bits) - 1;
	return true;
}

/**
 * bounce_buffers_missing() - whether the kernel has no bounce buffers (SWIOTLB)
 * @known: set to false if debugfs does not tell, for example because it is not
 *	mounted
 */
bool bounce_buffers_missing(bool *known)
{
	*known = sysfs_exists(SWIOTLB);
	return !sysfs_exists(SWIOTLB "/io_tlb_nslabs");
}

/**
 * find_limited_device() - find a PCI device in use that cannot reach an address
 * @last: physical address in bytes
 * @limited: the device, if one is found
 *
 * Bounce buffers are not taken into account.
 *
 * Return: whether there is such a device.
 */
bool find_limited_device(uint64_t last, struct limited_device *limited)
{
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	dir = sysroot_opendir(PCI_DEVICES);
	if (!dir)
		return false;
	while (!found && (entry = readdir(dir)))
		found = entry->d_name[0] != '.' && is_limited(entry->d_name, last, limited);
	closedir(dir);
	return found;
}
