# SPDX-License-Identifier: Apache-2.0
"""The embedded event server answers like hat-event: the same random operations on both. The seed is printed;
GATEWAYD_TEST_SEED chooses it, GATEWAYD_TEST_OPERATIONS how many there are."""

import asyncio
import itertools
import os
import random
import time

import pytest

from hat.event import common

from harness import background, wire
from harness.embedded import EmbeddedServer
from harness.event_server import EventServer

import event_malformed as malformed
from event_same import Dice, Pair, Query, Side, shifted

OPERATIONS = int(os.environ.get('GATEWAYD_TEST_OPERATIONS', '10000'))
NAMES = ['gateway/one', 'two', 'é/日本', '', 'five']
PAGES = 6


@pytest.fixture
def seed():
    value = int(os.environ.get('GATEWAYD_TEST_SEED', random.SystemRandom().randrange(2 ** 32)))
    print(f'GATEWAYD_TEST_SEED={value}')
    return value


@pytest.fixture
def servers(tmp_path):
    # hat-event 0.9.44 ends when it flushes by itself while it answers a timeseries query: it flushes only when it is asked to.
    with EventServer(tmp_path / 'hat-event', flush_period=3600) as reference, EmbeddedServer(tmp_path / 'embedded') as embedded:
        yield reference, embedded


def make_pair(servers, alone=None, **options):
    reference, embedded = servers
    return Pair(Side('hat-event', [reference.port], alone=alone, **options),
                Side('embedded', [embedded.unix, embedded.port], **options))


# ---- one operation after the other: both servers have everything in the same order


class Script:
    """The operations of some clients, on types with the pair's prefix."""

    bursts = [1, 1, 2, 5, 20]
    window = 400            # events that most queries look at

    def __init__(self, pair, dice, names):
        self.pair = pair
        self.dice = dice
        self.r = dice.r
        self.names = names
        self.prefix = pair.prefix

    def name(self):
        return self.r.choice(self.names)

    def recent(self, n):
        """One of the last n events."""
        return self.r.randrange(max(0, len(self.pair.record) - n), len(self.pair.record))

    def registration(self):
        return self.dice.events(self.prefix), self.r.random() < 0.5

    def latest(self):
        types = self.dice.query_types(self.prefix)
        return Query(lambda s: common.QueryLatestParams(types), ordered=False)

    def newest(self):
        """Of the history: also what the same burst registers before."""
        bounds, types, limit = self.bounds(), self.dice.query_types(self.prefix), self.dice.max_results()
        return Query(lambda s: common.QueryTimeseriesParams(types, **bounds(s), max_results=limit))

    def newest_of_server(self):
        last, limit = self.recent(self.window // 8), self.r.choice([10, 100, None])
        return Query(lambda s: common.QueryServerParams(1, False, limit, s.events[last].id))

    async def burst(self):
        """What one client has under way at the same time: most are registrations, with and without response."""
        makers = self.r.choices([self.registration, self.latest, self.newest, self.newest_of_server], [24, 3, 2, 1],
                                k=self.r.choice(self.bursts))
        await self.pair.burst(self.name(), [i() for i in makers])

    async def ask_latest(self):
        await self.pair.query(self.name(), self.latest())

    def bounds(self):
        """make(side) of t_from, t_to, and source bounds. Most look at a part only: the reference reads all it may."""
        n = len(self.pair.record)
        whole = self.r.random() < 0.02
        has_to = not whole and self.r.random() < 0.8
        begin = self.r.randrange(n) if has_to else self.recent(self.window)
        end = min(n - 1, begin + self.r.randint(0, self.window))
        # inclusive, or just behind and before: the only places that mean the same on both sides
        from_, from_us = self.r.choice([(self.pair.session_begin(begin), 0), (self.pair.session_end(begin), 1)])
        to, to_us = self.r.choice([(self.pair.session_end(end), 0), (self.pair.session_begin(end), -1)])
        source = [self.dice.source() if self.r.random() < 0.25 else None for _ in range(2)]

        def make(side):
            return {'t_from': side.events[0].timestamp if whole else shifted(side.stamp(from_), from_us),
                    't_to': shifted(side.stamp(to), to_us) if has_to else None,
                    'source_t_from': source[0], 'source_t_to': source[1]}

        return make

    async def timeseries(self):
        """A query and the pages behind it, also from the middle of a page, and behind an event that does not exist."""
        name, bounds = self.name(), self.bounds()
        rest = {'event_types': self.dice.query_types(self.prefix), 'order': self.r.choice(list(common.Order)),
                'order_by': self.r.choice(list(common.OrderBy))}

        async def ask(max_results, last):
            return await self.pair.query(name, Query(lambda s: common.QueryTimeseriesParams(
                **bounds(s), **rest, max_results=max_results,
                last_event_id=s.events[last].id if last is not None else None)))

        limit = self.dice.max_results()
        events, more = await ask(limit, None)
        if events and self.r.random() < 0.3:
            await ask(self.dice.max_results(), self.r.choice(events))
        for _ in range(PAGES):
            if not (more and events):
                break
            events, more = await ask(limit, events[-1])
        if self.r.random() < 0.1:
            unknown = common.EventId(self.r.choice([0, 1, 2]), 2 ** 40, 1)
            await self.pair.query(name, Query(lambda s: common.QueryTimeseriesParams(**bounds(s), **rest, last_event_id=unknown)))

    async def server(self):
        name, persisted, limit = self.name(), self.r.random() < 0.5, self.dice.max_results()
        last = self.recent(2 * self.window)
        gap = self.r.random() < 0.2         # an id that no event has

        def make_last(side, last):
            event_id = side.base if last is None else side.events[last].id
            return event_id._replace(instance=event_id.instance + 1000) if gap else event_id

        for _ in range(PAGES):
            events, more = await self.pair.query(name, Query(lambda s: common.QueryServerParams(
                1, persisted, limit, make_last(s, last))))
            if not (more and events):
                break
            last, gap = events[-1], False

    async def server_of_others(self):
        other = self.r.choice([0, 2, 2 ** 62])
        last = self.r.choice([None, common.EventId(other, 0, 0), common.EventId(other, 5, 5)])
        await self.pair.query(self.name(), Query(lambda s: common.QueryServerParams(other, False, None, last)))

    async def refused(self):
        """Queries for which the connection is closed, and some that only look so."""
        star = ('a', '*', 'b')
        bad = common.Timestamp(1_700_000_000, self.r.choice([-1, 2 ** 32]))
        odd = common.Timestamp(1_700_000_000, 5_000_000)
        params = self.r.choice([
            common.QueryLatestParams([star]),
            common.QueryTimeseriesParams([star]),
            common.QueryTimeseriesParams([('a', '?'), star], max_results=1),
            common.QueryTimeseriesParams([star, ('*',)], max_results=0),
            common.QueryTimeseriesParams([('*',), star], max_results=0),
            common.QueryTimeseriesParams([('a', '*'), star], max_results=0),
            common.QueryTimeseriesParams([('a',)], max_results=-1),
            common.QueryTimeseriesParams([('a',)], t_from=bad),
            common.QueryTimeseriesParams([('a',)], t_to=bad),
            common.QueryTimeseriesParams([('a',)], source_t_to=bad, order_by=common.OrderBy.SOURCE_TIMESTAMP),
            common.QueryTimeseriesParams([('a',)], source_t_from=bad, order_by=common.OrderBy.SOURCE_TIMESTAMP),
            common.QueryTimeseriesParams([('a',)], source_t_from=odd, order_by=common.OrderBy.SOURCE_TIMESTAMP,
                                         max_results=5, order=common.Order.ASCENDING),
            common.QueryServerParams(1, False, -1, common.EventId(1, 2 ** 40, 0)),
            common.QueryServerParams(1, False, None, common.EventId(2, 1, 1)),
            common.QueryServerParams(1, True, None, common.EventId(1, -1, 1)),
            common.QueryServerParams(1, True, None, common.EventId(1, 1, -1)),
            common.QueryServerParams(-1, True, None, None)])
        await self.pair.query(self.name(), Query(lambda s: params))

    async def reconnect(self):
        await self.pair.reconnect(self.name(), self.dice.settings(self.prefix))

    async def round(self):
        for _ in range(self.r.randint(5, 25)):
            await self.r.choices([self.burst, self.ask_latest], [5, 1])[0]()
        if self.r.random() < 0.5:
            await self.reconnect()
        await self.pair.flush()
        for _ in range(self.r.randint(5, 25)):
            await self.r.choices([self.ask_latest, self.timeseries, self.server, self.server_of_others, self.refused],
                                 [4, 8, 4, 1, 1])[0]()
            await self.pair.flush()
        await self.pair.settle()

    async def everything(self):
        """All that was registered, by pages as large as the server gives them."""
        for order, order_by in itertools.product(common.Order, common.OrderBy):
            last = None
            while True:
                events, more = await self.pair.query(self.name(), Query(lambda s: common.QueryTimeseriesParams(
                    None, s.events[0].timestamp, order=order, order_by=order_by,
                    last_event_id=None if last is None else s.events[last].id)))
                if not more:
                    break
                assert len(events) == 4096
                last = events[-1]
        await self.pair.query(self.name(), Query(lambda s: common.QueryLatestParams(None), ordered=False))
        events, _ = await self.pair.query(self.name(), Query(lambda s: common.QueryServerParams(1, True, None, s.base)))
        assert events == list(range(min(4096, len(self.pair.record))))

    async def run(self, n_operations):
        await self.pair.both(lambda s: s.start())
        for name in self.names:
            await self.pair.connect(name, self.dice.settings(self.prefix))
        while self.pair.n_operations < n_operations:
            await self.round()
        await self.everything()
        await self.pair.both(lambda s: s.close())
        print(f'{self.pair.n_operations} operations, {len(self.pair.record)} events')


@pytest.mark.timeout(600)
def test_same_answers(servers, seed):
    background.run(Script(make_pair(servers), Dice(seed), NAMES).run(OPERATIONS), 590)


# ---- all clients at once: each has types of its own, of which both servers must tell the same


class ScriptAtOnce(Script):
    """Between the events of the pair lie those of others, more of them on the one side or the other."""

    bursts = [1, 2, 5, 20, 60]
    window = 40

    async def server(self):
        await self.pair.server_pages(self.name(), self.r.random() < 0.5, self.r.choice([200, 1000, 4096]),
                                     self.recent(self.window))

    async def everything(self):
        types = [(*self.prefix, '*')]
        await self.pair.query(self.name(), Query(lambda s: common.QueryTimeseriesParams(types, order=common.Order.ASCENDING)))
        await self.pair.query(self.name(), Query(lambda s: common.QueryLatestParams(types), ordered=False))
        await self.pair.server_pages(self.name(), True, 4096, 0)


async def run_at_once(servers, seed):
    alone = asyncio.Lock()
    async with asyncio.TaskGroup() as group:
        for i, name in enumerate(NAMES):
            pair = make_pair(servers, prefix=(f'client {i}',), names=[name], alone=alone)
            group.create_task(ScriptAtOnce(pair, Dice(seed + i), [name]).run(OPERATIONS // len(NAMES)))


@pytest.mark.timeout(600)
def test_same_answers_at_once(servers, seed):
    background.run(run_at_once(servers, seed), 590)


# ---- what is malformed


@pytest.mark.timeout(300)
def test_same_refusals(servers):
    """Both close for the same bytes."""
    reference, embedded = servers
    different = []
    for case in malformed.cases():
        one = malformed.closes(reference.port, case) if case.reference else case.closes
        two = malformed.closes(embedded.unix, case)
        if not one == two == case.closes:
            different.append(f'{case.name}: expected {case.closes}, hat-event {one}, embedded {two}')
    assert not different, '\n'.join(different)


@pytest.mark.timeout(300)
def test_same_half_closes(servers):
    """Who ends his own direction is heard to the end, and then both are closed (wire.md 2.5). hat-event hears less; it keeps no
    more and no less than is said of it."""
    reference, embedded = servers
    different = []
    for case in malformed.half_closes():
        one = malformed.half_close(reference.process, reference.port, case)
        two = [malformed.half_close(embedded.process, i, case) for i in (embedded.unix, embedded.port)]
        if one != case.reference or two != [case.kept] * 2:
            different.append(f'{case.name}: expected {case.reference} and {case.kept}, hat-event {one}, embedded {two}')
    assert not different, '\n'.join(different)


def test_same_refused_inits(servers):
    """An error with the same text, then, half a second later, the end of the connection."""
    reference, embedded = servers
    for text, body in malformed.refused_init_requests():
        for place in (reference.port, embedded.unix, embedded.port):
            with wire.RawConnection(place) as c:
                begin = time.monotonic()
                c.send_message(malformed.INIT, body, last=False)
                answer = wire.Reader(c.receive().body)
                assert (answer.integer(), answer.string().decode()) == (1, text)
                assert c.wait_closed() == []
                assert 0.3 < time.monotonic() - begin < 10
