# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Runs the guests that measure."""

import os
import subprocess
import sys

from runner import TOP


def run(series, scenarios, may_die=False):
    """Run scenarios on a kernel, one at a time; True if they passed, or may fail."""
    argv = [os.path.join(TOP, "tests", "run"), "--kernel", series, "--jobs", "1"]
    for scenario in scenarios:
        argv += ["--only", scenario]
    result = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode and not may_die:
        print(result.stdout, file=sys.stderr)
        return False
    return True
