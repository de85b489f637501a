# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""discover: ranges that the firmware reports as RAM and the kernel does not use."""

import json
import os

from ktap import contains, lacks, same, test
from sysroot import BLOCK, GIB, MEMMAP, MIB

KIB = 1 << 10


def iomem(root, *lines):
    """Write a line for each (depth, start, end, name); end is inclusive."""
    root.write("proc/iomem", "".join(f"{'  ' * depth}{start:08x}-{end:08x} : {name}\n"
                                     for depth, start, end, name in lines))


def discover(root, *arguments):
    result = root.run("discover", "--json", "--bytes", "--output-all", *arguments).expect(0)
    return json.loads(result.out)["ranges"]


def machine(root):
    """A machine with RAM up to 6 GiB, booted with memmap=2G$4G."""
    root.add_firmware_ram((0, 0x9fbff, "System RAM"), (0x9fc00, 0x9ffff, "Reserved"),
                          (MIB, 0xbffdffff, "System RAM"), (0xbffe0000, 0xbfffffff, "Reserved"),
                          (4 * GIB, 6 * GIB - 1, "System RAM"))
    iomem(root, (0, 0, 0xfff, "Reserved"), (0, 0x1000, 0x9fbff, "System RAM"),
          (0, 0x9fc00, 0x9ffff, "Reserved"), (0, 0xa0000, 0xbffff, "PCI Bus 0000:00"),
          (0, MIB, 0xbffdffff, "System RAM"), (1, 16 * MIB, 32 * MIB - 1, "Kernel code"),
          (0, 0xbffe0000, 0xbfffffff, "Reserved"), (0, 4 * GIB, 6 * GIB - 1, "Reserved"))


@test("discover finds a range that memmap=SIZE$START excludes")
def left_by_memmap(root):
    machine(root)
    same(discover(root), [{
        "range": "0x0000000100000000-0x000000017fffffff", "size": 2 * GIB,
        "usable-range": "0x0000000100000000-0x000000017fffffff", "usable": 2 * GIB, "block": "32-47",
        "left": 0, "command": "twostage add 0x100000000 2G"}])


def pci_device(root, address, bits, driver="ata_piix", bus_master=True, device_class=0x010180):
    path = f"sys/bus/pci/devices/{address}"
    root.write(f"{path}/class", f"{device_class:#08x}\n")
    root.write(f"{path}/dma_mask_bits", f"{bits}\n")
    root.write(f"{path}/config", "\x06\x10\x00\x12" + ("\x07" if bus_master else "\x03") + "\x00")
    if driver:
        os.symlink(f"../../../bus/pci/drivers/{driver}", root.at(f"{path}/driver"))
    return path


NAMED = "ata_piix 0000:00:01.1 can reach only addresses up to 0xffffffff, "
REMEDY = ": boot with iommu=soft on the kernel command line"


@test("discover names a device in use that cannot reach the range, and the boot parameter to use")
def limited_device(root):
    machine(root)
    pci_device(root, "0000:00:01.1", 32)
    result = root.run("discover").expect(0)
    contains(result.err, NAMED + "so memory above can be added only if there are bounce buffers (SWIOTLB)" + REMEDY)
    os.makedirs(root.at("sys/kernel/debug/swiotlb"))
    result = root.run("discover").expect(0)
    contains(result.err, NAMED + "and there are no bounce buffers (SWIOTLB), so memory above cannot be added" + REMEDY)
    root.write("sys/kernel/debug/swiotlb/io_tlb_nslabs", "32768\n")
    same(root.run("discover").expect(0).err, "")


@test("discover names no device that can reach the range, is not in use, or does no DMA")
def capable_devices(root):
    machine(root)
    os.makedirs(root.at("sys/kernel/debug/swiotlb"))
    pci_device(root, "0000:00:01.1", 64)
    pci_device(root, "0000:00:01.2", 33)
    pci_device(root, "0000:00:01.3", 32, driver=None)
    pci_device(root, "0000:00:01.4", 32, bus_master=False)
    pci_device(root, "0000:00:01.5", 32, device_class=0x060400)
    path = pci_device(root, "0000:00:01.6", 32)
    root.write(f"{path}/iommu_group/type", "DMA-FQ\n")
    same(root.run("discover").expect(0).err, "")
    root.write(f"{path}/iommu_group/type", "identity\n")
    contains(root.run("discover").expect(0).err, "0000:00:01.6 can reach")


@test("discover works without the module")
def without_module(root):
    machine(root)
    root.unload()
    same(len(discover(root)), 1, "ranges")


@test("discover finds ranges that mem=SIZE excludes")
def left_by_mem(root):
    root.add_firmware_ram((0, 3 * GIB - 1, "System RAM"), (4 * GIB, 5 * GIB - 1, "System RAM"))
    iomem(root, (0, 0, GIB - 1, "System RAM"))
    same([found["command"] for found in discover(root)],
         ["twostage add 0x40000000 2G", "twostage add 0x100000000 1G"])


@test("discover trims a range to whole memory blocks, and shows the size of the rest")
def trimmed(root):
    start, end = 4 * GIB + 64 * MIB, 5 * GIB + 32 * MIB - 1
    root.add_firmware_ram((4 * GIB, 6 * GIB - 1, "System RAM"))
    iomem(root, (0, 4 * GIB, start - 1, "System RAM"), (0, end + 1, 6 * GIB - 1, "System RAM"))
    same(discover(root), [{
        "range": f"{start:#018x}-{end:#018x}", "size": end + 1 - start,
        "usable-range": f"{4 * GIB + BLOCK:#018x}-{5 * GIB - 1:#018x}", "usable": 7 * BLOCK,
        "block": "33-39", "left": 96 * MIB, "command": f"twostage add {4 * GIB + BLOCK:#x} 896M"}])


@test("discover lists ranges without a whole memory block only with --all")
def small_ranges(root):
    machine(root)
    root.write("proc/iomem", root.read("proc/iomem").replace("00001000-0009fbff", "00001000-0009efff"))
    same(len(discover(root)), 1, "ranges")
    found = discover(root, "--all")
    same([(small["size"], small["usable"], small["left"], small["command"]) for small in found[:2]],
         [(4 * KIB, 0, 4 * KIB, None), (3 * KIB, 0, 3 * KIB, None)])
    same(found[2]["command"], "twostage add 0x100000000 2G")


@test("discover leaves out the memory of a region and of a device")
def claimed(root):
    machine(root)
    iomem(root, (0, 4 * GIB, 6 * GIB - 1, "Reserved"), (0, 0, 4 * GIB - 1, "System RAM"),
          (1, 4 * GIB, 5 * GIB - 1, "Standby memory (region0)"),
          (1, 5 * GIB + 512 * MIB, 6 * GIB - 1, "dax0.0"))
    same([found["command"] for found in discover(root)], ["twostage add 0x140000000 512M"])


@test("discover leaves out a PCI device's memory and its bridge's window in a reserved range")
def claimed_inside(root):
    machine(root)
    iomem(root, (0, 0, 4 * GIB - 1, "System RAM"), (0, 4 * GIB, 6 * GIB - 1, "Reserved"),
          (1, 4 * GIB + 512 * MIB, 5 * GIB - 1, "PCI Bus 0000:00"),
          (2, 4 * GIB + 512 * MIB, 4 * GIB + 768 * MIB - 1, "0000:00:02.0"))
    same([found["command"] for found in discover(root)],
         ["twostage add 0x100000000 512M", "twostage add 0x140000000 1G"])


@test("discover leaves out the memory of a dax device without a driver")
def dax_without_driver(root):
    machine(root)
    root.write("sys/bus/dax/devices/dax0.0/resource", f"{5 * GIB:#x}\n")
    root.write("sys/bus/dax/devices/dax0.0/size", f"{GIB}\n")
    root.write("sys/bus/dax/devices/dax1.0/resource", "0x0\n")
    root.write("sys/bus/dax/devices/dax1.0/size", "0\n")
    same([found["command"] for found in discover(root)], ["twostage add 0x100000000 1G"])


@test("discover leaves out memory that the parameter reserve= keeps for devices")
def reserve_parameter(root):
    machine(root)
    iomem(root, (0, 0, 4 * GIB - 1, "System RAM"), (0, 5 * GIB, 6 * GIB - 1, "reserved"))
    same([found["command"] for found in discover(root)], ["twostage add 0x100000000 1G"])


@test("discover does not join a reserved range with an adjacent one that is not reserved")
def boundary(root):
    root.add_firmware_ram((4 * GIB, 6 * GIB - 1, "System RAM"))
    iomem(root, (0, 0, GIB - 1, "System RAM"), (0, 4 * GIB, 5 * GIB - 1, "Reserved"))
    same([found["command"] for found in discover(root)],
         ["twostage add 0x100000000 1G", "twostage add 0x140000000 1G"])


@test("discover joins adjacent ranges that the firmware lists in any order")
def pieces(root):
    root.add_firmware_ram((5 * GIB, 6 * GIB - 1, "System RAM"), (4 * GIB, 5 * GIB - 1, "System RAM"),
                          (6 * GIB, 7 * GIB - 1, "Reserved"), (7 * GIB, 8 * GIB - 1, "ACPI Tables"))
    iomem(root, (0, 0, GIB - 1, "System RAM"))
    same([found["command"] for found in discover(root)], ["twostage add 0x100000000 2G"])


@test("discover finds a range that ends at the last address")
def last_address(root):
    root.add_firmware_ram(((1 << 64) - BLOCK, (1 << 64) - 1, "System RAM"))
    iomem(root, (0, 0, GIB - 1, "System RAM"))
    same([found["command"] for found in discover(root)], ["twostage add 0xfffffffff8000000 128M"])


@test("discover uses the system's memory block size")
def large_blocks(root):
    machine(root)
    root.write("sys/devices/system/memory/block_size_bytes", f"{2 * GIB:x}\n")
    same([(found["block"], found["usable"]) for found in discover(root)], [("2", 2 * GIB)])


@test("discover prints a command that twostage add accepts")
def command_works(root):
    machine(root)
    command = root.run("discover", "-n", "-o", "COMMAND").expect(0).out.split()
    same(command[0], "twostage", "command")
    root.run(*command[1:]).expect(0)
    same(root.read("sys/bus/twostage/add_region"), "0x100000000 0x80000000", "line")


@test("discover succeeds with a hint when no range is unused")
def nothing(root):
    root.add_firmware_ram((0, 2 * GIB - 1, "System RAM"))
    iomem(root, (0, 0, 2 * GIB - 1, "System RAM"))
    result = root.run("discover").expect(0)
    contains(result.err, "hint: no whole memory block of 128M is unused", "memmap=SIZE$START")
    same(discover(root), [])


@test("discover fails if /proc/iomem shows only zeros, and hints that only root sees addresses")
def zeros(root):
    root.add_firmware_ram((0, 2 * GIB - 1, "System RAM"))
    iomem(root, (0, 0, 0, "System RAM"), (1, 0, 0, "Kernel code"), (0, 0, 0, "Reserved"))
    result = root.run("discover").expect(1)
    same(result.out, "", "stdout")
    contains(result.err, "/proc/iomem shows only zeros", "hint: only root")


@test("discover fails if it may not read the firmware's memory map, and hints that only root may")
def unprivileged(root):
    machine(root)
    for entry in range(5):
        # Even the user that runs the tests must not be able to read it.
        os.chmod(root.at(f"{MEMMAP}/{entry}/start"), 0)
    result = root.run_unprivileged("discover").expect(1)
    contains(result.err, "/sys/firmware/memmap: Permission denied", "hint: only root")


def device_tree(root):
    """A machine with a device tree and RAM from 1 to 5 GiB, booted with mem=2G."""
    base = "sys/firmware/devicetree/base"
    for node in "", "/reserved-memory":
        root.write_cells(f"{base}{node}/#address-cells", 2)
        root.write_cells(f"{base}{node}/#size-cells", 2)
    root.write(f"{base}/memory@40000000/device_type", "memory\0")
    root.write_cells(f"{base}/memory@40000000/reg", 0, GIB, 0, 2 * GIB, 0, 3 * GIB, 0, 2 * GIB)
    root.write(f"{base}/memory@200000000/device_type", "memory\0")
    root.write(f"{base}/memory@200000000/status", "disabled\0")
    root.write_cells(f"{base}/memory@200000000/reg", 2, 0, 1, 0)
    root.write(f"{base}/cpus/device_type", "cpu\0")
    iomem(root, (0, 0x9000000, 0x9000fff, "pl011@9000000"), (0, GIB, 3 * GIB - 1, "System RAM"))
    return base


@test("discover finds what mem=SIZE excludes on a machine with a device tree")
def left_of_device_tree(root):
    device_tree(root)
    same([found["command"] for found in discover(root)], ["twostage add 0xc0000000 2G"])


@test("discover leaves out what the device tree reserves for firmware")
def reserved_in_device_tree(root):
    base = device_tree(root)
    root.write_cells(f"{base}/reserved-memory/secure@100000000/reg", 1, 0, 0, 512 * MIB)
    root.write_cells(f"{base}/reserved-memory/ranges")
    same([found["command"] for found in discover(root)],
         ["twostage add 0xc0000000 1G", "twostage add 0x120000000 512M"])


@test("discover does not go by the device tree if EFI started the kernel")
def started_by_efi(root):
    device_tree(root)
    os.makedirs(root.at("sys/firmware/efi"))
    contains(root.run("discover").expect(1).err, "twostage add START SIZE")


@test("discover fails if there is no firmware memory map, and hints at twostage add")
def no_firmware_map(root):
    iomem(root, (0, 0, GIB - 1, "System RAM"))
    result = root.run("discover").expect(1)
    contains(result.err, "/sys/firmware/memmap", "hint: ", "twostage add")


@test("discover fails if /proc/iomem is missing or has an unknown format")
def iomem_nonsense(root):
    machine(root)
    for text in ("here and there\n", "00000000-0fffffff\n", "0fffffff-00000000 : System RAM\n"):
        root.write("proc/iomem", text)
        lacks(root.run("discover").expect(1).err, "zeros")
    root.remove("proc/iomem")
    contains(root.run("discover").expect(1).err, "/proc/iomem: No such file")
