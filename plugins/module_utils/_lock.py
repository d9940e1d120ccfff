# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""One deploy of an app at a time: a file on its host that says who deploys what, and since when.

A deploy is many tasks, so no process on the host lives as long as the lock: it is held by a process of the control node,
and that node can tell whether it still runs. Nobody else can; so a lock also ends by itself some time after it was last
renewed. It lies in /run: a host that was rebooted is not being deployed to.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time

from ansible_collections.gatehouse.webapp.plugins.module_utils._activation import write
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError


class Lock:
    """path: the file.   now: seconds since 1970."""

    def __init__(self, path, now=time.time):
        self.path = path
        self._now = now

    def holder(self):
        """Who holds it, or None: nobody, or no longer."""
        try:
            with open(self.path, encoding="utf-8") as file:
                found = json.load(file)
        except (OSError, ValueError):
            return None
        return found if found["until"] > self._now() else None

    def take(self, who, release, seconds, instead_of=None):
        """Hold it, or renew it, for that many seconds. Returns the other one who holds it, or None.

        who: {id, user, host, pid, ...}, of which the id tells whether two are the same.
        instead_of: the id of a holder that is known to be gone.
        """
        with self._alone():
            held = self.holder()
            if held and held["who"]["id"] not in (who["id"], instead_of):
                return held
            since = held["since"] if held and held["who"]["id"] == who["id"] else self._now()
            found = {"who": who, "since": since, "until": self._now() + seconds, "release": release}
            write(self.path, json.dumps(found, indent=2).encode("utf-8"))
        return None

    def leave(self, who):
        """Give it up, if it is this one's."""
        with self._alone():
            held = self.holder()
            if held and held["who"]["id"] == who["id"]:
                os.unlink(self.path)

    @contextlib.contextmanager
    def _alone(self):
        """Nobody else looks and writes at the same time."""
        folder = os.path.dirname(self.path)
        os.makedirs(folder, mode=0o755, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def refusal(app, held, now):
    """The error for one who wants the lock that another holds."""
    who = held["who"]
    return GatehouseError(
        "%s is being deployed by %s on %s (pid %d), for %d min%s"
        % (
            app,
            who["user"],
            who["host"],
            who["pid"],
            (now - held["since"]) // 60,
            ", release %s" % held["release"] if held["release"] else "",
        ),
        cause="locked",
        hint="wait for it; or, when you know that it has ended, type the same command again with: -e webapp_break_lock=true",
        holder=dict(held, release=held["release"]),
    )
