# SPDX-License-Identifier: Apache-2.0
"""Section 3 of the specification of the device type gpio, rules 1 to 3: chips and lines that are there, are not, are held by
others, go and come back."""

import time

import pytest

from harness.bus import device_path
from harness.gpio_device import INTERFACE, IO, line, output
from harness.gpio_sim import Holder, is_held
from harness.waiting import wait_until


def told(io):
    """All that was registered of lines and status, in order: [(type, value or payload)]."""
    return [('/'.join(i.type[5:]), i.payload.data) for i in io.events() if i.type[5] in ('status', 'line')]


def interrogated(name, value):
    return f'line/{name}/state', {'value': value, 'cause': 'INTERROGATE'}


# ---- rule 1


@pytest.mark.parametrize('by', ['label', 'name', 'path'])
def test_rule_1_created(by, chip, gpio):
    c = chip(names={3: 'DOOR', 5: 'LAMP'})
    c.pull(0, 1)
    c.pull(3, 1)
    c.pull(6, 1)
    io = gpio(getattr(c, by), line('z', 0), line('a', 1, active_low=True), line('door', 'DOOR', active_low=True),
              output('lamp', 'LAMP', initial=1), output('low', 4, initial=1, active_low=True),
              output('kept', 6, initial=None), output('off', 7))
    assert told(io) == [('status', 'CONNECTING'), ('status', 'CONNECTED'), interrogated('z', 1), interrogated('a', 1),
                        interrogated('door', 0), interrogated('lamp', 1), interrogated('low', 1), interrogated('kept', 1),
                        interrogated('off', 0)]
    assert [c.value(i) for i in (5, 4, 6, 7)] == [1, 0, 1, 0]
    assert [is_held(c.path, i) for i in range(8)] == [True, True, False, True, True, True, True, True]


def test_rule_1_bias(chip, gpio):
    c = chip()
    c.pull(1, 1)
    io = gpio(c, line('up', 0, bias='PULL_UP'), line('down', 1, bias='PULL_DOWN'), line('off', 2, bias='DISABLED'))
    assert told(io)[2:] == [interrogated('up', 1), interrogated('down', 0), interrogated('off', 0)]


def test_rule_1_drive(chip, gpio):
    """An open drain only pulls down, an open source only up; else the line is where others hold it."""
    c = chip()
    c.pull(1, 1)
    io = gpio(c, output('drain', 0, drive='OPEN_DRAIN', initial=1), output('source', 1, drive='OPEN_SOURCE', initial=0),
              output('both', 2, initial=1))
    assert [c.value(i) for i in range(3)] == [0, 1, 1]
    assert (io.write('drain', 0), io.write('source', 1)) == ('SUCCESS', 'SUCCESS')
    assert [c.value(i) for i in range(2)] == [0, 1]


def test_rule_1_512_lines(chip, gpio):
    c = chip(512)
    c.pull(511, 1)
    io = gpio(c, *(output(f'o{i}', i, initial=i % 2) if i < 256 else line(f'i{i}', i, edge='NONE', poll_interval=3600)
                   for i in range(512)))
    assert told(io)[-1] == interrogated('i511', 1)
    assert [c.value(i) for i in range(256)] == [i % 2 for i in range(256)]
    assert io.write('o255', 0) == 'SUCCESS'
    assert [c.value(i) for i in range(253, 256)] == [1, 0, 0]


# ---- rule 2


def wait_tries(io, n=2):
    """Waits until it has tried so often anew, and failed."""
    for _ in range(n):
        since = io.mark()
        io.wait_status('CONNECTING', since)
        io.wait_status('DISCONNECTED', since)


def wait_detail(bus_client, detail):
    wait_until(lambda: bus_client.device(IO, 'LinkDetail') == detail,
               lambda: f'{detail!r}; is {bus_client.device(IO, "LinkDetail")!r}')
    properties = bus_client.device(IO)
    assert (properties['State'], properties['Link']) == ('running', 'down')


def test_rule_2_no_chip(chip, gpio, bus_client):
    io = gpio('cellar', line('a', 0), connected=False)
    wait_detail(bus_client, 'there is no chip cellar')
    wait_tries(io)
    assert len(io.log_lines('there is no chip cellar')) == 1
    since = io.mark()
    chip(label='cellar')
    io.wait_state('a', 0, 'INTERROGATE', since)
    assert bus_client.device(IO, 'Link') == 'up'


def test_rule_2_label_of_two_chips(chip, gpio, bus_client):
    first, second = chip(label='twin'), chip(label='twin')
    io = gpio('twin', line('a', 0), connected=False)
    names = sorted((first.path, second.path))
    wait_detail(bus_client, f'chip twin is ambiguous: {names[0]} and {names[1]} have this label')
    assert len(io.log_lines(f'{names[0]} and {names[1]} have this label')) == 1
    first.unplug()
    io.wait_status('CONNECTED')


@pytest.mark.parametrize('number, named', [(8, '8'), ('attic', '"attic"')])
def test_rule_2_unknown_line(number, named, chip, gpio, bus_client):
    c = chip()
    io = gpio(c, line('a', 0), line('b', number), connected=False)
    detail = f'chip {c.label} has no line {named} (b)'
    wait_detail(bus_client, detail)
    wait_tries(io)
    assert len(io.log_lines(detail)) == 1
    assert not is_held(c.path, 0)


@pytest.mark.parametrize('mine', [line('b', 3), output('b', 3)], ids=['input', 'output'])
def test_rule_2_line_in_use(mine, chip, gpio, bus_client):
    c = chip()
    lines = line('a', 2), mine, output('c', 4)
    with Holder(c.path, 3, 'night watch'):
        io = gpio(c, *lines, connected=False)
        detail = f'line 3 (b) of chip {c.label} is held by "night watch"'
        wait_detail(bus_client, detail)
        assert bus_client.get(device_path(IO), INTERFACE, 'Lines')[1]['Consumer'] == 'night watch'
        wait_tries(io)
        assert len(io.log_lines(detail)) == 1

    # Somebody else: another reason, which is told.
    io.wait_status('CONNECTED')
    io.enable(False)
    with Holder(c.path, 3, 'day watch'):
        io.enable()
        wait_detail(bus_client, f'line 3 (b) of chip {c.label} is held by "day watch"')
        assert not is_held(c.path, 2) and not is_held(c.path, 4)
    io.wait_state('c', 0, 'INTERROGATE', io.mark() - 1)


# ---- rule 3


INPUT = line('a', 0)
LINES = {'edges': [INPUT], 'polled': [line('a', 0, edge='NONE', poll_interval=60)], 'outputs': [output('a', 0)],
         'both': [INPUT, output('b', 1)]}


@pytest.mark.parametrize('lines', LINES.values(), ids=LINES)
def test_rule_3_unplugged(lines, chip, gpio, bus_client):
    c = chip()
    io = gpio(c, *lines)
    since = io.mark()
    begin = time.monotonic()
    c.unplug()
    io.wait_status('DISCONNECTED', since)
    assert time.monotonic() - begin < 10            # not by the next poll
    wait_detail(bus_client, f'chip {c.label} is lost: it was unplugged')
    if lines[0]['direction'] == 'OUTPUT':
        assert io.write('a', 1) == 'NOT_CONNECTED'

    since = io.mark()
    c.plug()
    for i in lines:
        io.wait_state(i['name'], 0, 'INTERROGATE', since)
    assert bus_client.device(IO, 'Link') == 'up'
    if lines == [INPUT]:
        c.pull(0, 1)
        io.wait_state('a', 1, 'CHANGE', since)


def test_rule_3_again_and_again(chip, gpio):
    c = chip()
    io = gpio(c, INPUT, output('b', 1, initial=1))
    fds = io.gateway.process.n_fds()
    for _ in range(20):
        since = io.mark()
        c.unplug()
        c.plug()
        io.wait_state('b', 1, 'INTERROGATE', since)
        c.pull(0, 1)
        io.wait_state('a', 1, 'CHANGE', since)
    assert io.gateway.process.n_fds() == fds


def test_rule_3_another_chip_goes(chip, gpio):
    c, other = chip(), chip()
    io = gpio(c, INPUT)
    since = io.mark()
    other.unplug()
    c.pull(0, 1)
    io.wait_state('a', 1, 'CHANGE', since)
    assert not io.events('status', since)


def test_rule_3_a_pulse_ends_with_its_chip(chip, gpio):
    c = chip()
    io = gpio(c, output('a', 0))
    assert io.write('a', 1, duration=0.3) == 'SUCCESS'
    since = io.mark()
    c.unplug()
    c.plug()
    io.wait_state('a', 0, 'INTERROGATE', since)
    io.assert_silent('line/a/state', 0.5)
