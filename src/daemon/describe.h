/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sentences about actions: what, why, and the numbers behind it
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGED_DESCRIBE_H
#define TWOSTAGED_DESCRIBE_H

#include "policy.h"
#include "writer.h"

/* Length that is enough for any of them */
#define DESCRIPTION 512

void describe_numbers(char text[DESCRIPTION], const struct policy_config *limits, const struct policy_input *input);
void describe_action(char text[DESCRIPTION], const struct policy_action *action, const struct policy_config *limits,
		     const struct policy_input *input, unsigned int region, const struct writer_job *result);
void describe_nothing(char text[DESCRIPTION], const struct policy_action *action, const struct policy_config *limits,
		      const struct policy_input *input);

#endif /* TWOSTAGED_DESCRIBE_H */
