// SPDX-License-Identifier: GPL-2.0-only
/*
 * Several processes at once: what they did, how long it took, what failed
 *
 * Results are counted in memory that the processes share, without locks. Times
 * go into histograms whose buckets are 1/32 of a power of two wide, so
 * percentiles are accurate to 3 %; the shortest and the longest time are exact.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "stress.h"

#define STEPS 32
#define BUCKETS (48 * STEPS)
/*
 * From here on errors are the exit statuses of commands that printed no error.
 */
#define STATUSES 200
#define ERRORS (STATUSES + 256)
/* Memory that is never booked: for the kernel, and for what is not booked */
#define SPARE (96 * MIB)
/* Seconds for operations that are in progress at the end */
#define GRACE 300
#define MAX_PROCESSES 32

struct counts {
	long done, failed;
	uint64_t shortest, longest;
	long times[BUCKETS];
	long errors[ERRORS];
};

static struct shared {
	/* Bytes that processes are about to use, or to remove */
	uint64_t booked;
	/* How many bookings were refused */
	long wanted;
	uint64_t checked, lost;
	bool stop;
	struct counts counts[];
} *shared;

static const struct stress_kind *kinds;
static int kind_count;

static size_t shared_size(void)
{
	return sizeof(*shared) + kind_count * sizeof(shared->counts[0]);
}

void stress_begin(const struct stress_kind *new_kinds, int count)
{
	kinds = new_kinds;
	kind_count = count;
	shared = mmap(NULL, shared_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		abort();
	/* Allocate the pages now, and where the kernel's own memory is. */
	memset(shared, 0, shared_size());
	for (int i = 0; i < count; i++)
		shared->counts[i].shortest = UINT64_MAX;
}

void stress_end(void)
{
	munmap(shared, shared_size());
	shared = NULL;
}

static void add(uint64_t *sum, uint64_t value)
{
	__atomic_fetch_add(sum, value, __ATOMIC_RELAXED);
}

static void count(long *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static int bucket_of(uint64_t ns)
{
	int octave;

	if (ns < STEPS)
		return ns;
	/* ns = 2^octave * (STEPS + step) + remainder */
	octave = 63 - __builtin_clzll(ns) - 5;
	return (octave + 1) * STEPS + (int)((ns >> octave) - STEPS);
}

/* The lower bound of a bucket */
static uint64_t bucket_start(int bucket)
{
	if (bucket < STEPS)
		return bucket;
	return (uint64_t)(STEPS + bucket % STEPS) << (bucket / STEPS - 1);
}

static void note_time(struct counts *counts, uint64_t ns)
{
	uint64_t other = __atomic_load_n(&counts->shortest, __ATOMIC_RELAXED);
	int bucket = bucket_of(ns);

	while (ns < other && !__atomic_compare_exchange_n(&counts->shortest, &other, ns, false,
							  __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	other = __atomic_load_n(&counts->longest, __ATOMIC_RELAXED);
	while (ns > other && !__atomic_compare_exchange_n(&counts->longest, &other, ns, false,
							  __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	count(&counts->times[bucket < BUCKETS ? bucket : BUCKETS - 1]);
}

int stress_note(int kind, double started, int ret)
{
	struct counts *counts = &shared->counts[kind];

	if (!ret) {
		count(&counts->done);
		note_time(counts, (now() - started) * 1e9);
	} else {
		count(&counts->failed);
		count(&counts->errors[-ret < ERRORS ? -ret : ERRORS - 1]);
	}
	return ret;
}

int stress_write(int kind, const char *text, const char *path, ...)
{
	double started = now();
	va_list arguments;
	char name[256];

	va_start(arguments, path);
	vsnprintf(name, sizeof(name), path, arguments);
	va_end(arguments);
	return stress_note(kind, started, write_file(text, "%s", name));
}

static bool is_expected(int kind, int error, const char **reason)
{
	const struct stress_error *entry = kinds[kind].errors;

	for (; entry && entry->error; entry++) {
		if (entry->error == error) {
			*reason = entry->reason;
			return true;
		}
	}
	return false;
}

/*
 * The first error of the list for this kind that the text contains, 0 if none
 */
static int error_told(int kind, const char *text)
{
	const struct stress_error *entry = kinds[kind].errors;

	for (; entry && entry->error; entry++)
		if (strstr(text, strerror(entry->error)) ||
		    (entry->words && strstr(text, entry->words)))
			return entry->error;
	return 0;
}

int stress_command(int kind, const char *format, ...)
{
	char command[300], output[1024];
	double started = now();
	va_list arguments;
	int status, error;
	size_t length;
	FILE *pipe;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command) - 5, format, arguments);
	va_end(arguments);
	strcat(command, " 2>&1");

	pipe = popen(command, "r");
	if (!pipe)
		return stress_note(kind, started, -errno);
	length = fread(output, 1, sizeof(output) - 1, pipe);
	if (!length)
		length = snprintf(output, sizeof(output), STRESS_SILENT);
	output[length] = '\0';
	status = pclose(pipe);
	if (!status)
		return stress_note(kind, started, 0);
	error = error_told(kind, output);
	if (!error) {
		error = STATUSES + (WIFEXITED(status) ? WEXITSTATUS(status) : 255);
		output[strcspn(output, "\n")] = '\0';
		diag("%s: %s", command, output);
	}
	return stress_note(kind, started, -error);
}

long stress_done(int kind)
{
	return shared->counts[kind].done;
}

long stress_failed(int kind)
{
	return shared->counts[kind].failed;
}

bool stress_book(uint64_t size)
{
	uint64_t booked = __atomic_add_fetch(&shared->booked, size, __ATOMIC_SEQ_CST);

	if (meminfo("MemAvailable") * UINT64_C(1024) >= booked + SPARE)
		return true;
	stress_unbook(size);
	count(&shared->wanted);
	return false;
}

void stress_unbook(uint64_t size)
{
	__atomic_sub_fetch(&shared->booked, size, __ATOMIC_SEQ_CST);
}

/* Sleeps, until another process cannot book memory */
static void hold(int milliseconds)
{
	long wanted = __atomic_load_n(&shared->wanted, __ATOMIC_RELAXED);
	double until = now() + milliseconds / 1000.0;

	while (now() < until && __atomic_load_n(&shared->wanted, __ATOMIC_RELAXED) == wanted)
		usleep(20000);
}

void stress_use_memory(int fill, int check, uint64_t size, int milliseconds)
{
	struct memory memory;
	uint64_t lost;
	double started;
	bool filled;

	if (!stress_book(size)) {
		usleep(50000);
		return;
	}
	started = now();
	filled = memory_fill(&memory, size, rand());
	stress_note(fill, started, filled ? 0 : -ENOMEM);
	stress_unbook(size);
	if (!filled)
		return;

	hold(milliseconds);
	started = now();
	lost = memory_lost(&memory);
	stress_note(check, started, lost ? -EIO : 0);
	if (lost)
		diag("%llu bytes of %zu are lost, the first at offset %zd",
		     (unsigned long long)lost, memory.size, memory_check(&memory));
	add(&shared->lost, lost);
	add(&shared->checked, size);
	memory_free(&memory);
}

uint64_t stress_checked(void)
{
	return shared->checked;
}

uint64_t stress_lost(void)
{
	return shared->lost;
}

struct process {
	pid_t pid;
	const char *name;
};

static pid_t start(const struct stress_job *job, unsigned int seed, double until)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	srand(seed);
	while (now() < until && !__atomic_load_n(&shared->stop, __ATOMIC_RELAXED))
		job->run();
	_exit(0);
}

/*
 * Reaps processes that have ended. If one of them failed, returns false and
 * makes all others end.
 */
static bool reap(struct process *processes, int count, int *left)
{
	bool well = true;
	int status, i;

	for (i = 0; i < count; i++) {
		if (processes[i].pid <= 0 ||
		    waitpid(processes[i].pid, &status, WNOHANG) != processes[i].pid)
			continue;
		processes[i].pid = 0;
		(*left)--;
		if (!WIFEXITED(status) || WEXITSTATUS(status)) {
			diag("the process for %s ended with status %#x", processes[i].name, status);
			shared->stop = true;
			well = false;
		}
	}
	return well;
}

static void give_up(const struct process *processes, int count)
{
	char path[64];
	char *stack;
	int i;

	for (i = 0; i < count; i++) {
		if (processes[i].pid <= 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/stack", processes[i].pid);
		stack = read_whole(path);
		diag("the process for %s does not end, its kernel stack: %.500s", processes[i].name,
		     stack);
		free(stack);
		kill(processes[i].pid, SIGKILL);
	}
}

bool stress_run(const struct stress_job *jobs, int count, int seconds, unsigned int seed,
		void (*each_minute)(int minute))
{
	struct process processes[MAX_PROCESSES];
	double started = now(), until = started + seconds;
	int started_count = 0, left, minute = 0, i, n;
	bool well = true;

	for (i = 0; i < count; i++) {
		for (n = 0; n < jobs[i].processes && started_count < MAX_PROCESSES; n++) {
			struct process *process = &processes[started_count++];

			process->name = jobs[i].name;
			process->pid = start(&jobs[i], seed + started_count, until);
			well &= process->pid > 0;
		}
	}
	for (left = started_count; left && now() < until + GRACE;) {
		usleep(100000);
		well &= reap(processes, started_count, &left);
		if (each_minute && now() < until && now() - started >= 60 * (minute + 1))
			each_minute(++minute);
	}
	if (left) {
		give_up(processes, started_count);
		well = false;
	}
	return well;
}

/* The time below which this part of all times lies */
static double percentile_us(const struct counts *counts, double part)
{
	long below = 0, rank = part * counts->done;
	int bucket;

	for (bucket = 0; bucket < BUCKETS; bucket++) {
		below += counts->times[bucket];
		if (below > rank)
			break;
	}
	/*
	 * The middle of the bucket, which may be beyond the longest time
	 * measured
	 */
	double ns = (bucket_start(bucket) + bucket_start(bucket + 1)) / 2.0;

	if (ns < counts->shortest)
		ns = counts->shortest;
	return (ns > counts->longest ? counts->longest : ns) / 1e3;
}

static void report_times(int kind)
{
	const struct counts *counts = &shared->counts[kind];

	if (!counts->done) {
		diag("kind done=0 failed=%ld name=%s", counts->failed, kinds[kind].name);
		return;
	}
	diag("kind done=%ld failed=%ld min_us=%.1f median_us=%.1f p95_us=%.1f p99_us=%.1f "
	     "max_us=%.1f name=%s",
	     counts->done, counts->failed, counts->shortest / 1e3, percentile_us(counts, 0.5),
	     percentile_us(counts, 0.95), percentile_us(counts, 0.99), counts->longest / 1e3,
	     kinds[kind].name);
}

static long report_errors(int kind)
{
	const struct counts *counts = &shared->counts[kind];
	const char *name, *reason;
	long unexpected = 0;
	char status[16];
	int error;

	for (error = 1; error < ERRORS; error++) {
		if (!counts->errors[error])
			continue;
		name = strerrorname_np(error);
		if (!name) {
			snprintf(status, sizeof(status), "status %d", error - STATUSES);
			name = status;
		}
		reason = NULL;
		if (!is_expected(kind, error, &reason))
			unexpected += counts->errors[error];
		diag("error count=%ld error=%s name=%s reason=%s", counts->errors[error], name,
		     kinds[kind].name, reason ? reason : "UNEXPECTED");
	}
	return unexpected;
}

long stress_report(void)
{
	long unexpected = 0;
	int kind;

	for (kind = 0; kind < kind_count; kind++)
		report_times(kind);
	for (kind = 0; kind < kind_count; kind++)
		unexpected += report_errors(kind);
	return unexpected;
}
