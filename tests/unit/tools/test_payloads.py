"""The folder of payloads that the runs of one `bin/test` share."""

import importlib.util
import os
import subprocess
import sys

import pytest

from testbed import paths, suite, toolchain

PLAY = """
- hosts: localhost
  gather_facts: false
  connection: local
  tasks:
    - gatehouse.webapp.port_wait: {ports: [1], state: drained, timeout: 1}
"""


@pytest.fixture(scope="module")
def payloads():
    spec = importlib.util.spec_from_file_location("payloads", suite.CALLBACKS / "payloads.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sources(tmp_path):
    for name in ("plugins/modules/a.py", "plugins/module_utils/_b.py", "molecule/x/library/c.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("one")
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "requirements.txt").write_text("ansible==1")
    return tmp_path


def test_the_same_sources_have_the_same_key(payloads, tmp_path):
    root = sources(tmp_path)
    assert payloads.key(root) == payloads.key(root)


@pytest.mark.parametrize(
    "name",
    [
        "plugins/modules/a.py",
        "plugins/module_utils/_b.py",
        "plugins/module_utils/_new.py",
        "molecule/x/library/c.py",
        "tools/requirements.txt",
    ],
)
def test_what_a_payload_is_made_of_changes_the_key(payloads, tmp_path, name):
    root = sources(tmp_path)
    before = payloads.key(root)
    (root / name).write_text("another")
    assert payloads.key(root) != before


def test_a_file_of_the_same_size_changes_the_key(payloads, tmp_path):
    root = sources(tmp_path)
    path = root / "plugins" / "modules" / "a.py"
    before = payloads.key(root)
    path.write_text("two")
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1))
    assert payloads.key(root) != before


def test_a_second_run_takes_the_payload_of_the_first(payloads, tmp_path):
    """What Ansible calls its folder is its own affair: were it another, each run would pack everything again, and nobody would notice."""
    play = tmp_path / "play.yml"
    play.write_text(PLAY)
    environment = toolchain.environment(
        ANSIBLE_CALLBACK_PLUGINS=str(suite.CALLBACKS), GATEHOUSE_PAYLOADS=str(tmp_path / "kept")
    )
    interpreter = f"ansible_python_interpreter={sys.executable}"
    command = [paths.VENV / "bin" / "ansible-playbook", "-i", "localhost,", "-e", interpreter, play]

    def packed():
        subprocess.run(command, env=environment, check=True, capture_output=True)
        return {path.name: path.stat().st_ino for path in (tmp_path / "kept" / payloads.key(paths.ROOT)).glob("*-none")}

    first = packed()
    assert [name for name in first if ".port_wait-" in name]
    assert packed() == first
