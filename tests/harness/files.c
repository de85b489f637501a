// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files that are read and written whole, such as attributes
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

int write_file(const char *text, const char *path, ...)
{
	va_list arguments;
	char name[256];
	int fd, ret;

	va_start(arguments, path);
	vsnprintf(name, sizeof(name), path, arguments);
	va_end(arguments);

	fd = open(name, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

int write_open(int file, const char *text)
{
	return pwrite(file, text, strlen(text), 0) < 0 ? -errno : 0;
}

const char *read_file(const char *path, ...)
{
	static char texts[8][256];
	static int next;
	char *text = texts[next++ % 8];
	va_list arguments;
	char name[256];
	ssize_t length;
	int fd;

	va_start(arguments, path);
	vsnprintf(name, sizeof(name), path, arguments);
	va_end(arguments);

	text[0] = '\0';
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return text;
	length = read(fd, text, sizeof(texts[0]) - 1);
	close(fd);
	text[length > 0 ? length : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return text;
}

char *read_whole(const char *path)
{
	size_t size = 0, used = 0;
	char *text = NULL;
	ssize_t length;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return strdup("");
	do {
		if (size - used < 4096) {
			size += 65536;
			text = realloc(text, size);
			if (!text)
				abort();
		}
		length = read(fd, text + used, size - used - 1);
		used += length > 0 ? length : 0;
	} while (length > 0);
	close(fd);
	text[used] = '\0';
	return text;
}

long long read_number(const char *path, ...)
{
	va_list arguments;
	char name[256];

	va_start(arguments, path);
	vsnprintf(name, sizeof(name), path, arguments);
	va_end(arguments);
	return strtoll(read_file("%s", name), NULL, 0);
}

bool exists(const char *path, ...)
{
	va_list arguments;
	char name[256];

	va_start(arguments, path);
	vsnprintf(name, sizeof(name), path, arguments);
	va_end(arguments);
	return access(name, F_OK) == 0;
}

/* Returns the command's exit status, or -1 if it was killed. */
int run_command(const char *format, ...)
{
	va_list arguments;
	char command[512];
	int status;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool kernel_before(int major, int minor)
{
	struct utsname name;
	int first, second;

	return !uname(&name) && sscanf(name.release, "%d.%d", &first, &second) == 2 &&
	       (first < major || (first == major && second < minor));
}

bool kernel_preempt_rt(void)
{
	struct utsname name;

	return !uname(&name) && strstr(name.version, "PREEMPT_RT");
}

bool kernel_debugs(void)
{
	return exists("/sys/kernel/debug/kmemleak");
}

double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

pid_t meanwhile(int (*what)(void))
{
	pid_t pid = fork();

	if (pid)
		return pid;
	_exit(-what());
}

int later(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? -WEXITSTATUS(status) :
								      -ECHILD;
}
