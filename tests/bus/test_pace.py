# SPDX-License-Identifier: Apache-2.0
"""What changes often is told at a bounded pace, and nobody's slowness costs us memory."""

import signal
import time

import pytest

from harness.bus import BusClient, device_path
from harness.config import NATIVE
from harness.process import Process
from harness.waiting import wait_until

PLC = 'modbus_master/plc'
PATH = device_path(PLC)
PREFIX = NATIVE.prefix(PLC)


def toggle(eventer, count, pause=0.0):
    """Enables and disables in turn."""
    begun = time.monotonic()
    for i in range(count):
        eventer.register(f'{PREFIX}/system/enable', i % 2 == 0)
        until = begun + (i + 1) * pause
        time.sleep(max(0, until - time.monotonic()))  # the rate of the changes is what is tested


def test_properties_are_coalesced(service, system_bus_client, eventer):
    mark, begun = system_bus_client.mark(), time.monotonic()
    toggle(eventer, 200, 0.01)
    wait_until(lambda: system_bus_client.device(PLC, 'State') == 'disabled' and not system_bus_client.device(PLC, 'Enabled'),
               'the last event counts')
    wait_until(lambda: [i.body[1]['Enabled'] for i in system_bus_client.signals(mark, PATH, 'PropertiesChanged')
                        if 'Enabled' in i.body[1]][-1:] == [False], 'the last value was told')
    changes, took = system_bus_client.signals(mark, PATH, 'PropertiesChanged'), time.monotonic() - begun
    edges = [i.body[:2] for i in system_bus_client.signals(mark, PATH, 'StateChanged')]
    assert len(changes) <= took * 10 + 2
    assert len(edges) > len(changes)
    assert all(a[1] == b[0] for a, b in zip(edges, edges[1:])), 'an edge is missing'
    assert len(system_bus_client.signals(mark, '/io/gatewayd/Gateway1', 'PropertiesChanged')) <= took * 10 + 2


def test_flapping_link(service, system_bus_client, eventer):
    eventer.register(f'{PREFIX}/system/enable', True)
    system_bus_client.wait_signal('LinkChanged', PATH, where=lambda i: i.body[1] == 'up')      # and what was told before
    mark, begun = system_bus_client.mark(), time.monotonic()
    while time.monotonic() < begun + 2:
        service.device.drop_connections()
        time.sleep(0.01)  # the rate of the changes is what is tested
    wait_until(lambda: system_bus_client.device(PLC, 'Link') == 'up', 'the link is up again')

    def told():
        edges = [i.body[:2] for i in system_bus_client.signals(mark, PATH, 'LinkChanged')]
        return edges if edges[-1:] and edges[-1][1] == 'up' else None

    edges = wait_until(told, 'the last edge was told')
    took = time.monotonic() - begun
    assert len(edges) <= took * 10 + 1
    assert all(a[1] == b[0] for a, b in zip(edges, edges[1:])), edges
    assert system_bus_client.signals(mark, PATH, 'StateChanged') == []


@pytest.mark.release
def test_memory_with_a_subscriber_that_does_not_read(service, system_bus, eventer, tmp_path):
    monitor = Process(['busctl', f'--address={system_bus.address}', 'monitor', 'io.gatewayd.Gateway1'], log=tmp_path / 'monitor.log')
    try:
        wait_until(lambda: 'Monitoring' in monitor.text(), 'the monitor listens')
        monitor.signal(signal.SIGSTOP)
        toggle(eventer, 500)
        before = service.process.memory_kib()
        toggle(eventer, 3000)
        assert service.process.memory_kib() <= before + 256
    finally:
        monitor.kill()


@pytest.mark.release
def test_memory_with_a_bus_that_does_not_read(service, system_bus, eventer):
    """Bounded, and all of it is given back once the bus is given up; then the gateway comes back by itself."""
    toggle(eventer, 500)
    before = service.process.memory_kib()
    system_bus.process.signal(signal.SIGSTOP)
    try:
        toggle(eventer, 6000)
        assert service.process.memory_kib() <= before + 4096
    finally:
        system_bus.process.signal(signal.SIGCONT)
    with BusClient(system_bus) as client:
        wait_until(lambda: 'On D-Bus' in service.log_text().split('D-Bus is lost')[1], 'the name is ours again')
        wait_until(lambda: client.device(PLC, 'State') == 'disabled', 'the gateway answers')
