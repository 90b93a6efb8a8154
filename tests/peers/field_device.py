# SPDX-License-Identifier: Apache-2.0
"""A Modbus device, over TCP or at the far end of a serial line, that can be told to misbehave: refuse, reset, stay silent, dribble, talk garbage, answer late
or for somebody else. MBAP, RTU or ASCII framing; all functions of the specification, FIFO queues included."""

import asyncio
import os
import socket
import struct
import time

from harness import background
from harness.line import Pty, serial_transport
from harness.ports import free_port
from harness.waiting import wait_until

from modbus_frames import (ascii_frame, ascii_parse, pack_bits, pack_registers, rtu_frame, rtu_request_size,
                           tcp_frame, unpack_bits, unpack_registers)


class Request:
    """What came in: `unit`, `function`, `pdu` (function code included), `time` (monotonic), `raw` (the whole frame)."""

    def __init__(self, unit, pdu, transaction, raw):
        self.raw = raw
        self.unit = unit
        self.pdu = pdu
        self.function = pdu[0]
        self.transaction = transaction
        self.time = time.monotonic()

    def __repr__(self):
        return f'{self.unit}:{self.pdu.hex()}'


class LineWriter:
    """What FieldDevice needs of a StreamWriter, for a pseudo-terminal."""

    def __init__(self, fd):
        self._fd = fd

    def write(self, data):
        os.write(self._fd, data)

    def close(self):
        pass


class FieldDevice:
    """Answers every unit from the same four tables. `mode` is one of MODES and may change at any time:

    normal     answers at once
    silent     takes requests, answers nothing: all that is left of a peer that vanished without a word
    dribble    answers byte by byte, `delay` seconds apart
    garbage    answers bytes that are no frame
    late       answers after `delay` seconds
    reverse    gathers answers for `delay` seconds and sends them in one piece, the last one first
    checksum   answers with a wrong CRC or LRC
    foreign    sends answers of another unit, another function and (MBAP) another transaction before the right one
    exception  answers every request with exception `exception_code`
    short      answers reads with one register or eight coils too few
    echo       answers writes with a value that was not asked for
    noise      sends a stray byte before each answer (RTU, ASCII)
    protocol   answers with protocol id 1 (MBAP)
    hang-up    closes the connection instead of answering

    With `serial` it is on a line, which refuse() pulls and listen() plugs in again.
    """

    MODES = ('normal', 'silent', 'dribble', 'garbage', 'late', 'reverse', 'checksum', 'foreign', 'exception', 'short', 'echo', 'noise',
             'protocol', 'hang-up')

    def __init__(self, framing='tcp', port=None, mode='normal', delay=0.02, size=2000, serial=False, host='127.0.0.1'):
        assert framing in ('tcp', 'rtu', 'ascii') and mode in self.MODES
        self.framing = framing
        self.host = host
        self.pty = Pty() if serial else None
        self.port = None if serial else port or free_port()
        self.mode = mode
        self.delay = delay
        self.exception_code = 4
        self.size = size
        self.coils = [0] * size
        self.discrete = [0] * size
        self.holding = [0] * size
        self.inputs = [0] * size
        self.fifo = {}
        self.requests = []
        self.frames = []                # everything on the wire: (from the master?, bytes)
        self.n_connections = 0
        self.answer_hook = None
        self._server = None
        self._writers = set()
        self._gathered = []
        self._line = None
        self.listen()

    @property
    def transport(self):
        """How a modbus_master reaches it."""
        return serial_transport(self.pty.path, silent_interval=0) if self.pty else \
            {'type': 'TCP', 'host': '127.0.0.1', 'port': self.port}

    # ---- its life

    def listen(self):
        """Accepts connections (again)."""
        async def start_line():
            if self.pty.fd is None:
                self.pty.plug()
            reader = asyncio.StreamReader()
            asyncio.get_running_loop().add_reader(
                self.pty.fd, lambda: reader.feed_data(os.read(self.pty.fd, 4096)))
            self._line = asyncio.get_running_loop().create_task(self._serve(reader, LineWriter(self.pty.fd)))

        async def start():
            if self.pty:
                await start_line()
                return
            self._server = await asyncio.start_server(self._serve, self.host, self.port, reuse_address=True)

        background.run(start())

    def refuse(self):
        """Closes every connection in order and accepts no more."""
        self._stop(reset=False)

    def reset(self, listen=False):
        """Resets every connection (RST) and accepts no more, or goes on listening."""
        self._stop(reset=True)
        if listen:
            self.listen()

    def drop_connections(self, reset=False):
        """Ends the connections but goes on listening."""
        background.call(self._end_connections, reset)

    def close(self):
        self._stop(reset=False)
        if self.pty:
            self.pty.close()

    def _stop(self, reset):
        async def stop():
            if self._line:
                self._line.cancel()
                self._line = None
                asyncio.get_running_loop().remove_reader(self.pty.fd)
                self.pty.unplug()
            if self._server:
                self._server.close()
                self._server = None
            self._end_connections(reset)

        background.run(stop())

    def _end_connections(self, reset):
        for writer in list(self._writers):
            if reset:
                sock = writer.get_extra_info('socket')
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                writer.transport.abort()
            else:
                writer.close()

    @property
    def connected(self):
        return len(self._writers)

    # ---- what came

    def wait_requests(self, count, since=0, **options):
        """Waits until so many requests have come since that place in `requests`."""
        wait_until(lambda: len(self.requests) >= since + count, lambda: f'{count} requests: {self.requests[since:]}',
                   **options)
        return self.requests[since:]

    def writes(self, since=0):
        """The write requests, as 'ff: address=…' texts of the specification's tables."""
        return [describe_write(i.pdu) for i in self.requests[since:] if i.function in (5, 6, 0x0F, 0x10, 0x16)]

    # ---- serving

    async def _serve(self, reader, writer):
        self._writers.add(writer)
        self.n_connections += 1
        try:
            while True:
                request = await getattr(self, f'_read_{self.framing}')(reader)
                self.requests.append(request)
                self.frames.append((True, request.raw))
                await self._respond(request, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    @staticmethod
    async def _read_tcp(reader):
        head = await reader.readexactly(7)
        transaction, protocol, length, unit = struct.unpack('>HHHB', head)
        assert protocol == 0 and 2 <= length <= 254
        pdu = await reader.readexactly(length - 1)
        return Request(unit, pdu, transaction, head + pdu)

    @staticmethod
    async def _read_rtu(reader):
        buffer = b''
        while True:
            size = rtu_request_size(buffer)
            if size is not None and len(buffer) == size:
                break
            buffer += await reader.readexactly(1 if size is None else size - len(buffer))
        assert buffer == rtu_frame(buffer[0], buffer[1:-2])
        return Request(buffer[0], buffer[1:-2], None, buffer)

    @staticmethod
    async def _read_ascii(reader):
        line = await reader.readuntil(b'\n')
        return Request(*ascii_parse(line), None, line)

    def _frame(self, request, pdu, unit=None, transaction=None, protocol=0):
        unit = request.unit if unit is None else unit
        if self.framing == 'rtu':
            return rtu_frame(unit, pdu)
        if self.framing == 'ascii':
            return ascii_frame(unit, pdu)
        return tcp_frame(request.transaction if transaction is None else transaction, unit, pdu, protocol)

    def _gather(self, frame, writer):
        def send():
            for i in reversed(self._gathered):
                self.frames.append((False, i))
            writer.write(b''.join(reversed(self._gathered)))
            self._gathered = []

        if not self._gathered:
            asyncio.get_running_loop().call_later(self.delay, send)
        self._gathered.append(frame)

    async def _respond(self, request, writer):
        pdu = self.answer_hook(request) if self.answer_hook else None
        if pdu is None:
            pdu = self._answer(request)
        mode = self.mode                # after the hook, which may change it

        if mode == 'silent':
            return
        if mode == 'hang-up':
            writer.close()
            raise ConnectionError
        if mode == 'garbage':
            writer.write(b'\xde\xad\xbe\xef' * 5)
            return
        if mode == 'exception':
            pdu = bytes([request.function | 0x80, self.exception_code])
        elif mode == 'short':
            pdu = self._shorten(pdu)
        elif mode == 'echo' and request.function in (5, 6, 0x0F, 0x10, 0x16):
            pdu = pdu[:-1] + bytes([pdu[-1] ^ 1])

        frame = self._frame(request, pdu, protocol=1 if mode == 'protocol' else 0)
        if mode == 'reverse':
            self._gather(frame, writer)
            return
        if mode == 'foreign':
            frame = self._foreign(request, pdu) + frame
        elif mode == 'noise':
            frame = b'\x55' + frame
        elif mode == 'checksum':
            i = -3 if self.framing == 'ascii' else -1       # the last digit before the end of the line
            frame = frame[:i] + (b'1' if frame[i:][:1] == b'0' else b'0') + frame[i:][1:]
        elif mode == 'late':
            await asyncio.sleep(self.delay)

        self.frames.append((False, frame))
        if mode == 'dribble':
            for byte in frame:
                writer.write(bytes([byte]))
                await asyncio.sleep(self.delay)
        else:
            writer.write(frame)

    def _foreign(self, request, pdu):
        other_unit = self._frame(request, pdu, unit=request.unit ^ 0x10)
        other_function = self._frame(request, bytes([0x86 if request.function != 6 else 0x83, 2]))
        other_transaction = b'' if self.framing != 'tcp' else \
            self._frame(request, pdu, transaction=request.transaction ^ 0x8000)
        return other_unit + other_function + other_transaction

    @staticmethod
    def _shorten(pdu):
        if pdu[0] in (1, 2):
            return bytes([pdu[0], pdu[1] - 1]) + pdu[2:-1]
        if pdu[0] in (3, 4):
            return bytes([pdu[0], pdu[1] - 2]) + pdu[2:-2]
        return pdu

    def _answer(self, request):
        try:
            return self._execute(request.pdu)
        except IndexError:
            return bytes([request.function | 0x80, 2])

    def _execute(self, pdu):
        function, address, value = pdu[0], *struct.unpack('>HH', (pdu + b'\0\0')[1:5])
        if function in (1, 2):
            bits = self._slice(self.coils if function == 1 else self.discrete, address, value)
            packed = pack_bits(bits)
            return bytes([function, len(packed)]) + packed
        if function in (3, 4):
            registers = self._slice(self.holding if function == 3 else self.inputs, address, value)
            return bytes([function, 2 * len(registers)]) + pack_registers(registers)
        if function == 5:
            self._store(self.coils, address, [value == 0xFF00])
            return pdu
        if function == 6:
            self._store(self.holding, address, [value])
            return pdu
        if function == 0x0F:
            self._store(self.coils, address, unpack_bits(pdu[6:], value))
            return pdu[:5]
        if function == 0x10:
            self._store(self.holding, address, unpack_registers(pdu[6:]))
            return pdu[:5]
        if function == 0x16:
            and_mask, or_mask = struct.unpack('>HH', pdu[3:7])
            old = self._slice(self.holding, address, 1)[0]
            self._store(self.holding, address, [old & and_mask | or_mask & ~and_mask & 0xFFFF])
            return pdu
        if function == 0x18:
            queue = self.fifo.get(address, [])
            return struct.pack('>BHH', function, 2 + 2 * len(queue), len(queue)) + pack_registers(queue)
        return bytes([function | 0x80, 1])

    def _slice(self, table, address, count):
        if address + count > self.size:
            raise IndexError
        return table[address:address + count]

    def _store(self, table, address, values):
        if address + len(values) > self.size:
            raise IndexError
        table[address:address + len(values)] = [int(i) for i in values]


def describe_write(pdu):
    """A write request as in the specification's table: '06: 100=1234', '16: 100 and=00ff or=ab00', '0f: 102=1,0,1'."""
    function, address, value = pdu[0], *struct.unpack('>HH', pdu[1:5])
    if function in (5, 6):
        return f'{function:02x}: {address}={value:04x}'
    if function == 0x0F:
        return f'0f: {address}=' + ','.join(map(str, unpack_bits(pdu[6:], value)))
    if function == 0x10:
        return f'10: {address}=' + ','.join(f'{i:04x}' for i in unpack_registers(pdu[6:]))
    return f'16: {address} and={value:04x} or={pdu[5:7].hex()}'
