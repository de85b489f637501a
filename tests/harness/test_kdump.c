// SPDX-License-Identifier: GPL-2.0-only
/*
 * A crash of a kernel with populated and standby blocks, and its dump
 *
 * The first kernel populates some blocks of a region, fills memory in them with
 * known data, loads a crash kernel, and crashes. The crash kernel boots with
 * the same initramfs and runs the same group; its command line tells it to
 * check the first kernel's memory in /proc/vmcore and to write a dump to a
 * disk. On the host, tests/dump checks that dump.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"

#define START (4 * GIB)
#define BLOCKS 16
#define STAGE "twostage_stage"

/*
 * Bit masks of blocks: populated at the time of the crash; populated before it,
 * but standby at that time; in stage poisoned
 */
#define POPULATED 0x002f
#define BEFORE 0x0050
#define POISONED 0x0080

#define DATA (96 * MIB)
#define PAGE 4096
#define WORDS (PAGE / 8)
/* As in tests/dump */
#define MAGIC UINT64_C(0x74776f7374616765)

#define IMAGE_LOADED "/sys/kernel/kexec_crash_loaded"

/* Page n of the data: a magic number, n, and words that are computed from n */
static uint64_t word(uint64_t n, unsigned int i)
{
	return i == 0 ? MAGIC : i == 1 ? n : (n * WORDS + i) * UINT64_C(0x9e3779b97f4a7c15);
}

static bool is_data(const uint64_t *page)
{
	unsigned int i;

	for (i = 0; i < WORDS; i++)
		if (page[i] != word(page[1], i))
			return false;
	return page[1] < DATA / PAGE;
}

static bool set_blocks(unsigned int blocks, const char *state)
{
	bool well = true;
	int i;

	for (i = 0; i < BLOCKS; i++)
		if (blocks >> i & 1)
			well &= write_file(state, MEMORY "/memory%d/state",
					   block_at(START) + i) == 0;
	return well;
}

/* Fill memory with data. Returns how many of its pages are in the region. */
static long long make_data(void)
{
	struct memory memory = { .size = DATA };
	uint64_t n;
	int i;

	write_file("0", "/proc/sys/vm/compact_unevictable_allowed");
	memory.words = mmap(NULL, DATA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory.words == MAP_FAILED || mlock(memory.words, DATA))
		return 0;
	for (n = 0; n < DATA / PAGE; n++)
		for (i = 0; i < WORDS; i++)
			memory.words[n * WORDS + i] = word(n, i);
	return memory_inside(&memory, START, BLOCKS * block_size) / PAGE;
}

static void crash(const char *how)
{
	long long inside;
	bool follows;
	int ret;

	if (!kexec_fetch() || !load_twostage(NULL))
		return;
	ok(region_add(START, BLOCKS * block_size, NULL) == 0, "a region is added");
	ok(set_blocks(POPULATED, "online_movable"), "blocks %#x of the region come online",
	   POPULATED);
	inside = make_data();
	ok(inside > (long long)(DATA / PAGE / 2),
	   "most of the data is in populated blocks (%lld of %d pages)", inside,
	   (int)(DATA / PAGE));
	/*
	 * After the data, so that hardly any page of them is used: see
	 * look_back().
	 */
	ok(set_blocks(BEFORE | POISONED, "online_movable"), "blocks %#x of the region come online",
	   BEFORE | POISONED);
	ok(page_offline("hard", START + 8 * block_size - PAGE) == 0,
	   "a page of block 7 is poisoned");
	ret = kexec_load(how, STAGE "=2 nr_cpus=1 irqpoll reset_devices twostage_inside=%lld",
			 inside);
	if (!ok(ret == 0 && read_number(IMAGE_LOADED) == 1, "kexec %s loads the crash kernel",
		how)) {
		run_command("sed 's/^/# /' " KEXEC_OUTPUT " >/dev/kmsg");
		return;
	}
	/*
	 * Whether this kernel updates the dump's headers when memory is added
	 * or removed. It cannot update headers that kexec-tools made.
	 */
	follows = !strcmp(read_file(MEMORY "/crash_hotplug"), "1");
	ok(set_blocks(BEFORE | POISONED, "offline"),
	   "blocks %#x go offline after the crash kernel was loaded", BEFORE | POISONED);
	ok(!strcmp(block_stage(block_at(START) + 7), "poisoned"),
	   "offline of block 7 with its poisoned page ends in stage poisoned (%s)",
	   block_stage(block_at(START) + 7));
	diag("crash_hotplug: %d", follows);
	if (!follows)
		ok(kexec_load(how, STAGE "=2 nr_cpus=1 irqpoll reset_devices twostage_inside=%lld",
			      inside) == 0,
		   "kexec %s loads the crash kernel again, as udev does after a change of memory",
		   how);
	diag("kdump: pages=%d inside=%lld block_size=%#" PRIx64 " start=%#" PRIx64
	     " blocks=%d populated=%#x",
	     (int)(DATA / PAGE), inside, block_size, (uint64_t)START, BLOCKS, POPULATED);
	unlink(KEXEC_KERNEL);
	unlink(KEXEC_INITRD);

	/* This kernel prints no more tests. */
	ktap_end();
	usleep(500000);
	write_file("1", "/proc/sys/kernel/sysrq");
	write_file("c", "/proc/sysrq-trigger");
}

/*
 * Count pages of data in segments of the region, which contain other pages too.
 */
static long long count_data(int fd, const struct segment *segments, int count)
{
	static uint64_t pages[256][WORDS];
	static bool seen[DATA / PAGE];
	uint64_t offset;
	long long found = 0;
	int i, n;

	for (i = 0; i < count; i++) {
		if (segments[i].start < START || segments[i].start >= START + BLOCKS * block_size)
			continue;
		for (offset = 0; offset < segments[i].size; offset += sizeof(pages)) {
			if (pread(fd, pages, sizeof(pages),
				  segments[i].offset + offset) != sizeof(pages)) {
				diag("reading physical address %#" PRIx64 " from the dump failed",
				     segments[i].start + offset);
				return -1;
			}
			for (n = 0; n < (int)ARRAY_SIZE(pages); n++) {
				if (pages[n][0] != MAGIC || !is_data(pages[n]) || seen[pages[n][1]])
					continue;
				seen[pages[n][1]] = true;
				found++;
			}
		}
	}
	return found;
}

static void look_at_vmcore(void)
{
	int fd = open("/proc/vmcore", O_RDONLY | O_CLOEXEC), count, i;
	static struct segment segments[1024];
	bool all = true, none = true;
	long long found;

	count = elf_segments(fd, segments, ARRAY_SIZE(segments));
	for (i = 0; i < count; i++)
		diag("segment [%#" PRIx64 "-%#" PRIx64 "]", segments[i].start,
		     segments[i].start + segments[i].size - 1);
	for (i = 0; i < BLOCKS; i++) {
		uint64_t covered = elf_covered(segments, count, START + i * block_size, block_size);

		if (POPULATED >> i & 1)
			all &= covered == block_size;
		else
			none &= covered == 0;
	}
	ok(count > 0 && all, "segments of /proc/vmcore contain all memory of populated blocks");
	ok(none, "no segment of /proc/vmcore contains memory of a standby or poisoned block");
	found = count_data(fd, segments, count);
	ok(found == boot_number("twostage_inside"),
	   "/proc/vmcore contains all data of populated blocks (%lld pages, expected %lld)", found,
	   boot_number("twostage_inside"));
	close(fd);
}

/*
 * Copy the last messages of makedumpfile to the log, one record for each line.
 */
static void print_errors(void)
{
	run_command("tr '\\r' '\\n' </tmp/errors | tail -5 | "
		    "while read -r line; do echo \"# makedumpfile: $line\" >/dev/kmsg; done");
}

static void dump(void)
{
	const char *disk = disk_of("dump");
	double started = now();

	ok(*disk &&
	   !run_command("{ makedumpfile -F -d 1 /proc/vmcore 2>/tmp/errors || echo failed >>/tmp/errors; }"
				 " | dd of=%s bs=1M 2>/dev/null && ! grep -i fail /tmp/errors",
				 disk),
	   "makedumpfile writes a dump without zero pages (-d 1) to a disk");
	diag("makedumpfile -d 1 took %.1f s", now() - started);
	print_errors();
	/*
	 * -d 31 excludes all pages but the kernel's, by reading every struct
	 * page.
	 */
	ok(!run_command("{ makedumpfile -F -d 31 /proc/vmcore 2>/tmp/errors || echo failed >>/tmp/errors; }"
			" | wc -c >/tmp/size && ! grep -i fail /tmp/errors") &&
	   read_number("/tmp/size") > (long long)MIB,
	   "makedumpfile -d 31 writes a dump of kernel pages, which it selects by the memmaps");
	print_errors();
	run_command("sync");
}

static long long shared_mib(void)
{
	return strtoll(host_ask("shared"), NULL, 10) / 1024;
}

/*
 * Checksum of the region's memory in /proc/vmcore; 0 if it cannot be read. One
 * page in 64 KiB is read: that includes the first page of each block, where a
 * memmap would be written, and the pages that the ram provider tests.
 */
static uint64_t checksum(void)
{
	int fd = open("/proc/vmcore", O_RDONLY | O_CLOEXEC), count, i;
	static struct segment segments[1024];
	static uint64_t words[WORDS];
	uint64_t sum = 0, offset;
	size_t n;

	count = elf_segments(fd, segments, ARRAY_SIZE(segments));
	for (i = 0; i < count; i++) {
		if (segments[i].start < START || segments[i].start >= START + BLOCKS * block_size)
			continue;
		for (offset = 0; offset < segments[i].size; offset += 16 * PAGE) {
			if (pread(fd, words, sizeof(words),
				  segments[i].offset + offset) != sizeof(words)) {
				close(fd);
				return 0;
			}
			for (n = 0; n < ARRAY_SIZE(words); n++)
				sum = (sum ^ words[n]) * UINT64_C(0x9e3779b97f4a7c15) + 1;
		}
	}
	close(fd);
	return sum;
}

/*
 * In the crash kernel, the module must not load: a region would overwrite the
 * memory that is to be dumped.
 */
static void refuses_regions(void)
{
	const uint64_t before = checksum();
	char region[64];
	const char *const options[] = { NULL, "adopt=1", region };
	struct kmsg kmsg = kmsg_mark();
	size_t i;
	int ret;

	snprintf(region, sizeof(region), "region=%#" PRIx64 ":%#" PRIx64, (uint64_t)START,
		 block_size);
	for (i = 0; i < ARRAY_SIZE(options); i++) {
		ret = module_load("twostage", options[i]);
		ok(ret == -ENODEV,
		   "loading the module with %s fails with ENODEV in the crash kernel (%s)",
		   options[i] ?: "no parameters", strerror(-ret));
		ok(!module_loaded("twostage") && !exists(BUS),
		   "the module is not loaded with %s in the crash kernel",
		   options[i] ?: "no parameters");
		ok(kmsg_lines(&kmsg, "takes a crash dump", NULL, 0) == 1,
		   "the log has one line why the module does not load with %s in the crash kernel",
		   options[i] ?: "no parameters");
		if (ret)
			continue;
		/* The load did not fail: do what would overwrite the dump. */
		if (!exists(REGION, 0))
			region_add(START, block_size, NULL);
		region_online(0, "1 online_movable");
		region_give_back(0);
		region_remove(0);
		module_unload("twostage");
	}
	ok(module_load("twostage_virtio_mem", NULL) != 0 && !module_loaded("twostage_virtio_mem"),
	   "the virtio-mem driver does not load in the crash kernel");
	kmsg_close(&kmsg);
	ok(before && checksum() == before,
	   "attempts to load the module do not change the memory in /proc/vmcore");
}

static void look_back(void)
{
	/*
	 * Memory that was used once remains backed by the host after its
	 * offline, because the provider is ram. Of a block that was only
	 * online, that is the memmap and few other pages, except on the debug
	 * kernel, which writes to every free page.
	 */
	const int untouched = BLOCKS - __builtin_popcount(POPULATED | BEFORE | POISONED);
	const int before = __builtin_popcount(BEFORE | POISONED);
	const long long size = block_size / MIB, in_use = kernel_debugs() ? size : 16;
	const long long most = boot_number("twostage_memory") - untouched * size - before * (size - in_use);
	long long backed;

	virtio_bus();
	module_load_system("virtio_blk", NULL);
	ok(exists("/proc/vmcore"), "the crash kernel boots and has /proc/vmcore");
	look_at_vmcore();
	refuses_regions();
	dump();
	backed = shared_mib();
	ok(backed > 0 && backed <= most,
	   "the host does not back untouched standby memory (it backs %lld MiB, at most %lld expected)",
	   backed, most);
}

static void run_with(const char *how)
{
	if (boot_number(STAGE) == 2)
		look_back();
	else
		crash(how);
}

/* kexec_file_load(): the kernel makes the ELF headers of the dump. */
static void run(void)
{
	run_with("-p -s");
}

/* kexec_load(): the kexec command makes the ELF headers of the dump. */
static void run_load(void)
{
	run_with("-p -c");
}

GROUP(group_kdump) = {
	.name = "kdump", .title = "a crash and its dump, headers by the kernel", .run = run,
};
GROUP(group_kdump_load) = {
	.name = "kdump-load", .title = "a crash and its dump, headers by kexec-tools",
	.run = run_load,
};
