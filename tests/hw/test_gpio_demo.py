# SPDX-License-Identifier: Apache-2.0
"""The demo on a machine with a chip: it shows the lines and takes none, but for the one that is named."""

import re
import tempfile

import pytest

from harness import paths
from harness.process import Process

FOLLOWS = re.compile(r'^[0-9]{4}-.* gateway/demo/', re.MULTILINE)      # an event: what comes from now on is printed


@pytest.fixture
def demo(tmp_path):
    """demo(*arguments) starts it, in a folder with a name short enough for sockets."""
    running = []
    with tempfile.TemporaryDirectory(prefix='demo-') as folder:
        def start(*arguments):
            running.append(Process([paths.ROOT / 'tests/peers/demo', *arguments], log=tmp_path / 'demo.log',
                                   env={'TMPDIR': folder, 'GATEWAYD_BUILD': str(paths.BUILD)}))
            running[-1].wait_line(FOLLOWS, 120)
            return running[-1]

        yield start
        for process in running:
            process.close()


def test_lines_are_shown(chip, demo):
    chip(names={3: 'DOOR'})
    text = demo().text()
    assert re.search(r'^.*\bDOOR\b.*\bfree *$', text, re.MULTILINE), text
    assert '--gpio CHIP/LINE' in text


def test_named_line_is_at_work(chip, demo):
    c = chip(names={3: 'DOOR'})
    shown = demo(f'--gpio={c.name}/DOOR')
    assert not re.search(r'^.*\bDOOR\b.*\bfree *$', shown.text(), re.MULTILINE)
    c.pull(3, 1)
    shown.wait_line(re.compile(r'^.*gateway/demo/gpio/io/gateway/line/input/state\b.*"value":1.*$', re.MULTILINE), 30)
