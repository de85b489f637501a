// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that a device in use cannot reach
 *
 * The guest has an IDE disk, whose controller can address only 4 GiB, virtio
 * devices, which can address all memory, and memory for regions above 4 GiB.
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

/* The driver of the IDE controller */
static const char driver[] = "ata_piix";

/* Binds the driver to the controller; true once the disk has appeared. */
static bool bind_disk(void)
{
	module_load_system("sd_mod", NULL);
	module_load_system(driver, NULL);
	return wait_until(exists(DISK), 20);
}

/* Unloads the driver. The disk is in use for a moment. */
static bool unbind_disk(void)
{
	return wait_until(!module_unload(driver), 10);
}

/*
 * Direct I/O with memory that is allocated here. While the region is online,
 * most of it comes from there, because the highest zone is used first.
 */
static bool disk_works(struct memory *memory)
{
	const uint64_t size = 192 * MIB;
	bool works;
	int fd;

	fd = open(DISK, O_RDWR | O_DIRECT | O_CLOEXEC);
	works = fd >= 0 && memory_fill(memory, size, 5) &&
		pwrite(fd, memory->words, size, 0) == (ssize_t)size;
	if (!works)
		diag("writing to the disk failed: %s", strerror(errno));
	if (works) {
		memset(memory->words, 0x55, size);
		works = pread(fd, memory->words, size, 0) == (ssize_t)size;
		if (!works)
			diag("reading from the disk failed: %s", strerror(errno));
	}
	works = works && memory_check(memory) < 0;
	if (fd >= 0)
		close(fd);
	return works;
}

/* Whether max_pfn is beyond an address: /proc/kpageflags ends at max_pfn. */
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

/* The controller is in use before a region is added. */
static void bound_before(void)
{
	struct memory memory;
	char text[64];

	ok(bind_disk(), "the limited disk appears when its driver loads");
	snprintf(text, sizeof(text), "%#" PRIx64 " 1G", (uint64_t)START);
	refused(text, ERANGE, LIMITED, BUS "/add_region");
	snprintf(text, sizeof(text), "refused: %s 0000:00:", driver);
	refused("0x100000000 128M", ERANGE, text, BUS "/add_region");
	refused("0x100000000 128M", ERANGE, "boot with iommu=soft", BUS "/add_region");
	/* Only if the adds above were not refused */
	if (exists(REGION, 0))
		region_online(0, "all online_movable");
	ok(disk_works(&memory),
	   "after the refused adds data is written to the limited disk and read back");
	memory_free(&memory);
	if (exists(REGION, 0)) {
		region_give_back(0);
		region_remove(0);
	}
	ok(unbind_disk(), "the driver of the limited disk unloads");
}

/* A region of a provider in another module */
static void virtio_mem(void)
{
	struct kmsg kmsg = kmsg_mark();
	const char *device = virtio_device(VIRTIO_ID_MEM, 0);

	ok(bind_disk(), "virtio-mem: the limited disk appears when its driver loads");
	ok_return(module_load("twostage_virtio_mem", NULL), 0,
		  "virtio-mem: the driver loads while the limited disk is in use");
	ok(!exists(REGION, 0), "virtio-mem: no region is added while the limited disk is in use");
	ok_number(kmsg_lines(&kmsg, LIMITED, NULL, 0), 1,
		  "virtio-mem: the refused region logs one line with the reason");
	ok(holds(unbind_disk()) && succeeds(virtio_bind(device, "twostage_virtio_mem")) &&
	   holds(exists(REGION, 0)),
	   "virtio-mem: without the limited disk a bind adds the region");
	ok(bind_disk(), "virtio-mem: the limited disk appears while the region is standby");
	ok_return(region_online(0, "1 online_movable"), -ERANGE,
		  "virtio-mem: an online fails with ERANGE while the limited disk is in use");
	ok_number(blocks_online(0), 0, "virtio-mem: the refused online sets no block online");
	ok_text(read_file(REGION "/plugged", 0), "0x0",
		"virtio-mem: the refused online leaves no memory plugged");
	ok_number(kmsg_lines(&kmsg, LIMITED, NULL, 0), 1,
		  "virtio-mem: the refused online logs one line with the reason");
	ok(holds(unbind_disk()) && succeeds(region_online(0, "1 online_movable")) &&
	   succeeds(region_give_back(0)),
	   "virtio-mem: without the limited disk a block goes online and offline");
	ok(succeeds(virtio_unbind(device)) && succeeds(module_unload("twostage_virtio_mem")) &&
	   holds(!exists(REGION, 0)),
	   "virtio-mem: the driver unbinds and unloads, and the region is removed");
	kmsg_close(&kmsg);
}

static void dimm(void)
{
	struct kmsg kmsg = kmsg_mark();
	int blocks = count_blocks();

	ok_return(write_file("1", BUS "/adopt"), 0, "DIMM: adopt can be set to 1");
	ok(bind_disk(), "DIMM: the limited disk appears when its driver loads");
	dimm_plug("d1", 2 * block_size, -1);
	ok(kmsg_wait(&kmsg, LIMITED, 60),
	   "DIMM: while the limited disk is in use a plugged DIMM is refused with the reason");
	ok(kmsg_wait(&kmsg, "add_memory failed", 10),
	   "DIMM: the ACPI memory driver reports the refused add");
	ok(!exists(REGION, 0), "DIMM: no region is made of the refused DIMM");
	ok_number(count_blocks(), blocks, "DIMM: the refused DIMM has no memory blocks");
	dimm_unplug("d1");
	ok(dimm_gone("d1"), "DIMM: the refused DIMM is ejected");
	ok(unbind_disk(), "DIMM: the driver of the limited disk unloads");
	dimm_forget("d1");
	dimm_plug("d2", 2 * block_size, -1);
	ok(wait_for_blocks(blocks + 2) && !strcmp(read_file(REGION "/provider", 0), "dimm"),
	   "DIMM: without the limited disk a DIMM is adopted");
	region_give_back(0);
	ok(bind_disk(), "DIMM: the limited disk appears while the DIMM is standby");
	ok_return(region_online(0, "1 online_movable"), -ERANGE,
		  "DIMM: an online fails with ERANGE while the limited disk is in use");
	ok_number(blocks_online(0), 0, "DIMM: the refused online sets no block online");
	dimm_unplug("d2");
	ok(holds(dimm_gone("d2")) && holds(wait_for_blocks(blocks)),
	   "DIMM: the adopted DIMM is ejected");
	ok(unbind_disk(), "DIMM: the driver of the limited disk unloads after the ejection");
	dimm_forget("d2");
	kmsg_close(&kmsg);
}

static void bound_later(void)
{
	struct kmsg kmsg = kmsg_mark();
	char line[512] = "";

	ok(*virtio_driver(virtio_device(VIRTIO_ID_BLOCK, 0)),
	   "a virtio disk, which can reach all memory, is in use");
	ok(!kernel_spans(START), "without a region max_pfn is below the region's addresses");
	ok_return(region_add(START, 4 * block_size, NULL), 0,
		  "a region is added while all devices in use can reach it");
	ok_number(kmsg_lines(&kmsg, INFORMS, NULL, 0), 1,
		  "the first region logs one line that there are no bounce buffers");
	ok(!kernel_spans(START), "a region without online blocks does not raise max_pfn");
	ok(succeeds(region_add(START + 4 * block_size, block_size, NULL)) &&
	   succeeds(region_remove(1)),
	   "a second region is added and removed");
	ok_number(kmsg_lines(&kmsg, INFORMS, NULL, 0), 0,
		  "the second region logs no line about bounce buffers");

	ok(bind_disk(), "the limited disk appears while all blocks are standby");
	ok_number(kmsg_lines(&kmsg, LIMITED, NULL, 0), 0,
		  "a limited device that is bound while no block is online is not reported");
	block_refused(block_at(START));
	ok(unbind_disk(), "the driver of the limited disk unloads after a refused online");
	ok_return(region_online(0, "2 online_movable"), 0,
		  "without the limited disk two blocks go online");
	ok(kernel_spans(START), "blocks that are online raise max_pfn");

	kmsg_lines(&kmsg, "", NULL, 0);
	ok(bind_disk(), "the limited disk appears while blocks are online");
	ok_number(kmsg_lines(&kmsg, "memory above that is online", line, sizeof(line)), 1,
		  "a limited device that is bound while blocks are online is reported in one line");
	ok(strstr(line, driver), "the line about the limited device names its driver");
	ok(strstr(line, "iommu=soft"),
	   "the line about the limited device names the boot parameter iommu=soft");
	block_refused(block_at(START) + 2);
	ok_return(region_online(0, "1"), -ERANGE,
		  "with the limited disk in use an online by the region fails with ERANGE");
	ok_number(blocks_online(0), 2,
		  "an online refused for the limited disk leaves two blocks online");
	refused("0x120000000 128M", ERANGE, LIMITED, BUS "/add_region");
	ok_return(region_give_back(0), 0,
		  "online blocks go offline while the limited disk is in use");
	kmsg_lines(&kmsg, "", NULL, 0);
	ok(holds(unbind_disk()) && holds(bind_disk()),
	   "after the offline the limited disk is unbound and bound again");
	ok_number(kmsg_lines(&kmsg, LIMITED, NULL, 0), 0,
		  "a limited device that is bound again after the offline is not reported");
	ok(holds(unbind_disk()) && succeeds(region_remove(0)),
	   "the driver of the limited disk unloads, and the region is removed");
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

/* With bounce buffers (iommu=soft) or an IOMMU */
static void run_reachable(void)
{
	const uint64_t size = 8 * block_size;
	struct kmsg kmsg = kmsg_mark();
	struct memory memory = {};

	if (!load_twostage(NULL))
		return;
	ok(bind_disk(), "the limited disk appears when its driver loads");
	ok_return(region_add(START, size, NULL), 0,
		  "with bounce buffers or an IOMMU a region is added");
	ok_return(region_online(0, "all online_movable"), 0,
		  "with bounce buffers or an IOMMU all blocks go online");
	ok_number(kmsg_lines(&kmsg, "SWIOTLB", NULL, 0), 0,
		  "with bounce buffers or an IOMMU the log has no line about bounce buffers");
	ok(disk_works(&memory),
	   "with bounce buffers or an IOMMU data is written to the limited disk and read back");
	ok(memory_inside(&memory, START, size) > memory.size / 2,
	   "more than half of the buffer for the limited disk is in the region");
	memory_free(&memory);
	ok(holds(unbind_disk()) && holds(bind_disk()),
	   "the limited disk is unbound and bound again while blocks are online");
	ok_number(kmsg_lines(&kmsg, LIMITED, NULL, 0), 0,
		  "with bounce buffers or an IOMMU a limited device that is bound is not reported");
	ok(succeeds(region_give_back(0)) && succeeds(region_remove(0)) && holds(unbind_disk()),
	   "the region goes offline and is removed, and the limited disk's driver unloads");
	kmsg_close(&kmsg);
	unload_twostage();
}

GROUP(group_dma) = {
	.name = "dma", .title = "memory that a device in use cannot reach", .setup = load_drivers,
	.run = run
};
GROUP(group_dma_hotplug) = {
	.name = "dma-hotplug",
	.title = "hot-plugged memory that a device in use cannot reach",
	.setup = load_drivers,
	.run = run_hotplug,
};
GROUP(group_dma_reachable) = {
	.name = "dma-reachable",
	.title = "a limited device reaches all memory by bounce buffers or an IOMMU",
	.run = run_reachable
};
