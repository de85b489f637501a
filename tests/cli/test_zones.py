# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Warnings of online and status about too much memory in zone Movable."""

import json

from ktap import contains, lacks, same, test, test_each
from sysroot import GIB, MEMORY, MIB

RATIO = "sys/module/memory_hotplug/parameters/auto_movable_ratio"
PAGE = 4096


def set_zones(root, *nodes):
    """Write /proc/zoneinfo; each node is a dictionary of zones and their present bytes."""
    text = ""
    for node, zones in enumerate(nodes):
        for zone, size in zones.items():
            text += (f"Node {node}, zone {zone:>8}\n  pages free     7\n        boost    0\n        min      3\n"
                     f"        spanned  {2 * size // PAGE}\n        present  {size // PAGE}\n"
                     f"        managed  {size // PAGE - 5}\n        protection: (0, 299, 299, 299)\n"
                     "      nr_free_pages 7\n  pagesets\n    cpu: 0\n              count: 99\n")
    root.write("proc/zoneinfo", text)


def facts(root):
    found = json.loads(root.run("status", "--json", "--bytes").expect(0).out)["status"][0]
    return [found[name] for name in ("kernel-zones", "movable-zone", "movable-ratio", "movable-limit")]


@test("status counts the memory of all nodes in kernel zones and in zone Movable")
def counted(root):
    set_zones(root, {"DMA": 16 * MIB, "DMA32": 240 * MIB, "Normal": 0, "Movable": 256 * MIB, "Device": 64 * GIB},
              {"Normal": 256 * MIB, "Movable": 512 * MIB, "Device": 0})
    same(facts(root), [512 * MIB, 768 * MIB, 150, 301])
    root.write(RATIO, "400\n")
    same(facts(root), [512 * MIB, 768 * MIB, 150, 400])
    result = root.run("status").expect(0)
    contains(result.out, "Memory in kernel zones:         512M", "150 %", "400 %")
    same(result.err, "", "stderr")


@test("status without a valid /proc/zoneinfo shows no zones and does not warn")
def unknown(root):
    same(facts(root), [None] * 4)
    same(root.run("status").expect(0).err, "", "stderr")
    root.write("proc/zoneinfo", "nonsense\n")
    same(facts(root), [None] * 4)


@test_each("status and online warn only if zone Movable exceeds the limit: {} (limit in percent, MiB)", [
    ("301 1155", False), ("301 1160", True), ("100 384", False), ("100 388", True), ("0 1160", True), ("2200 8192", False),
    ("- 1155", False), ("- 1160", True)])
def limit(root, ratio_and_size, warned):
    ratio, movable = ratio_and_size.split()
    root.add_region(32, 4)
    if ratio != "-":
        root.write(RATIO, f"{ratio}\n")
    set_zones(root, {"DMA32": 384 * MIB, "Movable": int(movable) * MIB})
    for arguments in (["status"], ["online", "--count", "1"]):
        result = root.run(*arguments).expect(0)
        (contains if warned else lacks)(result.err, "twostage: warning: only 384M of memory is in kernel zones")


@test("status and online name the highest blocks in zone Movable to move to a kernel zone")
def advice(root):
    root.add_region(32, 66, online=range(34, 98))
    # One of them is in a kernel zone already.
    root.write(f"{MEMORY}/memory96/valid_zones", "Normal\n")
    set_zones(root, {"DMA32": 384 * MIB, "Movable": 8 * GIB})
    result = root.run("status").expect(0)
    contains(result.err, "8G in zone Movable", "2133 %", "more than the limit of 301 %",
             "twostage offline --blocks 83-95,97 && twostage online --zone kernel --blocks 83-95,97")
    root.add_region(16, 4, online=(16, 17))
    contains(root.run("status").expect(0).err, "offline --blocks 16-17,85-95,97 ")
    root.add_region(8, 2)
    for block in [16, 17, *range(32, 98)]:
        root.write(f"{MEMORY}/memory{block}/valid_zones", "Normal\n")
    result = root.run("online", "--blocks", "8").expect(0)
    contains(result.err, "warning")
    lacks(result.err, "hint")
    # 14 blocks, as hinted, end the warning; 13 are not enough.
    for blocks, warned in ((14, False), (13, True)):
        set_zones(root, {"DMA32": (384 + blocks * 128) * MIB, "Movable": (64 - blocks) * 128 * MIB})
        (contains if warned else lacks)(root.run("status").expect(0).err, "warning")


@test_each("online warns about zone Movable only if it set blocks online without --zone kernel: {}", [
    ("--zone kernel --all", False), ("--zone auto --all", True), ("--blocks 33", False), ("--blocks 32", True)])
def warned_zones(root, arguments, warned):
    root.add_region(32, 4, online=(33,))
    set_zones(root, {"DMA32": 384 * MIB, "Movable": 8 * GIB})
    result = root.run("online", *arguments.split()).expect(0)
    (contains if warned else lacks)(result.err, "warning")


@test("offline does not warn about memory in zone Movable")
def offline(root):
    root.add_region(32, 4, online=(32, 33))
    set_zones(root, {"DMA32": 384 * MIB, "Movable": 8 * GIB})
    same(root.run("offline", "--all").expect(0).err, "", "stderr")


@test("online that fails at a block warns about zone Movable and exits with 1")
def half_way(root):
    root.add_region(32, 4)
    root.replace_by_link(root.state_of(34), "/dev/full")
    set_zones(root, {"DMA32": 384 * MIB, "Movable": 8 * GIB})
    contains(root.run("online", "--all").expect(1).err, "set 2 of 4 blocks online", "warning")
