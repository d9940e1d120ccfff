"""Every fault is injected for real, and the first cause that is named must be it. The healthy host has none."""

import json
import os
import subprocess
from pathlib import Path

import _faults
import pytest
from _faults import ALL_HANGS, ENV, FAULTS, HEALTHY, IN_THE_CODE, MODEL, PORT, SECRETS, UNITS, no_change

from testbed.paths import ROOT

INVENTORY = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory"


def diagnose(change=no_change, seconds=20):
    return _faults.diagnose(INVENTORY, change, seconds)


def run(host, script):
    return host.run("bash -c %s", script)


@pytest.fixture
def healthy(host):
    run(host, HEALTHY)
    yield
    assert run(host, HEALTHY).rc == 0


def test_a_healthy_host_has_no_cause(healthy):
    found = diagnose(seconds=60)
    assert found["causes"] == []
    assert found["ok"]
    assert found["evidence"]["unanswered"] == {}
    states = {link["state"] for way in found["chain"] for link in way["links"]}
    assert states <= {"ok", "unknown"}


def test_a_host_on_which_everything_hangs_is_asked_in_bounded_time(host, healthy):
    """Commands, apps, database and name server: none of them answers, and none of them is there for good."""
    inject, undo = ALL_HANGS
    try:
        assert run(host, inject).rc == 0
        found = diagnose(seconds=10)
    finally:
        run(host, undo)
    assert found["evidence"]["took"] < 15
    assert "units" in found["evidence"]["unanswered"]
    # What could be seen without them is seen.
    assert found["causes"][0]["cause"] == "process_stopped"


def test_the_playbook_tells_people_and_programs(host, healthy, tmp_path):
    page, document = tmp_path / "report.html", tmp_path / "report.json"
    variables = {**MODEL, "report": str(page), "diagnose_json": str(document), "diagnose_fail": True}
    command = ["ansible-playbook", "-i", INVENTORY, ROOT / "playbooks" / "diagnose.yml", "-e", json.dumps(variables)]
    try:
        run(host, f"systemctl stop {UNITS}")
        done = subprocess.run([*command, "--check"], capture_output=True, text=True, check=False)
    finally:
        run(host, f"systemctl start {UNITS}")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "✘ Service" in done.stdout
    # Where what fails is shown is a setting of Ansible's, which Molecule changes.
    assert "Next: systemctl start chat-api@" in done.stdout + done.stderr
    assert "systemctl start chat-api@" in page.read_text()
    told = json.loads(document.read_text())
    (found,) = told["hosts"].values()
    assert (told["schema"], found["causes"][0]["cause"]) == (1, "service_stopped")
    for secret in SECRETS:
        assert secret not in done.stdout + done.stderr + page.read_text() + document.read_text()


@pytest.mark.parametrize("name", FAULTS)
def test_the_first_cause_is_the_fault(host, healthy, name):
    inject, undo, words, change = FAULTS[name]
    cause = name.partition(" ")[0]
    try:
        injected = run(host, inject)
        assert injected.rc == 0, injected.stdout + injected.stderr
        found = diagnose(change)
    finally:
        run(host, undo)
    told = [(one["cause"], one["message"]) for one in found["causes"]]
    assert told and told[0][0] == cause, told
    assert words in told[0][1] + " ".join(found["causes"][0]["evidence"])


# What a gate can only call crashed: (what breaks the app, what mends it, the cause that the failure names, its words, what to type).
BEHIND_A_GATE = [
    (*FAULTS["database_refuses"][:2], "database_refuses", "Access denied for user 'chat'", "correct the password"),
    (
        f"cp {ENV} /root/env; sed -i /DATABASE_URL/d {ENV}",
        f"cp /root/env {ENV}; systemctl restart {UNITS}",
        "env_missing",
        "DATABASE_URL is missing",
        "webapp_apps[chat-api].env",
    ),
    (
        f"{IN_THE_CODE}; cp main.py /root/main.py; sed -i '1i import nowhere' main.py",
        f"{IN_THE_CODE}; cp /root/main.py main.py; systemctl restart {UNITS}",
        "crash_loop",
        "ModuleNotFoundError: No module named 'nowhere'",
        "journalctl -u chat-api@",
    ),
]


@pytest.mark.parametrize(("inject", "undo", "cause", "words", "after"), BEHIND_A_GATE)
def test_a_gate_that_stays_shut_names_what_stands_behind_it(host, healthy, inject, undo, cause, words, after):
    port = int(run(host, f"echo {PORT}").stdout)
    arguments = {
        "instances": [{"name": f"chat-api@{port}.service", "port": port}],
        "http": {"path": "/health", "json": {"status": "healthy"}},
        "timeout": 15,
        "app": "{{ (webapp_apps | gatehouse.webapp.resolve(webapp_sites)).apps[0] }}",
    }
    try:
        assert run(host, inject).rc == 0
        failure = _faults.ask(INVENTORY, "health_restart", arguments, MODEL)
    finally:
        run(host, undo)
    assert (failure["causes"][0]["cause"], "evidence" in failure) == (cause, False)
    told, _next, hint = failure["msg"].partition("\nNext: ")
    assert "Cause (" in told
    assert words in told
    assert after in hint
