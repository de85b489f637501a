// SPDX-License-Identifier: GPL-2.0-only
/*
 * Suspend, which populated memory has to survive, and hibernation, which it would not
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

#define POWER "/sys/power"
#define START (4 * GIB)
#define BLOCKS 8
/* Longer than it takes to fall asleep, on the slowest kernel */
#define WAKE_SECONDS 20

static struct memory memory;

static bool data_is_right(void)
{
	ssize_t wrong = memory_check(&memory);

	if (wrong >= 0)
		diag("wrong at %zd of %zu", wrong, memory.size);
	return wrong < 0;
}

/* How far it goes before it comes back */
static void tried(const char *how)
{
	static const char *const levels[] = { "devices", "platform", "processors", "core" };
	size_t i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(levels); i++) {
		/* Suspend to idle switches no processors off. */
		if (!strcmp(how, "freeze") && i > 1)
			break;
		write_file(levels[i], POWER "/pm_test");
		ret = write_file(how, POWER "/state");
		ok(ret == 0 && data_is_right(), "\"%s\" as far as \"%s\" and back, the data stays (%s)", how,
		   levels[i], strerror(-ret));
	}
	write_file("none", POWER "/pm_test");
}

static bool can_sleep(const char *state, const char *how)
{
	return strstr(read_file(POWER "/state"), state) && (!*how || strstr(read_file(POWER "/mem_sleep"), how));
}

/* All the way, until the clock wakes it */
static void slept(const char *state, const char *how)
{
	struct kmsg kmsg = kmsg_mark();
	bool woken;

	if (!can_sleep(state, how)) {
		skip("this kernel cannot", "the system sleeps, \"%s %s\"", state, how);
	} else if (!exists("/sys/class/rtc/rtc0/wakealarm")) {
		skip("this kernel has no clock that wakes it", "the system sleeps, \"%s %s\"", state, how);
	} else {
		if (*how)
			write_file(how, POWER "/mem_sleep");
		woken = !write_file("+3", "/sys/class/rtc/rtc0/wakealarm") && !write_file(state, POWER "/state") &&
			kmsg_lines(&kmsg, "PM: suspend exit", NULL, 0) == 1;
		ok(woken && data_is_right(), "the system sleeps, \"%s %s\", and the data is there when it wakes",
		   state, how);
	}
	kmsg_close(&kmsg);
}

static int freeze(void)
{
	return write_file("freeze", POWER "/state");
}

static double with_sleep(void)
{
	struct timespec time;

	clock_gettime(CLOCK_BOOTTIME, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

/* In QEMU's machine the clock's alarm does not end suspend to idle: a word on the console does, from the host. */
static void idled(void)
{
	struct kmsg kmsg = kmsg_mark();
	double started;
	bool woken;
	int ret;

	if (write_file("enabled", "/sys/class/tty/ttyS0/power/wakeup")) {
		skip("this kernel is not woken up by its console", "the system sleeps, \"freeze\"");
		kmsg_close(&kmsg);
		return;
	}
	started = with_sleep();
	woken = host_wakes(WAKE_SECONDS, freeze, &ret);
	started = with_sleep() - started;
	ok(woken && ret == 0 && kmsg_lines(&kmsg, "PM: suspend exit", NULL, 0) == 1 && started > WAKE_SECONDS - 1 &&
	   data_is_right(), "the system sleeps, \"freeze\", and the data is there when it wakes, %.0f s later (%s)", started,
	   strerror(-ret));
	write_file("disabled", "/sys/class/tty/ttyS0/power/wakeup");
	kmsg_close(&kmsg);
}

static void suspended(void)
{
	int block = block_at(START);

	/* Seconds that it stays there */
	write_file("1", "/sys/module/suspend/parameters/pm_test_delay");
	if (exists(POWER "/pm_test")) {
		tried("freeze");
		if (can_sleep("mem", "deep")) {
			write_file("deep", POWER "/mem_sleep");
			tried("mem");
		}
	} else {
		skip("this kernel has no pm_test", "suspend is tried step by step");
	}
	idled();
	slept("mem", "deep");
	ok(!strcmp(block_stage(block), "populated") && !strcmp(block_stage(block + BLOCKS - 1), "standby") &&
	   write_file("online_movable", MEMORY "/memory%d/state", block + BLOCKS - 1) == 0 &&
	   write_file("offline", MEMORY "/memory%d/state", block + BLOCKS - 1) == 0,
	   "afterwards the blocks are in the stages of before, and go from one to the other");
}

/* Tries to hibernate: nothing has changed, and the log has a line with the reason. */
static void not_hibernated(const char *what)
{
	refused("disk", EBUSY, "hibernation refused", POWER "/state");
	ok(data_is_right(), "%s: the data stays", what);
}

/* The other way to hibernate takes an image out of the kernel through a file, for as long as that is open. */
static void image_by_file(void)
{
	struct kmsg kmsg = kmsg_mark();
	int fd;

	fd = open("/dev/snapshot", O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		skip("this kernel has no /dev/snapshot", "hibernation by an image is refused as well");
		kmsg_close(&kmsg);
		region_give_back(0);
		return;
	}
	ok(fd < 0 && errno == EBUSY && kmsg_lines(&kmsg, "hibernation refused", NULL, 0) == 1,
	   "hibernation by an image that is read is refused as well");
	if (fd >= 0)
		close(fd);

	ok(region_give_back(0) == 0, "all blocks go offline");
	fd = open("/dev/snapshot", O_RDONLY | O_CLOEXEC);
	ok(fd >= 0, "then it is not");
	refused("online_movable", EBUSY, "the system hibernates", MEMORY "/memory%d/state", block_at(START));
	close(fd);
	ok(region_online(0, "1 online_movable") == 0 && region_give_back(0) == 0,
	   "blocks come online once the hibernation is over, and not before");
	kmsg_close(&kmsg);
}

/* Writes an image of the system to the swap disk, reads it again and continues with that. */
static void hibernated(void)
{
	struct kmsg kmsg = kmsg_mark();
	const char *disk = disk_of("swap");
	struct memory ordinary;
	int ret;

	if (kernel_before(6, 5)) {
		skip("this kernel cannot read the image again, since its swap is in use", "the system goes to disk");
		kmsg_close(&kmsg);
		return;
	}
	if (!ok(*disk && !run_command("mkswap %s >/dev/null && swapon %s", disk, disk),
		"there is a disk to hibernate to"))
		return;
	ok(memory_fill(&ordinary, 32 * MIB, 11), "there is data in ordinary memory");
	/* Its log is that of the image: of the way back it has the end only. */
	write_file("1", POWER "/pm_debug_messages");
	write_file("test_resume", POWER "/disk");
	ret = write_file("disk", POWER "/state");
	ok(ret == 0 && kmsg_lines(&kmsg, "image restored", NULL, 0) == 1 && memory_check(&ordinary) < 0,
	   "with all memory standby the system goes to disk and comes back from it (%s)", strerror(-ret));
	memory_free(&ordinary);
	ok(!run_command("swapoff %s", disk), "the disk is free again");
	ok(region_online(0, "2 online_movable") == 0 && memory_fill(&memory, 64 * MIB, 12) && data_is_right(),
	   "and blocks come online after that");
	memory_free(&memory);
	ok(region_give_back(0) == 0, "and go offline");
	kmsg_close(&kmsg);
}

static void dimm(void)
{
	int blocks = count_blocks();

	write_file("1", BUS "/adopt");
	dimm_plug("d1", block_size, -1);
	ok(wait_for_blocks(blocks + 1) && region_online(1, "all online_movable") == 0,
	   "a block of a DIMM is online");
	not_hibernated("dimm");
	ok(region_give_back(1) == 0, "it goes offline");
	dimm_unplug("d1");
	ok(wait_for_blocks(blocks), "the DIMM is ejected");
	dimm_forget("d1");
	write_file("0", BUS "/adopt");
}

static void setup(void)
{
	write_file("offline", MEMORY "/auto_online_blocks");
	module_load_system("virtio_pci", NULL);
	module_load_system("virtio_blk", NULL);
	usleep(300000);
}

static void run(void)
{
	struct accounts *standby;

	if (!load_twostage(NULL))
		return;
	ok(region_add(START, BLOCKS * block_size, NULL) == 0, "a region is added");
	standby = accounts_take();
	ok(region_online(0, "4 online_movable") == 0 && memory_fill(&memory, 400 * MIB, 10) &&
	   memory_inside(&memory, START, 4 * block_size) > 300 * MIB, "four blocks are online and in use");
	suspended();
	if (strstr(read_file(POWER "/state"), "disk")) {
		not_hibernated("ram");
		memory_free(&memory);
		image_by_file();
		ok(memory_fill(&memory, MIB, 13), "there is some data");
		dimm();
		memory_free(&memory);
		hibernated();
	} else {
		skip("this kernel cannot", "the system hibernates");
		memory_free(&memory);
		region_give_back(0);
	}
	ok(accounts_same(standby), "every account is as after stage 1");
	accounts_free(standby);
	ok(region_remove(0) == 0, "the region is removed");
	unload_twostage();
}

GROUP(group_sleep) = {
	.name = "sleep", .title = "suspend and hibernation", .setup = setup, .run = run,
};
