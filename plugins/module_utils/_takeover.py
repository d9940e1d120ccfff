# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Root takes over what a build has made, without following, opening or sharing anything that the build could have prepared.

The build's user could write everything below these folders, so nothing there is believed. A folder is opened by its handle, never
by a path, and is root's before its entries are looked at: from then on nobody but root can put something else in an entry's place.
Sources: openat(2), symlink(7), acl(5), fcntl(2), proc(5).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shlex
import stat
import subprocess

from ansible_collections.gatehouse.webapp.plugins.module_utils import _commands
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._redact import printable

# Deeper than any package manager nests; each level holds a handle open.
DEEPEST = 256

# How many refused files an error names.
NAMED = 8

# Links that one link may lead over, as the kernel counts.
MOST_LINKS = 40

# Bytes of a path, as the kernel takes it at most. What lies deeper could not be opened by its name either.
LONGEST = 4095

# Characters of a name in an error.
SHOWN = 240

# Programs that a virtual environment, or a native module's build, links to where the system has them.
INTERPRETER = re.compile(r"(?:python|pypy|node)[0-9.]*[a-z]*")

# What is left of a checkout, of the app's or of a dependency's. It may hold the address by which it was fetched, with a password in it, and
# nothing that runs needs it.
GIT = ".git"

ACCESS_LISTS = ("system.posix_acl_access", "system.posix_acl_default")


class Takeover:
    """The folders of one release that a build could write.

    release: the release's folder, root's own.   folders: names below it.
    builder: the user id that may own what is found.   owner: (uid, gid) that all of it gets.
    """

    def __init__(self, release, folders, builder, owner, proc="/proc"):
        self.release = release
        self.folders = [name for name in folders if os.path.lexists(os.path.join(release, name))]
        self._builder = builder
        self._uid, self._gid = owner
        self._proc = proc
        self._refused = []  # (path below the release, why)
        self._links = []  # paths below the release
        self._files = {}  # {(device, inode): path below the release} of every file and folder that was taken over
        self._written = {}  # {(device, inode): path below the release} of those that somebody may still write to

    def run(self):
        """Take everything over, but for what git left, which is removed. An error names what can't be taken over."""
        for name in self.folders:
            handle = os.open(os.path.join(self.release, name), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            self._folder(handle, name, os.fstat(handle).st_dev, 0)
        for path in self._links:
            outside = _Link(self.release, path, self.folders).leaves()
            if outside and not _is_interpreter(outside):
                target = os.readlink(os.path.join(self.release, path))
                place = target if target == outside else "%s (%s)" % (target, outside)
                self._refuse(path, "is a link that leaves the release, to %s" % place)
        for file, pid in self._held():
            self._written.pop(file, None)
            self._refuse(self._files[file], "is held open by process %d" % pid)
        for path in self._written.values():
            self._refuse(path, "is held open for writing by a process that can't be found")
        if self._refused:
            self._raise()

    def _folder(self, handle, path, device, depth):
        try:
            info = os.fstat(handle)
            if info.st_dev != device:
                return self._refuse(path, "is the root of another file system")
            if info.st_uid != self._builder:
                return self._refuse(path, "belongs to user id %d, not to the build's" % info.st_uid)
            if depth > DEEPEST:
                return self._refuse(path, "lies more than %d folders deep" % DEEPEST)
            os.fchown(handle, self._uid, self._gid)
            os.fchmod(handle, _mode(info.st_mode))
            _drop_access_lists(handle)
            self._files[info.st_dev, info.st_ino] = path
            for name in sorted(os.listdir(handle)):
                self._entry(handle, name, "%s/%s" % (path, name), device, depth)
        finally:
            os.close(handle)

    def _entry(self, folder, name, path, device, depth):
        info = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if name == GIT:
            return remove(name, folder)
        if len(os.fsencode(os.path.join(self.release, path))) > LONGEST:
            return self._refuse(path, "has a path of more than %d bytes" % LONGEST)
        if stat.S_ISDIR(info.st_mode):
            child = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            return self._folder(child, path, device, depth + 1)
        if info.st_uid != self._builder:
            return self._refuse(path, "belongs to user id %d, not to the build's" % info.st_uid)
        if stat.S_ISLNK(info.st_mode):
            os.chown(name, self._uid, self._gid, dir_fd=folder, follow_symlinks=False)
            return self._links.append(path)
        if not stat.S_ISREG(info.st_mode):
            return self._refuse(path, "is a %s" % _kind(info.st_mode))
        if info.st_nlink > 1:
            # Its other names may lie in a cache, or in another release: this one gets an inode of its own.
            info = _copy(folder, name, info)
        if not info.st_mode & 0o400:
            os.chmod(name, 0o600, dir_fd=folder)
        # The folder is root's, so the entry is still the one that was looked at.
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        try:
            os.fchown(handle, self._uid, self._gid)
            os.fchmod(handle, _mode(info.st_mode))
            _drop_access_lists(handle)
            if _is_open_for_writing(handle):
                self._written[info.st_dev, info.st_ino] = path
        finally:
            os.close(handle)
        self._files[info.st_dev, info.st_ino] = path
        return None

    def _held(self):
        """[((device, inode), pid), ...] of what was taken over and a process has open, maps to write, works in or runs.

        Root's own processes may read what they like: a backup, or a search index.
        """
        found = []
        for pid in filter(str.isdigit, os.listdir(self._proc)):
            process = os.path.join(self._proc, pid)
            for path in [] if _is_root(process) else _handles(process):
                with contextlib.suppress(OSError):  # it has ended, or was closed
                    info = os.stat(path)
                    if (info.st_dev, info.st_ino) in self._files:
                        found.append(((info.st_dev, info.st_ino), int(pid)))
        return found

    def _refuse(self, path, why):
        self._refused.append((path, why))

    def _raise(self):
        shown = ["%s %s" % (_shown(path), _shown(why)) for path, why in self._refused[:NAMED]]
        more = len(self._refused) - len(shown)
        raise GatehouseError(
            "the release can't be sealed: %s%s" % ("; ".join(shown), "; and %d more" % more if more else ""),
            cause="bad_source",
            hint="let the source and the build make files, folders, and links to what lies beside them",
            refused=[_shown(path) for path, _why in self._refused],
        )


class _Link:
    """Where a link leads, step by step: a path that comes back into the release after it was outside has left it."""

    def __init__(self, release, path, folders):
        self._release = release
        self._folders = folders
        self._left = path.split("/")
        self._at = []  # the folders passed, below the release

    def leaves(self):
        """The path outside to which it leads, as an absolute one; None where it stays in the folders that a build fills."""
        followed = 0
        while self._left:
            step = self._left.pop(0)
            if step in ("", os.curdir):
                continue
            if step == os.pardir:
                if not self._at:
                    return self._outside(os.path.dirname(self._release))
                self._at.pop()
                continue
            here = os.path.join(self._release, *self._at, step)
            try:
                target = os.readlink(here)
            except OSError as error:
                # No link, or nothing at all: a link to what is not there yet leads there all the same. So does one with a name that
                # nothing can have.
                if error.errno not in (errno.EINVAL, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                    raise
                self._at.append(step)
                continue
            followed += 1
            if followed > MOST_LINKS:
                return None  # a ring: it leads nowhere
            if os.path.isabs(target):
                below = self._below_release(target)
                if below is None:
                    return self._outside(target)
                self._at, target = [], below
            self._left = target.split("/") + self._left
        return None if self._at[:1] and self._at[0] in self._folders else os.path.join(self._release, *self._at)

    def _outside(self, path):
        return os.path.join(path, *self._left)

    def _below_release(self, target):
        words, own = target.split("/"), self._release.split("/")
        return "/".join(words[len(own) :]) if words[: len(own)] == own else None


def _is_interpreter(path):
    """Whether a path outside leads to the system's own Python or Node: a program that is root's, by folders and links that are root's.

    What is on the way counts as much as the end: a folder or link of somebody else could lead to another program later.
    """
    left, at, followed = path.split("/"), "/", 0
    while left:
        step = left.pop(0)
        if step in ("", os.curdir):
            continue
        if step == os.pardir:
            at = os.path.dirname(at)
            continue
        here = os.path.join(at, step)
        try:
            info = os.lstat(here)
        except OSError:
            return False
        if info.st_uid != 0 or (not stat.S_ISLNK(info.st_mode) and info.st_mode & 0o022):
            return False
        if stat.S_ISLNK(info.st_mode):
            followed += 1
            if followed > MOST_LINKS:
                return False
            target = os.readlink(here)
            at = "/" if os.path.isabs(target) else at
            left = target.split("/") + left
        else:
            at = here
    info = os.lstat(at)
    return bool(INTERPRETER.fullmatch(os.path.basename(at)) and stat.S_ISREG(info.st_mode) and info.st_mode & 0o111)


def remove(name, folder=None):
    """Remove a file, or a folder with all that it holds, however deep.

    folder: the handle of the one in which it lies; without it the name is a path.   rm(1) follows no link, not even one that comes into
    the place of a folder while it is at work, and goes deeper than a path can name.
    """
    place = {} if folder is None else {"cwd": "/proc/self/fd/%d" % folder}
    done = subprocess.run(
        ["rm", "-rf", "--one-file-system", "--", name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=dict(os.environ, LC_ALL="C", PATH=_commands.PATH),
        check=False,
        **place,
    )
    if done.returncode:
        told = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise GatehouseError(
            "%s can't be removed: %s" % (_shown(name), _shown((told or ["rm tells no reason"])[-1])),
            cause="not_removed",
            hint="lsattr -d %s   # is it immutable, or a mount?" % shlex.quote(name),
        )


def _mode(mode):
    """Root's mode is the builder's, the group may read and enter what the builder could, and nobody else anything.

    No setuid, setgid or sticky bit is left.
    """
    own = stat.S_IMODE(mode) & 0o700
    return own | (own >> 3) & 0o050


def _copy(folder, name, info):
    """Put a copy in the place of a file that has other names. Returns what stat tells of it."""
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    try:
        staged, target = _new_file(folder)
        try:
            left = os.fstat(source).st_size
            while left > 0:
                copied = _copy_some(source, target, left)
                if not copied:  # it became shorter
                    break
                left -= copied
            os.fchmod(target, stat.S_IMODE(info.st_mode) & 0o777)
            os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))
            found = os.fstat(target)
        finally:
            os.close(target)
        os.replace(staged, name, src_dir_fd=folder, dst_dir_fd=folder)
        return found
    finally:
        os.close(source)


def _new_file(folder):
    number = 0
    while True:
        name = ".gatehouse.%d" % number
        try:
            return name, os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
        except FileExistsError:
            number += 1


def _copy_some(source, target, size):
    """Copy at most this many bytes from where both handles are. Returns how many: 0 at the end."""
    try:
        # Shares blocks where the file system can (XFS, Btrfs).
        return os.copy_file_range(source, target, min(size, 1 << 30))
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
            raise
    return os.write(target, os.read(source, min(size, 1 << 20)))


def _drop_access_lists(handle):
    """Take away what lets others than owner and group at a file or folder."""
    try:
        names = os.listxattr(handle)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return
    for name in names:
        if name in ACCESS_LISTS:
            os.removexattr(handle, name)


def _is_open_for_writing(handle):
    """Whether anybody has the file open for writing, also where no process shows it: on its way from one to another, or in a ring.

    The kernel gives a lease to read where nobody has. Some file systems have no leases; then what the processes show must do.
    """
    try:
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def _is_root(process):
    """By its status: the owner of its folder in /proc is root for every process that wants no core dump."""
    try:
        with open(os.path.join(process, "status"), encoding="utf-8", errors="replace") as file:
            return any(line.split()[1:] == ["0"] * 4 for line in file if line.startswith("Uid:"))
    except OSError:  # it has ended
        return True


def _handles(process):
    """Paths in /proc that lead to what a process has open, works in, runs, or maps so that writing changes the file."""
    yield from (os.path.join(process, name) for name in ("cwd", "root", "exe"))
    with contextlib.suppress(OSError):
        for name in os.listdir(os.path.join(process, "fd")):
            yield os.path.join(process, "fd", name)
    with contextlib.suppress(OSError), open(os.path.join(process, "maps"), encoding="utf-8", errors="replace") as file:
        for line in file:
            words = line.split(None, 5)
            if words[1][1] == "w" and words[1][3] == "s" and words[4] != "0":
                # map_files has the same addresses without leading zeros.
                start, end = (int(address, 16) for address in words[0].split("-"))
                yield os.path.join(process, "map_files", "%x-%x" % (start, end))


def _kind(mode):
    kinds = (
        (stat.S_ISFIFO, "pipe"),
        (stat.S_ISSOCK, "socket"),
        (stat.S_ISBLK, "block device"),
        (stat.S_ISCHR, "device"),
    )
    return next((name for is_it, name in kinds if is_it(mode)), "file of an unknown kind")


def _shown(text):
    """A name that a build has chosen, as a person and a terminal can take it."""
    text = printable(text)
    return text if len(text) <= SHOWN else "%s...%s" % (text[: SHOWN // 2], text[-SHOWN // 2 :])
