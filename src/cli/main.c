// SPDX-License-Identifier: GPL-2.0-only
/*
 * twostage: show and change memory that is added in two stages
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "array_size.h"
#include "commands.h"
#include "errors.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{ "load",     command_load,     "load the kernel module" },
	{ "unload",   command_unload,   "unload the kernel module" },
	{ "discover", command_discover, "find RAM that the kernel does not use" },
	{ "add",      command_add,      "add a region of standby memory" },
	{ "remove",   command_remove,   "remove regions" },
	{ "list",     command_list,     "list regions" },
	{ "blocks",   command_blocks,   "list the memory blocks of regions" },
	{ "online",   command_online,   "set standby memory blocks online" },
	{ "offline",  command_offline,  "set memory blocks offline, back to standby" },
	{ "status",   command_status,   "show the module, its hooks, and the memory in each stage" },
};

static void print_help(void)
{
	size_t i;

	printf("Usage: twostage COMMAND [ARGUMENT]...\n\n"
	       "Add memory in two stages. Stage 1 creates only sections and memory blocks: the memory is standby.\n"
	       "Stage 2, when a memory block is set online, builds its memmap in the block itself: the block is\n"
	       "populated.\n\n"
	       "Commands:\n");
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].help);
	printf("\n"
	       "Options:\n"
	       "  -h, --help      display this help; after a command, the help of that command\n"
	       "  -V, --version   display the version\n\n"
	       "Exit status: 0 if all was done, 1 if nothing or only a part was done, 2 if the command line was\n"
	       "wrong.\n\n"
	       "For more details see twostage(8).\n");
}

static const struct command *find_command(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static int unknown(const char *what, const char *name)
{
	fprintf(stderr, "twostage: unknown %s \"%s\"\nTry 'twostage --help' for more information.\n",
		what, name);
	return EXIT_USAGE;
}

/* getopt starts its messages with argv[0]: make that "twostage COMMAND". */
static int run(const struct command *command, int argc, char **argv)
{
	char name[32];

	snprintf(name, sizeof(name), "twostage %s", command->name);
	argv[0] = name;
	return command->run(argc, argv);
}

static int run_help(const char *name)
{
	char help[] = "--help";
	char *argv[] = { NULL, help, NULL };
	const struct command *command = find_command(name);

	return command ? run(command, 2, argv) : unknown("command", name);
}

static int main_command(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		fprintf(stderr, "twostage: a command is needed\n"
			"Try 'twostage --help' for more information.\n");
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) {
		if (argc > 2)
			return run_help(argv[2]);
		print_help();
		return EXIT_SUCCESS;
	}
	if (!strcmp(argv[1], "-V") || !strcmp(argv[1], "--version")) {
		printf("twostage %s\n", VERSION);
		return EXIT_SUCCESS;
	}
	if (argv[1][0] == '-')
		return unknown("option", argv[1]);

	command = find_command(argv[1]);
	return command ? run(command, argc - 1, argv + 1) : unknown("command", argv[1]);
}

int main(int argc, char **argv)
{
	int status;

	setlocale(LC_CTYPE, "");
	status = main_command(argc, argv);

	/* Lost output, for example because of a full disk, is a failure. */
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "twostage: cannot write the output: %s\n", strerror(errno));
		return status ? status : EXIT_FAILURE;
	}
	return status;
}
