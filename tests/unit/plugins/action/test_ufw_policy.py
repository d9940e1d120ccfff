"""The control node's half of ufw_policy: by which connection it says it came, and when a policy counts as confirmed."""

import pytest
from ansible.errors import AnsibleConnectionFailure

from ansible_collections.gatehouse.webapp.plugins.action import ufw_policy

LIVE = "192.0.2.7 51442 192.0.2.10 22"
LOADED = {"changed": True, "outcome": "loaded", "added": ["80/tcp ALLOW IN Anywhere"]}


class Task:
    async_val = 0
    check_mode = False

    def __init__(self, args):
        self.args = args


class Connection:
    def __init__(self, transport):
        self.transport = transport
        self.resets = 0

    def reset(self):
        self.resets += 1


class Action(ufw_policy.ActionModule):
    """The plugin with a host that answers as it is told; None: it can't be reached."""

    def __init__(self, answers, transport="ssh", session=LIVE, **args):
        self._task = Task(args)
        self._connection = Connection(transport)
        self.answers = answers
        self.session = session
        self.calls = []

    def _execute_module(self, module_args=None, task_vars=None):
        self.calls.append(module_args)
        answer = self.answers.pop(0)
        if answer is None:
            raise AnsibleConnectionFailure("timed out")
        return dict(answer)

    def _low_level_execute_command(self, cmd, sudoable=True):
        # With sudo the variable is gone.
        return {"stdout": "" if sudoable or not self.session else self.session + "\n"}

    def steps(self):
        return [call.get("step", "converge") for call in self.calls]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A base without a host behind it, and a clock that the waiting moves."""
    monkeypatch.setattr(ufw_policy.ActionBase, "run", lambda self, tmp=None, task_vars=None: {})
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    time = {"now": 0.0}

    class Deadline(ufw_policy.Deadline):
        def __init__(self, seconds):
            super().__init__(seconds, clock=lambda: time["now"])

    def poll(step, deadline, interval):
        return real(step, deadline, interval, sleep=lambda seconds: time.update(now=time["now"] + seconds + 1))

    real = ufw_policy.poll
    monkeypatch.setattr(ufw_policy, "Deadline", Deadline)
    monkeypatch.setattr(ufw_policy, "poll", poll)
    return time


@pytest.mark.parametrize(
    ("transport", "session", "told"),
    [
        ("ssh", LIVE, LIVE),
        ("paramiko", LIVE, LIVE),
        ("ansible.netcommon.libssh", LIVE, LIVE),
        ("ssh", "", "the session has no SSH_CONNECTION"),
        ("community.docker.docker", LIVE, ""),
    ],
)
def test_the_live_session_is_told(transport, session, told):
    action = Action([LOADED], transport, session)
    action.run()
    assert action.calls == [{"session": told}]


@pytest.mark.parametrize("session", ["", LIVE])
def test_on_the_host_itself_it_is_the_session_of_who_started_us(monkeypatch, session):
    if session:
        monkeypatch.setenv("SSH_CONNECTION", session)
    action = Action([LOADED], "local")
    action.run()
    assert action.calls == [{"session": session}]


def test_what_waits_for_nothing_is_done_with_one_call():
    action = Action([LOADED], confirm_within=60)
    assert action.run() == LOADED
    assert (action.steps(), action._connection.resets) == (["converge"], 0)


def test_a_new_connection_confirms():
    action = Action([LOADED | {"pending": True}, {"changed": True, "outcome": "confirmed"}], confirm_within=60)
    assert action.run() == LOADED | {"outcome": "confirmed"}
    assert (action.steps(), action._connection.resets) == (["converge", "confirm"], 1)


def test_it_is_tried_again_over_ever_new_connections():
    action = Action([LOADED | {"pending": True}, None, None, {"outcome": "confirmed"}], confirm_within=60)
    assert action.run()["outcome"] == "confirmed"
    assert action._connection.resets == 3


def test_a_connection_to_a_container_is_not_reset():
    action = Action(
        [LOADED | {"pending": True}, {"outcome": "confirmed"}], "community.docker.docker", confirm_within=60
    )
    assert action.run()["outcome"] == "confirmed"
    assert action._connection.resets == 0


def test_without_a_new_connection_it_fails_and_says_that_the_former_policy_is_back():
    answers = [LOADED | {"pending": True}, *[None] * 3, {"changed": False, "outcome": "reverted"}]
    action = Action(answers, confirm_within="3")
    result = action.run()
    assert (result["failed"], result["changed"], result["cause"]) == (True, False, "not_confirmed")
    assert "no new connection could be opened within 3 s, and the former one is back" in result["msg"]
    assert action.steps() == ["converge", *["confirm"] * 3, "undone"]


def test_a_timer_that_was_faster_fails():
    failed = {"failed": True, "cause": "not_confirmed", "outcome": "reverted", "msg": "not confirmed in time"}
    result = Action([LOADED | {"pending": True}, failed], confirm_within=60).run()
    assert (result["failed"], result["changed"], result["outcome"]) == (True, False, "reverted")


def test_a_host_that_stays_away_is_unreachable():
    with pytest.raises(
        AnsibleConnectionFailure, match="the former one, which the host puts back by itself, does not either"
    ):
        Action([LOADED | {"pending": True}, *[None] * 200], confirm_within=5).run()
