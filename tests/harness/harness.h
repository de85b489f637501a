/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest harness: tests of the twostage modules, which run in a guest
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIB (UINT64_C(1024) * 1024)
#define GIB (1024 * MIB)

/* A group of tests; one guest runs one or more. */
struct group {
	const char *name;
	const char *title;
	/* Runs before the baseline snapshot is taken; may be NULL */
	void (*setup)(void);
	void (*run)(void);
	/*
	 * The group leaves state behind: do not compare with the baseline at
	 * the end
	 */
	bool stays;
};

/*
 * GROUP(name) = { ... } defines a group and registers it: the linker collects
 * all groups in one array.
 */
#define GROUP(_name) \
	static const struct group _name __attribute__((used, section("groups"), aligned(8)))

/*
 * ktap.c: test results. The name of a test states what has to hold, and stands
 * alone: subject, condition, result.
 */
void ktap_begin(bool kmsg);
int ktap_end(void);
void ktap_group(const char *name);
bool ok(bool passed, const char *promise, ...) __attribute__((format(printf, 2, 3)));
/*
 * ok() for a number, a text, and a return value (0 or a negative errno). When
 * the value is not the expected one, both are printed.
 */
bool ok_number(long long got, long long expected, const char *promise, ...)
	__attribute__((format(printf, 3, 4)));
bool ok_text(const char *got, const char *expected, const char *promise, ...)
	__attribute__((format(printf, 3, 4)));
bool ok_return(int got, int expected, const char *promise, ...)
	__attribute__((format(printf, 3, 4)));
/*
 * For a test of several calls: whether a call returns what is expected. If it
 * does not, the call and its return value are printed.
 */
#define returns(expected, call) call_returns(#call, call, expected)
#define succeeds(call) returns(0, call)
bool call_returns(const char *call, int got, int expected);
/* Whether a condition is true; if it is not, it is printed. */
#define holds(condition) condition_holds(#condition, condition)
bool condition_holds(const char *condition, bool holds);
void skip(const char *reason, const char *promise, ...) __attribute__((format(printf, 2, 3)));
void diag(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints a line for the runner on the host */
void say_to_host(const char *text);

/*
 * host.c: commands for QEMU's monitor, which the runner on the host passes on
 */
void host(const char *format, ...) __attribute__((format(printf, 1, 2)));
/*
 * Returns the reply as one line, valid until the next call. If there is no
 * reply in time, a test fails and the result is "".
 */
const char *host_ask(const char *format, ...) __attribute__((format(printf, 1, 2)));
/*
 * Calls sleep(). After some seconds the host types on the console, which wakes
 * the guest. Returns whether it did; *ret is what sleep() returned.
 */
bool host_wakes(int seconds, int (*sleep)(void), int *ret);

/*
 * files.c: files that are read and written whole, such as attributes. Errors
 * are negative errno values.
 */
int write_file(const char *text, const char *path, ...) __attribute__((format(printf, 2, 3)));
/* The same with a file that is open */
int write_open(int file, const char *text);
/*
 * Returns the file's text without the final newline, "" if it cannot be read.
 * It is valid for the next 7 calls.
 */
const char *read_file(const char *path, ...) __attribute__((format(printf, 1, 2)));
char *read_whole(const char *path);
long long read_number(const char *path, ...) __attribute__((format(printf, 1, 2)));
bool exists(const char *path, ...) __attribute__((format(printf, 1, 2)));
/* Runs what() in a child process; later() returns its error. */
pid_t meanwhile(int (*what)(void));
int later(pid_t pid);
int run_command(const char *format, ...) __attribute__((format(printf, 1, 2)));
/*
 * Whether the kernel is older than major.minor, for bugs that were fixed there
 */
bool kernel_before(int major, int minor);
bool kernel_preempt_rt(void);
/*
 * Whether this is the kernel of make check-debug. Its KASAN delays the reuse of
 * freed memory. For each online block it allocates slab objects and pages from
 * the kernel zones of the block's node, and keeps them until that block goes
 * offline.
 */
bool kernel_debugs(void);
double now(void);

/* wait.c: waiting for a state, a task or an operation, not for a time */
struct waiting {
	const char *condition;
	double seconds, until;
	useconds_t pause;
};
struct waiting waiting_begin(const char *condition, double seconds);
bool waiting_goes_on(struct waiting *waiting);
/*
 * Waits until a condition is true, for so many seconds at most. Returns whether
 * it is; if not, it is printed.
 */
#define wait_until(_condition, _seconds) ({					\
	struct waiting _waiting = waiting_begin(#_condition, _seconds);		\
	bool _true;								\
	while (!(_true = (_condition)) && waiting_goes_on(&_waiting))		\
		;								\
	_true;									\
})
/*
 * Whether a task sleeps in a function of the kernel, or in any function of a
 * module: "[twostage]"
 */
bool sleeps_in(pid_t pid, const char *function);
bool any_sleeps_in(const char *function);
/*
 * Waits until the task that is adding, removing or changing memory has
 * finished. Returns whether it could.
 */
bool hotplug_settles(void);

/* kmsg.c: the kernel's log since a mark */
struct kmsg {
	int fd;
};
struct kmsg kmsg_mark(void);
/* The next line that contains @needle; false if there is none yet */
bool kmsg_next(struct kmsg *kmsg, const char *needle, char *line, size_t size);
/* Waits for such a line, up to @seconds */
bool kmsg_wait(struct kmsg *kmsg, const char *needle, int seconds);
/*
 * Counts the lines that contain @needle since the mark, and moves the mark. The
 * last of them is copied to @line unless that is NULL.
 */
int kmsg_lines(struct kmsg *kmsg, const char *needle, char *line, size_t size);
void kmsg_close(struct kmsg *kmsg);

/* uevents.c */
/* A socket that receives the kernel's uevents */
int uevents_open(void);
/*
 * Whether an event was received that begins with @header ("change@/devices/...")
 * and has @variable ("NAME=value"). Takes all events that were received.
 */
bool uevents_have(int fd, const char *header, const char *variable);

/* module.c */
int module_load(const char *name, const char *options);
int module_load_system(const char *name, const char *options);
int module_unload(const char *name);
/*
 * module_load() and module_unload() by the bare system calls, without libkmod
 */
int module_insert(int fd, const char *options);
int module_delete(const char *name);
/* As rmmod -f does; @name as in /proc/modules */
int module_unload_by_force(const char *name);
bool module_loaded(const char *name);
/* The value of a field of modinfo, "" if there is none */
const char *module_info(const char *name, const char *field);

/*
 * architecture.c: what differs between architectures, and what Debian's kernels
 * for them have
 */
struct architecture {
	/* The device of the guest's console */
	const char *console;
	/* The physical address at which RAM begins */
	uint64_t ram_start;
	/*
	 * An address in a range of devices, and how a refusal names its entry in
	 * /proc/iomem; NULL: there is none. Tests use devices_name().
	 */
	uint64_t devices_start;
	const char *devices_name;
	/*
	 * From here on for 256 GiB there is neither memory nor a device, and
	 * the kernel can address it.
	 */
	uint64_t nowhere;
	/* What the log says of an online at 64 GiB, where there is no memory */
	const char *no_memory;
	bool numa;
	/* The kernel's driver for DIMMs */
	bool dimms;
	/*
	 * /proc/kpageflags shows pages above those at boot. (s390 does not
	 * change max_pfn when memory is added.)
	 */
	bool shows_added_pages;
	/* /sys/firmware/memmap */
	bool firmware_memmap;
	/* The module with the driver of the bus; NULL: the kernel has it built in */
	const char *virtio_bus;
	/* QEMU's name of the device, and options with which it can be plugged */
	const char *virtio_mem, *virtio_slot;
	/* A driver of the kernel's own for virtio-mem devices */
	bool kernel_has_virtio_mem;
};
extern const struct architecture architecture;
extern long page_size;
void architecture_init(void);
/* Whether the module can find the kernel's variables: not in Debian's 6.1 for arm64 and s390x */
bool has_kallsyms_all(void);
/* architecture.devices_name, or what this kernel has in its place */
const char *devices_name(void);
/* Bytes of the memmap of so many bytes of memory */
uint64_t memmap_size(uint64_t size);
/* Whether a block can have its memmap in itself */
bool memmap_fits_block(void);
/*
 * How many bytes are left of that much memory online, with
 * memmap_on_memory=1 if the kernel can do that
 */
uint64_t usable_size(uint64_t size);

/* accounts.c: a snapshot of the system state that has to be restored */
struct accounts;
struct accounts *accounts_take(void);
/*
 * Compares the system state with a snapshot, and prints the differences. Tries
 * again for 2 s, since some memory is freed with a delay.
 */
bool accounts_same(struct accounts *before);
/* Prints the values of the snapshot and the present ones as diagnostics */
void accounts_tell(const struct accounts *before);
/*
 * Adjusts a snapshot for blocks that stay poisoned: they keep their direct map,
 * and their poisoned pages count as HardwareCorrupted.
 */
void accounts_add_poisoned(struct accounts *accounts, int blocks, int pages);
void accounts_free(struct accounts *accounts);
long long meminfo(const char *field);
/* Size of the direct map in KiB, all page sizes; 0 if the kernel does not say */
long long direct_map(void);

/* twostage.c: the module's interface */
#define BUS "/sys/bus/twostage"
#define REGION BUS "/devices/region%d"
#define MEMORY "/sys/devices/system/memory"
extern uint64_t block_size;
void twostage_init(void);
int region_add(uint64_t start, uint64_t size, const char *options);
int region_remove(int id);
int region_online(int id, const char *what);
int region_offline(int id, const char *what);
/*
 * Sets each block offline by a write of its own: one block may be kept from
 * going offline by what is in another. Returns how many are still online.
 */
int region_offline_each(int id);
/*
 * Sets all blocks offline, in several attempts: one fails if a page is in use
 * at that moment. What the kernel keeps and does not use is freed meanwhile.
 */
int region_give_back(int id);
int blocks_online(int id);
/*
 * How many calls of a function its hook has redirected; -1 if there is no such
 * hook
 */
long redirected(const char *function);
/* Number of the memory block at an address */
int block_at(uint64_t address);
const char *block_state(int block);
const char *block_stage(int block);
/* Lines of /proc/iomem that contain the text */
int iomem_count(const char *text);
/*
 * Writes a text that has to be refused: with this error and one log line, which
 * contains @needle. The system state must not change.
 */
bool refused(const char *text, int error, const char *needle, const char *path, ...)
	__attribute__((format(printf, 4, 5)));
bool load_twostage(const char *options);
bool unload_twostage(void);
void settle_zones(void);

/*
 * test_notifier.c: a memory notifier of another module, which refuses on
 * command. @when is a prefix of the test names.
 */
bool notifier_add(const char *when, const char *priority);
void notifier_remove(const char *when);
void notifier_refuse(const char *action, int error);
/*
 * Has the notifier refuse a standby block, by each path, each followed by a
 * retry. The block is the only one of its region, or the next to come online.
 */
void notifier_refusals(const char *when, const char *type, int id, int block);

/* virtio.c: devices on the virtio bus */
/* Loads the bus driver, which stays loaded: for the setup() of a group */
void virtio_bus(void);
/* The name of the n-th device with this device ID, "" if there is none */
const char *virtio_device(int id, int n);
const char *virtio_driver(const char *device);
int virtio_bind(const char *device, const char *driver);
int virtio_unbind(const char *device);
/* Removes a device from its bus, and has the bus find it again */
int virtio_remove(const char *device);
int virtio_find_again(void);

/*
 * readers.c: reads about a random page of a block from one of the files that
 * show memory or its memmap. Returns how many words it got.
 */
enum view { VIEW_ZONES, VIEW_FLAGS, VIEW_COUNT, VIEW_TYPES, VIEW_KCORE, VIEWS };
long look_at(enum view view, int block);

/* trace.c: the kernel's function tracer */
/*
 * Traces calls of the roots, and the calls of the functions within these. Both
 * lists end with NULL.
 */
void trace_begin(const char *const *roots, const char *const *functions);
/* Starts tracing with an empty buffer */
void trace_on(void);
void trace_off(void);
/*
 * Prints the trace for the host: the operation, and the contenders in the order
 * in which they did it
 */
void trace_print(const char *operation, const char *order);
void trace_end(void);

/* readers.c: look_at() with every view. Returns how many words it got. */
long look_at_block(int block);
/*
 * Whether a physical address is in a segment of /proc/kcore, which has one for
 * each range of System RAM
 */
bool kcore_has(uint64_t physical);
/* Whether there is a struct page for it, in an online section */
bool has_struct_page(uint64_t physical);
/* Whether that struct page is marked hardware-poisoned (PG_hwpoison) */
bool page_is_broken(uint64_t physical);
/* Writes to soft_offline_page or hard_offline_page: @how is "soft" or "hard" */
int page_offline(const char *how, uint64_t physical);

/* kmemleak.c: the kernel's leak detector, on kernels that have it */
bool kmemleak_there(void);
/* Whether it was not disabled on the command line, and so has to be there */
bool kmemleak_wanted(void);
/* Drops all that it has found so far */
void kmemleak_forget(void);
/* The number of leaks since then; they are printed as diagnostics. */
int kmemleak_leaks(void);

/*
 * failures.c: fault injection, one failing allocation at a time, on kernels
 * that have it
 */
bool failures_possible(void);
void failures_configure(void);
/* Which allocations count */
enum failures_place {
	FAILURES_ANYWHERE,
	/* with a function of twostage, which is loaded, on the call stack */
	FAILURES_IN_TWOSTAGE,
	/* while a module is initialised */
	FAILURES_IN_INITIALISATION,
	/* before that, while its parameters are parsed */
	FAILURES_IN_PARAMETERS,
};
void failures_only_in(enum failures_place place);
/* Makes the nth allocation of this process from now on fail; 0: none */
void failures_begin(unsigned int nth);
/* Whether that allocation was reached; no more allocations fail. */
bool failures_end(void);
enum failures_outcome {
	/* No worker has allocated anything: nothing was tested. */
	FAILURES_NOT_ASKED,
	/* There were fewer allocations than nth. */
	FAILURES_UNTOUCHED,
	FAILURES_FAILED,
};
/* The same for all kworkers, of which one does the work to be tested. */
void failures_begin_in_workers(unsigned int nth);
enum failures_outcome failures_in_workers(unsigned int nth);
enum failures_outcome failures_end_in_workers(unsigned int nth);
/*
 * readers.c: how many of the words at a physical address are not zero, read
 * from /proc/kcore
 */
long kcore_words(uint64_t physical, long words);
/* Reads memory from /proc/kcore; false if not all of it can be read */
bool kcore_read(uint64_t physical, void *bytes, size_t size);
bool readers_trip_over_huge_pages(void);

/* dimm.c: DIMMs that the host plugs */
/* @node: the node, or negative for none in particular */
void dimm_plug(const char *name, uint64_t size, int node);
void dimm_unplug(const char *name);
/* Waits until the host has removed the device. */
bool dimm_gone(const char *name);
/* Deletes the memory backend on the host, after the DIMM is unplugged */
void dimm_forget(const char *name);
/* The number of memory blocks of the system */
int count_blocks(void);
bool wait_for_blocks(int count);

/* disk.c: the path of the virtio disk with a serial number, "" if missing */
const char *disk_of(const char *serial);

/* elf.c: the physical memory in an ELF file */
struct segment {
	uint64_t offset, start, size;
};
/* Returns how many there are, at most @count */
int elf_segments(int fd, struct segment *segments, int count);
/* How many bytes of a physical range are in the segments */
uint64_t elf_covered(const struct segment *segments, int count, uint64_t start, uint64_t size);
/* The number of program headers of /proc/kcore, of any type */
int kcore_headers(void);

/*
 * iomem.c: the entries of populated memory in /proc/iomem, at most @count of
 * them. Their offset members are 0.
 */
int ram_entries(struct segment *entries, int count);
/* The number of runs of adjacent blocks; each bit is a block. */
int ram_runs(unsigned int blocks);
/* Whether the entries are exactly these runs; bit 0 is the block at @start. */
bool ram_is(uint64_t start, unsigned int blocks);

/* kexec.c: booting the next kernel from this one */
#define KEXEC_KERNEL "/tmp/kernel"
#define KEXEC_INITRD "/tmp/initrd"
#define KEXEC_OUTPUT "/tmp/kexec.out"
/* The number in NAME=NUMBER of the kernel's command line, 0 if missing */
long long boot_number(const char *name);
/* Fetches the kernel and the initramfs from the disks that the host provides */
bool kexec_fetch(void);
/*
 * Loads them with kexec-tools: @how are its options, @options is appended to
 * the command line. Returns its exit status.
 */
int kexec_load(const char *how, const char *options, ...) __attribute__((format(printf, 2, 3)));

/* memory.c: memory in use, with data that is verified */
struct memory {
	uint64_t *words;
	size_t size;
	uint64_t seed;
};
/*
 * Sets the node from which this process prefers to allocate; -1: the default
 * policy
 */
bool memory_prefer(int node);
/* Restricts allocations of this process to a node, its page tables included */
bool memory_bind(int node);
bool memory_fill(struct memory *memory, size_t size, uint64_t seed);
/*
 * The two steps of memory_fill(). @flags as for mmap(), @advice as for
 * madvise(), or 0.
 */
bool memory_map(struct memory *memory, size_t size, int flags, int advice);
void memory_write(struct memory *memory, uint64_t seed);
/* The offset of the first page with wrong data, -1 if there is none */
ssize_t memory_check(const struct memory *memory);
/* The number of bytes in pages with wrong data */
uint64_t memory_lost(const struct memory *memory);
/* The physical address of the page at an offset, 0 if there is none */
uint64_t memory_address(const struct memory *memory, size_t offset);
/* How many bytes of it are in a physical range */
uint64_t memory_inside(const struct memory *memory, uint64_t start, uint64_t size);
void memory_free(struct memory *memory);
/*
 * Frees what the kernel keeps and does not use, since it may be in a block of a
 * kernel zone that is to go offline: page cache, dentries, inodes, empty slabs
 * (each CPU keeps some), and KASAN's quarantine
 */
void memory_free_unused(void);
/* For main(), before the first group */
void memory_init(void);
/*
 * Starts a process that has many page tables, which cannot be migrated, on a
 * node (its memory policy applies to them). They are freed when it is killed.
 * On the kernel of make check-debug it has pages in pipes instead.
 */
pid_t memory_page_tables(int node);
/*
 * Puts one page that is in a physical range into a pipe: the page cannot be
 * migrated, as if a device were using it.
 */
struct pin {
	int pipe[2];
};
bool memory_pin(const struct memory *memory, struct pin *pin, uint64_t start, uint64_t size);
void memory_unpin(struct pin *pin);

#endif /* HARNESS_H */
