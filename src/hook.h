/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Wrapping a function of the running kernel
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef _TWOSTAGE_HOOK_H
#define _TWOSTAGE_HOOK_H

#include <linux/atomic.h>
#include <linux/ftrace.h>
#include <linux/kprobes.h>
#include <linux/types.h>

struct seq_file;

/**
 * struct hook - one function that is wrapped
 * @symbols: names that the function has in different kernels, the first one found is taken;
 *	NULL-terminated
 * @wrapper: runs in place of the function, in its caller's context, with its prototype
 * @wanted: whether a call is to be redirected to @wrapper, told from its arguments
 *	(regs_get_kernel_argument()). Runs with preemption disabled on every call of the function, so
 *	it takes no locks, not even spinlocks: on PREEMPT_RT they sleep. A call that is not wanted
 *	proceeds as if there were no hook.
 *
 * The rest is filled in by hooks_install().
 */
struct hook {
	const char *const *symbols;
	void *wrapper;
	bool (*wanted)(struct pt_regs *regs);

	struct kprobe kprobe;
	/* Where ftrace knows of it */
	unsigned long claimed;
	atomic_long_t redirected;
};

/* A row of a table of hooks; the names are given as a list of strings. */
#define HOOK(_wrapper, _wanted, ...) {						\
	.symbols = (const char *const []){ __VA_ARGS__, NULL },			\
	.wrapper = (_wrapper),							\
	.wanted = (_wanted),							\
}

int hooks_init(void);
void hooks_exit(void);
int hooks_install(struct hook *hooks, unsigned int count);
void hooks_remove(struct hook *hooks, unsigned int count);
bool hooks_armed(void);
void hooks_show(struct seq_file *m, struct hook *hooks, unsigned int count);

/**
 * struct guard - one function that is watched independently of kprobes
 * @symbol: name of the function
 * @wrapper: as in &struct hook
 * @wanted: as in &struct hook
 *
 * Kprobes can be switched off at run time; a guard cannot, and as long as it is there the kernel
 * refuses to switch ftrace off. It is for functions that must not run when hooks_armed() says no, or
 * must not be missed.
 */
struct guard {
	const char *symbol;
	void *wrapper;
	bool (*wanted)(struct pt_regs *regs);

	struct ftrace_ops ops;
	unsigned long address;
	atomic_long_t redirected;
};

int guards_install(struct guard *guards, unsigned int count);
void guards_remove(struct guard *guards, unsigned int count);
void guards_show(struct seq_file *m, const struct guard *guards, unsigned int count);

#endif /* _TWOSTAGE_HOOK_H */
