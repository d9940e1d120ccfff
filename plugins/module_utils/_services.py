# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Service managers. Each driver offers the calls of `Systemd`: that is the seam for PM2 and webhooks.

Sources: systemctl(1), org.freedesktop.systemd1(5), systemd.exec(5) for the format of environment files.
"""

from __future__ import annotations

import os
import re
from collections import namedtuple

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError

# As systemd.unit(5) allows, for the kinds that can be restarted.
UNIT_NAME = re.compile(r"^[A-Za-z0-9:_.\\-]+(@[A-Za-z0-9:_.\\-]*)?\.(service|socket)$")

PROPERTIES = (
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "MainPID",
    "NRestarts",
    "Result",
    "ExecMainCode",
    "ExecMainStatus",
    "InvocationID",
    "NeedDaemonReload",
    "FragmentPath",
    "DropInPaths",
    "EnvironmentFiles",
    "Job",
)

# What `systemctl show` says of a unit, as far as gates care. unit_files: the unit and its drop-ins.
State = namedtuple(
    "State",
    "load active sub enabled pid restarts result exit_code exit_status invocation stale job unit_files environment_files",
)


def parse_show(text):
    """The KEY=VALUE lines of `systemctl show` as a State."""
    values = dict(line.partition("=")[::2] for line in text.splitlines() if "=" in line)
    return State(
        load=values.get("LoadState", ""),
        active=values.get("ActiveState", ""),
        sub=values.get("SubState", ""),
        enabled=values.get("UnitFileState", ""),
        pid=int(values.get("MainPID") or 0),
        restarts=int(values.get("NRestarts") or 0),
        result=values.get("Result", ""),
        exit_code=int(values.get("ExecMainCode") or 0),
        exit_status=int(values.get("ExecMainStatus") or 0),
        invocation=values.get("InvocationID", ""),
        stale=values.get("NeedDaemonReload") == "yes",
        job=values.get("Job") not in (None, "", "0"),
        unit_files=[path for key in ("FragmentPath", "DropInPaths") for path in values.get(key, "").split()],
        environment_files=re.findall(r"^EnvironmentFiles=(.*) \(ignore_errors=(?:yes|no)\)$", text, re.M),
    )


def describe_exit(state):
    """How the main process ended, in words."""
    if state.result == "start-limit-hit":
        return "it was started too often in too short a time (start-limit-hit)"
    if state.result == "timeout":
        return "systemd gave up waiting for it (timeout)"
    if state.result == "resources":
        return "systemd could not set it up: a file, folder or limit of its unit is missing (resources)"
    if state.result == "success" and (state.exit_code in (2, 3) or not state.exit_code):
        return "it was stopped"
    # si_code of waitid(2): 1 exited, 2 killed by a signal, 3 killed with a core dump.
    if state.exit_code in (2, 3):
        return "its main process was killed by signal %d (%s)" % (state.exit_status, state.result)
    if state.exit_status in SYSTEMD_EXITS:
        return "systemd could not start it: %s (exit status %d)" % (
            SYSTEMD_EXITS[state.exit_status],
            state.exit_status,
        )
    return "its main process ended with exit status %d" % state.exit_status


# Exit statuses that systemd itself uses between fork and exec (systemd.exec(5), "Process Exit Codes").
SYSTEMD_EXITS = {
    200: "its WorkingDirectory= can't be entered",
    203: "its ExecStart= program can't be run",
    209: "its standard output can't be set up",
    216: "its Group= does not exist",
    217: "its User= does not exist",
    226: "its sandbox (mount namespace) can't be set up",
    238: "its StateDirectory= can't be made",
    240: "its LogsDirectory= can't be made",
}


# A name and its value, which in quotes may go over several lines. Source: systemd.exec(5).
_ASSIGNMENT = re.compile(
    r"""^[ \t]*([^\s#;=][^=\n]*)=[ \t]*("(?:\\.|[^"\\])*"(?=[ \t\r]*$)|'(?:\\.|[^'\\])*'(?=[ \t\r]*$)|[^\n]*)""",
    re.M | re.S,
)


def parse_environment(text):
    """The assignments of an environment file as a dict: comments dropped, quotes removed."""
    found = {}
    for name, value in _ASSIGNMENT.findall(text):
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.S)
        found[name.strip()] = value
    return found


class Masker:
    """Takes the values of environment variables out of text that people will read.

    Values under 6 characters stay: taking out every `1` or `info` would leave nothing to read. The password inside
    a URL is taken out by itself too, for programs that print a part of it.
    """

    SHORTEST = 6

    def __init__(self, environment):
        secrets = {}
        for name, value in environment.items():
            # Text comes line by line, and so does a value of several lines, such as a key.
            secrets.update(dict.fromkeys([value, *map(str.strip, value.splitlines())], name))
            password = re.search(r"://[^/@:\s]*:([^@\s]+)@", value)
            if password:
                secrets[password.group(1)] = name
        # The longest first, so that a value that contains another one goes whole.
        self._secrets = sorted(
            ((value, name) for value, name in secrets.items() if len(value) >= self.SHORTEST),
            key=lambda pair: -len(pair[0]),
        )

    def __call__(self, text):
        for value, name in self._secrets:
            text = text.replace(value, "<%s>" % name)
        return text


def take_variables(module, option):
    """A module's parameters; of the variables in this option Ansible shows the names alone from then on.

    It would also hide each `1` of a result because some variable is 1, and each path because one is the HOME, so it is told to forget
    short values and paths.
    """
    params = dict(module.params)
    module.params[option] = sorted(params[option] or {})
    module.no_log_values = {
        value for value in module.no_log_values if len(value) >= Masker.SHORTEST and not is_path(value)
    }
    return params


def is_path(value):
    """Whether a variable's value is a path on this host, or a list of them, as HOME and PATH have."""
    return value.startswith("/") and os.path.lexists(value.split(":")[0])


class Systemd:
    """Units of the system manager. `run` takes an argument list and returns (exit status, stdout, stderr)."""

    def __init__(self, run):
        self._run = run

    def check_name(self, name):
        if not UNIT_NAME.match(name) or "@." in name:
            raise GatehouseError(
                "%r is not the name of a unit that can be restarted" % name,
                cause="bad_input",
                hint="name: chat-api.service, or for an instance of a template name: chat-api@8000.service",
            )

    def state(self, unit):
        status, out, err = self._run(["systemctl", "show", "--property=" + ",".join(PROPERTIES), "--", unit])
        if status:
            raise GatehouseError("systemctl can't be asked about %s: %s" % (unit, err.strip()), cause="no_manager")
        return parse_show(out)

    def reload_definitions(self):
        self._do(["systemctl", "daemon-reload"])

    def forget_failures(self, unit):
        """Let a unit that hit its start limit start again. No use where the unit is not loaded, and no harm."""
        self._run(["systemctl", "reset-failed", "--", unit])

    def restart(self, unit):
        """Ask for a restart; whoever asked watches what becomes of it."""
        self._do(["systemctl", "restart", "--no-block", "--", unit])

    def stop(self, *units):
        self._do(["systemctl", "stop", "--", *units])

    def enable(self, unit):
        # With a reload: without one, systemd goes on telling that the unit is not enabled.
        self._do(["systemctl", "enable", "--quiet", "--", unit])

    def disable(self, *units):
        self._do(["systemctl", "disable", "--quiet", "--", *units])

    def log(self, unit, since, lines):
        """The unit's last lines since that moment (seconds since 1970), oldest first."""
        _status, out, _err = self._run(
            ["journalctl", "--unit", unit, "--since", "@%.3f" % since, "--lines", str(lines)]
            + ["--output", "cat", "--no-pager", "--quiet"]
        )
        return out.splitlines()

    def environment(self, state):
        """What the unit's environment files set, to keep it out of what people read."""
        found = {}
        for path in state.environment_files:
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    found.update(parse_environment(file.read()))
            except OSError:
                continue
        return found

    def _do(self, command):
        status, out, err = self._run(command)
        if status:
            text = (err or out).strip()
            raise GatehouseError(
                "%s failed: %s" % (" ".join(command), text),
                cause="manager_refused",
                hint="systemd-analyze verify %s" % command[-1] if "--" in command else "journalctl -b _PID=1 -n 50",
            )
