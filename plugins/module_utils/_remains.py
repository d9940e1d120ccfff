# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What deploys have put on a host for each app, wherever it lies, and how all of it is taken away.

Each thing has a mark of a deploy's: a manifest in /srv/APP, the comment of a user, /srv/APP/ in a unit. What has none is somebody else's.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import re

from ansible_collections.gatehouse.webapp.plugins.module_utils import _commands
from ansible_collections.gatehouse.webapp.plugins.module_utils._account import BUILDS, RUNS, foreign_owner
from ansible_collections.gatehouse.webapp.plugins.module_utils._activation import MANIFEST
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._processes import end_those_of
from ansible_collections.gatehouse.webapp.plugins.module_utils._serves import NGINX, read
from ansible_collections.gatehouse.webapp.plugins.module_utils._takeover import remove

APP = re.compile(r"[a-z][a-z0-9-]{0,30}\Z")
INSTANCE = re.compile(r"([a-z][a-z0-9-]*)@([0-9]*)\.service\Z")
# In nginx's configuration: an upstream of an app's, its files, or what its deploys say of its instances.
LED = re.compile(r"^\s*upstream ([a-z0-9-]+) \{|/srv/([a-z0-9-]+)/|/run/gatehouse/rotation/([a-z0-9-]+)/", re.M)
# Folders of an app's: what it writes, and what its deploys do, until the next boot.
LOGS = "var/log"
DATA = ("var/lib", LOGS)
GOES_ON = "an app of another name goes on with it"
RUN = ("run/gatehouse/rotation", "run/gatehouse/build")
# users, units: as _users() and _units() give them.   groups: {group: the user that runs an app in it}.   led: as led() gives it.
Seen = collections.namedtuple("Seen", "users units groups led")
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
        seen = self._look()
        names = {app for app, _user, _uid, _gid in seen.users} | {app for app, _unit, _port in seen.units}
        names |= {name for name in _listed(self.path("srv")) if self._has_manifest(name)}
        # The log of an app that had this name for a while, and ran as the user of its first one.
        names |= {name for name in _listed(self.path(LOGS)) if self._group(LOGS, name) in seen.groups}
        return {name: self._what(name, seen) for name in sorted(names) if APP.match(name)}

    def what(self, app):
        """{ports, units, files, users, data, runs_as, source, led}: the ports of its instances, and what to take away.

        data: the folders that it writes to.   runs_as: the user of its instances.   source: where its live release came from, as the
        manifest tells it. None where that is not known.   led: whether nginx leads requests to it.
        """
        return self._what(app, self._look())

    def _look(self):
        """What is the same for all apps."""
        users = self._users()
        return Seen(users, self._units(), {gid: user for app, user, _uid, gid in users if user == app}, self.led())

    def _what(self, app, seen):
        users = [user for name, user, _uid, _gid in seen.users if name == app]
        units = [(unit, port) for name, unit, port in seen.units if name == app]
        folder, logrotate = self.path("srv", app), self.path("etc/logrotate.d", app)
        files = [folder] if users or self._has_manifest(app) else []
        if self.path("var/log", app, app + ".log") in read(logrotate):
            files.append(logrotate)
        files += [self.path(place, app) for place in RUN]
        return {
            "ports": sorted(port for _unit, port in units if port),
            "units": sorted(unit for unit, _port in units),
            "files": [path for path in files if os.path.lexists(path)],
            "users": users,
            "data": [self.path(one, app) for one in DATA if self._writes(one, app, users, seen.groups)],
            "runs_as": self._user_of([unit for unit, port in units if port])
            or seen.groups.get(self._group("srv", app)),
            "source": self._source(app),
            "led": app in seen.led,
        }

    def led(self):
        """The names that nginx's configuration leads requests to, as those of apps; none where nginx was stopped for good."""
        if not any(os.path.lexists(self.path(place.lstrip("/"))) for place in NGINX):
            return set()
        folder = self.path("etc/nginx/gatehouse")
        text = "".join(read(os.path.join(folder, name)) for name in _listed(folder) if name.endswith(".conf"))
        return {name for names in LED.findall(text) for name in names if name}

    def _writes(self, place, app, users, groups):
        """Whether an app has a folder there. A log may be there that another app's user wrote under this name."""
        group = self._group(place, app)
        return group is not None and (bool(users) or place == LOGS and group in groups)

    def _group(self, *parts):
        """The id of a path's group; None where nothing is there."""
        with contextlib.suppress(OSError):
            return os.lstat(self.path(*parts)).st_gid
        return None

    def _user_of(self, units):
        found = [re.search(r"^User=(\S+)$", read(self.path("etc/systemd/system", unit)), re.M) for unit in units]
        return next((match.group(1) for match in found if match), None)

    def _source(self, app):
        try:
            return json.loads(read(self.path("srv", app, "current", MANIFEST))).get("source")
        except (ValueError, AttributeError):
            return None

    def _has_manifest(self, app):
        """Whether a release of the app is whole, or was when it was live."""
        releases = self.path("srv", app, "releases")
        return any(os.path.isfile(os.path.join(releases, one, MANIFEST)) for one in _listed(releases))

    def _units(self):
        """[(app, unit, its port)] of the units that deploys have made. The port is None where it is none of an instance's."""
        found, folder = [], self.path("etc/systemd/system")
        for name in _listed(folder):
            instance, log = INSTANCE.match(name), LOG_UNIT.match(name)
            if instance and "/srv/%s/" % instance.group(1) in read(os.path.join(folder, name)):
                found.append((instance.group(1), name, int(instance.group(2)) if instance.group(2) else None))
            elif log and "Copy of the journal of %s in " % log.group(1) in read(os.path.join(folder, name)):
                found.append((log.group(1), name, None))
        return found

    def _users(self):
        """[(app, user, its id, its group's)] of the users that were made for apps, root never."""
        found = []
        for line in read(self.path("etc/passwd")).splitlines():
            fields = line.split(":")
            if len(fields) != 7 or not (fields[2] + fields[3]).isdigit() or fields[2] == "0":
                continue
            for mark in (RUNS, BUILDS):
                start = mark % ""
                if fields[4].startswith(start):
                    found.append((fields[4][len(start) :], fields[0], int(fields[2]), int(fields[3])))
        return found

    # Taking it away

    def take_away(self, app, data=False, check=False):
        """([removed], {kept: why}), each a path or a user. data: whether what the app has written goes too, and with it its user.

        An app that has another name now goes on as the same user, who stays with its data.

        A run that is cut short leaves what the next one finds: the users, by which all else is known, go last.
        """
        there = self.what(app)
        renamed = any(name != app and one["runs_as"] == app for name, one in self.find().items())
        removed, kept = list(there["units"]), {}
        if not check:
            self._stop(app, there["units"])
        own = {user: uid for name, user, uid, _gid in self._users() if name == app}
        if not check:
            for user, uid in own.items():
                if not (renamed and user == app):
                    self._end(uid)
        for path in there["files"] + there["data"]:
            why = self._why_kept(path, app, data, renamed) if path in there["data"] else None
            if why:
                kept[path] = why
                continue
            if os.path.islink(path):
                # Whoever made the link knows what else lies there.
                kept[os.path.realpath(path)] = "%s led there" % path
            removed.append(path)
            if not check:
                remove(path)
        owns = bool(kept) or renamed
        kept.update((path, "an administrator has added it") for path in self._added(app))
        for user in there["users"]:
            if user == app and owns:
                kept["user " + user] = GOES_ON if renamed else "what is kept belongs to it"
                continue
            removed.append("user " + user)
            if not check:
                self._do("userdel", user)
        return removed, kept

    def _added(self, app):
        """Drop-ins of its units and units that are masked, which no deploy makes."""
        folder = self.path("etc/systemd/system")
        units = re.compile(r"%s(@[0-9]*|-log)\.service(\.d)?\Z" % re.escape(app))
        found = [os.path.join(folder, name) for name in _listed(folder) if units.match(name)]
        return [path for path in found if path.endswith(".d") or os.path.realpath(path) == os.devnull]

    def _why_kept(self, path, app, data, renamed):
        if renamed:
            return GOES_ON
        if not data:
            return "the app has written it"
        if os.path.ismount(path):
            return "a disk is mounted there"
        return self._whose(path, self._look().groups.get(self._group(path), app))

    def _stop(self, app, units):
        """End the instances for good, and have systemd forget them."""
        if units:
            self._do("systemctl", "disable", "--now", "--quiet", "--", *units)
        for unit in units:
            os.unlink(self.path("etc/systemd/system", unit))
        links = self._wanted(app)
        for link in links:
            os.unlink(link)
        if units or links:
            self._do("systemctl", "daemon-reload")
        if units:
            # One that had failed is still listed otherwise. Where none has, systemd knows no such unit.
            self._run(["systemctl", "reset-failed", "--", *units], 60)

    def _wanted(self, app):
        """The links by which its instances started at boot, of units that are gone or masked: of such, systemctl leaves them."""
        folder = self.path("etc/systemd/system")
        instance = re.compile(r"%s@[0-9]+\.service\Z" % re.escape(app))
        found = []
        for wants in (name for name in _listed(folder) if name.endswith(".wants")):
            for name in filter(instance.match, _listed(os.path.join(folder, wants))):
                unit = os.path.join(folder, name)
                if not os.path.exists(unit) or os.path.realpath(unit) == os.devnull:
                    found.append(os.path.join(folder, wants, name))
        return found

    def _do(self, *command):
        status, output, messages = self._run(list(command), 300)
        if status:
            raise GatehouseError(
                "%s failed: %s" % (" ".join(command), (messages or output).strip()),
                cause="not_removed",
                hint="%s   # and run it again" % " ".join(command),
            )


def _listed(folder):
    with contextlib.suppress(OSError):
        return sorted(os.listdir(folder))
    return []
