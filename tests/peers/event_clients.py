# SPDX-License-Identifier: Apache-2.0
"""Clients that load an event server and know what it owes them."""

import selectors
import statistics
import threading
import time

from harness import wire
from harness.waiting import DEADLINE, PATIENCE, wait_until
from harness.wire import RawConnection, Reader, array, choice, event_type, integer, optional, register_event

QUERY = 'HatEventer.MsgQueryReq'


def query_events(connection, body):
    """(events, moreFollows) of one query."""
    m = connection.answer(connection.send_message(QUERY, body, last=False))
    assert m is not None, 'the server closed the connection'
    r = Reader(m.body)
    return wire.read_events(r), r.boolean()


def query_latest(connection, types):
    return query_events(connection, choice(0, optional(array(event_type(i) for i in types))))[0]


def query_since(connection, last_id=None, server_id=1):
    """All stored events behind that id, page by page."""
    while True:
        events, more = query_events(connection, choice(2, integer(server_id) + b'\x01' + optional() + optional(
            None if last_id is None else b''.join(map(integer, last_id)))))
        yield from events
        if not more:
            return
        last_id = events[-1].id


class Writer:
    """Registers numbers with response, several requests at a time, and remembers which were acknowledged with which id."""

    def __init__(self, address, name, window=8, payload=None):
        self.kind = f'writer/{name}'
        self.connection = RawConnection(address)
        self.window = window
        self.payload = payload or (lambda n: wire.json_payload(str(n)))
        self.number = 0                 # of the last that was registered
        self.waiting = {}               # conversation → number
        self.acknowledged = {}          # id → number
        self.failed = []                # numbers
        self.closed = False
        assert self.connection.init(name=f'writer {name}').type == 'HatEventer.MsgInitRes'

    def fill(self):
        while len(self.waiting) < self.window:
            self.number += 1
            event = register_event(self.kind, self.payload(self.number))
            try:
                self.waiting[self.connection.register([event])] = self.number
            except ConnectionError:
                self.closed = True
                return

    def take(self):
        """Takes what has come."""
        if not self.connection.read():
            self.closed = True
        while (m := self.connection.received()) is not None:
            if m.type == 'HatEventer.MsgStatusNotify':
                continue
            number = self.waiting.pop(m.first)
            events = wire.registered(m.body)
            if events is None:
                self.failed.append(number)
            else:
                self.acknowledged[events[0].id] = number

    def drain(self):
        """Everything until the server closes."""
        while not self.closed:
            self.take()

    def close(self):
        self.connection.close()


def run_writers(writers, until):
    """Keeps all of them busy until until() is true or the server has closed them."""
    with selectors.DefaultSelector() as selector:
        for w in writers:
            w.fill()
            selector.register(w.connection.socket, selectors.EVENT_READ, w)
        while selector.get_map() and not until():
            for key, _ in selector.select(0.005):
                w = key.data
                w.take()
                if w.closed:
                    selector.unregister(w.connection.socket)
                else:
                    w.fill()


class Watch:
    """One client registers an event with response every few milliseconds and another is notified: nothing may be missing, and
    nothing late. Runs in threads of its own inside the `with`."""

    def __init__(self, address, interval=0.003, limit=5 * PATIENCE):
        self._interval = interval
        self._limit = limit
        self._source = RawConnection(address)
        self._subscriber = RawConnection(address)
        assert self._source.init(name='watch/source').type == 'HatEventer.MsgInitRes'
        assert self._subscriber.init(name='watch/subscriber', subscriptions=['watch']).type == 'HatEventer.MsgInitRes'
        self._sent = {}
        self.latencies = []
        self._stop = threading.Event()
        self._error = None
        self._threads = [threading.Thread(target=self._guard, args=[i], daemon=True) for i in (self._register, self._read)]

    def _guard(self, function):
        try:
            function()
        except BaseException as e:      # noqa: B902 - told by the thread that waits for this one
            self._error = e

    def _register(self):
        number = 0
        while not self._stop.is_set():
            number += 1
            self._sent[number] = time.monotonic()
            m = self._source.answer(self._source.register([register_event('watch', wire.json_payload(str(number)))]))
            assert m is not None and wire.registered(m.body) is not None, f'registration {number} failed'
            self._stop.wait(self._interval)
        self._last = number
        self._source.register([register_event('watch', wire.json_payload('0'))], response=False)

    def _read(self):
        expected = 1
        while True:
            m = self._subscriber.receive()
            now = time.monotonic()
            assert m is not None, 'the subscriber was closed'
            for event in wire.read_events(Reader(m.body)):
                number = int(event.payload)
                if number == 0:
                    assert expected == self._last + 1, f'{expected} to {self._last} were not notified'
                    return
                assert number == expected, f'{expected} was expected, {number} came'
                self.latencies.append(now - self._sent.pop(number))
                expected += 1

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(DEADLINE)
        self._source.close()
        self._subscriber.close()
        if kind is None:
            if self._error:
                raise self._error
            assert not any(i.is_alive() for i in self._threads)
            assert len(self.latencies) > 10
            worst = max(self.latencies)
            print(f'register to notification: {len(self.latencies)} events, median {statistics.median(self.latencies) * 1e3:.2f} ms, '
                  f'worst {worst * 1e3:.1f} ms')
            assert worst < self._limit, f'an event took {worst:.2f} s'

    def wait_events(self, n):
        """Until so many more have come."""
        begin = len(self.latencies)
        wait_until(lambda: len(self.latencies) >= begin + n or self._error, f'{n} more notifications')
