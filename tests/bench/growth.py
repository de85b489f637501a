# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""How long a program waits while memory comes on demand, beside a guest that has all memory."""

from bench import table

SCENARIOS = ["bench-growth", "bench-growth-stock"]
MAY_DIE = False


def collect(logs):
    """{way: [(seconds of the program, longest stall in seconds)]}"""
    data = {}
    for log in logs.values():
        for (way, seconds, stall), _ in log.measured("growth"):
            data.setdefault(way, []).append((float(seconds), float(stall)))
    return data


def print_tables(data):
    """Print what each run of the program took."""
    rows = [["", "the program (s)", "ratio", "longest stall (ms)", "ratio of the longest"]]
    seconds, stalls = ({way: [run[part] for run in runs] for way, runs in data.items()} for part in (0, 1))
    for way in data:
        rows.append([way, ", ".join(f"{took:.1f}" for took in seconds[way]),
                     f"{sum(seconds[way]) / sum(seconds['stock']):.2f}",
                     ", ".join(f"{1000 * took:.0f}" for took in stalls[way]),
                     f"{max(stalls[way]) / max(stalls['stock']):.2f}"])
    table.show("A program fills 11.5 GiB three times as fast as it can", rows)


def plot(data, directory):
    """There is no plot."""
