# SPDX-License-Identifier: Apache-2.0
"""Rule 9: outputs whose requests the service manager keeps over a restart. The harness is the service manager."""

import pytest

from harness.gpio_device import library, line, output
from harness.gpio_sim import is_held
from harness.waiting import wait_until

pytestmark = [pytest.mark.skipif(library() == 1, reason='libgpiod 1.6 gives out no descriptor of an output'),
              pytest.mark.event_servers('hat-event')]   # one that knows after a restart what is enabled

VALVE = output('valve', 0)
LAMP = output('lamp', 'LAMP', active_low=True)
PUMP = output('pump', 2, safe=0)
DOOR = line('door', 3)


@pytest.fixture
def again(gpio):
    """again(io, chip, *lines): the next start, which gets what was stored."""
    def start(io, *arguments):
        return gpio(*arguments, stored=io.gateway.notify.take_stored())

    return start


def names(io):
    return {i.rsplit('/', 1)[-1] for i in io.gateway.notify.stored}


def states(io, name):
    return io.states(name, io.began)


@pytest.mark.parametrize('end', ['stop', 'kill'])
def test_restart(end, chip, gpio, again, trace):
    c = chip(names={1: 'LAMP'})
    io = gpio(c, DOOR, VALVE, LAMP, PUMP)
    assert names(io) == {'0', '%22LAMP%22'}
    assert [io.write(i, 1) for i in ('valve', 'lamp', 'pump')] == ['SUCCESS'] * 3
    assert [c.value(i) for i in range(3)] == [1, 0, 1]
    n = [len(trace.sets(c, i)) for i in range(2)]

    getattr(io.gateway, end)()
    wait_until(lambda: not is_held(c.path, 3), 'the other lines are released')
    assert [is_held(c.path, i) for i in range(3)] == [True, True, False]
    assert [c.value(i) for i in range(2)] == [1, 0]

    io = again(io, c, DOOR, VALVE, LAMP, PUMP)
    assert [states(io, i) for i in ('valve', 'lamp', 'pump')] == [[(1, 'INTERROGATE')], [(1, 'INTERROGATE')], [(0, 'INTERROGATE')]]
    assert [len(trace.sets(c, i)) for i in range(2)] == n       # nobody has set them meanwhile
    assert io.write('valve', 0, duration=0.05) == io.write('lamp', 0) == 'SUCCESS'
    io.wait_state('valve', 1, 'WRITE', io.began)
    assert [c.value(i) for i in range(2)] == [1, 1]
    assert names(io) == {'0', '%22LAMP%22'}


def test_event_server_lost(chip, gpio, event_server):
    c = chip()
    io = gpio(c, DOOR, VALVE)
    assert io.write('valve', 1) == 'SUCCESS'
    event_server.kill()
    wait_until(lambda: not is_held(c.path, 3), 'the run is over')
    assert is_held(c.path, 0) and c.value(0) == 1


def test_disabled(chip, gpio):
    c = chip()
    io = gpio(c, VALVE)
    io.enable(False)
    wait_until(lambda: not is_held(c.path, 0), 'it is released')
    assert names(io) == set()
    since = io.mark()
    io.enable()
    io.wait_state('valve', 0, 'INTERROGATE', since)


@pytest.mark.parametrize('after, stored', [(output('valve', 0, active_low=True), {'0'}), (output('valve', 0, drive='OPEN_DRAIN'), {'0'}),
                                           (output('valve', 0, safe=1), set()), (line('valve', 0), set()), (DOOR, set())],
                         ids=['active_low', 'drive', 'safe', 'input', 'gone'])
def test_other_configuration(after, stored, chip, gpio, again):
    """It is closed, and the line taken anew as it is configured now."""
    c = chip()
    io = gpio(c, VALVE)
    assert io.write('valve', 1) == 'SUCCESS'
    io.gateway.stop()
    io = again(io, c, after)
    assert states(io, after['name']) == [(0, 'INTERROGATE')]
    assert names(io) == stored
    assert is_held(c.path, 0) == (after != DOOR)


def test_chip_is_another(chip, gpio, again):
    """The stored descriptor is of a chip that was unplugged, though the node has its name again."""
    c = chip()
    io = gpio(c, VALVE)
    assert io.write('valve', 1) == 'SUCCESS'
    io.gateway.stop()
    c.unplug()
    c.plug()
    io = again(io, c, output('valve', 0, initial=1))
    assert states(io, 'valve') == [(1, 'INTERROGATE')]
    assert c.value(0) == 1
    assert io.write('valve', 0) == 'SUCCESS'
    assert c.value(0) == 0 and names(io) == {'0'}


def test_more_than_the_store_takes(chip, gpio, again):
    c = chip(200)
    lines = [output(f'o{i}', i) for i in range(200)]
    io = gpio(c, *lines)
    assert len(names(io)) == 128
    assert io.log_lines('A restart will release 72 of the outputs')
    assert io.write('o199', 1) == io.write('o0', 1) == 'SUCCESS'
    io.gateway.stop()
    assert [is_held(c.path, i) for i in (0, 127, 128, 199)] == [True, True, False, False]
    io = again(io, c, *lines)
    assert (states(io, 'o0'), states(io, 'o199')) == ([(1, 'INTERROGATE')], [(0, 'INTERROGATE')])
