/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints: one for each step, when it is done, with how long it took
 *
 * Copyright (C) 2026 the twostage developers
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM twostage

#if !defined(_TWOSTAGE_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TWOSTAGE_TRACE_H

#include <linux/ktime.h>
#include <linux/tracepoint.h>

#include "region.h"

#ifndef _TWOSTAGE_TRACE_TIME
#define _TWOSTAGE_TRACE_TIME
static inline u64 trace_start(void)
{
	return ktime_get_ns();
}

static inline u64 trace_duration(u64 started)
{
	return ktime_get_ns() - started;
}
#endif

DECLARE_EVENT_CLASS(twostage_range,
	TP_PROTO(const struct twostage_region *region, u64 start, u64 size, u64 duration),
	TP_ARGS(region, start, size, duration),
	TP_STRUCT__entry(
		__field(int, region)
		__field(u64, start)
		__field(u64, size)
		__field(u64, duration)
	),
	TP_fast_assign(
		__entry->region = region->id;
		__entry->start = start;
		__entry->size = size;
		__entry->duration = duration;
	),
	TP_printk("region=region%d start=%#llx size=%#llx duration_ns=%llu",
		  __entry->region, __entry->start, __entry->size, __entry->duration)
);

DEFINE_EVENT(twostage_range, region_add,
	TP_PROTO(const struct twostage_region *region, u64 start, u64 size, u64 duration),
	TP_ARGS(region, start, size, duration));
DEFINE_EVENT(twostage_range, region_remove,
	TP_PROTO(const struct twostage_region *region, u64 start, u64 size, u64 duration),
	TP_ARGS(region, start, size, duration));

DECLARE_EVENT_CLASS(twostage_step,
	TP_PROTO(const struct twostage_region *region, u64 start, u64 size, u64 duration, int error),
	TP_ARGS(region, start, size, duration, error),
	TP_STRUCT__entry(
		__field(int, region)
		__field(u64, start)
		__field(u64, size)
		__field(u64, duration)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->region = region->id;
		__entry->start = start;
		__entry->size = size;
		__entry->duration = duration;
		__entry->error = error;
	),
	TP_printk("region=region%d start=%#llx size=%#llx duration_ns=%llu error=%d",
		  __entry->region, __entry->start, __entry->size, __entry->duration,
		  __entry->error)
);

#define DEFINE_STEP(step)									\
	DEFINE_EVENT(twostage_step, step,							\
		TP_PROTO(const struct twostage_region *region, u64 start, u64 size,		\
			 u64 duration, int error),						\
		TP_ARGS(region, start, size, duration, error))

/* Stage 2: the provider, the direct map and memmap, all of the stage; and what the core took in all */
DEFINE_STEP(assign);
DEFINE_STEP(add_memmap);
DEFINE_STEP(populate);
DEFINE_STEP(block_online);
/* And back: the wait for readers of the memmap comes first */
DEFINE_STEP(wait_readers);
DEFINE_STEP(remove_memmap);
DEFINE_STEP(unassign);
DEFINE_STEP(depopulate);
DEFINE_STEP(block_offline);

#endif /* _TWOSTAGE_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
