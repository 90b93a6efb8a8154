# SPDX-License-Identifier: Apache-2.0
"""The bus suite: the daemon as user gatewayd on a bus of type system with the shipped policy; root, gatewayd and a user
without rights as clients."""

import pytest

from harness.config import NATIVE, data, master, remote
from harness.gateway import Ctl

PLC = 'modbus_master/plc'


@pytest.fixture
def start_service(gatewayd, system_bus, service_user):
    """start_service(config) runs the daemon as the service user on the system bus."""
    def start(config, **options):
        return gatewayd(config, system_bus, user=service_user.pw_uid, group=service_user.pw_gid, **options)

    return start


@pytest.fixture
def service(start_service, event_server, eventer, field):
    """A running gateway with one Modbus master, disabled, named PLC; `.device` is its peer."""
    device = field()
    gateway = start_service(NATIVE.config([master('plc', device.port, [remote(1, [data('word')])])], event_server.port))
    gateway.device = device
    eventer.wait(f'{NATIVE.prefix(PLC)}/gateway/running', False)
    return gateway


@pytest.fixture
def system_ctl(system_bus):
    """gatewayctl on the system bus; user=UID runs it as somebody else."""
    return Ctl(system_bus.address)
