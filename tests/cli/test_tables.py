# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""list and blocks, and the output options of all commands that print tables."""

import json

from ktap import contains, same, test, test_each
from sysroot import BLOCK, DEVICES, GIB, MEMORY, MIB

SAMPLES = ["list", "blocks", "status", "status --hooks", "discover"]


def fill(root):
    root.add_region(32, 8, online=(32, 33, 35))
    root.add_region(64, 4, memmap_on_memory=False, provider="dimm", node=1)
    root.add_firmware_ram((0, 6 * GIB - 1, "System RAM"))
    root.write("proc/iomem", f"00000000-{4 * GIB - 1:08x} : System RAM\n")


def listed(root, *arguments):
    return json.loads(root.run(*arguments, "--json").expect(0).out)


@test("list prints a table with the default columns")
def list_table(root):
    fill(root)
    rows = [line.split() for line in root.run("list").expect(0).lines()]
    same(rows[0], ["REGION", "RANGE", "SIZE", "NODE", "PROVIDER", "BLOCKS", "ONLINE", "MEMMAP"])
    same(rows[1], ["region0", "0x0000000100000000-0x000000013fffffff", "1G", "0", "ram", "8", "3", "6M"])
    same(rows[2], ["region1", "0x0000000200000000-0x000000021fffffff", "512M", "1", "dimm", "4", "0", "0B"])
    same(len(rows), 3, "lines")


@test("list --json --output-all prints every column with its JSON type")
def list_json(root):
    fill(root)
    same(listed(root, "list", "--output-all", "--bytes"), {"regions": [
        {"region": "region0", "range": "0x0000000100000000-0x000000013fffffff", "size": GIB, "node": 0,
         "provider": "ram", "block": "32-39", "blocks": 8, "online": 3, "standby": 5, "poisoned": 0, "memmap": 6 * MIB,
         "on-memory": True, "budget": None, "plugged": None, "on-oom": False, "oom-onlined": 0},
        {"region": "region1", "range": "0x0000000200000000-0x000000021fffffff", "size": 4 * BLOCK,
         "node": 1, "provider": "dimm", "block": "64-67", "blocks": 4, "online": 0, "standby": 4,
         "poisoned": 0, "memmap": 0, "on-memory": False, "budget": None, "plugged": None,
         "on-oom": False, "oom-onlined": 0}]})


@test("list shows the budget columns by default if a region has a budget")
def list_budgets(root):
    fill(root)
    root.add_region(96, 8, online=(96, 97), provider="virtio_mem", budget=4)
    regions = listed(root, "list", "--bytes")["regions"]
    same([(region["budget"], region["plugged"]) for region in regions],
         [(None, None), (None, None), (4 * BLOCK, 2 * BLOCK)])


@test("list shows poisoned blocks by default if there are any, and does not count them as standby")
def list_poisoned(root):
    fill(root)
    root.add_region(96, 8, online=(96, 97), poisoned=(100, 101, 102))
    regions = listed(root, "list")["regions"]
    same([region["poisoned"] for region in regions], [0, 0, 3])
    region = listed(root, "list", "-o", "BLOCKS,ONLINE,STANDBY,POISONED", "region2")["regions"][0]
    same(region, {"blocks": 8, "online": 2, "standby": 3, "poisoned": 3})
    contains(root.run("list").expect(0).out, "POISONED")


@test("list works with an older module that has no attribute blocks_poisoned")
def list_without_poisoned(root):
    fill(root)
    for region in ("region0", "region1"):
        root.remove(f"{DEVICES}/{region}/blocks_poisoned")
    same([region["standby"] for region in listed(root, "list", "--output-all")["regions"]], [5, 4])


@test("list shows by default which regions come online instead of an OOM kill if there are any")
def list_on_oom(root):
    fill(root)
    root.add_region(96, 8, online=(96, 97), online_on_oom=True, oom_onlined=5)
    same([(region["on-oom"], region["oom-onlined"]) for region in listed(root, "list")["regions"]],
         [(False, 0), (False, 0), (True, 5)])
    contains(root.run("list").expect(0).out, "ON-OOM", "OOM-ONLINED")


@test("list works with an older module that has no attribute online_on_oom")
def list_without_on_oom(root):
    fill(root)
    for attribute in ("online_on_oom", "oom_onlined"):
        root.remove(f"{DEVICES}/region0/{attribute}")
    region = listed(root, "list", "--output-all")["regions"][0]
    same((region["on-oom"], region["oom-onlined"]), (False, 0))


@test("list --json prints sizes as strings, and with --bytes as numbers")
def json_sizes(root):
    fill(root)
    same([region["size"] for region in listed(root, "list")["regions"]], ["1G", "512M"])
    same([region["size"] for region in listed(root, "list", "-b")["regions"]], [GIB, 4 * BLOCK])


@test("list without regions prints an empty JSON array, and with --raw nothing")
def no_regions(root):
    same(listed(root, "list"), {"regions": []})
    same(listed(root, "blocks"), {"blocks": []})
    same(root.run("list", "--raw", "--noheadings").expect(0).out, "", "raw")


@test("list sorts regions by number, not by name")
def region_order(root):
    for number in (10, 9, 0, 2):
        root.add_region(1000 - 8 * number, 4, number=number)
    same([region["region"] for region in listed(root, "list")["regions"]],
         ["region0", "region2", "region9", "region10"])


@test("list prints each named region once")
def named(root):
    fill(root)
    root.add_region(128, 4)
    same([region["region"] for region in listed(root, "list", "region2", "region0", "region2")["regions"]],
         ["region0", "region2"])


@test_each("a command with the name of a missing region fails and changes nothing: {}", [
    "list region7", "blocks region0 region7", "online region7 --all", "offline --all region0 region7",
    "remove region0 region7"])
def no_such_region(root, command):
    fill(root)
    result = root.run(*command.split()).expect(1)
    same(result.out, "", "stdout")
    contains(result.err, '"region7"', "hint: to list regions: twostage list")
    same(root.changed(range(32, 40)), {}, "changed")
    same(root.read("sys/bus/twostage/remove_region"), "", "remove_region")


@test("blocks joins adjacent blocks with equal attributes")
def joined(root):
    fill(root)
    spans = listed(root, "blocks", "-b")["blocks"]
    same([(span["block"], span["size"], span["stage"], span["state"]) for span in spans],
         [("32-33", 2 * BLOCK, "populated", "online"), ("34", BLOCK, "standby", "offline"),
          ("35", BLOCK, "populated", "online"), ("36-39", 4 * BLOCK, "standby", "offline"),
          ("64-67", 4 * BLOCK, "standby", "offline")])
    same(spans[0]["range"], "0x0000000100000000-0x000000010fffffff", "range")
    same((spans[0]["node"], spans[0]["region"], spans[4]["node"], spans[4]["region"]),
         (0, "region0", 1, "region1"))


@test("blocks shows the stage of poisoned blocks")
def blocks_poisoned(root):
    root.add_region(32, 4, online=(32,), poisoned=(33, 34))
    same([(span["block"], span["stage"], span["state"]) for span in listed(root, "blocks")["blocks"]],
         [("32", "populated", "online"), ("33-34", "poisoned", "offline"), ("35", "standby", "offline")])


@test("blocks --all lists each memory block")
def each(root):
    fill(root)
    blocks = listed(root, "blocks", "--all", "region0")["blocks"]
    same([block["block"] for block in blocks], [str(number) for number in range(32, 40)])


@test("blocks does not join blocks of different zones or regions")
def zones(root):
    root.add_region(32, 2, online=(32, 33))
    root.write(f"{MEMORY}/memory33/valid_zones", "Normal\n")
    root.add_region(34, 1, online=(34,))
    same([(span["block"], span["zones"], span["region"]) for span in listed(root, "blocks")["blocks"]],
         [("32", "Movable", "region0"), ("33", "Normal", "region0"), ("34", "Movable", "region1")])


@test("blocks reads no file of standby blocks that follow another, but takes no block for standby that is not")
def standby_unread(root):
    root.add_region(32, 8, online=(36,))
    for block in (33, 34, 35, 38, 39):
        root.remove(f"{MEMORY}/memory{block}/state")
    expected = [("32-35", "standby"), ("36", "populated"), ("37-39", "standby")]
    same([(span["block"], span["stage"]) for span in listed(root, "blocks")["blocks"]], expected)
    root.write(f"{DEVICES}/region0/stages", "ssss" + "ssss")
    root.remove(f"{MEMORY}/memory36/state")
    same([span["block"] for span in listed(root, "blocks")["blocks"]], ["32-39"])
    root.write(f"{DEVICES}/region0/stages", "spssssss")
    contains(root.run("blocks").expect(1).err, "removed while its memory blocks were listed")


@test("list and blocks read the files of one block of 32768 standby blocks")
def many(root):
    root.add_standby_region(32, 32768)
    same([(region["blocks"], region["standby"]) for region in listed(root, "list", "--output-all")["regions"]], [(32768, 32768)])
    same([span["block"] for span in listed(root, "blocks")["blocks"]], ["32-32799"])
    same(len(listed(root, "blocks", "--all")["blocks"]), 32768)


@test("blocks works with an older module that has no attribute stages")
def blocks_without_stages(root):
    fill(root)
    before = listed(root, "blocks")
    for region in ("region0", "region1"):
        root.remove(f"{DEVICES}/{region}/stages")
    same(listed(root, "blocks"), before)


@test("blocks works without the attribute valid_zones")
def no_zones(root):
    root.add_region(32, 2)
    for block in (32, 33):
        root.remove(f"{MEMORY}/memory{block}/valid_zones")
    span = listed(root, "blocks")["blocks"]
    same(len(span), 1, "lines")
    same(root.run("blocks", "-n", "-o", "BLOCK,ZONES").expect(0).out.split(), ["32-33"])


@test("blocks fails if a memory block disappears while it is listed, and lists other regions")
def vanished(root):
    fill(root)
    root.remove(f"{MEMORY}/memory36")
    result = root.run("blocks").expect(1)
    contains(result.err, "region0")
    contains(result.out, "region1")


@test("list leaves out a region that disappears while it is listed")
def region_vanished(root):
    fill(root)
    root.remove(f"{DEVICES}/region0/blocks_online")
    same([region["region"] for region in listed(root, "list")["regions"]], ["region1"])


@test("commands fail and name the region if one of its attributes is invalid")
def region_nonsense(root):
    fill(root)
    root.write(f"{DEVICES}/region1/start", "here\n")
    for command in (["list"], ["blocks"], ["online", "--all"], ["status"]):
        contains(root.run(*command).expect(1).err, "region1", "Invalid argument")
    same(root.changed(range(32, 40)), {}, "changed")


@test("commands fail and name the file if the memory block size is invalid")
def no_block_size(root):
    fill(root)
    for text in ("", "0\n", "large\n"):
        root.write(f"{MEMORY}/block_size_bytes", text)
        for command in (["list"], ["blocks"], ["online", "--all"], ["discover"]):
            contains(root.run(*command).expect(1).err, "block_size_bytes")


@test_each("{} --noheadings omits only the headings", SAMPLES)
def noheadings(root, command):
    fill(root)
    command = command.split() + ["--raw"]
    lines = root.run(*command).expect(0).lines()
    same(root.run(*command, "--noheadings").expect(0).lines(), lines[1:])
    if not lines[0].replace(" ", "").replace("-", "").isupper():
        raise AssertionError(f"headings: {lines[0]}")


@test_each("{} --raw prints the same number of words in each line", SAMPLES)
def raw(root, command):
    fill(root)
    lines = root.run(*command.split(), "--raw", "--output-all").expect(0).lines()
    same({len(line.split(" ")) for line in lines}, {len(lines[0].split(" "))}, "numbers of words")
    if len(lines) < 2:
        raise AssertionError("it has only headings")


@test_each("{} --output accepts columns in any order and case, and + adds to the default ones", SAMPLES)
def output(root, command):
    fill(root)
    command = command.split()
    everything = root.run(*command, "--raw", "--output-all").expect(0).lines()[0].split(" ")
    default = root.run(*command, "--raw").expect(0).lines()[0].split(" ")
    chosen = [everything[-1], everything[0]]
    for names in (",".join(chosen), ",".join(chosen).lower()):
        same(root.run(*command, "--raw", "--output", names).expect(0).lines()[0].split(" "), chosen)
    added = [name for name in everything if name not in default]
    names = added or everything[:1]
    same(root.run(*command, "--raw", "-o", "+" + ",".join(names)).expect(0).lines()[0].split(" "),
         default + added)


@test_each("{} prints the columns that its help lists", SAMPLES)
def help_columns(root, command):
    fill(root)
    text = root.run(*command.split(), "--help").expect(0).out
    text = text.split("With --hooks:")[1 if "--hooks" in command else 0]
    columns = [line.split() for line in text.split("by default):\n")[1].split("\n\n")[0].splitlines()]
    same(root.run(*command.split(), "-r", "--output-all").expect(0).lines()[0].split(" "),
         [column[0] for column in columns], "all")
    same(root.run(*command.split(), "-r").expect(0).lines()[0].split(" "),
         [column[0] for column in columns if column[1] == "*"], "default ones")


@test_each("{} --json prints valid JSON with every other output option", SAMPLES)
def valid_json(root, command):
    fill(root)
    for more in ([], ["--bytes"], ["--noheadings"], ["--output-all"], ["--output-all", "--bytes"]):
        tables = list(listed(root, *command.split(), *more).values())
        same(len(tables), 1, "tables")
        same(len({tuple(row) for row in tables[0]}), 1, "kinds of lines")
