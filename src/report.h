/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Log messages about single blocks, limited in number
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_REPORT_H
#define _TWOSTAGE_REPORT_H

#include <linux/mutex.h>
#include <linux/workqueue.h>

struct twostage_region;

/* Longer texts are cut off. */
#define REPORT_LENGTH 192

/**
 * struct report - what was logged about the blocks of a region
 * @lock: protects the rest; innermost
 * @text: of the last message
 * @repeated: a message with the same text gets no line
 * @start: address of the last message's block
 * @suppressed: number of messages since the last line in the log
 * @lines: number of lines since there was no message for QUIET_TIME
 * @last: time of the last message, in jiffies
 * @delay: from a suppressed message to @summary, in jiffies
 * @summary: logs how many messages were suppressed
 * @total: number of messages so far, suppressed ones included
 */
struct report {
	struct mutex lock;
	char text[REPORT_LENGTH];
	bool repeated;
	u64 start;
	unsigned long suppressed;
	unsigned int lines;
	unsigned long last;
	unsigned long delay;
	struct delayed_work summary;
	unsigned long total;
};

void report_init(struct twostage_region *region);
void report_exit(struct twostage_region *region);
void report_forget(struct twostage_region *region);
void report_online(struct twostage_region *region);

#endif /* _TWOSTAGE_REPORT_H */
