# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""The man pages, docs/ and the completion: they say what the code and --help say, and links lead somewhere."""

import glob
import os
import re
import shutil
import subprocess

from ktap import Skip, same, test, test_each
from test_usage import COMMANDS

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = os.path.join(TOP, "src", "cli", "twostage.8")
MODULE_PAGE = os.path.join(TOP, "src", "cli", "twostage.4")
ABI = os.path.join(TOP, "docs", "abi.md")
COMPLETION = os.path.join(TOP, "src", "cli", "twostage.bash")
BASH_COMPLETION = "/usr/share/bash-completion/bash_completion"


def options_of(root, command):
    """The options in a command's help, as lists of their names."""
    text = root.run(*([command] if command else []), "--help").expect(0).out
    return [re.findall(r"-{1,2}[a-zA-Z][a-z-]*", line[:line.find("  ", 8)] if "  " in line[8:] else line)
            for line in text.splitlines() if re.match(r"  (-|    --)", line)]


def rendered(page=PAGE):
    """A man page as text, without what makes it bold."""
    if not shutil.which("groff"):
        raise Skip("groff is not installed")
    result = subprocess.run(["groff", "-man", "-Tascii", "-P-cbou", "-rHY=0", page],
                            capture_output=True, text=True, check=True)
    return result.stdout


@test_each("twostage.{} renders without a warning", ["4", "8"])
def man_page(_, section):
    page = os.path.join(TOP, "src", "cli", f"twostage.{section}")
    checkers = [argv for argv in (["groff", "-man", "-ww", "-Tutf8", "-z", page],
                                  ["man", "--warnings", "--local-file", page]) if shutil.which(argv[0])]
    if not checkers:
        raise Skip("neither groff nor man is installed")
    for argv in checkers:
        result = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
                                env={**os.environ, "LC_ALL": "C.UTF-8", "MANROFFOPT": "-ww"})
        same((result.returncode, result.stderr), (0, ""), argv[0])


def sections():
    """Text of each section, by heading; of each subsection, by first word."""
    found, heading = {}, None
    for line in rendered().splitlines():
        match = re.match(r"(?:   )?([A-Za-z]+)", line)
        if match:
            heading = match[1] if line[0] == " " else line
            found[heading] = ""
        if heading:
            found[heading] += line + "\n"
    return found


@test_each("the man page documents every option of {}", ["twostage"] + COMMANDS)
def man_page_options(root, command):
    page = sections()
    text = page["OTHER OPTIONS"] + page.get(command, "")
    if command in ("discover", "list", "blocks", "status"):
        text += page["OUTPUT OPTIONS"]
    if command == "online":
        # Options of both online and offline are listed below offline.
        text += page["offline"]
    words = set(re.findall(r"(?<![\w-])-{1,2}[a-zA-Z][a-z-]*", text))
    options = options_of(root, "" if command == "twostage" else command)
    missing = [name for names in options for name in names if name not in words]
    if not options or missing:
        raise AssertionError(f"not in the man page: {missing} of {options}")


@test("the man page documents every command")
def man_page_commands(_):
    page = rendered()
    for command in COMMANDS:
        if not re.search(rf"^ +twostage {command}\b", page, re.M) or \
           not re.search(rf"^ +{command}\b", page, re.M):
            raise AssertionError(f"{command} is not in the man page")


def source(*path):
    """A file of the module's sources."""
    with open(os.path.join(TOP, "src", *path), encoding="utf-8") as file:
        return file.read()


# Where attributes are defined, and their directories as docs/abi.md names them
DIRECTORIES = {
    "BUS_ATTR": "/sys/bus/twostage/",
    "sysfs.c": "/sys/bus/twostage/devices/regionN/",
    "sysfs_block.c": "/sys/devices/system/memory/memoryX/twostage/",
    "providers/virtio_mem.c": "/sys/bus/virtio/devices/virtioN/twostage/",
}
MODES = {"RO": "(RO)", "WO": "(WO)", "RW": "(RW)"}


def attributes():
    """All attributes in sysfs: {path: mode as docs/abi.md has it}."""
    found = {}
    for name in ("sysfs.c", "sysfs_block.c", "providers/virtio_mem.c"):
        text = source(name)
        for kind, mode, attribute in re.findall(r"^static (DEVICE|BUS)_ATTR_(RO|WO|RW)\((\w+)\);", text, re.M):
            found[DIRECTORIES["BUS_ATTR" if kind == "BUS" else name] + attribute] = MODES[mode]
        for kind, attribute, mode in re.findall(r"^static struct (bus|device)_attribute .* = __ATTR\((\w+), (\d+),",
                                                text, re.M):
            found[DIRECTORIES["BUS_ATTR" if kind == "bus" else name] + attribute] = f"({mode})"
        for mode, attribute in re.findall(r"^static binary_attribute .* = __BIN_ATTR_(RO)\((\w+),", text, re.M):
            found[DIRECTORIES[name] + attribute] = MODES[mode]
        registered = len(re.findall(r"^\t&(?:(?:dev|bus)_attr_\w+\.attr|bin_attr_\w+),$", text, re.M))
        same(len([path for path in found if path.startswith(DIRECTORIES[name]) or
                  (name == "sysfs.c" and path.startswith(DIRECTORIES["BUS_ATTR"]))]), registered, name)
    return found


def parameters():
    """The parameters of both modules."""
    return [parameter for name in ("main.c", "providers/virtio_mem.c")
            for parameter in re.findall(r"^module_param(?:_cb|_named)?\((\w+),", source(name), re.M)]


def tracepoints():
    """The names of all tracepoints."""
    return re.findall(r"^DEFINE_(?:STEP|EVENT)\((?:twostage_range, )?(\w+)[,)]", source("trace.h"), re.M)


def abi():
    """docs/abi.md, and its entries: {what: description}."""
    with open(ABI, encoding="utf-8") as file:
        text = file.read()
    return text, dict(re.findall(r"^What:\t+(\S+)$.*?^Description:\t(.*?)^```$", text, re.M | re.S))


def module_page_entries():
    """What twostage.4 has an entry for: {heading: names}."""
    entries, heading = {}, None
    for line in rendered(MODULE_PAGE).splitlines():
        match = re.match(r"(?:   )?([A-Z/]\S*)", line)
        entry = re.match(r" {7}(\w+(?:, \w+)*)", line)
        if match:
            heading = match[1]
            entries[heading] = set()
        elif heading and entry:
            # Several names may share an entry. Paragraphs look the same: their first word is no name.
            entries[heading] |= set(entry[1].split(", "))
    return entries


@test("docs/abi.md has every attribute, with its mode, and no other")
def abi_attributes(_):
    _, entries = abi()
    documented = {what: description.split()[0] for what, description in entries.items() if what.startswith("/sys/")}
    same({what: mode for what, mode in documented.items() if "/debug/" not in what}, attributes())


@test("docs/abi.md has every parameter and every tracepoint, and no other")
def abi_parameters(_):
    text, entries = abi()
    same(sorted(what.split("=")[0] for what in entries if "=" in what), sorted(parameters()))
    table = text[text.index("| event | step |"):text.index("Fields:")]
    same(sorted(re.findall(r"`(\w+)`", table)), sorted(tracepoints()))


@test("twostage.4 has every attribute, parameter and tracepoint")
def module_page_attributes(_):
    entries = module_page_entries()
    missing = [path for path in attributes()
               if path.rsplit("/", 1)[1] not in entries.get(path.rsplit("/", 1)[0] + "/", ())]
    missing += [name for name in parameters() if name not in entries["PARAMETERS"]]
    missing += [name for name in tracepoints() if name not in entries["TRACEPOINTS"]]
    same(missing, [])


@test("docs/abi.md and twostage.4 have the same errors")
def module_page_errors(_):
    text, _ = abi()
    table = text[text.index("| error | meaning |"):]
    same(sorted(re.findall(r"^\| `(E\w+)` \|", table, re.M)),
         sorted(name for name in module_page_entries()["ERRORS"] if re.match(r"E[A-Z]+$", name)))


def headings(path):
    """The anchors of a Markdown file's headings."""
    with open(path, encoding="utf-8") as file:
        text = re.sub(r"^```.*?^```$", "", file.read(), flags=re.M | re.S)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)$", text, re.M)}


@test("links in README.md and docs/ lead to files and headings that exist")
def links(_):
    pages = glob.glob(os.path.join(TOP, "*.md")) + glob.glob(os.path.join(TOP, "docs", "*.md"))
    count, wrong = 0, []
    for page in pages:
        with open(page, encoding="utf-8") as file:
            found = re.findall(r"\]\(([^)\s]+)\)", file.read())
        for link in found:
            name, _, anchor = link.partition("#")
            target = os.path.join(os.path.dirname(page), name) if name else page
            count += 1
            if not os.path.exists(target) or (anchor and anchor not in headings(target)):
                wrong.append(f"{os.path.relpath(page, TOP)}: {link}")
    same(wrong, [])
    same(count > 50, True, "the number of links")


def complete(root, words, package=True):
    """The completions of the last word."""
    if package and not os.path.exists(BASH_COMPLETION):
        raise Skip("bash-completion is not installed")
    # bash splits --option=value into three words.
    split = [part for word in words for part in re.split(r"(=)", word) if part or word == ""]
    if words[-1].endswith("="):
        split.append("")
    script = "\n".join([
        f". {BASH_COMPLETION}" if package else ":",
        f". {COMPLETION}",
        'COMP_WORDS=("$@")',
        "COMP_CWORD=$(($# - 1))",
        'COMP_LINE=$LINE',
        "COMP_POINT=${#COMP_LINE}",
        '_twostage "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"',
        'printf "%s\\n" "${COMPREPLY[@]}"',
    ])
    # The command is run by its path; words[0] is a placeholder.
    result = subprocess.run(["bash", "--norc", "-c", script, "bash", root.command, *split[1:]],
                            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                            cwd=root.path,
                            env=root.environment(LINE=" ".join([root.command, *words[1:]])))
    if result.stderr:
        raise AssertionError(result.stderr)
    return [word for word in result.stdout.splitlines() if word]


def completion(name):
    """Make two tests, with and without the package bash-completion."""
    def register(function):
        test(f"completion offers {name}")(lambda root: function(lambda *words: complete(root, words), root))
        test(f"completion without bash-completion offers {name}")(
            lambda root: function(lambda *words: complete(root, words, False), root))
        return function
    return register


@completion("all commands")
def complete_commands(offered, _):
    same([word for word in offered("twostage", "") if word[0] != "-"], COMMANDS)
    same(offered("twostage", "o"), ["online", "offline"])
    same(offered("twostage", "--v"), ["--version"])
    same(offered("twostage", "help", "bl"), ["blocks"])


@completion("all options of each command")
def complete_options(offered, root):
    for command in COMMANDS:
        names = [name for names in options_of(root, command) for name in names]
        same(sorted(offered("twostage", command, "-")), sorted(names), command)
    same(offered("twostage", "offline", "--zo"), [])
    same(offered("twostage", "frobnicate", "-"), [])


@completion("the values of options")
def complete_values(offered, root):
    root.add_region(32, 4, online=(32,))
    for number in (0, 1):
        root.write(f"sys/devices/system/node/node{number}/cpulist", "")
    same(offered("twostage", "online", "--zone", ""), ["movable", "kernel", "auto"])
    same(offered("twostage", "online", "-z", "m"), ["movable"])
    same(offered("twostage", "online", "--zone=k"), ["kernel"])
    same(offered("twostage", "online", "--zone="), ["movable", "kernel", "auto"])
    same(offered("twostage", "add", "--memmap-on-memory", ""), ["yes", "no"])
    same(offered("twostage", "add", "--node", ""), ["0", "1"])
    same(offered("twostage", "online", "--blocks", ""), ["32", "33-35"])
    same(offered("twostage", "online", "--count", ""), [])


@completion("one range of blocks for 32768 standby blocks, after reading the files of one block")
def complete_many(offered, root):
    root.add_standby_region(32, 32768)
    same(offered("twostage", "online", "--blocks", ""), ["32-32799"])
    same(offered("twostage", "online", ""), ["region0"])


@completion("regions for commands that take them, and only for these")
def complete_regions(offered, root):
    for first in (32, 64):
        root.add_region(first, 2)
    for command in ("remove", "list", "blocks", "online", "offline"):
        same(offered("twostage", command, ""), ["region0", "region1"], command)
    same(offered("twostage", "online", "--all", "region0", "r"), ["region0", "region1"])
    for command in ("add", "discover", "status", "unload"):
        same(offered("twostage", command, ""), [], command)


@completion("output columns")
def complete_columns(offered, _):
    same(offered("twostage", "list", "-o", "r"), ["REGION", "RANGE"])
    same(offered("twostage", "list", "--output=SIZE,on"), ["SIZE,ONLINE", "SIZE,ON-MEMORY", "SIZE,ON-OOM"])
    same(offered("twostage", "blocks", "--output", "+st"), ["+STAGE", "+STATE"])
    same(offered("twostage", "status", "--output", "st"), ["STANDBY", "STOCK"])
    same(offered("twostage", "status", "--hooks", "--output", "st"), ["STATE"])


@completion("module files and parameters for load")
def complete_load(offered, root):
    root.write("files/twostage.ko", "")
    root.write("files/twostage.o", "")
    same(offered("twostage", "load", "files/"), ["files/twostage.ko"])
    same(offered("twostage", "load", "reg"), ["region="])
    same(offered("twostage", "load", "x.ko", ""), ["region="])
