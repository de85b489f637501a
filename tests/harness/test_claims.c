// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reserved ranges that contain ranges of devices or drivers
 *
 * The scenario has a reserved range over a PCI host bridge's window, in which
 * there is a device with a BAR of 4 GiB, and a soft reserved range, of which
 * the kernel makes a dax device. The tests do not access these addresses:
 * behind the soft reserved range there is no memory.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

#define PCI "/sys/bus/pci/devices"
#define DAX "/sys/bus/dax"
#define AUTO_ONLINE MEMORY "/auto_online_blocks"

/* As in the scenario: the reserved range, and the soft reserved one */
#define RESERVED_START (11 * GIB)
#define RESERVED_END (11 * GIB + 60 * GIB)
#define SOFT_START (4 * GIB)
#define SOFT_SIZE (512 * MIB)

static struct {
	char name[32];
	uint64_t start, end;
} bar;

/* Finds the ivshmem device and its BAR 2 */
static bool find_bar(void)
{
	char *text, *line, path[64];
	int i;

	for (i = 0; i < 32; i++) {
		snprintf(bar.name, sizeof(bar.name), "0000:00:%02x.0", i);
		if (strcmp(read_file(PCI "/%s/vendor", bar.name), "0x1af4") ||
		    strcmp(read_file(PCI "/%s/device", bar.name), "0x1110"))
			continue;
		snprintf(path, sizeof(path), PCI "/%s/resource", bar.name);
		text = read_whole(path);
		line = strchr(strchr(text, '\n') + 1, '\n') + 1;
		bar.start = strtoull(line, &line, 16);
		bar.end = strtoull(line, NULL, 16);
		free(text);
		return bar.end - bar.start == 4 * GIB - 1;
	}
	return false;
}

/*
 * A region in the range is refused, and the log names the owner of the range as
 * /proc/iomem does.
 */
static bool owned(uint64_t start, uint64_t size, const char *name, uint64_t owner_start,
		  uint64_t owner_end)
{
	char text[64], needle[128];

	snprintf(text, sizeof(text), "%#" PRIx64 " %#" PRIx64, start, size);
	snprintf(needle, sizeof(needle), "overlaps %s [%#" PRIx64 "-%#" PRIx64 "]", name,
		 owner_start, owner_end);
	return refused(text, EBUSY, needle, BUS "/add_region") && !exists(REGION, 0);
}

static void device_memory(void)
{
	char options[64];
	uint64_t window;

	if (!ok(find_bar() && bar.start > RESERVED_START && bar.end < RESERVED_END,
		"a PCI device has a BAR of 4 GiB in the reserved range"))
		return;
	diag("%s: [%#" PRIx64 "-%#" PRIx64 "]", bar.name, bar.start, bar.end);
	owned(bar.start, block_size, bar.name, bar.start, bar.end);
	owned(bar.end + 1 - block_size, 2 * block_size, bar.name, bar.start, bar.end);
	owned(bar.start - block_size, bar.end - bar.start + 1 + 2 * block_size, bar.name, bar.start,
	      bar.end);

	snprintf(options, sizeof(options), "start=%#" PRIx64 " size=%#" PRIx64, bar.start,
		 block_size);
	ok_return(module_load("claim_test", options), 0, "a driver requests a part of the BAR");
	owned(bar.start, block_size, "claim_test", bar.start, bar.start + block_size - 1);
	owned(bar.start + block_size, block_size, bar.name, bar.start, bar.end);
	ok_return(module_unload("claim_test"), 0,
		  "the driver that requested a part of the BAR unloads");

	/* QEMU's bridge window has exactly the size of the BARs in it. */
	window = bar.start;
	ok(write_file("1", PCI "/%s/remove", bar.name) == 0 && !exists(PCI "/%s", bar.name),
	   "the PCI device is removed");
	owned(window, block_size, "PCI Bus 0000:00", bar.start, bar.end);
	owned(window - block_size, 2 * block_size, "PCI Bus 0000:00", bar.start, bar.end);
}

static void reserved(void)
{
	char text[64];
	struct accounts *before = accounts_take();

	ok(succeeds(region_add(RESERVED_END - 4 * GIB, 4 * GIB, NULL)) &&
	   succeeds(region_remove(0)),
	   "a region in a part of a reserved range without a device is added and removed");
	snprintf(text, sizeof(text), "%#" PRIx64 " %#" PRIx64, (uint64_t)RESERVED_END - block_size,
		 2 * block_size);
	refused(text, EBUSY, "partly inside of a reserved range", BUS "/add_region");
	ok(accounts_same(before),
	   "after adds to the reserved range the system state matches the baseline");
	accounts_free(before);
}

static int bind(const char *driver)
{
	const int ret = write_file("dax0.0", DAX "/drivers/%s/bind", driver);

	/* Older kernels need the device's name in new_id first. */
	return ret == -ENODEV ? write_file("dax0.0", DAX "/drivers/%s/new_id", driver) : ret;
}

static void unbind(const char *driver)
{
	write_file("dax0.0", DAX "/drivers/%s/unbind", driver);
	write_file("dax0.0", DAX "/drivers/%s/remove_id", driver);
}

static void dax(void)
{
	const uint64_t end = SOFT_START + SOFT_SIZE - 1;
	const bool old = iomem_count(": hmem.0");
	struct accounts *before;

	if (!ok(exists(DAX "/devices/dax0.0"),
		"the kernel makes a dax device of the soft reserved range"))
		return;
	ok(bind("device_dax") == 0 && exists(DAX "/drivers/device_dax/dax0.0"),
	   "device_dax binds to the dax device");
	owned(SOFT_START, block_size, "dax0.0", SOFT_START, end);
	owned(SOFT_START, SOFT_SIZE + block_size, "dax0.0", SOFT_START, end);
	unbind("device_dax");

	ok_return(bind("kmem"), 0, "a bind of kmem to the dax device succeeds");
	ok(exists(DAX "/drivers/kmem/dax0.0"), "kmem is the driver of the dax device");
	ok(iomem_count("System RAM (kmem)"), "/proc/iomem has System RAM of kmem");
	owned(SOFT_START, block_size, "dax0.0", SOFT_START, end);
	owned(SOFT_START + SOFT_SIZE - block_size, 2 * block_size, "dax0.0", SOFT_START, end);
	unbind("kmem");

	before = accounts_take();
	/*
	 * Without a driver the dax device has no entry in /proc/iomem. On older
	 * kernels the platform device it was made of has one.
	 */
	owned(SOFT_START, block_size, old ? "hmem.0" : "the dax device of hmem.0", SOFT_START, end);
	if (!old) {
		write_file("hmem.0", "/sys/bus/platform/drivers/hmem/unbind");
		ok_return(region_add(SOFT_START, block_size, NULL), 0,
			  "a region is added in a soft reserved range once its dax device is gone");
		ok_return(region_remove(0), 0,
			  "the region in the soft reserved range is removed");
		write_file("hmem.0", "/sys/bus/platform/drivers/hmem/bind");
		/* A driver binds to the new dax device at once. */
		unbind("kmem");
		unbind("device_dax");
	}
	ok(accounts_same(before),
	   "after adds to the range of the dax device the system state matches the baseline");
	accounts_free(before);
}

/*
 * kmem adds the addresses of the first DIMM as System RAM. When the DIMM is
 * plugged, the ACPI memory driver regards that as memory of the DIMM that was
 * added before, and kmem's blocks as the DIMM's. So the DIMM cannot be ejected,
 * and stays until the guest ends.
 */
static void dimm_in_use(void)
{
	struct kmsg kmsg;

	ok(bind("kmem") == 0 && iomem_count("System RAM (kmem)"),
	   "kmem adds the addresses of the first DIMM as System RAM");
	kmsg = kmsg_mark();
	write_file("1", BUS "/adopt");
	dimm_plug("used", SOFT_SIZE, -1);
	ok(kmsg_wait(&kmsg, "is not adopted: some of it is in use as System RAM", 60),
	   "a line in the log says why a DIMM whose addresses are System RAM is not adopted");
	ok(!exists(REGION, 0), "no region is made of a DIMM whose addresses are System RAM");
	/* The driver of DIMMs has done with it then. */
	hotplug_settles();
	ok_number(kmsg_lines(&kmsg, "twostage: DIMM", NULL, 0), 0,
		  "the log has no second line about the DIMM whose addresses are System RAM");
	kmsg_close(&kmsg);
}

static bool has_dax;

static void setup(void)
{
	write_file("offline", AUTO_ONLINE);
	/* PREEMPT_RT has no transparent huge pages, and therefore none of them. */
	has_dax = module_load_system("dax_hmem", NULL) == 0 &&
		  module_load_system("device_dax", NULL) == 0 &&
		  module_load_system("kmem", NULL) == 0;
	unbind("device_dax");
	unbind("kmem");
}

static void run(void)
{
	if (!load_twostage(NULL))
		return;
	reserved();
	device_memory();
	if (has_dax) {
		dax();
		dimm_in_use();
	} else {
		skip("this kernel has no drivers for dax devices",
		     "a soft reserved range is used by a dax device, then by a DIMM");
	}
	unload_twostage();
}

GROUP(group_claims) = {
	.name = "claims",
	.title = "ranges of devices inside of a reserved range",
	.setup = setup,
	.run = run,
	.stays = true,
};
