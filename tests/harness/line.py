# SPDX-License-Identifier: Apache-2.0
"""Serial lines without hardware: pseudo-terminals behind symbolic links, which can be pulled and plugged, alone or
wired together."""

import asyncio
import os
import pathlib
import shutil
import tempfile
import tty

from harness import background


def serial_transport(path, **changes):
    """The keys that both device types have in a transport of type SERIAL, but silent_interval."""
    return {'type': 'SERIAL', 'port': str(path), 'baudrate': 115200, 'bytesize': 'EIGHTBITS', 'parity': 'NONE',
            'stopbits': 'ONE', 'flow_control': {'xonxoff': False, 'rtscts': False, 'dsrdtr': False}, **changes}


class Pty:
    """One line: programs open `path`, the test reads and writes `fd`, which does not block."""

    def __init__(self):
        self._directory = pathlib.Path(tempfile.mkdtemp(prefix='gatewayd-line-'))
        self.path = self._directory / 'ttyUSB0'
        self.fd = None
        self.plug()

    def plug(self):
        self.fd, self._far = os.openpty()       # the far side stays open: nothing is lost between two programs
        os.set_blocking(self.fd, False)
        tty.setraw(self._far)
        self.path.symlink_to(os.ttyname(self._far))

    def unplug(self):
        if self.fd is not None:
            self.path.unlink()
            os.close(self._far)
            os.close(self.fd)
            self.fd = None

    def close(self):
        self.unplug()
        shutil.rmtree(self._directory, ignore_errors=True)


class Line:
    """Several programs on one line: what one writes all others read. `sent` has everything, by end."""

    def __init__(self, ends=2):
        self.ptys = [Pty() for _ in range(ends)]
        self.sent = [b''] * ends
        background.call(self._listen)

    @property
    def paths(self):
        return [i.path for i in self.ptys]

    def _listen(self):
        for i, pty in enumerate(self.ptys):
            asyncio.get_running_loop().add_reader(pty.fd, self._forward, i)

    def _forward(self, end):
        data = os.read(self.ptys[end].fd, 65536)
        self.sent[end] += data
        for i, pty in enumerate(self.ptys):
            if i != end:
                os.write(pty.fd, data)

    def close(self):
        def stop():
            for pty in self.ptys:
                asyncio.get_running_loop().remove_reader(pty.fd)
                pty.close()

        background.call(stop)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
