"""The pinned tools, the link to the collection and the environment."""

import pytest

from testbed import paths, steps, toolchain


def test_pinned():
    assert (
        toolchain.pinned("uv", "# uv==9\nuv-build==1.0\nuv==0.8.1 ; python_version > '3'\n    # via -r x\n") == "0.8.1"
    )


def test_every_tool_asked_for_is_pinned():
    wanted = (paths.ROOT / "tools" / "requirements.in").read_text().splitlines()
    text = toolchain.REQUIREMENTS.read_text()
    for line in wanted:
        if line and not line.startswith("#"):
            name, separator, version = line.partition("==")
            assert toolchain.pinned(name, text) == (version or toolchain.pinned(name, text))


def test_what_is_not_pinned_is_named():
    with pytest.raises(steps.Failure, match="pins no ruff"):
        toolchain.pinned("ruff", "uv==0.8.1\n")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    root = tmp_path.resolve() / "checkout"
    monkeypatch.setattr(paths, "ROOT", root)
    monkeypatch.setattr(paths, "COLLECTIONS", root / ".ansible" / "collections")
    root.mkdir()
    return root


def test_the_link_leads_to_the_checkout(checkout):
    link = checkout / ".ansible/collections/ansible_collections/gatehouse/webapp"
    toolchain.link_collection()
    toolchain.link_collection()
    assert link.resolve() == checkout
    # Relative, so that the checkout can be moved or mounted elsewhere.
    assert str(link.readlink()) == "../../../.."


def test_a_link_elsewhere_is_replaced(checkout):
    link = checkout / ".ansible/collections/ansible_collections/gatehouse/webapp"
    link.parent.mkdir(parents=True)
    link.symlink_to("/nowhere")
    toolchain.link_collection()
    assert link.resolve() == checkout


def test_a_copy_of_the_collection_is_refused(checkout):
    copy = checkout / ".ansible/collections/ansible_collections/gatehouse/webapp"
    copy.mkdir(parents=True)
    with pytest.raises(steps.Failure, match="would hide this checkout"):
        toolchain.link_collection()


def test_no_other_environment_reaches_the_tools(monkeypatch):
    monkeypatch.setenv("VIRTUAL_ENV", "/elsewhere")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    settings = toolchain.environment(EXTRA="1")
    assert settings["PATH"].startswith(str(paths.VENV / "bin"))
    assert settings["EXTRA"] == "1"
    assert not {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE"} & set(settings)
