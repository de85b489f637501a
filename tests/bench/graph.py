# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""The kernel's function_graph traces, as trees of calls."""

import re

BEGIN = re.compile(r"^# trace (\S+) (\S+)$")
# "[ 12.345 | ] 0)  sh-134  |  + 12.345 us  |    function() {", and the same
# with ";" or "}"
LINE = re.compile(r"^\|\s*(?:(?P<time>\d+\.\d+) \|\s*)?\d+\)\s+(?P<task>\S.*?-\d+)\s*\|"
                  r"\s*(?:[$*@#!+]\s*)?(?:(?P<us>[\d.]+) us)?\s*\|\s*(?P<text>\S.*)$")
WAITS = ("synchronize_rcu", "synchronize_rcu_expedited", "synchronize_rcu_tasks")

# The functions that are timed for an operation. Others may be in the trace:
# ACPI may still work on the operation before.
OUTERMOST = {"add": ("add_memory_resource", "__add_memory_resource"), "remove": ("try_remove_memory",)}


class Call:
    """A call and the calls that it made; us is its duration in microseconds, None until it has ended."""

    def __init__(self, function, began=None):
        self.function = function
        self.us = None
        self.began = began
        self.calls = []

    def waited(self):
        """The part of it that waited for a grace period of RCU, in microseconds."""
        if self.function in WAITS:
            return self.us
        return sum(call.waited() for call in self.calls)


def name(text):
    """The function in a line: "function [module]() {", "function();" or "} /* function */"."""
    return re.split(r"[\s(]", text.removeprefix("} /* "), maxsplit=1)[0]


def read(lines):
    """The outermost calls in the lines of one trace, in the order in which they ended."""
    calls, stacks = [], {}
    for match in filter(None, map(LINE.match, lines)):
        stack = stacks.setdefault(match["task"], [])
        text, us = match["text"].strip(), float(match["us"]) if match["us"] else None
        if text.startswith("}"):
            if not stack:
                continue
            call = stack.pop()
        else:
            call = Call(name(text), float(match["time"]) if match["time"] else None)
            if stack:
                stack[-1].calls.append(call)
            if text.endswith("{"):
                stack.append(call)
                continue
        call.us = us or 0.0
        if not stack:
            calls.append(call)
    return calls


def traces(log):
    """All traces in a log: (operation, contenders in the order of their calls, outermost calls)."""
    lines = None
    for line in log.lines:
        begin = BEGIN.match(line)
        if begin:
            operation, order, lines = begin[1], begin[2].split(","), []
        elif line.startswith("# end of trace") and lines is not None:
            wanted = OUTERMOST.get(operation)
            yield operation, order, [call for call in read(lines) if not wanted or call.function in wanted]
            lines = None
        elif lines is not None:
            lines.append(line)
