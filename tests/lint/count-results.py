#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts what the suites left as JUnit files and ends with the line "N passed, N failed[, N skipped]".

A suite without a readable file is one failure. Beside a file of meson, NAME.json may hold meson's own log: a program
that crashed, timed out or leaked after its last "ok" is a failure there, and not in the JUnit file.

What failed ran once more and left NAME.again.xml (and .json). A test that passed only then is named as unsteady: it is
wrong, or what it tests is. A busy machine may show a few such in a run; more than UNSTEADY_MAX have failed.
"""

import argparse
import json
import pathlib
import sys
import xml.etree.ElementTree as ElementTree

UNSTEADY_MAX = 3


def read_cases(path):
    """Yields (module or program, name, outcome) for each case of one JUnit file."""
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        tags = {child.tag for child in case}
        outcome = "failed" if tags & {"failure", "error"} else "skipped" if "skipped" in tags else "passed"
        place, name = case.get("classname", ""), case.get("name", "")
        if place == "gatewayd":
            place = name  # a program of meson that has no cases
        yield place.split(".")[-1], name, outcome


def read_bad_programs(path):
    """Yields (name, result) of every program that meson calls bad."""
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        if entry["result"] not in ("OK", "SKIP", "EXPECTEDFAIL"):
            yield entry["name"].split(" / ")[-1].split(":")[-1].strip(), entry["result"]


def collect(path):
    """Returns the cases of one run of one suite, those from meson's log included."""
    try:
        cases = list(read_cases(path))
    except (OSError, ElementTree.ParseError) as error:
        return [(path.stem, f"no result: {error}", "failed")]
    if not cases:
        return [(path.stem, "no test ran", "failed")]

    log = path.with_suffix(".json")
    if log.exists():
        told = {program for program, _, outcome in cases if outcome == "failed"}
        for name, result in read_bad_programs(log):
            if name not in told:
                cases = [case for case in cases if case[1] != name]
                cases.append((name, f"the program ended with {result}", "failed"))
    return cases


def collect_both(path):
    """Returns the cases of one suite after its second run, and the names of those that passed only there."""
    first, second = collect(path), path.with_name(f"{path.stem}.again.xml")
    if not second.exists():
        return first, []
    again = collect(second)
    whole = path.with_suffix(".json").exists()  # meson runs a program again, with all its cases

    def name(case):
        return case[0] if whole else f"{case[0]}: {case[1]}"

    names = {name(i) for i in again}
    unsteady = {name(i) for i in first if i[2] == "failed"} & names - {name(i) for i in again if i[2] == "failed"}
    return [i for i in first if name(i) not in names] + again, sorted(unsteady)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path())
    parser.add_argument("--bad-programs", action="store_true", help="print the names of the bad ones in meson's log FILE")
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()

    if arguments.bad_programs:
        print(*(name for path in arguments.files for name, _ in read_bad_programs(arguments.folder / path)))
        return 0

    totals = {"passed": 0, "failed": 0, "skipped": 0}
    unsteady = []
    for name in arguments.files:
        cases, passed_again = collect_both(arguments.folder / name)
        unsteady += [f"{pathlib.Path(name).stem}: {i}" for i in passed_again]
        for place, case, outcome in cases:
            totals[outcome] += 1
            if outcome != "passed":
                print(f"{outcome}: {place}: {case}")
    for name in unsteady:
        print(f"unsteady: {name}")
    if len(unsteady) > UNSTEADY_MAX:
        totals["passed"] -= len(unsteady)
        totals["failed"] += len(unsteady)

    line = f"{totals['passed']} passed, {totals['failed']} failed"
    if totals["skipped"]:
        line += f", {totals['skipped']} skipped"
    print(line)
    return 1 if totals["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
