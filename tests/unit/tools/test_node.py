"""Node's side of the tests is brought where it is missing, and only there."""

import os

import pytest

from testbed import machine, node, steps


@pytest.fixture
def done(monkeypatch):
    """What was run and installed, on a machine that has npm and may install."""
    happened = []
    monkeypatch.setattr(steps, "must", lambda command, log, cwd: happened.append((command[:2], cwd)))
    monkeypatch.setattr(machine, "install", lambda *packages: happened.append(packages))
    monkeypatch.setattr(machine, "may_install", lambda: True)
    monkeypatch.setattr(node.shutil, "which", {"npm": "/usr/bin/npm"}.get)
    monkeypatch.delenv("GATEHOUSE_CHROMIUM", raising=False)
    return happened


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "package-lock.json").touch()
    return tmp_path


def installed(folder, age):
    """npm's record, so many seconds older than the lock file."""
    record = folder / "node_modules" / ".package-lock.json"
    record.parent.mkdir()
    record.touch()
    written = (folder / "package-lock.json").stat().st_mtime
    os.utime(record, (written - age, written - age))


def test_packages_are_brought_by_the_lock_file(done, folder):
    node.ensure(folder)
    assert done == [(["npm", "ci"], folder)]


@pytest.mark.parametrize(("age", "times"), [(-5, 0), (5, 1)])
def test_packages_are_brought_again_when_the_lock_file_is_newer(done, folder, age, times):
    installed(folder, age)
    node.ensure(folder)
    assert len(done) == times


def test_npm_is_installed_where_it_is_missing(done, folder, monkeypatch):
    monkeypatch.setattr(node.shutil, "which", lambda program: None)
    node.ensure(folder)
    assert done == [("npm",), (["npm", "ci"], folder)]


def test_a_browser_is_installed_where_there_is_none(done):
    node.ensure_browser()
    assert done[0] == ("chromium",)


@pytest.mark.parametrize("there", node.BROWSERS)
def test_any_chromium_will_do(done, monkeypatch, there):
    monkeypatch.setattr(node.shutil, "which", {"npm": "/usr/bin/npm", there: f"/usr/bin/{there}"}.get)
    node.ensure_browser()
    assert ("chromium",) not in done


def test_a_browser_can_be_named(done, monkeypatch):
    monkeypatch.setenv("GATEHOUSE_CHROMIUM", "/opt/chrome")
    node.ensure_browser()
    assert ("chromium",) not in done


def test_who_may_not_install_is_told_what_to_type(done, monkeypatch):
    monkeypatch.setattr(machine, "may_install", lambda: False)
    with pytest.raises(steps.Failure, match=r"chromium is missing: install it \(.*apt-get install chromium\)"):
        node.ensure_browser()


def test_the_folders_are_there():
    for folder in [*node.EXAMPLES.values(), node.BROWSER_TESTS]:
        assert (folder / "package-lock.json").is_file()
