// SPDX-License-Identifier: GPL-2.0-only
/*
 * kexec and kdump with many populated blocks
 *
 * To load a crash kernel, kexec-tools reads the first 64 KiB of /proc/kcore and
 * expects all program headers and the note behind them in there. With an entry
 * of /proc/iomem for each of 1000 blocks, they would not fit; adjacent blocks
 * share an entry.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"

#define START (4 * GIB)
#define BLOCKS 1000
#define STAGE "twostage_stage"
#define PAGE 4096
#define LOADED "/sys/kernel/kexec_loaded"
#define CRASH_LOADED "/sys/kernel/kexec_crash_loaded"

static struct segment segments[2 * BLOCKS];

/* Step 1: every block is populated; step 2: every second one. */
static bool is_populated(int i, int step)
{
	return i % step == 0;
}

static bool all_are(const struct segment *entries, int count, int step)
{
	bool right = true;
	int i;

	for (i = 0; i < BLOCKS; i++)
		right &= elf_covered(entries, count, START + i * block_size, block_size) ==
			 (is_populated(i, step) ? block_size : 0);
	return right;
}

static bool populate(int step)
{
	bool done = true;
	int i;

	if (step == 1)
		return region_online(0, "all online_movable") == 0;
	for (i = 0; i < BLOCKS; i += step)
		done &= write_file("online_movable", MEMORY "/memory%d/state",
				   block_at(START) + i) == 0;
	return done;
}

static bool load(const char *how, const char *loaded, const char *options)
{
	int ret = kexec_load(how, "%s", options);
	bool done = ret == 0 && read_number("%s", loaded) == 1;

	if (!done)
		run_command("tail -3 " KEXEC_OUTPUT " | sed 's/^/# /' >/dev/kmsg");
	return done;
}

static void fill(uint64_t *page)
{
	int i;

	for (i = 0; i < PAGE / 8; i++)
		page[i] = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

/*
 * Lock a page with data, which thus is not moved. Returns its physical address,
 * or 0 if it is not in the region.
 */
static uint64_t make_page(void)
{
	struct memory memory = { .size = PAGE };
	uint64_t address;

	write_file("0", "/proc/sys/vm/compact_unevictable_allowed");
	memory.words = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory.words == MAP_FAILED || mlock(memory.words, PAGE))
		return 0;
	fill(memory.words);
	address = memory_address(&memory, 0);
	return address >= START && address < START + BLOCKS * block_size ? address : 0;
}

static void crash(int step, const char *how)
{
	static struct segment entries[BLOCKS];
	const int runs = step == 1 ? 1 : BLOCKS / step;
	char options[160];
	int others, count, headers;
	double started;
	uint64_t page;

	if (!kexec_fetch() || !load_twostage(NULL))
		return;
	others = kcore_headers();
	ok(region_add(START, BLOCKS * block_size, NULL) == 0, "a region of %d blocks is added",
	   BLOCKS);
	started = now();
	ok(populate(step), "%d of %d blocks come online", BLOCKS / step, BLOCKS);
	diag("the online of %d blocks took %.1f s", BLOCKS / step, now() - started);
	count = ram_entries(entries, BLOCKS);
	ok(count == runs, "%d populated blocks have %d entries in /proc/iomem (%d)", BLOCKS / step,
	   runs, count);
	ok(all_are(entries, count, step),
	   "entries in /proc/iomem contain the populated blocks and no others");
	headers = kcore_headers();
	ok(headers == others + 2 * runs,
	   "/proc/kcore has two program headers for each entry (%d, expected %d)", headers,
	   others + 2 * runs);
	page = make_page();
	ok(page, "a page with data is in the region");

	snprintf(options, sizeof(options),
		 STAGE "=2 nr_cpus=1 irqpoll reset_devices twostage_step=%d twostage_page=%#" PRIx64,
		 step, page);
	ok(load("-l -c", LOADED, options), "kexec_load() loads a kernel with %d blocks populated",
	   BLOCKS / step);
	run_command("kexec -u");
	ok(load("-l -s", LOADED, options),
	   "kexec_file_load() loads a kernel with %d blocks populated", BLOCKS / step);
	run_command("kexec -s -u");
	ok(load("-p -c", CRASH_LOADED, options),
	   "kexec_load() loads a crash kernel with %d blocks populated", BLOCKS / step);
	run_command("kexec -p -u");
	ok(load("-p -s", CRASH_LOADED, options),
	   "kexec_file_load() loads a crash kernel with %d blocks populated", BLOCKS / step);
	run_command("kexec -p -s -u");
	if (!ok(load(how, CRASH_LOADED, options), "kexec %s loads the crash kernel that is to boot",
		how))
		return;
	unlink(KEXEC_KERNEL);
	unlink(KEXEC_INITRD);

	/* This kernel prints no more tests. */
	ktap_end();
	usleep(500000);
	write_file("1", "/proc/sys/kernel/sysrq");
	write_file("c", "/proc/sysrq-trigger");
}

static bool has_page(int fd, int count, uint64_t address)
{
	static uint64_t found[PAGE / 8], expected[PAGE / 8];
	int i;

	fill(expected);
	for (i = 0; i < count; i++)
		if (address >= segments[i].start && address < segments[i].start + segments[i].size)
			return pread(fd, found, PAGE,
				     segments[i].offset + (address - segments[i].start)) == PAGE &&
			       !memcmp(found, expected, PAGE);
	return false;
}

static void look_back(void)
{
	int fd = open("/proc/vmcore", O_RDONLY | O_CLOEXEC), count,
	step = boot_number("twostage_step");
	double started;

	count = elf_segments(fd, segments, ARRAY_SIZE(segments));
	ok(count > 0, "the crash kernel boots and has /proc/vmcore with segments (%d)", count);
	ok(step && all_are(segments, count, step),
	   "/proc/vmcore contains each populated block and no standby memory");
	ok(has_page(fd, count, boot_number("twostage_page")),
	   "/proc/vmcore contains the page with data of the region");
	close(fd);

	started = now();
	ok(!run_command("{ makedumpfile -F -d 31 /proc/vmcore 2>/tmp/errors || echo failed >>/tmp/errors; }"
			" | wc -c >/tmp/size && ! grep -i fail /tmp/errors") &&
	   read_number("/tmp/size") > (long long)MIB,
	   "makedumpfile -d 31 writes a dump of kernel pages, which it selects by the memmaps");
	diag("makedumpfile -d 31 wrote %lld MiB in %.1f s",
	     read_number("/tmp/size") / (long long)MIB, now() - started);
	run_command("tr '\\r' '\\n' </tmp/errors | tail -5 | "
		    "while read -r line; do echo \"# makedumpfile: $line\" >/dev/kmsg; done");
}

static void run_with(int step, const char *how)
{
	if (boot_number(STAGE) == 2)
		look_back();
	else
		crash(step, how);
}

static void run_many(void)
{
	run_with(1, "-p -c");
}

static void run_scattered(void)
{
	run_with(2, "-p -s");
}

GROUP(group_kdump_many) = {
	.name = "kdump-many", .title = "a crash and its dump with 1000 populated blocks",
	.run = run_many,
};
GROUP(group_kdump_scattered) = {
	.name = "kdump-scattered",
	.title = "a crash and its dump with every second of 1000 blocks populated",
	.run = run_scattered,
};
