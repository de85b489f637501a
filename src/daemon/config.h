/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The configuration: a file, files that add to it, and options of the command
 * line
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGED_CONFIG_H
#define TWOSTAGED_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy.h"

#define CONFIG_FILE "/etc/twostage/twostaged.conf"

/* Length that is enough for any message about the configuration */
#define CONFIG_ERROR 512

enum config_key {
	CONFIG_MIN, CONFIG_MAX, CONFIG_LOW, CONFIG_TARGET, CONFIG_HIGH, CONFIG_KERNEL_LOW, CONFIG_RATIO,
	CONFIG_PRESSURE, CONFIG_SETTLE, CONFIG_HYSTERESIS, CONFIG_TRY, CONFIG_BUDGET, CONFIG_MANAGE, CONFIG_REGIONS,
	CONFIG_OOM_NET, CONFIG_KEYS
};

/**
 * struct config - the configuration
 * @limits: for policy_resolve(): 0 for a limit that is chosen automatically
 * @try_time: how long one try to set a block offline may take, in milliseconds
 * @manage_all: whether blocks that were set online by hand may go offline
 * @oom_net: whether regions have online_on_oom set while the daemon runs
 * @regions: number of @region; 0: all regions
 * @region: the N of each regionN, in the order in which they are used
 */
struct config {
	struct policy_config limits;
	uint64_t try_time;
	bool manage_all;
	bool oom_net;
	unsigned int regions;
	unsigned int region[POLICY_REGIONS];
};

/**
 * struct config_key_help - a key, which is an option, too
 * @name: the key
 * @argument: what its value is, in one word
 * @default_text: the value if none is given
 * @help: what it means
 */
struct config_key_help {
	const char *name;
	const char *argument;
	const char *default_text;
	const char *help;
};

extern const struct config_key_help config_keys[CONFIG_KEYS];

void config_defaults(struct config *config);
int config_set(struct config *config, const char *name, const char *value, char error[CONFIG_ERROR]);
int config_read(struct config *config, const char *file, bool must_exist, char error[CONFIG_ERROR]);
int config_check(const struct config *config, char error[CONFIG_ERROR]);

#endif /* TWOSTAGED_CONFIG_H */
