# SPDX-License-Identifier: Apache-2.0
"""The shipped policy under several user ids: everybody may look; root and the group may act; only the service user owns the name."""

import pytest

from harness.bus import DEVICE, MANAGER, NAME, ROOT_PATH, device_path

PATH = device_path('modbus_master/plc')
FREEDESKTOP = 'org.freedesktop.DBus.'
PROPERTIES = FREEDESKTOP + 'Properties'

LOOKING = [
    (PATH, FREEDESKTOP + 'Introspectable', 'Introspect'),
    (PATH, FREEDESKTOP + 'Peer', 'Ping'),
    (ROOT_PATH, FREEDESKTOP + 'ObjectManager', 'GetManagedObjects'),
    (PATH, PROPERTIES, 'Get', 'ss', DEVICE, 'State'),
    (PATH, PROPERTIES, 'GetAll', 's', DEVICE),
    (ROOT_PATH, MANAGER, 'GetDevice', 'ss', 'modbus_master', 'plc'),
    (ROOT_PATH, MANAGER, 'Describe'),
    (ROOT_PATH, MANAGER, 'ListHardware', 's', 'gpio'),
    (PATH, DEVICE, 'Describe'),
]
ACTING = [
    (PATH, DEVICE, 'Enable'),
    (PATH, DEVICE, 'Restart'),
    (PATH, DEVICE, 'Disable'),
    (PATH, DEVICE, 'SetEnabled', 'ba{sv}', 'false', '0'),
    (PATH, DEVICE, 'Scan', 'a{sv}', '1', 'from', 's', 'no number'),
    (PATH, DEVICE, 'Trace', 'a{sv}', '1', 'last', 'b', 'true'),
    (ROOT_PATH, MANAGER, 'ExportEvents', 's', 'no descriptor'),
    (PATH, PROPERTIES, 'Set', 'ssv', DEVICE, 'Enabled', 'b', 'true'),
]
#: What the daemon itself answers to them here, once the bus lets them pass.
OWN_ANSWERS = ('not writable', 'not enabled', "expecting 'h'", "not of type 'u'")


@pytest.fixture
def people(service_user, other_user):
    """Who calls: user id and only group."""
    return {'root': {},
            'service': {'user': service_user.pw_uid, 'group': service_user.pw_gid},
            'member': {'user': other_user.pw_uid, 'group': service_user.pw_gid},
            'other': {'user': other_user.pw_uid, 'group': other_user.pw_gid}}


def is_let_through(bus, call, who):
    result = bus.busctl('call', NAME, *call, check=False, **who)
    if 'Access denied' in result.stderr:
        return False
    assert result.returncode == 0 or any(i in result.stderr.lower() for i in OWN_ANSWERS), result.stderr
    return True


@pytest.mark.parametrize('name, may_act', [('root', True), ('service', True), ('member', True), ('other', False)])
def test_calls(service, system_bus, people, name, may_act):
    for call in LOOKING:
        assert is_let_through(system_bus, call, people[name]), call
    for call in ACTING:
        assert is_let_through(system_bus, call, people[name]) == may_act, call


@pytest.mark.parametrize('name, may_own', [('service', True), ('other', False), ('member', False), ('root', False)])
def test_owning(system_bus, people, name, may_own):
    result = system_bus.busctl('call', 'org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', 'RequestName',
                               'su', NAME, '4', check=False, **people[name])
    assert (result.returncode == 0) == may_own, result.stderr
    if not may_own:
        assert 'Access denied' in result.stderr


def test_daemon_as_a_wrong_user(gatewayd, system_bus, other_user):
    """The bus refuses the name for good: status 1, not a loop."""
    from harness.config import NATIVE
    gateway = gatewayd(NATIVE.config([], 1), system_bus, user=other_user.pw_uid, group=other_user.pw_gid, wait=False)
    assert gateway.process.wait() == 1
    assert 'D-Bus refuses us' in gateway.log_text()
