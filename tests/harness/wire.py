# SPDX-License-Identifier: Apache-2.0
"""SBS and chatter by hand (spec wire.md 1 and 2), for what no proper client sends; and a connection that sends it."""

import pathlib
import socket
import time
import typing

from harness.waiting import DEADLINE, DeadlineError


# ---- SBS


def integer(value):
    groups = []
    while True:
        groups.append(value & 0x7F)
        value >>= 7
        if (value == 0 and not groups[-1] & 0x40) or (value == -1 and groups[-1] & 0x40):
            break
    groups[0] |= 0x80
    return bytes(reversed(groups))


def boolean(value):
    return b'\x01' if value else b'\x00'


def string(text):
    """A String or Bytes."""
    data = text.encode() if isinstance(text, str) else bytes(text)
    return integer(len(data)) + data


def array(items):
    """items: encoded already."""
    items = list(items)
    return integer(len(items)) + b''.join(items)


def choice(index, body=b''):
    return integer(index) + body


def optional(body=None):
    return choice(0) if body is None else choice(1, body)


def event_type(text):
    """'a/b' as EventType."""
    return array(string(i) for i in (text.split('/') if isinstance(text, str) else text))


def timestamp(s, us=0):
    return integer(s) + integer(us)


def json_payload(text):
    return optional(choice(1, string(text)))


def binary_payload(name, data):
    return optional(choice(0, string(name) + string(data)))


def register_event(kind, payload=b'\x80', source=None):
    return event_type(kind) + optional(source) + payload


# ---- chatter


def frame(message):
    size = len(message)
    length = max(1, (size.bit_length() + 7) // 8)
    return bytes([length]) + size.to_bytes(length, 'big') + message


def message(number, kind, body=b'', first=None, owner=True, token=True, last=True):
    """A chatter message without its frame."""
    return (integer(number) + integer(number if first is None else first) + boolean(owner) + boolean(token) +
            boolean(last) + string(kind) + string(body))


def init_body(name='raw', token=None, subscriptions=(), server_id=None, persisted=False):
    return (string(name) + optional(None if token is None else string(token)) +
            array(event_type(i) for i in subscriptions) +
            optional(None if server_id is None else integer(server_id)) + boolean(persisted))


class Reader:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, size):
        part = self.data[self.at:self.at + size]
        assert len(part) == size, 'message too short'
        self.at += size
        return part

    def integer(self):
        value = -1 if self.data[self.at] & 0x40 else 0
        while True:
            byte = self.take(1)[0]
            value = value * 128 + (byte & 0x7F)
            if byte & 0x80:
                return value

    def boolean(self):
        return self.take(1) != b'\x00'

    def string(self):
        return self.take(self.integer())


class Event(typing.NamedTuple):
    """As it is on the wire; payload: JSON text or bytes."""

    id: tuple
    type: tuple
    timestamp: tuple
    source: tuple | None
    payload: str | bytes | None


def _read_type(r):
    return tuple(r.string().decode() for _ in range(r.integer()))


def _read_source_and_payload(r):
    source = (r.integer(), r.integer()) if r.integer() else None
    payload = None
    if r.integer():
        if r.integer():
            payload = r.string().decode()
        else:
            r.string()
            payload = r.string()
    return source, payload


def _read_event(r):
    event_id = (r.integer(), r.integer(), r.integer())
    kind = _read_type(r)
    stamp = (r.integer(), r.integer())
    return Event(event_id, kind, stamp, *_read_source_and_payload(r))


def _read_register_event(r):
    kind = _read_type(r)
    return Event(None, kind, None, *_read_source_and_payload(r))


def read_events(r):
    """Array(Event) from a Reader."""
    return [_read_event(r) for _ in range(r.integer())]


def read_register_events(r):
    """Array(RegisterEvent) from a Reader: events without id and timestamp."""
    return [_read_register_event(r) for _ in range(r.integer())]


def registered(body):
    """The events of a MsgRegisterRes; None: failure."""
    r = Reader(body)
    return read_events(r) if r.integer() == 0 else None


class Message:
    """A received chatter message."""

    def __init__(self, data):
        r = Reader(data)
        self.id, self.first = r.integer(), r.integer()
        self.owner, self.token, self.last = r.boolean(), r.boolean(), r.boolean()
        self.type, self.body = r.string().decode(), r.string()

    def __repr__(self):
        return f'{self.type}(id={self.id}, first={self.first}, owner={self.owner}, {len(self.body)} bytes)'


def connect(address, timeout=DEADLINE, receive_buffer=None):
    """A socket. address: a port of the loopback address, or the path of a unix socket."""
    unix = isinstance(address, (str, pathlib.Path))
    s = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
    s.settimeout(timeout)
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    if not unix:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.connect(str(address) if unix else ('127.0.0.1', address))
    return s


class RawConnection:
    """Blocking; sends any bytes, and counts the ids of the messages that it makes itself."""

    def __init__(self, address, receive_buffer=None):
        self.socket = connect(address, receive_buffer=receive_buffer)
        self._in = bytearray()
        self.last_id = 0

    def send(self, data):
        self.socket.sendall(data)

    def send_message(self, kind, body=b'', last=True):
        """Begins a conversation and returns its number."""
        self.last_id += 1
        self.send(frame(message(self.last_id, kind, body, last=last)))
        return self.last_id

    def init(self, **options):
        """Shakes hands and returns the response."""
        self.send_message('HatEventer.MsgInitReq', init_body(**options), last=False)
        return self.receive()

    def register(self, events, response=True):
        return self.send_message('HatEventer.MsgRegisterReq', array(events), last=not response)

    def _take_frame(self):
        if not self._in or len(self._in) < 1 + self._in[0]:
            return None
        begin = 1 + self._in[0]
        end = begin + int.from_bytes(self._in[1:begin], 'big')
        if len(self._in) < end:
            return None
        data = bytes(self._in[begin:end])
        del self._in[:end]
        return data

    def received(self):
        """The next message but pings and pongs of what was read, or None."""
        while (data := self._take_frame()) is not None:
            m = Message(data)
            if not m.type.startswith('HatChatter.P'):
                return m
        return None

    def read(self):
        """Reads what there is, waiting for the first byte. False: the server has closed."""
        try:
            part = self.socket.recv(1 << 20)
        except ConnectionError:
            return False
        self._in += part
        return bool(part)

    def receive(self, timeout=DEADLINE):
        """The next message but pings and pongs; None when the server closes."""
        end = time.monotonic() + timeout
        while True:
            m = self.received()
            if m:
                return m
            left = end - time.monotonic()
            if left <= 0:
                raise DeadlineError(f'no message in {timeout:g} s')
            self.socket.settimeout(left)
            try:
                if not self.read():
                    return None
            except TimeoutError:
                continue

    def answer(self, conversation, timeout=DEADLINE):
        """The message of that conversation; None when the server closes. Others are dropped."""
        while True:
            m = self.receive(timeout)
            if m is None or (m.first == conversation and not m.owner):
                return m

    def wait_closed(self, timeout=DEADLINE):
        """Reads until the server closes; returns the messages that came before."""
        messages = []
        while (m := self.receive(timeout)) is not None:
            messages.append(m)
        return messages

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
