"""The gated restart of PM2 apps as a story, told with a PM2, sockets and probes in small."""

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _gated, _pm2_restart
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._gate import GATE
from ansible_collections.gatehouse.webapp.plugins.module_utils._gated import Service
from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import Holder, Socket
from ansible_collections.gatehouse.webapp.plugins.module_utils._pm2_restart import Pm2Restart, WorkerWatch
from ansible_collections.gatehouse.webapp.plugins.module_utils._probes import Answer

GOOD = Answer(True, None, "answered 200", 0.001, 200)
SICK = Answer(False, "bad_status", "it answered 503, not 200", 0.001, 503)
REFUSED = Answer(False, "refused", "none of 6 connections came to it", 0.001)
DAEMON = 50


class Sockets:
    """Port 3000 is held by the daemon for its workers, or by the process in fork mode, or by a stranger."""

    def __init__(self, pm2):
        self.pm2 = pm2
        self.stranger = None
        self.ports = {}  # pid: other ports

    def listening(self, port):
        return [Socket("127.0.0.1", port, "0A", port)] if self._holder() else []

    def _holder(self):
        if self.stranger:
            return self.stranger
        running = [process for process in self.pm2.processes() if process.status == "online"]
        if not running:
            return None
        return DAEMON if running[0].settings["exec_mode"] == "cluster_mode" else running[0].pid

    def holders(self, sockets):
        return [Holder(self._holder(), "/usr/bin/node", "web", None)] if sockets else []

    def ports_of(self, pids):
        return sorted(port for pid in pids for port in self.ports.get(pid, []))


class Processes:
    def __init__(self):
        self.folders = {}
        self.changed = 5

    def tree(self, pid):
        return {pid, pid + 5000}

    def start_time(self, _pid):
        return 10

    def working_directory(self, pid):
        return self.folders.get(pid)

    def changed_at(self, _path):
        return self.changed


@pytest.fixture
def sockets(pm2):
    return Sockets(pm2)


@pytest.fixture
def processes():
    return Processes()


@pytest.fixture
def story(pm2, sockets, processes, clusters, monkeypatch):
    """Makes a Pm2Restart whose questions are answered by the very worker that is asked."""

    def probes_of(_gate, _port, connect=None):
        def ask(_timeout):
            if connect is None:
                found = [worker for worker in pm2.workers.values() if worker["status"] == "online"]
                worker = found[0] if found else None
            else:
                worker = pm2.workers[connect.__self__.service.process.id]
            ready = worker and worker["kind"] in ("ok", "sick") and pm2.time - worker["started"] >= pm2.starts_in
            asked.append(worker and worker["id"])
            return (SICK if worker["kind"] == "sick" else GOOD) if ready else REFUSED

        return [ask]

    asked = []
    monkeypatch.setattr(_pm2_restart, "probes_of", probes_of)
    monkeypatch.setattr(_gated, "probes_of", probes_of)
    monkeypatch.setattr(_pm2_restart, "questions_of", lambda gate, port, connect=None: [])

    def make(services=None, gate=None, **options):
        services = services or [Service("web", 3000)]
        defaults = {name: entry.get("default") for name, entry in GATE.items()}
        made = Pm2Restart(
            services,
            gate={**defaults, "timeout": 30.0, **(gate or {})},
            manager=pm2,
            listeners=sockets,
            processes=processes,
            clock=pm2.now,
            sleep=pm2.sleep,
            now=pm2.now,
            **options,
        )
        made.asked = asked
        return made

    return make


def go(made):
    made.check()
    made.plan()
    made.run()
    return made


def fails(made):
    with pytest.raises(GatehouseError) as caught:
        go(made)
    return caught.value


def events(made):
    return [event["event"] for event in made.timeline.events]


# Cluster mode


def test_a_stand_in_serves_while_each_worker_is_restarted_in_place(pm2, story):
    pm2.add(count=2, exec_mode="cluster_mode")
    made = go(story())
    assert (made.outcome, made.changed) == ("healthy", True)
    assert pm2.told == ["scale +1", "restart 0", "restart 1", "delete 2"]
    assert [(process.id, process.number, process.restarts) for process in pm2.processes()] == [(0, 0, 1), (1, 1, 1)]
    assert set(made.asked) == {2, 0, 1}
    assert events(made)[0] == "web:+1: asked for"
    assert events(made)[-1] == "web:2: taken away again"


def test_no_worker_ends_before_it_has_handed_back_what_it_is_dealt(pm2, story, clusters):
    pm2.add(count=2, exec_mode="cluster_mode")
    go(story(gate={"address": "192.0.2.1"}))
    where = ("192.0.2.1", 3000)
    assert clusters == [(where, 100, [100, 110, 120]), (where, 110, [101, 110, 120]), (where, 120, [101, 111, 120])]


def test_a_sick_worker_hands_back_what_it_is_dealt_too(pm2, story, clusters):
    pm2.add(count=1, exec_mode="cluster_mode")
    pm2.kind = "sick"
    fails(story())
    assert clusters == [(("127.0.0.1", 3000), 110, [100, 110])]


def test_a_process_that_has_its_port_for_itself_is_no_cluster(pm2, story, clusters):
    pm2.add(exec_mode="fork_mode")
    go(story())
    assert (pm2.told, clusters) == (["restart 0"], [])


def test_a_worker_is_asked_itself_among_those_of_its_own_app(pm2, story):
    pm2.add("other", exec_mode="cluster_mode")
    pm2.add(count=2, exec_mode="cluster_mode")
    made = story()
    made.plan()
    watch = WorkerWatch(made, made.planned[0][1][1], None)
    assert watch.connect("::1", 3001, 5.0) == (("::1", 3001), 120, [110, 120])


def test_an_app_that_is_slower_than_pm2s_patience_gets_the_time_that_the_gate_gives(pm2, story):
    pm2.add(count=2, exec_mode="cluster_mode", listen_timeout=3000, wait_ready=True)
    pm2.starts_in = 8.0
    made = go(story())
    assert made.outcome == "healthy"
    assert made.timeline.events[-1]["ms"] >= 24000


def test_an_app_that_is_never_ready_leaves_the_former_workers_serving(pm2, story):
    pm2.add(count=2, exec_mode="cluster_mode", listen_timeout=3000, wait_ready=True)
    pm2.kind = "never"
    made = story()
    failure = fails(made)
    assert (failure.cause, made.outcome) == ("not_listening", "reverted")
    assert pm2.told == ["scale +1", "delete 2"]
    assert "web:0, web:1 were not touched, and are healthy." in failure.message
    assert made.asked[-2:] == [0, 1]


def test_a_crash_is_noticed_when_it_happens(pm2, story):
    pm2.add(count=2, exec_mode="cluster_mode", env={"TOKEN": "secret-token"})
    pm2.kind = "crash"
    pm2.lines = ["can't start with secret-token"]
    made = story()
    began = pm2.time
    failure = fails(made)
    assert (failure.cause, made.outcome) == ("crashed", "reverted")
    assert "it ended with exit status 3, and PM2 has restarted it 1 times since" in failure.message
    assert failure.facts["log"] == ["can't start with <TOKEN>"]
    assert failure.hint.endswith("pm2 logs --nostream --lines 50 web")
    assert pm2.time - began < 2
    assert sorted(pm2.workers) == [0, 1]


def test_a_sick_worker_is_taken_away(pm2, story):
    pm2.add(count=1, exec_mode="cluster_mode")
    pm2.kind = "sick"
    made = story()
    failure = fails(made)
    assert (failure.cause, failure.facts["probe"], made.outcome) == ("unhealthy", "bad_status", "reverted")
    assert sorted(pm2.workers) == [0]


def test_a_later_worker_that_fails_is_replaced_by_the_stand_in(pm2, story):
    pm2.add(count=2, exec_mode="cluster_mode")
    pm2.kinds = ["ok", "ok", "crash"]
    made = story()
    failure = fails(made)
    assert (failure.cause, made.outcome) == ("crashed", "failed")
    assert "web:1 is gone, and web:2 serves in its place; web:0, web:2 are healthy." in failure.message
    assert sorted(pm2.workers) == [0, 2]


def test_the_numbers_of_the_workers_are_whole_again_after_a_run_that_failed(pm2, story):
    pm2.add(count=2, exec_mode="cluster_mode")
    pm2.kinds = ["ok", "crash"]
    fails(story())
    assert [process.number for process in pm2.processes()] == [1, 2]
    go(story())
    assert sorted(process.number for process in pm2.processes()) == [0, 1]


def test_what_fails_is_left_for_someone_to_look_at(pm2, story):
    pm2.add(count=1, exec_mode="cluster_mode")
    pm2.kind = "sick"
    made = story(on_failure="leave")
    fails(made)
    assert made.outcome == "failed" and sorted(pm2.workers) == [0, 1]


def test_former_workers_that_are_not_well_either_are_told(pm2, story):
    sick = pm2.add(count=1, exec_mode="cluster_mode")[0]
    sick["kind"] = "sick"
    pm2.kind = "crash"
    made = story()
    failure = fails(made)
    assert made.outcome == "failed"
    assert "What was left is not well either" in failure.message


def test_where_nothing_serves_no_stand_in_is_needed(pm2, story):
    pm2.add(count=2, exec_mode="cluster_mode")
    for worker in pm2.workers.values():
        worker["status"] = "stopped"
    made = go(story())
    assert pm2.told == ["restart 0", "restart 1"]
    assert made.outcome == "healthy"


def test_a_scale_that_pm2_refuses_touches_nothing(pm2, story):
    pm2.add(count=1, exec_mode="cluster_mode")
    pm2.refused = "[PM2][ERROR] no memory"
    made = story()
    failure = fails(made)
    assert failure.cause == "manager_refused" and "no memory" in failure.message
    assert (made.outcome, sorted(pm2.workers)) == ("reverted", [0])


# Fork mode


def test_one_process_is_restarted_in_its_place(pm2, story):
    pm2.add(exec_mode="fork_mode")
    made = go(story())
    assert pm2.told == ["restart 0"] and made.outcome == "healthy"


def test_one_process_that_crashed_is_started_once_more(pm2, story):
    pm2.add(exec_mode="fork_mode")
    pm2.kinds = ["crash", "ok"]
    made = story()
    failure = fails(made)
    assert (failure.cause, made.outcome) == ("crashed", "reverted")
    assert "It was started once more, and is healthy." in failure.message
    assert pm2.told == ["restart 0", "restart 0"]


def test_one_process_that_crashes_again_has_failed(pm2, story):
    pm2.add(exec_mode="fork_mode")
    pm2.kind = "crash"
    made = story()
    failure = fails(made)
    assert made.outcome == "failed" and "What was left is not well either" in failure.message


def test_one_process_that_is_sick_is_left_running(pm2, story):
    pm2.add(exec_mode="fork_mode")
    pm2.kind = "sick"
    made = story()
    failure = fails(made)
    assert made.outcome == "failed" and pm2.told == ["restart 0"]
    assert "web:0 has its port for itself" in failure.message


def test_what_pm2_had_given_up_is_not_taken_for_a_new_crash(pm2, story):
    worker = pm2.add(exec_mode="fork_mode")[0]
    worker.update(kind="crash", started=pm2.time - 60)
    assert pm2.processes()[0].status == "errored"
    made = go(story())
    assert made.outcome == "healthy"


def test_a_process_with_a_port_counted_up_is_asked_there(pm2):
    pm2.add(count=2, exec_mode="fork_mode", increment_var="PORT", PORT=3001)
    assert [_pm2_restart._port_of(process, 3000) for process in pm2.processes()] == [3001, 3001]
    pm2.workers[0]["settings"] = dict(exec_mode="cluster_mode", increment_var="PORT", PORT=3001)
    assert _pm2_restart._port_of(pm2.processes()[0], 3000) == 3000


# state: current


def test_what_runs_what_is_on_disk_is_only_measured(pm2, story):
    pm2.add(count=2, exec_mode="cluster_mode")
    made = go(story(only_stale=True))
    assert (made.changed, made.reasons, pm2.told) == (False, [], [])
    assert made.asked == [0, 1]


def test_a_newer_script_makes_workers_stale(pm2, story, processes):
    pm2.add(exec_mode="cluster_mode", pm_exec_path="/srv/web/server.js")
    processes.changed = 20
    made = story(only_stale=True)
    made.plan()
    assert made.reasons == ["/srv/web/server.js changed after web:0 was started"]


def test_a_link_that_leads_elsewhere_now_makes_workers_stale(pm2, story, processes, tmp_path):
    (tmp_path / "two").mkdir()
    (tmp_path / "current").symlink_to("two")
    pm2.add(exec_mode="cluster_mode", pm_cwd=str(tmp_path / "current"))
    processes.folders[100] = str(tmp_path / "one")
    made = story(only_stale=True)
    made.plan()
    assert made.reasons == [
        "web:0 runs in %s, and %s is %s now" % (tmp_path / "one", tmp_path / "current", tmp_path / "two")
    ]
    processes.folders[100] = str(tmp_path / "two")
    made = story(only_stale=True)
    made.plan()
    assert made.reasons == []


def test_one_that_does_not_run_is_started_and_the_others_only_measured(pm2, story):
    pm2.add(count=2, exec_mode="cluster_mode")
    pm2.workers[1]["status"] = "stopped"
    made = go(story(only_stale=True))
    assert made.reasons == ["web:1 is stopped, not online"]
    assert "restart 1" in pm2.told and "restart 0" not in pm2.told


def test_one_that_was_not_touched_and_is_sick_is_not_taken_away(pm2, story):
    pm2.add(exec_mode="cluster_mode")[0]["kind"] = "sick"
    made = story(only_stale=True)
    assert fails(made).cause == "unhealthy"
    assert made.outcome == "failed" and pm2.told == []


# Refused before anything is touched


def test_an_unknown_app_is_told_with_those_that_there_are(pm2, story):
    pm2.add("other", exec_mode="fork_mode")
    failure = fails(story())
    assert failure.cause == "no_unit"
    assert failure.message == "the PM2 of web has no app web; it has other"


def test_a_dead_daemon_is_told_with_the_way_to_bring_its_apps_back(pm2, story):
    pm2.runs = False
    failure = fails(story())
    assert failure.cause == "no_daemon" and failure.hint.endswith("pm2 resurrect")


@pytest.mark.parametrize("service", [Service("all", 3000), Service("web", None)])
def test_bad_input_is_refused(story, service):
    failure = fails(story([service], gate={"http": None}))
    assert failure.cause == "bad_input"


@pytest.mark.parametrize("mode", ["cluster_mode", "fork_mode"])
def test_a_stranger_on_the_port_is_named(pm2, story, sockets, mode):
    pm2.add(exec_mode=mode)
    sockets.stranger = 999
    failure = fails(story())
    assert failure.cause == "port_conflict" and "pid 999" in failure.message
    assert pm2.told == []


@pytest.mark.parametrize("pid", [DAEMON, 100, 5100])
def test_the_daemon_and_what_a_worker_started_may_hold_the_port(pm2, story, sockets, pid):
    pm2.add(exec_mode="cluster_mode")
    sockets.stranger = pid
    made = story()
    made.plan()
    assert made.changed


def test_the_daemon_holds_no_port_for_a_process_in_fork_mode(pm2, story, sockets):
    pm2.add(exec_mode="fork_mode")
    sockets.stranger = DAEMON
    assert fails(story()).cause == "port_conflict"


def test_several_apps_are_restarted_one_after_another(pm2, story):
    pm2.add("web", exec_mode="cluster_mode")
    pm2.add("api", exec_mode="cluster_mode")
    go(story([Service("web", 3000), Service("api", 3001)]))
    assert pm2.told == ["scale +1", "restart 0", "delete 2", "scale +1", "restart 1", "delete 3"]


# What the watch makes of what PM2 says


class Ended:
    def __init__(self, status):
        self.ended = lambda: status


@pytest.fixture
def watch(pm2, story):
    """Looks once at the restarted process, changed in this way; `ended`: of the command that restarts it."""
    pm2.add(exec_mode="fork_mode")
    made = story()
    former = pm2.processes()[0]._replace(started=10.0, restarts=4)

    def look(ended=0, before=former, **changes):
        worker = _pm2_restart.Worker("web:0", 3000, before)
        pm2.glance = lambda: [before._replace(**{"started": 20.0, **changes})]
        watching = WorkerWatch(made, worker, before, Ended(ended))
        watching.gate = type("Gate", (), {"answers": []})
        return watching.look()

    look.former = former
    return look


def test_the_restart_that_was_asked_for_is_no_crash(watch):
    assert watch(restarts=5) is None


def test_a_restart_more_is_a_crash_even_when_it_is_all_that_is_seen(watch):
    with pytest.raises(GatehouseError) as caught:
        watch(restarts=6, exit_code=1)
    assert caught.value.cause == "crashed" and "restarted it 1 times" in caught.value.message


def test_what_did_not_run_before_is_not_counted_as_restarted(watch):
    stopped = watch.former._replace(status="stopped")
    assert watch(before=stopped, status="online", restarts=4) is None
    with pytest.raises(GatehouseError):
        watch(before=stopped, status="online", restarts=5)


def test_the_old_process_is_not_taken_for_the_new_one(watch):
    assert watch(started=10.0, status="stopping") == "its old process has not ended (stopping)"


def test_an_old_failure_counts_once_pm2_has_done_what_it_was_told(watch):
    errored = watch.former._replace(status="errored")
    assert "has not ended" in watch(ended=None, before=errored, started=10.0)
    with pytest.raises(GatehouseError) as caught:
        watch(ended=0, before=errored, started=10.0)
    assert caught.value.cause == "crashed"


def test_one_that_pm2_does_not_call_online_is_not_asked(watch):
    assert watch(status="launching", restarts=5) == "PM2 does not call it online yet"


@pytest.mark.parametrize("status", ["stopped", "errored", "waiting restart"])
def test_one_that_has_ended_has_crashed(watch, status):
    with pytest.raises(GatehouseError) as caught:
        watch(status=status, restarts=5, exit_code=2)
    assert caught.value.cause == "crashed" and "exit status" in caught.value.message
