"""The control node's half of the module reachability: whom it asks, as whom, and what it makes of the answers."""

import pytest

from ansible_collections.gatehouse.webapp.plugins.action import reachability
from ansible_collections.gatehouse.webapp.plugins.module_utils._probes import Answer, ProbeFailure

VIEW = {
    "interfaces": [
        {"name": "lo", "addresses": ["127.0.0.1"]},
        {"name": "eth0", "addresses": ["192.0.2.10", "2001:db8::10"]},
    ],
    "routes": {"4": "eth0", "6": "eth0"},
    "listeners": [
        {"port": 80, "addresses": ["::"], "holders": "nginx"},
        {"port": 443, "addresses": [], "holders": None},
    ],
    "filters": {"4": None, "6": None},
}
NAMES = {"chat.example.com": ["192.0.2.10", "2001:db8::10"], "cloud.example.com": ["203.0.113.9"]}


class Connection:
    def __init__(self, transport):
        self.transport = transport


class Action(reachability.ActionModule):
    """The plugin with a host that answers as it is told, and a network on which 80 is open."""

    def __init__(self, transport="community.docker.docker", ssh="", seen=None, **args):
        self._connection = Connection(transport)
        self.args = {"ports": [80], "addresses": [], "source": None, "timeout": 3.0, **args}
        self.seen = {"view": VIEW, "changed": False} if seen is None else seen
        self.ssh = ssh

    def validate_argument_spec(self, argument_spec):
        return None, self.args

    def _execute_module(self, module_args=None, task_vars=None):
        return dict(self.seen)

    def _low_level_execute_command(self, command, sudoable=True):
        assert (command, sudoable) == ("printenv SSH_CONNECTION", False)
        return {"stdout": self.ssh}

    def ask(self, **variables):
        return self.run(task_vars={"inventory_hostname": "chat.example.com", **variables})


def look_up(name, port, deadline):
    if name == "nowhere.invalid":
        raise ProbeFailure("dns", "the name nowhere.invalid can't be resolved")
    return [(None, None, None, None, (address, port)) for address in NAMES.get(name, [name]) * 2]


def probe(address, port, timeout):
    if port == 80:
        return Answer(True, None, "accepts connections", 0.0)
    return Answer(False, "refused", "connection refused", 0.0)


@pytest.fixture(autouse=True)
def network(monkeypatch):
    monkeypatch.setattr(reachability.ActionBase, "run", lambda self, tmp=None, task_vars=None: {})
    monkeypatch.setattr(reachability, "resolve", look_up)
    monkeypatch.setattr(reachability, "probe_tcp", probe)


def places(result):
    return [(one["address"], one["port"], one["verdict"]) for one in result["verdicts"]]


def test_every_port_of_each_address_of_a_name_is_asked_once():
    result = Action(ports=[80, 443]).ask()
    assert places(result) == [
        ("192.0.2.10", 80, "open"),
        ("192.0.2.10", 443, "not_listening"),
        ("2001:db8::10", 80, "open"),
        ("2001:db8::10", 443, "not_listening"),
    ]


def test_the_failure_names_each_reason_once_and_what_the_host_said_is_not_in_it():
    result = Action(ports=[80, 443], addresses=["chat.example.com", "nowhere.invalid"]).ask()
    assert result["failed"] is True
    assert result["cause"] == "not_listening"
    assert result["msg"] == (
        "nothing listens on port 443 of the host; the name nowhere.invalid does not resolve\n"
        "Next: ss -ltnp   # what listens, and where?"
    )
    assert "view" not in result


def test_all_open_is_no_failure():
    result = Action().ask()
    assert "failed" not in result
    assert places(result) == [("192.0.2.10", 80, "open"), ("2001:db8::10", 80, "open")]


@pytest.mark.parametrize(
    ("transport", "verdict"),
    [("ssh", "open"), ("ansible.builtin.ssh", "open"), ("community.docker.docker", "elsewhere")],
)
def test_where_ssh_comes_to_the_host_is_the_hosts_address(transport, verdict):
    result = Action(transport, addresses=["203.0.113.9"]).ask(ansible_host="cloud.example.com")
    assert places(result) == [("203.0.113.9", 80, verdict)]


def test_an_alias_of_the_ssh_configuration_is_no_name():
    result = Action("ssh", addresses=["192.0.2.10"]).ask(ansible_host="nowhere.invalid")
    assert places(result) == [("192.0.2.10", 80, "open")]


@pytest.mark.parametrize(
    ("transport", "ssh", "source", "seen"),
    [
        ("ssh", "198.51.100.7 51442 192.0.2.10 22\n", None, ["198.51.100.7", "own 2001:db8::10"]),
        ("ssh", "2001:db8::7 51442 2001:db8::10 22\n", None, ["own 192.0.2.10", "2001:db8::7"]),
        ("ssh", "", None, ["own 192.0.2.10", "own 2001:db8::10"]),
        ("local", "198.51.100.7 51442 192.0.2.10 22\n", None, ["own 192.0.2.10", "own 2001:db8::10"]),
        ("ssh", "198.51.100.7 51442 192.0.2.10 22\n", "10.0.0.9", ["10.0.0.9", "own 2001:db8::10"]),
    ],
)
def test_the_questions_come_from_where_the_host_sees_the_client(monkeypatch, transport, ssh, source, seen):
    judged = []
    monkeypatch.setattr(reachability, "_own_address", lambda address: "own " + address)
    monkeypatch.setattr(
        reachability, "judge", lambda question, view, known: judged.append(question.source) or {"ok": True}
    )
    monkeypatch.setattr(reachability, "failures", lambda verdicts: [])
    Action(transport, ssh, source=source).ask()
    assert judged == seen


def test_a_host_that_fails_says_so_itself():
    result = Action(seen={"failed": True, "msg": "port 0 is out of range", "cause": "bad_input"}).ask()
    assert result == {"failed": True, "msg": "port 0 is out of range", "cause": "bad_input"}


@pytest.mark.parametrize(("transport", "verdict"), [("local", "open"), ("community.docker.docker", "elsewhere")])
def test_loopback_is_the_hosts_only_where_ansible_is_there_itself(transport, verdict):
    result = Action(transport, addresses=["127.0.0.1"]).ask(ansible_host="127.0.0.1")
    assert places(result) == [("127.0.0.1", 80, verdict)]


def test_a_source_that_is_no_address():
    assert Action(source="here").ask()["msg"] == "source here is no address\nNext: a right one is 192.0.2.7"


def test_a_time_that_is_none():
    assert Action(timeout=0.0).ask()["msg"].startswith("timeout is 0\nNext: give seconds")
