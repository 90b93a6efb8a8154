# SPDX-License-Identifier: Apache-2.0
"""Modbus frames built and taken apart by hand: MBAP, RTU and ASCII framing, independent of any library and of our own codec."""

import struct


def crc16(data):
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return struct.pack('<H', crc)


def tcp_frame(transaction, unit, pdu, protocol=0, length=None):
    return struct.pack('>HHHB', transaction, protocol, len(pdu) + 1 if length is None else length, unit) + pdu


def rtu_frame(unit, pdu):
    frame = bytes([unit]) + pdu
    return frame + crc16(frame)


def ascii_frame(unit, pdu):
    frame = bytes([unit]) + pdu
    return b':' + (frame + bytes([-sum(frame) & 0xFF])).hex().upper().encode() + b'\r\n'


def ascii_parse(line):
    """Unit and PDU of a line that begins with a colon and ends with CR LF."""
    assert line[:1] == b':' and line[-2:] == b'\r\n' and line == line.upper(), line
    frame = bytes.fromhex(line[1:-2].decode())
    assert line == ascii_frame(frame[0], frame[1:-1])
    return frame[0], frame[1:-1]


def rtu_request_size(buffer):
    """The whole length of the RTU request that starts in the buffer, None while that is not known."""
    if len(buffer) < 2:
        return None
    function = buffer[1]
    if function in (1, 2, 3, 4, 5, 6):
        return 8
    if function in (0x0F, 0x10):
        return 9 + buffer[6] if len(buffer) > 6 else None
    return {0x16: 10, 0x18: 6}[function]


def pack_bits(bits):
    packed = bytearray((len(bits) + 7) // 8)
    for i, bit in enumerate(bits):
        packed[i // 8] |= bool(bit) << i % 8
    return bytes(packed)


def unpack_bits(data, count):
    return [data[i // 8] >> i % 8 & 1 for i in range(count)]


def pack_registers(registers):
    return struct.pack(f'>{len(registers)}H', *registers)


def unpack_registers(data):
    return list(struct.unpack(f'>{len(data) // 2}H', data))
