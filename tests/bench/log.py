# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Reads the measurements in a guest's log."""

import re
import statistics

TIMESTAMP = re.compile(r"^(?:\S*?\[\s*\d+\.\d+\](?:\[\s*[TC]\d+\])? )?")


class Log:
    """A guest's log. Lines "# KIND WORD... NAME=VALUE..." are measurements."""

    def __init__(self, path):
        with open(path, encoding="utf-8", errors="replace") as file:
            self.lines = [TIMESTAMP.sub("", line.rstrip("\r\n"), count=1) for line in file]

    def measured(self, kind):
        """The words of each line of this kind: those without a "=" as a list, the others as a dictionary."""
        for line in self.lines:
            words = line.split()
            if words[:2] == ["#", kind]:
                yield ([word for word in words[2:] if "=" not in word],
                       dict(word.split("=", 1) for word in words[2:] if "=" in word))

    def samples(self):
        """{operation: {contender: [value, ...]}}"""
        result = {}
        for (operation, contender, value), _ in self.measured("sample"):
            result.setdefault(operation, {}).setdefault(contender, []).append(float(value))
        return result

    def death(self):
        """The kernel's message when the guest died, or ""."""
        for pattern, text in [(r"Kernel panic - not syncing: (.*)", "panic: {}"),
                              (r"Out of memory: Killed process \d+ \((\S+)\)", "out of memory, {} killed"),
                              (r"add_memory failed", "refused: the kernel cannot add it"),
                              (r"vmemmap alloc failure", "stops: no memory for its memmap")]:
            for line in self.lines:
                match = re.search(pattern, line)
                if match:
                    return text.format(*(group.strip() for group in match.groups()))
        return ""


def spread(values):
    """Statistics of samples: number, median, quartiles, lowest and highest."""
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return {"samples": len(values), "median": middle, "quartile1": low, "quartile3": high,
            "lowest": min(values), "highest": max(values)}
