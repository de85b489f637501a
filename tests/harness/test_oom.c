// SPDX-License-Identifier: GPL-2.0-only
/*
 * Standby blocks come online instead of an OOM kill
 *
 * The guests have little memory, no swap, and much standby memory. A hog, a
 * process that uses more memory than there is, survives only if blocks come
 * online. If the OOM killer runs, it chooses hogs, not the harness.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "harness.h"

#define VIRTIO_ID_MEM 24
#define OURS "twostage_virtio_mem"
#define PROVIDER "/sys/kernel/debug/twostage_test"
#define TRACE "/sys/kernel/tracing"
#define ARMED "/sys/kernel/debug/kprobes/enabled"
#define TMPFS "/tmp/oom"
#define CGROUPS "/tmp/cgroups"
#define PAGE 4096
/* Larger than the guest's memory before blocks come online */
#define HOG hog_size
static uint64_t hog_size;

static char device[32];

/* A process that uses much memory */
struct hog {
	uint64_t size;
	/* For mmap() and madvise() */
	int flags, advice;
	/* The cgroup it is in, if any */
	const char *cgroup;
	/* It keeps its memory until it gets SIGTERM, instead of exiting. */
	bool holds;
	/* The node that its memory is bound to, 0 for any */
	int node;
	/* The OOM killer spares it. */
	bool spared;
};

/* Writes to each page of a mapping, and verifies the data afterwards. */
static bool touch(const struct hog *hog)
{
	uint64_t *words, offset;

	words = mmap(NULL, hog->size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | hog->flags, -1, 0);
	if (words == MAP_FAILED)
		return false;
	if (hog->advice)
		madvise(words, hog->size, hog->advice);
	for (offset = 0; offset < hog->size; offset += PAGE)
		words[offset / 8] = offset ^ getpid();
	for (offset = 0; offset < hog->size; offset += PAGE)
		if (words[offset / 8] != (offset ^ getpid()))
			return false;
	return true;
}

/*
 * Makes the calling process the OOM killer's first choice, with another name:
 * the runner reports a failure if a process named "harness" is killed.
 */
static void be_victim(void)
{
	prctl(PR_SET_NAME, "hog");
	write_file("1000", "/proc/self/oom_score_adj");
}

/* A hog that keeps its memory writes to this pipe when it has all of it. */
static int ready[2];

static pid_t start_hog(const struct hog *hog)
{
	pid_t pid;
	bool right;

	if (hog->holds && pipe(ready))
		return -1;
	pid = fork();
	if (pid) {
		if (hog->holds)
			close(ready[1]);
		return pid;
	}
	be_victim();
	if (hog->spared)
		write_file("-1000", "/proc/self/oom_score_adj");
	if (hog->cgroup)
		write_file("0", "%s/cgroup.procs", hog->cgroup);
	right = (!hog->node || memory_bind(hog->node)) && touch(hog);
	if (right && hog->holds && write(ready[1], "", 1) == 1)
		pause();
	_exit(right ? 0 : 1);
}

/*
 * Returns the exit status of the process, or the signal that has killed it; -1
 * if it cannot be waited for.
 */
static int result(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static int run_hog(const struct hog *hog)
{
	return result(start_hog(hog));
}

/* Starts a hog and waits until it has its memory; false if it was killed */
static bool hold(const struct hog *hog, pid_t *pid)
{
	char byte;
	bool held;

	*pid = start_hog(hog);
	held = read(ready[0], &byte, 1) == 1;
	close(ready[0]);
	return held;
}

static int let_go(pid_t pid)
{
	kill(pid, SIGTERM);
	return result(pid);
}

/* A number in /proc/vmstat */
static long long vmstat(const char *name)
{
	char *text = read_whole("/proc/vmstat"), *line = strstr(text, name);
	long long value = line ? strtoll(line + strlen(name), NULL, 10) : -1;

	free(text);
	return value;
}

static long long kills(void)
{
	return vmstat("\noom_kill ");
}

static long long onlined(void)
{
	return read_number(REGION "/oom_onlined", 0);
}

static int set_online_on_oom(int on)
{
	return write_file(on ? "1" : "0", REGION "/online_on_oom", 0);
}

static void set_budget(uint64_t size)
{
	host_ask("qom-set vm0 requested-size %" PRIu64, size);
	usleep(700000);
}

/* How many blocks are online in a kernel zone */
static int kernel_blocks(void)
{
	int first = block_at(strtoull(read_file(REGION "/start", 0), NULL, 0));
	int count = read_number(REGION "/blocks", 0), block, found = 0;

	for (block = first; block < first + count; block++)
		found += !strcmp(block_state(block), "online") &&
			 strcmp(read_file(MEMORY "/memory%d/valid_zones", block), "Movable");
	return found;
}

/*
 * Sets all blocks in ZONE_MOVABLE offline. Those in a kernel zone may hold
 * memory that the kernel has allocated meanwhile, and cannot be relied upon to
 * go offline.
 */
static bool movable_given_back(void)
{
	int tries;

	/* The module refuses offlines for 3 s after an OOM. */
	sleep(3);
	for (tries = 0; tries < 20 && blocks_online(0) > kernel_blocks(); tries++)
		region_offline_each(0);
	return blocks_online(0) == kernel_blocks();
}

/*
 * Runs a hog that must be killed, as without the module: no block comes online,
 * and the log has one line that contains @needle.
 */
static void killed(const char *why, const char *needle)
{
	const struct hog hog = { .size = HOG };
	const long long before = onlined();
	struct kmsg kmsg = kmsg_mark();
	double started = now();
	char line[512] = "";
	int lines = 0;

	ok_number(run_hog(&hog), SIGKILL, "%s: a process that uses up the memory is killed", why);
	diag("%s: killed after %.1f s", why, now() - started);
	ok_number(onlined() - before, 0, "%s: no block comes online at an OOM", why);
	if (needle) {
		/* Some seconds later comes a line that sums up more refusals. */
		while (kmsg_next(&kmsg, needle, line, sizeof(line)))
			lines += !strstr(line, " more message");
		ok_number(lines, 1, "%s: one line in the log says why no block came online", why);
	}
	kmsg_close(&kmsg);
}

/* Runs a hog that must survive */
static void survives(const char *what, const struct hog *hog)
{
	const long long kills_before = kills(), onlined_before = onlined();
	double started = now();

	ok_number(run_hog(hog), 0, "%s: the process is not killed, and its data is right", what);
	ok_number(kills() - kills_before, 0, "%s: the OOM killer kills no process", what);
	ok(onlined() > onlined_before, "%s: blocks came online", what);
	diag("%s: %lld blocks came online, %.1f s", what, onlined() - onlined_before,
	     now() - started);
}

static void without(void)
{
	const struct hog hog = { .size = HOG };

	ok_number(read_number(REGION "/online_on_oom", 0), 0,
		  "online_on_oom of a new region is 0");
	ok_number(run_hog(&hog), SIGKILL,
		  "without online_on_oom a process that uses up the memory is killed");
	ok_number(blocks_online(0), 0, "without online_on_oom no block comes online at an OOM");
}

static void large_program(void)
{
	const struct hog hog = { .size = GIB };
	struct kmsg kmsg = kmsg_mark();
	int events = uevents_open();

	survives("1 GiB of a process", &hog);
	ok(uevents_have(events, "change@/devices/twostage/region0", "OOM_ONLINED=1"),
	   "a uevent of the region has the number of blocks that came online");
	close(events);
	ok(kmsg_wait(&kmsg, "came online instead of an OOM kill", 10),
	   "the log says that blocks came online instead of an OOM kill");
	kmsg_close(&kmsg);
}

static bool make_files(int count)
{
	char path[64];
	int i, fd;

	for (i = 0; i < count; i++) {
		snprintf(path, sizeof(path), TMPFS "/%d", i);
		fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		if (fd < 0)
			return false;
		close(fd);
	}
	return true;
}

static bool tmpfs_mount(void)
{
	mkdir(TMPFS, 0700);
	return !mount("none", TMPFS, "tmpfs", 0, "size=8G,nr_inodes=0");
}

/* Empty files need memory from kernel zones only. */
static void many_files(int count)
{
	const struct hog hog = { .size = HOG, .holds = true };
	const long long kills_before = kills(), onlined_before = onlined();
	double started = now();
	pid_t pid;

	ok(hold(&hog, &pid) && tmpfs_mount(), "a process fills the memory before files are made");
	ok(make_files(count), "%d files in a tmpfs can be made", count);
	ok(kills() == kills_before && let_go(pid) == SIGTERM,
	   "the OOM killer kills no process while files are made");
	ok(kernel_blocks() > 0, "blocks came online in a kernel zone for files");
	diag("%lld blocks came online, %d of all in a kernel zone, %.1f s",
	     onlined() - onlined_before, kernel_blocks(), now() - started);
	umount(TMPFS);
}

/* A memcg reaches its limit although there is memory. */
static void memcg(void)
{
	const struct hog hog = { .size = 96 * MIB, .cgroup = CGROUPS "/small" };
	const long long before = onlined(), kills_before = kills();

	mkdir(CGROUPS, 0700);
	ok(!mount("none", CGROUPS, "cgroup2", 0, NULL) &&
	   succeeds(write_file("+memory", CGROUPS "/cgroup.subtree_control")) &&
	   !mkdir(CGROUPS "/small", 0700) &&
	   succeeds(write_file("32M", CGROUPS "/small/memory.max")),
	   "a memcg with a limit is made");
	ok_number(run_hog(&hog), SIGKILL, "a process beyond the limit of its memcg is killed");
	ok_number(kills() - kills_before, 1, "an OOM of a memcg kills one process");
	ok_number(onlined() - before, 0, "no block comes online for the OOM of a memcg");
	rmdir(CGROUPS "/small");
	umount(CGROUPS);
}

static void sysrq(void)
{
	const struct hog hog = { .size = 64 * MIB, .holds = true };
	const long long before = onlined();
	pid_t pid;

	ok(hold(&hog, &pid) && succeeds(write_file("f", "/proc/sysrq-trigger")) &&
	   result(pid) == SIGKILL, "SysRq-F kills a process");
	ok_number(onlined() - before, 0, "no block comes online for SysRq-F");
}

static void hooks_off(void)
{
	ok(succeeds(write_file("0", ARMED)), "the hooks are switched off before an OOM");
	killed("hooks off", "no standby block comes online: the hooks are switched off");
	ok(succeeds(write_file("1", ARMED)), "the hooks are switched on after an OOM");
}

static void hibernation(void)
{
	int fd = open("/dev/snapshot", O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		skip("this kernel has no /dev/snapshot",
		     "hibernation: a process that uses up the memory is killed");
		return;
	}
	killed("hibernation", "cannot come online: the system hibernates");
	close(fd);
}

static void budget(void)
{
	set_budget(0);
	killed("budget used up", "the host's budget does not allow");
	set_budget(8 * GIB);
}

/*
 * Processes for the OOM killer to choose after a hog, before the guest's shell.
 * The kernel ceases to wait for the memory of a killed process when it has no
 * mappings. A debug kernel needs another 0.1 s to free its huge pages, and kills
 * one process more for each OOM meanwhile.
 */
static void start_spares(void)
{
	int i;

	for (i = 0; i < 8; i++) {
		if (fork())
			continue;
		be_victim();
		write_file("900", "/proc/self/oom_score_adj");
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
}

static void prepare(void)
{
	hog_size = meminfo("MemTotal") * 1024 + 320 * MIB;
	write_file("-1000", "/proc/self/oom_score_adj");
	/*
	 * QEMU's s390x cannot map large pages without KVM: the page tables of a
	 * block of 256 MiB take nearly 1 MiB out of the reserves.
	 */
	if (meminfo("DirectMap4k") && !meminfo("DirectMap1M") && !meminfo("DirectMap2M"))
		write_file("32768", "/proc/sys/vm/min_free_kbytes");
	if (!kernel_debugs())
		return;
	/* KASAN takes an eighth of each block out of the reserves. */
	write_file("131072", "/proc/sys/vm/min_free_kbytes");
	start_spares();
}

static void prepare_virtio(void)
{
	virtio_bus();
	prepare();
}

static bool start(const char *options)
{
	snprintf(device, sizeof(device), "%s", virtio_device(VIRTIO_ID_MEM, 0));
	return load_twostage(options) &&
	       ok(module_load(OURS, NULL) == 0 && exists(REGION, 0),
		  "the driver is bound to the virtio-mem device");
}

static void end(void)
{
	ok(virtio_unbind(device) == 0 && module_unload(OURS) == 0,
	   "the driver of the virtio-mem device is unbound and unloads");
	unload_twostage();
}

/*
 * Sets blocks online and offline until it gets SIGTERM. While offlines are
 * refused it would set all blocks online in ZONE_MOVABLE, and leave none for an
 * OOM of the kernel's zones: so only while half of them are standby.
 */
static void change_blocks(void)
{
	const int half = read_number(REGION "/blocks", 0) / 2;

	for (;;) {
		if (blocks_online(0) < half)
			region_online(0, "2 online_movable");
		region_offline(0, "1");
		region_offline_each(0);
	}
}

static pid_t start_changes(void)
{
	pid_t pid = fork();

	if (!pid) {
		change_blocks();
		_exit(1);
	}
	return pid;
}

/* Processes use up the memory while another one sets blocks offline. */
static void offlines(int rounds)
{
	const struct hog hog = { .size = HOG };
	const long long kills_before = kills();
	struct kmsg kmsg = kmsg_mark();
	int survivors = 0, victims = 0, refused = 0, i, j, ret;
	pid_t changes = start_changes(), hogs[2];
	double started = now();

	for (i = 0; i < rounds; i++) {
		hogs[0] = start_hog(&hog);
		hogs[1] = start_hog(&hog);
		for (j = 0; j < 2; j++) {
			ret = result(hogs[j]);
			survivors += ret == 0;
			victims += ret == SIGKILL;
		}
		/* Now: call traces of failed allocations fill the log. */
		refused += kmsg_lines(&kmsg, "ran out of memory a moment ago", NULL, 0);
		/* The module refuses offlines for 3 s after an OOM. */
		sleep(4);
	}
	/*
	 * KASAN allocates its shadow, 16 MiB of ordinary memory, inside each
	 * online. Without memory an online by change_blocks() does not end, and
	 * no other block can come online meanwhile. A memmap that does not fit
	 * into its block is ordinary memory, too.
	 */
	if (kernel_debugs() || !memmap_fits_block()) {
		ok(let_go(changes) == SIGTERM && survivors + victims == 2 * rounds,
		   "beside offlines of the same blocks each process survives or is killed");
	} else {
		ok(let_go(changes) == SIGTERM && survivors == 2 * rounds,
		   "beside offlines of the same blocks no process is killed");
		ok_number(kills() - kills_before, 0,
			  "beside offlines the OOM killer kills no process");
	}
	kmsg_close(&kmsg);
	ok(refused > 0, "the log says that offlines are refused for a while after an OOM");
	diag("%d of %d processes survived, %.1f s", survivors, 2 * rounds, now() - started);
}

static void comes_online(void)
{
	large_program();
	ok(movable_given_back(), "the blocks in ZONE_MOVABLE go offline after an OOM");
	many_files(100000);
	ok(movable_given_back(), "the blocks in ZONE_MOVABLE go offline after another OOM");
}

static void run_oom(void)
{
	if (!start(NULL))
		return;
	without();
	ok(succeeds(set_online_on_oom(1)) && read_number(REGION "/online_on_oom", 0) == 1,
	   "online_on_oom can be set");
	refused("2", EINVAL, "takes 0 or 1", REGION "/online_on_oom", 0);
	hibernation();
	hooks_off();
	budget();
	memcg();
	sysrq();
	ok_number(blocks_online(0), 0, "no block is online after all refusals");
	if (memmap_fits_block())
		comes_online();
	else
		skip("a block needs ordinary memory for its memmap, and there is none at an OOM",
		     "1 GiB of a process: the process is not killed, and its data is right");
	ok(succeeds(set_online_on_oom(0)), "online_on_oom can be cleared");
}

static void run_offline(void)
{
	if (!start("online_on_oom=1"))
		return;
	ok_number(read_number(REGION "/online_on_oom", 0), 1,
		  "with the parameter online_on_oom the attribute of a new region is 1");
	offlines(2);
}

/* A region of the ram provider, and one of a provider that fails on command */
#define RAM_START (4 * GIB)
#define RAM_BLOCKS 16

static int add_test_region(bool memmap_on_memory)
{
	char text[96];

	snprintf(text, sizeof(text), "%#" PRIx64 " %#" PRIx64 " %#" PRIx64 " %d",
		 (uint64_t)RAM_START, RAM_BLOCKS * block_size, block_size, memmap_on_memory);
	return write_file(text, PROVIDER "/add");
}

/*
 * A process that holds nearly all memory, so that the next that is allocated
 * causes an OOM
 */
static pid_t fill_memory(const char *what)
{
	const struct hog hog = {
		.size = (meminfo("MemAvailable") / 1024 - 48) * MIB,
		.holds = true,
	};
	pid_t pid;

	set_online_on_oom(0);
	ok(hold(&hog, &pid), "%s: a process fills the memory first", what);
	set_online_on_oom(1);
	return pid;
}

/*
 * While device_hotplug_lock is taken, no block can come online at an OOM. When
 * the lock is free again, it may do so after the kill.
 */
static void hotplug_allocates(void)
{
	const char *thread = "an online waits for a thread that is out of memory",
		   *offline = "an offline is out of memory";
	struct kmsg kmsg = kmsg_mark();
	int block = block_at(RAM_START);
	pid_t pid;

	pid = fill_memory(thread);
	write_file("0x8000000", PROVIDER "/assign_allocates");
	ok(write_file("online_movable", MEMORY "/memory%d/state", block) == 0,
	   "%s: the block comes online", thread);
	write_file("0", PROVIDER "/assign_allocates");
	ok_number(result(pid), SIGKILL, "%s: a process is killed", thread);
	ok_number(kmsg_lines(&kmsg, "memory has been going online or offline", NULL, 0), 1,
		  "%s: one line in the log says why no block came online", thread);

	sleep(3);
	pid = fill_memory(offline);
	write_file("0x10000000", PROVIDER "/offline_allocates");
	ok(write_file("offline", MEMORY "/memory%d/state", block) == -EAGAIN,
	   "%s: it gives up", offline);
	write_file("0", PROVIDER "/offline_allocates");
	ok_number(result(pid), SIGKILL, "%s: a process is killed", offline);
	ok_number(kmsg_lines(&kmsg, "the task is changing memory itself", NULL, 0), 1,
		  "%s: one line in the log says why no block came online", offline);
	kmsg_close(&kmsg);
	ok(movable_given_back(), "%s: the block goes offline later", offline);
}

/*
 * A memmap of ordinary memory takes 2 MiB of the reserves, which are enough for
 * one or two blocks at most.
 */
static void ordinary_memmap(void)
{
	const struct hog hog = { .size = RAM_BLOCKS * block_size };
	struct kmsg kmsg = kmsg_mark();

	ok_number(run_hog(&hog), SIGKILL,
		  "memmap in ordinary memory: a process that uses up the memory is killed");
	ok(kmsg_lines(&kmsg, "its memmap", NULL, 0) > 0,
	   "memmap in ordinary memory: the log says why no block came online");
	kmsg_close(&kmsg);
	ok(movable_given_back(),
	   "memmap in ordinary memory: blocks that came online go offline");
}

static void failing_provider(void)
{
	ok(module_load("twostage_test", NULL) == 0 && succeeds(add_test_region(true)),
	   "the test provider adds a region");
	write_file("5", PROVIDER "/assign_error");
	killed("the provider fails", "provider test does not assign");
	write_file("0", PROVIDER "/assign_error");

	/* Within a second the failure may count for the next OOM. */
	sleep(2);
	/* Longer than OOMs wait for a block */
	write_file("9000", PROVIDER "/delay_ms");
	killed("the provider is slow", "memory has been going online or offline");
	sleep(6);
	write_file("0", PROVIDER "/delay_ms");
	ok(movable_given_back(), "the block that came online too late goes offline");
	/* Its reason in the log makes the next one a new one. */
	hooks_off();
	hotplug_allocates();
	ok(succeeds(write_file("region0", PROVIDER "/remove")) && succeeds(add_test_region(false)),
	   "the test provider adds a region whose memmap is in ordinary memory");
	ordinary_memmap();
	ok(succeeds(write_file("region0", PROVIDER "/remove")) &&
	   read_number(PROVIDER "/violations") == 0 && module_unload("twostage_test") == 0,
	   "the test provider removes its region and unloads");
}

static void run_ram(void)
{
	const struct hog hog = { .size = HOG };

	if (!load_twostage("online_on_oom=1"))
		return;
	failing_provider();
	ok(succeeds(region_add(RAM_START, block_size, NULL)), "a region of one block is added");
	write_file("online_movable", MEMORY "/memory%d/state", block_at(RAM_START));
	killed("no standby block", "there is none left on the nodes");
	ok(movable_given_back() && succeeds(region_remove(0)),
	   "the region of one block is removed");
	ok(succeeds(region_add(RAM_START, RAM_BLOCKS * block_size, NULL)),
	   "a region of reserved RAM is added");
	survives("reserved RAM", &hog);
}

/* Starts many hogs at once; returns how many survive */
static int run_hogs(const struct hog *hog, int count)
{
	int survivors = 0, i;
	pid_t pids[512];

	for (i = 0; i < count; i++)
		pids[i] = start_hog(hog);
	for (i = 0; i < count; i++)
		survivors += pids[i] > 0 && !result(pids[i]);
	return survivors;
}

static void many_hogs(const char *what, const struct hog *hog, int count)
{
	const long long kills_before = kills(), onlined_before = onlined();
	double started = now();

	ok_number(run_hogs(hog, count), count, "%s: no process is killed", what);
	ok_number(kills() - kills_before, 0, "%s: the OOM killer kills no process", what);
	diag("%s: %lld blocks came online, %.1f s", what, onlined() - onlined_before,
	     now() - started);
	ok(movable_given_back(), "%s: the blocks in ZONE_MOVABLE go offline", what);
}

static void full_tmpfs(void)
{
	const long long kills_before = kills();
	static char data[MIB];
	int fd, i;

	ok(tmpfs_mount(), "a tmpfs is mounted");
	fd = open(TMPFS "/data", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	for (i = 0; i < (int)(HOG / MIB) && write(fd, data, sizeof(data)) == sizeof(data); i++)
		;
	ok_number(i, HOG / MIB, "a file larger than the memory can be written to a tmpfs");
	ok_number(kills() - kills_before, 0, "full tmpfs: the OOM killer kills no process");
	close(fd);
	umount(TMPFS);
	movable_given_back();
}

static void run_hogs_of_all_kinds(void)
{
	const struct hog one = { .size = 96 * MIB }, locked = { .size = HOG, .flags = MAP_LOCKED },
			 huge = { .size = HOG, .advice = MADV_HUGEPAGE },
			 tiny = { .size = 512 * 1024 };

	if (!start("online_on_oom=1"))
		return;
	many_hogs("12 processes", &one, 12);
	many_hogs("locked memory", &locked, 1);
	many_hogs("huge pages", &huge, 1);
	full_tmpfs();
	many_hogs("500 processes", &tiny, 500);
	many_files(200000);
	offlines(4);
}

static void run_nodes(void)
{
	const struct hog bound = { .size = HOG, .node = 1 };
	const struct hog confined = { .size = HOG, .cgroup = CGROUPS "/node0" };
	struct kmsg kmsg;

	if (!start("online_on_oom=1"))
		return;
	ok_number(read_number(REGION "/node", 0), 1, "the region is on node 1");
	/*
	 * When a node gets its first memory, the kernel starts threads for it,
	 * which needs memory.
	 */
	ok(succeeds(region_online(0, "1 online_movable")), "node 1 has memory");

	mkdir(CGROUPS, 0700);
	ok(!mount("none", CGROUPS, "cgroup2", 0, NULL) &&
	   succeeds(write_file("+cpuset", CGROUPS "/cgroup.subtree_control")) &&
	   !mkdir(CGROUPS "/node0", 0700) &&
	   succeeds(write_file("0", CGROUPS "/node0/cpuset.mems")), "a cpuset of node 0 is made");
	kmsg = kmsg_mark();
	ok_number(run_hog(&confined), SIGKILL,
		  "a process in a cpuset of another node than the region's is killed");
	ok(kmsg_wait(&kmsg, "there is none left on the nodes that the task can use", 1),
	   "the log says that no standby block is on a node that the process can use");
	kmsg_close(&kmsg);
	rmdir(CGROUPS "/node0");
	umount(CGROUPS);

	survives("a process bound to node 1", &bound);
	many_hogs("4 processes bound to node 1", &bound, 4);
	ok(movable_given_back() && blocks_online(0) == 0,
	   "all blocks go offline after the OOMs of processes bound to node 1");
	end();
}

/* Free memory of node 1, in bytes */
static uint64_t node_free(void)
{
	char *text = read_whole("/sys/devices/system/node/node1/meminfo");
	const char *line = strstr(text, "MemFree:");
	uint64_t kib = line ? strtoull(line + strlen("MemFree:"), NULL, 10) : 0;

	free(text);
	return kib * 1024;
}

/* Sets all blocks but the first one offline; false if some stay online */
static bool movable_but_first(void)
{
	int first = block_at(strtoull(read_file(REGION "/start", 0), NULL, 0)), block, tries;

	sleep(3);
	for (tries = 0; tries < 20 && blocks_online(0) > 1; tries++)
		for (block = first + 1; block < first + 64; block++)
			if (!strcmp(block_state(block), "online"))
				write_file("offline", MEMORY "/memory%d/state", block);
	return blocks_online(0) == 1;
}

/*
 * One OOM at which the module's nth allocation in a worker fails. @well tells
 * whether the process survived or was killed by the OOM killer, the blocks that
 * came online went offline, and the system is as @before.
 */
static enum failures_outcome fail_allocation(unsigned int nth, struct accounts *before,
					     int *killed_ones, bool *well)
{
	const struct hog trial = { .size = 24 * MIB, .node = 1 };
	enum failures_outcome outcome;
	int ret;

	failures_begin_in_workers(nth);
	ret = run_hog(&trial);
	outcome = failures_end_in_workers(nth);
	*killed_ones += ret == SIGKILL;
	*well = (ret == 0 || ret == SIGKILL) && movable_but_first() &&
		accounts_same(before);
	if (!*well)
		diag("wrong after a failure of allocation %u: the process returned %d, %d blocks online",
		     nth, ret, blocks_online(0));
	return outcome;
}

static void run_alloc_failures(void)
{
	struct hog holder = { .node = 1, .holds = true, .spared = true };
	int killed_ones = 0, wrong = 0, idle = 0;
	enum failures_outcome outcome = FAILURES_FAILED;
	struct accounts *before;
	unsigned int nth;
	bool well;
	pid_t pid;

	if (!failures_possible()) {
		skip("this kernel has no fail-nth, see make check-debug",
		     "each allocation of an online at an OOM fails once");
		return;
	}
	if (!start("online_on_oom=1"))
		return;
	failures_configure();
	failures_only_in(FAILURES_IN_TWOSTAGE);
	ok(succeeds(region_online(0, "1 online_movable")), "node 1 has memory");
	holder.size = node_free() - 8 * MIB;
	ok(hold(&holder, &pid), "a process fills node 1");
	before = accounts_take();
	for (nth = 1; wrong < 5 && idle < 5 && nth < 1000;) {
		outcome = fail_allocation(nth, before, &killed_ones, &well);
		wrong += !well;
		if (outcome == FAILURES_UNTOUCHED)
			break;
		idle = outcome == FAILURES_NOT_ASKED ? idle + 1 : 0;
		nth += outcome == FAILURES_FAILED;
	}
	diag("%u allocations failed once, %d processes were killed", nth - 1, killed_ones);
	ok(outcome == FAILURES_UNTOUCHED && nth > 1,
	   "an online at an OOM has allocations, and succeeds once each has failed");
	ok_number(wrong, 0,
		  "a failed allocation of an online at an OOM gives a kill or a block, and no other change");
	accounts_free(before);
	ok(let_go(pid) == SIGTERM && movable_given_back() && blocks_online(0) == 0,
	   "all blocks go offline after all failures");
	end();
}

/* OOMs of all kinds for SOAK_MINUTES */
static void run_soak_oom(void)
{
	const char *setting = getenv("SOAK_MINUTES");
	const double until = now() + 60 * (setting ? atoi(setting) : 1);
	const struct hog kinds[] = {
		{ .size = HOG }, { .size = HOG, .flags = MAP_LOCKED },
		{ .size = HOG, .advice = MADV_HUGEPAGE }, { .size = 64 * MIB },
	};
	int survivors = 0, started = 0, rounds;
	long long kills_before, before;
	pid_t changes;

	if (!start("online_on_oom=1"))
		return;
	before = onlined();
	kills_before = kills();
	changes = start_changes();
	for (rounds = 0; now() < until; rounds++) {
		const int count = 1 + rounds % 12;
		const struct hog *hog = &kinds[rounds % ARRAY_SIZE(kinds)];

		started += count;
		survivors += run_hogs(hog, count);
		if (rounds % 4 == 3) {
			tmpfs_mount();
			make_files(20000);
			umount(TMPFS);
		}
		sleep(rounds % 5);
	}
	ok(let_go(changes) == SIGTERM && survivors == started,
	   "all processes of the soak survive with the right data (%d of %d)", survivors, started);
	ok_number(kills() - kills_before, 0, "the OOM killer kills no process during the soak");
	diag("%d rounds, %lld blocks came online at an OOM", rounds, onlined() - before);
	ok(onlined() > before, "blocks come online during the soak");
	ok(movable_given_back(), "the blocks in ZONE_MOVABLE go offline after the soak");
}

/*
 * The time from an OOM to usable memory, for the first block that comes online
 * for it, the second, and so on
 */
static void print_times(void)
{
	char *trace = read_whole(TRACE "/trace"), *line = trace, name[32];
	double last = 0, duration;
	int position = 0;

	while ((line = strstr(line, "oom_online: "))) {
		line = strstr(line, "duration_ns=") + strlen("duration_ns=");
		duration = strtod(line, NULL);
		/*
		 * The duration counts from the OOM: it grows from one block to
		 * the next for the same OOM.
		 */
		position = duration > last ? position + 1 : 1;
		last = duration;
		snprintf(name, sizeof(name), "oom-%d", position);
		sample(name, "twostage", duration / 1000);
	}
	free(trace);
}

static void run_bench(void)
{
	const struct hog hog = { .size = 2 * GIB, .advice = MADV_HUGEPAGE };
	int round;

	if (!start("online_on_oom=1"))
		return;
	write_file("1", TRACE "/events/twostage/oom_online/enable");
	for (round = 0; round < 3; round++) {
		survives("2 GiB", &hog);
		movable_given_back();
	}
	write_file("0", TRACE "/events/twostage/oom_online/enable");
	print_times();
}

GROUP(group_bench_oom) = {
	.name = "bench-oom", .title = "time from an OOM to usable memory",
	.setup = prepare_virtio, .run = run_bench, .stays = true,
};

GROUP(group_alloc_failures_oom) = {
	.name = "alloc-failures-oom", .title = "each allocation of an online at an OOM fails once",
	.setup = prepare_virtio, .run = run_alloc_failures,
};

GROUP(group_oom_ram) = {
	.name = "oom-ram", .title = "reserved RAM, and providers that fail, at an OOM",
	.setup = prepare, .run = run_ram, .stays = true,
};

GROUP(group_oom_hogs) = {
	.name = "oom-hogs", .title = "OOMs of many kinds",
	.setup = prepare_virtio, .run = run_hogs_of_all_kinds, .stays = true,
};

GROUP(group_oom_nodes) = {
	.name = "oom-nodes", .title = "OOMs of a node",
	.setup = prepare_virtio, .run = run_nodes,
};

GROUP(group_soak_oom) = {
	.name = "soak-oom", .title = "OOMs beside offlines for a long time",
	.setup = prepare_virtio, .run = run_soak_oom, .stays = true,
};

GROUP(group_oom) = {
	.name = "oom", .title = "standby blocks come online instead of an OOM kill",
	.setup = prepare_virtio, .run = run_oom, .stays = true,
};

GROUP(group_oom_offline) = {
	.name = "oom-offline", .title = "blocks go offline while the system is out of memory",
	.setup = prepare_virtio, .run = run_offline, .stays = true,
};
