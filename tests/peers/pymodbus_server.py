# SPDX-License-Identifier: Apache-2.0
"""pymodbus' server as a peer: another implementation than libmodbus, with MBAP, RTU or ASCII framing, over
TCP or on a serial line."""

from pymodbus import FramerType, ModbusDeviceIdentification
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from harness import background
from harness.ports import free_port

_FRAMERS = {'tcp': FramerType.SOCKET, 'rtu': FramerType.RTU, 'ascii': FramerType.ASCII}
_FUNCTIONS = {'coils': 1, 'discrete': 2, 'holding': 3, 'inputs': 4}


class PymodbusServer:
    """One device for every unit id, with `size` coils, discrete inputs, holding and input registers, given their first
    values by keyword: holding=[1, 2, 3]. line: the path of a serial line, not TCP. identity: what the device says it is, by the names
    of pymodbus."""

    def __init__(self, framing='tcp', port=None, unit=1, size=200, line=None, identity=None, **tables):
        self.port = None if line else port or free_port()
        self.line = line
        self.unit = unit
        self._identity = ModbusDeviceIdentification(info_name=identity) if identity else None
        blocks = tuple([SimData(0, values=self._fill(tables.get(name, []), size, bits),
                                datatype=DataType.BITS if bits else DataType.REGISTERS)]
                       for name, bits in (('coils', True), ('discrete', True), ('holding', False), ('inputs', False)))
        background.run(self._start(SimDevice(unit, simdata=blocks), _FRAMERS[framing]))

    @staticmethod
    def _fill(values, size, bits):
        filled = list(values) + [0] * (size - len(values))
        return [bool(i) for i in filled] if bits else filled

    async def _start(self, device, framer):
        if self.line:
            self._server = ModbusSerialServer(device, framer=framer, port=str(self.line), baudrate=115200,
                                              identity=self._identity)
        else:
            self._server = ModbusTcpServer(device, framer=framer, address=('127.0.0.1', self.port), identity=self._identity)
        await self._server.serve_forever(background=True)

    def get(self, table, address, count=1):
        return background.run(self._server.async_getValues(self.unit, _FUNCTIONS[table], address, count))[:count]

    def set(self, table, address, values):
        background.run(self._server.async_setValues(self.unit, _FUNCTIONS[table], address, list(values)))

    def close(self):
        background.run(self._server.shutdown())
