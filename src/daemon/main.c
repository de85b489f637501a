// SPDX-License-Identifier: GPL-2.0-only
/*
 * twostaged: standby memory comes online before it is missed, and goes back
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cli/array_size.h"
#include "../cli/errors.h"
#include "../cli/sysfs.h"
#include "config.h"
#include "daemon.h"
#include "journal.h"
#include "model.h"

enum { OPTION_CONFIG = 256, OPTION_DRY_RUN, OPTION_RECORD, OPTION_SIMULATE, OPTION_KEY };

/* What the command line says about the configuration, for each reload */
static const char *file;
static const char *overrides[CONFIG_KEYS];

static void print_help(void)
{
	int key;

	printf("Usage: twostaged [OPTION]...\n"
	       "       twostaged --simulate TRACE [OPTION]...\n\n"
	       "Set standby memory of twostage online before it is missed, and offline again when it is not needed.\n"
	       "Stays in the foreground. SIGHUP reads the configuration again, SIGTERM leaves memory as it is.\n\n"
	       "Options:\n"
	       "      --config FILE          the configuration, instead of\n"
	       "                             " CONFIG_FILE "; FILE.d/*.conf add to it\n"
	       "      --dry-run              print what would be done, and do nothing\n"
	       "      --record               print measurements each second, as a trace\n"
	       "      --simulate TRACE       print what would have been done; \"-\": standard input\n"
	       "  -h, --help                 display this help\n"
	       "  -V, --version              display the version\n\n"
	       "Keys of the configuration, each of which is an option, too:\n");
	for (key = 0; key < CONFIG_KEYS; key++) {
		char option[64];

		snprintf(option, sizeof(option), "--%s %s", config_keys[key].name, config_keys[key].argument);
		printf("      %-22s %s (default: %s)\n", option, config_keys[key].help, config_keys[key].default_text);
	}
	printf("\nExit status: 0 if it was ended by SIGTERM or SIGINT, 1 if it failed, 2 if the command line or the\n"
	       "configuration is wrong.\n\n"
	       "For more details see twostaged(8).\n");
}

static int load(struct config *config, char error[CONFIG_ERROR])
{
	char path[256], why[CONFIG_ERROR];
	int ret, key;

	config_defaults(config);
	snprintf(path, sizeof(path), "%s%s", file ? "" : sysroot(), file ? file : CONFIG_FILE);
	ret = config_read(config, path, file != NULL, error);
	if (ret)
		return ret;
	for (key = 0; key < CONFIG_KEYS; key++) {
		if (overrides[key] && config_set(config, config_keys[key].name, overrides[key], why)) {
			snprintf(error, CONFIG_ERROR, "--%.480s", why);
			return -EINVAL;
		}
	}
	return config_check(config, error);
}

/* The options, of which most are the keys of the configuration */
static const struct option *all_options(void)
{
	static const struct option others[] = {
		{ "config", required_argument, NULL, OPTION_CONFIG },
		{ "dry-run", no_argument, NULL, OPTION_DRY_RUN },
		{ "record", no_argument, NULL, OPTION_RECORD },
		{ "simulate", required_argument, NULL, OPTION_SIMULATE },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
	};
	static struct option options[CONFIG_KEYS + ARRAY_SIZE(others) + 1];
	int key;

	for (key = 0; key < CONFIG_KEYS; key++)
		options[key] = (struct option){ config_keys[key].name, required_argument, NULL, OPTION_KEY + key };
	memcpy(options + CONFIG_KEYS, others, sizeof(others));
	return options;
}

static int usage(void)
{
	fprintf(stderr, "Try 'twostaged --help' for more information.\n");
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	static char name[] = "twostaged";
	struct daemon_options options = { .load = load };
	const char *trace = NULL;
	static struct config config;
	char error[CONFIG_ERROR];
	int option;

	/* getopt starts its messages with argv[0]. */
	argv[0] = name;
	while ((option = getopt_long(argc, argv, "hV", all_options(), NULL)) != -1) {
		if (option == 'h') {
			print_help();
			return EXIT_SUCCESS;
		} else if (option == 'V') {
			printf("twostaged %s\n", VERSION);
			return EXIT_SUCCESS;
		} else if (option == OPTION_CONFIG) {
			file = optarg;
		} else if (option == OPTION_DRY_RUN) {
			options.dry_run = true;
		} else if (option == OPTION_RECORD) {
			options.record = true;
		} else if (option == OPTION_SIMULATE) {
			trace = optarg;
		} else if (option >= OPTION_KEY) {
			overrides[option - OPTION_KEY] = optarg;
		} else {
			return usage();
		}
	}
	if (optind < argc) {
		fprintf(stderr, "twostaged: unexpected argument \"%s\"\n", argv[optind]);
		return usage();
	}
	journal_open();
	if (load(&config, error)) {
		say(LOG_ERR, "%s", error);
		return EXIT_USAGE;
	}
	if (trace) {
		/* The speed of the machine that simulates does not matter. */
		config.limits.speed = 1 << 20;
		return simulate(&config, trace) ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	return daemon_run(&options, &config) ? EXIT_FAILURE : EXIT_SUCCESS;
}
