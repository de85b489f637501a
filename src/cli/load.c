// SPDX-License-Identifier: GPL-2.0-only
/*
 * twostage load, twostage unload
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "commands.h"
#include "errors.h"
#include "memory_or_die.h"
#include "module.h"
#include "regions.h"
#include "sysfs.h"

static void print_load_help(void)
{
	printf("Usage: twostage load [FILE] [PARAMETER=VALUE]...\n\n"
	       "Load the kernel module from FILE (a twostage.ko). Without FILE, load the module that is installed for\n"
	       "the running kernel in /lib/modules, with its options from modprobe.d.\n\n"
	       "Parameters:\n"
	       "  region=START:SIZE[:NODE]  add a region at load; may be repeated\n"
	       "  ...                       for other parameters, see modinfo twostage\n\n"
	       "Options:\n"
	       "  -h, --help                display this help\n\n"
	       "Exit status: 0 if the module is loaded, 1 if it is not, 2 if the command line was wrong.\n");
}

static void print_unload_help(void)
{
	printf("Usage: twostage unload\n\n"
	       "Unload the kernel module. All regions must be removed first.\n\n"
	       "Options:\n"
	       "  -h, --help   display this help\n\n"
	       "Exit status: 0 if the module is no longer loaded, 1 if it still is, 2 if the command line was\n"
	       "wrong.\n");
}

/* load and unload have no option but --help. */
static int parse_help(int argc, char **argv, const char *command, void (*print_help)(void), int *status)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};

	switch (getopt_long(argc, argv, "h", options, NULL)) {
	case -1:
		return 0;
	case 'h':
		print_help();
		*status = EXIT_SUCCESS;
		return 1;
	default:
		*status = getopt_error(command);
		return 1;
	}
}

/* The parameters as one text, separated by blanks, as the kernel takes them */
static char *join_parameters(char *const *words, int count)
{
	size_t length = 1;
	char *joined;
	int i;

	for (i = 0; i < count; i++)
		length += strlen(words[i]) + 1;
	joined = realloc_or_die(NULL, length, 1);
	joined[0] = '\0';
	for (i = 0; i < count; i++) {
		if (i)
			strcat(joined, " ");
		strcat(joined, words[i]);
	}
	return joined;
}

static int check_syntax(char *const *words, int count)
{
	int i;

	for (i = 0; i < count; i++) {
		size_t length = strcspn(words[i], "=");

		if (!length || !words[i][length] || strpbrk(words[i], " \t\n\""))
			return usage_error("load", "\"%s\" is not of the form PARAMETER=VALUE", words[i]);
	}
	return EXIT_SUCCESS;
}

/* The kernel logs an unknown parameter, but loads the module all the same. */
static int check_parameters(struct kmod_module *module, char *const *words, int count)
{
	int i;

	for (i = 0; i < count; i++) {
		int length = strcspn(words[i], "=");

		if (!module_has_parameter(module, words[i], length)) {
			error("the module has no parameter \"%.*s\"", length, words[i]);
			hint("to list its parameters: modinfo -p %s", kmod_module_get_path(module));
			return EXIT_FAILURE;
		}
	}
	return EXIT_SUCCESS;
}

static void explain_load(struct kmod_module *module, int err)
{
	char vermagic[128];
	struct utsname kernel;

	if (err == EPERM && hint_modules_disabled())
		return;
	kernel_log_show();
	switch (err) {
	case ENOEXEC:
		uname(&kernel);
		if (!module_info(module, "vermagic", vermagic, sizeof(vermagic)) &&
		    strncmp(vermagic, kernel.release, strcspn(vermagic, " ")))
			hint("the module was built for kernel %.*s, but the running kernel is %s: build it for this kernel",
			     (int)strcspn(vermagic, " "), vermagic, kernel.release);
		else
			hint("the module does not fit the running kernel, %s: build it for this kernel", kernel.release);
		break;
	case ENOKEY:
	case EKEYREJECTED:
		hint("this kernel accepts only modules that are signed with a key that it knows (Secure Boot, or module.sig_enforce): sign the module, as DKMS does, and enroll the key");
		break;
	case EEXIST:
		hint("the module is already loaded; to show its state: twostage status");
		break;
	default:
		hint_by_errno(err);
		break;
	}
}

static int load(struct kmod_ctx *ctx, const char *file, char *const *parameters, int count)
{
	struct kmod_module *module;
	char version[32], *joined;
	int status, ret;

	ret = module_find(ctx, file, &module);
	if (ret)
		return EXIT_FAILURE;
	status = check_parameters(module, parameters, count);
	if (status)
		goto unref;

	joined = join_parameters(parameters, count);
	kernel_log_mark();
	if (file)
		ret = kmod_module_insert_module(module, 0, joined);
	else
		ret = kmod_module_probe_insert_module(module, KMOD_PROBE_FAIL_ON_LOADED, joined, NULL,
						      NULL, NULL);
	free(joined);
	if (ret < 0) {
		error("cannot load %s: %s", kmod_module_get_path(module), strerror(-ret));
		explain_load(module, -ret);
		status = EXIT_FAILURE;
		goto unref;
	}
	if (module_info(module, "version", version, sizeof(version)))
		snprintf(version, sizeof(version), "?");
	printf("loaded twostage %s from %s\n", version, kmod_module_get_path(module));

unref:
	kmod_module_unref(module);
	return status;
}

static int refuse_sysroot(void)
{
	if (!sysroot()[0])
		return 0;
	error("TWOSTAGE_SYSROOT is set, but modules are loaded into and unloaded from the running kernel: unset it");
	return EXIT_FAILURE;
}

/**
 * command_load() - load the module
 */
int command_load(int argc, char **argv)
{
	const char *file = NULL;
	struct kmod_ctx *ctx;
	int status;

	if (parse_help(argc, argv, "load", print_load_help, &status))
		return status;
	argc -= optind;
	argv += optind;
	if (argc && !strchr(argv[0], '=')) {
		file = argv[0];
		argc--;
		argv++;
	}
	status = check_syntax(argv, argc);
	if (status)
		return status;
	if (refuse_sysroot())
		return EXIT_FAILURE;

	if (sysfs_exists("/sys/module/twostage")) {
		if (!file && !argc) {
			printf("twostage is already loaded\n");
			return EXIT_SUCCESS;
		}
		error("twostage is already loaded, so another file or other parameters have no effect");
		hint("to unload it first: twostage remove --all && twostage unload");
		return EXIT_FAILURE;
	}

	ctx = module_context();
	if (!ctx)
		return EXIT_FAILURE;
	status = load(ctx, file, argv, argc);
	kmod_unref(ctx);
	return status;
}

/* Regions, and modules that depend on it, hold references to the module. */
static void explain_unload(struct kmod_module *module, int err)
{
	struct kmod_list *holders, *holder;
	struct regions regions;

	if (err == EPERM && hint_modules_disabled())
		return;
	if (err != EWOULDBLOCK && err != EBUSY) {
		kernel_log_show();
		hint_by_errno(err);
		return;
	}

	if (!regions_read(&regions)) {
		size_t others = 0, i;

		for (i = 0; i < regions.count; i++)
			others += strcmp(regions.region[i].provider, "ram") != 0;
		if (others)
			hint("%zu region%s not of provider ram: eject the DIMM or unbind the driver (see twostage list)",
			     others, others == 1 ? " is" : "s are");
		if (regions.count > others)
			hint("there %s %zu region%s; to remove all regions: twostage remove --all",
			     regions.count == 1 ? "is" : "are", regions.count,
			     regions.count == 1 ? "" : "s");
		regions_free(&regions);
	}
	holders = kmod_module_get_holders(module);
	kmod_list_foreach(holder, holders) {
		struct kmod_module *user = kmod_module_get_module(holder);

		hint("the module %s uses twostage; to unload it: rmmod %s", kmod_module_get_name(user),
		     kmod_module_get_name(user));
		kmod_module_unref(user);
	}
	kmod_module_unref_list(holders);
}

/**
 * command_unload() - unload the module
 */
int command_unload(int argc, char **argv)
{
	struct kmod_module *module;
	struct kmod_ctx *ctx;
	int status, ret;

	if (parse_help(argc, argv, "unload", print_unload_help, &status))
		return status;
	if (optind < argc)
		return usage_error("unload", "unexpected argument \"%s\"", argv[optind]);
	if (refuse_sysroot())
		return EXIT_FAILURE;
	if (!sysfs_exists("/sys/module/twostage")) {
		printf("twostage is not loaded\n");
		return EXIT_SUCCESS;
	}

	ctx = module_context();
	if (!ctx)
		return EXIT_FAILURE;
	ret = kmod_module_new_from_name(ctx, "twostage", &module);
	if (ret) {
		error("cannot look up the module twostage: %s", strerror(-ret));
		status = EXIT_FAILURE;
		goto unref;
	}
	kernel_log_mark();
	ret = kmod_module_remove_module(module, 0);
	if (ret) {
		error("cannot unload twostage: %s",
		      ret == -EWOULDBLOCK ? "it is in use" : strerror(-ret));
		explain_unload(module, -ret);
		status = EXIT_FAILURE;
	} else {
		printf("unloaded twostage\n");
		status = EXIT_SUCCESS;
	}
	kmod_module_unref(module);
unref:
	kmod_unref(ctx);
	return status;
}
