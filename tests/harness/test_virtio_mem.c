// SPDX-License-Identifier: GPL-2.0-only
/*
 * Standby memory on virtio-mem devices
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define VIRTIO_ID_MEM 24
#define PARAMETERS "/sys/module/virtio_mem_test/parameters"
#define OURS "twostage_virtio_mem"

/* As in the scenario */
#define REGION_SIZE (4 * GIB)
#define ARMED "/sys/kernel/debug/kprobes/enabled"
#define BUDGET GIB

static char device[32];

/* A number that QEMU tells of a device, by the name of its property */
static long long told(const char *id, const char *property)
{
	return strtoll(host_ask("qom-get %s %s", id, property), NULL, 10);
}

static uint64_t plugged(void)
{
	return told("vm0", "size");
}

static long long resident_mib(void)
{
	return strtoll(host_ask("rss"), NULL, 10) / 1024;
}

/* What the host backs of memory that it shares with somebody, as it does with a memfd */
static long long shared_kib(void)
{
	return strtoll(host_ask("shared"), NULL, 10);
}

/* Waits for what the driver does by itself after a while. */
static bool comes_to(uint64_t size)
{
	int tries;

	for (tries = 0; tries < 300 && plugged() != size; tries++)
		usleep(100000);
	return plugged() == size;
}

static bool region_there(int id, bool there, int seconds)
{
	int tries;

	for (tries = 0; tries < 10 * seconds && exists(REGION, id) != there; tries++)
		usleep(100000);
	return exists(REGION, id) == there;
}

static uint64_t device_attribute(const char *name)
{
	return strtoull(read_file("/sys/bus/virtio/devices/%s/twostage/%s", device, name), NULL, 0);
}

static void set_budget(const char *id, uint64_t size)
{
	/* The device has told the driver when the reply comes, and the driver has to be told by a work item. */
	host_ask("qom-set %s requested-size %" PRIu64, id, size);
	usleep(700000);
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

/* The kernel's events for user space since the socket was opened */
static int events_open(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static bool events_have(int fd, const char *header, const char *variable)
{
	char event[8192];
	bool found = false;
	ssize_t length;

	while ((length = recv(fd, event, sizeof(event) - 1, 0)) > 0) {
		char *end = event + length, *word;

		*end = '\0';
		if (strncmp(event, header, strlen(header)))
			continue;
		for (word = event; word < end; word += strlen(word) + 1)
			found |= !strcmp(word, variable);
	}
	return found;
}

static void cycle(void)
{
	long long total = meminfo("MemTotal"), before, used, after;
	struct memory memory;

	ok(attribute("budget") == BUDGET && attribute("plugged") == 0 && plugged() == 0,
	   "the region tells the budget, and that nothing is plugged");
	before = resident_mib();

	ok(online_block(0) == 0 && plugged() == block_size && attribute("plugged") == block_size,
	   "a block that is set online is plugged");
	ok(meminfo("MemTotal") - total == (long long)(block_size / 1024 * 63 / 64), "its memmap is its own");
	ok(online_block(3) == 0 && plugged() == 2 * block_size, "which block is for the guest to choose");
	ok(region_online(0, "6 online_movable") == 0 && plugged() == BUDGET, "all of the budget is taken");
	ok(memory_prefer(1) && memory_fill(&memory, 700 * MIB, 1) &&
	   memory_inside(&memory, first_block() * block_size, REGION_SIZE) > 400 * MIB, "it is used");
	used = resident_mib();
	ok(used - before > 400, "QEMU's resident memory grows");
	ok(memory_check(&memory) < 0, "the data is right");
	memory_free(&memory);
	memory_prefer(-1);
	ok(region_offline(0, "all") == 0 && plugged() == 0, "all of it is unplugged");
	after = resident_mib();
	diag("QEMU's resident memory: %lld MiB standby, %lld MiB used, %lld MiB afterwards", before, used, after);
	ok(used - after > 400 && after - before < 128, "and QEMU's resident memory shrinks by that");
}

static void budget(void)
{
	struct kmsg kmsg = kmsg_mark();
	char text[64];
	int events = events_open();

	ok(region_online(0, "8 online_movable") == 0, "all of the budget is taken");
	ok(online_block(8) == -ENOSPC && !strcmp(block_stage(first_block() + 8), "standby") && plugged() == BUDGET,
	   "more than that is refused, and nothing has changed");
	ok(kmsg_lines(&kmsg, "the host's budget does not allow", NULL, 0) == 1, "the log says why");

	set_budget("vm0", BUDGET / 2);
	snprintf(text, sizeof(text), "BUDGET=%#" PRIx64, (uint64_t)BUDGET / 2);
	ok(attribute("budget") == BUDGET / 2 && events_have(events, "change@/devices/twostage/region0", text),
	   "a budget that shrinks is told, by attribute and event");
	ok(kmsg_lines(&kmsg, "the host wants 0x20000000 bytes back", NULL, 0) == 1, "and by a line in the log");
	ok(blocks_online(0) == 8 && plugged() == BUDGET, "but not enforced");
	ok(region_offline(0, "5") == 0 && plugged() == 3 * block_size, "blocks that go offline are unplugged");
	ok(region_online(0, "1 online_movable") == 0 && region_online(0, "1 online_movable") == -ENOSPC,
	   "and up to the new budget blocks come online");
	set_budget("vm0", BUDGET);
	ok(attribute("budget") == BUDGET && region_online(0, "1 online_movable") == 0,
	   "a budget that grows can be used at once");
	ok(device_attribute("usable_size") < REGION_SIZE && device_attribute("left_over") == 0 &&
	   device_attribute("block_size") == 2 * MIB &&
	   !strcmp(read_file("/sys/bus/virtio/devices/%s/twostage/region", device), "region0"),
	   "the device tells its region, and what of it is usable");
	ok(online_block(31) == -ENOSPC && kmsg_lines(&kmsg, "beyond what the host makes usable", NULL, 0) == 1,
	   "a block that the host does not make usable is refused, with the reason");
	ok(region_offline(0, "all") == 0 && plugged() == 0, "all of it is unplugged");
	/* A block is asked for in two requests, of which the device refuses the second. */
	set_budget("vm0", BUDGET / 2 + block_size / 2);
	ok(region_online(0, "5 online_movable") == -ENOSPC && blocks_online(0) == 4 && plugged() == BUDGET / 2,
	   "of a block for half of which there is a budget, nothing stays plugged");
	set_budget("vm0", BUDGET);
	ok(region_online(0, "1 online_movable") == 0 && region_offline(0, "all") == 0 && plugged() == 0,
	   "with all of the budget it comes online");
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

/* The driver is not asked again what it did not get back before, so the device has to be reset. */
static bool rebind(void)
{
	return virtio_unbind(device) == 0 && virtio_bind(device, OURS) == 0 && ours();
}

/* The device is busy, and goes on being asked for a block, when its driver lets go of it. */
static void unbound_meanwhile(void)
{
	int status = -1, ret;
	bool waiting;
	pid_t pid;

	set_answer(2, 1000000);
	pid = fork();
	if (!pid)
		_exit(-online_block(0));
	usleep(700000);
	waiting = !waitpid(pid, &status, WNOHANG);
	ret = virtio_unbind(device);
	waitpid(pid, &status, 0);
	ok(waiting && ret == 0 && WIFEXITED(status) && WEXITSTATUS(status) == EBUSY,
	   "the driver lets go of a device that is being asked for a block, which is refused (%s)",
	   strerror(WEXITSTATUS(status)));
	set_answer(-1, 0);
	ok(region_there(0, false, 10) && virtio_bind(device, OURS) == 0 && ours() && comes_to(0) && online_block(0) == 0 &&
	   offline_block(0) == 0 && plugged() == 0, "taken up again, the block comes online and goes");
}

static void answers(void)
{
	struct kmsg kmsg = kmsg_mark();
	double started;

	if (!ok(module_load("virtio_mem_test", NULL) == 0, "the device's answers can be changed"))
		return;
	set_answer(2, 3);
	ok(online_block(0) == 0 && plugged() == block_size, "a device that is busy for a moment is asked again");
	offline_block(0);
	set_answer(2, 1000000);
	started = now();
	ok(online_block(0) == -EBUSY && now() - started < 9, "a device that stays busy is given up");
	ok(kmsg_lines(&kmsg, "the device is too busy", NULL, 0) == 1, "which is told");
	set_answer(3, 1);
	ok(online_block(0) == -EIO && kmsg_lines(&kmsg, "finds an error in the request", NULL, 0) == 1,
	   "an error is told as one");
	ok(online_block(0) == 0 && plugged() == block_size, "after all that the block comes online");

	set_answer(2, 1000000);
	ok(offline_block(0) == 0 && !strcmp(block_stage(first_block()), "standby"),
	   "a block goes offline even if the device does not take it back");
	ok(kmsg_lines(&kmsg, "cannot unplug", NULL, 0) == 1 && plugged() == block_size, "which is told");
	set_answer(-1, 0);
	ok(comes_to(0), "it does as soon as it can");
	ok(online_block(0) == 0, "the block comes online once more");
	set_answer(3, 1);
	ok(offline_block(0) == 0 && online_block(0) == 0 && plugged() == block_size,
	   "a block that is still plugged comes online");
	ok(offline_block(0) == 0 && plugged() == 0, "and is unplugged as any other");
	set_answer(3, 1000000);
	ok(online_block(0) == -EIO && rebind(), "the driver starts again");
	set_answer(-1, 0);
	online_block(0);
	set_answer(3, 1000000);
	offline_block(0);
	virtio_unbind(device);
	set_answer(-1, 0);
	ok(plugged() == block_size && virtio_bind(device, OURS) == 0 && ours() && plugged() == 0,
	   "what is plugged when the driver starts is unplugged first");

	ok(online_block(1) == 0, "a block is online");
	write_file("1", PARAMETERS "/silent");
	started = now();
	ok(online_block(0) == -ETIMEDOUT && now() - started < 15, "a device that does not answer is not waited for for ever");
	ok(kmsg_lines(&kmsg, "it is not used any more", NULL, 0) == 1 &&
	   !strcmp(read_file("/sys/bus/virtio/devices/%s/twostage/state", device), "broken"), "and is broken then");
	started = now();
	ok(online_block(0) == -EIO && now() - started < 5, "a broken device is not asked any more");
	ok(!strcmp(block_stage(first_block() + 1), "populated") && offline_block(1) == 0,
	   "memory that came from it before stays usable until it goes offline");
	write_file("0", PARAMETERS "/silent");
	ok(rebind() && plugged() == 0 && online_block(0) == 0 && offline_block(0) == 0,
	   "it is as new when the driver starts again");

	/* Nobody knows whether the device has unplugged it, or is going to. */
	ok(region_online(0, "2 online_movable") == 0, "blocks are online");
	write_file("1", PARAMETERS "/silent");
	ok(offline_block(0) == 0 && !strcmp(block_stage(first_block()), "standby"),
	   "a block goes offline even if the device does not answer");
	write_file("0", PARAMETERS "/silent");
	ok(online_block(0) == -EIO, "its memory is not trusted afterwards");
	ok(virtio_unbind(device) == 0 && virtio_bind(device, OURS) == 0 && ours() && blocks_online(0) == 1 &&
	   comes_to(block_size), "when the driver starts again, it is unplugged");
	ok(online_block(0) == 0 && plugged() == 2 * block_size && region_offline(0, "all") == 0 && plugged() == 0,
	   "and can be plugged again");

	ok(online_block(0) == 0 && virtio_unbind(device) == 0, "the driver lets go of a device whose memory is in use");
	set_answer(3, 1);
	ok(virtio_bind(device, OURS) != 0 && exists(REGION, 0) && blocks_online(0) == 1 &&
	   kmsg_lines(&kmsg, "does not say that", NULL, 0) == 1,
	   "a device that does not have that memory plugged is not taken up");
	set_answer(-1, 0);
	ok(virtio_bind(device, OURS) == 0 && ours() && offline_block(0) == 0 && plugged() == 0, "one that has is");
	unbound_meanwhile();
	ok(module_unload("virtio_mem_test") == 0, "the device's answers are its own again");
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

static bool state_becomes(const char *state, int seconds)
{
	int tries;

	for (tries = 0; tries < 10 * seconds && strcmp(device_text(device, "state"), state); tries++)
		usleep(100000);
	return !strcmp(device_text(device, "state"), state);
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

	if (!ok(module_load("virtio_mem_test", NULL) == 0, "the module that makes the device and the core fail is loaded"))
		return;
	ok(online_block(0) == 0, "a block comes online");
	set_answer(3, 1000000);
	ok(offline_block(0) == 0 && virtio_unbind(device) == 0 && plugged() == block_size,
	   "memory that cannot be unplugged stays plugged when the device is unbound");
	set_answer(-1, 0);

	set_add_error(ETIMEDOUT);
	ok(virtio_bind(device, OURS) == 0 && starting(device, 0),
	   "a device whose region cannot be added at once is bound, in state starting");
	ok(kmsg_lines(&kmsg, "the region is not added yet", NULL, 0) == 1, "the log says that the region is added later");
	set_budget("vm0", BUDGET / 2);
	ok(starting(device, 0) && kmsg_lines(&kmsg, "the host's budget is 0x20000000", NULL, 0) == 1,
	   "a device without a region takes a new budget");
	ok(suspends() && starting(device, 0), "the system suspends and resumes with a device that has no region");
	ok(virtio_unbind(device) == 0 && plugged() == block_size,
	   "unbinding a device without a region unplugs nothing, since the memory may be in use");
	ok(virtio_bind(device, OURS) == 0 && starting(device, 0) && module_unload(OURS) == 0 && plugged() == block_size,
	   "the driver unloads with a device that has no region");
	ok(module_load(OURS, NULL) == 0 && starting(device, 0), "the loaded driver is bound to the device, without a region");
	set_add_error(0);
	ok(region_there(0, true, 30) && state_becomes("running", 5) && ours() && !strcmp(device_text(device, "region"), "region0"),
	   "the region is added later, and the state of the device is running");
	ok(attribute("budget") == BUDGET / 2 && comes_to(0),
	   "the region has the new budget, and memory that was plugged before is unplugged");
	ok(online_block(0) == 0 && plugged() == block_size && offline_block(0) == 0 && plugged() == 0,
	   "a block of a region that was added later comes online and goes offline");
	set_budget("vm0", BUDGET);

	set_add_error(ETIMEDOUT);
	ok(virtio_unbind(device) == 0 && virtio_bind(device, OURS) == 0 && starting(device, 0), "the device is bound without a region");
	set_add_error(EBUSY);
	ok(state_becomes("broken", 30) && !exists(REGION, 0) &&
	   kmsg_lines(&kmsg, "the region cannot be added (-EBUSY)", NULL, 0) == 1,
	   "a device whose region cannot be added later either is broken, and the log says why");
	ok(virtio_unbind(device) == 0 && virtio_bind(device, OURS) == -EBUSY && !*virtio_driver(device),
	   "the bind of a device whose region cannot be added fails with the error of the add");
	set_add_error(0);
	ok(virtio_bind(device, OURS) == 0 && ours(), "a bind succeeds when the region can be added again");
	ok(module_unload("virtio_mem_test") == 0, "the module that makes the device and the core fail is unloaded");
	kmsg_close(&kmsg);
}

/* A host that migrates the guest answers BUSY, for as long as that takes. */
static void migrating(void)
{
	ok(online_block(0) == 0, "a block is online");
	host("migrate_set_parameter max-bandwidth 4k");
	host("migrate -d \"exec:cat>/dev/null\"");
	usleep(1000000);
	if (!ok(strstr(host_ask("info migrate"), "status: active"), "the guest is being migrated"))
		return;
	ok(online_block(1) == -EBUSY, "no block can be plugged then");
	ok(offline_block(0) == 0 && plugged() == block_size, "a block goes offline, but cannot be unplugged yet");
	host("migrate_cancel");
	ok(comes_to(0), "after the migration it is");
	ok(online_block(1) == 0 && offline_block(1) == 0 && plugged() == 0, "and all goes on");
}

static void let_go(void)
{
	struct memory memory;

	ok(module_unload(OURS) != 0 && module_loaded(OURS), "the driver does not unload under a region");
	ok(region_online(0, "4 online_movable") == 0, "blocks of it are online");
	ok(memory_prefer(1) && memory_fill(&memory, 450 * MIB, 4), "and in use");
	ok(virtio_unbind(device) == 0 && exists(REGION, 0) && blocks_online(0) == 4 && plugged() == 4 * block_size,
	   "the driver lets go of the device, and the memory stays");
	ok(memory_check(&memory) < 0, "with the data in it");
	ok(online_block(5) == -ENODEV, "no more of it comes online then");
	if (exists("/sys/power/pm_test")) {
		write_file("devices", "/sys/power/pm_test");
		ok(write_file("freeze", "/sys/power/state") == -EBUSY, "the system does not sleep with it");
		write_file("none", "/sys/power/pm_test");
	}
	ok(refused("region0", EPERM, "region0", BUS "/remove_region"), "and the region is nobody else's to remove");
	ok(module_load_system("virtio_mem", NULL) == 0 && !*virtio_driver(device),
	   "the kernel's own driver does not get the device while its memory is in use");
	module_unload("virtio_mem");
	ok(virtio_bind(device, OURS) == 0 && ours(), "ours takes it up again");
	ok(memory_check(&memory) < 0 && region_online(0, "1 online_movable") == 0, "and all goes on");
	memory_free(&memory);
	memory_prefer(-1);
	ok(region_offline(0, "all") == 0 && plugged() == 0, "down to the last block");

	ok(region_online(0, "2 online_movable") == 0 && virtio_unbind(device) == 0 && blocks_online(0) == 2,
	   "it lets go of the device once more");
	ok(offline_block(0) == 0 && !usleep(2500000) && exists(REGION, 0), "the region stays for a block that is online");
	ok(offline_block(1) == 0 && region_there(0, false, 10), "and goes with the last one");
	ok(virtio_bind(device, OURS) == 0 && ours() && comes_to(0),
	   "what nobody could unplug then is unplugged when the driver starts");
}

static void other_notifier(void)
{
	const char *when = "a notifier beside a virtio-mem device";

	if (!notifier_add(when, "0"))
		return;
	notifier_refuse("MEM_GOING_ONLINE", ENOMEM);
	ok(region_online(0, "1 online_movable") == -ENOMEM && plugged() == 0,
	   "%s: what was plugged for an online that it refuses is unplugged", when);
	notifier_refuse("MEM_GOING_ONLINE", 0);
	notifier_refusals(when, "online_movable", 0, first_block());
	ok(plugged() == 0, "%s: nothing stays plugged", when);
	notifier_remove(when);
}

static void hooks_off(void)
{
	ok(region_online(0, "1 online_movable") == 0, "a block is online");
	write_file("0", ARMED);
	ok(online_block(5) == -EIO && offline_block(0) == -EIO && plugged() == block_size,
	   "with the hooks off blocks neither come nor go");
	ok(virtio_unbind(device) == 0 && exists(REGION, 0) && blocks_online(0) == 1,
	   "the driver lets go of the device, and the memory stays");
	ok(virtio_bind(device, OURS) == 0 && ours() && plugged() == block_size, "and it takes it up again");
	write_file("1", ARMED);
	ok(offline_block(0) == 0 && plugged() == 0, "with the hooks on the block goes offline");
	write_file("0", ARMED);
	ok(virtio_unbind(device) == 0 && exists(REGION, 0), "let go of with the hooks off, a region without memory stays as well");
	write_file("1", ARMED);
	ok(region_there(0, false, 60), "and goes when they are on");
	ok(virtio_bind(device, OURS) == 0 && ours() && comes_to(0), "the driver takes up the device");
}

/* The device goes without asking anybody. */
static void pulled(void)
{
	struct memory memory;
	uint64_t size;

	ok(region_online(0, "3 online_movable") == 0, "blocks are online");
	ok(memory_prefer(1) && memory_fill(&memory, 200 * MIB, 7) &&
	   memory_inside(&memory, first_block() * block_size, REGION_SIZE) > 100 * MIB, "and in use");
	memory_prefer(-1);
	size = plugged();
	host_ask("device_del vm0");
	sleep(2);
	ok(ours() && plugged() == size && memory_check(&memory) < 0, "the host does not take a device back whose memory is plugged");
	ok(write_file("1", "/sys/bus/virtio/devices/%s/../remove", device) == 0 && exists(REGION, 0) &&
	   blocks_online(0) == 3 && memory_check(&memory) < 0, "the device is gone from its bus, and the memory stays");
	ok(online_block(5) == -ENODEV && offline_block(2) == 0, "blocks go offline, but not online");
	ok(write_file("1", "/sys/bus/pci/rescan") == 0, "the bus is looked at again");
	usleep(1000000);
	snprintf(device, sizeof(device), "%s", virtio_device(VIRTIO_ID_MEM, 0));
	ok(ours() && blocks_online(0) == 2 && comes_to(2 * block_size) && region_online(0, "1 online_movable") == 0,
	   "the device is there again, and is taken up");

	ok(memory_check(&memory) < 0, "no data is lost");
	memory_free(&memory);
	ok(region_offline(0, "all") == 0, "all of it is standby");
}

/* The last thing that is done: lockdep looks at nothing after that. */
static void unloaded_by_force(void)
{
	struct memory memory;
	int status;
	pid_t pid;

	ok(region_online(0, "3 online_movable") == 0 && memory_prefer(1) && memory_fill(&memory, 200 * MIB, 8) &&
	   memory_inside(&memory, first_block() * block_size, REGION_SIZE) > 100 * MIB, "blocks are online and in use");
	memory_prefer(-1);
	pid = fork();
	if (!pid)
		_exit(-module_unload_by_force(OURS));
	usleep(1500000);
	if (waitpid(pid, &status, WNOHANG) == pid) {
		if (WEXITSTATUS(status) == EWOULDBLOCK)
			skip("this kernel does not do that", "the driver is unloaded by force");
		else
			ok(false, "unloaded by force, the driver waits (%s)", strerror(WEXITSTATUS(status)));
	} else {
		ok(module_loaded(OURS) && blocks_online(0) == 3 && memory_check(&memory) < 0,
		   "unloaded by force, the driver stays for its region, and the data is right");
		ok(region_offline(0, "all") == 0 && region_there(0, false, 10), "when all of it is offline, the region goes");
		waitpid(pid, &status, 0);
		ok(!module_loaded(OURS) && module_load(OURS, NULL) == 0 && ours() && comes_to(0),
		   "and the driver; loaded again, it starts with what is left over");
	}
	ok(memory_check(&memory) < 0, "no data is lost");
	memory_free(&memory);
	ok(region_offline(0, "all") == 0, "all of it is standby");
}

/* To the driver that the kernel itself has for such devices, and back */
static void hand_over(void)
{
	long long total = meminfo("MemTotal");
	int tries;

	ok(virtio_unbind(device) == 0 && !exists(REGION, 0), "without memory in use, the region goes with the driver");
	write_file("online_movable", MEMORY "/auto_online_blocks");
	ok(module_load_system("virtio_mem", NULL) == 0 && !strcmp(virtio_driver(device), "virtio_mem"),
	   "the kernel's own driver takes the device");
	for (tries = 0; tries < 100 && plugged() != BUDGET; tries++)
		usleep(100000);
	ok(plugged() == BUDGET && meminfo("MemTotal") > total, "and plugs what the host asks for");
	set_budget("vm0", 0);
	for (tries = 0; tries < 100 && plugged(); tries++)
		usleep(100000);
	ok(plugged() == 0 && virtio_unbind(device) == 0 && module_unload("virtio_mem") == 0,
	   "it gives all of it and the device back");
	write_file("offline", MEMORY "/auto_online_blocks");
	set_budget("vm0", BUDGET);
	ok(virtio_bind(device, OURS) == 0 && ours(), "ours takes the device");
	ok(region_online(0, "2 online_movable") == 0 && region_offline(0, "all") == 0, "and works as before");
}

static void sleeping(void)
{
	struct kmsg kmsg = kmsg_mark();

	if (!exists("/sys/power/pm_test")) {
		skip("this kernel cannot", "suspend is tried");
		return;
	}
	write_file("devices", "/sys/power/pm_test");
	ok(region_online(0, "1 online_movable") == 0, "a block is online");
	ok(write_file("freeze", "/sys/power/state") != 0 && kmsg_lines(&kmsg, "refuses to sleep", NULL, 0) == 1,
	   "then the system does not sleep, since the memory might be gone");
	if (exists("/sys/power/disk"))
		ok(write_file("disk", "/sys/power/state") != 0 && kmsg_lines(&kmsg, "hibernation refused", NULL, 0) == 1,
		   "nor does it hibernate");
	else
		skip("this kernel cannot", "nor does it hibernate");
	ok(region_offline(0, "1") == 0 && write_file("freeze", "/sys/power/state") == 0,
	   "with all of it standby it does");
	ok(region_online(0, "1 online_movable") == 0 && plugged() == block_size && region_offline(0, "1") == 0,
	   "and all works afterwards");
	write_file("none", "/sys/power/pm_test");
	kmsg_close(&kmsg);
}

/* The bus is part of the system, not of what has to be gone at the end. */
static void setup(void)
{
	write_file("offline", MEMORY "/auto_online_blocks");
	ok(module_load_system("virtio_pci", NULL) == 0, "the virtio bus is there");
	usleep(300000);
}

static bool start(void)
{
	snprintf(device, sizeof(device), "%s", virtio_device(VIRTIO_ID_MEM, 0));
	return ok(*device, "a virtio-mem device is there") && load_twostage(NULL);
}

/* Somebody holds device_hotplug_lock: a block of vm0 goes offline, and waits for a page that is held. */
static pid_t lock(struct pin *pin, const struct memory *memory)
{
	pid_t pid;

	if (!ok(memory_pin(memory, pin, first_block() * block_size, REGION_SIZE), "a page of the first device is held"))
		return -1;
	pid = fork();
	if (!pid) {
		/* Its own hold of the page */
		memory_unpin(pin);
		_exit(-region_offline(0, "all"));
	}
	usleep(700000);
	return pid;
}

static bool unlock(struct pin *pin, pid_t pid)
{
	bool waiting = !waitpid(pid, NULL, WNOHANG);

	memory_unpin(pin);
	return waiting && waitpid(pid, NULL, 0) == pid;
}

static void locked(const char *other)
{
	struct memory memory;
	double started;
	struct pin pin;
	pid_t pid;

	ok(region_online(0, "3 online_movable") == 0 && memory_prefer(1) && memory_fill(&memory, block_size, 3),
	   "the memory of the first device is in use");
	memory_prefer(-1);

	ok(virtio_unbind(other) == 0 && !exists(REGION, 1), "the driver lets go of the second");
	pid = lock(&pin, &memory);
	started = now();
	ok(virtio_bind(other, OURS) == 0 && starting(other, 1),
	   "a device is bound, without a region, while an offline holds device_hotplug_lock");
	diag("bound after %.1f s", now() - started);
	/* Its work item waits for the lock by now. */
	sleep(2);
	started = now();
	ok(virtio_unbind(other) == 0 && !exists(REGION, 1),
	   "a device without a region is unbound while an offline holds device_hotplug_lock");
	diag("unbound after %.1f s", now() - started);
	ok(virtio_bind(other, OURS) == 0 && starting(other, 1), "the device is bound once more, without a region");
	ok(unlock(&pin, pid), "the offline ends when the page is released");
	ok(region_there(1, true, 60) && !strcmp(virtio_driver(other), OURS) &&
	   !strcmp(device_text(other, "state"), "running"), "the region is added when device_hotplug_lock is free");

	memory_free(&memory);
	ok(region_online(0, "3 online_movable") == 0 && memory_prefer(1) && memory_fill(&memory, block_size, 4),
	   "the first one is in use again");
	memory_prefer(-1);
	pid = lock(&pin, &memory);
	started = now();
	ok(virtio_unbind(other) == 0 && exists(REGION, 1), "it lets go meanwhile, and the region stays");
	diag("after %.1f s", now() - started);
	ok(virtio_bind(other, OURS) == 0 && exists(REGION, 1), "with which it takes the device up again");
	ok(virtio_unbind(other) == 0 && unlock(&pin, pid), "it lets go once more, and the page is held no more");
	ok(region_there(1, false, 60), "then the region goes");
	ok(virtio_bind(other, OURS) == 0 && region_online(1, "1 online_movable") == 0 && region_give_back(1) == 0,
	   "taken up again, it works as before");
	ok(memory_check(&memory) < 0 && region_give_back(0) == 0, "no data is lost");
	memory_free(&memory);
}

/* Whom the driver core would ask first, were it asked to find a driver for a device */
static bool after_the_other_driver(const char *other)
{
	bool taken;

	set_budget("vm0", 0);
	set_budget("vm2", 0);
	taken = virtio_unbind(device) == 0 && virtio_unbind(other) == 0 && module_unload(OURS) == 0 &&
		module_load_system("virtio_mem", NULL) == 0 && !strcmp(virtio_driver(other), "virtio_mem");
	taken = ok(taken && module_load(OURS, NULL) == 0 && virtio_unbind(device) == 0 && virtio_bind(device, OURS) == 0 &&
		   ours() && virtio_unbind(other) == 0 && virtio_bind(other, OURS) == 0 && exists(REGION, 1),
		   "both devices are taken from the kernel's own driver, which is there as well");
	set_budget("vm0", BUDGET);
	set_budget("vm2", 512 * MIB);
	return taken;
}

/* The firmware's hotplug brings a device with device_hotplug_lock held. */
static void plugged_later(void)
{
	struct accounts *before = accounts_take();
	char other[32];
	int tries;

	host_ask("object_add memory-backend-ram,id=vmem2,size=512M");
	host_ask("device_add virtio-mem-pci,id=vm2,memdev=vmem2,requested-size=512M,node=0");
	for (tries = 0; tries < 100 && !*virtio_device(VIRTIO_ID_MEM, 1); tries++)
		usleep(100000);
	/* The kernel of make check-debug is built without it. */
	if (!*virtio_device(VIRTIO_ID_MEM, 1)) {
		diag("this kernel has no hotplug of PCI devices: the bus is looked at again");
		write_file("1", "/sys/bus/pci/rescan");
		usleep(1000000);
	}
	snprintf(other, sizeof(other), "%s", virtio_device(VIRTIO_ID_MEM, 1));
	if (!ok(*other && region_there(1, true, 30) && !strcmp(virtio_driver(other), OURS),
		"a device that the host plugs is taken"))
		return;
	ok(region_online(1, "all online_movable") == 0 && told("vm2", "size") == (long long)(512 * MIB) &&
	   region_give_back(1) == 0 && told("vm2", "size") == 0, "its memory comes online, and goes");
	if (!after_the_other_driver(other))
		return;
	locked(other);
	ok(module_unload("virtio_mem") == 0, "the kernel's own driver goes, which had none of them");
	ok(virtio_unbind(other) == 0 && region_there(1, false, 1), "the driver lets go of it");
	ok(write_file("1", "/sys/bus/virtio/devices/%s/../remove", other) == 0 && accounts_same(before),
	   "without it every account is as before");
	accounts_free(before);
}

static void run(void)
{
	struct accounts *before, *standby;
	struct kmsg kmsg;

	if (!start())
		return;
	before = accounts_take();
	ok(module_load(OURS, NULL) == 0 && ours(), "the driver takes the device");
	ok(!strcmp(read_file(REGION "/provider", 0), "virtio_mem") && attribute("size") == REGION_SIZE &&
	   blocks_online(0) == 0 && !strcmp(block_state(first_block() + 31), "offline"),
	   "all of its memory is a standby region");
	ok(read_number(REGION "/node", 0) == 1 &&
	   exists("/sys/devices/system/node/node1/memory%d", first_block()), "on the device's node");
	standby = accounts_take();
	cycle();
	budget();
	ok(accounts_same(standby), "every account is as after stage 1");
	accounts_free(standby);
	answers();
	region_added_later();
	migrating();
	let_go();
	other_notifier();
	hooks_off();
	pulled();
	hand_over();
	sleeping();
	plugged_later();
	unloaded_by_force();

	kmsg = kmsg_mark();
	ok(virtio_unbind(device) == 0 && !exists(REGION, 0) && module_unload(OURS) == 0, "the driver unloads");
	ok(!kmsg_lines(&kmsg, "never took back", NULL, 0), "nothing is left plugged");
	kmsg_close(&kmsg);
	ok(accounts_same(before), "every account is what it was");
	accounts_free(before);
	unload_twostage();
}

/* Two devices: vm0 has device blocks of 256 MiB, vm1 begins in the middle of a memory block. */
static void run_odd(void)
{
	struct accounts *before;
	struct kmsg kmsg;
	uint64_t start1;

	if (!start())
		return;
	before = accounts_take();
	kmsg = kmsg_mark();
	ok(module_load(OURS, NULL) == 0 && exists(REGION, 0) && exists(REGION, 1), "the driver takes both devices");
	ok(kmsg_lines(&kmsg, "are left over beside whole units", NULL, 0) == 1,
	   "what does not fit into memory blocks is told");
	kmsg_close(&kmsg);
	/* Which of the two is region0 is for the bus to say. */
	int large = strtoull(read_file(REGION "/size", 0), NULL, 0) == GIB ? 0 : 1, odd = 1 - large;

	/* What the host does not let anybody touch while it is unplugged. It backs what is read, too. */
	for (int i = 0; i < 64; i++)
		look_at_block(block_at(strtoull(read_file(REGION "/start", i % 2), NULL, 0)) +
			      i / 2 % read_number(REGION "/blocks", i % 2));
	ok(shared_kib() == 0, "looking at all of it touches nothing");

	start1 = strtoull(read_file(REGION "/start", odd), NULL, 0);
	ok(start1 % block_size == 0 && strtoull(read_file(REGION "/size", odd), NULL, 0) == GIB / 2 - block_size,
	   "the region are the whole memory blocks of it");
	ok(strtoull(read_file("/sys/bus/virtio/devices/%s/twostage/left_over", virtio_device(VIRTIO_ID_MEM, odd)), NULL,
		    0) == block_size, "what is left over is told");
	ok(region_online(odd, "all online_movable") == 0 && told("vm1", "size") == (long long)(GIB / 2 - block_size),
	   "all of them come online");
	ok(region_offline(odd, "all") == 0 && told("vm1", "size") == 0, "and go");

	ok(region_online(large, "1 online_movable") == 0 && plugged() == 256 * MIB,
	   "a device block of two memory blocks is plugged for the first of them");
	ok(region_online(large, "1 online_movable") == 0 && plugged() == 256 * MIB, "and not again for the second");
	ok(region_offline(large, "1") == 0 && plugged() == 256 * MIB, "it stays plugged for the one that is left");
	ok(region_offline(large, "1") == 0 && plugged() == 0, "and is unplugged after it");

	ok(virtio_unbind(virtio_device(VIRTIO_ID_MEM, 0)) == 0 && virtio_unbind(virtio_device(VIRTIO_ID_MEM, 1)) == 0 &&
	   module_unload(OURS) == 0, "the driver unloads");
	ok(accounts_same(before), "every account is what it was");
	accounts_free(before);
	unload_twostage();
}

static struct memory taken;

/* The kernel's own driver has to let go of memory that is in use. What it leaves behind stays until a reboot. */
static void setup_taken(void)
{
	setup();
	snprintf(device, sizeof(device), "%s", virtio_device(VIRTIO_ID_MEM, 0));
	write_file("online_movable", MEMORY "/auto_online_blocks");
	ok(module_load_system("virtio_mem", NULL) == 0 && comes_to(BUDGET), "the kernel's own driver plugs the budget");
	ok(memory_prefer(1) && memory_fill(&taken, 450 * MIB, 5), "memory of it is in use");
	memory_prefer(-1);
	ok(virtio_unbind(device) == 0 && plugged() == BUDGET, "it has to let go of the device");
	write_file("offline", MEMORY "/auto_online_blocks");
}

static void run_taken(void)
{
	if (!start())
		return;
	ok(module_load(OURS, NULL) == 0 && !*virtio_driver(device), "ours does not take the device when it is loaded");
	ok(virtio_bind(device, OURS) == -EBUSY && !exists(REGION, 0), "nor when it is told to");
	ok(plugged() == BUDGET && memory_check(&taken) < 0, "the memory stays plugged, with the data in it");
	ok(module_unload(OURS) == 0, "the driver unloads");
	memory_free(&taken);
	unload_twostage();
}

/* The host backs each page that is touched, even if only by a read: the device's memory is shared. */
static void run_given_back(void)
{
	struct accounts *before;
	struct memory memory;
	long long used, kib;
	int i;

	if (!start())
		return;
	before = accounts_take();
	ok(module_load(OURS, NULL) == 0 && ours(), "the driver takes the device");
	ok(shared_kib() == 0, "the host backs none of a device's memory that is standby");
	ok(region_online(0, "8 online_movable") == 0 && memory_fill(&memory, 500 * MIB, 7), "blocks are online and used");
	used = shared_kib();
	memory_free(&memory);
	ok(used > 300 * 1024, "which the host backs");
	ok(region_give_back(0) == 0 && plugged() == 0 && shared_kib() == 0,
	   "after the offline it backs nothing, not a page of the blocks' memmap");

	write_file("1", "/proc/sys/vm/compact_memory");
	write_file("3", "/proc/sys/vm/drop_caches");
	for (i = 0; i < 32 * 16; i++)
		look_at_block(first_block() + i / 16);
	for (i = 0; i < 32; i++) {
		page_offline("soft", (first_block() + i) * block_size);
		page_offline("hard", (first_block() + i) * block_size);
	}
	run_command("for file in /proc/kpage* /proc/pagetypeinfo /proc/zoneinfo /proc/iomem; do cat $file >/dev/null; done");
	run_command("lsmem -a >/dev/null; cat /sys/devices/system/memory/*/* >/dev/null 2>&1");
	ok(memory_fill(&memory, 200 * MIB, 8) && memory_check(&memory) < 0, "ordinary memory is used up to a shortage");
	memory_free(&memory);
	kib = shared_kib();
	ok(kib == 0, "nobody has read what was given back");
	if (kib)
		diag("%lld KiB", kib);
	ok(region_online(0, "1 online_movable") == 0 && shared_kib() > 0 && region_give_back(0) == 0 && shared_kib() == 0,
	   "and it can be taken again, and given back");
	ok(virtio_unbind(device) == 0 && module_unload(OURS) == 0 && shared_kib() == 0, "the driver unloads");
	ok(accounts_same(before), "every account is what it was");
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

/* chmem tries every offline block, and does not report the reason of a failure. */
static void many_refused(const char *when, const char *reason, long blocks)
{
	struct kmsg kmsg = kmsg_mark();
	struct said said, rest;

	ok(run_command("chmem -e 1g >/dev/null 2>&1") != 0, "%s: chmem -e fails", when);
	said = logged(&kmsg, reason);
	/* The count of the last refusals is logged with a delay. */
	sleep(5);
	rest = logged(&kmsg, reason);
	said.messages += rest.messages;
	diag("%s: %d lines, %d later", when, said.lines, rest.lines);
	ok(said.reasons >= 1, "%s: the log has the reason", when);
	ok(said.lines + rest.lines <= MANY_LINES, "%s: the log has at most %d lines of it", when, MANY_LINES);
	ok(said.messages == blocks, "%s: the log has the number of refusals (%ld)", when, said.messages);
	kmsg_close(&kmsg);
}

static void reasons_again(void)
{
	const char *reason = "the host's budget does not allow";
	struct kmsg kmsg = kmsg_mark();
	struct said said;

	ok(online_block(8) == -ENOSPC && logged(&kmsg, reason).reasons == 1, "a reason other than the last one is logged");
	ok(online_block(8) == -ENOSPC && online_block(9) == -ENOSPC && logged(&kmsg, reason).lines == 0,
	   "a reason is not logged again for the next block");
	sleep(5);
	said = logged(&kmsg, reason);
	ok(said.lines == 1 && said.messages == 2, "the number of refusals is logged within 5 s");
	set_budget("vm0", BUDGET + block_size);
	logged(&kmsg, reason);
	ok(online_block(8) == 0 && online_block(9) == -ENOSPC && logged(&kmsg, reason).reasons == 1,
	   "a reason is logged again after the budget has grown and a block has come online");
	ok(offline_block(8) == 0 && online_block(8) == 0 && online_block(9) == -ENOSPC &&
	   logged(&kmsg, reason).reasons == 1, "a reason is logged again after any block has come online");
	ok(region_online(0, "1 online_movable") == -ENOSPC && logged(&kmsg, reason).reasons == 1 &&
	   region_online(0, "1 online_movable") == -ENOSPC && logged(&kmsg, reason).reasons == 1,
	   "each failed write to the region's online attribute has its reason logged");
	ok(region_offline(0, "all") == 0, "the blocks go offline");
	set_budget("vm0", BUDGET);
	kmsg_close(&kmsg);
}

/* Regions at addresses without memory, so that no block can come online */
static void many_of_others(void)
{
	ok(region_add(1024 * GIB, 64 * GIB, NULL) == 0, "a region without memory is added");
	many_refused("blocks without memory", "there is no memory at", MANY_BLOCKS);
	ok(region_remove(0) == 0, "the region is removed");

	ok(module_load("twostage_test", NULL) == 0 &&
	   write_file("0x10000000000 0x1000000000 0x8000000", "/sys/kernel/debug/twostage_test/add") == 0,
	   "a region of a provider in another module is added");
	write_file("12", "/sys/kernel/debug/twostage_test/assign_error");
	many_refused("a provider that reports no reason", "provider test does not assign", MANY_BLOCKS);
	ok(write_file("region0", "/sys/kernel/debug/twostage_test/remove") == 0 && module_unload("twostage_test") == 0,
	   "the region is removed");
}

static void run_many(void)
{
	struct kmsg kmsg;

	if (!start())
		return;
	ok(module_load(OURS, NULL) == 0 && ours(), "the driver takes the device");
	ok(region_online(0, "8 online_movable") == 0, "all of the budget is taken");
	many_refused("the budget is used up", "the host's budget does not allow", MANY_BLOCKS - 8);
	reasons_again();
	write_file("0", ARMED);
	many_refused("the hooks are off", "the hooks are switched off", MANY_BLOCKS);
	write_file("1", ARMED);
	ok(online_block(0) == 0 && virtio_unbind(device) == 0, "the driver lets go of the device");
	many_refused("the device is not driven", "the device is not driven by this driver", MANY_BLOCKS - 1);
	ok(virtio_bind(device, OURS) == 0 && offline_block(0) == 0, "the driver takes it up again");

	ok(module_load("virtio_mem_test", NULL) == 0, "the device's answers can be changed");
	ok(region_online(0, "8 online_movable") == 0, "all of the budget is taken");
	/* VIRTIO_MEM_RESP_ERROR */
	set_answer(3, 1000000);
	kmsg = kmsg_mark();
	ok(region_offline(0, "all") == 0 && logged(&kmsg, "cannot unplug").reasons == 1,
	   "blocks that cannot be unplugged are logged once");
	kmsg_close(&kmsg);
	set_answer(-1, 0);
	ok(comes_to(0), "the blocks are unplugged later");
	ok(module_unload("virtio_mem_test") == 0, "the device's answers are its own again");

	ok(virtio_unbind(device) == 0 && region_there(0, false, 10) && module_unload(OURS) == 0, "the driver unloads");
	many_of_others();
	unload_twostage();
}

GROUP(group_virtio_mem_given_back) = {
	.name = "virtio-mem-given-back", .title = "what the host got back is never read again",
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
	.name = "virtio-mem-many", .title = "refusals of many blocks, which do not fill the log", .setup = setup,
	.run = run_many,
};
