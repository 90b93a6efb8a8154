# SPDX-License-Identifier: Apache-2.0
"""TCP ports for servers that cannot choose one themselves."""

import random
import socket

#: Below the range that the kernel takes outgoing connections' ports from: a port stays free while its server is dead.
_RANGE = range(20000, 30000)
_given = set()


def is_free(port, address='127.0.0.1'):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((address, port))
        except OSError:
            return False
        return True


def connects(port, address='127.0.0.1'):
    """Whether somebody listens there."""
    with socket.socket() as s:
        return s.connect_ex((address, port)) == 0


def free_port():
    """A port that is free now and that this process has not given before."""
    while True:
        port = random.choice(_RANGE)
        if port not in _given and is_free(port):
            _given.add(port)
            return port
