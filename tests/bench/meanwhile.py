# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""How long other tasks wait while much memory comes online or goes offline."""

from bench import table

SCENARIOS = ["bench-meanwhile", "bench-meanwhile-stock"]
MAY_DIE = False
ACTIONS = {"fault": "page fault", "fork": "fork, exit, wait", "meminfo": "/proc/meminfo",
           "hotplug": "a block of other memory"}
PHASES = ["idle", "online", "offline"]


def collect(logs):
    """{"waits": {phase: {action: {contender: {name: value}}}}, "seconds": {phase: {contender: [seconds]}}}"""
    waits, seconds = {}, {}
    for scenario in SCENARIOS:
        for (phase, contender, action), values in logs[scenario].measured("meanwhile"):
            waits.setdefault(phase, {}).setdefault(action, {})[contender] = {
                name: float(value) for name, value in values.items()}
        for (phase, contender, took), _ in logs[scenario].measured("phase"):
            seconds.setdefault(phase, {}).setdefault(contender, []).append(float(took))
    return {"waits": waits, "seconds": seconds}


def print_tables(data):
    """Print the waits and the lengths of the phases."""
    rows = [["", "p99: twostage", "stock", "ratio", "longest: twostage", "stock", "ratio", "samples"]]
    for phase in PHASES:
        for action, title in ACTIONS.items():
            cells = data["waits"].get(phase, {}).get(action, {})
            if len(cells) < 2:
                continue
            row = [f"{phase}: {title}"]
            for name in ("p99", "longest"):
                ours, stock = (cells[contender][name] for contender in ("twostage", "stock"))
                row += [f"{ours / 1000:,.1f}", f"{stock / 1000:,.1f}", f"{ours / stock:.2f}"]
            rows.append(row + [" / ".join(f"{cells[contender]['samples']:.0f}" for contender in ("twostage", "stock"))])
    table.show("Other tasks, ms, beside stock with memmap_on_memory=1", rows)
    rows = [["", "twostage", "stock"]]
    rows += [[phase] + [", ".join(f"{took:.1f}" for took in data["seconds"][phase][contender])
                        for contender in ("twostage", "stock")] for phase in PHASES[1:]]
    table.show("The operation meanwhile, s", rows)


def plot(data, directory):
    """There is no plot."""
