// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sentences about actions
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../cli/size.h"
#include "describe.h"

/**
 * describe_numbers() - what was measured, beside the limits
 * @text: the result
 * @limits: the limits
 * @input: what has been measured
 */
void describe_numbers(char text[DESCRIPTION], const struct policy_config *limits, const struct policy_input *input)
{
	char available[SIZE_TEXT], kernel[SIZE_TEXT], low[SIZE_TEXT], target[SIZE_TEXT], high[SIZE_TEXT];
	char kernel_low[SIZE_TEXT], total[SIZE_TEXT];
	uint64_t kernel_available = 0;
	int node;

	for (node = 0; node < POLICY_NODES; node++)
		kernel_available += input->node[node][POLICY_KERNEL].available;
	snprintf(text, DESCRIPTION, "%s of %s available (low %s, target %s, high %s), %s in kernel zones (low %s), pressure %" PRIu64 " %%",
		 format_size(available, input->available),
		 format_size(total, policy_total(input, POLICY_KERNEL) + policy_total(input, POLICY_MOVABLE)),
		 format_size(low, limits->low), format_size(target, limits->target), format_size(high, limits->high),
		 format_size(kernel, kernel_available), format_size(kernel_low, limits->kernel_low), input->pressure);
}

/**
 * describe_action() - a growth or a shrink
 * @text: the result
 * @action: the action
 * @limits: the limits
 * @input: what had been measured
 * @region: the N of regionN
 * @result: how it ended; NULL if it is only pretended
 */
void describe_action(char text[DESCRIPTION], const struct policy_action *action, const struct policy_config *limits,
		     const struct policy_input *input, unsigned int region, const struct writer_job *result)
{
	const uint64_t count = result ? result->done : action->count;
	char numbers[DESCRIPTION], size[SIZE_TEXT], result_text[128] = "";

	describe_numbers(numbers, limits, input);
	if (result && result->error)
		snprintf(result_text, sizeof(result_text), " in %" PRIu64 " ms, then %s", result->time,
			 result->error == -EINTR ? "interrupted" : strerror(-result->error));
	else if (result)
		snprintf(result_text, sizeof(result_text), " in %" PRIu64 " ms", result->time);
	snprintf(text, DESCRIPTION, "region%u: %s%" PRIu64 " %s (%s) %s in %s%s: %s: %.300s", region,
		 result ? "set " : "would set ", count, count == 1 ? "block" : "blocks",
		 format_size(size, count * input->block_size), action->kind == POLICY_GROW ? "online" : "offline",
		 action->zone == POLICY_MOVABLE ? "zone Movable" : "a kernel zone", result_text,
		 policy_reason_text(action->why), numbers);
}

/**
 * describe_nothing() - why nothing is done
 * @text: the result
 * @action: what the policy has decided
 * @limits: the limits
 * @input: what has been measured
 */
void describe_nothing(char text[DESCRIPTION], const struct policy_action *action, const struct policy_config *limits,
		      const struct policy_input *input)
{
	char numbers[DESCRIPTION];

	describe_numbers(numbers, limits, input);
	if (action->wanted)
		snprintf(text, DESCRIPTION, "%s, but %s: %.300s", policy_reason_text(action->wanted),
			 policy_reason_text(action->why), numbers);
	else
		snprintf(text, DESCRIPTION, "%s: %.300s", policy_reason_text(action->why), numbers);
}
