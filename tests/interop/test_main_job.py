# SPDX-License-Identifier: Apache-2.0
"""The main job from end to end: an event server (hat-event, another gateway's, or our own), our daemon, real Modbus servers,
D-Bus and gatewayctl."""

import json

import pytest

from harness.bus import DEVICE, NAME, device_path
from harness.config import FORMS, NATIVE, data, master, remote
from harness.waiting import wait_until

from modbus_clients import LibmodbusClient

PLC = 'modbus_master/plc'

pytestmark = pytest.mark.event_servers('hat-event', 'embedded')


class Libmodbus:
    """libmodbus' server; its registers are moved by libmodbus' client."""

    def __init__(self, modbus_device):
        self._process = modbus_device('--verbose')
        self.port = self._process.port
        self._client = LibmodbusClient(self.port)

    def set(self, address, values):
        assert self._client.request(f'1 write-registers {address} ' + ' '.join(map(str, values))) == 'ok'

    def get(self, address, count):
        answer = self._client.request(f'1 read-registers {address} {count}').split()
        assert answer[0] == 'ok'
        return [int(i) for i in answer[1:]]

    def close(self):
        self._client.close()


class Pymodbus:
    def __init__(self, pymodbus_device):
        self._server = pymodbus_device()
        self.port = self._server.port

    def set(self, address, values):
        self._server.set('holding', address, values)

    def get(self, address, count):
        return self._server.get('holding', address, count)

    def close(self):
        pass


@pytest.fixture(params=['libmodbus', 'pymodbus'])
def peer(request):
    peer = Libmodbus(request.getfixturevalue('modbus_device')) if request.param == 'libmodbus' else \
        Pymodbus(request.getfixturevalue('pymodbus_device'))
    yield peer
    peer.close()


def plc_config(port):
    return master('plc', port, [remote(1, [data('word', start=20),
                                           data('wide', start=30, bit_offset=8, bit_count=32),
                                           data('huge', start=40, bit_count=80)])])


@pytest.mark.event_servers('hat-event', 'embedded', 'own')
def test_main_job(form, peer, event_server, eventer, bus, bus_client, gatewayd, gatewayctl):
    prefix = form.prefix(PLC)
    peer.set(20, [0x1234])
    peer.set(30, [0x1234, 0x5678, 0x9ABC])
    peer.set(40, [0x1234, 0x5678, 0x9ABC, 0xDEF0, 0x1122])

    gatewayd(form.config([plc_config(peer.port)], **event_server.main()))
    eventer.connect_once()

    # Registered false first; nothing is opened until the device is enabled.
    eventer.wait_payloads(f'{prefix}/gateway/running', [False])
    wait_until(lambda: bus_client.device(PLC, 'EnabledKnown'), 'the enable query is answered')
    assert bus_client.device(PLC, 'State') == 'disabled'
    assert gatewayctl.devices()[PLC]['Running'] is False
    assert eventer.events(f'{prefix}/gateway/status') == []

    # Enabled by an event: running true with a source timestamp.
    eventer.register(f'{prefix}/system/enable', True)
    running = eventer.wait(f'{prefix}/gateway/running', True)
    assert running.source_timestamp is not None
    assert all(i.source_timestamp is not None for i in eventer.events(f'{prefix}/gateway/running'))
    eventer.wait(f'{prefix}/gateway/remote_device/1/status', 'DISABLED')
    assert eventer.payloads(f'{prefix}/gateway/status') == ['CONNECTING', 'CONNECTED']
    assert eventer.events(f'{prefix}/gateway/remote_device/1/read/*') == []

    # The remote device is enabled by its own event; first values are INTERROGATE.
    eventer.register(f'{prefix}/system/remote_device/1/enable', True)
    for name, value in (('word', 0x1234), ('wide', 0x3456789A), ('huge', 0x123456789ABCDEF01122)):
        eventer.wait(f'{prefix}/gateway/remote_device/1/read/{name}',
                     {'result': 'SUCCESS', 'value': value, 'cause': 'INTERROGATE'})
    assert eventer.payloads(f'{prefix}/gateway/remote_device/1/status') == ['DISABLED', 'CONNECTING', 'CONNECTED']

    # A register changes: one CHANGE event of that data and of no other.
    since = eventer.mark()
    peer.set(20, [0x4321])
    change = eventer.wait(f'{prefix}/gateway/remote_device/1/read/word', since=since)
    assert change.payload.data == {'result': 'SUCCESS', 'value': 0x4321, 'cause': 'CHANGE'}
    assert change.source_timestamp is None
    eventer.assert_none(f'{prefix}/gateway/remote_device/1/read/wide', since, 0.3)
    assert len(eventer.events(f'{prefix}/gateway/remote_device/1/read/*', since)) == 1

    # Writes arrive in the registers and are answered with the same request_id, whatever JSON it is.
    for i, request_id in enumerate(['text', 17, {'a': [1, None, 'é'], 'b': 1.5}]):
        eventer.register(f'{prefix}/system/remote_device/1/write/wide',
                         {'request_id': request_id, 'value': 0xA0B0C0D0 + i})
        eventer.wait(f'{prefix}/gateway/remote_device/1/write/wide',
                     {'request_id': request_id, 'result': 'SUCCESS'})
        assert peer.get(30, 3) == [0x12A0, 0xB0C0, 0xD0BC + (i << 8)]

    # Disabled over D-Bus: the event server hears of it first, then running false.
    since = eventer.mark()
    bus.busctl('call', NAME, device_path(PLC), DEVICE, 'Disable')
    disable = eventer.wait(f'{prefix}/system/enable', False, since=since)
    stopped = eventer.wait(f'{prefix}/gateway/running', False, since=since)
    assert stopped.source_timestamp is not None
    assert disable.id < stopped.id
    assert eventer.payloads(f'{prefix}/gateway/remote_device/1/status', since) == ['DISABLED']
    assert eventer.payloads(f'{prefix}/gateway/status', since) == ['DISCONNECTED']
    wait_until(lambda: bus_client.device(PLC, 'State') == 'disabled', 'state disabled')
    assert eventer.payloads(f'{prefix}/gateway/running') == [False, True, False]

    # And enabled again by gatewayctl.
    since = eventer.mark()
    gatewayctl('enable', PLC, '--wait', '--timeout=10')
    assert eventer.wait(f'{prefix}/system/enable', True, since=since)
    eventer.wait(f'{prefix}/gateway/running', True, since=since)
    eventer.wait(f'{prefix}/gateway/remote_device/1/read/word', since=since,
                 where=lambda p: p['cause'] == 'INTERROGATE')


@pytest.mark.parametrize('value', [False, 1, 'true', None, [], {}])
def test_only_json_true_enables(value, own_form, event_server, eventer, bus, bus_client, gatewayd, field):
    prefix = own_form.prefix(PLC)
    device = field()
    gatewayd(own_form.config([plc_config(device.port)], event_server.port))
    eventer.wait(f'{prefix}/gateway/running', False)
    eventer.register(f'{prefix}/system/enable', value)
    eventer.register(f'{prefix}/system/enable')
    eventer.register_binary(f'{prefix}/system/enable', b'true')
    eventer.assert_none(f'{prefix}/gateway/running', eventer.mark(), 0.3)
    assert device.n_connections == 0


def test_enabled_before_start(form, event_server, eventer, bus, gatewayd, field):
    """The last enable event is asked for; events that come while the gateway is away are not lost."""
    prefix = form.prefix(PLC)
    device = field()
    device.holding[20] = 7
    eventer.register_many([(f'{prefix}/system/enable', True), (f'{prefix}/system/remote_device/1/enable', True)])
    gatewayd(form.config([plc_config(device.port)], event_server.port))
    eventer.wait(f'{prefix}/gateway/running', True)
    eventer.wait(f'{prefix}/gateway/remote_device/1/read/word',
                 {'result': 'SUCCESS', 'value': 7, 'cause': 'INTERROGATE'})
    assert eventer.payloads(f'{prefix}/gateway/running') == [False, True]
    assert eventer.payloads(f'{prefix}/gateway/remote_device/1/status') == ['CONNECTING', 'CONNECTED']


def test_end_registers_running_false(own_form, event_server, eventer, bus, gatewayd, field):
    """SIGTERM: devices stop, their last words reach the server, status 0, within 5 s."""
    prefix = own_form.prefix(PLC)
    device = field()
    eventer.register_many([(f'{prefix}/system/enable', True), (f'{prefix}/system/remote_device/1/enable', True)])
    gateway = gatewayd(own_form.config([plc_config(device.port)], event_server.port))
    eventer.wait(f'{prefix}/gateway/remote_device/1/status', 'CONNECTED')
    since = eventer.mark()
    gateway.stop(5 * 3)                # what a busy machine adds
    wait_until(lambda: 'STOPPING=1' in gateway.notify.messages, 'STOPPING=1')
    eventer.wait(f'{prefix}/gateway/running', False, since=since)
    assert eventer.payloads(f'{prefix}/gateway/remote_device/1/status', since) == ['DISABLED']
    assert eventer.payloads(f'{prefix}/gateway/status', since) == ['DISCONNECTED']


def test_on_and_off_in_one_notification(event_server, eventer, bus, bus_client, gatewayd, field):
    """Enable is a level: off and on in one message neither restarts the device nor registers anything."""
    prefix = NATIVE.prefix(PLC)
    device = field()
    gatewayd(NATIVE.config([plc_config(device.port)], event_server.port))
    eventer.wait(f'{prefix}/gateway/running', False)
    eventer.register(f'{prefix}/system/enable', True)
    eventer.wait(f'{prefix}/gateway/running', True)
    since = eventer.mark()
    eventer.register_many([(f'{prefix}/system/enable', False), (f'{prefix}/system/enable', True)])
    eventer.assert_none(f'{prefix}/gateway/running', since, 0.5)
    eventer.register_many([(f'{prefix}/system/enable', True), (f'{prefix}/system/enable', False)])
    eventer.wait(f'{prefix}/gateway/running', False, since=since)


def test_other_gateways_events_are_not_ours(event_server, eventer, bus, bus_client, gatewayd, field):
    """Two gateways of one event server in the named layout; and a device name that is not configured."""
    device = field()
    gatewayd(NATIVE.config([plc_config(device.port)], event_server.port))
    prefix = NATIVE.prefix(PLC)
    eventer.wait(f'{prefix}/gateway/running', False)
    eventer.register('gateway/other/modbus_master/plc/system/enable', True)
    eventer.register('gateway/gw/modbus_master/nobody/system/enable', True)
    eventer.register('gateway/modbus_master/plc/system/enable', True)
    eventer.assert_none('gateway/*', eventer.mark(), 0.3)
    assert bus_client.device(PLC, 'State') == 'disabled'


def test_listing(event_server, eventer, bus, gatewayd, gatewayctl, field):
    """The table of gatewayctl list: columns and words."""
    device = field()
    prefix = NATIVE.prefix(PLC)
    gatewayd(NATIVE.config([plc_config(device.port)], event_server.port))
    eventer.register_many([(f'{prefix}/system/enable', True), (f'{prefix}/system/remote_device/1/enable', True)])
    eventer.wait(f'{prefix}/gateway/remote_device/1/status', 'CONNECTED')
    wait_until(lambda: gatewayctl.devices()[PLC]['Link'] == 'up', 'link up')
    words = gatewayctl('list', '--no-legend').stdout.split()
    assert words[:5] == ['modbus_master', 'plc', 'yes', 'running', 'up']
    listed = json.loads(gatewayctl('list', '--json=short').stdout)
    assert listed['Version'] == 1
    assert [(i['Type'], i['Name'], i['State']) for i in listed['Devices']] == [('modbus_master', 'plc', 'running')]


def test_forms_cover_everything():
    assert {(i.form, i.layout) for i in FORMS} == {(i, j) for i in ('native', 'hat') for j in ('named', 'flat')}
