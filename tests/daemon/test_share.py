# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""scripts/share-memory: two guests on one budget. The guests are sockets that answer as QEMU's monitor does."""

import os
import re
import socket
import subprocess
import threading

from emulated import TOP
from ktap import contains, same, test
from sysroot import GIB, MIB

SCRIPT = os.path.join(TOP, "scripts", "share-memory")


class Guest:
    """A guest that plugs up to what it wants, as far as its budget allows."""

    def __init__(self, path, wants, budget, most):
        self.path, self.wants, self.budget, self.most = path, wants, budget, most
        self.plugged = min(wants, budget)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def answer(self, command):
        match = re.match(r"qom-set vm0 requested-size (\d+)$", command)
        if match:
            self.budget = int(match[1])
            return ""
        self.most(self)
        if command == "qom-get vm0 size":
            # A growth needs budget; what is in use is not taken.
            self.plugged = min(self.wants, max(self.budget, 0)) if self.wants > self.plugged else self.wants
            return str(self.plugged)
        return str(self.budget) if command == "qom-get vm0 requested-size" else "Error"

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(b"(qemu) ")
                command = connection.recv(4096).decode().strip()
                connection.sendall(f"{command}\r\n{self.answer(command)}\r\n(qemu) ".encode())


def run(root, total, wants, count, after=lambda guests: None):
    """Run the script with guests that want so much; returns them and the most that was given at any time."""
    given = []
    guests = []

    def look(_):
        if len(guests) == len(wants):
            given.append(sum(max(guest.budget, guest.plugged) for guest in guests))
    for number, want in enumerate(wants):
        guests.append(Guest(root.at(f"g{number}"), want, 0, look))
    for _ in range(2):
        subprocess.run([SCRIPT, "--total", f"{total // GIB}G", "--interval", "0", "--count", str(count)] +
                       [f"{guest.path}:vm0" for guest in guests], capture_output=True, text=True, check=True, timeout=120)
        after(guests)
        after = lambda guests: None
    for guest in guests:
        guest.listener.close()
    return guests, max(given)


@test("share-memory gives a guest with a load what no other guest has plugged")
def one_load(root):
    guests, most = run(root, 8 * GIB, [7 * GIB, 256 * MIB], 12)
    same([guest.plugged for guest in guests], [7 * GIB, 256 * MIB])
    same(most <= 8 * GIB, True, f"{most} bytes were given")


@test("share-memory moves memory when the load moves, and never gives more than there is")
def moves(root):
    def swap(guests):
        guests[0].wants, guests[1].wants = guests[1].wants, guests[0].wants
    guests, most = run(root, 8 * GIB, [7 * GIB, 256 * MIB], 12, swap)
    same([guest.plugged for guest in guests], [256 * MIB, 7 * GIB])
    same(most <= 8 * GIB, True, f"{most} bytes were given")


@test("share-memory names a monitor that does not answer")
def no_monitor(root):
    result = subprocess.run([SCRIPT, "--total", "1G", f"{root.at('none')}:vm0"], capture_output=True, text=True,
                            check=False)
    same(result.returncode, 1)
    contains(result.stderr, "share-memory: ", "none")
