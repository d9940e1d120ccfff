"""The control node's half of verify_host: what it gives to the host, what it asks itself, and what it returns of both."""

import json

import pytest

from ansible_collections.gatehouse.webapp.plugins.action import verify_host
from ansible_collections.gatehouse.webapp.plugins.module_utils import _verify
from ansible_collections.gatehouse.webapp.plugins.module_utils._probes import Answer
from ansible_collections.gatehouse.webapp.plugins.module_utils._verify import finding

APPS = [{"name": "api", "runtime": "external", "port": 8000, "health": {"path": "/health"}}]
SITES = [
    {
        "name": "chat",
        "server_names": ["chat.example.com"],
        "routes": [{"path": "/", "app": "api"}],
        "verify": [{"path": "/x", "headers": {"X-Key": "very-secret-key"}}],
    }
]
WELL = finding("proxy", "chat.example.com/health", "ok", "200")


class Action(verify_host.ActionModule):
    """The plugin with a host that has found this."""

    def __init__(self, checks=(WELL,), **args):
        options = {name: entry.get("default") for name, entry in verify_host.ARGUMENTS.items()}
        self.args = {**options, "apps": APPS, "sites": SITES, "address": "192.0.2.1", **args}
        self.seen = {"checks": list(checks), "invocation": {"module_args": "all of it"}}
        self.given = None

    def validate_argument_spec(self, argument_spec):
        return None, self.args

    def _execute_module(self, module_args=None, task_vars=None):
        self.given = module_args
        return dict(self.seen)


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch):
    """Ansible's own part, and a network in which every server gives one answer: it can be set."""
    monkeypatch.setattr(verify_host.ActionBase, "run", lambda self, tmp, task_vars: {})
    answers = {"http": Answer(True, None, "well", 0.01, 200)}
    monkeypatch.setattr(_verify, "probe_http", lambda *_args, **_options: answers["http"])
    return answers


def run(action):
    return action.run(task_vars={"inventory_hostname": "web1"})


def test_the_host_measures_and_then_the_control_node():
    action = Action()
    result = run(action)
    assert (result["ok"], result["broken"], result["changed"]) == (True, None, False)
    assert [one["link"] for one in result["checks"]] == ["proxy", "outside", "check"]
    assert list(action.given) == ["plan"]
    assert json.loads(action.given["plan"])["options"]["successes"] == 1
    assert "invocation" not in result


def test_behind_a_broken_link_on_the_host_nothing_is_asked_from_here(elsewhere):
    elsewhere["http"] = None
    result = run(Action(checks=[finding("proxy", "x", "broken", "502")]))
    assert (result["ok"], result["broken"]) == (False, "proxy")
    assert [one["state"] for one in result["checks"]] == ["broken", "unjudged", "unjudged"]


def test_what_was_sent_is_in_nothing_that_is_returned(elsewhere):
    elsewhere["http"] = Answer(False, "bad_body", "no: very-secret-key", 0.01, 200, {}, "you said very-secret-key")
    result = run(Action())
    assert not result["ok"]
    assert "very-secret-key" not in json.dumps(result)


def test_a_risk_is_warned_of():
    risk = finding("certificate", "chat", "risk", "9 days left", "It expires in 9 days.")
    assert run(Action(checks=[risk]))["warnings"] == ["It expires in 9 days."]


def test_a_host_that_could_not_be_asked_is_a_failure():
    action = Action()
    action.seen = {"failed": True, "msg": "no Python"}
    assert run(action) == {"failed": True, "msg": "no Python"}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"timeout": 0.0}, "timeout: 10"),
        ({"successes": 0}, "successes: 3"),
        ({"address": None}, "address: 192.0.2.10"),
        ({"sites": [{"name": "x"}]}, "The model has"),
    ],
)
def test_wrong_input_is_refused_with_the_right_one(args, words):
    action = Action(**args)
    result = run(action)
    assert result["failed"]
    assert words in result["msg"]
    assert action.given is None
