"""The control node's half of preflight_host: what it gives to the host, what it looks up itself, and what it makes of both."""

import copy
import json
from pathlib import Path

import pytest

from ansible_collections.gatehouse.webapp.plugins.action import preflight_host
from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _outside

RECORDED = Path(__file__).parents[1] / "plugin_utils" / "recorded_preflight.json"
EVIDENCE = json.loads(RECORDED.read_text())["evidence"]
URL = "mysql://chat:database-secret@127.0.0.1:3306/chat"
APPS = [
    {
        "name": "chat-api",
        "runtime": "uvicorn",
        "source": {"git": "https://git.example.com/chat.git", "version": "v1"},
        "uvicorn": {"target": "app.main:app", "app_dir": "backend"},
        "port": 8000,
        "instances": 2,
        "env": {"API_TOKEN": "token-secret", "DATABASE_URL": URL, "CACHE_URL": "redis://cache-secret@127.0.0.1"},
        "health": {"path": "/health"},
    }
]
SITES = [{"name": "chat", "server_names": ["chat.gatehouse.dev"], "routes": [{"path": "/", "app": "chat-api"}]}]
ADDRESSES = {
    "chat.gatehouse.dev": (["192.0.2.10"], None),
    "192.0.2.10": (["192.0.2.10"], None),
    "lb.gatehouse.dev": (["198.51.100.7"], None),
}


class Connection:
    transport = "ssh"


class Action(preflight_host.ActionModule):
    """The plugin with a host that says what was recorded."""

    def __init__(self, seen=None, **args):
        self._connection = Connection()
        self.args = {
            "apps": APPS,
            "sites": SITES,
            "services": True,
            "only": None,
            "databases": [],
            "address": "",
            "load_balancers": [],
            "node": "/usr/bin/node",
            "node_version": "",
            "only_warn": [],
            "timeout": 10.0,
            **args,
        }
        self.seen = {"evidence": copy.deepcopy(EVIDENCE), "changed": False} if seen is None else seen
        self.given = None

    def validate_argument_spec(self, argument_spec):
        return None, self.args

    def _execute_module(self, module_args=None, task_vars=None):
        self.given = module_args
        return self.seen


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch):
    """Ansible's own part, the clock, and DNS."""
    monkeypatch.setattr(preflight_host.ActionBase, "run", lambda self, tmp, task_vars: {})
    monkeypatch.setattr(preflight_host.time, "time", lambda: EVIDENCE["now"])
    found = dict(ADDRESSES)
    monkeypatch.setattr(_outside, "look_up", lambda name: found.get(name, ([], None)))
    return found


def run(action):
    return action.run(task_vars={"inventory_hostname": "app1", "ansible_host": "192.0.2.10"})


def test_the_host_is_given_the_databases_apart_and_no_other_value_of_the_environment():
    action = Action()
    run(action)
    assert action.given["databases"] == [{"app": "chat-api", "name": "DATABASE_URL", "url": URL, "code": "src/backend"}]
    assert "secret" not in json.dumps({key: value for key, value in action.given.items() if key != "databases"})


def test_databases_of_apps_elsewhere_are_not_asked():
    action = Action(services=False)
    run(action)
    assert action.given["databases"] == []


def test_a_host_that_is_ready():
    result = run(Action())
    assert (result["ok"], result["problems"], result["warnings"], result["changed"]) == (True, [], [], False)
    assert result["msg"] == "app1 is ready for a deploy: nothing is in its way."


def test_what_ansible_warns_of_is_kept():
    seen = {"evidence": copy.deepcopy(EVIDENCE), "changed": False, "warnings": ["an old interpreter"]}
    assert run(Action(seen=seen))["warnings"] == ["an old interpreter"]


def test_everything_is_told_at_once_of_here_and_there(elsewhere):
    elsewhere["chat.gatehouse.dev"] = (["203.0.113.9"], None)
    seen = copy.deepcopy(EVIDENCE)
    seen.update(now=EVIDENCE["now"] + 90)
    seen["system"]["systemd"] = False
    apps = copy.deepcopy(APPS)
    apps[0]["source"] = {"directory": "/no/such/folder"}
    result = run(Action(seen={"evidence": seen, "changed": False}, apps=apps))
    assert [(one["level"], one["cause"]) for one in result["problems"]] == [
        ("refuse", "source_missing"),
        ("refuse", "host_unfit"),
        ("refuse", "clock_wrong"),
        ("warn", "dns_wrong"),
    ]
    assert result["failed"] and not result["changed"]
    assert "webapp_apps[chat-api].source.directory: /no/such/folder does not exist" in result["msg"]


def test_a_name_may_lead_to_what_stands_in_front(elsewhere):
    elsewhere["chat.gatehouse.dev"] = (["198.51.100.7"], None)
    assert [one["cause"] for one in run(Action())["problems"]] == ["dns_wrong"]
    assert run(Action(load_balancers=["lb.gatehouse.dev"]))["problems"] == []


def test_a_name_without_an_answer_is_not_one_that_is_missing(elsewhere):
    elsewhere["chat.gatehouse.dev"] = ([], "no answer in time")
    result = run(Action())
    assert [(one["level"], one["cause"]) for one in result["problems"]] == [("warn", "not_measured")]
    assert "no answer in time" in result["problems"][0]["measured"]


def test_a_python_among_the_packages_of_the_app_is_to_come():
    seen = copy.deepcopy(EVIDENCE)
    seen["programs"] = {"python3.12": None}
    apps = copy.deepcopy(APPS)
    apps[0]["uvicorn"]["python"] = "python3.12"
    assert not run(Action(seen={"evidence": copy.deepcopy(seen)}, apps=apps))["ok"]
    apps[0]["packages"] = ["python3.12-venv"]
    assert run(Action(seen={"evidence": seen}, apps=apps))["ok"]


def test_what_the_source_asks_for_is_compared_with_the_host(tmp_path):
    (tmp_path / "backend").mkdir()
    (tmp_path / "backend" / "pyproject.toml").write_text('[project]\nrequires-python = ">=3.99"\n')
    apps = copy.deepcopy(APPS)
    apps[0]["source"] = {"directory": str(tmp_path)}
    assert [one["cause"] for one in run(Action(apps=apps))["problems"]] == ["program_missing"]
    result = run(Action(apps=apps, only_warn=["program_missing"]))
    assert result["ok"] and len(result["warnings"]) == 1


def test_wrong_input_is_refused_before_the_host_is_asked():
    for args, cause in (
        ({"timeout": 0.0}, "bad_input"),
        ({"only_warn": ["memory"]}, "bad_input"),
        ({"apps": [{"name": "x"}]}, "bad_model"),
    ):
        action = Action(**args)
        result = run(action)
        assert (result["failed"], result["cause"], action.given) == (True, cause, None)


def test_a_host_that_can_not_be_asked_is_a_failure_as_it_is():
    result = run(Action(seen={"failed": True, "msg": "no python"}))
    assert result == {"failed": True, "msg": "no python"}


def test_a_host_that_does_not_tell_its_addresses(monkeypatch):
    monkeypatch.setattr(Connection, "transport", "community.docker.docker")
    seen = {key: value for key, value in EVIDENCE.items() if key != "view"}
    assert run(Action(seen={"evidence": copy.deepcopy(seen), "changed": False}))["ok"]
