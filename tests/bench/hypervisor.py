# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""virtio-mem: time until memory is usable, and memory that the host uses."""

from bench import graph
from bench import plot as gnuplot
from bench import table
from bench.log import spread

SCENARIOS = ["bench-virtio", "bench-virtio-stock"]
MAY_DIE = False
STEPS = ["standby", "online", "used", "freed", "given-back"]


def until_usable(calls):
    """Microseconds from the first call, made by the device's interrupt, to the end of the last online."""
    interrupts = [call for call in calls if call.function == "virtio_mem_config_changed"]
    onlines = [call for call in calls if call.function == "memory_subsys_online"]
    if not interrupts or not onlines or None in (onlines[-1].began, interrupts[0].began):
        return None
    return (onlines[-1].began - interrupts[0].began) * 1e6 + onlines[-1].us


def collect(logs):
    """{"usable": {blocks: {contender: spread}}, "resident": {contender: {step: MiB}}}"""
    usable, resident = {}, {}
    for scenario in SCENARIOS:
        log = logs[scenario]
        values = log.samples()
        for operation, order, calls in graph.traces(log):
            us = until_usable(calls)
            if us is not None:
                values.setdefault(operation, {}).setdefault(order[0], []).append(us)
        for operation, contenders in values.items():
            for contender, samples in contenders.items():
                usable.setdefault(operation.removeprefix("usable-"), {})[contender] = spread(samples)
        for (contender, step, mib), _ in log.measured("rss"):
            resident.setdefault(contender, {})[step] = int(mib)
    return {"usable": usable, "resident": resident}


def print_tables(data):
    """Print times, then memory."""
    rows = [["blocks", "twostage (ms)", "the kernel's driver (ms)", "ratio", "samples"]]
    for blocks, cells in data["usable"].items():
        rows.append([blocks] + [table.with_quartiles(cells[contender], 0.001) for contender in ("twostage", "virtio-mem")] +
                    [f"{cells['twostage']['median'] / cells['virtio-mem']['median']:.2f}",
                     f"{cells['twostage']['samples']}, {cells['virtio-mem']['samples']}"])
    table.show("Time until memory of a virtio-mem device is usable", rows)
    rows = [["", "twostage", "the kernel's driver"]]
    for step in STEPS:
        rows.append([step] + [str(data["resident"][contender].get(step, "-")) for contender in ("twostage", "virtio-mem")])
    table.show("QEMU's resident memory, MiB, with 1 GiB of the device's memory online and 900 MiB of it used", rows)


def plot(data, directory):
    """Draw resident memory in each step of the cycle."""
    rows = [[step.replace("-", " ")] + [data["resident"][contender].get(step, 0) for contender in ("twostage", "virtio-mem")]
            for step in STEPS]
    gnuplot.draw(directory, "resident", """
set style data histogram
set style histogram clustered gap 1
set boxwidth 0.9
set ylabel "QEMU's resident memory (MiB)"
set yrange [0:*]
set title "QEMU's memory while 1 GiB of a virtio-mem device is used and given back"
set key outside bottom center horizontal
plot $rows using 2:xtic(1) title "twostage", $rows using 3 title "the kernel's virtio-mem driver"
""", {"rows": rows})
