// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long other tasks wait while much memory comes online or goes offline
 *
 * Processes each repeat one action, with pauses, and measure how long it takes:
 *
 *	# meanwhile PHASE CONTENDER ACTION samples=NUMBER p99=MICROSECONDS longest=...
 *	# phase PHASE CONTENDER SECONDS
 *
 * An action counts for the phase in which it began.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define IDLE_SECONDS 10
#define START (4 * GIB)
#define SIZE (64 * GIB)
/* The memory with the block of the other operations; the DIMM's is as large. */
#define OTHER_SIZE (1 * GIB)
#define MOST_SAMPLES 65536

enum phase { IDLE, ONLINE, OFFLINE, PHASES, NO_PHASE = PHASES, STOP };
static const char *const phases[PHASES] = { "idle", "online", "offline" };

struct samples {
	int count;
	float us[MOST_SAMPLES];
};

struct action {
	const char *name;
	/* Returns the time that it took in seconds, negative if it failed */
	double (*act)(void);
	/* Between two actions, so that they leave the CPUs to the operation */
	useconds_t pause;
};

static struct shared {
	volatile enum phase phase;
	volatile int failures;
} *shared;

/* The block of the other operations */
static int other_block;

static double act_fault(void)
{
	char *page = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	double started = now();

	if (page == MAP_FAILED)
		return -1;
	*(volatile char *)page = 1;
	started = now() - started;
	munmap(page, page_size);
	return started;
}

static double act_fork(void)
{
	double started = now();
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		return -1;
	return now() - started;
}

static double act_meminfo(void)
{
	double started = now();

	if (meminfo("MemTotal") <= 0)
		return -1;
	return now() - started;
}

static double act_hotplug(void)
{
	static bool online;
	double started = now();

	if (write_file(online ? "offline" : "online_movable", MEMORY "/memory%d/state", other_block))
		return -1;
	online = !online;
	return now() - started;
}

static const struct action actions[] = {
	{ "fault", act_fault, 1000 },
	{ "fork", act_fork, 5000 },
	{ "meminfo", act_meminfo, 5000 },
	{ "hotplug", act_hotplug, 30000 },
};

#define ACTIONS ARRAY_SIZE(actions)

/* [PHASES][ACTIONS] */
static struct samples *samples;

static struct samples *samples_of(enum phase phase, int action)
{
	return &samples[phase * ACTIONS + action];
}

static void repeat(int action)
{
	enum phase phase;

	while ((phase = shared->phase) != STOP) {
		double took = actions[action].act();

		if (took < 0) {
			__atomic_fetch_add(&shared->failures, 1, __ATOMIC_RELAXED);
		} else if (phase < PHASES) {
			struct samples *into = samples_of(phase, action);

			if (into->count < MOST_SAMPLES)
				into->us[into->count++] = took * 1e6;
		}
		usleep(actions[action].pause);
	}
	if (action == ACTIONS - 1)
		write_file("offline", MEMORY "/memory%d/state", other_block);
}

static int compare(const void *a, const void *b)
{
	float first = *(const float *)a, second = *(const float *)b;

	return (first > second) - (first < second);
}

static void print(const char *contender)
{
	int phase;
	size_t i;

	for (phase = 0; phase < PHASES; phase++)
		for (i = 0; i < ACTIONS; i++) {
			struct samples *of = samples_of(phase, i);

			if (!of->count)
				continue;
			qsort(of->us, of->count, sizeof(*of->us), compare);
			diag("meanwhile %s %s %s samples=%d p99=%.1f longest=%.1f", phases[phase],
			     contender, actions[i].name, of->count, of->us[of->count * 99 / 100],
			     of->us[of->count - 1]);
		}
}

static bool in_phase(enum phase phase, const char *contender, bool (*operation)(void))
{
	double started = now();
	bool done;

	shared->phase = phase;
	done = operation();
	shared->phase = NO_PHASE;
	diag("phase %s %s %.3f", phases[phase], contender, now() - started);
	usleep(500000);
	return done;
}

static bool nothing(void)
{
	sleep(IDLE_SECONDS);
	return true;
}

static void *map_shared(size_t size)
{
	void *mapping = mmap(NULL, size, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (mapping == MAP_FAILED)
		abort();
	return mapping;
}

/* The first online lets the host back memory, so it is not measured. */
static void measure(const char *contender, bool (*online)(void), bool (*offline)(void))
{
	const size_t size = PHASES * ACTIONS * sizeof(*samples);
	bool done = online() && offline();
	pid_t pids[ACTIONS];
	size_t i;

	shared = map_shared(sizeof(*shared));
	samples = map_shared(size);
	shared->phase = NO_PHASE;
	for (i = 0; i < ACTIONS; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			repeat(i);
			_exit(0);
		}
		done &= pids[i] > 0;
	}
	done &= in_phase(IDLE, contender, nothing);
	done = done && in_phase(ONLINE, contender, online) && in_phase(OFFLINE, contender, offline);
	shared->phase = STOP;
	for (i = 0; i < ACTIONS; i++)
		if (pids[i] > 0)
			waitpid(pids[i], NULL, 0);
	ok(done, "%s: %llu blocks come online and go offline while other tasks run", contender,
	   (unsigned long long)(SIZE / block_size));
	ok_number(shared->failures, 0, "%s: no action of the other tasks fails", contender);
	print(contender);
	munmap(samples, size);
	munmap(shared, sizeof(*shared));
}

static bool region_all_online(void)
{
	return !region_online(0, "all online_movable");
}

static bool region_all_offline(void)
{
	return !region_offline(0, "all");
}

static void run(void)
{
	write_file("offline", MEMORY "/auto_online_blocks");
	if (!load_twostage(NULL))
		return;
	other_block = block_at(START + SIZE);
	if (ok(!region_add(START, SIZE, NULL) && !region_add(START + SIZE, OTHER_SIZE, NULL),
	       "two regions are added"))
		measure("twostage", region_all_online, region_all_offline);
	region_remove(0);
	region_remove(1);
	unload_twostage();
}

/* The first block of the DIMM */
static int dimm_block;

static bool dimm_all(const char *state, bool upwards)
{
	const int blocks = SIZE / block_size;
	int i, ret;

	for (i = 0; i < blocks; i++) {
		const int block = dimm_block + (upwards ? i : blocks - 1 - i);

		ret = write_file(state, MEMORY "/memory%d/state", block);
		if (ret) {
			diag("memory%d: %s: %s", block, state, strerror(-ret));
			return false;
		}
	}
	return true;
}

static bool dimm_all_online(void)
{
	return dimm_all("online_movable", true);
}

static bool dimm_all_offline(void)
{
	return dimm_all("offline", false);
}

static int first_offline_block(int from)
{
	int block;

	for (block = from; block < block_at(256 * GIB); block++)
		if (!strcmp(block_state(block), "offline"))
			return block;
	return -1;
}

static bool plug(const char *name, uint64_t size)
{
	const int blocks = count_blocks() + size / block_size;

	host("object_add memory-backend-ram,id=mem-%s,size=%llu,reserve=off", name,
	     (unsigned long long)size);
	host("device_add pc-dimm,id=%s,memdev=mem-%s", name, name);
	return wait_for_blocks(blocks);
}

static bool unplug(const char *name)
{
	bool gone;

	dimm_unplug(name);
	gone = dimm_gone(name);
	dimm_forget(name);
	return gone;
}

static void run_stock(void)
{
	bool plugged;

	write_file("offline", MEMORY "/auto_online_blocks");
	plugged = plug("other", OTHER_SIZE);
	other_block = first_offline_block(block_at(START));
	plugged = plugged && plug("dimm", SIZE);
	dimm_block = first_offline_block(other_block + OTHER_SIZE / block_size);
	if (ok(plugged && other_block > 0 && dimm_block > 0, "two DIMMs are plugged"))
		measure("stock", dimm_all_online, dimm_all_offline);
	ok(unplug("dimm") && unplug("other"), "two DIMMs are unplugged");
}

GROUP(group_bench_meanwhile) = {
	.name = "bench-meanwhile",
	.title = "how long other tasks wait while a region comes online and goes offline",
	.run = run,
};
GROUP(group_bench_meanwhile_stock) = {
	.name = "bench-meanwhile-stock",
	.title = "how long other tasks wait while a DIMM comes online and goes offline",
	.run = run_stock,
};
