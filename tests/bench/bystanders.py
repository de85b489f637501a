# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""The cost for systems that do not use standby memory: blocks of a DIMM, and the boot."""

from bench import table
from bench.log import spread
from bench.times import times

SCENARIOS = ["bench-bystanders", "bench-bystanders-icount"]
MAY_DIE = False
CONTENDERS = {"module": "module loaded", "region": "and a region on another node", "region-beside": "on the same node"}


def collect(logs):
    """{scenario: {operation: {contender: spread}}}"""
    result = {}
    for scenario in SCENARIOS:
        result[scenario] = {
            operation: {contender: spread([busy for _, busy in pairs]) for contender, pairs in contenders.items()}
            for operation, contenders in times(logs[scenario]).items()}
        for operation, contenders in logs[scenario].samples().items():
            result[scenario][operation] = {contender: spread(values) for contender, values in contenders.items()}
    return result


def print_tables(data):
    """Print each beside the guest without the module."""
    for scenario, unit, scale in [(SCENARIOS[0], "µs", 1), (SCENARIOS[1], "instructions", 1000)]:
        rows = [["", "without the module"] + [cell for title in CONTENDERS.values() for cell in (title, "ratio")] + ["samples"]]
        for operation in ("online", "offline"):
            cells = data[scenario][operation]
            alone = cells["without"]["median"]
            rows.append([operation, table.with_quartiles(cells["without"], scale)])
            for contender in CONTENDERS:
                rows[-1] += [table.with_quartiles(cells[contender], scale), f"{cells[contender]['median'] / alone:.4f}"]
            rows[-1].append(str(cells["without"]["samples"]))
        table.show(f"A DIMM's blocks, {unit} per block, without waits for RCU", rows)
    cells = data[SCENARIOS[0]]["load"]
    table.show("Loading the module, as at boot, ms", [["without a region", "with a region of 1 TiB"], [
        table.with_quartiles(cells[contender], 0.001) for contender in ("without-region", "with-1-TiB")]])


def plot(data, directory):
    """There is no plot."""
