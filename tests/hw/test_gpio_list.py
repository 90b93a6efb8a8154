# SPDX-License-Identifier: Apache-2.0
"""gatewayctl gpio list with chips that are there: what the kernel says of lines, and who holds them."""

from harness.gpio_device import line, output
from harness.gpio_sim import Holder


def test_list(chip, gpio, bus, gatewayctl):
    c, other = chip(names={3: 'DOOR', 5: 'SPARE'}), chip(2)
    gpio(c, line('door', 'DOOR', active_low=True, bias='PULL_UP'), output('lamp', 2))
    with Holder(c.path, 4, 'night watch'):
        chips = {i['Label']: i for i in gatewayctl.json('gpio', 'list')['Hardware']}
        assert set(chips) == {c.label, other.label}
        mine = chips[c.label]
        assert (mine['Name'], mine['Path'], mine['Error']) == (c.name, c.path, None)
        free = {'Name': None, 'Direction': 'INPUT', 'ActiveLow': False, 'Bias': 'AS_IS', 'Used': False, 'Consumer': None,
                'Device': None, 'Point': None}
        ours = {'Used': True, 'Consumer': 'gatewayd', 'Device': 'io'}
        assert mine['Lines'] == [{'Offset': i} | free | more for i, more in enumerate([
            {}, {}, ours | {'Direction': 'OUTPUT', 'Point': 'lamp'},
            ours | {'Name': 'DOOR', 'ActiveLow': True, 'Bias': 'PULL_UP', 'Point': 'door'},
            {'Used': True, 'Consumer': 'night watch'}, {'Name': 'SPARE'}, {}, {}])]
        assert len(chips[other.label]['Lines']) == 2

        rows = [i.split() for i in gatewayctl('gpio', 'list', c.label).stdout.splitlines()]
        assert [i[-1] for i in rows] == ['free', 'free', 'gpio/io/lamp', 'gpio/io/door', 'watch', 'free', 'free', 'free']
