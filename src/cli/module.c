// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module's file: one that the user names, or the one that is installed for
 * the running kernel
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "errors.h"
#include "module.h"
#include "sysfs.h"

/**
 * module_context() - create a libkmod context
 *
 * Return: the context; or NULL, after printing an error.
 */
struct kmod_ctx *module_context(void)
{
	static const char *const no_configuration[] = { NULL };
	struct kmod_ctx *ctx;

	if (sysroot()[0]) {
		char path[PATH_MAX];
		struct utsname kernel;

		uname(&kernel);
		snprintf(path, sizeof(path), "%s/lib/modules/%s", sysroot(), kernel.release);
		ctx = kmod_new(path, no_configuration);
	} else {
		ctx = kmod_new(NULL, NULL);
	}
	if (!ctx)
		error("cannot look for kernel modules: libkmod: %s", strerror(errno));
	else
		/* No messages from libkmod: the command prints its own. */
		kmod_set_log_priority(ctx, 0);
	return ctx;
}

static int module_from_file(struct kmod_ctx *ctx, const char *file, struct kmod_module **module)
{
	char path[PATH_MAX];
	char name[64];
	int ret;

	if (access(file, R_OK)) {
		ret = -errno;
		error("cannot read %s: %s", file, strerror(errno));
		return ret;
	}
	/* libkmod needs no whole path, but messages are clearer with it. */
	if (!realpath(file, path)) {
		ret = -errno;
		error("cannot read %s: %s", file, strerror(errno));
		return ret;
	}
	ret = kmod_module_new_from_path(ctx, path, module);
	if (ret) {
		error("cannot open %s: %s", file, ret == -ENOENT ? "it is not a module file (.ko)" :
		      strerror(-ret));
		return ret;
	}
	ret = module_info(*module, "name", name, sizeof(name));
	if (ret || strcmp(name, "twostage")) {
		if (ret)
			error("%s is not a kernel module", file);
		else
			error("%s is the module %s, not twostage", file, name);
		kmod_module_unref(*module);
		return -EINVAL;
	}
	return 0;
}

/**
 * module_find_installed() - find the module installed for the running kernel
 * @ctx: the context
 * @module: the result; the caller drops the reference
 *
 * Return: 0, -ENOENT if there is none, or another negative errno.
 */
int module_find_installed(struct kmod_ctx *ctx, struct kmod_module **module)
{
	struct kmod_list *list = NULL;
	int ret;

	ret = kmod_module_new_from_lookup(ctx, "twostage", &list);
	if (!ret && !list)
		ret = -ENOENT;
	if (ret)
		return ret;
	*module = kmod_module_get_module(list);
	kmod_module_unref_list(list);
	return 0;
}

/**
 * module_find() - find the module to load
 * @ctx: the context
 * @file: its file, or NULL for the one that is installed for the running kernel
 * @module: the result; the caller drops the reference
 *
 * Return: 0; or a negative errno, after printing an error.
 */
int module_find(struct kmod_ctx *ctx, const char *file, struct kmod_module **module)
{
	struct utsname kernel;
	int ret;

	if (file)
		return module_from_file(ctx, file, module);
	ret = module_find_installed(ctx, module);
	if (ret) {
		uname(&kernel);
		error("there is no module twostage in /lib/modules/%s", kernel.release);
		hint("install the module for this kernel (make dkms-install), or give its file: twostage load FILE");
	}
	return ret;
}

/**
 * module_info() - read a field of the module, as modinfo does
 * @module: the module
 * @key: name of the field, such as "version"
 * @value: the result
 * @size: size of @value
 *
 * Return: 0; -ENOENT if the module has no such field; or another negative
 * errno.
 */
int module_info(const struct kmod_module *module, const char *key, char *value, size_t size)
{
	struct kmod_list *list = NULL, *entry;
	int ret;

	ret = kmod_module_get_info(module, &list);
	if (ret < 0)
		return ret;
	ret = -ENOENT;
	kmod_list_foreach(entry, list) {
		if (!strcmp(kmod_module_info_get_key(entry), key)) {
			snprintf(value, size, "%s", kmod_module_info_get_value(entry));
			ret = 0;
			break;
		}
	}
	kmod_module_info_free_list(list);
	return ret;
}

/**
 * hint_modules_disabled() - print a hint if kernel.modules_disabled is set
 *
 * Return: whether it is set, so that no module can be loaded or unloaded until
 * the next boot.
 */
bool hint_modules_disabled(void)
{
	uint64_t disabled;

	if (sysfs_read_number(&disabled, 0, "/proc/sys/kernel/modules_disabled") || !disabled)
		return false;
	hint("kernel.modules_disabled is 1, so no module can be loaded or unloaded until the next boot: find where it is set, for example in /etc/sysctl.d, and load twostage before that, for example by modules-load.d");
	return true;
}

/**
 * module_has_parameter() - whether the module has a parameter
 * @module: the module
 * @name: the parameter's name
 * @length: length of @name
 */
bool module_has_parameter(const struct kmod_module *module, const char *name, size_t length)
{
	struct kmod_list *list = NULL, *entry;
	bool found = false;

	if (kmod_module_get_info(module, &list) < 0)
		return false;
	kmod_list_foreach(entry, list) {
		const char *key = kmod_module_info_get_key(entry);
		const char *value = kmod_module_info_get_value(entry);

		/* A parameter has "parm" (description), "parmtype", or both. */
		if ((!strcmp(key, "parm") || !strcmp(key, "parmtype")) &&
		    !strncmp(value, name, length) && value[length] == ':')
			found = true;
	}
	kmod_module_info_free_list(list);
	return found;
}
