# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""The jobs of a run: the runner's own tests, tests on the host, builds, guests."""

import functools
import os
import sys

from runner import SCRIPTS, TOP
from runner.architecture import architecture_of
from runner.guest import run_scenario
from runner.scenario import release_of, setting
from runner.schedule import Job
from runner.step import run_step


def build_modules(report, series, strict):
    """Build the modules for a kernel."""
    title = f"build: {series}" + (" with W=1 and sparse" if strict else "")
    argv = [os.path.join(SCRIPTS, "build-modules")] + (["--strict"] if strict else []) + [series]
    built = run_step(report, title, argv, f"build-{series}.log", (series, "build"))
    report.table.releases[series] = release_of(series)
    return built


def host_jobs(report, args, kernels, seconds):
    """The jobs on the host but for the builds of the modules. The first one is what guests need."""

    def step(title, argv, log, **options):
        return functools.partial(run_step, report, title, argv, log, **options)

    tests = os.path.join(TOP, "tests")
    build = Job(
        "build",
        step(
            "build: command, daemon and harness",
            ["make", "-s", "cli", "daemon", "harness", "daemon-tests"],
            "build.log",
        ),
        seconds("build", 12),
    )
    jobs = [build]
    if args.self_test:
        # A process of its own: the tests replace functions that are in use here.
        argv = [sys.executable, os.path.join(tests, "runner")]
        jobs.append(
            Job("self-test", step("runner", argv, "runner.log", ktap=True), seconds("self-test", 3))
        )
    if args.lint:
        jobs.append(
            Job(
                "lint",
                step("lint", [os.path.join(SCRIPTS, "lint"), "--quick"], "lint.log"),
                seconds("lint", 4),
            )
        )
    if args.cli:
        jobs.append(
            Job(
                "command",
                step("command", [os.path.join(tests, "cli", "run")], "cli.log", ktap=True),
                seconds("command", 20),
                after=[build],
            )
        )
        jobs.append(
            Job(
                "daemon",
                step("daemon", [os.path.join(tests, "daemon", "run")], "daemon.log", ktap=True),
                seconds("daemon", 30),
                after=[build],
            )
        )
    if args.unit:
        argv = ["make", "-s", "-C", os.path.join(tests, "unit")]
        jobs.append(Job("unit", step("unit", argv, "unit.log", ktap=True), seconds("unit", 3)))
    if args.packaging:
        jobs.append(
            Job(
                "packaging",
                step("packaging", [os.path.join(tests, "packaging")], "packaging.log", ktap=True),
                seconds("packaging", 40),
                after=[build],
            )
        )
    if args.build and "6.12" in kernels:
        jobs.append(
            Job(
                "lacking",
                step(
                    "build: for kernels that lack something",
                    [os.path.join(tests, "lacking"), "6.12"],
                    "build-lacking.log",
                    ktap=True,
                ),
                seconds("lacking", 5),
            )
        )
    return jobs


def cross_job(report, architecture, seconds):
    """The job that builds command and harness for another architecture."""
    argv = [os.path.join(SCRIPTS, "cross"), architecture, "make", "-s", "cli", "harness"]
    argv.append(f"BUILD=../../build/{architecture}")
    name = f"build {architecture}"
    title = f"build: command and harness for {architecture}"
    return Job(
        name,
        functools.partial(run_step, report, title, argv, f"build-{architecture}.log"),
        seconds(name, 30),
    )


def guest_jobs(report, args, kernels, chosen, build, seconds):
    """For each kernel, the build of the modules and the scenarios, which need it and build."""
    programs = {"amd64": build}
    for architecture in sorted(set(map(architecture_of, kernels)) - {"amd64"}):
        programs[architecture] = cross_job(report, architecture, seconds)
    jobs = list(programs.values())[1:]
    for series in kernels:
        name = f"build {series}"
        modules = Job(
            name,
            functools.partial(build_modules, report, series, args.build),
            seconds(name, 35),
        )
        jobs.append(modules)
        for scenario in chosen:
            long = setting(series, scenario, "long", "no") == "yes"
            if long and not args.only and series not in args.long:
                continue
            if scenario.get("arm64_only") and not args.only and architecture_of(series) != "arm64":
                continue
            if series in args.essential and not scenario.getboolean("essential", False):
                continue
            if args.once and series in args.kernel[:-1] and scenario.getboolean("once", False):
                continue
            name, memory = f"{series} {scenario.name}", scenario.getint("host_memory", 0)
            jobs.append(
                Job(
                    name,
                    functools.partial(run_scenario, report, series, scenario),
                    seconds(name, scenario.getint("weight", 20)),
                    memory,
                    [programs[architecture_of(series)], modules],
                )
            )
    return jobs
