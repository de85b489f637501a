# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Counts and prints results; the tables of results."""

import collections
import os
import re
import threading

from runner import TOP
from runner.architecture import architecture_of


class Table:
    """The tables of results: one with a row for each kernel, and one for each
    architecture with a row for each scenario and a column for each kernel.

    A cell that is not run this time keeps its text in the file if the kernel's
    release is still the same.
    """

    BEGIN, END = "<!-- results -->\n", "<!-- end of results -->\n"
    NOT_RUN = "-"

    def __init__(self):
        self.cells = {}  # {(series, column): counts by verdict}
        self.releases = {}  # {series: release}
        self.before = {}  # {series: {column: text}}, of earlier runs

    @classmethod
    def text(cls, counts):
        """A cell: the number of tests that passed, and of those that did not, if any."""
        if not counts:
            return cls.NOT_RUN
        texts = [str(counts["pass"])] if counts["pass"] or not counts["skip"] else []
        if counts["fail"]:
            texts.append(f"**{counts['fail']} failed**")
        if counts["skip"]:
            texts.append(f"{counts['skip']} skipped")
        return ", ".join(texts)

    @staticmethod
    def counts(text):
        """What text() made a text of."""
        counts = collections.Counter()
        for number, verdict in re.findall(r"(\d+)( failed| skipped)?", text):
            counts[{" failed": "fail", " skipped": "skip"}.get(verdict, "pass")] += int(number)
        return counts

    def read(self, path):
        """Read the results of earlier runs from a file, into before: {series: {column: text}}."""
        for block in self.place(path)[1].split("\n\n"):
            rows = [
                [cell.strip() for cell in line.strip().strip("|").split("|")]
                for line in block.splitlines()
                if line.startswith("|")
            ]
            if not rows:
                continue
            del rows[1]
            if rows[0][0] != "kernel":
                rows = list(zip(*rows))
            for row in rows[1:]:
                self.before.setdefault(row[0], {}).update(zip(rows[0][1:], row[1:]))

    def cell(self, series, column):
        """The text of a cell. The build is one test, and has no number."""
        counts = self.cells.get((series, column))
        before = self.before.get(series, {})
        release = self.releases.get(series) or before.get("release", "?")
        if column == "release":
            return release
        if not counts and before.get("release") == release:
            return before.get(column, self.NOT_RUN)
        if column == "build" and counts:
            return "**failed**" if counts["fail"] else "ok"
        return self.text(counts)

    def overview(self, kernels, scenarios):
        """The rows of the table of kernels, as lists of strings, the headings first."""
        yield ["kernel", "release", "build", "passed", "failed", "skipped"]
        for series in kernels:
            total = collections.Counter()
            for scenario in scenarios:
                total += self.counts(self.cell(series, scenario))
            yield [series, self.cell(series, "release"), self.cell(series, "build")] + [
                str(total[verdict]) for verdict in ("pass", "fail", "skip")
            ]

    def details(self, kernels, scenarios):
        """The rows of the table of scenarios, without those that ran on none of the kernels."""
        yield ["scenario"] + kernels
        for scenario in scenarios:
            cells = [self.cell(series, scenario) for series in kernels]
            if any(cell != self.NOT_RUN for cell in cells):
                yield [scenario] + cells

    @staticmethod
    def markdown(rows):
        """A table as Markdown that is readable as it is."""
        rows = list(rows)
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        rows.insert(1, ["-" * width for width in widths])
        return "".join(
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |\n"
            for row in rows
        )

    def tables(self, kernels, scenarios):
        """All tables, in Markdown."""
        texts = [self.markdown(self.overview(kernels, scenarios))]
        for architecture in sorted(set(map(architecture_of, kernels))):
            its = [series for series in kernels if architecture_of(series) == architecture]
            texts.append(self.markdown(self.details(its, scenarios)))
        return "\n".join(texts)

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
