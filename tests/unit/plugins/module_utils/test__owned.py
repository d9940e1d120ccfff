"""What root reads in a folder of another user's: plain files of that user, whatever their names lead to."""

import os
import subprocess
import sys

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils._owned import open_owned

ME = os.getuid()
LEASE = """
import fcntl, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
file = open(sys.argv[1], "r+")
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_plain_file_of_the_user_is_read_also_by_a_link(tmp_path):
    (tmp_path / "log").write_text("started")
    (tmp_path / "link").symlink_to("log")
    for name in ("log", "link"):
        with open_owned(tmp_path / name, ME) as file:
            assert file.read() == b"started"
    with open_owned(tmp_path / "log", ME + 1, ME) as file:
        assert file.read() == b"started"


def test_a_link_to_another_user_s_file_is_not_followed(tmp_path):
    (tmp_path / "secret").write_text("of root's")
    (tmp_path / "log").symlink_to("secret")
    with pytest.raises(PermissionError):
        open_owned(tmp_path / "log", ME + 1)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_plain_file_is_not_even_opened(tmp_path, kind):
    """The opening of a pipe waits for who writes to it, for ever."""
    path = tmp_path / "log"
    {"pipe": lambda: os.mkfifo(path), "folder": path.mkdir, "device": lambda: path.symlink_to("/dev/null")}[kind]()
    with pytest.raises(PermissionError):
        open_owned(path, ME, 0)


def test_a_lease_of_its_owner_is_not_waited_for(tmp_path):
    """It would hold up whoever opens the file, for 45 seconds."""
    (tmp_path / "log").write_text("x")
    holder = subprocess.Popen(
        [sys.executable, "-c", LEASE, str(tmp_path / "log")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError):
            open_owned(tmp_path / "log", ME)
    finally:
        holder.communicate("")


def test_what_is_not_there_is_told_as_such(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_owned(tmp_path / "log", ME)


def test_no_handle_is_left_open(tmp_path):
    (tmp_path / "log").write_text("x")
    before = len(os.listdir("/proc/self/fd"))
    for owner in (ME, ME + 1):
        try:
            open_owned(tmp_path / "log", owner).close()
        except PermissionError:
            continue
    assert len(os.listdir("/proc/self/fd")) == before
