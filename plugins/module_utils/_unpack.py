# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Fill the folder that this program works in from an archive on its standard input: a tar file, however compressed, or a zip file.

It is sent to the host as text and run by the build's user, in a unit that may write this one folder, so it imports nothing of ours
(see _build_unit). What keeps a bad archive from doing harm is that user and that unit. The checks here are for people: they name the
member that is wrong before anything of it is written.

python3 -c TEXT [--strip]      --strip: leave out the one folder that holds everything else, where there is one
Ends with 3 and one line on standard error when the archive is bad.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tarfile
import zipfile

BAD = 3

# What may be said of a file: who owns it may read and write it, and whether it is a program. Never setuid, never for others to write.
FILE, PROGRAM, FOLDER = 0o644, 0o755, 0o755


class BadArchive(Exception):
    pass


def main(strip, stream, folder="."):
    folder = os.path.realpath(folder)
    try:
        # A tar file that ends with a zip file, such as a wheel, would be taken for a zip file too.
        if _is_tar(stream):
            _untar(stream, folder)
        elif zipfile.is_zipfile(stream):
            _unzip(stream, folder)
        else:
            raise BadArchive("it can't be read as a tar or zip file: it is none, or cut off")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise BadArchive("it can't be read as a tar or zip file: %s" % error) from None
    if strip:
        _strip(folder)


def _is_tar(stream):
    try:
        with tarfile.open(fileobj=stream):
            return True
    except tarfile.ReadError:
        return False
    finally:
        stream.seek(0)


def _untar(stream, folder):
    with tarfile.open(fileobj=stream) as tar:
        for member in tar:
            _judge(member)
        # Python's own filter too, where there is one.
        options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        for member in tar:
            _refuse_detour(folder, member.name)
            if member.islnk():
                _refuse_detour(folder, member.linkname)
            try:
                tar.extract(_tamed(member), folder, set_attrs=not member.issym(), **options)
            except tarfile.TarError as error:
                raise BadArchive("its %r is refused: %s" % (member.name, error)) from None


def _judge(member):
    """Refuse what would be written, or would point, outside the folder that is being filled."""
    if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
        raise BadArchive("its %r is no file, folder or link" % member.name)
    _refuse_outside(member.name, member.name)
    if member.issym():
        _refuse_outside(member.name, member.linkname, os.path.dirname(member.name))
    elif member.islnk():
        _refuse_outside(member.name, member.linkname)


def _tamed(member):
    if member.isdir():
        member.mode = FOLDER
    elif member.isfile() or member.islnk():
        member.mode = PROGRAM if member.mode & 0o100 else FILE
    return member


def _unzip(stream, folder):
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            name, mode = info.filename, info.external_attr >> 16
            _refuse_outside(name, name)
            kind = stat.S_IFMT(mode)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
                raise BadArchive("its %r is no file, folder or link" % name)
            if info.flag_bits & 1:
                raise BadArchive("its %r is encrypted" % name)
            _refuse_detour(folder, name)
            path = os.path.join(folder, name)
            if info.is_dir() or kind == stat.S_IFDIR:
                os.makedirs(path, FOLDER, exist_ok=True)
                continue
            os.makedirs(os.path.dirname(path), FOLDER, exist_ok=True)
            if kind == stat.S_IFLNK:
                target = archive.read(info).decode("utf-8", "surrogateescape")
                _refuse_outside(name, target, os.path.dirname(name))
                os.symlink(target, path)
                continue
            with archive.open(info) as source, open(path, "wb") as target:
                shutil.copyfileobj(source, target)
            os.chmod(path, PROGRAM if mode & 0o100 else FILE)


def _refuse_outside(name, place, start=""):
    # A backslash separates folders for those who pack on Windows; here it would be a part of a name.
    if "\\" in place and os.pardir in place.replace("\\", "/").split("/"):
        raise BadArchive("its %r leads out of its folder" % name)
    path = os.path.normpath(os.path.join(start, place))
    if os.path.isabs(place) or path.split(os.sep)[0] == os.pardir:
        raise BadArchive("its %r leads out of its folder" % name)


def _refuse_detour(folder, name):
    """Refuse a member whose folder is reached over a link that was unpacked before it and leads out."""
    parent = os.path.realpath(os.path.join(folder, os.path.dirname(name.rstrip("/"))))
    if parent != folder and not parent.startswith(folder.rstrip("/") + "/"):
        raise BadArchive("its %r leads out of its folder, over a link" % name)


def _strip(folder):
    names = os.listdir(folder)
    only = os.path.join(folder, names[0]) if len(names) == 1 else None
    if only is None or os.path.islink(only) or not os.path.isdir(only):
        return
    # Under a name that is short and that nothing below it has.
    aside, number = os.path.join(folder, ".strip"), 0
    while os.path.lexists(os.path.join(only, os.path.basename(aside))):
        aside, number = os.path.join(folder, ".strip%d" % number), number + 1
    os.rename(only, aside)
    for name in os.listdir(aside):
        os.rename(os.path.join(aside, name), os.path.join(folder, name))
    os.rmdir(aside)


if __name__ == "__main__":
    try:
        main("--strip" in sys.argv[1:], sys.stdin.buffer)
    except BadArchive as error:
        sys.stderr.write("%s\n" % error)
        raise SystemExit(BAD) from None
    except OSError as error:
        sys.stderr.write("%s: %s\n" % (error.strerror, error.filename))
        raise SystemExit(BAD) from None
