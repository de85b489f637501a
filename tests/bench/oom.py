# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Out of memory: time from an OOM to usable memory, block by block."""

from bench import table
from bench.log import spread

SCENARIOS = ["bench-oom"]
MAY_DIE = False


def collect(logs):
    """{number of the block that comes online for an OOM: spread}"""
    samples = logs["bench-oom"].samples()
    return {operation.removeprefix("oom-"): spread(contenders["twostage"])
            for operation, contenders in sorted(samples.items(), key=lambda item: int(item[0].removeprefix("oom-")))}


def print_tables(data):
    """Print the times."""
    rows = [["block", "ms", "samples"]]
    rows += [[block, table.with_quartiles(cell, 0.001), str(cell["samples"])] for block, cell in data.items()]
    table.show("Time from an OOM to usable memory, by the number of the block that comes online for it", rows)


def plot(data, directory):
    """There is no plot."""
