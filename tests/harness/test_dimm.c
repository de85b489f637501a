// SPDX-License-Identifier: GPL-2.0-only
/*
 * DIMMs that are adopted from the ACPI memory driver
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define AUTO_ONLINE MEMORY "/auto_online_blocks"
#define ARMED "/sys/kernel/debug/kprobes/enabled"
/* The first DIMM slot, and its _STA when it contains a working DIMM */
#define SLOT "/sys/bus/acpi/devices/PNP0C80:00"
#define PRESENT 15

static uint64_t region_begin(int id)
{
	return strtoull(read_file(REGION "/start", id), NULL, 0);
}

static bool is_dimm(int id, uint64_t size)
{
	return exists(REGION, id) && !strcmp(read_file(REGION "/provider", id), "dimm") &&
	       strtoull(read_file(REGION "/size", id), NULL, 0) == size;
}

/* Pages that the memmap of as many bytes takes */
static long long memmap_pages(uint64_t size)
{
	return size / 4096 * 64 / 4096;
}

static bool plug(const char *name, uint64_t size, int node)
{
	int blocks = count_blocks();

	dimm_plug(name, size, node);
	return wait_for_blocks(blocks + size / block_size);
}

static bool unplug(const char *name, uint64_t size)
{
	int blocks = count_blocks();
	bool gone;

	dimm_unplug(name);
	gone = wait_for_blocks(blocks - size / block_size);
	if (gone)
		dimm_forget(name);
	return gone;
}

/* Requests an ejection; true once the log contains @words. */
static bool unplug_says(const char *name, const char *words)
{
	struct kmsg kmsg = kmsg_mark();
	bool said;

	dimm_unplug(name);
	said = kmsg_wait(&kmsg, words, 60);
	kmsg_close(&kmsg);
	return said;
}

/* Requests an ejection that fails. */
static bool unplug_stops(const char *name, const char *words)
{
	/* Blocks that went offline first are set online again afterwards. */
	return unplug_says(name, words) && hotplug_settles();
}

/* Whether the driver has linked the block to the DIMM */
static bool bound(int block)
{
	return exists(MEMORY "/memory%d/firmware_node", block);
}

static void two_dimms(long long total)
{
	const uint64_t first = 2 * block_size, second = 4 * block_size;
	struct accounts *standby;
	struct memory memory;
	int block;

	ok(plug("d1", first, 0) && plug("d2", second, 1), "DIMMs on two nodes: both are plugged");
	if (!ok(is_dimm(0, first) && is_dimm(1, second),
		"DIMMs on two nodes: each is a region of provider dimm"))
		return;
	ok_number(read_number(REGION "/node", 0), 0,
		  "DIMMs on two nodes: the first region is on node 0, as the firmware says");
	ok_number(read_number(REGION "/node", 1), 1,
		  "DIMMs on two nodes: the second region is on node 1, as the firmware says");
	ok_number(blocks_online(0) + blocks_online(1), 0,
		  "DIMMs on two nodes: all blocks are standby");
	block = block_at(region_begin(1));
	ok_text(block_stage(block), "standby",
		"DIMMs on two nodes: the stage of a block is standby");
	ok(bound(block), "DIMMs on two nodes: a block has a link to its DIMM");
	ok(exists("/sys/devices/system/node/node1/memory%d", block),
	   "DIMMs on two nodes: the node has a link to a block of its DIMM");
	ok_number(iomem_count("Standby memory (region1)"), 1,
		  "DIMMs on two nodes: a standby DIMM is standby memory in /proc/iomem");
	ok_number(iomem_count("System RAM (twostage)"), 0,
		  "DIMMs on two nodes: standby DIMMs are not System RAM");
	ok(!kcore_has(region_begin(0)) && !kcore_has(region_begin(1)),
	   "DIMMs on two nodes: /proc/kcore does not contain standby DIMMs");
	ok(refused("region1", EPERM, "region1", BUS "/remove_region"),
	   "DIMMs on two nodes: the region of a DIMM cannot be removed through remove_region");

	standby = accounts_take();
	ok_return(region_online(1, "all online_movable"), 0,
		  "DIMMs on two nodes: all blocks of the second go online");
	ok_return(region_online(0, "all online_movable"), 0,
		  "DIMMs on two nodes: all blocks of the first go online");
	ok_number(meminfo("MemTotal") - total, (first + second) / 1024 * 63 / 64,
		  "DIMMs on two nodes: MemTotal grows by their size without the memmap");
	ok_number(read_number(REGION "/memmap_pages", 1), memmap_pages(second),
		  "DIMMs on two nodes: the memmap of the second is in its own blocks");
	ok_number(iomem_count("System RAM (twostage)"), 2,
		  "DIMMs on two nodes: each online DIMM is System RAM in /proc/iomem");
	ok(holds(kcore_has(region_begin(0))) && holds(kcore_has(region_begin(1))) &&
	   holds(kcore_has(region_begin(0) + first - 1)) &&
	   holds(kcore_has(region_begin(1) + second - 1)),
	   "DIMMs on two nodes: /proc/kcore contains both ends of each online DIMM");
	ok(memory_fill(&memory, 400 * MIB, 3) &&
	   memory_inside(&memory, region_begin(0), 64 * GIB) > 0,
	   "DIMMs on two nodes: a process has data in them");
	ok(unplug("d1", first), "DIMMs on two nodes: the first is ejected while they contain data");
	ok(!exists(REGION, 0), "DIMMs on two nodes: the region of the ejected one is removed");
	ok(exists(REGION, 1), "DIMMs on two nodes: the region of the other one stays");
	ok(memory_check(&memory) < 0,
	   "DIMMs on two nodes: after the ejection the data reads as it was written");
	memory_free(&memory);
	ok(plug("d1", first, 0) && is_dimm(0, first),
	   "DIMMs on two nodes: the ejected one becomes region0 again when it is plugged again");
	ok_return(region_offline(1, "all"), 0,
		  "DIMMs on two nodes: all blocks of the second go offline");
	ok(accounts_same(standby),
	   "DIMMs on two nodes: with all blocks offline the system state is as before the online");
	accounts_free(standby);
}

static void refused_eject(void)
{
	const uint64_t size = 4 * block_size;
	const char *what =
		"refused ejection: a DIMM with unmovable pages of the kernel is not ejected";
	pid_t pid;

	/*
	 * Blocks that come online again after the refusal have their KASAN
	 * shadow allocated in the DIMM, and it stays.
	 */
	if (kernel_debugs()) {
		skip("the debug kernel allocates KASAN shadow in the DIMM that stays", "%s", what);
		return;
	}
	/*
	 * Use node 1, away from what the kernel allocates for its own memory
	 * and for each block, which would stay.
	 */
	ok(succeeds(region_online(1, "3 online_movable")) &&
	   succeeds(region_online(1, "all online_kernel")),
	   "refused ejection: the last block of a DIMM goes online in a kernel zone");
	pid = memory_page_tables(1);
	ok(unplug_stops("d2", "Offline failed"), "%s", what);
	ok(is_dimm(1, size), "refused ejection: the region of the DIMM stays");
	ok(blocks_online(1) > 0, "refused ejection: a block of the DIMM is still online");
	/*
	 * The core may have set blocks online again that went offline before.
	 */
	region_online(1, "all online_movable");
	ok_number(blocks_online(1), 4,
		  "refused ejection: all blocks of the DIMM can be online afterwards");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	region_give_back(1);
}

static void ejected(void)
{
	ok(unplug("d2", 4 * block_size) && !exists(REGION, 1),
	   "refused ejection: without unmovable pages the DIMM and its region are removed");
	ok(unplug("d1", 2 * block_size) && !exists(REGION, 0),
	   "refused ejection: a DIMM without unmovable pages is removed with its region");
}

static void adopt_off(void)
{
	const uint64_t size = 2 * block_size;

	ok(plug("d3", size, -1) && is_dimm(0, size), "adopt off: a DIMM is adopted before that");
	ok_return(write_file("0", BUS "/adopt"), 0, "adopt off: adopt can be set to 0");
	ok(plug("d4", size, -1) && !exists(REGION, 1),
	   "adopt off: a plugged DIMM is added by the kernel, not adopted");
	ok(holds(is_dimm(0, size)) && succeeds(region_online(0, "1 online_movable")) &&
	   succeeds(region_offline(0, "1")),
	   "adopt off: a block of the DIMM adopted before goes online and offline");
	ok(unplug("d4", size), "adopt off: the DIMM that was not adopted is ejected");
	ok(unplug("d3", size) && !exists(REGION, 0),
	   "adopt off: the DIMM adopted before is ejected and its region removed");
	ok_return(write_file("1", BUS "/adopt"), 0, "adopt can be set to 1 again");
}

/* All blocks are added before the first one is set online. */
static bool wait_online(int id, int blocks)
{
	return wait_until(blocks_online(id) == blocks, 20);
}

static void auto_online(void)
{
	const uint64_t size = 4 * block_size;

	ok_return(write_file("online_movable", AUTO_ONLINE), 0,
		  "auto_online_blocks can be set to online_movable");
	ok(plug("d5", size, 1) && wait_online(0, 4),
	   "with auto_online_blocks=online_movable the blocks of a plugged DIMM come online");
	ok_number(read_number(REGION "/memmap_pages", 0), memmap_pages(size),
		  "with auto_online_blocks=online_movable blocks contain their memmap");
	ok(unplug("d5", size) && !exists(REGION, 0),
	   "a DIMM with all blocks online is ejected and its region removed");
	write_file("offline", AUTO_ONLINE);
}

static void hooks_off(void)
{
	const uint64_t size = 2 * block_size;
	struct kmsg kmsg;

	ok(plug("d6", size, -1) && is_dimm(0, size), "hooks off: a DIMM is adopted before that");
	write_file("0", ARMED);
	kmsg = kmsg_mark();
	ok(plug("d9", size, -1) && !exists(REGION, 1),
	   "hooks off: a plugged DIMM is added by the kernel, not adopted");
	ok_number(kmsg_lines(&kmsg, "is not adopted: the hooks are switched off", NULL, 0), 1,
		  "hooks off: one log line says why a DIMM is not adopted");
	kmsg_close(&kmsg);
	ok(unplug("d9", size) && is_dimm(0, size),
	   "hooks off: the DIMM that was not adopted is ejected");
	ok(unplug_stops("d6", "the DIMM was ejected, but the region cannot be removed"),
	   "hooks off: the ejection of an adopted DIMM logs that its region cannot be removed");
	ok(exists(REGION, 0), "hooks off: the ejection of an adopted DIMM leaves its region");
	write_file("1", ARMED);
	dimm_forget("d6");
	/*
	 * There is no memory at its addresses, and the memmap would be written
	 * there.
	 */
	kmsg = kmsg_mark();
	ok_return(region_online(0, "1 online_movable"), -ENXIO,
		  "the online of an ejected DIMM by the region's attribute fails with ENXIO");
	ok_return(write_file("online", MEMORY "/memory%d/state", block_at(region_begin(0))), -ENXIO,
		  "the online of an ejected DIMM by the block's attribute fails with ENXIO");
	ok_number(blocks_online(0), 0, "no block of an ejected DIMM is online");
	ok_number(kmsg_lines(&kmsg, "the DIMM was ejected, its memory cannot come online", NULL, 0),
		  2,
		  "each of two refused onlines of an ejected DIMM logs one line with the reason");
	kmsg_close(&kmsg);
	ok(succeeds(region_remove(0)) && holds(!exists(REGION, 0)),
	   "the region of an ejected DIMM is removed through remove_region");
	ok(plug("d6", size, -1) && is_dimm(0, size) && unplug("d6", size),
	   "after the hooks were off and on a DIMM is adopted and ejected");
}

static void other_notifier(void)
{
	const uint64_t size = 2 * block_size;
	const char *when = "another memory notifier, DIMM";

	if (!notifier_add(when, "0"))
		return;
	ok(plug("d10", size, -1) && is_dimm(0, size), "%s: a DIMM is adopted", when);
	/*
	 * Not in a kernel zone: in a guest this small the kernel might use it
	 * for good.
	 */
	notifier_refusals(when, "online_movable", 0, block_at(region_begin(0)));
	ok_return(region_online(0, "all online_movable"), 0, "%s: all blocks of the DIMM go online",
		  when);
	notifier_refuse("MEM_GOING_OFFLINE", EBUSY);
	ok(unplug_stops("d10", "Offline failed"),
	   "%s: an ejection whose offline is refused fails", when);
	ok(is_dimm(0, size), "%s: a refused ejection leaves the region of the DIMM", when);
	ok_number(blocks_online(0), 2,
		  "%s: a refused ejection leaves all blocks of the DIMM online", when);
	notifier_refuse("MEM_GOING_OFFLINE", 0);
	ok(unplug("d10", size) && !exists(REGION, 0),
	   "%s: an ejection that is not refused succeeds", when);
	notifier_remove(when);
}

/* A page is pinned for a while, as by a device that is writing to it. */
static void pinned(void)
{
	const uint64_t size = 2 * block_size;
	struct memory memory;
	struct pin pin;
	int blocks;

	ok(holds(plug("d11", size, 1)) && holds(is_dimm(0, size)) &&
	   succeeds(region_online(0, "all online_movable")),
	   "pinned page: a DIMM is adopted and goes online");
	ok(holds(memory_prefer(1)) && holds(memory_fill(&memory, block_size, 11)) &&
	   holds(memory_inside(&memory, region_begin(0), size) > 0),
	   "pinned page: a process has data in the DIMM");
	memory_prefer(-1);
	if (!ok(memory_pin(&memory, &pin, region_begin(0), size),
		"pinned page: a page of the DIMM is pinned"))
		return;
	blocks = count_blocks();
	/* The offline goes on, with device_hotplug_lock held. */
	ok(unplug_says("d11", "migrating pfn"),
	   "pinned page: an ejection fails, and the log names the page");
	ok(exists(REGION, 0), "pinned page: the refused ejection leaves the region of the DIMM");
	ok(blocks_online(0) >= 1,
	   "pinned page: the refused ejection leaves the block with the page online");
	ok(memory_check(&memory) < 0,
	   "pinned page: after the refused ejection the data reads as it was written");
	memory_unpin(&pin);
	ok(wait_for_blocks(blocks - size / block_size) || unplug("d11", size),
	   "pinned page: once it is unpinned the DIMM is ejected");
	ok(!exists(REGION, 0), "pinned page: the region of the ejected DIMM is removed");
	ok(memory_check(&memory) < 0,
	   "pinned page: after the ejection the data reads as it was written");
	dimm_forget("d11");
	memory_free(&memory);
}

/*
 * The addresses of a plugged DIMM overlap a region that was made through
 * add_region.
 */
static void refused_at(const char *when, uint64_t start, uint64_t size)
{
	struct kmsg kmsg;
	bool armed, gone;

	ok_return(region_add(start, block_size, NULL), 0,
		  "DIMM over a region, %s: the region is added", when);
	armed = strcmp(when, "hooks off");
	write_file(armed ? "1" : "0", ARMED);
	kmsg = kmsg_mark();
	dimm_plug("d7", size, -1);
	ok(kmsg_wait(&kmsg, "a DIMM is refused", 60),
	   "DIMM over a region, %s: the log says that the DIMM is refused", when);
	ok(kmsg_wait(&kmsg, "add_memory failed", 10),
	   "DIMM over a region, %s: the ACPI memory driver reports it", when);
	ok(!exists(REGION, 1), "DIMM over a region, %s: no region is made of the DIMM", when);
	ok_text(read_file(REGION "/provider", 0), "ram",
		"DIMM over a region, %s: the region keeps its provider", when);
	kmsg_close(&kmsg);
	ok(!bound(block_at(start)),
	   "DIMM over a region, %s: the driver links none of the region's blocks to the DIMM",
	   when);
	dimm_unplug("d7");
	gone = dimm_gone("d7");
	dimm_forget("d7");
	write_file("1", ARMED);
	ok(gone, "DIMM over a region, %s: the DIMM is ejected", when);
	ok(exists(REGION, 0), "DIMM over a region, %s: the ejection leaves the region", when);
	ok_return(region_remove(0), 0,
		  "DIMM over a region, %s: the region is removed through remove_region", when);
}

static void address_taken(void)
{
	const uint64_t size = 2 * block_size;
	uint64_t start;

	ok(plug("d7", size, -1) && exists(REGION, 0),
	   "a DIMM is adopted at the address that the next DIMM will have");
	start = region_begin(0);
	ok(unplug("d7", size), "the DIMM that shows the next DIMM's address is ejected");
	refused_at("at the DIMM's start", start, size);
	refused_at("in the DIMM's middle", start + block_size, size);
	refused_at("hooks off", start, size);
	write_file("0", BUS "/adopt");
	refused_at("adopt off", start + block_size, size);
	write_file("1", BUS "/adopt");
}

/* Readers race with the ejection of a DIMM. */
static void pulled_while_read(void)
{
	const uint64_t size = 2 * block_size;
	pid_t readers[3];
	bool well = true;
	int status, i, first;

	ok(plug("d8", size, -1) && exists(REGION, 0),
	   "a DIMM to be read during its ejection is adopted");
	first = block_at(region_begin(0));
	for (i = 0; i < (int)ARRAY_SIZE(readers); i++) {
		readers[i] = fork();
		if (!readers[i]) {
			srand(i + 1);
			for (;;)
				look_at_block(first + rand() % 2);
		}
	}
	for (i = 0; i < 4; i++) {
		well &= !region_online(0, "all online_movable");
		well &= unplug("d8", size) && !exists(REGION, 0);
		well &= plug("d8", size, -1) && is_dimm(0, size);
	}
	for (i = 0; i < (int)ARRAY_SIZE(readers); i++) {
		kill(readers[i], SIGKILL);
		well &= waitpid(readers[i], &status, 0) > 0 && WIFSIGNALED(status) &&
			WTERMSIG(status) == SIGKILL;
	}
	ok(well,
	   "a DIMM goes online, is ejected and plugged while processes read its memmap");
	ok(unplug("d8", size), "the DIMM that was read is ejected once more");
}

static void run(void)
{
	struct accounts *before;
	int boot_blocks = count_blocks();

	write_file("offline", AUTO_ONLINE);
	ok(plug("early", block_size, -1), "a DIMM is plugged before the module is loaded");
	if (!load_twostage("adopt=1"))
		return;
	ok_text(read_file(BUS "/adopt"), "1",
		"after a load with adopt=1 the attribute adopt reads 1");
	ok(refused("2", EINVAL, "adopt", BUS "/adopt") &&
	   refused("on", EINVAL, "adopt", BUS "/adopt"),
	   "writing a value other than 0 and 1 to adopt is refused");
	ok(!exists(REGION, 0) &&
	   run_command("ls -d " MEMORY "/memory*/twostage 2>/dev/null >&2") != 0,
	   "DIMMs that were plugged before the load are not adopted");
	ok(unplug("early", block_size) && count_blocks() == boot_blocks,
	   "a DIMM that was plugged before the load is ejected");

	before = accounts_take();
	two_dimms(meminfo("MemTotal"));
	refused_eject();
	ejected();
	adopt_off();
	auto_online();
	hooks_off();
	other_notifier();
	pinned();
	address_taken();
	pulled_while_read();
	ok(accounts_same(before),
	   "after all DIMMs are ejected the system state matches the baseline");
	accounts_free(before);
	unload_twostage();
}

/*
 * A DIMM that overlaps a reserved range, and so cannot be added. The ACPI
 * memory driver regards that as memory of the DIMM that is in use already. When
 * the DIMM is ejected, the driver removes all its memory, including the region
 * that was made in the reserved range.
 */
static void run_reserved(void)
{
	const uint64_t start = 4 * GIB + 3 * block_size;
	struct accounts *before, *standby;
	bool plugged;
	int blocks;

	if (!load_twostage(NULL))
		return;
	before = accounts_take();
	blocks = count_blocks();
	dimm_plug("reserved", 4 * block_size, -1);
	/* There is no message about it: wait for the slot's status. */
	plugged = wait_until(read_number(SLOT "/status") == PRESENT, 20);
	/* For what the kernel might add */
	usleep(1000000);
	hotplug_settles();
	ok(plugged, "reserved range in a DIMM: the DIMM is plugged");
	ok_number(count_blocks(), blocks,
		  "reserved range in a DIMM: the kernel adds no block of the DIMM");
	ok_return(region_add(start, block_size, NULL), 0,
		  "reserved range in a DIMM: a region is added in the range");
	standby = accounts_take();
	ok(unplug_stops("reserved", "not removed: removal of"),
	   "reserved range in a DIMM: the log says that the ejection does not remove the region");
	ok(dimm_gone("reserved"), "reserved range in a DIMM: the DIMM is ejected");
	ok(exists(REGION, 0), "reserved range in a DIMM: the ejection leaves the region");
	ok_text(block_stage(block_at(start)), "standby",
		"reserved range in a DIMM: the ejection leaves its block standby");
	ok(accounts_same(standby),
	   "reserved range in a DIMM: the ejection leaves the system state unchanged");
	ok_return(region_remove(0), 0,
		  "reserved range in a DIMM: the region is removed through remove_region");
	ok(accounts_same(before),
	   "reserved range in a DIMM: afterwards the system state matches the baseline");
	dimm_forget("reserved");
	accounts_free(before);
	accounts_free(standby);
	unload_twostage();
}

/*
 * A DIMM that is many times larger than the guest's memory. Uses @most bytes of
 * it, or as many as there are.
 */
static void run_with_large(uint64_t most)
{
	const uint64_t size = 12 * GIB;
	const int blocks = size / block_size;
	long long total, slab, free;
	struct memory memory;
	double started;

	write_file("offline", AUTO_ONLINE);
	if (!load_twostage("adopt=1"))
		return;
	write_file("3", "/proc/sys/vm/drop_caches");
	sleep(2);
	total = meminfo("MemTotal");
	slab = meminfo("Slab");
	free = meminfo("MemFree");
	if (!ok(plug("large", size, -1) && is_dimm(0, size),
		"a guest of %lld MiB adopts a DIMM of %d GiB", total / 1024, (int)(size / GIB)))
		return;
	slab = meminfo("Slab") - slab;
	free -= meminfo("MemFree");
	diag("before online: %lld KiB of slab, %lld KiB of MemFree; stock: %llu MiB of memmap",
	     slab, free, (unsigned long long)(size / 64 / MIB));
	ok(slab < 4096 && free < 4096, "a standby DIMM of 12 GiB takes less than 4 MiB of memory");
	ok_number(meminfo("MemTotal"), total, "a standby DIMM does not change MemTotal");

	started = now();
	ok_return(region_online(0, "all online_movable"), 0,
		  "setting all blocks of the large DIMM online succeeds");
	ok_number(blocks_online(0), blocks, "all blocks of the large DIMM are online");
	diag("%d blocks online in %.2f s", blocks, now() - started);
	ok_number(meminfo("MemTotal") - total, blocks * (long long)(block_size / 1024 * 63 / 64),
		  "MemTotal grows by 63/64 of the large DIMM");

	started = now();
	if (most < size) {
		ok(memory_fill(&memory, most, 12), "%d GiB of data are written",
		   (int)(most / GIB));
		ok(memory_inside(&memory, region_begin(0), size) > most / 10 * 9,
		   "9/10 of the data are in the large DIMM");
	} else {
		ok(memory_fill(&memory, (meminfo("MemAvailable") - 200 * 1024) * 1024, 12),
		   "nearly all available memory can be filled with data");
		ok(memory_inside(&memory, region_begin(0), size) > size / 10 * 9,
		   "the data is in more than 9/10 of the large DIMM");
	}
	ok(memory_check(&memory) < 0, "data in the large DIMM reads as it was written");
	diag("%zu MiB filled and checked in %.1f s", memory.size / (size_t)MIB, now() - started);
	memory_free(&memory);

	ok(unplug("large", size) && !exists(REGION, 0),
	   "the large DIMM is ejected and its region removed");
	unload_twostage();
}

static void run_large(void)
{
	run_with_large(4 * GIB);
}

static void run_full(void)
{
	run_with_large(UINT64_MAX);
}

static bool use_some_memory(void)
{
	struct memory memory;
	bool well = memory_fill(&memory, 64 * MIB, 5) && memory_check(&memory) < 0;

	memory_free(&memory);
	return well;
}

/*
 * The same guest without twostage: the memmap of the DIMM uses up the guest's
 * memory. Whether the add succeeds or fails for lack of memory, the guest does
 * not survive what it could do before.
 */
static void run_stock(void)
{
	ok(use_some_memory(), "before the DIMM is plugged a process can use 64 MiB");
	dimm_plug("large", 12 * GIB, -1);
	sleep(10);
	use_some_memory();
	ok(false, "a guest of 256 MiB without twostage survives a DIMM of 12 GiB");
}

/* Booted with memory_hotplug.memmap_on_memory=1 */
static void run_hosted(void)
{
	const uint64_t size = 2 * block_size;
	struct kmsg kmsg = kmsg_mark();
	long long total;
	char *hooks;
	int i;

	write_file("offline", AUTO_ONLINE);
	if (!load_twostage("adopt=1"))
		return;
	ok(plug("d1", block_size, -1) && !exists(REGION, 0),
	   "memory_hotplug.memmap_on_memory: a DIMM of one block is not adopted");
	hooks = read_whole("/sys/kernel/debug/twostage/hooks");
	ok(strstr(hooks, "__add_memory") && strstr(strstr(hooks, "__add_memory"), "redirected=1 "),
	   "memory_hotplug.memmap_on_memory: the add of the DIMM was redirected once");
	free(hooks);
	ok_number(kmsg_lines(&kmsg, "is not adopted: the kernel itself takes the memmap", NULL, 0),
		  1,
		  "memory_hotplug.memmap_on_memory: a log line says why no DIMM is adopted");
	ok(unplug("d1", block_size),
	   "memory_hotplug.memmap_on_memory: the DIMM of one block is ejected");

	/*
	 * Some kernels cannot do it for more than one block; then it is
	 * adopted.
	 */
	ok(plug("d2", size, -1),
	   "memory_hotplug.memmap_on_memory: a DIMM of two blocks is plugged");
	ok_number(kmsg_lines(&kmsg, "is not adopted", NULL, 0), !exists(REGION, 0),
		  "memory_hotplug.memmap_on_memory: a log line if two blocks are not adopted");
	kmsg_close(&kmsg);
	diag("the DIMM of two blocks is %s", exists(REGION, 0) ? "adopted" : "not adopted");
	total = meminfo("MemTotal");
	for (i = 0; i < 1024; i++)
		if (!strcmp(block_state(i), "offline"))
			write_file("online_movable", MEMORY "/memory%d/state", i);
	ok_number(meminfo("MemTotal") - total, size / 1024 * 63 / 64,
		  "memory_hotplug.memmap_on_memory: both blocks of a DIMM contain their memmap");
	ok(unplug("d2", size) && !exists(REGION, 0),
	   "memory_hotplug.memmap_on_memory: the DIMM of two blocks is ejected");
	unload_twostage();
}

GROUP(group_dimm) = { .name = "dimm", .title = "DIMMs that are adopted", .run = run };
GROUP(group_dimm_reserved) = {
	.name = "dimm-reserved",
	.title = "a DIMM that contains a reserved range with a region",
	.run = run_reserved,
};
GROUP(group_dimm_large) = {
	.name = "dimm-large",
	.title = "a DIMM larger than the guest",
	.run = run_large,
};
GROUP(group_dimm_full) = {
	.name = "dimm-full",
	.title = "a DIMM larger than the guest, all of it in use",
	.run = run_full,
};
GROUP(group_dimm_stock) = {
	.name = "dimm-stock",
	.title = "a DIMM larger than the guest, without twostage",
	.run = run_stock,
};
GROUP(group_dimm_hosted) = {
	.name = "dimm-hosted",
	.title = "DIMMs with memory_hotplug.memmap_on_memory=1",
	.run = run_hosted,
};
