# SPDX-License-Identifier: Apache-2.0
"""What a client should not send to an event server, and some that only looks so: spec wire.md 1.3, 2.5, 3.4, 3.6, 3.12."""

import json
import pathlib
import signal
import socket
import typing

from harness import wire
from harness.paths import ROOT
from harness.wire import array, boolean, choice, event_type, frame, integer, message, optional, register_event, string

INIT = 'HatEventer.MsgInitReq'
REGISTER = 'HatEventer.MsgRegisterReq'
QUERY = 'HatEventer.MsgQueryReq'
FRAME_MAX = 64 << 20


class Case(typing.NamedTuple):
    """data: sent as the first bytes of a connection, or behind the handshake. closes: what becomes of the connection.
    reference: hat-event does the same and survives it."""

    name: str
    data: bytes
    accepted: bool = True
    closes: bool = True
    reference: bool = True


def _vectors(name):
    return json.loads((pathlib.Path(ROOT) / f'tests/data/vectors/{name}.json').read_text())


def _prefixes(data):
    return [data[:i] for i in range(len(data))]


def _first(name, kind, body, **options):
    return Case(name, frame(message(1, kind, body, last=False)), accepted=False, **options)


def _second(name, kind, body, last=False, **options):
    return Case(name, frame(message(2, kind, body, last=last)), **options)


def framing():
    """Chatter: frames and messages."""
    good = message(2, QUERY, choice(0, optional(array([]))), last=False)
    yield Case('no length', b'\x00')
    yield Case('empty message', b'\x01\x00')
    yield Case('empty message, 4 bytes of length', b'\x04\x00\x00\x00\x00')
    yield Case('more than a frame may hold', b'\x04' + (FRAME_MAX + 1).to_bytes(4, 'big') + bytes(1000), reference=False)
    yield Case('length of 255 bytes', b'\xff' + b'\xff' * 255 + bytes(1000), reference=False)
    yield Case('length of 9 bytes', b'\x09\x01' + bytes(8) + bytes(1000), reference=False)
    for i, part in enumerate(_prefixes(good)[1:]):
        yield Case(f'message cut at {i + 1}', frame(part))
    yield Case('unterminated integer', frame(b'\x00' * 50))
    yield Case('garbage', frame(bytes(range(256)) * 4))
    yield Case('type is not UTF-8', frame(good.replace(b'HatEventer', b'Hat\xff\xfeenter')))
    for case in _vectors('chatter')['receiver_behaviour']:
        if case['connection'] == 'closed' and not case.get('end_of_stream'):
            yield Case(f'chatter: {case["name"]}', bytes.fromhex(case['input_hex']))
    yield Case('surplus bytes behind the message', frame(good + b'surplus'), closes=False)
    yield Case('length in 255 bytes', b'\xff' + len(good).to_bytes(255, 'big') + good, closes=False)
    yield Case('two pings', frame(message(2, 'HatChatter.Ping', last=False)) * 2, closes=False)
    yield Case('pong that nobody wanted', frame(message(2, 'HatChatter.Pong', first=77, owner=False)), closes=False)
    yield Case('another reserved type', frame(message(2, 'HatChatter.Other')))
    yield Case('long integers', frame(b'\x00\x00\x82' + b'\x00\x82' + good[2:]), closes=False)
    yield Case('2 for true', frame(integer(2) + integer(2) + b'\x02\x03\x00' + string(QUERY) + string(choice(0, optional(array([]))))),
               closes=False)


def sequence():
    """Types that are unknown or come at the wrong time."""
    bodies = {i['type']: bytes.fromhex(i['body_hex']) for i in _vectors('eventer')['messages']}
    for kind, body in bodies.items():
        if kind != INIT:
            yield _first(f'first message is {kind}', kind, body)
        if kind not in (REGISTER, QUERY, 'HatEventer.MsgEventsAck'):
            yield _second(f'unexpected {kind}', kind, body)
    for kind in ('', 'HatEventer.Nothing', 'HatEventer.MsgRegisterReq ', 'HatObserver.MsgClient'):
        yield _first(f'first message is {kind!r}', kind, b'')
        yield _second(f'unknown {kind!r}', kind, b'')
    yield _second('second init', INIT, wire.init_body())
    yield Case('ack of an unknown conversation', frame(message(2, 'HatEventer.MsgEventsAck', first=99, owner=False)), closes=False)


def init_requests():
    good = wire.init_body('malformed', token=None, subscriptions=['a/b'], server_id=1, persisted=True)
    for i, part in enumerate(_prefixes(good)):
        yield _first(f'init cut at {i}', INIT, part)
    yield _first('client name is not UTF-8', INIT, string(b'\xc3\x28') + good[10:])
    yield _first('client name is a surrogate', INIT, string(b'\xed\xa0\x80') + good[10:])
    yield _first('negative size of the name', INIT, integer(-1) + good)
    yield _first('size of the name beyond the frame', INIT, integer(2 ** 31) + good)
    yield _first('token neither given nor not', INIT, string('x') + choice(2) + array([]) + optional() + boolean(False))
    yield _first('negative number of subscriptions', INIT, string('x') + optional() + integer(-1) + optional() + boolean(False))
    yield _first('endless subscriptions', INIT, string('x') + optional() + integer(2 ** 31) + optional() + boolean(False),
                 reference=False)
    yield _first('endless subtypes', INIT, string('x') + optional() + integer(1) + integer(2 ** 40), reference=False)
    yield Case('surplus bytes behind init', frame(message(1, INIT, wire.init_body('surplus') + b'more', last=False)),
               accepted=False, closes=False)


def refused_init_requests():
    """Answered with an error, closed half a second later."""
    yield 'invalid query event type', wire.init_body('star', subscriptions=['a/*/b'])
    yield 'invalid query event type', wire.init_body('star', subscriptions=['a/*/b', '*'])
    yield 'invalid client token', wire.init_body('token', token='secret')
    yield 'invalid client token', wire.init_body('token', token='')


def registrations():
    kind = event_type('malformed/event')
    good = array([register_event('malformed/event', wire.json_payload('[1, 2]'), source=wire.timestamp(5, 5)),
                  register_event('malformed/event', wire.binary_payload('x', b'abc'))])
    for i, part in enumerate(_prefixes(good)):
        yield _second(f'register cut at {i}', REGISTER, part)
    yield _second('negative number of events', REGISTER, integer(-1) + good)
    yield _second('more events than bytes', REGISTER, integer(100) + good)
    yield _second('endless events', REGISTER, integer(2 ** 31), reference=False)
    yield _second('endless subtypes in an event', REGISTER, integer(1) + integer(2 ** 31), reference=False)
    yield _second('negative number of subtypes', REGISTER, integer(1) + integer(-5) + good)
    yield _second('source timestamp neither given nor not', REGISTER, integer(1) + kind + choice(2) + optional())
    yield _second('payload neither given nor not', REGISTER, integer(1) + kind + optional() + choice(-1))
    yield _second('payload of a third kind', REGISTER, integer(1) + kind + optional() + optional(choice(2, string('x'))))
    yield _second('subtype is not UTF-8', REGISTER, integer(1) + array([string(b'\x80')]) + optional() + optional())
    yield _second('overlong UTF-8', REGISTER, integer(1) + array([string(b'\xc0\xaf')]) + optional() + optional())
    yield _second('binary type is not UTF-8', REGISTER, integer(1) + kind + optional() + optional(choice(0, string(b'\xff') + string(b''))))
    yield _second('JSON is not UTF-8', REGISTER, array([register_event('a', wire.json_payload(b'"\xff"'))]))
    for us in (-1, 1_000_000, 2 ** 32, 2 ** 62):
        # accepted by the reference, whose storage then ends
        yield _second(f'source timestamp of {us} us', REGISTER, array([register_event('a', source=wire.timestamp(1, us))]),
                      reference=False)
    for case in _vectors('rules')['json_decode']:
        body = array([register_event('malformed/json', wire.json_payload(case['text']))])
        if not case['accepted']:
            yield _second(f'JSON {case["text"]!r}', REGISTER, body)
        elif case['reencoded'] is None:
            yield _second(f'JSON {case["text"]!r}', REGISTER, body, reference=False)
        else:
            yield _second(f'JSON {case["text"]!r}', REGISTER, body, closes=False)
    deep = array([register_event('a', wire.json_payload('[' * 100_000 + ']' * 100_000))])
    yield _second('JSON of 100,000 levels', REGISTER, deep)
    yield _second('good event before a bad one', REGISTER, array([register_event('a'), register_event('b', wire.json_payload('{'))]))
    yield _second('surplus bytes behind the events', REGISTER, array([register_event('a')]) + b'more', closes=False)
    yield _second('no events', REGISTER, array([]), last=True, closes=False)


def timeseries(types=optional(), bounds=optional() * 4, order=choice(0), order_by=choice(0), most=optional(), last=optional()):
    return choice(1, types + bounds + order + order_by + most + last)


def queries():
    good = timeseries(optional(array([event_type('a/*')])), optional(wire.timestamp(1)) * 4, most=optional(integer(5)),
                      last=optional(integer(1) * 3))
    for i, part in enumerate(_prefixes(good)):
        yield _second(f'query cut at {i}', QUERY, part)
    for i in (3, -1, 2 ** 40):
        yield _second(f'query of kind {i}', QUERY, choice(i) + good[1:])
    yield _second('order 2', QUERY, timeseries(order=choice(2)))
    yield _second('order by 2', QUERY, timeseries(order_by=choice(2)))
    yield _second('order -1', QUERY, timeseries(order=choice(-1)))
    yield _second('endless query types', QUERY, choice(0, optional(integer(2 ** 31))), reference=False)
    yield _second('`*` in the middle', QUERY, choice(0, optional(array([event_type('a/*/b')]))))
    yield _second('`*` in the middle of a timeseries', QUERY, timeseries(optional(array([event_type('a/*/b')]))))
    yield _second('-1 results', QUERY, timeseries(most=optional(integer(-1))))
    yield _second('bound of -1 us', QUERY, timeseries(bounds=optional(wire.timestamp(1, -1)) + optional() * 3))
    yield _second('bound of 2^32 us', QUERY, timeseries(bounds=optional() + optional(wire.timestamp(1, 2 ** 32)) + optional() * 2))
    yield _second('server query behind an event of another', QUERY,
                  choice(2, integer(1) + boolean(False) + optional() + optional(integer(2) + integer(1) + integer(1))))
    yield _second('server query behind a negative session', QUERY,
                  choice(2, integer(1) + boolean(False) + optional() + optional(integer(1) + integer(-1) + integer(1))))
    yield _second('server query with -1 results', QUERY,
                  choice(2, integer(1) + boolean(False) + optional(integer(-1)) + optional()))
    yield _second('surplus bytes behind the query', QUERY, choice(0, optional(array([]))) + b'more', closes=False)


def cases():
    for part in (framing, sequence, init_requests, registrations, queries):
        yield from part()


class HalfClose(typing.NamedTuple):
    """A client that ends its own direction behind `data`, which is sent at the beginning or behind the handshake. kept: of the
    registrations in it; reference: by hat-event, which hears nothing behind the first request that it cannot answer any more."""

    name: str
    data: bytes
    kept: int
    reference: int
    accepted: bool = True


def half_closes():
    def register(i, response=False):
        return frame(message(2 + i, REGISTER, array([register_event(f'half/{i}')]), last=not response))

    query = frame(message(500, QUERY, choice(0, optional(array([]))), last=False))
    init = frame(message(1, INIT, wire.init_body('half'), last=False))
    hundred = b''.join(register(i) for i in range(100))
    yield HalfClose('nothing', b'', 0, 0)
    yield HalfClose('registrations', hundred, 100, 100)
    yield HalfClose('a part of one more', hundred + register(100)[:-1], 100, 100)
    yield HalfClose('something malformed behind them', hundred + b'\x00', 100, 100)
    yield HalfClose('a query behind them', hundred + query, 100, 100)
    yield HalfClose('queries among them', b''.join(register(i) + query for i in range(10)), 10, 1)
    yield HalfClose('one with response among them', register(0) + register(1, True) + register(2), 3, 2)
    yield HalfClose('registrations, at the beginning', init + hundred, 100, 0, accepted=False)


def half_close(process, address, case):
    """How many registrations the server at the address kept. It is stopped until all has come, the end too."""
    with wire.RawConnection(address) as witness, wire.RawConnection(address) as c:
        witness.init(name='witness', subscriptions=['half/*', 'event/1/eventer/half'])
        if case.accepted:
            c.init(name='half')
        process.signal(signal.SIGSTOP)
        try:
            c.send(case.data)
            c.socket.shutdown(socket.SHUT_WR)
        finally:
            process.signal(signal.SIGCONT)
        c.wait_closed()
        events = []
        while not any(i.payload == '"DISCONNECTED"' for i in events):
            events += wire.read_events(wire.Reader(witness.receive().body))
        return sum(i.type[0] == 'half' for i in events)


def closes(address, case):
    """Sends it and says whether the server closed the connection."""
    with wire.RawConnection(address) as c:
        if case.accepted:
            assert c.init(name='malformed').type == 'HatEventer.MsgInitRes'
        try:
            c.send(case.data)
            if case.accepted:       # answered only if the connection lives
                c.last_id = 1000
                return c.answer(c.send_message(QUERY, choice(0, optional(array([]))), last=False)) is None
            return c.receive() is None
        except ConnectionError:
            return True
