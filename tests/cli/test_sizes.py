# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Parsing and printing of sizes."""

from ktap import contains, same, test, test_each
from sysroot import BLOCK, GIB, MIB

KIB = 1 << 10
TIB = 1 << 40

VALID = [
    ("134217728", 128 * MIB), ("134217728B", 128 * MIB), ("131072K", 128 * MIB), ("128M", 128 * MIB),
    ("128m", 128 * MIB), ("128MiB", 128 * MIB), ("128mib", 128 * MIB), ("4G", 4 * GIB), ("4GiB", 4 * GIB),
    ("1.5G", 3 * GIB // 2), ("0.25GiB", GIB // 4), ("0.5K", 512), ("1T", TIB), ("1.5TiB", 3 * TIB // 2),
    ("2P", 2048 * TIB), ("1E", TIB << 20), ("0x8000000", 128 * MIB), ("0X8000000", 128 * MIB),
    ("0x1G", GIB), ("0x1e", 30), ("010", 8), ("1.000G", GIB), ("15.5E", 31 * (TIB << 19)),
]
NONSENSE = [
    "", " ", "G", "-1G", "+1G", " 1G", "1G ", "1 G", "1GB", "1KB", "1Gi", "1GiBs", "1X", "1,5G", "1.G",
    ".5G", "1..5G", "1.5.5G", "0.3K", "1.5", "1.5B", "0x", "0x1.5G", "08", "01.5G", "1e3", "nan", "0xG",
    "1.0000000000000000000G", "inf",
]
TOO_LARGE = ["16E", "0x10000000000000000", "18446744073709551616", "16777216T", "99999999999999999999999",
             "15.99999999999999999E1"]

PRINTED = [
    (0, "0B"), (1, "1B"), (1023, "1023B"), (KIB, "1K"), (KIB + 51, "1K"), (KIB + 52, "1.1K"), (1536, "1.5K"),
    (MIB - 1, "1M"), (128 * MIB, "128M"), (1152 * MIB, "1.1G"), (GIB - 1, "1G"), (2 * GIB, "2G"),
    (TIB, "1T"), (TIB + GIB, "1T"), (3 * TIB // 2, "1.5T"), (1 << 60, "1E"), ((1 << 64) - 1, "16E"),
]


def added_size(root, text):
    root.run("add", "0", text).expect(0)
    start, size = root.read("sys/bus/twostage/add_region").split()
    same(start, "0x0", "start")
    return int(size, 0)


@test_each("add parses the size {}", VALID)
def parse(root, text, expected):
    same(added_size(root, text), expected, "size")


@test("add parses the largest size, 2^64 - 1")
def parse_largest(root):
    same(added_size(root, "0xffffffffffffffff"), (1 << 64) - 1, "size")


@test("add parses an address and a size with a leading zero as octal")
def parse_octal(root):
    root.run("add", "0100", "010K").expect(0)
    same(root.read("sys/bus/twostage/add_region"), "0x40 0x2000", "line")


@test_each("add and online refuse the malformed size \"{}\"", NONSENSE)
def parse_nonsense(root, text):
    for arguments in (["add", "0", "--", text], ["add", "--", text, "1G"], ["online", "--size=" + text]):
        contains(root.run(*arguments).expect(2).err, f'"{text}"')
    same(root.read("sys/bus/twostage/add_region"), "", "add_region")


@test_each("add and online refuse a size that does not fit into 64 bits: {}", TOO_LARGE)
def parse_too_large(root, text):
    for arguments in (["add", "0", text], ["online", "--size", text]):
        contains(root.run(*arguments).expect(2).err, f'"{text}"')
    same(root.read("sys/bus/twostage/add_region"), "", "add_region")


@test_each("list prints a size of {} bytes, rounded and in bytes", PRINTED)
def printed(root, size, expected):
    root.add_region(32, 4)
    root.write("sys/bus/twostage/devices/region0/size", f"{size:#x}\n")
    same(root.run("list", "-n", "-o", "SIZE").expect(0).out.strip(), expected, "size")
    same(root.run("list", "-n", "-b", "-o", "SIZE").expect(0).out.strip(), str(size), "bytes")


@test("online refuses a size that is not a multiple of the memory block size")
def not_a_multiple(root):
    root.add_region(32, 4)
    result = root.run("online", "--size", BLOCK + 64 * MIB).expect(1)
    contains(result.err, "192M", "128M", "--size")
    same(root.changed(range(32, 36)), {}, "changed")
