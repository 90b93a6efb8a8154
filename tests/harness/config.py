# SPDX-License-Identifier: Apache-2.0
"""Configurations: one description of devices, written in either form and either layout."""

MODULES = {'modbus_master': 'hat.gateway.devices.modbus.master',
           'modbus_slave': 'hat.gateway.devices.modbus.slave'}


class Form:
    """How a configuration is written (native, hat) and how its event types are laid out (named, flat)."""

    def __init__(self, form, layout):
        self.form = form
        self.layout = layout

    def __repr__(self):
        return f'{self.form}-{self.layout}'

    @property
    def native(self):
        return self.form == 'native'

    def config(self, devices, port=None, name='gw', **main):
        """A whole configuration. `devices`: dicts with `type`, `name` and the type's keys."""
        config = {'name': name}
        if port is not None:
            config['event_server'] = {'eventer_server': {'host': '127.0.0.1', 'port': port}}
        if self.layout != ('named' if self.native else 'flat'):
            config['event_types'] = self.layout
        config.update(main)
        config['devices'] = [self.device(i) for i in devices]
        return config

    def device(self, device):
        if self.native:
            return as_specified(device) if device['type'] == 'modbus_master' else device
        rest = {k: v for k, v in device.items() if k != 'type'}
        return {'module': MODULES[device['type']], **rest}

    def prefix(self, device, name='gw'):
        """The event type prefix of 'type/name' as text."""
        return f'gateway/{name}/{device}' if self.layout == 'named' else f'gateway/{device}'


def as_specified(device):
    """A modbus_master in the native form, without what that form adds to the specification but where a test asks for it."""
    connection = {'write_priority': False, 'probe_budget': 1, **device['connection']}
    remotes = [{'max_gap': None, **i} for i in device['remote_devices']]
    return {'answer_always': False, 'report_errors': 'always', **device, 'connection': connection, 'remote_devices': remotes}


#: Both forms in their own layout, and each with the other's.
FORMS = [Form('native', 'named'), Form('hat', 'flat'), Form('native', 'flat'), Form('hat', 'named')]
NATIVE = FORMS[0]
HAT = FORMS[1]


def data(name, data_type='HOLDING_REGISTER', start=0, bit_offset=0, bit_count=16, interval=0.05):
    return {'name': name, 'interval': interval, 'data_type': data_type, 'start_address': start,
            'bit_offset': bit_offset, 'bit_count': bit_count}


def remote(device_id, items, timeout_poll_delay=0.2):
    return {'device_id': device_id, 'timeout_poll_delay': timeout_poll_delay, 'data': list(items)}


def master(name, port, remotes, modbus_type='TCP', **connection):
    """A modbus_master over TCP, or another transport, with short times."""
    values = {'modbus_type': modbus_type,
              'transport': {'type': 'TCP', 'host': '127.0.0.1', 'port': port},
              'connect_timeout': 2,
              'connect_delay': 0.2,
              'request_timeout': 2,
              'request_delay': 0,
              'request_retry_immediate_count': 0,
              'request_retry_delayed_count': 0,
              'request_retry_delay': 0.1}
    values.update(connection)
    return {'type': 'modbus_master', 'name': name, 'connection': values, 'remote_devices': list(remotes)}


def slave_data(name, data_type='HOLDING_REGISTER', start=0, bit_offset=0, bit_count=16, device_id=1):
    return {'name': name, 'device_id': device_id, 'data_type': data_type, 'start_address': start,
            'bit_offset': bit_offset, 'bit_count': bit_count}


def slave(name, port, items, modbus_type='TCP', **transport):
    """A modbus_slave that listens on the loopback address."""
    values = {'type': 'TCP', 'local_host': '127.0.0.1', 'local_port': port, 'remote_hosts': None,
              'max_connections': None, 'response_timeout': 1, 'keep_alive_timeout': None}
    values.update(transport)
    return {'type': 'modbus_slave', 'name': name, 'modbus_type': modbus_type,
            'transport': {k: v for k, v in values.items() if v is not ...}, 'data': list(items)}
