// SPDX-License-Identifier: GPL-2.0-only
/*
 * From one kernel to the next by kexec, with memory populated
 *
 * Three kernels: the first loads the second with kexec_load(), that the third with kexec_file_load(). Each
 * makes the same region, populates blocks of it and uses them.
 *
 * Copyright (C) 2026 the twostage developers
 */
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

/* Before 6.7 it is not known, and a dynamic debug message says as much. */
#define FILE_DEBUG 8

/* Segments in a text that has "KEY0x..." for each; how many of them are in the region */
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
			diag("a segment at %#" PRIx64, address);
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
	int kernel = open(KEXEC_KERNEL, O_RDONLY | O_CLOEXEC), initrd = open(KEXEC_INITRD, O_RDONLY | O_CLOEXEC);
	struct kmsg kmsg = kmsg_mark();
	char line[2048], log[16384] = "";
	char *append = read_whole("/proc/cmdline"), command[2048];
	int inside;
	long ret;

	append[strcspn(append, "\n")] = '\0';
	snprintf(command, sizeof(command), "%s %s", append, options);
	free(append);
	write_file("file kernel/kexec_file.c +p", "/sys/kernel/debug/dynamic_debug/control");
	ret = syscall(SYS_kexec_file_load, kernel, initrd, strlen(command) + 1, command, FILE_DEBUG);
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

static void look_at_loads(const char *stage)
{
	int segments = 0;
	bool well;

	well = load_by_segments("", &segments);
	ok(well, "%s: kexec_load() places none of %d segments in the region", stage, segments);
	run_command("kexec -u");
	well = load_by_file("", &segments);
	ok(well, "%s: kexec_file_load() places none of %d segments in the region", stage, segments);
	run_command("kexec -u");
}

static void use(struct memory *memory)
{
	ok(memory_fill(memory, 300 * MIB, boot_number(STAGE) + 1) &&
	   memory_inside(memory, START, BLOCKS * block_size) > 200 * MIB && memory_check(memory) < 0,
	   "they are used");
}

static void go_on(int stage)
{
	char options[32];
	int segments;

	snprintf(options, sizeof(options), STAGE "=%d", stage);
	if (!ok(stage == 2 ? load_by_segments(options, &segments) : load_by_file(options, &segments),
		"the next kernel is loaded"))
		return;
	ktap_end();
	usleep(500000);
	run_command("kexec -e");
}

static void run(void)
{
	int stage = boot_number(STAGE);
	struct memory memory;

	if (!kexec_fetch())
		return;
	ok(iomem_count("Standby memory") == 0 && iomem_count("twostage") == 0,
	   "kernel %d: it knows of no region", stage ? stage : 1);
	if (!load_twostage(NULL))
		return;
	ok(region_add(START, BLOCKS * block_size, NULL) == 0, "the region is added");
	if (!stage)
		look_at_loads("all standby");
	ok(region_online(0, "4 online_movable") == 0, "blocks come online");
	if (!stage) {
		look_at_loads("half populated");
		ok(region_online(0, "all online_movable") == 0, "all blocks come online");
		look_at_loads("all populated");
		ok(region_offline(0, "4") == 0, "half of them go offline");
	}
	use(&memory);
	if (stage < 3) {
		go_on(stage ? stage + 1 : 2);
		ok(false, "the next kernel comes up");
	}
	memory_free(&memory);
	ok(region_give_back(0) == 0 && region_remove(0) == 0, "all blocks go offline, and the region");
	unload_twostage();
}

GROUP(group_kexec) = { .name = "kexec", .title = "from kernel to kernel with memory populated", .run = run };
