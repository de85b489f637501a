# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Tests of scenario.py, and of the scenarios files."""

import configparser
import unittest

from runner import Failure
from runner.architecture import RAM_START
from runner.scenario import (
    BENCH_FILES,
    FILES,
    KCSAN,
    command_line_of,
    expected_of,
    memory_of,
    not_here,
    read,
    resolve,
    scenarios,
    setting,
)

TEXT = """
[one]
title = the first
harness = a
memory = 1G
append = x
debug_memory = 2G
expected = WARNING: x

[two]
extends = one
title = the second
memory = 3G
append =
long = yes

[three]
extends = two
title = the third
debug_only = yes
"""


def parse(text):
    """The scenarios in a text."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return resolve(parser)


class Extends(unittest.TestCase):
    """Sections that extend others."""

    def test_inherited(self):
        """a scenario has the keys of the one that it extends unless it sets them itself"""
        two, three = (parse(TEXT)[name] for name in ("two", "three"))
        self.assertEqual((two["harness"], two["memory"], two["title"]), ("a", "3G", "the second"))
        self.assertEqual(
            (three["memory"], three["debug_memory"], three.getboolean("long")), ("3G", "2G", True)
        )
        self.assertNotIn("extends", two)

    def test_unset(self):
        """an empty value unsets a key"""
        self.assertNotIn("append", parse(TEXT)["two"])
        self.assertNotIn("append", parse(TEXT)["three"])

    def test_title(self):
        """a title is not inherited"""
        self.assertNotIn("title", parse("[a]\ntitle = x\n[b]\nextends = a\nharness = y\n")["b"])

    def test_unknown(self):
        """a scenario that extends an unknown one, or itself, is refused"""
        for text in (
            "[a]\nextends = b\n",
            "[a]\nextends = b\n[b]\nextends = a\n",
            "[a]\nextends = a\n",
        ):
            with self.assertRaises(Failure):
                parse(text)


class Choice(unittest.TestCase):
    """The scenarios that run."""

    def names(self, *arguments):
        """The names of the scenarios that run."""
        return [scenario.name for scenario in scenarios(*arguments, parse(TEXT))]

    def test_long(self):
        """long scenarios run only when asked for, debug_only ones only with a debug kernel"""
        self.assertEqual(self.names([], False, ["6.12"]), ["one"])
        self.assertEqual(self.names([], True, ["6.12"]), ["one", "two"])
        self.assertEqual(self.names([], True, ["6.12-debug"]), ["one", "two", "three"])

    def test_named(self):
        """a scenario that is named runs, an unknown name is refused"""
        self.assertEqual(self.names(["three"], False, ["6.12"]), ["three"])
        with self.assertRaises(Failure):
            self.names(["four"], False, ["6.12"])

    def test_debug(self):
        """a debug kernel has its own settings and expected reports"""
        one, three = (parse(TEXT)[name] for name in ("one", "three"))
        self.assertEqual(
            (setting("6.12", one, "memory", ""), setting("6.12-debug", one, "memory", "")),
            ("1G", "2G"),
        )
        self.assertEqual(
            (command_line_of("6.12", one), command_line_of("6.12-debug", one)),
            ("x", "x kmemleak=off"),
        )
        self.assertEqual(expected_of("6.12", one), "WARNING: x")
        self.assertIn("KASAN", expected_of("6.12-debug", one))
        self.assertTrue(not_here("6.12", three))
        self.assertFalse(not_here("6.12-debug", three))

    def test_race(self):
        """the kernel that finds data races has a debug kernel's settings, and expects no report"""
        one, three = (parse(TEXT)[name] for name in ("one", "three"))
        self.assertEqual(setting("6.12-race", one, "memory", ""), "2G")
        self.assertEqual(command_line_of("6.12-race", one), f"x {KCSAN}")
        self.assertEqual(expected_of("6.12-race", one), "WARNING: x")
        self.assertTrue(not_here("6.12-race", three))
        self.assertFalse(not_here("6.12-race", one))

    def test_architectures(self):
        """memory that is reserved on amd64 is left out elsewhere, at the same address"""
        scenario = parse("[a]\nharness = a\nmemory = 6G,slots=1\nappend = memmap=2G$5G x\n")["a"]
        got = [
            (memory_of(series, scenario), command_line_of(series, scenario))
            for series in ("6.12", "6.12-arm64", "sid-s390x")
        ]
        self.assertEqual(
            got,
            [
                ("6G,slots=1", "memmap=2G$5G x"),
                ("6144M,slots=1", "mem=4096M x"),
                ("7168M,slots=1", "mem=5120M x"),
            ],
        )
        other = parse("[a]\nharness = a\nappend = memmap=1G!5G\n")["a"]
        with self.assertRaises(Failure):
            command_line_of("6.12-arm64", other)

    def test_only_there(self):
        """a scenario is skipped on other architectures with the reason that it has"""
        text = "[a]\nharness = a\namd64_only = has DIMMs\ns390x_skip = has no PCI\n"
        scenario = parse(text)["a"]
        self.assertEqual(
            [not_here(series, scenario) for series in ("6.12-rt", "6.12-rt-arm64", "sid-s390x")],
            [None, "has DIMMs", "has no PCI"],
        )
        scenario = parse("[a]\nharness = a\narm64_only = its firmware\n")["a"]
        self.assertEqual(
            [
                not_here(series, scenario)
                for series in ("6.12", "6.12-debug", "6.12-rt-arm64", "sid-s390x")
            ],
            ["its firmware", "its firmware", None, "its firmware"],
        )

    def test_each_architecture(self):
        """each scenario can be given to scripts/vm on each architecture, or is skipped there"""
        parser = read(FILES, BENCH_FILES)
        for name in parser.sections():
            for series in ("6.12-arm64", "sid-s390x"):
                if not not_here(series, parser[name]):
                    command_line_of(series, parser[name])


class Files(unittest.TestCase):
    """The scenarios files of this tree."""

    KEYS = {
        "title",
        "harness",
        "memory",
        "cpus",
        "cpu",
        "append",
        "qemu",
        "packages",
        "disks",
        "boot_disks",
        "crash",
        "host",
        "timeout",
        "weight",
        "host_memory",
        "long",
        "vmlinux",
        "bench",
        "expected",
        "debug_only",
        "debug_memory",
        "debug_qemu",
        "debug_append",
        "kmemleak",
        "skips",
        "debug_skips",
        "debug_skip",
        "soak",
        "icount",
        "expect_death",
        "essential",
        "once",
        "amd64_only",
        "arm64_only",
    } | {
        f"{architecture}_{key}"
        for architecture in RAM_START
        for key in ("memory", "cpu", "append", "qemu", "skip", "skips", "long")
    }

    def test_keys(self):
        """each scenario has a title and groups of tests, and no unknown key"""
        parser = read(FILES, BENCH_FILES)
        self.assertTrue(parser.sections())
        for name in parser.sections():
            self.assertTrue({"title", "harness"} <= set(parser[name]), name)
            self.assertFalse(set(parser[name]) - self.KEYS, name)

    def test_bench(self):
        """scenarios in the file of the benchmarks run only when they are named"""
        parser = read(FILES, BENCH_FILES)
        bench = [name for name in parser.sections() if name.startswith("bench-")]
        self.assertTrue(bench)
        self.assertFalse(
            set(bench) & {scenario.name for scenario in scenarios([], True, ["6.12-debug"], parser)}
        )
