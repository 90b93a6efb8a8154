# SPDX-License-Identifier: Apache-2.0
"""gatewayctl when what it talks to is stuck or its output cannot be written: always an end in time, one line, a status."""

import os
import signal
import subprocess

import pytest

from harness.gateway import SANITIZER_ENV, Ctl
from harness.paths import CTL
from harness.waiting import DEADLINE

PLC = 'modbus_master/plc'


def fail(ctl, status, *arguments, **options):
    """Runs it, wants this status, no output and one line on standard error, which is returned."""
    result = ctl(*arguments, check=False, **options)
    assert (result.returncode, result.stdout, result.stderr.count('\n')) == (status, '', 1), result
    return result.stderr


@pytest.mark.parametrize('arguments', [['list'], ['wait', PLC], ['enable', PLC, '--wait'], ['monitor']])
def test_bus_does_not_answer(bus, arguments):
    """It takes the connection, and then not a word."""
    bus.process.signal(signal.SIGSTOP)
    try:
        assert 'in time' in fail(Ctl(bus.address), 5, *arguments, '--timeout=0.3')
    finally:
        bus.process.signal(signal.SIGCONT)


def test_ssh_does_not_answer(tmp_path):
    ssh = tmp_path / 'ssh'
    ssh.write_text('#!/bin/sh\nexec sleep 60\n')
    ssh.chmod(0o755)
    result = subprocess.run([CTL, '--host=somewhere', 'list', '--timeout=0.3'], capture_output=True, text=True, timeout=DEADLINE,
                            env={**os.environ, **SANITIZER_ENV, 'PATH': f'{tmp_path}:{os.environ["PATH"]}'})
    assert result.returncode == 5 and result.stderr.count('\n') == 1, result


def test_wait_is_patient_with_a_slow_daemon(service, system_ctl):
    """Longer than a read waits without --timeout, which is 10 s."""
    service.process.signal(signal.SIGSTOP)
    try:
        assert 'in time' in fail(system_ctl, 5, 'wait', PLC, '--timeout=11', timeout=DEADLINE + 11)
    finally:
        service.process.signal(signal.SIGCONT)


@pytest.mark.parametrize('arguments', [['list'], ['show', PLC], ['monitor', '--snapshot']])
def test_full_disk(service, system_bus, arguments):
    with open('/dev/full', 'w') as full:
        result = subprocess.run([CTL, f'--address={system_bus.address}', *arguments], stdout=full, stderr=subprocess.PIPE,
                                text=True, env={**os.environ, **SANITIZER_ENV}, timeout=DEADLINE)
    assert result.returncode == 1
    assert result.stderr == 'gatewayctl: Cannot write: No space left on device.\n'


@pytest.mark.parametrize('arguments', [['list'], ['status'], ['show', PLC]])
def test_no_object_without_a_daemon(bus, arguments):
    """A script must not take a failure for an empty answer."""
    fail(Ctl(bus.address), 8, *arguments, '--json=short')
