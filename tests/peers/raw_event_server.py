# SPDX-License-Identifier: Apache-2.0
"""An event server by hand, for what Hat's own never does: payloads that are no JSON, a silence, an end in the middle."""

import contextlib
import socket
import threading

from harness import wire


def event(kind, payload=None, number=1, timestamp=(1000, 0), source=None):
    """An Event encoded. payload: what wire.json_payload() and the like made."""
    return (wire.integer(1) + wire.integer(number) + wire.integer(1) + wire.event_type(kind) + wire.timestamp(*timestamp) +
            wire.optional(None if source is None else wire.timestamp(*source)) + (payload or wire.optional()))


class RawEventServer:
    """Accepts everybody. answers: what each query gets, in turn: a list of encoded events, bytes that are sent as they are,
    None for silence, 'close' for the end of the connection. `behaviour` replaces all of it: 'silent' never says a word,
    'garbage' sends bytes that are no message, 'close' closes at once. `notified`: encoded events sent after the
    handshake. `registered`: the bodies of what was registered."""

    def __init__(self, answers=(), behaviour=None, notified=()):
        self._answers = list(answers)
        self._behaviour = behaviour
        self._notified = list(notified)
        self._listener = socket.create_server(('127.0.0.1', 0))
        self.port = self._listener.getsockname()[1]
        self._connections = []
        self._number = 0
        self.registered = []
        self.failure = None
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:             # our own close()
                return
            self._connections.append(connection)
            try:
                self._serve(connection)
            except OSError:
                pass
            except Exception as e:      # a mistake of the client: the test asks for it
                self.failure = e

    def _receive(self, connection, buffer):
        """The next message but pings, which are answered; None at the end."""
        while True:
            if buffer and len(buffer) >= 1 + buffer[0]:
                begin = 1 + buffer[0]
                end = begin + int.from_bytes(buffer[1:begin], 'big')
                if len(buffer) >= end:
                    message = wire.Message(bytes(buffer[begin:end]))
                    del buffer[:end]
                    if message.type.startswith('HatEventer.'):
                        return message
                    if message.type == 'HatChatter.Ping':
                        self._reply(connection, message, 'HatChatter.Pong')
                    continue
            part = connection.recv(65536)
            if not part:
                return None
            buffer += part

    def _serve(self, connection):
        if self._behaviour == 'close':
            connection.close()
        elif self._behaviour == 'garbage':
            connection.sendall(b'HTTP/1.1 400 Bad Request\r\n\r\n' * 10)
        if self._behaviour:
            return
        buffer = bytearray()
        while (message := self._receive(connection, buffer)) is not None:
            if message.type.endswith('InitReq'):
                self._reply(connection, message, 'HatEventer.MsgInitRes', wire.choice(0, wire.choice(2)))
                if self._notified:
                    self._send(connection, 'HatEventer.MsgEventsNotify', wire.array(self._notified))
            elif message.type.endswith('RegisterReq'):
                self.registered.append(message.body)
            elif message.type.endswith('QueryReq'):
                answer = self._answers.pop(0) if self._answers else []
                if answer == 'close':
                    connection.shutdown(socket.SHUT_RDWR)
                    connection.close()
                    return
                if isinstance(answer, bytes):
                    connection.sendall(answer)
                elif answer is not None:
                    more = wire.boolean(bool(self._answers))
                    self._reply(connection, message, 'HatEventer.MsgQueryRes', wire.array(answer) + more)

    def _send(self, connection, kind, body, **options):
        self._number += 1
        connection.sendall(wire.frame(wire.message(self._number, kind, body, **options)))

    def _reply(self, connection, message, kind, body=b''):
        self._send(connection, kind, body, first=message.first, owner=not message.owner)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._thread.join()
        assert self.failure is None, self.failure

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
