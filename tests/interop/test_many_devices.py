# SPDX-License-Identifier: Apache-2.0
"""200 devices in one configuration."""

import pytest

from harness.config import data, master, remote
from harness.waiting import wait_until

N = 200

pytestmark = pytest.mark.event_servers('hat-event', 'embedded')


def names():
    return [f'modbus_master/plc-{i}' for i in range(N)]


@pytest.mark.timeout(180)
def test_two_hundred_devices(own_form, event_server, eventer, bus, bus_client, gatewayd, gatewayctl, modbus_device):
    port = modbus_device().port
    prefix = own_form.prefix
    gateway = gatewayd(own_form.config([master(f'plc-{i}', port, [remote(1, [data('x', start=i, interval=1)])])
                                        for i in range(N)], event_server.port), log_level='info',
                       prefix=('prlimit', f'--nofile={N // 2}:4096'))      # the soft limit is not what bounds them
    wait_until(lambda: len(eventer.query_latest('gateway/*')) == N, 'running false of all')
    assert all(i.payload.data is False for i in eventer.query_latest('gateway/*'))

    eventer.register_many([(f'{prefix(i)}/system/enable', True) for i in names()])
    wait_until(lambda: bus_client.manager('DevicesRunning') == N, lambda: str(bus_client.manager()), 60)
    eventer.register_many([(f'{prefix(i)}/system/remote_device/1/enable', True) for i in names()])
    for name in names():
        eventer.wait(f'{prefix(name)}/gateway/remote_device/1/read/x', timeout=60)
        assert eventer.payloads(f'{prefix(name)}/gateway/running') == [False, True]

    wait_until(lambda: bus_client.manager('DevicesDown') == 0, 'no link is down')
    assert bus_client.manager('State') == 'running'
    devices = gatewayctl.devices()
    assert sorted(devices) == sorted(names())
    assert all(i['State'] == 'running' and i['Enabled'] and i['Link'] == 'up' for i in devices.values())

    # The table: one line a device, in natural order.
    lines = [i.split() for i in gatewayctl('list', '--no-legend').stdout.splitlines()]
    assert [i[1] for i in lines] == [f'plc-{i}' for i in range(N)]
    assert all(i[3] == 'running' for i in lines)
    assert len(bus_client.managed_objects()) == N

    # All off again in one message, then the end.
    since = eventer.mark()
    eventer.register_many([(f'{prefix(i)}/system/enable', False) for i in names()])
    wait_until(lambda: bus_client.manager('DevicesRunning') == 0, 'none runs', 60)
    wait_until(lambda: len(eventer.events(since=since)) >= N and
               eventer.payloads('*', since).count(False) >= 2 * N, 'running false of all is registered', 60)
    gateway.stop()
