# SPDX-License-Identifier: Apache-2.0
"""The bus comes late, goes, comes back, hangs, or is not wanted."""

import signal

import pytest

from harness.bus import DEVICE, ROOT_PATH, Bus, BusClient, device_path
from harness.config import NATIVE, data, master, remote
from harness.waiting import DEADLINE, wait_until

PLC = 'modbus_master/plc'
PATH = device_path(PLC)


def config(port, device_port=1):
    return NATIVE.config([master('plc', device_port, [remote(1, [data('word')])])], port)


@pytest.fixture
def late_bus(service_user):
    """A bus that has not been started yet."""
    bus = Bus(system=True)
    yield bus
    bus.close()


def test_start_before_the_bus(late_bus, gatewayd, event_server, eventer, service_user):
    gatewayd(config(event_server.port), late_bus, user=service_user.pw_uid, group=service_user.pw_gid)
    # ready without a bus, and at work
    eventer.wait(f'{NATIVE.prefix(PLC)}/gateway/running', False)
    late_bus.start()
    with BusClient(late_bus) as client:
        wait_until(client.owner, 'the name is owned')
        assert client.device(PLC, 'Name') == 'plc'


def test_directory_of_the_bus_comes_late(tmp_path, gatewayd, event_server):
    class Nowhere:
        address = f'unix:path={tmp_path}/not/yet/socket'

    gatewayd(config(event_server.port), Nowhere)


def test_bus_restarts(start_service, system_bus, system_bus_client, event_server, eventer, field):
    prefix = NATIVE.prefix(PLC)
    device = field()
    gateway = start_service(config(event_server.port, device.port))
    eventer.register(f'{prefix}/system/enable', True)
    eventer.wait(f'{prefix}/gateway/running', True)
    wait_until(lambda: system_bus_client.device(PLC, 'Link') == 'up', 'connected')
    since = eventer.mark()
    n_fds = gateway.process.n_fds()

    for _ in range(3):
        system_bus_client.close()
        system_bus.restart()
        with BusClient(system_bus) as client:
            mark = client.mark()
            wait_until(client.owner, 'the name is owned again')
            assert client.device(PLC, 'State') == 'running'
            assert DEVICE in client.managed_objects()[PATH]
            client.call(PATH, DEVICE, 'Restart')
            client.wait_signal('StateChanged', PATH, mark, lambda i: i.body[1] == 'running')
            wait_until(lambda: client.device(PLC, 'Link') == 'up', 'connected')
    # the field noticed nothing but the three restarts
    eventer.wait_payloads(f'{prefix}/gateway/running', [False, True] * 3, since)
    wait_until(lambda: gateway.process.n_fds() <= n_fds, 'descriptors as before')


def test_objects_are_announced_again(start_service, system_bus, event_server, eventer):
    """Held while the bus is made anew, so that the listener is there before the gateway comes back."""
    gateway = start_service(config(event_server.port))
    eventer.wait(f'{NATIVE.prefix(PLC)}/gateway/running', False)
    gateway.process.signal(signal.SIGSTOP)
    system_bus.restart()
    with BusClient(system_bus) as client:
        assert client.owner() is None
        gateway.process.signal(signal.SIGCONT)
        client.wait_signal('InterfacesAdded', ROOT_PATH, where=lambda i: i.body[0] == PATH and DEVICE in i.body[1])


def test_second_instance(service, gatewayd, system_bus, system_bus_client, service_user, event_server):
    owner = system_bus_client.owner()
    second = gatewayd(config(event_server.port), system_bus, user=service_user.pw_uid, group=service_user.pw_gid, wait=False)
    assert second.process.wait() == 1
    assert 'another gatewayd is running' in second.log_text()
    assert 'READY=1' not in second.notify.messages
    assert system_bus_client.owner() == owner


def test_no_bus_wanted(gatewayd, event_server, eventer, system_bus_client):
    class Without:
        address = 'none'

    gatewayd(config(event_server.port), Without)
    eventer.wait(f'{NATIVE.prefix(PLC)}/gateway/running', False)
    assert system_bus_client.owner() is None


@pytest.mark.parametrize('address', ['nonsense', 'unix:', ''])
def test_address_that_cannot_be_used(gatewayd, event_server, address):
    class Wrong:
        pass

    Wrong.address = address
    gateway = gatewayd(config(event_server.port), Wrong, wait=False)
    assert gateway.process.wait() == 1
    assert 'Cannot use D-Bus' in gateway.log_text()


def test_hanging_bus_does_not_hold_us(start_service, system_bus, event_server, eventer, field):
    """A stopped broker: the gateway works on, takes no more memory for it, and ends in time."""
    prefix = NATIVE.prefix(PLC)
    device = field()
    gateway = start_service(config(event_server.port, device.port), log_level='info')
    system_bus.process.signal(signal.SIGSTOP)
    try:
        for enable in [True, False] * 400:
            eventer.register(f'{prefix}/system/enable', enable)
        wait_until(lambda: eventer.payloads(f'{prefix}/gateway/running')[-1:] == [False], 'the last event counts')
        gateway.stop()
    finally:
        system_bus.process.signal(signal.SIGCONT)


def test_bus_that_was_given_up_comes_back(start_service, system_bus, event_server, eventer, service_user):
    """More edges than are kept for a stopped broker: it is given up, and taken again when it goes on; that it still knows
    our last connection then is no reason to end."""
    prefix = NATIVE.prefix(PLC)
    gateway = start_service(config(event_server.port), log_level='info')
    system_bus.process.signal(signal.SIGSTOP)
    try:
        def given_up():
            for i in range(50):
                eventer.register(f'{prefix}/system/enable', i % 2 == 0)
            return 'D-Bus is lost' in gateway.log_text()

        wait_until(given_up, 'the bus is given up', 4 * DEADLINE)
    finally:
        system_bus.process.signal(signal.SIGCONT)
    with BusClient(system_bus) as client:
        wait_until(lambda: client.owner() and 'On D-Bus' in gateway.log_text().split('D-Bus is lost')[1], 'taken again')
        wait_until(lambda: client.device(PLC, 'State') == 'disabled', 'the gateway answers')
    assert gateway.process.running


def test_name_is_given_back_at_the_end(service, system_bus_client):
    assert system_bus_client.owner()
    mark = system_bus_client.mark()
    service.stop()
    wait_until(lambda: system_bus_client.owner() is None, 'the name is free')
    # what was pending has been sent
    system_bus_client.wait_signal('PropertiesChanged', ROOT_PATH, mark, lambda i: i.body[1].get('State') == 'stopping')
