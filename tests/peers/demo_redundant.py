#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What ./dev run --redundant shows: a hat-monitor, two hat-event servers and two gateways of one group, which share a simulated device.
Everything runs on the loopback interface, from a temporary folder, and ends with this program. A part that ends is started again after
2 s, as the service manager does it."""

import argparse
import json
import pathlib
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness.bus import Bus
from harness.config import NATIVE, data, master, remote
from harness.eventer import Eventer
from harness.monitor import Monitor, MonitoredEventServer, wait_active
from harness.paths import CTL, DAEMON
from harness.process import Process

from field_device import FieldDevice

PLC = 'modbus_master/plc'
RESTART_DELAY = 2


def say(text):
    print(time.strftime('%H:%M:%S'), text, flush=True)


class Device(FieldDevice):
    """Counts, and knows who asked: each gateway has an address of its own for it."""

    def __init__(self):
        super().__init__(host='0.0.0.0')

    async def _respond(self, request, writer):
        request.owner = writer.get_extra_info('sockname')[0]
        self.holding[0] = (self.holding[0] + 1) % 65536
        await super()._respond(request, writer)


class Gateway:
    """One of the pair, on a bus of its own."""

    def __init__(self, folder, name, address, device, monitor):
        self.name = name
        self.address = address
        self.bus = Bus()
        self.bus.start()
        self._folder = folder
        plc = master('plc', device.port, [remote(1, [data('counter', interval=0.5)])])
        plc['connection']['transport']['host'] = address
        self._conf = folder / f'{name}.json'
        self._conf.write_text(json.dumps(NATIVE.config([plc], name='site',
                                                       event_server={'monitor_component': monitor.component(name)})))
        self.process = None

    def start(self):
        environment = {'STATE_DIRECTORY': str(self._folder), 'RUNTIME_DIRECTORY': str(self._folder)}
        self.process = Process([DAEMON, f'--config={self._conf}', f'--bus={self.bus.address}', '--log-target=stderr'],
                               log=self._folder / f'{self.name}.log', env=environment)

    def close(self):
        if self.process:
            self.process.close()
        self.bus.close()


class Demo:
    def __init__(self, folder):
        self.device = Device()
        self.monitor = Monitor(folder / 'monitor')
        self.servers = [MonitoredEventServer(folder / f'event{i}', self.monitor, i) for i in (1, 2)]
        self.gateways = [Gateway(folder, f'site-{i}', f'127.0.0.{n}', self.device, self.monitor)
                         for i, n in (('a', 1), ('b', 2))]
        self._ended = {}
        self._polled_by = None

    def parts(self):
        yield 'hat-monitor', self.monitor
        for server in self.servers:
            yield f'hat-event {server.server_id}', server
        for gateway in self.gateways:
            yield f'gatewayd {gateway.name}', gateway

    def start(self):
        for part in (self.monitor, *self.servers):
            part.start()
        with Eventer(wait_active(self.servers).port) as eventer:
            for kind in ('enable', 'remote_device/1/enable'):
                eventer.register_persisted(f'gateway/site/{PLC}/system/{kind}', True)
        for gateway in self.gateways:
            gateway.start()

    def print_help(self):
        print('\nTry in another terminal, and watch here who polls the device:\n')
        for name, part in self.parts():
            print(f'  kill -9 {part.process.pid:<8} # {name}')
        print('\nkill -STOP freezes a part instead: the monitor gives it up after 40 s.\n')
        for gateway in self.gateways:
            print(f'  DBUS_SYSTEM_BUS_ADDRESS={gateway.bus.address} {CTL} status   # {gateway.name}')
        print('\nCtrl-C ends all of it.\n', flush=True)

    def restart_ended(self):
        for name, part in self.parts():
            if part.process.running:
                continue
            if name not in self._ended:
                say(f'{name} has ended with {part.process.returncode}')
                self._ended[name] = time.monotonic()
            elif time.monotonic() >= self._ended[name] + RESTART_DELAY:
                del self._ended[name]
                part.start()
                say(f'{name} runs again, pid {part.process.pid}')

    def watch(self):
        """Says who polls, when that changes."""
        names = {i.address: i.name for i in self.gateways}
        owners = [i.owner for i in self.device.requests if hasattr(i, 'owner')]
        del self.device.requests[:len(owners)]
        for owner in owners:
            if owner != self._polled_by:
                self._polled_by = owner
                say(f'{names[owner]} polls the device')

    def close(self):
        for _, part in reversed(list(self.parts())):
            part.close()
        self.device.close()


def main():
    parser = argparse.ArgumentParser(prog='./dev run --redundant',
                                     description='Two gateways that take over from each other.')
    parser.add_argument('--for', type=int, dest='seconds', metavar='SECONDS', help='end by itself after so long')
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix='gatewayd-demo-') as folder:
        demo = Demo(pathlib.Path(folder))
        try:
            demo.start()
            demo.print_help()
            end = time.monotonic() + (arguments.seconds or float('inf'))
            while time.monotonic() < end:
                demo.watch()
                demo.restart_ended()
                time.sleep(0.05)
        except KeyboardInterrupt:
            pass
        finally:
            demo.close()
    print('\nended.')


if __name__ == '__main__':
    main()
