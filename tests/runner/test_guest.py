# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Tests of guest.py."""

import configparser
import os
import tempfile
import unittest
from unittest import mock

from runner.guest import make_disks, vm_command

TEXT = """
[plain]
harness = stress basic

[full]
harness = fuzz
memory = 2G
cpu = max,phys-bits=46
disks = swap:1M
packages = kexec-tools makedumpfile
boot_disks = yes
timeout = 300

[bench]
harness = bench-time
bench = yes
icount = yes
"""


class Commands(unittest.TestCase):
    """The command lines of scripts/vm."""

    def setUp(self):
        self.parser = configparser.ConfigParser(interpolation=None)
        self.parser.read_string(TEXT)

    def command(self, series, name, environment=(), disks=()):
        """The options, as a string, and the command for the guest."""
        with mock.patch.dict(os.environ, dict(environment), clear=True):
            argv = vm_command(series, self.parser[name], "/work", "/log", dict(disks))
        return " ".join(argv[1:-1]), argv[-1]

    def test_defaults(self):
        """a scenario has 1G, 2 CPUs and 180 s by default, on a slow kernel 1080 s"""
        options, command = self.command("6.12", "plain")
        for option in (
            "--kernel 6.12 ",
            "--memory 1G ",
            "--cpus 2 ",
            "--cpu max,erms=off ",
            "--timeout 180 ",
            "--input ",
        ):
            self.assertIn(option, options)
        self.assertEqual(command, "/twostage/harness --kmsg stress basic")
        for series in ("6.12-debug", "6.12-race"):
            self.assertIn("--timeout 1080 ", self.command(series, "plain")[0])

    def test_settings(self):
        """the settings of a scenario are options of scripts/vm"""
        options, _ = self.command("6.12", "full", disks={"swap": "/work/swap.disk"})
        for option in (
            "--memory 2G ",
            "--cpu max,phys-bits=46,erms=off ",
            "--timeout 300 ",
            "--boot-disks",
            "--disk /work/swap.disk:swap ",
            "--package kexec-tools --package makedumpfile ",
        ):
            self.assertIn(option, options)

    def test_bench(self):
        """the processor of a benchmark, and any with KVM, is the unchanged one"""
        self.assertIn("--cpu max ", self.command("6.12", "bench")[0])
        self.assertIn("--icount", self.command("6.12", "bench")[0])
        self.assertIn("--cpu max ", self.command("6.12", "plain", {"TWOSTAGE_ACCEL": "kvm"})[0])

    def test_variables(self):
        """durations and seeds are passed to their groups, durations extend the time limit"""
        variables = {"STRESS_SECONDS": "60", "FUZZ_SEED": "0x10"}
        options, command = self.command("6.12", "plain", variables)
        self.assertIn("--timeout 240 ", options)
        self.assertEqual(command, "STRESS_SECONDS=60 /twostage/harness --kmsg stress basic")
        self.assertEqual(
            self.command("6.12", "full", variables)[1], "FUZZ_SEED=16 /twostage/harness --kmsg fuzz"
        )

    def test_disks(self):
        """disks are sparse files of the given size"""
        with tempfile.TemporaryDirectory() as directory:
            paths = make_disks(directory, ["a:1M", "b:2G"])
            self.assertEqual([os.path.getsize(paths[name]) for name in "ab"], [1 << 20, 2 << 30])
            self.assertLess(os.stat(paths["b"]).st_blocks, 100)
