"""One declared PM2 app: what is told to a PM2 in small, which forgets and crashes as the real one does."""

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._pm2 import actual
from ansible_collections.gatehouse.webapp.plugins.module_utils._pm2_app import Pm2App, wanted

PARAMS = {
    "script": "server.js",
    "npm": None,
    "args": [],
    "cwd": "/srv/web",
    "exec_mode": "fork",
    "instances": 1,
    "env": {"PORT": 3000, "TOKEN": "secret-token"},
    "interpreter": None,
    "node_args": [],
    "max_memory_restart": None,
    "wait_ready": False,
    "listen_timeout": None,
    "kill_timeout": None,
    "out_file": None,
    "error_file": None,
}


def definition(pm2, **given):
    return wanted(
        dict(PARAMS, **given), pm2.environment(), exists=lambda path: True, which=lambda name, path: "/usr/bin/npm"
    )


def declare(pm2, state="started", count=1, run=True, name="web", **given):
    wish = definition(pm2, **given) if state in ("started", "reloaded") else None
    app = Pm2App(name, state, wish, count, pm2, clock=pm2.now, sleep=pm2.sleep)
    pm2.told.clear()
    app.plan()
    if run:
        app.run()
    return app


def statuses(pm2):
    return sorted((process.number, process.status) for process in pm2.app("web"))


# What is wanted


def test_a_definition_is_made_of_the_parameters(pm2):
    wish = definition(pm2, max_memory_restart="300M", listen_timeout=2.5, args=["a", 1])
    assert wish["script"] == "/srv/web/server.js"
    assert (wish["max_memory_restart"], wish["listen_timeout"], wish["args"]) == (314572800, 2500, ["a", "1"])
    assert wish["env"]["PORT"] == "3000" and wish["env"]["HOME"] == "/home/web"


def test_the_folder_of_the_script_is_where_it_runs(pm2):
    assert definition(pm2, cwd=None, script="/srv/x/server.js")["cwd"] == "/srv/x"


def test_an_npm_script_is_run_by_npm(pm2):
    wish = definition(pm2, npm="start", script=None, args=["--port", "1"])
    assert (wish["script"], wish["args"]) == ("/usr/bin/npm", ["run", "start", "--", "--port", "1"])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"env": {"status": "x"}}, "a variable would overwrite it"),
        ({"env": {"pm_cwd": "x"}}, "a variable would overwrite it"),
        ({"cwd": None}, "is no full path"),
        ({"instances": 0}, "instances is 0"),
        ({"node_args": ["--a b"]}, "parts node_args at spaces"),
        ({"npm": "start", "script": None, "exec_mode": "cluster"}, "npm can't be run in cluster mode"),
    ],
)
def test_what_pm2_would_misunderstand_is_refused_with_a_right_one(pm2, given, words):
    with pytest.raises(GatehouseError) as caught:
        definition(pm2, **given)
    assert caught.value.cause == "bad_input" and caught.value.hint
    assert words in caught.value.message


@pytest.mark.parametrize(("given", "path"), [({}, "server.js"), ({"npm": "start", "script": None}, "package.json")])
def test_a_script_that_is_not_there_is_told(pm2, given, path):
    with pytest.raises(GatehouseError) as caught:
        wanted(
            dict(PARAMS, **given), pm2.environment(), exists=lambda path: False, which=lambda name, path: "/usr/bin/npm"
        )
    assert caught.value.cause == "no_script"
    assert caught.value.message == "there is no /srv/web/%s" % path


# Started


def test_an_app_is_started_once(pm2):
    assert declare(pm2, count=2).changed
    assert pm2.told == ["start 2", "save"]
    again = declare(pm2, count=2)
    assert not again.changed and again.reasons == [] and pm2.told == []


def test_check_mode_tells_nothing_to_pm2(pm2):
    assert declare(pm2, run=False).changed
    assert pm2.told == [] and not pm2.workers


def test_other_apps_are_left_alone(pm2):
    other = pm2.add("other")[0]
    declare(pm2)
    declare(pm2, env={})
    declare(pm2, "absent")
    assert list(pm2.workers) == [other["id"]]
    assert [process.name for process in pm2.saved] == ["other"]


def test_what_differs_runs_in_new_processes_with_just_what_is_declared(pm2):
    declare(pm2)
    app = declare(pm2, env={"PORT": 3000})
    assert app.reasons == ["env differs"]
    assert pm2.told == ["delete 0", "start 1", "save"]
    assert "TOKEN" not in actual(pm2.app("web")[0])["env"]


def test_workers_are_replaced_one_after_another_behind_a_stand_in(pm2):
    declare(pm2, count=2, exec_mode="cluster")
    declare(pm2, count=2, exec_mode="cluster", env={})
    # Never fewer than before, and numbered from 0 as before.
    assert pm2.told == ["start 1", "delete 0", "start 1", "delete 1", "start 1", "delete 2", "save"]
    assert statuses(pm2) == [(0, "online"), (1, "online")]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (1, 3, ["start 1", "delete 0", "start 1", "start 2", "delete 4", "save"]),
        (3, 1, ["start 1", "delete 0", "start 1", "delete 1", "delete 2", "delete 3", "save"]),
    ],
)
def test_workers_are_replaced_by_another_number_of_them(pm2, before, after, told):
    declare(pm2, count=before, exec_mode="cluster")
    declare(pm2, count=after, exec_mode="cluster", env={})
    assert pm2.told == told
    assert statuses(pm2) == [(number, "online") for number in range(after)]


@pytest.mark.parametrize(
    ("before", "after", "told"), [(1, 3, ["start 2", "save"]), (3, 1, ["delete 1", "delete 2", "save"])]
)
def test_a_number_alone_is_changed_without_touching_the_others(pm2, before, after, told):
    declare(pm2, count=before, exec_mode="cluster")
    app = declare(pm2, count=after, exec_mode="cluster")
    assert app.reasons == ["%d instances are there, not %d" % (before, after)]
    assert pm2.told == told


def test_no_worker_ends_before_it_has_handed_back_what_it_is_dealt(pm2, clusters):
    declare(pm2, count=2, exec_mode="cluster")
    declare(pm2, count=1, exec_mode="cluster")
    assert clusters == [(("127.0.0.1", 3000), 110, [100, 110])]
    declare(pm2, exec_mode="cluster", env={"PORT": 3001})
    assert clusters[1:] == [(("127.0.0.1", 3000), 100, [100, 120]), (("127.0.0.1", 3001), 120, [120, 130])]


def test_a_worker_whose_port_is_not_known_is_ended_all_the_same(pm2, clusters):
    declare(pm2, count=2, exec_mode="cluster", env={})
    declare(pm2, count=1, exec_mode="cluster", env={})
    assert (pm2.told, clusters) == (["delete 1", "save"], [])


def test_workers_that_do_not_come_up_are_taken_away_and_the_former_go_on(pm2):
    declare(pm2, count=2, exec_mode="cluster")
    pm2.kind = "crash"
    pm2.lines = ["no database at secret-token"]
    with pytest.raises(GatehouseError) as caught:
        declare(pm2, count=2, exec_mode="cluster", env={"TOKEN": "secret-token"})
    assert caught.value.cause == "crashed"
    assert caught.value.facts["log"] == ["no database at <TOKEN>"]
    assert "The former workers were not touched." in caught.value.message
    assert sorted(pm2.workers) == [0, 1]
    assert pm2.told == ["start 1", "delete 2"]


def test_a_crash_loop_too_slow_for_pm2_to_call_it_unstable_is_noticed(pm2):
    pm2.kind, pm2.slow = "crash", True
    began = pm2.time
    with pytest.raises(GatehouseError) as caught:
        declare(pm2)
    assert caught.value.cause == "crashed" and pm2.time - began < 2


def test_the_restart_of_what_ran_is_no_crash(pm2):
    declare(pm2)
    pm2.workers[0].update(kind="crash", started=pm2.time)
    pm2.sleep(0.9)
    declare(pm2)
    assert statuses(pm2) == [(0, "online")]


def test_a_port_that_is_taken_is_told_as_such(pm2):
    pm2.kind = "crash"
    pm2.lines = ["Error: listen EADDRINUSE: address already in use :::3000"]
    with pytest.raises(GatehouseError) as caught:
        declare(pm2)
    assert caught.value.cause == "port_conflict"


def test_one_process_gets_its_former_definition_back(pm2):
    declare(pm2)
    before = actual(pm2.app("web")[0])
    pm2.kinds = ["crash"]
    with pytest.raises(GatehouseError) as caught:
        declare(pm2, env={})
    assert "Its former definition runs again." in caught.value.message
    assert [actual(process) for process in pm2.app("web")] == [before]
    assert statuses(pm2) == [(0, "online")]


def test_what_falls_over_again_and_again_is_started_anew(pm2):
    declare(pm2)
    pm2.workers[0].update(kind="crash", started=pm2.time)
    pm2.sleep(0.9)
    app = declare(pm2)
    assert app.reasons == ["web:0 is online, after 2 restarts"]
    assert pm2.told == ["restart 0"]


def test_what_pm2_gave_up_is_started_and_its_crash_noticed(pm2):
    declare(pm2)
    pm2.workers[0].update(kind="crash", started=pm2.time)
    pm2.sleep(60)
    pm2.kind = "crash"
    began = pm2.time
    with pytest.raises(GatehouseError) as caught:
        declare(pm2)
    assert caught.value.cause == "crashed"
    assert pm2.time - began < 2


def test_an_app_that_is_never_ready_is_no_started_app(pm2):
    pm2.kind = "never"
    with pytest.raises(GatehouseError) as caught:
        declare(pm2, wait_ready=True, listen_timeout=4)
    assert caught.value.cause == "not_ready"
    assert "listen_timeout, 4 s, was over" in caught.value.message and "process.send('ready')" in caught.value.hint


def test_an_app_that_is_ready_in_time_is_started(pm2):
    pm2.starts_in = 8.0
    assert declare(pm2, wait_ready=True, listen_timeout=20).changed
    assert statuses(pm2) == [(0, "online")]


def test_a_refusal_is_told_as_pm2_words_it(pm2):
    pm2.refused = "[PM2][ERROR] Script not found"
    with pytest.raises(GatehouseError) as caught:
        declare(pm2)
    assert caught.value.cause == "manager_refused" and "Script not found" in caught.value.message


def test_a_reload_replaces_what_does_not_differ(pm2):
    declare(pm2, exec_mode="cluster")
    assert declare(pm2, "reloaded", exec_mode="cluster").reasons == ["a reload is asked for"]
    assert pm2.told == ["start 1", "delete 0", "start 1", "delete 1"]


# Stopped and absent


def test_stopped_is_stopped_and_saved_as_such(pm2):
    declare(pm2, count=2)
    assert declare(pm2, "stopped").changed
    assert pm2.told == ["stop 0 1", "save"]
    assert not declare(pm2, "stopped").changed
    assert declare(pm2, count=2).changed
    assert pm2.told == ["restart 0", "restart 1", "save"]


def test_absent_is_gone_from_the_dump_too(pm2):
    declare(pm2)
    assert declare(pm2, "absent").changed
    assert pm2.told == ["delete 0", "save"]
    assert not declare(pm2, "absent").changed and pm2.saved == []


# The dump


def test_a_dump_that_does_not_hold_what_runs_is_saved(pm2):
    declare(pm2)
    pm2.saved = []
    app = declare(pm2)
    assert app.changed and app.reasons == ["the dump does not hold what runs"]
    assert pm2.told == ["save"]


def test_a_spoilt_dump_is_written_anew(pm2):
    declare(pm2)
    pm2.saved = None
    assert declare(pm2).changed
    assert [process.name for process in pm2.saved] == ["web"]


@pytest.mark.parametrize("state", ["started", "absent"])
def test_no_app_is_lost_from_the_dump_of_a_dead_daemon(pm2, state):
    pm2.add("other")
    declare(pm2)
    pm2.runs = False
    with pytest.raises(GatehouseError) as caught:
        declare(pm2, state)
    assert caught.value.cause == "no_daemon"
    assert "its dump holds other" in caught.value.message and caught.value.hint.endswith("pm2 resurrect")
    assert pm2.told == []


def test_a_dead_daemon_that_lost_nothing_else_is_no_obstacle(pm2):
    declare(pm2)
    pm2.runs, pm2.workers = False, {}
    assert declare(pm2).changed
    assert statuses(pm2) == [(0, "online")]


# What people see


def test_the_diff_shows_settings_and_of_variables_the_names(pm2):
    declare(pm2)
    diff = declare(pm2, run=False, env={"TOKEN": "another-token", "NEW": "x"}, kill_timeout=5).diff()
    assert diff["before"]["kill_timeout"] is None and diff["after"]["kill_timeout"] == 5000
    assert diff["before"]["env"]["TOKEN"] == "<the value>" and diff["after"]["env"]["TOKEN"] == "<another value>"
    assert "PORT" in diff["before"]["env"] and "PORT" not in diff["after"]["env"]
    assert "token" not in str(diff) and "3000" not in str(diff)


def test_the_diff_of_nothing_is_none(pm2):
    declare(pm2)
    diff = declare(pm2).diff()
    assert diff["before"] == diff["after"]


@pytest.mark.parametrize(("state", "after"), [("stopped", "stopped"), ("absent", "absent")])
def test_the_diff_of_an_end_is_the_state(pm2, state, after):
    declare(pm2)
    diff = declare(pm2, state, run=False).diff()
    assert (diff["before"]["state"], diff["after"]["state"]) == ("started", after)


def test_the_result_tells_of_each_process(pm2):
    declare(pm2)
    pm2.sleep(9)
    assert declare(pm2).result() == {
        "reasons": [],
        "processes": [
            {
                "id": 0,
                "pid": 100,
                "status": "online",
                "restarts": 0,
                "unstable_restarts": 0,
                "uptime": pytest.approx(10, abs=1),
            }
        ],
    }
