# SPDX-License-Identifier: Apache-2.0
"""Places that can be cut off: network namespaces around a switch, each on a cable of its own. Needs root."""

import os
import subprocess


class Place:
    """Where a process is: `prefix` stands before its command, at `host` it is reached and reaches others."""

    def __init__(self, host, prefix=(), cable=None, field=None):
        self.host = host
        self.prefix = list(prefix)
        self.cable = cable
        self.field = field


HERE = Place('127.0.0.1')


class Cable:
    """A link that is up until it is pulled. `host`: our address at its other end, where that is ours."""

    def __init__(self, link, host=None):
        self._link = link
        self.host = host

    def pull(self):
        _ip(f'{self._link} down')

    def plug(self):
        _ip(f'{self._link} up')


def _ip(text):
    result = subprocess.run(['ip', *text.split()], capture_output=True, text=True, timeout=30)
    assert result.returncode == 0, f'ip {text}: {result.stderr}'


class Network:
    """`here` is our own place at the switch; place() makes further ones. A cable to the field ends at us and not at the switch, so
    that who is cut off from all others still has it."""

    def __init__(self):
        self._name = f'gwd{os.getpid()}'
        self._net = f'10.{100 + os.getpid() % 100}'     # of its own, if two run
        self._spaces = []
        self._n = 0
        self.here = None

    def __enter__(self):
        self._space('switch')
        _ip(f'-n {self._name}-switch link add switch type bridge')
        _ip(f'-n {self._name}-switch link set switch up')
        self.here = self._connect(f'{os.getpid()}', [])
        return self

    def _space(self, name):
        _ip(f'netns add {self._name}-{name}')
        self._spaces.append(f'{self._name}-{name}')

    def _connect(self, space, prefix):
        """space: its name, or a process id of ours."""
        self._n += 1
        there = f'-n {space} ' if prefix else ''
        port, end, host = f'port{self._n}', f'{self._name}c{self._n}', f'{self._net}.0.{self._n}'
        switch = f'-n {self._name}-switch'
        _ip(f'{switch} link add {port} type veth peer name {end} netns {space}')
        _ip(f'{switch} link set {port} master switch up')
        _ip(f'{there}addr add {host}/24 dev {end}')
        _ip(f'{there}link set {end} up')
        return Place(host, prefix, Cable(f'{switch} link set {port}'))

    def place(self, field=False):
        name = f'{self._name}-{self._n}'
        self._space(f'{self._n}')
        _ip(f'-n {name} link set lo up')
        place = self._connect(name, ['ip', 'netns', 'exec', name])
        if field:
            link, host = f'{self._name}f{self._n}', f'{self._net}.{self._n}'
            _ip(f'link add {link} type veth peer name field netns {name}')
            _ip(f'addr add {host}.1/24 dev {link}')
            _ip(f'link set {link} up')
            _ip(f'-n {name} addr add {host}.2/24 dev field')
            _ip(f'-n {name} link set field up')
            place.field = Cable(f'link set {link}', f'{host}.1')
        return place

    def __exit__(self, *_):
        for space in reversed(self._spaces):        # and with it its links
            _ip(f'netns del {space}')
