# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""How often each operation interrupts other CPUs, flushes TLBs and waits, beside the stock kernel."""

import statistics

from bench import table

SCENARIOS = ["bench-waits"]
MAY_DIE = False

# Operations, and which contenders do them. "nothing" is a tenth of a second.
OPERATIONS = {"add": ["twostage", "stock"], "online": ["twostage", "stock"], "offline": ["twostage", "stock"],
              "online-all": ["twostage", "one-write", "stock"], "offline-all": ["twostage", "one-write", "stock"],
              "remove": ["twostage", "stock"], "nothing": ["nothing"]}
# What the calls of functions mean
KINDS = {
    "interrupts": ["native_send_call_func_single_ipi", "native_send_call_func_ipi"],
    "TLB flushes": ["flush_tlb_all", "flush_tlb_kernel_range"],
    "grace periods": ["synchronize_rcu", "synchronize_rcu_tasks", "synchronize_srcu", "rcu_barrier"],
    "expedited": ["synchronize_rcu_expedited", "synchronize_srcu_expedited"],
    "stops of all CPUs": ["stop_machine", "stop_machine_cpuslocked"],
    "drains of page lists": ["__drain_all_pages", "__lru_add_drain_all"],
    "flushes of works": ["schedule_on_each_cpu", "flush_work", "__flush_workqueue"],
    "write locks": ["percpu_down_write"],
    "mem_hotplug_begin": ["mem_hotplug_begin"],
}


def collect(logs):
    """{operation: {contender: {function: median of the calls per block}}}"""
    log = logs[SCENARIOS[0]]
    functions = next(log.measured("waits-counted"))[0]
    samples = {}
    for (operation, contender), counts in log.measured("waits"):
        cell = samples.setdefault(operation, {}).setdefault(contender, {function: [] for function in functions})
        for function in functions:
            cell[function].append(int(counts.get(function, 0)) / int(counts["blocks"]))
    return {operation: {contender: {function: statistics.median(values) for function, values in cell.items()}
                        for contender, cell in contenders.items()}
            for operation, contenders in samples.items()}


def print_tables(data):
    """Print a row for each operation and contender, and a column for each kind that there is."""
    kinds = [kind for kind, functions in KINDS.items()
             if any(cell.get(function) for contenders in data.values() for cell in contenders.values()
                    for function in functions)]
    rows = [["", *kinds]]
    for operation, contenders in OPERATIONS.items():
        for contender in contenders:
            cell = data[operation][contender]
            calls = [sum(cell.get(function, 0) for function in KINDS[kind]) for kind in kinds]
            rows.append([f"{operation}, {contender}"] + [f"{number:.2f}".rstrip("0").rstrip(".") for number in calls])
    table.show("Calls per block, median, beside stock with memmap_on_memory=1", rows)


def plot(data, directory):
    """There is no plot."""
