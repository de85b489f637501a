// SPDX-License-Identifier: GPL-2.0-only
/*
 * Standby memory on virtio-mem devices
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define VIRTIO_ID_MEM 24
#define PARAMETERS "/sys/module/virtio_mem_test/parameters"
#define OURS "twostage_virtio_mem"

/* As in the scenario */
#define REGION_SIZE (4 * GIB)
#define ARMED "/sys/kernel/debug/kprobes/enabled"
/* Eight blocks, set by start() where the size of blocks is not that of the scenario */
#define BUDGET (8 * block_size)

static char device[32];

/* A numeric property of a QEMU device */
static long long qemu_property(const char *id, const char *property)
{
	return strtoll(host_ask("qom-get %s %s", id, property), NULL, 10);
}

static uint64_t plugged(void)
{
	return qemu_property("vm0", "size");
}

static long long resident_mib(void)
{
	return strtoll(host_ask("rss"), NULL, 10) / 1024;
}

/* How much of the shared memory (memfd) of all devices the host has allocated */
static long long shared_kib(void)
{
	return strtoll(host_ask("shared"), NULL, 10);
}

/* Waits for what the driver does in the background. */
static bool plugged_becomes(uint64_t size)
{
	return wait_until(plugged() == size, 120);
}

static bool region_there(int id, bool there, int seconds)
{
	return wait_until(exists(REGION, id) == there, seconds);
}

static uint64_t device_attribute(const char *name)
{
	return strtoull(read_file("/sys/bus/virtio/devices/%s/twostage/%s", device, name), NULL, 0);
}

static void set_budget(const char *id, uint64_t size)
{
	const bool changed = (uint64_t)qemu_property(id, "requested-size") != size;
	const char *device = virtio_device(VIRTIO_ID_MEM, !strcmp(id, "vm2"));
	struct kmsg kmsg = kmsg_mark();
	char budget[40];

	/* QEMU replies after it has raised the interrupt; the driver handles that in a work item. */
	host_ask("qom-set %s requested-size %" PRIu64, id, size);
	snprintf(budget, sizeof(budget), "budget is 0x%" PRIx64 " bytes now", size);
	if (changed && !strcmp(virtio_driver(device), OURS))
		ok(kmsg_wait(&kmsg, budget, 20), "the driver of %s logs the budget that the host has set", id);
	kmsg_close(&kmsg);
}

/* The node of the first device, -1 if the firmware has none for it */
static int device_node(void)
{
	return exists("/sys/devices/system/node/node1") ? 1 : -1;
}

/*
 * Memory from the region is preferred: there is a node of its own, or zone
 * Movable of the only node comes first.
 */
static bool prefer_device(void)
{
	return device_node() < 0 || memory_prefer(device_node());
}

static void prefer_any(void)
{
	if (device_node() >= 0)
		memory_prefer(-1);
}

static uint64_t attribute(const char *name)
{
	return strtoull(read_file(REGION "/%s", 0, name), NULL, 0);
}

static int first_block(void)
{
	return block_at(strtoull(read_file(REGION "/start", 0), NULL, 0));
}

static int online_block(int n)
{
	return write_file("online_movable", MEMORY "/memory%d/state", first_block() + n);
}

static int offline_block(int n)
{
	return write_file("offline", MEMORY "/memory%d/state", first_block() + n);
}

static bool ours(void)
{
	return !strcmp(virtio_driver(device), OURS) && exists(REGION, 0);
}

static void cycle(void)
{
	long long total = meminfo("MemTotal"), before, used, after;
	struct memory memory;

	ok(attribute("budget") == BUDGET && attribute("plugged") == 0 && plugged() == 0,
	   "the attributes of a new region show the budget, and nothing plugged");
	before = resident_mib();

	ok(online_block(0) == 0 && plugged() == block_size && attribute("plugged") == block_size,
	   "setting a block online plugs it");
	ok(meminfo("MemTotal") - total == (long long)(usable_size(block_size) / 1024),
	   "the memmap of a block is in the block");
	ok(online_block(3) == 0 && plugged() == 2 * block_size,
	   "any block below the usable size can be set online");
	ok(region_online(0, "6 online_movable") == 0 && plugged() == BUDGET,
	   "blocks can be plugged up to the budget");
	ok(prefer_device() && memory_fill(&memory, 400 * MIB, 1) &&
	   memory_inside(&memory, first_block() * block_size, REGION_SIZE) > 300 * MIB,
	   "plugged memory is used");
	used = resident_mib();
	ok(used - before > 300, "the resident memory of QEMU grows with used memory");
	ok(memory_check(&memory) < 0, "the data in plugged memory is right");
	memory_free(&memory);
	prefer_any();
	ok(region_offline(0, "all") == 0 && plugged() == 0,
	   "setting all blocks offline unplugs all memory");
	after = resident_mib();
	diag("resident memory of QEMU: %lld MiB standby, %lld MiB used, %lld MiB afterwards", before, used, after);
	ok(used - after > 300 && after - before < 100,
	   "the resident memory of QEMU shrinks by the unplugged memory");
}

static void budget(void)
{
	struct kmsg kmsg = kmsg_mark();
	char text[64];
	int events = uevents_open();

	ok(region_online(0, "8 online_movable") == 0, "eight blocks use up the budget");
	ok(online_block(8) == -ENOSPC && !strcmp(block_stage(first_block() + 8), "standby") && plugged() == BUDGET,
	   "a block beyond the budget is refused and stays standby");
	ok(kmsg_lines(&kmsg, "the host's budget does not allow", NULL, 0) == 1,
	   "the log has the reason for a block beyond the budget");

	set_budget("vm0", BUDGET / 2);
	snprintf(text, sizeof(text), "BUDGET=%#" PRIx64, BUDGET / 2);
	ok(attribute("budget") == BUDGET / 2 &&
	   wait_until(uevents_have(events, "change@/devices/twostage/region0", text), 20),
	   "a budget that shrinks is in the attribute and in a uevent");
	snprintf(text, sizeof(text), "the host wants %#" PRIx64 " bytes back", BUDGET / 2);
	ok(kmsg_lines(&kmsg, text, NULL, 0) == 1,
	   "a budget that shrinks below what is plugged is in the log");
	ok(blocks_online(0) == 8 && plugged() == BUDGET,
	   "a budget that shrinks sets no block offline");
	ok(region_offline(0, "5") == 0 && plugged() == 3 * block_size,
	   "blocks that go offline are unplugged under a smaller budget");
	ok(region_online(0, "1 online_movable") == 0 && region_online(0, "1 online_movable") == -ENOSPC,
	   "blocks come online up to a smaller budget, and no more");
	set_budget("vm0", BUDGET);
	ok(attribute("budget") == BUDGET && region_online(0, "1 online_movable") == 0,
	   "a block comes online after the budget has grown");
	ok(device_attribute("usable_size") < REGION_SIZE && device_attribute("left_over") == 0 &&
	   device_attribute("block_size") == 2 * MIB &&
	   !strcmp(read_file("/sys/bus/virtio/devices/%s/twostage/region", device), "region0"),
	   "the attributes of the device show its region and its usable size");
	ok(online_block(REGION_SIZE / block_size - 1) == -ENOSPC && kmsg_lines(&kmsg, "that the host makes usable", NULL, 0) == 1,
	   "a block outside of the usable size is refused, and the log has the reason");
	ok(region_offline(0, "all") == 0 && plugged() == 0,
	   "all blocks go offline after changes of the budget");
	/* A block is plugged in two requests, of which the device refuses the second. */
	set_budget("vm0", BUDGET / 2 + block_size / 2);
	ok(region_online(0, "5 online_movable") == -ENOSPC && blocks_online(0) == 4 && plugged() == BUDGET / 2,
	   "no part of a block stays plugged if the budget covers only half of it");
	set_budget("vm0", BUDGET);
	ok(region_online(0, "1 online_movable") == 0 && region_offline(0, "all") == 0 && plugged() == 0,
	   "a refused block comes online when the budget covers it");
	kmsg_close(&kmsg);
	close(events);
}

static void set_answer(int answer, int count)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", answer);
	write_file(text, PARAMETERS "/answer");
	snprintf(text, sizeof(text), "%d", count);
	write_file(text, PARAMETERS "/count");
}

/* A device that does not answer gets no more requests until it is bound again. */
static bool rebind(void)
{
	return virtio_unbind(device) == 0 && virtio_bind(device, OURS) == 0 && ours();
}

static void unbound_while_busy(void)
{
	int status = -1, ret;
	bool waiting;
	pid_t pid;

	set_answer(2, 1000000);
	pid = fork();
	if (!pid)
		_exit(-online_block(0));
	waiting = wait_until(sleeps_in(pid, "[twostage_virtio_mem]"), 4) && !waitpid(pid, &status, WNOHANG);
	ret = virtio_unbind(device);
	waitpid(pid, &status, 0);
	ok(waiting && ret == 0 && WIFEXITED(status) && WEXITSTATUS(status) == EBUSY,
	   "the driver is unbound while it repeats a request to a busy device: the online fails with EBUSY (%s)",
	   strerror(WEXITSTATUS(status)));
	set_answer(-1, 0);
	ok(region_there(0, false, 10) && virtio_bind(device, OURS) == 0 && ours() && plugged_becomes(0) && online_block(0) == 0 &&
	   offline_block(0) == 0 && plugged() == 0,
	   "bound again after it was busy, a device plugs and unplugs a block");
}

static void answers(void)
{
	struct kmsg kmsg = kmsg_mark();
	double started;

	if (!ok(module_load("virtio_mem_test", NULL) == 0, "the module that changes the answers of the device is loaded"))
		return;
	set_answer(2, 3);
	ok(online_block(0) == 0 && plugged() == block_size,
	   "a request to a device that is busy for a moment is repeated");
	offline_block(0);
	set_answer(2, 1000000);
	started = now();
	ok(online_block(0) == -EBUSY && now() - started < 9,
	   "an online fails with EBUSY if the device stays busy");
	ok(kmsg_lines(&kmsg, "the device is too busy", NULL, 0) == 1,
	   "the log says that the device is busy");
	set_answer(3, 1);
	ok(online_block(0) == -EIO && kmsg_lines(&kmsg, "rejected the request", NULL, 0) == 1,
	   "an online fails with EIO if the device rejects the request, and the log says so");
	ok(online_block(0) == 0 && plugged() == block_size,
	   "a block comes online after its device was busy and rejected a request");

	set_answer(2, 1000000);
	ok(offline_block(0) == 0 && !strcmp(block_stage(first_block()), "standby"),
	   "a block goes offline even if the device does not unplug it");
	ok(kmsg_lines(&kmsg, "cannot unplug", NULL, 0) == 1 && plugged() == block_size,
	   "the log says that a block is not unplugged");
	set_answer(-1, 0);
	ok(plugged_becomes(0), "a block is unplugged later, when the device is not busy any more");
	ok(online_block(0) == 0, "a block that was unplugged later comes online");
	set_answer(3, 1);
	ok(offline_block(0) == 0 && online_block(0) == 0 && plugged() == block_size,
	   "a block whose unplug failed comes online, still plugged");
	ok(offline_block(0) == 0 && plugged() == 0,
	   "a block that came online still plugged is unplugged");
	set_answer(3, 1000000);
	ok(online_block(0) == -EIO && rebind(),
	   "the driver is bound again to a device that rejects all requests");
	set_answer(-1, 0);
	online_block(0);
	set_answer(3, 1000000);
	offline_block(0);
	virtio_unbind(device);
	set_answer(-1, 0);
	ok(plugged() == block_size && virtio_bind(device, OURS) == 0 && ours() && plugged() == 0,
	   "memory that is plugged when the driver is bound is unplugged first");

	ok(online_block(1) == 0, "a block comes online before the device stops answering");
	write_file("1", PARAMETERS "/silent");
	started = now();
	ok(online_block(0) == -ETIMEDOUT && now() - started < 15,
	   "an online fails with ETIMEDOUT if the device does not answer");
	ok(kmsg_lines(&kmsg, "it is not used any more", NULL, 0) == 1 &&
	   !strcmp(read_file("/sys/bus/virtio/devices/%s/twostage/state", device), "broken"),
	   "the state of a device that does not answer is broken");
	started = now();
	ok(online_block(0) == -EIO && now() - started < 5, "a broken device gets no more requests");
	ok(!strcmp(block_stage(first_block() + 1), "populated") && offline_block(1) == 0,
	   "memory of a broken device stays usable until it goes offline");
	write_file("0", PARAMETERS "/silent");
	ok(rebind() && plugged() == 0 && online_block(0) == 0 && offline_block(0) == 0,
	   "a device that was broken works after it is bound again");

	/* The device may or may not have unplugged the block. */
	ok(region_online(0, "2 online_movable") == 0,
	   "two blocks come online before the device stops answering");
	write_file("1", PARAMETERS "/silent");
	ok(offline_block(0) == 0 && !strcmp(block_stage(first_block()), "standby"),
	   "a block goes offline even if the device does not answer");
	write_file("0", PARAMETERS "/silent");
	ok(online_block(0) == -EIO, "a block whose unplug was not answered does not come online");
	ok(virtio_unbind(device) == 0 && virtio_bind(device, OURS) == 0 && ours() && blocks_online(0) == 1 &&
	   plugged_becomes(block_size),
	   "a block whose unplug was not answered is unplugged after the device is bound again");
	ok(online_block(0) == 0 && plugged() == 2 * block_size && region_offline(0, "all") == 0 && plugged() == 0,
	   "a block whose unplug was not answered is plugged again afterwards");

	ok(online_block(0) == 0 && virtio_unbind(device) == 0,
	   "the driver is unbound while a block is online");
	set_answer(3, 1);
	ok(virtio_bind(device, OURS) != 0 && exists(REGION, 0) && blocks_online(0) == 1 &&
	   kmsg_lines(&kmsg, "does not report it as plugged", NULL, 0) == 1,
	   "the bind of a device that does not report online memory as plugged fails");
	set_answer(-1, 0);
	ok(virtio_bind(device, OURS) == 0 && ours() && offline_block(0) == 0 && plugged() == 0,
	   "the bind of a device that reports online memory as plugged succeeds");
	unbound_while_busy();
	ok(module_unload("virtio_mem_test") == 0,
	   "the module that changes the answers of the device is unloaded");
	kmsg_close(&kmsg);
}

static const char *device_text(const char *device, const char *name)
{
	return read_file("/sys/bus/virtio/devices/%s/twostage/%s", device, name);
}

/* Whether a device is bound, but has no region yet */
static bool starting(const char *device, int region)
{
	return !strcmp(virtio_driver(device), OURS) && !strcmp(device_text(device, "state"), "starting") &&
	       !*device_text(device, "region") && !exists(REGION, region);
}

static bool state_becomes(const char *device, const char *state, int seconds)
{
	return wait_until(!strcmp(device_text(device, "state"), state), seconds);
}

static void set_add_error(int error)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", error);
	write_file(text, PARAMETERS "/add_error");
}

static bool suspends(void)
{
	bool suspended;

	if (!exists("/sys/power/pm_test"))
		return true;
	write_file("devices", "/sys/power/pm_test");
	suspended = write_file("freeze", "/sys/power/state") == 0;
	write_file("none", "/sys/power/pm_test");
	return suspended;
}

/* twostage_region_add() times out, as it does while device_hotplug_lock is taken. */
static void region_added_later(void)
{
	struct kmsg kmsg = kmsg_mark();
	char text[64];

	if (!ok(module_load("virtio_mem_test", NULL) == 0, "the module that makes the device and the core fail is loaded"))
		return;
	ok(online_block(0) == 0, "a block comes online before the device rejects its unplug");
	set_answer(3, 1000000);
	ok(offline_block(0) == 0 && virtio_unbind(device) == 0 && plugged() == block_size,
	   "memory that cannot be unplugged stays plugged when the device is unbound");
	set_answer(-1, 0);

	set_add_error(ETIMEDOUT);
	ok(virtio_bind(device, OURS) == 0 && starting(device, 0),
	   "a device whose region cannot be added at once is bound, in state starting");
	ok(kmsg_lines(&kmsg, "the region is not added yet", NULL, 0) == 1,
	   "the log says that the region is added later");
	set_budget("vm0", BUDGET / 2);
	snprintf(text, sizeof(text), "the host's budget is %#" PRIx64, BUDGET / 2);
	ok(starting(device, 0) && kmsg_lines(&kmsg, text, NULL, 0) == 1,
	   "a device without a region takes a new budget");
	ok(suspends() && starting(device, 0),
	   "the system suspends and resumes with a device that has no region");
	ok(virtio_unbind(device) == 0 && plugged() == block_size,
	   "unbinding a device without a region unplugs nothing, since the memory may be in use");
	ok(virtio_bind(device, OURS) == 0 && starting(device, 0) && module_unload(OURS) == 0 && plugged() == block_size,
	   "the driver unloads with a device that has no region");
	ok(module_load(OURS, NULL) == 0 && starting(device, 0),
	   "the loaded driver is bound to the device, without a region");
	set_add_error(0);
	ok(region_there(0, true, 30) && state_becomes(device, "running", 5) && ours() && !strcmp(device_text(device, "region"), "region0"),
	   "the region is added later, and the state of the device is running");
	ok(attribute("budget") == BUDGET / 2 && plugged_becomes(0),
	   "the region has the new budget, and memory that was plugged before is unplugged");
	ok(online_block(0) == 0 && plugged() == block_size && offline_block(0) == 0 && plugged() == 0,
	   "a block of a region that was added later comes online and goes offline");
	set_budget("vm0", BUDGET);

	set_add_error(ETIMEDOUT);
	ok(virtio_unbind(device) == 0 && virtio_bind(device, OURS) == 0 && starting(device, 0),
	   "the device is bound without a region");
	set_add_error(EBUSY);
	ok(state_becomes(device, "broken", 30) && !exists(REGION, 0) &&
	   kmsg_lines(&kmsg, "the region cannot be added (", NULL, 0) == 1,
	   "a device whose region cannot be added later either is broken, and the log says why");
	ok(virtio_unbind(device) == 0 && virtio_bind(device, OURS) == -EBUSY && !*virtio_driver(device),
	   "the bind of a device whose region cannot be added fails with the error of the add");
	set_add_error(0);
	ok(virtio_bind(device, OURS) == 0 && ours(),
	   "a bind succeeds when the region can be added again");
	ok(module_unload("virtio_mem_test") == 0,
	   "the module that makes the device and the core fail is unloaded");
	kmsg_close(&kmsg);
}

/* QEMU answers BUSY to all requests while it migrates the guest. */
static void migrating(void)
{
	ok(online_block(0) == 0, "a block comes online before a migration");
	host("migrate_set_parameter max-bandwidth 4k");
	host("migrate -d \"exec:cat>/dev/null\"");
	if (!ok(wait_until(strstr(host_ask("info migrate"), "status: active"), 20), "the guest is being migrated"))
		return;
	ok(online_block(1) == -EBUSY, "an online fails with EBUSY during a migration");
	ok(offline_block(0) == 0 && plugged() == block_size,
	   "a block that goes offline during a migration stays plugged");
	host("migrate_cancel");
	ok(plugged_becomes(0),
	   "a block that went offline during a migration is unplugged after it");
	ok(online_block(1) == 0 && offline_block(1) == 0 && plugged() == 0,
	   "a block is plugged and unplugged after a migration");
}

static void unbound_in_use(void)
{
	struct memory memory;

	ok(module_unload(OURS) != 0 && module_loaded(OURS),
	   "the driver does not unload while it has a region");
	ok(region_online(0, "4 online_movable") == 0,
	   "four blocks come online before the driver is unbound");
	ok(prefer_device() && memory_fill(&memory, 450 * MIB, 4),
	   "four blocks are in use before the driver is unbound");
	ok(virtio_unbind(device) == 0 && exists(REGION, 0) && blocks_online(0) == 4 && plugged() == 4 * block_size,
	   "the region and its online blocks stay when the driver is unbound");
	ok(memory_check(&memory) < 0, "the data in a region stays when the driver is unbound");
	ok(online_block(5) == -ENODEV, "no block comes online while the driver is unbound");
	if (exists("/sys/power/pm_test")) {
		write_file("devices", "/sys/power/pm_test");
		ok(write_file("freeze", "/sys/power/state") == -EBUSY,
		   "suspend is refused while memory of an unbound device is in use");
		write_file("none", "/sys/power/pm_test");
	}
	ok(refused("region0", EPERM, "region0", BUS "/remove_region"),
	   "the region of an unbound device cannot be removed through remove_region");
	if (architecture.kernel_has_virtio_mem) {
		ok(module_load_system("virtio_mem", NULL) == 0 && !*virtio_driver(device),
		   "the kernel's own driver does not get a device whose memory is in use");
		module_unload("virtio_mem");
	}
	ok(virtio_bind(device, OURS) == 0 && ours(),
	   "the driver is bound again to a device whose memory is in use");
	ok(memory_check(&memory) < 0 && region_online(0, "1 online_movable") == 0,
	   "a block comes online after the driver is bound again");
	memory_free(&memory);
	prefer_any();
	ok(region_offline(0, "all") == 0 && plugged() == 0,
	   "all blocks go offline after the driver is bound again");

	ok(region_online(0, "2 online_movable") == 0 && virtio_unbind(device) == 0 && blocks_online(0) == 2,
	   "the driver is unbound while two blocks are online");
	ok(offline_block(0) == 0 && !usleep(2500000) && exists(REGION, 0),
	   "the region of an unbound device stays while a block is online");
	ok(offline_block(1) == 0 && region_there(0, false, 10),
	   "the region of an unbound device is removed after its last block goes offline");
	ok(virtio_bind(device, OURS) == 0 && ours() && plugged_becomes(0),
	   "memory that went offline while the driver was unbound is unplugged at the next bind");
}

static void other_notifier(void)
{
	const char *when = "a notifier beside a virtio-mem device";

	if (!notifier_add(when, "0"))
		return;
	notifier_refuse("MEM_GOING_ONLINE", ENOMEM);
	ok(region_online(0, "1 online_movable") == -ENOMEM && plugged() == 0,
	   "%s: a block whose online the notifier refuses is unplugged", when);
	notifier_refuse("MEM_GOING_ONLINE", 0);
	notifier_refusals(when, "online_movable", 0, first_block());
	ok(plugged() == 0, "%s: nothing stays plugged", when);
	notifier_remove(when);
}

static void hooks_off(void)
{
	ok(region_online(0, "1 online_movable") == 0,
	   "a block comes online before the hooks are switched off");
	write_file("0", ARMED);
	ok(online_block(5) == -EIO && offline_block(0) == -EIO && plugged() == block_size,
	   "blocks go neither online nor offline while the hooks are off");
	ok(virtio_unbind(device) == 0 && exists(REGION, 0) && blocks_online(0) == 1,
	   "the driver is unbound while the hooks are off, and the memory stays");
	ok(virtio_bind(device, OURS) == 0 && ours() && plugged() == block_size,
	   "the driver is bound again while the hooks are off");
	write_file("1", ARMED);
	ok(offline_block(0) == 0 && plugged() == 0,
	   "the block goes offline when the hooks are on again");
	write_file("0", ARMED);
	ok(virtio_unbind(device) == 0 && exists(REGION, 0),
	   "a region without online blocks stays if the driver is unbound while the hooks are off");
	write_file("1", ARMED);
	ok(region_there(0, false, 60),
	   "the region of an unbound device is removed when the hooks are on again");
	ok(virtio_bind(device, OURS) == 0 && ours() && plugged_becomes(0),
	   "the driver is bound again after the hooks were off");
}

/* The device is removed from its bus without regard to its memory. */
static void pulled(void)
{
	struct memory memory;
	uint64_t size;

	ok(region_online(0, "3 online_movable") == 0,
	   "three blocks come online before the device is removed");
	ok(prefer_device() && memory_fill(&memory, 200 * MIB, 7) &&
	   memory_inside(&memory, first_block() * block_size, REGION_SIZE) > 100 * MIB,
	   "blocks are in use before the device is removed");
	prefer_any();
	size = plugged();
	host_ask("device_del vm0");
	sleep(2);
	ok(ours() && plugged() == size && memory_check(&memory) < 0,
	   "the host does not remove a device whose memory is plugged");
	ok(virtio_remove(device) == 0 && exists(REGION, 0) &&
	   blocks_online(0) == 3 && memory_check(&memory) < 0,
	   "the memory stays when the device is removed from its bus");
	ok(online_block(5) == -ENODEV && offline_block(2) == 0,
	   "blocks of a device that was removed go offline, but not online");
	ok(virtio_find_again() == 0, "the bus is searched for the device");
	wait_until(*virtio_device(VIRTIO_ID_MEM, 0), 20);
	snprintf(device, sizeof(device), "%s", virtio_device(VIRTIO_ID_MEM, 0));
	ok(wait_until(ours(), 20) && blocks_online(0) == 2 && plugged_becomes(2 * block_size) && region_online(0, "1 online_movable") == 0,
	   "a device that appears again is bound to the region with its memory");

	ok(memory_check(&memory) < 0,
	   "no data is lost when the device is removed and appears again");
	memory_free(&memory);
	ok(region_offline(0, "all") == 0, "all blocks of a device that appeared again go offline");
}

/* The last test of the group: an unload by force disables lockdep. */
static void unloaded_by_force(void)
{
	struct memory memory;
	bool returned;
	int status;
	pid_t pid;

	ok(region_online(0, "3 online_movable") == 0 && prefer_device() && memory_fill(&memory, 200 * MIB, 8) &&
	   memory_inside(&memory, first_block() * block_size, REGION_SIZE) > 100 * MIB,
	   "blocks are in use before the driver is unloaded by force");
	prefer_any();
	pid = fork();
	if (!pid)
		_exit(-module_unload_by_force(OURS));
	wait_until((returned = waitpid(pid, &status, WNOHANG) == pid) ||
		   sleeps_in(pid, "twostage_wait_for_regions"), 30);
	if (returned) {
		if (WEXITSTATUS(status) == EWOULDBLOCK)
			skip("this kernel cannot unload by force", "the driver is unloaded by force");
		else
			ok(false,
			   "the exit function of a driver that is unloaded by force waits for its region (%s)", strerror(WEXITSTATUS(status)));
	} else {
		ok(module_loaded(OURS) && blocks_online(0) == 3 && memory_check(&memory) < 0,
		   "a driver that is unloaded by force stays until its region is removed, and the data is right");
		ok(region_offline(0, "all") == 0 && region_there(0, false, 10),
		   "the region of a driver that is unloaded by force is removed after its last block goes offline");
		waitpid(pid, &status, 0);
		ok(!module_loaded(OURS) && module_load(OURS, NULL) == 0 && ours() && plugged_becomes(0),
		   "a driver that was unloaded by force unplugs leftover memory when it is loaded again");
	}
	ok(memory_check(&memory) < 0, "no data is lost by an unload by force");
	memory_free(&memory);
	ok(region_offline(0, "all") == 0, "all blocks are standby after an unload by force");
}

/* To the kernel's own driver for such devices, and back */
static void hand_over(void)
{
	long long total = meminfo("MemTotal");

	if (!architecture.kernel_has_virtio_mem) {
		skip("this kernel has no driver of its own",
		     "the kernel's own driver is bound to the device");
		return;
	}
	ok(virtio_unbind(device) == 0 && !exists(REGION, 0),
	   "the region is removed when the driver is unbound and no block is online");
	write_file("online_movable", MEMORY "/auto_online_blocks");
	ok(module_load_system("virtio_mem", NULL) == 0 && !strcmp(virtio_driver(device), "virtio_mem"),
	   "the kernel's own driver is bound to the device");
	ok(plugged_becomes(BUDGET) && wait_until(meminfo("MemTotal") > total, 10),
	   "the kernel's own driver plugs what the host requests");
	set_budget("vm0", 0);
	/* That driver removes a block after it has unplugged it. */
	ok(plugged_becomes(0) && wait_until(!iomem_count("System RAM (virtio_mem)"), 30) &&
	   virtio_unbind(device) == 0 && module_unload("virtio_mem") == 0,
	   "the kernel's own driver unplugs all memory, is unbound and unloads");
	write_file("offline", MEMORY "/auto_online_blocks");
	set_budget("vm0", BUDGET);
	ok(virtio_bind(device, OURS) == 0 && ours(),
	   "the driver is bound after the kernel's own driver");
	ok(region_online(0, "2 online_movable") == 0 && region_offline(0, "all") == 0,
	   "blocks go online and offline after the kernel's own driver had the device");
}

static void suspended(void)
{
	struct kmsg kmsg = kmsg_mark();

	if (!exists("/sys/power/pm_test")) {
		skip("this kernel has no pm_test", "suspend is refused while a block is online");
		return;
	}
	write_file("devices", "/sys/power/pm_test");
	ok(region_online(0, "1 online_movable") == 0, "a block comes online before a suspend");
	ok(write_file("freeze", "/sys/power/state") != 0 && kmsg_lines(&kmsg, "cannot suspend", NULL, 0) == 1,
	   "suspend is refused while a block is online, since its memory may be lost");
	if (exists("/sys/power/disk"))
		ok(write_file("disk", "/sys/power/state") != 0 && kmsg_lines(&kmsg, "hibernation refused", NULL, 0) == 1,
		   "hibernation is refused while a block is online");
	else
		skip("this kernel cannot hibernate", "hibernation is refused while a block is online");
	ok(region_offline(0, "1") == 0 && write_file("freeze", "/sys/power/state") == 0,
	   "the system suspends while all blocks are standby");
	ok(region_online(0, "1 online_movable") == 0 && plugged() == block_size && region_offline(0, "1") == 0,
	   "a block is plugged and unplugged after a suspend");
	write_file("none", "/sys/power/pm_test");
	kmsg_close(&kmsg);
}

/* The driver of the bus is part of the baseline: it stays loaded. */
static void setup(void)
{
	write_file("offline", MEMORY "/auto_online_blocks");
	/* A test of suspend lasts 5 s otherwise. */
	write_file("1", "/sys/module/suspend/parameters/pm_test_delay");
	ok(!architecture.virtio_bus || module_load_system(architecture.virtio_bus, NULL) == 0,
	   "the driver of the virtio bus is loaded");
	virtio_bus();
}

static bool start(void)
{
	snprintf(device, sizeof(device), "%s", virtio_device(VIRTIO_ID_MEM, 0));
	if (!ok(*device, "the guest has a virtio-mem device"))
		return false;
	if (block_size != 128 * MIB)
		host_ask("qom-set vm0 requested-size %" PRIu64, BUDGET);
	return load_twostage(NULL);
}

static bool any_goes_offline(void)
{
	bool found = false;
	int i;

	for (i = 0; i < 4; i++)
		found |= !strcmp(block_state(first_block() + i), "going-offline");
	return found;
}

/* Hold device_hotplug_lock: an offline of a block of vm0 waits for a page that is pinned. */
static pid_t lock(struct pin *pin, const struct memory *memory)
{
	pid_t pid;

	if (!ok(memory_pin(memory, pin, first_block() * block_size, REGION_SIZE), "a page of the first device is pinned"))
		return -1;
	pid = fork();
	if (!pid) {
		/* The child's reference to the page */
		memory_unpin(pin);
		_exit(-region_offline(0, "all"));
	}
	wait_until(any_goes_offline(), 20);
	return pid;
}

static bool unlock(struct pin *pin, pid_t pid)
{
	bool waiting = !waitpid(pid, NULL, WNOHANG);

	memory_unpin(pin);
	return waiting && waitpid(pid, NULL, 0) == pid;
}

static void hotplug_lock_taken(const char *other)
{
	struct memory memory;
	double started;
	struct pin pin;
	pid_t pid;

	ok(region_online(0, "3 online_movable") == 0 && prefer_device() && memory_fill(&memory, block_size, 3),
	   "memory of the first device is in use before the second is bound");
	prefer_any();

	ok(virtio_unbind(other) == 0 && !exists(REGION, 1),
	   "the driver is unbound from the second device");
	pid = lock(&pin, &memory);
	started = now();
	ok(virtio_bind(other, OURS) == 0 && starting(other, 1),
	   "a device is bound, without a region, while an offline holds device_hotplug_lock");
	diag("bound after %.1f s", now() - started);
	ok(wait_until(any_sleeps_in("retry_work+"), 20), "the driver tries again, and waits for device_hotplug_lock");
	started = now();
	ok(virtio_unbind(other) == 0 && !exists(REGION, 1),
	   "a device without a region is unbound while an offline holds device_hotplug_lock");
	diag("unbound after %.1f s", now() - started);
	ok(virtio_bind(other, OURS) == 0 && starting(other, 1),
	   "the device is bound once more, without a region");
	ok(unlock(&pin, pid), "the offline ends when the page is released");
	/* The region appears a moment before the driver knows that it was added. */
	ok(region_there(1, true, 60) && !strcmp(virtio_driver(other), OURS) &&
	   state_becomes(other, "running", 5),
	   "the region is added when device_hotplug_lock is free");

	memory_free(&memory);
	ok(region_online(0, "3 online_movable") == 0 && prefer_device() && memory_fill(&memory, block_size, 4),
	   "memory of the first device is in use before the second is unbound");
	prefer_any();
	pid = lock(&pin, &memory);
	started = now();
	ok(virtio_unbind(other) == 0 && exists(REGION, 1),
	   "a device with a region is unbound while an offline holds device_hotplug_lock, and the region stays");
	diag("unbound after %.1f s", now() - started);
	ok(virtio_bind(other, OURS) == 0 && exists(REGION, 1),
	   "a device is bound to its remaining region while an offline holds device_hotplug_lock");
	ok(virtio_unbind(other) == 0 && unlock(&pin, pid),
	   "the device is unbound once more before the offline ends");
	ok(region_there(1, false, 60),
	   "the region of an unbound device is removed when device_hotplug_lock is free");
	ok(virtio_bind(other, OURS) == 0 && region_online(1, "1 online_movable") == 0 && region_give_back(1) == 0,
	   "blocks of a device go online and offline after waits for device_hotplug_lock");
	ok(memory_check(&memory) < 0 && region_give_back(0) == 0,
	   "no data is lost by waits for device_hotplug_lock");
	memory_free(&memory);
}

/*
 * Load both drivers, the kernel's own first: the driver core offers a device
 * without a driver to that one first.
 */
static bool after_the_other_driver(const char *other)
{
	bool taken;

	if (!architecture.kernel_has_virtio_mem)
		return true;
	set_budget("vm0", 0);
	set_budget("vm2", 0);
	taken = virtio_unbind(device) == 0 && virtio_unbind(other) == 0 && module_unload(OURS) == 0 &&
		module_load_system("virtio_mem", NULL) == 0 && !strcmp(virtio_driver(other), "virtio_mem");
	taken = ok(taken && module_load(OURS, NULL) == 0 && virtio_unbind(device) == 0 && virtio_bind(device, OURS) == 0 &&
		   ours() && virtio_unbind(other) == 0 && virtio_bind(other, OURS) == 0 && exists(REGION, 1),
		   "both devices are bound to the driver while the kernel's own driver is loaded, too");
	set_budget("vm0", BUDGET);
	set_budget("vm2", 512 * MIB);
	return taken;
}

/* ACPI hotplug adds the device with device_hotplug_lock held. */
static void second_device(void)
{
	struct accounts *before = accounts_take();
	char other[32];

	host_ask("object_add memory-backend-ram,id=vmem2,size=512M");
	host_ask("device_add %s,id=vm2,memdev=vmem2,requested-size=512M%s", architecture.virtio_mem,
		 architecture.virtio_slot);
	/* The kernel of make check-debug is built without hotplug of PCI devices. */
	if (!wait_until(*virtio_device(VIRTIO_ID_MEM, 1), 20)) {
		diag("this kernel has no hotplug of PCI devices: rescanning the bus");
		write_file("1", "/sys/bus/pci/rescan");
		wait_until(*virtio_device(VIRTIO_ID_MEM, 1), 20);
	}
	snprintf(other, sizeof(other), "%s", virtio_device(VIRTIO_ID_MEM, 1));
	if (!ok(*other && region_there(1, true, 30) && wait_until(!strcmp(virtio_driver(other), OURS), 20),
		"a device that the host plugs is bound to the driver"))
		return;
	ok(region_online(1, "all online_movable") == 0 && qemu_property("vm2", "size") == (long long)(512 * MIB) &&
	   region_give_back(1) == 0 && qemu_property("vm2", "size") == 0,
	   "all blocks of a device that the host plugged go online and offline");
	if (!after_the_other_driver(other))
		return;
	hotplug_lock_taken(other);
	if (architecture.kernel_has_virtio_mem)
		ok(module_unload("virtio_mem") == 0,
		   "the kernel's own driver unloads, and has no device");
	ok(virtio_unbind(other) == 0 && region_there(1, false, 1),
	   "the region of the second device is removed when it is unbound");
	ok(virtio_remove(other) == 0 && accounts_same(before),
	   "the system is as before the second device was plugged");
	accounts_free(before);
}

static void run(void)
{
	struct accounts *before, *standby;
	struct kmsg kmsg;

	if (!start())
		return;
	before = accounts_take();
	ok(module_load(OURS, NULL) == 0 && ours(),
	   "the driver is bound to the device when it is loaded");
	ok(!strcmp(read_file(REGION "/provider", 0), "virtio_mem") && attribute("size") == REGION_SIZE &&
	   blocks_online(0) == 0 && !strcmp(block_state(first_block() + (int)(REGION_SIZE / block_size) - 1), "offline"),
	   "all memory of the device is one standby region");
	if (device_node() >= 0)
		ok(read_number(REGION "/node", 0) == device_node() &&
		   exists("/sys/devices/system/node/node%d/memory%d", device_node(), first_block()),
		   "the region is on the node of the device");
	else
		ok(read_number(REGION "/node", 0) == 0, "the region is on node 0 if the device has none");
	standby = accounts_take();
	cycle();
	budget();
	ok(accounts_same(standby), "the system is as it was after stage 1");
	accounts_free(standby);
	answers();
	region_added_later();
	migrating();
	unbound_in_use();
	other_notifier();
	hooks_off();
	pulled();
	hand_over();
	suspended();
	second_device();
	unloaded_by_force();

	kmsg = kmsg_mark();
	ok(virtio_unbind(device) == 0 && !exists(REGION, 0) && module_unload(OURS) == 0,
	   "the driver is unbound and unloads");
	ok(!kmsg_lines(&kmsg, "never took back", NULL, 0),
	   "no memory stays plugged after the unload");
	kmsg_close(&kmsg);
	ok(accounts_same(before), "the system is as it was before the driver was loaded");
	accounts_free(before);
	unload_twostage();
}

static uint64_t left_over(int n)
{
	return strtoull(device_text(virtio_device(VIRTIO_ID_MEM, n), "left_over"), NULL, 0);
}

/* Two devices: vm0 has device blocks of 256 MiB, vm1 begins in the middle of a memory block. */
static void run_odd(void)
{
	struct accounts *before;
	struct kmsg kmsg;
	uint64_t start1;

	if (block_size != 128 * MIB) {
		skip("this kernel's memory blocks are as large as those of the device",
		     "the driver is bound to both devices");
		return;
	}
	if (!start())
		return;
	before = accounts_take();
	kmsg = kmsg_mark();
	ok(module_load(OURS, NULL) == 0 && exists(REGION, 0) && exists(REGION, 1),
	   "the driver is bound to both devices");
	ok(kmsg_lines(&kmsg, "outside of its aligned units", NULL, 0) == 1,
	   "the log has the memory that does not fit into whole memory blocks");
	kmsg_close(&kmsg);
	/* The bus determines which of the two is region0. */
	int large = strtoull(read_file(REGION "/size", 0), NULL, 0) == GIB ? 0 : 1, odd = 1 - large;

	/* Unplugged memory must not be accessed. The host would allocate pages that are read. */
	for (int i = 0; i < 64; i++)
		look_at_block(block_at(strtoull(read_file(REGION "/start", i % 2), NULL, 0)) +
			      i / 2 % read_number(REGION "/blocks", i % 2));
	ok(shared_kib() == 0,
	   "reading all attributes of standby blocks accesses no memory of the devices");

	start1 = strtoull(read_file(REGION "/start", odd), NULL, 0);
	ok(start1 % block_size == 0 && strtoull(read_file(REGION "/size", odd), NULL, 0) == GIB / 2 - block_size,
	   "the region consists of the whole memory blocks of the device");
	/* The numbers of devices and regions are not in the same order. */
	ok(left_over(0) + left_over(1) == block_size,
	   "left_over is the memory that does not fit into whole memory blocks");
	ok(region_online(odd, "all online_movable") == 0 && qemu_property("vm1", "size") == (long long)(GIB / 2 - block_size),
	   "all whole memory blocks of an unaligned device come online");
	ok(region_offline(odd, "all") == 0 && qemu_property("vm1", "size") == 0,
	   "all blocks of an unaligned device go offline and are unplugged");

	ok(region_online(large, "1 online_movable") == 0 && plugged() == 256 * MIB,
	   "a device block of two memory blocks is plugged when the first comes online");
	ok(region_online(large, "1 online_movable") == 0 && plugged() == 256 * MIB,
	   "a device block of two memory blocks is not plugged again for the second");
	ok(region_offline(large, "1") == 0 && plugged() == 256 * MIB,
	   "a device block of two memory blocks stays plugged while one of them is online");
	ok(region_offline(large, "1") == 0 && plugged() == 0,
	   "a device block of two memory blocks is unplugged after both are offline");

	ok(virtio_unbind(virtio_device(VIRTIO_ID_MEM, 0)) == 0 && virtio_unbind(virtio_device(VIRTIO_ID_MEM, 1)) == 0 &&
	   module_unload(OURS) == 0, "the driver is unbound from both devices and unloads");
	ok(accounts_same(before), "the system is as it was before the driver was loaded");
	accounts_free(before);
	unload_twostage();
}

static struct memory taken;

/* The kernel's own driver is unbound while memory is in use: that memory stays until a reboot. */
static void setup_taken(void)
{
	setup();
	snprintf(device, sizeof(device), "%s", virtio_device(VIRTIO_ID_MEM, 0));
	write_file("online_movable", MEMORY "/auto_online_blocks");
	ok(module_load_system("virtio_mem", NULL) == 0 && plugged_becomes(BUDGET),
	   "the kernel's own driver plugs the budget");
	ok(prefer_device() && memory_fill(&taken, 450 * MIB, 5),
	   "memory of the kernel's own driver is in use");
	prefer_any();
	ok(virtio_unbind(device) == 0 && plugged() == BUDGET,
	   "memory stays plugged when the kernel's own driver is unbound");
	write_file("offline", MEMORY "/auto_online_blocks");
}

static void run_taken(void)
{
	if (!start())
		return;
	ok(module_load(OURS, NULL) == 0 && !*virtio_driver(device),
	   "loading the driver does not bind it to a device whose memory another driver has left in use");
	ok(virtio_bind(device, OURS) == -EBUSY && !exists(REGION, 0),
	   "a bind to a device whose memory another driver has left in use fails with EBUSY");
	ok(plugged() == BUDGET && memory_check(&taken) < 0,
	   "memory that another driver has left in use stays plugged, with its data");
	ok(module_unload(OURS) == 0, "the driver unloads without a device");
	memory_free(&taken);
	unload_twostage();
}

/* The memory of the device is shared: the host allocates each page that is read or written. */
static void run_given_back(void)
{
	struct accounts *before;
	struct memory memory;
	const int blocks = REGION_SIZE / block_size;
	long long used, kib;
	int i;

	if (!start())
		return;
	before = accounts_take();
	ok(module_load(OURS, NULL) == 0 && ours(),
	   "the driver is bound to a device with shared memory");
	ok(shared_kib() == 0, "the host allocates no page for standby memory");
	ok(region_online(0, "8 online_movable") == 0 && memory_fill(&memory, 500 * MIB, 7),
	   "eight blocks are online and in use");
	used = shared_kib();
	memory_free(&memory);
	ok(used > 300 * 1024, "the host allocates pages for memory in use");
	ok(region_give_back(0) == 0 && plugged() == 0 && shared_kib() == 0,
	   "the host frees all pages of blocks that go offline, those of their memmap included");

	write_file("1", "/proc/sys/vm/compact_memory");
	write_file("3", "/proc/sys/vm/drop_caches");
	for (i = 0; i < blocks * 16; i++)
		look_at_block(first_block() + i / 16);
	for (i = 0; i < blocks; i++) {
		page_offline("soft", (first_block() + i) * block_size);
		page_offline("hard", (first_block() + i) * block_size);
	}
	run_command("for file in /proc/kpage* /proc/pagetypeinfo /proc/zoneinfo /proc/iomem; do cat $file >/dev/null; done");
	run_command("lsmem -a >/dev/null; cat /sys/devices/system/memory/*/* >/dev/null 2>&1");
	ok(memory_fill(&memory, 200 * MIB, 8) && memory_check(&memory) < 0,
	   "ordinary memory is used until it is short");
	memory_free(&memory);
	kib = shared_kib();
	ok(kib == 0, "no page of an unplugged block is read");
	if (kib)
		diag("%lld KiB", kib);
	/* Only a memmap in the block is written at once. */
	ok(region_online(0, "1 online_movable") == 0 && (shared_kib() > 0 || !memmap_fits_block()) &&
	   region_give_back(0) == 0 && shared_kib() == 0,
	   "a block is plugged and unplugged once more");
	ok(virtio_unbind(device) == 0 && module_unload(OURS) == 0 && shared_kib() == 0,
	   "the driver is unbound and unloads, and the host has allocated no page");
	ok(accounts_same(before), "the system is as it was before the driver was loaded");
	accounts_free(before);
	unload_twostage();
}

/* As in the scenario */
#define MANY_BLOCKS (64 * GIB / block_size)
/* The most lines that one operation may log */
#define MANY_LINES 40

/*
 * What the module has logged: the number of lines, of lines with the reason (summaries left out), and of messages about
 * a block, those included that a summary only counts.
 */
struct said {
	int lines, reasons;
	long messages;
};

static struct said logged(struct kmsg *kmsg, const char *reason)
{
	struct said said = { 0 };
	char line[512];

	while (kmsg_next(kmsg, "twostage", line, sizeof(line))) {
		const char *more = strstr(line, " more message");
		long count = 1;

		if (strncmp(line, "twostage: ", 10) && strncmp(line, "twostage_", 9))
			continue;

		if (more) {
			while (more > line && more[-1] != ' ')
				more--;
			count = strtol(more, NULL, 10);
		}
		said.lines++;
		said.reasons += !more && strstr(line, reason);
		said.messages += strstr(line, ": block at ") ? count : 0;
	}
	return said;
}

/* Adds what was logged since the last call to @said; whether that has so many messages */
static bool all_logged(struct kmsg *kmsg, const char *reason, long messages, struct said *said)
{
	const struct said more = logged(kmsg, reason);

	said->lines += more.lines;
	said->reasons += more.reasons;
	said->messages += more.messages;
	return said->messages >= messages;
}

/* chmem tries every offline block, and does not report the reason of a failure. */
static void many_refused(const char *when, const char *reason, long blocks)
{
	struct kmsg kmsg = kmsg_mark();
	struct said said = { 0 };

	ok(run_command("chmem -e 1g >/dev/null 2>&1") != 0, "%s: chmem -e fails", when);
	/* The count of the last refusals is logged with a delay. */
	wait_until(all_logged(&kmsg, reason, blocks, &said), 20);
	diag("%s: %d lines", when, said.lines);
	ok(said.reasons >= 1, "%s: the log has the reason", when);
	ok(said.lines <= MANY_LINES,
	   "%s: the log has at most %d lines of it", when, MANY_LINES);
	ok(said.messages == blocks,
	   "%s: the log has the number of refusals (%ld)", when, said.messages);
	kmsg_close(&kmsg);
}

static void reasons_again(void)
{
	const char *reason = "the host's budget does not allow";
	struct kmsg kmsg = kmsg_mark();
	struct said said = { 0 };

	ok(online_block(8) == -ENOSPC && logged(&kmsg, reason).reasons == 1,
	   "a reason other than the last one is logged");
	ok(online_block(8) == -ENOSPC && online_block(9) == -ENOSPC && logged(&kmsg, reason).lines == 0,
	   "a reason is not logged again for the next block");
	wait_until(all_logged(&kmsg, reason, 2, &said), 5);
	ok(said.lines == 1 && said.messages == 2, "the number of refusals is logged within 5 s");
	set_budget("vm0", BUDGET + block_size);
	logged(&kmsg, reason);
	ok(online_block(8) == 0 && online_block(9) == -ENOSPC && logged(&kmsg, reason).reasons == 1,
	   "a reason is logged again after the budget has grown and a block has come online");
	ok(offline_block(8) == 0 && online_block(8) == 0 && online_block(9) == -ENOSPC &&
	   logged(&kmsg, reason).reasons == 1,
	   "a reason is logged again after any block has come online");
	ok(region_online(0, "1 online_movable") == -ENOSPC && logged(&kmsg, reason).reasons == 1 &&
	   region_online(0, "1 online_movable") == -ENOSPC && logged(&kmsg, reason).reasons == 1,
	   "each failed write to the region's online attribute has its reason logged");
	kmsg_close(&kmsg);
}

/* Regions at addresses without memory, so that no block can come online */
static void many_of_other_providers(void)
{
	char text[80];

	ok(region_add(architecture.nowhere, 64 * GIB, NULL) == 0, "a region without memory is added");
	many_refused("blocks without memory", "no memory at", MANY_BLOCKS);
	ok(region_remove(0) == 0, "a region without memory is removed");

	snprintf(text, sizeof(text), "%#" PRIx64 " 0x1000000000 0x8000000", architecture.nowhere);
	ok(module_load("twostage_test", NULL) == 0 &&
	   write_file(text, "/sys/kernel/debug/twostage_test/add") == 0,
	   "a region of a provider in another module is added");
	write_file("12", "/sys/kernel/debug/twostage_test/assign_error");
	many_refused("a provider that reports no reason", "provider test does not assign", MANY_BLOCKS);
	ok(write_file("region0", "/sys/kernel/debug/twostage_test/remove") == 0 && module_unload("twostage_test") == 0,
	   "the region of a provider in another module is removed");
}

static void run_many(void)
{
	struct kmsg kmsg;

	if (!start())
		return;
	ok(module_load(OURS, NULL) == 0 && ours(), "the driver is bound to a device of 64 GiB");
	ok(region_online(0, "8 online_movable") == 0,
	   "eight blocks use up the budget of a device of 64 GiB");
	many_refused("the budget is used up", "the host's budget does not allow", MANY_BLOCKS - 8);
	/* The host makes 256 MiB usable beyond the budget, which has to be two blocks. */
	if (block_size == 128 * MIB)
		reasons_again();
	else
		skip("memory blocks are too large", "a reason other than the last one is logged");
	ok(region_offline(0, "all") == 0, "the blocks go offline after the refusals");
	set_budget("vm0", BUDGET);
	write_file("0", ARMED);
	many_refused("the hooks are off", "the hooks are switched off", MANY_BLOCKS);
	write_file("1", ARMED);
	ok(online_block(0) == 0 && virtio_unbind(device) == 0,
	   "the driver is unbound while one block is online");
	many_refused("the driver is unbound", "the device is not bound to this driver", MANY_BLOCKS - 1);
	ok(virtio_bind(device, OURS) == 0 && offline_block(0) == 0,
	   "the driver is bound again, and the block goes offline");

	ok(module_load("virtio_mem_test", NULL) == 0,
	   "the module that changes the answers of the device is loaded");
	ok(region_online(0, "8 online_movable") == 0,
	   "eight blocks come online before the device rejects requests");
	/* VIRTIO_MEM_RESP_ERROR */
	set_answer(3, 1000000);
	kmsg = kmsg_mark();
	ok(region_offline(0, "all") == 0 && logged(&kmsg, "cannot unplug").reasons == 1,
	   "blocks that cannot be unplugged for the same reason get one line in the log");
	kmsg_close(&kmsg);
	set_answer(-1, 0);
	ok(plugged_becomes(0), "blocks that could not be unplugged are unplugged later");
	ok(module_unload("virtio_mem_test") == 0,
	   "the module that changes the answers of the device is unloaded");

	ok(virtio_unbind(device) == 0 && region_there(0, false, 10) && module_unload(OURS) == 0,
	   "the driver is unbound from a device of 64 GiB and unloads");
	many_of_other_providers();
	unload_twostage();
}

GROUP(group_virtio_mem_given_back) = {
	.name = "virtio-mem-given-back", .title = "unplugged memory is never read",
	.setup = setup, .run = run_given_back,
};

GROUP(group_virtio_mem_taken) = {
	.name = "virtio-mem-taken", .title = "a virtio-mem device whose memory another driver has left in use",
	.setup = setup_taken, .run = run_taken,
};

GROUP(group_virtio_mem) = {
	.name = "virtio-mem", .title = "standby memory on a virtio-mem device", .setup = setup, .run = run,
};

GROUP(group_virtio_mem_odd) = {
	.name = "virtio-mem-odd", .title = "virtio-mem devices of odd sizes", .setup = setup, .run = run_odd,
};

GROUP(group_virtio_mem_many) = {
	.name = "virtio-mem-many", .title = "refusals of many blocks do not flood the log", .setup = setup,
	.run = run_many,
};
