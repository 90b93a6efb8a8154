# SPDX-License-Identifier: Apache-2.0
"""gatewayctl event against real event servers, hat-event and the embedded one, and against servers that misbehave. No D-Bus."""

import contextlib
import datetime
import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from hat.event import common

from harness import wire
from harness.embedded import EmbeddedServer
from harness.event_server import EventServer
from harness.eventer import Eventer
from harness.gateway import SANITIZER_ENV
from harness.paths import CTL
from harness.ports import free_port
from harness.process import Process
from harness.waiting import DEADLINE, wait_until

from raw_event_server import RawEventServer, event
from scripted_server import ScriptedServer

pytestmark = pytest.mark.event_servers('hat-event', 'embedded')

LINE = re.compile(r'(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3})  (\S*)(?:  (.*))?')
ENV = {**os.environ, **SANITIZER_ENV, 'TZ': 'UTC', 'DBUS_SYSTEM_BUS_ADDRESS': 'unix:path=/nonexistent'}


class Ctl:
    """gatewayctl with --server=; no bus is in reach."""

    def __init__(self, server):
        self.server = server if isinstance(server, str) else f'tcp:127.0.0.1:{server}'

    def __call__(self, *arguments, status=0, env=None, **options):
        """Runs it and returns its output; with another status than 0 its one line on standard error."""
        options.setdefault('stdin', None if 'input' in options else subprocess.DEVNULL)
        result = subprocess.run([CTL, f'--server={self.server}', 'event', *map(str, arguments)], capture_output=True,
                                text=True, timeout=DEADLINE * 2, env={**ENV, **(env or {})},
                                **{k: v for k, v in options.items() if v is not None})
        assert (result.returncode, 'Sanitizer' in result.stderr) == (status, False), result
        if status == 0:
            assert result.stderr == ''
            return result.stdout
        assert result.stderr.startswith('gatewayctl: ') and result.stderr.count('\n') == 1, result.stderr
        return result.stderr

    def json(self, *arguments, **options):
        return [json.loads(i) for i in self(*arguments, '--json=short', **options).splitlines()]

    def lines(self, *arguments, **options):
        """[type, payload] of each line."""
        matches = [LINE.fullmatch(i) for i in self(*arguments, **options).splitlines()]
        assert all(matches)
        return [[m[2], m[3]] for m in matches]


@pytest.fixture
def ctl(event_server):
    return Ctl(event_server.port)


@pytest.fixture
def follow(tmp_path):
    """follow(port, …) starts `event follow` and returns its process."""
    running = []

    def start(port, *arguments):
        process = Process([CTL, f'--server=tcp:127.0.0.1:{port}', 'event', 'follow', *arguments],
                          log=tmp_path / f'follow-{len(running)}.log', env={**SANITIZER_ENV, 'TZ': 'UTC'}, separate=True)
        running.append(process)
        return process

    yield start
    for process in running:
        process.close()
        assert not process.sanitizer_report()


# ---- register and latest

PAYLOADS = [('1', '1', 1), ('-5', '-5', -5), ('"x y"', '"x y"', 'x y'), ('null', 'null', None), (' [ 1 , 2 ] ', '[1,2]', [1, 2]),
            ('{"a": {"b": []}}', '{"a":{"b":[]}}', {'a': {'b': []}}), ('"žluť \\u65e5"', '"žluť 日"', 'žluť 日'),
            ('"\\u001b[2J\\u202e"', '"\\u001b[2J\\u202e"', '\x1b[2J\u202e'),
            ('123456789012345678901234567890', '123456789012345678901234567890', 123456789012345678901234567890)]


def test_register(ctl, eventer):
    for text, line, value in PAYLOADS:
        mark = eventer.mark()
        assert ctl.lines('register', 'a/b', text) == [['a/b', line]]
        got = eventer.wait('a/b', value, since=mark)
        assert isinstance(got.payload, common.EventPayloadJson) and got.source_timestamp is None
        assert ctl.lines('latest', 'a/b') == [['a/b', line]]
        [shown] = ctl.json('latest', 'a/?')
        assert shown == {'Id': {'Server': got.id.server, 'Session': got.id.session, 'Instance': got.id.instance},
                         'Type': ['a', 'b'], 'Timestamp': got.timestamp.s * 10 ** 6 + got.timestamp.us,
                         'SourceTimestamp': None, 'PayloadKind': 'json', 'Payload': value}


def test_register_without_payload(ctl, eventer):
    assert ctl.lines('register', 'a') == [['a', None]]
    assert eventer.wait('a').payload is None
    [shown] = ctl.json('latest', 'a')
    assert (shown['PayloadKind'], shown['Payload']) == ('none', None)


def test_register_from_standard_input(ctl, eventer):
    assert ctl.lines('register', 'a', '-', input='{"x":\n 1}\n') == [['a', '{"x":1}']]
    big = 'ž' * 600000                  # more than a pipe holds, or a command line may have
    ctl('register', 'b', '-', input=json.dumps(big))
    eventer.wait('b', big)
    assert 'not JSON' in ctl('register', 'c', '-', status=2, input='')


def test_source_time(ctl, eventer):
    ctl('register', 'a', '1', '--source-time=@1000.25')
    assert eventer.wait('a').source_timestamp == common.Timestamp(1000, 250000)
    assert ctl.json('latest', 'a')[0]['SourceTimestamp'] == 1000250000
    ctl('register', 'b', '1', '--source-time=2026-11-24T10:00:00+01:00')
    moment = datetime.datetime(2026, 11, 24, 9, tzinfo=datetime.timezone.utc).timestamp()
    assert eventer.wait('b').source_timestamp == common.Timestamp(int(moment), 0)


def test_types(ctl, eventer):
    """Slashes inside a segment, letters of any language, empty segments; what is printed can be given again."""
    types = [(('e', 'x/y'), 'e/x\\/y'), (('ž', '日本'), 'ž/日本'), (('a', '', 'b'), 'a//b'), (('\x1b[2J',), '\\x1b[2J')]
    for kind, text in types:
        eventer.register(kind, 7)
        assert ctl.lines('latest', json.dumps(kind)) == [[text, '7']]
        if '\x1b' not in kind[0]:
            assert ctl.lines('latest', text) == [[text, '7']]
            ctl('register', text, '8')
            eventer.wait(kind, 8)
        assert ctl.json('latest', json.dumps(kind))[0]['Type'] == list(kind)


def test_binary_payload(ctl, eventer):
    eventer.register_binary('a', b'\x00\x01\xff', 'im\x1bage')
    assert ctl.lines('latest', 'a') == [['a', '<3 bytes of im\\x1bage>']]
    assert ctl.json('latest', 'a')[0]['Payload'] == {'Type': 'im\x1bage', 'Data': 'AAH/'}


def test_latest(ctl, eventer):
    """Sorted by type, numbers in their order; each type once."""
    eventer.register_many([(f'a/{i}', i) for i in (10, 9, 1)] + [('b/1/x', 0)])
    eventer.register('a/9', 'last')
    assert ctl.lines('latest', 'a/*', 'a/9', 'b/?/x') == [['a/1', '1'], ['a/9', '"last"'], ['a/10', '10'], ['b/1/x', '0']]
    assert ctl.lines('latest', 'nothing/*') == []
    assert ['a/1', '1'] in ctl.lines('latest')


# ---- history

@pytest.fixture
def past(eventer):
    """5,000 events a/N, in sessions of 250, and 100 of b."""
    for i in range(0, 5000, 250):
        eventer.register_many([(f'a/{j}', j) for j in range(i, i + 250)])
    return eventer.register_many([('b', i) for i in range(100)])


def test_history_in_pages(ctl, past):
    assert [int(i[1]) for i in ctl.lines('history', 'a/?')] == list(range(4999, -1, -1))
    assert [int(i[1]) for i in ctl.lines('history', 'a/?', '--reverse')] == list(range(5000))
    assert [int(i[1]) for i in ctl.lines('history', 'a/?', '--limit=2345')] == list(range(4999, 2654, -1))
    assert [i['Payload'] for i in ctl.json('history', 'b', 'a/17', '-r', '--limit=3')] == [17, 0, 1]
    assert ctl.lines('history', 'a/?', 'b', '--limit=1') == [['b', '99']]
    assert ctl.lines('history', 'nothing') == []


def test_history_that_is_removed_meanwhile(tmp_path):
    """Who reads slowly finds that the next page begins behind an event that is no longer there: what is left follows."""
    with EmbeddedServer(tmp_path, options={'history': {'max_events': 1500}}) as server, Eventer(server.port, subscriptions=()) as eventer:
        def number(event):
            return int(event['Payload'].split()[0])

        def register(begin, end, size):
            for i in range(begin, end, 250):
                eventer.register_many([('a', f'{j} {"x" * size}') for j in range(i, i + 250)])

        register(0, 1500, 200)
        with subprocess.Popen([CTL, f'--server=tcp:127.0.0.1:{server.port}', 'event', 'history', 'a', '--reverse', '--json=short'],
                              stdout=subprocess.PIPE, text=True, env=ENV) as history:
            lines = [history.stdout.readline()]         # the rest of a page does not fit in a pipe
            register(1500, 3000, 4000)                  # so much is trimmed at once
            wait_until(lambda: 1000 < number(Ctl(server.port).json('history', 'a', '--reverse', '--limit=1')[0]), 'the first page is gone')
            lines += history.stdout.readlines()
        assert history.returncode == 0
        numbers = [number(json.loads(i)) for i in lines]
        assert numbers[:1000] == list(range(1000)) and 1000 < numbers[1000]
        assert numbers[1000:] == list(range(numbers[1000], 3000))


def test_history_bounds(ctl, eventer):
    first = eventer.register('a', 1)
    wait_until(lambda: common.now() > first.timestamp.add(0.002), 'the clock goes on')
    second = eventer.register('a', 2)

    def moment(e, more=0):
        us = e.timestamp.s * 10 ** 6 + e.timestamp.us + more
        return f'@{us // 10 ** 6}.{us % 10 ** 6:06}'

    def values(*options):
        return [i['Payload'] for i in ctl.json('history', 'a', *options)]

    assert values('--since=' + moment(second)) == [2]
    assert values('--until=' + moment(first)) == [1]
    assert values('--since=' + moment(first), '--until=' + moment(second)) == [2, 1]
    assert values('--since=' + moment(first, 1), '--until=' + moment(second, -1)) == []
    assert values('--since=-5min') == values('--since=5m ago', '--until=+1h') == values('--since=yesterday') == [2, 1]
    assert values('--until=-5min') == []
    iso = datetime.datetime.fromtimestamp(first.timestamp.s, datetime.timezone.utc).isoformat()
    assert values(f'--since={iso}') == [2, 1] and values(f'--since={iso[:19]}') == [2, 1]


def test_times_are_local(ctl, eventer):
    e = eventer.register('a', 1)
    for zone, hours in (('UTC', 0), ('UTC-5', 5)):
        line = ctl('latest', 'a', env={'TZ': zone})
        moment = datetime.datetime.fromtimestamp(e.timestamp.s, datetime.timezone(datetime.timedelta(hours=hours)))
        assert line.startswith(f'{moment:%Y-%m-%d %H:%M:%S}.{e.timestamp.us // 1000:03}  a  ')


# ---- follow

def test_follow(event_server, eventer, follow):
    all_, some = follow(event_server.port), follow(event_server.port, 'a/?', 'ž')
    objects = follow(event_server.port, 'a/*', '--json=short')
    connected = 'event/1/eventer/gatewayctl'
    wait_until(lambda: len([i for i in eventer.payloads(connected) if i == 'CONNECTED']) == 3, 'all are connected')
    eventer.register_many([('a/1', 1), ('a/1/2', 2), ('ž', 'ž')])
    assert some.wait_line(re.compile(r'  ž  "ž"$', re.M)) and all_.wait_line(re.compile(r'  a/1/2  2$', re.M))
    objects.wait_line(re.compile('"Payload":2}$', re.M))
    assert [LINE.fullmatch(i)[2] for i in some.text().splitlines()] == ['a/1', 'ž']
    assert [json.loads(i)['Type'] for i in objects.text().splitlines()] == [['a', '1'], ['a', '1', '2']]

    for process, number in ((all_, signal.SIGINT), (some, signal.SIGTERM), (objects, signal.SIGINT)):
        process.signal(number)
        assert process.wait() == 0 and process.log_text() == ''


def test_follow_over_a_restart(event_server, follow):
    process = follow(event_server.port, 'a/*')
    with Eventer(event_server.port) as client:
        wait_until(lambda: client.register('a/0', 0) and process.text(), 'it prints')
    event_server.kill()
    loss = re.compile(f'^gatewayctl: Event server tcp:127.0.0.1:{event_server.port}: .*; trying again\\.$', re.M)
    wait_until(lambda: loss.search(process.log_text()), 'it tells the loss')
    time.sleep(1.2)                     # more than one attempt, none of which is told
    assert process.log_text().count('\n') == 1 and process.running
    event_server.start()
    wait_until(lambda: process.log_text().count('\n') == 2, 'it tells the return')
    assert process.log_text().splitlines()[1] == f'gatewayctl: Connected to event server tcp:127.0.0.1:{event_server.port} again.'
    with Eventer(event_server.port) as client:
        client.register('a/1', 'again')
    process.wait_line(re.compile(r'  a/1  "again"$', re.M))

    event_server.kill()                       # Ctrl-C also ends it while nobody is there
    wait_until(lambda: process.log_text().count('\n') == 3, 'it tells the second loss')
    process.signal(signal.SIGINT)
    assert process.wait() == 0


def test_follow_ends_when_the_time_is_over(ctl, follow):
    begin = time.monotonic()
    assert ctl('follow', 'nothing', '--timeout=2') == ''
    assert time.monotonic() - begin >= 2


def test_follow_into_a_closed_pipe(event_server, eventer):
    """`| head` ends it, as any program, without a word."""
    with subprocess.Popen([CTL, f'--server=tcp:127.0.0.1:{event_server.port}', 'event', 'follow', 'a'], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=ENV) as process:
        wait_until(lambda: 'CONNECTED' in eventer.payloads('event/1/eventer/gatewayctl'), 'it is connected')
        process.stdout.close()
        eventer.register('a', 1)
        assert process.wait(DEADLINE) == -signal.SIGPIPE and process.stderr.read() == b''


# ---- the server is away, refuses, misbehaves

VERBS = [['latest'], ['history'], ['follow'], ['register', 'a', '1']]


@pytest.mark.parametrize('verb', VERBS, ids=lambda i: i[0])
def test_nobody_there(verb, tmp_path):
    assert 'refused' in Ctl(free_port())(*verb, status=8)
    assert 'No such file' in Ctl(f'unix:{tmp_path}/none')(*verb, status=8)
    with pytest.raises(socket.gaierror) as nobody:
        socket.getaddrinfo('no.such.host.invalid', 23012)
    text = 'not known' if nobody.value.errno == socket.EAI_NONAME else 'No route to host'   # where no name server answers
    assert text in Ctl('tcp:no.such.host.invalid:23012')(*verb, status=8, env={'RES_OPTIONS': 'attempts:1 timeout:1'})


def test_unix_socket(tmp_path):
    with EmbeddedServer(tmp_path / 'server') as server:
        ctl = Ctl(f'unix:{server.unix}')
        ctl('register', 'a', '1')
        assert ctl.lines('latest', 'a') == [['a', '1']]
        relative = Ctl(f'unix:{os.path.relpath(server.unix, tmp_path)}')
        assert relative.lines('latest', 'a', cwd=tmp_path) == [['a', '1']]


@pytest.fixture
def token_file(tmp_path):
    def write(text, name='token'):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return f'--token-file={path}'

    return write


def test_token_that_nobody_wants(tmp_path, token_file):
    """hat-event without a token refuses every one."""
    with EventServer(tmp_path / 'server') as server:
        for verb in VERBS:
            line = Ctl(server.port)(*verb, token_file('secret'), status=6)
            assert 'refuses us: invalid client token' in line and 'secret' not in line


def test_token(tmp_path, token_file):
    with contextlib.closing(EmbeddedServer(tmp_path / 'server', options={'client_token': 'sécret'})) as server:
        server.start(wait=False)
        server.gateway.wait_ready()
        ctl = Ctl(server.port)
        assert '--token-file=' in ctl('latest', status=6)
        assert '--token-file=' not in ctl('latest', token_file('wrong'), status=6)
        ctl('register', 'a', '1', token_file('sécret\n'))
        assert ctl.lines('latest', 'a', token_file('sécret')) == [['a', '1']]
        assert 'invalid' in ctl('latest', token_file('sécret\n\n'), status=6)
        assert 'UTF-8' in ctl('latest', token_file(b'\xff'), status=1)
        assert 'UTF-8' in ctl('latest', token_file(b'a\0b'), status=1)
        assert 'large' in ctl('latest', token_file('x' * 70000), status=1)
        assert 'empty' in ctl('latest', token_file('\n'), status=1)
        assert 'No such file' in ctl('latest', '--token-file=/nonexistent/token', status=1)


def test_refused_registration():
    server = ScriptedServer()
    server.answer = 'refuse'
    try:
        assert 'did not register' in Ctl(server.port)('register', 'a', '1', status=1)
        server.set_status(common.Status.STANDBY)
        assert 'standby' in Ctl(server.port)('register', 'a', '1', status=1)
        assert Ctl(server.port)('latest') == ''
    finally:
        server.close()


@pytest.mark.parametrize('verb', VERBS, ids=lambda i: i[0])
def test_no_event_server(verb):
    """Somebody else has the port: closes, says something else, or nothing."""
    with RawEventServer(behaviour='close') as server:
        assert 'closed the connection' in Ctl(server.port)(*verb, status=8)
    with RawEventServer(behaviour='garbage') as server:
        Ctl(server.port)(*verb, status=1)
    with RawEventServer(behaviour='silent') as server:
        assert 'in time' in Ctl(server.port)(*verb, '--timeout=0.3', status=5)


def test_closes_in_the_middle():
    page = [event('a', wire.json_payload(f'{i}'), i) for i in range(1000)]
    with RawEventServer(['close', page, 'close', 'close', None, b'\x01\x01\x00']) as server:
        ctl = Ctl(server.port)
        assert 'closed the connection' in ctl('latest', status=8)
        assert 'closed the connection' in ctl('history', status=8)
        assert 'in time' in ctl('latest', '--timeout=5', status=5)     # it has to get as far as its query
        assert 'malformed' in ctl('latest', status=1)


def test_goes_on_where_the_connection_was_lost():
    """A server does not wait for a client that somebody else, a pager, keeps from answering its pings."""
    pages = [[event('a', number=i) for i in range(j, j + 1000)] for j in (0, 1000, 2000)]
    with RawEventServer([pages[0], 'close', pages[1], 'close', pages[2]]) as server:
        assert [i['Id']['Session'] for i in Ctl(server.port).json('history')] == list(range(3000))


def test_says_that_more_follows_and_has_none():
    with RawEventServer([[], [event('a')]]) as server:
        assert Ctl(server.port)('history') == ''


def test_more_than_was_asked_for():
    with RawEventServer([[event('a', number=i) for i in range(10)]]) as server:
        assert len(Ctl(server.port).lines('history', '--limit=3')) == 3


BAD = ['', '{', 'nan', '{"a":1}x', '"\x1b"', '[' * 600 + ']' * 600, '1e999', '\x1b[2J']


def test_payloads_that_are_no_json():
    """They cost only their own event, and reach no terminal."""
    events = [event(f'a/{i}', wire.json_payload(text), i + 1) for i, text in enumerate(BAD)]
    events.append(event('a/z', wire.json_payload('1')))
    with RawEventServer([events, events, events]) as server:
        ctl = Ctl(server.port)
        expected = [[f'a/{i}', f'<{len(text)} bytes that are no JSON>'] for i, text in enumerate(BAD)] + [['a/z', '1']]
        assert ctl.lines('latest') == expected
        shown = ctl.json('latest')
        assert [(i['PayloadKind'], i['Payload']) for i in shown] == [('malformed', text) for text in BAD] + [('json', 1)]
    with RawEventServer(notified=events) as server:
        assert Ctl(server.port).lines('follow', '--timeout=6') == expected


def test_times_beyond_any_calendar():
    events = [event('a', timestamp=(2 ** 63 - 1, 999999), source=(-2 ** 63, 0)), event('b', timestamp=(-1, 250000))]
    with RawEventServer([events, events]) as server:
        lines = Ctl(server.port)('latest').splitlines()
        assert lines == ['@9223372036854775807.999  a', '1969-12-31 23:59:59.250  b']
        shown = Ctl(server.port).json('latest')
        assert [(i['Timestamp'], i['SourceTimestamp']) for i in shown] == [(2 ** 63 - 1, -2 ** 63), (-750000, None)]


@pytest.mark.parametrize('verb', [['latest'], ['history'], ['register', 'a', '1']], ids=lambda i: i[0])
def test_interrupt(verb):
    """Ctrl-C while a server does not answer ends it like any program."""
    with RawEventServer(behaviour='silent') as server, \
            Process([CTL, f'--server=tcp:127.0.0.1:{server.port}', 'event', *verb], env=SANITIZER_ENV) as process:
        wait_until(lambda: server._connections, 'it is connected')
        process.signal(signal.SIGINT)
        assert process.wait() == -signal.SIGINT


def test_full_disk(event_server, eventer):
    eventer.register_many([('a', i) for i in range(250)])
    for verb in (['latest'], ['history'], ['register', 'b', '1']):
        with open('/dev/full', 'w') as full:
            result = subprocess.run([CTL, f'--server=tcp:127.0.0.1:{event_server.port}', 'event', *verb], stdout=full,
                                    stderr=subprocess.PIPE, text=True, env=ENV, timeout=DEADLINE)
        assert (result.returncode, result.stderr) == (1, 'gatewayctl: Cannot write: No space left on device.\n')


# ---- usage

@pytest.mark.parametrize('arguments, word', [
    (['register'], 'a TYPE'), (['register', 'a', '1', '2'], 'a TYPE'), (['register', 'a', 'word'], 'not JSON'),
    (['register', 'a/*', '1'], 'pattern'), (['register', '["?"]', '1'], 'pattern'), (['register', 'a', '01'], 'not JSON'),
    (['register', 'a', '[' * 600 + ']' * 600], 'deep'), (['register', 'a', '1', '--source-time=never'], 'never'),
    (['latest', 'a/*/b'], 'end'), (['latest', '["a"'], 'JSON array'), (['latest', '[1]'], 'JSON array'),
    (['latest', ''], 'empty'), (['latest', b'\xff'], 'UTF-8'), (['history', '--since=\x1b\n'], '\\x1b\\x0a'),
    (['latest', '--since=now'], '--since='), (['history', '--since=soon'], 'soon'),
    (['history', '--limit=0'], '--limit=0'), (['history', '--limit=x'], 'limit'), (['history', '--limit=-1'], 'limit'),
    (['history', '--since=now', '--until=-1h'], 'later'), (['history', '--until=-999999999999w'], 'far'),
    (['follow', '--limit=1'], '--limit='), (['export'], 'a FILE'), (['latest', '-x'], 'x'), (['latest', '-q5'], '-5'),
    (['frobnicate'], 'frobnicate'), ([], 'latest'), (['export', 'x', '--server=unix:/x'], '--server=')])
def test_wrong_usage(arguments, word):
    result = subprocess.run([CTL, 'event', *arguments], capture_output=True, env=ENV, timeout=DEADLINE)
    stderr = result.stderr.decode(errors='replace')
    assert (result.returncode, result.stdout, stderr.count('\n')) == (2, b'', 1), result
    assert word in stderr


@pytest.mark.parametrize('address', ['', 'tcp:127.0.0.1', 'tcp:127.0.0.1:0', 'tcp::1', 'unix:', '127.0.0.1:23012', 'tcp:a:99999'])
def test_wrong_address(address):
    assert '--server=' in Ctl(address)('latest', status=2)
