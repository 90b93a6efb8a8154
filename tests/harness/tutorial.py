# SPDX-License-Identifier: Apache-2.0
"""docs/tutorial.md, run as a reader does it: one shell on a terminal of its own, block after block, in an empty home. The test
compares what comes with what the page shows; `./dev tutorial` writes what comes into the page; `./dev fresh-test --tutorial` takes
the time from a bare machine to the first value of a device of one's own.

A block of commands is fenced with ```sh; the next block ```text is what the terminal shows. Behind `sh` may stand

    norun           the reason stands before it, as <!-- not run: REASON -->
    status=N        its commands succeed, but one ends with this status
    until=REGEX     run again until the output matches, as a reader who looks again
    ctrl-c=N        it does not end: Ctrl-C after N lines"""

import dataclasses
import fcntl
import os
import pathlib
import pty
import re
import select
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

from harness.paths import BUILD, ROOT
from harness.ports import free_port, is_free
from harness.process import SANITIZER_MARKS
from harness.waiting import PATIENCE, wait_until

PAGE = ROOT / 'docs/tutorial.md'
PORT = 1502                             # of the reader's device
EVENT_PORT = 23012                      # of the demo's event server
BLOCK_DEADLINE = 60 * PATIENCE
ROWS, COLUMNS = 50, 110
FIRST_VALUE = 'gatewayctl values plc'   # what shows it
FIRST_VALUE_SECONDS = 5 * 60

_FENCE = re.compile(r'^```(sh|text)\b *(.*)\n((?:(?!```).*\n)*)```\n', re.MULTILINE)
_REASON = re.compile(r'<!-- not run: .+ -->\n+\Z')
_OPTIONS = {'norun', 'status', 'until', 'ctrl-c'}

# What the shell says about its jobs, and when, is another thing on every machine.
_CHATTER = re.compile(r'\[\d+\][+-]? ')

# What differs from run to run. The order counts.
_SHAPES = [
    (re.compile(r'\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b'), 'ID'),
    (re.compile(r'\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?( ?UTC|Z|[+-]\d\d:?\d\d)?'), 'TIME'),
    (re.compile(r'\b\d\d:\d\d:\d\d(\.\d+)?'), 'TIME'),
    (re.compile(r'\b\d+(\.\d+)? ?(us|ms|s|min|h|d)\b( \d+ ?(ms|s|min|h)\b)*( ago)?'), 'AGE'),
    (re.compile(r'\b(just )?now\b'), 'AGE'),
    (re.compile(r'-demo-\w{6}\b'), '-demo-ID'),
    (re.compile(r'-?\d+(\.\d+)?'), 'N'),
    (re.compile(r'─+|-{3,}'), 'RULE'),
    (re.compile(r' +'), ' '),
]


class TutorialError(AssertionError):
    """A block that did not do what the page says."""


@dataclasses.dataclass
class Block:
    """Commands of the page, and what the page shows of their output."""

    line: int
    commands: str
    options: dict
    shown: str | None                   # None: nothing is shown
    span: tuple | None                  # of `shown` in the page

    @property
    def runs(self):
        return 'norun' not in self.options

    @property
    def interrupted(self):
        return 'ctrl-c' in self.options

    @property
    def lines(self):
        """How many the page shows of it; None: all."""
        return int(self.options['ctrl-c']) if self.interrupted else None


def parse(text):
    """The page's blocks of commands, in order."""
    blocks = []
    for match in _FENCE.finditer(text):
        line = text.count('\n', 0, match.start()) + 1
        if match[1] == 'text':
            if not blocks or not blocks[-1].runs or blocks[-1].shown is not None:
                raise TutorialError(f'{PAGE.name}:{line}: output of no commands that are run')
            blocks[-1].shown, blocks[-1].span = match[3], match.span(3)
        else:
            options = dict((i.split('=', 1) + [None])[:2] for i in shlex.split(match[2]))
            if set(options) - _OPTIONS:
                raise TutorialError(f'{PAGE.name}:{line}: unknown option: {match[2]}')
            if 'norun' in options and not _REASON.search(text[:match.start()]):
                raise TutorialError(f'{PAGE.name}:{line}: a block that is not run without <!-- not run: REASON --> before it')
            blocks.append(Block(line, match[3], options, None, None))
    return blocks


def commands_with(text):
    """Those of the page's block that has this text."""
    return next(i.commands for i in parse(PAGE.read_text()) if text in i.commands)


def shapes(text):
    """The lines of an output without what differs from run to run."""
    lines = []
    for line in text.splitlines():
        for pattern, token in _SHAPES:
            line = pattern.sub(token, line)
        lines.append(line.strip())
    return lines


class Terminal:
    """An interactive bash with job control on a pseudo-terminal. Its prompt is a mark that holds the exit status. `prefix` stands
    before its command, where that is in another place."""

    _PROMPT = re.compile(r'\x01(\d+)\x02')
    _FAILED = re.compile(r'\x03(\d+)\x04')

    def __init__(self, home, environment, prefix=()):
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', ROWS, COLUMNS, 0, 0))
        mode = termios.tcgetattr(slave)
        mode[1] &= ~termios.OPOST       # plain newlines
        mode[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, mode)
        os.set_blocking(self._master, False)

        self._script = home / '.block'
        self._shell = subprocess.Popen(
            [*prefix, 'bash', '--noprofile', '--norc', '--noediting', '-i'], stdin=slave, stdout=slave, stderr=slave, cwd=home,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**environment, 'HOME': str(home), 'PS1': '', 'PS2': '', 'TERM': 'dumb', 'LANG': 'C.UTF-8', 'TZ': 'UTC'})
        os.close(slave)
        self._text = ''
        self._send(r"""PROMPT_COMMAND='printf "\001%d\002" $?'""" '\n' r"""trap 'printf "\003%d\004" $?' ERR""" '\n')
        for _ in range(2):
            self._read_to_prompt(BLOCK_DEADLINE)

    def _send(self, text):
        os.write(self._master, text.encode())

    def _read(self, timeout):
        if select.select([self._master], [], [], timeout)[0]:
            try:
                self._text += os.read(self._master, 65536).decode(errors='replace')
            except OSError as e:        # EIO: the shell ended
                raise TutorialError(f'the shell ended:\n{self._text}') from e

    def _read_to_prompt(self, timeout, each=lambda text: None):
        """Returns what came before the next prompt, and the status in it."""
        end = time.monotonic() + timeout
        while not (match := self._PROMPT.search(self._text)):
            if time.monotonic() >= end:
                raise TutorialError(f'not done in {timeout:g} s:\n{self._text}')
            self._read(0.1)
            each(self._text)
        text, self._text = self._text[:match.start()], self._text[match.end():]
        return text, int(match[1])

    def run(self, commands, until=None):
        """Runs commands and returns their output and the statuses of those that failed. With `until` Ctrl-C comes when that
        says true of the output so far."""
        interrupted = False

        def interrupt(text):
            nonlocal interrupted
            if until and not interrupted and until(clean(text)):
                interrupted = True
                self._send('\x03')

        self._script.write_text(f'{commands}:\n')       # so that `.` itself never fails
        self._send(f'. ~/{self._script.name}\n')
        text, _ = self._read_to_prompt(BLOCK_DEADLINE, interrupt)
        return self._FAILED.sub('', text), [int(i) for i in self._FAILED.findall(text)]

    def processes(self):
        """Everything that was started here and still runs, but the shell: pid → command line."""
        found = {}
        for folder in pathlib.Path('/proc').glob('[0-9]*'):
            try:
                state, _, _, session = (folder / 'stat').read_text().rsplit(')', 1)[1].split()[:4]
                if int(session) == self._shell.pid and int(folder.name) != self._shell.pid and state != 'Z':
                    found[int(folder.name)] = (folder / 'cmdline').read_bytes().replace(b'\0', b' ').decode()
            except OSError:
                pass
        return found

    def close(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.processes():
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
            end = time.monotonic() + 8
            while self.processes() and time.monotonic() < end:
                time.sleep(0.02)
        self._shell.kill()
        self._shell.wait()
        os.close(self._master)


def clean(text):
    """Output without chatter and without spaces at the end of lines."""
    lines = [i.rstrip() for i in re.sub(r'[\x01-\x04]', '', text).splitlines()]
    return ''.join(i + '\n' for i in lines if not _CHATTER.match(i))


class Run:
    """One reader with an empty home, in which ~/gatewayd is this tree with the build under test."""

    def __init__(self, port=None):
        """`port`: of the device, in place of the page's; without it a free one."""
        self.home = pathlib.Path(tempfile.mkdtemp(prefix='tut-'))       # short: sockets are below it
        tree = self.home / 'gatewayd'
        tree.mkdir()
        for entry in ROOT.iterdir():
            if not entry.name.startswith(('.', 'build')):
                (tree / entry.name).symlink_to(entry)
        (tree / 'build').symlink_to(BUILD)
        temporary = self.home / 't'
        temporary.mkdir()

        self._port = port or free_port()
        kept = {k: v for k, v in os.environ.items() if k in ('PATH', 'ASAN_OPTIONS', 'UBSAN_OPTIONS', 'LSAN_OPTIONS')}
        self.terminal = Terminal(self.home, {**kept, 'GATEWAYD_BUILD': str(BUILD), 'TMPDIR': str(temporary)})
        # What this run calls so has another name on the page.
        self._names = [(f'{self.home}/t', '/tmp'), (str(BUILD), '/home/you/gatewayd/build'),
                       (str(ROOT), '/home/you/gatewayd'), (str(self.home), '/home/you')]

    def _for_the_page(self, text):
        for ours, name in self._names:
            text = text.replace(ours, name)
        if self._port != PORT:
            text = re.sub(rf'\b{self._port}\b', str(PORT), text)
        return clean(text)

    def run(self, block, enough=None):
        """Runs one block and returns what came. `enough`: where Ctrl-C ends it, whether it is time for that; else after the
        lines that the block asks for. TutorialError: a status that the page does not say."""
        commands = re.sub(rf'\b{PORT}\b', str(self._port), block.commands)
        wanted = [int(block.options['status'])] if 'status' in block.options else []
        until = block.options.get('until')

        def attempt():
            text, failed = self.terminal.run(commands, lambda text: enough(self._for_the_page(text)) if enough else None)
            text = self._for_the_page(text)
            return (text, failed) if not until or re.search(until, text) else None

        if block.interrupted and not enough:
            enough = lambda text: len(text.splitlines()) >= block.lines
        text, failed = wait_until(attempt, f'{PAGE.name}:{block.line}: {block.commands}shows {until!r}', BLOCK_DEADLINE, 0.2)
        if block.interrupted:
            failed = [i for i in failed if i != 128 + signal.SIGINT]
        if failed != wanted:
            raise TutorialError(f'{PAGE.name}:{block.line}: {block.commands}commands failed with {failed}, not {wanted}:\n{text}'
                                f'{self.logs()}')
        return text

    def logs(self):
        """The end of every log that the reader has."""
        return ''.join(f'---- {i.relative_to(self.home)}\n' + ''.join(i.read_text(errors='replace').splitlines(True)[-40:])
                       for i in sorted(self.home.glob('*/*.log')) if 'gatewayd/' not in str(i.relative_to(self.home)))

    def assert_clean(self):
        """The page leaves no process, and no sanitizer spoke."""
        wait_until(lambda: not self.terminal.processes(), lambda: f'no process is left: {self.terminal.processes()}')
        logs = self.logs()
        assert not any(i in logs for i in SANITIZER_MARKS), logs

    def close(self):
        self.terminal.close()
        shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class BareRun(Run):
    """One reader whose machine is the bare Debian below `root`; what is cloned lies in its /srv."""

    def __init__(self, root):
        self.home = root / 'root'
        self._port = free_port()        # the network is the one out here
        self.terminal = Terminal(self.home, os.environ, ['chroot', str(root), 'env', 'HOME=/root'])
        self._names = [('/root', '/home/you')]

    def run(self, block, enough=None):
        commands = block.commands.replace('URL-OF-THIS-REPOSITORY', '/srv/gatewayd.git')
        return super().run(dataclasses.replace(block, commands=commands), enough)


def is_shown(block, text):
    """Whether the page shows what came. What only Ctrl-C ends goes on for longer than the page, and in an order of its own:
    there everything that the page shows must come."""
    shown, came = shapes(block.shown), shapes(text)
    return set(shown) <= set(came) if block.interrupted else shown == came


def follow(run, block):
    """Runs a block as the page has it and wants what the page shows."""
    compares = block.shown is not None
    text = run.run(block, (lambda text: is_shown(block, text)) if block.interrupted and compares else None)
    if compares and not is_shown(block, text):
        raise TutorialError(f'{PAGE.name}:{block.line}: {block.commands}shows on the page\n\n{block.shown}\n'
                            f'and in fact\n\n{text}\n(./dev tutorial writes it anew)')


def update(text):
    """The page with the outputs of a real run."""
    pieces, end = [], 0
    with Run(PORT) as run:
        for block in parse(text):
            if not block.runs:
                continue
            print(f'{PAGE.name}:{block.line}: {block.commands.splitlines()[0]}', file=sys.stderr)
            output = run.run(block)
            if block.span:
                shown = ''.join(output.splitlines(True)[:block.lines])
                pieces += [text[end:block.span[0]], shown]
                end = block.span[1]
        run.assert_clean()
    return ''.join(pieces) + text[end:]


def measure(root):
    """Prints how many seconds each block takes up to the first value, also those that no other run tries. What a reader needs to
    read and to copy is not in it."""
    load, total = os.getloadavg()[0], 0
    with BareRun(root) as run:
        for block in parse(PAGE.read_text()):
            start = time.monotonic()
            follow(run, block)
            seconds = time.monotonic() - start
            total += seconds
            print(f'{seconds:7.2f} s  {block.commands.splitlines()[-1]}', flush=True)
            if block.commands.strip() == FIRST_VALUE:
                break
    print(f'{total:7.2f} s  to the first value (load average {load:.1f} before it)')
    if total > FIRST_VALUE_SECONDS:
        raise TutorialError(f'{PAGE.name} promises it in {FIRST_VALUE_SECONDS} s')


def main():
    try:
        if len(sys.argv) > 1:
            measure(pathlib.Path(sys.argv[1]))
            return
        taken = [str(i) for i in (PORT, EVENT_PORT) if not is_free(i)]
        if taken:
            sys.exit(f'somebody has port {" and ".join(taken)}, which the page names: try again when it is free')
        PAGE.write_text(update(PAGE.read_text()))
    except AssertionError as e:
        sys.exit(f'{e}')


if __name__ == '__main__':
    main()
