# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Times of add, online, offline and remove, beside the stock kernel in the same guest."""

import sys

from bench import graph
from bench import plot as gnuplot
from bench import table
from bench.log import spread

AGAINST = {"bench-time-on-memory": "stock with memmap_on_memory=1", "bench-time": "stock"}
SCENARIOS = [scenario + counted for counted in ("", "-icount") for scenario in AGAINST]
MAY_DIE = False

OPERATIONS = ["add", "online", "offline", "re-online", "re-offline", "remove"]
# A region or a DIMM is added and removed as a whole.
BLOCKS = 16


def times(log):
    """{operation: {contender: [(total, without waits for RCU)]}}, in microseconds per block."""
    result = {}
    for operation, order, calls in graph.traces(log):
        if operation in ("add", "remove"):
            if not calls:
                continue
            whole = sum(call.us for call in calls)
            pairs = [(order[0], whole / BLOCKS, (whole - sum(call.waited() for call in calls)) / BLOCKS)]
        elif len(calls) == len(order):
            pairs = [(contender, call.us, call.us - call.waited()) for contender, call in zip(order, calls)]
        else:
            # A kernel message has split a line of the trace, so that calls
            # cannot be assigned to contenders.
            print(f"{operation}: a trace of {len(order)} blocks has {len(calls)} calls, left out", file=sys.stderr)
            continue
        for contender, whole, busy in pairs:
            result.setdefault(operation, {}).setdefault(contender, []).append((whole, busy))
    return result


def collect(logs):
    """{scenario: {operation: {contender: {"all": spread, "busy": spread}}}}"""
    result = {}
    for scenario in SCENARIOS:
        result[scenario] = {
            operation: {contender: {"all": spread([pair[0] for pair in pairs]), "busy": spread([pair[1] for pair in pairs])}
                        for contender, pairs in contenders.items()}
            for operation, contenders in times(logs[scenario]).items()}
        for operation, contenders in logs[scenario].samples().items():
            result[scenario][operation] = {contender: {"all": spread(values)} for contender, values in contenders.items()}
    return result


def ratio(cells, what):
    """The median of twostage by that of the stock kernel."""
    return cells["twostage"][what]["median"] / cells["stock"][what]["median"]


def print_tables(data):
    """Print times, then instructions, then many blocks at once."""
    for scenario, what in AGAINST.items():
        rows = [["", "twostage (µs)", f"{what} (µs)", "ratio", "ratio without RCU waits", "samples"]]
        for operation in OPERATIONS:
            cells = data[scenario][operation]
            rows.append([operation] + [table.with_quartiles(cells[contender]["all"]) for contender in ("twostage", "stock")] +
                        [f"{ratio(cells, 'all'):.2f}", f"{ratio(cells, 'busy'):.2f}",
                         str(cells["twostage"]["all"]["samples"])])
        table.show(f"Time per block, median and quartiles, beside {what}", rows)
    for scenario, what in AGAINST.items():
        rows = [["", "twostage", what, "ratio", "samples"]]
        for operation in OPERATIONS:
            cells = data[scenario + "-icount"][operation]
            rows.append([operation] +
                        [table.with_quartiles(cells[contender]["busy"], 1000) for contender in ("twostage", "stock")] +
                        [f"{ratio(cells, 'busy'):.3f}", str(cells["twostage"]["busy"]["samples"])])
        table.show(f"Instructions per block, without waits for RCU, beside {what}", rows)
    rows = [["", "single writes (µs)", "one write (µs)", "ratio"]]
    for scenario in SCENARIOS:
        for operation in ("online-many", "offline-many"):
            cells = data[scenario].get(operation)
            if cells and scenario.startswith("bench-time-on-memory"):
                rows.append([operation.removesuffix("-many") + (", by instructions" if "icount" in scenario else "")] +
                            [table.with_quartiles(cells[contender]["all"]) for contender in ("single-writes", "one-write")] +
                            [f"{cells['one-write']['all']['median'] / cells['single-writes']['all']['median']:.2f}"])
    table.show(f"{BLOCKS} blocks of a region, one write for each or one for all; time per block", rows)
    goals(data)


def goals(data):
    """Print the goals beside the measurements, by instructions."""
    counted = data["bench-time-on-memory-icount"]
    median = {(operation, contender): counted[operation][contender]["busy"]["median"]
              for operation in OPERATIONS for contender in ("twostage", "stock")}
    rows = [["goal", "limit", "measured", ""]]
    for text, limit, value in [
            ("online, to stock's online", 1.02, median["online", "twostage"] / median["online", "stock"]),
            ("online, to stock's online and share of add", 1.0,
             median["online", "twostage"] / (median["online", "stock"] + median["add", "stock"])),
            ("offline, to stock's offline and share of remove", 1.0,
             median["offline", "twostage"] / (median["offline", "stock"] + median["remove", "stock"])),
            ("add, to stock's add", 1.0, median["add", "twostage"] / median["add", "stock"])]:
        rows.append([text, f"{limit:.2f}", f"{value:.3f}", "met" if value <= limit else "MISSED"])
    table.show("Goals, by instructions beside stock with memmap_on_memory=1", rows)


def plot(data, directory):
    """Draw the instructions of each operation as bars."""
    rows = []
    for operation in OPERATIONS:
        if operation.startswith("re-"):
            continue
        hosted, plain = (data[scenario + "-icount"][operation] for scenario in AGAINST)
        rows.append([operation] + [cell["busy"]["median"] / 1000 for cell in (
            hosted["twostage"], hosted["stock"], plain["stock"])])
    gnuplot.draw(directory, "times", """
set style data histogram
set style histogram clustered gap 1
set boxwidth 0.9
set ylabel "million instructions per block"
set yrange [0:*]
set title "A memory block of 128 MiB, in instructions, without waits for RCU"
set key outside bottom center horizontal noenhanced
plot $rows using 2:xtic(1) title "twostage", $rows using 3 title "stock, memmap_on_memory=1", \\
     $rows using 4 title "stock"
""", {"rows": rows})
