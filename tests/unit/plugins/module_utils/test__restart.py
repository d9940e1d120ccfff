"""The gated restart as a story, told with a manager, sockets and probes that do as they are told."""

import itertools

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _gated
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._gate import GATE
from ansible_collections.gatehouse.webapp.plugins.module_utils._gated import Service
from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import Holder, Socket
from ansible_collections.gatehouse.webapp.plugins.module_utils._probes import Answer
from ansible_collections.gatehouse.webapp.plugins.module_utils._restart import GatedRestart
from ansible_collections.gatehouse.webapp.plugins.module_utils._services import State, Systemd, parse_show

A, B = Service("app@8000.service", 8000), Service("app@8001.service", 8001)
GOOD = Answer(True, None, "answered 200", 0.001, 200)
SICK = Answer(False, "bad_status", "it answered 503, not 200", 0.001, 503)
REFUSED = Answer(False, "refused", "connection refused", 0.001)
HANGS = Answer(False, "timed_out", "no complete answer within 5 s", 5.0)

RUNNING = parse_show("LoadState=loaded\nActiveState=active\nSubState=running\nMainPID=10\nInvocationID=old\n")
STOPPED = parse_show("LoadState=loaded\nActiveState=inactive\nSubState=dead\n")


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Manager(Systemd):
    """Units whose states follow a script: what each restart leads to."""

    def __init__(self, before=RUNNING, log=(), secrets=None):
        super().__init__(run=None)
        self.states = {A.name: before, B.name: before}
        self.leads_to = {}  # unit: list of states, or of functions of the former state; the last one stays
        self.calls = []
        self.log_lines = list(log)
        self.secrets = secrets or {}
        self._ids = itertools.count()

    def state(self, unit):
        script = self.leads_to.get(unit)
        if script and "restart %s" % unit in self.calls:
            self.states[unit] = script.pop(0) if len(script) > 1 else script[0]
        return self.states[unit]

    def restart(self, unit):
        self.calls.append("restart %s" % unit)
        if unit not in self.leads_to:
            self.states[unit] = RUNNING._replace(invocation="new%d" % next(self._ids), pid=11)

    def stop(self, unit):
        self.calls.append("stop %s" % unit)
        self.states[unit] = STOPPED

    def enable(self, unit):
        self.calls.append("enable %s" % unit)

    def forget_failures(self, unit):
        pass

    def reload_definitions(self):
        self.calls.append("daemon-reload")

    def log(self, unit, since, lines):
        return self.log_lines

    def environment(self, state):
        return self.secrets


class Sockets:
    """Listeners of which each port is held by the unit that the table says; None: by nobody."""

    def __init__(self, units=None):
        self.units = {8000: A.name, 8001: B.name} if units is None else units

    def listening(self, port):
        return [Socket("127.0.0.1", port, "0A", port)] if self.units.get(port) else []

    def holders(self, sockets):
        return [Holder(99, "/usr/bin/python3", "alice", self.units[s.port]) for s in sockets]

    def pids_of_unit(self, unit):
        return [unit]

    def ports_of(self, units):
        return sorted(port for port, unit in self.units.items() if unit in units)


class Processes:
    """Every process works in the folder of the release it was started from, and began at second 50."""

    folder = "/srv/app/releases/two/src"

    def __init__(self, workers=None):
        self.script = list(workers or [None])  # what PM2's workers are at each look; None: there is no PM2

    def workers(self, _pid):
        found = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return None if found is None else frozenset(found)

    def working_directory(self, _pid):
        return self.folder

    def start_time(self, _pid):
        return 50

    def changed_at(self, _path):
        return 40


def gate(**given):
    options = {name: entry.get("default") for name, entry in GATE.items()}
    return dict(options, **given)


@pytest.fixture
def probes(monkeypatch):
    """Answers by port; the answer of a port may be a list, whose last item stays."""
    answers = {8000: [GOOD], 8001: [GOOD]}

    def ask(port):
        def asked(_timeout):
            script = answers.get(port, [REFUSED])
            return script.pop(0) if len(script) > 1 else script[0]

        return asked

    monkeypatch.setattr(_gated, "probes_of", lambda gate, port: [ask(port)] if port or gate["http"] else [])
    monkeypatch.setattr(_gated, "questions_of", lambda gate, port: [ask(port)])
    return answers


def story(manager, services=(A, B), sockets=None, workers=None, **options):
    clock = Clock()
    options.setdefault("gate", gate(timeout=10))
    return GatedRestart(
        services=list(services),
        manager=manager,
        listeners=sockets or Sockets(),
        processes=Processes(workers),
        clock=clock,
        sleep=clock.sleep,
        now=lambda: 0,
        **options,
    )


def run(restart):
    restart.check()
    restart.plan()
    restart.run()
    return restart


def fails(restart):
    with pytest.raises(GatehouseError) as caught:
        run(restart)
    return caught.value


def started(**changes):
    return RUNNING._replace(**{"invocation": "new", "pid": 11, **changes})


def test_services_are_restarted_one_after_another(probes):
    manager = Manager()
    restart = run(story(manager))
    assert manager.calls == ["restart " + A.name, "restart " + B.name]
    assert (restart.outcome, restart.changed) == ("healthy", True)


def test_the_second_waits_for_the_first(probes):
    probes[8000][:] = [SICK]
    manager = Manager()
    assert fails(story(manager)).cause == "unhealthy"
    assert manager.calls == ["restart " + A.name]


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ([started(active="failed", sub="failed", result="exit-code", exit_code=1, exit_status=3)], "exit status 3"),
        ([started(active="activating", sub="auto-restart", exit_code=1, exit_status=1)], "exit status 1"),
        ([started(), started(restarts=1)], "restarted it 1 times"),
        ([started(active="inactive", sub="dead", exit_code=1, exit_status=0, pid=0)], "exit status 0"),
        ([started(active="failed", sub="failed", result="signal", exit_code=2, exit_status=9)], "signal 9"),
        ([RUNNING._replace(active="failed", sub="failed", result="start-limit-hit")], "start-limit-hit"),
    ],
)
def test_a_crash_ends_the_wait_when_it_happens(probes, states, words):
    probes[8000][:] = [REFUSED]
    manager = Manager()
    manager.leads_to[A.name] = list(states)
    restart = story(manager)
    failure = fails(restart)
    assert failure.cause == "crashed"
    assert words in failure.message
    assert restart.timeline.elapsed() < 1
    assert failure.hint == "journalctl -u %s -n 50" % A.name


@pytest.mark.parametrize("looks", [[{5}, {5}, set()], [set(), {5, 6}, {5, 6}, {5, 7}]])
def test_a_worker_that_pm2_starts_anew_is_a_crash(probes, looks):
    probes[8000][:] = [REFUSED]
    restart = story(Manager(), workers=looks)
    failure = fails(restart)
    assert (failure.cause, "a worker of PM2 has ended" in failure.message) == ("crashed", True)
    assert restart.timeline.elapsed() < 1


@pytest.mark.parametrize("looks", [[{5}, {5, 99}, {5}], [set(), {5}, {5, 6}, {5, 6}]])
def test_workers_that_come_and_small_tools_that_go_are_none(probes, looks):
    assert run(story(Manager(), workers=looks)).outcome == "healthy"


def test_a_crash_over_a_taken_port_is_a_port_conflict_by_its_log(probes):
    probes[8000][:] = [REFUSED]
    manager = Manager(log=["ERROR: [Errno 98] address already in use"])
    manager.leads_to[A.name] = [started(active="failed", sub="failed", exit_code=1, exit_status=1)]
    assert fails(story(manager)).cause == "port_conflict"


def test_answers_of_the_old_process_do_not_count(probes):
    """The old process goes on answering while it stops: only the new invocation is asked."""
    manager = Manager()
    manager.leads_to[A.name] = [RUNNING._replace(active="deactivating", sub="stop-sigterm")]
    failure = fails(story(manager))
    assert failure.cause == "timed_out"
    assert "its old process has not ended (stop-sigterm)" in failure.message


def test_a_stranger_on_the_port_is_refused_before_anything_is_touched(probes):
    manager = Manager()
    sockets = Sockets({8000: "old-api.service", 8001: B.name})
    restart = story(manager, sockets=sockets)
    failure = fails(restart)
    assert failure.cause == "port_conflict"
    assert "port 8000 is held by pid 99 (/usr/bin/python3, user alice, unit old-api.service)" in failure.message
    assert "systemctl stop old-api.service" in failure.hint
    assert manager.calls == []
    assert restart.changed is False


def test_a_stranger_that_comes_later_is_not_taken_for_the_service(probes):
    sockets = Sockets()
    manager = Manager()
    manager.restart = lambda unit: (
        sockets.units.update({8000: "squatter.service"}),
        manager.states.update({unit: started()}),
    )
    assert fails(story(manager, sockets=sockets)).cause == "port_conflict"


def test_who_can_not_be_seen_is_not_taken_for_the_service(probes):
    sockets = Sockets()
    sockets.holders = lambda _sockets: []
    failure = fails(story(Manager(), sockets=sockets))
    assert "who holds port 8000 can't be seen" in failure.message


def test_the_socket_of_a_socket_unit_is_no_stranger(probes):
    sockets = Sockets()
    sockets.holders = lambda found: [Holder(1, "/sbin/init", "root", "init.scope")]
    manager = Manager()
    assert run(story(manager, sockets=sockets)).outcome == "healthy"


def test_a_healthy_answer_on_another_port_is_a_wrong_port(probes):
    probes[8000][:], probes[9000] = [REFUSED], [GOOD]
    sockets = Sockets({9000: A.name})
    restart = story(Manager(), sockets=sockets, gate=gate(timeout=60))
    failure = fails(restart)
    assert failure.cause == "wrong_port"
    assert "healthy on port 9000, and 8000 is the port" in failure.message
    assert restart.timeline.elapsed() < 1


def test_another_port_that_is_not_healthy_proves_nothing(probes):
    """A metrics port opens long before the app's own: the wait goes on."""
    probes[8000][:] = [REFUSED] * 20 + [GOOD]
    probes[9100] = [SICK]
    sockets = Sockets({9100: A.name})
    assert run(story(Manager(), services=[A], sockets=sockets)).outcome == "healthy"


@pytest.mark.parametrize(
    ("answer", "ports", "cause", "words"),
    [
        (SICK, {8000: A.name}, "unhealthy", "503"),
        (HANGS, {8000: A.name}, "timed_out", "no complete answer"),
        (REFUSED, {}, "not_listening", "refused"),
        (REFUSED, {7000: A.name}, "wrong_port", "listens on 7000 instead"),
    ],
)
def test_what_never_becomes_healthy_is_named_at_the_timeout(probes, answer, ports, cause, words):
    probes[8000][:] = [answer]
    failure = fails(story(Manager(), services=[A], sockets=Sockets(ports)))
    assert failure.cause == cause
    assert words in failure.message


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (STOPPED, "did not run: it was inactive (dead)"),
        (RUNNING._replace(stale=True), "unit file of app@8000.service changed on disk"),
    ],
)
def test_what_does_not_run_what_is_on_disk_is_restarted(probes, state, words):
    manager = Manager()
    manager.states[A.name] = state
    restart = run(story(manager, only_stale=True))
    assert manager.calls[-1] == "restart " + A.name
    assert "restart " + B.name not in manager.calls
    assert words in restart.result()["reasons"][0]


def test_a_file_changed_after_the_start_makes_a_service_stale(probes):
    manager = Manager()
    manager.states[A.name] = RUNNING._replace(environment_files=["/etc/app.env"])
    restart = story(manager, services=[A], only_stale=True)
    restart.processes.changed_at = lambda path: 60
    run(restart)
    assert manager.calls == ["restart " + A.name]
    assert restart.result()["reasons"] == ["/etc/app.env changed after app@8000.service was started"]


def test_services_are_enabled_once_they_are_healthy(probes):
    probes[8001][:] = [SICK]
    manager = Manager()
    fails(story(manager, enabled=True, gate=gate(timeout=1)))
    assert [call for call in manager.calls if call.startswith("enable")] == ["enable " + A.name]


def test_secrets_stay_out_of_what_people_read(probes):
    probes[8000][:] = [REFUSED]
    manager = Manager(log=["cannot connect to mysql://u:hunter22@db/x"], secrets={"DSN": "mysql://u:hunter22@db/x"})
    manager.leads_to[A.name] = [started(active="failed", sub="failed", exit_code=1, exit_status=1)]
    failure = fails(story(manager))
    assert failure.facts["log"] == ["cannot connect to <DSN>"]


def test_the_evidence_is_gathered_before_anything_is_undone_and_once(probes):
    asked = []

    def testify(service, release, since):
        asked.append((service.name, release, since))
        return {"now": 1}

    probes[8000][:] = [SICK]
    restart = story(Manager(), services=[A], witness=testify)
    failure = fails(restart)
    restart._call_witness(failure, B, 0)  # as when the way back fails too
    assert asked == [(A.name, None, 0)]
    assert failure.facts["evidence"]["gate"]["unit"] == A.name
    assert failure.facts["evidence"]["now"] == 1


def test_evidence_that_can_not_be_had_hides_no_failure(probes):
    def testify(_service, _release, _since):
        raise ValueError("no /proc")

    probes[8000][:] = [SICK]
    restart = story(Manager(), services=[A], witness=testify)
    failure = fails(restart)
    assert "evidence" not in failure.facts
    assert "no evidence for a diagnosis: ValueError: no /proc" in [one["event"] for one in restart.timeline.events]


def test_a_dependency_that_is_missing_is_named_before_anything_is_touched(probes, monkeypatch):
    monkeypatch.setattr(_gated, "probe_tcp", lambda host, port, timeout: REFUSED)
    manager = Manager()
    failure = fails(story(manager, requires=["[::1]:3306"]))
    assert failure.cause == "dependency"
    assert "can't live without connection refused" in failure.message
    assert manager.calls == []


@pytest.mark.parametrize(
    ("services", "options", "words"),
    [
        ([Service("no-suffix", 80)], {}, "not the name of a unit"),
        ([Service("app@.service", 80)], {}, "not the name of a unit"),
        ([Service("app.service", 70000)], {}, "out of range"),
        ([Service("app.service", None)], {}, "nothing that could be measured"),
        ([A], {"gate": gate(stable_for=9.0, timeout=5)}, "could never open"),
        ([A], {"requires": ["3306"]}, "is not HOST:PORT"),
    ],
)
def test_bad_input_is_refused_before_anything_is_asked(probes, services, options, words):
    manager = Manager()
    manager.state = None
    with pytest.raises(GatehouseError) as caught:
        story(manager, services=services, **options).check()
    assert words in caught.value.message
    assert caught.value.cause == "bad_input"


def test_a_unit_that_is_not_there_is_refused(probes):
    manager = Manager(before=State(*[None] * len(State._fields))._replace(load="not-found"))
    assert fails(story(manager)).cause == "no_unit"
