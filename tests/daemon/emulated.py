# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""twostaged on an artificial /sys and /proc, in which blocks come online when it writes to the attributes."""

import contextlib
import os
import re
import signal
import subprocess
import threading
import time

from sysroot import BLOCK, DEVICES, MEMORY, MIB

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COMMAND = os.path.join(TOP, "build", "twostaged")
PAGE = 4096


def zone(name, present, free, node=0):
    """A zone of /proc/zoneinfo, sizes in bytes."""
    return (f"Node {node}, zone {name:>8}\n"
            f"  pages free     {free // PAGE}\n        boost    0\n        min      10\n        low      20\n"
            f"        high     30\n        spanned  {present // PAGE}\n        present  {present // PAGE}\n"
            f"        managed  {present // PAGE}\n        cma      0\n        protection: (0, 0, 0, 0, 0)\n"
            f"      nr_free_pages {free // PAGE}\n")


class System:
    """The artificial system: memory in use, blocks, and a thread that does what the module does."""

    def __init__(self, root, boot=512 * MIB, used=0):
        self.root, self.boot, self.used, self.kernel_used = root, boot, used, 32 * MIB
        self.regions = {}
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.show()

    def region(self, first, blocks, **more):
        name = self.root.add_region(first, blocks, **more)
        self.root.write(f"{DEVICES}/{name}/online", "")
        self.regions[name] = (first, blocks)
        self.show()
        return name

    def online(self, name):
        first, blocks = self.regions[name]
        return [block for block in range(first, first + blocks)
                if self.root.read(self.root.state_of(block)) == "online\n"]

    def replace(self, path, text):
        """Change a file in place, with one write: the daemon keeps it open."""
        os.makedirs(os.path.dirname(self.root.at(path)), exist_ok=True)
        descriptor = os.open(self.root.at(path), os.O_RDWR | os.O_CREAT, 0o644)
        os.pwrite(descriptor, text.encode(), 0)
        os.ftruncate(descriptor, len(text))
        os.close(descriptor)

    def movable(self):
        return sum(len([block for block in self.online(name)
                        if self.root.read(f"{MEMORY}/memory{block}/valid_zones") == "Movable\n"])
                   for name in self.regions) * BLOCK

    def total(self):
        return self.boot + sum(len(self.online(name)) for name in self.regions) * BLOCK

    def show(self):
        movable, total = self.movable(), self.total()
        kernel = total - movable
        in_movable = min(max(self.used - self.kernel_used, 0), movable)
        self.replace("proc/meminfo", f"MemTotal: {total // 1024} kB\nMemAvailable: {max(total - self.used, 0) // 1024} kB\n")
        self.replace("proc/zoneinfo", zone("Normal", kernel, max(kernel - (self.used - in_movable), 0)) +
                     zone("Movable", movable, movable - in_movable))

    def use(self, used, kernel=32 * MIB):
        with self.lock:
            self.used, self.kernel_used = used, kernel
            self.show()

    def set_block(self, name, block, online, kind="Movable"):
        self.root.write(self.root.state_of(block), "online\n" if online else "offline\n")
        self.root.write(f"{MEMORY}/memory{block}/valid_zones", f"{kind}\n")
        count = len(self.online(name))
        self.replace(f"{DEVICES}/{name}/blocks_online", f"{count}\n")
        if os.path.exists(self.root.at(f"{DEVICES}/{name}/plugged")):
            self.replace(f"{DEVICES}/{name}/plugged", f"{count * BLOCK:#x}\n")
        self.show()

    def serve(self):
        """Do what has been written to the attributes."""
        for name, (first, blocks) in list(self.regions.items()):
            attribute = f"{DEVICES}/{name}/online"
            match = re.match(r"1 online_(movable|kernel)", self.root.read(attribute))
            if match:
                self.replace(attribute, "")
                online = self.online(name)
                block = next(block for block in range(first, first + blocks) if block not in online)
                self.set_block(name, block, True, "Movable" if match[1] == "movable" else "Normal")
            for block in range(first, first + blocks):
                # A write of "offline" replaces the start of "online\n".
                if self.root.read(self.root.state_of(block)).strip() == "offline" and \
                   self.root.read(self.root.state_of(block)) != "offline\n":
                    self.set_block(name, block, False)

    def run(self):
        while not self.stop.wait(0.005):
            with self.lock:
                with contextlib.suppress(FileNotFoundError):
                    self.serve()


class Daemon:
    """A twostaged that runs on the artificial system."""

    def __init__(self, system, *arguments, environment=None):
        self.system = system
        self.argv = [COMMAND, *arguments]
        self.environment = {**system.root.environment(), **(environment or {})}
        self.lines = []

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def __enter__(self):
        self.server = threading.Thread(target=self.system.run, daemon=True)
        self.server.start()
        # pylint: disable-next=consider-using-with
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        stdout=subprocess.DEVNULL, text=True, env=self.environment)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        self.wait_for("programs may use up")
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
            self.reader.join(5)
            self.process.stderr.close()
            self.system.stop.set()
            self.server.join(5)

    def until(self, condition, what, seconds=10):
        """Wait until something is true."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end or self.process.poll() is not None:
                raise AssertionError(f"{what} did not happen\n" + "\n".join(self.lines))
            time.sleep(0.02)

    def wait_for(self, text, seconds=10):
        """Wait for a line with this text, and return it."""
        self.until(lambda: any(text in line for line in self.lines), f"a line with {text!r}", seconds)
        return next(line for line in self.lines if text in line)

    def has(self, text):
        return any(text in line for line in self.lines)
