# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Tests of jobs.py, and of a whole run whose commands and guests are made up."""

import argparse
import configparser
import tempfile
import unittest
from unittest import mock

from runner import guest, jobs
from runner.report import Report
from runner.schedule import Schedule

TEXT = """
[small]
harness = a
essential = yes

[large]
harness = b
host_memory = 13
once = yes

[slow]
harness = c
long = yes
arm64_long = no

[other]
harness = d
debug_only = yes
"""

BUILD = "make -s cli daemon harness daemon-tests"
ALL = {"build": True, "self_test": False, "lint": True, "cli": True, "packaging": True, "unit": True}


class Runs(unittest.TestCase):
    """What is run, in which commands fail or succeed, and guests print one result."""

    def setUp(self):
        self.parser = configparser.ConfigParser(interpolation=None)
        self.parser.read_string(TEXT)
        self.done = []

    def command(self, argv, _timeout):
        """Stands for run_bounded()."""
        self.done.append(" ".join(argv).rpartition("/")[2])
        return "1..1\nok 1 a\n", int(self.done[-1] in self.failing)

    def guest(self, argv, _work):
        """Stands for boot()."""
        self.done.append(argv[argv.index("--kernel") + 1] + argv[-1].rpartition("kmsg")[2])
        return ["1..1", "ok 1 a"], 0, ""

    def run_all(
        self,
        memory=100,
        failing=(),
        only=(),
        long=(),
        kernels=("6.1", "6.12"),
        workers=1,
        essential=(),
        once=False,
    ):
        """Run everything; returns the report."""
        self.failing = failing
        args = argparse.Namespace(
            only=list(only),
            long=list(long),
            essential=list(essential),
            kernel=[series for series in kernels if series not in essential],
            once=once,
            **ALL,
        )
        chosen = [self.parser[name] for name in only or self.parser.sections()]
        report = Report()
        with (
            tempfile.TemporaryDirectory() as directory,
            mock.patch("runner.step.BUILD", directory),
            mock.patch.object(guest, "BUILD", directory),
            mock.patch("runner.step.run_bounded", self.command),
            mock.patch.object(guest, "boot", self.guest),
            mock.patch.object(guest, "host_memory", lambda: memory),
            mock.patch.object(jobs, "release_of", lambda series: series + ".1"),
            mock.patch("builtins.print"),
        ):
            todo = jobs.host_jobs(report, args, kernels, lambda name, default: default)
            todo += jobs.guest_jobs(
                report, args, kernels, chosen, todo[0], lambda name, default: default
            )
            Schedule(todo, workers, available=lambda: memory).run()
        return report

    def test_all(self):
        """a run builds, tests on the host and boots each guest, after the builds that it needs"""
        report = self.run_all(workers=2)
        self.assertEqual(
            sorted(self.done),
            ["6.1 a", "6.1 b", "6.12 a", "6.12 b"]
            + ["build-modules --strict 6.1", "build-modules --strict 6.12", "lacking 6.12"]
            + ["lint --quick", BUILD, "packaging", "run", "run", "unit"],
        )
        self.assertEqual((report.counts["fail"], report.counts["skip"]), (0, 2))
        self.assertEqual(report.table.releases, {"6.1": "6.1.1", "6.12": "6.12.1"})
        for number in "6.1", "6.12":
            build = self.done.index(f"build-modules --strict {number}")
            self.assertLess(build, self.done.index(f"{number} a"))

    def test_architectures(self):
        """guests of another architecture need its builds, and may run the essential scenarios only"""
        self.run_all(kernels=["6.12", "sid-s390x"], essential=["sid-s390x"])
        self.assertIn("sid-s390x a", self.done)
        self.assertNotIn("sid-s390x b", self.done)
        self.assertIn("6.12 b", self.done)
        self.done.clear()
        # The last word of the command that builds the programs
        self.run_all(kernels=["6.12", "sid-s390x"], failing=["s390x"])
        self.assertNotIn("sid-s390x a", self.done)
        self.assertIn("6.12 a", self.done)

    def test_long(self):
        """long scenarios run on the kernels named for them, or if they are named"""
        self.run_all(kernels=["6.1", "6.12", "6.12-arm64"], long=["6.1"])
        self.assertIn("6.1 c", self.done)
        self.assertNotIn("6.12 c", self.done)
        self.assertIn("6.12-arm64 c", self.done)
        self.done.clear()
        self.run_all(only=["slow"])
        self.assertIn("6.12 c", self.done)

    def test_once(self):
        """with --once, scenarios that depend little on the kernel run on the last one only"""
        kernels = ["6.1", "6.12", "6.12-arm64"]
        self.run_all(kernels=kernels, essential=kernels[2:], once=True)
        self.assertNotIn("6.1 b", self.done)
        self.assertIn("6.12 b", self.done)
        self.assertIn("6.1 a", self.done)
        self.done.clear()
        self.run_all(kernels=["6.1"], once=True)
        self.assertIn("6.1 b", self.done)

    def test_failed_build(self):
        """no guest of a kernel is booted if the modules cannot be built for it"""
        report = self.run_all(failing=["build-modules --strict 6.1"])
        self.assertNotIn("6.1 a", self.done)
        self.assertIn("6.12 a", self.done)
        self.assertEqual(report.counts["fail"], 1)

    def test_failed_harness(self):
        """no guest is booted if the harness cannot be built"""
        self.run_all(failing=[BUILD])
        self.assertFalse([name for name in self.done if name.startswith("6.")])

    def test_memory(self):
        """a scenario for which the host lacks memory is skipped with the reason"""
        report = self.run_all(memory=13.5, only=["large"], kernels=["6.1"])
        self.assertNotIn("6.1 b", self.done)
        self.assertEqual(report.counts["skip"], 1)
