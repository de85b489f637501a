// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices on the virtio bus
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

/* Their PCI class */
#define SHARED_MEMORY 0x0500
#define DEVICES "/sys/bus/virtio/devices"
#define DRIVERS "/sys/bus/virtio/drivers"

/* Whether each PCI device of virtio's vendor has its device on the virtio bus */
static bool all_on_the_bus(void)
{
	bool all = true;
	glob_t devices;
	size_t i;

	if (glob("/sys/bus/pci/devices/*", 0, NULL, &devices))
		return true;
	for (i = 0; i < devices.gl_pathc; i++)
		if (!strcmp(read_file("%s/vendor", devices.gl_pathv[i]), "0x1af4") &&
		    read_number("%s/class", devices.gl_pathv[i]) >> 8 != SHARED_MEMORY)
			all &= exists("%s/driver", devices.gl_pathv[i]);
	globfree(&devices);
	return all;
}

void virtio_bus(void)
{
	if (architecture.virtio_bus)
		module_load_system(architecture.virtio_bus, NULL);
	if (!wait_until(all_on_the_bus(), 30))
		ok(false, "the driver of the virtio bus takes each virtio device");
}

const char *virtio_device(int id, int n)
{
	static char name[32];
	int i;

	for (i = 0; i < 32; i++) {
		snprintf(name, sizeof(name), "virtio%d", i);
		if (exists(DEVICES "/%s", name) &&
		    strtol(read_file(DEVICES "/%s/device", name), NULL, 16) == id && n-- == 0)
			return name;
	}
	return "";
}

const char *virtio_driver(const char *device)
{
	static char path[PATH_MAX];
	char link[128];
	ssize_t length;

	snprintf(link, sizeof(link), DEVICES "/%s/driver", device);
	length = readlink(link, path, sizeof(path) - 1);
	path[length > 0 ? length : 0] = '\0';
	return strrchr(path, '/') ? strrchr(path, '/') + 1 : "";
}

int virtio_bind(const char *device, const char *driver)
{
	return write_file(device, DRIVERS "/%s/bind", driver);
}

int virtio_unbind(const char *device)
{
	return write_file(device, DRIVERS "/%s/unbind", virtio_driver(device));
}

/* The device on its bus that was removed last */
static char removed[PATH_MAX];

int virtio_remove(const char *device)
{
	char link[128];

	snprintf(link, sizeof(link), DEVICES "/%s/..", device);
	if (!realpath(link, removed))
		return -ENOENT;
	/* A channel device stays, but without a driver. */
	return exists("%s/remove", removed) ? write_file("1", "%s/remove", removed) :
					      write_file("0", "%s/online", removed);
}

int virtio_find_again(void)
{
	return exists("%s/online", removed) ? write_file("1", "%s/online", removed) :
					      write_file("1", "/sys/bus/pci/rescan");
}
