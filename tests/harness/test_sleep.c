// SPDX-License-Identifier: GPL-2.0-only
/*
 * Suspend with populated memory, and refusal of hibernation
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
#define CONSOLE_WAKES "/sys/class/tty%s/power/wakeup"
#define START (4 * GIB)
#define BLOCKS 8
/* More than the slowest kernel takes to suspend */
#define WAKE_SECONDS 20

static struct memory memory;

static bool data_is_right(void)
{
	ssize_t wrong = memory_check(&memory);

	if (wrong >= 0)
		diag("data differs at word %zd of a buffer of %zu bytes", wrong, memory.size);
	return wrong < 0;
}

/* Suspend as far as each level of pm_test, which ends it without sleep */
static void tried(const char *how)
{
	static const char *const levels[] = { "devices", "platform", "processors", "core" };
	size_t i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(levels); i++) {
		/* Suspend to idle takes no processor offline. */
		if (!strcmp(how, "freeze") && i > 1)
			break;
		write_file(levels[i], POWER "/pm_test");
		ret = write_file(how, POWER "/state");
		ok(ret == 0 && data_is_right(),
		   "data is intact after \"%s\" with pm_test \"%s\" (%s)", how, levels[i],
		   strerror(-ret));
	}
	write_file("none", POWER "/pm_test");
}

static bool can_sleep(const char *state, const char *how)
{
	return strstr(read_file(POWER "/state"), state) &&
	       (!*how || strstr(read_file(POWER "/mem_sleep"), how));
}

/* Suspend until the alarm of the real-time clock */
static void slept(const char *state, const char *how)
{
	struct kmsg kmsg = kmsg_mark();
	bool woken;

	if (!can_sleep(state, how)) {
		skip("this kernel does not have this state",
		     "data is intact after suspend to \"%s %s\"", state, how);
	} else if (!exists("/sys/class/rtc/rtc0/wakealarm")) {
		skip("this kernel has no clock with an alarm",
		     "data is intact after suspend to \"%s %s\"", state, how);
	} else {
		if (*how)
			write_file(how, POWER "/mem_sleep");
		woken = !write_file("+3", "/sys/class/rtc/rtc0/wakealarm") &&
			!write_file(state, POWER "/state") &&
			kmsg_lines(&kmsg, "PM: suspend exit", NULL, 0) == 1;
		ok(woken, "the system suspends to \"%s %s\" and resumes by the clock's alarm",
		   state, how);
		ok(data_is_right(), "data is intact after suspend to \"%s %s\"", state, how);
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

/*
 * In QEMU's machine the clock's alarm does not end suspend to idle; a key on
 * the serial console does, which the host types.
 */
static void idled(void)
{
	struct kmsg kmsg = kmsg_mark();
	double started;
	bool woken;
	int ret;

	if (write_file("enabled", CONSOLE_WAKES, strrchr(architecture.console, '/'))) {
		skip("the console does not wake this kernel",
		     "data is intact after suspend to \"freeze\"");
		kmsg_close(&kmsg);
		return;
	}
	started = with_sleep();
	woken = host_wakes(WAKE_SECONDS, freeze, &ret);
	started = with_sleep() - started;
	ok(woken && ret == 0,
	   "the system suspends to \"freeze\" and resumes by a key on its console (%s)",
	   strerror(-ret));
	ok(kmsg_lines(&kmsg, "PM: suspend exit", NULL, 0) == 1,
	   "the log has one \"suspend exit\" after \"freeze\"");
	ok(started > WAKE_SECONDS - 1,
	   "the system sleeps in \"freeze\" until the key is typed (%.0f s, expected about %d)",
	   started, WAKE_SECONDS);
	ok(data_is_right(), "data is intact after suspend to \"freeze\"");
	write_file("disabled", CONSOLE_WAKES, strrchr(architecture.console, '/'));
	kmsg_close(&kmsg);
}

static void suspended(void)
{
	int block = block_at(START);

	/* Seconds that pm_test waits at its level */
	write_file("1", "/sys/module/suspend/parameters/pm_test_delay");
	if (exists(POWER "/pm_test")) {
		tried("freeze");
		if (can_sleep("mem", "deep")) {
			write_file("deep", POWER "/mem_sleep");
			tried("mem");
		}
	} else {
		skip("this kernel has no pm_test",
		     "data is intact after suspend with each level of pm_test");
	}
	idled();
	slept("mem", "deep");
	ok(!strcmp(block_stage(block), "populated"),
	   "a populated block is populated after suspend (%s)", block_stage(block));
	block += BLOCKS - 1;
	ok(!strcmp(block_stage(block), "standby"), "a standby block is standby after suspend (%s)",
	   block_stage(block));
	ok(write_file("online_movable", MEMORY "/memory%d/state", block) == 0,
	   "a block comes online after suspend");
	ok(write_file("offline", MEMORY "/memory%d/state", block) == 0,
	   "a block goes offline after suspend");
}

/* Hibernation is refused with a line in the log and changes nothing. */
static void not_hibernated(const char *what)
{
	refused("disk", EBUSY, "hibernation refused", POWER "/state");
	ok(data_is_right(),
	   "data in populated memory is intact after refused hibernation (provider %s)", what);
}

/* Hibernation by userspace reads its image from /dev/snapshot. */
static void image_by_file(void)
{
	struct kmsg kmsg = kmsg_mark();
	int fd;

	fd = open("/dev/snapshot", O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		skip("this kernel has no /dev/snapshot",
		     "open of /dev/snapshot is refused while blocks are online");
		kmsg_close(&kmsg);
		region_give_back(0);
		return;
	}
	ok(fd < 0 && errno == EBUSY,
	   "open of /dev/snapshot fails with EBUSY while blocks are online (%s)",
	   fd < 0 ? strerror(errno) : "success");
	ok(kmsg_lines(&kmsg, "hibernation refused", NULL, 0) == 1,
	   "the log has one line that hibernation is refused after an open of /dev/snapshot");
	if (fd >= 0)
		close(fd);

	ok(region_give_back(0) == 0, "all blocks go offline");
	fd = open("/dev/snapshot", O_RDONLY | O_CLOEXEC);
	ok(fd >= 0, "/dev/snapshot can be opened while all blocks are standby (%s)",
	   fd < 0 ? strerror(errno) : "success");
	refused("online_movable", EBUSY, "the system hibernates", MEMORY "/memory%d/state",
		block_at(START));
	close(fd);
	ok(region_online(0, "1 online_movable") == 0 && region_give_back(0) == 0,
	   "a block comes online and goes offline after /dev/snapshot was closed");
	kmsg_close(&kmsg);
}

/* Write an image of the system to the swap disk, read it back, and resume. */
static void hibernated(void)
{
	struct kmsg kmsg = kmsg_mark();
	const char *disk = disk_of("swap");
	struct memory ordinary;
	int ret;

	if (kernel_before(6, 5)) {
		skip("this kernel cannot read the image back while the swap disk is in use",
		     "the system goes to disk and resumes with all blocks standby");
		kmsg_close(&kmsg);
		return;
	}
	if (!ok(*disk && !run_command("mkswap %s >/dev/null && swapon %s", disk, disk),
		"the swap disk is set up for hibernation"))
		return;
	ok(memory_fill(&ordinary, 32 * MIB, 11),
	   "32 MiB of ordinary memory are filled with data before hibernation");
	/* The log is part of the image: of the resume it has only the end. */
	write_file("1", POWER "/pm_debug_messages");
	write_file("test_resume", POWER "/disk");
	ret = write_file("disk", POWER "/state");
	ok(ret == 0, "the system goes to disk and resumes with all blocks standby (%s)",
	   strerror(-ret));
	ok(kmsg_lines(&kmsg, "image restored", NULL, 0) == 1,
	   "the log has one \"image restored\" after hibernation");
	ok(memory_check(&ordinary) < 0, "data in ordinary memory is intact after hibernation");
	memory_free(&ordinary);
	ok(!run_command("swapoff %s", disk), "the swap disk is released after hibernation");
	ok(region_online(0, "2 online_movable") == 0, "two blocks come online after hibernation");
	ok(memory_fill(&memory, 64 * MIB, 12) && data_is_right(),
	   "data reads back correctly after hibernation");
	memory_free(&memory);
	ok(region_give_back(0) == 0, "all blocks go offline after hibernation");
	kmsg_close(&kmsg);
}

static void dimm(void)
{
	int blocks = count_blocks();

	if (!architecture.dimms) {
		skip("this kernel has no driver for DIMMs",
		     "hibernation is refused while blocks of a DIMM are online");
		return;
	}
	write_file("1", BUS "/adopt");
	dimm_plug("d1", block_size, -1);
	ok(wait_for_blocks(blocks + 1) && region_online(1, "all online_movable") == 0,
	   "all blocks of an adopted DIMM are online");
	not_hibernated("dimm");
	ok(region_give_back(1) == 0, "all blocks of the DIMM go offline");
	dimm_unplug("d1");
	ok(wait_for_blocks(blocks), "the blocks of the DIMM are removed when it is ejected");
	dimm_forget("d1");
	write_file("0", BUS "/adopt");
}

static void setup(void)
{
	write_file("offline", MEMORY "/auto_online_blocks");
	virtio_bus();
	module_load_system("virtio_blk", NULL);
}

static void run(void)
{
	struct accounts *standby;

	if (!load_twostage(NULL))
		return;
	ok(region_add(START, BLOCKS * block_size, NULL) == 0, "a region is added");
	standby = accounts_take();
	ok(region_online(0, "4 online_movable") == 0, "four blocks come online");
	ok(memory_fill(&memory, 400 * MIB, 10) &&
	   memory_inside(&memory, START, 4 * block_size) > 300 * MIB,
	   "more than 300 of 400 MiB of data are in populated blocks");
	suspended();
	if (strstr(read_file(POWER "/state"), "disk")) {
		not_hibernated("ram");
		memory_free(&memory);
		image_by_file();
		ok(memory_fill(&memory, MIB, 13), "1 MiB of memory is filled with data");
		dimm();
		memory_free(&memory);
		hibernated();
	} else {
		skip("this kernel cannot hibernate",
		     "hibernation is refused while blocks are online");
		memory_free(&memory);
		region_give_back(0);
	}
	ok(accounts_same(standby),
	   "the system matches the standby baseline after suspend and hibernation");
	accounts_free(standby);
	ok(region_remove(0) == 0, "the region is removed");
	unload_twostage();
}

GROUP(group_sleep) = {
	.name = "sleep", .title = "suspend and hibernation", .setup = setup, .run = run,
};
