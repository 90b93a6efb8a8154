# SPDX-License-Identifier: Apache-2.0
"""The real hat-event server as a process of its own, with its lmdb storage, on one port for its whole life."""

import json
import pathlib

from harness.paths import VENV_BIN
from harness.ports import free_port
from harness.process import Process
from harness.waiting import DEADLINE, wait_until


def lmdb_backend(db_path, flush_period):
    return {'module': 'hat.event.backends.lmdb',
            'db_path': str(db_path),
            'identifier': None,
            'flush_period': flush_period,
            'cleanup_period': 3600,
            'conditions': [],
            'latest': {'subscriptions': [['*']]},
            'timeseries': [{'order_by': 'TIMESTAMP', 'subscriptions': [['*']]},
                           {'order_by': 'SOURCE_TIMESTAMP', 'subscriptions': [['*']]}]}


def server_conf(port, db_path, server_id=1, flush_period=0.05, memory=False):
    """Everything is kept: the last event of each type, and all events by time and by source time. memory: in no file."""
    return {'type': 'event',
            'log': {'version': 1,
                    'disable_existing_loggers': False,
                    'formatters': {'plain': {'format': '%(asctime)s %(levelname)s %(name)s %(message)s'}},
                    'handlers': {'stderr': {'class': 'logging.StreamHandler', 'formatter': 'plain'}},
                    'root': {'level': 'WARNING', 'handlers': ['stderr']}},
            'name': 'event',
            'server_id': server_id,
            'backend': {'module': 'hat.event.backends.memory'} if memory else lmdb_backend(db_path, flush_period),
            'modules': [],
            'eventer_server': {'host': '127.0.0.1', 'port': port}}


class EventServer:
    """start(), kill() and start() again: port and storage stay. options: of server_conf()."""

    prefix = ()             # of its command

    def __init__(self, directory, port=None, **options):
        self.directory = pathlib.Path(directory)
        self.port = port or free_port()
        self.process = None
        self.directory.mkdir(parents=True, exist_ok=True)
        self._conf = self.directory / 'event.json'
        self._conf.write_text(json.dumps(server_conf(self.port, self.directory / 'event.db', **options)))

    def main(self):
        """The keys of a gateway's configuration that lead here."""
        return {'port': self.port}

    def start(self, wait=True):
        if self.process:
            self.process.close()
        self.process = Process([*self.prefix, VENV_BIN / 'hat-event-server', '--conf', self._conf],
                               log=self.directory / 'event.log')
        if wait:
            self.wait_operational()

    def wait_operational(self, timeout=DEADLINE):
        from harness.eventer import is_operational

        def check():
            assert self.process.running, f'hat-event-server ended:\n{self.process.log_tail()}'
            return is_operational(self.port)

        wait_until(check, lambda: f'hat-event-server is operational:\n{self.process.log_tail()}', timeout, 0.02)

    def kill(self):
        self.process.kill()

    def close(self):
        if self.process:
            self.process.close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.close()
