// SPDX-License-Identifier: GPL-2.0-only
/* A binary attribute's functions get a constant attribute. */
#include <linux/sysfs.h>
ssize_t read(struct file *file, struct kobject *kobj, const struct bin_attribute *attr, char *buf,
	     loff_t offset, size_t count);
const struct bin_attribute test = { .read = read };
