# SPDX-License-Identifier: Apache-2.0
"""The embedded event server in trouble: clients that send nonsense, read nothing, say nothing or are too many; kill -9, a full
disk, SIGTERM, and a copy made under load."""

import contextlib
import os
import random
import re
import selectors
import signal
import sqlite3
import subprocess
import threading
import time

import pytest

from harness import wire
from harness.bus import is_root
from harness.embedded import EmbeddedServer
from harness.gateway import Ctl
from harness.waiting import PATIENCE, wait_until
from harness.wire import RawConnection, array, binary_payload, choice, frame, json_payload, message, optional, register_event

import event_malformed as malformed
from event_clients import QUERY, Watch, Writer, query_latest, query_since, run_writers

KILLS = int(os.environ.get('GATEWAYD_TEST_KILLS', '200'))
NOTIFY_MAX = 8 << 20            # unsent bytes that a client may cost
SOCKETS = 24 << 20              # more than the kernel holds between the two
RECEIVE_BUFFER = 64 << 10
CLIENTS_MAX = 1000


@pytest.fixture
def server(tmp_path):
    with EmbeddedServer(tmp_path / 'embedded') as embedded:
        yield embedded


@pytest.fixture(params=['unix', 'tcp'])
def address(request, server):
    return server.unix if request.param == 'unix' else server.port


# ---- clients


def test_malformed_input_costs_only_its_connection(server, address):
    different = []
    with Watch(server.port) as watch:
        for case in malformed.cases():
            if malformed.closes(address, case) != case.closes:
                different.append(f'{case.name}: {"stays open" if case.closes else "is closed"}')
        watch.wait_events(20)
    assert not different, '\n'.join(different)


def test_random_bytes_cost_only_their_connection(server, address):
    """Good messages with some bytes changed, and noise."""
    seed = int(os.environ.get('GATEWAYD_TEST_SEED', random.SystemRandom().randrange(2 ** 32)))
    print(f'GATEWAYD_TEST_SEED={seed}')
    dice = random.Random(seed)
    good = [case.data for case in malformed.cases() if not case.closes]
    with Watch(server.port) as watch:
        for _ in range(300):
            with RawConnection(address) as c:
                c.init(name='noise')
                data = bytearray(dice.choice(good))
                for _ in range(dice.randint(1, 4)):
                    data[dice.randrange(len(data))] = dice.randrange(256)
                with contextlib.suppress(ConnectionError):
                    c.send(data if dice.random() < 0.9 else dice.randbytes(dice.randint(1, 2000)))
        watch.wait_events(20)


def last_of(connection, name):
    """The last event that tells of a client."""
    return next((i.payload for i in query_latest(connection, [('event', '1', 'eventer', name)])), None)


def test_client_that_does_not_read_is_cut(server, address):
    """At its bound: not before there are 8 MiB for it, not much later; nobody else waits for it."""
    with RawConnection(address, receive_buffer=RECEIVE_BUFFER) as stuck, RawConnection(server.port) as source, \
            RawConnection(server.port) as reader, Watch(server.port) as watch:
        stuck.init(name='stuck', subscriptions=['flood'])
        source.init(name='flood')
        reader.init(name='reader')
        assert last_of(reader, 'stuck') == '"CONNECTED"'
        sent = 0
        while last_of(reader, 'stuck') == '"CONNECTED"':
            source.answer(source.register([register_event('flood', binary_payload('x', bytes(64 << 10)))]))
            sent += 64 << 10
            assert sent < NOTIFY_MAX + SOCKETS, f'{sent} bytes are kept for a client that does not read'
        assert sent > NOTIFY_MAX
        assert last_of(reader, 'stuck') == '"DISCONNECTED"'
        watch.wait_events(20)
    assert 'stuck' in server.gateway.log_text()


def test_client_that_reads_late_is_not_cut(server, address):
    """A burst below the bound waits for it."""
    n, size = 60, 100 << 10
    with RawConnection(address, receive_buffer=RECEIVE_BUFFER) as slow, RawConnection(server.port) as source:
        slow.init(name='slow', subscriptions=['flood'])
        source.init(name='flood')
        for i in range(n):
            source.answer(source.register([register_event('flood', binary_payload(str(i), bytes(size)))]))
        for i in range(n):
            assert len(slow.receive().body) > size
        assert last_of(source, 'slow') == '"CONNECTED"'


def test_query_answer_to_a_slow_reader(server, address):
    """More than 8 MiB in one answer: it may take its time, and others do not wait for it."""
    n, size = 200, 100 << 10
    with RawConnection(address, receive_buffer=RECEIVE_BUFFER) as slow, RawConnection(server.port) as source, \
            Watch(server.port) as watch:
        slow.init(name='slow')
        source.init(name='source')
        for i in range(n):
            source.answer(source.register([register_event(f'big/{i}', binary_payload('x', bytes(size)))]))
        conversation = slow.send_message(QUERY, choice(0, optional(array([wire.event_type('big/*')]))), last=False)
        watch.wait_events(100)
        events = wire.read_events(wire.Reader(slow.answer(conversation).body))
        assert sorted(i.type for i in events) == sorted(('big', str(i)) for i in range(n))


def test_too_many_clients(tmp_path):
    """The 1,001st is turned away, the others notice nothing, and when one leaves there is room again."""
    with EmbeddedServer(tmp_path / 'embedded', prefix=('prlimit', '--nofile=1024:8192')) as server, \
            contextlib.ExitStack() as stack, Watch(server.port) as watch:
        clients = []

        def add():
            c = stack.enter_context(RawConnection(server.unix if len(clients) % 2 else server.port))
            try:
                m = c.init(name=f'client {len(clients)}')
            except ConnectionError:
                m = None
            if m is not None:
                clients.append(c)
            return m is not None

        while add():
            assert len(clients) <= CLIENTS_MAX, f'client {len(clients)} is accepted'
        assert len(clients) >= CLIENTS_MAX - 3          # the watch's two, and the gateway itself
        assert not add()
        watch.wait_events(20)

        clients.pop().close()
        wait_until(add, 'there is room again')
        assert query_latest(clients[0], ['watch'])
        watch.wait_events(20)


def test_clients_that_never_shake_hands(server, address):
    """Each is closed after ten seconds, whatever it does instead."""
    half = frame(message(1, malformed.INIT, wire.init_body('half')))[:-3]
    ping = frame(message(1, 'HatChatter.Ping', last=False))
    begin = time.monotonic()
    with Watch(server.port), selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawConnection(address)) for _ in range(3)]
        silent, incomplete, pings = clients
        incomplete.send(half)
        for c in clients:
            selector.register(c.socket, selectors.EVENT_READ, c)
        closed = []
        while len(closed) < len(clients):
            assert time.monotonic() - begin < 40 * PATIENCE, f'{len(closed)} of {len(clients)} are closed'
            if pings not in closed:
                with contextlib.suppress(ConnectionError):
                    pings.send(ping)
            for key, _ in selector.select(0.2):
                if not key.data.read():
                    selector.unregister(key.fileobj)
                    closed.append(key.data)
    assert time.monotonic() - begin > 9


# ---- the end


class Books:
    """What the server acknowledged over many of its lives, compared with what it has."""

    def __init__(self):
        self.last_id = (1, 0, 0)        # of what was compared
        self.n_acknowledged = 0

    def check(self, address, writers):
        """After a restart: everything that these were acknowledged is there, and new ids are greater than all before."""
        acknowledged = {k: v for w in writers for k, v in w.acknowledged.items()}
        kinds = {k: w.kind for w in writers for k in w.acknowledged}
        with RawConnection(address) as c:
            c.init(name='books')
            m = c.answer(c.register([register_event('books')]))
            fence = wire.registered(m.body)[0].id
            assert fence > max([self.last_id, *acknowledged])
            stored = {i.id: i for i in query_since(c, self.last_id)}
            assert list(stored) == sorted(stored)
            for event_id, number in acknowledged.items():
                assert event_id in stored, f'{event_id} was acknowledged and is not there'
                assert stored[event_id].type == tuple(kinds[event_id].split('/'))
                assert stored[event_id].payload == str(number)
            for w in writers:
                if w.acknowledged:
                    latest = query_latest(c, [w.kind])
                    assert len(latest) == 1 and int(latest[0].payload) >= max(w.acknowledged.values())
        self.last_id = fence
        self.n_acknowledged += len(acknowledged)
        return acknowledged


class Talker:
    """Registers without response, and is told of everything: with or without response, on the disk or not yet."""

    def __init__(self, address):
        self.source = RawConnection(address)
        self.subscriber = RawConnection(address)
        self.subscriber.init(name='subscriber', subscriptions=['*'])
        self.source.init(name='talker')

    def talk(self):
        with contextlib.suppress(ConnectionError):
            self.source.register([register_event('talk')], response=False)

    def close(self):
        """After the kill. The ids of which it was told."""
        notified = [i.id for m in self.subscriber.wait_closed() if m.type == 'HatEventer.MsgEventsNotify'
                    for i in wire.read_events(wire.Reader(m.body))]
        self.source.close()
        self.subscriber.close()
        return notified


@pytest.mark.timeout(400)
def test_kill_at_random_points(tmp_path):
    seed = int(os.environ.get('GATEWAYD_TEST_SEED', random.SystemRandom().randrange(2 ** 32)))
    print(f'GATEWAYD_TEST_SEED={seed}')
    dice, books, everything, n_killed_in_start = random.Random(seed), Books(), {}, 0
    notified, n_unanswered = (1, 0, 0), 0       # the greatest id that anybody was ever told of
    begin = time.monotonic()
    with EmbeddedServer(tmp_path / 'embedded', log_level='warning') as server:
        for life in range(KILLS):
            talker = Talker(server.port)
            n_writers = dice.choice([0, 4, 4])          # without, nothing of the life is on the disk
            writers = [Writer(server.unix if i % 2 else server.port, i, window=dice.choice([1, 8, 64])) for i in range(n_writers)]
            end = time.monotonic() + dice.uniform(0.001, 0.08)

            def is_over(talker=talker, end=end):
                talker.talk()
                return time.monotonic() >= end

            run_writers(writers, is_over)
            while not is_over():
                time.sleep(0.005)
            server.process.signal(signal.SIGKILL)
            for w in writers:
                w.drain()
            server.kill()
            ids = talker.close()
            n_unanswered += len(ids) - sum(len(w.acknowledged) for w in writers)
            if ids:
                assert ids[0] > notified, f'{ids[0]} is given after {notified} was, in an earlier life'
                notified = max(ids)

            if dice.random() < 0.2:         # also while it starts
                n_killed_in_start += 1
                server.start(wait=False)
                time.sleep(dice.uniform(0, 0.05))
                server.kill()
            server.start(wait=False)
            server.gateway.wait_ready()
            everything |= books.check(server.port, writers)
            for w in writers:
                w.close()

        with RawConnection(server.port) as c:
            c.init(name='end')
            stored = {i.id: i.payload for i in query_since(c)}
        missing = [k for k, v in everything.items() if stored.get(k) != str(v)]
        assert not missing, f'{len(missing)} acknowledged events are lost, first {min(missing)}'
        server.stop()
        with contextlib.closing(sqlite3.connect(server.database)) as database:
            assert database.execute('PRAGMA integrity_check').fetchall() == [('ok',)]
    print(f'{KILLS} kills and {n_killed_in_start} during the start, {books.n_acknowledged} acknowledged events, '
          f'{time.monotonic() - begin:.0f} s')
    assert books.n_acknowledged > KILLS and n_unanswered > KILLS


def test_sigterm_under_load(tmp_path):
    """An orderly end loses nothing that was acknowledged, says so with status 0, and is quick."""
    books = Books()
    with EmbeddedServer(tmp_path / 'embedded') as server:
        for i in range(10):
            writers = [Writer(server.unix if j % 2 else server.port, j, window=50) for j in range(4)]
            end = time.monotonic() + 0.1 + 0.02 * i
            run_writers(writers, lambda: time.monotonic() >= end)
            server.process.signal(signal.SIGTERM)
            run_writers(writers, lambda: all(w.closed for w in writers))
            assert server.process.wait() == 0
            server.start()
            books.check(server.port, writers)
            for w in writers:
                w.close()
    assert books.n_acknowledged > 100


def register_hundred(c):
    """Without response."""
    c.init(name='source')
    for i in range(100):
        c.register([register_event(f'late/{i}', json_payload(str(i)))], response=False)


def n_registered(server):
    with RawConnection(server.port) as c:
        c.init(name='reader')
        return len(query_latest(c, ['late/*']))


def test_unanswered_registrations_survive_a_second(tmp_path):
    """What was registered without response is on the disk a second later."""
    with EmbeddedServer(tmp_path / 'embedded') as server:
        with RawConnection(server.port) as c, RawConnection(server.port) as persisted:
            persisted.init(name='persisted', subscriptions=['late/*'], persisted=True)
            begin = time.monotonic()
            register_hundred(c)
            n = 0
            while n < 100:
                n += len(wire.read_events(wire.Reader(persisted.receive().body)))
            assert time.monotonic() - begin < 10 * PATIENCE
            server.kill()
        server.start()
        assert n_registered(server) == 100


def test_unanswered_registrations_that_nobody_waits_for(tmp_path):
    """The same where no client is told what is on the disk, so that nothing hurries the commit. The time is what is tested."""
    with EmbeddedServer(tmp_path / 'embedded') as server:
        with RawConnection(server.port) as c:
            register_hundred(c)
            assert len(query_latest(c, ['late/*'])) == 100      # all have come
            time.sleep(1 + 2 * PATIENCE)
            server.kill()
        server.start()
        assert n_registered(server) == 100


# ---- the disk


@pytest.fixture
def small_disk(tmp_path):
    if not is_root():
        pytest.skip('only root can mount a small disk')
    folder = tmp_path / 'disk'
    folder.mkdir()
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=6m', 'gatewayd-test', folder], check=True)
    yield folder
    subprocess.run(['umount', folder], check=True)


def fill_disk(folder):
    """Leaves nothing. Returns the file that does it."""
    path = folder / 'filler'
    with open(path, 'wb', buffering=0) as f, contextlib.suppress(OSError):
        for size in (64 << 10, 4096, 256, 1):
            with contextlib.suppress(OSError):
                while True:
                    f.write(bytes(size))
    return path


def registered(connection, kind, size, number):
    """Registers with response and returns the event, None when it failed."""
    payload = json_payload('[' + str(number) + ',"' + 'x' * size + '"]')
    events = wire.registered(connection.answer(connection.register([register_event(kind, payload)])).body)
    return events and events[0]


def test_disk_full(small_disk, tmp_path):
    """Who wants a response hears of the failure and the event is neither kept nor notified; what wants none is notified, kept
    and stored when there is room again. Nobody restarts anything."""
    with EmbeddedServer(tmp_path / 'embedded', state=small_disk) as server, RawConnection(server.port) as c, \
            RawConnection(server.unix) as subscriber:
        pid = server.process.pid
        c.init(name='source')
        subscriber.init(name='subscriber', subscriptions=['disk/*'])
        before = registered(c, 'disk/with', 100, 0)
        assert subscriber.receive().body

        filler = fill_disk(small_disk)
        number, kept = 0, [before]
        while (event := registered(c, 'disk/with', 20_000, number := number + 1)) is not None:
            kept.append(event)
            subscriber.receive()
            assert number < 1000
        assert registered(c, 'disk/with', 20_000, 1000) is None

        for i in range(20):
            c.register([register_event(f'disk/without/{i}', json_payload(f'"{"y" * 1000}"'))], response=False)
        for i in range(20):
            events = wire.read_events(wire.Reader(subscriber.receive().body))
            assert [j.type for j in events] == [('disk', 'without', str(i))]        # and none of those that failed
        assert registered(c, 'disk/with', 20_000, 1001) is None
        said = re.findall(r'The event database .* takes (no events|events again)', server.gateway.log_text())
        assert said == ['no events']

        filler.unlink()
        recovered = wait_until(lambda: registered(c, 'disk/with', 100, 2000), 'the disk takes events again', interval=0.1)
        assert recovered.id > max(i.id for i in kept)

        def stored():
            return {i.type for i in query_since(c) if i.type[:2] == ('disk', 'without')}

        wait_until(lambda: len(stored()) == 20, 'what was kept is stored', interval=0.1)
        assert server.process.running and server.process.pid == pid
        numbers = [i.payload.split(',')[0] for i in query_since(c) if i.type == ('disk', 'with')]
        assert numbers == [i.payload.split(',')[0] for i in [*kept, recovered]]
        said = re.findall(r'The event database .* takes (no events|events again)', server.gateway.log_text())
        assert said == ['no events', 'events again']
        server.kill()
        server.start()
        with RawConnection(server.port) as again:
            again.init(name='again')
            history = list(query_since(again))
        assert {i.type for i in history if i.type[:2] == ('disk', 'without')} == {('disk', 'without', str(i)) for i in range(20)}
        assert [i.payload.split(',')[0] for i in history if i.type == ('disk', 'with')] == numbers


# ---- the copy


def test_export_under_load(tmp_path, bus):
    """A whole database as of one moment: all that was acknowledged before, no holes, and a server starts with it."""
    with EmbeddedServer(tmp_path / 'embedded', bus_address=bus.address) as server:
        writers = [Writer(server.unix if i % 2 else server.port, i, window=50) for i in range(4)]
        run_writers(writers, lambda: all(len(w.acknowledged) > 500 for w in writers))
        before = {k: v for w in writers for k, v in w.acknowledged.items()}

        copy = tmp_path / 'copy'
        copy.mkdir()
        result = []
        thread = threading.Thread(target=lambda: result.append(Ctl(bus.address)('event', 'export', copy / 'events.db', check=False)))
        thread.start()
        run_writers(writers, lambda: not thread.is_alive())
        thread.join()
        assert result and result[0].returncode == 0, result[0].stderr if result else 'gatewayctl did not end'
        assert all(not w.closed and not w.failed for w in writers)
        assert [i.name for i in server.state.iterdir() if not i.name.startswith('events.db')] == []
        for w in writers:
            w.close()

    with contextlib.closing(sqlite3.connect(copy / 'events.db')) as database:
        assert database.execute('PRAGMA integrity_check').fetchall() == [('ok',)]
    with EmbeddedServer(tmp_path / 'second', state=copy) as second, RawConnection(second.port) as c:
        c.init(name='reader')
        stored = {i.id: i for i in query_since(c)}
        assert all(stored[k].payload == str(v) for k, v in before.items())
        sessions = sorted({i[1] for i in stored})
        assert sessions == list(range(sessions[0], sessions[-1] + 1))
