# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Which release is the live one: a link, and the files outside it that must agree with it.

Beside the link lies `last_good`, a second link to the release that last passed its gate. It is what a revert goes
back to, also when the run that flipped the link was killed before it could put things right.
"""

from __future__ import annotations

import json
import os

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError

# In a release's folder: the gate that it passed.
GATE_FILE = "gate.json"


class Activation:
    """link: the path that names the live release.   target: the release folder to go live.
    files: [(path below the release, path on the host)], copied out when the release goes live.
    """

    def __init__(self, link, target, files=()):
        self.link = link
        self.target = os.path.realpath(target)
        self.files = list(files)
        self.good_link = os.path.join(os.path.dirname(link), "last_good")

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
        for source, _path in self.files:
            if not os.path.isfile(os.path.join(self.target, source)):
                raise GatehouseError("the release %s has no file %s" % (self.target, source), cause="bad_input")

    def live(self):
        """The folder that the link names now, or None."""
        return os.path.realpath(self.link) if os.path.islink(self.link) else None

    def last_good(self):
        """The release that last passed its gate, if it is another one than the target and still there."""
        for link in (self.good_link, self.link):
            folder = os.path.realpath(link) if os.path.islink(link) else None
            if folder and folder != self.target and os.path.isdir(folder):
                return folder
        return None

    def reasons(self):
        """Why the target is not wholly live yet, in words; an empty list when it is."""
        found = []
        live = self.live()
        if live != self.target:
            found.append("%s names %s, not %s" % (self.link, live or "nothing", self.target))
        for source, path in self.files:
            if _read(path) != _read(os.path.join(self.target, source)):
                found.append("%s is not the one of %s" % (path, self.target))
        return found

    def go_live(self):
        """Flip the link and copy the files out. Returns what was there before, for go_back."""
        before = [(path, _read(path)) for _source, path in self.files]
        self._install(self.target)
        return before

    def go_back(self, release, before):
        """Make `release` the live one again, with the files that were there before, or else its own.

        release: None when there was none: the link goes, and so do files that were not there.
        """
        if release is None:
            _remove(self.link)
        else:
            _point(self.link, release)
        for (source, path), (_path, content) in zip(self.files, before):
            own = _read(os.path.join(release, source)) if release else None
            content = own if own is not None else content
            if content is None:
                _remove(path)
            else:
                _write(path, content)

    def confirm(self, gate):
        """Remember that the target passed this gate. Returns whether that is news.

        The gate stays with the release: should it be gone back to, it is measured as it was when it was good, not as
        the next version wants to be measured.
        """
        text = json.dumps(gate, indent=2, sort_keys=True).encode("utf-8")
        if _read(os.path.join(self.target, GATE_FILE)) != text:
            _write(os.path.join(self.target, GATE_FILE), text, 0o600)
        news = self.is_unconfirmed()
        if news:
            _point(self.good_link, self.target)
        return news

    def is_unconfirmed(self):
        """Whether the target is yet to pass a gate as the live release."""
        return not os.path.islink(self.good_link) or os.path.realpath(self.good_link) != self.target

    @staticmethod
    def gate_of(release):
        """The gate that the release passed last, or None."""
        text = _read(os.path.join(release, GATE_FILE))
        return json.loads(text.decode("utf-8")) if text else None

    def _install(self, release):
        # The link first: units name their release by its full path, so a power cut between the two starts the former
        # release, whole, and reasons() tells the next run what is missing.
        if self.live() != release:
            _point(self.link, release)
        for source, path in self.files:
            content = _read(os.path.join(release, source))
            if content != _read(path):
                _write(path, content)


def _point(link, folder):
    """Make the link name the folder, in one step that can't be seen half done."""
    staged = link + ".new"
    _remove(staged)
    os.symlink(os.path.relpath(folder, os.path.dirname(link)), staged)
    os.replace(staged, link)


def _read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _write(path, content, mode=0o644):
    staged = path + ".new"
    _remove(staged)
    with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(staged, path)


def _remove(path):
    if os.path.lexists(path):
        os.unlink(path)
