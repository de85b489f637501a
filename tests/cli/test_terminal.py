# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""The progress bar, and being interrupted."""

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
from sysroot import PATIENCE, Knobs

CLEAR = "\r\033[K"
BLOCKS = [32, 33, 34, 35]


def start(root, *arguments, stderr, **environment):
    """Run it in the background, for no longer than it may take."""
    process = subprocess.Popen(root.argv(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=stderr, text=True, env=root.environment(**environment))
    alarm = threading.Timer(PATIENCE, process.kill)
    alarm.daemon = True
    alarm.start()
    return process


class OnTerminal:
    """The command, with its stderr on a terminal."""

    def __init__(self, root, *arguments, width=100, **environment):
        self.text = ""
        self.terminal, terminal = os.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        self.process = start(root, *arguments, stderr=terminal, **environment)
        os.close(terminal)

    def finish(self):
        """Its status and stdout; self.text has what was on the terminal."""
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


@test("after a second there is a progress bar on the terminal, and it is cleared at the end")
def bar(root):
    root.add_region(32, 4)
    with Knobs(root, dict.fromkeys(BLOCKS, "offline"), BLOCKS, slowly(0.6)) as knobs:
        command = OnTerminal(root, "online", "--all")
        status, out = command.finish()
    same((status, len(knobs.written)), (0, 4))
    contains(out, "set 4 blocks (512M) online")
    bars = command.bars()
    done = [re.search(r"(\d+)/4 blocks", text)[1] for text in bars]
    # Not before the first second has passed: after two blocks, or after one on a busy machine
    if done not in (["2", "3"], ["1", "2", "3"]):
        raise AssertionError(f"bars after {done} blocks")
    contains(bars[-2], "online [####################--------------------] 2/4 blocks, 256M/512M, ", "left")
    if not command.text.endswith(CLEAR):
        raise AssertionError(f"the bar stays: {command.text[-80:]!r}")


@test("a narrow terminal gets a short progress bar that fits")
def narrow(root):
    root.add_region(32, 4)
    with Knobs(root, dict.fromkeys(BLOCKS, "offline"), BLOCKS, slowly(0.6)):
        command = OnTerminal(root, "online", "--all", width=20)
        command.finish()
    same({len(text) for text in command.bars()}, {19}, "widths")


@test("what is done in a moment shows no progress bar")
def quick(root):
    root.add_region(32, 4)
    command = OnTerminal(root, "online", "--all")
    same(command.finish()[0], 0, "status")
    same(command.text, "", "terminal")


@test("a dumb terminal gets no progress bar")
def dumb(root):
    root.add_region(32, 4)
    with Knobs(root, dict.fromkeys(BLOCKS, "offline"), BLOCKS, slowly(0.4)):
        command = OnTerminal(root, "online", "--all", TERM="dumb")
        same(command.finish()[0], 0, "status")
    same(command.text, "", "terminal")


@test("what is no terminal gets no progress bar")
def no_terminal(root):
    root.add_region(32, 4)
    with Knobs(root, dict.fromkeys(BLOCKS, "offline"), BLOCKS, slowly(0.4)):
        result = root.run("online", "--all").expect(0)
    same(result.err, "", "stderr")


@test("an error does not stand on the line of the progress bar")
def error_after_bar(root):
    root.add_region(32, 4)
    root.replace_by_link(root.state_of(35), "/dev/full")
    with Knobs(root, dict.fromkeys(BLOCKS[:3], "offline"), BLOCKS[:3], slowly(0.6)):
        command = OnTerminal(root, "online", "--all")
        same(command.finish()[0], 1, "status")
    if not command.bars():
        raise AssertionError("there was no bar")
    contains(command.text, CLEAR + "twostage: cannot set memory block 35 ")


def interrupted(root, number, on_terminal):
    """Interrupt it while it waits for the third of four blocks."""
    root.add_region(32, 4)
    process = None

    def interrupt_at_third(block):
        if block != BLOCKS[2]:
            return True
        time.sleep(0.3)
        process.send_signal(number)
        return False

    with Knobs(root, dict.fromkeys(BLOCKS, "offline"), BLOCKS, interrupt_at_third) as knobs:
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
    same(knobs.written, [(32, "online_movable"), (33, "online_movable")], "written")
    same([line.split()[2] for line in out.splitlines()], ["32", "33"], "blocks on stdout")
    contains(err, "set 2 of 4 blocks online (256M of 512M), then was interrupted")
    lacks(err, "memory block 34", "hint:")


@test_each("interrupted by {}, it stops and says how many were done", [
    ("SIGINT", signal.SIGINT), ("SIGTERM", signal.SIGTERM)])
def interrupt(root, _, number):
    interrupted(root, number, False)


@test("interrupted on a terminal, it says so there")
def interrupt_on_terminal(root):
    interrupted(root, signal.SIGINT, True)


@test("a list without regions tells people what to do")
def empty_list(root):
    terminal_of_stdout, terminal = os.openpty()
    result = root.run("list", stdout=terminal).expect(0)
    os.close(terminal)
    os.close(terminal_of_stdout)
    contains(result.err, "there are no regions", "twostage discover")
    same(root.run("list").expect(0).err, "", "stderr without a terminal")
