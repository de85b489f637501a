# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Memory, time and instructions on architectures without DIMMs, beside memory that the stock kernel adds."""

from bench import cost, guests, times

# The stock kernel's memory is added by its add_memory(), as that of a DIMM is.
CONTENDERS = {
    "bench-cost-dimm": ("dimm", "stock"),
    "bench-cost-hosted": ("dimm-on-memory", "stock, memmap_on_memory=1"),
    "bench-cost-virtio": cost.CONTENDERS["bench-cost-virtio"],
    "bench-cost-twostage": cost.CONTENDERS["bench-cost-twostage"],
}
SCENARIOS = [*CONTENDERS, *times.SCENARIOS]


def measure(series):
    """Run the guests. Those that add more than the kernel can bear may die."""
    return guests.run(series, CONTENDERS, may_die=True) and guests.run(series, times.SCENARIOS)


def collect(logs):
    """What cost and times collect. Some kernels cannot run all contenders."""
    contenders = {scenario: names for scenario, names in CONTENDERS.items() if scenario in logs}
    return {"cost": cost.collect(logs, contenders), "times": times.collect(logs)}


def print_tables(data):
    """Print the tables of cost and times."""
    cost.print_tables(data["cost"])
    times.print_tables(data["times"])


def plot(data, directory):
    """There is no plot."""
