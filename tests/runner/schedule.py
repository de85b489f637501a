# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Runs jobs side by side, the longest first, so that no long one is left alone at the end."""

import json
import os
import sys
import threading
import time


class Job:
    """Something to run.

    run: returns False if it failed, so that the jobs in whose "after" it is are
    dropped; seconds: how long it is expected to take; memory: GiB of the host
    that it uses, if that is a lot
    """

    def __init__(self, name, run, seconds=1, memory=0, after=()):
        self.name = name
        self.run = run
        self.seconds = seconds
        self.memory = memory
        self.after = list(after)


def host_memory():
    """GiB of the host's memory that are available."""
    with open("/proc/meminfo", encoding="ascii") as meminfo:
        for line in meminfo:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / 1024**2
    return 0


def in_order(jobs):
    """The jobs, those first that begin the longest chain of jobs."""
    chain = {}

    def length(job):
        if job not in chain:
            chain[job] = job.seconds + max(
                (length(other) for other in jobs if job in other.after), default=0
            )
        return chain[job]

    return sorted(jobs, key=lambda job: -length(job))


class Schedule:
    """Jobs, of which at most so many run at a time."""

    def __init__(self, jobs, workers, on_interrupt=None, available=host_memory):
        self.waiting = in_order(jobs)
        self.running = []
        self.workers = workers
        self.on_interrupt = on_interrupt
        self.available = available
        self.changed = threading.Condition()
        self.stopped = False
        self.error = None
        self.took = {}  # {name: seconds}, of the jobs that did not fail

    def fits(self, job):
        """Whether the host has the memory for a job beside those that are running.

        They may not use all of theirs yet. A job always fits if no such job is
        running: it checks by itself whether the host has the memory.
        """
        used = sum(other.memory for other in self.running)
        return not job.memory or not used or self.available() - used >= job.memory + 1

    def next(self):
        """The first job that can start now; None if there is none."""
        pending = self.waiting + self.running
        return next(
            (
                job
                for job in self.waiting
                if not any(other in pending for other in job.after) and self.fits(job)
            ),
            None,
        )

    def drop_after(self, failed):
        """Drop the jobs that need one that has failed."""
        for job in [job for job in self.waiting if failed in job.after]:
            if job in self.waiting:
                self.waiting.remove(job)
                self.drop_after(job)

    def run_job(self, job):
        """Run a job; the caller does not hold the lock."""
        started = time.monotonic()
        passed = False
        try:
            passed = job.run() is not False
        except Exception as error:  # pylint: disable=broad-except
            self.error = self.error or error
            self.stopped = True
        with self.changed:
            self.running.remove(job)
            if passed:
                self.took[job.name] = time.monotonic() - started
            else:
                self.drop_after(job)
            self.changed.notify_all()

    def work(self):
        """Run jobs until there are no more; a thread's main function."""
        while True:
            with self.changed:
                job = None
                while self.waiting and not self.stopped:
                    job = self.next()
                    if job:
                        break
                    self.changed.wait()
                if not job:
                    return
                self.waiting.remove(job)
                self.running.append(job)
            self.run_job(job)

    def run(self):
        """Run all jobs.

        After a KeyboardInterrupt no more are started. It is raised again when
        the running ones have ended.
        """
        threads = [threading.Thread(target=self.work, daemon=True) for _ in range(self.workers)]
        for thread in threads:
            thread.start()
        interrupt = None
        while any(thread.is_alive() for thread in threads):
            try:
                for thread in threads:
                    thread.join()
            except KeyboardInterrupt as error:
                print("run: interrupted, waiting for what is running", file=sys.stderr)
                interrupt = error
                self.stop()
                if self.on_interrupt:
                    self.on_interrupt()
        if self.error or interrupt:
            raise self.error or interrupt

    def stop(self):
        """Start no more jobs."""
        with self.changed:
            self.stopped = True
            self.changed.notify_all()


class Durations:
    """How long jobs took when they were last run here, in a file."""

    def __init__(self, path):
        self.path = path
        self.seconds = {}
        try:
            with open(path, encoding="utf-8") as file:
                self.seconds = {
                    str(name): float(seconds) for name, seconds in json.load(file).items()
                }
        except (OSError, ValueError, AttributeError, TypeError):
            # There is none yet, or it was cut off: the defaults are in use.
            pass

    def of(self, name, default):
        """Seconds that a job is expected to take."""
        return self.seconds.get(name, default)

    def update(self, took):
        """Remember how long the jobs took now."""
        self.seconds.update(took)
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            json.dump(
                {name: round(seconds, 1) for name, seconds in sorted(self.seconds.items())},
                file,
                indent=1,
            )
            file.write("\n")
        os.replace(self.path + ".new", self.path)
