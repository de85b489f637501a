# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Registration of tests, and a runner that prints KTAP."""

import traceback

TESTS = []


class Skip(Exception):
    """Raised by a test whose requirements are missing."""


def test(name):
    """Register a function of a sysroot.Sysroot as a test; any exception is a failure."""
    def register(function):
        TESTS.append((name, function))
        return function
    return register


def test_each(name, cases):
    """Register a test for each case; {} in the name is the case, or its first item."""
    def register(function):
        for case in cases:
            arguments = case if isinstance(case, tuple) else (case,)
            TESTS.append((name.format(arguments[0]),
                          lambda root, arguments=arguments: function(root, *arguments)))
        return function
    return register


def same(got, expected, what="result"):
    if got != expected:
        raise AssertionError(f"{what}: {got!r} instead of {expected!r}")


def contains(text, *parts):
    for part in parts:
        if part not in text:
            raise AssertionError(f"{part!r} is not in {text!r}")


def lacks(text, *parts):
    for part in parts:
        if part in text:
            raise AssertionError(f"{part!r} is in {text!r}")


def run_all(make_root, only):
    """Run the tests whose names contain one of the texts in only, or all tests.

    Returns True if at least one test ran and none failed.
    """
    chosen = [(name, function) for name, function in TESTS
              if not only or any(text in name for text in only)]
    failed = 0
    print(f"KTAP version 1\n1..{len(chosen)}", flush=True)
    for number, (name, function) in enumerate(chosen, 1):
        verdict, directive = "ok", ""
        try:
            with make_root() as root:
                function(root)
        except Skip as reason:
            directive = f" # SKIP {reason}"
        except Exception as error:
            verdict = "not ok"
            failed += 1
            text = str(error) if isinstance(error, AssertionError) else traceback.format_exc()
            for line in text.splitlines():
                print(f"# {line}")
        print(f"{verdict} {number} {name}{directive}", flush=True)
    print(f"# {len(chosen) - failed} of {len(chosen)} did not fail")
    return not failed and bool(chosen)
