# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""twostaged while it runs: growing, shrinking, what others change, its files."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

from emulated import COMMAND, Daemon, System
from ktap import Skip, contains, lacks, same, test
from sysroot import BLOCK, DEVICES, GIB, MEMORY, MIB
from test_config import daemon

LIMITS = ("--low=128M", "--target=200M", "--high=456M", "--settle=1", "--hysteresis=1")


@test("a load makes blocks come online, and after it they go offline again")
def load(root):
    system = System(root, used=100 * MIB)
    system.region(32, 8)
    with Daemon(system, *LIMITS) as running:
        system.use(450 * MIB)
        line = running.wait_for("online in zone Movable")
        contains(line, "region0: set ", "less than low= is available", "62M of 512M available (low 128M, target 200M")
        running.until(lambda: system.total() - system.used >= 200 * MIB, "the growth")
        most = len(system.online("region0"))
        same(most <= 3, True, f"{most} blocks")
        system.use(10 * MIB)
        running.wait_for("offline in zone Movable", 15)
        running.until(lambda: system.total() - system.used <= 512 * MIB, "the shrink", 15)
    contains("\n".join(running.lines), "ends; memory stays as it is")


@test("a kernel that is short gets a block in a kernel zone")
def kernel_zone(root):
    system = System(root, used=100 * MIB)
    system.region(32, 16, online=range(32, 44))
    with Daemon(system, *LIMITS, "--kernel-low=64M") as running:
        system.use(900 * MIB, 480 * MIB)
        contains(running.wait_for("online in a kernel zone"), "the kernel's own zones are short")
        running.until(lambda: root.read(f"{MEMORY}/memory44/valid_zones") == "Normal\n", "the online")


@test("blocks that were set online by hand stay, unless manage=all")
def by_hand(root):
    system = System(root, used=50 * MIB)
    system.region(32, 8, online=(32, 33, 34, 35))
    with Daemon(system, *LIMITS) as running:
        time.sleep(3)
        same(system.online("region0"), [32, 33, 34, 35])
        with system.lock:
            system.set_block("region0", 39, True)
        running.wait_for("region0: blocks that were set online by hand: 1")
        time.sleep(2)
        same(system.online("region0"), [32, 33, 34, 35, 39])
    system.stop.clear()
    with Daemon(system, *LIMITS, "--manage=all") as running:
        running.wait_for("offline in zone Movable")
        running.until(lambda: 39 not in system.online("region0"), "the highest block goes offline")


@test("a daemon that was killed is followed by one that manages its blocks")
def killed(root):
    system = System(root, used=450 * MIB)
    system.region(32, 8)
    with Daemon(system, *LIMITS) as running:
        running.wait_for("online in zone Movable")
        running.until(lambda: "blocks=32-" in root.read("run/twostaged/status"), "the list of blocks")
        running.process.send_signal(signal.SIGKILL)
        running.process.wait(5)
    before = system.online("region0")
    same(bool(before), True)
    system.stop.clear()
    system.use(10 * MIB)
    with Daemon(system, *LIMITS) as running:
        running.wait_for("offline in zone Movable")


@test("SIGTERM ends the daemon with status 0 and leaves memory as it is")
def terminated(root):
    system = System(root, used=450 * MIB)
    system.region(32, 8)
    with Daemon(system, *LIMITS) as running:
        running.wait_for("online in zone Movable")
        running.until(lambda: system.total() - system.used >= 200 * MIB, "the growth")
        # The artificial system does what is written to it some time later.
        time.sleep(1)
        before = system.online("region0")
        running.process.send_signal(signal.SIGTERM)
        same(running.process.wait(5), 0)
    same(system.online("region0"), before)


@test("a second daemon refuses to start, and names the first one")
def second(root):
    system = System(root)
    with Daemon(system) as running:
        contains(daemon(root).expect(1).err, f"another twostaged runs already (PID {running.process.pid})")
    with Daemon(system):
        pass


@test("twostage status shows the daemon, its limits, its last action and why nothing happens")
def status(root):
    def facts():
        return json.loads(root.run("status", "--json").expect(0).out)["status"][0]

    system = System(root, used=450 * MIB)
    system.region(32, 2)
    same(facts()["daemon"], None)
    with Daemon(system, *LIMITS, "--max=640M") as running:
        running.wait_for("but max= is reached")
        running.until(lambda: "max=" in (facts()["daemon-now"] or ""), "the status")
        found = facts()
        same(found["daemon"], f"running, PID {running.process.pid}")
        contains(found["daemon-limits"], "max=640M low=128M target=200M")
        contains(found["daemon-last"], "region0: set 1 block (128M) online")
        contains(found["daemon-now"], "max= is reached")
        text = root.run("status").expect(0).out
        contains(text, "Daemon:", "Daemon's limits:", "Daemon's last action:", "Daemon at present:")
    same(facts()["daemon"], "not running")


@test("a region that is removed and added beside the daemon is said once each")
def region_removed(root):
    system = System(root, used=100 * MIB)
    system.region(32, 8)
    with Daemon(system, *LIMITS) as running:
        running.wait_for("region0: found, 0 of 8 blocks")
        with system.lock:
            del system.regions["region0"]
            root.remove(f"{DEVICES}/region0")
        running.wait_for("region0: removed")
        with system.lock:
            system.regions.clear()
            root.regions = 0
            system.region(32, 8)
        running.until(lambda: len([line for line in running.lines if "region0: found" in line]) == 2, "the region")
        system.use(450 * MIB)
        running.wait_for("online in zone Movable")
    same(len([line for line in running.lines if "region0: removed" in line]), 1)


@test("an online that fails is said once, and does not end the daemon")
def failing(root):
    system = System(root, used=450 * MIB)
    system.region(32, 8)
    # Each write to a FIFO without a reader waits or fails, as the attribute of a region in trouble does.
    path = root.at(f"{DEVICES}/region0/online")
    os.unlink(path)
    os.symlink("/dev/full", path)
    with Daemon(system, *LIMITS) as running:
        running.wait_for("No space left on device")
        time.sleep(3)
        same(running.process.poll(), None)
        failures = [line for line in running.lines if "No space left" in line]
        same(len(failures), 1, str(failures))
        os.unlink(path)
        root.write(f"{DEVICES}/region0/online", "")


@test("a budget below what is plugged makes blocks go offline, and the rest is explained")
def budget(root):
    system = System(root, used=300 * MIB)
    system.region(32, 8, budget=8)
    with Daemon(system, *LIMITS) as running:
        system.use(800 * MIB)
        running.until(lambda: len(system.online("region0")) >= 4, "the growth")
        with system.lock:
            system.replace(f"{DEVICES}/region0/budget", f"{BLOCK:#x}\n")
        running.wait_for("region0: the budget is 128 MiB")
        line = running.wait_for("more is plugged than the budget, but the memory is needed")
        contains(line, "available")


@test("online_on_oom is set while the daemon runs, and put back at its end")
def oom_net(root):
    system = System(root)
    system.region(32, 8)
    system.region(40, 8, online_on_oom=True)

    def net():
        return [root.read(f"{DEVICES}/region{number}/online_on_oom").strip() for number in (0, 1)]

    with Daemon(system) as running:
        running.until(lambda: net() == ["1", "1"], "the net")
        running.until(lambda: "net=on for 2 of 2 regions, 0 blocks" in root.read("run/twostaged/status"), "the status")
        contains(root.run("status").expect(0).out, "Daemon's safety net:            on for 2 of 2 regions, 0 blocks came online")
    same(net(), ["0", "1"], "by hand it was set for region1 only")
    system.stop.clear()
    with Daemon(system, "--oom-net=no") as running:
        time.sleep(2)
        same(net(), ["0", "1"])


@test("online_on_oom that a daemon has set which was killed is put back by the next one")
def oom_net_killed(root):
    system = System(root)
    system.region(32, 8)
    attribute = f"{DEVICES}/region0/online_on_oom"
    with Daemon(system) as running:
        running.until(lambda: "net-regions=0\n" in root.read("run/twostaged/status"), "the status")
        running.process.send_signal(signal.SIGKILL)
        running.process.wait(5)
    same(root.read(attribute).strip(), "1")
    system.stop.clear()
    with Daemon(system) as running:
        running.wait_for("region0: found")
        time.sleep(1)
        same(root.read(attribute).strip(), "1")
    same(root.read(attribute).strip(), "0")


@test("online_on_oom is not set while another block would exceed max=, nor for regions that are not used")
def oom_net_max(root):
    system = System(root, used=450 * MIB)
    system.region(32, 2)
    system.region(40, 8)
    attribute = f"{DEVICES}/region0/online_on_oom"
    with Daemon(system, *LIMITS, "--max=640M", "--regions=region0") as running:
        running.wait_for("but max= is reached")
        running.until(lambda: root.read(attribute).strip() == "0", "the end of the net")
        system.use(10 * MIB)
        running.wait_for("offline in zone Movable", 15)
        running.until(lambda: root.read(attribute).strip() == "1", "the net")
        same(root.read(f"{DEVICES}/region1/online_on_oom").strip(), "0")


@test("a region without online_on_oom, as of an older module, is used without a message about it")
def oom_net_missing(root):
    system = System(root, used=450 * MIB)
    system.region(32, 8)
    root.remove(f"{DEVICES}/region0/online_on_oom")
    root.remove(f"{DEVICES}/region0/oom_onlined")
    with Daemon(system, *LIMITS) as running:
        running.wait_for("online in zone Movable")
        time.sleep(1)
        same(running.has("online_on_oom"), False)


@test("online_on_oom that cannot be set is said once")
def oom_net_fails(root):
    system = System(root)
    system.region(32, 8)
    root.replace_by_link(f"{DEVICES}/region0/online_on_oom", "/dev/full")
    with Daemon(system) as running:
        contains(running.wait_for("cannot set online_on_oom"), "region0:", "No space left on device")
        time.sleep(2)
        same(len([line for line in running.lines if "online_on_oom" in line]), 1)


@test("blocks that came online for an OOM are said once, are the daemon's own, and make low= larger")
def oom_net_used(root):
    # So much that the reserve is less than a quarter of it
    system = System(root, boot=64 * GIB, used=100 * MIB)
    system.region(1024, 8)

    def low():
        return size(re.search("^low=(.*)$", root.read("run/twostaged/status"), re.M)[1])

    def size(text):
        return float(text[:-1]) * {"M": MIB, "G": GIB}[text[-1]]

    with Daemon(system, "--settle=1", "--hysteresis=1") as running:
        running.until(lambda: "low=" in root.read("run/twostaged/status"), "the status")
        before = low()
        with system.lock:
            for number, block in enumerate((1024, 1025)):
                system.set_block("region0", block, True)
                system.replace(f"{DEVICES}/region0/oom_onlined", f"{number + 1}\n")
        line = running.wait_for("out of memory: 2 blocks (256M) came online instead of an OOM kill: low= is now ", 15)
        same(size(line.split()[-1]) > before, True, f"{before}: {line}")
        contains(root.run("status").expect(0).out, "2 blocks came online")
        running.wait_for("offline in zone Movable", 15)
        running.until(lambda: not system.online("region0"), "the shrink", 15)
    same(len([line for line in running.lines if "out of memory" in line]), 1)
    same(running.has("by hand"), False)


@test("--dry-run says what it would do, and changes nothing")
def dry_run(root):
    system = System(root, used=450 * MIB)
    system.region(32, 8)
    with Daemon(system, *LIMITS, "--dry-run") as running:
        contains(running.wait_for("would set"), "region0: would set", "online in zone Movable")
        time.sleep(0.5)
        same(system.online("region0"), [])
        same(os.path.exists(root.at("run/twostaged/lock")), False)


@test("the daemon notifies systemd that it is ready, that it lives, what it has done, and that it ends")
def notify(root):
    system = System(root)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        # The path of a socket must be short.
        listener.bind(root.at("n"))
        listener.settimeout(10)
        environment = {"NOTIFY_SOCKET": root.at("n"), "WATCHDOG_USEC": "400000"}
        with Daemon(system, *LIMITS, environment=environment) as running:
            said = [listener.recv(4096).decode()]
            while "WATCHDOG=1" not in said[-1]:
                said.append(listener.recv(4096).decode())
            system.region(32, 8)
            system.use(450 * MIB)
            while "STATUS=region0: set " not in said[-1]:
                said.append(listener.recv(4096).decode())
            running.process.send_signal(signal.SIGTERM)
            while "STOPPING=1" not in said[-1]:
                said.append(listener.recv(4096).decode())
    contains("\n".join(said), "READY=1", "WATCHDOG=1", "STOPPING=1")


@test("nothing is allocated once the daemon runs")
def no_allocation(root):
    library = os.path.join(os.path.dirname(COMMAND), "malloc-watch.so")
    system = System(root, used=100 * MIB)
    system.region(32, 8)
    root.write("etc/twostage/twostaged.conf", "pressure=10\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(root.at("n"))
        # A socket that is full makes its writers wait.
        def read():
            with contextlib.suppress(OSError):
                while listener.recv(4096) != b"STOPPING=1":
                    pass
        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        environment = {"LD_PRELOAD": library, "NOTIFY_SOCKET": root.at("n"), "WATCHDOG_USEC": "400000"}
        with Daemon(system, *LIMITS, environment=environment) as running:
            running.wait_for("malloc-watch: begins")
            system.use(450 * MIB)
            running.wait_for("online in zone Movable")
            running.process.send_signal(signal.SIGHUP)
            running.wait_for("has been read again")
            system.use(10 * MIB)
            running.wait_for("offline in zone Movable", 15)
        reader.join(10)
    lacks("\n".join(running.lines), "malloc-watch: allocation")


@test("twostaged.service is confined: systemd-analyze security finds 2.0 or less")
def confined(_):
    import re
    import shutil
    if not shutil.which("systemd-analyze"):
        raise Skip("systemd is not installed")
    unit = os.path.join(os.path.dirname(os.path.dirname(COMMAND)), "src", "daemon", "twostaged.service")
    result = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", unit],
                            capture_output=True, text=True, check=False)
    match = re.search(r"Overall exposure level for .*: ([\d.]+)", result.stdout)
    if not match:
        raise AssertionError(result.stdout + result.stderr)
    same(float(match[1]) <= 2.0, True, f"exposure level {match[1]}")
