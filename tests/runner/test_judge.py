# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Tests of judge.py, on made-up logs. The first line of each docstring is the test's name."""

import collections
import unittest

from runner.judge import KNOWN_TO_LOCKDEP, Test, died_booting, judge, races, without_excuses
from runner.scenario import LOCKDEP_OFF

CLEAN = [
    "[    1.000000] KTAP version 1",
    "[    1.0] 1..2",
    "[    1.1] ok 1 - a: b",
    "[    1.15] twostage: region0: added",
    "[    1.2] ok 2 - a: c # SKIP no such thing",
]
OOPS = "[ 1.8] Oops: int3: 0000 [#1] SMP NOPTI"
PANIC = ["[ 9.0] Kernel panic - not syncing: System is deadlocked on memory"]
CRASHED = CLEAN + [
    "[ 3.0] sysrq: Trigger a crash",
    "[ 3.1] Kernel panic - not syncing: sysrq triggered crash",
    "[ 3.2] Call Trace:",
    "[    0.000000] Linux version 6.12",
]

WARNING = [
    "[ 2.0] ------------[ cut here ]------------",
    "[ 2.0] WARNING: CPU: 0 PID: 1 at mm/x.c:1 f+0x1",
    "[ 2.0] Call Trace:",
    "[ 2.1]  </TASK>",
]
# The two reports of lockdep that need no module
REMOVER_REPORTED = [
    "[ 2.0] WARNING: possible circular locking dependency detected\n",
    "[ 2.0] kworker/1 is trying to acquire lock:\n",
    "[ 2.0] ff11 (kn->active#7){++++}-{0:0}, at: __kernfs_remove+0x22e/0x590\n",
    "[ 2.0] but task is already holding lock:\n",
    "[ 2.0] ff10 (mem_hotplug_lock){++++}-{0:0}, at: try_remove_memory+0x100/0x1d0\n",
    "[ 2.0] the existing dependency chain (in reverse order) is:\n",
    "[ 2.0]        state_store+0x8f/0x110\r\n",
    "[ 2.1]  </TASK>\n",
]
WRITER_REPORTED = [
    "[ 2.0] WARNING: possible circular locking dependency detected\n",
    "[ 2.0] harness/58 is trying to acquire lock:\n",
    "[ 2.0] ff8d (cpu_hotplug_lock){++++}-{0:0}, at: mem_hotplug_begin+0xe/0x20\n",
    "[ 2.0] but task is already holding lock:\n",
    "[ 2.0] ff11 (kn->active#11){++++}-{0:0}, at: kernfs_fop_write_iter+0x25c/0x560\n",
    "[ 2.0]        kernfs_drain+0x3a9/0x490\n",
    "[ 2.0]        try_remove_memory+0x161/0x1d0\n",
    "[ 2.0]  #3: ff8d (device_hotplug_lock){+.+.}-{3:3}, at: lock_device_hotplug_sysfs+0x16/0x50\n",
    "[ 2.1]  </TASK>\n",
]


def race_report(*stacks):
    """A report of KCSAN, as two processors' messages at once leave it in a log."""
    lines = ["==========", "BUG: KCSAN: data-race in f / g", ""]
    for cpu, stack in enumerate(stacks):
        lines.append(f"read to 0xffff8881 of 8 bytes by task {cpu + 50} on cpu {cpu}:")
        lines += [f" {frame}" for frame in stack] + ["twostage: region0: added", ""]
    lines += ["value changed: 0x1 -> 0x2", "", "Reported by Kernel Concurrency Sanitizer on:"]
    lines += ["CPU: 1 UID: 0 PID: 51 Comm: x Not tainted", "=========="]
    return [f"[    2.{n:06}] {line}\r\n" for n, line in enumerate(lines)]


class Counts(unittest.TestCase):
    """How many tests of a log pass, fail and are skipped."""

    def expect(self, lines, status, **expected):
        """Judge a log, and compare the counts."""
        counts = collections.Counter(test.verdict for test in judge(lines, "x", status))
        self.assertEqual(counts, collections.Counter(expected))

    def test_clean(self):
        """a clean log passes"""
        self.expect(CLEAN, 0, **{"pass": 2, "skip": 1})

    def test_not_ok(self):
        """a log with a test that is not ok fails"""
        self.expect(CLEAN[:3] + ["[ 1.2] not ok 2 - a: c"], 1, **{"pass": 2, "fail": 1})

    def test_truncated(self):
        """a log with fewer tests than planned fails"""
        self.expect(CLEAN[:3], 0, **{"pass": 2, "fail": 1})

    def test_no_plan(self):
        """a log without a plan fails"""
        self.expect(["[ 1.0] hello"], 0, **{"pass": 1, "fail": 1})

    def test_warning(self):
        """a log with a warning of the kernel fails"""
        self.expect(
            CLEAN + ["[ 2.0] WARNING: CPU: 0 PID: 1 at mm/x.c:1 f+0x1"],
            0,
            **{"pass": 1, "fail": 1, "skip": 1},
        )

    def test_lockdep(self):
        """a log with a lockdep report fails"""
        self.expect(
            CLEAN + ["[ 2.0] WARNING: possible recursive locking detected"],
            0,
            **{"pass": 1, "fail": 1, "skip": 1},
        )

    def test_oops(self):
        """a log with an oops fails"""
        self.expect(
            CLEAN + ["[ 2.0] Oops: 0002 [#1] PREEMPT SMP"], 0, **{"pass": 1, "fail": 1, "skip": 1}
        )

    def test_hung_task(self):
        """a log with a hung task fails"""
        self.expect(
            CLEAN + ["[ 2.0] INFO: task sh:1 blocked for more than 120 seconds."],
            0,
            **{"pass": 1, "fail": 1, "skip": 1},
        )

    def test_timeout(self):
        """a guest that reaches its time limit fails"""
        self.expect(CLEAN, 124, **{"pass": 2, "fail": 1, "skip": 1})
        details = [test.detail for test in judge(CLEAN, "x", 124)]
        self.assertIn("killed after its time limit", details)

    def test_went_away(self):
        """a guest that powers off before its command has ended fails"""
        self.expect(CLEAN, 125, **{"pass": 2, "fail": 1, "skip": 1})
        self.assertTrue(any("powered off" in test.detail for test in judge(CLEAN, "x", 125)))

    def test_silent(self):
        """a harness with a failing exit status and no failed test fails"""
        self.expect(CLEAN, 1, **{"pass": 2, "fail": 1, "skip": 1})


class Expected(unittest.TestCase):
    """What a scenario is expected to do to the kernel."""

    def verdicts(self, pattern, *logs):
        """Whether each log is clean but for the reports that match the pattern."""
        return [judge(CLEAN + log, "x", 0, expected=pattern)[-1].verdict for log in logs]

    def test_death(self):
        """a guest that is expected to die passes only if it dies after its first test"""
        killed = ["[ 9.0] Out of memory: Killed process 141 (harness) total-vm:8432kB"]
        verdicts = [
            judge(log, "x", status, True)[0].verdict
            for log, status in (
                (CLEAN[:3] + PANIC, 125),
                (CLEAN[:3] + killed, 137),
                (CLEAN, 0),
                (PANIC, 125),
            )
        ]
        self.assertEqual(verdicts, ["pass", "pass", "fail", "fail"])

    def test_crash(self):
        """a crash by the harness passes if a second kernel boots and there is no other splat"""
        bug = "BUG: kernel NULL pointer dereference"
        failed = [
            collections.Counter(test.verdict for test in judge(lines, "x", 0, crash=True))["fail"]
            for lines in (
                CRASHED + CLEAN,
                CRASHED[:-1],
                CLEAN,
                CRASHED + CLEAN + [f"[ 9.0] {bug}"],
                CLEAN + [f"[ 2.9] {bug}"] + CRASHED[len(CLEAN) :] + CLEAN,
            )
        ]
        self.assertEqual(failed[0], 0)
        self.assertTrue(all(failed[1:]), failed)

    def test_boot(self):
        """only a guest that dies before its first process is booted again"""
        self.assertTrue(died_booting([OOPS], 125))
        self.assertFalse(died_booting([OOPS], 0))
        self.assertFalse(died_booting(["[ 1.9] Run /init as init process", OOPS], 125))

    def test_reports(self):
        """an expected report of the kernel passes, a splat beside it fails"""
        self.assertEqual(
            self.verdicts(
                r"at mm/x\.c:1 ",
                WARNING,
                WARNING + ["[ 2.2] BUG: x"],
                ["[ 2.2] BUG: x"] + WARNING,
                ["[ 1.9] WARNING: x"] + WARNING,
            ),
            ["pass", "fail", "fail", "fail"],
        )

    def test_end_of_trace(self):
        """where nothing marks the end of a call trace, a report ends with its last frame"""
        oom = ["[ 2.0] hog invoked oom-killer: order=0", "[ 2.0] Hardware name: linux,dummy-virt"]
        arm64 = oom + ["[ 2.0] Call trace:", "[ 2.0]  dump_stack+0x18/0x28", "[ 2.0] Mem-Info:"]
        s390x = oom + [
            "[ 2.0] Call Trace:",
            "[ 2.0]  [<000003ffe0f3c1a2>] dump_stack+0x18/0x28",
            "[ 2.0] ([<000003ffe0f3c1a2>] show_stack+0x18/0x28)",
            "[ 2.0] Mem-Info:",
        ]
        x86 = oom + ["[ 2.0] Call Trace:", "[ 2.0]  <TASK>", "[ 2.0] ok 9 - x: between", "[ 2.0]  </TASK>"]
        self.assertEqual(
            self.verdicts("invoked oom-killer", arm64, s390x, x86, arm64 + WARNING),
            ["pass", "pass", "pass", "fail"],
        )

    def test_lockdep_reports(self):
        """a known lockdep report passes, another one or one in a module's function fails"""
        own = [line.replace("0x110", "0x110 [twostage]") for line in REMOVER_REPORTED]
        self.assertEqual(
            self.verdicts(
                KNOWN_TO_LOCKDEP,
                REMOVER_REPORTED,
                REMOVER_REPORTED[:4] + REMOVER_REPORTED[5:],
                WARNING,
                REMOVER_REPORTED[:-1],
                WRITER_REPORTED,
                WRITER_REPORTED[:-2] + WRITER_REPORTED[-1:],
                own,
            ),
            ["pass"] + ["fail"] * 3 + ["pass"] + ["fail"] * 2,
        )

    def test_races(self):
        """a data race fails only if a function of a module makes one of the accesses"""
        kernel = ["f+0x1/0x20", "online_pages+0x1/0x20", "wrapped_online+0x1/0x20 [twostage]"]
        module = ["show.isra.0+0x1/0x20 [twostage_virtio_mem]", "dev_attr_show+0x1/0x20"]
        passed = ["string+0x1/0x20", "vsnprintf+0x1/0x20", *module]
        other = ["f+0x1/0x20 [virtio_mem]"]
        logs = [
            race_report(*stacks)
            for stacks in (
                (kernel, kernel),
                (kernel, other),
                (kernel,),
                (kernel, module),
                (module, kernel),
                (module,),
                (kernel, passed),
            )
        ]
        self.assertEqual(self.verdicts(None, *logs), ["pass"] * 3 + ["fail"] * 4)
        self.assertEqual([len(races(log)) for log in logs], [1] * len(logs))
        both = logs[0] + logs[3] + logs[0]
        self.assertEqual([is_own for _, is_own in races(both)], [False, True, False])
        self.assertEqual(
            self.verdicts(None, both, logs[0] + WARNING, logs[4][:5]), ["fail", "fail", "fail"]
        )

    def test_skipped(self):
        """a skipped test fails on a known kernel unless it is expected to be skipped there"""
        verdicts = [
            without_excuses([Test("skip", "a: b", "c")], series, skips)[0].verdict
            for series, skips in (
                ("6.12", None),
                ("6.12", "a: x"),
                ("6.12", "a: b"),
                ("7.3", None),
                ("6.12-debug", LOCKDEP_OFF),
            )
        ]
        self.assertEqual(verdicts, ["fail", "fail", "skip", "skip", "fail"])
