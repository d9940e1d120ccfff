# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Release folders of one app: staged to be filled, sealed when whole, pruned when old.

ROOT/current            names the live release           (flipped by health_restart)
ROOT/last_good          names the one that last passed its gate
ROOT/releases/ID        one release; whole once it holds its manifest, which is written last
ROOT/cache              what package installers keep between builds
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import tarfile
import time

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError

MANIFEST = "manifest.json"
RELEASE_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")

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
        # The user may enter and read; only root may change which release is which.
        for path, uid, mode in ((self.root, 0, 0o750), (self.folder, 0, 0o750), (self.cache, self.uid, 0o700)):
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

        What a killed build left there goes first. Returns whether anything was done.
        """
        changed = self.lay_out()
        if self.is_whole(release):
            return changed
        path = self.path(release)
        if os.path.lexists(path):
            shutil.rmtree(path)
        for folder in (path, os.path.join(path, "src")):
            os.mkdir(folder, 0o750)
            os.chown(folder, self.uid, self.gid)
        return True

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

    def seal(self, release, manifest):
        """Declare a release whole: from now on it belongs to root, and nobody but root can change it."""
        path = self.path(release)
        if not os.path.isdir(path):
            raise GatehouseError("there is no release %s to seal" % path, cause="bad_input", hint="ls %s" % self.folder)
        if self.is_whole(release):
            return False
        for found in _walk(path):
            self._give_to_root(found)
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

    def _give_to_root(self, path):
        found = os.lstat(path)
        os.lchown(path, 0, self.gid)
        # What root put there (the environment file) has the mode it needs, and a link's own mode means nothing.
        if found.st_uid == self.uid and not stat.S_ISLNK(found.st_mode):
            owner = found.st_mode & 0o700
            os.chmod(path, owner | (owner >> 3) & 0o050)

    def superfluous(self, keep):
        """The releases to prune so that `keep` whole ones remain, oldest first, and what failed builds left behind.

        Never the live one, nor the last good one, nor one that may still be in the making.
        """
        kept = {os.path.realpath(os.path.join(self.root, link)) for link in ("current", "last_good")}
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
