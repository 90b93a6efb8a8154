#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The checks that cost no compiler: who includes whom, licence lines, leftovers, spelling, long files, rules without a test.

One line a finding, "FILE:LINE: what". With --junit FILE each check is a test case there.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

TOP = pathlib.Path(__file__).resolve().parents[2]

# Who may include whom, folder by folder: arrows go only leftwards, base ← link ← event ← devices ← daemon ← dbus.
# The longest key that fits a file's path holds for it; an entry that ends in "/" is a whole folder.
INCLUDES = {
    "base/": ["base/"],
    "link/": ["base/", "link/"],
    "event/": ["base/", "link/", "event/"],
    "devices/": ["base/", "link/", "event/event.h", "devices/device.h"],
    "devices/gpio/": ["base/", "link/", "event/event.h", "devices/device.h", "devices/gpio/"],
    "devices/modbus/": ["base/", "link/", "event/event.h", "devices/device.h", "devices/modbus/"],
    "daemon/": ["base/", "link/", "event/", "devices/device.h", "daemon/"],
    "daemon/main.c": ["base/", "link/", "event/", "devices/device.h", "daemon/", "dbus/"],
    "dbus/": ["base/", "devices/device.h", "daemon/config.h", "daemon/gateway.h", "daemon/proxy.h", "dbus/"],
    "docs/": ["base/", "daemon/config.h"],
    "tools/": ["base/", "link/", "event/", "tools/"],
    "tests/": ["base/", "link/", "event/", "devices/", "daemon/", "dbus/", "tools/", "tests/"],
}

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')
LICENCE = "SPDX-License-Identifier: Apache-2.0"
LICENSED = {".c", ".h", ".py", ".sh", ".build"}
LEFTOVER = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"]) + r")\b")
LINE_COMMENT = re.compile(r"^\s*//")
INT128 = re.compile(r"\b__int128\b")
LONG_FILE = 900
SPEC = "docs/spec/modbus.md"
RULES = "tests/modbus-rules.md"
RULE_IN_SPEC = re.compile(r"^(?:### ([2-6]\.\d+)|\| (D\d+) \|)")
RULE_ROW = re.compile(r"^\| ([2-6]\.\d+|D\d+) \| (.+) \|$")


def tree_files():
    """Files of the tree, committed or about to be."""
    listed = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            cwd=TOP, check=True, stdout=subprocess.PIPE).stdout.decode().split("\0")
    return sorted(name for name in set(listed) if name and (TOP / name).is_file())


def read_lines(name):
    try:
        return (TOP / name).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return []


def is_c(name):
    return name.endswith((".c", ".h"))


def allowed_includes(name):
    keys = [key for key in INCLUDES if name.startswith(key)]
    return INCLUDES[max(keys, key=len)] if keys else None


def check_include(name, bracket, included):
    """Returns what is wrong with one include, or None."""
    if included == "config.h":
        beside = (TOP / name).parent / "config.h"
        return 'write <config.h>, "config.h" is the file beside this one' if bracket == '"' and beside.exists() else None
    if bracket == "<":
        return None
    if "/" not in included:
        return f'"{included}" is written without its folder'
    allowed = allowed_includes(name)
    if any(included == entry or (entry.endswith("/") and included.startswith(entry)) for entry in allowed):
        return None
    return f'"{included}" may not be included here (allowed: {", ".join(allowed)})'


def check_includes(files):
    for name in files:
        if not is_c(name):
            continue
        if allowed_includes(name) is None:
            yield f"{name}:1: no rule says what this folder may include"
            continue
        for number, line in enumerate(read_lines(name), 1):
            match = INCLUDE.match(line)
            wrong = match and check_include(name, match[1], match[2])
            if wrong:
                yield f"{name}:{number}: {wrong}"


def check_licence(files):
    for name in files:
        path = pathlib.Path(name)
        if path.suffix in LICENSED or name in ("dev", ".ci/run"):
            if not any(LICENCE in line for line in read_lines(name)[:3]):
                yield f"{name}:1: the line {LICENCE} is missing"


def check_leftovers(files):
    for name in files:
        if name.startswith(("tests/data/", "tests/fuzz/corpus/")):
            continue
        for number, line in enumerate(read_lines(name), 1):
            if LEFTOVER.search(line):
                yield f"{name}:{number}: leftover {LEFTOVER.search(line)[1]}"


def check_comments(files):
    for name in files:
        if not is_c(name):
            continue
        lines = read_lines(name)
        if "#pragma once" not in lines and name.endswith(".h"):
            yield f"{name}:1: #pragma once is missing"
        for number, line in enumerate(lines, 1):
            if LINE_COMMENT.match(line):
                yield f"{name}:{number}: comments are written /* */"
            if INT128.search(line):
                yield f"{name}:{number}: 32-bit machines have no such type"


def check_spelling(files):
    skipped = ("tests/data/", "tests/fuzz/corpus/", "LICENSE")
    checked = [name for name in files if not name.startswith(skipped)]
    result = subprocess.run(["codespell", *checked], cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode != 0:
        yield from result.stdout.splitlines() or ["codespell failed"]


def test_exists(test):
    """/FILE/NAME of tests/unit (the table of a file may make the path), or FILE::NAME of tests/interop."""
    if test.startswith("/"):
        name, last = test[1:].split("/", 1)
        return re.search(rf'"(?:{test}|{last})",', "\n".join(read_lines(f"tests/unit/test-{name}.c")))
    name, function = test.split("::")
    return re.search(rf"^def {function}\(", "\n".join(read_lines(f"tests/interop/{name}")), re.MULTILINE)


def check_rules(_files):
    rules = {match[1] or match[2] for match in map(RULE_IN_SPEC.match, read_lines(SPEC)) if match}
    for number, line in enumerate(read_lines(RULES), 1):
        match = RULE_ROW.match(line)
        if not match:
            continue
        if match[1] not in rules:
            yield f"{RULES}:{number}: {SPEC} has no rule {match[1]}, or it stands here twice"
        rules.discard(match[1])
        for test in match[2].split(", "):
            if not test_exists(test):
                yield f"{RULES}:{number}: there is no test {test}"
    for rule in sorted(rules):
        yield f"{RULES}:1: {rule} has no test"


def warn_long_files(files):
    for name in files:
        count = len(read_lines(name)) if is_c(name) else 0
        if count > LONG_FILE:
            print(f"{name}:{LONG_FILE}: warning: {count} lines, does this file still have one topic?")


CHECKS = [check_includes, check_licence, check_leftovers, check_comments, check_spelling, check_rules]


def write_junit(path, findings):
    suite = ElementTree.Element("testsuite", name="lint-quick")
    for name, lines in findings.items():
        case = ElementTree.SubElement(suite, "testcase", classname="lint-quick", name=name)
        if lines:
            ElementTree.SubElement(case, "failure").text = "\n".join(lines)
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--junit", help="write a JUnit file too")
    arguments = parser.parse_args()

    files = tree_files()
    findings = {check.__name__: list(check(files)) for check in CHECKS}
    for lines in findings.values():
        for line in lines:
            print(line)
    warn_long_files(files)
    if arguments.junit:
        write_junit(arguments.junit, findings)
    return 1 if any(findings.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
