# SPDX-License-Identifier: Apache-2.0
"""Waiting for a condition with a deadline: the only way in which tests wait."""

import os
import time

#: Sanitizers and a busy machine make everything slower; deadlines are for the broken case only.
PATIENCE = float(os.environ.get('GATEWAYD_TEST_PATIENCE', '1'))
DEADLINE = 30 * PATIENCE


class DeadlineError(AssertionError):
    """What was waited for did not happen in time."""


def wait_until(condition, what, timeout=DEADLINE, interval=0.01):
    """Calls `condition` until it returns something true, which is returned."""
    end = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() >= end:
            raise DeadlineError(f'not in {timeout:g} s: {what() if callable(what) else what}')
        time.sleep(interval)
