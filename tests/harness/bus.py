# SPDX-License-Identifier: Apache-2.0
"""A private message bus and its clients. Of type session any user may run it; of type system it has the shipped policy,
for which it must be started by root."""

import json
import os
import pathlib
import pwd
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import threading

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from harness import background
from harness.paths import POLICY
from harness.process import Process
from harness.waiting import DEADLINE, DeadlineError, wait_until

NAME = 'io.gatewayd.Gateway1'
ROOT_PATH = '/io/gatewayd/Gateway1'
MANAGER = NAME + '.Manager'
DEVICE = NAME + '.Device'
ERROR = NAME + '.Error.'

_SESSION = '''<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
'''

# The rules of the distribution's system bus that matter here: nobody owns anything, nobody calls anything.
_SYSTEM = '''<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Introspectable"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Properties"/>
  </policy>
  <include>{policy}</include>
</busconfig>
'''


def _encode(label):
    """A path element as sd_bus_path_encode() makes it."""
    if not label:
        return '_'
    return ''.join(chr(b) if chr(b).isascii() and chr(b).isalnum() and not (i == 0 and chr(b).isdigit())
                   else f'_{b:02x}' for i, b in enumerate(label.encode()))


def device_path(device):
    """The object path of 'type/name'."""
    kind, name = device.split('/', 1)
    return f'{ROOT_PATH}/device/{_encode(kind)}/{_encode(name)}'


def plain(value):
    """Variants inside a reply unpacked."""
    if isinstance(value, Variant):
        return plain(value.value)
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(i) for i in value]
    return value


class BusError(Exception):
    """An error reply: `name` and text."""

    def __init__(self, name, text):
        super().__init__(f'{name}: {text}')
        self.name = name
        self.text = text


class Bus:
    """dbus-daemon in the foreground, in a directory of its own. restart() keeps the address."""

    def __init__(self, system=False, policy=POLICY):
        self.system = system
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix='gatewayd-bus-'))
        self.directory.chmod(0o755)
        self.socket = self.directory / 'socket'
        self.address = f'unix:path={self.socket}'
        self._conf = self.directory / 'bus.conf'
        self._conf.write_text((_SYSTEM if system else _SESSION).format(socket=self.socket, policy=policy))
        self.process = None

    def start(self):
        self.socket.unlink(missing_ok=True)
        self.process = Process(['dbus-daemon', f'--config-file={self._conf}', '--nofork', '--nopidfile', '--nosyslog',
                                '--print-address=1'], log=self.directory / 'bus.log', separate=True)
        self.process.wait_line(re.compile('^unix:', re.MULTILINE))
        if self.system:
            self.socket.chmod(0o666)

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.output.unlink(missing_ok=True)
        self.socket.unlink(missing_ok=True)

    def restart(self):
        self.stop()
        self.start()

    def close(self):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def busctl(self, *arguments, user=None, group=None, check=True):
        """Runs busctl on this bus, as somebody else with this as the only group if given, and returns its completed process."""
        result = subprocess.run(['busctl', f'--address={self.address}', '--no-pager', *map(str, arguments)],
                                capture_output=True, text=True, timeout=DEADLINE, user=user, group=group,
                                extra_groups=[] if user is not None else None)
        if check:
            assert result.returncode == 0, f'busctl {arguments}: {result.stderr}'
        return result

    def busctl_json(self, *arguments):
        return json.loads(self.busctl('--json=short', *arguments).stdout)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.close()


class Signal:
    """A received signal: path, interface, member, body with variants unpacked."""

    def __init__(self, message):
        self.path = message.path
        self.interface = message.interface
        self.member = message.member
        self.body = plain(message.body)

    def __repr__(self):
        return f'{self.path} {self.interface.rsplit(".", 1)[-1]}.{self.member}{tuple(self.body)}'


class BusClient:
    """A connection as our own user; records every signal below our root path."""

    def __init__(self, bus):
        self._bus = bus
        self._changed = threading.Condition()
        self._signals = []
        self._connection = background.run(self._connect())

    async def _connect(self):
        connection = await MessageBus(bus_address=self._bus.address, bus_type=BusType.SESSION,
                                      negotiate_unix_fd=True).connect()
        connection.add_message_handler(self._on_message)
        await self._add_match(connection, f"type='signal',path_namespace='{ROOT_PATH}'")
        return connection

    @staticmethod
    async def _add_match(connection, rule):
        reply = await connection.call(Message(destination='org.freedesktop.DBus', path='/org/freedesktop/DBus',
                                              interface='org.freedesktop.DBus', member='AddMatch', signature='s',
                                              body=[rule]))
        assert reply.message_type == MessageType.METHOD_RETURN

    def _on_message(self, message):
        if message.message_type == MessageType.SIGNAL and (message.path or '').startswith(ROOT_PATH):
            with self._changed:
                self._signals.append(Signal(message))
                self._changed.notify_all()
        return None

    def call(self, path, interface, member, signature='', *arguments, destination=NAME, timeout=DEADLINE, fds=()):
        """Calls a method and returns its arguments as a list; an argument of type h is an index of fds. Error replies raise
        BusError."""
        message = Message(destination=destination, path=path, interface=interface, member=member,
                          signature=signature, body=list(arguments), unix_fds=list(fds))
        reply = background.run(self._connection.call(message), timeout)
        if reply.message_type == MessageType.ERROR:
            raise BusError(reply.error_name, reply.body[0] if reply.body else '')
        return plain(reply.body)

    def get_all(self, path, interface):
        return self.call(path, 'org.freedesktop.DBus.Properties', 'GetAll', 's', interface)[0]

    def get(self, path, interface, name):
        return self.call(path, 'org.freedesktop.DBus.Properties', 'Get', 'ss', interface, name)[0]

    def device(self, device, name=None):
        """All properties of Device of 'type/name', or one."""
        properties = self.get_all(device_path(device), DEVICE)
        return properties[name] if name else properties

    def manager(self, name=None):
        properties = self.get_all(ROOT_PATH, MANAGER)
        return properties[name] if name else properties

    def wait_operational(self):
        """Ready does not mean connected: waits until the gateway is, with an event server that takes what is registered."""
        wait_until(lambda: self.manager('EventServerState') == 'operational', 'the gateway is connected with its event server')

    def managed_objects(self):
        return self.call(ROOT_PATH, 'org.freedesktop.DBus.ObjectManager', 'GetManagedObjects')[0]

    def owner(self):
        """The unique name that owns our name, or None."""
        try:
            return self.call('/org/freedesktop/DBus', 'org.freedesktop.DBus', 'GetNameOwner', 's', NAME,
                             destination='org.freedesktop.DBus')[0]
        except BusError:
            return None

    # ---- signals

    def mark(self):
        with self._changed:
            return len(self._signals)

    def signals(self, since=0, path=None, member=None):
        with self._changed:
            return [i for i in self._signals[since:]
                    if (path is None or i.path == path) and (member is None or i.member == member)]

    def wait_signal(self, member, path=None, since=0, where=None, timeout=DEADLINE):
        def found():
            return next((i for i in self.signals(since, path, member) if where is None or where(i)), None)

        with self._changed:
            if not self._changed.wait_for(found, timeout):
                raise DeadlineError(f'not in {timeout:g} s: signal {member} of {path}; came: {self.signals(since)[-20:]}')
            return found()

    def close(self):
        if self._connection:
            background.call(self._connection.disconnect)
            self._connection = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _method_call(serial, path, interface, member, destination):
    """A call without arguments, as bytes."""
    fields = b''
    for code, kind, text in ((1, b'o', path), (2, b's', interface), (3, b's', member), (6, b's', destination)):
        fields += bytes(-len(fields) % 8) + bytes([code, 1]) + kind + b'\0' + struct.pack('<I', len(text)) + text.encode() + b'\0'
    return b'l\1\0\1' + struct.pack('<III', 0, serial, len(fields)) + fields + bytes(-len(fields) % 8)


class DeafClient:
    """A connection that calls and never reads."""

    def __init__(self, bus):
        self._serial = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(DEADLINE)
        self._socket.connect(str(bus.socket))
        self._socket.sendall(b'\0AUTH EXTERNAL ' + str(os.geteuid()).encode().hex().encode() + b'\r\n')
        assert self._socket.recv(1000).startswith(b'OK ')
        self._socket.sendall(b'BEGIN\r\n')
        self.call('/org/freedesktop/DBus', 'org.freedesktop.DBus', 'Hello', 'org.freedesktop.DBus')

    def call(self, path, interface, member, destination=NAME):
        self._serial += 1
        self._socket.sendall(_method_call(self._serial, path, interface, member, destination))

    def close(self):
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def user_id(name):
    return pwd.getpwnam(name).pw_uid


def is_root():
    return os.geteuid() == 0
