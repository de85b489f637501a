// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading and writing the kernel's files
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sysfs.h"

/**
 * sysroot() - the directory that stands for the root directory
 *
 * Tests set TWOSTAGE_SYSROOT to a tree of their own.
 *
 * Return: the directory; "" outside of tests.
 */
const char *sysroot(void)
{
	const char *root = secure_getenv("TWOSTAGE_SYSROOT");

	return root ? root : "";
}

static int make_path(char path[PATH_MAX], const char *format, va_list args)
{
	int length = snprintf(path, PATH_MAX, "%s", sysroot());

	if (length >= PATH_MAX ||
	    vsnprintf(path + length, PATH_MAX - length, format, args) >= PATH_MAX - length)
		return -ENAMETOOLONG;
	return 0;
}

/**
 * sysfs_exists() - whether a file exists
 * @format: its path
 */
bool sysfs_exists(const char *format, ...)
{
	char path[PATH_MAX];
	va_list args;
	int ret;

	va_start(args, format);
	ret = make_path(path, format, args);
	va_end(args);
	return !ret && !access(path, F_OK);
}

static int read_line(char *text, size_t size, const char *path)
{
	ssize_t length;
	int ret = 0;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	length = read(fd, text, size - 1);
	if (length < 0) {
		ret = -errno;
		length = 0;
	}
	close(fd);
	text[length] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return ret;
}

/**
 * sysfs_read() - read the first line of a file
 * @text: the line, without its newline
 * @size: size of @text
 * @format: the path
 *
 * Return: 0; or a negative errno, with @text undefined.
 */
int sysfs_read(char *text, size_t size, const char *format, ...)
{
	char path[PATH_MAX];
	va_list args;
	int ret;

	va_start(args, format);
	ret = make_path(path, format, args);
	va_end(args);
	return ret ? ret : read_line(text, size, path);
}

/**
 * sysfs_read_bytes() - read the first bytes of a file
 * @bytes: the result
 * @size: size of @bytes
 * @format: the path
 *
 * Return: 0 or a negative errno; -ENODATA if the file has less bytes.
 */
int sysfs_read_bytes(void *bytes, size_t size, const char *format, ...)
{
	char path[PATH_MAX];
	va_list args;
	FILE *file;
	int ret;

	va_start(args, format);
	ret = make_path(path, format, args);
	va_end(args);
	if (ret)
		return ret;

	file = fopen(path, "re");
	if (!file)
		return -errno;
	if (fread(bytes, 1, size, file) != size)
		ret = ferror(file) ? -EIO : -ENODATA;
	fclose(file);
	return ret;
}

/**
 * sysfs_read_number() - read a number from a file
 * @number: the number
 * @base: 16 for a file with hexadecimal numbers without 0x; 0 otherwise
 * @format: the path
 *
 * Return: 0 or a negative errno; -EINVAL if the file does not contain a number.
 */
int sysfs_read_number(uint64_t *number, int base, const char *format, ...)
{
	char path[PATH_MAX];
	char text[64];
	va_list args;
	char *end;
	int ret;

	va_start(args, format);
	ret = make_path(path, format, args);
	va_end(args);
	if (!ret)
		ret = read_line(text, sizeof(text), path);
	if (ret)
		return ret;

	errno = 0;
	*number = strtoull(text, &end, base);
	return errno || end == text || *end ? -EINVAL : 0;
}

/**
 * sysfs_write() - write to a file, in one write()
 * @text: the text
 * @format: the path
 *
 * Return: 0 or a negative errno.
 */
int sysfs_write(const char *text, const char *format, ...)
{
	char path[PATH_MAX];
	ssize_t written;
	va_list args;
	int ret;
	int fd;

	va_start(args, format);
	ret = make_path(path, format, args);
	va_end(args);
	if (ret)
		return ret;

	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	written = write(fd, text, strlen(text));
	if (written < 0)
		ret = -errno;
	else if ((size_t)written != strlen(text))
		ret = -EIO;
	close(fd);
	return ret;
}

static int below_sysroot(char path[PATH_MAX], const char *format, ...)
{
	va_list args;
	int ret;

	va_start(args, format);
	ret = make_path(path, format, args);
	va_end(args);
	if (ret)
		errno = -ret;
	return ret;
}

/**
 * sysroot_fopen() - open a file for reading
 * @path: its path
 *
 * Return: the stream; or NULL, with errno set.
 */
FILE *sysroot_fopen(const char *path)
{
	char full[PATH_MAX];

	return below_sysroot(full, "%s", path) ? NULL : fopen(full, "re");
}

/**
 * sysroot_opendir() - open a directory
 * @path: its path
 *
 * Return: the directory stream; or NULL, with errno set.
 */
DIR *sysroot_opendir(const char *path)
{
	char full[PATH_MAX];

	return below_sysroot(full, "%s", path) ? NULL : opendir(full);
}
