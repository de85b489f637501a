# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Several memory blocks with one processor and with two, beside the stock kernel."""

from bench import table
from bench.log import spread

SIZES = {"bench-processors": (4, "2 GiB"), "bench-processors-1G": (4, "1 GiB"), "bench-processors-128M": (64, "128 MiB")}
SCENARIOS = list(SIZES)
MAY_DIE = False
CONTENDERS = {"one-processor": "twostage, one processor", "two-processors": "two processors", "stock": "stock"}


def collect(logs):
    """{scenario: {operation: {contender: spread}}}"""
    return {scenario: {operation: {contender: spread(values) for contender, values in contenders.items()}
                       for operation, contenders in logs[scenario].samples().items()}
            for scenario in SCENARIOS}


def print_tables(data):
    """Print the times of a block, and their ratios."""
    for scenario, (blocks, size) in SIZES.items():
        rows = [["", *CONTENDERS.values(), "two to one", "two to stock", "samples"]]
        for operation, cells in data[scenario].items():
            median = {contender: cells[contender]["median"] for contender in CONTENDERS}
            rows.append([operation] + [table.with_quartiles(cells[contender]) for contender in CONTENDERS] +
                        [f"{median['two-processors'] / median[other]:.2f}" for other in ("one-processor", "stock")] +
                        [str(cells["two-processors"]["samples"])])
        table.show(f"{blocks} blocks of {size} by one write (stock: by {blocks}), µs per block, "
                   "beside stock with memmap_on_memory=1", rows)


def plot(data, directory):
    """There is no plot."""
