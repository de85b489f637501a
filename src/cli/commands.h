/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The subcommands. Each takes its name and arguments, as main() does, and
 * returns an exit status.
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef TWOSTAGE_COMMANDS_H
#define TWOSTAGE_COMMANDS_H

int command_load(int argc, char **argv);
int command_unload(int argc, char **argv);
int command_add(int argc, char **argv);
int command_remove(int argc, char **argv);
int command_list(int argc, char **argv);
int command_blocks(int argc, char **argv);
int command_online(int argc, char **argv);
int command_offline(int argc, char **argv);
int command_discover(int argc, char **argv);
int command_status(int argc, char **argv);

#endif /* TWOSTAGE_COMMANDS_H */
