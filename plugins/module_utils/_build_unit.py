# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""A step of a release's making, run in a transient unit that ends with all that it started.

BuildUnit runs what makes the release, as the build's user: it has the app's sandbox, writes to the folders that it is given and to a
/tmp of its own, and uses the network whatever the app may. AppUnit runs what the app itself would, such as a migration: as the app's
user, in the app's whole sandbox. Sources: systemd-run(1), systemd.exec(5), systemd.resource-control(5).
"""

from __future__ import annotations

import collections
import contextlib
import os
import re
import selectors
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from ansible_collections.gatehouse.webapp.plugins.module_utils import _commands, _unpack
from ansible_collections.gatehouse.webapp.plugins.module_utils._account import HOME
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._redact import plain
from ansible_collections.gatehouse.webapp.plugins.module_utils._takeover import remove

# Where root keeps what a unit is given for as long as it runs.
GIVEN = "/run/gatehouse/build"

# By these a program could ask others to run something for it.
HIDDEN = ("-/run/dbus", "-/run/systemd/private", "-/run/user")

# Seconds for which the last lines are waited for after the command has ended, and for systemd-run after its time is over.
PATIENCE = 10

# Lines of output that are kept, and bytes of a line: what comes after them is dropped. People are shown LINE characters of it, when
# values have been taken out: a cut would leave a part of one.
LINES = 200
LONGEST = 1 << 16
LINE = 2000

# Bytes that are read at once: more than a pipe holds, so that nothing that has come is left in it.
PIPE = 1 << 20

# The app's own limits are for the app. The kernel ends a build before it ends an app, and a build can't use up the host's processes.
# What a build leaves behind is killed at once: waiting for it to end by itself would make a failure of a build that was none.
LIMITS = {"KillSignal": "SIGKILL", "LimitNOFILE": "65536", "OOMScoreAdjust": "500", "TasksMax": "4096"}

# Directives by which an app's overrides say how its service lives. A step has its own life: it runs once, and ends with all it started.
LIFE = re.compile(
    r"Exec(?!Paths)|Restart|Kill|SendSIG|FinalKill|Watchdog|Timeout|RuntimeMax|Type$|RemainAfterExit$|Notify|PIDFile$|BusName$|Success"
    r"|OOM|Standard|Syslog|User$|Group$|DynamicUser$|WorkingDirectory$|Environment|PassEnvironment$"
)

# Of the app's sandbox, what is about its own folders and its network. A build has others.
APP_ALONE = ("IPAddressAllow", "IPAddressDeny", "ReadWritePaths", "StateDirectory", "UMask")

# Directives that systemd-run refuses where systemd is older than this.
SINCE = {"ProtectProc": 247, "ProcSubset": 247}

# Seconds in which what runs as the app must have ended once it is told to.
STOPPING = 5

# Seconds in which a source must be unpacked.
UNPACKING = 600

# The status of what did not end in its time, as timeout(1) has it.
TIMED_OUT = 124

Done = collections.namedtuple("Done", "status output lines")
"""status: the program's own, or TIMED_OUT.   output: the last lines of its standard output, as text.
lines: the last ones of both its outputs, in the order in which they came."""


class BuildUnit:
    """app: its name.   user: the build's.   sandbox: {directive: value} of the app's unit."""

    NAME = "gatehouse-build-%s.service"
    DESCRIPTION = "A step of the build of %s"

    def __init__(self, app, user, sandbox, run=_commands.run, given=GIVEN):
        self.name = self.NAME % app
        self._app = app
        self._user = user
        self._sandbox = {name: value for name, value in sandbox.items() if not LIFE.match(name)}
        self._run = run
        self.given = os.path.join(given, app)
        self._home = os.path.join(os.path.dirname(given), os.path.basename(HOME))

    def end(self):
        """End what still goes on there: a unit outlives the play that began it."""
        self._run(["systemctl", "kill", "--signal=KILL", self.name], 10)
        self._run(["systemctl", "stop", self.name], 30)
        self._run(["systemctl", "reset-failed", self.name], 10)

    def clear(self):
        """End it, and remove what it was given: a play that is killed leaves both."""
        self.end()
        if os.path.lexists(self.given):
            remove(self.given)

    def command(self, argv, folder, seconds, files=(), variables=None, **options):
        """The command line that runs argv there.

        folder: where it works.   files: environment files; of one variable the last file's value counts.
        variables: those that no file has; everybody on the host can read them.   options: those of confinement().
        """
        properties = [pair for pair in self.confinement(**options) if self._known(pair[0])]
        properties += [("User", self._user), ("Group", self._user), ("WorkingDirectory", folder)]
        properties += [("RuntimeMaxSec", "%.3f" % seconds), *(("EnvironmentFile", path) for path in files)]
        return [
            *("systemd-run", "--quiet", "--wait", "--pipe", "--collect", "--service-type=exec", "--unit=" + self.name),
            "--description=" + self.DESCRIPTION % self._app,
            *("--property=%s=%s" % pair for pair in properties),
            *("--setenv=%s=%s" % pair for pair in sorted((variables or {}).items())),
            "--",
            # systemd puts variables into a command by itself: $$ is its way to write a $.
            *(word.replace("$", "$$") for word in argv),
        ]

    def confinement(self, writable=(), mounts=(), hidden=()):
        """What the unit is kept to, as (directive, value).

        writable: the folders that it may write.   mounts: (path on the host, where it sees that); it may write them too.
        hidden: folders that it can't even see.
        """
        sandbox = dict(self._sandbox, **({"ProtectHome": "tmpfs"} if mounts else {}))
        return [
            *(pair for pair in sandbox.items() if pair[0] not in APP_ALONE),
            *(("ReadWritePaths", path) for path in writable),
            *(("BindPaths", "%s:%s" % pair) for pair in mounts),
            *(("InaccessiblePaths", path) for path in (*HIDDEN, *hidden)),
            ("UMask", "0027"),
            *LIMITS.items(),
        ]

    def _known(self, directive):
        return directive not in SINCE or self._version() >= SINCE[directive]

    def _version(self):
        _status, output, _messages = self._run(["systemctl", "--version"], 10)
        found = re.match(r"systemd (\d+)", output)
        return int(found.group(1)) if found else 0

    def run(self, argv, folder, seconds, environment=None, stdin=None, clock=time.monotonic, **options):
        """Run argv to its end. Returns a Done.

        environment: variables that may be secret; they count before those of the files.   stdin: an open file, or None.
        options: those of command().
        """
        self.end()
        with self._kept(environment or {}) as own:
            options["files"] = [*options.get("files", ()), own]
            command = self.command(argv, folder, seconds, **options)
            started = clock()
            done = _stream(command, stdin, seconds + PATIENCE)
        if done.status and clock() - started >= seconds:
            self.end()
            done = done._replace(status=TIMED_OUT)
        return done

    def unpack(self, archive, folder, strip):
        """Fill the folder, the build's user's own, from an open archive. strip: see _unpack."""
        program = _unpack.__loader__.get_source(_unpack.__name__)
        program = program.decode("utf-8") if isinstance(program, bytes) else program  # by Ansible's own loader
        python = shutil.which("python3", path=_commands.PATH) or sys.executable
        argv = [python, "-I", "-c", program, *(["--strip"] if strip else [])]
        done = self.run(argv, folder, UNPACKING, stdin=archive, writable=[folder])
        if done.status:
            told = "; ".join(done.lines[-3:]) or (
                "it took more than %d s" % UNPACKING if done.status == TIMED_OUT else "no reason told"
            )
            raise GatehouseError(
                "the source can't be unpacked: %s" % told,
                cause="bad_source",
                hint="pack it anew: tar --create --gzip --file source.tar.gz --directory FOLDER .",
            )

    def lay_out(self):
        """Make the folder of what the unit is given. Root alone can enter it, and the folder of those of all apps. And the home."""
        folders = [(os.path.dirname(self._home), 0o755), (self._home, 0o755), (os.path.dirname(self.given), 0o700)]
        for path, mode in [*folders, (self.given, 0o700)]:
            os.makedirs(path, exist_ok=True)
            os.chmod(path, mode)  # whatever root's umask is

    @contextlib.contextmanager
    def _kept(self, environment):
        """A file with these variables that root alone can read, for as long as they are needed."""
        self.lay_out()
        handle, path = tempfile.mkstemp(prefix="env-", dir=self.given)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(environment_file(environment))
            yield path
        finally:
            os.unlink(path)


class AppUnit(BuildUnit):
    """app: its name.   user: the app's.   sandbox: {directive: value} of the app's unit.

    state: the folder of its data below /var/lib, where that has another name.
    """

    NAME = "gatehouse-run-%s.service"
    DESCRIPTION = "A step of a deploy of %s, as the app"

    def __init__(self, app, user, sandbox, *options, state=None):
        super().__init__(app, user, sandbox, *options)
        self._state = state or app

    def confinement(self):
        """The app's own sandbox, folder and network. Its limits are for what serves: a migration may need more."""
        return [
            *self._sandbox.items(),
            ("StateDirectory", self._state),
            ("StateDirectoryMode", "0750"),
            ("LimitNOFILE", LIMITS["LimitNOFILE"]),
            # It is told to end; what it leaves behind is killed at once.
            ("KillMode", "mixed"),
            ("TimeoutStopSec", STOPPING),
        ]


def environment_file(variables):
    """The variables in the form of systemd's EnvironmentFile=. Source: systemd.exec(5)."""
    return "".join(
        '%s="%s"\n' % (name, re.sub(r'([\\"`$])', r"\\\1", str(value))) for name, value in sorted(variables.items())
    )


def _stream(command, stdin, seconds):
    """Run a command and keep the last lines of what it prints: a build may print without end.

    What it prints ends with it: somebody else to whom the build has passed its output could keep that open for ever.
    """
    both, own = collections.deque(maxlen=LINES), collections.deque(maxlen=LINES)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(os.environ, LC_ALL="C", PATH=_commands.PATH),
        )
    except OSError as error:
        raise GatehouseError("%s can't be run: %s" % (command[0], error), cause="no_systemd") from None
    lines = [(process.stdout, _Lines(both, own)), (process.stderr, _Lines(both))]
    reader = threading.Thread(target=_read, args=(lines,), daemon=True)
    reader.start()
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        status = TIMED_OUT
    reader.join(PATIENCE)
    return Done(status, "\n".join(list(own)), list(both))


def _read(streams):
    """Read [(stream, its _Lines)] to their ends. What has come on the first one by then comes before what came on the second.

    A program that says on standard error why it ends has written its output before. So the last stream is read first: all that was
    written before what is read there is then waiting on the others.
    """
    with selectors.DefaultSelector() as selector:
        for stream, _lines in streams:
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            selector.select()
            found = []
            for stream, lines in reversed(streams):
                if stream in selector.get_map():  # it has not ended
                    with contextlib.suppress(BlockingIOError):
                        found.append((stream, lines, os.read(stream.fileno(), PIPE)))
            for stream, lines, data in reversed(found):
                if not data:
                    selector.unregister(stream)
                lines.add(data)


class _Lines:
    """The lines of one stream, kept as they become whole, LONGEST bytes of each. kept: where they go."""

    def __init__(self, *kept):
        self._kept = kept
        self._rest = b""  # of a line that has no end yet
        self._cut = False  # whether that was longer already, and is kept

    def add(self, data):
        """data: what has come; nothing at the end."""
        *lines, rest = (self._rest + (data or b"\n")).split(b"\n")
        if not data and lines == [b""]:
            return
        for line in lines:
            self._keep(line)
            self._cut = False
        self._rest = rest
        if len(rest) > LONGEST:
            self._keep(rest)
            self._rest, self._cut = b"", True

    def _keep(self, line):
        if self._cut:
            return
        text = plain(line[:LONGEST].decode("utf-8", "replace").rstrip("\r"))
        for one in self._kept:
            one.append(text)
