# SPDX-License-Identifier: Apache-2.0
"""Where things are: the source tree, the build under test, the virtual environment's programs."""

import atexit
import functools
import json
import os
import pathlib
import shutil
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get('GATEWAYD_BUILD', ROOT / 'build')).resolve()

DAEMON = BUILD / 'daemon/gatewayd'
CTL = BUILD / 'tools/gatewayctl'
PEERS = BUILD / 'tests/peers'
POLICY = BUILD / 'dbus/io.gatewayd.Gateway1.conf'
VENV_BIN = pathlib.Path(sys.executable).parent


def sanitized():
    """Whether the build under test has sanitizers, which memory and rates must not be measured with."""
    options = json.loads((BUILD / 'meson-info/intro-buildoptions.json').read_text())
    return next((i['value'] for i in options if i['name'] == 'b_sanitize'), 'none') not in ('none', '', [])


@functools.lru_cache
def for_everybody(program):
    """A path by which every user can run this program: a tree below /root is closed to all others, so there it is a copy."""
    program = pathlib.Path(program)
    if all(folder.stat().st_mode & 0o001 for folder in program.parents):
        return program
    folder = pathlib.Path(tempfile.mkdtemp(prefix='gatewayd-programs-'))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    return pathlib.Path(shutil.copy(program, folder))
