# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""online and offline: what they write to which state files, and in which order."""

from ktap import contains, lacks, same, test, test_each
from sysroot import MEMORY, OrderedStateFiles


def change_in_order(root, arguments, blocks, state, order, text):
    """Run the command with state files that enforce the order."""
    with OrderedStateFiles(root, {block: state for block in blocks}, order) as files:
        result = root.run(*arguments).expect(0)
    same(files.written, [(block, text) for block in order], "written")
    return result


@test_each("online writes the state for the zone: {}", [
    ("", "online_movable"), ("--zone movable", "online_movable"), ("-z kernel", "online_kernel"),
    ("--zone=auto", "online"), ("-z KERNEL", "online_kernel")])
def zone(root, option, text):
    root.add_region(32, 2)
    root.run("online", "--all", *option.split()).expect(0)
    # A plain file keeps the end of its old content, unlike a sysfs file.
    for block in (32, 33):
        same(root.read(root.state_of(block)), text + "offline\n"[len(text):], f"state of {block}")


@test("online --all sets all standby blocks online, lowest first")
def online_all(root):
    root.add_region(32, 4)
    change_in_order(root, ["online", "--all"], range(32, 36), "offline", [32, 33, 34, 35],
                    "online_movable")


@test("offline --all sets all online blocks offline, highest first")
def offline_all(root):
    root.add_region(32, 4, online=range(32, 36))
    change_in_order(root, ["offline", "--all"], range(32, 36), "online", [35, 34, 33, 32], "offline")


@test("online orders blocks by address, not by region number")
def online_by_address(root):
    root.add_region(64, 2)
    root.add_region(32, 2)
    change_in_order(root, ["online", "-c", 3], [64, 65, 32, 33], "offline", [32, 33, 64], "online_movable")


@test("offline orders blocks by address, not by region number")
def offline_by_address(root):
    root.add_region(64, 2, online=(64, 65))
    root.add_region(32, 2, online=(32, 33))
    change_in_order(root, ["offline", "-c", 3], [64, 65, 32, 33], "online", [65, 64, 33], "offline")


@test("online --count N sets the N lowest standby blocks online")
def online_count(root):
    root.add_region(32, 6, online=(32, 34))
    result = root.run("online", "--count", 3).expect(0)
    same(root.changed(range(32, 38)), {block: "online_movable" for block in (33, 35, 36)}, "changed")
    same(result.out, "set 3 blocks (384M) online: memory blocks 33,35-36\n", "stdout")
    same(result.err, "", "stderr")


@test("offline --count N sets the N highest online blocks offline")
def offline_count(root):
    root.add_region(32, 6, online=(32, 33, 34, 36))
    result = root.run("offline", "--count", 2).expect(0)
    same(root.changed(range(32, 38)), {block: "offline" for block in (34, 36)}, "changed")
    same(result.out, "set 2 blocks (256M) offline: memory blocks 34,36\n", "stdout")


@test("online --size sets as many blocks online as the size contains")
def online_size(root):
    root.add_region(32, 6)
    contains(root.run("online", "-s", "0.25GiB").expect(0).out, "set 2 blocks (256M) online")
    same(sorted(root.changed(range(32, 38))), [32, 33], "changed")


@test("online of one block uses the singular in its message")
def singular(root):
    root.add_region(32, 6)
    same(root.run("online", "-c", 1).expect(0).out, "set 1 block (128M) online: memory block 32\n")


@test("online changes only blocks of the named regions")
def named(root):
    for first in (32, 48, 64):
        root.add_region(first, 2)
    root.run("online", "region2", "region0", "-c", 3).expect(0)
    same(sorted(root.changed((32, 33, 48, 49, 64, 65))), [32, 33, 64], "changed")


@test("online --blocks sets the listed blocks online, lowest first")
def online_blocks(root):
    root.add_region(32, 8)
    change_in_order(root, ["online", "--blocks", "38,33-34,36"], (33, 34, 36, 38), "offline",
                    [33, 34, 36, 38], "online_movable")


@test("offline --blocks sets the listed blocks offline, highest first")
def offline_blocks(root):
    root.add_region(32, 8, online=range(32, 40))
    change_in_order(root, ["offline", "--blocks", "33-34,38"], (33, 34, 38), "online", [38, 34, 33],
                    "offline")


@test("online --blocks skips listed blocks that are already online")
def blocks_done_already(root):
    root.add_region(32, 4, online=(33,))
    result = root.run("online", "-b", "32-34").expect(0)
    same(sorted(root.changed(range(32, 36))), [32, 34], "changed")
    contains(result.out, "set 2 blocks", "32,34")


@test_each("online --blocks changes nothing if a listed block is in no region or missing: {}", [
    ("30-33", "memory block 30 ", "chmem"), ("33,36", "memory block 36:", "no such block"),
    ("32-18446744073709551615", "memory block 36:", "no such block"),
    ("0-18446744073709551615", "memory block 0:", "no such block")])
def blocks_elsewhere(root, blocks, what, more):
    root.add_region(32, 4)
    for block in (30, 31):
        root.add_block(block, False)
    contains(root.run("online", "--blocks", blocks).expect(1).err, what, more)
    same(root.changed(range(30, 36)), {}, "changed")


@test_each("a request for more blocks than available fails and changes nothing: {}", [
    ("online --count 4", "cannot set 4 blocks online: only 3 (384M) are standby"),
    ("online --size 1G", "cannot set 8 blocks online: only 3 (384M) are standby"),
    ("online region1 --count 2", "cannot set 2 blocks online: only 1 (128M) is standby"),
    ("offline --count 2", "cannot set 2 blocks offline: only 1 (128M) is online"),
    ("offline region1 --count 1", "cannot set 1 block offline: only 0 (0B) are online"),
    ("online --count 18446744073709551615", "cannot set 18446744073709551615 blocks online"),
    ("online --size 0xfffffffff8000000", "cannot set 137438953471 blocks online")])
def too_much(root, command, message):
    root.add_region(32, 3, online=(33,))
    root.add_region(48, 1)
    result = root.run(*command.split()).expect(1)
    same(result.out, "", "stdout")
    contains(result.err, message, "hint: ")
    same(root.changed((32, 33, 34, 48)), {}, "changed")


@test("online --all and --blocks succeed when all blocks are already online")
def nothing_to_do(root):
    root.add_region(32, 2, online=(32, 33))
    contains(root.run("online", "--all").expect(0).out, "nothing to do")
    contains(root.run("online", "--blocks", "33").expect(0).out, "nothing to do")
    same(root.changed((32, 33)), {}, "changed")


@test("online and offline fail without regions, and hint at discover")
def no_regions(root):
    for command in ("online", "offline"):
        contains(root.run(command, "--all").expect(1).err, "there are no regions", "twostage discover")


@test("online stops at the first block that fails, and reports how many blocks were set online")
def online_fails(root):
    root.add_region(32, 6)
    root.replace_by_link(root.state_of(34), "/dev/full")
    result = root.run("online", "--all").expect(1)
    same(root.changed((32, 33, 35, 36, 37)), {32: "online_movable", 33: "online_movable"}, "changed")
    same(result.out, "", "stdout")
    contains(result.err, "cannot set memory block 34 (0x110000000-0x117ffffff) online: No space left on device",
             "set 2 of 6 blocks online (256M of 768M)")


@test("online --all --keep-going continues after a block that fails, and exits with 1")
def online_keeps_going(root):
    root.add_region(32, 6)
    root.replace_by_link(root.state_of(34), "/dev/full")
    result = root.run("online", "--all", "--keep-going").expect(1)
    same(sorted(root.changed((32, 33, 35, 36, 37))), [32, 33, 35, 36, 37], "changed")
    contains(result.err, "memory block 34 ", "set 5 of 6 blocks online (640M of 768M)")


@test("online --count --keep-going replaces a block that fails by the next one")
def another(root):
    root.add_region(32, 6)
    root.replace_by_link(root.state_of(32), "/dev/full")
    result = root.run("online", "--count", 2, "--keep-going").expect(0)
    same(sorted(root.changed(range(33, 38))), [33, 34], "changed")
    contains(result.err, "memory block 32 ")
    contains(result.out, "set 2 blocks (256M) online: memory blocks 33-34")


@test("online that fails with ENXIO hints that there may be no memory")
def no_memory(root):
    root.add_region(32, 2)
    root.replace_by_socket(root.state_of(32))
    contains(root.run("online", "--all").expect(1).err, "No such device or address",
             "hint: there may be no memory at these addresses")


@test("online fails if a state file is a directory or does not exist")
def unusable_state_files(root):
    root.add_region(32, 3)
    root.remove(root.state_of(32))
    root.write(root.state_of(32) + "/file", "")
    contains(root.run("online", "-c", 1).expect(1).err, "memory block 32 ", "Is a directory")
    root.remove(f"{MEMORY}/memory32")
    contains(root.run("online", "-c", 1).expect(1).err, "memory block 32 ", "No such file")
    same(root.changed((33, 34)), {}, "changed")


@test("offline stops at the first block that fails")
def offline_fails(root):
    root.add_region(32, 4, online=range(32, 36))
    for block in range(32, 36):
        root.chmod(root.state_of(block), 0o444 if block == 34 else 0o666)
    result = root.run_unprivileged("offline", "--all").expect(1)
    same(root.changed(range(32, 35)), {}, "changed")
    same(root.read(root.state_of(35)), "offline", "block 35")
    contains(result.err, "memory block 34 ", "Permission denied", "set 1 of 4 blocks offline",
             "hint: only root")


@test("offline --verbose prints a line for each block, in order")
def verbose(root):
    root.add_region(32, 3, online=range(32, 35))
    result = root.run("offline", "--count", 2, "--verbose").expect(0)
    same(result.lines(), ["memory block 34 (0x110000000-0x117ffffff) offline",
                          "memory block 33 (0x108000000-0x10fffffff) offline",
                          "set 2 blocks (256M) offline: memory blocks 33-34"])


@test("online --all leaves blocks outside of regions unchanged")
def other_memory(root):
    root.add_region(32, 2)
    for block in (31, 34):
        root.add_block(block, False)
    root.run("online", "--all").expect(0)
    same(root.changed((31, 34)), {}, "changed")


@test("online --all sets a thousand blocks online in order")
def many(root):
    root.add_region(32, 1000)
    result = root.run("online", "--all", "--verbose").expect(0)
    same([line.split()[2] for line in result.lines()[:-1]], [str(block) for block in range(32, 1032)])
    contains(result.lines()[-1], "set 1000 blocks (125G) online: memory blocks 32-1031")
    lacks(result.err, "\r", "[")


@test("online --all and --count skip poisoned blocks")
def online_poisoned(root):
    root.add_region(32, 4, poisoned=(32, 34))
    result = root.run("online", "--all").expect(0)
    same(sorted(root.changed(range(32, 36))), [33, 35], "changed")
    same(result.err, "", "stderr")
    contains(root.run("online", "--count", 5).expect(1).err, "cannot set 5 blocks online: ")


@test("online --blocks tries a listed block that is poisoned")
def online_named_poisoned(root):
    root.add_region(32, 4, poisoned=(32,))
    root.run("online", "--blocks", "32").expect(0)
    same(sorted(root.changed(range(32, 36))), [32], "changed")


@test("offline hints which blocks are poisoned instead of standby")
def offline_poisoned(root):
    root.add_region(32, 4, online=range(32, 36))
    for block in (33, 34):
        root.write(f"{MEMORY}/memory{block}/twostage/stage", "poisoned\n")
    result = root.run("offline", "--all").expect(0)
    contains(result.err, "hint: poisoned memory blocks: 33-34; each is offline but not standby: it has a hardware-poisoned page")
    lacks(root.run("offline", "--count", 1).err, "hardware-poisoned")
