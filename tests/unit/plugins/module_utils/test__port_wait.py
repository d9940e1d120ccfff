"""Waiting for ports whose sockets come and go as the test says."""

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import Holder, Socket
from ansible_collections.gatehouse.webapp.plugins.module_utils._port_wait import PortWait
from ansible_collections.gatehouse.webapp.plugins.module_utils._services import Systemd, parse_show

ACTIVE = "LoadState=loaded\nActiveState=active\nSubState=running\n"


class Clock:
    now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Host:
    """Sockets by port: (address, unit); `after` moments without them. Connections by port."""

    def __init__(self, clock, sockets=None, connections=None, after=0.0):
        self.clock, self.sockets, self.open, self.after = clock, sockets or {}, connections or {}, after

    def listening(self, port):
        if port not in self.sockets or self.clock.now < self.after:
            return []
        return [Socket(self.sockets[port][0], port, "0A", port)]

    def holders(self, sockets):
        return [Holder(7, "/bin/app", "alice", self.sockets[s.port][1]) for s in sockets]

    def connections(self, port):
        return self.open.get(port, 0) if self.clock.now >= self.after else 5


class Units(Systemd):
    def __init__(self, text=ACTIVE):
        super().__init__(None)
        self.text = text

    def state(self, _unit):
        return parse_show(self.text)


def wait(sockets=None, units=ACTIVE, connections=None, after=0.0, **params):
    clock = Clock()
    given = dict(ports=[8000], state="listening", scope="any", unit=None, timeout=5.0, interval=0.1)
    given.update(params)
    made = PortWait(given, Host(clock, sockets, connections, after), Units(units), clock, clock.sleep)
    made.run()
    return made


def fails(*arguments, **params):
    with pytest.raises(GatehouseError) as caught:
        wait(*arguments, **params)
    return caught.value


APP = {8000: ("127.0.0.1", "app.service")}


@pytest.mark.parametrize(
    ("sockets", "params"),
    [
        (APP, {}),
        (APP, {"after": 2.0}),
        (APP, {"scope": "loopback"}),
        ({8000: ("::", "app.service")}, {"scope": "all"}),
        (APP, {"unit": "app.service"}),
        ({}, {"state": "free"}),
        (APP, {"state": "drained"}),
        (APP, {"state": "drained", "after": 2.0}),
    ],
)
def test_a_state_that_is_reached(sockets, params):
    found = wait(sockets, **params).result()
    assert found["elapsed"] >= params.get("after", 0)
    assert found["ports"][0]["port"] == 8000


def test_the_result_tells_who_and_where():
    (port,) = wait(APP).result()["ports"]
    assert port["scope"] == "loopback"
    assert port["holders"] == [{"pid": 7, "exe": "/bin/app", "user": "alice", "unit": "app.service"}]


@pytest.mark.parametrize(
    ("sockets", "params", "cause", "words"),
    [
        ({}, {}, "not_listening", "after 5 s: nothing listens on port 8000"),
        (APP, {"scope": "all"}, "wrong_scope", "is bound to 127.0.0.1, and should be bound to all addresses"),
        ({8000: ("0.0.0.0", "a")}, {"scope": "loopback"}, "wrong_scope", "should be bound to loopback only"),
        (
            APP,
            {"unit": "other.service"},
            "port_conflict",
            "held by pid 7 (/bin/app, user alice, unit app.service), not by",
        ),
        (APP, {"state": "free"}, "port_conflict", "port 8000 is held by pid 7"),
        (APP, {"state": "drained", "connections": {8000: 3}}, "not_drained", "has 3 open connections"),
    ],
)
def test_a_state_that_is_not_reached_is_named(sockets, params, cause, words):
    failure = fails(sockets, **params)
    assert failure.cause == cause
    assert words in failure.message
    assert failure.hint.startswith("ss -")


def test_every_port_that_lacks_something_is_named():
    failure = fails(APP, ports=[8000, 8001, 8002])
    assert "port 8001; nothing listens on port 8002" in failure.message


@pytest.mark.parametrize(
    "state",
    [
        "ActiveState=failed\nSubState=failed\n",
        "ActiveState=inactive\nSubState=dead\n",
        "ActiveState=activating\nSubState=auto-restart\n",
    ],
)
def test_a_unit_that_is_dead_ends_the_wait_at_once(state):
    clock_free = fails({}, units="LoadState=loaded\nExecMainCode=1\nExecMainStatus=3\n" + state, unit="app.service")
    assert clock_free.cause == "crashed"
    assert "exit status 3" in clock_free.message
    assert clock_free.hint == "journalctl -u app.service -n 50"


def test_a_unit_that_is_being_started_is_waited_for():
    starting = "LoadState=loaded\nActiveState=inactive\nSubState=dead\nJob=5\n"
    assert fails({}, units=starting, unit="app.service").cause == "not_listening"


@pytest.mark.parametrize(
    ("params", "cause"),
    [
        ({"ports": [0]}, "bad_input"),
        ({"ports": [70000]}, "bad_input"),
        ({"unit": "app"}, "bad_input"),
        ({"unit": "app.service", "units": "LoadState=not-found\n"}, "no_unit"),
    ],
)
def test_bad_input_is_refused(params, cause):
    assert fails(APP, **params).cause == cause
