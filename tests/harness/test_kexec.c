// SPDX-License-Identifier: GPL-2.0-only
/*
 * kexec from one kernel to the next with populated memory
 *
 * Three kernels run in turn: the first loads the second with kexec_load(), the
 * second loads the third with kexec_file_load(). Each one adds the same region,
 * populates blocks of it and uses them.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"

#define START (4 * GIB)
#define BLOCKS 8
#define STAGE "twostage_stage"
#define LOADED "/sys/kernel/kexec_loaded"

/* KEXEC_FILE_DEBUG; kernels before 6.7 have a dynamic debug message instead. */
#define FILE_DEBUG 8

/*
 * Parse addresses of segments, each after KEY, in a text. Returns how many of
 * them are in the region; *segments is the count of all.
 */
static int segments_inside(const char *text, const char *key, int *segments)
{
	const uint64_t end = START + BLOCKS * block_size;
	const char *place;
	int inside = 0;

	*segments = 0;
	for (place = text; (place = strstr(place, key)); place++) {
		uint64_t address = strtoull(place + strlen(key), NULL, 16);

		++*segments;
		if (address >= START && address < end) {
			diag("the kexec segment at %#" PRIx64 " is in the region", address);
			inside++;
		}
	}
	return inside;
}

static bool load_by_segments(const char *options, int *segments)
{
	char *output;
	int inside;

	if (kexec_load("-d -l -c", "%s", options) || read_number(LOADED) != 1) {
		run_command("tail -3 " KEXEC_OUTPUT " | sed 's/^/# /' >/dev/kmsg");
		return false;
	}
	output = read_whole(KEXEC_OUTPUT);
	inside = segments_inside(output, ".mem   = ", segments);
	free(output);
	return inside == 0 && *segments > 1;
}

static bool load_by_file(const char *options, int *segments)
{
	int kernel = open(KEXEC_KERNEL, O_RDONLY | O_CLOEXEC);
	int initrd = open(KEXEC_INITRD, O_RDONLY | O_CLOEXEC);
	struct kmsg kmsg = kmsg_mark();
	char line[2048], log[16384] = "";
	char *append = read_whole("/proc/cmdline"), command[2048];
	int inside;
	long ret;

	append[strcspn(append, "\n")] = '\0';
	snprintf(command, sizeof(command), "%s %s", append, options);
	free(append);
	write_file("file kernel/kexec_file.c +p", "/sys/kernel/debug/dynamic_debug/control");
	ret = syscall(SYS_kexec_file_load, kernel, initrd, strlen(command) + 1, command,
		      FILE_DEBUG);
	if (ret)
		ret = syscall(SYS_kexec_file_load, kernel, initrd, strlen(command) + 1, command, 0);
	write_file("file kernel/kexec_file.c -p", "/sys/kernel/debug/dynamic_debug/control");
	close(kernel);
	close(initrd);
	while (kmsg_next(&kmsg, "memsz=0x", line, sizeof(line)))
		strncat(log, line, sizeof(log) - strlen(log) - 1);
	kmsg_close(&kmsg);
	inside = segments_inside(log, " mem=", segments);
	return !ret && read_number(LOADED) == 1 && inside == 0 && *segments > 1;
}

/* CONFIG_KEXEC_FILE */
static bool has_file_load(void)
{
	return syscall(SYS_kexec_file_load, -1, -1, 0, NULL, 0) == 0 || errno != ENOSYS;
}

static void look_at_loads(const char *stage)
{
	int segments = 0;
	bool well;

	well = load_by_segments("", &segments);
	ok(well, "%s: kexec_load() places none of %d segments in the region", stage, segments);
	run_command("kexec -u");
	if (!has_file_load()) {
		skip("this kernel has no kexec_file_load()",
		     "%s: kexec_file_load() places no segments in the region", stage);
		return;
	}
	well = load_by_file("", &segments);
	ok(well, "%s: kexec_file_load() places none of %d segments in the region", stage, segments);
	run_command("kexec -u");
}

/* The first kernel has no stage on its command line, the others 2 and 3. */
static int kernel_number(void)
{
	int stage = boot_number(STAGE);

	return stage ? stage : 1;
}

static void use(struct memory *memory)
{
	ok(memory_fill(memory, 300 * MIB, boot_number(STAGE) + 1) &&
	   memory_inside(memory, START, BLOCKS * block_size) > 200 * MIB &&
	   memory_check(memory) < 0,
	   "data in populated blocks of kernel %d reads back correctly", kernel_number());
}

static void go_on(int stage)
{
	char options[32];
	int segments = 0;
	bool loaded;

	snprintf(options, sizeof(options), STAGE "=%d", stage);
	loaded = stage == 2 || !has_file_load() ? load_by_segments(options, &segments) :
						  load_by_file(options, &segments);
	if (!ok(loaded,
		"kernel %d loads kernel %d with none of %d segments in the region", kernel_number(),
		stage, segments))
		return;
	ktap_end();
	usleep(500000);
	run_command("kexec -e");
}

static void run(void)
{
	int stage = boot_number(STAGE), kernel = kernel_number();
	struct memory memory;

	if (!exists(LOADED)) {
		skip("this kernel has no kexec", "kexec with populated memory");
		return;
	}
	if (!kexec_fetch())
		return;
	ok(iomem_count("Standby memory") == 0 && iomem_count("twostage") == 0,
	   "kernel %d boots without a region in /proc/iomem", kernel);
	if (!load_twostage(NULL))
		return;
	ok(region_add(START, BLOCKS * block_size, NULL) == 0, "kernel %d adds a region", kernel);
	if (!stage)
		look_at_loads("all standby");
	ok(region_online(0, "4 online_movable") == 0, "kernel %d sets four blocks online", kernel);
	if (!stage) {
		look_at_loads("half populated");
		ok(region_online(0, "all online_movable") == 0,
		   "kernel 1 sets the other four blocks online");
		look_at_loads("all populated");
		ok(region_offline(0, "4") == 0, "kernel 1 sets four blocks offline");
	}
	use(&memory);
	if (stage < 3) {
		go_on(stage ? stage + 1 : 2);
		ok(false, "kernel %d boots by kexec", stage ? stage + 1 : 2);
	}
	memory_free(&memory);
	ok(region_give_back(0) == 0 && region_remove(0) == 0,
	   "kernel %d sets all blocks offline and removes the region", kernel);
	unload_twostage();
}

GROUP(group_kexec) = { .name = "kexec", .title = "kexec with populated memory", .run = run };
