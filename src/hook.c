// SPDX-License-Identifier: GPL-2.0-only
/*
 * Wrapping a function of the running kernel, by kprobe
 *
 * A kprobe on the function's entry looks at the arguments of each call. For a call that is wanted it
 * sets the instruction pointer to the wrapper, which then runs in the caller's own context and may
 * sleep like the function itself; for all others nothing has changed. The wrapper calls the function
 * itself through mm_internals; it is for the hook's wanted() to know such a call and to let it pass.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/kallsyms.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

#include "hook.h"
#include "mm_internals.h"

static int hook_pre_handler(struct kprobe *kprobe, struct pt_regs *regs)
{
	struct hook *hook = container_of(kprobe, struct hook, kprobe);

	if (!hook->wanted(regs))
		return 0;

	atomic_long_inc(&hook->redirected);
	instruction_pointer_set(regs, (unsigned long)hook->wrapper);
	return 1;
}

/*
 * The canary tells whether kprobes are armed: a probe of its own sets the flag that it is called with.
 * noipa, or the compiler calls a clone of it that has no probe. One that does not know that (clang) leaves out an
 * argument that nobody looks at.
 */
static noinline __noipa void canary(bool *alive)
{
	asm volatile("" : : "r" (alive) : "memory");
}

static int canary_pre_handler(struct kprobe *kprobe, struct pt_regs *regs)
{
	bool *alive = (bool *)regs_get_kernel_argument(regs, 0);

	WRITE_ONCE(*alive, true);
	return 0;
}

static struct kprobe canary_probe = {
	.addr = (kprobe_opcode_t *)canary,
	.pre_handler = canary_pre_handler,
};

/**
 * hooks_armed() - whether the hooks work at this moment
 *
 * The administrator can disarm all kprobes, and the hooks with them, without anybody being told
 * (``/sys/kernel/debug/kprobes/enabled``).
 *
 * Context: Process context; not from within a kprobe or ftrace callback, where recursion protection
 * hides the canary's probe.
 * Return: true if a call of a wrapped function would be redirected.
 */
bool hooks_armed(void)
{
	bool alive = false;

	canary(&alive);
	return READ_ONCE(alive);
}

/*
 * unregister_kprobe() tells nobody that it could not (it needs memory for that), and the kernel would go on to call
 * a handler of ours where there is none any more. Nothing of the module goes before this returns, so then it does not.
 */
static void remove_probe(struct kprobe *kprobe)
{
	int ret = disable_kprobe(kprobe);

	if (ret && ret != -EINVAL) {
		pr_crit("the probe of %pS cannot be taken away (%pe): the module stays, and this task with it, until the next boot\n",
			kprobe->addr, ERR_PTR(ret));
		for (;;)
			schedule_timeout_idle(MAX_SCHEDULE_TIMEOUT);
	}
	unregister_kprobe(kprobe);
}

static const char *why_not(int error)
{
	switch (error) {
	case -ENOENT:
		return "this kernel has no such function, or it was inlined";
	case -EBUSY:
		return "a live patch or another redirection holds it, or ftrace is switched off";
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
 * Kprobes at the entry of a function work by way of ftrace, and taking one away while ftrace is switched
 * off breaks ftrace for good. Ops that are permanent cannot be registered while it is off, and it cannot
 * be switched off while they are there.
 *
 * These are on all functions that are wrapped, too, and claim the right to change the instruction pointer
 * there, so that ftrace refuses a second one who wants it (a live patch) instead of silently losing one of
 * them. A kprobe with a post_handler makes such a claim by itself, but not if it joins somebody else's probe,
 * and then the kernel gives up a claim that it never made: a WARNING, and an Oops later. So the hooks' probes
 * have none.
 */
static void notrace pin_callback(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
				 struct ftrace_regs *fregs)
{
}

static struct ftrace_ops pin = {
	.func = pin_callback,
	.flags = FTRACE_OPS_FL_PERMANENT | FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_SAVE_REGS,
};

/**
 * hooks_init() - make sure that hooks can be installed and work, before anything else
 *
 * Context: Process context, may sleep.
 * Return: 0, or why there is no using kprobes, with a line in the log.
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
	remove_probe(&canary_probe);
unpin:
	unregister_ftrace_function(&pin);
free_filter:
	ftrace_free_filter(&pin);
	return ret;
}

/**
 * hooks_exit() - undo hooks_init(); no hooks are installed any more
 */
void hooks_exit(void)
{
	remove_probe(&canary_probe);
	unregister_ftrace_function(&pin);
	ftrace_free_filter(&pin);
}

/*
 * Of a function that ftrace cannot trace (some of those that are there for memory hotplug only): the probe is a
 * breakpoint. Does nothing, but keeps it from being optimised into a jump, which could not redirect.
 */
static void hook_post_handler(struct kprobe *kprobe, struct pt_regs *regs, unsigned long flags)
{
}

static void unclaim(const struct hook *hook)
{
	if (hook->claimed)
		ftrace_set_filter_ip(&pin, hook->claimed, 1, 0);
}

static int hook_install_at(struct hook *hook, const char *symbol)
{
	unsigned long address = mm_lookup_symbol(symbol);
	int ret;

	if (!address)
		return -ENOENT;
	ret = ftrace_set_filter_ip(&pin, address, 0, 0);
	/* Nothing of ftrace's is at this address, so nobody else can have a claim there either. */
	if (ret && ret != -EINVAL)
		return ret;
	hook->claimed = ret ? 0 : address;

	/* A struct kprobe keeps state from an earlier registration, so start from nothing. */
	hook->kprobe = (struct kprobe){
		.symbol_name = symbol,
		.pre_handler = hook_pre_handler,
		.post_handler = hook->claimed ? NULL : hook_post_handler,
	};
	ret = register_kprobe(&hook->kprobe);
	if (!ret && hook->claimed && !kprobe_ftrace(&hook->kprobe)) {
		remove_probe(&hook->kprobe);
		ret = -EINVAL;
	}
	if (ret)
		unclaim(hook);
	return ret;
}

static int hook_install(struct hook *hook)
{
	const char *const *symbol;
	int ret = -ENOENT;

	atomic_long_set(&hook->redirected, 0);
	for (symbol = hook->symbols; *symbol && ret == -ENOENT; symbol++)
		ret = hook_install_at(hook, *symbol);
	if (ret)
		pr_err("cannot wrap %s(): %s (%pe)\n", hook->symbols[0], why_not(ret), ERR_PTR(ret));
	return ret;
}

static void remove_first(struct hook *hooks, unsigned int count)
{
	while (count--) {
		remove_probe(&hooks[count].kprobe);
		unclaim(&hooks[count]);
	}
}

/**
 * hooks_install() - install a table of hooks, all or none
 * @hooks: the table
 * @count: number of its rows
 *
 * Context: Process context, may sleep.
 * Return: 0, or the error of the first hook that could not be installed, which is then in the log
 * with its reason, and no hook is installed.
 */
int hooks_install(struct hook *hooks, unsigned int count)
{
	unsigned int i;
	int ret;

	for (i = 0; i < count; i++) {
		ret = hook_install(&hooks[i]);
		if (ret)
			goto remove;
	}
	return 0;

remove:
	remove_first(hooks, i);
	return ret;
}

/**
 * hooks_remove() - remove what hooks_install() installed
 * @hooks: the table
 * @count: number of its rows
 *
 * Context: Process context, may sleep. Who is in a wrapper, or about to be, may still be there afterwards: the caller
 * waits for him.
 */
void hooks_remove(struct hook *hooks, unsigned int count)
{
	remove_first(hooks, count);
}

/**
 * hooks_show() - print a line for each hook
 * @m: where to
 * @hooks: the table
 * @count: number of its rows
 */
void hooks_show(struct seq_file *m, struct hook *hooks, unsigned int count)
{
	bool armed = hooks_armed();
	unsigned int i;

	for (i = 0; i < count; i++)
		seq_printf(m, "%-28s %s redirected=%ld missed=%lu\n", hooks[i].kprobe.symbol_name,
			   armed ? "armed" : "disarmed", atomic_long_read(&hooks[i].redirected),
			   hooks[i].kprobe.nmissed);
}

static void notrace guard_callback(unsigned long ip, unsigned long parent_ip,
				   struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	struct guard *guard = container_of(ops, struct guard, ops);
	struct pt_regs *regs = ftrace_get_regs(fregs);

	if (!regs || !guard->wanted(regs))
		return;
	atomic_long_inc(&guard->redirected);
	instruction_pointer_set(regs, (unsigned long)guard->wrapper);
}

static int guard_install(struct guard *guard)
{
	int ret;

	guard->address = mm_lookup_symbol(guard->symbol);
	if (!guard->address) {
		ret = -ENOENT;
		goto fail;
	}

	atomic_long_set(&guard->redirected, 0);
	memset(&guard->ops, 0, sizeof(guard->ops));
	guard->ops.func = guard_callback;
	guard->ops.flags = FTRACE_OPS_FL_PERMANENT | FTRACE_OPS_FL_IPMODIFY |
			   FTRACE_OPS_FL_SAVE_REGS;
	ret = ftrace_set_filter_ip(&guard->ops, guard->address, 0, 0);
	if (ret)
		goto fail;
	ret = register_ftrace_function(&guard->ops);
	if (ret) {
		ftrace_free_filter(&guard->ops);
		goto fail;
	}
	return 0;

fail:
	pr_err("cannot guard %s(): %s (%pe)\n", guard->symbol, why_not(ret), ERR_PTR(ret));
	return ret;
}

/**
 * guards_install() - install a table of guards, all or none
 * @guards: the table
 * @count: number of its rows
 *
 * Context: Process context, may sleep.
 * Return: 0, or an error as hooks_install().
 */
int guards_install(struct guard *guards, unsigned int count)
{
	unsigned int i;
	int ret;

	for (i = 0; i < count; i++) {
		ret = guard_install(&guards[i]);
		if (ret) {
			guards_remove(guards, i);
			return ret;
		}
	}
	return 0;
}

/**
 * guards_remove() - remove what guards_install() installed
 * @guards: the table
 * @count: number of its rows
 *
 * Context: Process context, may sleep.
 */
void guards_remove(struct guard *guards, unsigned int count)
{
	while (count--) {
		unregister_ftrace_function(&guards[count].ops);
		ftrace_free_filter(&guards[count].ops);
	}
}

/**
 * guards_show() - print a line for each guard, as hooks_show() does
 * @m: where to
 * @guards: the table
 * @count: number of its rows
 */
void guards_show(struct seq_file *m, const struct guard *guards, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		seq_printf(m, "%-28s armed redirected=%ld missed=0\n", guards[i].symbol,
			   atomic_long_read(&guards[i].redirected));
}
