# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""A source folder on the control node: what it holds, told by one digest, and packed for the way."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import re
import shlex
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


def unreadable(sources):
    """[(sentence, what to do)] of each source that can't be read here. sources: as a resolved model tells them."""
    found = []
    for source in sources:
        path, kind = source["path"], source["kind"]
        right = (
            "write a path that is absolute, or starts in the folder where ansible-playbook was started, %s"
            % os.getcwd()
        )
        if not os.path.exists(path):
            wrong, mend = "%s does not exist, or can't be reached, on the control node" % path, right
        elif not (os.path.isdir if kind == "directory" else os.path.isfile)(path):
            wrong, mend = "%s is no %s" % (path, "folder" if kind == "directory" else "file"), right
        elif not os.access(path, os.R_OK | (os.X_OK if kind == "directory" else 0)):
            wrong, mend = "you may not read %s" % path, "chmod -R u+rX %s   # as its owner" % shlex.quote(path)
        else:
            continue
        found.append(("%s: %s." % (source["place"], wrong), mend))
    return found


def least_versions(app):
    """{least_python, least_node} that an app's source folder asks for, as numbers; None where it asks for none, or is not here."""
    built = app["uvicorn"] or app["pm2"] or app["static"] or {}
    folder = os.path.join((app["source"] or {}).get("directory") or "/nonexistent", built.get("app_dir", ""))
    python = re.search(r"(?m)^requires-python\s*=\s*[\"']([^\"']+)", _text(os.path.join(folder, "pyproject.toml")))
    try:
        engines = json.loads(_text(os.path.join(folder, "package.json")))["engines"]["node"]
    except (ValueError, KeyError, TypeError):
        engines = ""
    return {"least_python": least(python.group(1)) if python else None, "least_node": least(str(engines))}


def least(wanted):
    """The lowest version that a condition allows (>=3.10,<4 or ^20 || >=22.1), as numbers; None where it names none."""
    # The = of <= and != begins no lower bound.
    lower = r"(?:>=|~=|==|(?<![<>!])[~^=]|^\s*)\s*v?(\d+(?:\.\d+)*)"
    ways = [re.search(lower, way) for way in wanted.split("||")]
    lowest = [[int(part) for part in way.group(1).split(".")] for way in ways if way]
    return min(lowest) if lowest and all(ways) else None


def _text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


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
        if not os.path.isfile(full):
            raise GatehouseError(
                "%s of the source folder is no file, folder or link" % path,
                cause="bad_source",
                hint="rm %s   # a pipe or a socket of a program that ran there" % shlex.quote(full),
            )
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
