# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Boots a guest by scripts/vm, serves its requests to the host, and runs a scenario.

A guest asks for something by a line in its log. "twostage-host: COMMAND" makes
the runner give COMMAND to QEMU's monitor. With "? COMMAND" the reply is typed
on the guest's console, as one line. Instead of a command of the monitor, "rss"
stands for QEMU's resident memory in KiB, and "shared" for the part of it that
is shared memory (that of a memory-backend-memfd with share=on); "wake N" types
a line after N seconds. Text after "# progress: " is printed at once.
"""

import os
import re
import subprocess
import tempfile
import threading
import time

from runner import BUILD, SCRIPTS, TOP
from runner.architecture import SLOWNESS, architecture_of
from runner.judge import (
    Test,
    died_booting,
    judge,
    judge_output,
    races,
    strip_timestamp,
    without_excuses,
)
from runner.scenario import (
    command_line_of,
    expected_of,
    is_race,
    is_slow,
    memory_of,
    not_here,
    setting,
    skips_of,
    vmlinux_of,
)
from runner.schedule import host_memory
from runner.step import run_bounded

HOST = re.compile(r"^twostage-host: (.*)$")
PROGRESS = re.compile(r"^# progress: (.*)$")

# What a guest may ask about QEMU's memory, and its name in /proc/PID/status
MEMORY = {"rss": "VmRSS:", "shared": "RssShmem:"}
# A guest that is going to sleep asks to be woken up after some seconds.
WAKE = re.compile(r"wake (\d+)$")

# Environment variables for groups of tests: how long a group runs, in units of
# so many seconds, ...
DURATIONS = [
    ("STRESS_SECONDS", "stress", 1),
    ("SOAK_MINUTES", "soak", 60),
    ("SOAK_MINUTES", "soak-oom", 60),
    ("SOAK_MINUTES", "daemon-soak", 60),
]
# ... and others
SETTINGS = [("FUZZ_SEED", "fuzz")]

# Seconds after which a guest counts as hung. A kernel under emulation is slow
# on a busy machine.
TIMEOUT = 180
# Slow kernels get this many times as long.
DEBUG_SLOWNESS = 6


def monitor(path, command):
    """Give a command to QEMU's monitor; returns its reply."""
    result = subprocess.run(
        [os.path.join(SCRIPTS, "monitor"), path, command],
        timeout=30,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return result.stdout


def resident(pidfile, name):
    """A value in KiB of the process in pidfile; name is that in /proc/PID/status."""
    with open(pidfile, encoding="ascii") as file:
        pid = file.read().strip()
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith(name):
                return line.split()[1]
    return "?"


def type_into(vm, line):
    """Type a line on a guest's console."""
    try:
        vm.stdin.write(line + "\n")
        vm.stdin.flush()
    except (OSError, ValueError):
        # The guest has exited.
        pass


def serve(vm, work, request):
    """Do what a guest asks the host for. Returns an error for its log, or an empty string."""
    question = request.startswith("? ")
    request = request.removeprefix("? ")
    wake = WAKE.match(request)
    if wake:
        timer = threading.Timer(int(wake[1]), type_into, [vm, "wake"])
        timer.daemon = True
        timer.start()
        return ""
    try:
        if request in MEMORY:
            answer = resident(os.path.join(work, "pid"), MEMORY[request])
        else:
            answer = monitor(os.path.join(work, "monitor"), request)
        if question:
            type_into(vm, " ".join(answer.split()))
    except (OSError, subprocess.SubprocessError) as error:
        return f"# host: {request}: {error}\n"
    return ""


def boot(argv, work):
    """Run scripts/vm and serve the guest: its log, the exit status, errors of scripts/vm."""
    lines = []
    with subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as vm:
        for line in vm.stdout:
            lines.append(line)
            line = strip_timestamp(line)
            host = HOST.match(line)
            progress = PROGRESS.match(line)
            if progress:
                print(progress[1], flush=True)
            if host:
                complaint = serve(vm, work, host[1])
                if complaint:
                    lines.append(complaint)
        complaint = vm.stderr.read()
        return lines, vm.wait(), complaint


def make_disks(directory, disks):
    """Make sparse files; disks: NAME:SIZE with K, M or G. Returns their paths by name."""
    paths = {}
    for disk in disks:
        name, size = disk.split(":")
        paths[name] = os.path.join(directory, name + ".disk")
        with open(paths[name], "wb") as file:
            file.truncate(int(size[:-1]) << {"K": 10, "M": 20, "G": 30}[size[-1]])
    return paths


def cpu_of(series, scenario):
    """The model of the guest's processor, for scripts/vm; empty: its default."""
    if architecture_of(series) != "amd64":
        return scenario.get(f"{architecture_of(series)}_cpu", "")
    model = scenario.get("cpu", "max")
    if scenario.getboolean("bench", False) or os.environ.get("TWOSTAGE_ACCEL", "tcg") != "tcg":
        return model
    # TCG emulates "rep stosb" byte by byte. Without ERMS the kernel clears and
    # copies memory by words, and a guest that fills its memory takes a third
    # less time.
    return model + ",erms=off"


def command_of(series, scenario):
    """The guest's command, and the seconds after which the guest counts as hung."""
    slowness = DEBUG_SLOWNESS if is_slow(series) else 1
    slowness *= SLOWNESS if architecture_of(series) != "amd64" else 1
    timeout = scenario.getint("timeout", TIMEOUT) * slowness
    command = f"/twostage/harness --kmsg {scenario['harness']}"
    groups = scenario["harness"].split()
    for variable, group, seconds in DURATIONS:
        duration = os.environ.get(variable)
        if duration and group in groups:
            timeout += int(duration) * seconds
            command = f"{variable}={int(duration)} {command}"
    for variable, group in SETTINGS:
        if variable in os.environ and group in groups:
            command = f"{variable}={int(os.environ[variable], 0)} {command}"
    return command, timeout


def vm_command(series, scenario, work, log, disks):
    """The command line of scripts/vm for a scenario."""
    command, timeout = command_of(series, scenario)
    argv = [
        os.path.join(SCRIPTS, "vm"),
        "--verbose",
        "--kernel",
        series,
        "--memory",
        memory_of(series, scenario),
        "--cpus",
        scenario.get("cpus", "2"),
        "--cpu",
        cpu_of(series, scenario),
        "--append",
        command_line_of(series, scenario),
        "--qemu",
        setting(series, scenario, "qemu", ""),
        "--timeout",
        str(timeout),
        "--monitor",
        os.path.join(work, "monitor"),
        "--pidfile",
        os.path.join(work, "pid"),
        "--input",
        "--log",
        log,
    ]
    for serial, path in disks.items():
        argv += ["--disk", f"{path}:{serial}"]
    for package in scenario.get("packages", "").split():
        argv += ["--package", package]
    if scenario.getboolean("boot_disks", False):
        argv += ["--boot-disks"]
    if scenario.getboolean("icount", False):
        argv += ["--icount"]
    return argv + ["--", command]


def look_from_host(scenario, log, disks, vmlinux):
    """Run the scenario's command for the host: its tests. Its output is appended to log."""
    if scenario.getboolean("vmlinux", False) and not vmlinux:
        return [
            Test(
                "fail", f"{scenario.name} on the host: the kernel's debugging symbols are there", ""
            )
        ]
    command = [word.format(log=log, vmlinux=vmlinux, **disks) for word in scenario["host"].split()]
    output, status = run_bounded([word for word in command if word], 600)
    with open(log, "a", encoding="utf-8") as file:
        file.write(output)
    return judge_output(output.splitlines(), f"{scenario.name} on the host", status)


def run_scenario(report, series, scenario):
    """Boot the guest of a scenario and report its tests."""
    name = scenario.name
    reason = not_here(series, scenario)
    if reason:
        report.add(f"{series} {name}", [Test("skip", name, reason)], 0, None, (series, name))
        return
    needed, spare = scenario.getint("host_memory", 0), host_memory()
    if needed and spare < needed + 1:
        reason = f"needs {needed} GiB of the host, which has {spare:.1f} to spare"
        report.add(f"{series} {name}", [Test("skip", name, reason)], 0)
        return
    directory = os.path.join(BUILD, "logs", series)
    os.makedirs(directory, exist_ok=True)
    log = os.path.join(directory, name + ".log")
    started = time.monotonic()

    with tempfile.TemporaryDirectory() as work:
        disks = make_disks(work, scenario.get("disks", "").split())
        argv = vm_command(series, scenario, work, log, disks)
        lines, status, complaint = boot(argv, work)
        if died_booting(lines, status):
            # Under emulation about one boot in some hundred dies early: "Oops:
            # int3" while the kernel patches its own code, or the second
            # processor does not come up.
            os.replace(log, log + ".first")
            print(
                f"{series} {name}: the guest died before its first process, booting it again "
                f"(log: {os.path.relpath(log, TOP)}.first)",
                flush=True,
            )
            lines, status, complaint = boot(argv, work)

        tests = judge(
            lines,
            name,
            status,
            scenario.getboolean("expect_death", False),
            expected_of(series, scenario),
            scenario.getboolean("crash", False),
        )
        tests = without_excuses(tests, series, skips_of(series, scenario))
        if is_race(series):
            own = [is_own for _, is_own in races(lines)]
            print(
                f"{series} {name}: {own.count(False)} data races of the kernel's own, "
                f"{own.count(True)} of the module's",
                flush=True,
            )
        if "host" in scenario:
            tests += look_from_host(
                scenario,
                log,
                disks,
                vmlinux_of(series) if scenario.getboolean("vmlinux", False) else "",
            )
    if complaint.strip() and any(test.verdict == "fail" for test in tests):
        with open(log, "a", encoding="utf-8") as file:
            file.write(complaint)
    report.add(f"{series} {name}", tests, time.monotonic() - started, log, (series, name))
