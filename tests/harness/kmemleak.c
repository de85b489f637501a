// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's leak detector, on kernels that have it
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

#define KMEMLEAK "/sys/kernel/debug/kmemleak"

bool kmemleak_there(void)
{
	/* With kmemleak=off the file exists, and writes to it fail. */
	return exists(KMEMLEAK) && write_file("stack=on", KMEMLEAK) == 0;
}

bool kmemleak_wanted(void)
{
	char *arguments = read_whole("/proc/cmdline");
	bool wanted = exists(KMEMLEAK) && !strstr(arguments, "kmemleak=off");

	free(arguments);
	return wanted;
}

void kmemleak_forget(void)
{
	write_file("scan", KMEMLEAK);
	write_file("clear", KMEMLEAK);
}

int kmemleak_leaks(void)
{
	char *text, *line, *rest;
	int leaks = 0, lines = 0;

	/*
	 * It reports only objects older than 5 s that two scans found
	 * unreferenced.
	 */
	sleep(6);
	write_file("scan", KMEMLEAK);
	write_file("scan", KMEMLEAK);
	text = read_whole(KMEMLEAK);
	for (rest = text; (line = strsep(&rest, "\n"));) {
		leaks += !strncmp(line, "unreferenced object", 19);
		if (*line && lines++ < 60)
			diag("%s", line);
	}
	free(text);
	kmemleak_forget();
	return leaks;
}
