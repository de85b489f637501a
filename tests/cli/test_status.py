# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""status: the module, its hooks, and the memory of regions and its memmap."""

import json

from ktap import contains, lacks, same, test
from sysroot import BLOCK, GIB, HOOKS, MIB


def facts(root, status=0, *arguments):
    result = root.run("status", "--json", "--bytes", *arguments).expect(status)
    return json.loads(result.out)["status"][0]


@test("status --json counts memory in each stage and its memmap")
def counted(root):
    root.add_region(32, 8, online=(32, 33, 35))
    root.add_region(64, 8, online=(64,), memmap_on_memory=False)
    found = facts(root)
    same({name: found[name] for name in ("module", "version", "hooks", "adopt", "regions", "standby",
                                         "populated", "memmap", "ordinary", "stock", "block-size",
                                         "auto-online", "online-policy", "memmap-on-memory", "parameters")},
         {"module": "loaded", "version": "0.1.0", "hooks": "armed", "adopt": False, "regions": 2,
          "standby": 12 * BLOCK, "populated": 4 * BLOCK, "memmap": 6 * MIB, "ordinary": 2 * MIB,
          "stock": 32 * MIB, "block-size": BLOCK, "auto-online": "offline",
          "online-policy": "contig-zones", "memmap-on-memory": "N", "parameters": "adopt=N"})


@test("status --json counts standby memory that comes online instead of an OOM kill")
def counted_on_oom(root):
    root.add_region(32, 8, online=(32, 33, 35), online_on_oom=True)
    root.add_region(64, 8)
    same(facts(root)["on-oom"], 5 * BLOCK)


@test("status prints a line for each fact, with aligned values")
def for_users(root):
    root.add_region(32, 8, online=(32,))
    result = root.run("status").expect(0)
    found = dict(line.split(":", 1) for line in result.lines())
    same({len(line) - len(line.split(":", 1)[1].lstrip()) for line in result.lines()}, {32}, "columns")
    same(found["Module"].strip(), "loaded")
    same(found["Standby memory"].strip(), "896M")
    same(found["Populated memory"].strip(), "128M")
    same(found["Adopt DIMMs"].strip(), "no")
    same(result.err, "", "stderr")


@test("status fails without the module, and hints how to load it")
def not_loaded(root):
    root.unload()
    result = root.run("status").expect(1)
    contains(result.out, "Module:", "not loaded", "Memory block size:")
    lacks(result.out, "Hooks", "Regions")
    contains(result.err, "hint: to load the module: twostage load")
    found = facts(root, 1)
    same((found["module"], found["regions"], found["standby"], found["version"], found["hooks"]),
         ("not loaded", None, None, None, None))


@test("status fails if a hook is disarmed, and hints how to arm it")
def disarmed(root):
    root.write(HOOKS, root.read(HOOKS).replace("armed", "disarmed", 1))
    same(facts(root, 1)["hooks"], "disarmed")
    result = root.run("status").expect(1)
    contains(result.out, "disarmed", "Regions:")
    contains(result.err, "hint: ", "kprobes/enabled")


@test("status --hooks lists all hooks with their counts")
def hooks(root):
    result = root.run("status", "--hooks", "--json").expect(0)
    same(json.loads(result.out), {"hooks": [
        {"function": "arch_add_memory", "state": "armed", "redirected": 2, "missed": 0},
        {"function": "online_pages", "state": "armed", "redirected": 5, "missed": 1}]})
    same(result.err, "", "stderr")


@test("status succeeds if an optional hook is missing, and --hooks lists it as missing")
def hook_missing(root):
    root.write(HOOKS, root.read(HOOKS) + "read_page_owner              missing: it is read without protection\n")
    contains(facts(root)["hooks"], "armed", "1 missing on this kernel")
    found = json.loads(root.run("status", "--hooks", "--json").expect(0).out)["hooks"]
    same(found[-1], {"function": "read_page_owner", "state": "missing", "redirected": None, "missed": None})


@test("status counts poisoned memory separately from standby memory")
def poisoned(root):
    root.add_region(32, 8, online=(32,), poisoned=(33, 34))
    root.add_region(64, 4, poisoned=(64,), memmap_on_memory=False)
    found = facts(root)
    same({name: found[name] for name in ("standby", "populated", "poisoned", "memmap", "ordinary")},
         {"standby": 8 * BLOCK, "populated": BLOCK, "poisoned": 3 * BLOCK, "memmap": 6 * MIB,
          "ordinary": 2 * MIB})


@test("status --hooks fails if a hook is disarmed, and hints how to arm it")
def hooks_disarmed(root):
    root.write(HOOKS, root.read(HOOKS).replace("armed", "disarmed", 1))
    result = root.run("status", "--hooks").expect(1)
    contains(result.out, "arch_add_memory", "disarmed", "online_pages")
    contains(result.err, "kprobes/enabled")


@test("status succeeds if debugfs is not mounted, and hints how to mount it")
def no_debugfs(root):
    root.remove("sys/kernel/debug")
    result = root.run("status").expect(0)
    contains(result.out, "unknown: debugfs is not mounted")
    contains(result.err, "hint: to mount debugfs: mount -t debugfs")
    contains(root.run("status", "--hooks").expect(1).err, "debugfs is not mounted", "mount -t debugfs")


@test("status succeeds if debugfs has no hooks file, while status --hooks fails")
def no_hooks(root):
    root.remove(HOOKS)
    contains(root.run("status").expect(0).out, "unknown: No such file")
    contains(root.run("status", "--hooks").expect(1).err, "No such file")


@test("status succeeds if only root can read debugfs, and hints at sudo")
def unprivileged(root):
    root.chmod("sys/kernel/debug", 0)
    try:
        result = root.run_unprivileged("status").expect(0)
    finally:
        root.chmod("sys/kernel/debug", 0o755)
    contains(result.out, "unknown: only root can read debugfs")
    contains(result.err, "hint: try again with sudo")


@test("status reports that the hooks file has an unknown format")
def hooks_nonsense(root):
    root.write(HOOKS, "unknown format\n")
    contains(root.run("status").expect(0).out, "has an unknown format")


@test("status shows that adopt is enabled")
def adopt(root):
    root.write("sys/bus/twostage/adopt", "1\n")
    same(facts(root)["adopt"], True)
    contains(root.run("status").expect(0).out, "yes")


@test("status sorts module parameters by name")
def parameters(root):
    names = [f"p{number}" for number in (7, 3, 9, 1, 8, 2)]
    for name in names:
        root.write(f"sys/module/twostage/parameters/{name}", "1\n")
    same(facts(root)["parameters"], "adopt=N " + " ".join(f"{name}=1" for name in sorted(names)))


@test("status counts a region of 1 TiB")
def large(root):
    root.add_region(8192, 4)
    root.write("sys/bus/twostage/devices/region0/size", f"{1024 * GIB:#x}\n")
    root.write("sys/bus/twostage/devices/region0/blocks", "8192\n")
    found = facts(root)
    same((found["standby"], found["stock"]), (1024 * GIB, 16 * GIB))
