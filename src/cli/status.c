// SPDX-License-Identifier: GPL-2.0-only
/*
 * twostage status
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "daemon_status.h"
#include "errors.h"
#include "memory_or_die.h"
#include "module.h"
#include "regions.h"
#include "size.h"
#include "sysfs.h"
#include "table.h"
#include "zones.h"

#define HOOKS "/sys/kernel/debug/twostage/hooks"
#define MEMORY "/sys/devices/system/memory"
#define MEMORY_HOTPLUG "/sys/module/memory_hotplug/parameters"

/* sizeof(struct page) in the kernels that the module supports */
#define STRUCT_PAGE_SIZE 64

enum fact {
	FACT_MODULE, FACT_VERSION, FACT_INSTALLED, FACT_PARAMETERS, FACT_OPTIONS, FACT_HOOKS, FACT_ADOPT,
	FACT_REGIONS, FACT_STANDBY, FACT_ON_OOM, FACT_POPULATED, FACT_POISONED, FACT_MEMMAP, FACT_ORDINARY, FACT_STOCK,
	FACT_BLOCK_SIZE, FACT_AUTO_ONLINE, FACT_ONLINE_POLICY, FACT_MEMMAP_ON_MEMORY,
	FACT_KERNEL_ZONES, FACT_MOVABLE_ZONE, FACT_MOVABLE_RATIO, FACT_MOVABLE_LIMIT,
	FACT_DAEMON, FACT_DAEMON_LIMITS, FACT_DAEMON_LAST, FACT_DAEMON_NOW,
	FACT_DAEMON_NET, FACTS
};

static const struct column columns[] = {
	[FACT_MODULE]           = { "MODULE", COLUMN_TEXT, true, "loaded, or not loaded" },
	[FACT_VERSION]          = { "VERSION", COLUMN_TEXT, true, "version of the loaded module" },
	[FACT_INSTALLED]        = { "INSTALLED", COLUMN_TEXT, true, "file that \"twostage load\" loads" },
	[FACT_PARAMETERS]       = { "PARAMETERS", COLUMN_TEXT, true, "parameters of the loaded module that sysfs shows" },
	[FACT_OPTIONS]          = { "OPTIONS", COLUMN_TEXT, true, "parameters for \"twostage load\" from modprobe.d" },
	[FACT_HOOKS]            = { "HOOKS", COLUMN_TEXT, true, "armed, disarmed or unknown" },
	[FACT_ADOPT]            = { "ADOPT", COLUMN_BOOLEAN, true, "whether DIMMs that are plugged become regions" },
	[FACT_REGIONS]          = { "REGIONS", COLUMN_NUMBER, true, "number of regions" },
	[FACT_STANDBY]          = { "STANDBY", COLUMN_SIZE, true, "memory of regions in stage 1" },
	[FACT_ON_OOM]           = { "ON-OOM", COLUMN_SIZE, true, "such memory that comes online instead of an OOM kill" },
	[FACT_POPULATED]        = { "POPULATED", COLUMN_SIZE, true, "memory of regions in stage 2" },
	[FACT_POISONED]         = { "POISONED", COLUMN_SIZE, true, "memory of blocks with a hardware-poisoned page" },
	[FACT_MEMMAP]           = { "MEMMAP", COLUMN_SIZE, true, "memmap of regions that their own memory holds" },
	[FACT_ORDINARY]         = { "ORDINARY", COLUMN_SIZE, true, "memmap of regions that ordinary memory holds" },
	[FACT_STOCK]            = { "STOCK", COLUMN_SIZE, true, "memmap of regions if they were added in one go" },
	[FACT_BLOCK_SIZE]       = { "BLOCK-SIZE", COLUMN_SIZE, true, "memory block size" },
	[FACT_AUTO_ONLINE]      = { "AUTO-ONLINE", COLUMN_TEXT, true, "the kernel's auto-online policy for added memory" },
	[FACT_ONLINE_POLICY]    = { "ONLINE-POLICY", COLUMN_TEXT, true, "memory_hotplug.online_policy" },
	[FACT_MEMMAP_ON_MEMORY] = { "MEMMAP-ON-MEMORY", COLUMN_TEXT, true, "memory_hotplug.memmap_on_memory" },
	[FACT_KERNEL_ZONES]     = { "KERNEL-ZONES", COLUMN_SIZE, true, "memory that the kernel can use for its own data" },
	[FACT_MOVABLE_ZONE]     = { "MOVABLE-ZONE", COLUMN_SIZE, true, "memory in zone Movable" },
	[FACT_MOVABLE_RATIO]    = { "MOVABLE-RATIO", COLUMN_NUMBER, true, "MOVABLE-ZONE in percent of KERNEL-ZONES" },
	[FACT_MOVABLE_LIMIT]    = { "MOVABLE-LIMIT", COLUMN_NUMBER, true, "MOVABLE-RATIO above which status warns" },
	[FACT_DAEMON]           = { "DAEMON", COLUMN_TEXT, true, "whether twostaged runs" },
	[FACT_DAEMON_LIMITS]    = { "DAEMON-LIMITS", COLUMN_TEXT, true, "its limits" },
	[FACT_DAEMON_LAST]      = { "DAEMON-LAST", COLUMN_TEXT, true, "its last action" },
	[FACT_DAEMON_NOW]       = { "DAEMON-NOW", COLUMN_TEXT, true, "what it does at present, or why nothing" },
	[FACT_DAEMON_NET]       = { "DAEMON-NET", COLUMN_TEXT, true, "online_on_oom, and the blocks that came online by it" },
};

/* Output for users is one line per fact: a table would be too wide. */
static const char *const labels[FACTS] = {
	[FACT_MODULE]           = "Module",
	[FACT_VERSION]          = "Module version",
	[FACT_INSTALLED]        = "Installed module",
	[FACT_PARAMETERS]       = "Module parameters",
	[FACT_OPTIONS]          = "Options for load",
	[FACT_HOOKS]            = "Hooks",
	[FACT_ADOPT]            = "Adopt DIMMs",
	[FACT_REGIONS]          = "Regions",
	[FACT_STANDBY]          = "Standby memory",
	[FACT_ON_OOM]           = "Standby memory for an OOM",
	[FACT_POPULATED]        = "Populated memory",
	[FACT_POISONED]         = "Poisoned memory",
	[FACT_MEMMAP]           = "Memmap in the memory itself",
	[FACT_ORDINARY]         = "Memmap in ordinary memory",
	[FACT_STOCK]            = "Memmap if added in one go",
	[FACT_BLOCK_SIZE]       = "Memory block size",
	[FACT_AUTO_ONLINE]      = "Auto-online policy",
	[FACT_ONLINE_POLICY]    = "Zone policy",
	[FACT_MEMMAP_ON_MEMORY] = "Kernel's own memmap_on_memory",
	[FACT_KERNEL_ZONES]     = "Memory in kernel zones",
	[FACT_MOVABLE_ZONE]     = "Memory in zone Movable",
	[FACT_MOVABLE_RATIO]    = "Movable to kernel zones",
	[FACT_MOVABLE_LIMIT]    = "Movable to kernel zones, limit",
	[FACT_DAEMON]           = "Daemon",
	[FACT_DAEMON_LIMITS]    = "Daemon's limits",
	[FACT_DAEMON_LAST]      = "Daemon's last action",
	[FACT_DAEMON_NOW]       = "Daemon at present",
	[FACT_DAEMON_NET]       = "Daemon's safety net",
};

enum hook_column { HOOK_FUNCTION, HOOK_STATE, HOOK_REDIRECTED, HOOK_MISSED, HOOK_COLUMNS };

static const struct column hook_columns[] = {
	[HOOK_FUNCTION]   = { "FUNCTION", COLUMN_TEXT, true, "wrapped kernel function" },
	[HOOK_STATE]      = { "STATE", COLUMN_TEXT, true, "armed, disarmed or missing" },
	[HOOK_REDIRECTED] = { "REDIRECTED", COLUMN_NUMBER, true, "calls that were redirected to the module" },
	[HOOK_MISSED]     = { "MISSED", COLUMN_NUMBER, true, "calls that the probe missed" },
};

/**
 * struct status - the facts to print
 * @value: text of each fact; NULL if the fact is unknown or does not apply
 * @options: output options, which select the format of sizes
 * @healthy: whether the module is loaded and its hooks are not known to be
 *	disarmed
 * @advice: hint to print, or NULL
 * @zones: sizes of the zones; all 0 if they are unknown
 */
struct status {
	char *value[FACTS];
	const struct table_options *options;
	bool healthy;
	const char *advice;
	struct zones zones;
};

static void print_help(void)
{
	printf("Usage: twostage status [OPTION]...\n"
	       "       twostage status --hooks [OPTION]...\n\n"
	       "Show the module, its hooks, the memory of regions in each stage, the size of its memmap, the kernel's\n"
	       "settings for memory hotplug, the memory in kernel zones and in zone Movable, and the daemon twostaged.\n"
	       "Warn if too much memory is in zone Movable.\n\n"
	       "Options:\n"
	       "      --hooks            list the wrapped kernel functions\n"
	       TABLE_HELP
	       "  -h, --help             display this help\n");
	table_help(columns, FACTS);
	printf("\nWith --hooks:");
	table_help(hook_columns, HOOK_COLUMNS);
	printf("\nExit status: 0 if the module is loaded and its hooks are not known to be disarmed, 1 if not, 2 if\n"
	       "the command line was wrong.\n");
}

static void __attribute__((format(printf, 3, 4))) set(struct status *status, enum fact fact,
						     const char *format, ...)
{
	va_list args;

	free(status->value[fact]);
	va_start(args, format);
	if (vasprintf(&status->value[fact], format, args) < 0)
		out_of_memory();
	va_end(args);
}

static void set_size(struct status *status, enum fact fact, uint64_t bytes)
{
	char text[SIZE_TEXT];

	if (status->options->bytes)
		set(status, fact, "%" PRIu64, bytes);
	else
		set(status, fact, "%s", format_size(text, bytes));
}

/* Set a fact to the first line of a file, if the file exists. */
static void set_from_file(struct status *status, enum fact fact, const char *path)
{
	char text[128];

	if (!sysfs_read(text, sizeof(text), "%s", path))
		set(status, fact, "%s", text);
}

static void find_installed(struct status *status)
{
	struct kmod_module *module;
	struct kmod_ctx *ctx;
	char version[32];

	ctx = module_context();
	if (!ctx)
		return;
	if (!module_find_installed(ctx, &module)) {
		if (kmod_module_get_options(module))
			set(status, FACT_OPTIONS, "%s", kmod_module_get_options(module));
		if (module_info(module, "version", version, sizeof(version)))
			set(status, FACT_INSTALLED, "%s", kmod_module_get_path(module));
		else
			set(status, FACT_INSTALLED, "%s, version %s", kmod_module_get_path(module),
			    version);
		kmod_module_unref(module);
	}
	kmod_unref(ctx);
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/*
 * sysfs shows only some parameters: not region=, for example, which has an
 * effect only at load.
 */
static void find_parameters(struct status *status)
{
	static const char path[] = "/sys/module/twostage/parameters";
	char **found = NULL;
	struct dirent *entry;
	size_t count = 0, i;
	char value[128];
	DIR *dir;

	dir = sysroot_opendir(path);
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.' ||
		    sysfs_read(value, sizeof(value), "%s/%s", path, entry->d_name))
			continue;
		found = realloc_or_die(found, count + 1, sizeof(*found));
		if (asprintf(&found[count++], "%s=%s", entry->d_name, value) < 0)
			out_of_memory();
	}
	closedir(dir);

	if (count)
		qsort(found, count, sizeof(*found), compare_texts);
	for (i = 0; i < count; i++) {
		char *before = status->value[FACT_PARAMETERS];

		status->value[FACT_PARAMETERS] = NULL;
		set(status, FACT_PARAMETERS, "%s%s%s", before ? before : "", before ? " " : "",
		    found[i]);
		free(before);
		free(found[i]);
	}
	free(found);
}

/* "online_pages   armed redirected=3 missed=0" */
static bool parse_hook(const char *line, char function[64], char state[16], long long *redirected,
		       unsigned long long *missed)
{
	return sscanf(line, "%63s %15s redirected=%lld missed=%llu", function, state, redirected,
		      missed) == 4;
}

/*
 * "valid_zones_show   missing: the consequence". Such a hook is optional, and
 * this kernel lacks the function.
 */
static bool parse_missing(const char *line, char function[64])
{
	char state[16];

	return sscanf(line, "%63s %15s", function, state) == 2 && !strcmp(state, "missing:");
}

/* If it returns NULL, @why is the reason, and @advice a hint or NULL. */
static FILE *open_hooks(const char **why, const char **advice)
{
	FILE *hooks = sysroot_fopen(HOOKS);
	const int err = errno;

	if (hooks)
		return hooks;
	if (err == EACCES || err == EPERM) {
		*why = "only root can read debugfs";
		*advice = "try again with sudo";
	} else if (!sysfs_exists("/sys/kernel/debug/kprobes")) {
		*why = "debugfs is not mounted";
		*advice = "to mount debugfs: mount -t debugfs debugfs /sys/kernel/debug";
	} else {
		*why = strerror(err);
		*advice = NULL;
	}
	return NULL;
}

static void find_hooks(struct status *status)
{
	unsigned int total = 0, armed = 0, missing = 0;
	unsigned long long missed;
	char function[64], state[16];
	long long redirected;
	char line[256];
	const char *why;
	FILE *hooks;

	hooks = open_hooks(&why, &status->advice);
	if (!hooks) {
		set(status, FACT_HOOKS, "unknown: %s", why);
		return;
	}
	while (fgets(line, sizeof(line), hooks)) {
		missing += parse_missing(line, function);
		if (!parse_hook(line, function, state, &redirected, &missed))
			continue;
		total++;
		if (!strcmp(state, "armed"))
			armed++;
	}
	fclose(hooks);

	if (!total) {
		set(status, FACT_HOOKS, "unknown: " HOOKS " has an unknown format");
	} else if (armed == total && missing) {
		set(status, FACT_HOOKS, "armed; %u missing on this kernel: twostage status --hooks",
		    missing);
	} else if (armed == total) {
		set(status, FACT_HOOKS, "armed");
	} else {
		set(status, FACT_HOOKS, "disarmed");
		status->healthy = false;
		status->advice = "while kprobes are disarmed, memory blocks of regions can be set neither online nor "
				 "offline; to arm them: echo 1 > /sys/kernel/debug/kprobes/enabled";
	}
}

static int find_memory(struct status *status)
{
	uint64_t size = 0, on_oom = 0, populated = 0, poisoned = 0, self_hosted = 0, elsewhere = 0, block_size;
	const uint64_t page_size = sysconf(_SC_PAGESIZE);
	struct regions regions;
	size_t i;

	if (memory_block_size(&block_size) || regions_read(&regions))
		return EXIT_FAILURE;
	for (i = 0; i < regions.count; i++) {
		const struct region *region = &regions.region[i];
		uint64_t online = region->online * block_size, kept = region->poisoned * block_size;

		size += region->size;
		if (region->online_on_oom)
			on_oom += region->size - online - kept;
		populated += online;
		poisoned += kept;
		/* memmap_on_memory cannot change while a block is online. */
		self_hosted += region->memmap_pages * page_size;
		if (!region->memmap_on_memory)
			elsewhere += (online + kept) / page_size * STRUCT_PAGE_SIZE;
	}
	set(status, FACT_REGIONS, "%zu", regions.count);
	set_size(status, FACT_STANDBY, size - populated - poisoned);
	set_size(status, FACT_ON_OOM, on_oom);
	set_size(status, FACT_POPULATED, populated);
	set_size(status, FACT_POISONED, poisoned);
	set_size(status, FACT_MEMMAP, self_hosted);
	set_size(status, FACT_ORDINARY, elsewhere);
	set_size(status, FACT_STOCK, size / page_size * STRUCT_PAGE_SIZE);
	regions_free(&regions);
	return EXIT_SUCCESS;
}

static void find_kernel(struct status *status)
{
	uint64_t block_size;

	if (!sysfs_read_number(&block_size, 16, MEMORY "/block_size_bytes"))
		set_size(status, FACT_BLOCK_SIZE, block_size);
	set_from_file(status, FACT_AUTO_ONLINE, MEMORY "/auto_online_blocks");
	set_from_file(status, FACT_ONLINE_POLICY, MEMORY_HOTPLUG "/online_policy");
	set_from_file(status, FACT_MEMMAP_ON_MEMORY, MEMORY_HOTPLUG "/memmap_on_memory");
}

static void find_zones(struct status *status)
{
	if (zones_read(&status->zones)) {
		status->zones = (struct zones){ 0 };
		return;
	}
	set_size(status, FACT_KERNEL_ZONES, status->zones.kernel);
	set_size(status, FACT_MOVABLE_ZONE, status->zones.movable);
	set(status, FACT_MOVABLE_RATIO, "%" PRIu64, zones_ratio(&status->zones));
	set(status, FACT_MOVABLE_LIMIT, "%" PRIu64, status->zones.limit);
}

static void find_daemon(struct status *status)
{
	struct daemon_status daemon;

	if (!daemon_status_read(&daemon))
		return;
	if (!daemon.pid) {
		set(status, FACT_DAEMON, "not running");
	} else {
		set(status, FACT_DAEMON, "running, PID %d", daemon.pid);
		set(status, FACT_DAEMON_LIMITS, "%s", daemon.limits);
		set(status, FACT_DAEMON_NOW, "%s", daemon.now);
		set(status, FACT_DAEMON_NET, "%s", daemon.net);
	}
	if (daemon.last[0])
		set(status, FACT_DAEMON_LAST, "%s", daemon.last);
}

static int find(struct status *status)
{
	char adopt[16];

	find_kernel(status);
	find_zones(status);
	find_daemon(status);
	find_installed(status);
	if (!sysfs_exists("/sys/bus/twostage")) {
		set(status, FACT_MODULE, "not loaded");
		status->advice = status->value[FACT_INSTALLED] ? "to load the module: twostage load" :
				 "to load the module: twostage load FILE";
		return EXIT_SUCCESS;
	}

	status->healthy = true;
	set(status, FACT_MODULE, "loaded");
	set_from_file(status, FACT_VERSION, "/sys/module/twostage/version");
	if (!sysfs_read(adopt, sizeof(adopt), "/sys/bus/twostage/adopt"))
		set(status, FACT_ADOPT, "%s", strcmp(adopt, "0") ? "yes" : "no");
	find_parameters(status);
	find_hooks(status);
	return find_memory(status);
}

static void print_facts(const struct status *status)
{
	int i;

	for (i = 0; i < FACTS; i++) {
		if (!status->value[i])
			continue;
		printf("%s:%*s%s", labels[i], (int)(31 - strlen(labels[i])), "", status->value[i]);
		if (i == FACT_STOCK)
			printf(" of ordinary memory, before any block is online");
		if (i == FACT_MOVABLE_RATIO || i == FACT_MOVABLE_LIMIT)
			printf(" %%");
		putchar('\n');
	}
}

static int print_table(const struct status *status, struct table *table)
{
	int i;

	table_line(table);
	for (i = 0; i < FACTS; i++)
		if (status->value[i])
			table_set(table, i, "%s", status->value[i]);
	return table_end(table);
}

static int show_status(const struct table_options *options)
{
	const bool as_table = options->json || options->raw || options->output ||
			      options->output_all || options->noheadings;
	struct status status = { .options = options };
	struct table table;
	int ret, i;

	if (as_table) {
		ret = table_begin(&table, "status", "status", columns, FACTS, options);
		if (ret)
			return ret;
	}
	ret = find(&status);
	if (!ret) {
		if (as_table)
			ret = print_table(&status, &table);
		else
			print_facts(&status);
		if (status.advice)
			hint("%s", status.advice);
		if (status.zones.kernel && status.healthy)
			zones_warn(&status.zones);
	} else if (as_table) {
		table_drop(&table);
	}
	for (i = 0; i < FACTS; i++)
		free(status.value[i]);
	if (!ret && !status.healthy)
		ret = EXIT_FAILURE;
	return ret;
}

static int show_hooks(const struct table_options *options)
{
	const char *why, *advice;
	unsigned long long missed;
	char function[64], state[16];
	long long redirected;
	struct table table;
	bool armed = true;
	char line[256];
	FILE *hooks;
	int ret;

	ret = table_begin(&table, "status", "hooks", hook_columns, HOOK_COLUMNS, options);
	if (ret)
		return ret;
	if (module_missing()) {
		table_drop(&table);
		return EXIT_FAILURE;
	}
	hooks = open_hooks(&why, &advice);
	if (!hooks) {
		error("cannot read the hooks: %s", why);
		if (advice)
			hint("%s", advice);
		table_drop(&table);
		return EXIT_FAILURE;
	}

	while (fgets(line, sizeof(line), hooks)) {
		if (parse_missing(line, function)) {
			table_line(&table);
			table_set(&table, HOOK_FUNCTION, "%s", function);
			table_set(&table, HOOK_STATE, "missing");
		}
		if (!parse_hook(line, function, state, &redirected, &missed))
			continue;
		armed = armed && !strcmp(state, "armed");
		table_line(&table);
		table_set(&table, HOOK_FUNCTION, "%s", function);
		table_set(&table, HOOK_STATE, "%s", state);
		table_set(&table, HOOK_REDIRECTED, "%lld", redirected);
		table_set(&table, HOOK_MISSED, "%llu", missed);
	}
	fclose(hooks);
	ret = table_end(&table);
	if (!armed)
		hint("kprobes are disarmed; to arm them: echo 1 > /sys/kernel/debug/kprobes/enabled");
	return !ret && !armed ? EXIT_FAILURE : ret;
}

/**
 * command_status() - show the state of the module and of its memory
 */
int command_status(int argc, char **argv)
{
	enum { OPTION_HOOKS = OPTION_OUTPUT_ALL + 1 };
	static const struct option options[] = {
		{ "hooks", no_argument, NULL, OPTION_HOOKS },
		TABLE_LONG_OPTIONS,
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	struct table_options table_options = { 0 };
	bool hooks = false;
	int option;

	while ((option = getopt_long(argc, argv, TABLE_SHORT_OPTIONS "h", options, NULL)) != -1) {
		if (option == 'h') {
			print_help();
			return EXIT_SUCCESS;
		}
		if (option == OPTION_HOOKS)
			hooks = true;
		else if (!table_option(option, &table_options))
			return getopt_error("status");
	}
	if (optind < argc)
		return usage_error("status", "unexpected argument \"%s\"", argv[optind]);
	return hooks ? show_hooks(&table_options) : show_status(&table_options);
}
