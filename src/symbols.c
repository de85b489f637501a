// SPDX-License-Identifier: GPL-2.0-only
/*
 * Addresses of the kernel's symbols that are not exported
 *
 * kallsyms_lookup_name() is not exported, but registering a kprobe by name
 * looks the name up and returns its address.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/static_call.h>
#include <linux/string.h>

#include "symbols.h"

/*
 * A static call, like all calls in mm_internals.h: an indirect call of a
 * function that the kernel never calls indirectly faults where indirect
 * branches are tracked (IBT).
 */
DEFINE_STATIC_CALL_NULL(lookup_name, kallsyms_lookup_name);

/* kallsyms also knows the symbols of modules, including our own. */
static bool is_in_module(unsigned long address)
{
	char text[KSYM_SYMBOL_LEN];

	/* "name+0x0/0x40 [module]", "name+0x0/0x40" for the kernel proper */
	sprint_symbol(text, address);
	return strchr(text, '[');
}

/**
 * symbol_address() - address of one of the kernel's symbols
 * @name: the symbol
 *
 * Context: Process context, after symbols_init().
 * Return: the address; 0 if the kernel proper has no such symbol. Symbols of
 * data are known only with CONFIG_KALLSYMS_ALL.
 */
unsigned long symbol_address(const char *name)
{
	unsigned long address = static_call(lookup_name)(name);

	return address && !is_in_module(address) ? address : 0;
}

/**
 * symbols_init() - find the function that looks up symbols
 *
 * Context: Process context, may sleep.
 * Return: 0, or why symbols cannot be looked up, with the reason in the log.
 */
int symbols_init(void)
{
	/*
	 * A disabled kprobe is never armed. So unregistering it cannot fail;
	 * disarming one needs memory. The address may be a few bytes past the
	 * symbol, behind the landing pad of an indirect branch, which a direct
	 * call does not need.
	 */
	struct kprobe kprobe = {
		.symbol_name = "kallsyms_lookup_name",
		.flags = KPROBE_FLAG_DISABLED,
	};
	int ret;

	ret = register_kprobe(&kprobe);
	if (ret) {
		pr_err("cannot look up symbols: %s (%pe)\n",
		       ret == -EOPNOTSUPP || ret == -ENOSYS ? "this kernel has no kprobes" :
		       ret == -EPERM ? "the kernel is locked down" : "kprobes do not work",
		       ERR_PTR(ret));
		return ret;
	}
	static_call_update(lookup_name, (void *)kprobe.addr);
	unregister_kprobe(&kprobe);
	return 0;
}
