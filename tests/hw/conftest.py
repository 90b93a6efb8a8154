# SPDX-License-Identifier: Apache-2.0
"""The hw suite: the daemon on the kernel's simulated GPIO chips, inside User-Mode Linux (tests/uml/boot), where nothing but this
suite runs. There is one processor: the daemon comes before the tests."""

import pytest

from harness.config import NATIVE
from harness.embedded import OwnServer
from harness.event_server import EventServer
from harness.eventer import Eventer
from harness.gpio_device import PREFIX, Device
from harness.gpio_sim import CONFIG, Chip, Trace

def pytest_sessionstart():
    if not CONFIG.is_dir():
        raise pytest.UsageError('there is no gpio-sim: ./dev test hw')


@pytest.fixture
def chip():
    """chip(lines, label, names) makes a simulated chip."""
    made = []

    def make(*arguments, **options):
        made.append(Chip(*arguments, **options))
        return made[-1]

    yield make
    for i in made:
        i.close()


@pytest.fixture
def first():
    """The prefix of a daemon that runs before the tests."""
    return ('chrt', '--fifo', '1')


@pytest.fixture
def trace():
    with Trace() as t:
        yield t


@pytest.fixture
def event_server(request, tmp_path):
    """The one that the gateway keeps itself; with mark event_servers also hat-event, whose lmdb storage has no room here."""
    if getattr(request, 'param', 'own') == 'own':
        yield OwnServer()
    else:
        with EventServer(tmp_path / 'event', memory=True) as server:
            yield server


def pytest_generate_tests(metafunc):
    mark = metafunc.definition.get_closest_marker('event_servers')
    if mark:
        metafunc.parametrize('event_server', mark.args, indirect=True)


@pytest.fixture
def eventer(event_server):
    with Eventer(event_server.port, connect=not isinstance(event_server, OwnServer)) as client:
        yield client


@pytest.fixture
def gpio(event_server, eventer, gatewayd, first):
    """gpio(chip, *lines, **keys of the device) starts the gateway with an enabled device; chip: a Chip, or a text."""
    def start(chip, *lines, connected=True, prefix=(), stored=None, **more):
        device = {'type': 'gpio', 'name': 'io', 'chip': chip if isinstance(chip, str) else chip.label,
                  'connect_delay': 0.2, 'lines': list(lines), **more}
        since = eventer.mark()
        gateway = gatewayd(NATIVE.config([device], **event_server.main()), prefix=(*first, *prefix), stored=stored)
        eventer.connect_once()
        io = Device(gateway, eventer, since)
        if stored is None:              # else it was enabled before
            io.enable()
        if connected:
            io.wait_status('CONNECTED', since)
            for i in lines:
                eventer.wait(f'{PREFIX}/gateway/line/{i["name"]}/state', since=since)
        return io

    return start
