# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""online --to-budget: set as many blocks online as the host's budget allows."""

from ktap import contains, lacks, same, test, test_each
from sysroot import BLOCK, DEVICES


def plug(root, blocks, region="region0"):
    """Make it look as if this many blocks were plugged."""
    root.write(f"{DEVICES}/{region}/plugged", f"{blocks * BLOCK:#x}\n")


@test_each("online --to-budget sets blocks online up to the budget: {}", [
    ("--to-budget region0", "online_movable"), ("-t region0 --zone kernel", "online_kernel"),
    ("region0 -t -z auto", "online")])
def to_budget(root, arguments, text):
    root.add_region(32, 8, online=(32, 34), budget=6)
    root.add_region(64, 8, budget=8)
    result = root.run("online", *arguments.split()).expect(0)
    contains(result.out, "set 4 blocks (512M) online: memory blocks 33,35-37")
    same(result.err, "", "stderr")
    same({block: state[:len(text)] for block, state in root.changed([*range(32, 40), *range(64, 72)]).items()},
         {block: text for block in (33, 35, 36, 37)}, "changed")


@test("online --to-budget leaves the rest of the budget that is smaller than a block unused")
def part_of_a_block(root):
    root.add_region(32, 8, budget=2)
    root.write(f"{DEVICES}/region0/budget", f"{2 * BLOCK + BLOCK // 2:#x}\n")
    contains(root.run("online", "--to-budget", "region0").expect(0).out, "set 2 blocks (256M) online")


@test("online --to-budget sets all blocks online if the budget is larger than the region")
def large_budget(root):
    root.add_region(32, 4, online=(33,), budget=100)
    contains(root.run("online", "--to-budget", "region0").expect(0).out, "memory blocks 32,34-35")
    root.add_region(64, 2, online=(64, 65), budget=100)
    result = root.run("online", "--to-budget", "region1").expect(0)
    contains(result.out, "nothing to do: all of region1 is online")


@test("online --to-budget changes nothing and succeeds if the budget is used up")
def used_up(root):
    root.add_region(32, 4, online=(32, 33), budget=2)
    result = root.run("online", "--to-budget", "region0").expect(0)
    contains(result.out, "nothing to do", "256M of region0 are plugged", "budget of 256M")
    same((result.err, root.changed(range(32, 36))), ("", {}), "stderr and what has changed")


@test("online --to-budget succeeds if more than the budget is plugged, and hints how much to set offline")
def over_budget(root):
    root.add_region(32, 4, online=(32, 33, 34), budget=2)
    result = root.run("online", "--to-budget", "region0").expect(0)
    contains(result.out, "nothing to do", "384M of region0 are plugged", "budget of 256M")
    contains(result.err, "twostage offline region0 --count 1")
    same(root.changed(range(32, 36)), {}, "changed")


@test("online --to-budget changes nothing while offline blocks beyond the budget wait to be unplugged")
def left_over(root):
    root.add_region(32, 8, online=(32,), budget=4)
    plug(root, 5)
    contains(root.run("online", "--to-budget", "region0").expect(0).out, "nothing to do")
    same(root.changed(range(32, 40)), {}, "changed")


@test("online --to-budget sets a standby block online whose unit is plugged, even with no budget left")
def whole_units(root):
    root.add_region(32, 8, online=(32, 33, 34), budget=4)
    plug(root, 4)
    contains(root.run("online", "--to-budget", "region0").expect(0).out, "set 1 block (128M) online: memory block 35")


@test("online --to-budget stops with success when the provider refuses a block beyond the budget")
def whole_units_refused(root):
    root.add_region(32, 8, online=(32, 34), budget=4)
    plug(root, 4)
    root.replace_by_link(root.state_of(35), "/dev/full")
    result = root.run("online", "--to-budget", "region0").expect(0)
    contains(result.out, "set 1 block (128M) online: memory block 33")
    same(result.err, "", "stderr")


@test("online --to-budget fails when the provider refuses a block within the budget")
def refused(root):
    root.add_region(32, 8, budget=4)
    root.replace_by_link(root.state_of(34), "/dev/full")
    result = root.run("online", "--to-budget", "region0").expect(1)
    contains(result.err, "memory block 34 ", "No space left on device", "set 2 of 4 blocks online")


@test("online --to-budget fails for a region without a budget, and hints at --all")
def no_budget(root):
    root.add_region(32, 4)
    result = root.run("online", "--to-budget", "region0").expect(1)
    contains(result.err, "region0 has no budget", "provider ram", "hint: to set all of it online: twostage online region0 --all")
    same((result.out, root.changed(range(32, 36))), ("", {}), "stdout and what has changed")
    contains(root.run("online", "--to-budget", "region7").expect(1).err, 'no region "region7"')


@test_each("online refuses --to-budget without exactly one region, or with another amount: {}", [
    "--to-budget", "--to-budget region0 region1", "--to-budget region0 --all", "--count 1 --to-budget region0"])
def usage(root, arguments):
    for first in (32, 64):
        root.add_region(first, 4, budget=4)
    contains(root.run("online", *arguments.split()).expect(2).err, "--to-budget")
    same(root.changed([*range(32, 36), *range(64, 68)]), {}, "changed")


@test("offline refuses --to-budget and does not list it in its help")
def offline(root):
    root.add_region(32, 4, online=(32,), budget=4)
    contains(root.run("offline", "--to-budget", "region0").expect(2).err, "--to-budget")
    lacks(root.run("offline", "--help").expect(0).out, "budget")
