# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Debian packages: which of those asked for are missing, by dpkg's own state, and their installation in one transaction.

apt's cache is opened only where something is missing: opening it costs a second, and most runs install nothing.
"""

from __future__ import annotations

import fnmatch
import os
import re
import time
from typing import Callable, NamedTuple, Tuple

from ansible_collections.gatehouse.webapp.plugins.module_utils import _commands
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._poll import Deadline, poll

# A package as apt-get takes it: nginx, libpq5:amd64, nginx=1.22.*, nginx/bookworm-backports.
REQUEST = re.compile(
    r"^(?P<name>[a-z0-9][a-z0-9+.-]*(?::[a-z0-9-]+)?)(?:=(?P<version>[^\s=/]+)|/(?P<suite>[^\s=/]+))?\Z"
)
STATE_FORMAT = "${binary:Package}\\t${Version}\\t${db:Status-Status}\\t${Provides}\\n"
LOCKED = re.compile(r"Could not get lock \S+ |Unable to (?:acquire the dpkg frontend lock|lock)")
HELD_BY = re.compile(r"held by process (?P<pid>\d+)(?: \((?P<name>[^)]*)\))?")
UNKNOWN = re.compile(r"Unable to locate package (\S+)|Package '?(\S+?)'? has no installation candidate")
LISTS = "/var/lib/apt/lists"
# Touched after each update by Ubuntu and by unattended-upgrades; LISTS is touched here.
UPDATE_STAMPS = ("/var/lib/apt/periodic/update-success-stamp", LISTS)
# What lies in LISTS without an update.
NO_LISTS = {"lock", "partial", "auxfiles"}
LOOK_SECONDS = 60
INSTALL_SECONDS = 3600
SHOWN_LINES = 8
# What to type where apt-get has failed, by the failure's cause.
NEXT = {"update_failed": "apt-get update", "install_failed": "dpkg --audit; apt-get --fix-broken install"}
NONINTERACTIVE = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}
# A configuration file that somebody has changed stays as it is.
INSTALL = (
    "apt-get",
    "install",
    "--quiet",
    "--assume-yes",
    "--no-install-recommends",
    "--option=Dpkg::Options::=--force-confdef",
    "--option=Dpkg::Options::=--force-confold",
)

Command = Callable[..., Tuple[int, str, str]]


class Installed(NamedTuple):
    """A package that dpkg has installed."""

    name: str  # without its architecture
    architecture: str | None  # where dpkg tells it apart
    version: str
    provides: tuple[str, ...]  # names of virtual packages


def parse_installed(text: str) -> list[Installed]:
    """The installed packages of what dpkg-query printed in STATE_FORMAT."""
    found = []
    for line in text.splitlines():
        fields = line.split("\t")
        if len(fields) == 4 and fields[2] == "installed":
            name, _separator, architecture = fields[0].partition(":")
            provides = tuple(word.split()[0] for word in fields[3].split(",") if word.strip())
            found.append(Installed(name, architecture or None, fields[1], provides))
    return found


def parse_request(request: str) -> tuple[str, str | None, str | None]:
    """(name, architecture, version) of a package asked for. A suite only chooses where a missing one comes from.

    What is no package is refused: apt-get would take it for an option or an expression.
    """
    parts = REQUEST.match(request)
    if parts is None:
        raise GatehouseError(
            "%r is not the name of a package. Write it as nginx, nginx=1.22.* or nginx/bookworm-backports" % request,
            "bad_name",
        )
    name, _separator, architecture = parts.group("name").partition(":")
    return name, architecture or None, parts.group("version")


def is_installed(request: str, installed: list[Installed]) -> bool:
    """Whether dpkg has what was asked for."""
    name, architecture, version = parse_request(request)
    for package in installed:
        if package.name == name and (not architecture or package.architecture in (None, architecture)):
            return version is None or fnmatch.fnmatchcase(package.version, version)
    return version is None and any(name in package.provides for package in installed)


class LockHolder(NamedTuple):
    """Who holds one of the package manager's locks, as far as apt tells."""

    pid: str | None
    name: str | None

    def __str__(self) -> str:
        return "process %s (%s)" % (self.pid, self.name or "unknown") if self.pid else "another process"

    @property
    def show(self) -> str:
        """The command that shows it."""
        return (
            "ps -o pid,user,etime,args -p %s" % self.pid
            if self.pid
            else "ps -eo pid,user,etime,args | grep -E 'apt|dpkg'"
        )


def lock_holder(messages: str) -> LockHolder | None:
    """Who holds the lock, where that is why a command failed; else None."""
    if not LOCKED.search(messages):
        return None
    held = HELD_BY.search(messages)
    return LockHolder(held.group("pid"), held.group("name")) if held else LockHolder(None, None)


class AptLists:
    """apt's lists of the packages that there are."""

    def are_older(self, seconds: float) -> bool:
        """Whether they were fetched longer ago, or never. A cloud image may come without any, in a folder of today."""
        try:
            if not set(os.listdir(LISTS)) - NO_LISTS:
                return True
        except OSError:
            return True
        return time.time() - max(filter(None, map(_modified, UPDATE_STAMPS))) > seconds

    def mark_fetched(self) -> None:
        """Where nothing was new, an update leaves the folder's time as it was."""
        os.utime(LISTS)


class Packages:
    """The packages of this host.

    lock_timeout: seconds to wait while another process holds the package manager's lock.
    update_after: seconds after which apt's lists are fetched anew before something is installed.
    run, lists, clock, sleep: the host, as arguments for tests.
    """

    def __init__(
        self,
        lock_timeout: float,
        update_after: float,
        run: Command = _commands.run,
        lists: AptLists | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.lock_timeout = lock_timeout
        self.update_after = update_after
        self.run = run
        self.lists = lists or AptLists()
        self.clock = clock
        self.sleep = sleep
        self.updated = False

    def installed(self) -> list[Installed]:
        status, output, messages = self.run(["dpkg-query", "--show", "--showformat=" + STATE_FORMAT], LOOK_SECONDS)
        if status:
            raise GatehouseError(
                "dpkg does not tell which packages are installed: %s" % (messages.strip() or "exit status %d" % status),
                "not_debian" if status == 127 else "dpkg_failed",
                "dpkg --audit" if status != 127 else "use Debian or Ubuntu: this host has no dpkg",
            )
        return parse_installed(output)

    def missing(self, requests: list[str]) -> list[str]:
        installed = self.installed()
        return [request for request in requests if not is_installed(request, installed)]

    def available(self, names: list[str]) -> list[str]:
        """Those that apt could install, by the lists that are on the host."""
        status, output, _messages = self.run(["apt-cache", "--quiet", "policy", *names], LOOK_SECONDS)
        return candidates(output, names) if status == 0 else []

    def update_old_lists(self) -> None:
        if self.lists.are_older(self.update_after):
            self.update()

    def update(self) -> None:
        self._apt(["apt-get", "update", "--quiet"], "apt's lists could not be fetched", "update_failed")
        self.lists.mark_fetched()
        self.updated = True

    def install(self, requests: list[str]) -> list[str]:
        """Install packages in one transaction; give those that are new on the host, dependencies included, sorted."""
        before = _names(self.installed())
        what = "%s could not be installed" % ", ".join(requests)
        try:
            self._apt([*INSTALL, *requests], what, "install_failed")
        except GatehouseError as error:
            if self.updated or error.cause == "packages_locked":
                raise
            # The archive may have moved on since the lists were fetched: what they name is gone, or what is new is not in them.
            self.update()
            self._apt([*INSTALL, *requests], what, "install_failed")
        return sorted(_names(self.installed()) - before)

    def _apt(self, argv: list[str], what: str, cause: str) -> None:
        deadline = Deadline(self.lock_timeout, self.clock)
        last = LockHolder(None, None)

        def attempt() -> tuple[int, str] | None:
            nonlocal last
            status, output, messages = self.run(argv, INSTALL_SECONDS, NONINTERACTIVE)
            # A command that got no lock has done nothing. apt-get writes who holds it to its output or its messages, by its version.
            holder = lock_holder(output + messages) if status else None
            if holder is None:
                return status, output + messages
            last = holder
            return None

        answer = poll(attempt, deadline, interval=2, sleep=self.sleep)
        if answer is None:
            raise GatehouseError(
                "%s: for %g s the package manager has been locked by %s" % (what, self.lock_timeout, last),
                "packages_locked",
                last.show,
            )
        status, printed = answer
        if status:
            raise _failure(what, cause, printed)


def candidates(output: str, names: list[str]) -> list[str]:
    """Those of the names for which `apt-cache policy` printed a version that can be installed."""
    found = re.findall(r"^(\S+):\n  Installed: .*\n  Candidate: (.*)$", output, re.MULTILINE)
    there = {name for name, version in found if version != "(none)"}
    return [name for name in names if name in there]


def _failure(what: str, cause: str, printed: str) -> GatehouseError:
    unknown = UNKNOWN.search(printed)
    if unknown:
        name = unknown.group(1) or unknown.group(2)
        return GatehouseError(
            "%s: no archive of this host has a package %s" % (what, name),
            "package_unknown",
            "apt-cache search %s" % name,
        )
    lines = [line for line in printed.splitlines() if line.startswith(("E:", "W:", "dpkg:"))] or printed.splitlines()
    return GatehouseError("\n".join([what + ":", *lines[-SHOWN_LINES:]]), cause, NEXT[cause])


def _names(installed: list[Installed]) -> set[str]:
    return {"%s=%s" % (package.name, package.version) for package in installed}


def _modified(path: str) -> float | None:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None
