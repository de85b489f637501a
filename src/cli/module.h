/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The module's file
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGE_MODULE_H
#define TWOSTAGE_MODULE_H

#include <libkmod.h>
#include <stdbool.h>
#include <stddef.h>

struct kmod_ctx *module_context(void);
int module_find(struct kmod_ctx *ctx, const char *file, struct kmod_module **module);
int module_find_installed(struct kmod_ctx *ctx, struct kmod_module **module);
int module_info(const struct kmod_module *module, const char *key, char *value, size_t size);
bool hint_modules_disabled(void);
bool module_has_parameter(const struct kmod_module *module, const char *name, size_t length);

#endif /* TWOSTAGE_MODULE_H */
