# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Which release is the live one, and which release each instance runs.

LINK                    names the live release; only a release that has passed its gate gets there
RELEASE/green           there when the release is served by the second set of instances; proxies look for LINK/green at
                        each request, so that flipping the link moves the traffic with it, in one step and with no reload
RELEASE/passed.json     the gate that it passed, where, and which release was live before it
RELEASE/written.json    {file: sha256} of what root wrote into it: units and environment files, which are read by root again
SYSTEM/INSTANCE         the unit of one instance: a copy of the unit in the release that it runs
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import stat
import time

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._poll import Deadline, poll

GREEN = "green"
RECORD = "passed.json"
WRITTEN = "written.json"
MANIFEST = "manifest.json"
SYSTEM = "/etc/systemd/system"

# Who writes units and environment files.
OWNER = 0

# Seconds to wait for an activation that is under way: as long as gates and a drain may take.
PATIENCE = 600.0


class Activation:
    """link: the path that names the live release.   target: the release folder to go live.
    unit: the unit's file below a release; None: it has no instances.   system: where systemd reads units.
    """

    def __init__(self, link, target, unit=None, system=SYSTEM):
        self.link = link
        self.target = os.path.realpath(target)
        self.unit = unit
        self.system = system

    def check(self):
        if not os.path.isdir(self.target):
            raise GatehouseError(
                "the release %s does not exist" % self.target,
                cause="bad_input",
                hint="ls %s" % os.path.dirname(self.target),
            )
        if os.path.exists(self.link) and not os.path.islink(self.link):
            raise GatehouseError(
                "%s is not a link, so it can't be flipped to a release" % self.link,
                cause="bad_input",
                hint="move it away: mv %s %s.old" % (self.link, self.link),
            )
        if self.unit and not os.path.lexists(os.path.join(self.target, self.unit)):
            raise GatehouseError("the release %s has no file %s" % (self.target, self.unit), cause="bad_input")
        self._check_written()

    def _check_written(self):
        """Refuse a release whose unit or environment is not what root wrote: root copies the one, systemd reads the other as root."""
        if self.unit:
            read_own(self.target, self.unit)
        if not os.path.lexists(os.path.join(self.target, MANIFEST)):
            return  # not made by the module release
        if not os.path.lexists(os.path.join(self.target, WRITTEN)):
            raise GatehouseError(
                "the release %s was made by a version before 0.4.0, which did not note what it wrote into it"
                % self.target,
                cause="not_as_written",
                hint="deploy that version of the source again: by source.version, or from the folder as it was",
            )
        for name, digest in json.loads(read_own(self.target, WRITTEN).decode("utf-8")).items():
            if hashlib.sha256(read_own(self.target, name)).hexdigest() != digest:
                raise _not_as_written(self.target, name, "holds something else")

    @contextlib.contextmanager
    def alone(self, clock=time.monotonic, sleep=time.sleep):
        """Nobody else activates a release of this app at the same time.

        A module goes on when the play that began it was killed, or has lost its connection: it is waited for, and what it
        leaves is what is found. The kernel gives the lock back with the process that held it.
        """
        folder = os.path.dirname(self.link)
        if not os.path.isdir(folder):  # check() says what is wrong
            yield
            return
        handle = os.open(folder, os.O_RDONLY)
        try:
            if not poll(lambda: _try_lock(handle) or None, Deadline(PATIENCE, clock), 0.5, sleep):
                raise GatehouseError(
                    "another activation of a release in %s is under way, and did not end in %g s" % (folder, PATIENCE),
                    cause="locked",
                    hint="fuser -v %s   # who holds it" % folder,
                )
            yield
        finally:
            os.close(handle)

    def live(self):
        """The folder of the live release; None when there is none, or none any more."""
        folder = os.path.realpath(self.link) if os.path.islink(self.link) else None
        return folder if folder and os.path.isdir(folder) else None

    def is_live(self):
        return self.live() == self.target

    def is_green(self, release):
        """Whether the release is served by the second set of instances."""
        return os.path.lexists(os.path.join(release, GREEN))

    # The commit

    def flip(self, green=False):
        """Make the target the live release, and its set the one that gets the traffic. Returns what was, for flip_back."""
        former = self.live()
        before = former, bool(former) and self.is_green(former)
        self._flip(self.target, green)
        return before

    def flip_back(self, before):
        former, green = before
        if former:
            self._flip(former, green)
        else:
            remove(self.link)

    def _flip(self, release, green):
        # Of a release that is not live nobody looks for the flag: the link is the one step that counts. For one that
        # is live, and changes its set, it is the flag.
        flag = os.path.join(release, GREEN)
        if green and not os.path.lexists(flag):
            write(flag, b"")
        if not green:
            remove(flag)
        point(self.link, release)

    # What a release has passed

    def record(self, gate, services):
        """Note that the target passed this gate, as these instances. Returns whether that is news.

        The gate stays with the release: should it be gone back to, it is measured as it was when it was good, not as
        the next version wants to be measured.
        """
        found = {"gate": gate, "services": services, "after": self._predecessor()}
        if found == self.passed(self.target):
            return False
        text = json.dumps(found, indent=2, sort_keys=True).encode("utf-8")
        write(os.path.join(self.target, RECORD), text, 0o600)
        return True

    def forget(self):
        """The target has passed nothing after all."""
        remove(os.path.join(self.target, RECORD))

    def _predecessor(self):
        """The release to go back to from the target, by name.

        Whatever is live now; but a release that the live one has come after is gone back to, and keeps its own.
        """
        live = self.live()
        own = self.passed(self.target).get("after")
        if live in (None, self.target):
            return own
        folder = os.path.dirname(self.target)
        return own if self.target in lineage(folder, live) else os.path.basename(live)

    @staticmethod
    def passed(release):
        """What the release has passed; an empty dict when that is nothing, or can't be read."""
        try:
            return json.loads((_read(os.path.join(release, RECORD)) or b"{}").decode("utf-8"))
        except ValueError:  # cut short: the disk was full, or the power went
            return {}

    # The units of the instances

    def unit_of(self, release):
        """The text of the release's unit."""
        return read_own(release, self.unit)

    def installed(self, service):
        """The text of an instance's unit on the host, or None."""
        return _read(self._path(service))

    def has_other_unit(self, service):
        return self.installed(service) != self.unit_of(self.target)

    def install(self, service, text):
        """Give an instance this unit; None: take away what it has. Returns whether anything changed."""
        if self.installed(service) == text:
            return False
        if text is None:
            remove(self._path(service))
        else:
            write(self._path(service), text)
        return True

    def _path(self, service):
        return os.path.join(self.system, service)


def lineage(folder, release):
    """The releases to go back to from this one, the nearest first, as far as they are still there."""
    found = []
    while True:
        name = Activation.passed(release).get("after")
        release = os.path.join(folder, name) if name else None
        if release is None or release in found or not os.path.isdir(release):
            return found
        found.append(release)


def point(link, folder):
    """Make the link name the folder, in one step that can't be seen half done. Returns whether it named another."""
    if os.path.islink(link) and os.path.realpath(link) == os.path.realpath(folder):
        return False
    staged = link + ".new"
    remove(staged)
    os.symlink(os.path.relpath(folder, os.path.dirname(link)), staged)
    os.replace(staged, link)
    return True


def read_own(release, name):
    """The content of a file that root wrote into a release. An error when anybody else could have made it what it is.

    It must be a regular file under one name, root's, in folders of root's from the release's parent on, and nobody else may write any
    of them.
    """
    folder = os.open(os.path.dirname(release), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _refuse_foreign(os.fstat(folder), release, name)
        *folders, last = [os.path.basename(release), *name.split("/")]
        for step in folders:
            below = os.open(step, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = below
            _refuse_foreign(os.fstat(folder), release, name)
        handle = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        try:
            info = os.fstat(handle)
            _refuse_foreign(info, release, name)
            if not stat.S_ISREG(info.st_mode):
                raise _not_as_written(release, name, "is no regular file")
            if info.st_nlink != 1:
                raise _not_as_written(release, name, "has another name too, a hard link")
            with open(handle, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(handle)
    except OSError as error:
        why = {errno.ELOOP: "is a link", errno.ENOENT: "is not there"}.get(
            error.errno, "can't be read: %s" % error.strerror
        )
        raise _not_as_written(release, name, why) from None
    finally:
        os.close(folder)


def _refuse_foreign(info, release, name):
    if info.st_uid != OWNER:
        raise _not_as_written(release, name, "or a folder that it lies in belongs to user id %d" % info.st_uid)
    if info.st_mode & 0o022:
        raise _not_as_written(release, name, "or a folder that it lies in can be written by others than root")


def _not_as_written(release, name, why):
    return GatehouseError(
        "%s of the release %s is not what root wrote there: it %s" % (name, release, why),
        cause="not_as_written",
        hint="ls -la %s   # and who could write there? A new release is staged when this one is removed" % release,
    )


def _try_lock(handle):
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def write(path, content, mode=0o644):
    """Replace a file in one step, on the disk before it is seen."""
    staged = path + ".new"
    remove(staged)
    with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(staged, path)


def remove(path):
    if os.path.lexists(path):
        os.unlink(path)
