# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Where the time goes within an add, online, offline and remove."""

import statistics

from bench import graph
from bench import plot as gnuplot
from bench import table

SCENARIOS = ["bench-breakdown-icount", "bench-breakdown"]
MAY_DIE = False
OPERATIONS = ["add", "online", "offline", "remove"]
BLOCKS = 16
# In the plot: where the stacks are, and the share below which a kind has no
# colour of its own
POSITIONS = [1, 2, 3.6, 4.6]
SLIVER = 0.02

REST = "the rest"
# The kind that a function's own time counts as. Other functions count as the
# kind of their caller.
KINDS = {
    "waits for RCU": graph.WAITS,
    "locks": ["mem_hotplug_begin", "mem_hotplug_done", "percpu_down_write", "percpu_up_write"],
    "TLB flushes": ["flush_tlb_all", "flush_tlb_kernel_range"],
    "assign, unassign": ["ram_assign", "ram_unassign"],
    "direct map": ["init_memory_mapping", "arch_add_memory", "arch_remove_memory"],
    "vmemmap": ["add_pages", "__add_pages", "__remove_pages"],
    "struct pages": ["memmap_init_range"],
    "zone": ["move_pfn_range_to_zone", "remove_pfn_range_from_zone", "set_zone_contiguous",
             "mhp_init_memmap_on_memory", "mhp_deinit_memmap_on_memory", "adjust_present_page_count",
             "init_per_zone_wmark_min", "build_all_zonelists", "zone_pcp_disable", "zone_pcp_enable"],
    "pages to the allocator": ["generic_online_page", "undo_isolate_page_range"],
    "pages out of use": ["offline_pages", "start_isolate_page_range", "test_pages_isolated", "do_migrate_range",
                         "dissolve_free_hugetlb_folios", "dissolve_free_huge_pages", "lru_cache_disable",
                         "__offline_isolated_pages"],
    "notifiers": ["memory_notify", "blocking_notifier_call_chain", "slab_memory_callback",
                  "slab_mem_going_offline_callback", "slab_mem_going_online_callback", "kswapd_run",
                  "kcompactd_run", "writeback_set_ratelimit"],
    "blocks in sysfs": ["create_memory_block_devices", "remove_memory_block_devices",
                        "register_memory_blocks_under_node", "register_memory_blocks_under_node_hotplug",
                        "link_mem_sections"],
    "wait for readers": ["pfn_walkers_wait"],
    REST: ["memory_subsys_online", "memory_subsys_offline", "online_pages", "wrapped_online_pages",
                 "wrapped_offline_pages", "memory_callback", "block_populate", "block_depopulate"],
}
KIND_OF = {function: kind for kind, functions in KINDS.items() for function in functions}
WAIT = "waits for RCU"


def by_kind(call, result, kind=REST):
    """Add the time of a call, in microseconds, to the kinds that it counts as."""
    kind = KIND_OF.get(call.function, kind)
    result[kind] = result.get(kind, 0) + call.us - sum(inner.us for inner in call.calls)
    for inner in call.calls:
        by_kind(inner, result, kind)
    return result


def by_function(call, result, path=()):
    """Add the total time of a call to its place in the tree."""
    path += (call.function,)
    result[path] = result.get(path, 0) + call.us
    for inner in call.calls:
        by_function(inner, result, path)
    return result


def medians(results):
    """The medians of dictionaries, key by key."""
    keys = dict.fromkeys(key for result in results for key in result)
    return {key: statistics.median(result.get(key, 0) for result in results) for key in keys}


def collect(logs):
    """{scenario: {operation: {contender: {"kinds": {kind: us}, "functions": [[depth, function, us]], ...}}}}"""
    everything = {}
    for scenario in SCENARIOS:
        calls = {}
        for operation, order, traced in graph.traces(logs[scenario]):
            blocks = BLOCKS if operation in ("add", "remove") else 1
            calls.setdefault(operation, {}).setdefault(order[0], []).extend((call, blocks) for call in traced)
        everything[scenario] = {}
        for operation, contenders in calls.items():
            for contender, pairs in contenders.items():
                kinds = medians([{kind: us / blocks for kind, us in by_kind(call, {}).items()}
                                 for call, blocks in pairs])
                functions = medians([{path: us / blocks for path, us in by_function(call, {}).items()}
                                     for call, blocks in pairs])
                everything[scenario].setdefault(operation, {})[contender] = {
                    "samples": len(pairs), "kinds": kinds,
                    "functions": [[len(path) - 1, path[-1], us] for path, us in in_order(functions)]}
    return everything


def in_order(functions, above=()):
    """The functions in the order of a tree, each below its caller."""
    for path, us in functions.items():
        if len(path) == len(above) + 1 and path[:-1] == above:
            yield path, us
            yield from in_order(functions, path)


def print_tables(data):
    """Print times by kind, for all operations."""
    for scenario, unit, scale in [(SCENARIOS[0], "instructions", 1000), (SCENARIOS[1], "ns", 1000)]:
        heads = [(operation, contender) for operation in OPERATIONS for contender in ("twostage", "stock")]
        rows = [[""] + [f"{operation}, {contender}" for operation, contender in heads]]
        for kind in KINDS:
            values = [data[scenario][operation][contender]["kinds"].get(kind, 0) * scale for operation, contender in heads]
            if any(values):
                rows.append([kind] + [f"{value:,.0f}" if value else "" for value in values])
        rows.append(["all but waits for RCU"] + [
            f"{sum(us for kind, us in data[scenario][operation][contender]['kinds'].items() if kind != WAIT) * scale:,.0f}"
            for operation, contender in heads])
        table.show(f"Where the time goes, {unit} per block, beside memmap_on_memory=1 (tracing included)", rows)


def plot(data, directory):
    """Draw a stack for each operation and contender, in instructions.

    Kinds that no stack shows more than a sliver of are drawn as one.
    """
    heads = [(operation, contender) for operation in ("online", "offline") for contender in ("twostage", "stock")]
    stacks = []
    for operation, contender in heads:
        counted = data[SCENARIOS[0]][operation][contender]["kinds"]
        stacks.append({kind: us / 1000 for kind, us in counted.items() if kind != WAIT})
    highest = max(sum(stack.values()) for stack in stacks)
    kinds = [kind for kind in KINDS if kind != REST and any(stack.get(kind, 0) > SLIVER * highest for stack in stacks)]
    rows = []
    for x, ((operation, contender), stack) in zip(POSITIONS, zip(heads, stacks)):
        named = [stack.get(kind, 0) for kind in kinds]
        total = sum(stack.values())
        tops = [sum(named[:i + 1]) for i in range(len(named))] + [total]
        rows.append([x, f"{operation}\\n{contender}", f"{total:.2f}", *tops])
    # From the highest box to the lowest, so that each covers the part of the
    # one before it that belongs to the kinds below.
    titles = [*kinds, REST]
    boxes = [f"$rows using 1:{4 + i}{':xtic(2)' if not i else ''} with boxes title \"{title}\" lt {i + 1}"
             for i, title in enumerate(titles)]
    gnuplot.draw(directory, "breakdown", f"""
set boxwidth 0.7
set bmargin 4
set border 3
set tics nomirror
set xtics scale 0
set xrange [{POSITIONS[0] - 0.7}:{POSITIONS[-1] + 0.7}]
set ylabel "million instructions per block"
set yrange [0:*]
set offsets 0, 0, 0.2, 0
set key outside right reverse Left
set style fill solid 1 noborder
set title "Where it goes, beside stock with memmap_on_memory=1" noenhanced
plot {", ".join(reversed(boxes))}, $rows using 1:{3 + len(titles)}:3 with labels offset 0,0.8 notitle""",
                 {"rows": rows}, size=(900, 520))
