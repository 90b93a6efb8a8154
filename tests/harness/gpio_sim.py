# SPDX-License-Identifier: Apache-2.0
"""Simulated GPIO chips, the kernel's gpio-sim: made through configfs, moved through sysfs; who else holds lines; and what the
kernel recorded of the values that lines were given."""

import errno
import fcntl
import itertools
import os
import pathlib
import re
import struct
import typing

CONFIG = pathlib.Path('/sys/kernel/config/gpio-sim')
PLATFORM = pathlib.Path('/sys/devices/platform')
CLASS = pathlib.Path('/sys/class/gpio')
TRACING = pathlib.Path('/sys/kernel/tracing')

_numbers = itertools.count()


class Chip:
    """A chip with so many lines; names: offset → the line's own name. It is plugged in from the beginning."""

    def __init__(self, lines=8, label=None, names=None):
        self.label = label or f'chip-{next(_numbers)}'
        self._device = CONFIG / f'device-{next(_numbers)}'
        self._bank = self._device / 'bank'
        self._pulls = {}
        self._bank.mkdir(parents=True)
        (self._bank / 'num_lines').write_text(str(lines))
        (self._bank / 'label').write_text(self.label)
        for offset, name in (names or {}).items():
            (self._bank / f'line{offset}').mkdir()
            (self._bank / f'line{offset}/name').write_text(name)
        self.plug()

    def plug(self):
        (self._device / 'live').write_text('1')
        #: of its node in /dev
        self.name = (self._bank / 'chip_name').read_text().strip()
        self._sysfs = PLATFORM / (self._device / 'dev_name').read_text().strip() / self.name
        #: of its first line, among all lines of the kernel
        self.base = next(int((i / 'base').read_text()) for i in CLASS.glob('gpiochip*')
                         if (i / 'label').read_text().strip() == self.label and
                         (i / 'device').resolve() == self._sysfs.parent)

    def unplug(self):
        for fd in self._pulls.values():
            os.close(fd)
        self._pulls = {}
        (self._device / 'live').write_text('0')

    @property
    def plugged(self):
        return (self._device / 'live').read_text().strip() == '1'

    @property
    def path(self):
        return f'/dev/{self.name}'

    def pull(self, offset, value):
        """Moves an input to this raw value."""
        if offset not in self._pulls:
            self._pulls[offset] = os.open(self._sysfs / f'sim_gpio{offset}/pull', os.O_WRONLY | os.O_CLOEXEC)
        os.pwrite(self._pulls[offset], b'pull-up' if value else b'pull-down', 0)

    def value(self, offset):
        """The raw value of a line."""
        return int((self._sysfs / f'sim_gpio{offset}/value').read_text())

    def close(self):
        if self.plugged:
            self.unplug()
        for line in self._bank.glob('line*'):
            line.rmdir()
        self._bank.rmdir()
        self._device.rmdir()


class Holder:
    """Another consumer of one line, by the kernel's own interface (struct gpio_v2_line_request)."""

    _GET_LINE = 0xC250B407
    _REQUEST = struct.Struct('=64I 32s Q I 20x 240x I I 20x i')
    _INPUT = 1 << 2

    def __init__(self, path, offset, consumer):
        offsets = [offset] + [0] * 63
        request = bytearray(self._REQUEST.pack(*offsets, consumer.encode(), self._INPUT, 0, 1, 0, 0))
        chip = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(chip, self._GET_LINE, request)
        finally:
            os.close(chip)
        self._fd = self._REQUEST.unpack(request)[-1]

    def close(self):
        os.close(self._fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def is_held(path, offset):
    """Whether somebody holds the line."""
    try:
        Holder(path, offset, 'probe').close()
    except OSError as e:
        if e.errno != errno.EBUSY:
            raise
        return True
    return False


class SetValue(typing.NamedTuple):
    time: float         # CLOCK_MONOTONIC, s
    value: int          # raw


class Trace:
    """What the kernel records from now on."""

    _SET = re.compile(r' ([\d.]+): gpio_value: (\d+) set ([01])$', re.MULTILINE)

    def __init__(self):
        (TRACING / 'trace_clock').write_text('mono')
        (TRACING / 'trace').write_text('')
        (TRACING / 'events/gpio/gpio_value/enable').write_text('1')

    @staticmethod
    def sets(chip, offset):
        """The values that the line was given, without those that it had: a list of SetValue."""
        found = []
        for time, number, value in Trace._SET.findall((TRACING / 'trace').read_text()):
            if int(number) == chip.base + offset and (not found or found[-1].value != int(value)):
                found.append(SetValue(float(time), int(value)))
        return found

    def close(self):
        (TRACING / 'events/gpio/gpio_value/enable').write_text('0')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
