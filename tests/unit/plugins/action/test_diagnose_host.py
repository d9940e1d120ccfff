"""The control node's half of diagnose_host: what it gives to the host, what it asks itself, and what it makes of both."""

import json
from pathlib import Path

import pytest

from ansible_collections.gatehouse.webapp.plugins.action import diagnose_host
from ansible_collections.gatehouse.webapp.plugins.module_utils._probes import Answer
from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _outside

RECORDED = Path(__file__).parents[1] / "plugin_utils" / "recorded_faults"
HEALTHY = json.loads((RECORDED / "healthy.json").read_text())
APPS = [
    {
        "name": "chat-api",
        "runtime": "uvicorn",
        "source": {"directory": "backend"},
        "uvicorn": {"target": "app.main:app"},
        "port": 8000,
        "env": {"API_TOKEN": "very-secret-token"},
        "health": {"path": "/health", "headers": {"X-Key": "of-the-model"}},
    }
]
SITES = [{"name": "chat", "server_names": ["chat.example.com"], "routes": [{"path": "/", "app": "chat-api"}]}]


class Connection:
    def __init__(self, transport):
        self.transport = transport


class Action(diagnose_host.ActionModule):
    """The plugin with a host that says what was recorded."""

    def __init__(self, transport="community.docker.docker", seen=None, **args):
        self._connection = Connection(transport)
        self.args = {
            "apps": APPS,
            "sites": SITES,
            "headers": None,
            "services": True,
            "address": "",
            "outside": True,
            "timeout": 10.0,
            **args,
        }
        self.seen = {"evidence": dict(HEALTHY["evidence"]), "changed": False} if seen is None else seen
        self.given = None

    def validate_argument_spec(self, argument_spec):
        return None, self.args

    def _execute_module(self, module_args=None, task_vars=None):
        self.given = module_args
        return dict(self.seen)

    def _low_level_execute_command(self, command, sudoable=True):
        return {"stdout": "192.0.2.7 50000 192.0.2.10 22\n"}


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch):
    """Ansible's own part, the clock, and the network, on which every name has one address and every port is open."""
    monkeypatch.setattr(diagnose_host.ActionBase, "run", lambda self, tmp, task_vars: {})
    monkeypatch.setattr(diagnose_host.time, "time", lambda: HEALTHY["evidence"]["now"])
    asked = []

    def knock(address, port, _timeout):
        asked.append((address, port))
        return Answer(True, None, "open", 0.01)

    monkeypatch.setattr(_outside, "probe_tcp", knock)
    monkeypatch.setattr(_outside, "probe_http", lambda *_args, **_options: Answer(True, None, "well", 0.01))
    monkeypatch.setattr(_outside, "addresses", lambda name: [name if name[0].isdigit() else "192.0.2.10"])
    monkeypatch.setattr(_outside, "served_certificate", lambda *_: {"ok": True, "code": 0, "message": "trusted"})
    return asked


def run(action):
    return action.run(task_vars={"inventory_hostname": "app1", "ansible_host": "192.0.2.10"})


def test_the_host_is_given_the_model_without_its_secrets():
    action = Action()
    run(action)
    assert "very-secret-token" not in json.dumps(action.given)
    assert "of-the-model" not in json.dumps({key: action.given[key] for key in ("apps", "sites")})
    assert json.loads(action.given["headers"]) == {"chat-api": {"X-Key": "of-the-model"}}
    assert action.given["apps"][0]["services"] == [{"name": "chat-api@8000.service", "port": 8000}]


def test_headers_of_the_task_go_before_those_of_the_model():
    action = Action(headers=json.dumps({"chat-api": {"X-Key": "of-the-task"}}))
    run(action)
    assert json.loads(action.given["headers"]) == {"chat-api": {"X-Key": "of-the-task"}}


def test_causes_chain_and_evidence_come_back():
    result = run(Action(apps=[], sites=[]))
    assert (result["ok"], result["causes"], result["chain"], result["changed"]) == (True, [], [], False)
    assert result["evidence"]["schema"] == 1
    assert not result.get("failed")


@pytest.mark.parametrize(
    ("transport", "address", "expected"),
    [
        ("ssh", "", "192.0.2.10"),
        ("ssh", "198.51.100.5", "198.51.100.5"),
        ("community.docker.docker", "", "172.17."),
    ],
)
def test_where_the_host_is_asked_from_outside(elsewhere, transport, address, expected):
    run(Action(transport=transport, address=address))
    assert elsewhere
    assert all(asked.startswith(expected) for asked, _port in elsewhere)
    assert {port for _asked, port in elsewhere} == {80, 443}


def test_nothing_is_asked_from_outside_when_told_so(elsewhere):
    result = run(Action(outside=False))
    assert elsewhere == []
    assert result["evidence"]["outside"] is None


@pytest.mark.parametrize(("off", "ahead"), [(0, 0.0), (120, 120.0), (-90, -90.0)])
def test_how_far_the_hosts_clock_is_off(off, ahead):
    seen = {"evidence": dict(HEALTHY["evidence"], now=HEALTHY["evidence"]["now"] + off)}
    assert run(Action(seen=seen))["evidence"]["ahead"] == ahead


def test_wrong_input_is_refused_before_the_host_is_asked():
    action = Action(timeout=0.0)
    result = run(action)
    assert (result["failed"], result["cause"], action.given) == (True, "bad_input", None)
    action = Action(apps=[{"name": "x"}])
    result = run(action)
    assert (result["failed"], result["cause"], action.given) == (True, "bad_model", None)


def test_a_host_that_can_not_be_asked_is_a_failure_as_it_is():
    result = run(Action(seen={"failed": True, "msg": "no python"}))
    assert result == {"failed": True, "msg": "no python"}
