# SPDX-License-Identifier: Apache-2.0
"""docs/tutorial.md: every command does what the page says and the terminal shows what the page shows."""

import os
import subprocess

import pytest

from harness import tutorial
from harness.paths import ROOT


@pytest.mark.timeout(400)
def test_every_command():
    blocks = tutorial.parse(tutorial.PAGE.read_text())
    assert sum(i.runs for i in blocks) > 10
    assert tutorial.FIRST_VALUE in (i.commands.strip() for i in blocks)
    with tutorial.Run() as run:
        for block in blocks:
            if block.runs:
                tutorial.follow(run, block)
        run.assert_clean()


def test_what_is_compared():
    """Numbers, times and ages may differ, words may not."""
    def shown(text):
        return tutorial.parse(f'```sh\nx\n```\n\n```text\n{text}\n```\n')[0]

    assert tutorial.is_shown(shown('plc   up  3s ago   21.5'), 'plc  up  1min 2s ago  -1')
    for other in ('plc down 3s ago 21.5', 'plc up 3s ago', 'plc up 3s ago 21.5\nplc up 3s ago 21.5'):
        assert not tutorial.is_shown(shown('plc up 3s ago 21.5'), other)


@pytest.mark.parametrize('text', [
    '```sh norun\nx\n```\n',
    '```sh often\nx\n```\n',
    '```text\nx\n```\n',
    '```sh\nx\n```\n```text\nx\n```\n```text\nx\n```\n',
    '<!-- not run: x -->\n```sh norun\nx\n```\n```text\nx\n```\n',
], ids=['no reason', 'unknown option', 'output of nothing', 'two outputs', 'output that nobody saw'])
def test_page_mistakes(text):
    with pytest.raises(tutorial.TutorialError):
        tutorial.parse(text)


# ---- what needs another place than the page's run (tests/service has the service's)


def run(commands, home, **environment):
    subprocess.run(['bash', '-euc', commands], env={**os.environ, 'HOME': str(home), **environment}, check=True,
                   stdout=subprocess.DEVNULL)


@pytest.mark.skipif(not (ROOT / '.git').exists(), reason='this tree is no repository')
def test_clone(tmp_path):
    run(tutorial.commands_with('git clone').replace('URL-OF-THIS-REPOSITORY', str(ROOT)), tmp_path,
        GIT_CONFIG_COUNT='1', GIT_CONFIG_KEY_0='safe.directory', GIT_CONFIG_VALUE_0='*')
    assert 'run' in subprocess.run(['./dev', 'help'], cwd=tmp_path / 'gatewayd', capture_output=True, text=True, check=True).stdout
