# SPDX-License-Identifier: Apache-2.0
"""The event server is killed in the middle and comes back: the engine ends and is made anew, again and again."""

import time

import pytest

from harness.config import data, master, remote, slave, slave_data
from harness.eventer import payload
from harness.ports import free_port
from harness.waiting import wait_until

PLC = 'modbus_master/plc'
SLAVE = 'modbus_slave/view'
RESTARTS = 20
SETTLED = 5             # memory and descriptors are compared from here on
MEMORY_GROWTH_KIB = 256

pytestmark = pytest.mark.event_servers('hat-event', 'embedded')


def wait_anew(eventer, kind, value, after):
    """Waits until the last event of the type has this payload and was registered after that server time."""
    def check():
        event = eventer.latest(kind)
        return event and event.timestamp.s + event.timestamp.us / 1e6 > after and payload(event) == value

    wait_until(check, lambda: f'{kind} {value!r}, last: {eventer.latest(kind)}', interval=0.02)


@pytest.fixture
def running_gateway(own_form, event_server, eventer, bus, gatewayd, field):
    """A gateway with a master and a slave, both enabled for good, and the peer of the master."""
    device = field()
    device.holding[0] = 42
    config = own_form.config([master('plc', device.port, [remote(1, [data('word')])]),
                              slave('view', free_port(), [slave_data('word')])], event_server.port)
    for name in (PLC, SLAVE):
        eventer.register_persisted(f'{own_form.prefix(name)}/system/enable', True)
    eventer.register_persisted(f'{own_form.prefix(PLC)}/system/remote_device/1/enable', True)
    gateway = gatewayd(config)
    eventer.wait(f'{own_form.prefix(PLC)}/gateway/remote_device/1/status', 'CONNECTED')
    eventer.wait(f'{own_form.prefix(SLAVE)}/gateway/running', True)
    return gateway, device


def kill_and_return(event_server, eventer, bus_client, form, device):
    """One cycle, with all that must be seen on the way."""
    event_server.kill()
    wait_until(lambda: [bus_client.device(i, 'State') for i in (PLC, SLAVE)] == ['waiting', 'waiting'],
               lambda: f'devices wait, master is {bus_client.device(PLC, "State")}')
    properties = bus_client.device(PLC)
    assert properties['StateReason'] == 'no-event-server'
    assert (properties['Enabled'], properties['EnabledKnown'], properties['Running']) == (True, False, False)
    assert bus_client.manager('EventServerState') in ('disconnected', 'connecting')
    wait_until(lambda: device.connected == 0, 'the field connection is closed')

    after = time.time()
    event_server.start()
    eventer.connect()
    plc = form.prefix(PLC)
    wait_anew(eventer, f'{plc}/gateway/running', True, after)
    wait_anew(eventer, f'{form.prefix(SLAVE)}/gateway/running', True, after)
    wait_anew(eventer, f'{form.prefix(SLAVE)}/gateway/connections', [], after)
    wait_anew(eventer, f'{plc}/gateway/status', 'CONNECTED', after)
    wait_anew(eventer, f'{plc}/gateway/remote_device/1/status', 'CONNECTED', after)
    wait_anew(eventer, f'{plc}/gateway/remote_device/1/read/word',
              {'result': 'SUCCESS', 'value': 42, 'cause': 'INTERROGATE'}, after)
    wait_until(lambda: [bus_client.device(i, 'State') for i in (PLC, SLAVE)] == ['running', 'running'], 'running again')
    assert bus_client.device(PLC, 'EnabledKnown') is True


@pytest.mark.timeout(300)
def test_twenty_restarts(running_gateway, own_form, event_server, eventer, bus_client):
    gateway, device = running_gateway
    for i in range(RESTARTS):
        kill_and_return(event_server, eventer, bus_client, own_form, device)
        if i == SETTLED - 1:
            n_fds = gateway.process.n_fds()
    assert gateway.process.n_fds() == n_fds


@pytest.mark.release
@pytest.mark.timeout(300)
def test_memory_of_twenty_restarts(running_gateway, own_form, event_server, eventer, bus_client):
    gateway, device = running_gateway
    for i in range(RESTARTS):
        kill_and_return(event_server, eventer, bus_client, own_form, device)
        if i == SETTLED - 1:
            before = gateway.process.memory_kib()
    assert gateway.process.memory_kib() - before <= MEMORY_GROWTH_KIB


def test_disabled_while_away(running_gateway, own_form, event_server, eventer, bus_client):
    """The event server's truth counts: what was enabled and is disabled behind our back stays off."""
    plc = own_form.prefix(PLC)
    event_server.kill()
    wait_until(lambda: bus_client.device(PLC, 'State') == 'waiting', 'the device waits')

    # Registered at the server before the gateway's next attempt or after: the result is the same.
    event_server.start()
    eventer.connect()
    eventer.register(f'{plc}/system/enable', False)
    wait_until(lambda: bus_client.device(PLC, 'State') == 'disabled', 'the device is disabled')
    wait_until(lambda: payload(eventer.latest(f'{plc}/gateway/running')) is False, 'running false is registered')
    assert bus_client.device(PLC, 'Enabled') is False


def test_starts_before_the_event_server(own_form, event_server, bus, bus_client, gatewayd, field):
    """Without an event server the gateway is ready, shows its devices and goes on trying."""
    device = field()
    event_server.kill()
    gatewayd(own_form.config([master('plc', device.port, [])], event_server.port))
    properties = bus_client.device(PLC)
    assert (properties['State'], properties['EnabledKnown']) == ('disabled', False)
    assert device.n_connections == 0
    event_server.start()
    bus_client.wait_operational()
    wait_until(lambda: bus_client.device(PLC, 'EnabledKnown'), 'the enable query is answered')
