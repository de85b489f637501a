# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""The progress bar, and interruption by a signal."""

import fcntl
import os
import re
import signal
import struct
import subprocess
import termios
import threading
import time

from ktap import contains, lacks, same, test, test_each
from sysroot import TIMEOUT, OrderedStateFiles

CLEAR = "\r\033[K"
BLOCKS = [32, 33, 34, 35]


def start(root, *arguments, stderr, **environment):
    """Start the command in the background; kill it after TIMEOUT."""
    process = subprocess.Popen(root.argv(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=stderr, text=True, env=root.environment(**environment))
    alarm = threading.Timer(TIMEOUT, process.kill)
    alarm.daemon = True
    alarm.start()
    return process


class OnTerminal:
    """The command, with stderr on a terminal."""

    def __init__(self, root, *arguments, width=100, **environment):
        self.text = ""
        self.terminal, terminal = os.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        self.process = start(root, *arguments, stderr=terminal, **environment)
        os.close(terminal)

    def finish(self):
        """Return exit status and stdout; self.text is the terminal's content."""
        while True:
            try:
                chunk = os.read(self.terminal, 4096)
            except OSError:
                break
            if not chunk:
                break
            self.text += chunk.decode()
        os.close(self.terminal)
        out, _ = self.process.communicate()
        return self.process.returncode, out

    def bars(self):
        return re.findall(r"\r([^\r\033]+)\033\[K", self.text)


def slowly(seconds):
    def wait(_):
        time.sleep(seconds)
        return True
    return wait


@test("online on a terminal shows a progress bar after a second, and erases it at the end")
def bar(root):
    root.add_region(32, 4)
    with OrderedStateFiles(root, dict.fromkeys(BLOCKS, "offline"), BLOCKS, slowly(0.6)) as files:
        command = OnTerminal(root, "online", "--all")
        status, out = command.finish()
    same((status, len(files.written)), (0, 4))
    contains(out, "set 4 blocks (512M) online")
    bars = command.bars()
    done = [re.search(r"(\d+)/4 blocks", text)[1] for text in bars]
    # The first second ends after two blocks, or after one on a busy machine.
    if done not in (["2", "3"], ["1", "2", "3"]):
        raise AssertionError(f"bars after {done} blocks")
    contains(bars[-2], "online [####################--------------------] 2/4 blocks, 256M/512M, ", "left")
    if not command.text.endswith(CLEAR):
        raise AssertionError(f"the bar is not erased: {command.text[-80:]!r}")


@test("online on a narrow terminal shows a progress bar that fits")
def narrow(root):
    root.add_region(32, 4)
    with OrderedStateFiles(root, dict.fromkeys(BLOCKS, "offline"), BLOCKS, slowly(0.6)):
        command = OnTerminal(root, "online", "--all", width=20)
        command.finish()
    same({len(text) for text in command.bars()}, {19}, "widths")


@test("online that takes less than a second shows no progress bar")
def quick(root):
    root.add_region(32, 4)
    command = OnTerminal(root, "online", "--all")
    same(command.finish()[0], 0, "status")
    same(command.text, "", "terminal")


@test("online on a dumb terminal shows no progress bar")
def dumb(root):
    root.add_region(32, 4)
    with OrderedStateFiles(root, dict.fromkeys(BLOCKS, "offline"), BLOCKS, slowly(0.4)):
        command = OnTerminal(root, "online", "--all", TERM="dumb")
        same(command.finish()[0], 0, "status")
    same(command.text, "", "terminal")


@test("online with stderr on a pipe shows no progress bar")
def no_terminal(root):
    root.add_region(32, 4)
    with OrderedStateFiles(root, dict.fromkeys(BLOCKS, "offline"), BLOCKS, slowly(0.4)):
        result = root.run("online", "--all").expect(0)
    same(result.err, "", "stderr")


@test("online erases the progress bar before it prints an error")
def error_after_bar(root):
    root.add_region(32, 4)
    root.replace_by_link(root.state_of(35), "/dev/full")
    with OrderedStateFiles(root, dict.fromkeys(BLOCKS[:3], "offline"), BLOCKS[:3], slowly(0.6)):
        command = OnTerminal(root, "online", "--all")
        same(command.finish()[0], 1, "status")
    if not command.bars():
        raise AssertionError("there was no bar")
    contains(command.text, CLEAR + "twostage: cannot set memory block 35 ")


def interrupted(root, number, on_terminal):
    """Interrupt the command while it waits for the third of four blocks."""
    root.add_region(32, 4)
    process = None

    def interrupt_at_third(block):
        if block != BLOCKS[2]:
            return True
        time.sleep(0.3)
        process.send_signal(number)
        return False

    with OrderedStateFiles(root, dict.fromkeys(BLOCKS, "offline"), BLOCKS, interrupt_at_third) as files:
        if on_terminal:
            command = OnTerminal(root, "online", "--all", "--verbose")
            process = command.process
            status, out = command.finish()
            err = command.text
        else:
            process = start(root, "online", "--all", "--verbose", stderr=subprocess.PIPE)
            out, err = process.communicate()
            status = process.returncode
    same(status, 1, "status")
    same(files.written, [(32, "online_movable"), (33, "online_movable")], "written")
    same([line.split()[2] for line in out.splitlines()], ["32", "33"], "blocks on stdout")
    contains(err, "set 2 of 4 blocks online (256M of 512M), then was interrupted")
    lacks(err, "memory block 34", "hint:")


@test_each("online stops when interrupted by {}, and reports how many blocks were set online", [
    ("SIGINT", signal.SIGINT), ("SIGTERM", signal.SIGTERM)])
def interrupt(root, _, number):
    interrupted(root, number, False)


@test("online on a terminal reports an interruption on the terminal")
def interrupt_on_terminal(root):
    interrupted(root, signal.SIGINT, True)


@test("list without regions prints a hint on a terminal only")
def empty_list(root):
    terminal_of_stdout, terminal = os.openpty()
    result = root.run("list", stdout=terminal).expect(0)
    os.close(terminal)
    os.close(terminal_of_stdout)
    contains(result.err, "there are no regions", "twostage discover")
    same(root.run("list").expect(0).err, "", "stderr without a terminal")
