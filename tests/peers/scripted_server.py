# SPDX-License-Identifier: Apache-2.0
"""An event server that answers registrations as the test says: Hat's own server side."""

import asyncio

from hat.drivers import net
from hat.event import common
from hat.event import eventer

from harness import background
from harness.ports import free_port


class ScriptedServer:
    """`answer` is 'accept', 'refuse' or 'silent': what becomes of registrations that want a response."""

    def __init__(self, status=common.Status.OPERATIONAL):
        self.port = free_port()
        self.answer = 'accept'
        self.registered = []
        self._server = background.run(eventer.listen(net.TcpAddress('127.0.0.1', self.port), status=status,
                                                     register_cb=self._on_register, query_cb=self._on_query))

    async def _on_register(self, _info, events):
        self.registered += events
        if self.answer == 'silent' and any(i.type[-1] == 'enable' for i in events):
            await asyncio.Event().wait()
        if self.answer == 'refuse':
            return None
        now = common.now()
        return [common.Event(common.EventId(1, 1, i), event.type, now, event.source_timestamp, event.payload)
                for i, event in enumerate(events)]

    async def _on_query(self, _info, _params):
        return common.QueryResult([], False)

    def set_status(self, status):
        background.run(self._server.set_status(status))

    def close(self):
        background.run(self._server.async_close())
