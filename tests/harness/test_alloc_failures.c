// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation fails once
 *
 * For each operation the first, the second, the third ... of its allocations is made to fail, until it comes to its
 * end without one that fails. Each time it either returns an error, and all is what it was before; or it succeeds
 * (some allocations can be done without), and then all is what it is after one that nothing happens to. The next
 * try succeeds.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define START (4 * GIB)
#define BLOCKS 2
#define VIRTIO_ID_MEM 24
#define OURS "twostage_virtio_mem"

/* What can be made to fail. */
struct operation {
	const char *name;
	/* A knob and what is written there, or */
	const char *path, *text;
	/* a system call, for which this file has been opened, if any. */
	const char *file;
	int (*run)(void);
	/* Back to where it starts from */
	int (*undo)(void);
	/* How many allocations it has in common with one that has been tried; they are not made to fail again. */
	unsigned int tried;
};

/* Where what is in common begins may not be where the operation does, nor is it to an allocation where it ends. */
#define MARGIN 30

static int fd = -1;

static int run(const struct operation *operation)
{
	if (operation->path)
		return write(fd, operation->text, strlen(operation->text)) < 0 ? -errno : 0;
	return operation->run();
}

static bool begin(const struct operation *operation)
{
	if (operation->path)
		fd = open(operation->path, O_WRONLY | O_CLOEXEC);
	else if (operation->file)
		fd = open(operation->file, O_RDONLY | O_CLOEXEC);
	return fd >= 0 || (!operation->path && !operation->file);
}

static void end(void)
{
	if (fd >= 0)
		close(fd);
	fd = -1;
}

/* Run it with the nth allocation failing, 0 for none. */
static int attempt(const struct operation *operation, unsigned int nth, bool *failed)
{
	int ret;

	*failed = false;
	if (!begin(operation))
		return -ENOENT;
	failures_begin(nth);
	ret = run(operation);
	*failed = failures_end();
	end();
	return ret;
}

static int files;

static int count_file(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)path;
	(void)status;
	(void)type;
	(void)walk;
	files++;
	return 0;
}

/* All that there is to see. What is missing of it is missing to those who use it. */
static int count_files(void)
{
	char path[128];
	int block;

	files = 0;
	nftw(BUS, count_file, 8, FTW_PHYS);
	nftw("/sys/devices/twostage", count_file, 8, FTW_PHYS);
	for (block = block_at(START); block < block_at(16 * GIB); block++) {
		snprintf(path, sizeof(path), MEMORY "/memory%d/twostage", block);
		if (exists("%s", path))
			nftw(path, count_file, 8, FTW_PHYS);
	}
	return files;
}

/* A virtio-mem device, if there is one */
static const char *device;

/* What the host has plugged of it */
static long long plugged(void)
{
	return device ? strtoll(host_ask("qom-get vm0 size"), NULL, 10) : 0;
}

/* What everything is to be compared with */
struct state {
	struct accounts *accounts;
	int files;
	long long plugged;
};

static struct state take(void)
{
	return (struct state){ accounts_take(), count_files(), plugged() };
}

static bool same(const struct state *state)
{
	int files_now = count_files(), tries;
	long long plugged_now;

	if (files_now != state->files)
		diag("there were %d files and are %d", state->files, files_now);
	/* What it did not take back for want of memory, it is asked for again. */
	for (tries = 0; (plugged_now = plugged()) != state->plugged && tries < 50; tries++)
		usleep(200000);
	if (plugged_now != state->plugged)
		diag("%lld bytes were plugged and %lld are", state->plugged, plugged_now);
	return accounts_same(state->accounts) && files_now == state->files && plugged_now == state->plugged;
}

/* What the kernel itself does without, and says so: links between a block and its node */
static bool tells_of_links(struct kmsg *kmsg)
{
	int lines = kmsg_lines(kmsg, "can't create link to", NULL, 0);

	kmsg_close(kmsg);
	return lines > 0;
}

/* One allocation that fails, and whether all that follows from it is right; told: of what is missing now */
static bool fails_well(const struct operation *operation, int ret, bool told, const struct state *before,
		       const struct state *after)
{
	bool right = true, failed;

	if (ret) {
		right &= same(before);
		ret = attempt(operation, 0, &failed);
		if (ret)
			diag("the next try fails: %s", strerror(-ret));
		right &= !ret;
	}
	if (!told)
		right &= same(after);
	ret = operation->undo();
	if (ret)
		diag("it cannot be undone: %s", strerror(-ret));
	return right && !ret && same(before);
}

/* How many allocations it has */
static unsigned int fail_each(const struct operation *operation)
{
	const bool leaks = kmemleak_wanted();
	struct state before = take(), after;
	unsigned int nth, left_out = 0, refused = 0, wrong = 0;
	double started = now();
	bool failed, told;
	struct kmsg kmsg;
	int ret;

	ret = attempt(operation, 0, &failed);
	after = take();
	if (!ok(!ret && !operation->undo() && same(&before), "%s: works, and back (%s)", operation->name,
		ret ? strerror(-ret) : ""))
		return 0;

	for (nth = 1; wrong < 20; nth++) {
		if (nth == MARGIN && operation->tried > 2 * MARGIN) {
			left_out = operation->tried - 2 * MARGIN;
			nth += left_out;
		}
		kmsg = kmsg_mark();
		ret = attempt(operation, nth, &failed);
		told = tells_of_links(&kmsg) && !ret;
		if (!failed)
			break;
		refused += ret != 0;
		if (!fails_well(operation, ret, told, &before, &after)) {
			diag("%s: that was allocation %u, and it returned %d (%s)", operation->name, nth, ret,
			     strerror(-ret));
			wrong++;
		}
	}
	ok(!failed && !ret && nth > 1, "%s: at last there is no allocation left to fail", operation->name);
	if (!ret)
		operation->undo();
	ok(!wrong && same(&before), "%s: each of %u allocations fails once: %u errors, and all is as before; "
	   "%u times it does without; the next try works (%.0f s)", operation->name, nth - 1 - left_out, refused,
	   nth - 1 - left_out - refused, now() - started);
	/* It may give up for want of memory, and then it finds nothing. */
	if (leaks)
		ok(kmemleak_there() && !kmemleak_leaks(), "%s: nothing that was allocated is lost", operation->name);
	accounts_free(before.accounts);
	accounts_free(after.accounts);
	return nth - 1;
}

static int insert(void)
{
	return module_insert(fd, "");
}

static int insert_with_region(void)
{
	return module_insert(fd, "region=0x100000000:0x10000000 adopt=1");
}

static int delete(void)
{
	return module_delete("twostage");
}

static int delete_with_region(void)
{
	return region_remove(0) ?: delete();
}

static int add(void)
{
	return region_add(START, BLOCKS * block_size, NULL);
}

static int remove_region(void)
{
	return region_remove(0);
}

static int online(void)
{
	return region_online(0, "1 online_movable");
}

static int offline(void)
{
	return region_give_back(0);
}

static bool usable(void)
{
	if (failures_possible())
		return true;
	skip("this kernel has no fail-nth, see make check-debug", "every allocation fails once");
	return false;
}

static void online_and_offline(const char *kind)
{
	char name[2][64];
	struct operation online_one = {
		.name = name[0], .path = BUS "/devices/region0/online", .text = "1 online_movable", .undo = offline,
	};
	struct operation offline_one = {
		.name = name[1], .path = BUS "/devices/region0/offline", .text = "1", .undo = online,
	};

	snprintf(name[0], sizeof(name[0]), "online, %s", kind);
	snprintf(name[1], sizeof(name[1]), "offline, %s", kind);
	fail_each(&online_one);
	ok(online() == 0, "%s: a block is online", kind);
	fail_each(&offline_one);
	ok(offline() == 0, "%s: it is offline", kind);
}

static void run_ram(void)
{
	static const struct operation load_it = {
		.name = "load", .file = "/twostage/twostage.ko", .run = insert, .undo = delete,
	};
	static const struct operation load_with_parameters = {
		.name = "parameters of a load", .file = "/twostage/twostage.ko", .run = insert_with_region,
		.undo = delete_with_region,
	};
	struct operation load_with_region = {
		.name = "load with a region", .file = "/twostage/twostage.ko", .run = insert_with_region,
		.undo = delete_with_region,
	};
	static const struct operation add_one = {
		.name = "add", .path = BUS "/add_region", .text = "0x100000000 0x10000000", .undo = remove_region,
	};
	static const struct operation remove_one = {
		.name = "remove", .path = BUS "/remove_region", .text = "region0", .undo = add,
	};

	if (!usable())
		return;
	failures_configure();
	failures_only_in(FAILURES_ANYWHERE);

	if (!load_twostage(NULL))
		return;
	fail_each(&add_one);
	ok(add() == 0, "a region is there");
	fail_each(&remove_one);
	ok(region_remove(0) == 0, "the region is removed");
	unload_twostage();
	failures_only_in(FAILURES_IN_PARAMETERS);
	fail_each(&load_with_parameters);
	failures_only_in(FAILURES_IN_INITIALISATION);
	load_with_region.tried = fail_each(&load_it);
	fail_each(&load_with_region);
}

GROUP(group_alloc_failures) = {
	.name = "alloc-failures", .title = "every allocation fails once", .run = run_ram,
};

/* Whether the module unloads with that allocation failing; else it goes on trying for ever. */
static bool unloads(unsigned int nth, bool *failed)
{
	int status, tries;
	pid_t pid = fork();

	if (!pid) {
		failures_begin(nth);
		delete();
		_exit(failures_end());
	}
	for (tries = 0; tries < 300; tries++) {
		if (waitpid(pid, &status, WNOHANG) == pid) {
			*failed = WEXITSTATUS(status);
			return !module_loaded("twostage");
		}
		usleep(100000);
	}
	*failed = true;
	return false;
}

/*
 * The kernel cannot take a probe away without memory, and goes on calling it. Whoever has put it there has to stay
 * then. (In this kernel only: otherwise it kills somebody rather than to refuse a task so little memory.)
 */
static void run_unload(void)
{
	struct kmsg kmsg = kmsg_mark();
	bool failed = true, gone = true;
	unsigned int nth, wrong = 0;
	struct state before;
	int blocks;

	if (!usable())
		return;
	failures_configure();
	failures_only_in(FAILURES_ANYWHERE);
	if (!load_twostage(NULL) || !unload_twostage())
		return;

	before = take();
	for (nth = 1; failed && gone; nth++) {
		if (module_load("twostage", "adopt=1"))
			break;
		gone = unloads(nth, &failed);
		if (gone && !same(&before)) {
			diag("that was allocation %u", nth);
			wrong++;
		}
	}
	accounts_free(before.accounts);
	ok(nth > 2 && !wrong, "an unload does without each of its first %u allocations, and nothing stays", nth - 2);
	ok(nth > 1 && failed && !gone && module_loaded("twostage") &&
	   kmsg_lines(&kmsg, "cannot be removed (", NULL, 0) == 1,
	   "an unload waits for ever if a hook cannot be removed (allocation %u)", nth - 1);
	blocks = count_blocks();
	dimm_plug("d1", block_size, -1);
	ok(wait_for_blocks(blocks + 1), "and the functions that are probed can still be called");
	kmsg_close(&kmsg);
}

GROUP(group_alloc_failures_unload) = {
	.name = "alloc-failures-unload", .title = "an unload for which there is no memory", .run = run_unload,
	.stays = true,
};

static void run_online(void)
{
	if (!usable())
		return;
	failures_configure();
	failures_only_in(FAILURES_ANYWHERE);

	if (!load_twostage(NULL) || !ok(add() == 0, "a region is there"))
		return;
	online_and_offline("memmap in the block");
	ok(write_file("0", REGION "/memmap_on_memory", 0) == 0, "the memmap comes from ordinary memory");
	online_and_offline("memmap elsewhere");
	ok(region_remove(0) == 0, "the region is removed");
	unload_twostage();
}

GROUP(group_alloc_failures_online) = {
	.name = "alloc-failures-online", .title = "every allocation fails once, when blocks go online and offline",
	.run = run_online,
};

static int unbind(void)
{
	return virtio_unbind(device);
}

static int bind(void)
{
	return virtio_bind(device, OURS);
}

static int insert_driver(void)
{
	int ret = module_insert(fd, "");

	/* A device that it could not take up does not keep a driver from being there. */
	if (!ret && !exists(REGION, 0)) {
		module_unload(OURS);
		ret = -ENXIO;
	}
	return ret;
}

static int delete_driver(void)
{
	const char *bus = "/sys/bus/pci/drivers/virtio-pci";
	char link[128], target[256];
	ssize_t length;
	int ret;

	if (exists("/sys/bus/virtio/drivers/" OURS "/unbind"))
		return unbind() ?: module_unload(OURS);

	/* The driver core does without the files for that: then the device goes, and comes again. */
	snprintf(link, sizeof(link), "/sys/bus/virtio/devices/%s", device);
	length = readlink(link, target, sizeof(target) - 1);
	if (length < 0)
		return -errno;
	target[length] = '\0';
	*strrchr(target, '/') = '\0';
	ret = write_file(strrchr(target, '/') + 1, "%s/unbind", bus) ?: module_unload(OURS);
	return write_file(strrchr(target, '/') + 1, "%s/bind", bus) ?: ret;
}

static void run_virtio(void)
{
	static const struct operation load_driver = {
		.name = "load of the driver", .file = "/twostage/" OURS ".ko", .run = insert_driver, .undo = delete_driver,
	};
	char name[32], unbind_path[128];
	struct operation bind_it = {
		.name = "bind", .path = "/sys/bus/virtio/drivers/" OURS "/bind", .text = name, .undo = unbind,
	};
	struct operation unbind_it = { .name = "unbind", .path = unbind_path, .text = name, .undo = bind };

	if (!usable())
		return;
	failures_configure();
	failures_only_in(FAILURES_ANYWHERE);

	snprintf(name, sizeof(name), "%s", virtio_device(VIRTIO_ID_MEM, 0));
	device = name;
	snprintf(unbind_path, sizeof(unbind_path), "/sys/bus/virtio/drivers/" OURS "/unbind");
	if (!load_twostage(NULL) || !ok(module_load(OURS, NULL) == 0, "the driver loads"))
		return;
	ok(exists(REGION, 0), "it has made a region");
	online_and_offline("virtio-mem");
	fail_each(&unbind_it);
	ok(unbind() == 0, "the driver is unbound");
	fail_each(&bind_it);
	ok(module_unload(OURS) == 0, "the driver unloads");
	failures_only_in(FAILURES_IN_INITIALISATION);
	fail_each(&load_driver);
	unload_twostage();
}

GROUP(group_alloc_failures_virtio) = {
	.name = "alloc-failures-virtio", .title = "every allocation fails once, with a virtio-mem device",
	.setup = virtio_bus, .run = run_virtio,
};

#define DIMM "d1"

static int blocks_without;

static bool dimm_there(void)
{
	return exists(REGION, 0);
}

/* One worker of the kernel plugs a DIMM, or ejects it: what it allocates for the module is made to fail. */
static bool plug(unsigned int nth, enum failures_outcome *outcome)
{
	struct kmsg kmsg = kmsg_mark();
	bool told = false;
	char line[512];
	int tries;

	failures_begin_in_workers(nth);
	dimm_plug(DIMM, block_size, -1);
	/* Its region is there for a while even if that is going to be refused. */
	for (tries = 0; tries < 400 && !told; tries++) {
		if (kmsg_next(&kmsg, "", line, sizeof(line))) {
			told = strstr(line, "provider dimm") || strstr(line, "add_memory failed");
			tries--;
			continue;
		}
		usleep(50000);
		/* It may be neither. */
		if (nth && tries < 340 && failures_in_workers(nth) == FAILURES_FAILED)
			tries = 340;
	}
	kmsg_close(&kmsg);
	usleep(300000);
	*outcome = failures_end_in_workers(nth);
	return dimm_there();
}

static bool eject(void)
{
	bool gone;

	dimm_unplug(DIMM);
	gone = wait_for_blocks(blocks_without);
	usleep(300000);
	dimm_forget(DIMM);
	usleep(200000);
	return gone && !dimm_there();
}

/* An ejection that may be refused */
static bool eject_failing(unsigned int nth, enum failures_outcome *outcome)
{
	int tries;

	failures_begin_in_workers(nth);
	dimm_unplug(DIMM);
	for (tries = 0; tries < 800 && count_blocks() != blocks_without; tries++) {
		usleep(50000);
		if (tries < 700 && failures_in_workers(nth) == FAILURES_FAILED)
			tries = 700;
	}
	/* The region itself goes a little later, and so does the DIMM. */
	for (tries = 0; tries < 100 && count_blocks() == blocks_without && dimm_there(); tries++)
		usleep(50000);
	usleep(300000);
	*outcome = failures_end_in_workers(nth);
	return count_blocks() == blocks_without && dimm_gone(DIMM);
}

static void eject_each(const struct state *before, const struct state *after)
{
	unsigned int nth, refused = 0, wrong = 0, asked_again = 0, untouched = 0;
	enum failures_outcome outcome = FAILURES_NOT_ASKED;
	bool gone, right;

	/* Of two workers the one who allocates more may be one who has not been told: it has to be so twice. */
	for (nth = 1; wrong < 20 && asked_again < 20 && untouched < 2; nth++) {
		right = plug(0, &outcome) && same(after);
		gone = eject_failing(nth, &outcome);
		if (gone) {
			dimm_forget(DIMM);
			usleep(200000);
		}
		if (outcome != FAILURES_FAILED) {
			if (outcome == FAILURES_UNTOUCHED && gone)
				untouched++;
			else
				asked_again++;
			nth--;
			if (!gone)
				eject();
			continue;
		}
		untouched = 0;
		refused += !gone;
		right &= gone ? same(before) : same(after) && eject() && same(before);
		if (!right) {
			diag("eject: that was allocation %u, and the DIMM was %s", nth, gone ? "gone" : "there");
			wrong++;
		}
	}
	ok(untouched == 2 && nth > 1 && !wrong && same(before),
	   "eject: each of %u allocations fails once: %u times the ejection is refused, and all is as before; "
	   "%u times it does without; the next try works (%d more tries)", nth - 1, refused, nth - 1 - refused, asked_again);
}

static void run_dimm(void)
{
	struct state before, after;
	enum failures_outcome outcome;
	unsigned int nth, refused = 0, wrong = 0, asked_again = 0;
	bool there, right, told;
	struct kmsg kmsg;

	if (!usable())
		return;
	if (!load_twostage("adopt=1"))
		return;
	failures_configure();
	failures_only_in(FAILURES_IN_TWOSTAGE);
	write_file("offline", MEMORY "/auto_online_blocks");
	blocks_without = count_blocks();

	/* A kernel thread of its own, of which there are more after the first time */
	ok(plug(0, &outcome) && eject(), "a DIMM is plugged, taken over, and ejected");
	before = take();
	ok(plug(0, &outcome), "and again");
	after = take();
	ok(eject() && same(&before), "then all is as before");

	for (nth = 1; wrong < 20 && asked_again < 50; nth++) {
		kmsg = kmsg_mark();
		there = plug(nth, &outcome);
		told = tells_of_links(&kmsg) && there;
		if (outcome == FAILURES_UNTOUCHED && there) {
			ok(eject(), "the last one is ejected");
			break;
		}
		if (outcome != FAILURES_FAILED) {
			asked_again++;
			nth--;
			eject();
			continue;
		}
		refused += !there;
		right = told || same(there ? &after : &before);
		right &= eject() && same(&before) && plug(0, &outcome) && same(&after) && eject() && same(&before);
		if (!right) {
			diag("adopt: that was allocation %u, and the DIMM was %s", nth, there ? "there" : "refused");
			wrong++;
		}
	}
	ok(outcome == FAILURES_UNTOUCHED && nth > 1, "adopt: at last there is no allocation left to fail (%d more tries)",
	   asked_again);
	ok(!wrong, "adopt: each of %u allocations fails once: %u times the DIMM is refused, and all is as before; "
	   "%u times it does without; the next try works", nth - 1, refused, nth - 1 - refused);
	eject_each(&before, &after);
	failures_only_in(FAILURES_ANYWHERE);
	write_file("online", MEMORY "/auto_online_blocks");
	accounts_free(before.accounts);
	accounts_free(after.accounts);
	unload_twostage();
}

GROUP(group_alloc_failures_dimm) = {
	.name = "alloc-failures-dimm", .title = "every allocation fails once, when a DIMM is plugged", .run = run_dimm,
};
