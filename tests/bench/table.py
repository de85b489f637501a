# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Prints tables, as Markdown that is readable as it is."""


def show(title, rows):
    """Print a table. rows: lists of strings, the headings first; the first column is text, the others are numbers."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print(f"\n{title}\n")
    for number, row in enumerate(rows):
        cells = [cell.ljust(width) if i == 0 else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths))]
        print("| " + " | ".join(cells) + " |")
        if number == 0:
            print("| " + " | ".join("-" * width if i == 0 else "-" * (width - 1) + ":"
                                    for i, width in enumerate(widths)) + " |")


def with_quartiles(cell, scale=1):
    """A median and its quartiles."""
    return f"{cell['median'] * scale:,.0f} ({cell['quartile1'] * scale:,.0f} – {cell['quartile3'] * scale:,.0f})"
