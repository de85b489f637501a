// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is said when something goes wrong: what was wrong with what, and what to do next
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "errors.h"
#include "sysfs.h"

/* The kernel's log, to be read from where it stood when the operation began; -1 if it cannot be. */
static int kernel_log = -1;

static void print(const char *prefix, const char *format, va_list args)
{
	/* What has been printed so far comes first, wherever the two go. */
	fflush(stdout);
	fputs(prefix, stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

/**
 * error() - say what was wrong with what
 * @format: a line without the newline
 */
void error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print("twostage: ", format, args);
	va_end(args);
}

/**
 * warning() - say what may go wrong later, though nothing has failed
 * @format: a line without the newline
 */
void warning(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print("twostage: warning: ", format, args);
	va_end(args);
}

/**
 * hint() - say what to do next, after an error or a warning
 * @format: a line without the newline
 */
void hint(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print("  hint: ", format, args);
	va_end(args);
}

/**
 * usage_error() - say what was wrong with the command line
 * @command: the subcommand
 * @format: a line without the newline
 *
 * Return: the exit status for it.
 */
int usage_error(const char *command, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "twostage %s: ", command);
	va_start(args, format);
	print("", format, args);
	va_end(args);
	return getopt_error(command);
}

/**
 * getopt_error() - what follows on an error that getopt has printed
 * @command: the subcommand
 *
 * Return: the exit status for it.
 */
int getopt_error(const char *command)
{
	fprintf(stderr, "Try 'twostage %s --help' for more information.\n", command);
	return EXIT_USAGE;
}

/**
 * kernel_log_mark() - from here on, the kernel's log is about what this command does
 */
void kernel_log_mark(void)
{
	if (kernel_log >= 0)
		close(kernel_log);
	kernel_log = -1;
	if (sysroot()[0])
		return;
	kernel_log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kernel_log >= 0 && lseek(kernel_log, 0, SEEK_END) < 0) {
		close(kernel_log);
		kernel_log = -1;
	}
}

/* The next line of the module's since the mark; false when there are no more. */
static bool next_kernel_line(char *line, size_t size)
{
	static const char prefix[] = "twostage", own[] = ": ";
	char record[8192];
	ssize_t length;
	char *text;

	while (kernel_log >= 0) {
		length = read(kernel_log, record, sizeof(record) - 1);
		/* Records that were overwritten before they were read are skipped. */
		if (length < 0 && (errno == EPIPE || errno == EINTR))
			continue;
		if (length <= 0)
			return false;
		record[length] = '\0';
		/* "priority,sequence,time,flags;text", a newline, and more about it */
		text = strchr(record, ';');
		if (!text || strncmp(text + 1, prefix, strlen(prefix)))
			continue;
		/* Providers that are modules of their own are named in what they say. */
		text++;
		if (!strncmp(text + strlen(prefix), own, strlen(own)))
			text += strlen(prefix) + strlen(own);
		/* That it is not part of the kernel is no news. */
		if (strstr(text, "taint"))
			continue;
		snprintf(line, size, "%.*s", (int)strcspn(text, "\n"), text);
		return true;
	}
	return false;
}

/**
 * kernel_log_show() - print what the module had to say since the mark
 *
 * Where that cannot be found out, say how to look for it.
 *
 * Return: whether it had anything to say.
 */
bool kernel_log_show(void)
{
	bool any = false;
	char line[1024];

	while (next_kernel_line(line, sizeof(line))) {
		fprintf(stderr, "  kernel: %s\n", line);
		any = true;
	}
	if (!any)
		hint("dmesg | grep twostage may say more");
	return any;
}

/**
 * hint_by_errno() - what to do about errors that mean the same everywhere
 * @err: a positive errno
 */
void hint_by_errno(int err)
{
	switch (err) {
	case EACCES:
	case EPERM:
	case EROFS:
		if (geteuid())
			hint("only root may do this: try it with sudo");
		else if (err == EROFS)
			hint("sysfs is mounted read-only here, as it is in a container");
		break;
	case EHWPOISON:
		hint("it has a hardware-poisoned page, and keeps its memory until the next boot: use other blocks, or reboot");
		break;
	case EIO:
		hint("twostage status tells whether the hooks are switched off");
		break;
	}
}

/**
 * module_missing() - whether the module is not loaded, and say so
 */
int module_missing(void)
{
	if (sysfs_exists("/sys/bus/twostage"))
		return 0;
	error("the module twostage is not loaded");
	hint("twostage load");
	return 1;
}
