// SPDX-License-Identifier: GPL-2.0-only
/* A binary attribute's functions get a constant attribute. */
#include <linux/sysfs.h>
#ifdef FEATURE
ssize_t read(struct file *file, struct kobject *kobj, const struct bin_attribute *attr, char *buf,
	     loff_t offset, size_t count);
#else
ssize_t read(struct file *file, struct kobject *kobj, struct bin_attribute *attr, char *buf,
	     loff_t offset, size_t count);
#endif
const struct bin_attribute test = { .read = read };
