# SPDX-License-Identifier: Apache-2.0
"""Modbus clients that talk to modbus_slave: raw frames over TCP or on a line, and libmodbus behind modbus-client."""

import os
import re
import select
import socket
import struct
import subprocess
import threading
import time

from harness.paths import PEERS
from harness.process import Process
from harness.waiting import DEADLINE, wait_until

from modbus_frames import ascii_frame, ascii_parse, pack_bits, pack_registers, rtu_frame, tcp_frame


class RawClient:
    """A TCP connection on which frames are sent and received as they are. `framing`: tcp, rtu or ascii."""

    def __init__(self, port, framing='tcp', source=('127.0.0.1', 0)):
        self.framing = framing
        self._transaction = 0
        self.frames = []                # requests and answers of request(): (from the master?, bytes)
        self.socket = socket.create_connection(('127.0.0.1', port), DEADLINE, source_address=source)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def local(self):
        host, port = self.socket.getsockname()
        return {'host': host, 'port': port}

    def frame(self, unit, pdu):
        self._transaction += 1
        return self._build(unit, pdu)

    def _build(self, unit, pdu):
        if self.framing == 'rtu':
            return rtu_frame(unit, pdu)
        if self.framing == 'ascii':
            return ascii_frame(unit, pdu)
        return tcp_frame(self._transaction, unit, pdu)

    def send(self, data):
        self.socket.sendall(data)

    def dribble(self, data, delay=0.01):
        """Sends in single bytes."""
        for i, byte in enumerate(data):
            time.sleep(delay if i else 0)
            self.send(bytes([byte]))

    def receive(self, timeout=DEADLINE):
        """One whole response: (unit, pdu). EOFError when the peer closed."""
        self._set_timeout(timeout)
        return getattr(self, f'_receive_{self.framing}')()

    def _set_timeout(self, timeout):
        self.socket.settimeout(timeout)

    def _receive_tcp(self):
        transaction, protocol, length, unit = struct.unpack('>HHHB', self._exactly(7))
        assert (transaction, protocol) == (self._transaction, 0)
        return unit, self._exactly(length - 1)

    def _receive_rtu(self):
        head = self._exactly(3)
        function = head[1]
        rest = 2 if function & 0x80 else 2 + head[2] if function in (1, 2, 3, 4) else 7 if function == 0x16 else 5
        frame = head + self._exactly(rest)
        assert frame == rtu_frame(frame[0], frame[1:-2])
        return frame[0], frame[1:-2]

    def _receive_ascii(self):
        line = b''
        while line[-1:] != b'\n':
            line += self._exactly(1)
        return ascii_parse(line)

    def _exactly(self, size):
        data = b''
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def request(self, unit, pdu, timeout=DEADLINE):
        """Sends one request and returns the response's PDU; the unit must be the same."""
        frame = self.frame(unit, pdu)
        self.frames.append((True, frame))
        self.send(frame)
        answered, response = self.receive(timeout)
        assert answered == unit
        self.frames.append((False, self._build(unit, response)))    # receive() has compared it
        return response

    def silent(self, duration=0.3):
        """Whether nothing comes for that long (and the connection stays open)."""
        self.socket.settimeout(duration)
        try:
            data = self.socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(DEADLINE)
        return False if data else None

    def wait_closed(self, timeout=DEADLINE):
        self.socket.settimeout(timeout)
        try:
            assert self.socket.recv(1) == b''
        except ConnectionResetError:
            pass

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class LineClient(RawClient):
    """The same on a pseudo-terminal of harness.line."""

    def __init__(self, pty, framing='rtu'):    # pylint: disable=super-init-not-called
        self.framing = framing
        self.pty = pty
        self._transaction = 0
        self.frames = []
        self._timeout = DEADLINE

    def send(self, data):
        os.write(self.pty.fd, data)

    def _set_timeout(self, timeout):
        self._timeout = timeout

    def _exactly(self, size):
        data = b''
        while len(data) < size:
            if not select.select([self.pty.fd], [], [], self._timeout)[0]:
                raise TimeoutError
            data += os.read(self.pty.fd, size - len(data))
        return data

    def silent(self, duration=0.3):
        return not select.select([self.pty.fd], [], [], duration)[0]

    def close(self):
        pass


def read(function, start, count):
    return struct.pack('>BHH', function, start, count)


def write_coil(start, value):
    return struct.pack('>BHH', 5, start, 0xFF00 if value else 0)


def write_register(start, value):
    return struct.pack('>BHH', 6, start, value)


def write_coils(start, bits):
    packed = pack_bits(bits)
    return struct.pack('>BHHB', 0x0F, start, len(bits), len(packed)) + packed


def write_registers(start, registers):
    return struct.pack('>BHHB', 0x10, start, len(registers), 2 * len(registers)) + pack_registers(registers)


def mask_write(start, and_mask, or_mask):
    return struct.pack('>BHHH', 0x16, start, and_mask, or_mask)


def answer_write(eventer, prefix, write):
    """Calls `write`, which waits for its answer, and says yes to the event that it becomes: (name → value of that event, result)."""
    since, results = eventer.mark(), []
    thread = threading.Thread(target=lambda: results.append(write()))
    thread.start()
    event = eventer.wait(f'{prefix}/gateway/write', since=since).payload.data
    eventer.register(f'{prefix}/system/write', {'request_id': event['request_id'], 'success': True})
    thread.join(DEADLINE)
    return {i['name']: i['value'] for i in event['data']}, results[0]


class LibmodbusClient:
    """libmodbus' client, one connection: request('1 read-registers 0 2') → 'ok 1 2' or 'error Illegal data address'.
    line: the path of a serial line (RTU), not TCP."""

    def __init__(self, port=None, line=None):
        where = ['--rtu', line] if line else ['127.0.0.1', port]
        self._process = Process([PEERS / 'modbus-client', *where], stdin=subprocess.PIPE, separate=True)
        self._answers = 0

    def request(self, line):
        """Sends one request and waits for its answer."""
        self.send(line)
        return self.answer()

    def send(self, line):
        self._process.stdin.write(line.encode() + b'\n')
        self._process.stdin.flush()

    def answer(self):
        def complete():
            lines = re.findall('^(.*)\n', self._process.text(), re.MULTILINE)
            assert len(lines) > self._answers or self._process.running, self._process.log_tail()
            return lines[self._answers] if len(lines) > self._answers else None

        answer = wait_until(complete, 'modbus-client answers', interval=0.002)
        self._answers += 1
        return answer

    def close(self):
        self._process.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
