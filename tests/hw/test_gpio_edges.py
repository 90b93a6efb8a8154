# SPDX-License-Identifier: Apache-2.0
"""Section 3 of the specification of the device type gpio, rules 4, 5 and 8: edges, lost edges, times."""

import signal
import time

import pytest

from harness.bus import device_path
from harness.gpio_device import INTERFACE, IO, library, line, seconds
from harness.waiting import wait_until

#: By how much two clocks that are compared may differ.
APART = 0.0005
YEAR = 365 * 86400


class Stopped:
    """The daemon does not run inside the `with`, so that edges wait for it."""

    def __init__(self, io):
        self._process = io.gateway.process

    def __enter__(self):
        self._process.signal(signal.SIGSTOP)
        wait_until(lambda: self._state() == 'T', 'the daemon has stopped')

    def __exit__(self, *_):
        self._process.signal(signal.SIGCONT)

    def _state(self):
        with open(f'/proc/{self._process.pid}/stat') as f:
            return f.read().rsplit(') ', 1)[1][0]


def move(chip, offset, values, pause=0.003):
    """Gives the line these values one after the other; returns between which times each edge came: its interrupt is simulated
    by the one that ends the pause, at the latest."""
    times = []
    for value in values:
        begin = time.time()
        chip.pull(offset, value)
        time.sleep(pause)
        times.append((begin, time.time()))
    return times


def assert_times(events, times):
    assert len(events) == len(times)
    for event, (begin, end) in zip(events, times):
        assert begin - APART <= seconds(event) <= end + APART
    assert [seconds(i) for i in events] == sorted(seconds(i) for i in events)


# ---- rule 4


def test_rule_4_edges_that_waited(chip, gpio):
    """All are reported, in order, each with its own time; here those of two lines in turns."""
    c = chip()
    io = gpio(c, line('a', 0), line('b', 1, active_low=True))
    since = io.mark()
    with Stopped(io):
        a, b = [], []
        for value in (1, 0, 1, 0, 1):
            a += move(c, 0, [value])
            b += move(c, 1, [value])
        time.sleep(0.2)
    changes = [1, 0, 1, 0, 1]
    assert_times(io.wait_states('a', [(i, 'CHANGE') for i in changes], since), a)
    assert_times(io.wait_states('b', [(1 - i, 'CHANGE') for i in changes], since), b)
    assert [i.type[6] for i in io.events('line/?/state', since)] == ['a', 'b'] * 5


@pytest.mark.parametrize('active_low', [False, True])
@pytest.mark.parametrize('edge, value', [('RISING', 1), ('FALLING', 0)])
def test_rule_4_edges_of_one_kind(edge, value, active_low, chip, gpio):
    """Each is a change, and its value is the edge's."""
    c = chip()
    io = gpio(c, line('a', 0, edge=edge, active_low=active_low))
    since = io.mark()
    times = move(c, 0, [1, 0, 1, 0, 1, 0])
    raw = value != active_low
    assert_times(io.wait_states('a', [(value, 'CHANGE')] * 3, since), times[0 if raw else 1::2])


def test_rule_4_polled(chip, gpio):
    c = chip()
    io = gpio(c, line('a', 0, edge='NONE', poll_interval=0.05))
    since = io.mark()
    begin = time.time()
    c.pull(0, 1)
    event = io.wait_state('a', 1, 'CHANGE', since)
    assert begin - 0.001 <= seconds(event) <= time.time()
    assert io.states('a', since) == [(1, 'CHANGE')]


def test_rule_4_edges_and_polls(chip, gpio):
    """A line that is read at intervals, too, reports each change once."""
    c = chip()
    io = gpio(c, line('a', 0, poll_interval=0.01))
    since = io.mark()
    times = move(c, 0, [1, 0] * 10, pause=0.03)
    assert_times(io.wait_states('a', [(1, 'CHANGE'), (0, 'CHANGE')] * 10, since), times)


def test_rule_4_debounce(chip, gpio):
    """The time is the end of the stable period, and what does not last one is nothing."""
    c = chip()
    io = gpio(c, line('a', 0, debounce=0.5))
    since = io.mark()
    begin, end = move(c, 0, [1, 0, 1, 0, 1], pause=0.005)[-1]
    events = io.wait_states('a', [(1, 'CHANGE')], since)
    assert_times(events, [(begin + 0.5, time.time() if library() > 1 else end + 0.5)])
    move(c, 0, [0, 1], pause=0)
    io.assert_silent('line/a/state', 1)


def test_rule_4_counter(chip, gpio):
    c = chip()
    io = gpio(c, line('a', 0, counter={'interval': 0.3}), line('b', 1, edge='RISING', counter={'interval': 0.3}))

    def counted(name):
        return [i.payload.data for i in io.events(f'line/{name}/counter')]

    move(c, 0, [1, 0] * 10)
    move(c, 1, [1, 0] * 7)
    for name, n in (('a', 10), ('b', 7)):
        wait_until(lambda name=name, n=n: counted(name) and counted(name)[-1]['value'] == n, f'{n} edges of {name}')
        assert sum(i['delta'] for i in counted(name)) == n
    # The timestamp is the end of the interval; without edges there is none.
    events = io.events('line/a/counter')
    assert all(abs((seconds(i) - seconds(events[0])) / 0.3 % 1 - 0.5) > 0.4 for i in events)
    io.assert_silent('line/?/counter', 0.7)


# ---- rule 5


def test_rule_5_more_edges_than_can_be_taken(chip, gpio, bus_client):
    """What shows is counted, once per burst it is said, and the last state is the line's."""
    n = 1501 if library() == 1 else 1500        # 1.6: a loss shows if it is odd; 2.x: if it is even, every edge left is a change
    c = chip()
    io = gpio(c, line('a', 0), line('b', 1))

    def reported():
        return len(io.states('a')) - 1

    def lost():
        return bus_client.get(device_path(IO), INTERFACE, 'LostEdges')

    def settled(sent):
        """2.x numbers the edges, so that each is either reported or counted."""
        return io.states('a')[-1][0] == sent % 2 and lost() > 0 and (library() == 1 or reported() + lost() == sent)

    for burst in (1, 2):
        before = lost()
        with Stopped(io):
            move(c, 0, [i % 2 for i in range((burst - 1) * n + 1, burst * n + 1)], pause=0)
            if library() == 1:          # a queue of its own, which nobody has filled
                move(c, 1, [1, 0, 1, 0])
            time.sleep(0.1)
        wait_until(lambda burst=burst: settled(burst * n), lambda: f'{reported()} reported, {lost()} lost')
        assert lost() > before
        assert len(io.log_lines('Edges of line a were lost')) == burst
        io.assert_silent('line/a/state', 1.1)       # so long may two losses be apart and are one burst
    if library() == 1:
        assert reported() <= 2 * 17
        assert io.states('b')[1:] == [(1, 'CHANGE'), (0, 'CHANGE')] * 4


# ---- rule 8


@pytest.fixture
def wall_clock():
    """wall_clock(seconds) steps it; in the end it is as before."""
    begin = time.time() - time.monotonic()

    def step(by):
        time.clock_settime(time.CLOCK_REALTIME, time.time() + by)

    yield step
    time.clock_settime(time.CLOCK_REALTIME, begin + time.monotonic())


@pytest.mark.parametrize('step', [YEAR, -YEAR])
def test_rule_8_wall_clock_is_stepped(step, chip, gpio, wall_clock):
    c = chip()
    io = gpio(c, line('a', 0))
    since = io.mark()
    times = move(c, 0, [1, 0, 1, 0], pause=0.02)
    io.wait_states('a', [(1, 'CHANGE'), (0, 'CHANGE')] * 2, since)
    wall_clock(step)
    times += move(c, 0, [1, 0, 1, 0], pause=0.02)
    events = io.wait_states('a', [(1, 'CHANGE'), (0, 'CHANGE')] * 4, since)
    assert_times(events[:4], times[:4])
    assert_times(events[4:], times[4:])
    assert abs(seconds(events[4]) - seconds(events[3]) - step) < 60


def test_rule_8_stepped_while_edges_wait(chip, gpio, wall_clock):
    """They happened when they happened: by the clock that is right now, in the distance that they had."""
    c = chip()
    io = gpio(c, line('a', 0))
    since = io.mark()
    with Stopped(io):
        times = move(c, 0, [1, 0], pause=0.05)
        wall_clock(YEAR)
        times = [(begin + YEAR, end + YEAR) for begin, end in times] + move(c, 0, [1, 0], pause=0.05)
    assert_times(io.wait_states('a', [(1, 'CHANGE'), (0, 'CHANGE')] * 2, since), times)
