# SPDX-License-Identifier: Apache-2.0
"""What most interop tests share: the forms and layouts, and the event servers."""

import contextlib
import os

import pytest

from harness.config import FORMS
from harness.embedded import EmbeddedServer, OwnServer
from harness.event_server import EventServer
from harness.eventer import Eventer


@pytest.fixture(params=FORMS, ids=repr)
def form(request):
    """Both forms of configuration, each in both layouts of event types."""
    return request.param


@pytest.fixture(params=FORMS[:2], ids=repr)
def own_form(request):
    """Both forms, each in its own layout."""
    return request.param


#: What the mark event_servers chooses from; without it the first.
SERVERS = {'hat-event': lambda path: EventServer(path),
           'embedded': lambda path: EmbeddedServer(path),
           'own': lambda path: contextlib.nullcontext(OwnServer())}


#: For all tests, whatever their mark says: a list, comma separated.
CHOSEN = [i for i in os.environ.get('GATEWAYD_TEST_EVENT_SERVERS', '').split(',') if i]


def pytest_generate_tests(metafunc):
    mark = metafunc.definition.get_closest_marker('event_servers')
    servers = CHOSEN or (mark.args if mark else [])
    if servers and 'event_server' in metafunc.fixturenames:
        metafunc.parametrize('event_server', servers, indirect=True)


@pytest.fixture
def event_server(request, tmp_path):
    """A running event server with a storage of its own: hat-event, or each that the test is marked with."""
    with SERVERS[getattr(request, 'param', 'hat-event')](tmp_path / 'event') as server:
        yield server


@pytest.fixture
def eventer(event_server):
    """A client of it that is subscribed to everything. Of a server that is not there yet it takes the past when it connects."""
    own = isinstance(event_server, OwnServer)
    with Eventer(event_server.port, replay=own, connect=not own) as client:
        yield client
