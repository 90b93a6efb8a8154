# SPDX-License-Identifier: Apache-2.0
"""The daemon as a service: installed as docs/tutorial.md says, started by a real systemd, which is the first process of this
system (tests/service/init), and shut in by its unit. Nothing but this suite runs here, and nothing of it outlives it."""

import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess

import pytest

from harness import tutorial
from harness.config import NATIVE, slave, slave_data
from harness.gpio_device import output
from harness.gpio_sim import Chip
from harness.paths import BUILD, PEERS, VENV_BIN
from harness.process import Process
from harness.waiting import wait_until

CONFIG = pathlib.Path('/etc/gatewayd/gatewayd.yaml')
DROP_IN = pathlib.Path('/run/systemd/system/gatewayd.service.d/test.conf')
SOCKETS = ('gatewayd-eventer.socket', 'gatewayd-modbus.socket')
EVENTER = '/run/gatewayd/eventer.sock'
DEBIAN13 = pathlib.Path(os.environ.get('GATEWAYD_DEBIAN13', '/nowhere'))


def run(*argv, check=True, **options):
    """The process that has ended, its output as text."""
    done = subprocess.run([str(i) for i in argv], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
                          check=False, **options)
    assert not check or done.returncode == 0, f'{argv}: {done.stdout}'
    return done


def systemctl(*argv, **options):
    return run('systemctl', *argv, **options).stdout


def show(name):
    """A property of the service."""
    return systemctl('show', 'gatewayd', f'--property={name}', '--value').strip()


def main_pid():
    return int(show('MainPID'))


def process_status():
    """What the kernel says about the daemon."""
    text = pathlib.Path(f'/proc/{main_pid()}/status').read_text()
    return dict(re.findall(r'^(\w+):\s+(.*)$', text, re.MULTILINE))


def journal(*argv):
    return run('journalctl', '--unit=gatewayd', '--output=cat', *argv).stdout


def is_up(name='plc'):
    return run('gatewayctl', 'wait', name, '--link=up', '--timeout=1', check=False).returncode == 0


@pytest.fixture(scope='session')
def device():
    """What plant.yaml reads."""
    with Process([PEERS / 'modbus-device', f'--port={tutorial.PORT}', '--move=1000']) as process:
        yield process


@pytest.fixture(scope='session')
def installed(device, tmp_path_factory):
    """The tutorial's block `As a service`, run as it stands, but for the build, which is there; returns what it printed."""
    home = tmp_path_factory.mktemp('home')
    (home / 'plant').mkdir()
    (home / 'gatewayd').mkdir()
    (home / 'gatewayd/build-install').symlink_to(BUILD)
    environment = {**os.environ, 'HOME': str(home), 'PATH': f'{BUILD}/daemon:{os.environ["PATH"]}'}
    for text in ('cat >plant.yaml', 'sed -i'):
        run('bash', '-euc', tutorial.commands_with(text), cwd=home / 'plant', env=environment)

    commands = re.sub(r'^meson setup .*\n', '', tutorial.commands_with('meson install'), flags=re.MULTILINE)
    commands = re.sub(r'^(meson install .*)$', r'\1 --no-rebuild', commands, flags=re.MULTILINE)
    return run('bash', '-euc', commands, env={**os.environ, 'HOME': str(home)}).stdout


def start():
    """Starts it anew, and tells why that failed."""
    done = run('systemctl', 'restart', 'gatewayd', check=False)
    assert done.returncode == 0, journal('--lines=30')


@pytest.fixture
def service(installed):
    """The service as the tutorial left it."""
    wait_until(is_up, 'the device is connected')


@pytest.fixture
def changed(service):
    """The same, for a test that changes it; afterwards it is as before."""
    before = CONFIG.read_text()
    yield
    for unit in SOCKETS:
        if systemctl('is-enabled', unit, check=False).strip() == 'enabled':
            systemctl('disable', '--now', unit)
    DROP_IN.unlink(missing_ok=True)
    systemctl('daemon-reload')
    CONFIG.write_text(before)
    systemctl('reset-failed', 'gatewayd', check=False)
    start()


def drop_in(text):
    DROP_IN.parent.mkdir(parents=True, exist_ok=True)
    DROP_IN.write_text(text)
    systemctl('daemon-reload')


def configure(devices_, **main):
    CONFIG.write_text(json.dumps(NATIVE.config(devices_, name='plant', **main)))


def initial(*devices_):
    """Enables them at the first start."""
    return [{'type': ['gateway', 'plant', *i.split('/'), 'system', 'enable'], 'payload': True} for i in devices_]


# ---- the tutorial


def test_tutorial(installed):
    assert 'Active: active (running)' in installed
    assert re.search(r'\btemperature\b.*\d', installed), installed
    assert re.search(r'gatewayd\[\d+\]: ', installed), 'journalctl'
    assert systemctl('is-enabled', 'gatewayd').strip() == 'enabled'
    assert show('Type') == 'notify' and show('StatusText')


# ---- shut in


def test_process(service):
    status = process_status()
    assert status['Uid'].split() == [run('id', '-u', 'gatewayd').stdout.strip()] * 4
    assert int(status['CapEff'], 16) == int(status['CapBnd'], 16) == 0
    assert (status['NoNewPrivs'], status['Seccomp']) == ('1', '2')


@pytest.mark.parametrize('path,writable', [('/etc', False), ('/usr', False), ('/proc/sys/kernel/hostname', False),
                                           ('/var/lib/gatewayd', True), ('/run/gatewayd', True)])
def test_files(service, path, writable):
    inside = ['nsenter', f'--target={main_pid()}', '--mount', 'test', '-w', path]
    assert (run(*inside, check=False).returncode == 0) == writable


def test_store_is_private(service):
    assert run('stat', '--format=%U:%G %a', '/var/lib/gatewayd').stdout == 'gatewayd:gatewayd 750\n'
    run('useradd', 'stranger')
    assert run('runuser', '-u', 'stranger', '--', 'ls', '/var/lib/gatewayd', check=False).returncode != 0


def test_who_may(service):
    """The group may use the gateway, everybody may look."""
    run('useradd', '--groups=gatewayd', 'engineer')
    run('useradd', 'visitor')
    assert run('runuser', '-u', 'engineer', '--', 'gatewayctl', 'disable', 'plc', '--wait').returncode == 0
    done = run('runuser', '-u', 'visitor', '--', 'gatewayctl', 'enable', 'plc', check=False)
    assert done.returncode != 0 and 'denied' in done.stdout.lower(), done.stdout
    assert run('runuser', '-u', 'engineer', '--', 'gatewayctl', 'enable', 'plc', '--wait=up').returncode == 0


# ---- ends and starts


def test_wrong_configuration(changed):
    """No restart mends it, so there is none; the journal says where it is."""
    CONFIG.write_text(re.sub(r'\bport:', 'prot:', CONFIG.read_text()))
    assert run('systemctl', 'restart', 'gatewayd', check=False).returncode != 0
    assert (show('ActiveState'), show('ExecMainStatus'), show('NRestarts')) == ('failed', '78', '0')
    assert re.search(rf'{CONFIG}:\d+:\d+: .*unknown key "prot"', journal('--lines=10'))


@pytest.mark.parametrize('how', ['SIGKILL', 'SIGSTOP'])
def test_lost(changed, how):
    """Killed or hanging: it is there again, and what was enabled is too."""
    drop_in('[Service]\nWatchdogSec=2s\nRestartSec=100ms\n')
    start()
    wait_until(is_up, 'the device is connected')
    pid = main_pid()
    os.kill(pid, getattr(signal, how))
    wait_until(lambda: main_pid() not in (0, pid), 'systemd starts it again')
    wait_until(is_up, 'the device is connected again')
    assert show('NRestarts') == '1'
    if how == 'SIGSTOP':
        assert 'watchdog' in run('journalctl', '--lines=50', '--output=cat').stdout.lower()


def test_watchdog_is_fed(changed):
    """The manager does not stop what works."""
    drop_in('[Service]\nWatchdogSec=1s\n')
    start()
    since, pid = show('ActiveEnterTimestampMonotonic'), main_pid()
    fed = {show('WatchdogTimestampMonotonic')}
    wait_until(lambda: fed.add(show('WatchdogTimestampMonotonic')) or len(fed) > 5, 'the watchdog is fed', interval=0.2)
    assert (show('ActiveEnterTimestampMonotonic'), main_pid()) == (since, pid)


def test_stop(changed):
    systemctl('stop', 'gatewayd')
    assert (show('Result'), show('ExecMainStatus')) == ('success', '0')
    done = run('gatewayctl', 'list', check=False)
    assert done.returncode != 0 and 'not running' in done.stdout


# ---- sockets


def test_eventer_socket(changed):
    """Who comes before the service has it started, and waits for it."""
    configure([], event_server={'embedded': {'path': 'events.db', 'server_id': 1}})
    systemctl('stop', 'gatewayd')
    systemctl('enable', '--now', SOCKETS[0])
    assert show('ActiveState') == 'inactive'
    client = ['gatewayctl', f'--server=unix:{EVENTER}', 'event']
    run(*client, 'register', 'a/note', '{"text":"first"}')
    assert show('ActiveState') == 'active'
    start()
    assert 'first' in run(*client, 'latest', 'a/note').stdout
    run('useradd', 'nobody-special')
    done = run('runuser', '-u', 'nobody-special', '--', *client, 'latest', 'a/note', check=False)
    assert done.returncode != 0, 'the socket is the service\'s own'


def test_socket_outlives_a_wrong_configuration(changed):
    """Who comes meanwhile is sent away, and does not have the service started for ever: systemd would give up the socket."""
    good = NATIVE.config([], name='plant', event_server={'embedded': {'path': 'again.db', 'server_id': 1}})
    CONFIG.write_text(json.dumps({**good, 'nmae': 'plant'}))
    systemctl('stop', 'gatewayd')
    systemctl('enable', '--now', SOCKETS[0])
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            s.connect(EVENTER)
            assert s.recv(1) == b''
    assert (show('ActiveState'), show('ExecMainStatus')) == ('failed', '78')
    assert systemctl('is-active', SOCKETS[0]).strip() == 'active'

    CONFIG.write_text(json.dumps(good))
    run('gatewayctl', f'--server=unix:{EVENTER}', 'event', 'register', 'a/note', '1')


def read_register(address, unit, register):
    """By Modbus TCP; None while there is no answer."""
    try:
        with socket.create_connection(address, timeout=5) as s:
            s.sendall(struct.pack('>HHHBBHH', 1, 0, 6, unit, 3, register, 1))
            answer = s.recv(64)
    except OSError:
        return None
    return struct.unpack('>H', answer[9:])[0] if len(answer) == 11 else None


def test_modbus_socket(changed):
    """The port of Modbus TCP, which the daemon may not open itself."""
    listen = {'local_host': ..., 'local_port': ..., 'listen': 'fd:modbus-server'}
    configure([slave('plant', None, [slave_data('level', start=7)], **listen)],
              event_server={'embedded': {'path': 'slave.db', 'server_id': 1, 'initial': initial('modbus_slave/plant')}})
    systemctl('stop', 'gatewayd')
    systemctl('enable', '--now', SOCKETS[1])
    start()
    wait_until(lambda: read_register(('127.0.0.1', 502), 1, 7) is not None, 'port 502 answers')


# ---- GPIO


@pytest.fixture
def chip():
    c = Chip(names={1: 'LAMP'})
    run('udevadm', 'settle')
    yield c
    c.close()


def gpio_config(chip, name):
    configure([{'type': 'gpio', 'name': 'io', 'chip': chip.label, 'lines': [output('valve', 0), output('lamp', 'LAMP')]}],
              event_server={'embedded': {'path': f'{name}.db', 'server_id': 1, 'initial': initial('gpio/io')}})


def test_gpio(changed, chip):
    """The rule that is installed gives the chip to the group, of which the service's user is."""
    wait_until(lambda: run('stat', '--format=%G %a', chip.path).stdout == 'gpio 660\n', 'udev has seen the chip')
    gpio_config(chip, 'gpio')
    start()
    wait_until(lambda: is_up('io'), 'the lines are requested')
    run('gatewayctl', 'write', 'io', 'valve', '1')
    assert chip.value(0) == 1


@pytest.mark.skipif(not DEBIAN13.exists(), reason='libgpiod 1.6 gives out no descriptor of an output, and there is no Debian 13')
@pytest.mark.parametrize('how', ['restart', 'kill'])
def test_outputs_over_a_restart(changed, chip, how):
    """The manager's store keeps them. That program lies in a home, which only here the service may see."""
    gpio_config(chip, f'kept-{how}')
    program = DEBIAN13 / 'daemon/gatewayd'
    for folder in (*program.parents, *VENV_BIN.parents):        # its libraries are where the Python of the tests is
        folder.chmod(folder.stat().st_mode | 0o055)
    drop_in(f'[Service]\nExecStart=\nExecStart={program}\nProtectHome=no\nRestartSec=100ms\n')
    start()
    wait_until(lambda: is_up('io'), 'the lines are requested')
    assert show('NFileDescriptorStore') == '2'
    run('gatewayctl', 'write', 'io', 'valve', '1')
    run('gatewayctl', 'write', 'io', 'lamp', '1')

    pid = main_pid()
    if how == 'kill':
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: main_pid() not in (0, pid), 'systemd starts it again')
    else:
        start()
    wait_until(lambda: is_up('io'), 'the lines are requested again')
    assert [chip.value(i) for i in range(2)] == [1, 1]
    assert show('NFileDescriptorStore') == '2'
