// SPDX-License-Identifier: GPL-2.0-only
/*
 * Wrapping functions of the running kernel
 *
 * A kprobe (of a guard: an ftrace callback) on the function's entry looks at
 * the arguments of each call. For a call that is wanted it sets the instruction
 * pointer to the wrapper, which then runs in the caller's own context and may
 * sleep like the function itself. All other calls proceed unchanged. The
 * wrapper calls the function itself by mm_call(); the hook's wanted() has to
 * recognise such a call and let it pass.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

#include "hook.h"
#include "symbols.h"
#include "twostage_arch.h"

/* Installed tables, in the order of their installation */
static LIST_HEAD(tables);
static DEFINE_MUTEX(tables_lock);

#ifdef CONFIG_DYNAMIC_FTRACE_WITH_REGS

/* ftrace then calls no callback without all registers. */
#define FTRACE_FLAGS FTRACE_OPS_FL_SAVE_REGS

static __always_inline unsigned long ftrace_argument(struct ftrace_regs *fregs, unsigned int n)
{
	return arch_argument(ftrace_get_regs(fregs), n);
}

static __always_inline void ftrace_redirect(struct ftrace_regs *fregs, void *function)
{
	instruction_pointer_set(ftrace_get_regs(fregs), (unsigned long)function);
}

#else /* CONFIG_DYNAMIC_FTRACE_WITH_ARGS, which saves nothing else */

#define FTRACE_FLAGS 0

static __always_inline unsigned long ftrace_argument(struct ftrace_regs *fregs, unsigned int n)
{
	return ftrace_regs_get_argument(fregs, n);
}

static __always_inline void ftrace_redirect(struct ftrace_regs *fregs, void *function)
{
	ftrace_regs_set_instruction_pointer(fregs, (unsigned long)function);
}

#endif

static int hook_pre_handler(struct kprobe *kprobe, struct pt_regs *regs)
{
	struct hook *hook = container_of(kprobe, struct hook, kprobe);
	unsigned long arguments[HOOK_ARGUMENTS];
	unsigned int i;

	for (i = 0; i < HOOK_ARGUMENTS; i++)
		arguments[i] = arch_argument(regs, i);
	if (!hook->wanted(arguments))
		return 0;

	atomic_long_inc(&hook->redirected);
	instruction_pointer_set(regs, (unsigned long)hook->wrapper);
	return 1;
}

static void notrace guard_callback(unsigned long ip, unsigned long parent_ip,
				   struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	struct hook *hook = container_of(ops, struct hook, ops);
	unsigned long arguments[HOOK_ARGUMENTS];
	unsigned int i;

	for (i = 0; i < HOOK_ARGUMENTS; i++)
		arguments[i] = ftrace_argument(fregs, i);
	if (!hook->wanted(arguments))
		return;
	atomic_long_inc(&hook->redirected);
	ftrace_redirect(fregs, hook->wrapper);
}

/*
 * The canary tells whether kprobes are armed: its own probe sets the flag that
 * it is called with. noipa keeps gcc from calling a clone of it that has no
 * probe; the asm keeps clang, which does not know noipa, from dropping the
 * unused argument.
 */
static noinline __noipa void canary(bool *alive)
{
	asm volatile("" : : "r" (alive) : "memory");
}

static int canary_pre_handler(struct kprobe *kprobe, struct pt_regs *regs)
{
	bool *alive = (bool *)arch_argument(regs, 0);

	WRITE_ONCE(*alive, true);
	return 0;
}

static struct kprobe canary_probe = {
	.addr = (kprobe_opcode_t *)canary,
	.pre_handler = canary_pre_handler,
};

/**
 * hooks_armed() - whether hooks redirect calls at this moment
 *
 * root can disarm all kprobes, and the hooks with them, by
 * ``/sys/kernel/debug/kprobes/enabled``. The kernel sends no notification then.
 *
 * Context: Process context; not from within a kprobe or ftrace callback, where
 * recursion protection hides the canary's probe.
 */
bool hooks_armed(void)
{
	bool alive = false;

	canary(&alive);
	return READ_ONCE(alive);
}

/*
 * The kernel still calls into the module, and that cannot be ended. Returning
 * would free the code that is called. So the module must stay, and with it the
 * task that unloads it.
 */
static void __noreturn stay_loaded(const char *function, int error)
{
	pr_crit("the hook on %s() cannot be removed (%pe): the module stays loaded, and this task waits, until the next boot\n",
		function, ERR_PTR(error));
	for (;;)
		schedule_timeout_idle(MAX_SCHEDULE_TIMEOUT);
}

/**
 * probe_remove() - remove a registered kprobe whose handler is in the module
 * @kprobe: the probe
 * @function: the probed function, for the log
 *
 * Disarming a probe needs memory and may fail. unregister_kprobe() does not
 * report that, so call disable_kprobe() first, which does. It returns -EINVAL
 * for a probe that is not registered, and therefore not armed.
 *
 * Context: Process context, at unload. Does not return if that fails.
 */
void probe_remove(struct kprobe *kprobe, const char *function)
{
	int ret = disable_kprobe(kprobe);

	if (ret && ret != -EINVAL)
		stay_loaded(function, ret);
	unregister_kprobe(kprobe);
}

/* Fails if ftrace has shut itself down after an error. */
static void remove_ftrace(struct ftrace_ops *ops, const char *function)
{
	int ret = unregister_ftrace_function(ops);

	if (ret)
		stay_loaded(function, ret);
	ftrace_free_filter(ops);
}

static const char *why_not(int error)
{
	switch (error) {
	case -ENOENT:
		return "this kernel has no such function, or inlined it";
	case -EBUSY:
		return "a live patch or another redirection uses it, or ftrace is switched off";
	case -EINVAL:
		return "it cannot be probed";
	case -EOPNOTSUPP:
	case -ENOSYS:
		return "this kernel has no kprobes";
	default:
		return "its probe was refused";
	}
}

/*
 * Where the architecture has KPROBES_ON_FTRACE, kprobes at the entry of a
 * function are based on ftrace, and removing one while ftrace is switched off
 * breaks ftrace for good. While permanent ops are registered, ftrace cannot be
 * switched off; while it is off, they cannot be registered. Elsewhere such a
 * kprobe is a breakpoint beside ftrace's call.
 *
 * These ops are also set on all functions that are wrapped by a kprobe, and
 * claim the right to change the instruction pointer there (IPMODIFY). ftrace
 * allows only one such claim for each function, so it refuses a live patch of a
 * wrapped function; without the claim, one of the two redirections would
 * silently be lost. A kprobe with a post_handler makes the claim by itself, but
 * not if it is added to a function that already has a probe. When such a kprobe
 * is removed, the kernel gives up a claim that it never made: a WARNING, and
 * later an Oops. So a hook's probe has no post_handler if ftrace can trace the
 * function.
 */
static void notrace pin_callback(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
				 struct ftrace_regs *fregs)
{
}

static struct ftrace_ops pin = {
	.func = pin_callback,
	.flags = FTRACE_OPS_FL_PERMANENT | FTRACE_OPS_FL_IPMODIFY | FTRACE_FLAGS,
};

/**
 * hooks_init() - make sure that hooks can be installed and work
 *
 * Context: Process context, may sleep. Before any hook is installed.
 * Return: 0, or why kprobes cannot be used, with the reason in the log.
 */
int hooks_init(void)
{
	int ret;

	ret = ftrace_set_filter_ip(&pin, (unsigned long)canary, 0, 0);
	if (!ret)
		ret = register_ftrace_function(&pin);
	if (ret) {
		pr_err("cannot use ftrace: %s (%pe)\n",
		       ret == -EBUSY ? "it is switched off, see sysctl kernel.ftrace_enabled" :
		       "this kernel cannot trace functions of modules", ERR_PTR(ret));
		goto free_filter;
	}

	ret = register_kprobe(&canary_probe);
	if (ret) {
		pr_err("cannot use kprobes: %s (%pe)\n", why_not(ret), ERR_PTR(ret));
		goto unpin;
	}
	if (!hooks_armed()) {
		pr_err("kprobes are switched off: echo 1 > /sys/kernel/debug/kprobes/enabled\n");
		ret = -EBUSY;
		goto unregister;
	}
	return 0;

unregister:
	probe_remove(&canary_probe, "canary");
unpin:
	remove_ftrace(&pin, "canary");
	return ret;
free_filter:
	ftrace_free_filter(&pin);
	return ret;
}

/** hooks_exit() - undo hooks_init(); no hook is installed any more */
void hooks_exit(void)
{
	probe_remove(&canary_probe, "canary");
	remove_ftrace(&pin, "canary");
}

/*
 * The probe of a function that ftrace cannot trace (some memory hotplug
 * functions) is a breakpoint. A post_handler keeps the kernel from optimising
 * the breakpoint into a jump, which could not redirect the call.
 */
static void hook_post_handler(struct kprobe *kprobe, struct pt_regs *regs, unsigned long flags)
{
}

static void unclaim(const struct hook *hook)
{
	if (hook->claimed)
		ftrace_set_filter_ip(&pin, hook->claimed, 1, 0);
}

static int install_probe(struct hook *hook, unsigned long address)
{
	int ret;

	ret = ftrace_set_filter_ip(&pin, address, 0, 0);
	/*
	 * -EINVAL: ftrace has no call at this address, so there is nothing to
	 * claim.
	 */
	if (ret && ret != -EINVAL)
		return ret;
	hook->claimed = ret ? 0 : address;

	/*
	 * A struct kprobe keeps state from an earlier registration: clear it.
	 */
	hook->kprobe = (struct kprobe){
		.symbol_name = hook->symbol,
		.pre_handler = hook_pre_handler,
		.post_handler = hook->claimed ? NULL : hook_post_handler,
	};
	ret = register_kprobe(&hook->kprobe);
	if (!ret && IS_ENABLED(CONFIG_KPROBES_ON_FTRACE) && hook->claimed &&
	    !kprobe_ftrace(&hook->kprobe)) {
		probe_remove(&hook->kprobe, hook->symbol);
		ret = -EINVAL;
	}
	if (ret)
		unclaim(hook);
	return ret;
}

static int install_guard(struct hook *hook, unsigned long address)
{
	int ret;

	memset(&hook->ops, 0, sizeof(hook->ops));
	hook->ops.func = guard_callback;
	hook->ops.flags = FTRACE_OPS_FL_PERMANENT | FTRACE_OPS_FL_IPMODIFY | FTRACE_FLAGS;
	ret = ftrace_set_filter_ip(&hook->ops, address, 0, 0);
	if (ret)
		return ret;
	ret = register_ftrace_function(&hook->ops);
	if (ret)
		ftrace_free_filter(&hook->ops);
	return ret;
}

static int hook_install(struct hook *hook)
{
	unsigned long address = symbol_address(hook->symbol);
	int ret;

	atomic_long_set(&hook->redirected, 0);
	if (!address)
		ret = -ENOENT;
	else if (hook->guard)
		ret = install_guard(hook, address);
	else
		ret = install_probe(hook, address);
	hook->installed = !ret;
	if (!ret)
		return 0;

	if (!hook->without) {
		pr_err("cannot wrap %s(): %s (%pe)\n", hook->symbol, why_not(ret), ERR_PTR(ret));
		return ret;
	}
	pr_notice("%s() is not wrapped: %s (%pe): %s\n", hook->symbol, why_not(ret), ERR_PTR(ret),
		  hook->without);
	return 0;
}

static void hook_remove(struct hook *hook)
{
	if (!hook->installed)
		return;
	if (hook->guard) {
		remove_ftrace(&hook->ops, hook->symbol);
	} else {
		probe_remove(&hook->kprobe, hook->symbol);
		unclaim(hook);
	}
	hook->installed = false;
}

static void remove_first(struct hook_table *table, unsigned int count)
{
	while (count--)
		hook_remove(&table->hooks[count]);
}

/**
 * hooks_install() - install a table of hooks
 * @table: the table
 *
 * Context: Process context, may sleep.
 * Return: 0; or the error of the first required hook that could not be
 * installed, with the reason in the log, and no hook is installed.
 */
int hooks_install(struct hook_table *table)
{
	unsigned int i;
	int ret;

	for (i = 0; i < table->count; i++) {
		ret = hook_install(&table->hooks[i]);
		if (ret) {
			remove_first(table, i);
			return ret;
		}
	}
	mutex_lock(&tables_lock);
	list_add_tail(&table->node, &tables);
	mutex_unlock(&tables_lock);
	return 0;
}

/**
 * hooks_remove() - remove the hooks of a table that hooks_install() installed
 * @table: the table
 *
 * Context: Process context, may sleep. Other tasks may still be in a wrapper
 * afterwards, or about to enter it: the caller waits for them.
 */
void hooks_remove(struct hook_table *table)
{
	mutex_lock(&tables_lock);
	list_del(&table->node);
	mutex_unlock(&tables_lock);
	remove_first(table, table->count);
}

static void hook_show(struct seq_file *m, const struct hook *hook, bool armed)
{
	if (!hook->installed) {
		seq_printf(m, "%-28s missing: %s\n", hook->symbol, hook->without);
		return;
	}
	seq_printf(m, "%-28s %s redirected=%ld missed=%lu\n", hook->symbol,
		   armed || hook->guard ? "armed" : "disarmed",
		   atomic_long_read(&hook->redirected),
		   /* The kernel counts without a lock, and may lose some itself. */
		   hook->guard ? 0 : data_race(hook->kprobe.nmissed));
}

/**
 * hooks_show() - print a line for each hook
 * @m: where to print
 */
void hooks_show(struct seq_file *m)
{
	const bool armed = hooks_armed();
	struct hook_table *table;
	unsigned int i;

	mutex_lock(&tables_lock);
	list_for_each_entry(table, &tables, node)
		for (i = 0; i < table->count; i++)
			hook_show(m, &table->hooks[i], armed);
	mutex_unlock(&tables_lock);
}
