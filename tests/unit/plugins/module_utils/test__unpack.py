"""The program that unpacks a source, as the build's user runs it: tar and zip files made here, some of them to do harm."""

import io
import os
import stat
import subprocess
import sys
import tarfile
import zipfile

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _unpack


@pytest.fixture
def src(tmp_path):
    folder = tmp_path / "release" / "src"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(autouse=True, params=["python's filter", "none, as Debian 12"])
def data_filter(request, monkeypatch):
    """Python's own filter is used where there is one, and is not needed."""
    if request.param != "python's filter":
        monkeypatch.delattr(tarfile, "data_filter", raising=False)


def member(name, kind=tarfile.REGTYPE, target="", mode=0o644, content=b"x"):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, mode
    info.size = len(content) if kind == tarfile.REGTYPE else 0
    return info, content


def link(name, target):
    return member(name, tarfile.SYMTYPE, target)


def tar(*members, how="w"):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=how) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    stream.seek(0)
    return stream


def entry(name, content=b"x", mode=stat.S_IFREG | 0o644):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info, content


def zipped(*entries):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for info, content in entries:
            archive.writestr(info, content)
    stream.seek(0)
    return stream


def unpack(stream, folder, strip=False):
    _unpack.main(strip, stream, str(folder))


def refused(stream, folder):
    with pytest.raises(_unpack.BadArchive) as caught:
        unpack(stream, folder)
    return str(caught.value)


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("how", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_file_is_unpacked_however_it_is_compressed(src, how):
    unpack(tar(member("a/b", content=b"text"), how=how), src)
    assert (src / "a" / "b").read_text() == "text"


def test_a_tar_file_that_ends_with_a_zip_file_is_a_tar_file(src):
    """As one with a wheel of Python in it, which is a zip file, and whose end looks like that of one."""
    wheel = zipped(entry("lib/__init__.py", b"")).read()
    unpack(tar(member("index.html"), member("vendor/lib-1.0-py3-none-any.whl", content=wheel)), src)
    assert tree(src) == ["index.html", "vendor", "vendor/lib-1.0-py3-none-any.whl"]


def test_a_zip_file_is_unpacked(src):
    unpack(
        zipped(entry("a/b", b"text"), entry("c/", b"", stat.S_IFDIR | 0o700), entry("l", b"a/b", stat.S_IFLNK | 0o777)),
        src,
    )
    assert tree(src) == ["a", "a/b", "c", "l"]
    assert (src / "a" / "b").read_text() == "text"
    assert os.readlink(src / "l") == "a/b"


@pytest.mark.parametrize(
    "pack", [lambda mode: tar(member("f", mode=mode)), lambda mode: zipped(entry("f", mode=stat.S_IFREG | mode))]
)
@pytest.mark.parametrize(
    ("mode", "found"), [(0o4755, 0o755), (0o2711, 0o755), (0o666, 0o644), (0o000, 0o644), (0o1777, 0o755)]
)
def test_a_file_is_a_program_or_none_and_gives_no_rights(src, pack, mode, found):
    unpack(pack(mode), src)
    assert stat.S_IMODE((src / "f").stat().st_mode) == found


def test_a_zip_file_of_windows_has_no_modes(src):
    unpack(zipped(entry("f", mode=0)), src)
    assert stat.S_IMODE((src / "f").stat().st_mode) == 0o644


def test_a_folder_that_nobody_may_enter_is_unpacked_all_the_same(src):
    unpack(tar(member("d", tarfile.DIRTYPE, mode=0o000), member("d/f")), src)
    assert (src / "d" / "f").read_text() == "x"


def test_links_within_the_source_are_kept(src):
    unpack(tar(member("a/real"), link("a/link", "../a/real"), member("hard", tarfile.LNKTYPE, "a/real")), src)
    assert os.readlink(src / "a" / "link") == "../a/real"
    assert (src / "hard").read_text() == "x"


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        (member("/etc/passwd"), "/etc/passwd"),
        (member("../outside"), "../outside"),
        (member("a/../../outside"), "a/../../outside"),
        (member("a\\..\\..\\outside"), "a\\\\..\\\\..\\\\outside"),
        (link("link", "/etc/passwd"), "link"),
        (link("a/link", "../../outside"), "a/link"),
        (member("hard", tarfile.LNKTYPE, "../outside"), "hard"),
        (member("hard", tarfile.LNKTYPE, "/etc/passwd"), "hard"),
        (member("device", tarfile.CHRTYPE), "device"),
        (member("disk", tarfile.BLKTYPE), "disk"),
        (member("pipe", tarfile.FIFOTYPE), "pipe"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_bad_member_is_named_before_anything_is_written(src, bad, name):
    assert "its '%s' " % name in refused(tar(member("first"), bad), src)
    assert tree(src.parent) == ["src"]


def climbing(*last):
    """Each link stays below the folder when its text is read, and all together lead out of it."""
    return [link("p/q/r", "."), link("p/q/r/s", ".."), link("up", "p/q/r/../.."), *last]


@pytest.mark.parametrize(
    "members",
    [
        [
            member("p/q/x"),
            link("p/q/r", "."),
            link("p/q/u", "r/../.."),
            link("p/v", "q/u/.."),
            member("p/v/../../evil"),
        ],
        [member("a/x"), link("a/b", ".."), link("c", "a/b/.."), member("c/evil")],
        [member("a/x"), link("a/b", ".."), link("c", "a/b/.."), member("hard", tarfile.LNKTYPE, "c/evil")],
        [member("a/x"), link("a/b", ".."), link("c", "a/b/.."), member("c", tarfile.DIRTYPE), member("c/evil")],
    ],
)
def test_links_that_climb_out_together_write_nothing_outside(src, members):
    (src.parent / "evil").write_text("was here")
    refused(tar(*members), src)
    assert (src.parent / "evil").read_text() == "was here"
    assert sorted(os.listdir(src.parent)) == ["evil", "src"]


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        (entry("../outside"), "../outside"),
        (entry("/etc/passwd"), "/etc/passwd"),
        (entry("a/../../outside"), "a/../../outside"),
        (entry("link", b"/etc/passwd", stat.S_IFLNK | 0o777), "link"),
        (entry("a/link", b"../../outside", stat.S_IFLNK | 0o777), "a/link"),
        (entry("pipe", b"", stat.S_IFIFO | 0o644), "pipe"),
        (entry("device", b"", stat.S_IFCHR | 0o644), "device"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_bad_entry_of_a_zip_file_is_named(src, bad, name):
    assert "its '%s' " % name in refused(zipped(bad), src)
    assert tree(src.parent) in (["src"], ["src", "src/a"])


def test_links_of_a_zip_file_that_climb_out_together_write_nothing_outside(src):
    lnk = stat.S_IFLNK | 0o777
    refused(zipped(entry("a/x"), entry("a/b", b"..", lnk), entry("c", b"a/b/..", lnk), entry("c/evil")), src)
    assert os.listdir(src.parent) == ["src"]


def test_an_encrypted_zip_file_is_told(src):
    stream = zipped(entry("f"))
    packed = bytearray(stream.getvalue())
    for sign, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        packed[packed.index(sign) + at] |= 1
    assert "its 'f' is encrypted" in refused(io.BytesIO(bytes(packed)), src)


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08\x00", b"PK\x05\x06"])
def test_what_is_no_archive_is_told(src, content):
    assert refused(io.BytesIO(content), src).startswith("it can't be read as a tar or zip file: ")


def test_an_archive_that_was_cut_short_is_told(src):
    packed = tar(member("f", content=os.urandom(100_000)), how="w:gz").getvalue()
    assert "can't be read" in refused(io.BytesIO(packed[:50_000]), src)


@pytest.mark.parametrize(
    ("strip", "found"), [(False, ["shop-1.0", "shop-1.0/a", "shop-1.0/s", "shop-1.0/s/b"]), (True, ["a", "s", "s/b"])]
)
def test_the_one_folder_of_an_archive_is_left_out_on_request(src, strip, found):
    unpack(tar(member("shop-1.0/a"), member("shop-1.0/s/b")), src, strip)
    assert tree(src) == found


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ([member("main.py")], ["main.py"]),
        ([member("a/x"), member("b")], ["a", "a/x", "b"]),
        ([member("a/a/x")], ["a", "a/x"]),
        ([member("a/.strip/x"), member("a/.strip0")], [".strip", ".strip/x", ".strip0"]),
    ],
)
def test_only_one_folder_that_holds_all_is_left_out(src, members, found):
    unpack(tar(*members), src, strip=True)
    assert tree(src) == found


def test_it_runs_as_a_program_of_its_own_and_ends_with_a_line(src):
    """With nothing of ours to import: it is sent to the host as text."""
    with open(_unpack.__file__, encoding="utf-8") as file:
        program = [sys.executable, "-I", "-c", file.read(), "--strip"]
    good, bad = src.parent / "good", src.parent / "bad"
    good.write_bytes(tar(member("top/f")).getvalue())
    bad.write_bytes(tar(member("../f")).getvalue())
    with good.open("rb") as stream:
        subprocess.run(program, stdin=stream, cwd=src, check=True)
    assert tree(src) == ["f"]
    with bad.open("rb") as stream:
        done = subprocess.run(program, stdin=stream, cwd=src, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (_unpack.BAD, "its '../f' leads out of its folder\n")
