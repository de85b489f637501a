# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""add and remove: what they write to the bus attributes, and what they print."""

from ktap import contains, lacks, same, test, test_each
from sysroot import BLOCK, MIB

ADD = "sys/bus/twostage/add_region"
REMOVE = "sys/bus/twostage/remove_region"

LINES = [
    ("4G 2G", "0x100000000 0x80000000"),
    ("0x100000000 2GiB", "0x100000000 0x80000000"),
    ("--node 1 4G 2G", "0x100000000 0x80000000 node=1"),
    ("4G --node=0 2G", "0x100000000 0x80000000 node=0"),
    ("--memmap-on-memory yes 4G 2G", "0x100000000 0x80000000 memmap_on_memory=1"),
    ("--memmap-on-memory no 4G 2G", "0x100000000 0x80000000 memmap_on_memory=0"),
    ("--auto-online 4G 2G", "0x100000000 0x80000000 auto_online=1"),
    ("--node 2 --memmap-on-memory no --auto-online 4G 2G",
     "0x100000000 0x80000000 node=2 memmap_on_memory=0 auto_online=1"),
    ("0 128M", "0x0 0x8000000"),
]


@test_each("add writes its arguments to add_region: {}", LINES)
def add_line(root, arguments, line):
    root.run("add", *arguments.split()).expect(0)
    same(root.read(ADD), line, "line")


@test("add prints the name, range, size and node of the new region")
def added(root):
    root.add_region(8, 4)
    root.add_region(32, 16, node=1)
    result = root.run("add", "4G", "2G").expect(0)
    same(result.out, "region1: 0x100000000-0x17fffffff, 2G in 16 blocks on node 1, 0 online\n", "stdout")
    same(result.err, "", "stderr")


@test("add --auto-online hints that the policy leaves the blocks offline")
def added_auto_online(root):
    root.add_region(32, 16)
    contains(root.run("add", "4G", "2G", "--auto-online").expect(0).err, '"offline"',
             "twostage online region0 --all")


@test("add of a range that is not aligned fails, and hints at the whole blocks in it")
def unaligned(root):
    # Like add_region, this file returns EINVAL for text that it cannot parse.
    root.replace_by_link(ADD, "/proc/self/oom_score_adj")
    result = root.run("add", BLOCK + MIB, "1G").expect(1)
    same(result.out, "", "stdout")
    contains(result.err, "cannot add 0x8100000-0x480fffff: Invalid argument", "128M",
             "twostage add 0x10000000 896M")
    lacks(root.run("add", BLOCK, "64M").expect(1).err, "twostage add")


@test("add fails if the write to add_region fails")
def add_fails(root):
    root.replace_by_link(ADD, "/dev/full")
    result = root.run("add", "4G", "1G").expect(1)
    same(result.out, "", "stdout")
    contains(result.err, "cannot add 0x100000000-0x13fffffff: No space left on device")


@test("remove writes the region's name to remove_region")
def remove(root):
    root.add_region(32, 4)
    root.add_region(64, 4)
    same(root.run("remove", "region1").expect(0).out, "region1 removed\n", "stdout")
    same(root.read(REMOVE), "region1", "line")


@test("remove of several names removes each region once")
def remove_several(root):
    for first in (32, 64, 96):
        root.add_region(first, 4)
    same(root.run("remove", "region2", "region0", "region2").expect(0).out,
         "region0 removed\nregion2 removed\n", "stdout")


@test("remove --all removes all regions")
def remove_all(root):
    for first in (32, 64, 96):
        root.add_region(first, 4)
    same(root.run("remove", "--all").expect(0).out,
         "region0 removed\nregion1 removed\nregion2 removed\n", "stdout")
    same(root.read(REMOVE), "region2", "last line")


@test("remove --all succeeds without regions")
def remove_none(root):
    root.run("remove", "--all").expect(0)
    same(root.read(REMOVE), "", "line")


@test("remove --all continues after a region that cannot be removed")
def remove_fails(root):
    root.add_region(32, 4)
    root.add_region(64, 4)
    root.replace_by_link(REMOVE, "/dev/full")
    result = root.run("remove", "--all").expect(1)
    same(result.out, "", "stdout")
    contains(result.err, "cannot remove region0: No space left", "cannot remove region1: No space left")


@test_each("a command that may not write an attribute fails, and hints that only root may: {}", ["add 4G 1G", "remove --all", "online --all", "offline --all"])
def unprivileged(root, command):
    root.add_region(32, 2, online=(33,))
    for path in (ADD, REMOVE, root.state_of(32), root.state_of(33)):
        root.chmod(path, 0o444)
    result = root.run_unprivileged(*command.split()).expect(1)
    contains(result.err, "Permission denied", "hint: only root may do this")
