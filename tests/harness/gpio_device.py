# SPDX-License-Identifier: Apache-2.0
"""A device of type gpio: its configuration, and what a client of the event server sees of it."""

import json

from harness.config import NATIVE
from harness.eventer import payload
from harness.paths import BUILD
from harness.waiting import DEADLINE, wait_until

IO = 'gpio/io'
PREFIX = NATIVE.prefix(IO)
INTERFACE = 'io.gatewayd.Gateway1.Device.Gpio'


def library():
    """The generation of libgpiod that the daemon was built with: 1 or 2."""
    dependencies = json.loads((BUILD / 'meson-info/intro-dependencies.json').read_text())
    return next(int(i['version'].split('.')[0]) for i in dependencies if i['name'] == 'libgpiod')


def seconds(event):
    """The source timestamp."""
    return event.source_timestamp.s + event.source_timestamp.us / 1e6


def line(name, number, direction='INPUT', **more):
    return {'name': name, 'line': number, 'direction': direction, **more}


def output(name, number, **more):
    return line(name, number, 'OUTPUT', **more)


class Device:
    """A gateway with one device gpio/io, as a client of the event server sees it; began: the mark of its start."""

    def __init__(self, gateway, eventer, began=0):
        self.began = began
        self.gateway = gateway
        self.eventer = eventer
        self._requests = 0

    def enable(self, value=True):
        since = self.mark()
        self.eventer.register(f'{PREFIX}/system/enable', value)
        self.eventer.wait(f'{PREFIX}/gateway/running', value, since)

    def mark(self):
        return self.eventer.mark()

    def events(self, kind='*', since=0):
        return self.eventer.events(f'{PREFIX}/gateway/{kind}', since)

    def wait_status(self, status, since=0, timeout=DEADLINE):
        return self.eventer.wait(f'{PREFIX}/gateway/status', status, since, timeout)

    def wait_state(self, name, value, cause, since=0, timeout=DEADLINE):
        return self.eventer.wait(f'{PREFIX}/gateway/line/{name}/state', {'value': value, 'cause': cause}, since, timeout)

    def states(self, name='?', since=0):
        """[(value, cause)] of one line."""
        return [(i['value'], i['cause']) for i in self.eventer.payloads(f'{PREFIX}/gateway/line/{name}/state', since)]

    def wait_states(self, name, expected, since=0, timeout=DEADLINE):
        """Waits until there are as many as expected, and compares; returns the events."""
        wait_until(lambda: len(self.states(name, since)) >= len(expected),
                   lambda: f'{expected} of {name}, came: {self.states(name, since)}', timeout)
        assert self.states(name, since) == expected
        return self.events(f'line/{name}/state', since)

    def assert_silent(self, kind, duration):
        """Fails if an event comes within the time."""
        self.eventer.assert_none(f'{PREFIX}/gateway/{kind}', self.mark(), duration)

    def request(self, name, payload_):
        self.eventer.register(f'{PREFIX}/system/line/{name}/write', payload_)

    def write(self, name, value, **more):
        """Writes and returns the result."""
        self._requests += 1
        since = self.mark()
        self.request(name, {'request_id': self._requests, 'value': value, **more})
        answer = self.eventer.wait(f'{PREFIX}/gateway/line/{name}/write', since=since,
                                   where=lambda i: i['request_id'] == self._requests)
        return payload(answer)['result']

    def log_lines(self, text):
        return [i for i in self.gateway.log_text().splitlines() if text in i]
