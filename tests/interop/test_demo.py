# SPDX-License-Identifier: Apache-2.0
"""The demo behind ./dev run: what it shows, that it ends cleanly, that it leaves nothing behind."""

import contextlib
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import pytest

from harness.bus import is_root
from harness.paths import BUILD, ROOT
from harness.process import Process
from harness.tutorial import Terminal
from harness.waiting import wait_until

DEMO = ROOT / 'tests/peers/demo'
PARTS = ['tests/peers/demo', 'dbus-daemon', 'modbus-device', 'gatewayd', 'gatewayctl']
READ = re.compile(r'^.*gateway/demo/modbus_master/plc/gateway/remote_device/1/read/counter\b.*CHANGE.*$', re.MULTILINE)


@pytest.fixture
def folder():
    """The demo's folder for temporary files, with a name short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix='demo-') as name:
        yield pathlib.Path(name)


def environment(folder):
    return {'TMPDIR': str(folder), 'GATEWAYD_BUILD': str(BUILD)}


def start(folder, log, *arguments):
    return Process([DEMO, *arguments], log=log, env=environment(folder))


def type_in(commands):
    """What the commands print, all of which have to succeed. Where one hangs, what they printed until then is told."""
    try:
        result = subprocess.run(['bash', '-exuc', '\n'.join(commands)], capture_output=True, text=True, timeout=60,
                                stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as e:
        pytest.fail(f'still running: {e.stdout or b""!r} {e.stderr or b""!r}')
    assert result.returncode == 0, result.stdout + result.stderr
    return result


def processes_of(folder):
    """Every process that was started for the demo, pid → command line: they inherit its $TMPDIR."""
    mark, found = f'TMPDIR={folder}\0'.encode(), {}
    for environ in pathlib.Path('/proc').glob('[0-9]*/environ'):
        try:
            if mark in environ.read_bytes():
                command = (environ.parent / 'cmdline').read_bytes().replace(b'\0', b' ').decode()
                found[int(environ.parent.name)] = command
        except OSError:
            pass
    return found


def pid_of(folder, part):
    return next((pid for pid, command in processes_of(folder).items()
                 if any(pathlib.Path(i).name == part for i in command.split()[:2])), None)


def assert_nothing_left(folder):
    assert processes_of(folder) == {}
    assert list(folder.iterdir()) == []


def assert_shown(text):
    assert re.search(r'^modbus_master +plc +yes +running +up\b', text, re.MULTILINE), text
    assert re.search(r'^  export DBUS_SYSTEM_BUS_ADDRESS=unix:path=\S+$', text, re.MULTILINE)
    assert READ.search(text)
    assert text.endswith('ended.\n')


def take(port, listens):
    """A socket that has the port, or None; nothing to close where somebody else listens on it. What a connection left
    behind keeps a listener from nothing, but for a minute a socket that only binds it."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, listens)
    try:
        taken.bind(('127.0.0.1', port))
    except OSError:
        taken.close()
        with socket.socket() as client:
            return contextlib.nullcontext(port) if client.connect_ex(('127.0.0.1', port)) == 0 else None
    if listens:
        taken.listen()
    return taken


# First of all, as other tests leave connections behind.
@pytest.mark.parametrize('listens', [True, False], ids=['listens', 'only bound'])
def test_ports_taken(listens, folder, tmp_path):
    """Where somebody has the usual ports, others do; also when that is seen only by trying."""
    with contextlib.ExitStack() as stack:
        for port in (1502, 23012):
            stack.enter_context(wait_until(lambda: take(port, listens), f'port {port} is ours', 90, 0.5))
        demo = stack.enter_context(start(folder, tmp_path / 'demo.log'))
        demo.wait_line(READ, 60)
        assert not re.search(r'tcp:127\.0\.0\.1:(1502|23012)\b', demo.text())
        demo.signal(signal.SIGINT)
        assert demo.wait() == 0, demo.log_text()
    assert_nothing_left(folder)


def test_for_seconds(folder, tmp_path):
    with start(folder, tmp_path / 'demo.log', '--for=12') as demo:
        assert demo.wait(60) == 0, demo.log_text()
        assert_shown(demo.text())
    assert_nothing_left(folder)


def without_python(*command):
    """The command in a mount namespace where every Python that could be found is /dev/null."""
    interpreters = {os.path.realpath(sys.executable)} | {
        os.path.realpath(i) for folder in os.get_exec_path() for i in pathlib.Path(folder).glob('python*')}
    mounts = [f'mount --bind /dev/null {shlex.quote(i)}' for i in sorted(interpreters)]
    return ['unshare', '--mount', 'bash', '-euc', '\n'.join([*mounts, 'exec "$@"']), 'without-python', *command]


def test_without_python(folder, tmp_path):
    """Python is what meson needs to build; once that is done ./dev run does without, from the look whether all is built on."""
    if not is_root():
        pytest.skip('mounting needs root')
    for program in ('python3', sys.executable):
        result = subprocess.run(without_python(program, '-c', ''), capture_output=True, text=True, timeout=60)
        assert result.returncode in (126, 127), result

    subprocess.run(['ninja', '-C', BUILD, '--quiet'], check=True, stdout=subprocess.DEVNULL)    # what is out of date
    tree = tmp_path / 'tree'
    tree.mkdir()
    shutil.copy(ROOT / 'dev', tree)         # not a link: where it lies it looks for the rest
    (tree / 'tests').symlink_to(ROOT / 'tests')
    (tree / 'build').symlink_to(BUILD)
    command = ['env', '-u', 'GATEWAYD_BUILD', tree / 'dev', 'run', '--for=12']
    with Process(without_python(*command), log=tmp_path / 'demo.log', env={'TMPDIR': str(folder)}) as demo:
        assert demo.wait(60) == 0, demo.log_text()
        assert_shown(demo.text())
    assert_nothing_left(folder)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM], ids=lambda i: i.name)
def test_interrupted(number, folder, tmp_path):
    with start(folder, tmp_path / 'demo.log') as demo:
        demo.wait_line(READ, 60)
        assert all(pid_of(folder, pathlib.Path(i).name) for i in PARTS), processes_of(folder)
        demo.signal(number)
        assert demo.wait() == 0, demo.log_text()
        assert_shown(demo.text())
    assert_nothing_left(folder)


def test_ctrl_c(folder, tmp_path):
    """Ctrl-C on a terminal reaches the whole foreground: the parts end in order nevertheless."""
    home = tmp_path / 'home'
    home.mkdir()
    with contextlib.closing(Terminal(home, {**os.environ, **environment(folder)})) as terminal:
        text, failed = terminal.run(f'{DEMO}\n', until=READ.search)
        assert failed == []
        assert_shown(text)
    assert_nothing_left(folder)


def test_gpio(folder, tmp_path):
    """A line that one names is a device; where there is no such chip, it says so. Without a chip nothing else tells of GPIO."""
    with start(folder, tmp_path / 'demo.log', '--gpio=gpiochip77/DOOR') as demo:
        demo.wait_line(READ, 60)
        assert re.search(r'^gpio +io +yes +running +down .*there is no chip gpiochip77$', demo.text(), re.MULTILINE), demo.text()
        commands = re.findall(r'^  ((?:export|gatewayctl) .*)$', demo.text(), re.MULTILINE)
        commands = [i for i in commands if i.startswith('export') or ' gpio' in i]
        assert [i for i in commands if ' gpio' in i] == ['gatewayctl gpio list', 'gatewayctl values gpio/io']
        assert re.search(r'^gpio/io +input\b', type_in(commands).stdout, re.MULTILINE)
        demo.signal(signal.SIGINT)
        assert demo.wait() == 0, demo.log_text()
    assert_nothing_left(folder)


@pytest.mark.parametrize('arguments', [['--gpio'], ['--gpio=gpiochip0'], ['--gpio=a"/1'], ['--for=0'], ['--for'], ['now']])
def test_wrong_usage(arguments):
    result = subprocess.run([DEMO, *arguments], capture_output=True, text=True, timeout=60)
    assert result.returncode == 2 and result.stderr.startswith('Usage: ')


def test_told_commands(folder, tmp_path):
    """What the demo says that one can try works as it stands there."""
    with start(folder, tmp_path / 'demo.log') as demo:
        demo.wait_line(READ, 60)
        commands = re.findall(r'^  ((?:export|gatewayctl|busctl) .*)$', demo.text(), re.MULTILINE)
        assert len(commands) > 12
        following = [i for i in commands if ' follow ' in i]
        assert len(following) == 1
        # In the foreground timeout sends no SIGCONT behind: it would take away the SIGSTOP by which the leak sanitizer's tracer
        # takes hold of a process that ends, and both would wait for ever.
        commands = [f'timeout --foreground --signal=INT 1 {i} || [[ $? -eq 124 ]]' if i in following else i for i in commands]
        result = type_in(commands)
        assert 'Sanitizer' not in result.stderr, result.stderr
        demo.wait_line(re.compile('system/remote_device/1/write/setpoint .*1234'))
        demo.signal(signal.SIGINT)
        assert demo.wait() == 0, demo.log_text()
    assert_nothing_left(folder)


def test_killed(folder, tmp_path):
    """Not even kill -9 leaves a process behind."""
    with start(folder, tmp_path / 'demo.log') as demo:
        demo.wait_line(READ, 60)
        demo.kill()
    wait_until(lambda: processes_of(folder) == {}, lambda: f'left: {processes_of(folder)}')


@pytest.mark.parametrize('part', ['modbus-device', 'gatewayd'])
def test_a_part_ends(part, folder, tmp_path):
    """A part that ends by itself ends the demo, which says which one and why, with status 1."""
    with start(folder, tmp_path / 'demo.log') as demo:
        demo.wait_line(READ, 60)
        os.kill(pid_of(folder, part), signal.SIGKILL)
        assert demo.wait() == 1
        assert f'{part} ended by itself with status 137' in demo.text()
        assert 'The end of its log:' in demo.text()
    assert_nothing_left(folder)


def test_does_not_start(folder, tmp_path):
    """A part that does not start is named, with what it said."""
    build = tmp_path / 'build'
    for name in ('tools/gatewayctl', 'tests/peers/modbus-device'):
        (build / name).parent.mkdir(parents=True)
        (build / name).symlink_to(BUILD / name)
    (build / 'daemon').mkdir()
    (build / 'daemon/gatewayd').write_text('#!/bin/sh\necho the reason is this\nexit 78\n')
    (build / 'daemon/gatewayd').chmod(0o755)

    with Process([DEMO], log=tmp_path / 'demo.log', env={'TMPDIR': str(folder), 'GATEWAYD_BUILD': str(build)}) as demo:
        assert demo.wait(60) == 1
        assert 'gatewayd ended by itself with status 78.\nThe end of its log:\nthe reason is this\n' in demo.text()
    assert_nothing_left(folder)


def test_nobody_reads(folder, tmp_path):
    """`./dev run | head` ends the demo without complaint."""
    result = subprocess.run(['bash', '-c', f'set -o pipefail; {DEMO} | head -n 3'], capture_output=True, text=True, timeout=60,
                            env={**os.environ, **environment(folder)}, stdin=subprocess.DEVNULL)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ''
    assert_nothing_left(folder)


@pytest.mark.parametrize('arguments', [['--for'], ['--for=soon'], ['--for', '0'], ['now']], ids=' '.join)
def test_usage(arguments, folder, tmp_path):
    with start(folder, tmp_path / 'demo.log', *arguments) as demo:
        assert demo.wait() == 2
        assert 'Usage: ./dev run' in demo.text()
    assert_nothing_left(folder)
