#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seed corpora of fuzz-sbs, fuzz-chatter, fuzz-eventer, fuzz-observer and fuzz-peer from the test vectors.

The seeds are committed; run this again when the vectors or the input formats of the targets change.
"""

import json
import pathlib

HERE = pathlib.Path(__file__).parent
VECTORS = HERE.parent / 'data' / 'vectors'


def load(name):
    return json.loads((VECTORS / f'{name}.json').read_text())


def write(target, name, data):
    folder = HERE / 'corpus' / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def sbs():
    readers = {'Integer': 0, 'Boolean': 1, 'Float': 2, 'String': 3, 'Bytes': 4}
    data = load('sbs')
    for kind, reader in readers.items():
        values = [bytes.fromhex(x['hex']) for x in data['values'] if x['type'] == kind]
        values = values[:100]
        write('sbs', f'{kind.lower()}s', bytes([len(values), *([reader] * len(values))]) + b''.join(values))
    for i, x in enumerate(data['malformed']):
        write('sbs', f'malformed-{i:02}', bytes([1, readers.get(x['type'], 7)]) + bytes.fromhex(x['hex']))
    for i, x in enumerate(load('eventer')['messages']):
        if x['type'] == 'HatEventer.MsgEventsNotify':
            write('sbs', f'events-{i:02}', bytes([1, 7]) + bytes.fromhex(x['body_hex']))


def chatter():
    data = load('chatter')
    for i, x in enumerate(data['receiver_behaviour']):
        write('chatter', f'receiver-{i:02}', bytes([i % 4]) + bytes.fromhex(x['input_hex']))
    write('chatter', 'frames', b'\x05' + b''.join(bytes.fromhex(x['frame_hex']) for x in data['frames']))


def feed(data):
    """Server bytes as steps of the eventer's script."""
    return b''.join(bytes([0, len(data[i:i + 255])]) + data[i:i + 255] for i in range(0, len(data), 255))


def eventer():
    steps = {'HatEventer.MsgRegisterReq': b'\x09\x04', 'HatEventer.MsgQueryReq': b'\x03', 'HatChatter.Ping': bytes([6 + 20 * 8])}
    entries = [x for x in load('conversation_eventer')['entries'] if 'from' in x]
    for connection in ('eventer 1', 'eventer 2', 'eventer 3'):
        script = b''
        for x in entries:
            if x['connection'] != connection:
                continue
            script += feed(bytes.fromhex(x['hex'])) if x['from'] == 'server' else steps.get(x['type'], b'') + b'\x05'
        write('eventer', connection.replace(' ', '-'), script)

    accept = bytes.fromhex(next(x['frame_hex'] for x in load('eventer')['messages']
                                if x['name'] == 'init response, success, operational'))
    for i, x in enumerate(load('eventer')['messages']):
        if x['direction'] == 'server to client':
            init = x['type'] == 'HatEventer.MsgInitRes'
            write('eventer', f'message-{i:02}', (b'' if init else feed(accept) + b'\x07\x03\x04') +
                  feed(bytes.fromhex(x['frame_hex'])))
    write('eventer', 'time', feed(accept) + bytes([3, 6 + 11 * 8, 4, 1, 2, 6 + 21 * 8, 6 + 21 * 8]))


def observer():
    """A component that is ready from the start. The recorded tokens are answered by the component itself."""
    ready, ended, at_once = b'\x09', b'\x02', b'\x03'
    for name, connection in (('gateway', 'monitor'), ('monitor', 'monitor 1'), ('monitor', 'monitor 2'), ('monitor', 'monitor 3')):
        frames = [bytes.fromhex(x['hex']) for x in load(f'conversation_{name}')['entries']
                  if x.get('connection') == connection and x.get('from') == 'server']
        write('observer', f'{name}-{connection.replace(" ", "-")}', ready + b''.join(feed(i) + ended for i in frames))
        write('observer', f'{name}-{connection.replace(" ", "-")}-at-once', ready + at_once + feed(b''.join(frames)))
    data = load('monitor')
    for i, x in enumerate(data['messages']):
        if x['direction'] == 'server to client':
            write('observer', f'message-{i:02}', ready + feed(bytes.fromhex(x['frame_hex'])))
    for i, x in enumerate(data['malformed_bodies']):
        write('observer', f'malformed-{i:02}', feed(frame(1, x['type'], bytes.fromhex(x['hex']), True)))
    write('observer', 'time', bytes([4 + 6 * 8, 5, 4 + 6 * 8, 4 + 6 * 8]))


def integer(value):
    groups = [value & 0x7f]
    while not -64 <= value < 64:
        value >>= 7
        groups.insert(0, value & 0x7f)
    return bytes([*groups[:-1], groups[-1] | 0x80])


def frame(number, kind, body, last=False):
    """A message of a client that begins a conversation."""
    message = integer(number) * 2 + bytes([1, 1, last]) + integer(len(kind)) + kind.encode() + integer(len(body)) + body
    size = len(message).to_bytes((len(message).bit_length() + 7) // 8, 'big')
    return bytes([len(size)]) + size + message


def peer():
    entries = [x for x in load('conversation_eventer')['entries'] if 'from' in x and x['from'] == 'client']
    for i, connection in enumerate(('eventer 1', 'eventer 2', 'eventer 3')):
        stream = b''.join(bytes.fromhex(x['hex']) for x in entries if x['connection'] == connection)
        write('peer', connection.replace(' ', '-'), bytes([7, i]) + stream)
        write('peer', connection.replace(' ', '-late-'), bytes([33, 12]) + stream)

    inits = [x for x in load('rules')['subscription'] if x['subscriptions']]
    for i, x in enumerate(inits):
        types = [b''.join([integer(len(t))] + [integer(len(s.encode())) + s.encode() for s in t])
                 for t in x['subscriptions']]
        events = [b''.join([integer(len(t))] + [integer(len(s.encode())) + s.encode() for s in t]) + b'\x80\x80'
                  for t in x['matching'] + x['not_matching']]
        write('peer', f'rules-{i:02}', b'\x00\x00' +
              frame(1, 'HatEventer.MsgInitReq', b'\x81c\x80' + integer(len(types)) + b''.join(types) + b'\x80\x00') +
              frame(2, 'HatEventer.MsgRegisterReq', integer(len(events)) + b''.join(events)))

    hello = frame(1, 'HatEventer.MsgInitReq', bytes.fromhex('816380808000'))
    data = load('eventer')
    for i, x in enumerate(data['messages']):
        if x['direction'] == 'client to server':
            init = x['type'] == 'HatEventer.MsgInitReq'
            write('peer', f'message-{i:02}', bytes([i, i % 16]) + (b'' if init else hello) + bytes.fromhex(x['frame_hex']))
    for i, x in enumerate(data['malformed_bodies']):
        init = x['type'] == 'HatEventer.MsgInitReq'
        write('peer', f'malformed-{i:02}',
              bytes([3, 0]) + (b'' if init else hello) + frame(2, x['type'], bytes.fromhex(x['hex'])))


if __name__ == '__main__':
    sbs()
    chatter()
    eventer()
    observer()
    peer()
