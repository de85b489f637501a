// SPDX-License-Identifier: GPL-2.0-only
/*
 * The directory twostage/ in debugfs
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include "debugfs.h"
#include "hook.h"

static int hooks_file_show(struct seq_file *m, void *unused)
{
	hooks_show(m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(hooks_file);

static struct dentry *directory;

/**
 * twostage_debugfs_init() - make the directory
 *
 * Return: 0. Without debugfs there is no directory, and that is no error.
 */
int twostage_debugfs_init(void)
{
	directory = debugfs_create_dir("twostage", NULL);
	debugfs_create_file("hooks", 0400, directory, NULL, &hooks_file_fops);
	return 0;
}

/** twostage_debugfs_exit() - undo twostage_debugfs_init() */
void twostage_debugfs_exit(void)
{
	debugfs_remove_recursive(directory);
}
