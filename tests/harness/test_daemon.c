// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory on demand: twostaged in a guest without systemd
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define VIRTIO_ID_MEM 24
#define OURS "twostage_virtio_mem"
#define ARMED "/sys/kernel/debug/kprobes/enabled"
#define LOG "/tmp/twostaged.log"
#define STATUS "/run/twostaged/status"

/*
 * As in the scenarios: the memory of reserved RAM, all of it above 4 GiB. The
 * last 512 MiB of it are a region of their own.
 */
#define RAM_START (4 * GIB)
#define RAM_SIZE (5632 * MIB)
#define SMALL_SIZE (512 * MIB)
/* Blocks in kernel zones that may hold what the kernel does not free */
#define KERNEL_LEFT 4
/* What a load fills, as fast as it can, in a guest of 512 MiB */
#define FILLED (3 * GIB)
#define FILLED_LARGE (11776 * MIB)

/* Seconds, short ones so that the tests are */
#define SETTLE 3
#define OPTIONS "--settle=3", "--hysteresis=3"

static pid_t daemon_pid;
static bool on_virtio_mem;

/* Starts twostaged with the options in @argv, and waits for its first message. */
static bool daemon_start(char *const argv[])
{
	int tries;

	unlink(LOG);
	daemon_pid = fork();
	if (!daemon_pid) {
		int fd = open(LOG, O_WRONLY | O_CREAT | O_APPEND, 0644);

		dup2(fd, STDERR_FILENO);
		execvp("twostaged", argv);
		_exit(127);
	}
	for (tries = 0; tries < 200; tries++) {
		char *log = read_whole(LOG);
		bool there = log && strstr(log, "programs may use up");

		free(log);
		if (there)
			return true;
		usleep(50000);
	}
	return false;
}

static bool daemon_usual(void)
{
	static char *const argv[] = { "twostaged", OPTIONS, NULL };

	return daemon_start(argv);
}

/* How many lines of the log have the text */
static int said(const char *text)
{
	char *log = read_whole(LOG), *at = log;
	int count = 0;

	while (at && (at = strstr(at, text))) {
		count++;
		at += strlen(text);
	}
	free(log);
	return count;
}

static bool waits_for(const char *text, int seconds)
{
	const double end = now() + seconds;

	while (!said(text)) {
		if (now() > end)
			return false;
		usleep(50000);
	}
	return true;
}

/* Prints the end of the log as diagnostics */
static void show_log(void)
{
	char *log = read_whole(LOG), *line, *next;
	size_t length = log ? strlen(log) : 0;

	if (!log)
		return;
	line = length > 3000 ? strchr(log + length - 3000, '\n') + 1 : log;
	for (; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		diag("%s", line);
	}
	free(log);
}

/* Ends the daemon; its exit status, or the negative signal that killed it */
static int daemon_end(int signal)
{
	int status;

	kill(daemon_pid, signal);
	if (waitpid(daemon_pid, &status, 0) != daemon_pid)
		return -ECHILD;
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static bool daemon_lives(void)
{
	return !waitpid(daemon_pid, NULL, WNOHANG) && !kill(daemon_pid, 0);
}

/* The blocks of all regions that are online */
static int online(void)
{
	int id, count = 0;

	for (id = 0; id < 4; id++)
		if (exists(REGION, id))
			count += blocks_online(id);
	return count;
}

/* Those in zone Movable */
static int movable(void)
{
	int id, count = 0, block, last;

	for (id = 0; id < 4; id++) {
		if (!exists(REGION, id))
			continue;
		block = block_at(strtoull(read_file(REGION "/start", id), NULL, 0));
		for (last = block + read_number(REGION "/blocks", id); block < last; block++)
			count += !strcmp(block_state(block), "online") &&
				 !strcmp(read_file(MEMORY "/memory%d/valid_zones", block), "Movable");
	}
	return count;
}

/* Waits until at most @most blocks are online in zone Movable, and few others. */
static bool gives_back(int most, int seconds)
{
	const double end = now() + seconds;

	while ((movable() > most || online() > most + KERNEL_LEFT) && now() < end)
		usleep(200000);
	return movable() <= most && online() <= most + KERNEL_LEFT;
}

/*
 * A process that fills memory as fast as it can, checks it, and waits for a
 * signal. Returns its process ID once it has done so, or 0 if it was killed.
 */
static pid_t load(uint64_t size, double *seconds, double *stall)
{
	struct { double seconds, stall; bool right; } *result;
	const double start = now();
	pid_t pid;

	result = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid = fork();
	if (!pid) {
		struct memory memory;
		double before, longest = 0;
		uint64_t offset;

		prctl(PR_SET_NAME, "load");
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		write_file("1000", "/proc/self/oom_score_adj");
		if (!memory_map(&memory, size, MAP_PRIVATE | MAP_NORESERVE, 0))
			_exit(1);
		before = now();
		for (offset = 0; offset < size; offset += 4096) {
			memory.words[offset / 8] = offset;
			if (!(offset % MIB)) {
				double after = now();

				longest = after - before > longest ? after - before : longest;
				before = after;
			}
		}
		result->stall = longest;
		result->right = true;
		for (offset = 0; offset < size; offset += 4096)
			result->right = result->right && memory.words[offset / 8] == offset;
		result->seconds = now() - start;
		pause();
		_exit(0);
	}
	while (!result->seconds && !waitpid(pid, NULL, WNOHANG))
		usleep(20000);
	*seconds = result->seconds;
	*stall = result->stall;
	if (!result->right)
		pid = 0;
	munmap(result, 4096);
	return pid;
}

/* @pid: 0 if it was killed already */
static void load_end(pid_t pid)
{
	if (!pid)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int oom_kills(struct kmsg *kmsg)
{
	return kmsg_lines(kmsg, "invoked oom-killer", NULL, 0);
}

/* How many blocks have come online instead of an OOM kill */
static long long oom_onlined(void)
{
	long long count = 0;
	int id;

	for (id = 0; id < 4; id++)
		if (exists(REGION, id))
			count += read_number(REGION "/oom_onlined", id);
	return count;
}

static void set_budget(uint64_t size)
{
	host_ask("qom-set vm0 requested-size %" PRIu64, size);
}

static void setup(void)
{
	write_file("offline", MEMORY "/auto_online_blocks");
	mkdir("/run", 0755);
	if (module_load_system("virtio_pci", NULL) == 0)
		usleep(300000);
}

static bool add_memory(void)
{
	on_virtio_mem = *virtio_device(VIRTIO_ID_MEM, 0);
	if (!load_twostage(NULL))
		return false;
	if (on_virtio_mem)
		return ok(succeeds(module_load(OURS, NULL)) && exists(REGION, 0), "there is a region of a virtio-mem device");
	return ok(succeeds(region_add(RAM_START, RAM_SIZE - SMALL_SIZE, NULL)) &&
		  succeeds(region_add(RAM_START + RAM_SIZE - SMALL_SIZE, SMALL_SIZE, NULL)),
		  "there are two regions of reserved RAM");
}

static void starting(void)
{
	ok(daemon_usual() && waits_for("region0: found, 0 of", 10), "twostaged starts in a guest without systemd");
	ok(run_command("twostaged > /tmp/second 2>&1") == 1 && strstr(read_file("/tmp/second"), "runs already"),
	   "a second twostaged refuses to start");
	ok(run_command("twostage status | grep -q 'Daemon: *running, PID %d$'", daemon_pid) == 0,
	   "twostage status shows the daemon");
}

static pid_t growing(uint64_t size)
{
	struct kmsg kmsg = kmsg_mark();
	double seconds, stall;
	pid_t pid = load(size, &seconds, &stall);
	int kills = oom_kills(&kmsg);

	diag("%" PRIu64 " MiB in %.1f s, the longest stall %.3f s, %d blocks online, %lld of them for an OOM, %lld KiB available",
	     size / MIB, seconds, stall, online(), oom_onlined(), meminfo("MemAvailable"));
	if (!ok(pid && !kills, "a program that uses memory as fast as it can gets %" PRIu64 " MiB, and nothing is killed",
		size / MIB))
		show_log();
	kmsg_close(&kmsg);
	return pid;
}

static void giving_back(pid_t pid, int most)
{
	const double start = now();

	load_end(pid);
	if (!ok(gives_back(most, SETTLE + 60), "after a load its memory goes offline within settle= and a minute"))
		show_log();
	diag("after %.1f s %d blocks are online", now() - start, online());
}

/* The highest block of region 0, which the daemon would use last */
static void by_hand(void)
{
	const int block = block_at(strtoull(read_file(REGION "/start", 0), NULL, 0)) + read_number(REGION "/blocks", 0) - 1;

	ok(succeeds(write_file("online_movable", MEMORY "/memory%d/state", block)) &&
	   waits_for("region0: blocks that were set online by hand: 1", 10),
	   "twostaged notices a block that is set online by hand");
	sleep(SETTLE + 3);
	ok_text(block_state(block), "online", "a block that was set online by hand stays online");
	ok(succeeds(write_file("offline", MEMORY "/memory%d/state", block)) &&
	   waits_for("region0: blocks that were set offline by hand: 1", 10),
	   "twostaged notices a block that is set offline by hand");
}

/* The daemon does not run: blocks come online for OOMs. */
static void hung(void)
{
	const long long before = oom_onlined();
	pid_t pid;

	ok_text(read_file(REGION "/online_on_oom", 0), "1", "online_on_oom is set while twostaged runs");
	kill(daemon_pid, SIGSTOP);
	pid = growing(GIB);
	ok(oom_onlined() > before, "blocks come online for OOMs while twostaged is stopped");
	kill(daemon_pid, SIGCONT);
	ok(waits_for("came online instead of an OOM kill: low= is now", 20), "twostaged says that blocks came online for an OOM");
	ok_number(said("by hand"), 0, "twostaged does not take blocks that came online for an OOM for ones set by hand");
	giving_back(pid, 0);
}

static void killed(void)
{
	double seconds, stall;
	pid_t pid = load(GIB, &seconds, &stall);
	int before;

	/* The growth ends, and the list of its blocks is written. */
	sleep(2);
	before = online();
	if (!ok(pid, "a load that follows another one is not killed"))
		show_log();
	ok_number(daemon_end(SIGKILL), -SIGKILL, "twostaged can be killed");
	ok(before > 0 && online() == before, "after twostaged was killed memory is as it was");
	ok(daemon_usual(), "twostaged starts again after it was killed");
	giving_back(pid, 0);
}

static void hooks_disarmed(void)
{
	double seconds, stall;
	pid_t pid;

	write_file("0", ARMED);
	/* So much that less than low= is left */
	pid = load(meminfo("MemAvailable") * 1024 - 40 * MIB, &seconds, &stall);
	ok(waits_for("then Input/output error", 10), "twostaged says that blocks do not come online while hooks are disarmed");
	sleep(5);
	ok_number(said("then Input/output error"), 1, "twostaged says once that hooks are disarmed");
	write_file("1", ARMED);
	ok(waits_for("(128M) online in", 60), "blocks come online after hooks are armed again");
	giving_back(pid, 0);
}

static void region_removed(void)
{
	ok(succeeds(region_remove(1)) && waits_for("region1: removed", 10), "twostaged notices that a region is removed");
	ok(daemon_lives() && succeeds(region_add(RAM_START + RAM_SIZE - SMALL_SIZE, SMALL_SIZE, NULL)),
	   "twostaged lives on after a region is removed");
	sleep(2);
	ok_number(said("region1: found"), 2, "twostaged finds a region that is added");
	giving_back(growing(GIB), 0);
}

static void budgets(void)
{
	double seconds, stall;
	pid_t pid;

	pid = load(GIB, &seconds, &stall);
	set_budget(512 * MIB);
	ok(waits_for("region0: the budget is 512 MiB", 10), "twostaged notices a lower budget");
	ok(waits_for("more is plugged than the budget, but", 60), "the log says why a budget under load is not met");
	ok(online() * block_size > 512 * MIB && !kill(pid, 0), "memory in use is not taken for a budget");
	load_end(pid);
	ok(gives_back(0, 30), "a lower budget is met when memory is not in use any more");
	set_budget(RAM_SIZE);
	ok(waits_for("region0: the budget is 5632 MiB", 10), "twostaged notices a higher budget");
	pid = growing(GIB + 512 * MIB);
	giving_back(pid, 0);
}

static void ending(void)
{
	int before;

	ok(succeeds(region_online(0, "2 online_movable")), "two blocks are set online by hand");
	before = online();
	ok_number(daemon_end(SIGTERM), 0, "SIGTERM ends twostaged with exit status 0");
	ok(online() == before && said("memory stays as it is") == 1, "SIGTERM leaves memory as it is");
	ok_text(read_file(REGION "/online_on_oom", 0), "0", "SIGTERM puts online_on_oom back as it was");
	show_log();
}

static void run(void)
{
	if (!add_memory())
		return;
	starting();
	giving_back(growing(FILLED), 0);
	hung();
	by_hand();
	killed();
	if (on_virtio_mem) {
		budgets();
	} else {
		hooks_disarmed();
		region_removed();
	}
	ending();
}

static void run_large(void)
{
	if (!add_memory())
		return;
	ok(daemon_usual(), "twostaged starts");
	giving_back(growing(FILLED_LARGE), 0);
	ok_number(daemon_end(SIGTERM), 0, "twostaged ends");
	show_log();
}

/*
 * A program that fills memory as fast as it can, three times, for scripts/bench:
 *
 *	# growth WAY SECONDS LONGEST_STALL
 *
 * A stall is what one MiB takes.
 */
static bool measure_growth(const char *way)
{
	struct kmsg kmsg = kmsg_mark();
	bool right = true;
	int i;

	for (i = 0; i < 3; i++) {
		double seconds, stall;
		pid_t pid = load(FILLED_LARGE, &seconds, &stall);

		right = right && pid;
		diag("growth %s %.2f %.4f", way, seconds, stall);
		load_end(pid);
		right = right && gives_back(0, SETTLE + 60);
	}
	right = right && !oom_kills(&kmsg);
	kmsg_close(&kmsg);
	return right;
}

static void run_bench(void)
{
	if (!add_memory())
		return;
	ok(daemon_usual(), "twostaged starts");
	ok(measure_growth("twostaged"), "a program fills memory three times, and nothing is killed");
	ok_number(daemon_end(SIGTERM), 0, "twostaged ends");
	show_log();
}

static void run_bench_stock(void)
{
	ok(measure_growth("stock"), "a program fills memory three times, and nothing is killed");
}

/*
 * Loads come and go at random, the budget changes, the daemon is killed now and
 * then, and all data is checked, for SOAK_MINUTES.
 */
static void run_soak(void)
{
	const char *setting = getenv("SOAK_MINUTES");
	const double end = now() + 60 * (setting ? atof(setting) : 1);
	struct kmsg kmsg = kmsg_mark();
	int rounds = 0, lost = 0, kills = 0, lives = 1;
	uint64_t budget = RAM_SIZE;

	if (!add_memory())
		return;
	ok(daemon_usual(), "twostaged starts");
	srandom(1);
	while (now() < end) {
		/* What the budget allows, and what fits into the guest without it */
		uint64_t size = 64 * MIB + (uint64_t)random() % (budget * 3 / 4);
		double seconds, stall;
		pid_t pid = load(size, &seconds, &stall);

		lost += !pid;
		if (random() % 4 == 0) {
			lives += daemon_end(SIGKILL) == -SIGKILL && daemon_usual();
			kills++;
		}
		if (random() % 3 == 0) {
			budget = (1 + random() % (RAM_SIZE / GIB)) * GIB;
			set_budget(budget);
			waits_for("the budget is", 2);
		}
		if (pid)
			load_end(pid);
		/* A lower budget has to be met before the next load relies on it. */
		gives_back(budget / block_size, 60);
		sleep(random() % (2 * SETTLE));
		rounds++;
		diag("progress: %d loads, %d lost, %d blocks online, budget %" PRIu64 " MiB", rounds, lost, online(),
		     budget / MIB);
	}
	ok(rounds && !lost && !oom_kills(&kmsg), "in %d loads no data is lost, and nothing is killed", rounds);
	ok(lives == kills + 1 && daemon_lives(), "twostaged starts again each of the %d times that it is killed", kills);
	ok(gives_back(0, SETTLE + 60), "at the end memory goes back");
	ok_number(daemon_end(SIGTERM), 0, "twostaged ends");
	kmsg_close(&kmsg);
}

/*
 * Many small files, as when a source tree is unpacked: each has an inode, a
 * dentry and nodes of its page cache in kernel zones. Returns the number.
 */
static int make_files(int count)
{
	char path[64];
	int i, fd;

	for (i = 0; i < count; i++) {
		if (i % 1000 == 0) {
			snprintf(path, sizeof(path), "/tree/%d", i / 1000);
			mkdir(path, 0755);
		}
		snprintf(path, sizeof(path), "/tree/%d/a-file-with-a-longer-name-%d", i / 1000, i);
		fd = open(path, O_WRONLY | O_CREAT, 0644);
		if (fd < 0 || pwrite(fd, path, 32, 64 * 4096) != 32)
			return i;
		close(fd);
	}
	return i;
}

#define FILES 250000

static bool mount_tree(void)
{
	mkdir("/tree", 0755);
	return !mount("tree", "/tree", "tmpfs", 0, "size=4G,nr_inodes=1000000");
}

static void run_kernel(void)
{
	struct kmsg kmsg = kmsg_mark();
	long long kernel;
	int count;

	if (!add_memory())
		return;
	ok(daemon_usual() && mount_tree(), "twostaged starts, and a file system is mounted");
	count = make_files(FILES);
	kernel = said("in a kernel zone");
	diag("%d files, %lld KiB of slab, %lld growths of a kernel zone, %d blocks online", count, meminfo("Slab"), kernel,
	     online());
	if (!ok(count == FILES && !oom_kills(&kmsg), "%d small files are created, and nothing is killed", FILES))
		show_log();
	ok(kernel > 0, "blocks came online in a kernel zone");
	ok_number(daemon_end(SIGTERM), 0, "twostaged ends");
	kmsg_close(&kmsg);
	show_log();
}

static void run_movable(void)
{
	if (!add_memory())
		return;
	ok(succeeds(region_online(0, "all online_movable")) && mount_tree(), "all memory is online in zone Movable");
	diag("%lld KiB free", meminfo("MemFree"));
	diag("%d files, %lld KiB free", make_files(FILES), meminfo("MemFree"));
}

GROUP(group_daemon) = {
	.name = "daemon", .title = "memory on demand: twostaged", .setup = setup, .run = run, .stays = true,
};

GROUP(group_daemon_large) = {
	.name = "daemon-large", .title = "memory on demand, 12 GiB of it", .setup = setup, .run = run_large, .stays = true,
};

GROUP(group_daemon_soak) = {
	.name = "daemon-soak", .title = "memory on demand for SOAK_MINUTES", .setup = setup, .run = run_soak, .stays = true,
};

GROUP(group_daemon_kernel) = {
	.name = "daemon-kernel", .title = "memory on demand for the kernel's own data", .setup = setup, .run = run_kernel,
	.stays = true,
};

GROUP(group_daemon_movable) = {
	.name = "daemon-movable", .title = "memory for the kernel's own data is missing in zone Movable", .setup = setup,
	.run = run_movable, .stays = true,
};

GROUP(group_bench_growth) = {
	.name = "bench-growth", .title = "memory on demand: how long a program waits for it", .setup = setup,
	.run = run_bench, .stays = true,
};

GROUP(group_bench_growth_stock) = {
	.name = "bench-growth-stock", .title = "the same program in a guest that has all memory", .setup = setup,
	.run = run_bench_stock, .stays = true,
};
