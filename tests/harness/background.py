# SPDX-License-Identifier: Apache-2.0
"""One asyncio loop in a thread of its own, for every peer and client that is written with asyncio."""

import asyncio
import threading

from harness.waiting import DEADLINE

_lock = threading.Lock()
_loop = None


def _get_loop():
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name='peers', daemon=True).start()
        return _loop


def run(coroutine, timeout=DEADLINE):
    """Runs the coroutine in the background loop and returns its result to this thread."""
    future = asyncio.run_coroutine_threadsafe(coroutine, _get_loop())
    try:
        return future.result(timeout)
    except BaseException:
        future.cancel()
        raise


def call(function, *args):
    """Calls an ordinary function in the background loop's thread."""
    async def wrapper():
        return function(*args)

    return run(wrapper())
