# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""PM2: what `pm2 jlist` and the dump say, what is said to PM2, and the driver that says it.

Observed with PM2 6 and 7: a restart merges the environment of whoever asks into what PM2 has, and even what it takes out of the
app's `env` goes on living beside it and reaches the process. Only a process that is new to PM2 has just what it is given.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from collections import namedtuple

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._owned import open_owned

# One process of an app. started: in seconds since 1970.   number: NODE_APP_INSTANCE.   settings: all that PM2 has of it.
Process = namedtuple("Process", "id name pid status restarts unstable started exit_code number settings")

ONLINE, LAUNCHING, STOPPING, STOPPED, ERRORED = "online", "launching", "stopping", "stopped", "errored"

# Seconds that PM2 waits for a sign of a new worker, where it is not told otherwise.
LISTEN_TIMEOUT = 3.0

# Seconds in which PM2 must answer a question that it answers at once.
ANSWER_TIMEOUT = 60.0

# Bytes that are read of a file of the user's, which may be of any length, and of a log's end.
LONGEST = 1 << 24
LAST = 1 << 16

# What a command line starts with, and no process of an app inherits.
SYSTEM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")

# What PM2 itself puts beside the app's own variables.
PM2_VARIABLES = frozenset(
    [
        "PM2_HOME",
        "PM2_USAGE",
        "PM2_JSON_PROCESSING",
        "PM2_PROGRAMMATIC",
        "PM2_INTERACTOR_PROCESSING",
        "PWD",
        "SILENT",
        "unique_id",
        "vizion_running",
        "io",
        "NODE_APP_INSTANCE",
        "PYTHONUNBUFFERED",
    ]
)

# Names by which PM2 would take an argument for something else: a file of apps, all apps, a process by its number.
CONFIG_FILES = (".json", ".yml", ".yaml", ".config.js", ".config.cjs", ".config.mjs")

MEMORY_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


# What PM2 says


def parse_jlist(text):
    """What `pm2 jlist` printed as a list of Process: banners before and after the JSON are passed over."""
    found = None
    decoder = json.JSONDecoder()
    for match in re.finditer(r"\[", text):
        try:
            items = decoder.raw_decode(text, match.start())[0]
        except ValueError:
            continue
        if all(isinstance(item, dict) and "pm2_env" in item for item in items):
            found = items
            break
    if found is None:
        raise GatehouseError(
            "PM2 gave no list of its processes, but: %s" % (plain(text)[:300] or "nothing"),
            cause="no_answer",
            hint="pm2 jlist   # as the user whose PM2 it is",
        )
    return [_process(item["pm2_env"], item.get("pm_id"), item.get("pid")) for item in found]


def parse_dump(text):
    """The processes that a dump would bring back, as a list of Process without id and pid. Raises ValueError."""
    items = json.loads(text)
    if not isinstance(items, list) or not all(isinstance(item, dict) and "name" in item for item in items):
        raise ValueError("it is no list of processes")
    return [_process(item, None, None) for item in items]


def _process(settings, number, pid):
    return Process(
        id=number,
        name=str(settings["name"]),
        pid=pid or 0,
        status=settings.get("status", ""),
        restarts=settings.get("restart_time") or 0,
        unstable=settings.get("unstable_restarts") or 0,
        started=(settings.get("pm_uptime") or 0) / 1000.0,
        exit_code=settings.get("exit_code"),
        number=settings.get(settings.get("instance_var") or "NODE_APP_INSTANCE") or 0,
        settings=settings,
    )


def parse_title(text):
    """The version in a daemon's command line (/proc/PID/cmdline), or None when it is no PM2."""
    match = re.match(r"PM2 v([^\s:]+): God", text)
    return match.group(1) if match else None


def plain(text):
    """What PM2 printed, without its colours and tables."""
    lines = [line for line in COLOURS.sub("", text).splitlines() if line.strip() and line[0] not in "┌│├└"]
    return "\n".join(lines).strip()


def label(process):
    """A process as PM2's own log names it."""
    return "%s:%s" % (process.name, process.id)


def is_cluster(process):
    return process.settings.get("exec_mode") == "cluster_mode"


def listen_timeout(process):
    return (process.settings.get("listen_timeout") or LISTEN_TIMEOUT * 1000) / 1000.0


def describe_end(process):
    """How the process ended, in words."""
    if process.status == ERRORED:
        return "PM2 gave it up after %d restarts; its last exit status was %s" % (process.restarts, process.exit_code)
    return "it ended with exit status %s" % process.exit_code


# The definition of an app: what is compared

SETTINGS = [
    "script",
    "args",
    "cwd",
    "exec_mode",
    "interpreter",
    "node_args",
    "max_memory_restart",
    "wait_ready",
    "listen_timeout",
    "kill_timeout",
    "out_file",
    "error_file",
    "env",
]


def actual(process):
    """What PM2 has of a process, in the terms of a definition. Times in milliseconds, memory in bytes."""
    has = process.settings
    return {
        "script": has.get("pm_exec_path"),
        "args": _words(has.get("args")),
        "cwd": has.get("pm_cwd"),
        "exec_mode": str(has.get("exec_mode")).replace("_mode", ""),
        "interpreter": has.get("exec_interpreter"),
        "node_args": _words(has.get("node_args")),
        "max_memory_restart": has.get("max_memory_restart") or None,
        "wait_ready": bool(has.get("wait_ready")),
        "listen_timeout": has.get("listen_timeout") or None,
        "kill_timeout": has.get("kill_timeout") or None,
        "out_file": has.get("pm_out_log_path"),
        "error_file": has.get("pm_err_log_path"),
        "env": variables(has),
    }


def variables(settings):
    """The environment that PM2 gives to a process: of its `env`, and what a former one has left behind beside it."""
    own = {name: value for name, value in (settings.get("env") or {}).items() if not isinstance(value, (dict, list))}
    left = {
        name: value
        for name, value in settings.items()
        if isinstance(value, str) and re.match(r"[A-Z][A-Z0-9_]*$", name)
    }
    return {name: str(value) for name, value in {**left, **own}.items() if name not in PM2_VARIABLES}


def _words(value):
    return [value] if isinstance(value, str) else [str(word) for word in value or []]


def differences(wanted, has):
    """The settings in which a process is not what is wanted. What is None in `wanted` is left to PM2."""
    free = {"interpreter", "out_file", "error_file"}
    return [name for name in SETTINGS if wanted[name] != has[name] and not (wanted[name] is None and name in free)]


def shown(definition, other=None):
    """A definition that people may read: of variables the names alone, and whether they are the other one's.

    other: the definition beside which it is shown, or None.
    """
    theirs = (other or definition)["env"]
    env = {
        name: "<the value>" if theirs.get(name, value) == value else "<another value>"
        for name, value in sorted(definition["env"].items())
    }
    return dict(definition, env=env)


def memory(text):
    """300M as bytes, the way PM2 counts."""
    match = re.match(r"^(\d+)([KMG]?)$", text)
    if not match:
        raise GatehouseError(
            "max_memory_restart is %r" % text, cause="bad_input", hint="max_memory_restart: 300M   # or K, G, or bytes"
        )
    return int(match.group(1)) * MEMORY_UNITS[match.group(2)]


def check_name(name):
    if not name or name == "all" or name.isdigit() or name[0] == "-" or any(end in name for end in CONFIG_FILES):
        raise GatehouseError(
            "%r can't be the name of an app: PM2 would take it for something else" % name,
            cause="bad_input",
            hint="name: chat-web",
        )


def check_script(script):
    """Refuse a path that PM2 would not take for a script."""
    if re.search(r"\s", script):
        raise GatehouseError(
            "PM2 takes a script with a space in it for a shell command: %r" % script, cause="bad_input"
        )
    if any(part in script for part in CONFIG_FILES):
        raise GatehouseError(
            "PM2 would take %s for a file of apps, because of its name" % script,
            cause="bad_input",
            hint="a name without %s" % ", ".join(CONFIG_FILES),
        )


def start_words(name, definition, count):
    """`pm2 start` of so many new processes. `--force`: beside those that it has by this name, where there are any."""
    words = ["start", definition["script"], "--name", name, "--force", "--cwd", definition["cwd"]]
    if definition["exec_mode"] == "cluster":
        words += ["-i", str(count)]
    else:
        words += ["--execute-command"] + (["-i", str(count)] if count > 1 else [])
    if definition["interpreter"]:
        words += ["--interpreter", definition["interpreter"]]
    if definition["node_args"]:
        words += ["--node-args=" + " ".join(definition["node_args"])]
    if definition["wait_ready"]:
        words += ["--wait-ready"]
    for option in ("max_memory_restart", "listen_timeout", "kill_timeout"):
        if definition[option]:
            words += ["--" + option.replace("_", "-"), str(definition[option])]
    if definition["out_file"] or definition["error_file"]:
        words += ["--merge-logs"]  # else PM2 adds the number of the process to the name of the file
    if definition["out_file"]:
        words += ["--output", definition["out_file"]]
    if definition["error_file"]:
        words += ["--error", definition["error_file"]]
    return words + (["--"] + definition["args"] if definition["args"] else [])


# The driver

Account = namedtuple("Account", "name uid gid home")


def account(user):
    """The user whose PM2 it is; None: the one that this runs as."""
    try:
        entry = pwd.getpwnam(user) if user else pwd.getpwuid(os.geteuid())
    except KeyError:
        raise GatehouseError(
            "there is no user %s on this host" % (user or os.geteuid()), cause="bad_input", hint="getent passwd"
        ) from None
    if os.geteuid() not in (0, entry.pw_uid):
        raise GatehouseError(
            "only root can use the PM2 of %s" % entry.pw_name,
            cause="bad_input",
            hint="become: true   # or become_user: %s" % entry.pw_name,
        )
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir)


class Command:
    """A command that runs as the user, with this environment and no other. It goes on when nobody waits for it."""

    def __init__(self, words, environment, user):
        def become():
            os.umask(0o022)
            if os.geteuid() == 0 and user.uid != 0:
                os.initgroups(user.name, user.gid)
                os.setgid(user.gid)
                os.setuid(user.uid)

        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - it is read when the command has ended
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=environment,
            preexec_fn=become,
            start_new_session=True,
        )

    def ended(self):
        """Its exit status, or None while it runs."""
        return self._process.poll()

    def wait(self, timeout):
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return None

    def text(self):
        self._output.seek(0)
        return self._output.read().decode("utf-8", "replace")


class Pm2:
    """The PM2 of one user.

    user: an Account.   home: its PM2_HOME, None for `.pm2` in the user's home.   executable: the path of `pm2`, None to look
    for it.   start_command: starts a Command.
    """

    def __init__(
        self, user, home=None, executable=None, start_command=Command, proc="/proc", clock=time.monotonic, now=time.time
    ):
        self.user = user
        self.home = home or os.path.join(user.home, ".pm2")
        self.executable = self._find(executable)
        self.now = now
        self._start_command = start_command
        self._proc = proc
        self._clock = clock
        self._last = None  # (when, seconds it took, what PM2 said)

    def _find(self, executable):
        found = shutil.which(executable or "pm2", path=os.pathsep.join(SYSTEM_PATH))
        if not found:
            raise GatehouseError(
                "%s can't be run" % executable if executable else "there is no pm2 in %s" % ":".join(SYSTEM_PATH),
                cause="no_pm2",
                hint="npm install --prefix /opt/pm2 pm2   # and executable: /opt/pm2/node_modules/.bin/pm2",
            )
        return found

    def environment(self):
        """What a process of this PM2 has in its environment before anything of its own."""
        # Next to pm2 lies the Node that it was installed with, where that is not the system's.
        path = dict.fromkeys((os.path.dirname(self.executable),) + SYSTEM_PATH)
        return {
            "HOME": self.user.home,
            "USER": self.user.name,
            "LOGNAME": self.user.name,
            "PATH": ":".join(path),
            "PM2_HOME": self.home,
        }

    def typed(self, *words):
        """A command for a person to type."""
        return "runuser -u %s -- env PM2_HOME=%s %s %s" % (self.user.name, self.home, self.executable, " ".join(words))

    # Asking

    def daemon(self):
        """(pid, version) of the daemon, or None. PM2 itself can't be asked: it would start one."""
        pid = self._read("pm2.pid").strip()
        version = pid.isdigit() and parse_title(title(pid, self._proc))
        return (int(pid), version) if version else None

    def version(self):
        """The version of the command."""
        package = os.path.join(os.path.dirname(os.path.realpath(self.executable)), os.pardir, "package.json")
        try:
            with open_owned(package, 0, self.user.uid) as file:
                return str(json.loads(file.read(LONGEST).decode("utf-8", "replace"))["version"])
        except (OSError, ValueError, KeyError, TypeError):
            return plain(self._ask(["--version"])).splitlines()[-1]

    def check_name(self, name):
        check_name(name)

    def check(self):
        """Refuse to talk to a daemon of another version: the two don't always understand each other."""
        daemon = self.daemon()
        if daemon and daemon[1] != self.version():
            raise GatehouseError(
                "the PM2 daemon of %s is version %s, and %s is %s"
                % (self.user.name, daemon[1], self.executable, self.version()),
                cause="other_version",
                hint="%s   # restarts all its apps; or the executable that the daemon was started with"
                % self.typed("update"),
            )

    def processes(self):
        """All processes of this PM2, in the order of their ids."""
        if not self.daemon():
            return []
        asked = self._clock()
        found = sorted(parse_jlist(self._ask(["jlist"])), key=lambda process: process.id)
        answered = self._clock()
        self._last = (answered, answered - asked, found)
        return found

    def glance(self):
        """As processes(), but the answer may be as old as it took to get: each question starts a Node, and the apps need
        the processor too."""
        if self._last and self._clock() - self._last[0] < self._last[1]:
            return self._last[2]
        return self.processes()

    def forget(self):
        """Have the next glance ask again."""
        self._last = None

    def app(self, name):
        return [process for process in self.processes() if process.name == name]

    def dump(self):
        """The processes that the dump holds, [] where there is none. Raises GatehouseError when it can't be read."""
        path = os.path.join(self.home, "dump.pm2")
        text = self._read("dump.pm2")
        try:
            return parse_dump(text) if text or os.path.exists(path) else []
        except (ValueError, TypeError) as error:
            raise GatehouseError(
                "the dump %s can't be read: %s" % (path, error),
                cause="bad_dump",
                hint="cp %s.bak %s   # what was saved before; without any, remove it" % (path, path),
            ) from error

    # Telling

    def start_daemon(self):
        """Start the daemon where there is none, with nothing of an app: its workers inherit its environment."""
        if not self.daemon():
            self._ask(["ping"])

    def start(self, name, definition, count):
        """Start so many new processes beside those that there are. Returns a Command: PM2 answers once they are ready."""
        self.start_daemon()
        return self._begin(start_words(name, definition, count), definition["env"])

    def start_stand_in(self, name):
        """One more process of an app, just as those that it has."""
        return self._begin(["scale", name, "+1"])

    def restart(self, process):
        return self._begin(["restart", str(process.id)])

    def stop(self, processes):
        self._end_processes("stop", processes)

    def delete(self, processes):
        self._end_processes("delete", processes)

    def retire(self, process, cluster):
        """Delete a worker of a Cluster, which the others go on serving without."""
        self._await_end(cluster.end(process.pid, lambda: self._begin(["delete", str(process.id)])), [process])

    def _end_processes(self, word, processes):
        self._await_end(self._begin([word] + [str(process.id) for process in processes]), processes)

    def _await_end(self, command, processes):
        # PM2 answers when they have ended.
        longest = max(process.settings.get("kill_timeout") or 0 for process in processes) / 1000.0
        self.end(command, ANSWER_TIMEOUT + longest)

    def save(self):
        # Without --force an empty list would not be saved, and the last app would come back at boot.
        self._ask(["save", "--force"])

    def end(self, command, timeout=ANSWER_TIMEOUT):
        """Wait for a Command that was begun. Raises GatehouseError when PM2 refused it."""
        status = command.wait(timeout)
        if status is None:
            raise GatehouseError(
                "PM2 gave no answer within %g s" % timeout,
                cause="no_answer",
                hint="tail -n 50 %s   # is its daemon stopped?" % os.path.join(self.home, "pm2.log"),
            )
        text = command.text()
        if status:
            raise GatehouseError(
                "PM2 refused: %s" % (plain(text) or "exit status %d" % status),
                cause="manager_refused",
                hint="tail -n 50 %s" % os.path.join(self.home, "pm2.log"),
            )
        return text

    # Logs

    def log_sizes(self, processes):
        """How long each file is now in the folders where these processes log."""
        folders = {os.path.dirname(path) for process in processes for path in _log_files(process)}
        sizes = {}
        for folder in folders:
            try:
                sizes.update((entry.path, entry.stat().st_size) for entry in os.scandir(folder))
            except OSError:
                continue
        return sizes

    def log(self, process, sizes, lines):
        """The last lines that the process has written since the files had these sizes: its output, then its errors."""
        found = []
        for path in _log_files(process):
            try:
                # Where it logs is what the app's user says.
                with open_owned(path, self.user.uid) as file:
                    size = os.fstat(file.fileno()).st_size
                    begin = sizes.get(path, 0)
                    file.seek(max(begin if begin <= size else 0, size - LAST))  # it may have been rotated since
                    found += file.read(LAST).decode("utf-8", "replace").splitlines()
            except OSError:
                continue
        return found[-lines:]

    def _ask(self, words):
        return self.end(self._begin(words))

    def _begin(self, words, variables=None):
        self._last = None
        environment = dict(self.environment(), **(variables or {}))
        return self._start_command([self.executable] + words, dict(environment, PM2_HOME=self.home), self.user)

    def _read(self, name):
        """A file of its home, which is the user's to write."""
        try:
            with open_owned(os.path.join(self.home, name), self.user.uid) as file:
                return file.read(LONGEST).decode("utf-8", "replace")
        except OSError:
            return ""


def title(pid, proc="/proc"):
    """The command line of a process, as text; empty when there is none."""
    try:
        with open(os.path.join(proc, str(pid), "cmdline"), encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _log_files(process):
    """Its files for output and errors, each once."""
    has = process.settings
    paths = (has.get("pm_out_log_path"), has.get("pm_err_log_path"))
    return list(dict.fromkeys(path for path in paths if path and path != "/dev/null"))
