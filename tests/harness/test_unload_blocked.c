// SPDX-License-Identifier: GPL-2.0-only
/*
 * An unload for which the kernel cannot remove a hook
 *
 * The kernel goes on calling the hook's code, so the module has to stay, and
 * the task that unloads it waits until the next boot. Here
 * unregister_ftrace_function() fails once, as it does after ftrace has shut
 * itself down.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

static void run(void)
{
	struct kmsg kmsg = kmsg_mark();
	pid_t pid;

	if (!ok(module_loaded("twostage") || module_load("twostage", NULL) == 0, "the module is loaded"))
		return;
	if (!ok(module_load("fault_test", "function=unregister_ftrace_function error=-19 count=1") == 0,
		"unregister_ftrace_function() is made to fail once"))
		return;
	pid = fork();
	if (!pid) {
		module_unload("twostage");
		_exit(0);
	}
	/* Before that is the error, as a number on some kernels. */
	ok(kmsg_wait(&kmsg, ": the module stays loaded, and this task waits, until the next boot", 20),
	   "an unload that cannot remove a hook logs what happens now");
	ok(wait_until(sleeps_in(pid, "[twostage]"), 20) && waitpid(pid, NULL, WNOHANG) == 0,
	   "an unload that cannot remove a hook waits");
	ok(module_loaded("twostage"), "the module stays loaded if a hook cannot be removed");
	ok(kmsg_lines(&kmsg, "cannot be removed (", NULL, 0) == 0, "only one hook is tried then");
	kmsg_close(&kmsg);
	/* The function behind this file is still hooked. */
	ok(*read_file(MEMORY "/memory%d/valid_zones", block_at(architecture.ram_start)) != '\0',
	   "a hooked function works while an unload waits");
}

GROUP(group_unload_blocked) = {
	.name = "unload-blocked",
	.title = "an unload for which a hook cannot be removed",
	.run = run,
	.stays = true,
};
