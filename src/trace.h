/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints: one for each step, emitted at its end, with its duration
 *
 * "region" is the number of the region, the N of regionN.
 *
 * Copyright (C) 2026 the twostage developers
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM twostage

#if !defined(_TWOSTAGE_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TWOSTAGE_TRACE_H

#include <linux/ktime.h>
#include <linux/tracepoint.h>

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
	TP_PROTO(int region, u64 start, u64 size, u64 duration),
	TP_ARGS(region, start, size, duration),
	TP_STRUCT__entry(
		__field(int, region)
		__field(u64, start)
		__field(u64, size)
		__field(u64, duration)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->start = start;
		__entry->size = size;
		__entry->duration = duration;
	),
	TP_printk("region=region%d start=%#llx size=%#llx duration_ns=%llu",
		  __entry->region, __entry->start, __entry->size, __entry->duration)
);

DEFINE_EVENT(twostage_range, region_add,
	TP_PROTO(int region, u64 start, u64 size, u64 duration),
	TP_ARGS(region, start, size, duration));
DEFINE_EVENT(twostage_range, region_remove,
	TP_PROTO(int region, u64 start, u64 size, u64 duration),
	TP_ARGS(region, start, size, duration));

DECLARE_EVENT_CLASS(twostage_step,
	TP_PROTO(int region, u64 start, u64 size, u64 duration, int error),
	TP_ARGS(region, start, size, duration, error),
	TP_STRUCT__entry(
		__field(int, region)
		__field(u64, start)
		__field(u64, size)
		__field(u64, duration)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->start = start;
		__entry->size = size;
		__entry->duration = duration;
		__entry->error = error;
	),
	TP_printk("region=region%d start=%#llx size=%#llx duration_ns=%llu error=%d",
		  __entry->region, __entry->start, __entry->size, __entry->duration,
		  __entry->error)
);

#define DEFINE_STEP(step)								\
	DEFINE_EVENT(twostage_step, step,						\
		TP_PROTO(int region, u64 start, u64 size, u64 duration, int error),	\
		TP_ARGS(region, start, size, duration, error))

/* Stage 2: the provider, the direct map and memmap, and all of the stage */
DEFINE_STEP(assign);
DEFINE_STEP(add_memmap);
DEFINE_STEP(populate);
/* All of online_pages() */
DEFINE_STEP(block_online);
/*
 * The inverse of stage 2, which begins with waiting for walkers of the memmap
 */
DEFINE_STEP(wait_readers);
DEFINE_STEP(remove_memmap);
DEFINE_STEP(unassign);
DEFINE_STEP(depopulate);
/* All of offline_pages() */
DEFINE_STEP(block_offline);
/*
 * A block that comes online instead of an OOM kill: from the OOM on, to usable
 * memory
 */
DEFINE_STEP(oom_online);

#endif /* _TWOSTAGE_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
