# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""The parts of tests/run.

  architecture   what differs between amd64, arm64 and s390x
  scenario   reads the scenarios files, and says how a scenario runs on a kernel
  guest      boots a guest, serves its requests to the host, runs a scenario
  judge      turns the log of a guest into test results
  report     counts and prints results; the table of results
  step       runs a command on the host as a test
  schedule   runs jobs side by side, in an order that keeps all CPUs busy
  jobs       the jobs of a run: tests on the host, builds, guests
  system     boots whole Debian systems (tests/run --system)

The files test_*.py are the tests of these: tests/run --self-test, or python3
tests/runner.
"""

import os

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(TOP, "build")
SCRIPTS = os.path.join(TOP, "scripts")


class Failure(Exception):
    """An error that leaves nothing to test."""
