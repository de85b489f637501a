// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module's interface
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
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
	block_size = strtoull(read_file(MEMORY "/block_size_bytes"), NULL, 16);
	/* Tracing would patch the scheduler each time that it is switched on, which is too much for emulation. */
	write_file("0", "/sys/kernel/tracing/options/record-cmd");
}

int region_add(uint64_t start, uint64_t size, const char *options)
{
	char text[160];

	snprintf(text, sizeof(text), "%#" PRIx64 " %#" PRIx64 " %s", start, size, options ? options : "");
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
	int ret, n;

	for (n = 0; n < 50; n++) {
		ret = region_offline(id, "all");
		if (!ret)
			return 0;
		if (kernel_debugs() && n % 10 == 0)
			memory_shrink_slabs();
		if (!region_offline_each(id))
			return 0;
		usleep(100000);
	}
	diag("region%d does not go offline (%s), %d blocks are left", id, strerror(-ret), blocks_online(id));
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
		diag("%d (%s), %d lines, the last \"%s\"", ret, strerror(-ret), lines, line);
	passed &= accounts_same(before);
	ok(passed, "\"%.*s\" to %s is refused with \"%s\", one line tells why, nothing changes",
	   (int)strcspn(text, "\n"), text, strrchr(name, '/') + 1, strerror(error));
	kmsg_close(&kmsg);
	accounts_free(before);
	return passed;
}

/* All of the system's kprobes, and all functions that are traced or redirected */
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
	return ok(ret == 0, "the module loads (%s)", ret ? strerror(-ret) : options ? options : "");
}

/*
 * A zone spans at boot what memmap= leaves out, too. Once a block at its end has come and gone, it spans no more
 * than there is. For a group's setup, before any account is taken.
 */
void settle_zones(void)
{
	const uint64_t start = 4 * GIB;

	if (!load_twostage(NULL))
		return;
	ok(region_add(start, block_size, NULL) == 0 && region_online(0, "1 online_kernel") == 0 &&
	   region_give_back(0) == 0 && region_remove(0) == 0, "a block has come and gone in a kernel zone");
	unload_twostage();
}

bool unload_twostage(void)
{
	int ret = module_unload("twostage");
	char *left;
	bool same;

	ok(ret == 0 && !module_loaded("twostage"), "the module unloads (%s)", ret ? strerror(-ret) : "");
	left = probes();
	same = probes_before && !strcmp(left, probes_before);
	if (!same)
		diag("probes were \"%s\", and are \"%s\"", probes_before ? probes_before : "", left);
	free(left);
	return ok(same && !exists(BUS) && !exists("/sys/devices/twostage") &&
		  !exists("/sys/kernel/debug/twostage"), "no probe, file or directory is left behind");
}
