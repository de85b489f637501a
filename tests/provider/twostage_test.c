// SPDX-License-Identifier: GPL-2.0-only
/*
 * A provider that fails, delays or refuses on command
 *
 * For the failure paths of stage 2, with a granule of any size. It also checks
 * that it is called as include/twostage.h promises: never twice for the same
 * range, never for a part of a granule.
 *
 * debugfs twostage_test/
 *
 *   add		START SIZE GRANULE [MEMMAP_ON_MEMORY]: add a region; the
 *			first three are in bytes (0x...)
 *   remove		regionN: remove a region
 *   assign_error	positive errno with which assign fails, 0: succeed
 *   unassign_error	the same for unassign
 *   refuse_offline	physical address of a memory block that may not go
 *			offline (EBUSY), 0: none
 *   delay_ms		how long assign and unassign take
 *   assign_allocates	bytes of memory that a thread allocates and frees,
 *			while assign waits for it
 *   offline_allocates	the same for the notifier at MEM_GOING_OFFLINE, in the
 *			task that sets the block offline
 *   offline_delay_ms	how long the notifier delays each MEM_GOING_OFFLINE,
 *			for any memory block
 *   keep_pages		1: the online_page_callback keeps the pages that come
 *			online, as that of a balloon driver does; 0: the
 *			default callback
 *   assigned		bytes that are assigned
 *   assigns		how many calls of assign succeeded
 *   unassigns		how many calls of unassign succeeded
 *   violations		how many calls broke the promises
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage_test: " fmt

#include <linux/completion.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/numa.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <twostage.h>

/**
 * struct test_region - a region of this provider
 * @node: entry in test_regions
 * @region: the region
 * @start: physical address, in bytes
 * @granule: in bytes
 * @assigned: bitmap of the granules that are assigned
 */
struct test_region {
	struct list_head node;
	struct twostage_region *region;
	u64 start;
	u64 granule;
	unsigned long *assigned;
};

static LIST_HEAD(test_regions);
static DEFINE_MUTEX(test_regions_lock);

static u32 assign_error;
static u32 unassign_error;
static u32 delay_ms;
static u64 assign_allocates;
static u64 offline_allocates;
static u32 offline_delay_ms;
static u64 refuse_offline;
static u64 assigned_bytes;
static u32 assigns;
static u32 unassigns;
static u32 violations;

static int change(struct twostage_region *region, u64 start, u64 size, bool assign)
{
	struct test_region *test = twostage_region_data(region);
	u64 first = (start - test->start) / test->granule;
	u64 count = size / test->granule;
	u32 error = READ_ONCE(*(assign ? &assign_error : &unassign_error));
	u64 i;

	msleep(READ_ONCE(delay_ms));

	if (!size || (start - test->start) % test->granule || size % test->granule)
		goto violation;
	for (i = first; i < first + count; i++)
		if (test_bit(i, test->assigned) == assign)
			goto violation;

	if (error)
		return -(int)error;

	for (i = first; i < first + count; i++)
		__change_bit(i, test->assigned);
	if (assign) {
		assigned_bytes += size;
		assigns++;
	} else {
		assigned_bytes -= size;
		unassigns++;
	}
	return 0;

violation:
	violations++;
	pr_err("%s of [%#llx-%#llx]: partial granule, or called twice\n",
	       assign ? "assign" : "unassign", start, start + size - 1);
	return -EINVAL;
}

static void allocate(u64 size)
{
	struct page *page;
	LIST_HEAD(pages);

	for (; size >= PAGE_SIZE; size -= PAGE_SIZE) {
		page = alloc_page(GFP_HIGHUSER_MOVABLE);
		if (!page)
			break;
		list_add(&page->lru, &pages);
	}
	while ((page = list_first_entry_or_null(&pages, struct page, lru))) {
		list_del(&page->lru);
		__free_page(page);
	}
}

static int allocate_and_exit(void *ended)
{
	allocate(READ_ONCE(assign_allocates));
	kthread_complete_and_exit(ended, 0);
}

static void allocate_in_thread(void)
{
	DECLARE_COMPLETION_ONSTACK(ended);

	if (!IS_ERR(kthread_run(allocate_and_exit, &ended, "twostage_test")))
		wait_for_completion(&ended);
}

static int test_assign(struct twostage_region *region, u64 start, u64 size)
{
	if (READ_ONCE(assign_allocates))
		allocate_in_thread();
	return change(region, start, size, true);
}

static int test_unassign(struct twostage_region *region, u64 start, u64 size)
{
	return change(region, start, size, false);
}

static const struct twostage_provider test_provider = {
	.name = "test",
	.owner = THIS_MODULE,
	.assign = test_assign,
	.unassign = test_unassign,
};

static void test_region_free(struct test_region *test)
{
	bitmap_free(test->assigned);
	kfree(test);
}

static int test_region_add(u64 start, u64 size, u64 granule, bool memmap_on_memory)
{
	struct twostage_region_params params = {
		.provider = &test_provider,
		.start = start,
		.size = size,
		.granule = granule,
		.nid = NUMA_NO_NODE,
		.memmap_on_memory = memmap_on_memory,
	};
	struct test_region *test;

	test = kzalloc(sizeof(*test), GFP_KERNEL);
	if (!test)
		return -ENOMEM;
	test->start = start;
	test->granule = granule;
	/*
	 * Any size may be passed in; twostage_region_add() refuses what is too
	 * large.
	 */
	test->assigned = bitmap_zalloc(size / granule + 1, GFP_KERNEL | __GFP_NOWARN);
	if (!test->assigned) {
		test_region_free(test);
		return -ENOMEM;
	}

	params.data = test;
	test->region = twostage_region_add(&params);
	if (IS_ERR(test->region)) {
		int ret = PTR_ERR(test->region);

		test_region_free(test);
		return ret;
	}
	mutex_lock(&test_regions_lock);
	list_add_tail(&test->node, &test_regions);
	mutex_unlock(&test_regions_lock);
	return 0;
}

static int read_text(const char __user *buffer, size_t count, char *text, size_t size)
{
	if (count >= size)
		return -EINVAL;
	if (copy_from_user(text, buffer, count))
		return -EFAULT;
	text[count] = '\0';
	strim(text);
	return 0;
}

static ssize_t add_write(struct file *file, const char __user *buffer, size_t count, loff_t *pos)
{
	unsigned int memmap_on_memory = 1;
	u64 start, size, granule;
	char text[96];
	int ret;

	ret = read_text(buffer, count, text, sizeof(text));
	if (ret)
		return ret;
	if (sscanf(text, "%lli %lli %lli %u", &start, &size, &granule, &memmap_on_memory) < 3 ||
	    !granule)
		return -EINVAL;
	ret = test_region_add(start, size, granule, memmap_on_memory);
	return ret ? ret : count;
}

static const struct file_operations add_fops = { .open = simple_open, .write = add_write };

static ssize_t remove_write(struct file *file, const char __user *buffer, size_t count, loff_t *pos)
{
	struct test_region *test;
	int ret = -ENXIO;
	char text[32];

	if (read_text(buffer, count, text, sizeof(text)))
		return -EINVAL;

	mutex_lock(&test_regions_lock);
	list_for_each_entry(test, &test_regions, node) {
		if (strcmp(text, twostage_region_name(test->region)))
			continue;
		/* No task waits for this one, so the lock will be released. */
		do {
			ret = twostage_region_remove(test->region);
		} while (ret == -ETIMEDOUT);
		if (!ret) {
			list_del(&test->node);
			test_region_free(test);
		}
		break;
	}
	mutex_unlock(&test_regions_lock);
	return ret ? ret : count;
}

static const struct file_operations remove_fops = { .open = simple_open, .write = remove_write };

static int memory_callback(struct notifier_block *nb, unsigned long action, void *data)
{
	const struct memory_notify *notify = data;
	const unsigned long refused = PHYS_PFN(READ_ONCE(refuse_offline));

	if (action == MEM_GOING_OFFLINE) {
		msleep(READ_ONCE(offline_delay_ms));
		allocate(READ_ONCE(offline_allocates));
	}
	if (action != MEM_GOING_OFFLINE || !refused ||
	    refused >= notify->start_pfn + notify->nr_pages ||
	    refused + PHYS_PFN(memory_block_size_bytes()) <= notify->start_pfn)
		return NOTIFY_DONE;
	return notifier_from_errno(-EBUSY);
}

static void keep_page(struct page *page, unsigned int order)
{
}

static int keep_pages_set(void *data, u64 on)
{
	return on ? set_online_page_callback(keep_page) : restore_online_page_callback(keep_page);
}
DEFINE_DEBUGFS_ATTRIBUTE(keep_pages_fops, NULL, keep_pages_set, "%llu\n");

static struct notifier_block memory_notifier = { .notifier_call = memory_callback };

static struct dentry *root;

static int __init twostage_test_init(void)
{
	int ret = register_memory_notifier(&memory_notifier);

	if (ret)
		return ret;
	root = debugfs_create_dir("twostage_test", NULL);
	debugfs_create_file("add", 0200, root, NULL, &add_fops);
	debugfs_create_file("remove", 0200, root, NULL, &remove_fops);
	debugfs_create_u32("assign_error", 0600, root, &assign_error);
	debugfs_create_u32("unassign_error", 0600, root, &unassign_error);
	debugfs_create_x64("refuse_offline", 0600, root, &refuse_offline);
	debugfs_create_u32("delay_ms", 0600, root, &delay_ms);
	debugfs_create_x64("assign_allocates", 0600, root, &assign_allocates);
	debugfs_create_x64("offline_allocates", 0600, root, &offline_allocates);
	debugfs_create_u32("offline_delay_ms", 0600, root, &offline_delay_ms);
	debugfs_create_file_unsafe("keep_pages", 0200, root, NULL, &keep_pages_fops);
	debugfs_create_u64("assigned", 0400, root, &assigned_bytes);
	debugfs_create_u32("assigns", 0400, root, &assigns);
	debugfs_create_u32("unassigns", 0400, root, &unassigns);
	debugfs_create_u32("violations", 0400, root, &violations);
	return 0;
}

/* Each region holds a reference to this module, so there are none left. */
static void __exit twostage_test_exit(void)
{
	debugfs_remove_recursive(root);
	unregister_memory_notifier(&memory_notifier);
}

module_init(twostage_test_init);
module_exit(twostage_test_exit);

MODULE_AUTHOR("the twostage developers");
MODULE_DESCRIPTION("A twostage provider that fails on command");
MODULE_LICENSE("GPL");
