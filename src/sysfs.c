// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attributes of the bus and of regions: they only parse and print
 *
 *   /sys/bus/twostage/			add_region, remove_region, adopt
 *   /sys/bus/twostage/devices/regionN/	one for each region
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/ctype.h>
#include <linux/kernel.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/minmax.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "log.h"
#include "mm_internals.h"
#include "oom.h"
#include "parse.h"
#include "providers/dimm.h"
#include "providers/ram.h"
#include "region.h"
#include "region_online.h"
#include "sysfs.h"

static int parse_option(char *option, struct twostage_region_params *params)
{
	char *value = strchr(option, '=');

	if (!value)
		return -EINVAL;
	*value++ = '\0';

	if (!strcmp(option, "node"))
		return parse_node(value, &params->nid);
	if (!strcmp(option, "memmap_on_memory") || !strcmp(option, "auto_online")) {
		bool on;

		if (strcmp(value, "0") && strcmp(value, "1"))
			return -EINVAL;
		on = value[0] == '1';
		if (option[0] == 'm')
			params->memmap_on_memory = on;
		else
			params->auto_online = on;
		return 0;
	}
	return -EINVAL;
}

static int parse_region(char *text, struct twostage_region_params *params)
{
	char *word;

	word = parse_word(&text);
	if (!word || parse_size(word, &params->start)) {
		pr_err("add_region: \"" ESCAPED "\" is not a start address\n", escaped(word ?: ""));
		return -EINVAL;
	}
	word = parse_word(&text);
	if (!word || parse_size(word, &params->size)) {
		pr_err("add_region: \"" ESCAPED "\" is not a size\n", escaped(word ?: ""));
		return -EINVAL;
	}
	while ((word = parse_word(&text))) {
		char *copy = kstrdup(word, GFP_KERNEL);
		int ret;

		if (!copy)
			return -ENOMEM;
		ret = parse_option(copy, params);
		kfree(copy);
		if (ret) {
			pr_err("add_region: \"" ESCAPED "\" is not node=N, memmap_on_memory=0|1 or auto_online=0|1\n",
			       escaped(word));
			return ret;
		}
	}
	return 0;
}

static ssize_t add_region_store(bus_attribute_bus *bus, const char *buf, size_t count)
{
	struct twostage_region_params params;
	char *text;
	int ret;

	text = kstrndup(buf, count, GFP_KERNEL);
	if (!text)
		return -ENOMEM;

	ram_region_params(&params);
	ret = parse_region(text, &params);
	if (!ret)
		ret = region_add_by_name(&params);
	kfree(text);
	return ret ? ret : count;
}
static BUS_ATTR_WO(add_region);

static ssize_t remove_region_store(bus_attribute_bus *bus, const char *buf, size_t count)
{
	char *text, *rest, *name;
	int ret = -EINVAL;

	text = kstrndup(buf, count, GFP_KERNEL);
	if (!text)
		return -ENOMEM;

	rest = text;
	name = parse_word(&rest);
	if (!name || parse_word(&rest))
		pr_err("remove_region: takes the name of one region\n");
	else
		ret = region_remove_by_name(name);
	kfree(text);
	return ret ? ret : count;
}
static BUS_ATTR_WO(remove_region);

static ssize_t adopt_show(bus_attribute_bus *bus, char *buf)
{
	return sysfs_emit(buf, "%d\n", dimm_adopting());
}

static ssize_t adopt_store(bus_attribute_bus *bus, const char *buf, size_t count)
{
	bool on = sysfs_streq(buf, "1");

	if (!on && !sysfs_streq(buf, "0")) {
		pr_err("adopt: takes 0 or 1\n");
		return -EINVAL;
	}
	dimm_adopt(on);
	return count;
}
static struct bus_attribute bus_attr_adopt = __ATTR(adopt, 0600, adopt_show, adopt_store);

static struct attribute *twostage_bus_attrs[] = {
	&bus_attr_add_region.attr,
	&bus_attr_remove_region.attr,
	&bus_attr_adopt.attr,
	NULL
};
ATTRIBUTE_GROUPS(twostage_bus);

static ssize_t start_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%#llx\n", to_region(dev)->start);
}
static DEVICE_ATTR_RO(start);

static ssize_t size_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%#llx\n", to_region(dev)->size);
}
static DEVICE_ATTR_RO(size);

static ssize_t node_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", to_region(dev)->nid);
}
static DEVICE_ATTR_RO(node);

static ssize_t provider_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", to_region(dev)->provider->name);
}
static DEVICE_ATTR_RO(provider);

static ssize_t blocks_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lu\n", to_region(dev)->nr_blocks);
}
static DEVICE_ATTR_RO(blocks);

static ssize_t blocks_online_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lu\n", READ_ONCE(to_region(dev)->nr_populated));
}
static DEVICE_ATTR_RO(blocks_online);

static ssize_t blocks_poisoned_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lu\n", READ_ONCE(to_region(dev)->nr_poisoned));
}
static DEVICE_ATTR_RO(blocks_poisoned);

static ssize_t memmap_pages_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lu\n", READ_ONCE(to_region(dev)->memmap_pages));
}
static DEVICE_ATTR_RO(memmap_pages);

static ssize_t budget_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct twostage_region *region = to_region(dev);

	return sysfs_emit(buf, "%#llx\n", region->provider->budget(region));
}
static DEVICE_ATTR_RO(budget);

static ssize_t plugged_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct twostage_region *region = to_region(dev);

	return sysfs_emit(buf, "%#llx\n", region->provider->plugged(region));
}
static DEVICE_ATTR_RO(plugged);

static ssize_t memmap_on_memory_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", READ_ONCE(to_region(dev)->memmap_on_memory));
}

static ssize_t memmap_on_memory_store(struct device *dev, struct device_attribute *attr,
				      const char *buf, size_t count)
{
	bool on = sysfs_streq(buf, "1");
	int ret;

	if (!on && !sysfs_streq(buf, "0")) {
		pr_err("%s: memmap_on_memory: takes 0 or 1\n", dev_name(dev));
		return -EINVAL;
	}
	ret = region_set_memmap_on_memory(to_region(dev), on);
	return ret ? ret : count;
}
static DEVICE_ATTR_RW(memmap_on_memory);

static ssize_t online_on_oom_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", READ_ONCE(to_region(dev)->online_on_oom));
}

static ssize_t online_on_oom_store(struct device *dev, struct device_attribute *attr,
				   const char *buf, size_t count)
{
	bool on = sysfs_streq(buf, "1");
	int ret;

	if (!on && !sysfs_streq(buf, "0")) {
		pr_err("%s: online_on_oom: takes 0 or 1\n", dev_name(dev));
		return -EINVAL;
	}
	ret = oom_set(to_region(dev), on);
	return ret ? ret : count;
}
static DEVICE_ATTR_RW(online_on_oom);

static ssize_t oom_onlined_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lu\n", READ_ONCE(to_region(dev)->oom_onlined));
}
static DEVICE_ATTR_RO(oom_onlined);

static int parse_count(const char *word, unsigned long *count)
{
	if (!strcmp(word, "all")) {
		*count = REGION_ALL_BLOCKS;
		return 0;
	}
	/*
	 * kstrtoul() accepts a sign. The number that stands for "all" is
	 * refused.
	 */
	if (!isdigit(word[0]) || kstrtoul(word, 0, count) || *count == REGION_ALL_BLOCKS)
		return -EINVAL;
	return 0;
}

static int parse_online_type(const char *word)
{
	if (!word || !strcmp(word, "online"))
		return MMOP_ONLINE;
	if (!strcmp(word, "online_kernel"))
		return MMOP_ONLINE_KERNEL;
	if (!strcmp(word, "online_movable"))
		return MMOP_ONLINE_MOVABLE;
	return -EINVAL;
}

static ssize_t online_store(struct device *dev, struct device_attribute *attr,
			    const char *buf, size_t count)
{
	char *text, *rest, *word;
	unsigned long blocks;
	int ret = -EINVAL;
	int type;

	text = kstrndup(buf, count, GFP_KERNEL);
	if (!text)
		return -ENOMEM;

	rest = text;
	word = parse_word(&rest);
	if (!word || parse_count(word, &blocks))
		goto malformed;
	type = parse_online_type(parse_word(&rest));
	if (type < 0 || parse_word(&rest))
		goto malformed;
	ret = region_online(to_region(dev), blocks, type);
	kfree(text);
	return ret ? ret : count;

malformed:
	pr_err("%s: online: takes a number of blocks or \"all\", and then optionally online, online_kernel or online_movable\n",
	       dev_name(dev));
	kfree(text);
	return ret;
}
static DEVICE_ATTR_WO(online);

static ssize_t offline_store(struct device *dev, struct device_attribute *attr,
			     const char *buf, size_t count)
{
	char *text, *rest, *word;
	unsigned long blocks;
	int ret;

	text = kstrndup(buf, count, GFP_KERNEL);
	if (!text)
		return -ENOMEM;

	rest = text;
	word = parse_word(&rest);
	if (!word || parse_count(word, &blocks) || parse_word(&rest)) {
		pr_err("%s: offline: takes a number of blocks or \"all\"\n", dev_name(dev));
		ret = -EINVAL;
	} else {
		ret = region_offline(to_region(dev), blocks);
	}
	kfree(text);
	return ret ? ret : count;
}
static DEVICE_ATTR_WO(offline);

/*
 * A letter for each block, so that a program that lists tens of thousands of
 * blocks need not open a file of each. A binary attribute, because a text
 * attribute is limited to a page.
 */
static ssize_t stages_read(struct file *file, struct kobject *kobj, binary_attribute *attr,
			   char *buf, loff_t offset, size_t count)
{
	static const char letters[] = {
		[BLOCK_STANDBY] = 's',
		[BLOCK_POPULATED] = 'p',
		[BLOCK_POISONED] = 'x',
	};
	const struct twostage_region *region = to_region(kobj_to_dev(kobj));
	size_t i;

	if (offset >= region->nr_blocks)
		return 0;
	count = min_t(size_t, count, region->nr_blocks - offset);
	for (i = 0; i < count; i++)
		buf[i] = letters[READ_ONCE(region->blocks[offset + i].stage)];
	return count;
}
static binary_attribute bin_attr_stages = __BIN_ATTR_RO(stages, 0);

static BINARY_ATTRIBUTES(region_bin_attrs) = {
	&bin_attr_stages,
	NULL
};

static struct attribute *region_attrs[] = {
	&dev_attr_start.attr,
	&dev_attr_size.attr,
	&dev_attr_node.attr,
	&dev_attr_provider.attr,
	&dev_attr_blocks.attr,
	&dev_attr_blocks_online.attr,
	&dev_attr_blocks_poisoned.attr,
	&dev_attr_memmap_pages.attr,
	&dev_attr_memmap_on_memory.attr,
	&dev_attr_budget.attr,
	&dev_attr_plugged.attr,
	&dev_attr_online.attr,
	&dev_attr_offline.attr,
	&dev_attr_online_on_oom.attr,
	&dev_attr_oom_onlined.attr,
	NULL
};

static umode_t region_attr_visible(struct kobject *kobj, struct attribute *attr, int n)
{
	const struct twostage_provider *provider = to_region(kobj_to_dev(kobj))->provider;

	if ((attr == &dev_attr_budget.attr && !provider->budget) ||
	    (attr == &dev_attr_plugged.attr && !provider->plugged))
		return 0;
	return attr->mode;
}

static const struct attribute_group region_group = {
	.attrs = region_attrs,
	.bin_attrs = region_bin_attrs,
	.is_visible = region_attr_visible,
};

static const struct attribute_group *region_groups[] = {
	&region_group,
	NULL
};

/**
 * sysfs_init() - register the bus, with all attributes
 *
 * Return: 0 or a negative errno.
 */
int sysfs_init(void)
{
	region_bus.bus_groups = twostage_bus_groups;
	region_bus.dev_groups = region_groups;
	return bus_register(&region_bus);
}

/** sysfs_exit() - undo sysfs_init(); waits for tasks in an attribute */
void sysfs_exit(void)
{
	bus_unregister(&region_bus);
}
