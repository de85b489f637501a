// SPDX-License-Identifier: GPL-2.0-only
/*
 * The main loop: measure, ask the policy, have its action carried out
 *
 * From the first measurement on nothing here allocates memory, so that memory
 * can be set online when there is none left.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/netlink.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <unistd.h>

#include "../cli/array_size.h"
#include "../cli/size.h"
#include "../cli/sysfs.h"
#include "daemon.h"
#include "describe.h"
#include "instance.h"
#include "journal.h"
#include "measure.h"
#include "memory.h"
#include "model.h"
#include "writer.h"

/* How often to look for regions and changes by hand, and to write the status */
#define LOOK_TIME 1000
/* A message that stays true is repeated after this time. */
#define REPEAT_TIME 600000
/* OOMs with no more time in between are one burst, with one message. */
#define BURST_PAUSE 5000
/* The first guess of how long it takes to set a block online */
#define GROW_TIME 50

/* All times in milliseconds */
static struct daemon {
	const struct daemon_options *options;
	struct config config;
	struct policy_config limits;
	struct policy_state state;
	struct policy_input input;
	struct measure measure;
	struct memory memory;
	struct model model;
	/* For each region of the input, its index in memory */
	unsigned int order[POLICY_REGIONS];
	unsigned int changes;
	/* The action that is running, what was measured, and its block */
	struct policy_action running;
	struct policy_input before;
	unsigned int slot, name;
	int block;
	uint64_t started;
	/* The average time to set a block online */
	uint64_t grow_time;
	uint64_t looked, refreshed;
	/* Blocks for OOMs: those noticed, those said, and when the last one was */
	uint64_t net_noticed, net_said, net_at;
	/* How much memory was in use, and when */
	uint64_t used, used_at;
	/* Whether to look for regions at once, and to write the status */
	bool look, ended;
	/* Set by the first message that measuring fails, until it succeeds */
	bool blind;
	enum policy_reason said_wanted, said_why;
	uint64_t said;
	int said_error;
	char last[DESCRIPTION];
	time_t last_time;
	sd_event *event;
	sd_event_source *timer;
} self;

/* Memory of the system without the regions: the limits depend on it. */
static uint64_t base_memory(const struct policy_input *input)
{
	uint64_t all = policy_total(input, POLICY_KERNEL) + policy_total(input, POLICY_MOVABLE), online = 0;
	unsigned int i;

	for (i = 0; i < self.memory.count; i++)
		if (self.memory.region[i].here)
			online += self.memory.region[i].attributes.online * self.memory.block_size;
	return all > online ? all - online : all;
}

static void resolve(void)
{
	self.limits = policy_resolve(&self.config.limits, base_memory(&self.input), self.memory.block_size,
				     self.grow_time);
}

static void write_status(const struct policy_action *action)
{
	char now[DESCRIPTION], own[2048], net[512], sizes[6][SIZE_TEXT];
	unsigned int nets;

	if (self.options->dry_run)
		return;
	memory_own(&self.memory, own, sizeof(own));
	nets = memory_net(&self.memory, net, sizeof(net));
	if (self.state.running)
		snprintf(now, sizeof(now), "setting memory %s: %s", self.state.running == POLICY_GROW ? "online" :
			 "offline", policy_reason_text(self.state.running_why));
	else
		describe_nothing(now, action, &self.limits, &self.input);
	instance_write("pid=%d\nmin=%s\nmax=%s\nlow=%s\ntarget=%s\nhigh=%s\nkernel-low=%s\nlast=%s\nlast-time=%lld\n"
		       "now=%s\nnet=on for %u of %u regions, %" PRIu64 " blocks came online\nnet-regions=%s\nblocks=%s\n",
		       getpid(), format_exact_size(sizes[0], self.limits.min),
		       self.limits.max == UINT64_MAX ? "none" : format_exact_size(sizes[1], self.limits.max),
		       format_size(sizes[2], self.limits.low), format_size(sizes[3], self.limits.target),
		       format_size(sizes[4], self.limits.high), format_size(sizes[5], self.limits.kernel_low),
		       self.last, (long long)self.last_time, now, nets, self.input.regions, self.memory.oom_onlined, net, own);
}

/* Say why nothing is done although something should be, once for each reason. */
static void say_nothing(const struct policy_action *action)
{
	const bool same = action->wanted == self.said_wanted && action->why == self.said_why;
	char text[DESCRIPTION];

	/* While blocks fail one after the other, each of them has a message. */
	if (self.state.running || action->why == POLICY_RETRY_LATER)
		return;
	if (same && (!action->wanted || self.input.now - self.said < REPEAT_TIME))
		return;
	self.said_wanted = action->wanted;
	self.said_why = action->why;
	self.said = self.input.now;
	if (!action->wanted)
		return;
	describe_nothing(text, action, &self.limits, &self.input);
	say(action->wanted == POLICY_SURPLUS ? LOG_DEBUG : LOG_WARNING, "%s", text);
}

static void remember(const char *text)
{
	char status[DESCRIPTION + 16];

	snprintf(self.last, sizeof(self.last), "%s", text);
	self.last_time = time(NULL);
	snprintf(status, sizeof(status), "STATUS=%s", text);
	sd_notify(0, status);
}

static void start(const struct policy_action *action)
{
	struct writer_job job = { .fd = -1, .count = action->count };
	const unsigned int slot = self.order[action->region];
	const struct memory_region *region = &self.memory.region[slot];

	self.running = *action;
	self.before = self.input;
	self.slot = slot;
	self.name = region->attributes.id;
	self.started = self.input.now;
	if (self.options->dry_run) {
		char text[DESCRIPTION];

		describe_action(text, action, &self.limits, &self.input, self.name, NULL);
		say(LOG_INFO, "%s", text);
		model_do(&self.model, action);
		self.state = policy_done(&self.state, action, self.input.now, action->count, false);
		return;
	}
	if (action->kind == POLICY_GROW) {
		job.fd = region->online_file;
		snprintf(job.text, sizeof(job.text), "1 %s",
			 action->zone == POLICY_MOVABLE ? "online_movable" : "online_kernel");
	} else {
		self.block = memory_easiest(&self.memory, &self.config, slot, action->zone, self.input.now);
		if (self.block < 0) {
			self.state = policy_done(&self.state, action, self.input.now, 0, true);
			return;
		}
		snprintf(job.text, sizeof(job.text), "offline");
		snprintf(job.path, sizeof(job.path), "/sys/devices/system/memory/memory%" PRIu64 "/state",
			 memory_id(&self.memory, slot, self.block));
	}
	writer_submit(&job);
}

/* The action has ended: say so, and let policy and tables know. */
static void finish(const struct writer_job *job)
{
	const bool grow = self.running.kind == POLICY_GROW;
	char text[DESCRIPTION];
	uint64_t now = measure_now();

	self.state = policy_done(&self.state, &self.running, now, job->done, job->error != 0);
	if (grow) {
		memory_came_online(&self.memory, self.slot, job->done);
		if (job->done)
			self.grow_time = (3 * self.grow_time + job->time / job->done) / 4;
	} else {
		memory_tried(&self.memory, self.slot, self.block, now, job->done > 0);
	}
	describe_action(text, &self.running, &self.limits, &self.before, self.name, job);
	/* Tries that fail again for the same reason are not said again. */
	if (job->done || job->error != self.said_error)
		say(!job->error ? LOG_INFO : grow ? LOG_WARNING : LOG_NOTICE, "%s", text);
	self.said_error = job->error;
	remember(text);
	self.look = true;
	self.ended = true;
}

/* Failures that were noted for regions do not hold for other ones. */
static void forget_failures(void)
{
	memset(self.state.retry, 0, sizeof(self.state.retry));
	memset(self.state.failures, 0, sizeof(self.state.failures));
	memset(&self.model, 0, sizeof(self.model));
	self.said_error = 0;
}

static void look(void)
{
	memory_find(&self.memory, &self.config);
	self.looked = self.input.now;
	self.look = false;
}

/*
 * Programs that use memory up faster than was measured at the start, perhaps
 * because the host was busy then: from now on that is the speed.
 */
static void learn_speed(void)
{
	const uint64_t all = policy_total(&self.input, POLICY_KERNEL) + policy_total(&self.input, POLICY_MOVABLE);
	const uint64_t used = all > self.input.available ? all - self.input.available : 0;
	const uint64_t time = self.input.now - self.used_at;

	/* The clock has milliseconds. */
	if (self.used_at && time < 5)
		return;
	/* A block that comes or goes changes what is there, not what is used. */
	if (self.used_at && self.used && used > self.used && self.state.running == POLICY_NOTHING &&
	    (used - self.used) / time > self.config.limits.speed)
		self.config.limits.speed = (used - self.used) / time;
	self.used = self.state.running == POLICY_NOTHING ? used : 0;
	self.used_at = self.input.now;
}

static void say_net(void)
{
	const uint64_t blocks = self.memory.oom_onlined - self.net_said;
	char size[SIZE_TEXT], low[SIZE_TEXT];

	self.net_said = self.memory.oom_onlined;
	if (blocks)
		say(LOG_WARNING, "out of memory: %" PRIu64 " %s (%s) came online instead of an OOM kill: %s %s", blocks,
		    blocks == 1 ? "block" : "blocks", format_size(size, blocks * self.memory.block_size),
		    self.config.limits.low ? "a larger low= may prevent that, it is" : "low= is now",
		    format_size(low, self.limits.low));
}

/*
 * Blocks had to come online for an OOM: the reserve was too small. So memory is
 * taken to be used up faster than was known, by half of that for each burst of
 * OOMs, as far as that makes a reserve larger that is chosen automatically.
 */
static void watch_net(void)
{
	const uint64_t base = base_memory(&self.input);

	if (self.memory.oom_onlined != self.net_noticed) {
		if (self.net_noticed == self.net_said)
			self.config.limits.speed = policy_faster(&self.config.limits, base, self.grow_time);
		self.net_noticed = self.memory.oom_onlined;
		self.net_at = self.input.now;
	}
	if (self.net_said != self.net_noticed && self.input.now - self.net_at >= BURST_PAUSE)
		say_net();
}

/* Unless another block would exceed max= */
static void set_net(void)
{
	const uint64_t all = policy_total(&self.input, POLICY_KERNEL) + policy_total(&self.input, POLICY_MOVABLE);

	if (!self.options->dry_run)
		memory_set_net(&self.memory, self.config.oom_net && all < self.limits.max &&
			       self.limits.max - all >= self.memory.block_size);
}

/* At the end */
static void end_net(void)
{
	if (self.options->dry_run)
		return;
	memory_refresh(&self.memory);
	say_net();
	memory_set_net(&self.memory, false);
}

/* Returns after how many milliseconds to measure again. */
static uint64_t tick(void)
{
	struct policy_action action;
	bool looked = false;
	int ret;

	ret = measure_read(&self.measure, &self.input);
	if (ret) {
		if (!self.blind)
			say(LOG_ERR, "cannot read /proc/meminfo and /proc/zoneinfo: %s", strerror(-ret));
		self.blind = true;
		return LOOK_TIME;
	}
	self.blind = false;
	learn_speed();
	/* An event tells if the module has changed something. */
	if (self.look || self.input.now - self.refreshed >= LOOK_TIME) {
		memory_refresh(&self.memory);
		self.refreshed = self.input.now;
	}
	/* Growing is not delayed by looking for what is new. */
	if (self.state.running == POLICY_NOTHING && !self.state.streak &&
	    (self.look || self.input.now - self.looked >= LOOK_TIME || !self.looked)) {
		look();
		looked = true;
	}
	if (self.changes != self.memory.changes)
		forget_failures();
	self.changes = self.memory.changes;
	memory_show(&self.memory, &self.config, self.input.now, &self.input, self.order);
	watch_net();
	resolve();
	set_net();
	if (self.options->dry_run)
		model_show(&self.model, &self.input);
	action = policy(&self.limits, &self.state, &self.input);
	self.state = action.state;
	if (action.kind == POLICY_GROW || action.kind == POLICY_SHRINK)
		start(&action);
	else if (action.kind == POLICY_ABORT || (self.state.running == POLICY_SHRINK &&
						 self.input.now - self.started > self.config.try_time))
		writer_cancel();
	else
		say_nothing(&action);
	if (looked || self.ended)
		write_status(&action);
	self.ended = false;
	return action.wait;
}

static int on_time(sd_event_source *source, uint64_t usec, void *data)
{
	uint64_t wait = tick();

	(void)usec;
	(void)data;
	sd_event_source_set_time_relative(source, wait * 1000);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* Measure at once, from the timer */
static void hurry(void)
{
	sd_event_source_set_time_relative(self.timer, 0);
	sd_event_source_set_enabled(self.timer, SD_EVENT_ONESHOT);
}

static int on_pressure(sd_event_source *source, int fd, uint32_t events, void *data)
{
	(void)fd;
	(void)data;
	/* The kernel has no triggers any more: polling goes on. */
	if (events & EPOLLERR && !(events & EPOLLPRI))
		return sd_event_source_set_enabled(source, SD_EVENT_OFF);
	hurry();
	return 0;
}

static int on_written(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct writer_job job;

	(void)source;
	(void)fd;
	(void)events;
	(void)data;
	if (!writer_result(&job)) {
		finish(&job);
		hurry();
	}
	return 0;
}

/* A region or its budget has changed: see what, without reading the event. */
static int on_uevent(sd_event_source *source, int fd, uint32_t events, void *data)
{
	static char event[8192];
	bool ours = false;
	ssize_t length;

	(void)source;
	(void)events;
	(void)data;
	/* It ends with an error if there is none left, or if some were lost. */
	while ((length = recv(fd, event, sizeof(event) - 1, MSG_DONTWAIT)) > 0) {
		event[length] = '\0';
		ours |= !!strstr(event, "/region");
	}
	if (ours || (length < 0 && errno == ENOBUFS)) {
		self.look = true;
		hurry();
	}
	return 0;
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	static struct config config;
	char error[CONFIG_ERROR];

	(void)source;
	(void)info;
	(void)data;
	if (self.options->load(&config, error)) {
		say(LOG_ERR, "the configuration stays as it was: %s", error);
		return 0;
	}
	/* The speed was measured. */
	config.limits.speed = self.config.limits.speed;
	self.config = config;
	forget_failures();
	self.look = true;
	say(LOG_NOTICE, "the configuration has been read again");
	hurry();
	return 0;
}

static int open_uevents(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		return -errno;
	}
	return fd;
}

/* Each signal is handled by the loop. */
static int add_signals(void)
{
	static const int ends[] = { SIGTERM, SIGINT };
	sigset_t set;
	int ret = 0;
	size_t i;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (i = 0; !ret && i < ARRAY_SIZE(ends); i++)
		/* Without a handler the loop ends. */
		ret = sd_event_add_signal(self.event, NULL, ends[i], NULL, NULL);
	return ret < 0 ? ret : sd_event_add_signal(self.event, NULL, SIGHUP, on_hangup, NULL);
}

static int add_sources(void)
{
	int ret, fd;

	ret = add_signals();
	if (ret >= 0)
		ret = sd_event_add_time_relative(self.event, &self.timer, CLOCK_MONOTONIC, 0, 1000, on_time, NULL);
	if (ret < 0)
		return ret;
	if (self.measure.pressure >= 0) {
		ret = sd_event_add_io(self.event, NULL, self.measure.pressure, EPOLLPRI, on_pressure, NULL);
		/* A file that cannot be polled, as in tests */
		if (ret < 0 && ret != -EPERM)
			return ret;
	}
	fd = open_uevents();
	if (fd >= 0)
		ret = sd_event_add_io(self.event, NULL, fd, EPOLLIN, on_uevent, NULL);
	if (ret < 0 && ret != -EPERM)
		return ret;
	fd = writer_start();
	if (fd < 0)
		return fd;
	return sd_event_add_io(self.event, NULL, fd, EPOLLIN, on_written, NULL);
}

/*
 * No memory is allocated or given back from here on: what libc and libsystemd
 * may still ask for is there already, and nothing is paged out.
 */
static void lock_memory(void)
{
	void *heap;

	mallopt(M_TRIM_THRESHOLD, INT32_MAX);
	mallopt(M_MMAP_MAX, 0);
	mallopt(M_ARENA_MAX, 1);
	heap = malloc(256 << 10);
	if (heap)
		memset(heap, 1, 256 << 10);
	free(heap);
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		say(LOG_WARNING, "cannot lock the daemon's memory, so it may be slow when memory is short: %s",
		    strerror(errno));
}

static void record(void)
{
	const struct policy_input *input = &self.input;
	bool header = false;
	unsigned int i;
	int node, zone;

	for (;;) {
		if (measure_read(&self.measure, &self.input))
			return;
		if (!header) {
			memory_find(&self.memory, &self.config);
			memory_show(&self.memory, &self.config, input->now, &self.input, self.order);
			printf("# block=%" PRIu64 "\n", input->block_size);
			for (i = 0; i < input->regions; i++)
				printf("# region=%u:%" PRIu64 "\n", input->region[i].node,
				       input->region[i].standby * input->block_size);
			printf("seconds,pressure,available");
			for (node = 0; node < POLICY_NODES; node++)
				for (zone = 0; zone < POLICY_ZONES; zone++)
					if (input->node[node][zone].present)
						printf(",%d:%s:%" PRIu64, node, zone == POLICY_MOVABLE ? "Movable" :
						       "Normal", input->node[node][zone].present);
			printf("\n");
			header = true;
		}
		printf("%" PRIu64 ".%03u,%" PRIu64 ",%" PRIu64, input->now / 1000, (unsigned int)(input->now % 1000),
		       input->pressure, input->available);
		for (node = 0; node < POLICY_NODES; node++)
			for (zone = 0; zone < POLICY_ZONES; zone++)
				if (input->node[node][zone].present)
					printf(",%" PRIu64, input->node[node][zone].free);
		printf("\n");
		if (fflush(stdout))
			return;
		usleep(LOOK_TIME * 1000);
	}
}

static int prepare(void)
{
	char own[2048], net[512];
	pid_t other = 0;
	int ret;

	ret = memory_init(&self.memory);
	if (ret) {
		say(LOG_ERR, "cannot read the memory block size: %s: does this kernel have memory hotplug?",
		    strerror(-ret));
		return ret;
	}
	ret = measure_open(&self.measure);
	if (ret) {
		say(LOG_ERR, "cannot open /proc/zoneinfo and /proc/meminfo: %s%s", strerror(-ret),
		    ret == -EACCES ? ": only root may do that" : "");
		return ret;
	}
	if (self.options->dry_run || self.options->record)
		return 0;
	ret = instance_lock(&other);
	if (ret == -EBUSY)
		say(LOG_ERR, "another twostaged runs already (PID %d): end it first", other);
	else if (ret)
		say(LOG_ERR, "cannot write " INSTANCE_DIRECTORY ": %s", strerror(-ret));
	if (ret)
		return ret;
	instance_read("blocks", own, sizeof(own));
	instance_read("net-regions", net, sizeof(net));
	memory_inherit(own, net);
	return 0;
}

/**
 * daemon_run() - run until SIGTERM or SIGINT
 * @options: what the command line says
 * @config: the configuration
 *
 * Return: 0; or a negative errno, after a message.
 */
int daemon_run(const struct daemon_options *options, const struct config *config)
{
	char speed[SIZE_TEXT];
	int ret;

	self.options = options;
	self.config = *config;
	self.grow_time = GROW_TIME;
	ret = prepare();
	if (ret)
		return ret;
	if (options->record) {
		record();
		return 0;
	}
	self.config.limits.speed = measure_speed();
	measure_watch(&self.measure, self.config.limits.pressure);
	ret = sd_event_new(&self.event);
	if (ret >= 0)
		ret = add_sources();
	if (ret >= 0)
		ret = sd_event_set_watchdog(self.event, true);
	if (ret < 0) {
		say(LOG_ERR, "cannot start: %s", strerror(-ret));
		return ret;
	}
	if (!sysfs_exists("/sys/bus/twostage"))
		say(LOG_NOTICE, "the module twostage is not loaded: waiting for it");
	lock_memory();
	say(LOG_INFO, "programs may use up %s in a second here; %s",
	    format_size(speed, 1000 * self.config.limits.speed),
	    self.measure.pressure < 0 ? "the kernel has no PSI, so only what is available counts" :
					"memory pressure is watched, too");
	sd_notify(0, "READY=1\nSTATUS=watching");
	ret = sd_event_loop(self.event);
	sd_notify(0, "STOPPING=1");
	if (ret < 0)
		say(LOG_ERR, "the main loop failed: %s", strerror(-ret));
	else
		say(LOG_INFO, "ends; memory stays as it is");
	end_net();
	return ret < 0 ? ret : 0;
}
