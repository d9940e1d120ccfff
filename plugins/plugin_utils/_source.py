# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""A source folder on the control node: what it holds, told by one digest, and packed for the way."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import tarfile

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError

# What tools leave behind, and what is built again on the host.
LEFT_BEHIND = (
    ".git",
    ".hg",
    ".svn",
    ".venv",
    "venv",
    "node_modules",
    "__pycache__",
    "*.pyc",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".tox",
    ".nox",
    ".DS_Store",
)


def source_files(folder):
    """The files and links below the folder that belong to a release, as sorted relative paths."""
    if not os.path.isdir(folder):
        raise GatehouseError(
            "the source folder %s can't be read on the control node: no such folder" % folder,
            cause="bad_source",
            hint="source: {directory: examples/chat/backend}, absolute or from where ansible-playbook was started",
        )
    found = []
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        linked = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        folders[:] = sorted(name for name in folders if not _left_behind(name) and name not in linked)
        for name in names + linked:
            if not _left_behind(name):
                found.append(os.path.relpath(os.path.join(parent, name), folder))
    if not found:
        raise GatehouseError("the source folder %s is empty" % folder, cause="bad_source")
    return sorted(found)


def digest(folder):
    """A digest of names, contents and executable bits. Times and owners are left out: a fresh clone is the same source."""
    total = hashlib.sha256()
    for path in source_files(folder):
        full = os.path.join(folder, path)
        total.update(json.dumps(path).encode("utf-8"))
        if os.path.islink(full):
            total.update(b"link" + json.dumps(os.readlink(full)).encode("utf-8"))
            continue
        try:
            with open(full, "rb") as file:
                content = hashlib.sha256(file.read()).digest()
        except OSError as error:
            _refuse(error)
        total.update((b"program" if os.access(full, os.X_OK) else b"file") + content)
    return total.hexdigest()


def archive_digest(path, checksum=None):
    """The sha256 of a file on the control node; refused when it is not the given one (`sha256:HEX`)."""
    try:
        with open(path, "rb") as file:
            found = "sha256:" + hashlib.sha256(file.read()).hexdigest()
    except OSError as error:
        _refuse(error)
    if checksum and checksum != found:
        raise GatehouseError("the archive %s has the checksum %s, not %s" % (path, found, checksum), cause="bad_source")
    return found


def pack(folder, archive):
    """Write the folder's files to a compressed tar file."""
    with tarfile.open(archive, "w:gz", compresslevel=3) as tar:
        for path in source_files(folder):
            tar.add(os.path.join(folder, path), path, recursive=False)


def release_id(revision, inputs):
    """The name of the release that this revision makes with these inputs: 12 hexadecimal digits."""
    text = json.dumps([revision, inputs], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]


def _left_behind(name):
    return any(fnmatch.fnmatch(name, pattern) for pattern in LEFT_BEHIND)


def _refuse(error):
    raise GatehouseError(
        "the source's %s can't be read on the control node: %s" % (error.filename, error.strerror), cause="bad_source"
    )
