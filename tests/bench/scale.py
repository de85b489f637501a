# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""How times grow with the number of blocks."""

from bench import plot as gnuplot
from bench import table

SCENARIOS = ["bench-scale", "bench-scale-online", "bench-scale-udev"]
MAY_DIE = False


def collect(logs):
    """{operation: {blocks: seconds}}"""
    result = {}
    for scenario in SCENARIOS:
        for (operation, blocks, seconds), _ in logs[scenario].measured("scale"):
            result.setdefault(operation, {})[int(blocks)] = float(seconds)
    return result


def print_tables(data):
    """Print a row for each number of blocks, and how the time per block grows from the fewest to the most."""
    counts = sorted({blocks for times in data.values() for blocks in times})
    rows = [["blocks"] + list(data)]
    for blocks in counts:
        rows.append([str(blocks)] + [f"{times[blocks] * 1000:,.0f}" if blocks in times else "-"
                                     for times in data.values()])
    rows.append(["growth, 1 is linear"])
    for times in data.values():
        few, most = min(times), max(times)
        rows[-1].append(f"{times[most] / most / (times[few] / few):.2f}" if times[few] else "-")
    table.show("Times by the number of blocks, ms", rows)


def plot(data, directory):
    """Draw all times by the number of blocks."""
    blocks = {operation.replace("-", "_"): sorted([count, max(seconds, 0.0001)] for count, seconds in times.items())
              for operation, times in data.items()}
    lines = ", ".join(f"${operation.replace('-', '_')} using 1:2 with linespoints title \"{operation}\""
                      for operation in data)
    gnuplot.draw(directory, "scale", f"""
set logscale xy
set xlabel "memory blocks of 128 MiB"
set ylabel "seconds"
set xtics (64, 256, 1024, 4096, 16384, 32768)
set key outside right
set title "Time by the number of blocks (grey: linear)"
set xrange [50:45000]
plot {lines}, x / 2000 with lines lc rgb '#aaaaaa' lw 1 dt 2 notitle""", blocks, size=(900, 480))
