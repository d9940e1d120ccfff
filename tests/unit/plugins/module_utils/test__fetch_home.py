"""The home of the unit that fetches: what of root's it has, who owns it, and that nothing of it is left."""

import contextlib
import os
import pathlib
import socket
import socketserver
import stat
import struct
import threading

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils._fetch_home import LARGEST, fetch_home

ME = (os.getuid(), os.getgid())


@pytest.fixture
def root(tmp_path):
    home = tmp_path / "root"
    (home / ".ssh" / "deploy").mkdir(parents=True)
    return home


def write(home, name, content="x"):
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def seen(root, tmp_path):
    """{path below the home: its content} of what the unit has, and where it sees what."""
    with fetch_home(str(tmp_path), ME, "/srv/shop/cache", source=str(root)) as home:
        files = {
            os.path.relpath(os.path.join(path, name), home.folder): pathlib.Path(path, name).read_text()
            for path, _folders, names in os.walk(home.folder)
            for name in names
        }
        return files, [(os.path.relpath(path, home.folder), target) for path, target in home.mounts]


def test_it_has_keys_settings_and_passwords(root, tmp_path):
    folders = (".ssh/id_ed25519", ".ssh/deploy/key", ".ssh/known_hosts", ".config/git/config")
    names = [*folders, ".netrc", ".git-credentials"]
    for name in names:
        write(root, name, "content of " + name)
    files, _mounts = seen(root, tmp_path)
    assert files.pop(".gitconfig")
    assert files == {name: "content of " + name for name in names}


@pytest.mark.parametrize(
    "name", [".ssh/authorized_keys", ".ssh/authorized_keys2", ".ssh/rc", ".bash_history", "secret", ".config/other"]
)
def test_it_has_nothing_else(root, tmp_path, name):
    write(root, name)
    files, _mounts = seen(root, tmp_path)
    assert set(files) == {".gitconfig"}


def test_root_s_settings_of_git_are_kept_and_repositories_of_others_may_be_read(root, tmp_path):
    write(root, ".gitconfig", "[http]\n\tproxy = http://proxy.example.com:3128")
    files, _mounts = seen(root, tmp_path)
    assert files[".gitconfig"].startswith("[http]\n\tproxy = http://proxy.example.com:3128\n[safe]\n")
    assert "directory = *" in files[".gitconfig"]


def test_it_takes_the_place_of_both_homes(root, tmp_path):
    write(root, ".netrc")
    write(root, ".ssh/key")
    _files, mounts = seen(root, tmp_path)
    assert mounts == [
        (".", "/srv/shop/cache"),
        *((name, str(root / name)) for name in (".gitconfig", ".netrc", ".ssh")),
    ]


def test_a_link_of_root_s_is_followed_and_what_is_no_file_is_left_out(root, tmp_path, monkeypatch):
    write(tmp_path, "kept-elsewhere", "key")
    (root / ".ssh" / "id").symlink_to(tmp_path / "kept-elsewhere")
    (root / ".ssh" / "gone").symlink_to("nothing")
    write(root, ".ssh/large", "x" * (LARGEST + 1))
    monkeypatch.chdir(root / ".ssh")
    with socket.socket(socket.AF_UNIX) as control:
        control.bind("control-forge-22")
        files, _mounts = seen(root, tmp_path)
    assert files.pop(".gitconfig")
    assert files == {".ssh/id": "key"}


def test_nobody_else_can_read_it_and_nothing_is_left_even_after_a_failure(root, tmp_path, monkeypatch):
    write(root, ".ssh/deploy/key")
    given = {}
    monkeypatch.setattr(os, "chown", lambda path, uid, gid: given.update({path: (uid, gid)}))
    with pytest.raises(KeyboardInterrupt), fetch_home(str(tmp_path), (7, 8), "/home", source=str(root)) as home:
        everything = [home.folder, *(os.path.join(at, n) for at, ds, fs in os.walk(home.folder) for n in ds + fs)]
        assert given == dict.fromkeys(everything, (7, 8))
        modes = {
            stat.S_IMODE(os.stat(path).st_mode)
            for path in everything
            if os.path.isfile(path) and ".gitconfig" not in path
        }
        assert modes == {0o600}
        assert stat.S_IMODE(os.stat(home.folder).st_mode) == 0o700
        raise KeyboardInterrupt
    assert not os.path.exists(home.folder)


def test_it_may_ask_root_s_agent_several_times_over_one_connection(root, tmp_path):
    """The agent answers each question with itself, backwards."""
    agent = tmp_path / "agent"
    asked = []

    class Answer(socketserver.StreamRequestHandler):
        def handle(self):
            while True:
                header = self.rfile.read(4)
                if not header:
                    return
                question = self.rfile.read(struct.unpack(">I", header)[0])
                asked.append(question)
                self.wfile.write(header + question[::-1])

    with socketserver.UnixStreamServer(str(agent), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            with fetch_home(str(tmp_path), ME, "/home", str(agent), str(root)) as home:
                assert home.variables == {"SSH_AUTH_SOCK": "/home/.ssh-agent"}
                path = os.path.join(home.folder, ".ssh-agent")
                assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(path)
                    for question in (b"list", b"x" * 100000):
                        client.sendall(struct.pack(">I", len(question)) + question)
                        expected = struct.pack(">I", len(question)) + question[::-1]
                        answer = b""
                        while len(answer) < len(expected):
                            answer += client.recv(65536)
                        assert answer == expected
            assert asked == [b"list", b"x" * 100000]
        finally:
            server.shutdown()
            thread.join()


def test_an_agent_that_is_gone_leaves_the_unit_without_one(root, tmp_path):
    home = fetch_home(str(tmp_path), ME, "/home", str(tmp_path / "gone"), str(root))
    answer = b""
    with home as made, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(os.path.join(made.folder, ".ssh-agent"))
        with contextlib.suppress(ConnectionError):  # it may have been closed before the question came
            client.sendall(b"\0\0\0\1\x0b")
            answer = client.recv(1)
    assert answer == b""


def test_without_an_agent_nothing_is_said_of_one(root, tmp_path):
    with fetch_home(str(tmp_path), ME, "/home", None, str(root)) as home:
        assert home.variables == {}
