// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that a device in use cannot reach
 *
 * The guest has an IDE disk, whose controller can reach only addresses up to
 * 4 GiB, virtio devices, which can reach all, and memory for regions above.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

#define START (4 * GIB)
#define DISK "/dev/sda"
/* As in linux/virtio_ids.h */
#define VIRTIO_ID_BLOCK 2
#define VIRTIO_ID_MEM 24
#define LIMITED "can reach only addresses up to 0xffffffff"
#define INFORMS "there are no bounce buffers (SWIOTLB): all devices in use can reach this memory"

/* The controller's */
static const char driver[] = "ata_piix";

/* Bound to the controller, with its disk there */
static bool bind_disk(void)
{
	int n;

	module_load_system("sd_mod", NULL);
	module_load_system(driver, NULL);
	for (n = 0; n < 200 && !exists(DISK); n++)
		usleep(50000);
	return exists(DISK);
}

/* The disk takes a moment to go. */
static bool unbind_disk(void)
{
	int n;

	for (n = 0; n < 100; n++) {
		if (!module_unload(driver))
			return true;
		usleep(50000);
	}
	return false;
}

/* I/O by memory that is allocated here: of the region if that is online, since it is handed out first */
static bool disk_works(struct memory *memory)
{
	const uint64_t size = 192 * MIB;
	bool works;
	int fd;

	fd = open(DISK, O_RDWR | O_DIRECT | O_CLOEXEC);
	works = fd >= 0 && memory_fill(memory, size, 5) &&
		pwrite(fd, memory->words, size, 0) == (ssize_t)size;
	if (!works)
		diag("the disk is not written: %s", strerror(errno));
	if (works) {
		memset(memory->words, 0x55, size);
		works = pread(fd, memory->words, size, 0) == (ssize_t)size;
		if (!works)
			diag("the disk is not read: %s", strerror(errno));
	}
	works = works && memory_check(memory) < 0;
	if (fd >= 0)
		close(fd);
	return works;
}

/* max_pfn: kpageflags ends there. */
static bool kernel_spans(uint64_t address)
{
	uint64_t flags;
	ssize_t length;
	int fd;

	fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	length = pread(fd, &flags, sizeof(flags), address / 4096 * sizeof(flags));
	close(fd);
	return length == sizeof(flags);
}

static bool block_refused(int block)
{
	char path[64];

	snprintf(path, sizeof(path), MEMORY "/memory%d/state", block);
	return refused("online_movable", ERANGE, LIMITED, "%s", path);
}

/* The controller is in use before there is a region. */
static void bound_before(void)
{
	struct memory memory;
	char text[64];

	ok(bind_disk(), "the disk is there");
	snprintf(text, sizeof(text), "%#" PRIx64 " 1G", (uint64_t)START);
	refused(text, ERANGE, LIMITED, BUS "/add_region");
	snprintf(text, sizeof(text), "refused: %s 0000:00:", driver);
	refused("0x100000000 128M", ERANGE, text, BUS "/add_region");
	refused("0x100000000 128M", ERANGE, "boot with iommu=soft", BUS "/add_region");
	/* On a system that lets it in */
	if (exists(REGION, 0))
		region_online(0, "all online_movable");
	ok(disk_works(&memory), "the disk is written and read");
	memory_free(&memory);
	if (exists(REGION, 0)) {
		region_give_back(0);
		region_remove(0);
	}
	ok(unbind_disk(), "its driver is unloaded");
}

/* The provider of another module */
static void virtio_mem(void)
{
	struct kmsg kmsg = kmsg_mark();
	const char *device = virtio_device(VIRTIO_ID_MEM, 0);

	ok(bind_disk() && module_load("twostage_virtio_mem", NULL) == 0 && !exists(REGION, 0) &&
	   kmsg_lines(&kmsg, LIMITED, NULL, 0) == 1,
	   "the region of a virtio-mem device is refused, one line tells why");
	ok(unbind_disk() && virtio_bind(device, "twostage_virtio_mem") == 0 && exists(REGION, 0),
	   "with the disk's driver unloaded it is added");
	ok(bind_disk() && region_online(0, "1 online_movable") == -ERANGE && blocks_online(0) == 0 &&
	   !strcmp(read_file(REGION "/plugged", 0), "0x0") && kmsg_lines(&kmsg, LIMITED, NULL, 0) == 1,
	   "with it loaded again no block comes online, nothing is plugged, one line tells why");
	ok(unbind_disk() && region_online(0, "1 online_movable") == 0 && region_give_back(0) == 0,
	   "with it unloaded a block comes online");
	ok(virtio_unbind(device) == 0 && module_unload("twostage_virtio_mem") == 0 && !exists(REGION, 0),
	   "the region is removed with the driver");
	kmsg_close(&kmsg);
}

static void dimm(void)
{
	struct kmsg kmsg = kmsg_mark();
	int blocks = count_blocks();

	ok(write_file("1", BUS "/adopt") == 0 && bind_disk(), "the disk is there, and DIMMs are taken over");
	dimm_plug("d1", 2 * block_size, -1);
	ok(kmsg_wait(&kmsg, LIMITED, 60) && kmsg_wait(&kmsg, "add_memory failed", 10) && !exists(REGION, 0) &&
	   count_blocks() == blocks, "a DIMM is refused");
	dimm_unplug("d1");
	ok(dimm_gone("d1") && unbind_disk(), "it is ejected");
	dimm_forget("d1");
	dimm_plug("d2", 2 * block_size, -1);
	ok(wait_for_blocks(blocks + 2) && !strcmp(read_file(REGION "/provider", 0), "dimm"),
	   "with the disk's driver unloaded a DIMM is taken over");
	region_give_back(0);
	ok(bind_disk() && region_online(0, "1 online_movable") == -ERANGE && blocks_online(0) == 0,
	   "with it loaded again no block comes online");
	dimm_unplug("d2");
	ok(dimm_gone("d2") && wait_for_blocks(blocks) && unbind_disk(), "the DIMM is ejected");
	dimm_forget("d2");
	kmsg_close(&kmsg);
}

static void bound_later(void)
{
	struct kmsg kmsg = kmsg_mark();
	char line[512] = "";

	ok(*virtio_driver(virtio_device(VIRTIO_ID_BLOCK, 0)), "there is a disk that can reach all memory");
	ok(!kernel_spans(START) && region_add(START, 4 * block_size, NULL) == 0 &&
	   kmsg_lines(&kmsg, INFORMS, NULL, 0) == 1,
	   "with devices that can reach it a region is added, one line tells of others");
	ok(!kernel_spans(START), "a region alone does not raise the kernel's last address");
	ok(region_add(START + 4 * block_size, block_size, NULL) == 0 && region_remove(1) == 0 &&
	   kmsg_lines(&kmsg, INFORMS, NULL, 0) == 0, "a second region tells no more");

	ok(bind_disk() && kmsg_lines(&kmsg, LIMITED, NULL, 0) == 0,
	   "a limited device that is bound is not reported while no block is online");
	block_refused(block_at(START));
	ok(unbind_disk() && region_online(0, "2 online_movable") == 0 && kernel_spans(START),
	   "with its driver unloaded blocks come online, and raise the kernel's last address");

	kmsg_lines(&kmsg, "", NULL, 0);
	ok(bind_disk() && kmsg_lines(&kmsg, "memory above that is online", line, sizeof(line)) == 1 &&
	   strstr(line, driver) && strstr(line, "iommu=soft"),
	   "a limited device that is bound while blocks are online is reported once");
	block_refused(block_at(START) + 2);
	ok(region_online(0, "1") == -ERANGE && blocks_online(0) == 2, "so is an online by the region's attribute");
	refused("0x120000000 128M", ERANGE, LIMITED, BUS "/add_region");
	ok(region_give_back(0) == 0, "what is online still goes offline");
	kmsg_lines(&kmsg, "", NULL, 0);
	ok(unbind_disk() && bind_disk() && kmsg_lines(&kmsg, LIMITED, NULL, 0) == 0,
	   "bound again with no block online, the device is not reported");
	ok(unbind_disk() && region_remove(0) == 0, "the region is removed");
	kmsg_close(&kmsg);
}

static void load_drivers(void)
{
	virtio_bus();
	module_load_system("virtio_blk", NULL);
}

static void run(void)
{
	if (!load_twostage(NULL))
		return;
	bound_before();
	bound_later();
	unload_twostage();
}

static void run_hotplug(void)
{
	if (!load_twostage(NULL))
		return;
	virtio_mem();
	dimm();
	unload_twostage();
}

/* With bounce buffers or an IOMMU */
static void run_reachable(void)
{
	const uint64_t size = 8 * block_size;
	struct kmsg kmsg = kmsg_mark();
	struct memory memory;

	if (!load_twostage(NULL))
		return;
	ok(bind_disk(), "the disk is there");
	ok(region_add(START, size, NULL) == 0 && region_online(0, "all online_movable") == 0 &&
	   kmsg_lines(&kmsg, "SWIOTLB", NULL, 0) == 0,
	   "a region is added and comes online, without a word on bounce buffers");
	ok(disk_works(&memory), "the disk is written and read");
	ok(memory_inside(&memory, START, size) > memory.size / 2, "by memory of the region");
	memory_free(&memory);
	ok(unbind_disk() && bind_disk() && kmsg_lines(&kmsg, LIMITED, NULL, 0) == 0,
	   "bound again, the device is not reported");
	ok(region_give_back(0) == 0 && region_remove(0) == 0 && unbind_disk(), "the region is removed");
	kmsg_close(&kmsg);
	unload_twostage();
}

GROUP(group_dma) = {
	.name = "dma", .title = "memory that a device in use cannot reach", .setup = load_drivers,
	.run = run
};
GROUP(group_dma_hotplug) = {
	.name = "dma-hotplug", .title = "hot-plugged memory that a device in use cannot reach", .setup = load_drivers,
	.run = run_hotplug
};
GROUP(group_dma_reachable) = {
	.name = "dma-reachable", .title = "a limited device reaches all memory by other means", .run = run_reachable
};
