# SPDX-License-Identifier: Apache-2.0
"""Who only looks and does not read costs bounded memory, and nobody else anything for long; who reads is answered."""

import concurrent.futures
import json
import time

import pytest

from harness.bus import DEVICE, MANAGER, ROOT_PATH, BusError, DeafClient, device_path
from harness.config import NATIVE, data, master, remote
from harness.waiting import DEADLINE, wait_until

PLC = 'modbus_master/plc'


def many(n, **more):
    """Masters that nobody enables, with much to describe: more than 5 kB each."""
    return [{**master(f'm{i}', 1, [remote(1, [data(f'data{j}', start=j) for j in range(20)])]), **more} for i in range(n)]


@pytest.fixture
def start_big(start_service, event_server, eventer, field):
    """start_big(devices, written): a gateway with those beside PLC, which runs; `.device` is its peer. What written() makes of the
    configuration is its file."""
    def start(devices, written=lambda config: config):
        device = field()
        plc = master('plc', device.port, [remote(1, [data('word')])])
        gateway = start_service(written(NATIVE.config([plc, *devices], event_server.port)))
        gateway.device = device
        eventer.wait(f'{NATIVE.prefix(PLC)}/gateway/running', False)
        for what in ('enable', 'remote_device/1/enable'):
            eventer.register(f'{NATIVE.prefix(PLC)}/system/{what}', True)
        wait_until(lambda: device.requests, 'it is polled')
        return gateway

    return start


def is_answered(client):
    """Whether the gateway answers. A bus that has just lost it says so, and so does the gateway while too much is unread."""
    try:
        client.call(ROOT_PATH, MANAGER, 'Describe')
    except BusError as e:
        assert e.name.rsplit('.', 1)[1] in ('NoReply', 'ServiceUnknown', 'LimitsExceeded')
        return False
    return True


def ask_deaf(deaf, gateway, until):
    """Asks until that holds; returns the most memory meanwhile, in KiB."""
    most, end = 0, time.monotonic() + 3 * DEADLINE
    while not until():
        assert time.monotonic() < end
        deaf.call(ROOT_PATH, MANAGER, 'Describe')
        most = max(most, gateway.process.memory_kib())
        time.sleep(0.002)       # slowly: it is not to be the bus that is busy
    return most


@pytest.mark.release
def test_bus_that_reads_no_more(start_big, system_bus, system_bus_client):
    """At 127 MiB of what one client has not read dbus-daemon reads nothing more from us. What we have to say is bounded then, and
    a new connection ends it while that client is there: the bus gives us the name again though it does not read the end of the
    old one."""
    gateway = start_big(many(200))
    assert is_answered(system_bus_client)
    before, polled = gateway.process.memory_kib(), len(gateway.device.requests)
    with DeafClient(system_bus) as deaf:
        most = ask_deaf(deaf, gateway, lambda: 'D-Bus is lost' in gateway.log_text())
        assert most <= before + (20 << 10)
        wait_until(lambda: 'On D-Bus as' in gateway.log_text().split('D-Bus is lost')[1], 'the name is ours again')
        wait_until(lambda: is_answered(system_bus_client), 'others are answered')
    assert len(gateway.device.requests) >= polled + 10
    assert gateway.process.running


def test_who_reads(start_big, system_ctl):
    """Several at a time, each of them with an answer that fills the socket."""
    start_big(many(100))

    def ask(_):
        for _ in range(4):
            assert len(system_ctl.devices()) == 101
            system_ctl('status', PLC)
        return True

    with concurrent.futures.ThreadPoolExecutor(5) as executor:
        assert all(executor.map(ask, range(5)))


def test_too_long(start_big, system_ctl, system_bus_client):
    """dbus-daemon would cut us off for more than 32 MiB."""
    text = json.dumps('x' * (12 << 20))

    def written(config):
        return json.dumps(config).replace('"TEXT"', f'&text {text}', 1).replace('"TEXT"', '*text')

    gateway = start_big(many(3, description='TEXT'), written)
    with pytest.raises(BusError) as e:
        system_bus_client.call(ROOT_PATH, MANAGER, 'Describe')
    assert e.value.name == 'org.freedesktop.DBus.Error.LimitsExceeded'
    result = system_ctl('list', check=False)
    assert result.returncode == 1
    assert result.stderr.startswith('gatewayctl: Cannot ') and 'longer than 16 MiB' in result.stderr
    assert len(result.stderr.splitlines()) == 1
    system_bus_client.call(device_path(PLC), DEVICE, 'Describe')
    assert 'D-Bus is lost' not in gateway.log_text()
