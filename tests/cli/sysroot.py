# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""A directory tree that stands for the root directory of a system with the module."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading

MIB = 1 << 20
GIB = 1 << 30
BLOCK = 128 * MIB

DEVICES = "sys/bus/twostage/devices"
MEMORY = "sys/devices/system/memory"
MEMMAP = "sys/firmware/memmap"
HOOKS = "sys/kernel/debug/twostage/hooks"
# ID of an unprivileged user
UNPRIVILEGED = 65534

# Seconds after which the command is taken to hang
TIMEOUT = 10


class Result:
    """Output and exit status of the command."""

    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def __str__(self):
        return f"status {self.status}\nstdout: {self.out}\nstderr: {self.err}"

    def expect(self, status):
        """Fail unless this is the exit status; return the result itself."""
        if self.status != status:
            raise AssertionError(f"status {self.status} instead of {status}\n{self}")
        return self

    def lines(self):
        return self.out.splitlines()


class Sysroot:
    """The tree. Each attribute is a plain file, which keeps the last text written to it."""

    command = None
    wrapper = []

    def __init__(self, path):
        self.path = path
        self.regions = 0
        self.write(f"{MEMORY}/block_size_bytes", f"{BLOCK:x}\n")
        self.write(f"{MEMORY}/auto_online_blocks", "offline\n")
        self.write("sys/bus/twostage/add_region", "")
        self.write("sys/bus/twostage/remove_region", "")
        self.write("sys/bus/twostage/adopt", "0\n")
        self.write("sys/module/twostage/version", "0.1.0\n")
        self.write("sys/module/twostage/parameters/adopt", "N\n")
        self.write("sys/module/memory_hotplug/parameters/online_policy", "contig-zones\n")
        self.write("sys/module/memory_hotplug/parameters/memmap_on_memory", "N\n")
        self.write(HOOKS, "arch_add_memory              armed redirected=2 missed=0\n"
                          "online_pages                 armed redirected=5 missed=1\n")
        os.makedirs(self.at("sys/kernel/debug/kprobes"))
        os.makedirs(self.at(DEVICES))

    def at(self, path):
        return os.path.join(self.path, path)

    def write(self, path, text):
        path = self.at(path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)

    def write_cells(self, path, *numbers):
        """A property of a device tree: big-endian numbers of 32 bits."""
        os.makedirs(os.path.dirname(self.at(path)), exist_ok=True)
        with open(self.at(path), "wb") as file:
            file.write(b"".join(number.to_bytes(4, "big") for number in numbers))

    def read(self, path):
        with open(self.at(path), encoding="ascii") as file:
            return file.read()

    def remove(self, path):
        path = self.at(path)
        if os.path.isdir(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)

    def chmod(self, path, mode):
        """Set the mode of a file; other users get the owner's permissions if root runs the tests.

        run_unprivileged() then runs the command as another user.
        """
        if os.geteuid() == 0:
            mode |= mode >> 6
        os.chmod(self.at(path), mode)

    def replace_by_link(self, path, target):
        self.remove(path)
        os.symlink(target, self.at(path))

    def replace_by_socket(self, path):
        """Make open() of the file fail with ENXIO, also for root."""
        self.remove(path)
        with socket.socket(socket.AF_UNIX) as connection:
            directory = os.open(os.path.dirname(self.at(path)), os.O_PATH)
            # The path of a socket must be short.
            connection.bind(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
            os.close(directory)

    def unload(self):
        self.remove("sys/bus/twostage")
        self.remove("sys/module/twostage")

    # Regions and memory blocks

    def add_region(self, first, blocks, online=(), memmap_on_memory=True, provider="ram", node=0,
                   number=None, budget=None, poisoned=(), online_on_oom=False, oom_onlined=0):
        """Add a region.

        first: ID of its first memory block
        blocks: number of memory blocks
        online, poisoned: IDs of the blocks in these states
        budget: in blocks, or None
        """
        name = f"region{self.regions if number is None else number}"
        self.regions += 1
        values = {
            "start": f"{first * BLOCK:#x}", "size": f"{blocks * BLOCK:#x}", "node": node,
            "provider": provider, "blocks": blocks, "blocks_online": len(online),
            "blocks_poisoned": len(poisoned),
            "memmap_pages": (len(online) + len(poisoned)) * 512 if memmap_on_memory else 0,
            "memmap_on_memory": int(memmap_on_memory),
            "online_on_oom": int(online_on_oom), "oom_onlined": oom_onlined,
        }
        if budget is not None:
            values["budget"] = f"{budget * BLOCK:#x}"
            values["plugged"] = f"{len(online) * BLOCK:#x}"
        for file, value in values.items():
            self.write(f"{DEVICES}/{name}/{file}", f"{value}\n")
        self.write(f"{DEVICES}/{name}/stages", "".join(
            "p" if block in online else "x" if block in poisoned else "s" for block in range(first, first + blocks)))
        for block in range(first, first + blocks):
            self.add_block(block, block in online)
            self.write(f"{MEMORY}/memory{block}/twostage/region", f"{name}\n")
            self.write(f"{MEMORY}/memory{block}/twostage/stage",
                       "populated\n" if block in online else
                       "poisoned\n" if block in poisoned else "standby\n")
        return name

    def add_standby_region(self, first, blocks):
        """Add a region of standby blocks, of which only the first has files that can be read."""
        name = self.add_region(first, 1)
        self.write(f"{DEVICES}/{name}/size", f"{blocks * BLOCK:#x}\n")
        self.write(f"{DEVICES}/{name}/blocks", f"{blocks}\n")
        self.write(f"{DEVICES}/{name}/stages", "s" * blocks)
        return name

    def add_block(self, block, online):
        """Add a memory block that is in no region."""
        self.write(self.state_of(block), "online\n" if online else "offline\n")
        self.write(f"{MEMORY}/memory{block}/valid_zones",
                   "Movable\n" if online else "Normal Movable\n")

    @staticmethod
    def state_of(block):
        return f"{MEMORY}/memory{block}/state"

    def changed(self, blocks):
        """The text written to the blocks' state files, by block, if anything was written."""
        states = {block: self.read(self.state_of(block)) for block in blocks}
        return {block: state for block, state in states.items() if state not in ("online\n", "offline\n")}

    def add_firmware_ram(self, *ranges):
        """Add an entry for each (start, end, type); end is inclusive."""
        os.makedirs(self.at(MEMMAP), exist_ok=True)
        for number, (start, end, kind) in enumerate(ranges):
            for file, value in (("start", hex(start)), ("end", hex(end)), ("type", kind)):
                self.write(f"{MEMMAP}/{number}/{file}", f"{value}\n")

    # The command

    def environment(self, **more):
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TERM": "vt100",
                       "TWOSTAGE_SYSROOT": self.path}
        environment.update((name, value) for name, value in os.environ.items()
                           if name.endswith("SAN_OPTIONS"))
        environment.update(more)
        return {name: value for name, value in environment.items() if value is not None}

    def argv(self, *arguments):
        return [*self.wrapper, self.command, *map(str, arguments)]

    def run(self, *arguments, stdout=subprocess.PIPE, **environment):
        try:
            result = subprocess.run(self.argv(*arguments), stdin=subprocess.DEVNULL, stdout=stdout,
                                    stderr=subprocess.PIPE, text=True, timeout=TIMEOUT, check=False,
                                    env=self.environment(**environment))
        except subprocess.TimeoutExpired as expired:
            raise AssertionError(f"the command hangs: {arguments}") from expired
        return Result(result.returncode, result.stdout, result.stderr)

    def run_unprivileged(self, *arguments):
        """Run the command as a user to which file modes apply, unlike root."""
        if os.geteuid():
            return self.run(*arguments)
        # The user may have no access to the build directory: run a copy.
        copy = self.at("command")
        shutil.copy(self.command, copy)
        os.chmod(copy, 0o755)
        os.chmod(self.path, 0o755)
        result = subprocess.run([copy, *map(str, arguments)], stdin=subprocess.DEVNULL, text=True,
                                capture_output=True, timeout=TIMEOUT, check=False,
                                user=UNPRIVILEGED, group=UNPRIVILEGED,
                                extra_groups=[], env=self.environment())
        return Result(result.returncode, result.stdout, result.stderr)


@contextlib.contextmanager
def temporary_sysroot():
    with tempfile.TemporaryDirectory(prefix="twostage-cli-") as path:
        yield Sysroot(path)


class OrderedStateFiles:
    """State files that can delay writes, and that enforce an order of the writes.

    Each is a FIFO, with a thread that answers the first read with the state of
    the block. Another thread then opens the FIFOs for reading one by one, in the
    expected order. A write to any other block blocks in open(), so a command that
    writes in the wrong order hangs.
    """

    def __init__(self, root, states, order, before=lambda block: True):
        """states: "online" or "offline" for each block
        order: the blocks in the expected order of the writes
        before: called with a block before a write to it is accepted; if it
            returns False, no more writes are accepted
        """
        self.paths = {block: root.at(root.state_of(block)) for block in states}
        self.order = order
        self.before = before
        self.written = []
        self.finished = threading.Event()
        self.readers = []
        for block, state in states.items():
            os.unlink(self.paths[block])
            os.mkfifo(self.paths[block])
            self.readers.append(threading.Thread(target=self.answer_read, args=(block, state),
                                                 daemon=True))
        self.writer = threading.Thread(target=self.accept_writes, daemon=True)

    def answer_read(self, block, state):
        with open(self.paths[block], "w", encoding="ascii") as file:
            with contextlib.suppress(BrokenPipeError):
                file.write(state + "\n")
                file.flush()

    def accept_writes(self):
        for reader in self.readers:
            reader.join()
        for block in self.order:
            if self.finished.is_set() or not self.before(block):
                return
            with open(self.paths[block], encoding="ascii") as file:
                text = file.read()
            if text:
                self.written.append((block, text))

    def __enter__(self):
        for thread in (*self.readers, self.writer):
            thread.start()
        return self

    def __exit__(self, *_):
        # A thread still waits in open() if the command did not open its FIFO.
        self.finished.set()
        for thread in (*self.readers, self.writer):
            while thread.is_alive():
                for path in self.paths.values():
                    os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
                thread.join(0.01)
