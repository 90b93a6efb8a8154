# SPDX-License-Identifier: Apache-2.0
"""The daemon under test, and gatewayctl."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from harness.paths import CTL, DAEMON, for_everybody
from harness.process import Process
from harness.waiting import DEADLINE, DeadlineError, wait_until

SANITIZER_ENV = {
    'ASAN_OPTIONS': 'halt_on_error=1:abort_on_error=1:detect_leaks=1:strict_string_checks=1:'
                    'detect_stack_use_after_return=1',
    'UBSAN_OPTIONS': 'halt_on_error=1:abort_on_error=1:print_stacktrace=1',
}


class NotifySocket:
    """The service manager's end of $NOTIFY_SOCKET: a thread reads, as the real one always does, for the queue holds only
    a few datagrams and sd_notify() blocks on a full one. Keeps every assignment that came, and in `stored` (name → descriptor)
    what the daemon stored and did not tell to forget: `stored=` of the next Gateway passes it on, as a restart does."""

    def __init__(self, directory, stored=None):
        self.stored = dict(stored or {})
        self.path = str(pathlib.Path(directory) / 'notify')
        self._changed = threading.Condition()
        self._messages = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.bind(self.path)
        os.chmod(self.path, 0o777)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while True:
            data, fds, _, _ = socket.recv_fds(self._socket, 65536, 16)
            if data == b'':             # our own close(): sd_notify() sends no empty datagram
                return
            lines = data.decode().split('\n')
            with self._changed:
                self._store(dict(i.split('=', 1) for i in lines), fds)
                self._messages += lines
                self._changed.notify_all()

    def _store(self, assignments, fds):
        name = assignments.get('FDNAME', 'stored')
        if assignments.get('FDSTORE') == '1' and len(fds) == 1 and name not in self.stored:
            self.stored[name] = fds.pop()
        if assignments.get('FDSTOREREMOVE') == '1' and name in self.stored:
            fds.append(self.stored.pop(name))
        for fd in fds:
            os.close(fd)

    @property
    def messages(self):
        with self._changed:
            return list(self._messages)

    def take_stored(self):
        """What is stored, which is the caller's then."""
        with self._changed:
            stored, self.stored = self.stored, {}
        return stored

    def wait(self, assignment, process, timeout=DEADLINE):
        end = time.monotonic() + timeout
        with self._changed:
            while assignment not in self._messages:
                if not process.running:
                    raise DeadlineError(f'ended with {process.returncode} before {assignment}:\n{process.log_tail()}')
                if time.monotonic() >= end:
                    raise DeadlineError(f'not in {timeout:g} s: {assignment}; came {self._messages}:\n'
                                        f'{process.log_tail()}')
                self._changed.wait(0.05)

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b'', self.path)
        self._thread.join()
        self._socket.close()


class Gateway:
    """One run of gatewayd. stop() wants a clean end; close() ends it however and complains about sanitizers."""

    def __init__(self, config, directory, bus_address='none', *, arguments=(), env=None, prefix=(), user=None, group=None,
                 log_level='debug', wait=True, pass_fds=(), stored=None):
        """stored: descriptors by name, as `notify.take_stored()` of an earlier run; from now on they are this one's."""
        self.directory = pathlib.Path(directory)
        self.config = self.directory / 'gatewayd.yaml'
        self.write_config(config)
        self.bus_address = bus_address
        self._runtime = tempfile.mkdtemp(prefix='gatewayd-run-')
        os.chmod(self._runtime, 0o777)
        self.notify = NotifySocket(self._runtime, stored)
        if stored:
            prefix, pass_fds = [*prefix, *pass_stored(stored)], [*pass_fds, *stored.values()]
        self.argv = [*prefix, DAEMON if user is None else for_everybody(DAEMON), f'--config={self.config}',
                     f'--bus={bus_address}', f'--log-level={log_level}', '--log-target=stderr', *arguments]
        environment = {**SANITIZER_ENV, 'NOTIFY_SOCKET': self.notify.path, 'STATE_DIRECTORY': self._runtime,
                       'RUNTIME_DIRECTORY': self._runtime, **(env or {})}
        self.process = Process(self.argv, log=self.directory / f'gatewayd-{time.monotonic_ns()}.log', env=environment,
                               user=user, group=group, pass_fds=pass_fds)
        self._expect_clean = True
        if wait:
            try:
                self.wait_ready()
            except BaseException:
                self._clean_up()
                raise

    def write_config(self, config):
        self.config.write_text(config if isinstance(config, str) else json.dumps(config, indent=2))

    @property
    def pid(self):
        return self.process.pid

    def log_text(self):
        return self.process.log_text()

    def wait_ready(self, timeout=DEADLINE):
        self.notify.wait('READY=1', self.process, timeout)

    def stop(self, timeout=DEADLINE):
        """SIGTERM; the daemon must end with status 0 and without a word from a sanitizer."""
        status = self.process.terminate(timeout)
        assert status == 0, f'gatewayd ended with {status}:\n{self.process.log_tail()}'

    def kill(self):
        self._expect_clean = False
        self.process.kill()

    def expect_any_end(self):
        """It will be killed by others, or end by itself."""
        self._expect_clean = False

    def _clean_up(self):
        self.process.close()
        self.notify.close()
        for fd in self.notify.take_stored().values():
            os.close(fd)
        shutil.rmtree(self._runtime, ignore_errors=True)

    def close(self):
        failure = None
        try:
            if self.process.running and self._expect_clean:
                self.stop()
            elif self._expect_clean and self.process.returncode < 0:
                failure = f'gatewayd was ended by signal {signal.Signals(-self.process.returncode).name}'
        except AssertionError as e:
            failure = str(e)
        finally:
            self._clean_up()

        report = self.process.sanitizer_report()
        assert not report, f'sanitizer:\n{report}'
        assert not failure, failure

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def pass_stored(stored):
    """The `prefix` that becomes the daemon with these descriptors, which it inherits, as sd_listen_fds(3) wants them."""
    program = ('import fcntl, os, sys\n'
               'n = int(sys.argv[1])\n'
               'high = [fcntl.fcntl(int(i), fcntl.F_DUPFD, 3 + n) for i in sys.argv[3:3 + n]]\n'
               'for i, fd in enumerate(high):\n'
               '    os.dup2(fd, 3 + i)\n'
               'os.closerange(3 + n, os.sysconf("SC_OPEN_MAX"))\n'
               'os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(n), LISTEN_FDNAMES=sys.argv[2])\n'
               'os.execv(sys.argv[3 + n], sys.argv[3 + n:])\n')
    return [sys.executable, '-c', program, len(stored), ':'.join(stored), *stored.values()]


def activate(*listeners):
    """(name, port, path or address)…: the `prefix` that waits for the first connection and then becomes the daemon, with
    named descriptors."""
    command = ['systemd-socket-activate', f'--fdname={":".join(name for name, _ in listeners)}']
    command += [f'--listen={f"127.0.0.1:{where}" if isinstance(where, int) else where}' for _, where in listeners]
    return command + [f'--setenv={i}' for i in ('NOTIFY_SOCKET', 'STATE_DIRECTORY', 'RUNTIME_DIRECTORY', *SANITIZER_ENV)]


def run_daemon(*arguments, timeout=DEADLINE, env=None, cwd=None):
    """Runs the daemon to its end, for --check and the like; checks that no sanitizer spoke."""
    result = subprocess.run([DAEMON, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, cwd=cwd,
                            env={**os.environ, **SANITIZER_ENV, **(env or {})}, stdin=subprocess.DEVNULL)
    assert 'Sanitizer' not in result.stderr and 'runtime error:' not in result.stderr, result.stderr
    assert result.returncode >= 0, f'ended by signal {-result.returncode}: {result.stderr}'
    return result


class Ctl:
    """gatewayctl on one bus."""

    def __init__(self, address):
        self.address = address

    def __call__(self, *arguments, check=True, timeout=DEADLINE, user=None):
        """Runs it and returns the completed process; with `check` status 0 is wanted."""
        program = CTL if user is None else for_everybody(CTL)
        result = subprocess.run([program, f'--address={self.address}', *map(str, arguments)], capture_output=True, text=True,
                                timeout=timeout, stdin=subprocess.DEVNULL, user=user,
                                extra_groups=[] if user is not None else None, env={**os.environ, **SANITIZER_ENV})
        assert 'Sanitizer' not in result.stderr and 'runtime error:' not in result.stderr, result.stderr
        if check:
            assert result.returncode == 0, f'gatewayctl {arguments}: status {result.returncode}: {result.stderr}'
        return result

    def json(self, *arguments):
        return json.loads(self('--json=short', *arguments).stdout)

    def devices(self):
        """'type/name' → its object in `list --json`."""
        return {f'{i["Type"]}/{i["Name"]}': i for i in self.json('list')['Devices']}

    def wait_operational(self):
        """As BusClient.wait_operational()."""
        wait_until(lambda: self.json('list')['Manager']['EventServerState'] == 'operational',
                   'the gateway is connected with its event server')

    def wait(self, device, state='running', timeout=DEADLINE):
        self('wait', device, f'--state={state}', f'--timeout={timeout:g}', timeout=timeout + 5)
