# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""What differs between the architectures of guests.

Scenarios are written for amd64, where memmap=SIZE$START reserves a range of
RAM. On the others mem= leaves out the RAM behind an address instead, so the
same range is standby memory there if it is the end of the guest's RAM.
"""

import re

from runner import Failure

# The architectures besides amd64: the address at which their RAM begins
RAM_START = {"arm64": 1 << 30, "s390x": 0}

# They are emulated more slowly: a guest gets this many times as long.
SLOWNESS = 3

UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
RESERVED = re.compile(r"memmap=([0-9a-fx]+[KMGT]?)\$([0-9a-fx]+[KMGT]?)$")


def architecture_of(series):
    """The architecture of a kernel, the last part of its name if it is not amd64."""
    last = series.rpartition("-")[2]
    return last if last in RAM_START else "amd64"


def parse_size(text):
    """Bytes, from a number with or without K, M, G or T."""
    number = text.rstrip("KMGT")
    return int(number, 0) << UNITS[text[len(number) :]]


def with_reserved(architecture, memory, append):
    """The guest's memory and its kernel command line, with a reserved range as on amd64."""
    words = append.split()
    reserved = [word for word in words if word.startswith("memmap=")]
    if architecture == "amd64" or not reserved:
        return memory, append
    found = RESERVED.match(reserved[0])
    if len(reserved) > 1 or not found:
        raise Failure(f'"{append}" has no equivalent on {architecture}')
    size, start = map(parse_size, found.groups())
    words[words.index(reserved[0])] = f"mem={(start - RAM_START[architecture]) >> 20}M"
    _, comma, others = memory.partition(",")
    return (
        f"{(start + size - RAM_START[architecture]) >> 20}M{comma}{others}",
        " ".join(words),
    )
