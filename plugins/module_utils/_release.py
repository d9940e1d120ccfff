# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Release folders of one app: staged to be filled, sealed when whole, pruned when old.

ROOT/current            names the live release           (flipped by health_restart)
ROOT/staged             names the one to become it next
ROOT/former             of an app of files, names the one that was live before
ROOT/releases/ID        one release; whole once it holds its manifest, which is written last
ROOT/cache              what package installers keep between builds
ROOT/digest.key         with it, values of environment variables are told apart without being told
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import shutil
import stat
import tarfile
import time

from ansible_collections.gatehouse.webapp.plugins.module_utils._activation import lineage, point, write
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._processes import end_those_in

MANIFEST = "manifest.json"
RELEASE_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")

# A build needs about what the largest release has, and room to unpack in. At least this, in bytes and files.
LEAST_SPACE = 200 * 1024 * 1024
LEAST_FILES = 10000

# Seconds after which a release that is not whole counts as left behind by a build that failed.
LONGEST_BUILD = 24 * 3600


class Releases:
    """The releases below `root`. owner: (uid, gid) of the user that builds and runs them."""

    def __init__(self, root, owner, now=time.time):
        self.root = root
        self.uid, self.gid = owner
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
        # know by name: a proxy's workers look whether current/green is there.
        for path, uid, mode in ((self.root, 0, 0o751), (self.folder, 0, 0o751), (self.cache, self.uid, 0o700)):
            if not os.path.isdir(path):
                os.makedirs(path)
                changed = True
            found = os.stat(path)
            if (found.st_uid, found.st_gid, found.st_mode & 0o7777) != (uid, self.gid, mode):
                os.chown(path, uid, self.gid)
                os.chmod(path, mode)
                changed = True
        return changed

    @property
    def cache(self):
        return os.path.join(self.root, "cache")

    def stage(self, release):
        """An empty folder for a release that is not whole, belonging to the user, so that its build needs no root.

        What a killed build left there goes first, and so does what still goes on there: commands on a host may outlive the
        play that began them. Returns whether anything was done.
        """
        changed = self.lay_out()
        if self.is_whole(release):
            return changed
        path = self.path(release)
        if os.path.lexists(path):
            end_those_in(os.path.realpath(path))
            shutil.rmtree(path)
        self.refuse_full_disk()
        for folder in (path, os.path.join(path, "src")):
            os.mkdir(folder, 0o750)
            os.chown(folder, self.uid, self.gid)
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

    def unpack(self, release, archive, strip_folder=False):
        """Fill the release's `src` from a tar file, as the user's own files.

        strip_folder: leave out the one folder that holds everything else, where there is one.
        """
        target = os.path.join(self.path(release), "src")
        with tarfile.open(archive) as tar:
            for member in tar:
                _refuse_escape(member)
            tar.extraction_filter = lambda member, _path: member  # judged above; owners and modes are set below
            tar.extractall(target)
        names = os.listdir(target)
        if strip_folder and len(names) == 1 and os.path.isdir(os.path.join(target, names[0])):
            os.rename(os.path.join(target, names[0]), target + ".new")
            os.rmdir(target)
            os.rename(target + ".new", target)
        for path in _walk(target):
            os.lchown(path, self.uid, self.gid)

    def seal(self, release, manifest, environment=None, served=None):
        """Declare a release whole: from now on it belongs to root, and nobody but root can change it.

        environment: the app's variables; the manifest gets their names, and digests by which values can be compared.
        served: a folder below the release that everybody may read, as a web server's workers must; nothing else is opened.
        """
        path = self.path(release)
        if not os.path.isdir(path):
            raise GatehouseError("there is no release %s to seal" % path, cause="bad_input", hint="ls %s" % self.folder)
        if self.is_whole(release):
            return False
        for found in _walk(path):
            self._give_to_root(found)
        os.chmod(path, 0o751)
        if served:
            self._open_to_all(path, served)
        manifest = dict(
            manifest,
            sealed=int(self._now()),
            env=self._digests(environment or {}),
            dependencies=installed_packages(path),
        )
        staged = os.path.join(path, MANIFEST + ".new")
        with open(staged, "w", encoding="utf-8") as file:
            json.dump(manifest, file, indent=2, sort_keys=True)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.chmod(staged, 0o640)
        os.chown(staged, 0, self.gid)
        os.replace(staged, os.path.join(path, MANIFEST))
        return True

    def choose(self, release):
        """Make a whole release the one to go live next. Returns whether it was another one."""
        self.manifest(release)
        return point(os.path.join(self.root, "staged"), self.path(release))

    def _give_to_root(self, path):
        found = os.lstat(path)
        os.lchown(path, 0, self.gid)
        # What root put there (the environment file) has the mode it needs, and a link's own mode means nothing.
        if found.st_uid == self.uid and not stat.S_ISLNK(found.st_mode):
            owner = found.st_mode & 0o700
            os.chmod(path, owner | (owner >> 3) & 0o050)

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
            shutil.rmtree(self.path(name))

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
        with open(lock, encoding="utf-8") as file:
            packages = json.load(file)["packages"]
    except (OSError, ValueError, KeyError):
        return {}
    names = {path: path[len("node_modules/") :] for path in packages if path.startswith("node_modules/")}
    return {
        name: str(packages[path].get("version"))
        for path, name in names.items()
        if "/node_modules/" not in name and "version" in packages[path]
    }


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


def _refuse_escape(member):
    """Refuse what would be written, or would point, outside the folder that is being filled."""
    places = [member.name]
    if member.issym():
        places.append(os.path.join(os.path.dirname(member.name), member.linkname))
    elif member.islnk():
        places.append(member.linkname)
    elif not (member.isfile() or member.isdir()):
        raise GatehouseError("the source holds %s, which is no file, folder or link" % member.name, cause="bad_source")
    for place in places:
        if os.path.isabs(place) or os.path.normpath(place).split(os.sep)[0] == os.pardir:
            raise GatehouseError("the source's %s leads out of its folder" % member.name, cause="bad_source")
