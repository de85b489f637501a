# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""Boots Debian systems in which twostage is installed by its packages (--system)."""

import concurrent.futures
import os
import select
import shutil
import subprocess
import time

from runner import BUILD, SCRIPTS
from runner.judge import TIMED_OUT, judge
from runner.step import run_step


def converse(argv, answers, timeout):
    """Run a guest and answer prompts on its console: its log and the exit status.

    The status is 124 if the guest is killed after timeout seconds.
    answers: pairs of a prompt and its answer, in the order in which the guest
    prints the prompts
    """
    answers = list(answers)
    deadline = time.monotonic() + timeout
    said, answered = b"", 0
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as guest:
        while True:
            if time.monotonic() > deadline:
                guest.kill()
                break
            if not select.select([guest.stdout], [], [], 1)[0]:
                continue
            read = os.read(guest.stdout.fileno(), 65536)
            if not read:
                break
            said += read
            place = said.find(answers[0][0], answered) if answers else -1
            if place >= 0:
                answered = place + len(answers[0][0])
                # The menu takes no key before it is drawn.
                time.sleep(2)
                guest.stdin.write(answers.pop(0)[1])
                guest.stdin.flush()
        status = TIMED_OUT if guest.wait() < 0 else guest.returncode
    return said.decode(errors="replace").splitlines(), status


def boot_system(report, suite, directory, release, test, qemu, answers=()):
    """Boot a system that scripts/system made, which runs tests in itself.

    test: the name of the tests; qemu: arguments for QEMU that differ between
    tests
    """
    name = f"{release} {test}"
    log = os.path.join(directory, f"{release}-{test}.log")
    started = time.monotonic()
    # Tracers patch code that other processors run. With a thread for each
    # processor, QEMU's emulation cannot do that.
    argv = [
        "qemu-system-x86_64",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-accel",
        "tcg,thread=single",
        "-cpu",
        "max",
        "-smp",
        "2",
        # 2 GiB below 4 GiB, and the range above that the command line reserves
        "-m",
        "4G",
        "-serial",
        "stdio",
        "-drive",
        f"file={directory}/disk.img,if=virtio,format=raw,snapshot=on",
    ] + qemu
    lines, status = converse(argv, answers, 1800)
    with open(log, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    report.add(
        f"{suite} with {name}",
        judge(lines, f"{suite} {name}", status),
        time.monotonic() - started,
        log,
    )


def command_line(test, more=""):
    """The kernel command line of a system."""
    # Under emulation a tracer may take half a minute to patch all functions of
    # the kernel.
    timeouts = "rcupdate.rcu_cpu_stall_timeout=200 watchdog_thresh=60"
    return (
        "root=/dev/vda rw console=ttyS0 printk.devkmsg=on loglevel=8 systemd.show_status=false "
        f"panic=-1 memmap=2G$4G memory_hotplug.online_policy=auto-movable {timeouts} "
        f"twostage-test={test} {more}"
    )


def test_tools(report, suite, directory, release):
    """Test the system with the tools that people use."""
    boot_system(
        report,
        suite,
        directory,
        release,
        "tools",
        [
            # The other type, pc, has a disk controller that cannot reach memory
            # above 4 GiB without bounce buffers: the region would be refused.
            "-machine",
            "q35",
            "-no-reboot",
            "-kernel",
            os.path.join(directory, f"vmlinuz-{release}"),
            "-initrd",
            os.path.join(directory, f"initrd.img-{release}"),
            "-append",
            command_line("tools"),
        ],
    )


FIRMWARE = "/usr/share/OVMF"
DOWN, ENTER = b"\x1b[B", b"\r"
# Prompts of MokManager and the answers that enrol the key which mokutil asked
# for; the password is that of tests/system/guest
ENROL = [
    (b"Press any key to perform MOK management", ENTER),
    (b"Enroll MOK", DOWN + ENTER),
    (b"View key 0", DOWN + ENTER),
    (b"Enroll the key", DOWN + ENTER),
    (b"Password:", b"twostage" + ENTER),
    (b"Reboot", ENTER),
]


def test_secure_boot(report, suite, directory, release):
    """Boot with Secure Boot, by shim and GRUB: before DKMS's key is enrolled, and after it."""
    variables = os.path.join(directory, "variables.fd")
    shutil.copyfile(os.path.join(FIRMWARE, "OVMF_VARS_4M.ms.fd"), variables)
    # MokManager ends with a reboot.
    for test, reboot, answers in ("refused", ["-no-reboot"], []), ("enrolled", [], ENROL):
        efi = os.path.join(directory, f"efi-{test}")
        shutil.rmtree(efi, ignore_errors=True)
        shutil.copytree(os.path.join(directory, "efi"), efi)
        for name in "vmlinuz", "initrd.img":
            os.link(os.path.join(directory, f"{name}-{release}"), os.path.join(efi, name))
        os.makedirs(os.path.join(efi, "EFI", "debian"))
        with open(os.path.join(efi, "EFI", "debian", "grub.cfg"), "w", encoding="ascii") as config:
            words = " ".join(
                f"'{word}'" for word in command_line(test, "module.sig_enforce=1").split()
            )
            config.write(f"linux /vmlinuz {words}\ninitrd /initrd.img\nboot\n")
        boot_system(
            report,
            suite,
            directory,
            release,
            test,
            [
                "-machine",
                "q35,smm=on",
                "-global",
                "driver=cfi.pflash01,property=secure,value=on",
                "-drive",
                f"if=pflash,unit=0,format=raw,readonly=on,file={FIRMWARE}/OVMF_CODE_4M.ms.fd",
                "-drive",
                f"if=pflash,unit=1,format=raw,file={variables}",
                "-drive",
                f"file=fat:{efi},if=virtio,format=raw,readonly=on",
            ]
            + reboot,
            answers,
        )


def test_system(report, suite):
    """Test a whole Debian system, in which twostage's packages are installed."""
    directory = os.path.join(BUILD, "system", suite)
    packages = os.path.join(SCRIPTS, "deb")
    newer = ["--version", "9999", os.path.join(BUILD, "deb", "newer")]
    if not (
        run_step(report, "packages", [packages], "deb.log")
        and run_step(report, "packages of a newer version", [packages] + newer, "deb-newer.log")
    ):
        return
    run_step(
        report,
        f"{suite}: installed",
        [os.path.join(SCRIPTS, "system"), suite, directory],
        f"system-{suite}.log",
        ktap=True,
    )
    kernels = sorted(
        name.removeprefix("vmlinuz-")
        for name in os.listdir(directory)
        if name.startswith("vmlinuz-")
    )
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        futures = [
            pool.submit(test_tools, report, suite, directory, release) for release in kernels
        ]
        if suite == "bookworm":
            futures += [pool.submit(test_secure_boot, report, suite, directory, kernels[0])]
        for future in futures:
            future.result()
