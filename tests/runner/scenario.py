# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Reads the scenarios files, and says how a scenario runs on a kernel.

A scenario is a section of tests/scenarios.ini, or of tests/bench/scenarios.ini
if its guest measures. The comment at the top of tests/scenarios.ini lists the
keys. With "extends = NAME" a section has all keys of the section NAME but for
those that it sets itself; an empty value unsets a key, but for a key of an
architecture (arm64_qemu), where it takes the place of what amd64 has.
"""

import configparser
import os
import re
import subprocess

from runner import SCRIPTS, TOP, Failure
from runner.architecture import RAM_START, architecture_of, with_reserved
from runner.judge import KNOWN_TO_KASAN, KNOWN_TO_LOCKDEP

FILES = [os.path.join(TOP, "tests", "scenarios.ini")]
BENCH_FILES = [os.path.join(TOP, "tests", "bench", "scenarios.ini")]

# Lockdep switches itself off after its first report. An unknown report fails
# the guest anyway; after a known one this test cannot run.
LOCKDEP_OFF = r"lockdep was enabled throughout the group$"

# KCSAN watches one in so many accesses of the kernel, and 256 times as many of
# modules (scripts/race-kernel.patch), for up to so many microseconds.
KCSAN = "kcsan.skip_watch=5000 kcsan.udelay_task=400 kcsan.udelay_interrupt=40"


def resolve(parser):
    """A parser whose sections have the keys of those that they extend."""

    def keys_of(name, below=()):
        if name in below:
            raise Failure(f"scenario {name} extends itself")
        if not parser.has_section(name):
            raise Failure(f"scenario {below[-1]} extends {name}, which does not exist")
        own = dict(parser[name])
        parent = own.pop("extends", None)
        inherited = keys_of(parent, below + (name,)) if parent else {}
        inherited.pop("title", None)
        return {**inherited, **own}

    resolved = configparser.ConfigParser(interpolation=None)
    for name in parser.sections():
        resolved[name] = {
            key: value
            for key, value in keys_of(name).items()
            if value or key.partition("_")[0] in RAM_START
        }
    return resolved


def read(files, bench_files=()):
    """All scenarios, as a parser. Those in bench_files have bench = yes."""
    parser = configparser.ConfigParser(interpolation=None)
    for path in files:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
    others = set(parser.sections())
    for path in bench_files:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
    for name in set(parser.sections()) - others:
        parser[name]["bench"] = "yes"
    return resolve(parser)


def scenarios(only, long, kernels, parser=None):
    """The scenarios named in only, or those that run by default.

    long: also those that take long; kernels: those with debug_only run if one
    of these is a debug kernel
    """
    parser = parser or read(FILES, BENCH_FILES)
    unknown = set(only) - set(parser.sections())
    if unknown:
        raise Failure(f"no such scenario: {', '.join(sorted(unknown))} (see --list)")
    return [
        parser[name]
        for name in parser.sections()
        if (
            name in only
            if only
            else not any(
                parser[name].getboolean(kind, False) for kind in ("bench", "soak", "vmlinux")
            )
            and (not parser[name].getboolean("debug_only", False) or any(map(is_debug, kernels)))
            and (long or not parser[name].getboolean("long", False))
        )
    ]


def is_debug(series):
    """Whether it is the kernel with all debugging but for data races."""
    return series.endswith("-debug")


def is_race(series):
    """Whether it is the kernel that finds data races (scripts/debug-kernel --race)."""
    return series.endswith("-race")


def is_slow(series):
    """Whether it is a kernel of scripts/debug-kernel, slower, and with more need of memory."""
    return is_debug(series) or is_race(series)


def kind_of(series):
    """The prefix of keys for kernels of this kind; None for amd64's without debugging."""
    architecture = architecture_of(series)
    return "debug" if is_slow(series) else None if architecture == "amd64" else architecture


def setting(series, scenario, key, default):
    """The value of a key, which may be another one on debug kernels and other architectures."""
    own = kind_of(series) and scenario.get(f"{kind_of(series)}_{key}")
    return scenario.get(key, default) if own is None else own


def memory_of(series, scenario):
    """The guest's memory, for scripts/vm."""
    return with_reserved(
        architecture_of(series),
        setting(series, scenario, "memory", "1G"),
        setting(series, scenario, "append", ""),
    )[0]


def command_line_of(series, scenario):
    """The guest's kernel command line, without the part that scripts/vm adds for all guests."""
    words = with_reserved(
        architecture_of(series),
        setting(series, scenario, "memory", "1G"),
        setting(series, scenario, "append", ""),
    )[1]
    if is_race(series):
        return f"{words} {KCSAN}"
    return (
        words + " kmemleak=off"
        if is_debug(series) and not scenario.getboolean("kmemleak", False)
        else words
    )


def expected_of(series, scenario):
    """A pattern of the kernel reports that are expected on this kernel; None if there are none."""
    patterns = [scenario.get("expected")] + (
        [KNOWN_TO_LOCKDEP, KNOWN_TO_KASAN] if is_debug(series) else []
    )
    return "|".join(filter(None, patterns)) or None


def not_here(series, scenario):
    """Why a scenario cannot run on a kernel; None if it can."""
    if scenario.get("arm64_only") and architecture_of(series) != "arm64":
        return scenario["arm64_only"]
    if is_debug(series):
        return scenario.get("debug_skip")
    if scenario.getboolean("debug_only", False):
        return "needs the kernel of make check-debug"
    if architecture_of(series) != "amd64":
        return scenario.get(f"{architecture_of(series)}_skip") or scenario.get("amd64_only")
    return None


def skips_of(series, scenario):
    """A pattern of the tests that are skipped on a kernel; None if there are none."""
    patterns = [
        scenario.get("skips"),
        scenario.get(f"{kind_of(series)}_skips"),
        LOCKDEP_OFF if is_debug(series) else None,
    ]
    return "|".join(filter(None, patterns)) or None


def all_kernels():
    """The series that make check-all tests."""
    return subprocess.run(
        [os.path.join(SCRIPTS, "kernel"), "--list"], text=True, stdout=subprocess.PIPE, check=True
    ).stdout.split()


def kernel_value(key, series, *options):
    """A value that scripts/kernel prints for a series; None if the kernel cannot be fetched."""
    result = subprocess.run(
        [os.path.join(SCRIPTS, "kernel"), *options, series],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    found = re.search(rf"^{key}=(.*)$", result.stdout, re.MULTILINE)
    return found[1] if found else None


def release_of(series):
    """The release that a series stands for now, e.g. 6.1.0-56-amd64."""
    return kernel_value("RELEASE", series) or "?"


def vmlinux_of(series):
    """The path of the kernel with its debugging symbols; None if it cannot be fetched."""
    return kernel_value("VMLINUX", series, "--debug")
