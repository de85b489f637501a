/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Wrapping functions of the running kernel
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_HOOK_H
#define _TWOSTAGE_HOOK_H

#include <linux/atomic.h>
#include <linux/ftrace.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/list.h>
#include <linux/types.h>

struct seq_file;

/* Number of arguments of a call that a hook's wanted() can look at */
#define HOOK_ARGUMENTS 4

/**
 * struct hook - one function that is wrapped
 * @symbol: name of the function
 * @wrapper: runs in place of the function, in its caller's context, with its
 *	prototype
 * @wanted: whether a call is to be redirected to @wrapper, decided from its
 *	first arguments. Runs with preemption disabled on every call of the
 *	function, so it takes no locks; on PREEMPT_RT spinlocks sleep, too. A
 *	call that is not wanted proceeds as if there were no hook.
 * @guard: wrapped by ftrace instead of by kprobe. Kprobes can be disarmed at
 *	run time; a guard cannot, and as long as it is there the kernel refuses
 *	to switch ftrace off. For functions that must not run while
 *	hooks_armed() is false, or whose calls must not be missed.
 * @without: for an optional hook, what the administrator has to know if it
 *	cannot be installed; NULL for a required one, which then fails the load
 */
struct hook {
	const char *symbol;
	void *wrapper;
	bool (*wanted)(const unsigned long *arguments);
	bool guard;
	const char *without;

	/* private: belongs to hook.c */
	bool installed;
	union {
		struct {
			struct kprobe kprobe;
			/* Address at which ftrace knows the function, or 0 */
			unsigned long claimed;
		};
		struct ftrace_ops ops;
	};
	atomic_long_t redirected;
};

/**
 * struct hook_table - the hooks of one file
 * @hooks: the rows
 * @count: number of the rows
 * @node: in the list of installed tables
 */
struct hook_table {
	struct hook *hooks;
	unsigned int count;
	struct list_head node;
};

#define HOOK_TABLE(_hooks) { .hooks = (_hooks), .count = ARRAY_SIZE(_hooks) }

int hooks_init(void);
void hooks_exit(void);
int hooks_install(struct hook_table *table);
void hooks_remove(struct hook_table *table);
bool hooks_armed(void);
void probe_remove(struct kprobe *kprobe, const char *function);
void hooks_show(struct seq_file *m);

#endif /* _TWOSTAGE_HOOK_H */
