"""What the role still does when the CA gives nothing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MAIN = Path(__file__).parents[4] / "roles/tls_certificate/tasks/main.yml"


@pytest.fixture
def play(tmp_path):
    """Run the role's tasks/main.yml with the tasks it imports replaced: each says its name, and one fails."""

    def run(failing=None):
        for part in ("prepare", "keep", "renewal"):
            argument = "fail_msg=no" if part == failing else "success_msg=did-%s" % part
            task = f"- ansible.builtin.assert: that={str(part != failing).lower()} {argument}\n"
            (tmp_path / (part + ".yml")).write_text(task)
        shutil.copy(MAIN, tmp_path / "main.yml")
        book = tmp_path / "book.yml"
        book.write_text("- hosts: localhost\n  gather_facts: false\n  tasks:\n    - import_tasks: main.yml\n")
        done = subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", "--inventory", "localhost,", "--connection", "local", book],
            env=dict(os.environ, ANSIBLE_HOME=str(tmp_path / "home"), ANSIBLE_NOCOLOR="1"),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, [part for part in ("prepare", "keep", "renewal") if "did-" + part in done.stdout]

    return run


def test_the_host_tries_again_by_itself_after_a_ca_that_was_down(play):
    assert play() == (0, ["prepare", "keep", "renewal"])
    code, done = play(failing="keep")
    assert (code, done) == (2, ["prepare", "renewal"])
