# SPDX-License-Identifier: Apache-2.0
"""The daemon that keeps events itself, as people meet it: on D-Bus, over restarts, with what ends a start and what degrades it."""

import contextlib
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import tempfile

import pytest
from hat.event.eventer import EventerInitError

from harness.bus import DEVICE, ERROR, MANAGER, ROOT_PATH, BusError, device_path
from harness.config import NATIVE, data, master, remote
from harness.eventer import Eventer, is_operational, payload
from harness.gateway import activate
from harness.ports import connects, free_port
from harness.waiting import wait_until

PLC = 'modbus_master/plc'
PATH = device_path(PLC)
ENABLE = f'{NATIVE.prefix(PLC)}/system/enable'.split('/')
FREEDESKTOP_ERROR = 'org.freedesktop.DBus.Error.'


def config(port=1, **embedded):
    """Without arguments as short as it can be: there is no event_server."""
    main = {'event_server': {'embedded': embedded}} if embedded else {}
    return NATIVE.config([master('plc', port, [remote(1, [data('word')])])], **main)


@contextlib.contextmanager
def directory(owner=None):
    path = pathlib.Path(tempfile.mkdtemp(prefix='gatewayd-state-'))
    if owner:
        os.chown(path, owner.pw_uid, owner.pw_gid)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def state(service_user):
    """A state directory of the service user that outlives the daemon."""
    with directory(service_user) as path:
        yield path


@pytest.fixture
def root_state():
    with directory() as path:
        yield path


def connected(path):
    """A connection, or None where nobody listens yet."""
    client = socket.socket(socket.AF_UNIX)
    try:
        client.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        client.close()
        return None
    return client


def in_state(path):
    return {'env': {'STATE_DIRECTORY': str(path)}}


def wait_state(client, state):
    wait_until(lambda: client.device(PLC, 'State') == state, f'the device is {state}')


# ---- enabling

def test_without_event_server_in_the_configuration(start_service, system_bus_client, field, state):
    device = field()
    gateway = start_service(config(device.port), **in_state(state))
    manager = system_bus_client.manager()
    path = pathlib.Path(manager['EventServer'].removeprefix('unix:'))
    assert path.name == 'eventer.sock' and stat.S_IMODE(path.stat().st_mode) == 0o660
    assert manager['EventStorage'] == 'working' and manager['EventStorageDetail'] == ''
    system_bus_client.wait_operational()
    wait_until(lambda: system_bus_client.device(PLC, 'EnabledKnown'), 'the query was answered')
    assert system_bus_client.device(PLC, 'State') == 'disabled'

    system_bus_client.call(PATH, DEVICE, 'Enable')
    wait_until(lambda: system_bus_client.device(PLC, 'Link') == 'up', 'the device is up')
    gateway.stop()
    assert not path.exists()

    # what was enabled runs again
    start_service(config(device.port), **in_state(state))
    wait_until(lambda: system_bus_client.device(PLC, 'Link') == 'up', 'the device is up')


def test_kill_keeps_what_was_answered(start_service, system_bus_client, state):
    for enable in (True, False, True):
        gateway = start_service(config(), **in_state(state))
        system_bus_client.wait_operational()
        system_bus_client.call(PATH, DEVICE, 'SetEnabled', 'ba{sv}', enable, {})
        gateway.kill()
        wait_until(lambda: system_bus_client.owner() is None, 'the name is free')
        gateway = start_service(config(), **in_state(state))
        wait_until(lambda: system_bus_client.device(PLC, 'EnabledKnown'), 'the query was answered')
        assert system_bus_client.device(PLC, 'Enabled') is enable
        gateway.stop()


def test_initial_counts_once(start_service, system_bus_client, state):
    shipped = config(initial=[{'type': ENABLE, 'payload': True}])
    gateway = start_service(shipped, **in_state(state))
    wait_state(system_bus_client, 'running')
    system_bus_client.call(PATH, DEVICE, 'Disable')
    wait_state(system_bus_client, 'disabled')
    gateway.stop()
    start_service(shipped, **in_state(state))
    wait_until(lambda: system_bus_client.device(PLC, 'EnabledKnown'), 'the query was answered')
    assert system_bus_client.device(PLC, 'State') == 'disabled'


def test_memory_forgets(start_service, system_bus_client, state):
    in_memory = config(path=':memory:')
    gateway = start_service(in_memory, **in_state(state))
    system_bus_client.wait_operational()
    system_bus_client.call(PATH, DEVICE, 'Enable')
    wait_state(system_bus_client, 'running')
    gateway.stop()
    assert not list(state.iterdir())
    start_service(in_memory, **in_state(state))
    wait_until(lambda: system_bus_client.device(PLC, 'EnabledKnown'), 'the query was answered')
    assert system_bus_client.device(PLC, 'State') == 'disabled'


# ---- others connect

def test_passed_socket(gatewayd, bus, bus_client):
    """The connection that starts the service is served by it."""
    port = free_port()
    gateway = gatewayd(config(path=':memory:', listen=['fd:eventer']), wait=False, prefix=activate(('eventer', port)))
    wait_until(lambda: is_operational(port), 'the first connection is served')
    gateway.wait_ready()
    assert bus_client.manager('EventServer') == f'tcp:127.0.0.1:{port}'
    with Eventer(port) as eventer:
        eventer.register('/'.join(ENABLE), True)
        eventer.wait(f'{NATIVE.prefix(PLC)}/gateway/running', True)
        since = eventer.mark()
        gateway.process.signal(signal.SIGTERM)
        # they hear of the end
        eventer.wait(f'{NATIVE.prefix(PLC)}/gateway/running', False, since)
        eventer.wait('event/1/engine', 'STOPPED', since)
        assert gateway.process.wait() == 0


def test_passed_socket_for_all(gatewayd, bus):
    """As with an address of the configuration: not without a token."""
    port = free_port()
    prefix = activate(('eventer', f'0.0.0.0:{port}'))
    gateway = gatewayd(config(path=':memory:', listen=['fd:eventer']), wait=False, prefix=prefix)
    wait_until(lambda: connects(port), 'somebody listens')
    assert gateway.process.wait() == 1
    assert 'anybody could connect: give client_token' in gateway.log_text()

    gateway = gatewayd(config(path=':memory:', listen=['fd:eventer'], client_token='secret'), wait=False, prefix=prefix)
    wait_until(lambda: connects(port), 'somebody listens')
    gateway.wait_ready()


@pytest.mark.parametrize('listen', [{'listen': ['fd:eventer']}, {}], ids=['named', 'default'])
def test_passed_unix_socket(gatewayd, bus, bus_client, listen):
    """As gatewayd-eventer.socket passes it: gatewayctl finds it by EventServer, and it stays."""
    with directory() as run:
        path = run / 'eventer.sock'
        gateway = gatewayd(config(path=':memory:', **listen), wait=False, prefix=activate(('eventer', path)))
        with wait_until(lambda: connected(path), 'somebody listens'):
            gateway.wait_ready()
        assert bus_client.manager('EventServer') == f'unix:{path}'
        gateway.stop()
        assert path.exists()


def test_token(gatewayd, bus, bus_client):
    """It is asked of others over TCP, not of the gateway itself."""
    port = free_port()
    gatewayd(config(path=':memory:', listen=[f'tcp:127.0.0.1:{port}'], client_token='secret'))
    bus_client.wait_operational()
    with pytest.raises(EventerInitError):
        Eventer(port)


# ---- export

def export(client, fd):
    return client.call(ROOT_PATH, MANAGER, 'ExportEvents', 'h', 0, fds=[fd])


def refused_export(client, fd):
    with pytest.raises(BusError) as e:
        export(client, fd)
    return e.value.name


def test_export(start_service, system_bus_client, state, tmp_path, service_user):
    gateway = start_service(config(initial=[{'type': ENABLE, 'payload': True}]), **in_state(state))
    wait_state(system_bus_client, 'running')
    copy = tmp_path / 'copy.db'
    with open(copy, 'wb') as file:
        export(system_bus_client, file.fileno())
    with contextlib.closing(sqlite3.connect(copy)) as database:
        assert database.execute('PRAGMA integrity_check').fetchall() == [('ok',)]
    assert {i.name for i in state.iterdir()} <= {'events.db', 'events.db-wal', 'events.db-shm'}     # nothing is left behind
    gateway.stop()

    # it is a database to start from
    with directory(service_user) as other:
        shutil.copy(copy, other / 'events.db')
        os.chown(other / 'events.db', service_user.pw_uid, service_user.pw_gid)
        gateway = start_service(config(), **in_state(other))
        wait_state(system_bus_client, 'running')
        gateway.stop()


def test_export_wants_a_regular_file_to_write(start_service, system_bus_client, state, tmp_path):
    start_service(config(), **in_state(state))
    (tmp_path / 'file').touch()
    reading, writing = os.pipe()
    descriptors = [reading, writing, os.open(tmp_path / 'file', os.O_RDONLY), os.open(tmp_path / 'file', os.O_PATH),
                   os.open(tmp_path, os.O_RDONLY), os.open('/dev/null', os.O_WRONLY)]
    try:
        for fd in descriptors:
            assert refused_export(system_bus_client, fd) == FREEDESKTOP_ERROR + 'InvalidArgs'
    finally:
        for fd in descriptors:
            os.close(fd)
    assert (tmp_path / 'file').stat().st_size == 0


def test_export_never_writes_over_the_database(start_service, system_bus_client, state):
    gateway = start_service(config(), **in_state(state))
    system_bus_client.wait_operational()
    system_bus_client.call(PATH, DEVICE, 'Enable')
    for name in 'events.db', 'events.db-wal':
        with open(state / name, 'r+b') as file:
            assert refused_export(system_bus_client, file.fileno()) == FREEDESKTOP_ERROR + 'InvalidArgs'
    gateway.stop()
    start_service(config(), **in_state(state))
    wait_state(system_bus_client, 'running')


def test_export_without_a_server_of_our_own(service, system_bus_client, tmp_path):
    assert system_bus_client.manager('EventStorage') == 'none'
    with open(tmp_path / 'copy.db', 'wb') as file:
        assert refused_export(system_bus_client, file.fileno()) == ERROR + 'NotConnected'


# ---- what ends a start

def refused_start(gatewayd, text, **options):
    gateway = gatewayd(text, wait=False, **options)
    assert gateway.process.wait() == 1
    assert not any(i.startswith('READY') for i in gateway.notify.messages)
    return gateway.log_text()


def test_database_that_is_corrupt(gatewayd, root_state, bus, bus_client):
    database = root_state / 'events.db'
    database.write_bytes(b'no database at all ' * 1000)
    log = refused_start(gatewayd, config(), **in_state(root_state))
    assert str(database) in log and 'set-aside' in log
    assert database.read_bytes() == b'no database at all ' * 1000

    gateway = gatewayd(config(on_corruption='set-aside'), **in_state(root_state))
    bus_client.wait_operational()
    [aside] = root_state.glob('events.db.corrupt-*')
    assert aside.read_bytes() == b'no database at all ' * 1000
    assert f'{database} was damaged. It is now {aside}' in gateway.log_text()


def overwrite_inside(database):
    """Pages in the middle of `latest`, which a start does not read. Returns a function that says whether a file has them."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        pages = [i for i, in connection.execute("SELECT pageno FROM dbstat WHERE name = 'latest' AND pagetype = 'leaf'")]
    assert len(pages) > 3
    places = [(page - 1) * 4096 for page in pages[1:-1]]
    with open(database, 'r+b') as file:
        for place in places:
            file.seek(place)
            file.write(b'x' * 4096)
    return lambda path: all(path.read_bytes()[i:i + 4096] == b'x' * 4096 for i in places)


@pytest.mark.parametrize('on_corruption', ['refuse', 'set-aside'])
def test_database_that_turns_out_corrupt(gatewayd, root_state, bus, bus_client, on_corruption):
    """The start does not read through it: the damage is found by whoever comes upon it."""
    port = free_port()
    text = config(listen=[f'tcp:127.0.0.1:{port}'], on_corruption=on_corruption, initial=[{'type': ENABLE, 'payload': True}])
    database = root_state / 'events.db'
    gateway = gatewayd(text, **in_state(root_state))
    with Eventer(port) as eventer:
        for i in range(100):
            eventer.register(f'old/{i}', 'x' * 200)
    gateway.stop()
    is_damaged = overwrite_inside(database)

    gateway = gatewayd(text, **in_state(root_state))
    wait_state(bus_client, 'running')

    def registered():
        with contextlib.suppress(ConnectionError), Eventer(port) as eventer:
            return eventer.register('old/50', 'new')
        return None

    if on_corruption == 'refuse':
        with contextlib.suppress(AssertionError):       # its answer is a failure, or none
            assert not registered()
        assert gateway.process.wait() == 1
        assert gateway.log_text().count(f'{database} is damaged') == 1
        assert is_damaged(database) and not list(root_state.glob('*corrupt*'))
        return

    wait_until(registered, 'there is a database that takes it')
    [aside] = root_state.glob('events.db.corrupt-*[0-9Z]')
    assert is_damaged(aside)
    assert f'{database} was damaged. It is now {aside}' in gateway.log_text()
    wait_state(bus_client, 'running')           # what is initial is so again
    gateway.stop()
    gatewayd(text, **in_state(root_state))
    with Eventer(port) as eventer:
        assert payload(eventer.latest('old/50')) == 'new'


@pytest.mark.parametrize('on_corruption', ['refuse', 'set-aside'])
def test_database_of_a_newer_version(gatewayd, root_state, bus, on_corruption):
    gatewayd(config(), **in_state(root_state)).stop()
    database = root_state / 'events.db'
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute('PRAGMA user_version = 1000000')
    log = refused_start(gatewayd, config(on_corruption=on_corruption), **in_state(root_state))
    assert str(database) in log and 'newer' in log
    assert database.exists() and not list(root_state.glob('*corrupt*'))


def test_database_that_another_one_uses(gatewayd, root_state, bus):
    gatewayd(config(), **in_state(root_state))
    log = refused_start(gatewayd, config(), env={'STATE_DIRECTORY': str(root_state)})
    assert f'{root_state}/events.db is in use by another process' in log


@pytest.mark.parametrize('directory_variable', ['STATE_DIRECTORY', 'RUNTIME_DIRECTORY'])
def test_directory_that_cannot_be_made(gatewayd, bus, directory_variable, tmp_path):
    (tmp_path / 'file').touch()
    log = refused_start(gatewayd, config(), env={directory_variable: str(tmp_path / 'file/below')})
    assert f'Cannot make the folder {tmp_path}/file/below' in log and 'Not a directory' in log


def test_address_that_is_taken(gatewayd, bus):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        address = f'tcp:127.0.0.1:{taken.getsockname()[1]}'
        log = refused_start(gatewayd, config(path=':memory:', listen=[address]))
    assert f'Cannot listen on {address}: Address already in use' in log


def test_socket_that_was_not_passed(gatewayd, bus):
    log = refused_start(gatewayd, config(path=':memory:', listen=['fd:eventer']))
    assert re.search('Cannot listen on fd:eventer: .*socket unit', log)


# ---- what degrades it, or would

@pytest.fixture
def small_disk(root_state):
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=2m,mode=0755', 'tmpfs', root_state], check=True)
    yield root_state
    subprocess.run(['umount', '--lazy', root_state], check=True)


def fill(disk):
    filler = disk / 'filler'
    with open(filler, 'wb', buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b'x' * 4096)
    return filler


def test_file_size_limit(gatewayd, bus, bus_client, root_state):
    """LimitFSIZE=: as a full disk, not the end of the process."""
    gateway = gatewayd(config(), **in_state(root_state))
    bus_client.wait_operational()
    _, hard = resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (1, hard))
    with pytest.raises(BusError):
        bus_client.call(PATH, DEVICE, 'Enable')
    assert bus_client.manager('EventStorage') == 'failing'
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (hard, hard))
    wait_until(lambda: bus_client.manager('EventStorage') == 'working', 'it recovers')
    gateway.stop()


def remount(disk, size):
    subprocess.run(['mount', '-o', f'remount,size={size}', disk], check=True)


def test_export_leaves_room(gatewayd, bus, bus_client, small_disk, tmp_path):
    """A copy does not fill the disk of the database: nobody's registration fails, and there is nothing to tidy up."""
    port = free_port()
    gatewayd(config(listen=[f'tcp:127.0.0.1:{port}']), **in_state(small_disk))
    bus_client.wait_operational()

    def space_refused(path):
        before = {i.name for i in small_disk.iterdir()}
        with open(path, 'wb') as file, pytest.raises(BusError, match=r'a copy needs \d+ KiB of free space at .*, where there are') as e:
            export(bus_client, file.fileno())
        assert e.value.name == FREEDESKTOP_ERROR + 'Failed'
        assert {i.name for i in small_disk.iterdir()} <= before | {path.name} and path.stat().st_size == 0
        bus_client.call(PATH, DEVICE, 'Enable')
        assert bus_client.manager('EventStorage') == 'working'

    space_refused(tmp_path / 'copy.db')

    # room for the copy beside the database, but not for another one
    remount(small_disk, '64m')
    with Eventer(port) as eventer:
        for i in range(2):
            eventer.register(f'big/{i}', 'x' * (3 << 20))
    elsewhere = tmp_path / 'copy.db'
    with open(elsewhere, 'wb') as file:
        export(bus_client, file.fileno())
    size = elsewhere.stat().st_size
    assert size > 6 << 20
    left = os.statvfs(small_disk)
    remount(small_disk, (left.f_blocks - left.f_bavail) * left.f_frsize + size * 3 // 2 + (4 << 20))
    space_refused(small_disk / 'copy.db')
    with open(elsewhere, 'wb') as file:
        export(bus_client, file.fileno())
    remount(small_disk, '64m')
    with open(small_disk / 'copy.db', 'wb') as file:
        export(bus_client, file.fileno())


def test_disk_full(gatewayd, bus, bus_client, gatewayctl, small_disk):
    gateway = gatewayd(config(), log_level='info', **in_state(small_disk))
    bus_client.wait_operational()
    wait_until(lambda: bus_client.manager('State') == 'running', 'ready')
    mark = bus_client.mark()
    filler = fill(small_disk)

    def enable_until_refused():
        try:
            bus_client.call(PATH, DEVICE, 'Enable')
            return None
        except BusError as e:
            return e.name

    assert wait_until(enable_until_refused, 'the disk is full') == ERROR + 'NotOperational'
    bus_client.wait_signal('PropertiesChanged', ROOT_PATH, mark, lambda i: i.body[1].get('EventStorage') == 'failing')
    manager = bus_client.manager()
    assert (manager['EventStorage'], manager['State']) == ('failing', 'degraded')
    assert manager['EventStorageDetail']
    assert f'Event storage: {manager["EventStorageDetail"]}\n' in gatewayctl('status').stdout
    wait_until(lambda: any('events cannot be stored' in i for i in gateway.notify.messages), 'the status line says so')

    mark = bus_client.mark()
    filler.unlink()
    bus_client.wait_signal('PropertiesChanged', ROOT_PATH, mark, lambda i: i.body[1].get('EventStorage') == 'working')
    manager = bus_client.manager()
    assert (manager['EventStorage'], manager['EventStorageDetail'], manager['State']) == ('working', '', 'running')
    bus_client.call(PATH, DEVICE, 'Enable')
    assert 'Event storage' not in gatewayctl('status').stdout
    wait_until(lambda: 'events cannot be stored' not in [i for i in gateway.notify.messages if i.startswith('STATUS=')][-1],
               'the status line says no more of it')
    log = gateway.log_text()
    fill(small_disk)
    gateway.stop()                      # in time, whatever the disk does
    assert log.count('takes no events') == 1 and log.count('takes events again') == 1
