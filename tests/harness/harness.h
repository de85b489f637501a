/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest harness: drives the module and checks what it promises
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
	/* Before the accounts are taken to which everything has to come back; may be NULL */
	void (*setup)(void);
	void (*run)(void);
	/* Something of it stays in the end, which is then not looked at */
	bool stays;
};

extern const struct group group_basic, group_lacking, group_errors, group_many, group_providers, group_numa,
	group_autoonline, group_scale, group_scale_large, group_stress, group_soak,
	group_notifier, group_bystanders, group_guards, group_livepatch, group_tracers,
	group_bench, group_bench_time, group_bench_breakdown, group_bench_scale,
	group_bench_scale_online, group_bench_bystanders, group_bench_virtio,
	group_bench_virtio_stock, group_bench_cost_twostage, group_bench_cost_dimm,
	group_bench_cost_hosted, group_bench_cost_kmem, group_bench_cost_virtio,
	group_dimm, group_dimm_large, group_dimm_stock, group_dimm_reserved, group_dimm_hosted,
	group_large_blocks, group_faults, group_virtio_mem, group_virtio_mem_odd,
	group_virtio_mem_taken, group_alloc_failures, group_alloc_failures_online,
	group_alloc_failures_unload, group_alloc_failures_virtio,
	group_alloc_failures_dimm, group_virtio_mem_given_back, group_sleep, group_security,
	group_security_relaxed, group_kdump, group_kdump_load, group_kexec, group_hostile,
	group_hwpoison, group_poisoning, group_mce,
	group_forced, group_patience, group_fuzz, group_readers, group_pages, group_optimised,
	group_contiguous;

/* ktap.c: results. Each test is named after the promise that it checks. */
void ktap_begin(bool kmsg);
int ktap_end(void);
void ktap_group(const char *name);
bool ok(bool passed, const char *promise, ...) __attribute__((format(printf, 2, 3)));
void skip(const char *reason, const char *promise, ...) __attribute__((format(printf, 2, 3)));
void diag(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A line for the runner on the host */
void say_to_host(const char *text);

/* host.c: commands for QEMU's monitor, which the runner on the host passes on */
void host(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The reply, as one line, valid until the next one; "", and a failed test, if there is none in time. */
const char *host_ask(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Calls sleep(), during which the host types on the console after some seconds; whether it did. ret: what it returned */
bool host_wakes(int seconds, int (*sleep)(void), int *ret);

/* files.c: knobs. Errors are negative errno values. */
int write_file(const char *text, const char *path, ...) __attribute__((format(printf, 2, 3)));
/* The file's text without the newline at its end; "" if it cannot be read. Valid until 8 calls later. */
const char *read_file(const char *path, ...) __attribute__((format(printf, 1, 2)));
char *read_whole(const char *path);
long long read_number(const char *path, ...) __attribute__((format(printf, 1, 2)));
bool exists(const char *path, ...) __attribute__((format(printf, 1, 2)));
/* Does something in a process of its own; its error is for later(). */
pid_t meanwhile(int (*what)(void));
int later(pid_t pid);
int run_command(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* For what has been mended in the kernel itself since */
bool kernel_before(int major, int minor);
/*
 * The kernel of make check-debug. KASAN keeps what is freed for a while, and has its notes of a block in slabs and
 * pages of blocks that are online on the same node, in a kernel zone, until that block goes.
 */
bool kernel_debugs(void);
double now(void);

/* kmsg.c: the kernel's log since a mark */
struct kmsg {
	int fd;
};
struct kmsg kmsg_mark(void);
/* The next line with the needle; false if there is none any more */
bool kmsg_next(struct kmsg *kmsg, const char *needle, char *line, size_t size);
/* The same, which is waited for */
bool kmsg_wait(struct kmsg *kmsg, const char *needle, int seconds);
/* Lines with the needle since the mark, which moves on; the last one goes to line if that is not NULL. */
int kmsg_lines(struct kmsg *kmsg, const char *needle, char *line, size_t size);
void kmsg_close(struct kmsg *kmsg);

/* module.c */
int module_load(const char *name, const char *options);
int module_load_system(const char *name, const char *options);
int module_unload(const char *name);
/* The same as module_load() and module_unload() by nothing but the system call */
int module_insert(int fd, const char *options);
int module_delete(const char *name);
/* As rmmod -f does; by its name in /proc/modules */
int module_unload_by_force(const char *name);
bool module_loaded(const char *name);
/* A field of modinfo, "" if there is none. */
const char *module_info(const char *name, const char *field);

/* accounts.c: everything that has to be what it was */
struct accounts;
struct accounts *accounts_take(void);
/* Waits for what is given back with a delay. Prints the differences as diagnostics. */
bool accounts_same(struct accounts *before);
/* What they were and are, as diagnostics */
void accounts_tell(const struct accounts *before);
/* Blocks that stay poisoned keep their direct map, and their poisoned pages count: these are to be expected, too. */
void accounts_add_poisoned(struct accounts *accounts, int blocks, int pages);
void accounts_free(struct accounts *accounts);
long long meminfo(const char *field);

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
/* Each block by itself: what keeps one of them may go with another one. How many are left */
int region_offline_each(int id);
/* All blocks offline, in several attempts: a page that somebody holds just now makes one fail. */
int region_give_back(int id);
int blocks_online(int id);
/* Number of the memory block at an address */
int block_at(uint64_t address);
const char *block_state(int block);
const char *block_stage(int block);
/* Lines of /proc/iomem that contain the text */
int iomem_count(const char *text);
/* Write what must fail: the error, one line in the log that contains needle, nothing changed. */
bool refused(const char *text, int error, const char *needle, const char *path, ...)
	__attribute__((format(printf, 4, 5)));
bool load_twostage(const char *options);
bool unload_twostage(void);
void settle_zones(void);

/* test_notifier.c: somebody else's memory notifier, which refuses on command. The name of the case is for the tests. */
bool notifier_add(const char *when, const char *priority);
void notifier_remove(const char *when);
void notifier_refuse(const char *action, int error);
/* Refusals of a block that is standby, alone so in its region or the next in turn: by each path, and retries */
void notifier_refusals(const char *when, const char *type, int id, int block);

/* virtio.c: devices on the virtio bus */
/* It is part of the system, not of what has to be gone at the end: for a group's setup. */
void virtio_bus(void);
/* The n-th of those with this device ID, "" if there is none */
const char *virtio_device(int id, int n);
const char *virtio_driver(const char *device);
int virtio_bind(const char *device, const char *driver);
int virtio_unbind(const char *device);

/* readers.c: look at a random page of a block, by a file that shows such, or by all; how many words came */
enum view { VIEW_ZONES, VIEW_FLAGS, VIEW_COUNT, VIEW_TYPES, VIEW_KCORE, VIEWS };
long look_at(enum view view, int block);
/* trace.c: the kernel's function tracer */
/* Calls of the roots are traced, and in them calls of the functions; both lists end with NULL. */
void trace_begin(const char *const *roots, const char *const *functions);
/* What was traced before is forgotten. */
void trace_on(void);
void trace_off(void);
/* To the host: what it was, and in which order by whom */
void trace_print(const char *operation, const char *order);
void trace_end(void);

/* readers.c: look at a random page of a block, by all files that show such; how many words came */
long look_at_block(int block);
/* Whether a physical address is in one of kcore's segments, which are made of System RAM */
bool kcore_has(uint64_t physical);
/* Whether it has a struct page, of online memory */
bool has_struct_page(uint64_t physical);
/* Whether that has the mark of memory failure */
bool page_is_broken(uint64_t physical);
/* Takes a page out of use, "soft" or "hard" */
int page_offline(const char *how, uint64_t physical);

/* kmemleak.c: the kernel's leak detector, where it has one */
bool kmemleak_there(void);
/* Whether it has not been switched off on the command line: then it is to be there */
bool kmemleak_wanted(void);
/* What it has found is not told again. */
void kmemleak_forget(void);
/* How many allocations are lost since then; they are printed as diagnostics. */
int kmemleak_leaks(void);

/* failures.c: allocations that are made to fail, one at a time, on kernels that can do that */
bool failures_possible(void);
void failures_configure(void);
/* Which of them count */
enum failures_place {
	FAILURES_ANYWHERE,
	/* on behalf of the module, which is loaded */
	FAILURES_IN_TWOSTAGE,
	/* when a module is initialised */
	FAILURES_IN_INITIALISATION,
	/* before that, when its parameters are read */
	FAILURES_IN_PARAMETERS,
};
void failures_only_in(enum failures_place place);
/* The nth allocation of this process from now on fails; 0: none. */
void failures_begin(unsigned int nth);
/* Whether it has come to that; and none fails any more. */
bool failures_end(void);
enum failures_outcome {
	/* Nobody was there to allocate, and nothing has been tried. */
	FAILURES_NOT_ASKED,
	/* There were less allocations. */
	FAILURES_UNTOUCHED,
	FAILURES_FAILED,
};
/* The same in the kernel's workers, of whom one does what is to be tried. */
void failures_begin_in_workers(unsigned int nth);
enum failures_outcome failures_in_workers(unsigned int nth);
enum failures_outcome failures_end_in_workers(unsigned int nth);
/* How many of the words at a physical address are not zero, says kcore */
long kcore_words(uint64_t physical, long words);
bool readers_trip_over_huge_pages(void);

/* dimm.c: DIMMs that the host plugs */
/* On a node, or on none in particular if that is negative */
void dimm_plug(const char *name, uint64_t size, int node);
void dimm_unplug(const char *name);
/* Waits until the host has it back. */
bool dimm_gone(const char *name);
/* Once it is unplugged: the host forgets the memory behind it. */
void dimm_forget(const char *name);
/* Memory blocks of the system */
int count_blocks(void);
bool wait_for_blocks(int count);

/* disk.c: the path of a virtio disk with this serial number, "" if there is none */
const char *disk_of(const char *serial);

/* elf.c: what physical memory an ELF file has */
struct segment {
	uint64_t offset, start, size;
};
/* How many there are; no more than count */
int elf_segments(int fd, struct segment *segments, int count);
/* Of a physical range: how many bytes are in segments */
uint64_t elf_covered(const struct segment *segments, int count, uint64_t start, uint64_t size);

/* kexec.c: booting the next kernel from this one */
#define KEXEC_KERNEL "/tmp/kernel"
#define KEXEC_INITRD "/tmp/initrd"
#define KEXEC_OUTPUT "/tmp/kexec.out"
/* A number in the kernel's command line, NAME=NUMBER; 0 if it is not there */
long long boot_number(const char *name);
/* The files, as the host provides them */
bool kexec_fetch(void);
/* By kexec-tools, with more for the command line: their exit status */
int kexec_load(const char *how, const char *options, ...) __attribute__((format(printf, 2, 3)));

/* memory.c: memory in use, with data that is checked */
struct memory {
	uint64_t *words;
	size_t size;
	uint64_t seed;
};
/* From which node what this process touches from now on is to come, as long as that node has some; -1: as ever */
bool memory_prefer(int node);
/* From this node and no other; page tables and the like count too */
bool memory_bind(int node);
bool memory_fill(struct memory *memory, size_t size, uint64_t seed);
/* The same in two steps; flags as mmap() takes them, advice as madvise() does, or 0 */
bool memory_map(struct memory *memory, size_t size, int flags, int advice);
void memory_write(struct memory *memory, uint64_t seed);
/* First word that is not what was written, or -1 */
ssize_t memory_check(const struct memory *memory);
/* Bytes in pages that are not what was written */
uint64_t memory_lost(const struct memory *memory);
/* The physical address of its page at an offset, 0 if there is none */
uint64_t memory_address(const struct memory *memory, size_t offset);
/* Bytes of it that lie in a physical range */
uint64_t memory_inside(const struct memory *memory, uint64_t start, uint64_t size);
void memory_free(struct memory *memory);
/* Slabs that nobody uses are given back, and what KASAN has kept of those that were freed. */
void memory_shrink_slabs(void);
/*
 * Page tables, which cannot be moved: a process that has many of them on a node (its memory policy counts for
 * them too), as long as it lives. On the kernel of make check-debug, the pages of pipes.
 */
pid_t memory_page_tables(int node);
/* A page of it in a physical range that cannot be moved, since it is in a pipe: as if a device were at it */
struct pin {
	int pipe[2];
};
bool memory_pin(const struct memory *memory, struct pin *pin, uint64_t start, uint64_t size);
void memory_unpin(struct pin *pin);

#endif /* HARNESS_H */
