# SPDX-License-Identifier: Apache-2.0
"""The demo behind ./dev run: what it shows, that it ends cleanly, that it leaves nothing behind."""

import os
import pathlib
import re
import signal
import sys
import tempfile

import pytest

from harness.paths import ROOT
from harness.process import Process
from harness.waiting import wait_until

CHANGE = re.compile(r'^\d\d:\d\d:\d\d\.\d{3}  gateway/demo/modbus_master/plc/gateway/remote_device/1/read/counter  '
                    r'\{.*"CHANGE"\}$', re.MULTILINE)


@pytest.fixture
def folder():
    """The demo's folder for temporary files, with a name short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix='demo-') as name:
        yield pathlib.Path(name)


def start(folder, log, *arguments):
    return Process([sys.executable, ROOT / 'tests/peers/demo.py', *arguments], log=log, env={'TMPDIR': str(folder)})


def processes_of(folder):
    """Every process that was started for the demo: they inherit its $TMPDIR."""
    mark, found = f'TMPDIR={folder}\0'.encode(), []
    for environ in pathlib.Path('/proc').glob('[0-9]*/environ'):
        try:
            if mark in environ.read_bytes():
                found.append((environ.parent / 'cmdline').read_bytes().replace(b'\0', b' ').decode())
        except OSError:
            pass
    return found


def assert_nothing_left(folder):
    assert processes_of(folder) == []
    assert list(folder.iterdir()) == []


def assert_shown(text):
    assert re.search(r'^modbus_master +plc +yes +running +up\b', text, re.MULTILINE), text
    address = re.search(r'gatewayctl --address=(unix:path=\S+) list', text)[1]
    assert f'busctl --address={address} tree io.gatewayd.Gateway1' in text
    assert 'remote_device/1/status  "CONNECTED"' in text
    assert CHANGE.search(text)
    assert text.endswith('ended.\n')


def test_for_seconds(folder, tmp_path):
    with start(folder, tmp_path / 'demo.log', '--for=4') as demo:
        assert demo.wait(60) == 0, demo.log_text()
        assert_shown(demo.text())
    assert_nothing_left(folder)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM], ids=lambda i: i.name)
def test_interrupted(number, folder, tmp_path):
    with start(folder, tmp_path / 'demo.log') as demo:
        demo.wait_line(CHANGE, 60)
        assert len(processes_of(folder)) == 5
        demo.signal(number)
        assert demo.wait() == 0, demo.log_text()
        assert_shown(demo.text())
    assert_nothing_left(folder)


def test_killed(folder, tmp_path):
    """Not even kill -9 leaves a process behind."""
    with start(folder, tmp_path / 'demo.log') as demo:
        demo.wait_line(CHANGE, 60)
        demo.kill()
    wait_until(lambda: processes_of(folder) == [], lambda: f'left: {processes_of(folder)}')


def test_a_part_ends(folder, tmp_path):
    """A part that ends by itself ends the demo, which says which one and why, with status 1."""
    with start(folder, tmp_path / 'demo.log') as demo:
        demo.wait_line(CHANGE, 60)
        pid = next(int(i.parent.name) for i in pathlib.Path('/proc').glob('[0-9]*/cmdline')
                   if b'hat-event-server\0' in i.read_bytes() and str(folder).encode() in i.read_bytes())
        os.kill(pid, signal.SIGKILL)
        assert demo.wait() == 1
        assert 'hat-event-server ended by itself' in demo.text()
    assert_nothing_left(folder)
