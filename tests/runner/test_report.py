# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Tests of report.py."""

import collections
import contextlib
import io
import os
import tempfile
import unittest

from runner.judge import Test
from runner.report import Report, Table


class Tables(unittest.TestCase):
    """The tables of results."""

    def setUp(self):
        self.table = Table()
        self.table.cells = {
            ("a", "build"): {"fail": 0},
            ("a", "x"): collections.Counter({"pass": 3, "fail": 1, "skip": 2}),
            ("a-arm64", "x"): collections.Counter({"skip": 1}),
        }
        self.table.releases = {"a": "a.1", "a-arm64": "a.2"}

    def test_text(self):
        """a cell shows what did not pass, and what text() writes counts() reads"""
        for text, counts in {
            "3": {"pass": 3},
            "3, **1 failed**, 2 skipped": {"pass": 3, "fail": 1, "skip": 2},
            "2 skipped": {"skip": 2},
            "0, **1 failed**": {"fail": 1},
        }.items():
            counts = collections.Counter(counts)
            self.assertEqual(Table.text(counts), text)
            self.assertEqual(+Table.counts(text), counts)
        self.assertEqual(Table.text(None), "-")

    def test_overview(self):
        """a kernel's row has the sums over all scenarios, those of earlier runs included"""
        self.table.before = {"a": {"release": "a.1", "y": "2, **1 failed**"}}
        self.assertEqual(
            list(self.table.overview(["a", "b"], ["x", "y"]))[1:],
            [["a", "a.1", "ok", "5", "2", "2"], ["b", "?", "-", "0", "0", "0"]],
        )

    def test_details(self):
        """a scenario's row shows what failed and what was not run; there is none if nothing was"""
        self.assertEqual(
            list(self.table.details(["a", "b"], ["x", "y"])),
            [["scenario", "a", "b"], ["x", "3, **1 failed**, 2 skipped", "-"]],
        )

    def test_before(self):
        """a cell that was not run keeps its text unless the kernel's release has changed"""
        self.table.before = {
            "a": {"release": "a.1", "build": "ok", "x": "9", "y": "2"},
            "b": {"release": "b.1", "build": "ok", "x": "7"},
            "c": {"release": "c.1", "build": "ok", "x": "5"},
        }
        self.table.releases["c"] = "c.2"
        self.assertEqual(
            list(self.table.details(["a", "b", "c"], ["x", "y"]))[1:],
            [["x", "3, **1 failed**, 2 skipped", "7", "-"], ["y", "2", "-", "-"]],
        )
        self.assertEqual(
            [row[1:3] for row in self.table.overview(["b", "c"], ["x"])][1:],
            [["b.1", "ok"], ["c.2", "-"]],
        )

    def test_file(self):
        """the tables are written between two lines of a file, and read back from there"""
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "x.md")
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"before\n{Table.BEGIN}old\n{Table.END}after\n")
            text = self.table.tables(["a", "b", "a-arm64"], ["x"])
            self.table.write(path, text)
            self.assertEqual(
                Table.place(path), (f"before\n{Table.BEGIN}", text, f"{Table.END}after\n")
            )
            other = Table()
            other.read(path)
            self.assertEqual(other.before["a"]["x"], "3, **1 failed**, 2 skipped")
            self.assertEqual(other.before["a"]["release"], "a.1")
            self.assertEqual(other.before["a-arm64"]["x"], "1 skipped")
            self.assertEqual(other.tables(["a", "b", "a-arm64"], ["x"]), text)


class Summaries(unittest.TestCase):
    """What a report prints."""

    def summary(self, *verdicts, detail="why"):
        """The exit status and the output for tests with these verdicts."""
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            report = Report()
            report.add(
                "title",
                [Test(verdict, f"a {verdict}", detail) for verdict in verdicts],
                1,
                "/tmp/x.log",
            )
            status = report.summary()
        return status, output.getvalue().splitlines()

    def test_passed(self):
        """the closing line counts what passed, failed and was skipped"""
        status, lines = self.summary("pass", "pass", "skip")
        self.assertEqual((status, lines[-1]), (0, "2 passed, 0 failed, 1 skipped"))
        status, lines = self.summary("pass")
        self.assertEqual((status, lines[-1]), (0, "1 passed, 0 failed"))

    def test_failed(self):
        """each failure is named with its log, and fails the run"""
        status, lines = self.summary("pass", "fail")
        self.assertEqual((status, lines[-1]), (1, "1 passed, 1 failed"))
        self.assertTrue(
            any(line.startswith("  title: a fail (") and "x.log" in line for line in lines), lines
        )

    def test_no_detail(self):
        """a failure of which no more is known than its name is printed without an empty line"""
        lines = self.summary("fail", detail="")[1]
        failed = lines.index("  FAILED a fail")
        self.assertIn("log: ", lines[failed + 1])

    def test_nothing(self):
        """a run in which no test passed fails"""
        self.assertEqual(self.summary()[0], 1)
