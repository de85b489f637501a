# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Tests of schedule.py."""

import functools
import os
import tempfile
import threading
import time
import unittest

from runner.schedule import Durations, Job, Schedule, in_order


class Order(unittest.TestCase):
    """The order in which jobs are started."""

    def setUp(self):
        self.started = []

    def job(self, name, seconds=1, memory=0, after=(), result=None):
        """A job that only notes that it was started."""
        return Job(name, lambda: self.started.append(name) or result, seconds, memory, after)

    def test_longest(self):
        """the longest job is started first, and one that a long job needs before it"""
        build = self.job("build", 5)
        jobs = [
            self.job("short", 3),
            self.job("middle", 20),
            build,
            self.job("long", 30, after=[build]),
        ]
        self.assertEqual([job.name for job in in_order(jobs)], ["build", "long", "middle", "short"])
        Schedule(jobs, 1).run()
        self.assertEqual(self.started, ["build", "long", "middle", "short"])

    def test_failed(self):
        """the jobs that need a failed one are dropped, all others run"""
        build = self.job("build", 5, result=False)
        image = self.job("image", after=[build])
        jobs = [self.job("other"), build, image, self.job("guest", 30, after=[image])]
        schedule = Schedule(jobs, 2)
        schedule.run()
        self.assertEqual(sorted(self.started), ["build", "other"])
        self.assertEqual(list(schedule.took), ["other"])

    def test_memory(self):
        """jobs for which the host's memory does not suffice together run one after the other"""
        lock, running, most = threading.Lock(), set(), []

        def run(name, together):
            with lock:
                running.add(name)
                most.append(len(running))
            if together:
                together.wait(10)
            else:
                time.sleep(0.1)
            with lock:
                running.remove(name)
            return True

        for available, together in (20, None), (40, threading.Barrier(2)):
            most.clear()
            jobs = [Job(name, functools.partial(run, name, together), 1, 13) for name in "ab"]
            schedule = Schedule(jobs, 2, available=functools.partial(int, available))
            schedule.run()
            self.assertEqual(sorted(schedule.took), ["a", "b"])
            self.assertEqual(max(most), 2 if together else 1)

    def test_small_beside_large(self):
        """a small job runs while a large one waits for memory"""
        release = threading.Event()
        large = Job("large", lambda: release.wait(10), 9, 13)
        jobs = [
            large,
            self.job("larger", 8, 13),
            Job("small", lambda: self.started.append("small") or release.set(), 1),
        ]
        Schedule(jobs, 2, available=lambda: 20).run()
        self.assertEqual(self.started, ["small", "larger"])

    def test_error(self):
        """an exception in a job ends the run and is raised again"""

        def fail():
            raise ValueError("x")

        with self.assertRaises(ValueError):
            Schedule([Job("first", fail, 9), self.job("second")], 1).run()
        self.assertEqual(self.started, [])


class Files(unittest.TestCase):
    """The file of durations."""

    def test_durations(self):
        """durations are read back, and a file that cannot be read is as none"""
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "new", "durations.json")
            self.assertEqual(Durations(path).of("a", 7), 7)
            Durations(path).update({"a": 3.14159})
            Durations(path).update({"b": 2})
            self.assertEqual([Durations(path).of(name, 7) for name in "abc"], [3.1, 2, 7])
            with open(path, "w", encoding="utf-8") as file:
                file.write("{")
            self.assertEqual(Durations(path).of("a", 7), 7)
