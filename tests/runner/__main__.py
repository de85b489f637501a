# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Runs the runner's own tests (python3 tests/runner), and prints KTAP."""

import os
import sys
import unittest

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Ktap(unittest.TestResult):
    """Prints each result. The name of a test is the first line of its docstring."""

    def line(self, verdict, test, detail="", suffix=""):
        """Print a result."""
        for text in detail.splitlines():
            print(f"# {text}")
        name = test.shortDescription() or test.id()
        print(f"{verdict} {self.testsRun} - runner: {name}{suffix}", flush=True)

    def addSuccess(self, test):
        self.line("ok", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.line("not ok", test, str(err[1]))

    def addError(self, test, err):
        super().addError(test, err)
        self.line("not ok", test, f"{err[0].__name__}: {err[1]}")

    def addSkip(self, test, reason):
        self.line("ok", test, suffix=f" # SKIP {reason}")


def main():
    # The directory of the package itself has modules with common names.
    sys.path[0] = TESTS
    suite = unittest.TestLoader().discover(os.path.join(TESTS, "runner"), top_level_dir=TESTS)
    print("KTAP version 1")
    result = Ktap()
    print(f"1..{suite.countTestCases()}")
    suite.run(result)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.exit(main())
