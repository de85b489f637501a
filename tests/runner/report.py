# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Counts and prints results; the table of results."""

import collections
import os
import threading

from runner import TOP


class Table:
    """The table of results: a row for each kernel, a column for the build and for each scenario.

    A cell that is not run this time keeps its text in the file if the kernel's
    release is still the same.
    """

    BEGIN, END = "<!-- results -->\n", "<!-- end of results -->\n"

    def __init__(self):
        self.cells = {}  # {(series, column): counts by verdict}
        self.releases = {}  # {series: release}
        self.before = {}  # {series: {column: text}}, of earlier runs

    @staticmethod
    def text(counts):
        """A cell: the number of tests that passed, and of those that did not, if any."""
        if not counts:
            return "-"
        text = str(counts["pass"])
        if counts["fail"]:
            text += f", **{counts['fail']} failed**"
        if counts["skip"]:
            text += f", {counts['skip']} skipped"
        return text

    def read(self, path):
        """Read the results of earlier runs from a file, into before: {series: {column: text}}."""
        table = self.place(path)[1]
        rows = [
            [cell.strip() for cell in line.strip().strip("|").split("|")]
            for line in table.splitlines()
        ]
        self.before = {row[0]: dict(zip(rows[0], row)) for row in rows[2:]}

    def cell(self, series, column):
        """The text of a cell. The build is one test, and has no number."""
        counts = self.cells.get((series, column))
        before = self.before.get(series, {})
        release = self.releases.get(series) or before.get("release", "?")
        if column == "release":
            return release
        if not counts and before.get("release") == release:
            return before.get(column, "-")
        if column == "build":
            return "-" if not counts else "**failed**" if counts["fail"] else "ok"
        return self.text(counts)

    def rows(self, kernels, columns):
        """The rows, as lists of strings, the headings first."""
        columns = ["release", "build"] + columns
        yield ["kernel"] + columns
        for series in kernels:
            yield [series] + [self.cell(series, column) for column in columns]

    def markdown(self, kernels, columns):
        """The table as Markdown that is readable as it is."""
        rows = list(self.rows(kernels, columns))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        rows.insert(1, ["-" * width for width in widths])
        return "".join(
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |\n"
            for row in rows
        )

    @classmethod
    def place(cls, path):
        """The text of a file before the table, the table, and the text after it."""
        old = ""
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                old = file.read()
        if cls.BEGIN not in old or cls.END not in old:
            return "", old, ""
        begin, end = old.index(cls.BEGIN) + len(cls.BEGIN), old.index(cls.END)
        return old[:begin], old[begin:end], old[end:]

    @classmethod
    def write(cls, path, text):
        """Write the table into a file: between BEGIN and END if the file has these lines."""
        before, _, after = cls.place(path)
        with open(path, "w", encoding="utf-8") as file:
            file.write(before + text + after)


class Report:
    """Counts results, and prints those of each step and scenario when it ends."""

    def __init__(self):
        self.counts = collections.Counter()
        self.failures = []
        self.table = Table()
        self.interrupted = False
        self.lock = threading.Lock()

    def add(self, title, tests, seconds, log=None, cell=None):
        """Add the tests of a step or scenario; cell is its row and column in the table."""
        counts = collections.Counter(test.verdict for test in tests)
        with self.lock:
            self.counts.update(counts)
            if cell:
                self.table.cells[cell] = counts
            line = f"{title:32} {counts['pass']:4} passed {counts['fail']:3} failed"
            line += f" {counts['skip']:3} skipped" if counts["skip"] else " " * 12
            print(f"{line}  {seconds:6.1f} s", flush=True)
            for test in tests:
                if test.verdict == "fail":
                    self.failures.append((title, test, log))
                    print(f"  FAILED {test.name}", flush=True)
                    if test.detail:
                        print(f"         {test.detail}", flush=True)
                    if log:
                        print(f"         log: {os.path.relpath(log, TOP)}", flush=True)
                elif test.verdict == "skip":
                    print(f"  skipped {test.name}: {test.detail}", flush=True)

    def summary(self):
        """Print all failures and the closing line; returns the exit status."""
        if len(self.failures) > 0:
            print("\nfailed:")
            for title, test, log in self.failures:
                where = f" ({os.path.relpath(log, TOP)})" if log else ""
                print(f"  {title}: {test.name}{where}")
        skipped = f", {self.counts['skip']} skipped" if self.counts["skip"] else ""
        print(f"\n{self.counts['pass']} passed, {self.counts['fail']} failed{skipped}")
        return 0 if self.counts["pass"] and not self.counts["fail"] and not self.interrupted else 1
