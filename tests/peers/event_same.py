# SPDX-License-Identifier: Apache-2.0
"""The same operations on two event servers, and the comparison of everything that they answer. Events are known by the order
in which they were registered, which is the same on both sides: ids and times of the two are compared by that."""

import asyncio
import bisect
import contextlib
import itertools
import random
import time
import typing

from hat.drivers import net
from hat.event import common
from hat.event import eventer

from harness.waiting import DEADLINE

SEGMENTS = ['a', 'b', 'c', 'd', '', 'é', '日本', '?', '*', 'a/b', 'x\0y', 'A', 'a*']
US = [0, 1, 250_000, 999_999]
JSON = [None, True, False, 0, -1, 17, 2 ** 63, -2 ** 80, 1.0, 1e-7, 1e16, 123456.789, '', 'text', 'é日本𝄞', 'a"\\/\b\n\0\x7f',
        '\ud800', [], {}, [1, [2, [3, None]]], {'a': {'b': [1.5, 'x']}, '': None, 'é': True},
        {'result': 'SUCCESS', 'value': 4711, 'cause': 'CHANGE'}]


def is_harmless(params):
    """hat-event 0.9.44 flushes for a query by source time, and may end when it does while it answers an ascending one."""
    return (not isinstance(params, common.QueryTimeseriesParams) or
            (params.order, params.order_by) == (common.Order.DESCENDING, common.OrderBy.TIMESTAMP))


def address_of(place):
    """A port of the loopback address, or a path."""
    return net.TcpAddress('127.0.0.1', place) if isinstance(place, int) else place


class Refused(Exception):
    """The server closed the connection instead of answering."""


class Known(typing.NamedTuple):
    """An event as both servers must know it. Its index in the record is its identity."""

    type: tuple
    source: common.Timestamp | None
    payload: typing.Any

    @classmethod
    def of(cls, event):
        payload = event.payload
        if isinstance(payload, common.EventPayloadBinary):
            payload = payload._replace(data=bytes(payload.data))
        return cls(tuple(event.type), event.source_timestamp, repr(payload))    # repr: 1, 1.0 and True differ


class Settings(typing.NamedTuple):
    """What a client asks for in its init request."""

    subscriptions: tuple
    server_id: int | None
    persisted: bool


class Query(typing.NamedTuple):
    """make(side) → its parameters there. ordered: as are the results."""

    make: typing.Callable
    ordered: bool = True


class Side:
    """One server: its clients by name, and what it gave to every event of the record.

    Others may use it at the same time: what comes into the record is of types that begin with the prefix, and the clients'
    own states. alone: a lock of all that use one hat-event (is_harmless())."""

    def __init__(self, name, places, prefix=(), names=(), alone=None):
        self.name = name
        self.places = places            # of its clients in turn
        self.prefix = prefix
        self.own = common.create_subscription(
            [(*prefix, '*'), *[('event', '1', 'eventer', i) for i in names]] if prefix else [('*',)])
        self.alone = alone or asyncio.Lock()
        self.clients = {}
        self.notified = {}              # of each client: lists of events, one a message
        self.events = []                # of the record, as this server has them
        self.index = {}                 # its id → index
        self.seen = []                  # by the witness: what comes into the record next
        self.changed = asyncio.Event()
        self.last_persisted = None      # id
        self.base = None                # id of the last event that is not compared
        self._places = itertools.cycle(places)

    async def connect(self, name, settings):
        self.notified[name] = []

        def on_events(_client, events):
            self.notified[name].append([i.id for i in events])

        self.clients[name] = await eventer.connect(
            address_of(next(self._places)), name, subscriptions=settings.subscriptions, server_id=settings.server_id,
            persisted=settings.persisted, events_cb=on_events)

    async def close(self):
        for client in self.clients.values():
            await client.async_close()

    async def start(self):
        """Connects the witnesses, who see everything, and begins the record behind their own events."""
        def on_events(_client, events):
            self.seen.extend(events)
            self.changed.set()

        def on_persisted(_client, events):
            self.last_persisted = events[-1].id
            self.changed.set()

        types = list(self.own.get_query_types())
        self.clients['witness'] = await eventer.connect(address_of(self.places[0]), 'witness', subscriptions=types,
                                                        events_cb=on_events)
        self.clients['persisted'] = await eventer.connect(address_of(self.places[-1]), 'persisted', subscriptions=types,
                                                          persisted=True, events_cb=on_persisted)
        # Whoever asked before whether the server is there has gone by now, and this is the last that was not compared.
        while not self.prefix:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.3):
                    while True:
                        self.changed.clear()
                        await self.changed.wait()
            if self.seen:
                break
        base = await self.register('witness', [common.RegisterEvent((*self.prefix, 'base'), None, None)], True)
        self.base = base[0].id
        await self.wait(lambda: self.seen and self.seen[-1].id == self.base, 'the first event')
        await self.flush()
        await self.wait(lambda: self.last_persisted == self.base, 'the first event is persisted')
        self.seen.clear()

    async def wait(self, condition, what):
        end = time.monotonic() + DEADLINE
        while not condition():
            self.changed.clear()
            left = end - time.monotonic()
            assert left > 0, f'{self.name}: not in {DEADLINE:g} s: {what()  if callable(what) else what}'
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, 0.2)):
                    await self.changed.wait()

    async def flush(self):
        """Makes hat-event write what it has: it does so before a query by source time."""
        await self.query('witness', common.QueryTimeseriesParams(order_by=common.OrderBy.SOURCE_TIMESTAMP, max_results=0))

    async def register(self, name, events, response):
        client = self.clients[name]
        try:
            result = await client.register(events, response)
            if not response:
                await client.query(common.QueryLatestParams([]))        # answered behind it
            return result
        except ConnectionError:
            raise Refused() from None

    async def query(self, name, params):
        try:
            async with contextlib.nullcontext() if is_harmless(params) else self.alone:
                return await self.clients[name].query(params)
        except ConnectionError:
            raise Refused() from None

    async def pages(self, name, persisted, limit, last):
        """Of all that a server query gives behind an event, page by page, what the record has."""
        result, last, more = [], self.events[last].id, True
        while more:
            page = await self.query(name, common.QueryServerParams(1, persisted, limit, last))
            assert len(page.events) == limit or not page.more_follows
            result += self.indexes(page.events, others=True)
            last, more = page.events[-1].id if page.events else last, page.more_follows
        return result

    def indexes(self, events, others=False):
        """Of events that the record has; what was there before it is left out. others: so is what others registered."""
        result = []
        for event in events:
            if event.id > self.base and not (others and not self.own.matches(event.type)):
                index = self.index.get(event.id)
                assert index is not None, f'{self.name}: unknown event {event}'
                assert event == self.events[index], f'{self.name}: {event} was {self.events[index]}'
                result.append(index)
        return result

    def stamp(self, index):
        return self.events[index].timestamp


class Pair:
    """The two sides and the record."""

    def __init__(self, one, two):
        self.sides = (one, two)
        self.prefix = one.prefix        # not empty: others use the two servers, too
        self.record = []                # of Known
        self.sessions = []              # index of the first event of each session
        self.settings = {}              # of the clients
        self.connected = {}             # the events that say so
        self.settled = {}               # up to where what they were notified of was compared
        self.n_operations = 0

    async def both(self, function):
        return await asyncio.gather(*[function(i) for i in self.sides])

    async def both_or_refused(self, function, what):
        """None: both refused. Anything else that differs is an error."""
        results = await asyncio.gather(*[function(i) for i in self.sides], return_exceptions=True)
        refused = [isinstance(i, Refused) for i in results]
        for i in results:
            if isinstance(i, BaseException) and not isinstance(i, Refused):
                raise i
        assert refused[0] == refused[1], f'one closes the connection, the other does not: {[type(i).__name__ for i in results]}: {what}'
        return None if refused[0] else results

    # ---- the record

    async def extend(self, n, expected=None):
        """Waits until both witnesses saw n more events, which must be the same, and takes them into the record."""
        await self.both(lambda s: s.wait(lambda: len(s.seen) >= n, lambda: f'{n} events, came: {s.seen}'))
        parts = []
        for s in self.sides:
            parts.append(s.seen[:n])
            del s.seen[:n]
        one, two = ([Known.of(i) for i in part] for part in parts)
        assert one == two
        assert expected is None or one == expected

        # The sessions of others are not the same ones on both sides.
        shape = [[(i.id.server, None if self.prefix else i.id.session - s.base.session, i.id.instance) for i in part]
                 for s, part in zip(self.sides, parts)]
        assert shape[0] == shape[1]
        for s, part in zip(self.sides, parts):
            for i, event in enumerate(part):
                last = s.events[-1] if s.events else None
                assert last is None or last.id < event.id and last.timestamp <= event.timestamp
                s.index[event.id] = len(s.events)
                s.events.append(event)
        for i, event in enumerate(parts[0]):
            if event.id.instance == 1:
                self.sessions.append(len(self.record) + i)
        self.record += one
        return parts

    async def settle(self):
        """Every client has been notified of what it asked for, one message a session, and of nothing else."""
        await self.flush()
        for name in self.settings:
            expected = self.expected(name)
            await self.both(lambda s: s.wait(lambda: len(self.told(s, name)) >= len(expected),
                                             lambda: f'{name} is notified of {len(expected)}, came: {len(self.told(s, name))}'))
            for s in self.sides:
                told = self.told(s, name)
                assert told == expected, f'{s.name}, {name}: {difference(told, expected)}'
                s.notified[name].clear()
            self.settled[name] = len(self.record)

    def expected(self, name):
        settings, since = self.settings[name], self.settled[name]
        if settings.server_id not in (None, 1):
            return []
        sessions = [i for i in self.sessions if i >= since] + [len(self.record)]
        messages = [[i for i in range(a, b) if any(common.matches_query_type(self.record[i].type, j)
                                                   for j in settings.subscriptions)]
                    for a, b in itertools.pairwise(sessions)]
        return [i for i in messages if i]

    def told(self, side, name):
        """Of what a client was notified: indexes, a list each message. Whether it hears that it is connected itself is left
        to chance when it wants to hear what is persisted."""
        messages = [[side.index[i] for i in message] for message in side.notified[name]]
        return [i for i in messages if i != [self.connected[name]]]

    async def flush(self):
        """Both have stored everything. One more registration with response, because a server may take its time with others."""
        def done(side):
            return not side.events or side.last_persisted == side.events[-1].id

        if not all(map(done, self.sides)):
            await self.burst('witness', [([common.RegisterEvent((*self.prefix, 'flush'), None, None)], True)])
            self.n_operations -= 1
            await self.both(lambda s: s.flush())
        await self.both(lambda s: s.wait(lambda: done(s), lambda: f'{s.events[-1]} is persisted, last: {s.last_persisted}'))

    # ---- clients

    async def connect(self, name, settings):
        await self.flush()
        await self.both(lambda s: s.connect(name, settings))
        self.settings[name] = settings
        await self.extend(1)
        self.connected[name] = len(self.record) - 1
        self.settled[name] = len(self.record)
        assert self.record[-1].type == ('event', '1', 'eventer', name)

    async def reconnect(self, name, settings):
        await self.settle()
        await self.both(lambda s: s.clients[name].async_close())
        await self.extend(1)
        await self.connect(name, settings)
        self.n_operations += 2

    # ---- operations

    async def burst(self, name, requests):
        """Registrations, which are (events, response), and queries, which are a Query: sent at once, answers awaited together."""
        def send(side, request):
            if isinstance(request, Query):
                return side.query(name, request.make(side))
            return side.register(name, *request)

        async def run(side):
            return await asyncio.gather(*[send(side, i) for i in requests])

        answers = await self.both(run)
        flat = [Known.of(i) for request in requests if not isinstance(request, Query) for i in request[0]]
        at = len(self.record)
        if flat:
            await self.extend(len(flat), flat)
        for request, one, two in zip(requests, *answers):
            if isinstance(request, Query):
                self._compare(request, (one, two))
                continue
            events, response = request
            if response:
                for side, result in zip(self.sides, (one, two)):
                    assert list(result) == side.events[at:at + len(events)]
            at += len(events)
        self.n_operations += len(requests)

    async def query(self, name, query):
        """The indexes of the results and whether more follow, None where both closed the connection."""
        results = await self.both_or_refused(lambda s: s.query(name, query.make(s)), query.make(self.sides[0]))
        self.n_operations += 1
        if results is not None:
            return self._compare(query, results)
        await self.extend(1)            # disconnected
        await self.connect(name, self.settings[name])
        self.n_operations += 1
        return None

    async def server_pages(self, name, persisted, limit, last):
        """Everything behind an event of the record."""
        expected = list(range(last + 1, len(self.record)))
        for s, told in zip(self.sides, await self.both(lambda s: s.pages(name, persisted, limit, last))):
            assert told == expected, f'{s.name}: {difference(told, expected)}'
        self.n_operations += 1

    def _compare(self, query, results):
        params = [query.make(s) for s in self.sides]
        more = [i.more_follows for i in results]
        others = bool(self.prefix) and isinstance(params[0], common.QueryServerParams)
        one, two = (s.indexes(r.events, others) for s, r in zip(self.sides, results))
        if not query.ordered:
            one, two = sorted(one), sorted(two)
        if others and any(more):        # an answer holds so many events, and those of others are not the same ones
            n = min(len(one), len(two))
            one, two = one[:n], two[:n]
        what = [(p, len(r.events), r.more_follows) for p, r in zip(params, results)]
        assert one == two, f'{what}: {difference(one, two)}'
        assert others or more[0] == more[1], what
        return one, more[0]

    # ---- places in time that both sides agree on

    def _is_later(self, index):
        """The time of the event differs from that of the one before it on both sides: a server may have the same microsecond
        twice, and then only there."""
        return index in (0, len(self.record)) or all(s.stamp(index - 1) < s.stamp(index) for s in self.sides)

    def session_begin(self, at):
        """The first event of the last session up to `at` that is later than the session before it."""
        i = bisect.bisect_right(self.sessions, at) - 1
        while not self._is_later(self.sessions[i]):
            i -= 1
        return self.sessions[i]

    def session_end(self, at):
        """The last event of the first session from `at` on that the session behind it is later than."""
        i = bisect.bisect_right(self.sessions, at)
        while i < len(self.sessions) and not self._is_later(self.sessions[i]):
            i += 1
        return (self.sessions[i] if i < len(self.sessions) else len(self.record)) - 1


def shifted(stamp, us):
    """A few microseconds earlier or later."""
    total = stamp.s * 1_000_000 + stamp.us + us
    return common.Timestamp(total // 1_000_000, total % 1_000_000)


def difference(one, two):
    at = next((i for i, (a, b) in enumerate(itertools.zip_longest(one, two)) if a != b), None)
    return f'{len(one)} and {len(two)} results, from place {at} on {one[at:at + 5]} and {two[at:at + 5]}'


class Dice:
    """Everything random, from one seed."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.types = [()] + [tuple(self.r.choice(SEGMENTS) for _ in range(self.r.randint(1, 4))) for _ in range(150)]

    def event(self, prefix=()):
        return common.RegisterEvent((*prefix, *self.r.choice(self.types)), self.source() if self.r.random() < 0.6 else None,
                                    self.payload())

    def events(self, prefix=()):
        n = self.r.choices([0, 1, 2, 3, 10, 40], [3, 60, 15, 10, 5, 1])[0]
        return [self.event(prefix) for _ in range(n)]

    def source(self):
        return common.Timestamp(self.r.choice([-3, -1, 0, *range(1_700_000_000, 1_700_000_040)]), self.r.choice(US))

    def payload(self):
        kind = self.r.random()
        if kind < 0.2:
            return None
        if kind < 0.8:
            return common.EventPayloadJson(self.r.choice(JSON))
        return common.EventPayloadBinary(self.r.choice(['', 'x', 'é']), self.r.randbytes(self.r.choice([0, 1, 63, 64, 300])))

    def query_type(self, prefix=()):
        kind = list(self.r.choice(self.types))
        if kind and self.r.random() < 0.5:
            kind[self.r.randrange(len(kind))] = '?'
        if self.r.random() < 0.5:
            kind = kind[:self.r.randint(0, len(kind))] + ['*']
        # A `*` elsewhere than at the end is refused: that is tried where it is meant.
        kind = ['a' if i == '*' else i for i in kind[:-1]] + kind[-1:]
        return (*prefix, *kind)

    def query_types(self, prefix=()):
        n = self.r.choices([None, 0, 1, 2, 5], [0 if prefix else 25, 3, 45, 20, 7])[0]
        return None if n is None else [self.query_type(prefix) for _ in range(n)]

    def settings(self, prefix=()):
        return Settings(tuple(self.query_types(prefix) or [(*prefix, '*')]) if self.r.random() < 0.9 else (),
                        self.r.choice([None, None, None, 1, 2]), self.r.random() < 0.4)

    def max_results(self):
        return self.r.choice([None, 0, 1, 2, 3, 10, 10, 50, 5000])
