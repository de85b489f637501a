# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Memory that it costs to add memory which is not in use yet, by each way to add it."""

from bench import plot as gnuplot
from bench import table

CONTENDERS = {
    "bench-cost-dimm": ("dimm", "DIMM, stock"),
    "bench-cost-hosted": ("dimm-on-memory", "DIMM, stock, memmap_on_memory=1"),
    "bench-cost-kmem": ("dax-kmem", "dax/kmem (hmem)"),
    "bench-cost-virtio": ("virtio-mem", "virtio-mem, kernel's driver"),
    "bench-cost-twostage": ("twostage", "twostage"),
}
SCENARIOS = list(CONTENDERS)
MAY_DIE = True


def collect(logs, contenders=None):
    """{contender: {"title", "sizes": {GiB: {...}}, "end": what happened with the next size}}"""
    result = {}
    for scenario, (contender, title) in (contenders or CONTENDERS).items():
        log = logs[scenario]
        sizes, begun = {}, None
        end = ""
        for words, values in log.measured("cost"):
            gib = int(values["gib"])
            if "begins" in words:
                begun = gib
            elif "refused" in words:
                end = f"{gib} GiB: " + (log.death() or "does not become available")
                begun = None
            else:
                # The system frees other memory meanwhile, so that a difference
                # of a few MiB in free memory means little.
                taken = max(int(values["taken_kib"]), int(values["slab_kib"])) * 1024
                sizes[gib] = {"blocks": int(values["blocks"]), "taken": taken,
                              "slab": int(values["slab_kib"]) * 1024, "seconds": float(values["seconds"]),
                              "caches": {}}
                begun = None
        if begun:
            end = f"{begun} GiB: " + (log.death() or "does not survive it")
        for _, values in log.measured("slab"):
            sizes.get(int(values["gib"]), {"caches": {}})["caches"][values["cache"]] = int(values["bytes"])
        result[contender] = {"title": title, "sizes": sizes, "end": end}
    return result


def amount(count):
    """A number of bytes in a readable unit."""
    if count <= 0:
        return "too little to measure"
    return f"{count / 2 ** 20:,.1f} MiB" if count >= 2 ** 20 else f"{count / 1024:,.0f} KiB"


def print_tables(data):
    """Print the memory by size, then the parts of a block's memory."""
    sizes = sorted({gib for contender in data.values() for gib in contender["sizes"]})
    rows = [["GiB added"] + [contender["title"] for contender in data.values()]]
    for gib in sizes:
        rows.append([str(gib)] + [amount(contender["sizes"][gib]["taken"]) if gib in contender["sizes"] else "-"
                                  for contender in data.values()])
    rows.append(["next"] + [contender["end"] or "(not tried)" for contender in data.values()])
    table.show("Memory taken by adding, in a guest of 1 GiB", rows)

    whole = data["twostage"]["sizes"]
    if whole:
        gib = max(whole)
        entry = whole[gib]
        rows = [["slab cache", "bytes per block"]]
        for cache, count in sorted(entry["caches"].items(), key=lambda item: -item[1]):
            rows.append([cache, f"{count / entry['blocks']:,.0f}"])
        rows.append(["all slab", f"{entry['slab'] / entry['blocks']:,.0f}"])
        rows.append(["all memory taken", f"{entry['taken'] / entry['blocks']:,.0f}"])
        table.show(f"twostage, {gib} GiB in {entry['blocks']} blocks: where the memory goes", rows)


def plot(data, directory):
    """Draw memory taken by memory added, for all contenders."""
    blocks = {contender.replace("-", "_"): [[gib, entry["taken"] / 2 ** 20] for gib, entry in sorted(contenders["sizes"].items())
                                      if entry["taken"] > 0] for contender, contenders in data.items()}
    blocks = {block: rows for block, rows in blocks.items() if rows}
    lines = ", ".join(f"${contender.replace('-', '_')} using 1:2 with linespoints title \"{contenders['title']}\" noenhanced"
                      for contender, contenders in data.items() if contender.replace("-", "_") in blocks)
    gnuplot.draw(directory, "cost", f"""
set logscale xy
set xlabel "memory added (GiB)"
set ylabel "memory taken (MiB)"
set xtics (1, 4, 16, 64, 256, 1024, 4096)
set title "Memory taken by adding memory, in a guest of 1 GiB (dashed: all its memory)"
set key bottom right
set xrange [0.8:6000]
set yrange [0.01:3000]
set arrow from 0.8, 1024 to 6000, 1024 nohead dt 2 lc rgb "black"
plot {lines}""", blocks)
