// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hardware-poisoned pages of populated blocks
 *
 * When the hardware reports that a page is broken, memory_failure() takes it
 * away from its users and marks its struct page as hardware-poisoned
 * (hwpoison). The struct page is still used afterwards: by tasks that hold a
 * reference to the page, and through hwpoison entries in page tables, which
 * hold its PFN but no reference. An offline passes over such a page, even if it
 * is in use. In the stock kernel that does no harm, because the memmap of
 * offline memory stays.
 *
 * So a block with a hardware-poisoned page keeps its memmap when it goes
 * offline, and its direct map and its assignment with it (BLOCK_POISONED). This
 * file notes in which blocks pages have been poisoned.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <linux/mm.h>
#include <linux/sched.h>

#include "hook.h"
#include "hotplug_lock.h"
#include "memory_failure.h"
#include "mm_internals.h"

/*
 * Marks the wrapper's own call of memory_failure(). No caller in the kernel
 * passes this flag.
 */
#define MF_TWOSTAGE_NESTED BIT(30)

/**
 * block_has_hwpoison() - whether a block has to keep its memmap
 * @block: the block
 *
 * Context: Any. The answer is final if the block is offline and
 * pfn_walkers_wait() has been called since: a wrapper that found a page of the
 * block online before that has noted it by now.
 */
bool block_has_hwpoison(const struct twostage_block *block)
{
	return READ_ONCE(block->hwpoison);
}

/*
 * The folio of the page may be a gigantic one that spans several blocks;
 * memory_failure() marks its head page, too. Does not sleep, so that
 * pfn_walkers_wait() covers the callers.
 */
static void note_hwpoison(struct page *page)
{
	struct folio *folio = page_folio(page);
	unsigned long pfn = folio_pfn(folio), end = pfn + folio_nr_pages(folio);

	for (; pfn < end; pfn = ALIGN(pfn + 1, block_pages())) {
		struct twostage_block *block = block_at_pfn(pfn);

		if (block)
			WRITE_ONCE(block->hwpoison, true);
	}
}

static bool memory_failure_wanted(const unsigned long *arguments)
{
	return !(arguments[1] & MF_TWOSTAGE_NESTED) && block_at_pfn(arguments[0]);
}

/*
 * Note the block before the original looks at the page. The original sleeps
 * without a reference that an offline would wait for, so meanwhile the block
 * may go offline; without the note it would lose its memmap.
 */
static int wrapped_memory_failure(unsigned long pfn, int flags)
{
	struct page *page;
	int ret;

	wrapper_enter();
	page = pfn_to_online_page(pfn);
	if (page)
		note_hwpoison(page);
	ret = mm_call(memory_failure)(pfn, flags | MF_TWOSTAGE_NESTED);
	wrapper_leave();
	return ret;
}

static bool soft_offline_page_wanted(const unsigned long *arguments)
{
	return !in_hotplug_section() && block_at_pfn(arguments[0]);
}

/*
 * soft_offline_page() sleeps before it takes a reference to the page, so the
 * block must not go offline meanwhile. It is called for pages that still work:
 * refuse it while a hotplug operation is in progress, and note the block only
 * if it has succeeded. The caller's reference to the page is dropped first; it
 * would keep the block from going offline.
 */
static int wrapped_soft_offline_page(unsigned long pfn, int flags)
{
	struct page *page;
	int ret;

	/* Before put_page(), which may sleep on PREEMPT_RT */
	wrapper_enter();
	if (flags & MF_COUNT_INCREASED)
		put_page(pfn_to_page(pfn));
	ret = hotplug_section_trybegin();
	if (ret)
		goto leave;
	ret = mm_call(soft_offline_page)(pfn, flags & ~MF_COUNT_INCREASED);
	page = pfn_to_online_page(pfn);
	if (page && PageHWPoison(page))
		note_hwpoison(page);
	hotplug_section_end();
leave:
	wrapper_leave();
	return ret;
}

static typeof(memory_failure) wrapped_memory_failure __maybe_unused;
static typeof(soft_offline_page) wrapped_soft_offline_page __maybe_unused;

/*
 * Guards, because a page may also be poisoned while kprobes are disarmed, and
 * its block has to be noted then, too.
 */
static struct hook hooks[] = {
	{
		.symbol = "memory_failure",
		.wrapper = wrapped_memory_failure,
		.wanted = memory_failure_wanted,
		.guard = true,
	}, {
		.symbol = "soft_offline_page",
		.wrapper = wrapped_soft_offline_page,
		.wanted = soft_offline_page_wanted,
		.guard = true,
	},
};

static struct hook_table table = HOOK_TABLE(hooks);

/**
 * memory_failure_init() - install the hooks
 *
 * Return: 0 or a negative errno, with the reason in the log.
 */
int memory_failure_init(void)
{
	return hooks_install(&table);
}

/** memory_failure_exit() - undo memory_failure_init() */
void memory_failure_exit(void)
{
	hooks_remove(&table);
}
