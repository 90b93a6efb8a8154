#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seed corpora of fuzz-sbs, fuzz-chatter and fuzz-eventer from the test vectors.

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


if __name__ == '__main__':
    sbs()
    chatter()
    eventer()
