// SPDX-License-Identifier: GPL-2.0-only
/*
 * DIMMs that are taken over from the ACPI memory driver
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
/* The first slot for DIMMs, and its status when there is one in it that works */
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

/* Pages of memmap in the blocks of as many bytes */
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

/* An ejection that does not come to its end: true once the kernel says so. */
static bool unplug_stops(const char *name, const char *words)
{
	struct kmsg kmsg = kmsg_mark();
	bool said;

	dimm_unplug(name);
	said = kmsg_wait(&kmsg, words, 60);
	kmsg_close(&kmsg);
	/* Blocks that went offline before that are set online again after it. */
	usleep(1000000);
	return said;
}

/* The driver's link from a block to the DIMM */
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

	ok(plug("d1", first, 0) && plug("d2", second, 1), "two DIMMs are plugged, on two nodes");
	if (!ok(is_dimm(0, first) && is_dimm(1, second), "each of them is a region of provider dimm"))
		return;
	ok(read_number(REGION "/node", 0) == 0 && read_number(REGION "/node", 1) == 1,
	   "on the node that the firmware says");
	ok(blocks_online(0) == 0 && blocks_online(1) == 0, "all of it is standby");
	block = block_at(region_begin(1));
	ok(!strcmp(block_stage(block), "standby") && bound(block) &&
	   exists("/sys/devices/system/node/node1/memory%d", block),
	   "its blocks are under their node, and know their DIMM");
	ok(iomem_count("Standby memory (region1)") == 1 && iomem_count("System RAM (twostage)") == 0 &&
	   !kcore_has(region_begin(0)) && !kcore_has(region_begin(1)),
	   "/proc/iomem has it as standby memory, not as System RAM, and kcore does not have it");
	ok(refused("region1", EPERM, "region1", BUS "/remove_region"), "its region cannot be removed by name");

	standby = accounts_take();
	ok(region_online(1, "all online_movable") == 0 && region_online(0, "all online_movable") == 0,
	   "all of both come online");
	ok(meminfo("MemTotal") == (long long)((first + second) / 1024 * 63 / 64) + total,
	   "MemTotal grows by all but the memmap");
	ok(read_number(REGION "/memmap_pages", 1) == memmap_pages(second), "which is in the DIMMs themselves");
	ok(iomem_count("System RAM (twostage)") == 2 && kcore_has(region_begin(0)) && kcore_has(region_begin(1)) &&
	   kcore_has(region_begin(0) + first - 1) && kcore_has(region_begin(1) + second - 1),
	   "each DIMM is System RAM in /proc/iomem, and kcore has it");
	ok(memory_fill(&memory, 400 * MIB, 3) && memory_inside(&memory, region_begin(0), 64 * GIB) > 0,
	   "they are used");
	ok(unplug("d1", first), "one is ejected while they are");
	ok(!exists(REGION, 0) && exists(REGION, 1), "its region is gone, the other one is there");
	ok(memory_check(&memory) < 0, "the data has moved unharmed");
	memory_free(&memory);
	ok(plug("d1", first, 0) && is_dimm(0, first), "it is plugged again, and is region0 again");
	ok(region_offline(1, "all") == 0 && accounts_same(standby),
	   "with all offline every account is as it was with the DIMMs plugged");
	accounts_free(standby);
}

static void refused_eject(void)
{
	const uint64_t size = 4 * block_size;
	const char *what = "an ejection of a DIMM that the kernel uses is refused";
	pid_t pid;

	/* What comes online again after a refusal has its shadow described there for good. */
	if (kernel_debugs()) {
		skip("a kernel with all its debugging goes on using it", "%s", what);
		return;
	}
	/* What the kernel keeps on a node, of its memory and of each of its blocks, is to be elsewhere, or it stays. */
	ok(region_online(1, "3 online_movable") == 0 && region_online(1, "all online_kernel") == 0,
	   "a DIMM is online where the kernel can use it");
	pid = memory_page_tables(1);
	ok(unplug_stops("d2", "Offline failed") && is_dimm(1, size) && blocks_online(1) > 0, "%s", what);
	/* What went offline before it was refused, the core may have set online again. */
	region_online(1, "all online_movable");
	ok(blocks_online(1) == 4, "and it can be used on");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	region_give_back(1);
}

static void ejected(void)
{
	ok(unplug("d2", 4 * block_size) && !exists(REGION, 1), "after that it can be ejected");
	ok(unplug("d1", 2 * block_size) && !exists(REGION, 0), "and the other one too");
}

static void switched_off(void)
{
	const uint64_t size = 2 * block_size;

	ok(plug("d3", size, -1) && is_dimm(0, size), "a DIMM is taken over");
	ok(write_file("0", BUS "/adopt") == 0, "adopt is switched off");
	ok(plug("d4", size, -1) && !exists(REGION, 1), "then the next DIMM is not");
	ok(is_dimm(0, size) && region_online(0, "1 online_movable") == 0 && region_offline(0, "1") == 0,
	   "the first one stays ours");
	ok(unplug("d4", size) && unplug("d3", size) && !exists(REGION, 0), "both can be ejected");
	ok(write_file("1", BUS "/adopt") == 0, "adopt is switched on again");
}

/* The last block is there before the first one is set online. */
static bool wait_online(int id, int blocks)
{
	int tries;

	for (tries = 0; tries < 100 && blocks_online(id) != blocks; tries++)
		usleep(100000);
	return blocks_online(id) == blocks;
}

static void auto_online(void)
{
	const uint64_t size = 4 * block_size;

	ok(write_file("online_movable", AUTO_ONLINE) == 0, "if the system says that new memory comes online");
	ok(plug("d5", size, 1) && wait_online(0, 4), "the blocks of a DIMM do so");
	ok(read_number(REGION "/memmap_pages", 0) == memmap_pages(size), "each with its memmap in itself");
	ok(unplug("d5", size) && !exists(REGION, 0), "it can be ejected as it is");
	write_file("offline", AUTO_ONLINE);
}

static void hooks_off(void)
{
	const uint64_t size = 2 * block_size;
	struct kmsg kmsg;

	ok(plug("d6", size, -1) && is_dimm(0, size), "a DIMM is taken over");
	write_file("0", ARMED);
	kmsg = kmsg_mark();
	ok(plug("d9", size, -1) && !exists(REGION, 1), "with the hooks off the next one is the kernel's own");
	ok(kmsg_lines(&kmsg, "is not adopted: the hooks are switched off", NULL, 0) == 1, "with the hooks off one line says so");
	kmsg_close(&kmsg);
	ok(unplug("d9", size) && is_dimm(0, size), "and is ejected as ever");
	ok(unplug_stops("d6", "the DIMM was ejected, but the region cannot be removed") && exists(REGION, 0),
	   "with the hooks off its ejection leaves the region, and says so");
	write_file("1", ARMED);
	dimm_forget("d6");
	/* There is nothing at its addresses any more, and a memmap would be written to them. */
	kmsg = kmsg_mark();
	ok(region_online(0, "1 online_movable") == -ENXIO && blocks_online(0) == 0 &&
	   write_file("online", MEMORY "/memory%d/state", block_at(region_begin(0))) == -ENXIO &&
	   kmsg_lines(&kmsg, "the DIMM was ejected, its memory cannot come online", NULL, 0) == 2,
	   "none of its blocks comes online any more");
	kmsg_close(&kmsg);
	ok(region_remove(0) == 0 && !exists(REGION, 0), "which can be removed by name");
	ok(plug("d6", size, -1) && is_dimm(0, size) && unplug("d6", size), "then all works as before");
}

static void other_notifier(void)
{
	const uint64_t size = 2 * block_size;
	const char *when = "a notifier beside a DIMM";

	if (!notifier_add(when, "0"))
		return;
	ok(plug("d10", size, -1) && is_dimm(0, size), "a DIMM is taken over");
	/* In a kernel zone of a guest this small it might be in use for good. */
	notifier_refusals(when, "online_movable", 0, block_at(region_begin(0)));
	ok(region_online(0, "all online_movable") == 0, "all of it comes online");
	notifier_refuse("MEM_GOING_OFFLINE", EBUSY);
	ok(unplug_stops("d10", "Offline failed") && is_dimm(0, size) && blocks_online(0) == 2, "%s: an ejection that it refuses leaves all of it in use", when);
	notifier_refuse("MEM_GOING_OFFLINE", 0);
	ok(unplug("d10", size) && !exists(REGION, 0), "%s: the next try of the ejection works", when);
	notifier_remove(when);
}

/* Somebody holds a page of it for a while, as a device does that is being written to. */
static void pinned(void)
{
	const uint64_t size = 2 * block_size;
	struct memory memory;
	struct pin pin;
	int blocks;

	ok(plug("d11", size, 1) && is_dimm(0, size) && region_online(0, "all online_movable") == 0,
	   "a DIMM is taken over and online");
	ok(memory_prefer(1) && memory_fill(&memory, block_size, 11) &&
	   memory_inside(&memory, region_begin(0), size) > 0, "it is used");
	memory_prefer(-1);
	if (!ok(memory_pin(&memory, &pin, region_begin(0), size), "a page of it is pinned"))
		return;
	blocks = count_blocks();
	ok(unplug_stops("d11", "migrating pfn") && exists(REGION, 0) && blocks_online(0) >= 1 && memory_check(&memory) < 0,
	   "it is not ejected while a page is pinned, and the data is right");
	memory_unpin(&pin);
	ok(wait_for_blocks(blocks - size / block_size) || unplug("d11", size), "after that it is");
	ok(!exists(REGION, 0) && memory_check(&memory) < 0, "and the data has moved unharmed");
	dimm_forget("d11");
	memory_free(&memory);
}

/* Somebody has made a region by name where the DIMM comes. */
static void refused_at(const char *when, uint64_t start, uint64_t size)
{
	struct kmsg kmsg;
	bool armed, gone;

	ok(region_add(start, block_size, NULL) == 0, "%s: a region by name is made where a DIMM comes", when);
	armed = strcmp(when, "hooks off");
	write_file(armed ? "1" : "0", ARMED);
	kmsg = kmsg_mark();
	dimm_plug("d7", size, -1);
	ok(kmsg_wait(&kmsg, "a DIMM is refused", 60) && kmsg_wait(&kmsg, "add_memory failed", 10) && !exists(REGION, 1) &&
	   !strcmp(read_file(REGION "/provider", 0), "ram"), "%s: the DIMM is refused", when);
	kmsg_close(&kmsg);
	ok(!bound(block_at(start)), "%s: and does not get hold of the region's blocks", when);
	dimm_unplug("d7");
	gone = dimm_gone("d7");
	dimm_forget("d7");
	write_file("1", ARMED);
	ok(gone && exists(REGION, 0) && region_remove(0) == 0, "%s: the region stays when it is ejected, and is removed by name", when);
}

static void address_taken(void)
{
	const uint64_t size = 2 * block_size;
	uint64_t start;

	ok(plug("d7", size, -1) && exists(REGION, 0), "a DIMM shows where the next one comes");
	start = region_begin(0);
	ok(unplug("d7", size), "it is ejected");
	refused_at("at its start", start, size);
	refused_at("in the middle", start + block_size, size);
	refused_at("hooks off", start, size);
	write_file("0", BUS "/adopt");
	refused_at("adopt off", start + block_size, size);
	write_file("1", BUS "/adopt");
}

/* The race of readers with a DIMM that is pulled */
static void pulled_while_read(void)
{
	const uint64_t size = 2 * block_size;
	pid_t readers[3];
	bool well = true;
	int status, i, first;

	ok(plug("d8", size, -1) && exists(REGION, 0), "a DIMM is there");
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
	ok(well, "a DIMM is pulled and plugged while all read it");
	ok(unplug("d8", size), "it is ejected for good");
}

static void run(void)
{
	struct accounts *before;
	int boot_blocks = count_blocks();

	write_file("offline", AUTO_ONLINE);
	ok(plug("early", block_size, -1), "a DIMM is plugged before the module is loaded");
	if (!load_twostage("adopt=1"))
		return;
	ok(!strcmp(read_file(BUS "/adopt"), "1"), "adopt=1 at load");
	ok(refused("2", EINVAL, "adopt", BUS "/adopt") && refused("on", EINVAL, "adopt", BUS "/adopt"),
	   "nonsense at the knob is refused");
	ok(!exists(REGION, 0) && run_command("ls -d " MEMORY "/memory*/twostage 2>/dev/null >&2") != 0,
	   "DIMMs that were there before are not ours");
	ok(unplug("early", block_size) && count_blocks() == boot_blocks, "and are ejected as ever");

	before = accounts_take();
	two_dimms(meminfo("MemTotal"));
	refused_eject();
	ejected();
	switched_off();
	auto_online();
	hooks_off();
	other_notifier();
	pinned();
	address_taken();
	pulled_while_read();
	ok(accounts_same(before), "every account is what it was");
	accounts_free(before);
	unload_twostage();
}

/*
 * A DIMM of which the kernel has a piece reserved, which keeps all of it from being added. Its driver takes that for
 * memory of the DIMM that is in use, and when it is ejected removes what is a region by now.
 */
static void run_reserved(void)
{
	const uint64_t start = 4 * GIB + 3 * block_size;
	struct accounts *before, *standby;
	int blocks, tries;

	if (!load_twostage(NULL))
		return;
	before = accounts_take();
	blocks = count_blocks();
	dimm_plug("reserved", 4 * block_size, -1);
	/* Nobody says so. */
	for (tries = 0; tries < 200 && read_number(SLOT "/status") != PRESENT; tries++)
		usleep(100000);
	usleep(1000000);
	ok(tries < 200 && count_blocks() == blocks, "a DIMM is not added that has something reserved in it");
	ok(region_add(start, block_size, NULL) == 0, "a region is made of that");
	standby = accounts_take();
	ok(unplug_stops("reserved", "not removed: removal of") && dimm_gone("reserved"),
	   "the DIMM is ejected all the same");
	ok(exists(REGION, 0) && !strcmp(block_stage(block_at(start)), "standby") && accounts_same(standby),
	   "and the region stays, as it was");
	ok(region_remove(0) == 0 && accounts_same(before), "removed by name, every account is what it was");
	dimm_forget("reserved");
	accounts_free(before);
	accounts_free(standby);
	unload_twostage();
}

/* A DIMM of many times the guest's memory */
static void run_large(void)
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
		"a guest of %lld MiB takes a DIMM of %d GiB", total / 1024, (int)(size / GIB)))
		return;
	slab = meminfo("Slab") - slab;
	free -= meminfo("MemFree");
	diag("before online: %lld KiB of slab, %lld KiB of MemFree; stock: %llu MiB of memmap", slab, free,
	     (unsigned long long)(size / 64 / MIB));
	ok(slab < 4096 && free < 4096, "which costs less than 4 MiB before it is online");
	ok(meminfo("MemTotal") == total, "and is not in MemTotal yet");

	started = now();
	ok(region_online(0, "all online_movable") == 0 && blocks_online(0) == blocks,
	   "all of it comes online");
	diag("%d blocks online in %.2f s", blocks, now() - started);
	ok(meminfo("MemTotal") - total == blocks * (long long)(block_size / 1024 * 63 / 64),
	   "63 of every 64 MiB are usable");

	started = now();
	ok(memory_fill(&memory, (meminfo("MemAvailable") - 200 * 1024) * 1024, 12) &&
	   memory_inside(&memory, region_begin(0), size) > size / 10 * 9 && memory_check(&memory) < 0,
	   "it is filled and checked");
	diag("%zu MiB filled and checked in %.1f s", memory.size / (size_t)MIB, now() - started);
	memory_free(&memory);

	ok(unplug("large", size) && !exists(REGION, 0), "the DIMM is ejected");
	unload_twostage();
}

static bool use_some_memory(void)
{
	struct memory memory;
	bool well = memory_fill(&memory, 64 * MIB, 5) && memory_check(&memory) < 0;

	memory_free(&memory);
	return well;
}

/*
 * What becomes of the same guest without the module. The add eats up the memory for the memmap, then fails
 * for lack of it or not; what the guest could do before kills it in either case.
 */
static void run_stock(void)
{
	ok(use_some_memory(), "before, the guest has 64 MiB to work with");
	dimm_plug("large", 12 * GIB, -1);
	sleep(10);
	use_some_memory();
	ok(false, "the stock kernel survives a DIMM of 12 GiB");
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
	   "a DIMM whose memmap the kernel itself puts there is left alone");
	hooks = read_whole("/sys/kernel/debug/twostage/hooks");
	ok(strstr(hooks, "__add_memory") && strstr(strstr(hooks, "__add_memory"), "redirected=1 "),
	   "though it was seen");
	free(hooks);
	ok(kmsg_lines(&kmsg, "is not adopted: the kernel itself takes the memmap", NULL, 0) == 1,
	   "one line says why a DIMM is left alone");
	ok(unplug("d1", block_size), "and is ejected as ever");

	/* Of more than one block not all kernels can, and what they cannot is for us. */
	ok(plug("d2", size, -1), "a DIMM of two blocks is plugged");
	ok(kmsg_lines(&kmsg, "is not adopted", NULL, 0) == !exists(REGION, 0),
	   "one line says so if a DIMM of two blocks is left alone");
	kmsg_close(&kmsg);
	diag("it is %s", exists(REGION, 0) ? "taken over" : "left alone");
	total = meminfo("MemTotal");
	for (i = 0; i < 1024; i++)
		if (!strcmp(block_state(i), "offline"))
			write_file("online_movable", MEMORY "/memory%d/state", i);
	ok(meminfo("MemTotal") - total == (long long)(size / 1024 * 63 / 64), "its memmap is in itself in any case");
	ok(unplug("d2", size) && !exists(REGION, 0), "and it is ejected");
	unload_twostage();
}

GROUP(group_dimm) = { .name = "dimm", .title = "DIMMs that are taken over", .run = run };
GROUP(group_dimm_reserved) = {
	.name = "dimm-reserved", .title = "a DIMM with a region in the middle", .run = run_reserved,
};
GROUP(group_dimm_large) = { .name = "dimm-large", .title = "a DIMM larger than the guest", .run = run_large };
GROUP(group_dimm_stock) = { .name = "dimm-stock", .title = "the same without the module", .run = run_stock };
GROUP(group_dimm_hosted) = { .name = "dimm-hosted", .title = "the kernel hosts the memmap itself", .run = run_hosted };
