# SPDX-License-Identifier: Apache-2.0
"""The device type gpio as far as a machine without GPIO goes: a chip that is missing, what clients see of it, and wrong configurations."""

import json
import os
import select

import pytest

from harness.bus import device_path
from harness.config import NATIVE
from harness.eventer import payload
from harness.gateway import run_daemon
from harness.waiting import wait_until

IO = 'gpio/io'
PREFIX = NATIVE.prefix(IO)
INTERFACE = 'io.gatewayd.Gateway1.Device.Gpio'

pytestmark = pytest.mark.event_servers('hat-event', 'embedded')


def gpio(*lines, **more):
    return {'type': 'gpio', 'name': 'io', 'chip': 'gpiochip77', 'connect_delay': 0.2, 'lines': list(lines), **more}


DOOR = {'name': 'door', 'line': 3, 'direction': 'INPUT'}
LAMP = {'name': 'lamp', 'line': 'LED0', 'direction': 'OUTPUT', 'safe': 0}


def test_missing_chip(event_server, eventer, bus, bus_client, gatewayd, gatewayctl):
    gateway = gatewayd(NATIVE.config([gpio(DOOR, LAMP)], event_server.port))
    constants = bus_client.get_all(device_path(IO), INTERFACE)
    assert constants == {'Chip': 'gpiochip77', 'LostEdges': 0, 'Lines': []}

    eventer.register(f'{PREFIX}/system/enable', True)
    eventer.wait(f'{PREFIX}/gateway/running', True)
    eventer.wait(f'{PREFIX}/gateway/status', 'DISCONNECTED')
    properties = bus_client.device(IO)
    assert (properties['State'], properties['Link'], properties['LinkReason']) == ('running', 'down', 'not-found')
    assert properties['LinkDetail'] == 'there is no chip gpiochip77'
    lines = bus_client.get(device_path(IO), INTERFACE, 'Lines')
    assert [(i['Name'], i['Direction'], i['Offset'], i['Value'], i['Consumer']) for i in lines] == \
        [('door', 'INPUT', 3, 0, ''), ('lamp', 'OUTPUT', 0, 0, '')]

    # It goes on trying, and says so once.
    since = eventer.mark()
    eventer.wait(f'{PREFIX}/gateway/status', 'CONNECTING', since)
    eventer.wait(f'{PREFIX}/gateway/status', 'DISCONNECTED', since)
    assert bus_client.device(IO)['LinkChangeTimestamp'] == properties['LinkChangeTimestamp']

    # Every write is answered, in the order of the specification; request_id comes back as it was.
    for line, value, result in [('lamp', 1, 'NOT_CONNECTED'), ('lamp', True, 'INVALID_VALUE'), ('door', 5, 'NOT_OUTPUT'),
                                ('cellar', 5, 'UNKNOWN_LINE')]:
        since = eventer.mark()
        eventer.register(f'{PREFIX}/system/line/{line}/write', {'request_id': [result, None], 'value': value})
        eventer.wait(f'{PREFIX}/gateway/line/{line}/write', {'request_id': [result, None], 'result': result}, since)

    # People write by the line's name.
    written = gatewayctl('write', 'gpio/io', 'lamp', '1', check=False)
    assert written.returncode != 0 and 'NOT_CONNECTED' in written.stderr

    gateway.stop()
    assert payload(eventer.latest(f'{PREFIX}/gateway/status')) == 'DISCONNECTED'


def is_open(end):
    """Whether anybody still has the other end of this pipe."""
    return not select.select([end], [], [], 0)[0]


def test_stored_descriptors(event_server, eventer, gatewayd):
    """Of an earlier process: those of a device that is enabled stay, here until its chip is there; those of one that is disabled,
    or not configured any more, are closed, and the service manager forgets them."""
    ends, stored = {}, {}
    for name in ('io', 'off', 'gone'):
        ends[name], stored[f'store/gpio/{name}/gpiochip77/3'] = os.pipe()
    eventer.register(f'{PREFIX}/system/enable', True)
    gateway = gatewayd(NATIVE.config([gpio(LAMP), gpio(LAMP, name='off', chip='gpiochip78')], event_server.port), stored=stored)
    gateway.notify.wait('FDNAME=store/gpio/gone/gpiochip77/3', gateway.process)
    eventer.wait(f'{PREFIX}/gateway/status', 'DISCONNECTED')
    wait_until(lambda: not is_open(ends['gone']) and not is_open(ends['off']), 'two are closed')
    assert list(gateway.notify.stored) == ['store/gpio/io/gpiochip77/3']

    # A stop leaves them to the service manager, and so does a daemon that is killed.
    gateway.stop()
    assert is_open(ends['io'])
    again = gatewayd(NATIVE.config([gpio(LAMP)], event_server.port), stored=gateway.notify.take_stored())
    eventer.wait(f'{PREFIX}/gateway/running', True, eventer.mark() - 1)
    assert is_open(ends['io'])
    eventer.register(f'{PREFIX}/system/enable', False)
    again.notify.wait('FDSTOREREMOVE=1', again.process)
    assert again.notify.stored == {}
    for end in ends.values():
        os.close(end)


@pytest.mark.parametrize('device, pointer', [
    (gpio(DOOR, DOOR | {'line': 4}), '/devices/0/lines/1/name'),
    (gpio(DOOR, DOOR | {'name': 'gate'}), '/devices/0/lines/1/line'),
    (gpio(DOOR | {'edge': 'NONE'}), '/devices/0/lines/0/poll_interval'),
    (gpio(DOOR | {'safe': 1}), '/devices/0/lines/0/safe'),
    (gpio(LAMP | {'debounce': 0.1}), '/devices/0/lines/0/debounce'),
    (gpio(LAMP | {'initial': 2}), '/devices/0/lines/0/initial'),
    (gpio(DOOR | {'direction': 'BOTH'}), '/devices/0/lines/0/direction'),
    (gpio(), '/devices/0/lines'),
], ids=lambda i: i if isinstance(i, str) else '')
def test_wrong_configuration(device, pointer, tmp_path):
    path = tmp_path / 'gatewayd.yaml'
    path.write_text(json.dumps(NATIVE.config([device], 23012)))
    result = run_daemon('--config', path, '--check', '--json')
    assert result.returncode == 78
    assert [i['path'] for i in json.loads(result.stdout)] == [pointer]


def test_one_line_of_two_devices(tmp_path):
    path = tmp_path / 'gatewayd.yaml'
    path.write_text(json.dumps(NATIVE.config([gpio(DOOR), gpio(DOOR, name='other', chip='/dev/gpiochip77')], 23012)))
    result = run_daemon('--config', path, '--check')
    assert result.returncode == 78
    assert '/devices/1/lines/0/line: ' in result.stderr + result.stdout
