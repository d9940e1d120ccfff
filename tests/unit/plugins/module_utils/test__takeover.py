"""What a build made, on a real disk, taken over by whoever runs the tests: the builder and the owner are the same user here."""

import errno
import mmap
import os
import socket
import stat
import subprocess
import sys

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _takeover
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._takeover import Takeover

ME = os.getuid()


@pytest.fixture
def release(tmp_path):
    folder = tmp_path / "srv" / "releases" / "r1"
    (folder / "src").mkdir(parents=True)
    (folder / "venv" / "bin").mkdir(parents=True)
    (folder / "env").write_text("SECRET=x")
    return folder


@pytest.fixture
def src(release):
    return release / "src"


def take_over(release, builder=ME):
    Takeover(str(release), ["src", "venv"], builder, (ME, os.getgid())).run()


def refused(release, **options):
    """What is told of a release that can't be taken over: its message and the names of the files."""
    with pytest.raises(GatehouseError) as caught:
        take_over(release, **options)
    assert caught.value.cause == "bad_source"
    return caught.value.message, caught.value.facts["refused"]


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


# Modes


@pytest.mark.parametrize(
    ("before", "after"),
    [(0o777, 0o750), (0o600, 0o640), (0o400, 0o440), (0o4755, 0o750), (0o2755, 0o750), (0o6711, 0o750), (0o000, 0o000)],
)
def test_the_group_reads_what_the_builder_could_and_no_bit_gives_rights(release, src, before, after):
    (src / "file").write_text("x")
    (src / "file").chmod(before)
    take_over(release)
    assert mode(src / "file") == after


def test_folders_lose_their_setgid_and_sticky_bits(release, src):
    (src / "sub").mkdir()
    (src / "sub").chmod(0o3777)
    take_over(release)
    assert mode(src / "sub") == 0o750


def test_all_is_given_to_the_owner(release, src, monkeypatch):
    given = []
    (src / "sub").mkdir()
    (src / "sub" / "file").write_text("x")
    (src / "link").symlink_to("sub")
    monkeypatch.setattr(_takeover.os, "fchown", lambda _handle, uid, gid: given.append((uid, gid)))
    monkeypatch.setattr(
        _takeover.os,
        "chown",
        lambda name, uid, gid, dir_fd, follow_symlinks: given.append((name, uid, gid, follow_symlinks)),
    )
    Takeover(str(release), ["src"], ME, (7, 8)).run()
    assert given == [(7, 8), ("link", 7, 8, False), (7, 8), (7, 8)]


def test_an_access_list_lets_nobody_else_in_afterwards(release, src, monkeypatch):
    """setfacl of the builder: another user could go on writing to a file that is root's."""
    removed = []
    (src / "file").write_text("x")
    inodes = {path.stat().st_ino: path.name for path in (src, src / "file")}
    monkeypatch.setattr(_takeover.os, "listxattr", lambda _handle: ["user.note", *_takeover.ACCESS_LISTS])
    monkeypatch.setattr(
        _takeover.os, "removexattr", lambda handle, name: removed.append((inodes[os.fstat(handle).st_ino], name))
    )
    Takeover(str(release), ["src"], ME, (ME, os.getgid())).run()
    assert removed == [(path, name) for path in ("src", "file") for name in _takeover.ACCESS_LISTS]


# Hard links


def test_a_file_with_other_names_gets_an_inode_of_its_own(release, src, tmp_path):
    cached = tmp_path / "cached"
    cached.write_text("x" * 100_000)
    cached.chmod(0o755)
    os.utime(cached, ns=(1_000, 2_000))
    (src / "file").hardlink_to(cached) if hasattr(src, "hardlink_to") else os.link(cached, src / "file")
    take_over(release)
    assert (src / "file").read_text() == cached.read_text()
    assert (src / "file").stat().st_ino != cached.stat().st_ino
    assert (mode(src / "file"), (src / "file").stat().st_mtime_ns) == (0o750, 2_000)
    assert mode(cached) == 0o755
    assert os.listdir(src) == ["file"]


def test_two_names_within_the_release_become_two_files(release, src):
    (src / "a").write_text("x")
    os.link(src / "a", src / "b")
    take_over(release)
    assert (src / "a").stat().st_ino != (src / "b").stat().st_ino
    assert (src / "a").read_text() == (src / "b").read_text() == "x"


@pytest.mark.parametrize("error", [18, 22, 38, 95])
def test_where_the_kernel_can_not_copy_between_files_it_is_read_and_written(release, src, monkeypatch, error):
    def no(*_arguments):
        raise OSError(error, "no")

    monkeypatch.setattr(_takeover.os, "copy_file_range", no)
    (src / "a").write_bytes(os.urandom(3_000_000))
    os.link(src / "a", src / "b")
    take_over(release)
    assert (src / "a").read_bytes() == (src / "b").read_bytes()
    assert (src / "a").stat().st_size == 3_000_000


def test_the_name_of_a_copy_is_not_one_that_is_there(release, src):
    (src / ".gatehouse.0").write_text("mine")
    (src / "a").write_text("x")
    os.link(src / "a", src / "b")
    take_over(release)
    assert sorted(os.listdir(src)) == [".gatehouse.0", "a", "b"]
    assert (src / ".gatehouse.0").read_text() == "mine"


# Links


@pytest.mark.parametrize(
    "target",
    [
        "real",
        "./sub/../real",
        "sub/deep/../../real",
        "{release}/src/real",
        "../venv/bin/tool",
        "not-there-yet",
        "not-there-yet/below",
        "ring",
        "hop",
    ],
)
def test_a_link_to_what_lies_beside_it_stays(release, src, target):
    (src / "real").write_text("x")
    (src / "sub" / "deep").mkdir(parents=True)
    (src / "ring").symlink_to("ring")
    (src / "hop").symlink_to("sub/deep")
    target = target.format(release=release)
    (src / "link").symlink_to(target)
    take_over(release)
    assert os.readlink(src / "link") == target


@pytest.mark.parametrize(
    "target",
    [
        "/etc/passwd",
        "/etc",
        "/",
        "/not/there",
        "../env",
        "..",
        "../../r2/src",
        "../../../../..",
        "sub/../../env",
        "out/x",
        "{release}/env",
        "{release}/../r1/src/real",
        "{release}x/src",
        "/proc/self/root",
        "/dev/null",
        "back",
        "/bin/sh",
    ],
)
def test_a_link_that_leaves_the_release_is_refused_by_name(release, src, tmp_path, target, monkeypatch):
    monkeypatch.setattr(_takeover, "SHOWN", 4096)  # the folders of a test may have long names
    (tmp_path / "outside").symlink_to(src / "real")
    (src / "real").write_text("x")
    (src / "sub").mkdir()
    (src / "out").symlink_to("..")
    (src / "back").symlink_to(tmp_path / "outside")  # comes back, but by a place that somebody else can change
    (src / "link").symlink_to(target.format(release=release))
    message, names = refused(release)
    assert "src/link is a link that leaves the release, to %s" % target.format(release=release) in message
    assert "src/link" in names


def test_a_link_to_the_system_s_interpreter_is_what_every_virtual_environment_has(release):
    program = os.path.realpath("/usr/bin/python3")
    (release / "venv" / "bin" / "python3").symlink_to("/usr/bin/python3")
    (release / "venv" / "bin" / "python").symlink_to("python3")
    gyp = release / "src" / "node_modules" / "native" / "build" / "node_gyp_bins"
    gyp.mkdir(parents=True)
    (gyp / "python3").symlink_to(program)
    take_over(release)
    assert os.path.realpath(release / "venv" / "bin" / "python") == program


def test_an_interpreter_that_somebody_else_may_change_is_none(release, tmp_path):
    (tmp_path / "python3").write_text("#!/bin/sh")
    (tmp_path / "python3").chmod(0o777)
    (release / "venv" / "bin" / "python3").symlink_to(tmp_path / "python3")
    assert refused(release)[1] == ["venv/bin/python3"]


def test_what_is_called_as_an_interpreter_and_is_another_file_is_none(release, src):
    (src / "python3").symlink_to("/etc/passwd")
    assert refused(release)[1] == ["src/python3"]


@pytest.mark.parametrize("name", ["python3.13t", "python3.11d", "pypy3.10", "node", "nodejs", "python"])
def test_what_systems_call_their_interpreters(name):
    assert _takeover.INTERPRETER.fullmatch(name)


def test_a_link_of_any_name_may_lead_to_the_interpreter(release):
    """Python 3.14 gives each virtual environment a link called 𝜋thon."""
    (release / "venv" / "bin" / "python3").symlink_to("/usr/bin/python3")
    (release / "venv" / "bin" / "𝜋thon").symlink_to("python3")
    take_over(release)


def test_what_is_on_the_way_to_an_interpreter_must_be_root_s_too(release, tmp_path):
    """The cache is the build's: the link there could lead to another program once the release is live."""
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    cache.chmod(0o777)
    (cache / "python3").symlink_to("/usr/bin/python3")
    (release / "venv" / "bin" / "python3").symlink_to(cache / "python3")
    message, names = refused(release)
    assert names == ["venv/bin/python3"]
    assert "leaves the release, to %s" % (cache / "python3") in message


def test_a_link_that_is_somebody_else_s_is_not_followed_to_an_interpreter(monkeypatch):
    real = os.lstat

    def lstat(path):
        found = real(path)
        return type("Info", (), {"st_uid": 7, "st_mode": found.st_mode}) if path == "/usr/bin/python3" else found

    monkeypatch.setattr(_takeover.os, "lstat", lstat)
    assert not _takeover._is_interpreter("/usr/bin/python3")


@pytest.mark.parametrize("path", ["/usr/lib", "/etc/passwd", "/usr/nothing", "/usr/lib/nothing/../x"])
def test_a_folder_or_a_text_is_no_interpreter_whatever_its_name(monkeypatch, path):
    monkeypatch.setattr(_takeover, "INTERPRETER", type("Any", (), {"fullmatch": staticmethod(lambda _name: True)}))
    assert not _takeover._is_interpreter(path)
    assert _takeover._is_interpreter("/usr/bin/python3")


def test_a_link_that_leaves_over_another_one_names_where_it_leads(release, src):
    (src / "first").symlink_to("/etc/passwd")
    (src / "second").symlink_to("first")
    message, _names = refused(release)
    assert "src/second is a link that leaves the release, to first (/etc/passwd)" in message


# What is no file, folder or link, and what is somebody else's


def test_pipes_sockets_and_devices_are_refused_by_name(release, src, monkeypatch):
    os.mkfifo(src / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        with monkeypatch.context() as here:
            here.chdir(src)  # a socket's path is short
            listener.bind("socket")
        message, names = refused(release)
    assert names == ["src/pipe", "src/socket"]
    assert "src/pipe is a pipe" in message and "src/socket is a socket" in message


@pytest.mark.parametrize(
    ("kind", "word"), [(stat.S_IFCHR, "device"), (stat.S_IFBLK, "block device"), (0o150000, "file of an unknown kind")]
)
def test_a_kind_of_file_is_told(kind, word):
    assert _takeover._kind(kind | 0o644) == word


def test_what_belongs_to_somebody_else_is_refused(release, src):
    """As a hard link to a file of root's is, where the kernel lets users make one: a copy would open it to the app."""
    (src / "file").write_text("x")
    message, names = refused(release, builder=ME + 1)
    assert names == ["src", "venv"]
    assert "src belongs to user id %d, not to the build's" % ME in message


def test_one_file_of_somebody_else_is_refused(release, src, monkeypatch):
    (src / "file").write_text("x")
    real = os.stat

    def told(path, **options):
        found = real(path, **options)
        return os.stat_result((*found[:4], ME + 5, *found[5:10])) if path == "file" else found

    monkeypatch.setattr(_takeover.os, "stat", told)
    assert refused(release)[1] == ["src/file"]


def test_no_more_than_a_few_are_told_and_all_are_counted(release, src):
    for number in range(11):
        os.mkfifo(src / ("pipe%d" % number))
    message, names = refused(release)
    assert message.endswith("and 3 more") and len(names) == 11


def test_a_name_can_not_write_to_the_terminal(release, src):
    os.mkfifo(src / "\x1b[2Jpipe\n")
    assert "src/\\x1b[2Jpipe\\x0a is a pipe" in refused(release)[0]


def test_folders_without_end_are_refused(release, src):
    at = os.open(src, os.O_RDONLY)
    for _level in range(_takeover.DEEPEST + 10):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    assert "lies more than 256 folders deep" in refused(release)[0]


def test_a_folder_that_was_swapped_for_a_link_is_not_entered(release, src, tmp_path, monkeypatch):
    """Between the look at an entry and its opening, as a build that goes on could."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("x")
    (tmp_path / "precious" / "file").chmod(0o666)
    (src / "sub").mkdir()
    real = os.stat

    def swap(path, **options):
        found = real(path, **options)
        if path == "sub":
            (src / "sub").rmdir()
            (src / "sub").symlink_to(tmp_path / "precious")
        return found

    monkeypatch.setattr(_takeover.os, "stat", swap)
    with pytest.raises(OSError, match="sub"):
        take_over(release)
    assert mode(tmp_path / "precious" / "file") == 0o666


# Files that a process still holds

HOLDERS = {
    "open": "import sys, time; file = open(sys.argv[1], 'r+'); print(flush=True); time.sleep(60)",
    "read": "import sys, time; file = open(sys.argv[1]); print(flush=True); time.sleep(60)",
    "mapped": "import mmap, sys, time; file = open(sys.argv[1], 'r+b'); m = mmap.mmap(file.fileno(), 0); file.close();"
    " print(flush=True); time.sleep(60)",
    "folder": "import os, sys, time; os.chdir(os.path.dirname(sys.argv[1])); print(flush=True); time.sleep(60)",
}


@pytest.mark.parametrize("how", HOLDERS)
def test_what_a_process_still_holds_is_refused_with_the_process(release, src, how, monkeypatch):
    monkeypatch.setattr(_takeover, "_is_root", lambda _process: False)  # the tests may be run by root
    (src / "sub").mkdir()
    (src / "sub" / "file").write_bytes(b"x" * mmap.PAGESIZE)
    command = [sys.executable, "-c", HOLDERS[how], str(src / "sub" / "file")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        try:
            message, names = refused(release)
        finally:
            holder.kill()
    expected = "src/sub" if how == "folder" else "src/sub/file"
    assert "%s is held open by process %d" % (expected, holder.pid) in message
    assert set(names) == {expected}


@pytest.mark.parametrize(
    ("uids", "told"),
    [("0\t0\t0\t0", True), ("1000\t0\t0\t0", False), ("0\t0\t0\t1000", False), ("1000\t1000\t1000\t1000", False)],
)
def test_only_what_is_root_through_and_through_may_hold_files(tmp_path, uids, told):
    (tmp_path / "status").write_text("Name:\tUid:\nUid:\t%s\nGid:\t0\t0\t0\t0\n" % uids)
    assert _takeover._is_root(str(tmp_path)) is told


def test_a_process_that_has_ended_holds_nothing(tmp_path):
    assert _takeover._is_root(str(tmp_path / "gone")) is True


def test_a_file_on_its_way_from_one_process_to_another_is_refused(release, src):
    """Nobody's list of open files has it; whoever receives it could still write to the sealed release."""
    (src / "file").write_text("x")
    here, there = socket.socketpair()
    with here, there:
        with (src / "file").open("r+") as file:
            socket.send_fds(here, [b"x"], [file.fileno()])
        message, names = refused(release)
        assert names == ["src/file"]
        assert "src/file is held open for writing by a process that can't be found" in message
    take_over(release)


def test_a_file_that_others_only_read_is_taken_over(release, src):
    (src / "file").write_text("x")
    with (src / "file").open():
        take_over(release)


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EOPNOTSUPP])
def test_a_file_system_without_leases_is_no_obstacle(release, src, monkeypatch, error):
    (src / "file").write_text("x")

    def fcntl(*_given):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(_takeover.fcntl, "fcntl", fcntl)
    take_over(release)


# Depths


def deep(folder, levels, name="d"):
    """Folders in folders, deeper than a path can name."""
    handle = os.open(folder, os.O_RDONLY)
    for _level in range(levels):
        os.mkdir(name, dir_fd=handle)
        below = os.open(name, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = below
    os.close(handle)


@pytest.mark.parametrize(("levels", "name"), [(1500, "d"), (60, "n" * 250)])
def test_what_lies_too_deep_is_refused_by_a_name_that_can_be_read_and_can_be_removed(release, src, levels, name):
    deep(src, levels, name)
    message, names = refused(release)
    assert len(names) == 1 and names[0].startswith("src/" + name[:5])
    assert "folders deep" in message or "has a path of more than" in message
    assert len(message) < 1000
    _takeover.remove(str(src))
    assert not src.exists()


def test_a_checkout_is_removed_however_deep(release, src):
    (src / "x" / ".git").mkdir(parents=True)
    deep(src / "x" / ".git", 1500)
    take_over(release)
    assert os.listdir(src / "x") == []


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("x")
    (tmp_path / "-link").symlink_to("kept")
    handle = os.open(tmp_path, os.O_RDONLY)
    _takeover.remove("-link", handle)
    os.close(handle)
    assert os.listdir(tmp_path) == ["kept"]
    assert (tmp_path / "kept" / "file").exists()


def test_what_can_not_be_removed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(_takeover._commands, "PATH", str(tmp_path))
    (tmp_path / "rm").write_text("#!/bin/sh\necho \"rm: cannot remove 'x': Operation not permitted\" >&2; exit 1\n")
    (tmp_path / "rm").chmod(0o755)
    with pytest.raises(GatehouseError) as caught:
        _takeover.remove("/srv/shop/x")
    assert "/srv/shop/x can't be removed: rm: cannot remove 'x': Operation not permitted" in caught.value.message
    assert "lsattr -d /srv/shop/x" in caught.value.hint


# What git left


def test_checkouts_are_removed_at_any_depth_and_nothing_in_them_is_looked_at(release, src):
    (src / ".git").mkdir()
    os.mkfifo(src / ".git" / "fsmonitor--daemon.ipc")
    (src / "module").mkdir()
    (src / "module" / ".git").write_text("gitdir: ../.git/modules/module")
    (release / "venv" / "src" / "helper").mkdir(parents=True)
    (release / "venv" / "src" / "helper" / ".git").symlink_to("/etc")
    (src / ".gitignore").write_text("")
    take_over(release)
    left = [name for _path, folders, files in os.walk(release) for name in folders + files]
    assert ".git" not in left
    assert ".gitignore" in left
    assert os.path.isdir("/etc")
