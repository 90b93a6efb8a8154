#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What ./dev run shows: the gateway at work between a real Hat event server and a simulated device, on a bus of its own.

Everything runs in the foreground, on the loopback interface, from a temporary folder, as the calling user; Ctrl-C (or
--for SECONDS) ends all of it in order."""

import argparse
import json
import pathlib
import re
import shutil
import signal
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1])]

from hat.event import common

from harness.bus import Bus, NAME, device_path
from harness.eventer import Eventer, payload
from harness.event_server import EventServer
from harness.gateway import Ctl, Gateway
from harness.paths import CTL, PEERS, ROOT, VENV_BIN
from harness.ports import free_port, is_free
from harness.process import Process
from harness.waiting import DeadlineError

EXAMPLE = ROOT / 'docs/examples/demo.yaml'
DEVICE = 'modbus_master/plc'
PREFIX = f'gateway/demo/{DEVICE}'
EVENT_SERVER_PORT = 23012
MODBUS_PORT = 1502
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """Ctrl-C, SIGTERM or the end of --for."""


def interrupt(_number, _frame):
    ignore_signals()
    raise Interrupted


def ignore_signals():
    """A second Ctrl-C must not disturb the clean end."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def choose_port(usual):
    """The port of the example, so that its commands can be learned; another if somebody has it."""
    return usual if is_free(usual) else free_port()


def configuration(event_server_port, modbus_port):
    """docs/examples/demo.yaml, with other ports where the usual ones are taken."""
    text = EXAMPLE.read_text()
    for usual, port in ((EVENT_SERVER_PORT, event_server_port), (MODBUS_PORT, modbus_port)):
        assert len(re.findall(rf'\b{usual}\b', text)) == 1, f'{EXAMPLE}: port {usual} must be named exactly once'
        text = re.sub(rf'\b{usual}\b', str(port), text)
    return text


def print_commands(bus, event_server_port):
    ctl = f'{CTL} --address={bus.address}'
    busctl = f'busctl --address={bus.address}'
    path = device_path(DEVICE)
    register = f'{VENV_BIN}/hat-event-manager --port {event_server_port} register --payload-type json'
    write = json.dumps({'request_id': 'demo-1', 'value': 1234})
    print(f'''
Try in another terminal, while this runs:

  {ctl} list
  {ctl} status {DEVICE}
  {ctl} monitor
  {ctl} disable {DEVICE}
  {ctl} enable {DEVICE}
  {busctl} tree {NAME}
  {busctl} get-property {NAME} {path} {NAME}.Device State
  {busctl} call {NAME} {path} {NAME}.Device Restart
  echo '{write}' | {register} {PREFIX}/system/remote_device/1/write/setpoint

Events as they come (Ctrl-C ends everything):
''', flush=True)


def print_event(event):
    moment = time.strftime('%H:%M:%S', time.localtime(event.timestamp.s)) + f'.{event.timestamp.us // 1000:03d}'
    if isinstance(event.payload, common.EventPayloadJson):
        text = json.dumps(payload(event))
    else:
        text = '' if event.payload is None else f'<{len(event.payload.data)} bytes of {event.payload.type}>'
    print(f'{moment}  {"/".join(event.type)}  {text}', flush=True)


class Demo:
    """The five processes, started and ended in order."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix='gatewayd-demo-'))
        self._parts = []                # what to close, in order of creation

    def keep(self, part):
        self._parts.append(part)
        return part

    def start(self):
        bus = self.keep(Bus())
        bus.start()
        event_server = self.keep(EventServer(self.directory / 'event', choose_port(EVENT_SERVER_PORT)))
        event_server.start()
        modbus_port = choose_port(MODBUS_PORT)
        device = self.keep(Process([PEERS / 'modbus-device', f'--port={modbus_port}', '--move=1000', '--verbose'],
                                   log=self.directory / 'modbus-device.log'))
        device.wait_line(re.compile('^listening on ', re.MULTILINE))
        gateway = self.keep(Gateway(configuration(event_server.port, modbus_port), self.directory, bus.address,
                                    log_level='info', wait=False))
        gateway.wait_ready()
        self.processes = {'dbus-daemon': bus.process, 'hat-event-server': event_server.process,
                          'modbus-device': device, 'gatewayd': gateway.process}
        self.bus = bus
        self.eventer = self.keep(Eventer(event_server.port, 'demo/observer'))
        self.event_server_port, self.modbus_port = event_server.port, modbus_port

    def enable(self):
        """Enables the device by D-Bus and its remote device by an event."""
        ctl = Ctl(self.bus.address)
        ctl('enable', DEVICE, '--wait', '--timeout=10')
        self.eventer.register(f'{PREFIX}/system/remote_device/1/enable', True)
        self.eventer.wait(f'{PREFIX}/gateway/remote_device/1/status', 'CONNECTED')
        print(f'gatewayd runs between a Hat event server (tcp:127.0.0.1:{self.event_server_port}) and a simulated Modbus '
              f'device (tcp:127.0.0.1:{self.modbus_port}).\n')
        print(ctl('list').stdout, end='', flush=True)

    def follow(self, end):
        """Prints events until the time is over; a process that ends by itself is an error."""
        shown = 0
        while end is None or time.monotonic() < end:
            for event in self.eventer.events(since=shown):
                shown += 1
                if event.type[0] == 'gateway':
                    print_event(event)
            for name, process in self.processes.items():
                if not process.running:
                    raise DeadlineError(f'{name} ended by itself with {process.returncode}:\n{process.log_tail(20)}')
            time.sleep(0.05)

    def close(self):
        failure = None
        for part in reversed(self._parts):
            try:
                part.close()
            except (AssertionError, OSError) as e:
                failure = failure or e
        shutil.rmtree(self.directory, ignore_errors=True)
        if failure:
            raise failure


def parse_arguments():
    parser = argparse.ArgumentParser(prog='./dev run', description='Shows gatewayd at work.')
    parser.add_argument('--for', dest='seconds', type=float, metavar='SECONDS', help='end by itself after this time')
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    end = None if arguments.seconds is None else time.monotonic() + arguments.seconds
    status = 0
    for number in SIGNALS:
        signal.signal(number, interrupt)

    demo = Demo()
    try:
        demo.start()
        demo.enable()
        print_commands(demo.bus, demo.event_server_port)
        demo.follow(end)
    except (Interrupted, BrokenPipeError):
        pass
    except (AssertionError, OSError) as e:
        print(f'demo: {e}', file=sys.stderr)
        status = 1

    ignore_signals()
    try:
        demo.close()
    except (AssertionError, OSError) as e:
        print(f'demo: while ending: {e}', file=sys.stderr)
        status = 1

    try:
        print('\nended.', flush=True)
    except BrokenPipeError:
        sys.stdout = None
    return status


if __name__ == '__main__':
    sys.exit(main())
