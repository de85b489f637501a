# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Memory on demand: a job in a guest that has all memory, and in guests that get it and give it back."""

import importlib.machinery
import importlib.util
import os
import re
import subprocess
import tempfile
import time

from bench import plot as gnuplot
from bench import table

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
SORT = os.path.join(TOP, "build", "ondemand-sort")
MIB, GIB = 1 << 20, 1 << 30
MAY_DIE = False

# What a guest has at least and at most
LEAST, MOST = 512 * MIB, 4096 * MIB
# Records of 4 KiB that the job sorts: two files and the memory of the sort, each
# as large as all records; and seconds without a job
RECORDS, PAUSE = 80000, 20
# How often the host looks, and how often its scripts do something, in seconds
SAMPLE, POLL = 0.5, 1
# The limits of the scripts on the host: twice those that the daemon chooses in
# such a guest, because they look less often
LOW, TARGET, HIGH, SETTLE = 256 * MIB, 512 * MIB, 1024 * MIB, 5

WAYS = {"all": "all memory from the boot", "twostaged": "twostaged",
        "virtio-mem": "the kernel's driver, a script on the host", "balloon": "a balloon, a script on the host"}
# Where nothing on the host acts, instructions can be counted, too.
COUNTED = ["all", "twostaged"]
SCENARIOS = [f"bench-ondemand-{way}" for way in WAYS] + [f"bench-ondemand-{way}-icount" for way in COUNTED]


def load_monitor():
    """scripts/monitor as a module, although its name does not end with .py."""
    loader = importlib.machinery.SourceFileLoader("monitor", os.path.join(TOP, "scripts", "monitor"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("monitor", loader))
    loader.exec_module(module)
    return module.monitor


class Host:
    """The host's part: it samples a guest, and with two of the ways gives it memory and takes it back."""

    def __init__(self, way, monitor, pid):
        self.way, self.monitor, self.pid = way, monitor, pid
        self.ask = load_monitor()
        self.polled = 0
        self.surplus = None

    def command(self, text):
        """A command for QEMU's monitor; "" if it does not answer now."""
        try:
            return self.ask(self.monitor, text)
        except OSError:
            return ""

    def start(self):
        """Have the balloon's driver report, and the balloon take all but the least."""
        self.command("qom-set balloon0 guest-stats-polling-interval 1")
        if self.way == "balloon":
            self.command(f"balloon {LEAST // MIB}")

    def number(self, pattern, text):
        match = re.search(pattern, text)
        return int(match[1]) if match else None

    def available(self):
        """What the guest has reported last; None if it has not yet."""
        value = self.number(r'"stat-available-memory": (\d+)', self.command("qom-get balloon0 guest-stats"))
        return None if value is None or value >> 63 else value

    def size(self):
        """What the guest may use now."""
        if self.way == "all":
            return MOST
        if self.way == "balloon":
            size = self.number(r"actual=(\d+)", self.command("info balloon"))
            return MOST if size is None else size * MIB
        return LEAST + (self.number(r"^(\d+)", self.command("qom-get vm0 size")) or 0)

    def resident(self):
        """Of the guest's memory, what the host has in use: the shared memory of QEMU."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return self.number(r"RssShmem:\s*(\d+) kB", file.read()) * 1024

    def cpu(self):
        """CPU time of QEMU in seconds."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def poll(self, now, size, available):
        """What a script on the host does once a second: follow what the guest reports."""
        if self.way not in ("virtio-mem", "balloon") or available is None or now - self.polled < POLL:
            return
        self.polled = now
        if available < LOW:
            wanted = size + TARGET - available
        elif available > HIGH:
            self.surplus = self.surplus or now
            if now - self.surplus < SETTLE:
                return
            wanted = size - (available - TARGET)
        else:
            self.surplus = None
            return
        if available < LOW:
            self.surplus = None
        # Whole memory blocks, and within the limits
        wanted = min(max(-(-wanted // (128 * MIB)) * 128 * MIB, LEAST), MOST)
        self.command(f"balloon {wanted // MIB}" if self.way == "balloon" else f"qom-set vm0 requested-size {wanted - LEAST}")


def arguments(way):
    """QEMU's, and the memory for scripts/vm."""
    boot = MOST if way in ("all", "balloon") else LEAST
    qemu = (f"-object memory-backend-memfd,id=ram,size={boot},share=on -machine memory-backend=ram "
            "-device virtio-balloon-pci,id=balloon0")
    memory = f"{boot // MIB}M"
    if boot < MOST:
        requested = MOST - LEAST if way == "twostaged" else 0
        qemu += (f" -object memory-backend-memfd,id=vmem,size={MOST - LEAST},share=on,reserve=off"
                 f" -device virtio-mem-pci,id=vm0,memdev=vmem,requested-size={requested}")
        memory += ",maxmem=16G"
    return ["--memory", memory, "--qemu", qemu]


def vm(series, way, path, pause, more):
    """The command that boots a guest, whose log is at path."""
    return [os.path.join(TOP, "scripts", "vm"), "--kernel", series, "--timeout", "1200", "--log", path,
            "--file", os.path.join(HERE, "ondemand-job"), "--file", SORT, *arguments(way), *more, "--",
            f"sh /twostage/ondemand-job {way} {RECORDS} {pause}"]


def count(series, way, path):
    """Boot a guest whose clock counts instructions."""
    return subprocess.run(vm(series, way, path, 3, ["--icount"]), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          check=False).returncode == 0


def measure_way(series, way, path):
    """Boot a guest and sample it; its log is at path, with a line for each sample after the guest's lines."""
    samples = []
    with tempfile.TemporaryDirectory() as directory:
        monitor, pidfile = os.path.join(directory, "monitor"), os.path.join(directory, "pid")
        argv = vm(series, way, path, PAUSE, ["--monitor", monitor, "--pidfile", pidfile])
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as guest:
            host = None
            while guest.poll() is None:
                if not host and os.path.exists(pidfile) and os.path.exists(monitor):
                    with open(pidfile, encoding="ascii") as file:
                        host = Host(way, monitor, file.read().strip())
                    # The guest sleeps for some seconds after its driver is there.
                    time.sleep(8)
                    host.start()
                if host:
                    samples += sample(host, path)
                time.sleep(SAMPLE)
    with open(path, "a", encoding="utf-8") as file:
        file.writelines(f"# host {line}\n" for line in samples)
    return guest.returncode == 0


def sample(host, path):
    """One sample, as a list of one line; or none, if QEMU has just ended."""
    now = time.monotonic()
    try:
        available, size = host.available(), host.size()
        host.poll(now, size, available)
        with open(path, encoding="utf-8", errors="replace") as file:
            phases = re.findall(r"# (begin|end|job \d (?:begin|done|failed))", file.read())
        phase = phases[-1].replace(" ", "-") if phases else "boot"
        return [f"{phase} seconds={now:.2f} size={size} resident={host.resident()} available={available or 0} cpu={host.cpu()}"]
    except (OSError, TypeError):
        return []


def measure(series):
    """Run the guests, one after the other; True if they passed."""
    for argv in ([os.path.join(TOP, "scripts", "build-modules"), series], ["make", "-C", TOP, "cli", "daemon"],
                 ["cc", "-O2", "-static", "-o", SORT, os.path.join(HERE, "ondemand_sort.c")]):
        if subprocess.run(argv, stdout=subprocess.DEVNULL, check=False).returncode:
            return False
    directory = os.path.join(TOP, "build", "logs", series)
    os.makedirs(directory, exist_ok=True)
    done = [measure_way(series, way, os.path.join(directory, f"bench-ondemand-{way}.log")) for way in WAYS]
    done += [count(series, way, os.path.join(directory, f"bench-ondemand-{way}-icount.log")) for way in COUNTED]
    return all(done)


def collect_way(log):
    """What one guest has done and used."""
    rows = [(words[0], {name: float(value) for name, value in values.items()}) for words, values in log.measured("host")]
    rows = [(phase, row) for phase, row in rows if phase not in ("boot", "end")]
    result = {"jobs": [], "failed": 0, "size": 0, "resident": 0, "kills": 0, "samples": []}
    for line in log.lines:
        if match := re.match(r"# job \d (done|failed) ([\d.]+)", line):
            result["failed"] += match[1] == "failed"
            result["jobs"].append(float(match[2]))
        result["kills"] += "Killed process" in line
        if match := re.match(r"# oom_onlined (\d+)", line):
            result["oom_onlined"] = int(match[1])
    for (_, row), (_, following) in zip(rows, rows[1:]):
        seconds = following["seconds"] - row["seconds"]
        for name in ("size", "resident"):
            result[name] += row[name] * seconds / GIB
    busy = [row for phase, row in rows if re.match(r"job-\d-begin", phase)]
    result["cpu"] = 0
    for before, after in zip(busy, busy[1:]):
        if after["seconds"] - before["seconds"] < PAUSE / 2:
            result["cpu"] += after["cpu"] - before["cpu"]
    if rows:
        first = rows[0][1]["seconds"]
        result["seconds"] = rows[-1][1]["seconds"] - first
        result["samples"] = [[round(row["seconds"] - first, 2)] +
                             [round(row[name] / GIB, 3) for name in ("size", "resident", "available")] for _, row in rows]
    return result


def collect(logs):
    """{way: what collect_way() has found}, with "counted": the billions of instructions of each job"""
    data = {way: collect_way(logs[f"bench-ondemand-{way}"]) for way in WAYS}
    for way in COUNTED:
        data[way]["counted"] = collect_way(logs[f"bench-ondemand-{way}-icount"])["jobs"]
    return data


def print_tables(data):
    """Print time and memory, beside the guest that has all memory."""
    rows = [["", "instructions (10^9)", "ratio", "job (s)", "ratio", "CPU of QEMU (s)", "ratio", "plugged (GiB s)", "ratio", "resident (GiB s)", "ratio",
             "jobs that failed", "OOM kills"]]
    reference = data["all"]
    for way, cells in data.items():
        counted = cells.get("counted")
        row = [WAYS[way]]
        row += [", ".join(f"{count:.2f}" for count in counted),
                f"{sum(counted) / sum(reference['counted']):.3f}"] if counted else ["", ""]
        row += [", ".join(f"{seconds:.1f}" for seconds in cells["jobs"]),
               f"{sum(cells['jobs']) / sum(reference['jobs']):.2f}"]
        for name in ("cpu", "size", "resident"):
            row += [f"{cells[name]:.0f}", f"{cells[name] / reference[name]:.2f}"]
        rows.append(row + [str(cells["failed"]), str(cells["kills"])])
    table.show("A job that comes two times, and the host's memory", rows)
    if "oom_onlined" in data["twostaged"]:
        print(f"\nBlocks that came online for an OOM beside twostaged: {data['twostaged']['oom_onlined']}")


def plot(data, directory):
    """Draw the memory of the guests and of the host over time."""
    blocks = {f"way{number}": data[way]["samples"] for number, way in enumerate(WAYS)}
    panels = "".join(f"""
set title "{WAYS[way]}"
plot $way{number} using 1:2 with lines title "the guest has", $way{number} using 1:3 with lines title "the host has in use", \\
     $way{number} using 1:($2-$4) with lines title "the guest has in use"
""" for number, way in enumerate(WAYS))
    gnuplot.draw(directory, "ondemand", f"""
set multiplot layout 2,2
set xlabel "seconds"
set ylabel "GiB"
set yrange [0:{MOST / GIB + 0.5}]
set key top right samplen 1
{panels}
unset multiplot
""", blocks, size=(1000, 700))

