// SPDX-License-Identifier: GPL-2.0-only
/*
 * The user interface of twostage
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

uint64_t block_size;

void twostage_init(void)
{
	architecture_init();
	block_size = strtoull(read_file(MEMORY "/block_size_bytes"), NULL, 16);
	/*
	 * With record-cmd, each start of tracing patches code of the scheduler,
	 * which takes too long under emulation.
	 */
	write_file("0", "/sys/kernel/tracing/options/record-cmd");
}

int region_add(uint64_t start, uint64_t size, const char *options)
{
	char text[160];

	snprintf(text, sizeof(text), "%#" PRIx64 " %#" PRIx64 " %s", start, size,
		 options ? options : "");
	return write_file(text, BUS "/add_region");
}

int region_remove(int id)
{
	char text[32];

	snprintf(text, sizeof(text), "region%d", id);
	return write_file(text, BUS "/remove_region");
}

int region_online(int id, const char *what)
{
	return write_file(what, REGION "/online", id);
}

int region_offline(int id, const char *what)
{
	return write_file(what, REGION "/offline", id);
}

int region_offline_each(int id)
{
	int first = block_at(strtoull(read_file(REGION "/start", id), NULL, 0));
	int count = read_number(REGION "/blocks", id), block;

	if (blocks_online(id))
		for (block = first; block < first + count; block++)
			if (!strcmp(block_state(block), "online"))
				write_file("offline", MEMORY "/memory%d/state", block);
	return blocks_online(id);
}

int region_give_back(int id)
{
	int ret = 0, n, file;
	char path[64];

	snprintf(path, sizeof(path), REGION "/offline", id);
	for (n = 0; n < 50; n++) {
		/* Opened before empty slabs are freed, see memory_init() */
		file = open(path, O_WRONLY | O_CLOEXEC);
		if (n % 10 == 1)
			memory_free_unused();
		ret = write_open(file, "all");
		close(file);
		if (!ret || !region_offline_each(id))
			return 0;
		usleep(100000);
	}
	diag("region%d: %d blocks cannot go offline: %s", id, blocks_online(id), strerror(-ret));
	return ret;
}

int blocks_online(int id)
{
	return read_number(REGION "/blocks_online", id);
}

int block_at(uint64_t address)
{
	return address / block_size;
}

const char *block_state(int block)
{
	return read_file(MEMORY "/memory%d/state", block);
}

const char *block_stage(int block)
{
	return read_file(MEMORY "/memory%d/twostage/stage", block);
}

int iomem_count(const char *text)
{
	char *iomem = read_whole("/proc/iomem"), *place;
	int count = 0;

	for (place = iomem; (place = strstr(place, text)); place++)
		count++;
	free(iomem);
	return count;
}

bool refused(const char *text, int error, const char *needle, const char *path, ...)
{
	struct accounts *before = accounts_take();
	struct kmsg kmsg = kmsg_mark();
	char name[256], line[512] = "";
	va_list arguments;
	int ret, lines;
	bool passed;

	va_start(arguments, path);
	vsnprintf(name, sizeof(name), path, arguments);
	va_end(arguments);

	ret = write_file(text, "%s", name);
	lines = kmsg_lines(&kmsg, "twostage: ", line, sizeof(line));
	passed = ret == -error && lines == 1 && strstr(line, needle);
	if (!passed)
		diag("returned %d (%s), expected %d; %d log lines, last \"%s\", expected \"%s\"",
		     ret, strerror(-ret), -error, lines, line, needle);
	passed &= accounts_same(before);
	ok(passed, "writing \"%.*s\" to %s fails with \"%s\" and one log line, and changes nothing",
	   (int)strcspn(text, "\n"), text, strrchr(name, '/') + 1, strerror(error));
	kmsg_close(&kmsg);
	accounts_free(before);
	return passed;
}

/* All kprobes of the system, and all functions with an ftrace callback */
static char *probes(void)
{
	char *kprobes = read_whole("/sys/kernel/debug/kprobes/list");
	char *traced = read_whole("/sys/kernel/tracing/enabled_functions");
	char *both;

	if (asprintf(&both, "%s%s", kprobes, traced) < 0)
		abort();
	free(kprobes);
	free(traced);
	return both;
}

static char *probes_before;

bool load_twostage(const char *options)
{
	int ret;

	free(probes_before);
	probes_before = probes();
	ret = module_load("twostage", options);
	return ok_return(ret, 0, "twostage loads %s%s", options ? "with " : "without parameters",
			 options ? options : "");
}

/*
 * At boot a zone also spans what memmap= leaves out. Once a block at its end
 * has been set online and offline, it spans only memory that is present. For
 * the setup() of a group.
 */
void settle_zones(void)
{
	/* What is reserved in the guests begins at one of the two. */
	const uint64_t start = exists(MEMORY "/memory%d", block_at(4 * GIB)) ? 5 * GIB : 4 * GIB;

	if (!load_twostage(NULL))
		return;
	ok(succeeds(region_add(start, block_size, NULL)) &&
	   succeeds(region_online(0, "1 online_kernel")) && succeeds(region_give_back(0)) &&
	   succeeds(region_remove(0)),
	   "setup: a block goes online in a kernel zone and offline, and its region is removed");
	unload_twostage();
}

bool unload_twostage(void)
{
	int ret = module_unload("twostage");
	char *left;
	bool same;

	ok_return(ret, 0, "twostage unloads");
	ok(!module_loaded("twostage"), "after its unload twostage is not loaded");
	left = probes();
	same = probes_before && !strcmp(left, probes_before);
	if (!same)
		diag("probes were \"%s\", and are \"%s\"", probes_before ? probes_before : "",
		     left);
	free(left);
	ok(same,
	   "after the unload of twostage all kprobes and traced functions are as before its load");
	return ok(holds(!exists(BUS)) && holds(!exists("/sys/devices/twostage")) &&
			  holds(!exists("/sys/kernel/debug/twostage")),
		  "after the unload of twostage its directories in sysfs and debugfs are gone") &&
	       same;
}

long redirected(const char *function)
{
	char *hooks = read_whole("/sys/kernel/debug/twostage/hooks"), *line, *rest = hooks;
	char name[64];
	long count = -1;

	while ((line = strsep(&rest, "\n")))
		if (sscanf(line, "%63s armed redirected=%ld", name, &count) == 2 &&
		    !strcmp(name, function))
			break;
	free(hooks);
	return count;
}
