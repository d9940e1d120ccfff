# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The system users of an app: one runs it, another one builds it. Nobody logs in as either, and neither is anybody else's.

Sources: useradd(8), usermod(8), shadow(5).
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat

from ansible_collections.gatehouse.webapp.plugins.module_utils import _commands
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError

# By the comment one of ours is told from one of somebody else's.
RUNS = "gatehouse app %s"
BUILDS = "gatehouse build of %s"

# The home of the users that build, root's and empty. In one of their own they could let in whoever has a key, or have a manager of units
# started for them, and be out of the unit.
HOME = "/run/gatehouse/home"

# The app can put a key into its home, its data folder. Of an account that has expired sshd takes none; units don't ask.
EXPIRED, DAY = "1970-01-02", "1"

# Who writes the copies of the apps' logs.
READER = "gatehouse-log"

# In place of a name, of what a group or everybody may write.
SEVERAL_USERS = "several users"


class Accounts:
    """The users of the host. check: whether nothing is to be changed, so that one that is missing has the ids (0, 0).

    run, find, shadow, find_group: how they are looked up and made; tests give others.
    """

    def __init__(
        self, check=False, run=_commands.run, find=pwd.getpwnam, shadow="/etc/shadow", find_group=grp.getgrnam
    ):
        self._check = check
        self._run = run
        self._find = find
        self._find_group = find_group
        self._shadow = shadow

    def runner(self, name, app, home):
        """The (uid, gid) of the user that runs an app, which is made where it is missing."""
        # Its own name: of an app that has another one now, it is still the former.
        return self._own(name, app, RUNS % name, home)

    def builder(self, name, app):
        """The (uid, gid) of the user that builds an app, which is made where it is missing."""
        return self._own(name, app, BUILDS % app, HOME)

    def _own(self, name, app, comment, home):
        try:
            entry = self._find(name)
        except KeyError:
            _refuse(user_conflict(name, app, comment, None, self._has_group(name)), "user_conflict")
            if self._check:
                return 0, 0
            command = ["useradd", "--system", "--comment", comment, "--home-dir", home, "--no-create-home"]
            command += ["--expiredate", EXPIRED, "--shell", "/usr/sbin/nologin", name]
            self._tell(command, "the user %s of the app %s can't be made" % (name, app))
            entry = self._find(name)
        _refuse(user_conflict(name, app, comment, entry.pw_gecos), "user_conflict")
        if not self._check and self._expires(name) not in (DAY, None):
            command = ["usermod", "--expiredate", EXPIRED, name]
            self._tell(command, "log-ins as the user %s can't be refused" % name)
        return entry.pw_uid, entry.pw_gid

    def _has_group(self, name):
        try:
            return bool(self._find_group(name))
        except KeyError:
            return False

    def _expires(self, name):
        """The day on which the account expires, as text, counted from 1970 on; "" for never, None where no day is kept of it."""
        try:
            with open(self._shadow, encoding="utf-8", errors="replace") as file:
                lines = [line.rstrip("\n").split(":") for line in file if line.startswith(name + ":")]
        except OSError:
            return None
        return lines[0][7] if lines and len(lines[0]) > 7 else None

    def _tell(self, command, failure):
        status, _output, messages = self._run(command, 60)
        if status:
            raise GatehouseError(
                "%s: %s" % (failure, messages.strip()), cause="no_user", hint=" ".join(map(_quoted, command))
            )


def user_conflict(name, app, wanted, comment, group=False):
    """(why, what to do) when a user is none that was made for the app; else nothing (false).

    wanted: the comment of one that was.   comment: that of the one that is there; None where there is none.
    group: whether there is a group of that name. It would be the user's own, which reads the app's releases, and may have members.
    """
    if comment is None:
        return group and (
            "there is a group %s already, and no user of that name: its members could read the app's code" % name,
            "give the app another name; or, when nothing uses the group: groupdel %s" % name,
        )
    return comment != wanted and (
        "there is a user %s already, and it was not made for the app %s (its comment is %r): the app would have all that it has"
        % (name, app, comment),
        "give the app another name; or, when that user is the app's and nobody logs in as it: usermod --comment '%s' %s"
        % (wanted, name),
    )


def folder_conflict(path, user, whose):
    """(why, what to do) when a folder that is to be the user's is somebody else's; else nothing (false). whose: as foreign_owner() says."""
    return whose and (
        "%s is there already, and %s: the app would get all that is in it" % (path, whose),
        "give the app another name; or, when all in it is the app's: chown -R %s:%s %s" % (user, user, path),
    )


def foreign_owner(path, user, find=pwd.getpwnam):
    """Whose it is, in words, when a folder that systemd would give to an app holds what is somebody else's; else None.

    An empty one of root's is nobody's; so is a disk that was mounted there. A link there is root's: what counts is where it leads.
    """
    if not os.path.lexists(path):
        return None
    try:
        info = os.stat(path)
    except OSError:
        return "it leads nowhere"
    own = set()
    for name in (user, READER):
        with contextlib.suppress(KeyError):
            own.add(find(name).pw_uid)
    if not stat.S_ISDIR(info.st_mode):
        return "it is no folder"
    if info.st_uid in own or (info.st_uid == 0 and set(os.listdir(path)) <= {"lost+found"}):
        return None
    return "it belongs to %s" % name_of(info.st_uid)


def refuse_foreign(paths, user):
    """Refuse folders that hold what is somebody else's: systemd would give them to the app, with all below them."""
    for path in paths:
        _refuse(folder_conflict(path, user, foreign_owner(path, user)), "path_conflict")


def _refuse(conflict, cause):
    if conflict:
        raise GatehouseError(conflict[0], cause=cause, hint=conflict[1])


def name_of(uid):
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return "user id %d" % uid


def _quoted(word):
    return "'%s'" % word if " " in word else word
