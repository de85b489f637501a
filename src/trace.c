// SPDX-License-Identifier: GPL-2.0-only
/*
 * The definitions of the tracepoints
 *
 * Copyright (C) 2026 the twostage developers
 */
#define CREATE_TRACE_POINTS
#include "trace.h"
