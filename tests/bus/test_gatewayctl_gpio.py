# SPDX-License-Identifier: Apache-2.0
"""gatewayctl gpio list: the real daemon with what this machine has, and one that the test plays with chips that it has not."""

import json
import pathlib

import pytest
from dbus_fast.aio import MessageBus
from dbus_fast.service import ServiceInterface, method

from harness import background
from harness.bus import MANAGER, NAME, ROOT_PATH
from harness.config import NATIVE
from harness.gateway import Ctl
from harness.terminal import on_terminal


def line(offset, name=None, **more):
    return {'Offset': offset, 'Name': name, 'Direction': 'INPUT', 'ActiveLow': False, 'Bias': 'AS_IS', 'Used': False,
            'Consumer': None, 'Device': None, 'Point': None, **more}


def chip(name, label, *lines, error=None):
    return {'Name': name, 'Path': f'/dev/{name}', 'Label': label, 'Error': error, 'Lines': list(lines)}


#: As devices/gpio/gpio-hardware.c writes it; tests/unit/test-gpio.c compares the words.
MACHINE = [
    chip('gpiochip0', 'soc',
         line(0, 'LED0', Direction='OUTPUT', Used=True, Consumer='gatewayd', Device='panel', Point='lamp'),
         line(1, 'SDA', Used=True, Consumer='i2c \x1b[31m'),
         line(2, Used=True, ActiveLow=True, Bias='PULL_UP'),
         line(3, 'twice'), line(4, 'twice'), line(5, 'DOOR "A"')),
    chip('gpiochip2', 'expander', line(0)),
    chip('gpiochip10', 'expander', line(0)),
    chip('gpiochip11', None, error='Permission denied'),
]
TABLE = """\
gpiochip0  soc      0    LED0     OUTPUT    high   AS_IS   gpio/panel/lamp
gpiochip0  soc      1    SDA      INPUT     high   AS_IS   i2c \\x1b[31m
gpiochip0  soc      2             INPUT     low    PULL_UP used
gpiochip0  soc      3    twice    INPUT     high   AS_IS   free
gpiochip0  soc      4    twice    INPUT     high   AS_IS   free
gpiochip0  soc      5    DOOR "A" INPUT     high   AS_IS   free
gpiochip2  expander 0             INPUT     high   AS_IS   free
gpiochip10 expander 0             INPUT     high   AS_IS   free
gpiochip11                                                 Permission denied
"""


class Manager(ServiceInterface):
    """Of a played daemon: answers with one text."""

    def __init__(self):
        super().__init__(MANAGER)
        self.text = None

    @method()
    def ListHardware(self, kind: 's') -> 's':  # noqa: N802, F821
        assert kind == 'gpio'
        return self.text


@pytest.fixture
def played(bus):
    """played(hardware or text): a daemon on the bus that has these chips."""
    manager = Manager()

    async def start():
        connection = await MessageBus(bus_address=bus.address).connect()
        connection.export(ROOT_PATH, manager)
        await connection.request_name(NAME)
        return connection

    connection = background.run(start())

    def say(hardware):
        manager.text = hardware if isinstance(hardware, str) else \
            json.dumps({'Version': 1, 'Type': 'gpio', 'Hardware': hardware})

    yield say
    background.call(connection.disconnect)


@pytest.fixture
def ctl(bus):
    return Ctl(bus.address)


def test_table(played, ctl):
    played(MACHINE)
    assert ctl('gpio', 'list').stdout == TABLE


def test_json(played, ctl):
    played(MACHINE)
    assert ctl.json('gpio', 'list') == {'Version': 1, 'Type': 'gpio', 'Hardware': MACHINE}


def test_chips(played, ctl):
    """By name, path, or label, with patterns."""
    played(MACHINE)
    for argument, names in [('gpiochip2', ['gpiochip2']), ('/dev/gpiochip0', ['gpiochip0']),
                            ('exp*', ['gpiochip2', 'gpiochip10']), ('soc', ['gpiochip0'])]:
        assert [i['Name'] for i in ctl.json('gpio', 'list', argument)['Hardware']] == names
    result = ctl('gpio', 'list', 'soc', 'none', check=False)
    assert (result.returncode, result.stderr) == (1, "gatewayctl: There is no GPIO chip 'none'.\n")
    assert result.stdout.count('\n') == 6


EXAMPLE = """
{counts}

A free line is configured so, see gatewayd.yaml(5):

devices:
  - type: gpio
    name: io
    chip: "{chip}"
    lines:
      - {{name: "{name}", line: {line}, direction: INPUT}}
"""


@pytest.mark.parametrize('hardware, counts, chip, name, line', [
    (MACHINE, '8 lines on 4 chips, 5 free.', 'soc', 'twice', '3'),             # two lines have the name
    ([chip('gpiochip0', 'soc', MACHINE[0]['Lines'][5])], '1 line on 1 chip, 1 free.', 'soc', 'DOOR \\"A\\"', '"DOOR \\"A\\""'),
    (MACHINE[1:], '2 lines on 3 chips, 2 free.', 'gpiochip2', 'input', '0'),   # two chips have the label
], ids=['names', 'quotes', 'labels'])
def test_what_to_write(played, bus, tmp_path, hardware, counts, chip, name, line):
    played(hardware)
    text, status = on_terminal(bus, 'gpio', 'list', columns=100, env={'NO_COLOR': '1'})
    assert status == 0
    table, example = text.split('\n\n', 1)
    assert table.split()[:8] == ['CHIP', 'LABEL', 'LINE', 'NAME', 'DIRECTION', 'ACTIVE', 'BIAS', 'USE']
    assert '\n' + example == EXAMPLE.format(counts=counts, chip=chip, name=name, line=line)
    assert '\x1b[32mfree' in on_terminal(bus, 'gpio', 'list', columns=100)[0]
    assert 'configured so' not in on_terminal(bus, 'gpio', 'list', '--no-legend')[0]


def test_nothing_is_free(played, bus):
    played([chip('gpiochip0', 'soc', MACHINE[0]['Lines'][0])])
    assert on_terminal(bus, 'gpio', 'list')[0].endswith('\n\n1 line on 1 chip, 0 free.\n')


def test_no_chip(played, ctl):
    played([])
    result = ctl('gpio', 'list')
    assert (result.stdout, result.stderr) == ('', 'gatewayctl: There is no GPIO chip where gatewayd runs.\n')
    assert ctl('gpio', 'list', '--quiet').stderr == ''
    assert ctl.json('gpio', 'list')['Hardware'] == []


@pytest.mark.parametrize('text', ['', '[]', '{'])
def test_answer_that_is_none(played, ctl, text):
    played(text)
    result = ctl('gpio', 'list', check=False)
    assert result.returncode == 1 and 'is not understood' in result.stderr


def test_answer_of_another_shape(played, ctl):
    played(['no chip', {'Name': 'gpiochip0'}, {'Lines': ['no line', {}]}])
    assert ctl('gpio', 'list').stdout.split() == ['0', 'high', 'free'] * 2


@pytest.mark.parametrize('arguments, text', [
    (['gpio'], 'gpio needs list'), (['gpio', 'set'], "Unknown verb 'gpio set'"), (['gpio', 'list', '--force'], 'not an option'),
    (['gpio', 'list', ''], 'not empty')])
def test_usage(ctl, arguments, text):
    result = ctl(*arguments, check=False)
    assert result.returncode == 2 and text in result.stderr and result.stderr.count('\n') == 1


def test_real_daemon(start_service, system_bus, other_user):
    """Everybody may look."""
    start_service(NATIVE.config([], 1))
    ctl = Ctl(system_bus.address)
    chips = json.loads(ctl('gpio', 'list', '--json=short', user=other_user.pw_uid).stdout)['Hardware']
    nodes = [i for i in pathlib.Path('/dev').glob('gpiochip*') if not i.is_symlink()]
    assert {i['Path'] for i in chips} == {str(i) for i in nodes}
    result = ctl('gpio', 'list')
    assert bool(result.stderr) == (not chips)
