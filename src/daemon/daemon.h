/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The main loop
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGED_DAEMON_H
#define TWOSTAGED_DAEMON_H

#include <stdbool.h>

#include "config.h"

/**
 * struct daemon_options - what the command line says
 * @load: reads the configuration; called again for a reload
 * @dry_run: whether actions are only pretended
 * @record: whether to print measurements only
 */
struct daemon_options {
	int (*load)(struct config *config, char error[CONFIG_ERROR]);
	bool dry_run;
	bool record;
};

int daemon_run(const struct daemon_options *options, const struct config *config);

#endif /* TWOSTAGED_DAEMON_H */
