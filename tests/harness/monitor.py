# SPDX-License-Identifier: Apache-2.0
"""The real hat-monitor server, and hat-event servers that take part in it."""

import contextlib
import json
import pathlib

from hat import juggler
from hat.drivers import chatter, net
from hat.monitor.observer import client, common

from harness import background
from harness.event_server import EventServer
from harness.eventer import is_operational
from harness.network import HERE
from harness.paths import VENV_BIN
from harness.ports import free_port
from harness.process import Process
from harness.waiting import DEADLINE, wait_until

GATEWAY_GROUP = 'gateway'
EVENT_GROUP = 'event'


class Monitor:
    """hat-monitor on one port for its whole life; with `parents` (other monitors) the slave of the first that is there. It takes rank
    `rank` for each component that it has not seen before."""

    def __init__(self, directory, name='monitor', place=HERE, parents=(), rank=1):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.place = place
        self.port = free_port()
        self.master_port = free_port()
        self.ui_port = free_port()
        self.process = None
        self._log = self.directory / f'{name}.log'
        self._conf = self.directory / f'{name}.json'
        self._conf.write_text(json.dumps({
            'type': 'monitor',
            'log': {'version': 1,
                    'disable_existing_loggers': False,
                    'formatters': {'plain': {'format': '%(asctime)s %(levelname)s %(name)s %(message)s'}},
                    'handlers': {'stderr': {'class': 'logging.StreamHandler', 'formatter': 'plain'}},
                    'root': {'level': 'WARNING', 'handlers': ['stderr']}},
            'default_algorithm': 'BLESS_ONE',
            'group_algorithms': {},
            'server': {'host': place.host, 'port': self.port, 'default_rank': rank},
            'master': {'host': '127.0.0.1', 'port': self.master_port},
            'ui': {'host': '127.0.0.1', 'port': self.ui_port},
            'slave': {'parents': [{'host': '127.0.0.1', 'port': i.master_port} for i in parents],
                      'connect_timeout': 1, 'connect_retry_count': 2, 'connect_retry_delay': 0.2}}))

    def component(self, name):
        """monitor_component of a gateway's configuration, in our own form."""
        return {'host': self.place.host, 'port': self.port, 'gateway_group': GATEWAY_GROUP, 'event_server_group': EVENT_GROUP,
                'component_name': name}

    def start(self):
        if self.process:
            self.process.close()
        self.process = Process([*self.place.prefix, VENV_BIN / 'hat-monitor', '--conf', self._conf], log=self._log)
        wait_until(self._listens, lambda: f'hat-monitor listens:\n{self.process.log_tail()}', interval=0.05)

    def _has_socket(self, port, state):
        sockets = [i.split() for i in pathlib.Path(f'/proc/{self.process.pid}/net/tcp').read_text().splitlines()[1:]]
        return any(int(i[1].rsplit(':', 1)[1], 16) == port and i[3] == state for i in sockets)

    def _listens(self):
        assert self.process.running, f'hat-monitor ended:\n{self.process.log_tail()}'
        return self._has_socket(self.port, '0A')

    def has_slave(self):
        return self._has_socket(self.master_port, '01')

    def components(self):
        """What it knows at this moment, as hat.monitor's ComponentInfo."""
        async def ask():
            connection = await chatter.connect(net.TcpAddress(self.place.host, self.port))
            try:
                _, message = await common.receive_msg(connection)
                return [common.component_info_from_sbs(i) for i in message['components']]
            finally:
                await connection.async_close()

        return background.run(ask(), 5)

    def ready(self, group=GATEWAY_GROUP):
        """Names of the components of a group that could work."""
        return {i.name for i in self.components() if i.group == group and i.blessing_res.ready}

    def set_rank(self, name, rank):
        """As somebody at its web page does it."""
        cid = next(i.cid for i in self.components() if i.name == name)

        async def ask():
            page = await juggler.connect(f'ws://127.0.0.1:{self.ui_port}/ws')
            try:
                await page.send('set_rank', {'cid': cid, 'rank': rank})
            finally:
                await page.async_close()

        background.run(ask())

    @contextlib.contextmanager
    def other_gateway(self, name):
        """A component of the gateways' group that takes every blessing."""
        async def take(component, state):
            token = state.info and state.info.blessing_req.token
            await component.set_blessing_res(common.BlessingRes(token=token, ready=True))

        component = background.run(client.connect(net.TcpAddress(self.place.host, self.port), name, GATEWAY_GROUP, state_cb=take))
        try:
            yield
        finally:
            background.run(component.async_close())

    def wait_ready(self, *names, timeout=DEADLINE):
        wait_until(lambda: set(names) <= self.ready(), lambda: f'{names} are ready: {self.ready()}', timeout, 0.05)

    def stop(self):
        return self.process.terminate()

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


class MonitoredEventServer(EventServer):
    """A hat-event server that works while the monitor has blessed it."""

    def __init__(self, directory, monitor, server_id, place=HERE):
        super().__init__(directory)
        self.place, self.prefix = place, place.prefix
        conf = json.loads(self._conf.read_text())
        conf['name'] = f'event{server_id}'
        conf['server_id'] = server_id
        conf['eventer_server']['host'] = place.host
        conf['monitor_component'] = {'host': monitor.place.host, 'port': monitor.port, 'group': EVENT_GROUP}
        self._conf.write_text(json.dumps(conf))
        self.server_id = server_id

    def start(self, wait=False):
        """Without waiting: which of several becomes operational is the monitor's choice."""
        super().start(wait)

    def is_active(self):
        return self.process.running and is_operational(self.port, self.place.host)


def wait_active(servers, timeout=DEADLINE):
    """The server of these that is operational."""
    return wait_until(lambda: next((i for i in servers if i.is_active()), None), 'an event server is operational', timeout, 0.05)
