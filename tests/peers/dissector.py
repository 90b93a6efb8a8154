# SPDX-License-Identifier: Apache-2.0
"""Wireshark's dissectors as a judge of Modbus frames: a capture of exported PDUs, read by tshark."""

import json
import struct
import subprocess

from modbus_frames import ascii_parse, rtu_frame

_LINKTYPE_UPPER_PDU = 252
_TAG_END, _TAG_DISSECTOR, _TAG_PORT_TYPE, _TAG_SOURCE, _TAG_DESTINATION = 0, 12, 24, 25, 26
_PORT_TYPE_TCP = 2
_MASTER, _SLAVE = 40000, 502
_DISSECTORS = {'tcp': 'mbtcp', 'rtu': 'mbrtu'}
_PREFERENCES = {'tcp': [], 'rtu': ['-o', 'mbrtu.tcp.port:502']}
_IDS = {'tcp': ('mbtcp.unit_id', 'mbtcp.trans_id'), 'rtu': ('mbrtu.unit_id', 'mbtcp.trans_id')}


def _tag(kind, data=b''):
    padded = data + bytes(-len(data) % 4)
    return struct.pack('>HH', kind, len(padded)) + padded


def _packet(framing, from_master, frame):
    source, destination = (_MASTER, _SLAVE) if from_master else (_SLAVE, _MASTER)
    return (_tag(_TAG_DISSECTOR, _DISSECTORS[framing].encode()) +
            _tag(_TAG_PORT_TYPE, struct.pack('>I', _PORT_TYPE_TCP)) +
            _tag(_TAG_SOURCE, struct.pack('>I', source)) + _tag(_TAG_DESTINATION, struct.pack('>I', destination)) +
            _tag(_TAG_END) + frame)


def _write_capture(path, framing, frames):
    with open(path, 'wb') as file:
        file.write(struct.pack('<IHHiIII', 0xA1B2C3D4, 2, 4, 0, 0, 65535, _LINKTYPE_UPPER_PDU))
        for i, (from_master, frame) in enumerate(frames):
            packet = _packet(framing, from_master, frame)
            file.write(struct.pack('<IIII', i, 0, len(packet), len(packet)) + packet)


def dissect(path, framing, frames):
    """Frames are pairs (from the master?, bytes). Returns of each what Wireshark reads: a dict of `unit`, `id`, `function`,
    `exception`, `address`, `request` (the place, from 1 on, of the request that it answers), each None where there is none, and
    `complaints` (malformed, wrong checksum …)."""
    _write_capture(path, framing, frames)
    return read_capture(path, framing)


def read_capture(path, framing):
    """As dissect(), of a capture file that somebody else wrote."""
    fields = [*_IDS[framing], 'modbus.func_code', 'modbus.exception_code', 'modbus.reference_num',
              'modbus.request_frame', '_ws.malformed', '_ws.expert.message']
    output = subprocess.run(
        ['tshark', '-r', path, '-o', 'mbrtu.crc_verification:TRUE', *_PREFERENCES[framing], '-T', 'fields', '-E', 'separator=/t', '-E',
         'occurrence=f', *(i for field in fields for i in ('-e', field))],
        check=True, capture_output=True, text=True).stdout
    return [_reading(*line.split('\t')) for line in output.splitlines()]


def judge(path, framing, frames):
    """Wireshark has no complaints, and reads what our own peers have read. It knows no ASCII: of that it is given the contents, in
    RTU."""
    if framing == 'ascii':
        framing, frames = 'rtu', [(from_master, rtu_frame(*ascii_parse(frame))) for from_master, frame in frames]
    readings = dissect(path, framing, frames)
    assert len(readings) == len(frames)
    for (from_master, frame), reading in zip(frames, readings):
        unit, pdu = (frame[6], frame[7:]) if framing == 'tcp' else (frame[0], frame[1:-2])
        assert reading['complaints'] == [], (frame.hex(), reading)
        assert reading['unit'] == unit and reading['function'] == pdu[0] & 0x7F, (frame.hex(), reading)
        assert reading['exception'] == (pdu[1] if pdu[0] & 0x80 else None), (frame.hex(), reading)
        if framing == 'tcp':
            assert reading['id'] == int.from_bytes(frame[:2], 'big')
        if from_master and pdu[0] in (1, 2, 3, 4, 5, 6, 15, 16, 22):
            assert reading['address'] == int.from_bytes(pdu[1:3], 'big'), (frame.hex(), reading)
    return readings


def judge_trace(path, framing, gatewayctl, device):
    """As judge(), of what the gateway itself has recorded: of its capture file, where there is a format for the framing. The
    functions that passed."""
    if framing == 'ascii':
        records = [json.loads(i) for i in gatewayctl('-j', 'trace', device, '--last').stdout.splitlines()]
        readings = judge(path, framing, [(i['Request'], bytes.fromhex(i['Bytes'])) for i in records if i['Kind'] == 'frame'])
    else:
        gatewayctl('trace', device, '--last', f'--pcap={path}')
        readings = read_capture(path, framing)
        assert [i for i in readings if i['complaints']] == []
    return {i['function'] for i in readings}


def _reading(unit, ident, function, exception, address, request, malformed, complaint):
    def number(text):
        return int(text, 0) if text else None

    return {'unit': number(unit), 'id': number(ident), 'function': number(function), 'exception': number(exception),
            'address': number(address), 'request': number(request), 'complaints': [i for i in (malformed, complaint) if i]}
