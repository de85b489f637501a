// SPDX-License-Identifier: GPL-2.0-only
/*
 * Actions that are only pretended, and the policy over a recorded trace
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cli/size.h"
#include "describe.h"
#include "journal.h"
#include "model.h"

#define MIB (UINT64_C(1) << 20)

/* The most columns of a trace */
#define COLUMNS 40

static uint64_t add(uint64_t value, int64_t more)
{
	return more < 0 && (uint64_t)-more > value ? 0 : value + more;
}

/**
 * model_show() - change what was measured to what it would be
 * @model: the model
 * @input: what has been measured
 */
void model_show(const struct model *model, struct policy_input *input)
{
	unsigned int i;
	int zone;

	for (i = 0; i < input->regions; i++) {
		struct policy_region *region = &input->region[i];

		for (zone = 0; zone < POLICY_ZONES; zone++) {
			const int64_t blocks = model->blocks[i][zone], bytes = blocks * (int64_t)input->block_size;
			struct policy_memory *memory = &input->node[region->node][zone];

			memory->present = add(memory->present, bytes);
			memory->free = add(memory->free, bytes);
			memory->available = add(memory->available, bytes);
			input->available = add(input->available, bytes);
			region->standby = add(region->standby, -blocks);
			region->ready[zone] = add(region->ready[zone], blocks);
			region->plugged = add(region->plugged, bytes);
		}
	}
}

/**
 * model_do() - pretend to do something
 * @model: the model
 * @action: a growth or a shrink
 */
void model_do(struct model *model, const struct policy_action *action)
{
	if (action->kind == POLICY_GROW)
		model->blocks[action->region][action->zone] += action->count;
	else if (action->kind == POLICY_SHRINK)
		model->blocks[action->region][action->zone] -= action->count;
}

/*
 * A trace: comments "# block=SIZE" and "# region=NODE:SIZE[:BUDGET]", a line with
 * the names of the columns, and a line for each time. The columns are "seconds",
 * "pressure", "available", and for each zone "NODE:ZONE:PRESENT", which has what
 * is free in bytes.
 */
enum column_kind { COLUMN_SECONDS, COLUMN_PRESSURE, COLUMN_AVAILABLE, COLUMN_ZONE };

struct column {
	enum column_kind kind;
	unsigned int node;
	enum policy_zone zone;
	uint64_t present;
};

struct trace {
	const char *file;
	int line;
	struct column column[COLUMNS];
	unsigned int columns;
	bool has_available;
	struct policy_input input;
};

static int wrong(const struct trace *trace, const char *what, const char *text)
{
	fprintf(stderr, "twostaged: %s:%d: \"%.60s\" %s\n", trace->file, trace->line, text, what);
	return -EINVAL;
}

static int parse_setting(struct trace *trace, const char *text)
{
	char size[32] = "", budget[32] = "";
	struct policy_region *region;
	unsigned int node;
	uint64_t bytes;

	while (*text == '#' || *text == ' ')
		text++;
	if (sscanf(text, "block=%31s", size) == 1)
		return parse_size(size, &trace->input.block_size) || !trace->input.block_size ?
		       wrong(trace, "is not a size", size) : 0;
	if (strncmp(text, "region=", 7))
		return 0;
	if (sscanf(text, "region=%u:%31[^: ]:%31s", &node, size, budget) < 2 || node >= POLICY_NODES ||
	    trace->input.regions == POLICY_REGIONS || parse_size(size, &bytes))
		return wrong(trace, "is not region=NODE:SIZE[:BUDGET]", text);
	region = &trace->input.region[trace->input.regions++];
	region->node = node;
	region->standby = bytes / trace->input.block_size;
	region->has_budget = budget[0];
	if (region->has_budget && parse_size(budget, &region->budget))
		return wrong(trace, "is not a size", budget);
	return 0;
}

static int parse_column(struct trace *trace, const char *name)
{
	struct column *column = &trace->column[trace->columns];
	char zone[16], present[32];

	if (trace->columns == COLUMNS)
		return wrong(trace, "is one column too many", name);
	*column = (struct column){ 0 };
	if (!strcmp(name, "seconds")) {
		column->kind = COLUMN_SECONDS;
	} else if (!strcmp(name, "pressure")) {
		column->kind = COLUMN_PRESSURE;
	} else if (!strcmp(name, "available")) {
		column->kind = COLUMN_AVAILABLE;
		trace->has_available = true;
	} else {
		column->kind = COLUMN_ZONE;
		if (sscanf(name, "%u:%15[^:]:%31s", &column->node, zone, present) != 3 ||
		    column->node >= POLICY_NODES || parse_size(present, &column->present))
			return wrong(trace, "is not the name of a column: seconds, pressure, available or NODE:ZONE:PRESENT",
				     name);
		column->zone = strcmp(zone, "Movable") ? POLICY_KERNEL : POLICY_MOVABLE;
	}
	trace->columns++;
	return 0;
}

static void set_value(struct trace *trace, const struct column *column, const char *text, uint64_t value)
{
	struct policy_memory *memory = &trace->input.node[column->node][column->zone];

	switch (column->kind) {
	case COLUMN_SECONDS:
		/* With a fraction; 0 means "never" to the policy. */
		trace->input.now = 1 + (uint64_t)(strtod(text, NULL) * 1000 + 0.5);
		break;
	case COLUMN_PRESSURE:
		trace->input.pressure = value;
		break;
	case COLUMN_AVAILABLE:
		trace->input.available = value;
		break;
	case COLUMN_ZONE:
		memory->present += column->present;
		memory->free += value;
		memory->available += value;
		if (!trace->has_available)
			trace->input.available += value;
		break;
	}
}

static int parse_row(struct trace *trace, char *line)
{
	unsigned int i = 0;
	uint64_t value;
	char *field;

	memset(trace->input.node, 0, sizeof(trace->input.node));
	trace->input.available = 0;
	while ((field = strsep(&line, ",\n")) && i < trace->columns) {
		char whole[32];

		while (*field == ' ')
			field++;
		/* Seconds and percents may have fractions of any length. */
		snprintf(whole, sizeof(whole), "%.*s",
			 trace->column[i].kind <= COLUMN_PRESSURE ? (int)strcspn(field, ".") : 31, field);
		if (parse_size(whole, &value))
			return wrong(trace, "is not a number", field);
		set_value(trace, &trace->column[i++], field, value);
	}
	return i == trace->columns ? 0 : wrong(trace, "has too few columns", "the line");
}

static int parse_line(struct trace *trace, char *line, bool *is_row)
{
	char *name;
	int ret;

	*is_row = false;
	line[strcspn(line, "\r\n")] = '\0';
	if (line[0] == '#')
		return parse_setting(trace, line);
	if (!line[0])
		return 0;
	if (trace->columns) {
		*is_row = true;
		return parse_row(trace, line);
	}
	while ((name = strsep(&line, ","))) {
		ret = parse_column(trace, name);
		if (ret)
			return ret;
	}
	return trace->columns && trace->column[0].kind == COLUMN_SECONDS ? 0 :
	       wrong(trace, "is not the first column", "seconds");
}

struct totals {
	uint64_t online, offline, most, least;
	int64_t now;
	bool complained;
	enum policy_reason wanted, why;
};

/* Decide, and pretend to do it, until @end. */
static void play(const struct policy_config *limits, struct policy_state *state, struct model *model,
		 const struct trace *trace, uint64_t *now, uint64_t end, struct totals *totals)
{
	while (*now < end) {
		struct policy_input input = trace->input;
		struct policy_action action;
		char text[DESCRIPTION];

		input.now = *now;
		model_show(model, &input);
		if (input.available < totals->least)
			totals->least = input.available;
		action = policy(limits, state, &input);
		*state = action.state;
		if (action.kind == POLICY_GROW || action.kind == POLICY_SHRINK) {
			describe_action(text, &action, limits, &input, action.region, NULL);
			printf("%" PRIu64 " ms: %s\n", *now - 1, text);
			model_do(model, &action);
			*state = policy_done(state, &action, *now, action.count, false);
			*(action.kind == POLICY_GROW ? &totals->online : &totals->offline) += action.count;
			if (totals->online - totals->offline > totals->most)
				totals->most = totals->online - totals->offline;
		} else if (action.wanted && action.wanted != POLICY_SURPLUS &&
			   (action.wanted != totals->wanted || action.why != totals->why)) {
			describe_nothing(text, &action, limits, &input);
			printf("%" PRIu64 " ms: %s\n", *now - 1, text);
		}
		totals->wanted = action.wanted;
		totals->why = action.why;
		*now += action.wait;
	}
}

/**
 * simulate() - run the policy over a trace, and print what it would have done
 * @config: the configuration
 * @file: the trace; "-": standard input
 *
 * Return: 0; or a negative errno, after printing an error.
 */
int simulate(const struct config *config, const char *file)
{
	static struct trace trace;
	struct policy_state state = { 0 };
	struct totals totals = { .least = UINT64_MAX };
	struct policy_config limits = { 0 };
	struct model model = { 0 };
	char line[4096], size[SIZE_TEXT];
	const bool is_file = strcmp(file, "-");
	bool is_row, started = false;
	uint64_t now = 1;
	int ret = 0;
	FILE *stream;

	trace.file = file;
	trace.input.block_size = 128 * MIB;
	stream = is_file ? fopen(file, "re") : stdin;
	if (!stream) {
		ret = -errno;
		fprintf(stderr, "twostaged: cannot read %s: %s\n", file, strerror(errno));
		return ret;
	}
	while (!ret && fgets(line, sizeof(line), stream)) {
		struct trace before = trace;

		trace.line++;
		ret = parse_line(&trace, line, &is_row);
		if (ret || !is_row)
			continue;
		if (started)
			play(&limits, &state, &model, &before, &now, trace.input.now, &totals);
		else
			limits = policy_resolve(&config->limits, policy_total(&trace.input, POLICY_KERNEL) +
						policy_total(&trace.input, POLICY_MOVABLE), trace.input.block_size, 50);
		now = started ? now : trace.input.now;
		started = true;
	}
	if (!ret && !started)
		ret = wrong(&trace, "has no line of numbers", file);
	if (!ret) {
		play(&limits, &state, &model, &trace, &now, trace.input.now + 1, &totals);
		printf("%" PRIu64 " blocks online, %" PRIu64 " offline, at most %" PRIu64 " more at a time; at least %s available\n",
		       totals.online, totals.offline, totals.most, format_size(size, totals.least));
	}
	if (is_file)
		fclose(stream);
	return ret;
}
