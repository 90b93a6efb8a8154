# SPDX-License-Identifier: Apache-2.0
"""The load that the specification of the device type gpio promises: 1,000 edges a second for 10 seconds. There is one processor, on
which system calls are expensive: the event server only collects."""

import json
import time

import pytest

from harness import wire
from harness.bus import device_path
from harness.config import NATIVE
from harness.gpio_device import INTERFACE, IO, PREFIX, library, line
from harness.waiting import wait_until
from raw_event_server import RawEventServer, event

SECONDS = 10
RATE = 1000
ENABLED = event(f'{PREFIX}/system/enable', wire.json_payload('true'))


class Load:
    """Moves lines in turns, and knows what was reported."""

    def __init__(self, chip, n, server):
        self._chip = chip
        self._n = n
        self._server = server
        self._read = 0
        self._last = {}
        self._sent_of_line = [0] * n
        self.sent = 0
        self.reported = 0

    def step(self):
        offset = self.sent % self._n
        self._sent_of_line[offset] += 1
        self._chip.pull(offset, self._sent_of_line[offset] % 2)
        self.sent += 1

    def paced(self):
        """Each edge in its millisecond, or as soon as this process is let."""
        begin = time.monotonic()
        for i in range(RATE * SECONDS):
            while time.monotonic() - begin < i / RATE:
                time.sleep(0.0005)
            self.step()

    def fast(self):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            self.step()

    def read(self):
        """Takes what was registered since, and returns whether the last state of each line is the line's."""
        bodies = self._server.registered[self._read:]
        self._read += len(bodies)
        for body in bodies:
            for i in wire.read_register_events(wire.Reader(body)):
                if i.type[-1] == 'state':
                    state = json.loads(i.payload)
                    self._last[i.type[-2]] = state['value']
                    self.reported += state['cause'] == 'CHANGE'
        return self._last == {f'l{i}': sent % 2 for i, sent in enumerate(self._sent_of_line)}


@pytest.mark.timeout(300)
@pytest.mark.parametrize('n', [16, 1])
@pytest.mark.parametrize('pace', [Load.paced, Load.fast])
def test_load(n, pace, chip, gatewayd, bus_client, first):
    c = chip(16)
    device = {'type': 'gpio', 'name': 'io', 'chip': c.label, 'lines': [line(f'l{i}', i) for i in range(n)]}
    with RawEventServer([[ENABLED]]) as server:
        gateway = gatewayd(NATIVE.config([device], server.port), prefix=first, log_level='info')
        load = Load(c, n, server)
        wait_until(load.read, 'every line is interrogated')
        for _ in range(RATE):
            load.step()
        wait_until(load.read, 'the first edges are reported')
        memory = gateway.process.memory_kib()

        begin, sent = time.monotonic(), load.sent
        pace(load)
        rate = (load.sent - sent) / (time.monotonic() - begin)
        wait_until(lambda: load.read() and (library() == 1 or load.reported == load.sent),
                   lambda: f'{load.sent} edges, {load.reported} reported')
        lost = bus_client.get(device_path(IO), INTERFACE, 'LostEdges')
        print(f'{load.sent} edges over {n} lines, {rate:.0f} a second: {load.reported} reported, {lost} counted as lost')
        assert load.reported <= load.sent
        assert load.reported == load.sent or lost > 0
        assert gateway.process.memory_kib() <= memory + 256
