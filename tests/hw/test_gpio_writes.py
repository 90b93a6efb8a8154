# SPDX-License-Identifier: Apache-2.0
"""Section 2 and rules 6 and 7 of the specification of the device type gpio: writes with all their results, pulses, what is set in
the end. What a line was given, the kernel says (Trace): a simulated line falls back to its pull once nobody holds it."""


import pytest

from harness.gpio_device import PREFIX, library, line, output, seconds
from harness.gpio_sim import is_held
from harness.waiting import wait_until

#: By how much two clocks that are compared may differ.
APART = 0.0005
#: How late a pulse ends at most, when nobody else had the processor.
LATE = 0.005


# ---- results


INVALID = [2, -1, 1.0, 0.0, True, False, None, '1', [1], {}]


def test_results(chip, gpio):
    c = chip()
    io = gpio(c, line('in', 0), output('out', 1))
    assert io.write('out', 1) == 'SUCCESS'
    assert io.write('nobody', 7) == 'UNKNOWN_LINE'
    assert io.write('in', 7) == 'NOT_OUTPUT'
    for value in INVALID:
        assert io.write('out', value) == 'INVALID_VALUE', value
    for duration in (0, 0.0009, 3600.1, -1, '1', True, []):
        assert io.write('out', 0, duration=duration) == 'INVALID_VALUE', duration
    assert c.value(1) == 1
    since = io.mark()
    c.unplug()
    io.wait_status('DISCONNECTED', since)
    assert io.write('out', 0) == 'NOT_CONNECTED'
    assert [io.write(*i) for i in (('nobody', 7), ('in', 7), ('out', 7))] == ['UNKNOWN_LINE', 'NOT_OUTPUT', 'INVALID_VALUE']


REQUEST_IDS = [None, False, 0, -1.5, 10 ** 40, '', 'ž', [], {}, [{'a': [1, None]}], {'request_id': 1}]


def test_request_ids(chip, gpio):
    """Come back as they were; without there is no answer, and the line stays."""
    c = chip()
    io = gpio(c, output('a', 0))
    since = io.mark()
    for i, request_id in enumerate(REQUEST_IDS):
        io.request('a', {'request_id': request_id, 'value': i % 2})
    expected = [{'request_id': i, 'result': 'SUCCESS'} for i in REQUEST_IDS]
    io.eventer.wait_payloads(f'{PREFIX}/gateway/line/a/write', expected, since)

    since = io.mark()
    for payload in ({'value': 1}, 1, [1], None, 'on'):
        io.request('a', payload)
    assert io.write('a', 0) == 'SUCCESS'
    assert len(io.events('line/a/write', since)) == 1
    assert c.value(0) == 0


STATIC_DEV = r'''
node=$(stat -c '%n c 0x%t 0x%T' {path})
mount -t tmpfs tmpfs /dev
mknod -m 600 $node
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/urandom c 1 9
exec "$@"
'''


def test_result_failed(chip, gpio):
    """A chip whose node stays when it is gone, as in a /dev that nobody keeps up to date: the write shows it."""
    c = chip()
    io = gpio(c.path, output('a', 0), prefix=('unshare', '--mount', 'sh', '-euc', STATIC_DEV.format(path=c.path), 'sh'))
    assert io.write('a', 1) == 'SUCCESS'
    c.unplug()
    since = io.mark()
    assert io.write('a', 0) == 'FAILED'
    io.wait_status('DISCONNECTED', since)
    assert io.states('a', since) == []


# ---- rule 6


def test_rule_6_write(chip, gpio):
    """First the line, then the answer, then the state, if it is another."""
    c = chip()
    io = gpio(c, output('a', 0), output('b', 1, active_low=True))
    for value, states in ((1, [(1, 'WRITE')]), (1, []), (0, [(0, 'WRITE')]), (0, [])):
        for name, raw in (('a', value), ('b', 1 - value)):
            since = io.mark()
            assert io.write(name, value) == 'SUCCESS'
            assert c.value('ab'.index(name)) == raw
            if states:
                io.wait_states(name, states, since)
                assert [i.type[7] for i in io.events(f'line/{name}/*', since)] == ['write', 'state']
    io.assert_silent('line/?/state', 0.1)


def test_rule_6_lines_of_one_request(chip, gpio):
    """Outputs that are asked for together are set alone."""
    c = chip(64)
    lines = [output(f'o{i}', i, initial=i % 2) for i in range(64)]
    io = gpio(c, *lines)
    expected = [i % 2 for i in range(64)]
    for i in (0, 63, 31, 1):
        expected[i] ^= 1
        assert io.write(f'o{i}', expected[i]) == 'SUCCESS'
        assert [c.value(j) for j in range(64)] == expected


@pytest.mark.parametrize('duration, n', [(0.001, 10), (0.05, 10), (1, 2)])
def test_rule_6_pulse(duration, n, chip, gpio, trace):
    """None is too short. The best of them is not late: the machine may make any of them wait."""
    c = chip()
    io = gpio(c, output('a', 0))
    since = io.mark()
    for i in range(n):
        assert io.write('a', 1, duration=duration) == 'SUCCESS'
        events = io.wait_states('a', [(1, 'WRITE'), (0, 'WRITE')] * (i + 1), since)
    sets = trace.sets(c, 0)[-2 * n:]
    assert [i.value for i in sets] == [1, 0] * n
    for times in ([i.time for i in sets], [seconds(i) for i in events]):
        lengths = [down - up for up, down in zip(times[::2], times[1::2])]
        assert duration - APART <= min(lengths) <= duration + LATE


def test_rule_6_pulse_in_a_pulse(chip, gpio, trace):
    """… falls back to the value before the first one."""
    c = chip()
    io = gpio(c, output('a', 0))
    since = io.mark()
    assert io.write('a', 1, duration=60) == 'SUCCESS'
    assert io.write('a', 0, duration=60) == 'SUCCESS'
    assert io.write('a', 1, duration=0.1) == 'SUCCESS'
    io.wait_states('a', [(i, 'WRITE') for i in (1, 0, 1, 0)], since)
    assert [i.value for i in trace.sets(c, 0)][-4:] == [1, 0, 1, 0]


def test_rule_6_write_ends_a_pulse(chip, gpio):
    c = chip()
    io = gpio(c, output('a', 0))
    since = io.mark()
    assert io.write('a', 1, duration=0.2) == 'SUCCESS'
    assert io.write('a', 1) == 'SUCCESS'
    io.wait_states('a', [(1, 'WRITE')], since)
    io.assert_silent('line/a/state', 0.4)
    assert c.value(0) == 1


def test_rule_6_pulse_without_a_change(chip, gpio):
    c = chip()
    io = gpio(c, output('a', 0, initial=1))
    since = io.mark()
    assert io.write('a', 1, duration=0.05) == 'SUCCESS'
    io.assert_silent('line/a/state', 0.2)
    assert io.states('a', since) == []


# ---- rule 7


SAFE = [output('on', 0, safe=1), output('off', 1, initial=1, safe=0), output('inverted', 2, active_low=True, safe=1),
        output('any', 3, initial=1)]


def disable(io):
    io.enable(False)


def stop(io):
    io.gateway.stop()


@pytest.mark.parametrize('end', [disable, stop])
def test_rule_7_safe_values(end, chip, gpio, trace):
    c = chip()
    io = gpio(c, *SAFE)
    n_any = len(trace.sets(c, 3))
    end(io)
    wait_until(lambda: not is_held(c.path, 0), 'lines are released')
    assert [trace.sets(c, i)[-1].value for i in range(3)] == [1, 0, 0]
    assert len(trace.sets(c, 3)) == n_any
    stored = end == stop and library() > 1      # by the service manager
    assert [is_held(c.path, i) for i in range(8)] == [stored and i == 3 for i in range(8)]
    if end == disable:
        assert io.events('status')[-1].payload.data == 'DISCONNECTED'


@pytest.mark.event_servers('hat-event')
def test_rule_7_event_server_lost(chip, gpio, trace, event_server):
    c = chip()
    gpio(c, *SAFE)
    event_server.kill()
    wait_until(lambda: not is_held(c.path, 0), 'lines are released')
    assert [trace.sets(c, i)[-1].value for i in range(3)] == [1, 0, 0]


@pytest.mark.parametrize('safe', [None, 0, 1])
def test_rule_7_pulse_ends_where_it_is(safe, chip, gpio, trace):
    c = chip()
    io = gpio(c, output('a', 0, safe=safe))
    assert io.write('a', 1, duration=0.5) == 'SUCCESS'
    since = io.mark()
    io.enable(False)
    assert [i.value for i in trace.sets(c, 0)][-1] == (1 if safe is None else safe)
    n = len(trace.sets(c, 0))
    io.assert_silent('line/a/state', 0.7)
    assert len(trace.sets(c, 0)) == n and io.states('a', since) == []


def test_restart_without_the_store(chip, gpio):
    """The next run begins as the configuration says."""
    c = chip()
    io = gpio(c, output('a', 0), output('b', 1, initial=None))
    assert io.write('a', 1) == io.write('b', 1) == 'SUCCESS'
    io.enable(False)
    since = io.mark()
    io.enable()
    io.wait_states('a', [(0, 'INTERROGATE')], since)
    io.wait_states('b', [(0, 'INTERROGATE')], since)    # a simulated line does not keep its value
