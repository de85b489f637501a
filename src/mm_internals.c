// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's internal functions that are called, resolved and typed
 *
 * None of them is exported, so their addresses are looked up at load. They are called through static
 * calls, which become direct calls where the architecture can: an indirect call of a function that the
 * kernel itself never calls indirectly faults where indirect branches are tracked (IBT).
 *
 * Their prototypes are the kernel's own, from its headers: what does not fit does not compile.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/module.h>
#include <linux/pageblock-flags.h>
#include <linux/pagewalk.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/set_memory.h>
#include <linux/slab.h>
#include <linux/static_call.h>
#include <linux/string.h>
#include <linux/swap.h>
#include <linux/swapops.h>
#include <linux/tracepoint.h>
#include <linux/workqueue.h>

#ifdef HAVE_SOFTLEAF
#include <linux/leafops.h>
#endif

#include "mm_internals.h"

/* Static in drivers/base/memory.c, members "online" and "offline" of its struct bus_type. */
int memory_subsys_online(struct device *dev);
int memory_subsys_offline(struct device *dev);
/* Static in kernel/kprobes.c, what a write to debugfs kprobes/enabled comes to. */
ssize_t write_enabled_file_bool(struct file *file, const char __user *text, size_t count, loff_t *pos);

#ifdef CONFIG_MEMORY_FAILURE
#define MM_INTERNALS_OF_MEMORY_FAILURE(X) \
	X(memory_failure)		\
	X(soft_offline_page)		\
	X(unpoison_memory)		\
	X(walk_page_range)
#else
#define MM_INTERNALS_OF_MEMORY_FAILURE(...)
#endif

#ifdef CONFIG_PAGE_OWNER
/* Static in mm/page_owner.c, what a read of debugfs page_owner comes to. */
ssize_t read_page_owner(struct file *file, char __user *text, size_t count, loff_t *pos);

#define MM_INTERNALS_OF_PAGE_OWNER(X)	\
	X(read_page_owner)
#else
#define MM_INTERNALS_OF_PAGE_OWNER(...)
#endif

#ifdef CONFIG_X86_MCE
#define MM_INTERNALS_OF_MCE(X)		\
	X(set_mce_nospec)
#else
#define MM_INTERNALS_OF_MCE(...)
#endif

#define MM_INTERNALS(X)			\
	X(online_pages)			\
	X(offline_pages)		\
	X(move_pfn_range_to_zone)	\
	X(arch_add_memory)		\
	X(arch_remove_memory)		\
	X(mhp_init_memmap_on_memory)	\
	X(mhp_deinit_memmap_on_memory)	\
	X(adjust_present_page_count)	\
	X(add_memory_resource)		\
	X(__add_memory)			\
	X(__remove_memory)		\
	X(mhp_supports_memmap_on_memory) \
	X(memory_group_find_by_id)	\
	X(walk_memory_blocks)		\
	X(for_each_memory_block)	\
	X(mem_hotplug_begin)		\
	X(mem_hotplug_done)		\
	X(lock_device_hotplug)		\
	X(unlock_device_hotplug)	\
	X(lock_device_hotplug_sysfs)	\
	X(device_online)		\
	X(device_offline)		\
	X(memory_subsys_online)		\
	X(memory_subsys_offline)	\
	X(write_enabled_file_bool)	\
	MM_INTERNALS_OF_MEMORY_FAILURE(X)	\
	MM_INTERNALS_OF_PAGE_OWNER(X)	\
	MM_INTERNALS_OF_MCE(X)

#define DEFINE_INTERNAL(function) \
	DEFINE_STATIC_CALL_NULL(internal_##function, function);
MM_INTERNALS(DEFINE_INTERNAL)
DEFINE_STATIC_CALL_NULL(internal_kallsyms_lookup_name, kallsyms_lookup_name);

#define internal(function) static_call(internal_##function)

/**
 * mm_lookup_symbol() - address of one of the kernel's symbols
 * @name: the symbol
 *
 * Context: Process context, after mm_internals_init().
 * Return: the address, 0 if there is no such symbol in the kernel proper. Those of data are known with
 * CONFIG_KALLSYMS_ALL only.
 */
unsigned long mm_lookup_symbol(const char *name)
{
	unsigned long address = internal(kallsyms_lookup_name)(name);

	/* What the kernel has no symbol for is looked for in modules. One of that name, of ours even, is something else. */
#ifdef MODULES_VADDR
	if (address >= MODULES_VADDR && address < MODULES_END)
		return 0;
#endif
	return address;
}

/*
 * Static in mm/memory_hotplug.c: who hands out pages that come online. Drivers for what a hypervisor plugs put theirs
 * there (hv_balloon, Xen's balloon), which keep pages that they do not know. NULL where it cannot be found.
 */
static online_page_callback_t *page_callback;

/**
 * mm_online_pages() - online_pages() of mm/memory_hotplug.c, which hands out all pages
 * @pfn: first page, pageblock aligned
 * @nr_pages: up to the end of a section
 * @zone: where to
 * @group: the memory block's, or NULL
 *
 * Context: mem_hotplug_lock held for writing.
 */
int mm_online_pages(unsigned long pfn, unsigned long nr_pages, struct zone *zone,
		    struct memory_group *group)
{
	online_page_callback_t others;
	int ret;

	if (!page_callback)
		return internal(online_pages)(pfn, nr_pages, zone, group);

	/* Who looks at it, or changes it, has mem_hotplug_lock, too. */
	others = *page_callback;
	*page_callback = generic_online_page;
	ret = internal(online_pages)(pfn, nr_pages, zone, group);
	*page_callback = others;
	return ret;
}

/**
 * mm_offline_pages() - offline_pages() of mm/memory_hotplug.c
 * @pfn: first page, pageblock aligned
 * @nr_pages: up to the end of a section
 * @zone: the one that all pages are in
 * @group: the memory block's, or NULL
 *
 * Context: mem_hotplug_lock held for writing.
 */
int mm_offline_pages(unsigned long pfn, unsigned long nr_pages, struct zone *zone,
		     struct memory_group *group)
{
	return internal(offline_pages)(pfn, nr_pages, zone, group);
}

#ifdef CONFIG_MEMORY_FAILURE
/**
 * mm_memory_failure() - memory_failure()
 * @pfn: of the page that is broken
 * @flags: MF_..., and one by which a wrapper knows its own calls
 *
 * Context: Process context, sleeps.
 */
int mm_memory_failure(unsigned long pfn, int flags)
{
	return internal(memory_failure)(pfn, flags);
}

/**
 * mm_unpoison_memory() - unpoison_memory()
 * @pfn: of the page that is said to be whole again
 *
 * Context: Process context, sleeps. device_hotplug_lock held.
 */
int mm_unpoison_memory(unsigned long pfn)
{
	return internal(unpoison_memory)(pfn);
}

/* Static in mm/memory-failure.c: one page at a time. NULL where it cannot be found. */
static struct mutex *failure_mutex;

/**
 * mm_memory_failure_busy() - whether somebody is in memory_failure() or its likes, where he may wait for others
 *
 * Context: Any; it may be otherwise a moment later.
 * Return: false, too, where that cannot be found out.
 */
bool mm_memory_failure_busy(void)
{
	return failure_mutex && mutex_is_locked(failure_mutex);
}

/**
 * mm_soft_offline_page() - soft_offline_page()
 * @pfn: of the page that is to be used no more
 * @flags: MF_..., without MF_COUNT_INCREASED
 *
 * Context: Process context, sleeps. device_hotplug_lock held.
 */
int mm_soft_offline_page(unsigned long pfn, int flags)
{
	return internal(soft_offline_page)(pfn, flags);
}

struct search {
	unsigned long first, end;
	bool found;
};

#ifdef HAVE_SOFTLEAF
static bool is_hwpoison_pte(pte_t pte)
{
	return softleaf_is_hwpoison(softleaf_from_pte(pte));
}

static unsigned long hwpoison_pfn(pte_t pte)
{
	return softleaf_to_pfn(softleaf_from_pte(pte));
}
#else
static bool is_hwpoison_pte(pte_t pte)
{
	return is_hwpoison_entry(pte_to_swp_entry(pte));
}

static unsigned long hwpoison_pfn(pte_t pte)
{
	return swp_offset_pfn(pte_to_swp_entry(pte));
}
#endif

static int search_entry(pte_t *pte, unsigned long address, unsigned long next, struct mm_walk *walk)
{
	struct search *search = walk->private;
	pte_t entry = ptep_get(pte);
	unsigned long pfn;

	if (pte_none(entry) || pte_present(entry) || !is_hwpoison_pte(entry))
		return 0;
	pfn = hwpoison_pfn(entry);
	search->found = pfn < search->end && pfn + PHYS_PFN(next - address) > search->first;
	return search->found;
}

static int search_huge_entry(pte_t *pte, unsigned long hmask, unsigned long address, unsigned long next,
			     struct mm_walk *walk)
{
	return search_entry(pte, address, next, walk);
}

/* Huge pages are split before they are marked as broken, but for those of hugetlbfs. */
static int search_pmd(pmd_t *pmd, unsigned long address, unsigned long next, struct mm_walk *walk)
{
	cond_resched();
	if (!pmd_present(*pmd) || pmd_leaf(*pmd))
		walk->action = ACTION_CONTINUE;
	return 0;
}

/* Device memory in pages of a GiB would be split for us; private copies of it are memory as any other. */
static int search_area(unsigned long start, unsigned long end, struct mm_walk *walk)
{
	return walk->vma->vm_flags & VM_PFNMAP || (vma_is_dax(walk->vma) && walk->vma->vm_flags & VM_MAYSHARE);
}

static int search_mm(struct mm_struct *mm, struct search *search)
{
	static const struct mm_walk_ops ops = {
		.pmd_entry = search_pmd,
		.pte_entry = search_entry,
		.hugetlb_entry = search_huge_entry,
		.test_walk = search_area,
	};
	const unsigned long until = jiffies + HZ;

	/* Who holds it may wait for us, by way of cpu_hotplug_lock. */
	while (!mmap_read_trylock(mm)) {
		if (time_after(jiffies, until))
			return -EBUSY;
		usleep_range(1000, 2000);
	}
	internal(walk_page_range)(mm, 0, ULONG_MAX, &ops, search);
	mmap_read_unlock(mm);
	return 0;
}

struct memory_user {
	struct mm_struct *mm;
	pid_t pid;
};

/* All at one moment */
static unsigned int get_users(struct memory_user *users, unsigned int most)
{
	struct task_struct *process, *thread;
	unsigned int count = 0;

	rcu_read_lock();
	for_each_process(process) {
		for_each_thread(process, thread) {
			struct mm_struct *mm;

			if (count == most)
				goto out;
			mm = get_task_mm(thread);
			if (!mm)
				continue;
			users[count++] = (struct memory_user){ mm, process->pid };
			break;
		}
	}
out:
	rcu_read_unlock();
	return count;
}

static void put_users(struct memory_user *users, unsigned int count)
{
	/* The last one to let go tears it all down, not with these locks held. */
	while (count--)
		mmput_async(users[count].mm);
	kvfree(users);
}

static struct memory_user *find_users(unsigned int *count)
{
	unsigned int most;

	for (most = 1024; ; most *= 2) {
		struct memory_user *users = kvmalloc_array(most, sizeof(*users), GFP_KERNEL);

		if (!users)
			return NULL;
		*count = get_users(users, most);
		if (*count < most)
			return users;
		put_users(users, *count);
	}
}

static int search_all(struct search *search)
{
	struct memory_user *users;
	unsigned int count, i;
	int ret = 0;

	users = find_users(&count);
	if (!users)
		return -ENOMEM;
	for (i = 0; i < count && !ret; i++) {
		ret = search_mm(users[i].mm, search);
		if (!ret && search->found)
			ret = users[i].pid;
	}
	put_users(users, count);
	return ret;
}

/**
 * mm_broken_page_mapped() - whether a process has a broken page in its page tables
 * @pfn: first page of a range
 * @nr_pages: of the range
 *
 * What memory_failure() unmaps, it leaves a note of there, with the page's number and without a reference to the page.
 * Who shows the page tables (smaps, pagemap) goes from that to the struct page. There is no way back from the page to
 * the notes, so all page tables are looked at: for want of anything better, and only where there are broken pages.
 *
 * Context: Process context, sleeps. mem_hotplug_lock held for writing.
 * Return: 0 if there is none; the number of a process that has one; -EBUSY if one has its memory locked for over a
 * second, -ENOMEM.
 */
int mm_broken_page_mapped(unsigned long pfn, unsigned long nr_pages)
{
	struct search search = { .first = pfn, .end = pfn + nr_pages };
	int ret;

	ret = search_all(&search);
	/* A note can have gone to a child that was not there yet, and not be with its parent any more. */
	return ret ?: search_all(&search);
}
#endif

#ifdef CONFIG_X86_MCE
/**
 * mm_set_mce_nospec() - set_mce_nospec() of arch/x86
 * @pfn: of a page that is broken, with a struct page
 *
 * Context: Process context, sleeps. device_hotplug_lock held.
 */
int mm_set_mce_nospec(unsigned long pfn)
{
	return internal(set_mce_nospec)(pfn);
}

/**
 * mm_clear_mce_nospec() - undo set_mce_nospec() for all pages of a range for which it was called
 * @pfn: first page of the range, which is in the direct map
 * @nr_pages: of the range
 *
 * What was taken out of the direct map for good keeps its page table from being freed, and the memory that comes there
 * next would have a hole.
 *
 * Context: Process context, sleeps. Nobody uses the pages any more.
 */
void mm_clear_mce_nospec(unsigned long pfn, unsigned long nr_pages)
{
	const unsigned long end = pfn + nr_pages;
	unsigned int level;
	pte_t *pte;

	/* There, all that is free is out of the direct map. */
	if (debug_pagealloc_enabled())
		return;
	while (pfn < end) {
		pte = lookup_address((unsigned long)__va(PFN_PHYS(pfn)), &level);
		if (!pte || level != PG_LEVEL_4K) {
			pfn = ALIGN(pfn + 1, PHYS_PFN(PMD_SIZE));
			continue;
		}
		if (!(pte_flags(*pte) & _PAGE_PRESENT) && clear_mce_nospec(pfn))
			pr_warn("the page at %#llx stays out of the direct map\n", PFN_PHYS(pfn));
		pfn++;
	}
}
#else
void mm_clear_mce_nospec(unsigned long pfn, unsigned long nr_pages)
{
}
#endif

/**
 * mm_memory_subsys_online() - memory_subsys_online() of drivers/base/memory.c
 * @dev: a memory block's device
 *
 * Context: device_hotplug_lock and the device's lock held.
 */
int mm_memory_subsys_online(struct device *dev)
{
	return internal(memory_subsys_online)(dev);
}

/**
 * mm_memory_subsys_offline() - memory_subsys_offline() of drivers/base/memory.c
 * @dev: a memory block's device
 *
 * Context: device_hotplug_lock and the device's lock held.
 */
int mm_memory_subsys_offline(struct device *dev)
{
	return internal(memory_subsys_offline)(dev);
}

/**
 * mm_write_kprobes_enabled() - write_enabled_file_bool() of kernel/kprobes.c
 * @file: debugfs kprobes/enabled
 * @text: what is written there
 * @count: its length
 * @pos: where
 *
 * Context: Process context.
 * Return: @count or a negative errno.
 */
ssize_t mm_write_kprobes_enabled(struct file *file, const char __user *text, size_t count, loff_t *pos)
{
	return internal(write_enabled_file_bool)(file, text, count, pos);
}

#ifdef CONFIG_PAGE_OWNER
/**
 * mm_read_page_owner() - read_page_owner() of mm/page_owner.c
 * @file: debugfs page_owner
 * @text: where to
 * @count: what there is room for, in bytes
 * @pos: number of the page that it begins with
 *
 * Context: Process context, sleeps.
 * Return: bytes, 0 at the end, or a negative errno, with which @pos moves on, too.
 */
ssize_t mm_read_page_owner(struct file *file, char __user *text, size_t count, loff_t *pos)
{
	return internal(read_page_owner)(file, text, count, pos);
}
#endif

/* The most that the direct map of a range takes, and one page for each level above it */
static unsigned long page_table_pages(u64 size)
{
	unsigned long pages = DIV_ROUND_UP(size, PUD_SIZE) + 3;

	/* A page that is free is unmapped then. */
	if (debug_pagealloc_enabled())
		pages += DIV_ROUND_UP(size, PMD_SIZE);
	return pages;
}

/*
 * The kernel writes to page tables of the direct map without looking whether it got the page (alloc_low_pages() on
 * x86): where there is no memory left that is a crash, of whoever adds memory. They come out of the reserves, without
 * reclaim, so try to get as much in the same way, but with it. What is freed again goes to the front of this CPU's list.
 */
static int check_page_table_memory(u64 size)
{
	unsigned long i, pages = page_table_pages(size);
	struct page *page;
	LIST_HEAD(list);

	for (i = 0; i < pages; i++) {
		page = alloc_page(GFP_KERNEL | __GFP_HIGH | __GFP_RETRY_MAYFAIL | __GFP_NOWARN);
		if (!page)
			break;
		list_add(&page->lru, &list);
	}
	while ((page = list_first_entry_or_null(&list, struct page, lru))) {
		list_del(&page->lru);
		__free_page(page);
	}
	return i < pages ? -ENOMEM : 0;
}

/**
 * mm_arch_add_memory() - arch_add_memory(): the direct map and the memmap of a range
 * @nid: its node
 * @start: in bytes
 * @size: in bytes
 * @altmap: where the memmap is to come from, NULL for ordinary memory
 *
 * Context: mem_hotplug_lock held for writing. Allocates memory, and reclaims for that.
 * Return: 0; -ENOMEM, with nothing done; or an error of arch_add_memory(), which leaves behind what it has done.
 */
int mm_arch_add_memory(int nid, u64 start, u64 size, struct vmem_altmap *altmap)
{
	struct mhp_params params = {
		.altmap = altmap,
		.pgprot = pgprot_mhp(PAGE_KERNEL),
	};
	int ret;

	ret = check_page_table_memory(size);
	if (ret)
		return ret;
	return internal(arch_add_memory)(nid, start, size, &params);
}

/**
 * mm_arch_remove_memory() - arch_remove_memory(), the inverse of mm_arch_add_memory()
 * @start: in bytes
 * @size: in bytes
 * @altmap: the one that the range was added with
 *
 * Context: mem_hotplug_lock held for writing.
 */
void mm_arch_remove_memory(u64 start, u64 size, struct vmem_altmap *altmap)
{
#ifdef HAVE_ARCH_REMOVE_MEMORY_PGMAP
	internal(arch_remove_memory)(start, size, altmap, NULL);
#else
	internal(arch_remove_memory)(start, size, altmap);
#endif
}

/**
 * mm_init_memmap_on_memory() - mhp_init_memmap_on_memory(): struct pages of the self-hosted memmap
 * @pfn: where the memmap begins, the block's first page
 * @nr_pages: its length
 * @zone: that of the block's other pages
 *
 * Context: mem_hotplug_lock held for writing.
 */
int mm_init_memmap_on_memory(unsigned long pfn, unsigned long nr_pages, struct zone *zone)
{
	/* The memory is accessible since before the memmap was made: nothing is left to be poisoned. */
#ifdef HAVE_INIT_MEMMAP_INACCESSIBLE
	return internal(mhp_init_memmap_on_memory)(pfn, nr_pages, zone, false);
#else
	return internal(mhp_init_memmap_on_memory)(pfn, nr_pages, zone);
#endif
}

/**
 * mm_deinit_memmap_on_memory() - mhp_deinit_memmap_on_memory(), the inverse
 * @pfn: as there
 * @nr_pages: as there
 *
 * Context: mem_hotplug_lock held for writing.
 */
void mm_deinit_memmap_on_memory(unsigned long pfn, unsigned long nr_pages)
{
	internal(mhp_deinit_memmap_on_memory)(pfn, nr_pages);
}

/**
 * mm_move_pfn_range_to_zone() - move_pfn_range_to_zone() with the arguments of an earlier call
 * @move: that call
 *
 * Context: mem_hotplug_lock held for writing.
 */
void mm_move_pfn_range_to_zone(const struct zone_move *move)
{
#ifdef HAVE_MOVE_PFN_RANGE_ISOLATE
	internal(move_pfn_range_to_zone)(move->zone, move->start_pfn, move->nr_pages, move->altmap,
					 move->migratetype, move->isolate_pageblock);
#else
	internal(move_pfn_range_to_zone)(move->zone, move->start_pfn, move->nr_pages, move->altmap,
					 move->migratetype);
#endif
}

/**
 * mm_adjust_present_page_count() - adjust_present_page_count()
 * @page: one in the zone and node that are meant
 * @group: the memory block's, or NULL
 * @nr_pages: how many more are present
 *
 * Context: mem_hotplug_lock held for writing.
 */
void mm_adjust_present_page_count(struct page *page, struct memory_group *group, long nr_pages)
{
	internal(adjust_present_page_count)(page, group, nr_pages);
}

/**
 * mm_add_memory_resource() - add_memory_resource()
 * @nid: node, or memory group with MHP_NID_IS_MGID
 * @resource: the range, in the tree of iomem_resource; the core frees it when the memory is removed
 * @flags: MHP_*
 *
 * Context: device_hotplug_lock held.
 */
int mm_add_memory_resource(int nid, struct resource *resource, mhp_t flags)
{
	return internal(add_memory_resource)(nid, resource, flags);
}

/**
 * mm_remove_memory() - __remove_memory()
 * @start: in bytes
 * @size: in bytes
 *
 * Context: device_hotplug_lock held; all memory blocks of the range are offline, or the core stops
 * with a BUG().
 */
void mm_remove_memory(u64 start, u64 size)
{
	internal(__remove_memory)(start, size);
}

/**
 * mm_add_memory() - __add_memory()
 * @nid: node, or memory group with MHP_NID_IS_MGID
 * @start: in bytes
 * @size: in bytes
 * @flags: MHP_*
 *
 * Context: device_hotplug_lock held.
 */
int mm_add_memory(int nid, u64 start, u64 size, mhp_t flags)
{
	return internal(__add_memory)(nid, start, size, flags);
}

/**
 * mm_kernel_hosts_memmap() - whether the kernel itself takes the memmap out of memory that is added
 * @size: of what is added at once, in bytes
 *
 * As memory_hotplug.memmap_on_memory=1 asks for. Some kernels can do that only for a single block.
 */
bool mm_kernel_hosts_memmap(u64 size)
{
#ifdef HAVE_SUPPORTS_MEMMAP_ON_MEMORY_SIZE
	return internal(mhp_supports_memmap_on_memory)(size);
#else
	return internal(mhp_supports_memmap_on_memory)();
#endif
}

/**
 * mm_group_nid() - node of a memory group
 * @group: its id
 *
 * Return: the node; NUMA_NO_NODE if there is no such group.
 */
int mm_group_nid(int group)
{
	struct memory_group *found = internal(memory_group_find_by_id)(group);

	return found ? found->nid : NUMA_NO_NODE;
}

/**
 * mm_hotplug_begin() - mem_hotplug_begin(): take mem_hotplug_lock for writing
 *
 * Context: device_hotplug_lock held.
 */
void mm_hotplug_begin(void)
{
	internal(mem_hotplug_begin)();
}

/** mm_hotplug_done() - mem_hotplug_done(), the inverse of mm_hotplug_begin() */
void mm_hotplug_done(void)
{
	internal(mem_hotplug_done)();
}

/** mm_lock_device_hotplug() - lock_device_hotplug() of drivers/base/core.c */
void mm_lock_device_hotplug(void)
{
	internal(lock_device_hotplug)();
}

/**
 * mm_forget_false_signal() - have the calling task know what signals it has
 *
 * For where it has been told that there is one, and there may be none.
 *
 * Context: Process context.
 */
void mm_forget_false_signal(void)
{
	/* A task's own does not go while it runs. */
	struct sighand_struct *sighand = rcu_dereference_protected(current->sighand, true);

	spin_lock_irq(&sighand->siglock);
	recalc_sigpending();
	spin_unlock_irq(&sighand->siglock);
}

/*
 * lock_device_hotplug_sysfs() tries the lock, sleeps 5 ms if somebody has it, and has the system call begin anew, as
 * after a signal. There is none.
 */
static bool try_lock_device_hotplug(void)
{
	if (!internal(lock_device_hotplug_sysfs)())
		return true;
	mm_forget_false_signal();
	return false;
}

/**
 * mm_lock_device_hotplug_timeout() - lock_device_hotplug(), for those who may be waited for by who holds the lock
 * @seconds: how long to wait
 *
 * Return: 0, or -ETIMEDOUT.
 */
int mm_lock_device_hotplug_timeout(unsigned int seconds)
{
	const unsigned long until = jiffies + seconds * HZ;

	while (!try_lock_device_hotplug())
		if (time_after(jiffies, until))
			return -ETIMEDOUT;
	return 0;
}

/** mm_unlock_device_hotplug() - unlock_device_hotplug() of drivers/base/core.c */
void mm_unlock_device_hotplug(void)
{
	internal(unlock_device_hotplug)();
}

/**
 * mm_device_online() - device_online()
 * @dev: a memory block's device
 *
 * Context: device_hotplug_lock held.
 * Return: 0, 1 if it was online, or a negative errno.
 */
int mm_device_online(struct device *dev)
{
	return internal(device_online)(dev);
}

/**
 * mm_device_offline() - device_offline()
 * @dev: a memory block's device
 *
 * Context: device_hotplug_lock held.
 * Return: 0, 1 if it was offline, or a negative errno.
 */
int mm_device_offline(struct device *dev)
{
	return internal(device_offline)(dev);
}

static int get_block(struct memory_block *block, void *found)
{
	get_device(&block->dev);
	*(struct memory_block **)found = block;
	return 0;
}

/**
 * mm_find_memory_block() - the memory block that a page is in
 * @pfn: the page
 *
 * Context: device_hotplug_lock held.
 * Return: the block with a reference to its device, or NULL.
 */
struct memory_block *mm_find_memory_block(unsigned long pfn)
{
	struct memory_block *block = NULL;

	internal(walk_memory_blocks)(PFN_PHYS(pfn), PAGE_SIZE, &block, get_block);
	return block;
}

static int first_block_bus(struct memory_block *block, void *bus)
{
	*(const struct bus_type **)bus = block->dev.bus;
	return 1;
}

/**
 * mm_memory_subsys() - the bus that memory blocks are on
 *
 * Return: the bus, or NULL in a system without any memory block.
 */
const struct bus_type *mm_memory_subsys(void)
{
	const struct bus_type *bus = NULL;

	internal(for_each_memory_block)(&bus, first_block_bus);
	return bus;
}

/**
 * mm_sections_alloc() - make sure that there are section structures for a range
 * @start: in bytes, section aligned
 * @size: in bytes
 * @nid: node to take memory from
 *
 * What sparse_index_init() does; the kernel never frees such a root, it is there for the next one
 * who adds memory at these addresses.
 *
 * Context: mem_hotplug_lock held for writing.
 * Return: 0 or -ENOMEM.
 */
int mm_sections_alloc(u64 start, u64 size, int nid)
{
#ifdef CONFIG_SPARSEMEM_EXTREME
	unsigned long last = SECTION_NR_TO_ROOT(pfn_to_section_nr(PHYS_PFN(start + size - 1)));
	unsigned long root = SECTION_NR_TO_ROOT(pfn_to_section_nr(PHYS_PFN(start)));

	for (; root <= last; root++) {
		if (mem_section[root])
			continue;
		mem_section[root] = kzalloc_node(SECTIONS_PER_ROOT * sizeof(struct mem_section),
						 GFP_KERNEL, nid);
		if (!mem_section[root])
			return -ENOMEM;
	}
#endif
	return 0;
}

#define for_each_section(section, start, size)						\
	for (unsigned long nr = pfn_to_section_nr(PHYS_PFN(start)),			\
	     end = pfn_to_section_nr(PHYS_PFN((start) + (size) - 1));			\
	     nr <= end && ((section) = __nr_to_section(nr), true); nr++)

/**
 * mm_sections_present() - whether any section of a range is present
 * @start: in bytes
 * @size: in bytes
 *
 * Context: The answer is lasting only under mem_hotplug_lock.
 */
bool mm_sections_present(u64 start, u64 size)
{
	struct mem_section *section;

	for_each_section(section, start, size)
		if (present_section(section))
			return true;
	return false;
}

/**
 * mm_section_valid() - whether an address is in a section with a memmap
 * @address: physical address in bytes
 *
 * Context: mem_hotplug_lock held.
 */
bool mm_section_valid(u64 address)
{
	return valid_section(__pfn_to_section(PHYS_PFN(address)));
}

/**
 * mm_memmap_on_memory_pages() - length of a memory block's memmap, if the block can host it
 *
 * The conditions are those of mhp_supports_memmap_on_memory() in mm/memory_hotplug.c, aside from the
 * kernel parameter that switches it on for everybody: the memmap has to fill complete PMDs, so that it
 * shares none with a neighbour's, and whole pageblocks, so that what is left can be onlined.
 *
 * Return: pages, or 0 if a block of this system cannot host its memmap.
 */
unsigned long mm_memmap_on_memory_pages(void)
{
#ifdef CONFIG_MHP_MEMMAP_ON_MEMORY
	unsigned long block_pages = PHYS_PFN(memory_block_size_bytes());
	unsigned long memmap_size = block_pages * sizeof(struct page);
	unsigned long memmap_pages = PHYS_PFN(memmap_size);

	if (!IS_ENABLED(CONFIG_SPARSEMEM_VMEMMAP) ||
	    !IS_ALIGNED(memmap_size, PMD_SIZE) ||
	    !IS_ALIGNED(memmap_pages, pageblock_nr_pages) ||
	    memmap_pages >= block_pages)
		return 0;

	return memmap_pages;
#else
	return 0;
#endif
}

/* Makes progress without memory: offlining is what people do when they are short of it elsewhere. */
static struct workqueue_struct *switch_workqueue;

#ifdef HAVE_WORKQUEUE_PERCPU
#define SWITCH_WORKQUEUE_FLAGS (WQ_HIGHPRI | WQ_MEM_RECLAIM | WQ_PERCPU)
#else
#define SWITCH_WORKQUEUE_FLAGS (WQ_HIGHPRI | WQ_MEM_RECLAIM)
#endif

static void pass_context_switch(struct work_struct *work)
{
}

/*
 * Where kernel code is preempted only when it asks for it, nobody is between pfn_to_online_page() and
 * the use of the page any more once every CPU has switched to this work.
 */
static int switch_every_cpu(void)
{
	struct work_struct *works;
	int cpu;

	works = kcalloc(nr_cpu_ids, sizeof(*works), GFP_KERNEL);
	if (!works)
		return -ENOMEM;

	for_each_online_cpu(cpu) {
		INIT_WORK(&works[cpu], pass_context_switch);
		queue_work_on(cpu, switch_workqueue, &works[cpu]);
	}
	for_each_online_cpu(cpu)
		flush_work(&works[cpu]);

	kfree(works);
	return 0;
}

/*
 * How many are compacting memory at this moment. Compaction asks whether a pageblock is online when it comes there,
 * and then walks its struct pages, giving way to others every now and then. It also sleeps in between, for 20 ms at a
 * time, while very many pages are isolated.
 */
static atomic_t compacting = ATOMIC_INIT(0);

/* Nobody tells: as if somebody did all the time */
#define COMPACTION_UNKNOWN (INT_MAX / 2)

/* As the events have it in trace/events/compaction.h: where indirect calls are checked (CFI), types have to be the same. */
struct compact_control;

static void compaction_begins(void *unused, struct compact_control *cc, unsigned long zone_start, unsigned long zone_end,
			      bool sync)
{
	atomic_inc(&compacting);
}

/* Who had begun before we were told does not count. */
static void compaction_ends(void *unused, struct compact_control *cc, unsigned long zone_start, unsigned long zone_end,
			    bool sync, int status)
{
	atomic_dec_if_positive(&compacting);
}

static struct compaction_event {
	const char *name;
	void *probe;
	struct tracepoint *tracepoint;
} compaction_events[] = {
	{ "mm_compaction_end", compaction_ends },
	{ "mm_compaction_begin", compaction_begins },
};

static void find_compaction_event(struct tracepoint *tracepoint, void *event)
{
	struct compaction_event *wanted = event;

	if (!strcmp(tracepoint->name, wanted->name))
		wanted->tracepoint = tracepoint;
}

static void unwatch_compaction(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(compaction_events); i++) {
		if (compaction_events[i].tracepoint)
			tracepoint_probe_unregister(compaction_events[i].tracepoint, compaction_events[i].probe, NULL);
		compaction_events[i].tracepoint = NULL;
	}
	tracepoint_synchronize_unregister();
}

static void watch_compaction(void)
{
	unsigned int i;
	int ret;

	atomic_set(&compacting, 0);
	for (i = 0; i < ARRAY_SIZE(compaction_events); i++) {
		struct compaction_event *event = &compaction_events[i];

		for_each_kernel_tracepoint(find_compaction_event, event);
		ret = event->tracepoint ? tracepoint_probe_register(event->tracepoint, event->probe, NULL) : -ENOENT;
		if (!ret)
			continue;
		event->tracepoint = NULL;
		/* As if somebody did all the time: that costs time, and nothing else. */
		if (IS_ENABLED(CONFIG_COMPACTION))
			atomic_set(&compacting, COMPACTION_UNKNOWN);
	}
}

/*
 * Those who have begun end sooner or later; where others begin all the time, it is for the rest of the wait. On a kernel
 * without preemption that may not have been built for it either, nothing comes after this that waits for a task which is
 * kept from running.
 */
static void wait_for_compaction(void)
{
	const unsigned long until = jiffies + (IS_ENABLED(CONFIG_TASKS_RCU) ? HZ : 10 * HZ);
	int count;

	while ((count = atomic_read(&compacting)) && count < COMPACTION_UNKNOWN / 2 && time_before(jiffies, until))
		usleep_range(1000, 2000);
}

/**
 * mm_wait_for_memmap_readers() - wait for those who may still look at struct pages of offline memory
 *
 * Those who walk physical memory without a lock (kpageflags, kcore ...) ask pfn_to_online_page()
 * and then look at the page; between the two they neither sleep nor are they in an RCU read-side section.
 * (Compaction may; memory failure does, and page_owner asks something else: their guards see to that.) Offline
 * memory in general keeps its memmap until it is removed; ours loses it at once, so wait until all of them have gone on.
 *
 * Context: Process context, sleeps. mem_hotplug_lock held, and thereby cpu_hotplug_lock.
 */
void mm_wait_for_memmap_readers(void)
{
	wait_for_compaction();
	if (!preempt_model_none() && !preempt_model_voluntary()) {
		/* Kernel code may be preempted anywhere: wait for each task to sleep by itself. */
		synchronize_rcu_tasks();
		return;
	}
	/* Who compacts may have switched in the middle of its walk, and not have slept yet. */
	if (switch_every_cpu() || atomic_read(&compacting))
		synchronize_rcu_tasks();
}

/*
 * kallsyms_lookup_name() is not exported either, but registering a kprobe by name finds it. (The
 * address may be a few bytes past the symbol, behind the landing pad of an indirect branch, which a
 * direct call does not need.) A kprobe that is disabled is never armed, so that it can be unregistered
 * without fail: what disarms one needs memory.
 */
static int resolve_lookup(void)
{
	struct kprobe kprobe = { .symbol_name = "kallsyms_lookup_name", .flags = KPROBE_FLAG_DISABLED };
	int ret;

	ret = register_kprobe(&kprobe);
	if (ret) {
		pr_err("cannot look up symbols: %s (%pe)\n",
		       ret == -EOPNOTSUPP || ret == -ENOSYS ? "this kernel has no kprobes" :
		       ret == -EPERM ? "the kernel is locked down" : "kprobes do not work",
		       ERR_PTR(ret));
		return ret;
	}
	static_call_update(internal_kallsyms_lookup_name, (void *)kprobe.addr);
	unregister_kprobe(&kprobe);
	return 0;
}

/**
 * mm_internals_init() - find all functions of this file
 *
 * Context: Process context, may sleep. Before anything else here is called.
 * Return: 0; -ENOENT if the kernel lacks one of them, which is then named in the log; or why symbols
 * cannot be looked up at all; -ENOMEM.
 */
int mm_internals_init(void)
{
	void *address;
	int ret;

	ret = resolve_lookup();
	if (ret)
		return ret;

#define RESOLVE_INTERNAL(function)							\
	do {										\
		address = (void *)mm_lookup_symbol(#function);				\
		if (!address) {								\
			pr_err("cannot call %s(): this kernel has no such function, or it was inlined\n", \
			       #function);						\
			return -ENOENT;							\
		}									\
		static_call_update(internal_##function, address);			\
	} while (0);
	MM_INTERNALS(RESOLVE_INTERNAL)

	page_callback = (online_page_callback_t *)mm_lookup_symbol("online_page_callback");
#ifdef CONFIG_MEMORY_FAILURE
	failure_mutex = (struct mutex *)mm_lookup_symbol("mf_mutex");
#endif
	switch_workqueue = alloc_workqueue("twostage", SWITCH_WORKQUEUE_FLAGS, 0);
	if (!switch_workqueue)
		return -ENOMEM;
	watch_compaction();
	return 0;
}

/** mm_internals_exit() - undo mm_internals_init() */
void mm_internals_exit(void)
{
	unwatch_compaction();
	destroy_workqueue(switch_workqueue);
}
