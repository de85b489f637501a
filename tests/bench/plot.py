# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Draws plots, by gnuplot."""

import os
import subprocess

COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#332288",
           "#999933", "#882255", "#44aa99", "#dddddd", "#aa4499"]
TERMINALS = {"svg": "svg size {},{} font 'sans,13' background 'white'",
             "png": "pngcairo size {},{} font 'sans,11'"}


def draw(directory, name, script, blocks, size=(800, 480)):
    """Draw NAME.svg and NAME.png.

    blocks: the rows of cells of each datablock, by its name; script: commands
    that follow their definitions
    """
    os.makedirs(directory, exist_ok=True)
    text = "set encoding utf8\nset style fill solid 0.85 border -1\nset grid ytics lc rgb '#cccccc'\n"
    for i, colour in enumerate(COLOURS):
        text += f"set linetype {i + 1} lc rgb '{colour}' lw 2 pt {i % 7 + 4}\n"
    for block, rows in blocks.items():
        text += f"${block} << END\n"
        text += "".join(" ".join(f'"{cell}"' if isinstance(cell, str) else str(cell) for cell in row) + "\n"
                        for row in rows)
        text += "END\n"
    for kind, terminal in TERMINALS.items():
        path = os.path.join(directory, f"{name}.{kind}")
        whole = f"set terminal {terminal.format(*size)}\nset output '{path}'\n{text}{script}\n"
        subprocess.run(["gnuplot"], input=whole, text=True, check=True)
