// SPDX-License-Identifier: GPL-2.0-only
/*
 * Booting the next kernel: the same one, with the same initramfs and tests
 *
 * A number on its command line tells the tests which step this boot is.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

long long boot_number(const char *name)
{
	char *line = read_whole("/proc/cmdline"), *place = line;
	long long value = 0;

	/*
	 * The last one counts: kexec keeps the old command line and appends to
	 * it.
	 */
	while ((place = strstr(place, name))) {
		place += strlen(name);
		if (*place == '=')
			value = strtoll(place + 1, NULL, 0);
	}
	free(line);
	return value;
}

/*
 * The disks, and so these copies, are padded with zeroes; both formats allow
 * that.
 */
bool kexec_fetch(void)
{
	char kernel[64], initrd[64];

	virtio_bus();
	module_load_system("virtio_blk", NULL);
	snprintf(kernel, sizeof(kernel), "%s", disk_of("kernel"));
	snprintf(initrd, sizeof(initrd), "%s", disk_of("initrd"));
	return ok(*kernel && *initrd &&
		  !run_command("cat %s >" KEXEC_KERNEL " && cat %s >" KEXEC_INITRD, kernel, initrd),
		  "the kernel and the initramfs are read from their disks");
}

int kexec_load(const char *how, const char *options, ...)
{
	va_list arguments;
	char append[256];

	va_start(arguments, options);
	vsnprintf(append, sizeof(append), options, arguments);
	va_end(arguments);
	return run_command("kexec %s " KEXEC_KERNEL " --initrd=" KEXEC_INITRD
			   " --reuse-cmdline --append='%s'"
			   " >" KEXEC_OUTPUT " 2>&1",
			   how, append);
}
