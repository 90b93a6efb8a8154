# SPDX-License-Identifier: Apache-2.0
"""gatewayctl on a terminal."""

import fcntl
import os
import pty
import struct
import subprocess
import termios

from harness.gateway import SANITIZER_ENV
from harness.paths import CTL
from harness.waiting import DEADLINE


def on_terminal(bus, *arguments, columns=80, env=None):
    """What gatewayctl prints on a terminal, and its status."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ('COLUMNS', 'NO_COLOR')}
    environment.update({'TERM': 'xterm', **SANITIZER_ENV, **(env or {})})
    process = subprocess.Popen([CTL, f'--address={bus.address}', *arguments], stdin=theirs, stdout=theirs, stderr=theirs,
                               env=environment)
    os.close(theirs)
    text = b''
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:                 # EIO: the other end is closed
            break
        if not part:
            break
        text += part
    os.close(ours)
    return text.decode().replace('\r\n', '\n'), process.wait(DEADLINE)
