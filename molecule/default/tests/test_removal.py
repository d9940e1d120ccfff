"""An app that the model no longer has: everyone who looks tells of it, and one command takes it away and keeps its data."""

import os
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
BLOG = {**MODEL["webapp_apps"][0], "name": "blog", "port": 9000, "instances": 1, "websocket": None, "log_file": True}
SITE = {"name": "blog", "server_names": ["blog.example.com"], "routes": [{"path": "/", "app": "blog"}]}
BOTH = {"webapp_apps": [*MODEL["webapp_apps"], BLOG], "webapp_sites": [*MODEL["webapp_sites"], SITE]}
COMMAND = "ansible-playbook -i INVENTORY gatehouse.webapp.remove -e webapp_remove=blog"
# All that a deploy puts on a host for an app.
PLACES = (
    "/srv/blog /etc/systemd/system/blog@* /etc/systemd/system/blog-log.service /etc/systemd/system/*.wants/blog* "
    "/etc/logrotate.d/blog /run/gatehouse/rotation/blog /run/gatehouse/deploy/blog.lock"
)


def play(name, variables, *arguments, **more):
    return Run(INVENTORY, PROJECT / "playbooks" / f"{name}.yml", {**variables, **more}, arguments)


def words(run):
    """What a run has printed, however its lines were broken."""
    return " ".join(run.text.split())


def left(host):
    return host.run(f"ls -d {PLACES} 2>/dev/null").stdout.split()


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
    assert len(left(host)) >= 5


@pytest.mark.usefixtures("blog")
@pytest.mark.parametrize(
    ("model", "remove", "cause", "told"),
    [
        (BOTH, "blog", "in_use", "the model has blog"),
        (MODEL, "blog", "in_use", "nginx still leads requests to blog"),
        (MODEL, "", "bad_input", "webapp_remove is empty"),
        (MODEL, "blag", None, "No host has an app called blag"),
    ],
)
def test_what_serves_or_is_not_there_can_not_be_removed(host, model, remove, cause, told):
    run = play("remove", model, webapp_remove=remove)
    assert (run.status != 0, run.failure.get("cause"), run.changed) == (True, cause, []), run.text
    assert told in run.failure["msg"]
    assert "blog" in run.failure["msg"] or not remove
    assert is_served(host, "blog.example.com")


@pytest.fixture(scope="module")
def orphan(host, blog):
    """The same app, when the model has it no more and nginx does not lead to it."""
    run = play("site", MODEL)
    assert run.status == 0, run.text
    assert COMMAND in words(run)
    assert host.run("systemctl is-active blog@9000").stdout.strip() == "active"


@pytest.mark.usefixtures("orphan")
@pytest.mark.parametrize("name", ["preflight", "verify", "history", "diagnose"])
def test_all_who_look_tell_of_it_and_of_the_command(name):
    run = play(name, MODEL)
    assert run.status == 0, run.text
    assert "has blog, which the model does not have" in words(run)
    assert COMMAND in words(run)


@pytest.mark.usefixtures("orphan")
def test_check_mode_tells_what_would_go_and_touches_nothing(host):
    before = left(host)
    run = play("remove", MODEL, "--check", webapp_remove="blog", webapp_remove_data=True)
    assert run.status == 0, run.text
    assert "would remove" in words(run)
    assert "/var/lib/blog" in words(run)
    assert left(host) == before
    assert host.run("systemctl is-active blog@9000").stdout.strip() == "active"


@pytest.mark.usefixtures("orphan")
def test_all_of_it_goes_but_its_data_and_then_its_data(host):
    run = play("remove", MODEL, webapp_remove="blog")
    assert run.status == 0, run.text
    assert left(host) == []
    assert host.file("/var/lib/blog/data.db").content_string == "kept\n"
    assert host.user("blog").exists
    assert not host.user("blog-build").exists
    assert host.run("pgrep -u blog").rc == 1
    assert host.run("systemctl list-units --all --plain --no-legend 'blog*'").stdout == ""
    assert "kept" in words(run)
    assert is_served(host, "chat.example.com")
    assert COMMAND not in words(play("history", MODEL))

    again = play("remove", MODEL, webapp_remove="blog")
    assert (again.status, again.changed) == (0, []), again.text

    run = play("remove", MODEL, webapp_remove=["blog"], webapp_remove_data=True)
    assert run.status == 0, run.text
    for place in ("/var/lib/blog", "/var/log/blog"):
        assert not host.file(place).exists
    assert not host.user("blog").exists
    assert not host.group("blog").exists
    assert is_served(host, "chat.example.com")
    assert play("remove", MODEL, webapp_remove="blog").status != 0
