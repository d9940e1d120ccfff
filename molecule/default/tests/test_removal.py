"""An app that the model no longer has: everyone who looks tells of it, and one command takes it away and keeps its data. And a new name."""

import json
import os
import threading
import time
from pathlib import Path

import pytest
import requests
import yaml

from testbed.plays import Run

SCENARIO = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
INVENTORY = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory"
PROJECT = SCENARIO.parents[1]
MODEL = yaml.safe_load((PROJECT / "inventory" / "example" / "group_vars" / "webapp.yml").read_text())
MODEL["webapp_apps"][0]["source"] = {"directory": str(PROJECT / "examples" / "chat" / "backend")}
BLOG = {
    **MODEL["webapp_apps"][0],
    "name": "blog",
    "port": 9000,
    "instances": 1,
    "env": {"DATABASE_URL": "sqlite:////var/lib/blog/blog.db"},
    "websocket": None,
    "log_file": True,
}
SITE = {"name": "blog", "server_names": ["blog.example.com"], "routes": [{"path": "/", "app": "blog", "rate": "none"}]}
BOTH = {"webapp_apps": [*MODEL["webapp_apps"], BLOG], "webapp_sites": [*MODEL["webapp_sites"], SITE]}
COMMAND = "ansible-playbook -i INVENTORY gatehouse.webapp.%s -e webapp_remove=%s"
ANN = {
    "id": "1",
    "user": "ann",
    "host": "laptop",
    "machine": "1",
    "boot": "1",
    "namespace": "1",
    "pid": 7,
    "started": "1",
}


def play(name, variables, *arguments, **more):
    return Run(INVENTORY, PROJECT / "playbooks" / f"{name}.yml", {**variables, **more}, arguments)


def words(run):
    """What a run has printed, however its lines were broken."""
    return " ".join(run.text.split())


def left(host, app):
    """All that a deploy puts on a host for an app, but its data."""
    units, run = "/etc/systemd/system", "/run/gatehouse"
    return host.run(
        f"ls -d /srv/{app} {units}/{app}@* {units}/{app}-log.service {units}/*.wants/{app}* /etc/logrotate.d/{app} "
        f"{run}/rotation/{app} {run}/build/{app} {run}/deploy/{app}.lock 2>/dev/null"
    ).stdout.split()


def is_served(host, name):
    address = host.check_output("hostname -I").split()[0]
    return requests.get(f"http://{address}/health", headers={"Host": name}, timeout=5).ok


@pytest.fixture(scope="module")
def blog(host):
    """A second app, deployed, with data of its own."""
    run = play("site", BOTH)
    assert run.status == 0, run.text
    assert is_served(host, "blog.example.com")
    host.check_output("runuser -u blog -- sh -c 'echo kept > /var/lib/blog/data.db'")
    assert len(left(host, "blog")) >= 5


@pytest.mark.usefixtures("blog")
@pytest.mark.parametrize(
    ("remove", "cause", "told"),
    [("blog", "in_use", "nginx still leads requests to blog"), ("blag", None, "No host has an app called blag")],
)
def test_what_serves_or_is_not_there_can_not_be_removed(host, remove, cause, told):
    run = play("remove", MODEL, webapp_remove=remove)
    assert (run.status != 0, run.failure.get("cause"), run.changed) == (True, cause, []), run.text
    assert told in run.failure["msg"]
    assert "-e webapp_remove=blog" in run.failure["msg"]
    assert is_served(host, "blog.example.com")


def renamed(**changes):
    diary = {**BLOG, "name": "diary", **changes}
    site = {**SITE, "routes": [{"path": "/", "app": "diary", "rate": "none"}]}
    return {"webapp_apps": [*MODEL["webapp_apps"], diary], "webapp_sites": [*MODEL["webapp_sites"], site]}


@pytest.fixture
def users(host):
    """Somebody asks the blog all the time. Gives the answers that were not good."""
    wrong, over = [], threading.Event()
    address = host.check_output("hostname -I").split()[0]

    def ask():
        while not over.wait(0.05):
            try:
                answer = requests.get(f"http://{address}/health", headers={"Host": "blog.example.com"}, timeout=5)
                wrong.extend([] if answer.ok else [answer.status_code])
            except requests.RequestException as error:
                wrong.append(repr(error))

    thread = threading.Thread(target=ask)
    thread.start()
    yield wrong
    over.set()
    thread.join()


@pytest.mark.usefixtures("blog")
def test_a_new_name_is_asked_for_keeps_the_data_and_loses_no_request(host, users):
    run = play("site", renamed())
    assert (run.status != 0, run.failure["cause"], run.changed) == (True, "renamed", []), run.text
    assert "renamed_from: blog" in run.failure["msg"]
    assert COMMAND % ("site", "blog") in run.failure["msg"]

    run = play("site", renamed(renamed_from="blog"))
    assert run.status == 0, run.text
    assert users == []
    assert left(host, "blog") == []
    (unit,) = host.run("systemctl list-units --plain --no-legend --state=active 'diary@*'").stdout.splitlines()
    process = host.check_output(f"systemctl show --value --property MainPID {unit.split()[0]}")
    assert host.check_output(f"stat --format %U /proc/{process}") == "blog"
    assert "HOME=/var/lib/blog" in host.check_output(f"tr '\\0' '\\n' < /proc/{process}/environ").split()
    assert host.file("/var/lib/blog/data.db").content_string == "kept\n"
    assert host.run("runuser -u blog -- sh -c 'echo more >> /var/lib/blog/data.db'").rc == 0

    again = play("site", renamed(renamed_from="blog"))
    assert (again.status, again.changed) == (0, []), again.text
    assert "which the model does not have" not in words(again)
    lost = play("site", renamed())
    assert (lost.failure["cause"], lost.changed) == ("renamed", []), lost.text
    assert "renamed_from: blog" in lost.failure["msg"]
    taken = play("remove", renamed(renamed_from="blog"), webapp_remove="blog", webapp_remove_data=True)
    assert (taken.failure["cause"], taken.changed) == ("in_use", []), taken.text


@pytest.fixture(scope="module")
def orphan(host, blog):
    """The same app, when the model has it no more and nginx does not lead to it."""
    run = play("site", MODEL)
    assert run.status == 0, run.text
    # nginx led there until this deploy.
    assert COMMAND % ("site", "diary") in words(run)
    assert host.run("systemctl list-units --plain --no-legend --state=active 'diary@*'").stdout


@pytest.mark.usefixtures("orphan")
@pytest.mark.parametrize("name", ["preflight", "verify", "history", "diagnose"])
def test_all_who_look_tell_of_it_and_of_the_command(name):
    run = play(name, MODEL)
    assert run.status == 0, run.text
    assert "has diary, which the model does not have" in words(run)
    assert COMMAND % ("remove", "diary") in words(run)


@pytest.mark.usefixtures("orphan")
def test_check_mode_tells_what_would_go_and_touches_nothing(host):
    before = left(host, "diary")
    run = play("remove", MODEL, "--check", webapp_remove="diary", webapp_remove_data=True)
    assert run.status == 0, run.text
    assert "would remove" in words(run)
    assert "/var/log/diary" in words(run)
    assert left(host, "diary") == before
    assert host.run("systemctl list-units --plain --no-legend --state=active 'diary@*'").stdout


@pytest.mark.usefixtures("orphan")
def test_all_of_it_goes_but_its_data(host):
    lock = {"who": ANN, "since": time.time(), "until": time.time() + 600, "release": None}
    host.check_output("echo %s > /run/gatehouse/deploy/diary.lock", json.dumps(lock))
    run = play("remove", MODEL, webapp_remove="diary")
    assert (run.status != 0, run.changed) == (True, []), run.text
    assert "diary is being deployed by ann on laptop" in words(run)
    assert "webapp_break_lock=true" in words(run)

    run = play("remove", MODEL, webapp_remove="diary", webapp_break_lock=True)
    assert run.status == 0, run.text
    assert left(host, "diary") == []
    assert host.run("pgrep -u blog").rc == 1
    assert host.run("systemctl list-units --all --plain --no-legend 'diary*'").stdout == ""
    assert "kept /var/log/diary, as the app has written it" in words(run)
    assert not host.user("diary-build").exists
    assert host.user("blog").exists
    assert host.file("/var/lib/blog/data.db").content_string == "kept\nmore\n"
    assert is_served(host, "chat.example.com")

    again = play("remove", MODEL, webapp_remove=["diary"])
    assert (again.status, again.changed) == (0, []), again.text
    assert COMMAND % ("remove", "diary") not in words(again)


@pytest.mark.usefixtures("orphan")
def test_a_deploy_takes_away_what_is_named_and_its_data(host):
    run = play("site", MODEL, webapp_remove="blog,diary", webapp_remove_data=True)
    assert run.status == 0, run.text
    assert host.run("ls /srv").stdout.split() == ["chat-api"]
    for name in ("blog", "diary"):
        assert not host.file(f"/var/lib/{name}").exists
        assert not host.file(f"/var/log/{name}").exists
        assert not host.user(name).exists
        assert not host.group(name).exists
    assert is_served(host, "chat.example.com")
