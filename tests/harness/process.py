# SPDX-License-Identifier: Apache-2.0
"""Child processes that never outlive the tests: output in a file, ended by pid, ended by the kernel if we die, and out of
reach of the terminal's Ctrl-C, so that they end in our order."""

import ctypes
import os
import pathlib
import signal
import subprocess
import tempfile

from harness.waiting import DEADLINE, DeadlineError, wait_until

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1

SANITIZER_MARKS = ('ERROR: AddressSanitizer', 'ERROR: LeakSanitizer', 'runtime error:', 'AddressSanitizer:DEADLYSIGNAL',
                   'ThreadSanitizer:')


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Process:
    """One running program. Standard output and error go to `log`, or output to `output` if `separate`."""

    def __init__(self, argv, log=None, env=None, user=None, group=None, stdin=subprocess.DEVNULL, pass_fds=(),
                 separate=False, cwd=None):
        self.argv = [str(i) for i in argv]
        self._own_log = log is None
        if log is None:
            fd, log = tempfile.mkstemp(prefix='gatewayd-test-', suffix='.log')
            os.close(fd)
        self.log = pathlib.Path(log)
        self.output = self.log.with_suffix('.out') if separate else self.log
        environment = dict(os.environ, **(env or {}))
        with open(self.log, 'ab') as err, open(self.output, 'ab') as out:
            self._popen = subprocess.Popen(self.argv, stdin=stdin, stdout=out, stderr=err, env=environment, user=user,
                                           group=group, extra_groups=[] if user is not None else None, cwd=cwd,
                                           pass_fds=pass_fds, start_new_session=True, preexec_fn=_die_with_parent)

    @property
    def pid(self):
        return self._popen.pid

    @property
    def stdin(self):
        return self._popen.stdin

    @property
    def returncode(self):
        return self._popen.poll()

    @property
    def running(self):
        return self._popen.poll() is None

    def text(self):
        return self.output.read_text(errors='replace')

    def log_text(self):
        return self.log.read_text(errors='replace')

    def log_tail(self, lines=60):
        return '\n'.join(self.log_text().splitlines()[-lines:])

    def wait_line(self, pattern, timeout=DEADLINE):
        """Waits for a line of the output that matches the compiled pattern and returns the match."""
        def search():
            match = pattern.search(self.text())
            if not match and not self.running:
                raise DeadlineError(f'{self.argv[0]} ended with {self.returncode} before it printed '
                                    f'{pattern.pattern!r}:\n{self.log_tail()}')
            return match

        return wait_until(search, lambda: f'{self.argv[0]} prints {pattern.pattern!r}:\n{self.log_tail()}', timeout)

    def signal(self, number):
        if self.running:
            os.kill(self.pid, number)

    def wait(self, timeout=DEADLINE):
        """Waits for the end by itself and returns the exit status."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise DeadlineError(f'{self.argv[0]} does not end in {timeout:g} s:\n{self.log_tail()}') from None

    def terminate(self, timeout=DEADLINE):
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self):
        self.signal(signal.SIGKILL)
        return self._popen.wait()

    def close(self):
        """Ends it, however it is, and removes a log that nobody named."""
        if self.running:
            self.signal(signal.SIGTERM)
            try:
                self._popen.wait(3)
            except subprocess.TimeoutExpired:
                self.kill()
        if self.stdin:
            self.stdin.close()
        if self._own_log:
            self.log.unlink(missing_ok=True)
            self.output.unlink(missing_ok=True)

    def sanitizer_report(self):
        """The part of the log that a sanitizer wrote, or None."""
        text = self.log_text()
        places = [text.find(i) for i in SANITIZER_MARKS if i in text]
        return text[max(0, min(places) - 200):][:8000] if places else None

    def n_fds(self):
        return len(os.listdir(f'/proc/{self.pid}/fd'))

    def memory_kib(self, what='Private_Dirty'):
        for line in pathlib.Path(f'/proc/{self.pid}/smaps_rollup').read_text().splitlines():
            if line.startswith(what + ':'):
                return int(line.split()[1])
        raise KeyError(what)

    def cpu_seconds(self):
        """User and system time of all threads so far, as exact as the scheduler has it."""
        return sum(int(i.read_text().split()[0]) for i in pathlib.Path(f'/proc/{self.pid}/task').glob('*/schedstat')) / 1e9

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
