#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts what the suites left as JUnit files and ends with the line "N passed, N failed[, N skipped]".

A suite without a readable file is one failure. Beside a file of meson, NAME.json may hold meson's own log: a program
that crashed, timed out or leaked after its last "ok" is a failure there, and not in the JUnit file.
"""

import argparse
import json
import pathlib
import sys
import xml.etree.ElementTree as ElementTree


def read_cases(path):
    """Yields (suite, name, outcome) for each case of one JUnit file."""
    for suite in ElementTree.parse(path).getroot().iter("testsuite"):
        for case in suite.findall("testcase"):
            tags = {child.tag for child in case}
            outcome = "failed" if tags & {"failure", "error"} else "skipped" if "skipped" in tags else "passed"
            yield suite.get("name", ""), case.get("name", ""), outcome


def read_bad_programs(path):
    """Yields (name, result) of every program that meson calls bad."""
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        if entry["result"] not in ("OK", "SKIP", "EXPECTEDFAIL"):
            yield entry["name"].split(" / ")[-1].split(":")[-1].strip(), entry["result"]


def collect(path):
    """Returns the cases of one suite, those from meson's log included."""
    try:
        cases = list(read_cases(path))
    except (OSError, ElementTree.ParseError) as error:
        return [(path.stem, f"no result: {error}", "failed")]
    if not cases:
        return [(path.stem, "no test ran", "failed")]

    log = path.with_suffix(".json")
    if log.exists():
        told = {name for suite, case, outcome in cases if outcome == "failed" for name in (suite.split(".")[-1], case)}
        for name, result in read_bad_programs(log):
            if name not in told:
                cases = [case for case in cases if case[1] != name]
                cases.append((name, f"the program ended with {result}", "failed"))
    return cases


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()

    totals = {"passed": 0, "failed": 0, "skipped": 0}
    for name in arguments.files:
        for suite, case, outcome in collect(arguments.folder / name):
            totals[outcome] += 1
            if outcome != "passed":
                print(f"{outcome}: {suite}: {case}")

    line = f"{totals['passed']} passed, {totals['failed']} failed"
    if totals["skipped"]:
        line += f", {totals['skipped']} skipped"
    print(line)
    return 1 if totals["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
