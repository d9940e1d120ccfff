# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What deploys have put on a host for each app, wherever it lies, and how all of it is taken away.

Each thing has a mark of a deploy's: a manifest in /srv/APP, the comment of a user, /srv/APP/ in a unit. What has none is somebody else's.
"""

from __future__ import annotations

import contextlib
import os
import re

from ansible_collections.gatehouse.webapp.plugins.module_utils import _commands
from ansible_collections.gatehouse.webapp.plugins.module_utils._account import BUILDS, RUNS, foreign_owner
from ansible_collections.gatehouse.webapp.plugins.module_utils._activation import MANIFEST
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._processes import end_those_of
from ansible_collections.gatehouse.webapp.plugins.module_utils._serves import NGINX
from ansible_collections.gatehouse.webapp.plugins.module_utils._takeover import remove

APP = re.compile(r"[a-z][a-z0-9-]{0,30}\Z")
INSTANCE = re.compile(r"([a-z][a-z0-9-]*)@([0-9]*)\.service\Z")
# In nginx's configuration: an upstream of the app's, its files, or what its deploys say of its instances.
LED = r"^\s*upstream %s \{|/srv/%s/|/run/gatehouse/rotation/%s/"
LOG_UNIT = re.compile(r"([a-z][a-z0-9-]*)-log\.service\Z")


class Host:
    """The host below a folder; tests give another one than /. run: how commands are run. end: how a user's processes are ended."""

    def __init__(self, top="/", run=_commands.run, end=end_those_of, whose=foreign_owner):
        self._top = top
        self._run = run
        self._end = end
        self._whose = whose

    def path(self, *parts):
        return os.path.join(self._top, *parts)

    # What there is

    def find(self):
        """{app: what there is of it}, as what() tells it, of each app that deploys have left anything of."""
        users = self._users()
        names = {app for app, _user, _uid in users}
        names |= {name for name in _listed(self.path("srv")) if self._has_manifest(name)}
        names |= {app for app, _unit, _port in self._units()}
        return {name: self.what(name) for name in sorted(names) if APP.match(name)}

    def what(self, app):
        """{ports, units, files, users, data}: the ports of its instances, and what to take away. data: the folders that it writes to."""
        users = [user for name, user, _uid in self._users() if name == app]
        units = [(unit, port) for name, unit, port in self._units() if name == app]
        folder, rotation = self.path("srv", app), self.path("run/gatehouse/rotation", app)
        logrotate = self.path("etc/logrotate.d", app)
        files = [folder] if users or self._has_manifest(app) else []
        if self.path("var/log", app, app + ".log") in _read(logrotate):
            files.append(logrotate)
        files.append(rotation)
        data = [self.path(one, app) for one in ("var/lib", "var/log")]
        return {
            "ports": sorted(port for _unit, port in units if port),
            "units": sorted(unit for unit, _port in units),
            "files": [path for path in files if os.path.lexists(path)],
            "users": users,
            "data": [path for path in data if users and os.path.lexists(path)],
        }

    def _has_manifest(self, app):
        """Whether a release of the app is whole, or was when it was live."""
        releases = self.path("srv", app, "releases")
        return any(os.path.isfile(os.path.join(releases, one, MANIFEST)) for one in _listed(releases))

    def _units(self):
        """[(app, unit, its port)] of the units that deploys have made. The port is None where it is none of an instance's."""
        found, folder = [], self.path("etc/systemd/system")
        for name in _listed(folder):
            instance, log = INSTANCE.match(name), LOG_UNIT.match(name)
            if instance and "/srv/%s/" % instance.group(1) in _read(os.path.join(folder, name)):
                found.append((instance.group(1), name, int(instance.group(2)) if instance.group(2) else None))
            elif log and "Copy of the journal of %s in " % log.group(1) in _read(os.path.join(folder, name)):
                found.append((log.group(1), name, None))
        return found

    def _users(self):
        """[(app, user, its id)] of the users that were made for apps, root never."""
        found = []
        for line in _read(self.path("etc/passwd")).splitlines():
            fields = line.split(":")
            if len(fields) != 7 or not fields[2].isdigit() or fields[2] == "0":
                continue
            for mark in (RUNS, BUILDS):
                start = mark % ""
                if fields[4].startswith(start):
                    found.append((fields[4][len(start) :], fields[0], int(fields[2])))
        return found

    # Taking it away

    def take_away(self, app, data=False, check=False):
        """({removed}, {kept: why}), each a path or a sentence. data: whether what the app has written goes too, and with it its user.

        A run that is cut short leaves what the next one finds: the users, by which all else is known, go last.
        """
        there = self.what(app)
        removed, kept = list(there["units"]), {}
        if not check:
            self._stop(app, there["units"])
        own = {user: uid for name, user, uid in self._users() if name == app}
        if not check:
            for uid in own.values():
                self._end(uid)
        for path in there["files"] + there["data"]:
            why = self._why_kept(path, app, data) if path in there["data"] else None
            if why:
                kept[path] = why
                continue
            if os.path.islink(path):
                # Whoever made the link knows what else lies there.
                kept[os.path.realpath(path)] = "%s led there" % path
            removed.append(path)
            if not check:
                remove(path)
        for user in there["users"]:
            if user == app and kept:
                kept["user " + user] = "what is kept belongs to it"
                continue
            removed.append("user " + user)
            if not check:
                self._do("userdel", user)
        return removed, kept

    def _why_kept(self, path, app, data):
        if not data:
            return "the app has written it"
        if os.path.ismount(path):
            return "a disk is mounted there"
        return self._whose(path, app)

    def _stop(self, app, units):
        """End the instances for good, and have systemd forget them."""
        if not units:
            return
        self._do("systemctl", "disable", "--now", "--quiet", "--", *units)
        for unit in units:
            os.unlink(self.path("etc/systemd/system", unit))
        self._do("systemctl", "daemon-reload")
        # One that had failed is still listed otherwise. Where none has, systemd knows no such unit.
        self._run(["systemctl", "reset-failed", "--", *units], 60)

    def _do(self, *command):
        status, output, messages = self._run(list(command), 300)
        if status:
            raise GatehouseError(
                "%s failed: %s" % (" ".join(command), (messages or output).strip()),
                cause="not_removed",
                hint="%s   # and run it again" % " ".join(command),
            )


def led_to(apps, folder="/etc/nginx/gatehouse", nginx=NGINX):
    """Those of the apps that nginx's configuration leads requests to; none where nginx was stopped for good."""
    if not any(map(os.path.lexists, nginx)):
        return []
    text = "".join(_read(os.path.join(folder, name)) for name in _listed(folder) if name.endswith(".conf"))
    return [app for app in apps if re.search(LED % ((re.escape(app),) * 3), text, re.M)]


def _listed(folder):
    with contextlib.suppress(OSError):
        return sorted(os.listdir(folder))
    return []


def _read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
