# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Tests of step.py."""

import collections
import os
import tempfile
import time
import unittest
from unittest import mock

from runner import TOP
from runner.step import run_step

RESULTS = ["KTAP version 1", "1..3", "ok 1 a", "not ok 2 b", "ok 3 c # SKIP no such thing"]


class Unprinted:
    """A report that only counts."""

    def __init__(self):
        self.counts = collections.Counter()

    def add(self, _title, tests, _seconds, _log, _cell):
        """Count the verdicts."""
        self.counts.update(test.verdict for test in tests)


class Steps(unittest.TestCase):
    """The tests that a command on the host counts as."""

    def expect(self, argv, ktap, **expected):
        """Run a command, and compare the counts."""
        report = Unprinted()
        with tempfile.TemporaryDirectory() as directory, mock.patch("runner.step.BUILD", directory):
            run_step(report, "x", argv, "x.log", ktap=ktap, timeout=2)
        self.assertEqual(report.counts, collections.Counter(expected))

    def test_ktap(self):
        """each test that a step prints counts"""
        self.expect(["printf", r"%s\n"] + RESULTS, True, **{"pass": 1, "fail": 1, "skip": 1})

    def test_no_tests(self):
        """a step that prints no tests although it should fails"""
        self.expect(["true"], True, fail=1)

    def test_missing(self):
        """a step that cannot be run fails"""
        self.expect([os.path.join(TOP, "no such step")], True, fail=1)

    def test_timeout(self):
        """a step that does not end is killed with its children, and fails"""
        started = time.monotonic()
        self.expect(["sh", "-c", "sleep 60 | sleep 60"], False, fail=1)
        self.assertLess(time.monotonic() - started, 40)

    def test_true(self):
        """a step without tests passes if its exit status is 0"""
        self.expect(["true"], False, **{"pass": 1})

    def test_false(self):
        """a step without tests fails if its exit status is not 0"""
        self.expect(["false"], False, fail=1)
