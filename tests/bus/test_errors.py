# SPDX-License-Identifier: Apache-2.0
"""Every error by its name, from a real cause."""

import pytest

from hat.event import common

from harness import background
from harness.bus import DEVICE, ERROR, MANAGER, NAME, ROOT_PATH, BusError, device_path
from harness.config import NATIVE, data, master, remote
from harness.waiting import wait_until

from scripted_server import ScriptedServer

PLC = 'modbus_master/plc'
PATH = device_path(PLC)
STANDARD = 'org.freedesktop.DBus.Error.'


@pytest.fixture
def scripted(start_service, system_bus_client):
    """The gateway at a scripted server that is operational."""
    server = ScriptedServer()
    start_service(NATIVE.config([master('plc', 1, [remote(1, [data('word')])])], server.port))
    wait_until(lambda: system_bus_client.device(PLC, 'EnabledKnown'), 'the enable query is answered')
    yield server
    server.close()


@pytest.fixture
def refused(system_bus_client):
    """refused(member, …) calls a method of the device and returns the name of the error."""
    def call(member, signature='', *arguments, path=PATH, interface=DEVICE, **options):
        with pytest.raises(BusError) as e:
            system_bus_client.call(path, interface, member, signature, *arguments, **options)
        assert e.value.text
        return e.value.name

    return call


def test_no_such_device(service, refused):
    assert refused('GetDevice', 'ss', 'modbus_master', 'nobody', path=ROOT_PATH, interface=MANAGER) == ERROR + 'NoSuchDevice'
    assert refused('Enable', path=device_path('modbus_master/nobody')) == STANDARD + 'UnknownObject'
    assert refused('Enable', path=device_path('nothing/plc')) == STANDARD + 'UnknownObject'


def test_not_enabled(service, refused, system_bus_client):
    wait_until(lambda: system_bus_client.device(PLC, 'EnabledKnown'), 'the enable query is answered')
    assert refused('Restart') == ERROR + 'NotEnabled'


def test_unknown_option_and_wrong_arguments(service, refused):
    from dbus_fast import Variant
    assert refused('SetEnabled', 'ba{sv}', True, {'persist': Variant('b', True)}) == STANDARD + 'InvalidArgs'
    assert refused('SetEnabled', 'b', True) == STANDARD + 'InvalidArgs'
    assert refused('Reload') == STANDARD + 'UnknownMethod'
    assert refused('Set', 'ssv', DEVICE, 'Enabled', Variant('b', True),
                   interface='org.freedesktop.DBus.Properties') == STANDARD + 'PropertyReadOnly'


def test_not_connected(service, refused, event_server, system_bus_client):
    event_server.kill()
    wait_until(lambda: system_bus_client.manager('EventServerState') in ('disconnected', 'connecting'), 'the loss is noticed')
    for member in ('Enable', 'Disable', 'Restart'):
        assert refused(member) == ERROR + 'NotConnected'
    assert refused('SetEnabled', 'ba{sv}', True, {}) == ERROR + 'NotConnected'
    assert system_bus_client.device(PLC, 'EnabledKnown') is False


def test_not_operational(scripted, refused, system_bus_client):
    scripted.answer = 'refuse'
    assert refused('Enable') == ERROR + 'NotOperational'
    scripted.set_status(common.Status.STANDBY)
    wait_until(lambda: system_bus_client.manager('EventServerState') == 'standby', 'the status is known')
    assert refused('Enable') == ERROR + 'NotOperational'
    assert refused('Restart') == ERROR + 'NotConnected'  # no engine is asked for first


def test_timeout_and_limit(scripted, refused, system_bus_client):
    """64 calls that the event server does not answer, one more, and 10 s later the end of all."""
    scripted.answer = 'silent'

    async def call_all(calls):
        import asyncio
        return await asyncio.gather(*calls, return_exceptions=True)

    from dbus_fast import Message
    connection = system_bus_client._connection
    calls = [connection.call(Message(destination=NAME, path=PATH, interface=DEVICE, member='Enable')) for _ in range(65)]
    names = [i.error_name for i in background.run(call_all(calls), 30)]
    assert sorted(set(names)) == [STANDARD + 'LimitsExceeded', STANDARD + 'Timeout']
    assert names.count(STANDARD + 'LimitsExceeded') == 1
    scripted.answer = 'accept'
