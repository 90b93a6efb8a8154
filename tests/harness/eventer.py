# SPDX-License-Identifier: Apache-2.0
"""Hat's own eventer client (hat.event.eventer) behind ordinary calls: register, query, wait for events."""

import threading
import time

from hat.drivers import net
from hat.event import common
from hat.event import eventer

from harness import background
from harness.waiting import DEADLINE, DeadlineError

_ANY = object()


def event_type(text):
    """'a/b/?/*' as the tuple of its segments. Tuples are returned as they are."""
    return tuple(text.split('/')) if isinstance(text, str) else tuple(text)


def payload(event):
    """The JSON payload, or None: no test distinguishes no payload from null by this."""
    return event.payload.data if isinstance(event.payload, common.EventPayloadJson) else None


def is_operational(port, host='127.0.0.1'):
    async def ask():
        client = await eventer.connect(net.TcpAddress(host, port), 'harness/probe')
        try:
            return client.status == common.Status.OPERATIONAL
        finally:
            await client.async_close()

    try:
        return background.run(ask(), 5)
    except (ConnectionError, OSError, TimeoutError):
        return False


class Eventer:
    """One connection that subscribes to everything unless told otherwise. Keeps all events it was notified of; with `replay`
    also those that the server has from before. Without `connect` the caller connects, when the server is there."""

    def __init__(self, port, name='test/client', subscriptions=('*',), replay=False, connect=True, host='127.0.0.1'):
        self._host = host
        self._port = port
        self._name = name
        self._replay = replay
        self._subscriptions = [event_type(i) for i in subscriptions]
        self._changed = threading.Condition()
        self._events = []
        self._client = None
        self._persisted = None
        self._persisted_ids = set()
        if connect:
            self.connect()

    def connect(self):
        """Connects, also again after the server was killed. What was received before is kept."""
        self.close()
        address = net.TcpAddress(self._host, self._port)
        self._client = background.run(eventer.connect(address, self._name, subscriptions=self._subscriptions,
                                                      events_cb=self._on_events))
        everything = [('*',)] if self._subscriptions else []
        self._persisted = background.run(eventer.connect(address, self._name + '/persisted', subscriptions=everything,
                                                         persisted=True, events_cb=self._on_persisted))
        if self._replay:
            self._take_history()

    def connect_once(self):
        """Connects unless it is connected."""
        if not self._client:
            self.connect()

    def _take_history(self):
        params = common.QueryTimeseriesParams(self._subscriptions, order=common.Order.ASCENDING)
        events = background.run(self._client.query(params)).events
        with self._changed:
            notified = {i.id for i in self._events}
            self._events[:0] = [i for i in events if i.id not in notified]
            self._changed.notify_all()

    def close(self):
        for client in (self._client, self._persisted):
            if client:
                background.run(client.async_close())
        self._client = self._persisted = None

    def _on_events(self, _client, events):
        with self._changed:
            self._events.extend(events)
            self._changed.notify_all()

    def _on_persisted(self, _client, events):
        with self._changed:
            self._persisted_ids.update(i.id for i in events)
            self._changed.notify_all()

    # ---- registering and querying

    def register(self, kind, value=_ANY, source_timestamp=None):
        """Registers one JSON event (without a payload if no value is given) and returns it, accepted."""
        return self.register_many([(kind, value)], source_timestamp)[0]

    def register_many(self, items, source_timestamp=None):
        """The same for several [(type, value)] in one message: one session, one notification."""
        events = [common.RegisterEvent(event_type(kind), source_timestamp,
                                       None if value is _ANY else common.EventPayloadJson(value))
                  for kind, value in items]
        result = background.run(self._client.register(events, True))
        assert result is not None, f'registration of {items} failed'
        return list(result)

    def register_binary(self, kind, data, name='test'):
        event = common.RegisterEvent(event_type(kind), None, common.EventPayloadBinary(name, data))
        return background.run(self._client.register([event], True))

    def register_persisted(self, kind, value):
        """Registers and waits until the event is on the server's storage: it then survives kill -9."""
        event = self.register(kind, value)
        with self._changed:
            if not self._changed.wait_for(lambda: event.id in self._persisted_ids, DEADLINE):
                raise DeadlineError(f'{event.type} is not persisted')
        return event

    def latest(self, kind):
        """The last event of exactly this type, or None."""
        result = background.run(self._client.query(common.QueryLatestParams([event_type(kind)])))
        return next(iter(result.events), None)

    def query_latest(self, kind):
        """All last events that match the query type, sorted by type."""
        result = background.run(self._client.query(common.QueryLatestParams([event_type(kind)])))
        return sorted(result.events, key=lambda i: i.type)

    # ---- what was notified

    def mark(self):
        """A place in the record: `since=` of the other methods."""
        with self._changed:
            return len(self._events)

    def events(self, kind='*', since=0):
        query = event_type(kind)
        with self._changed:
            return [i for i in self._events[since:] if common.matches_query_type(i.type, query)]

    def payloads(self, kind, since=0):
        return [payload(i) for i in self.events(kind, since)]

    def wait(self, kind, value=_ANY, since=0, timeout=DEADLINE, where=None):
        """Waits for an event of the type (with this payload, or one for which `where(payload)` is true)."""
        def found():
            return next((i for i in self.events(kind, since)
                         if (value is _ANY or payload(i) == value) and (where is None or where(payload(i)))), None)

        with self._changed:
            if not self._changed.wait_for(found, timeout):
                raise DeadlineError(f'not in {timeout:g} s: event {kind} {"" if value is _ANY else value!r}; '
                                    f'came: {[(i.type, payload(i)) for i in self._events[since:]][-40:]}')
            return found()

    def wait_payloads(self, kind, expected, since=0, timeout=DEADLINE):
        """Waits until as many events of the type have come as there are payloads expected, then compares."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.events(kind, since)) >= len(expected), timeout)
            got = self.payloads(kind, since)
        assert got == expected

    def assert_none(self, kind, since, duration, value=_ANY):
        """Fails if an event of the type (with this payload) comes within the time: the proof that nothing happens."""
        end = time.monotonic() + duration
        with self._changed:
            while True:
                bad = [i for i in self.events(kind, since) if value is _ANY or payload(i) == value]
                assert not bad, f'unexpected: {[(i.type, payload(i)) for i in bad]}'
                left = end - time.monotonic()
                if left <= 0:
                    return
                self._changed.wait(left)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
