# SPDX-License-Identifier: Apache-2.0
"""docs/tutorial.md: every command does what the page says and the terminal shows what the page shows."""

import os
import re
import subprocess

import pytest

from harness import tutorial
from harness.paths import BUILD, ROOT


@pytest.mark.timeout(400)
def test_every_command():
    blocks = tutorial.parse(tutorial.PAGE.read_text())
    assert sum(i.runs for i in blocks) > 10
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


# ---- what needs another place than the page's run


def commands_with(text):
    """Those of the page's block that has this text."""
    return next(i.commands for i in tutorial.parse(tutorial.PAGE.read_text()) if text in i.commands)


def run(commands, home, **environment):
    subprocess.run(['bash', '-euc', commands], env={**os.environ, 'HOME': str(home), **environment}, check=True,
                   stdout=subprocess.DEVNULL)


@pytest.mark.skipif(not (ROOT / '.git').exists(), reason='this tree is no repository')
def test_clone(tmp_path):
    run(commands_with('git clone').replace('URL-OF-THIS-REPOSITORY', str(ROOT)), tmp_path,
        GIT_CONFIG_COUNT='1', GIT_CONFIG_KEY_0='safe.directory', GIT_CONFIG_VALUE_0='*')
    assert 'run' in subprocess.run(['./dev', 'help'], cwd=tmp_path / 'gatewayd', capture_output=True, text=True, check=True).stdout


#: How a command of the service's block is run below a root of its own; None: it needs systemd as the first process, or a service.
BELOW_ROOT = [
    ('cd ', '{}'),
    ('meson setup ', None),             # the build under test is set up
    ('meson install ', 'DESTDIR={root} {} --no-rebuild'),
    ('systemd-sysusers', '{} --root={root}'),
    ('systemctl enable --now ', 'systemctl enable --root={root} gatewayd'),
    ('systemctl ', None),
    ('mkdir -p /etc/', 'mkdir -p {root}/etc/gatewayd'),
    ('cp ~/plant/', 'cp {example} {root}/etc/gatewayd/gatewayd.yaml'),
    ('gatewayctl ', None),
    ('journalctl ', None),
]


def test_service(tmp_path):
    """Files are where the commands look for them, the user is made, the unit can be enabled, its program takes the configuration."""
    root, tree = tmp_path / 'root', tmp_path / 'gatewayd'
    (root / 'etc').mkdir(parents=True)
    tree.mkdir()
    (tree / 'build-install').symlink_to(BUILD)
    script = ''
    for command in filter(None, commands_with('meson install').splitlines()):
        way = next(way for begin, way in BELOW_ROOT if command.startswith(begin))
        script += way.format(command, root=root, example=ROOT / 'docs/examples/demo.yaml') + '\n' if way else ''
    run(script, tmp_path)

    enabled = root / 'etc/systemd/system/multi-user.target.wants/gatewayd.service'
    unit = (root / enabled.readlink().relative_to('/')).read_text()
    program = root / re.search(r'^ExecStart=/(\S+)', unit, re.MULTILINE)[1]
    run(f'{program} --check --config={root}/etc/gatewayd/gatewayd.yaml; {program.parent}/gatewayctl --help', tmp_path)
    assert re.search(r'^gatewayd:', (root / 'etc/passwd').read_text(), re.MULTILINE)
    assert list(root.glob('usr/share/dbus-1/system.d/*.conf'))
