# SPDX-License-Identifier: Apache-2.0
"""What others notice of a client that does not read, and of history that is trimmed: nothing, compared with the same without it in the
same run. By turns, because others use this machine too."""

import shutil

import pytest

from harness import wire
from harness.embedded import EmbeddedServer
from harness.waiting import DEADLINE, PATIENCE, wait_until
from harness.wire import RawConnection, array, binary_payload, choice, event_type, integer, optional, register_event

from event_clients import Watch, query_events, query_latest
from event_malformed import timeseries

pytestmark = [pytest.mark.release, pytest.mark.timeout(300)]

EVENT_SIZE = 64 << 10
NOTIFY_MAX = 8 << 20            # unsent bytes that a client may cost
SOCKETS = 24 << 20              # more than the kernel holds between the two
N_FLOOD = (NOTIFY_MAX + SOCKETS) // EVENT_SIZE


def expect_no_delay(without, beside, what):
    """Latencies of the rounds without and with it: the best of the worst of each."""
    without, beside = (min(map(max, rounds)) for rounds in (without, beside))
    print(f'worst of register to notification: {beside * 1e3:.1f} ms {what}, {without * 1e3:.1f} ms without')
    assert beside <= 3 * without + 0.02 * PATIENCE


def last_of(connection, name):
    """The last event that tells of a client."""
    return next(i.payload for i in query_latest(connection, [('event', '1', 'eventer', name)]))


def flood(port):
    """Large events, one behind another. The latencies of two other clients meanwhile."""
    event = register_event('flood', binary_payload('x', bytes(EVENT_SIZE)))
    with RawConnection(port) as source, Watch(port) as watch:
        source.init(name='flood')
        for _ in range(N_FLOOD):
            assert wire.registered(source.answer(source.register([event])).body)
        watch.wait_events(20)
    return watch.latencies


@pytest.mark.parametrize('transport', ['unix', 'tcp'])
def test_client_that_does_not_read(tmp_path, transport):
    """From its first unread byte until it is cut."""
    with EmbeddedServer(tmp_path / 'embedded', log_level='err', options={'history': {'max_events': 0}}) as server:
        without, beside = [], []
        for _ in range(3):
            without.append(flood(server.port))
            with RawConnection(server.unix if transport == 'unix' else server.port, receive_buffer=64 << 10) as stuck, \
                    RawConnection(server.port) as reader:
                stuck.init(name='stuck', subscriptions=['flood'])
                reader.init(name='reader')
                assert last_of(reader, 'stuck') == '"CONNECTED"'
                beside.append(flood(server.port))
                assert last_of(reader, 'stuck') == '"DISCONNECTED"'
    expect_no_delay(without, beside, 'beside a client that does not read')


# ---- history

N_TYPES = 1000
N_STORED = 500_000
KEPT = 1000


def fill(folder):
    """A database with that many events of so many types."""
    with EmbeddedServer(folder, log_level='err') as server, RawConnection(server.port) as c:
        c.init(name='fill')
        for begin in range(0, N_STORED, N_TYPES):
            events = [register_event(f'filled/{i}', wire.json_payload(str(begin + i))) for i in range(N_TYPES)]
            c.register(events, response=False)
        c.answer(c.register([register_event('last', wire.json_payload('0'))]), 60 * PATIENCE)
        server.stop(60 * PATIENCE)
    return server.state


def n_stored(connection):
    """Events of fill() that are still there: each but the last has its number."""
    oldest, _ = query_events(connection, timeseries(optional(array([event_type('filled/*')])), order=choice(1),
                                                    most=optional(integer(1))))
    return N_STORED - int(oldest[0].payload) if oldest else 0


def watch_history(folder, state, max_events):
    """The latencies of a server with that bound, started on what fill() has stored, until it keeps to it."""
    options = {'history': {'max_events': max_events}}
    with EmbeddedServer(folder, state=state, log_level='err', options=options) as server, RawConnection(server.port) as reader, \
            Watch(server.port) as watch:
        reader.init(name='reader')
        wait_until(lambda: n_stored(reader) <= max_events, lambda: f'{n_stored(reader)} events are in the history', 4 * DEADLINE)
        watch.wait_events(100)
        assert len(query_latest(reader, ['filled/*'])) == N_TYPES       # of each type the last stays
    return watch.latencies


def test_trimming(tmp_path):
    """A bound of a configuration holds for what an earlier run has stored, and nobody waits for what that takes."""
    stored, without, beside = fill(tmp_path / 'fill'), [], []
    for i in range(3):
        without.append(watch_history(tmp_path / f'without-{i}', stored, 2 * N_STORED))
        state = shutil.copytree(stored, tmp_path / f'state-{i}')
        beside.append(watch_history(tmp_path / f'beside-{i}', state, KEPT))
    expect_no_delay(without, beside, 'while history is trimmed')
