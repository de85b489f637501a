// SPDX-License-Identifier: GPL-2.0-only
/*
 * Error messages, which say what failed and why, and hints, which say what to
 * do next
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

/* The kernel log, positioned at the mark; -1 if it cannot be read */
static int kernel_log = -1;

static void print(const char *prefix, const char *format, va_list args)
{
	/* Keep the order of lines if stdout and stderr are the same file. */
	fflush(stdout);
	fputs(prefix, stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

/**
 * error() - say what failed and why
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
 * usage_error() - say what is wrong with the command line
 * @command: the subcommand
 * @format: a line without the newline
 *
 * Return: EXIT_USAGE.
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
 * getopt_error() - refer to the help, after getopt has printed an error
 * @command: the subcommand
 *
 * Return: EXIT_USAGE.
 */
int getopt_error(const char *command)
{
	fprintf(stderr, "Try 'twostage %s --help' for more information.\n", command);
	return EXIT_USAGE;
}

/**
 * kernel_log_mark() - set the mark to the end of the kernel log
 *
 * To be called before an operation, so that kernel_log_show() prints only what
 * the module logs about it.
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

/* Read the module's next log line since the mark; false if there is none. */
static bool next_kernel_line(char *line, size_t size)
{
	static const char prefix[] = "twostage", own[] = ": ";
	char record[8192];
	ssize_t length;
	char *text;

	while (kernel_log >= 0) {
		length = read(kernel_log, record, sizeof(record) - 1);
		/* EPIPE: records were overwritten before they were read. */
		if (length < 0 && (errno == EPIPE || errno == EINTR))
			continue;
		if (length <= 0)
			return false;
		record[length] = '\0';
		/* "priority,sequence,time,flags;text\nproperties" */
		text = strchr(record, ';');
		if (!text || strncmp(text + 1, prefix, strlen(prefix)))
			continue;
		/* Keep the prefix of a provider's module. */
		text++;
		if (!strncmp(text + strlen(prefix), own, strlen(own)))
			text += strlen(prefix) + strlen(own);
		/* "loading out-of-tree module taints kernel" and the like */
		if (strstr(text, "taint"))
			continue;
		snprintf(line, size, "%.*s", (int)strcspn(text, "\n"), text);
		return true;
	}
	return false;
}

/**
 * kernel_log_show() - print the module's log lines since the mark
 *
 * If there are none, or the log cannot be read, print a hint instead.
 *
 * Return: whether any line was printed.
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
		hint("the kernel log may tell more: dmesg | grep twostage");
	return any;
}

/**
 * hint_by_errno() - print a hint for an error that means the same everywhere
 * @err: a positive errno
 */
void hint_by_errno(int err)
{
	switch (err) {
	case EACCES:
	case EPERM:
	case EROFS:
		if (geteuid())
			hint("only root may do this: try again with sudo");
		else if (err == EROFS)
			hint("sysfs is mounted read-only, as in a container: run the command on the host");
		break;
	case EHWPOISON:
		hint("the memory block has a hardware-poisoned page and stays offline until the next boot: use other blocks, or reboot");
		break;
	case EIO:
		hint("to see whether the module's hooks are disarmed: twostage status");
		break;
	}
}

/**
 * module_missing() - print an error if the module is not loaded
 *
 * Return: 1 if it is not loaded, 0 if it is.
 */
int module_missing(void)
{
	if (sysfs_exists("/sys/bus/twostage"))
		return 0;
	error("the module twostage is not loaded");
	hint("to load the module: twostage load");
	return 1;
}
