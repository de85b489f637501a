# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Help, and messages for a wrong command line."""

import os

from ktap import contains, lacks, same, test, test_each

COMMANDS = ["load", "unload", "discover", "add", "remove", "list", "blocks", "online", "offline", "status"]

# The arguments, and texts that the message must contain
WRONG = [
    ([], ["a command is needed"]),
    (["frobnicate"], ['"frobnicate"']),
    (["--frobnicate"], ['option "--frobnicate"']),
    (["help", "frobnicate"], ['"frobnicate"']),
    (["load", "--force"], ["--force"]),
    (["load", "twostage.ko", "adopt"], ['"adopt"', "PARAMETER=VALUE"]),
    (["load", "twostage.ko", "=1"], ['"=1"', "PARAMETER=VALUE"]),
    (["load", "adopt=1", "twostage.ko"], ['"twostage.ko"', "PARAMETER=VALUE"]),
    (["load", "region=1G:1G adopt=1"], ["PARAMETER=VALUE"]),
    (["unload", "now"], ['"now"']),
    (["discover", "here"], ['"here"']),
    (["add"], ["START and SIZE"]),
    (["add", "4G"], ["START and SIZE"]),
    (["add", "4G", "1G", "1G"], ["START and SIZE"]),
    (["add", "4G", "0"], ["SIZE must not be 0"]),
    (["add", "elsewhere", "1G"], ['"elsewhere"', "start address"]),
    (["add", "4G", "much"], ['"much"', "size"]),
    (["add", "0xfffffffffffff000", "8K"], ["beyond the last address", "8K"]),
    (["add", "16E", "1G"], ["does not fit into 64 bits", "16E"]),
    (["add", "--node", "one", "4G", "1G"], ["--node", '"one"']),
    (["add", "--node=-1", "4G", "1G"], ["--node", '"-1"']),
    (["add", "--node", "99999999999", "4G", "1G"], ["--node", '"99999999999"']),
    (["add", "--memmap-on-memory", "1", "4G", "1G"], ["--memmap-on-memory", '"1"']),
    (["add", "--zone", "movable", "4G", "1G"], ["--zone"]),
    (["remove"], ["--all"]),
    (["remove", "--all", "region0"], ["--all"]),
    (["remove", "region"], ['"region"']),
    (["remove", "region0", "0"], ['"0"']),
    (["list", "regionx"], ['"regionx"']),
    (["list", "--output", "NAME"], ['"NAME"']),
    (["list", "--output", "SIZE,"], ['""']),
    (["list", "--output", "+"], ['""']),
    (["list", "--output"], ["output"]),
    (["list", "--json", "--raw"], ["--json", "--raw"]),
    (["blocks", "../region0"], ['"../region0"']),
    (["blocks", "--output", "SIZE,PROVIDER"], ['"PROVIDER"']),
    (["discover", "--output", "NODE"], ['"NODE"']),
    (["status", "region0"], ['"region0"']),
    (["status", "--output", "NODE"], ['"NODE"']),
    (["status", "--json", "--raw"], ["--json", "--raw"]),
    (["status", "--hooks", "--output", "MODULE"], ['"MODULE"']),
    (["online"], ["--count", "--size", "--all", "--blocks"]),
    (["online", "region0"], ["--count", "--size", "--all", "--blocks"]),
    (["online", "--count", "1", "--all"], ["only one of"]),
    (["online", "--count", "0"], ["--count", '"0"']),
    (["online", "--count", "-1"], ["--count", '"-1"']),
    (["online", "--count", "1.5"], ["--count", '"1.5"']),
    (["online", "--count", "99999999999999999999"], ["--count", '"99999999999999999999"']),
    (["online", "--size", "0"], ["--size", '"0"']),
    (["online", "--size", "128MB"], ["--size", '"128MB"']),
    (["online", "--blocks", "33-32"], ["--blocks", '"33-32"']),
    (["online", "--blocks", "32,"], ["--blocks", '"32,"']),
    (["online", "--blocks", "32-"], ["--blocks", '"32-"']),
    (["online", "--blocks", "memory32"], ["--blocks", '"memory32"']),
    (["online", "--blocks", "0x20"], ["--blocks", '"0x20"']),
    (["online", "--blocks", "32", "region0"], ['"region0"']),
    (["online", "--all", "--zone", "dma"], ["--zone", '"dma"']),
    (["online", "--all", "region0", "zone1"], ['"zone1"']),
    (["offline"], ["--count", "--size", "--all", "--blocks"]),
    (["offline", "--all", "--zone", "movable"], ["zone"]),
]


def files_of(root):
    """The contents of all files in the tree, by path."""
    found = {}
    for directory, _, names in os.walk(root.path):
        for name in names:
            path = os.path.join(directory, name)
            found[path] = root.read(path)
    return found


@test_each("{} --help prints usage, options and exit status without the module", COMMANDS)
def command_help(root, command):
    root.unload()
    result = root.run(command, "--help").expect(0)
    contains(result.out, f"Usage: twostage {command}", "--help", "Exit status:")
    same(result.err, "", "stderr")
    same(root.run(command, "-h").expect(0).out, result.out, "-h")
    same(root.run("help", command).expect(0).out, result.out, "help COMMAND")
    widest = max(map(len, result.lines()))
    if widest > 110:
        raise AssertionError(f"a line has {widest} columns")


@test("twostage --help lists all commands")
def main_help(root):
    result = root.run("--help").expect(0)
    for command in COMMANDS:
        contains(result.out, f"\n  {command} ")
    same(root.run("-h").out, result.out, "-h")
    same(root.run("help").out, result.out, "help")


@test("twostage --version prints the version in dkms.conf")
def version(root):
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with open(os.path.join(top, "dkms.conf"), encoding="utf-8") as file:
        contains(file.read(), f'PACKAGE_VERSION="{root.run("--version").expect(0).out.split()[1]}"')
    same(root.run("-V").out, root.run("--version").out, "-V")


def wrong_usage(root, _, arguments, parts):
    root.add_region(32, 4)
    root.add_region(64, 4, online=(64, 65))
    before = files_of(root)
    result = root.run(*arguments).expect(2)
    same(result.out, "", "stdout")
    contains(result.err, *parts)
    contains(result.err, "Try 'twostage", " --help' for more information.")
    if arguments and not arguments[0].startswith("-") and arguments[0] in COMMANDS:
        contains(result.err, f"twostage {arguments[0]}: ", f"'twostage {arguments[0]} --help'")
    lacks(result.err, "hint:")
    same(files_of(root), before, "the tree")


test_each("a wrong command line is refused and changes nothing: twostage {}",
          [(" ".join(arguments), arguments, parts) for arguments, parts in WRONG])(wrong_usage)


@test_each("a command that needs the module fails without it: {}", [
    "list", "blocks", "add 4G 1G", "remove --all", "remove region0", "online --all", "offline --count 1",
    "status --hooks"])
def not_loaded(root, command):
    root.unload()
    result = root.run(*command.split()).expect(1)
    same(result.out, "", "stdout")
    contains(result.err, "twostage: the module twostage is not loaded",
             "hint: to load the module: twostage load")


@test_each("a wrong command line is refused before a missing module is reported: {}", [
    "list --output NAME", "add 4G", "remove", "online", "offline --count x", "status --output NODE"])
def wrong_without_module(root, command):
    root.unload()
    lacks(root.run(*command.split()).expect(2).err, "not loaded", "hint:")


@test_each("a command fails if its output cannot be written: {}", [
    "--help", "list", "list --json", "blocks", "status", "discover", "online --help"])
def full_disk(root, command):
    root.add_region(32, 4)
    root.add_firmware_ram((0, 0xffffffff, "System RAM"))
    root.write("proc/iomem", "00000000-0fffffff : System RAM\n")
    with open("/dev/full", "w", encoding="ascii") as full:
        result = root.run(*command.split(), stdout=full).expect(1)
    contains(result.err, "No space left on device")


@test("load and unload refuse to run with TWOSTAGE_SYSROOT")
def load_below_sysroot(root):
    for arguments in (["load"], ["load", "twostage.ko"], ["load", "adopt=1"], ["unload"]):
        contains(root.run(*arguments).expect(1).err, "TWOSTAGE_SYSROOT")


@test("load of a file that is not the module fails and names the file")
def load_file(root):
    if os.path.exists("/sys/module/twostage"):
        contains(root.run("load", "x.ko", TWOSTAGE_SYSROOT=None).expect(1).err, "is already loaded")
        return
    root.write("text.ko", "no module\n")
    for file, message in ((root.at("none.ko"), "No such file"), (root.at("text.ko"), "not a kernel module"),
                          (root.at(""), "not"), ("/dev/null", "not")):
        result = root.run("load", file, TWOSTAGE_SYSROOT=None).expect(1)
        same(result.out, "", "stdout")
        contains(result.err, file, message)
