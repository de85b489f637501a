# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""twostaged(8), its completion and the unit say what the code says."""

import os
import re
import shutil
import subprocess

from emulated import COMMAND, TOP
from ktap import Skip, same, test
from sysroot import Result
from test_config import daemon

PAGE = os.path.join(TOP, "src", "daemon", "twostaged.8")
COMPLETION = os.path.join(TOP, "src", "daemon", "twostaged.bash")


def help_text(root):
    return daemon(root, "--help").expect(0).out


def keys(root):
    """The keys in the help, with their defaults."""
    return dict(re.findall(r"^      --([a-z-]+) [A-Za-z|]+ .*\(default: (.*)\)$", help_text(root), re.M))


def rendered():
    if not shutil.which("groff"):
        raise Skip("groff is not installed")
    result = subprocess.run(["groff", "-man", "-Tascii", "-P-cbou", "-rHY=0", PAGE], capture_output=True, text=True,
                            check=True)
    return result.stdout


def section(page, heading):
    return re.search(rf"^{heading}$(.*?)(?=^[A-Z]|\Z)", page, re.M | re.S)[1]


@test("twostaged.8 renders without a warning")
def man_page(_):
    if not shutil.which("groff"):
        raise Skip("groff is not installed")
    result = subprocess.run(["groff", "-man", "-ww", "-Tutf8", "-z", PAGE], capture_output=True, text=True, check=False)
    same(result.stderr, "")


@test("twostaged.8 has every key with its default, and no other")
def man_page_keys(root):
    text = section(rendered(), "CONFIGURATION")
    documented = {}
    for entry in re.split(r"\n(?=       [a-z-]+(?: |\n))", text):
        name = re.match(r"       ([a-z-]+)\s", entry)
        default = re.search(r"Default:\s+([^,.\s]+)", entry)
        if name and default:
            documented[name[1]] = default[1]
    same(documented, keys(root))


@test("twostaged.8 has every option that is no key, and no other")
def man_page_options(root):
    text = section(rendered(), "OPTIONS")
    documented = sorted(re.findall(r"^       (?:-\w, )?--([a-z-]+)", text, re.M))
    options = re.findall(r"^  (?:-\w,|   ) --([a-z-]+)", help_text(root), re.M)
    same(documented, sorted(name for name in options if name not in keys(root)))


@test("twostaged.8 has the exit statuses and the signals")
def man_page_rest(_):
    page = rendered()
    same(re.findall(r"^       (\d)", section(page, "EXIT STATUS"), re.M), ["0", "1", "2"])
    same(re.findall(r"^       (SIG\w+)", section(page, "SIGNALS"), re.M), ["SIGHUP", "SIGTERM"])


def complete(root, *words):
    split = [part for word in words for part in re.split(r"(=)", word) if part or word == ""]
    script = "\n".join([
        f". {COMPLETION}",
        'COMP_WORDS=("$@")', "COMP_CWORD=$(($# - 1))",
        '_twostaged "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"',
        'printf "%s\\n" "${COMPREPLY[@]}"',
    ])
    result = subprocess.run(["bash", "--norc", "-c", script, "bash", COMMAND, *split], stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, check=False, env=root.environment())
    Result(result.returncode, result.stdout, result.stderr).expect(0)
    same(result.stderr, "")
    return [word for word in result.stdout.splitlines() if word]


@test("completion offers every option of twostaged, and the values of those that have a few")
def completion(root):
    options = re.findall(r"^  (?:-\w,|   ) (--[a-z-]+)", help_text(root), re.M)
    same(sorted(complete(root, "--")), sorted(options))
    same(complete(root, "--budget", ""), ["strict", "gentle"])
    same(complete(root, "--manage", "a"), ["all"])


@test("the defaults in docs and unit are those of the code: the paths exist")
def unit(_):
    with open(os.path.join(TOP, "src", "daemon", "twostaged.service"), encoding="utf-8") as file:
        text = file.read()
    for line in ("Type=notify", "WatchdogSec=", "OOMScoreAdjust=-1000", "ReadWritePaths=/sys/devices"):
        same(line in text, True, line)
