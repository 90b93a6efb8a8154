# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the interop and bus suites. Everything that a test starts ends with it."""

import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import tempfile

import pytest

from harness import paths
from harness.bus import Bus, BusClient, is_root
from harness.event_server import EventServer
from harness.eventer import Eventer
from harness.gateway import Ctl, Gateway
from harness.process import Process

import field_device
import pymodbus_server


def pytest_configure():
    # A shell ignores it for what it runs in the background, and what the tests start would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    if not paths.DAEMON.exists() or not paths.CTL.exists():
        raise pytest.UsageError(f'{paths.BUILD} is not built: ./dev build, or set GATEWAYD_BUILD')

    if paths.sanitized():
        skip = pytest.mark.skip(reason='measured in the build without sanitizers')
        for item in items:
            if item.get_closest_marker('release'):
                item.add_marker(skip)


@pytest.fixture
def event_server(tmp_path):
    """A running hat-event server with a storage of its own."""
    with EventServer(tmp_path / 'event') as server:
        yield server


@pytest.fixture
def eventer(event_server):
    """A client of it that is subscribed to everything."""
    with Eventer(event_server.port) as client:
        yield client


@pytest.fixture
def bus():
    """A private bus of type session."""
    with Bus() as b:
        yield b


@pytest.fixture
def bus_client(bus):
    with BusClient(bus) as client:
        yield client


def _make_service_user():
    """The users of the shipped sysusers file: dbus-daemon ignores rules for a user that does not exist."""
    if not is_root():
        pytest.fail('this suite needs root: a bus of type system and two user ids')
    try:
        pwd.getpwnam('gatewayd')
    except KeyError:
        files = sorted((paths.ROOT / 'units').glob('*sysusers*')) + sorted((paths.BUILD / 'units').glob('*sysusers*'))
        conf = next((i for i in files if i.suffix == '.conf'), None)
        assert conf, 'no sysusers file in units/'
        subprocess.run(['systemd-sysusers', conf], check=True, capture_output=True)
    return pwd.getpwnam('gatewayd')


@pytest.fixture(scope='session')
def service_user():
    """The password entry of the user gatewayd, made if missing."""
    return _make_service_user()


@pytest.fixture(scope='session')
def other_user():
    """The password entry of a user with no rights: not root, not gatewayd, not of group gatewayd."""
    return pwd.getpwnam('nobody')


@pytest.fixture
def system_bus(service_user):
    """A private bus of type system with the shipped policy."""
    with Bus(system=True) as b:
        yield b


@pytest.fixture
def system_bus_client(system_bus):
    """A client of it as root."""
    with BusClient(system_bus) as client:
        yield client


@pytest.fixture
def gatewayd(tmp_path, request):
    """gatewayd(config, **options) starts the daemon and waits until it is ready; the options are those of
    harness.gateway.Gateway and `bus`. By default it is on the session bus if the test uses that."""
    # The daemon must end before what it talks to: make the other fixtures of this test first.
    for name in ('event_server', 'eventer', 'bus', 'bus_client', 'system_bus', 'system_bus_client', 'field', 'chip',
                 'modbus_device', 'pymodbus_device'):
        if name in request.fixturenames:
            request.getfixturevalue(name)

    running, foreign = [], []

    def start(config, bus=None, **options):
        if bus is None and 'bus' in request.fixturenames:
            bus = request.getfixturevalue('bus')
        if options.get('user') is None:
            directory = tmp_path / f'gatewayd-{len(running)}'
            directory.mkdir()
        else:                           # pytest's own folders are closed to other users
            directory = pathlib.Path(tempfile.mkdtemp(prefix='gatewayd-test-'))
            directory.chmod(0o755)
            foreign.append(directory)
        gateway = Gateway(config, directory, bus.address if bus else 'none', **options)
        running.append(gateway)
        return gateway

    yield start

    errors = []
    for gateway in running:
        try:
            gateway.close()
        except AssertionError as e:
            errors.append(str(e))
    for directory in foreign:
        shutil.rmtree(directory, ignore_errors=True)
    assert not errors, '\n'.join(errors)


@pytest.fixture
def gatewayctl(bus):
    """gatewayctl(*arguments) on the session bus."""
    return Ctl(bus.address)


@pytest.fixture
def modbus_device(tmp_path):
    """modbus_device(*arguments) starts the simulated device on libmodbus' server side; its port is `.port`."""
    running = []

    def start(*arguments):
        process = Process([paths.PEERS / 'modbus-device', *arguments],
                          log=tmp_path / f'modbus-device-{len(running)}.log')
        running.append(process)
        process.port = int(process.wait_line(re.compile(r'^listening on .*:(\d+)$', re.MULTILINE))[1])
        return process

    yield start
    for process in running:
        process.close()


@pytest.fixture
def field(request):
    """field(**options) starts a programmable Modbus device: tests/peers/field_device.py."""
    running = []

    def start(**options):
        device = field_device.FieldDevice(**options)
        running.append(device)
        return device

    yield start
    for device in running:
        device.close()


@pytest.fixture
def pymodbus_device():
    """pymodbus_device(**options) starts a pymodbus server: tests/peers/pymodbus_server.py."""
    running = []

    def start(**options):
        server = pymodbus_server.PymodbusServer(**options)
        running.append(server)
        return server

    yield start
    for server in running:
        server.close()
