# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Turns the log of a guest, or the KTAP output of a command, into test results."""

import collections
import re

TIMESTAMP = re.compile(r"^(?:\S*?\[\s*\d+\.\d+\](?:\[\s*[TC]\d+\])? )?")
PLAN = re.compile(r"^1\.\.(\d+)\s*$")
RESULT = re.compile(r"^(ok|not ok) (\d+)(?: -)? ?(.*?)(?: # (SKIP|TODO)\b\s*(.*))?$")

# Splats: lines that the kernel prints when it finds an error in itself.
SPLATS = re.compile(
    "|".join(
        [
            r"\bWARNING: ",
            r"\bBUG: ",
            r"\bOops\b",
            r"general protection fault",
            r"Kernel panic",
            r"unable to handle",
            r"Unable to handle",
            r"Call [Tt]race:",
            r"cut here",
            r"possible (?:recursive|circular) locking",
            r"inconsistent lock state",
            r"suspicious RCU usage",
            r"INFO: task .* blocked",
            r"\brcu\w*: .*(?:stall|detected)",
            r"soft lockup",
            r"hard LOCKUP",
            r"\bKASAN\b",
            r"\bUBSAN\b",
            r"invalid opcode",
            r"divide error",
            r"kernel BUG at",
            r"Bad page (?:state|map)",
            r"memmap leaked",
            # The harness names a process "hog" that is to be killed.
            r"Out of memory(?!: Killed process \d+ \(hog\))",
        ]
    )
)

# Lockdep reports of the kernel's own that need no module: a task writes to a
# file of a memory block while the block's memory is removed. The writer and
# the removal both hold device_hotplug_lock, but the writer takes it by a
# trylock, which lockdep does not take into account. Which of the two reports
# is printed depends on which task comes second. The functions in the report
# are the kernel's: with a module's name after the function, it is no match.
KNOWN_TO_LOCKDEP = (
    r"possible circular locking dependency detected.*trying to acquire lock:"
    r".*\(kn->active.*__kernfs_remove"
    r".*already holding lock:.*\(mem_hotplug_lock\).*try_remove_memory"
    r".*existing dependency chain.*\b(?:state|online)_store\+[^\s\[]*\s*\n"
    r"|possible circular locking dependency detected.*trying to acquire lock:"
    r".*\(cpu_hotplug_lock\).*at: mem_hotplug_begin"
    r".*already holding lock:.*\(kn->active.*at: kernfs_fop_write_iter"
    r".*kernfs_drain.*try_remove_memory.*\(device_hotplug_lock\).*at: lock_device_hotplug_sysfs"
)

# An interrupt that arrives before its handler is set up, in the first
# milliseconds of the boot. It happens now and then under emulation, without
# any module.
KNOWN_TO_KASAN = (
    r"KASAN: wild-memory-access in do_raw_spin_lock"
    r".*handle_edge_irq.*arch_cpu_finalize_init.*start_kernel"
)

# The first line of a report that ends with a call trace
REPORT = re.compile(r"cut here|WARNING: |BUG: KASAN: |alloc(?:ation)? failure: |vmalloc error: |invoked oom-killer")

# The beginning of a call trace, and each line of it. On x86 <TASK> and </TASK>
# enclose the lines, and others in between do not end it.
TRACE = re.compile(r"Call [Tt]race:")
TRACE_LINE = re.compile(r"[ (]")

# A report of KCSAN about a data race: its first line and its last but one, the
# line before each of its stacks, and a line of a stack, with the function and
# the module that it is in. The first function of a stack makes the access, or
# if that is one of HELPERS, the first other one: it passed the memory.
RACE = re.compile(r"BUG: KCSAN: ")
RACE_END = re.compile(r"Reported by Kernel Concurrency Sanitizer")
STACK = re.compile(r" bytes by (?:task \d+|interrupt) on cpu \d+:$")
FRAME = re.compile(r"^ ([\w.]+)\+0x[0-9a-f]+/0x[0-9a-f]+(?: \[(\w+)\])?$")
HELPERS = re.compile(
    r"_*(?:mem|str)[a-z]+$|_*list_\w+$|_*bitmap_\w+$|_*find_\w*(?:bit|area)\w*$"
    r"|v?sc?n?printf$|string(?:_nocheck)?$|number$|format_decode$|seq_v?printf$|sysfs_emit(?:_at)?$"
)

# The harness crashes the guest on purpose
CRASH = re.compile(r"sysrq: Trigger a crash")

KILLED = re.compile(r"Out of memory: Killed process \d+ \(harness\)")

# Kernels of which it is known what they have. A test that is skipped there
# without need would hide what it could find.
KNOWN_KERNELS = ("6.1", "6.12", "6.12-debug", "6.12-arm64", "sid-s390x")

# Exit statuses of scripts/vm: the guest was killed after its time limit, or
# QEMU exited before the guest's command had ended.
TIMED_OUT, WENT_AWAY = 124, 125

Test = collections.namedtuple("Test", "verdict name detail")


def strip_timestamp(line):
    """The line without the kernel's timestamp and without its newline."""
    return TIMESTAMP.sub("", line.rstrip("\r\n"), count=1)


def without_reports(lines, expected):
    """The log without the expected reports of the kernel.

    A report ranges from its first line to the end of its call trace, and is
    expected if the pattern matches its text.
    """
    rest, report, in_trace = [], [], False

    def end():
        if not re.search(expected, "".join(report), re.DOTALL):
            rest.extend(report)
        report.clear()

    for line in lines:
        if report and in_trace and not TRACE_LINE.match(strip_timestamp(line)):
            end()
        if REPORT.search(line) and any(
            "cut here" not in other and REPORT.search(other) for other in report
        ):
            # The report so far had no call trace: it is not part of this one.
            rest += report
            report.clear()
        if report or REPORT.search(line):
            in_trace = bool(TRACE.search(line) or report and in_trace and "<TASK>" not in line)
            report.append(line)
            if "</TASK>" in line or "---[ end trace" in line:
                end()
        else:
            rest.append(line)
    return rest + report


def is_own_race(report):
    """Whether a function of our modules makes one of the accesses of a report of KCSAN.

    Or passes the memory to a function of the kernel's that only does what it
    is told.
    """
    accesses, begins = re.findall(r"\[(\w+)\]", strip_timestamp(report[0])), False
    for line in map(strip_timestamp, report):
        frame = FRAME.match(line)
        if frame and begins and not HELPERS.match(frame[1]):
            accesses.append(frame[2] or "")
            begins = False
        begins = begins or bool(STACK.search(line))
    return any(module.startswith("twostage") for module in accesses)


def races(lines):
    """KCSAN's reports in a log: the number of the first line, and whether our modules race.

    The kernel's own code has many accesses that are meant to race and are not
    marked as such.
    """
    found = []
    for begin, line in enumerate(lines):
        if RACE.search(line):
            end = next(
                (i for i in range(begin, len(lines)) if RACE_END.search(lines[i])), len(lines)
            )
            found.append((begin, is_own_race(lines[begin:end])))
    return found


def without_crash(lines):
    """The log without the first kernel's crash, up to the next kernel's first line.

    None unless the harness crashed the guest exactly once, and a second
    kernel booted.
    """
    begin = [i for i, line in enumerate(lines) if CRASH.search(line)]
    if len(begin) != 1:
        return None
    end = [
        i
        for i, line in enumerate(lines)
        if i > begin[0] and strip_timestamp(line).startswith("Linux version ")
    ]
    return lines[: begin[0]] + lines[end[0] :] if end else None


def read_ktap(lines):
    """The tests in KTAP output, and how many were planned (None: no plan)."""
    tests, planned, diagnostics = [], None, []
    for line in map(strip_timestamp, lines):
        plan = PLAN.match(line)
        result = RESULT.match(line)
        if plan:
            planned = (planned or 0) + int(plan[1])
        elif result:
            ok, _, test, directive, reason = result.groups()
            verdict = "skip" if directive == "SKIP" else "pass" if ok == "ok" else "fail"
            tests.append(
                Test(verdict, test, reason if verdict == "skip" else "; ".join(diagnostics[-3:]))
            )
            diagnostics = []
        elif line.startswith("# "):
            diagnostics.append(line[2:])
    return tests, planned


def judge(lines, name, status=0, expect_death=False, expected=None, crash=False):
    """The tests in a guest's log; that the log is clean is one more.

    name is the scenario's, status that of scripts/vm. With expect_death the
    only test is that the guest dies: by a panic, or because the OOM killer
    kills the harness. With crash the harness crashes the guest once and goes
    on in a second kernel; the messages of this crash are not splats. expected
    is a pattern of kernel reports that the scenario, or the kernel, provokes.
    A data race of the kernel's own is not a splat, either.
    """
    foreign = {begin for begin, is_own in races(lines) if not is_own}
    lines = [line for i, line in enumerate(lines) if i not in foreign]
    if crash:
        rest = without_crash(lines)
        if rest is None:
            return judge(lines, name, status) + [
                Test("fail", f"{name}: the guest crashes once and a second kernel boots", "")
            ]
        return judge(rest, name, status, expected=expected)
    splats = [
        line.strip()
        for line in (without_reports(lines, expected) if expected else lines)
        if SPLATS.search(line)
    ]
    if expect_death:
        begun = any(RESULT.match(strip_timestamp(line)) for line in lines)
        died = status != 0 and any("Kernel panic" in line or KILLED.search(line) for line in splats)
        return [
            Test(
                "pass" if begun and died else "fail",
                f"{name}: the guest dies as expected",
                f"the guest survives (status {status})"
                if not died
                else ""
                if begun
                else "the guest dies before its first test",
            )
        ]

    tests, planned = read_ktap(lines)
    if planned is None:
        tests.append(
            Test("fail", f"{name}: there is a test plan", "no line \"1..N\" in the output")
        )
    elif len(tests) != planned:
        tests.append(
            Test(
                "fail",
                f"{name}: all planned tests have a result",
                f"{len(tests)} of {planned} tests have one",
            )
        )
    if status in (TIMED_OUT, WENT_AWAY):
        tests.append(
            Test(
                "fail",
                f"{name}: the guest runs to its end",
                "killed after its time limit"
                if status == TIMED_OUT
                else "it powered off, or crashed, before its command had ended",
            )
        )
    elif status != 0 and not any(test.verdict == "fail" for test in tests):
        tests.append(Test("fail", f"{name}: the exit status is 0", f"it is {status}"))
    tests.append(
        Test(
            "fail" if splats else "pass",
            f"{name}: the kernel log is clean",
            splats[0] if splats else "",
        )
    )
    return tests


def judge_output(lines, name, status):
    """The tests in the KTAP output of a command on the host, which has no kernel log."""
    return judge(lines, name, status)[:-1]


def died_booting(lines, status):
    """Whether the guest died or hung before its first process, without any code of ours."""
    return status in (TIMED_OUT, WENT_AWAY) and not any(
        "Run /init as init process" in line for line in lines
    )


def without_excuses(tests, series, skips):
    """The tests, those failed that are skipped on a known kernel and do not match skips."""
    if series not in KNOWN_KERNELS:
        return tests
    return [
        Test("fail", test.name, f"skipped, although this kernel can do it: {test.detail}")
        if test.verdict == "skip" and not (skips and re.search(skips, test.name))
        else test
        for test in tests
    ]
