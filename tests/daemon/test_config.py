# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""The configuration of twostaged: file, drop-ins, options, and messages about mistakes."""

import os
import re
import subprocess

from emulated import COMMAND, Daemon, System
from ktap import contains, same, test, test_each
from sysroot import MIB, Result

CONFIG = "etc/twostage/twostaged.conf"
TRACE = ("# block=128M\n# region=0:8G\nseconds,pressure,available,0:Normal:1G\n"
         "0,0,64M,64M\n1,0,64M,64M\n")


def daemon(root, *arguments, stdin=""):
    """Run twostaged to its end."""
    result = subprocess.run([COMMAND, *arguments], input=stdin, capture_output=True, text=True, check=False,
                            timeout=20, env=root.environment())
    return Result(result.returncode, result.stdout, result.stderr)


def simulated(root, *arguments):
    """What it does in a trace in which 64 MiB are available."""
    return daemon(root, "--simulate", "-", *arguments, stdin=TRACE).expect(0).out


@test("a key of the file has an effect, with blanks and comments around it")
def file_key(root):
    root.write(CONFIG, "# nothing\n\n ; nothing\n  low = 32M  \ntarget=48M\n")
    contains(simulated(root), "0 blocks online")
    root.write(CONFIG, "low=100M\n")
    contains(simulated(root), "less than low= is available", "low 100M")


@test("drop-ins are read after the file, sorted by name, and only *.conf")
def drop_ins(root):
    root.write(CONFIG, "low=1M\n")
    for number in (3, 10, 2):
        root.write(f"{CONFIG}.d/{number:02}.conf", f"low={100 + number}M\n")
    root.write(f"{CONFIG}.d/99.conf~", "low=99M\n")
    contains(simulated(root), "low 110M")


@test("options take precedence over files")
def options(root):
    root.write(CONFIG, "low=100M\n")
    contains(simulated(root, "--low=101M"), "low 101M")


@test("--config names another file, which has to exist")
def other_file(root):
    root.write("other", "low=102M\n")
    contains(simulated(root, "--config", root.at("other")), "low 102M")
    result = daemon(root, "--config", root.at("none")).expect(2)
    contains(result.err, "none", "No such file")


MISTAKES = [
    ("low=12Q", ":2: low: \"12Q\" is not a size such as 512M, or auto"),
    ("low=none", ":2: low: \"none\" is not"),
    ("max=auto", ":2: max: \"auto\" is not a size such as 8G, or none"),
    ("lw=1M", ":2: unknown key \"lw\""),
    ("low", ":2: \"low\" is not KEY=VALUE"),
    ("ratio=-1", ":2: ratio: \"-1\" is not a number"),
    ("ratio=1.x", ":2: ratio: "),
    ("ratio=1001", ":2: ratio: "),
    ("pressure=101", ":2: pressure: \"101\" is not a whole number from 0 to 100"),
    ("settle=5 years", ":2: settle: \"5 years\" is not a time such as 30s or 5min"),
    ("try=0", ":2: try: "),
    ("budget=", ":2: budget: \"\" is not strict|gentle"),
    ("manage=none", ":2: manage: "),
    ("regions=region", ":2: regions: \"region\" is not all, or names of regions"),
    ("regions=region1,", ":2: regions: "),
]


@test_each("the mistake \"{}\" is reported with file, line and key, and exit status 2", MISTAKES)
def mistake(root, line, message):
    root.write(CONFIG, f"# first\n{line}\n")
    result = daemon(root, "--dry-run").expect(2)
    contains(result.err, root.at(CONFIG) + message)


@test("limits that do not fit together are refused")
def order(root):
    contains(daemon(root, "--low=2G", "--target=1G").expect(2).err, "low: 2G is not less than the 1G of target=")
    contains(daemon(root, "--target=2G", "--high=2G").expect(2).err, "target: ")
    contains(daemon(root, "--min=2G", "--max=1G").expect(2).err, "min: ")


@test("a mistake in an option is reported with its name, and exit status 2")
def option_mistake(root):
    contains(daemon(root, "--low=x").expect(2).err, "--low: \"x\" is not a size")
    contains(daemon(root, "--nothing").expect(2).err, "--nothing", "Try 'twostaged --help'")
    contains(daemon(root, "more").expect(2).err, "unexpected argument \"more\"")


@test("--help lists each key with its default, and the man page has them all")
def documented(root):
    text = daemon(root, "--help").expect(0).out
    keys = re.findall(r"^      --([a-z-]+) [A-Za-z|]+ .*\(default: .*\)$", text, re.M)
    same(len(keys) > 13, True, str(keys))
    contains(text, "--simulate", "--dry-run", "--record", "Exit status: ")
    same(daemon(root, "--version").expect(0).out.startswith("twostaged "), True)


@test("SIGHUP reads the configuration again, and keeps the old one if the new one has a mistake")
def reload(root):
    system = System(root, used=100 * MIB)
    system.region(32, 8)
    root.write(CONFIG, "low=100M\n")
    with Daemon(system) as running:
        root.write(CONFIG, "low=x\n")
        running.process.send_signal(1)
        contains(running.wait_for("the configuration stays as it was"), f"{root.at(CONFIG)}:1: low: ")
        same(system.online("region0"), [])
        root.write(CONFIG, "low=500M\ntarget=600M\n")
        running.process.send_signal(1)
        running.wait_for("the configuration has been read again")
        contains(running.wait_for("set "), "region0: set", "low 500M")
    same(os.path.exists(root.at("run/twostaged/status")), True)
