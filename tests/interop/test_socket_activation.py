# SPDX-License-Identifier: Apache-2.0
"""Listening sockets that come from the service manager: listen: fd:NAME, tried with systemd-socket-activate."""

import socket

from harness.config import NATIVE, slave, slave_data
from harness.gateway import activate
from harness.ports import free_port
from harness.waiting import wait_until

from modbus_clients import RawClient, read

VIEW = 'modbus_slave/view'
PREFIX = NATIVE.prefix(VIEW)
BORROWED = {'local_host': ..., 'local_port': ..., 'listen': 'fd:modbus-server'}


def connect_when_listening(port):
    def attempt():
        try:
            return RawClient(port)
        except ConnectionRefusedError:
            return None

    return wait_until(attempt, f'port {port} listens')


def test_borrowed_listener(event_server, eventer, bus, bus_client, gatewayd):
    port = free_port()
    eventer.register_many([(f'{PREFIX}/system/enable', True), (f'{PREFIX}/system/data/x', {'value': 0x1234})])
    gateway = gatewayd(NATIVE.config([slave('view', 0, [slave_data('x')], **BORROWED)], event_server.port),
                       prefix=activate(('modbus-server', port)), wait=False)

    # The connection that starts the service is served by it.
    with connect_when_listening(port) as client:
        gateway.wait_ready()
        assert client.request(1, read(3, 0, 1)) == b'\x03\x02\x12\x34'
        eventer.wait(f'{PREFIX}/gateway/connections', where=lambda p: len(p) == 1 and p[0]['remote'] == client.local)

        # Disabled: the connection ends, the listener stays the service manager's.
        since = eventer.mark()
        eventer.register(f'{PREFIX}/system/enable', False)
        eventer.wait(f'{PREFIX}/gateway/running', False, since=since)
        client.wait_closed()

    # Who connects meanwhile waits in the backlog and is served by the next run.
    with RawClient(port) as client:
        client.send(client.frame(1, read(3, 0, 1)))
        assert client.silent(0.2)
        eventer.register(f'{PREFIX}/system/enable', True)
        assert client.receive() == (1, b'\x03\x02\x12\x34')


def test_missing_and_unknown_descriptors(event_server, eventer, bus, bus_client, gatewayd):
    """A descriptor that did not come fails its device only; one that nobody wants is closed and named."""
    port, other = free_port(), free_port()
    eventer.register_many([(f'{NATIVE.prefix(i)}/system/enable', True) for i in (VIEW, 'modbus_slave/own')])
    gateway = gatewayd(NATIVE.config([slave('view', 0, [slave_data('x')], **BORROWED),
                                      slave('own', other, [slave_data('x')])], event_server.port),
                       prefix=activate(('stranger', port)), wait=False)
    connect_when_listening(port).close()
    gateway.wait_ready()
    eventer.wait(f'{NATIVE.prefix("modbus_slave/own")}/gateway/running', True)
    properties = wait_until(lambda: next((i for i in [bus_client.device(VIEW)] if i['State'] == 'failed'), None),
                            lambda: bus_client.device(VIEW, 'State'))
    assert properties['StateReason'] == 'not-found'
    assert 'modbus-server' in properties['StateDetail'] and 'socket' in properties['StateDetail']
    assert set(eventer.payloads(f'{PREFIX}/gateway/running')) == {False}        # one for each try
    with RawClient(other) as client:
        assert client.request(1, read(3, 0, 1)) == b'\x03\x02\x00\x00'

    assert 'stranger' in gateway.log_text()

    def closed():
        with socket.socket() as s:
            return s.connect_ex(('127.0.0.1', port)) != 0

    wait_until(closed, 'the unknown descriptor is closed')
