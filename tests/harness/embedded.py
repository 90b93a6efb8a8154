# SPDX-License-Identifier: Apache-2.0
"""gatewayd's embedded event server behind the interface of harness.event_server.EventServer: a daemon without devices, with
one port, one database and one unix socket for its whole life."""

import pathlib
import shutil
import tempfile

from harness.config import NATIVE
from harness.gateway import Gateway
from harness.ports import free_port
from harness.waiting import DEADLINE, wait_until


def embedded_config(port, **options):
    """The `event_server` of a configuration that keeps events itself. options: further keys of `embedded`."""
    return {'embedded': {'path': 'events.db', 'server_id': 1, 'listen': ['unix:eventer.sock', f'tcp:127.0.0.1:{port}'],
                         **options}}


class EmbeddedServer:
    """start(), kill() and start() again: port, unix socket and database stay. A daemon that complains of anything but being
    killed fails close()."""

    def __init__(self, directory, port=None, options=None, state=None, log_level='info', prefix=(), bus_address='none',
                 devices=()):
        self.directory = pathlib.Path(directory)
        self.port = port or free_port()
        self.state = pathlib.Path(state) if state else self.directory / 'state'
        for folder in (self.directory, self.state):
            folder.mkdir(parents=True, exist_ok=True)
        self._runtime = pathlib.Path(tempfile.mkdtemp(prefix='gatewayd-run-'))     # short: it holds a socket
        self._runtime.chmod(0o755)
        self._options = options or {}
        self._devices = list(devices)
        self._gateway_options = {'log_level': log_level, 'prefix': prefix}
        self._bus_address = bus_address
        self.gateway = None

    @property
    def unix(self):
        return self._runtime / 'eventer.sock'

    @property
    def database(self):
        return self.state / 'events.db'

    @property
    def process(self):
        return self.gateway.process

    def main(self):
        """The keys of a gateway's configuration that lead here."""
        return {'port': self.port}

    def start(self, wait=True):
        self._end()
        config = NATIVE.config(self._devices, name='store', event_server=embedded_config(self.port, **self._options))
        self.gateway = Gateway(config, self.directory, self._bus_address, wait=False,
                               env={'STATE_DIRECTORY': str(self.state), 'RUNTIME_DIRECTORY': str(self._runtime)},
                               **self._gateway_options)
        if wait:
            self.wait_operational()

    def wait_operational(self, timeout=DEADLINE):
        from harness.eventer import is_operational

        self.gateway.wait_ready(timeout)
        wait_until(lambda: is_operational(self.port), 'the embedded event server is operational', timeout)

    def stop(self, timeout=DEADLINE):
        self.gateway.stop(timeout)

    def kill(self):
        self.gateway.kill()

    def _end(self):
        gateway, self.gateway = self.gateway, None
        if gateway:
            gateway.close()

    def close(self):
        try:
            self._end()
        finally:
            shutil.rmtree(self._runtime, ignore_errors=True)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.close()


class OwnServer:
    """The event server that the gateway under test keeps itself: there from when that is started."""

    def __init__(self):
        self.port = free_port()

    def main(self):
        return {'event_server': embedded_config(self.port)}
