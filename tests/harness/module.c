// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loading and unloading modules, by libkmod
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <fcntl.h>
#include <libkmod.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"

static struct kmod_ctx *context(void)
{
	static struct kmod_ctx *ctx;

	if (!ctx) {
		ctx = kmod_new(NULL, NULL);
		/* Failures are expected: do not print them to the console. */
		kmod_set_log_priority(ctx, 0);
	}
	return ctx;
}

static struct kmod_module *module_of(const char *name)
{
	struct kmod_module *module = NULL;
	char path[128];

	snprintf(path, sizeof(path), "/twostage/%s.ko", name);
	if (kmod_module_new_from_path(context(), path, &module) < 0)
		return NULL;
	return module;
}

/* Loads a module of this project, from /twostage/ */
int module_load(const char *name, const char *options)
{
	struct kmod_module *module = module_of(name);
	int ret;

	if (!module)
		return -ENOENT;
	ret = kmod_module_insert_module(module, 0, options);
	kmod_module_unref(module);
	return ret;
}

/* Loads a module of the kernel, and the modules that it depends on */
int module_load_system(const char *name, const char *options)
{
	struct kmod_module *module;
	int ret;

	ret = kmod_module_new_from_name(context(), name, &module);
	if (ret < 0)
		return ret;
	ret = kmod_module_probe_insert_module(module, 0, options, NULL, NULL, NULL);
	kmod_module_unref(module);
	return ret;
}

int module_unload(const char *name)
{
	struct kmod_module *module;
	int ret;

	ret = kmod_module_new_from_name(context(), name, &module);
	if (ret < 0)
		return ret;
	ret = kmod_module_remove_module(module, O_NONBLOCK);
	kmod_module_unref(module);
	return ret;
}

int module_insert(int fd, const char *options)
{
	return syscall(SYS_finit_module, fd, options, 0) ? -errno : 0;
}

int module_delete(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0;
}

int module_unload_by_force(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK | O_TRUNC) ? -errno : 0;
}

bool module_loaded(const char *name)
{
	return exists("/sys/module/%s/refcnt", name);
}

const char *module_info(const char *name, const char *field)
{
	struct kmod_module *module = module_of(name);
	struct kmod_list *list = NULL, *entry;
	static char value[256];

	value[0] = '\0';
	if (!module)
		return value;
	if (kmod_module_get_info(module, &list) >= 0) {
		kmod_list_foreach(entry, list) {
			if (strcmp(kmod_module_info_get_key(entry), field))
				continue;
			snprintf(value, sizeof(value), "%s", kmod_module_info_get_value(entry));
		}
		kmod_module_info_free_list(list);
	}
	kmod_module_unref(module);
	return value;
}
