"""What of a folder belongs to a release, and how it is told from another one."""

import os
import tarfile

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _source


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
