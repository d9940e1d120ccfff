"""The program of the timer: whole without Ansible, and one site's failure is not another one's."""

import json
import subprocess
import sys

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _renewal
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError

WISH = {
    "name": "chat", "mode": "self_signed", "names": ["chat.example.com"], "email": None, "directory": None,
    "ca_bundle": None, "webroot": "/w", "http_port": 80, "port": 443,
}  # fmt: skip


def test_the_program_runs_with_the_standard_library_alone(tmp_path):
    path = tmp_path / "program"
    path.write_bytes(_renewal.program(_renewal.loaded_source))
    done = subprocess.run([sys.executable, "-I", "-S", path, "--help"], capture_output=True, text=True, check=True)
    assert "Keep the certificates of this host's sites." in done.stdout
    done = subprocess.run(
        [sys.executable, "-I", "-S", path, "no-such-site"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "no-such-site" in done.stdout) == (1, True)


def test_the_same_code_gives_the_same_program():
    assert _renewal.program(_renewal.loaded_source) == _renewal.program(_renewal.loaded_source)


@pytest.fixture
def run(tmp_path):
    for name in ("bad", "chat", "good"):
        (tmp_path / (name + ".json")).write_text(json.dumps(dict(WISH, name=name)) if name != "bad" else "{")
    said = []

    def go(keep):
        paths = [str(path) for path in sorted(tmp_path.glob("*.json"))]
        return _renewal.renew(paths, keep, said.append), said

    return go


@pytest.mark.parametrize("gone", ["bad", "chat"])
def test_each_failure_is_told_and_the_others_are_kept(run, tmp_path, gone):
    (tmp_path / (gone + ".json")).unlink()

    def keep(wish):
        if wish.name == "chat":
            still = {"issuer": "Some CA", "not_after": "2027-01-01 00:00 UTC"}
            raise GatehouseError("The CA is down.", cause="ca_unreachable", hint="curl", certificate=still)
        return {"changed": True, "reasons": ["It was due."], "certificate": {"not_after": "2027-04-01 00:00 UTC"}}

    code, said = run(keep)
    assert (code, said[-1]) == (1, "good: It was due. Serving until 2027-04-01 00:00 UTC.")
    if gone == "chat":
        assert "bad.json" in said[0]
    else:
        kept = "chat: what was served before goes on: of Some CA, until 2027-01-01 00:00 UTC."
        assert said[:2] == ["chat: The CA is down.\nNext: curl", kept]


def test_nothing_to_do_is_well(run, tmp_path):
    (tmp_path / "bad.json").unlink()
    code, said = run(lambda wish: {"changed": False, "reasons": [], "certificate": {"not_after": "then"}})
    assert (code, said) == (0, ["chat: nothing to do. Serving until then.", "good: nothing to do. Serving until then."])
