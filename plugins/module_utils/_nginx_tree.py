# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""nginx's configuration folder: a managed set of files in it that is replaced whole, and a stage to test one first.

On disk (ROOT is /etc/nginx, SET the managed folder's name):

    ROOT/SET                       a link to the live set; one rename of it is the whole change
    ROOT/.SET/DIGEST/              a complete set that is never edited; the live one and the one before it are kept
    ROOT/.SET/journal.json         only while a change is under way: what to finish or undo after a kill
    ROOT/.SET/before-gatehouse/    files that the adoption of a host took away
    ROOT/nginx.conf                with `main`: a link to SET/nginx.conf
    ROOT/nginx.conf.before-gatehouse   what was there before
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._nginx import digest

KEPT = "before-gatehouse"
SET_FOLDER = re.compile(r"^[0-9a-f]{16}(\.\d+)?$")
TEMPORARY = "new-"

# Larger files in ROOT are data (address databases, modules), not configuration that could mention other files.
LARGEST_CONFIGURATION = 1 << 20


class Change:
    """The steps from the folder as it is to the folder as wanted, known in full before the first one is taken.

    Each step can be taken or taken back twice without harm, so a run that was killed anywhere can be finished or
    undone from this record alone. The configuration on disk is valid after every step.

    before, after: what the set's link points at (before may be None).
    removed: [[path, where it is kept], ...]
    main_kept: None: nginx.conf is left alone. "": there was none. Else where the one that was there is kept.
    fresh: whether the set's folder was written for this change.
    """

    FIELDS = ("before", "after", "removed", "main_kept", "fresh")

    def __init__(self, tree, before, after, removed, main_kept, fresh):
        self.tree = tree
        self.before = before
        self.after = after
        self.removed = removed
        self.main_kept = main_kept
        self.fresh = fresh

    def record(self):
        return {field: getattr(self, field) for field in self.FIELDS}

    def apply(self):
        tree = self.tree
        # Before the set, which may well define the default server that a removed file defines too.
        for path, kept in self.removed:
            if os.path.lexists(tree.path(path)) and not os.path.lexists(tree.path(kept)):
                os.makedirs(os.path.dirname(tree.path(kept)), exist_ok=True)
                os.rename(tree.path(path), tree.path(kept))
        tree.point(tree.name, self.after)
        if self.main_kept is not None:
            if self.main_kept and not tree.main_is_ours() and not os.path.lexists(tree.path(self.main_kept)):
                os.makedirs(os.path.dirname(tree.path(self.main_kept)), exist_ok=True)
                os.link(tree.main, tree.path(self.main_kept), follow_symlinks=False)
            tree.point("nginx.conf", tree.main_target)
        tree.sync()

    def undo(self):
        tree = self.tree
        if self.main_kept:
            kept = tree.path(self.main_kept)
            if os.path.lexists(kept):
                os.replace(kept, tree.main)
                # Killed between its two steps, apply leaves two names of one file, and rename leaves both alone.
                if os.path.lexists(kept):
                    os.unlink(kept)
        elif self.main_kept == "" and tree.main_is_ours():
            os.unlink(tree.main)
        if self.before is not None:
            tree.point(tree.name, self.before)
        elif os.path.islink(tree.link):
            os.unlink(tree.link)
        for path, kept in reversed(self.removed):
            if os.path.lexists(tree.path(kept)) and not os.path.lexists(tree.path(path)):
                os.rename(tree.path(kept), tree.path(path))
        if self.fresh:
            shutil.rmtree(tree.path(self.after), ignore_errors=True)
        tree.sync()


class Tree:
    """nginx's configuration folder, and the managed set in it."""

    def __init__(self, root, name):
        self.root = os.path.abspath(root)
        self.name = name
        self.store = os.path.join(self.root, "." + name)
        self.link = self.path(name)
        self.main = self.path("nginx.conf")
        self.main_target = name + "/nginx.conf"
        self.journal = os.path.join(self.store, "journal.json")

    def path(self, relative):
        return os.path.join(self.root, relative)

    def pointed(self):
        """What the set's link points at, None when there is no link yet."""
        if os.path.islink(self.link):
            return os.readlink(self.link)
        if os.path.lexists(self.link):
            raise GatehouseError(
                "%s is there already, and not made by this module." % self.link,
                cause="bad_input",
                hint="move it away, or give the set another name with `set`",
            )
        return None

    def main_is_ours(self):
        return os.path.islink(self.main) and os.readlink(self.main) == self.main_target

    def read(self, target):
        """The files of a set, as {path: bytes}. target: as the link names it; None for no set."""
        files = {}
        if target is None:
            return files
        top = self.path(target)
        for folder, folders, names in os.walk(top):
            for name in names + [each for each in folders if os.path.islink(os.path.join(folder, each))]:
                path = os.path.join(folder, name)
                if os.path.islink(path):
                    content = b"(a link to %s)\n" % os.fsencode(os.readlink(path))
                else:
                    with open(path, "rb") as file:
                        content = file.read()
                files[os.path.relpath(path, top)] = content
        return files

    def point(self, path, target):
        """Make ROOT/path a link to target, in one rename. A link that points there is left alone."""
        final = self.path(path)
        if os.path.islink(final) and os.readlink(final) == target:
            return
        temporary = self._temporary()
        os.symlink(target, temporary)
        os.replace(temporary, final)

    def _temporary(self):
        os.makedirs(self.store, mode=0o755, exist_ok=True)
        return os.path.join(self.store, TEMPORARY + os.urandom(6).hex())

    def plan(self, files, main, absent):
        """The Change that leads to this set, None when all is as wanted. Touches nothing."""
        before = self.pointed()
        removed = [path for path in absent if os.path.lexists(self.path(path))]
        adopt = main and not self.main_is_ours()
        same = before is not None and self.read(before) == files
        if same and not removed and not adopt:
            return None
        after, fresh = (before, False) if same else self._slot(files)
        main_kept = None
        if adopt:
            main_kept = self._free("nginx.conf." + KEPT, "nginx.conf") if os.path.lexists(self.main) else ""
        kept = [[path, self._free(self._kept(path), path)] for path in removed]
        return Change(self, before, after, kept, main_kept, fresh)

    def _kept(self, path):
        return ".%s/%s/%s" % (self.name, KEPT, path)

    def _free(self, first, path):
        """Where to keep a file: never over one that is kept already."""
        if not os.path.lexists(self.path(first)):
            return first
        number = 1
        while os.path.lexists(self.path("%s.%d" % (self._kept(path), number))):
            number += 1
        return "%s.%d" % (self._kept(path), number)

    def _slot(self, files):
        """The folder for this set, and whether it is still to be written.

        A folder of that name is used again only if it holds these files: one that was edited by hand does not.
        """
        base = ".%s/%s" % (self.name, digest(files))
        target, number = base, 0
        while os.path.lexists(self.path(target)):
            if self.read(target) == files:
                return target, False
            number += 1
            target = "%s.%d" % (base, number)
        return target, True

    def write(self, target, files):
        """Write a set whole: under a temporary name first, so that a folder with a set's name is complete."""
        temporary = self._temporary()
        os.mkdir(temporary)
        for path in sorted(files):
            file_path = os.path.join(temporary, path)
            os.makedirs(os.path.dirname(file_path), exist_ok=True)
            with open(file_path, "wb") as file:
                file.write(files[path])
                os.fchmod(file.fileno(), 0o644)
                file.flush()
                os.fsync(file.fileno())
        for folder, _folders, _names in os.walk(temporary):
            os.chmod(folder, 0o755)  # whatever the umask of this run is
            _sync(folder)
        os.rename(temporary, self.path(target))

    def begin(self, change):
        """Write down what is about to be done. From here until end() a killed run can be found."""
        temporary = self._temporary()
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(change.record(), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.journal)
        self.sync()

    def end(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.journal)
        self._remove_temporaries()
        for folder, _folders, _names in os.walk(os.path.join(self.store, KEPT), topdown=False):
            _remove_if_empty(folder)
        _remove_if_empty(self.store)  # where an adoption was undone, nothing stays behind
        self.sync()

    def interrupted(self):
        """The Change that a killed run left half done, or None."""
        try:
            with open(self.journal, encoding="utf-8") as file:
                record = json.load(file)
            return Change(self, *[record[field] for field in Change.FIELDS])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            raise GatehouseError(
                "%s can't be read, so what a killed run left is not known." % self.journal,
                cause="bad_journal",
                hint="look at %s, then remove %s and run again" % (self.root, self.journal),
            ) from None

    def reaches(self, change, files, main, absent):
        """Whether finishing this change gives what is wanted, so that it need not be undone first."""
        return (
            self.read(change.after) == files
            and all(path in absent for path, _kept in change.removed)
            and (main or change.main_kept is None)
        )

    def prune(self, before):
        """Keep the live set and the one before it. before: its link's target, None to keep the newest of the others."""
        if not os.path.isdir(self.store):
            return
        self._remove_temporaries()
        live = os.path.basename(self.pointed() or "")
        sets = {}
        for name in os.listdir(self.store):
            if SET_FOLDER.match(name) and name != live:
                sets[name] = os.stat(os.path.join(self.store, name)).st_mtime
        former = os.path.basename(before or "")
        if former not in sets:
            former = max(sets, key=sets.get) if sets else None
        elif former:
            os.utime(os.path.join(self.store, former))  # the next run tells the former set by its date
        for name in sets:
            if name != former:
                _remove(os.path.join(self.store, name))

    def _remove_temporaries(self):
        for name in os.listdir(self.store) if os.path.isdir(self.store) else []:
            if name.startswith(TEMPORARY):
                _remove(os.path.join(self.store, name))

    def sync(self):
        """Make the renames of this folder outlive a power cut."""
        _sync(self.root)
        if os.path.isdir(self.store):
            _sync(self.store)

    @contextlib.contextmanager
    def locked(self):
        """One run at a time: the journal of a run that is alive must not be taken for a killed one's."""
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise GatehouseError(
                    "Another run is changing %s." % self.root, cause="busy", hint="wait for it to end, then run again"
                ) from None
            yield
        finally:
            os.close(descriptor)


def _sync(folder):
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _remove_if_empty(folder):
    with contextlib.suppress(OSError):
        os.rmdir(folder)


class Stage:
    """A copy of ROOT as it would be, for `nginx -t`, with every mention of ROOT/ leading into the copy.

    Only files that mention ROOT/ are copied; all others, private keys among them, are links to the real ones.
    A folder that is a link out of ROOT is taken as it is.
    """

    def __init__(self, tree, files, main, absent, base="/run"):
        self.tree = tree
        self.files = files
        self.main = main
        self.absent = absent
        # One name for one ROOT: the tree's lock makes it ours alone, and what a killed run left is found here.
        self.path = os.path.join(base, "gatehouse-nginx-" + hashlib.sha256(os.fsencode(tree.root)).hexdigest()[:8])
        # /opt/etc/nginx/ is not /etc/nginx/.
        self._mention = re.compile(rb"(?<![\w.}/-])" + re.escape(os.fsencode(tree.root)) + rb"/")

    def __enter__(self):
        self._clear()
        os.mkdir(self.path, 0o700)
        self._copy("", (os.path.realpath(self.tree.root),))
        for path, content in self.files.items():
            self._write(os.path.join(self.tree.name, path), content)
        if self.main:
            self._write("nginx.conf", self.files["nginx.conf"])
        return self

    def __exit__(self, *_exception):
        self._clear()

    def _clear(self):
        if os.path.lexists(self.path):
            shutil.rmtree(self.path)

    @property
    def conf(self):
        return os.path.join(self.path, "nginx.conf")

    def real(self, text):
        """Text about the stage as text about ROOT."""
        return text.replace(self.path + "/", self.tree.root + "/")

    def _skipped(self, path):
        ours = (self.tree.name, "." + self.tree.name)
        return path in ours or path in self.absent or (self.main and path == "nginx.conf")

    def _copy(self, below, ancestors):
        for entry in sorted(os.listdir(self.tree.path(below))):
            path = os.path.join(below, entry)
            if self._skipped(path):
                continue
            source = os.path.realpath(self.tree.path(path))
            inside = source.startswith(ancestors[0] + "/")
            if os.path.isdir(source) and inside and source not in ancestors:
                os.makedirs(os.path.join(self.path, path), exist_ok=True)
                self._copy(path, ancestors + (source,))
                continue
            content = _configuration(source)
            if content is not None and self._mention.search(content):
                self._write(path, content)
            else:
                os.symlink(source, os.path.join(self.path, path))

    def _write(self, path, content):
        target = os.path.join(self.path, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(self._mention.sub(os.fsencode(self.path) + b"/", content))


def _configuration(path):
    """The bytes of a file that may be configuration, None for anything else."""
    if not os.path.isfile(path) or os.path.getsize(path) > LARGEST_CONFIGURATION:
        return None
    with open(path, "rb") as file:
        return file.read()
