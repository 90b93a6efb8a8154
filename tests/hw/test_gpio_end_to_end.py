# SPDX-License-Identifier: Apache-2.0
"""From a line to a client and back, through hat-event and through the gateway's own event server: Hat's Python client and
gatewayctl see the same."""

import json
import time

import pytest

from harness.bus import device_path
from harness.gpio_device import INTERFACE, IO, PREFIX, line, output, seconds
from harness.waiting import wait_until

pytestmark = pytest.mark.event_servers('hat-event', 'own')


def test_edge_to_client(chip, gpio, eventer):
    c = chip(names={3: 'DOOR'})
    io = gpio(c, line('door', 'DOOR'))
    since = io.mark()
    begin = time.time()
    c.pull(3, 1)
    end = time.time()
    event = io.wait_state('door', 1, 'CHANGE', since)
    assert event.type == (*PREFIX.split('/'), 'gateway', 'line', 'door', 'state')
    assert begin - 0.0005 <= seconds(event) <= end + 0.05
    kept = eventer.latest('/'.join(event.type))
    assert kept.id == event.id and kept.source_timestamp == event.source_timestamp


def test_client_to_line(chip, gpio):
    c = chip()
    io = gpio(c, output('lamp', 2))
    since = io.mark()
    io.request('lamp', {'request_id': 'a', 'value': 1})
    io.wait_state('lamp', 1, 'WRITE', since)
    assert c.value(2) == 1
    assert [(i.type[7], i.payload.data) for i in io.events('line/lamp/*', since)] == \
        [('write', {'request_id': 'a', 'result': 'SUCCESS'}), ('state', {'value': 1, 'cause': 'WRITE'})]


def test_gatewayctl(chip, gpio, bus_client, gatewayctl):
    c = chip(names={3: 'DOOR'})
    io = gpio(c, line('door', 'DOOR', active_low=True), output('lamp', 2))

    since = io.mark()
    c.pull(3, 1)
    io.wait_state('door', 0, 'CHANGE', since)
    gatewayctl('write', IO, 'lamp', '1')
    assert c.value(2) == 1
    wait_until(lambda: bus_client.get(device_path(IO), INTERFACE, 'Lines')[1]['Value'] == 1, 'D-Bus has the value')
    assert [(i['Name'], i['Offset'], i['Direction'], i['Value'], i['Consumer'])
            for i in bus_client.get(device_path(IO), INTERFACE, 'Lines')] == \
        [('door', 3, 'INPUT', 0, 'gatewayd'), ('lamp', 2, 'OUTPUT', 1, 'gatewayd')]
    assert bus_client.get(device_path(IO), INTERFACE, 'Chip') == c.label

    failed = gatewayctl('write', IO, 'door', '1', check=False)
    assert failed.returncode != 0
    status = gatewayctl('status', IO).stdout
    assert 'door' in status and 'lamp' in status
    device, = json.loads(gatewayctl('values', IO, '--json=short').stdout)['Devices']
    assert [(i['Name'], i['Value']) for i in device['Points']] == [('door', 0), ('lamp', 1)]
    edge = io.events('line/door/state')[-1].source_timestamp
    assert device['Points'][0]['SourceTimestamp'] == edge.s * 1000000 + edge.us
