/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Actions that are only pretended: what the system would look like after them
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGED_MODEL_H
#define TWOSTAGED_MODEL_H

#include "config.h"
#include "policy.h"

/**
 * struct model - the blocks that would be online
 * @blocks: how many more than in reality, by region and zone
 */
struct model {
	int64_t blocks[POLICY_REGIONS][POLICY_ZONES];
};

void model_show(const struct model *model, struct policy_input *input);
void model_do(struct model *model, const struct policy_action *action);

int simulate(const struct config *config, const char *file);

#endif /* TWOSTAGED_MODEL_H */
