# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Runs a command on the host as a test."""

import contextlib
import os
import signal
import subprocess
import time

from runner import BUILD, TOP
from runner.judge import Test, judge_output


# The commands that are running
CHILDREN = set()


def stop_all():
    """End the commands that are running, with all processes that they started."""
    for child in list(CHILDREN):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)


def run_bounded(argv, timeout):
    """Run a command: its output and its exit status.

    The status is 1 if the command cannot be run, or takes longer than timeout
    seconds: then the command and all processes that it started are killed.
    """
    try:
        with subprocess.Popen(
            argv,
            cwd=TOP,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as child:
            CHILDREN.add(child)
            try:
                return child.communicate(timeout=timeout)[0], child.returncode
            except BaseException as error:
                # The whole process group: a grandchild would outlive the
                # command, and would keep the pipe open.
                os.killpg(child.pid, signal.SIGTERM)
                try:
                    output = child.communicate(timeout=60)[0]
                except subprocess.TimeoutExpired:
                    os.killpg(child.pid, signal.SIGKILL)
                    output = child.communicate()[0]
                if isinstance(error, subprocess.TimeoutExpired):
                    return f"{output}killed after {timeout} s\n", 1
                raise
            finally:
                CHILDREN.discard(child)
    except OSError as error:
        return f"{error}\n", 1


def run_step(report, title, argv, log_name, cell=None, ktap=False, timeout=1800):
    """Run a command as one test, or with ktap as those that it prints.

    Returns True if the exit status is 0.
    The output is written to build/logs/LOG_NAME. timeout is in seconds.
    """
    os.makedirs(os.path.join(BUILD, "logs"), exist_ok=True)
    log = os.path.join(BUILD, "logs", log_name)
    started = time.monotonic()
    output, status = run_bounded(argv, timeout)
    with open(log, "w", encoding="utf-8") as file:
        file.write(output)
    lines = output.splitlines()
    if ktap:
        tests = judge_output(lines, title, status)
    else:
        tests = [
            Test(
                "fail" if status else "pass", title, "; ".join(line.strip() for line in lines[-3:])
            )
        ]
    report.add(title, tests, time.monotonic() - started, log, cell)
    return status == 0
