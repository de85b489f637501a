# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""--simulate: the policy over a recorded trace."""

import re
import time

from ktap import contains, lacks, same, test, test_each
from sysroot import MIB
from test_config import daemon

HEAD = "# block=128M\n# region=0:8G\nseconds,pressure,available,0:Normal:1G,0:Movable:0\n"


def rows(*values):
    return "".join(f"{seconds},{pressure},{available * MIB},{available * MIB},0\n"
                   for seconds, pressure, available in values)


def simulate(root, text, *arguments):
    return daemon(root, "--simulate", "-", *arguments, stdin=text).expect(0)


@test("--simulate prints growths and shrinks with their times, reasons and numbers")
def whole(root):
    text = HEAD + rows((0, 0, 500), (10, 0, 50), (20, 0, 800), (200, 0, 800))
    out = simulate(root, text, "--low=128M", "--target=256M", "--high=600M", "--settle=30").out
    growth = re.search(r"^10\d\d\d ms: region0: would set 2 blocks \(256M\) online in zone Movable: less than low= is "
                       r"available: 50M of 1G available \(low 128M, target 256M, high 600M\)", out, re.M)
    same(bool(growth), True, out)
    shrinks = [int(time) for time in re.findall(r"^(\d+) ms: .* offline in zone Movable: more than high=", out, re.M)]
    same((len(shrinks), 50000 <= shrinks[0] < 52000), (2, True), out)
    contains(out.splitlines()[-1], "2 blocks online, 2 offline")


@test("--simulate says why nothing is done although memory is missing")
def nothing(root):
    text = HEAD.replace("8G", "256M:128M") + rows((0, 0, 50), (9, 0, 10), (10, 0, 10))
    out = simulate(root, text, "--low=140M", "--target=1G").out
    contains(out, "would set 1 block (128M)", "less than target= is available, but the budget is used up",
             "the kernel's own zones are short, but the budget is used up")


@test("--simulate runs a trace of a day in less than a second of CPU time")
def long(root):
    text = HEAD + rows(*[(10 * step, step % 7, 100 + step * 37 % 900) for step in range(8640)])
    started = time.monotonic()
    out = simulate(root, text).out
    same(time.monotonic() - started < 10, True, "the time")
    contains(out, "blocks online")


@test("two runs of --simulate print the same")
def repeatable(root):
    text = HEAD + rows(*[(step, step % 20, 50 + step * 37 % 900) for step in range(500)])
    same(simulate(root, text).out, simulate(root, text).out)


@test_each("--simulate refuses a trace with {}, naming the line", [
    ("an unknown column", "seconds,what\n0,0\n", ":1: \"what\" is not the name of a column"),
    ("no column seconds", "pressure,seconds\n0,0\n", ":1: \"seconds\" is not the first column"),
    ("a short line", HEAD + "0,0,1\n", ":4: \"the line\" has too few columns"),
    ("a wrong number", HEAD + "0,0,x,1,1\n", ":4: \"x\" is not a number"),
    ("no numbers", HEAD, "has no line of numbers"),
    ("a wrong region", "# region=0\n" + HEAD, ":1: "),
])
def refused(root, _, text, message):
    result = daemon(root, "--simulate", "-", stdin=text).expect(1)
    contains(result.err, message)


@test("--simulate refuses a file that does not exist")
def missing(root):
    contains(daemon(root, "--simulate", root.at("none")).expect(1).err, "cannot read", "none", "No such file")


@test("a trace of --record is one that --simulate takes")
def recorded(root):
    import subprocess
    from emulated import COMMAND, System
    system = System(root, used=400 * MIB)
    system.region(32, 8)
    # pylint: disable-next=consider-using-with
    process = subprocess.Popen([COMMAND, "--record"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               env=root.environment())
    lines = [process.stdout.readline() for _ in range(5)]
    process.terminate()
    process.communicate()
    contains(lines[1], "# region=0:1073741824")
    out = simulate(root, "".join(lines), "--low=256M", "--target=300M").out
    contains(out, "would set 2 blocks (256M) online")
    lacks(out, "would set 8 blocks")
