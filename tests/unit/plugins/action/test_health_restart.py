"""The control node's half of health_restart: what the host is given of the app, and what a failure is told with."""

import copy
import json
from pathlib import Path

import pytest

from ansible_collections.gatehouse.webapp.plugins.action import health_restart
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._model import resolve

HEALTHY = json.loads(
    (Path(__file__).parents[1] / "plugin_utils" / "recorded_faults" / "healthy.json").read_text(encoding="utf-8")
)
UNIT = "chat-api@8000.service"
APP = {
    "name": "chat-api",
    "runtime": "uvicorn",
    "source": {"directory": "backend"},
    "uvicorn": {"target": "app.main:app"},
    "port": 8000,
    "env": {"API_TOKEN": "very-secret-token"},
    "required_env": ["API_TOKEN"],
    "health": {"path": "/health"},
}
GATE = {
    "failed": True,
    "cause": "crashed",
    "hint": "journalctl -u chat-api@8000.service -n 50",
    "msg": "chat-api@8000.service: crashed\nWent back.\nNext: journalctl -u chat-api@8000.service -n 50",
}


class Task:
    def __init__(self, args, async_val):
        self.args = args
        self.async_val = async_val


class Action(health_restart.ActionModule):
    def __init__(self, answer, background=0, **args):
        self._task = Task(args, background)
        self.answer = answer
        self.given = self.background = None

    def _execute_module(self, module_args=None, task_vars=None, wrap_async=False):
        self.given = module_args
        self.background = wrap_async
        return copy.deepcopy(self.answer)


@pytest.fixture(autouse=True)
def plain_base(monkeypatch):
    monkeypatch.setattr(health_restart.ActionBase, "run", lambda self, tmp=None, task_vars=None: {})


@pytest.fixture
def app():
    return resolve([APP], [])["apps"][0]


def evidence(*log, **unit):
    """What the host says of one instance that has just crashed."""
    found = copy.deepcopy(HEALTHY["evidence"])
    found["apps"] = [dict(found["apps"][0], live=[{"name": UNIT, "port": 8000}], environment={"API_TOKEN": "set"})]
    found["probes"] = [one for one in found["probes"] if (one["app"], one["port"]) == ("chat-api", 8000)]
    for one in found["probes"]:
        one.update(ok=False, cause="refused", message="connection refused")
    found["listeners"], found["nginx"], found["outside"] = [], None, None
    found["units"] = {UNIT: dict(found["units"][UNIT], **unit)}
    found["journal"] = {UNIT: list(log)}
    return dict(found, gate={"unit": UNIT, "cause": "crashed", "message": "crashed"})


def test_the_host_is_given_the_app_without_its_values(app):
    action = Action({"changed": True}, name=UNIT, port=8000, app=app)
    assert action.run() == {"changed": True}
    assert json.loads(action.given["app"])["app"]["required_env"] == ["API_TOKEN"]
    assert action.given["name"] == UNIT
    assert "very-secret-token" not in json.dumps(action.given)


def test_in_the_background_nothing_is_asked_that_nobody_would_judge(app):
    action = Action({"started": 1}, background=60, name=UNIT, app=app)
    assert action.run() == {"started": 1}
    assert (action.given, action.background) == ({"name": UNIT}, 60)


def test_without_an_app_all_is_passed_on_as_it_is():
    action = Action(GATE, name=UNIT)
    assert action.run() == GATE
    assert action.given == {"name": UNIT}


@pytest.mark.parametrize(
    ("log", "cause", "words", "after"),
    [
        (["KeyError: 'PAYMENT_KEY'"], "env_missing", "does without PAYMENT_KEY", "webapp_apps[chat-api].env"),
        (
            ["  1 validation error for Settings", "payment_key", "  Field required [type=missing]"],
            "env_missing",
            "PAYMENT_KEY",
            ".env",
        ),
        (["ModuleNotFoundError: No module named 'redis'"], "crash_loop", "No module named 'redis'", GATE["hint"]),
        (
            ["(1045, \"Access denied for user 'chat'\")"],
            "database_refuses",
            "refuses the user or password",
            "correct the password",
        ),
        (["[Errno 28] No space left on device"], "disk_full", "No space is left", "make room"),
    ],
)
def test_a_gate_that_stays_shut_is_told_with_its_first_cause(app, log, cause, words, after):
    seen = evidence(*log, active="activating", sub="auto-restart")
    if cause == "disk_full":
        seen["disks"][0].update(free=0)
    result = Action({**GATE, "evidence": seen}, name=UNIT, app=app).run()
    assert "evidence" not in result
    assert (result["cause"], result["causes"][0]["cause"]) == ("crashed", cause)
    told, _next, hint = result["msg"].partition("\nNext: ")
    assert told.startswith("chat-api@8000.service: crashed\nWent back.\nCause (")
    assert words in told
    assert after in hint
    assert result["hint"] == hint


def test_the_lock_of_the_deploy_itself_is_no_cause(app):
    seen = evidence(active="inactive", sub="dead")
    seen["apps"][0]["lock"] = {"user": "ada", "host": "laptop", "since": 0, "until": 9e9, "release": "abc"}
    result = Action({**GATE, "evidence": seen}, name=UNIT, app=app).run()
    assert "held_by_deploy" not in [one["cause"] for one in result["causes"]]


def test_an_app_that_was_started_again_in_the_meantime_has_crashed(app):
    seen = evidence("ValueError: no such plan", active="active", sub="running")
    result = Action({**GATE, "evidence": seen}, name=UNIT, app=app).run()
    assert result["causes"][0]["cause"] == "crash_loop"
    assert "crashes: ValueError: no such plan" in result["msg"]


def test_a_failure_without_a_cause_is_told_as_it_is(app):
    # That it does not start at boot is true, and no cause of this.
    seen = evidence(active="active", sub="running", enabled="disabled")
    seen["gate"]["cause"] = "timed_out"
    for one in seen["probes"]:
        one.update(ok=True, cause=None)
    seen["listeners"] = [dict(HEALTHY["evidence"]["listeners"][0], port=8000, unit=UNIT)]
    assert Action({**GATE, "evidence": seen}, name=UNIT, app=app).run() == GATE
