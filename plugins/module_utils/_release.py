# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Release folders of one app: staged to be filled, sealed when whole, pruned when old.

ROOT/current            names the live release           (flipped by health_restart)
ROOT/staged             names the one to become it next
ROOT/former             of an app of files, names the one that was live before
ROOT/releases/ID        one release, root's; whole once it holds its manifest, which is written last
ROOT/releases/ID/src    the code, and what a build makes of it: the build's user's until the release is sealed, then root's
ROOT/cache              what package installers keep between builds: the build's user's
ROOT/digest.key         with it, values of environment variables are told apart without being told
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import time

from ansible_collections.gatehouse.webapp.plugins.module_utils._activation import (
    MANIFEST,
    WRITTEN,
    lineage,
    point,
    read_own,
    write,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._processes import end_those_of
from ansible_collections.gatehouse.webapp.plugins.module_utils._takeover import Takeover, remove

RELEASE_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")

ROOT = 0

# A build needs about what the largest release has, and room to unpack in. At least this, in bytes and files.
LEAST_SPACE = 200 * 1024 * 1024
LEAST_FILES = 10000

# Characters of npm's own list of what it has installed. Of a longer one nothing is told.
LARGEST_LOCK = 32 * 1024 * 1024

# Seconds after which a release that is not whole counts as left behind by a build that failed.
LONGEST_BUILD = 24 * 3600


# What root writes into a release: plain files, of which the environment holds secrets.
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._-]*\Z")
ENVIRONMENT = "env"

# The folders below a release that a build may write.
BUILT = ("src", "venv")


class Releases:
    """The releases below `root`. reader: the group id of the user that runs them. builder: (uid, gid) of the one that builds them."""

    def __init__(self, root, reader, builder, now=time.time):
        self.root = root
        self.gid = reader
        self.builder = builder
        self.folder = os.path.join(root, "releases")
        self._now = now

    def path(self, release):
        if not RELEASE_ID.match(release):
            raise GatehouseError(
                "%r can't name a release: it takes letters, digits, '.', '_' and '-'" % release,
                cause="bad_input",
                hint="id: 3f9a1c2b71d0",
            )
        return os.path.join(self.folder, release)

    def is_whole(self, release):
        return os.path.isfile(os.path.join(self.path(release), MANIFEST))

    def lay_out(self):
        """Make the folders that every release needs. Returns whether any was missing or had other owners."""
        changed = False
        # The user may enter and read; only root may change which release is which. Others may pass through to what they
        # know by name: a proxy's workers look whether current/green is there, the build's user goes to what it builds.
        for path in (self.root, self.folder):
            changed = _own_folder(path, (ROOT, self.gid), 0o751) or changed
        if os.path.lexists(self.cache) and os.lstat(self.cache).st_uid != self.builder[0]:
            # Of another user's files the build's user can make no use, and root does not go in to change their owner.
            remove(self.cache)
        return _own_folder(self.cache, self.builder, 0o700) or changed

    @property
    def cache(self):
        return os.path.join(self.root, "cache")

    def stage(self, release, folders=BUILT[:1]):
        """An empty folder for a release that is not whole, and in it those that the build's user fills, which are its own.

        What a killed build left there goes first, and so does what still goes on there: commands on a host may outlive the
        play that began them. Returns whether anything was done.
        """
        changed = self.lay_out()
        if self.is_whole(release):
            return changed
        end_those_of(self.builder[0])
        path = self.path(release)
        if os.path.lexists(path):
            remove(path)
        self.refuse_full_disk()
        _own_folder(path, (ROOT, self.gid), 0o751)
        for folder in folders:
            _own_folder(os.path.join(path, folder), self.builder, 0o750)
        return True

    def refuse_full_disk(self, statvfs=os.statvfs):
        """Refuse a build that the disk has no room for, before it has filled it up for everybody else."""
        sizes = [_size(self.path(name)) for name in self._names() if self.is_whole(name)] or [(0, 0)]
        disk = statvfs(self.folder)
        files_known = disk.f_files > 0  # some file systems (btrfs) have no fixed number of them
        for what, needed, free in (
            ("bytes", max(LEAST_SPACE, int(1.5 * max(size for size, _files in sizes))), disk.f_bavail * disk.f_frsize),
            ("files", max(LEAST_FILES, int(1.5 * max(files for _size, files in sizes))), disk.f_favail),
        ):
            if free < needed and (what == "bytes" or files_known):
                raise GatehouseError(
                    "there is room for %s more %s on the disk of %s, and a build may take %s"
                    % (_human(free, what), what, self.folder, _human(needed, what)),
                    cause="disk_full",
                    hint="df -h -i %s   # then make room: journalctl --vacuum-size=200M, apt-get clean, a smaller keep_releases"
                    % self.folder,
                )

    def configure(self, release, files):
        """Write what root gives a release that is in the making, beside the folders of its build. files: {name: text}.

        The environment is root's alone; the user that runs the app reads the rest. Returns whether anything was another before.
        """
        path = self.path(release)
        for name in files:
            if not FILE_NAME.match(name) or name in (*BUILT, WRITTEN, MANIFEST):
                raise GatehouseError(
                    "%r can't name a file of a release" % name, cause="bad_input", hint='files: {env: "..."}'
                )
        if not os.path.isdir(path) or os.path.lexists(os.path.join(path, WRITTEN)):
            raise GatehouseError(
                "%s is no release in the making" % path,
                cause="bad_input",
                hint="state: staged, before state: configured",
            )
        changed = False
        for name, text in sorted(files.items()):
            file, content = os.path.join(path, name), text.encode("utf-8")
            if os.path.lexists(file) and read_own(path, name) == content:
                continue
            if name == ENVIRONMENT:
                self._write(file, content, 0o600, ROOT)
            else:
                self._write(file, content, 0o640)
            changed = True
        return changed

    def take_over(self, release):
        """Give what was built to root, after all that built it has ended: from then on nobody but root can change it.

        What root wrote beside it is noted by its digest. Returns whether there was anything to give. An error names what can't be taken
        over.
        """
        path = self.path(release)
        if not os.path.isdir(path):
            raise GatehouseError("there is no release %s to seal" % path, cause="bad_input", hint="ls %s" % self.folder)
        if os.path.lexists(os.path.join(path, WRITTEN)):
            return False
        end_those_of(self.builder[0])
        Takeover(path, BUILT, self.builder[0], (ROOT, self.gid)).run()
        # The last step: what was refused above stays refused until it is staged anew.
        written = {
            name: hashlib.sha256(read_own(path, name)).hexdigest()
            for name in sorted(os.listdir(path))
            if name not in BUILT
        }
        self._write(os.path.join(path, WRITTEN), _as_json(written), 0o600)
        return True

    def seal(self, release, manifest, environment=None, served=None):
        """Declare a release whole.

        environment: the app's variables; the manifest gets their names, and digests by which values can be compared.
        served: a folder below the release that everybody may read, as a web server's workers must; nothing else is opened.
        """
        path = self.path(release)
        if os.path.isdir(path) and self.is_whole(release):
            return False
        self.take_over(release)
        if served:
            self._open_to_all(path, served)
        manifest = dict(
            manifest,
            sealed=int(self._now()),
            env=self._digests(environment or {}),
            dependencies=installed_packages(path),
        )
        self._write(os.path.join(path, MANIFEST), _as_json(manifest), 0o640)
        return True

    def _write(self, path, content, mode, group=None):
        """A file of root's, and of the group of the user that runs the app unless another one is given."""
        write(path, content, mode)
        os.chown(path, ROOT, self.gid if group is None else group)

    def choose(self, release):
        """Make a whole release the one to go live next. Returns whether it was another one."""
        self.manifest(release)
        return point(os.path.join(self.root, "staged"), self.path(release))

    def _open_to_all(self, release, served):
        folder = os.path.join(release, served)
        if not os.path.isdir(folder) or not _is_within(folder, release):
            raise GatehouseError(
                "the release has no folder %s to be served" % served,
                cause="bad_source",
                hint="ls %s   # is it what the build writes?" % os.path.dirname(folder),
            )
        passed = folder
        while passed != release:
            passed = os.path.dirname(passed)
            os.chmod(passed, os.stat(passed).st_mode | 0o001)
        for path in _walk(folder):
            if os.path.islink(path):
                # The server would follow it to wherever its own rights lead.
                if not _is_within(path, folder):
                    raise GatehouseError(
                        "%s leads out of the folder that is served, to %s" % (path, os.readlink(path)),
                        cause="bad_source",
                        hint="serve a copy, not a link",
                    )
            else:
                os.chmod(path, os.stat(path).st_mode | (0o005 if os.path.isdir(path) else 0o004))

    def superfluous(self, keep):
        """The releases to prune so that `keep` whole ones remain, oldest first, and what failed builds left behind.

        Never the live one, nor the one to go back to, nor one that is to go live next or may still be in the making, nor one of
        which open pages may ask.
        """
        live, *others = (os.path.realpath(os.path.join(self.root, link)) for link in ("current", "staged", "former"))
        kept = {live, *others, *map(os.path.realpath, lineage(self.folder, live)[:1])}
        whole, broken = [], []
        for name in self._names():
            (whole if self.is_whole(name) else broken).append(name)
        whole.sort(key=lambda name: os.stat(os.path.join(self.path(name), MANIFEST)).st_mtime)
        old = [name for name in whole if os.path.realpath(self.path(name)) not in kept]
        left = [name for name in broken if self._now() - os.stat(self.path(name)).st_mtime > LONGEST_BUILD]
        return old[: max(0, len(whole) - keep)] + left

    def prune(self, names):
        for name in names:
            # The manifest first: a removal that is cut short must not leave a release that looks whole.
            manifest = os.path.join(self.path(name), MANIFEST)
            if os.path.exists(manifest):
                os.unlink(manifest)
            remove(self.path(name))

    def _names(self):
        return sorted(os.listdir(self.folder)) if os.path.isdir(self.folder) else []

    def _digests(self, environment):
        """{name: a digest of its value}. With a key of the app's own, nobody can guess values by trying."""
        path = os.path.join(self.root, "digest.key")
        if not os.path.exists(path):
            write(path, os.urandom(32), 0o600)
        with open(path, "rb") as file:
            key = file.read()
        return {
            name: hmac.new(key, str(value).encode("utf-8"), hashlib.sha256).hexdigest()[:12]
            for name, value in environment.items()
        }

    # What there is

    def live(self):
        """The live release's name, or None."""
        link = os.path.join(self.root, "current")
        return os.path.basename(os.path.realpath(link)) if os.path.isdir(link) else None

    def to_go_back_to(self):
        """The releases a rollback can go to, the nearest first."""
        return [os.path.basename(path) for path in lineage(self.folder, self.path(self.live()))] if self.live() else []

    def manifest(self, release):
        """What is known of a whole release; an error when there is none of that name."""
        try:
            with open(os.path.join(self.path(release), MANIFEST), encoding="utf-8") as file:
                return json.load(file)
        except OSError:
            whole = [name for name in self._names() if self.is_whole(name)]
            raise GatehouseError(
                "there is no release %s below %s" % (release, self.folder),
                cause="no_release",
                hint="one of: %s" % (", ".join(whole) or "none yet"),
            ) from None

    def history(self):
        """[{id, live, ...manifest}] of the whole releases, the newest first."""
        found = [
            dict(self.manifest(name), id=name, live=name == self.live())
            for name in self._names()
            if self.is_whole(name)
        ]
        return sorted(found, key=lambda release: release.get("sealed", 0), reverse=True)


def _as_json(content):
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode("utf-8")


def compare(old, new):
    """What changed between two manifests, as sentences; never a value of the environment."""
    found = []
    for key in ("revision", "python", "build", "unit"):
        if old.get(key) != new.get(key):
            short = [str(manifest.get(key) or "nothing")[:12] for manifest in (old, new)]
            found.append("%s: %s -> %s" % (key, *short))
    for what, key in (("dependency", "dependencies"), ("environment", "env")):
        before, after = old.get(key) or {}, new.get(key) or {}
        for name in sorted(set(before) | set(after), key=str.lower):
            if name not in before:
                found.append("%s %s: added%s" % (what, name, " (%s)" % after[name] if key != "env" else ""))
            elif name not in after:
                found.append("%s %s: removed" % (what, name))
            elif before[name] != after[name]:
                change = "changed" if key == "env" else "%s -> %s" % (before[name], after[name])
                found.append("%s %s: %s" % (what, name, change))
    return found


def installed_packages(release):
    """{name: version} of what is installed in the release: in its virtual environment, and by npm beside its code."""
    found = _installed_by_npm(os.path.join(release, "src", "node_modules", ".package-lock.json"))
    library = os.path.join(release, "venv", "lib")
    for python in sorted(os.listdir(library)) if os.path.isdir(library) else []:
        packages = os.path.join(library, python, "site-packages")
        for name in sorted(os.listdir(packages)) if os.path.isdir(packages) else []:
            match = re.match(r"(.+)-([^-]+)\.dist-info$", name)
            if match:
                found[match.group(1).replace("_", "-")] = match.group(2)
    return found


def _installed_by_npm(lock):
    """npm tells what it has put there, in the form of its lock file. Nested copies are left out."""
    try:
        # It is what a build left there: too much, and anything at all.
        with open(lock, encoding="utf-8") as file:
            packages = json.loads(file.read(LARGEST_LOCK))["packages"]
        names = {path: path[len("node_modules/") :] for path in packages if path.startswith("node_modules/")}
        return {
            name: str(packages[path].get("version"))
            for path, name in names.items()
            if "/node_modules/" not in name and "version" in packages[path]
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _own_folder(path, owner, mode):
    """Make a folder in one of root's, or give the one that is there its owner and mode. Returns whether that changed anything."""
    changed = not os.path.isdir(path)
    if changed:
        os.makedirs(path)
    found = os.stat(path)
    if (found.st_uid, found.st_gid, found.st_mode & 0o7777) != (*owner, mode):
        os.chown(path, *owner)
        os.chmod(path, mode)
        changed = True
    return changed


def _size(path):
    """(bytes on the disk, number of files) of a folder."""
    size = files = 0
    for found in _walk(path):
        size += os.lstat(found).st_blocks * 512
        files += 1
    return size, files


def _human(number, what):
    return "%d M" % (number // (1024 * 1024)) if what == "bytes" else "%d" % number


def _is_within(path, folder):
    """Whether the path, every link followed, is below the folder."""
    return os.path.realpath(path).startswith(os.path.realpath(folder) + "/")


def _walk(path):
    """The path and everything below it, links not followed."""
    yield path
    for folder, folders, files in os.walk(path):
        for name in folders + files:
            yield os.path.join(folder, name)
