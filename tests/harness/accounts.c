// SPDX-License-Identifier: GPL-2.0-only
/*
 * A snapshot of the system state that has to be restored (the baseline)
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

struct accounts {
	long long mem_total;
	/*
	 * The direct map's sum only: loading modules splits and merges its
	 * pages.
	 */
	long long direct_map;
	long long corrupted;
	char *iomem;
	/*
	 * /sys/firmware/memmap, from which kexec makes the next kernel's memory
	 * map
	 */
	char *firmware;
	/* Spanned, present, managed pages and start_pfn of each zone */
	char *zones;
	int blocks;
	int blocks_linked;
	char *nodes;
};

/* A value of /proc/meminfo in KiB; 0 if there is none with this name */
long long meminfo(const char *field)
{
	char *text = read_whole("/proc/meminfo"), *line;
	size_t length = strlen(field);
	long long value = 0;

	for (line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, field, length) && line[length] == ':')
			value = strtoll(line + length + 1, NULL, 10);
	}
	free(text);
	return value;
}

long long direct_map(void)
{
	char *text = read_whole("/proc/meminfo"), *line;
	long long sum = 0;

	for (line = text; (line = strstr(line, "DirectMap")); line += strlen("DirectMap"))
		sum += strtoll(line + strcspn(line, ":\n") + 1, NULL, 10);
	free(text);
	return sum;
}

/*
 * /proc/iomem without PCI devices, whose BARs may get other addresses when they
 * are plugged again
 */
static char *iomem(void)
{
	char *text = read_whole("/proc/iomem"), *line, *rest = text;
	char *result = calloc(1, strlen(text) + 1);
	unsigned int domain, bus, slot, function;

	if (!result)
		abort();
	while ((line = strsep(&rest, "\n"))) {
		const char *name = strstr(line, " : ");

		/* The empty string after the last newline */
		if (!*line)
			continue;
		if (name && (sscanf(name, " : %x:%x:%x.%x", &domain, &bus, &slot, &function) == 4 ||
			     strstr(name, "virtio-pci")))
			continue;
		strcat(result, line);
		strcat(result, "\n");
	}
	free(text);
	return result;
}

static char *zones(void)
{
	char *text = read_whole("/proc/zoneinfo"), *line, *rest = text;
	char *result = calloc(1, strlen(text) + 1);

	if (!result)
		abort();
	while ((line = strsep(&rest, "\n"))) {
		long long value;
		char word[32];

		if (!strncmp(line, "Node", 4) ||
		    (sscanf(line, " %31s %lld", word, &value) == 2 &&
		     (!strcmp(word, "spanned") || !strcmp(word, "present") ||
		      !strcmp(word, "managed") || !strcmp(word, "start_pfn:")))) {
			strcat(result, line);
			strcat(result, "\n");
		}
	}
	free(text);
	return result;
}

static char *firmware(void)
{
	char *text = calloc(1, 65536);
	size_t length = 0, i;
	glob_t files;

	if (!text)
		abort();
	if (!glob("/sys/firmware/memmap/*/*", 0, NULL, &files)) {
		for (i = 0; i < files.gl_pathc && length < 65536; i++)
			length += snprintf(text + length, 65536 - length, "%s: %s\n",
					   files.gl_pathv[i], read_file("%s", files.gl_pathv[i]));
		globfree(&files);
	}
	return text;
}

static int count(const char *pattern)
{
	glob_t files;
	int found = 0;

	if (!glob(pattern, GLOB_NOSORT, NULL, &files)) {
		found = files.gl_pathc;
		globfree(&files);
	}
	return found;
}

/*
 * With debug_pagealloc=on, free pages are unmapped from the direct map. When
 * memory is removed, the kernel neither counts such pages nor frees their page
 * tables (remove_pte_table() in arch/x86/mm/init_64.c), with or without
 * twostage.
 */
static bool unmaps_free_pages(void)
{
	static int unmaps = -1;
	char *arguments;

	if (unmaps < 0) {
		arguments = read_whole("/proc/cmdline");
		unmaps = strstr(arguments, "debug_pagealloc=on") != NULL;
		free(arguments);
	}
	return unmaps;
}

struct accounts *accounts_take(void)
{
	struct accounts *accounts = calloc(1, sizeof(*accounts));

	if (!accounts)
		abort();
	accounts->mem_total = meminfo("MemTotal");
	if (!unmaps_free_pages())
		accounts->direct_map = direct_map();
	accounts->corrupted = meminfo("HardwareCorrupted");
	accounts->iomem = iomem();
	accounts->firmware = firmware();
	accounts->zones = zones();
	accounts->blocks = count(MEMORY "/memory[0-9]*");
	accounts->blocks_linked = count("/sys/devices/system/node/node*/memory[0-9]*");
	accounts->nodes = strdup(read_file("/sys/devices/system/node/has_memory"));
	if (!accounts->iomem || !accounts->nodes)
		abort();
	return accounts;
}

static bool same_number(bool report, const char *what, long long before, long long after)
{
	if (before == after)
		return true;
	if (report)
		diag("%s was %lld and is %lld", what, before, after);
	return false;
}

static bool same_text(bool report, const char *what, const char *before, const char *after)
{
	size_t i = 0;

	if (!strcmp(before, after))
		return true;
	if (report) {
		while (before[i] == after[i])
			i++;
		while (i && before[i - 1] != '\n')
			i--;
		diag("%s differs: was \"%.*s\" and is \"%.*s\"", what,
		     (int)strcspn(before + i, "\n"), before + i, (int)strcspn(after + i, "\n"),
		     after + i);
	}
	return false;
}

void accounts_tell(const struct accounts *before)
{
	struct accounts *after = accounts_take();

	diag("account MemTotal: %lld KiB before, %lld KiB after", before->mem_total,
	     after->mem_total);
	diag("account direct map: %lld KiB before, %lld KiB after", before->direct_map,
	     after->direct_map);
	diag("account HardwareCorrupted: %lld KiB before, %lld KiB after", before->corrupted,
	     after->corrupted);
	diag("account memory blocks: %d before, %d after; under nodes %d and %d", before->blocks,
	     after->blocks, before->blocks_linked, after->blocks_linked);
	diag("account /sys/firmware/memmap: %s",
	     strcmp(before->firmware, after->firmware) ? "differs" : "the same");
	diag("account /proc/iomem: %s",
	     strcmp(before->iomem, after->iomem) ? "differs" : "the same");
	diag("account /proc/zoneinfo: %s",
	     strcmp(before->zones, after->zones) ? "differs" : "the same");
	diag("account nodes with memory: %s before, %s after", before->nodes, after->nodes);
	accounts_free(after);
}

static bool compare(const struct accounts *before, const struct accounts *after, bool report)
{
	bool same = true;

	same &= same_number(report, "MemTotal", before->mem_total, after->mem_total);
	same &= same_number(report, "the direct map", before->direct_map, after->direct_map);
	same &= same_number(report, "HardwareCorrupted", before->corrupted, after->corrupted);
	same &= same_text(report, "/proc/iomem", before->iomem, after->iomem);
	same &= same_text(report, "/sys/firmware/memmap", before->firmware, after->firmware);
	same &= same_text(report, "/proc/zoneinfo", before->zones, after->zones);
	same &= same_number(report, "the number of memory blocks", before->blocks, after->blocks);
	same &= same_number(report, "the number of blocks under nodes", before->blocks_linked,
			    after->blocks_linked);
	same &= same_text(report, "has_memory", before->nodes, after->nodes);
	return same;
}

bool accounts_same(struct accounts *before)
{
	struct accounts *after;
	bool same = false;
	int tries;

	for (tries = 0; tries < 20 && !same; tries++) {
		if (tries)
			usleep(100000);
		after = accounts_take();
		same = compare(before, after, tries == 19);
		accounts_free(after);
	}
	return same;
}

void accounts_add_poisoned(struct accounts *accounts, int blocks, int pages)
{
	if (!unmaps_free_pages())
		accounts->direct_map += direct_map() ? blocks * block_size / 1024 : 0;
	accounts->corrupted += pages * page_size / 1024;
}

void accounts_free(struct accounts *accounts)
{
	free(accounts->iomem);
	free(accounts->firmware);
	free(accounts->zones);
	free(accounts->nodes);
	free(accounts);
}
