/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What twostaged says about itself
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGE_DAEMON_STATUS_H
#define TWOSTAGE_DAEMON_STATUS_H

#include <stdbool.h>
#include <sys/types.h>

/**
 * struct daemon_status - the status that twostaged has written
 * @pid: its process; 0: it does not run
 * @limits: its limits
 * @last: its last action, "" if there was none
 * @now: why nothing happens at present, or what does
 * @net: for how many regions its safety net is on, and whether it was used
 */
struct daemon_status {
	pid_t pid;
	char limits[256];
	char last[640];
	char now[512];
	char net[128];
};

bool daemon_status_read(struct daemon_status *status);

#endif /* TWOSTAGE_DAEMON_STATUS_H */
