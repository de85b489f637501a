// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each allocation of each operation fails once
 *
 * An operation is run again and again, with its first, second, third ...
 * allocation failing, until it ends before it reaches the one that would fail.
 * Each time it either returns an error and the system state is unchanged, or it
 * succeeds without that allocation and the state is as after a run without
 * failures. A next attempt always succeeds.
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

/* An operation whose allocations are to fail */
struct operation {
	const char *name;
	/* An attribute and what is written to it, or */
	const char *path, *text;
	/*
	 * a function that makes a system call, with this file opened first, if
	 * any
	 */
	const char *file;
	int (*run)(void);
	/* Undoes the operation */
	int (*undo)(void);
	/*
	 * How many allocations at its start were tested with another operation;
	 * these are skipped, but for MARGIN at both ends.
	 */
	unsigned int tried;
};

/* The common part may begin a few allocations later, and end a few earlier. */
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

/* Runs an operation with its nth allocation failing, 0: none */
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

/* All files of twostage in sysfs: none may be missing after a success. */
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

/* The virtio-mem device, or NULL */
static const char *device;

/* Bytes of the device that are plugged, as the host says */
static long long plugged(void)
{
	return device ? strtoll(host_ask("qom-get vm0 size"), NULL, 10) : 0;
}

/* The state to compare with */
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
		diag("%d files in sysfs, expected %d", files_now, state->files);
	/*
	 * The driver tries again to unplug what it could not for lack of
	 * memory.
	 */
	for (tries = 0; (plugged_now = plugged()) != state->plugged && tries < 50; tries++)
		usleep(200000);
	if (plugged_now != state->plugged)
		diag("%lld bytes are plugged, expected %lld", plugged_now, state->plugged);
	return accounts_same(state->accounts) && files_now == state->files &&
	       plugged_now == state->plugged;
}

/*
 * Whether the kernel has logged that it goes on without a link between a block
 * and its node
 */
static bool tells_of_links(struct kmsg *kmsg)
{
	int lines = kmsg_lines(kmsg, "can't create link to", NULL, 0);

	kmsg_close(kmsg);
	return lines > 0;
}

/*
 * Whether everything is right after an allocation has failed. @told: the kernel
 * has logged that something is missing now
 */
static bool fails_well(const struct operation *operation, int ret, bool told,
		       const struct state *before, const struct state *after)
{
	bool right = true, failed;

	if (ret) {
		right &= same(before);
		ret = attempt(operation, 0, &failed);
		if (ret)
			diag("the next attempt fails: %s", strerror(-ret));
		right &= !ret;
	}
	if (!told)
		right &= same(after);
	ret = operation->undo();
	if (ret)
		diag("the operation cannot be undone: %s", strerror(-ret));
	return right && !ret && same(before);
}

/* Returns the number of allocations of the operation */
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
	if (!ok(returns(0, ret) && succeeds(operation->undo()) && same(&before),
		"%s: without failures the operation succeeds and can be undone", operation->name))
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
			diag("%s: wrong after a failure of allocation %u; it returned %d (%s)",
			     operation->name, nth, ret, strerror(-ret));
			wrong++;
		}
	}
	ok(holds(!failed) && returns(0, ret) && holds(nth > 1),
	   "%s: the operation has allocations, and succeeds once each has failed",
	   operation->name);
	if (!ret)
		operation->undo();
	diag("%s: %u allocations failed once: %u errors, %u successes, %.0f s",
	     operation->name, nth - 1 - left_out, refused, nth - 1 - left_out - refused,
	     now() - started);
	ok_number(wrong, 0, "%s: a failed allocation gives an error and no change, or success",
		  operation->name);
	ok(same(&before), "%s: after all failures the state matches the baseline", operation->name);
	/* kmemleak disables itself when it runs out of memory. */
	if (leaks)
		ok(kmemleak_there() && !kmemleak_leaks(),
		   "%s: kmemleak is enabled after all failures and finds no leak", operation->name);
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
	skip("this kernel has no fail-nth, see make check-debug",
	     "each allocation of each operation fails once");
	return false;
}

static void online_and_offline(const char *kind)
{
	char name[2][64];
	struct operation online_one = {
		.name = name[0],
		.path = BUS "/devices/region0/online",
		.text = "1 online_movable",
		.undo = offline,
	};
	struct operation offline_one = {
		.name = name[1],
		.path = BUS "/devices/region0/offline",
		.text = "1",
		.undo = online,
	};

	snprintf(name[0], sizeof(name[0]), "online, %s", kind);
	snprintf(name[1], sizeof(name[1]), "offline, %s", kind);
	fail_each(&online_one);
	ok_return(online(), 0, "%s: a block goes online before allocations of an offline fail",
		  kind);
	fail_each(&offline_one);
	ok_return(offline(), 0, "%s: the block goes offline after allocations of an offline failed",
		  kind);
}

static void run_ram(void)
{
	static const struct operation load_it = {
		.name = "load", .file = "/twostage/twostage.ko", .run = insert, .undo = delete,
	};
	static const struct operation load_with_parameters = {
		.name = "parameters of a load",
		.file = "/twostage/twostage.ko",
		.run = insert_with_region,
		.undo = delete_with_region,
	};
	struct operation load_with_region = {
		.name = "load with a region",
		.file = "/twostage/twostage.ko",
		.run = insert_with_region,
		.undo = delete_with_region,
	};
	static const struct operation add_one = {
		.name = "add",
		.path = BUS "/add_region",
		.text = "0x100000000 0x10000000",
		.undo = remove_region,
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
	ok_return(add(), 0, "a region is added before allocations of a removal fail");
	fail_each(&remove_one);
	ok_return(region_remove(0), 0,
		  "the region is removed after allocations of a removal failed");
	unload_twostage();
	failures_only_in(FAILURES_IN_PARAMETERS);
	fail_each(&load_with_parameters);
	failures_only_in(FAILURES_IN_INITIALISATION);
	load_with_region.tried = fail_each(&load_it);
	fail_each(&load_with_region);
}

GROUP(group_alloc_failures) = {
	.name = "alloc-failures",
	.title = "each allocation of add, remove and load fails once",
	.run = run_ram,
};

/*
 * Whether the module unloads with that allocation failing; if not, the child
 * goes on trying until the guest ends.
 */
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
 * The kernel cannot disarm a kprobe without memory, and goes on calling it. So
 * the module that has it must stay. (This does not happen without fault
 * injection: the OOM killer would run before such a small allocation fails.)
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
			diag("wrong after a failure of allocation %u", nth);
			wrong++;
		}
	}
	accounts_free(before.accounts);
	ok(nth > 2 && !wrong,
	   "unload succeeds without any one of its first %u allocations and leaves nothing behind",
	   nth - 2);
	ok(holds(nth > 1) && holds(failed) && holds(!gone) && holds(module_loaded("twostage")),
	   "unload blocks if a hook cannot be removed (allocation %u)", nth - 1);
	ok_number(kmsg_lines(&kmsg, "cannot be removed (", NULL, 0), 1,
		  "unload that blocks logs one line that a hook cannot be removed");
	blocks = count_blocks();
	dimm_plug("d1", block_size, -1);
	ok(wait_for_blocks(blocks + 1),
	   "after an unload that blocks the probed functions still work");
	kmsg_close(&kmsg);
}

GROUP(group_alloc_failures_unload) = {
	.name = "alloc-failures-unload",
	.title = "allocations of an unload fail",
	.run = run_unload,
	.stays = true,
};

static void run_online(void)
{
	if (!usable())
		return;
	failures_configure();
	failures_only_in(FAILURES_ANYWHERE);

	if (!load_twostage(NULL) || !ok_return(add(), 0, "a region is added"))
		return;
	online_and_offline("memmap in the block");
	ok_return(write_file("0", REGION "/memmap_on_memory", 0), 0,
		  "0 can be written to memmap_on_memory");
	online_and_offline("memmap in ordinary memory");
	ok_return(region_remove(0), 0, "the region is removed after all onlines and offlines");
	unload_twostage();
}

GROUP(group_alloc_failures_online) = {
	.name = "alloc-failures-online",
	.title = "each allocation of online and offline fails once",
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

	/* A driver stays loaded if its probe of the device has failed. */
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

	/*
	 * The driver core goes on if it cannot create bind and unbind. Then
	 * unbind the PCI device above it, and bind that again.
	 */
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
		.name = "load of the driver",
		.file = "/twostage/" OURS ".ko",
		.run = insert_driver,
		.undo = delete_driver,
	};
	char name[32], unbind_path[128];
	struct operation bind_it = {
		.name = "bind",
		.path = "/sys/bus/virtio/drivers/" OURS "/bind",
		.text = name,
		.undo = unbind,
	};
	struct operation unbind_it = {
		.name = "unbind",
		.path = unbind_path,
		.text = name,
		.undo = bind,
	};

	if (!usable())
		return;
	failures_configure();
	failures_only_in(FAILURES_ANYWHERE);

	snprintf(name, sizeof(name), "%s", virtio_device(VIRTIO_ID_MEM, 0));
	device = name;
	snprintf(unbind_path, sizeof(unbind_path), "/sys/bus/virtio/drivers/" OURS "/unbind");
	if (!load_twostage(NULL) ||
	    !ok_return(module_load(OURS, NULL), 0, "the virtio-mem driver loads"))
		return;
	ok(exists(REGION, 0), "the virtio-mem driver adds a region");
	online_and_offline("virtio-mem");
	fail_each(&unbind_it);
	ok_return(unbind(), 0,
		  "the virtio-mem driver is unbound after allocations of an unbind failed");
	fail_each(&bind_it);
	ok_return(module_unload(OURS), 0,
		  "the virtio-mem driver unloads after allocations of a bind failed");
	failures_only_in(FAILURES_IN_INITIALISATION);
	fail_each(&load_driver);
	unload_twostage();
}

GROUP(group_alloc_failures_virtio) = {
	.name = "alloc-failures-virtio",
	.title = "each allocation of the virtio-mem driver fails once",
	.setup = virtio_bus,
	.run = run_virtio,
};

#define DIMM "d1"

static int blocks_without;

static bool dimm_there(void)
{
	return exists(REGION, 0);
}

/*
 * A kworker plugs a DIMM, or ejects it. Allocations on behalf of twostage fail
 * in all kworkers.
 */
static bool plug(unsigned int nth, enum failures_outcome *outcome)
{
	struct kmsg kmsg = kmsg_mark();
	bool told = false;
	char line[512];
	int tries;

	failures_begin_in_workers(nth);
	dimm_plug(DIMM, block_size, -1);
	/* The region exists for a moment even if the DIMM will be refused. */
	for (tries = 0; tries < 400 && !told; tries++) {
		if (kmsg_next(&kmsg, "", line, sizeof(line))) {
			told = strstr(line, "provider dimm") || strstr(line, "add_memory failed");
			tries--;
			continue;
		}
		usleep(50000);
		/*
		 * After a failed allocation there may be neither message: do
		 * not wait long.
		 */
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

/* Ejects the DIMM; the ejection may be refused. */
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
	/*
	 * The region and the DIMM are removed a little later than the blocks.
	 */
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

	/*
	 * The kworker that allocates most may be one without fail-nth set: only
	 * two runs in a row without a failure are the end.
	 */
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
			diag("eject: wrong after a failure of allocation %u; the DIMM was %s", nth,
			     gone ? "ejected" : "not ejected");
			wrong++;
		}
	}
	diag("eject: %u allocations failed once: %u refusals, %u successes, %u more attempts",
	     nth - 1, refused, nth - 1 - refused, asked_again);
	ok(holds(untouched == 2) && holds(nth > 1),
	   "eject: an ejection has allocations, and succeeds once each has failed");
	ok_number(wrong, 0, "eject: a failed allocation gives a refusal and no change, or success");
	ok(same(before), "eject: after all failures the state matches the baseline");
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

	/*
	 * The kernel starts threads at the first time, which stay: take the
	 * baseline after it.
	 */
	ok(plug(0, &outcome) && eject(), "without failures a DIMM is adopted and ejected");
	before = take();
	ok(plug(0, &outcome), "without failures a second DIMM is adopted");
	after = take();
	ok(eject() && same(&before),
	   "after the ejection of the second DIMM the state is as before it was plugged");

	for (nth = 1; wrong < 20 && asked_again < 50; nth++) {
		kmsg = kmsg_mark();
		there = plug(nth, &outcome);
		told = tells_of_links(&kmsg) && there;
		if (outcome == FAILURES_UNTOUCHED && there) {
			ok(eject(), "adopt: the DIMM of the run without a failure is ejected");
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
		right &= eject() && same(&before) && plug(0, &outcome) && same(&after) && eject() &&
			 same(&before);
		if (!right) {
			diag("adopt: wrong after a failure of allocation %u; the DIMM was %s", nth,
			     there ? "adopted" : "refused");
			wrong++;
		}
	}
	diag("adopt: %u allocations failed once: %u refusals, %u successes, %u more attempts",
	     nth - 1, refused, nth - 1 - refused, asked_again);
	ok(outcome == FAILURES_UNTOUCHED && nth > 1,
	   "adopt: an adoption has allocations, and succeeds once each has failed");
	ok_number(wrong, 0, "adopt: a failed allocation gives a refusal and no change, or success");
	eject_each(&before, &after);
	failures_only_in(FAILURES_ANYWHERE);
	write_file("online", MEMORY "/auto_online_blocks");
	accounts_free(before.accounts);
	accounts_free(after.accounts);
	unload_twostage();
}

GROUP(group_alloc_failures_dimm) = {
	.name = "alloc-failures-dimm",
	.title = "each allocation for a DIMM that is plugged or ejected fails once",
	.run = run_dimm,
};
