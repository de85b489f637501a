// SPDX-License-Identifier: GPL-2.0-only
/*
 * Disks, by the serial numbers that the host has given them
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"

const char *disk_of(const char *serial)
{
	static char path[300];
	struct dirent *entry;
	DIR *directory;

	path[0] = '\0';
	directory = opendir("/sys/block");
	while (directory && (entry = readdir(directory)))
		if (!strcmp(read_file("/sys/block/%s/serial", entry->d_name), serial))
			snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
	if (directory)
		closedir(directory);
	return path;
}
