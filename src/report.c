// SPDX-License-Identifier: GPL-2.0-only
/*
 * Log messages about single blocks, limited in number
 *
 * "chmem -e" tries every offline block of the system, and a region may have
 * thousands of them. If all are refused for the same reason, one line is
 * enough. So a message about a block is suppressed if its text is that of the
 * region's previous message, or if MAX_LINES lines were logged without a pause
 * of QUIET_TIME between two messages. Suppressed messages are counted, and a
 * line with their number follows.
 *
 * The address of the block is not part of the text, so that messages for the
 * same reason have the same text.
 *
 * The same text is logged again after a block of the region has come online,
 * and for each write to the region's online or offline attribute, which stops
 * at the first failure and so causes few lines.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/memory.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/string.h>

#include "report.h"

#define MAX_LINES 20
#define QUIET_TIME (60 * HZ)

/*
 * Time from a suppressed message to the line with the number of these. It
 * doubles with each such line, up to MAX_DELAY, until a message is not
 * suppressed.
 */
#define MIN_DELAY (2 * HZ)
#define MAX_DELAY (600 * HZ)

static void log_suppressed(struct twostage_region *region)
{
	struct report *report = &region->report;

	if (report->suppressed)
		pr_err("%s: %lu more message%s suppressed, the last: block at %#llx: %s\n",
		       dev_name(&region->dev), report->suppressed, report->suppressed > 1 ? "s" : "",
		       report->start, report->text);
	report->suppressed = 0;
}

static void log_summary(struct work_struct *work)
{
	struct report *report = container_of(to_delayed_work(work), struct report, summary);
	struct twostage_region *region = container_of(report, struct twostage_region, report);

	mutex_lock(&report->lock);
	log_suppressed(region);
	report->delay = min_t(unsigned long, 2 * report->delay, MAX_DELAY);
	mutex_unlock(&report->lock);
}

/**
 * twostage_region_report() - log a message about a block of a region
 * @region: the region
 * @start: address of the block in bytes
 * @format: the text, without the block's address and without a newline; texts
 *	for the same reason should be the same
 *
 * The message may be suppressed, see the start of this file.
 *
 * Context: Process context, sleeps.
 */
void twostage_region_report(struct twostage_region *region, u64 start, const char *format, ...)
{
	struct report *report = &region->report;
	char text[REPORT_LENGTH];
	va_list args;
	bool same;

	va_start(args, format);
	vscnprintf(text, sizeof(text), format, args);
	va_end(args);

	mutex_lock(&report->lock);
	if (time_after(jiffies, report->last + QUIET_TIME))
		report->lines = 0;
	report->last = jiffies;
	WRITE_ONCE(report->total, report->total + 1);
	same = report->repeated && !strcmp(text, report->text);
	if (!same && report->lines < MAX_LINES) {
		log_suppressed(region);
		pr_err("%s: block at %#llx: %s\n", dev_name(&region->dev), start, text);
		report->lines++;
		report->delay = MIN_DELAY;
	} else {
		report->suppressed++;
		schedule_delayed_work(&report->summary, report->delay);
	}
	report->start = start;
	report->repeated = true;
	strscpy(report->text, text, sizeof(report->text));
	mutex_unlock(&report->lock);
}
EXPORT_SYMBOL_GPL(twostage_region_report);

/**
 * report_online() - a block has come online: do not suppress the next message
 *	as a repetition of the previous one
 * @region: the region
 *
 * Context: Process context, sleeps.
 */
void report_online(struct twostage_region *region)
{
	struct report *report = &region->report;

	mutex_lock(&report->lock);
	report->repeated = false;
	mutex_unlock(&report->lock);
}

/**
 * report_forget() - begin anew: do not suppress messages because of earlier
 *	ones
 * @region: the region
 *
 * Context: Process context, sleeps.
 */
void report_forget(struct twostage_region *region)
{
	struct report *report = &region->report;

	mutex_lock(&report->lock);
	log_suppressed(region);
	report->repeated = false;
	report->lines = 0;
	mutex_unlock(&report->lock);
}

/**
 * report_init() - get ready for messages about a region's blocks
 * @region: the region
 */
void report_init(struct twostage_region *region)
{
	mutex_init(&region->report.lock);
	INIT_DELAYED_WORK(&region->report.summary, log_summary);
	region->report.delay = MIN_DELAY;
	region->report.last = jiffies;
}

/**
 * report_exit() - undo report_init(), and log the number of suppressed messages
 * @region: the region, for which no message follows
 *
 * Context: Process context, sleeps.
 */
void report_exit(struct twostage_region *region)
{
	cancel_delayed_work_sync(&region->report.summary);
	log_suppressed(region);
}
