"""A change that can't work is undone, and its cause is named; what served before serves on.

Each case deploys a broken change of the good state with site.yml and then asks the site, through nginx.
"""

import copy
import json
import os
from pathlib import Path

import pytest
import requests
import yaml

from testbed.plays import Run

SCENARIO = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
INVENTORY = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory"
PROJECT = SCENARIO.parents[1]
SECRET = "very-secret-token"
ACTIVATION = "Make the release the live one"

GOOD = yaml.safe_load((SCENARIO / "vars" / "main.yml").read_text())
GOOD["webapp_apps"][0]["source"] = {"directory": str(PROJECT / "examples" / "broken")}


def deploy(change):
    model = copy.deepcopy(GOOD)
    change(model["webapp_apps"][0], model["webapp_sites"][0], model)
    return Run(INVENTORY, PROJECT / "site.yml", model)


def set_target(target, strategy="blue_green", **health):
    def change(app, _site, _model):
        app["strategy"] = strategy
        app["uvicorn"]["target"] = target
        app["env"]["VERSION"] = "bad"
        app["health"].update(health)

    return change


@pytest.fixture
def serves(host):
    """What must hold after every case: the site and both instances answer as the good release, and nothing else runs."""

    def check():
        address = host.check_output("hostname -I").split()[0]
        assert requests.get(f"http://{address}/health", timeout=5).json()["version"] == "good"
        ports = (18000, 18001) if host.file("/srv/shop/current/green").exists else (8000, 8001)
        for port in ports:
            assert '"version": "good"' in host.check_output(f"curl --silent --fail http://127.0.0.1:{port}/health")
        units = [f"shop@{port}.service" for port in ports]
        assert host.check_output("ls /etc/systemd/system | grep ^shop@").split() == units
        assert host.check_output("systemctl list-units --plain --no-legend 'shop@*' | cut -d' ' -f1").split() == units

    check()
    yield check
    check()


def seconds_to_know(failure):
    """From the start of the process to the moment its gate failed, by the module's own timeline."""
    events = failure["timeline"]
    start = next(event["ms"] for event in events if "started as pid" in event["event"])
    end = next(event["ms"] for event in events if event["event"].startswith(failure["service"] + ": ") and known(event))
    return (end - start) / 1000


def known(event):
    return not any(words in event["event"] for words in ("restart asked for", "started as pid", "healthy: first"))


@pytest.mark.parametrize(
    ("strategy", "target", "cause", "words"),
    [
        ("blue_green", "app.crash_at_start:app", "crashed", "its main process ended with exit status 3"),
        ("restart", "app.crash_at_start:app", "crashed", "its main process ended with exit status 3"),
        ("blue_green", "app.wrong_port:app", "wrong_port", "answers healthy on port 19000, and 18000 is the port"),
    ],
)
def test_what_can_be_known_is_known_within_two_seconds(serves, strategy, target, cause, words):
    failure = deploy(set_target(target, strategy)).failure
    assert (failure["cause"], failure["outcome"]) == (cause, "reverted")
    assert words in failure["msg"]
    assert "Next: " in failure["msg"]
    assert seconds_to_know(failure) <= 2
    assert SECRET not in json.dumps(failure)


@pytest.mark.parametrize(
    ("target", "cause", "words"),
    [
        ("app.never_healthy:app", "unhealthy", "answered 503, not 200"),
        ("app.hang:app", "timed_out", "no complete answer"),
    ],
)
def test_what_is_never_healthy_takes_its_own_timeout(serves, target, cause, words):
    failure = deploy(set_target(target, timeout=4)).failure
    assert (failure["cause"], failure["outcome"]) == (cause, "reverted")
    assert words in failure["msg"]
    assert 3 <= seconds_to_know(failure) <= 6


@pytest.mark.parametrize(
    ("strategy", "target", "gate", "cause", "words"),
    [
        # Crashed is all that the gate can say, and unhealthy. What stands behind it is told by the same diagnosis.
        ("blue_green", "app.no_setting:app", "crashed", "env_missing", "shop does without PAYMENT_KEY, and can't."),
        ("restart", "app.no_setting:app", "crashed", "env_missing", "shop does without PAYMENT_KEY, and can't."),
        (
            "blue_green",
            "app.no_login:app",
            "unhealthy",
            "database_refuses",
            "The database refuses the user or password of shop.",
        ),
    ],
)
def test_the_failure_of_a_gate_names_what_stands_behind_it(serves, strategy, target, gate, cause, words):
    failure = deploy(set_target(target, strategy, timeout=6)).failure
    assert (failure["cause"], failure["outcome"], failure["causes"][0]["cause"]) == (gate, "reverted", cause)
    assert "Cause (" in failure["msg"]
    assert words in failure["msg"]
    assert failure["msg"].endswith("Next: " + failure["causes"][0]["mend"])
    assert "evidence" not in failure
    assert SECRET not in json.dumps(failure)


def test_an_app_that_dies_while_it_is_watched_is_not_taken_for_healthy(serves):
    def change(app, site, model):
        set_target("app.crash_later:app", stable_for=5)(app, site, model)
        app["env"]["CRASH_AFTER"] = "1"

    failure = deploy(change).failure
    assert (failure["cause"], failure["outcome"]) == ("crashed", "reverted")
    assert "exit status 7" in failure["msg"]


def preflight(change=lambda app, site, model: None, arguments=()):
    model = copy.deepcopy(GOOD)
    change(model["webapp_apps"][0], model["webapp_sites"][0], model)
    return Run(INVENTORY, PROJECT / "playbooks" / "preflight.yml", model, arguments)


def test_a_stranger_on_the_port_is_named_before_anything_is_touched(serves, host):
    host.check_output("systemd-run --unit=stranger python3 -m http.server 8050 --bind 127.0.0.1")
    try:
        run = deploy(lambda app, _site, _model: app.update(green_port=8050, env={**app["env"], "X": "1"}))
    finally:
        host.check_output("systemctl stop stranger")
    assert run.failure["cause"] == "port_taken"
    assert run.changed == []
    for words in (
        "port 8050 is held by pid",
        "python3",
        "unit stranger.service",
        "Next: systemctl stop stranger.service",
    ):
        assert words in run.failure["msg"]


# By hand: a unit of the second app's name, and its folder, on a disk of its own that is nearly full.
BY_HAND = """
printf '[Service]\nExecStart=/bin/sleep 600\n' > /etc/systemd/system/other@.service
mkdir /srv/other && mount -t tmpfs -o size=20M by-hand /srv/other && head -c 10M /dev/zero > /srv/other/data
systemd-run --quiet --unit=stranger python3 -m http.server 8050 --bind 127.0.0.1
touch /run/reboot-required
systemctl daemon-reload
"""
UNDO_BY_HAND = """
umount /srv/other; rmdir /srv/other; rm /etc/systemd/system/other@.service /run/reboot-required
systemctl stop stranger; systemctl daemon-reload
"""


@pytest.mark.parametrize("arguments", [(), ("--check",)])
def test_all_that_is_in_the_way_is_told_at_once(serves, host, arguments):
    def change(app, _site, model):
        other = {**copy.deepcopy(app), "name": "other", "port": 8100, "instances": 1, "required_env": []}
        other.update(uvicorn={"target": "app.ok:app", "python": "python3.99"}, requires=[{"tcp": "127.0.0.1:3306"}])
        model["webapp_apps"].append({**other, "env": {"DATABASE_URL": f"postgresql://a:{SECRET}@127.0.0.1/x"}})
        app["green_port"] = 8050

    host.check_output(BY_HAND)
    try:
        run = preflight(change, arguments)
    finally:
        host.check_output(UNDO_BY_HAND)
    told = {(one["level"], one["cause"], one["app"]) for one in run.failure["problems"]}
    assert told == {
        ("refuse", "port_taken", "shop"),
        ("refuse", "unit_conflict", "other"),
        ("refuse", "path_conflict", "other"),
        ("refuse", "disk_full", "other"),
        ("refuse", "program_missing", "other"),
        ("refuse", "dependency_down", "other"),
        ("warn", "reboot_required", None),
    }
    assert run.status == 2
    assert run.changed == []
    for one in run.failure["problems"]:
        assert one["message"] in run.failure["msg"]
        assert f"Next: {one['next']}" in run.failure["msg"]
    for words in (
        "other@.service",
        "mv /srv/other /srv/other.old",
        "df -h -i /srv/other",
        "127.0.0.1:5432",
        "127.0.0.1:3306",
    ):
        assert words in run.failure["msg"]
    assert SECRET not in run.text


def test_what_only_warns_is_told_and_does_not_fail(serves, host):
    host.check_output("touch /run/reboot-required")
    try:
        run = preflight()
    finally:
        host.check_output("rm /run/reboot-required")
    assert (run.status, run.changed) == (0, [])
    assert "The host waits for a reboot. Next: reboot" in run.text


def test_a_host_that_is_ready_has_nothing_to_tell(serves):
    run = preflight()
    assert (run.status, run.changed) == (0, [])
    assert [problem for _task, result in run.results for problem in result.get("problems", [])] == []


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("app.ok:application", "the module app.ok has no application"),
        ("app.nothing:app", "the target's module app.nothing is not in the source"),
        ("app.crash_at_import:app", "importing app.crash_at_import fails with RuntimeError"),
    ],
)
def test_a_target_that_cannot_be_imported_never_goes_live(serves, target, words):
    run = deploy(set_target(target))
    assert words in run.failure["msg"]
    assert not run.did(ACTIVATION)


def test_a_build_that_fails_never_goes_live(serves):
    def change(app, _site, _model):
        app["build"] = ["echo no such asset >&2; exit 9"]

    run = deploy(change)
    assert "no such asset" in run.text
    assert not run.did(ACTIVATION)


def test_a_syntax_error_in_nginx_never_goes_live(serves):
    run = Run(INVENTORY, SCENARIO / "bad_nginx.yml")
    assert run.failure["cause"] == "config_invalid"
    assert run.failure["outcome"] == "unchanged"
    assert "/etc/nginx/gatehouse/nginx.conf:" in run.failure["msg"] or "/etc/nginx/nginx.conf:" in run.failure["msg"]
    assert any("listen 80" in line for line in run.failure["excerpt"])


def test_a_site_that_nginx_refuses_stops_the_release_that_came_with_it(serves):
    """A directive that there is not: only nginx can tell, and it is asked before anything has changed."""

    def change(app, site, _model):
        app["env"]["VERSION"] = "with-raw"
        site["routes"][0]["raw"] = "no_such_directive on;"

    run = deploy(change)
    assert run.failure["cause"] == "config_invalid"
    assert "no_such_directive" in run.failure["msg"]
    assert run.changed == []


# Bad input, as a run finds it all at once: (what is changed in the good state, what the message must show).
BAD_INPUT = {
    "keys and references": [
        (lambda app, site, model: app["health"].update(pth="/x"), ["health.pth", "path"]),
        (
            lambda app, site, model: model["webapp_apps"].append(
                {"name": "other", "runtime": "external", "port": 8001, "health": {"path": "/"}}
            ),
            ["8001", "shop", "other"],
        ),
        (lambda app, site, model: site["routes"][0].update(app="shpo"), ["shpo", "shop"]),
        (lambda app, site, model: app["env"].pop("API_TOKEN"), ["API_TOKEN", "required_env"]),
        (lambda app, site, model: app["uvicorn"].update(target="app/ok.py"), ["app.ok:app"]),
    ],
    "values": [
        (lambda app, site, model: app.pop("health"), ["health", "/health"]),
        (lambda app, site, model: app.update(name="My Shop"), ["My Shop", "my-shop"]),
        (lambda app, site, model: app.update(port=70000), ["70000", "65535"]),
    ],
    "a source that is not there": [
        (lambda app, site, model: app.update(source={"directory": "/nowhere/shop"}), ["/nowhere/shop"])
    ],
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_stops_before_the_host_is_touched(serves, name):
    def change(*parts):
        for change_one, _shows in BAD_INPUT[name]:
            change_one(*parts)

    run = deploy(change)
    assert run.status != 0
    assert run.changed == []
    for _change, shows in BAD_INPUT[name]:
        for words in shows:
            assert words in run.text, run.text


def test_a_run_killed_in_the_middle_of_a_restart_is_put_right_by_the_next(serves, host):
    """In place, a bad release was given to the first instance, and the run died before its gate."""
    deploy(set_target("app.never_healthy:app", "restart", timeout=4))
    bad = host.check_output("readlink -f /srv/shop/staged")
    first = "18000" if host.file("/srv/shop/current/green").exists else "8000"
    host.check_output(
        f"cp {bad}/shop@.service /etc/systemd/system/shop@{first}.service && systemctl daemon-reload "
        f"&& systemctl restart shop@{first}"
    )
    run = Run(INVENTORY, SCENARIO / "converge.yml", GOOD)
    assert run.status == 0, run.text
    assert ACTIVATION in run.changed


def test_the_good_state_deployed_again_changes_nothing(serves):
    run = Run(INVENTORY, SCENARIO / "converge.yml")
    assert run.status == 0, run.text
    assert run.changed == []
