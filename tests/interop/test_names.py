# SPDX-License-Identifier: Apache-2.0
"""Host names that no name server answers for: only who asks for them waits."""

import socket
import threading

import pytest

from harness.bus import is_root
from harness.config import NATIVE, data, master, remote
from harness.waiting import wait_until

NAME_SERVER = '127.77.53.1'
N = 40                  # more than are looked up at a time


class SilentNameServer:
    """Hears what is asked, and says nothing. `prefix` stands before the command that is to ask it, for many minutes a name."""

    def __init__(self, directory):
        self.asked = set()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((NAME_SERVER, 53))
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        path = directory / 'resolv.conf'
        path.write_text(f'nameserver {NAME_SERVER}\noptions timeout:30 attempts:5\n')
        self.prefix = ['unshare', '--mount', 'sh', '-c', f'mount --bind {path} /etc/resolv.conf && exec "$@"', 'sh']

    def _read(self):
        while query := self._socket.recv(4096):         # empty: close()
            self.asked.add(query[13:13 + query[12]].decode())       # behind the header: the name's first part

    def close(self):
        self._socket.sendto(b'', self._socket.getsockname())
        self._thread.join()
        self._socket.close()


@pytest.fixture
def silent_name_server(tmp_path):
    if not is_root():
        pytest.skip('only root can give a process its own /etc/resolv.conf')
    server = SilentNameServer(tmp_path)
    yield server
    server.close()


def test_event_server_beside_hanging_devices(event_server, eventer, bus, bus_client, gatewayd, silent_name_server):
    """The event server's name is in /etc/hosts: it is connected again at once, however many devices hang."""
    names = [f'plc-{i}' for i in range(N)]
    for name in names:
        eventer.register_persisted(f'{NATIVE.prefix(f"modbus_master/{name}")}/system/enable', True)
    devices = [master(name, 502, [remote(1, [data('x')])], transport={'type': 'TCP', 'host': f'{name}.test', 'port': 502})
               for name in names]
    gatewayd(NATIVE.config(devices,
                           event_server={'eventer_server': {'host': 'localhost', 'port': event_server.port}}),
             prefix=silent_name_server.prefix)
    wait_until(lambda: bus_client.manager('DevicesRunning') == N, 'all run')
    wait_until(lambda: len(silent_name_server.asked) >= 4, lambda: f'names are asked for: {silent_name_server.asked}')

    event_server.kill()
    wait_until(lambda: bus_client.manager('DevicesRunning') == 0, 'the event server is missed')
    event_server.start()
    wait_until(lambda: bus_client.manager('EventServerState') == 'operational', 'connected again')
    wait_until(lambda: bus_client.manager('DevicesRunning') == N, 'all run again')
