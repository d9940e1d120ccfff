"""What of a folder belongs to a release, and how it is told from another one."""

import os
import tarfile

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _source
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._source import least, least_versions, unreadable


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "source"
    (source / "app").mkdir(parents=True)
    (source / "app" / "main.py").write_text("print(1)")
    (source / "run.sh").write_text("#!/bin/sh")
    (source / "run.sh").chmod(0o755)
    os.symlink("app/main.py", source / "link")
    return source


def test_what_tools_leave_behind_stays_behind(folder):
    before = _source.digest(str(folder))
    for name in (".git", "node_modules", ".venv", "app/__pycache__"):
        (folder / name).mkdir()
        (folder / name / "x").write_text("x")
    (folder / "app" / "main.pyc").write_text("x")
    assert _source.source_files(str(folder)) == ["app/main.py", "link", "run.sh"]
    assert _source.digest(str(folder)) == before


CHANGES = {
    "content": lambda folder: (folder / "app" / "main.py").write_text("print(2)"),
    "name": lambda folder: (folder / "run.sh").rename(folder / "start.sh"),
    "executable bit": lambda folder: (folder / "run.sh").chmod(0o644),
    "link": lambda folder: ((folder / "link").unlink(), os.symlink("run.sh", folder / "link")),
    "new file": lambda folder: (folder / "new").write_text(""),
    "file for link": lambda folder: ((folder / "link").unlink(), (folder / "link").write_text("app/main.py")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_makes_another_source(folder, change):
    before = _source.digest(str(folder))
    CHANGES[change](folder)
    assert _source.digest(str(folder)) != before


def test_times_and_other_permissions_do_not(folder):
    before = _source.digest(str(folder))
    os.utime(folder / "run.sh", (1, 1))
    (folder / "app" / "main.py").chmod(0o600)
    assert _source.digest(str(folder)) == before


def test_packing_keeps_files_modes_and_links(folder, tmp_path):
    _source.pack(str(folder), str(tmp_path / "packed.tar.gz"))
    with tarfile.open(tmp_path / "packed.tar.gz") as archive:
        members = {member.name: member for member in archive}
        assert sorted(members) == ["app/main.py", "link", "run.sh"]
        assert members["run.sh"].mode & 0o111
        assert members["link"].linkname == "app/main.py"
        assert archive.extractfile("app/main.py").read() == b"print(1)"


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(GatehouseError) as caught:
        _source.digest(str(tmp_path / "nowhere"))
    assert "nowhere can't be read on the control node" in caught.value.message
    assert "examples/chat/backend" in caught.value.hint


def test_an_empty_folder_is_no_source(tmp_path):
    with pytest.raises(GatehouseError) as caught:
        _source.digest(str(tmp_path))
    assert "is empty" in caught.value.message


def test_an_archive_must_be_the_one_that_was_meant(tmp_path):
    archive = tmp_path / "a.tar"
    archive.write_bytes(b"hello")
    right = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert _source.archive_digest(str(archive)) == right
    assert _source.archive_digest(str(archive), right) == right
    with pytest.raises(GatehouseError) as caught:
        _source.archive_digest(str(archive), "sha256:" + "0" * 64)
    assert right in caught.value.message


def test_the_release_is_named_by_source_and_inputs_alone():
    name = _source.release_id("rev", {"env": {"A": "1", "B": "2"}})
    assert name == _source.release_id("rev", {"env": {"B": "2", "A": "1"}})
    assert len(name) == 12
    assert name != _source.release_id("other", {"env": {"A": "1", "B": "2"}})
    assert name != _source.release_id("rev", {"env": {"A": "1", "B": "3"}})


class TestUnreadable:
    def told(self, path, kind="directory"):
        return unreadable([{"place": "webapp_apps[x].source.directory", "path": str(path), "kind": kind}])

    def test_what_is_there_is_readable(self, tmp_path):
        (tmp_path / "a.tar").write_text("")
        assert self.told(tmp_path) == self.told(tmp_path / "a.tar", "file") == []

    def test_what_is_not_there_or_something_else(self, tmp_path):
        (tmp_path / "a.tar").write_text("")
        for path, kind, words in (
            (tmp_path / "none", "directory", "does not exist"),
            (tmp_path / "a.tar", "directory", "is no folder"),
            (tmp_path, "file", "is no file"),
        ):
            ((sentence, mend),) = self.told(path, kind)
            assert sentence.startswith(f"webapp_apps[x].source.directory: {path} {words}")
            assert os.getcwd() in mend

    def test_what_may_not_be_read(self, tmp_path, monkeypatch):
        monkeypatch.setattr(os, "access", lambda path, mode: False)
        ((sentence, mend),) = self.told(tmp_path)
        assert "you may not read" in sentence
        assert mend.startswith(f"chmod -R u+rX {tmp_path}")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (">=3.10,<4", [3, 10]),
        ("~=3.11", [3, 11]),
        ("^20.1.0 || >=22", [20, 1, 0]),
        ("20.x", [20]),
        ("v18.19.0", [18, 19, 0]),
        (">= 18", [18]),
        ("<=3.12,>=3.9", [3, 9]),
        ("!=3.9.*,>=3.8", [3, 8]),
        ("<=22 >=18", [18]),
        ("<=v22 >=v18", [18]),
        ("=20.1", [20, 1]),
        ("<4", None),
        ("<=4", None),
        ("^20 || <12", None),
        ("*", None),
        ("", None),
    ],
)
def test_the_lowest_version_that_a_condition_allows(wanted, expected):
    assert least(wanted) == expected


def test_the_versions_that_a_source_asks_for(tmp_path):
    app = {"uvicorn": {"app_dir": "api"}, "pm2": None, "static": None, "source": {"directory": str(tmp_path)}}
    assert least_versions(app) == {"least_python": None, "least_node": None}
    (tmp_path / "api").mkdir()
    (tmp_path / "api/pyproject.toml").write_text("[project]\nrequires-python = '>=3.11'\n")
    (tmp_path / "api/package.json").write_text('{"engines": {"node": ">=20"}}')
    assert least_versions(app) == {"least_python": [3, 11], "least_node": [20]}
    assert least_versions({**app, "source": {"git": "https://x", "directory": None}})["least_python"] is None
    assert least_versions({**app, "source": None})["least_node"] is None
    (tmp_path / "api/package.json").write_text("[]")
    assert least_versions(app)["least_node"] is None


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    (tmp_path / "app.py").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(GatehouseError) as caught:
        _source.digest(str(tmp_path))
    assert caught.value.message == "pipe of the source folder is no file, folder or link"
    assert "rm %s" % (tmp_path / "pipe") in caught.value.hint
