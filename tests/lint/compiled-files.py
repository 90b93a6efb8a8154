#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the C files of this tree that a build folder compiles, one a line, each once."""

import json
import pathlib
import sys

top = pathlib.Path(__file__).resolve().parents[2]
build = pathlib.Path(sys.argv[1]).resolve()
entries = json.loads((build / "compile_commands.json").read_text())
files = {(pathlib.Path(entry["directory"]) / entry["file"]).resolve() for entry in entries}
for file in sorted(files):
    if file.is_relative_to(top) and not file.is_relative_to(build):
        print(file.relative_to(top))
