"""A typo never takes a site down: after each of these runs the example is served as before, and the run has failed."""

import copy
import json
import os
import subprocess
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
APPS, SITES = MODEL["webapp_apps"], MODEL["webapp_sites"]
OTHER_APP = {**APPS[0], "name": "blog", "port": 9000, "websocket": None}
OTHER_SITE = {"name": "blog", "server_names": ["blog.example.com"], "routes": [{"path": "/", "app": "blog"}]}


def run(variables, *arguments, playbook="site.yml"):
    return Run(INVENTORY, PROJECT / "playbooks" / playbook, variables, arguments)


@pytest.fixture
def served(host):
    """Whether the site is served to the outside, and its port is open."""

    def ask():
        address = host.check_output("hostname -I").split()[0]
        answer = requests.get(f"http://{address}/health", headers={"Host": "chat.example.com"}, timeout=5)
        return answer.ok and "80/tcp" in host.check_output("ufw status")

    assert ask()
    return ask


def moved():
    apps = copy.deepcopy(APPS)
    apps[0]["port"] = 8100
    return apps


@pytest.mark.parametrize(
    ("variables", "cause", "tags"),
    [
        ({"webapp_app": APPS, "webapp_sites": SITES}, "unknown_variable", ()),
        ({"webapp_apps": APPS, "webapp_site": SITES}, "unknown_variable", ("--tags", "ufw")),
        ({}, "empty_model", ("--tags", "nginx_proxy")),
        ({"webapp_apps": APPS}, "nothing_left", ("--tags", "ufw")),
        ({"webapp_apps": "{{ team_apps }}", "webapp_sites": SITES}, "undefined", ()),
        ({"webapp_apps": [OTHER_APP], "webapp_sites": [OTHER_SITE]}, "nothing_left", ()),
        (
            {"webapp_apps": APPS, "webapp_sites": [{**SITES[0], "server_names": ["chat.exmaple.com"]}]},
            "nothing_left",
            (),
        ),
        ({**MODEL, "webapp_release": "3f9a1c2b71d0"}, "bad_input", ()),
    ],
    ids=["apps", "sites", "nothing", "no-sites", "no-list", "others-model", "name", "release"],
)
def test_a_model_that_is_not_meant_is_refused(served, variables, cause, tags):
    done = run(variables, *tags)
    assert (done.status != 0, done.failure["cause"], done.changed) == (True, cause, []), done.text
    assert served()


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("--tags", "activate"), "port_changed"),
        (("--tags", "nginx_proxy,ufw"), "port_changed"),
        (("--skip-tags", "nginx_proxy"), "port_changed"),
        (("--tags", "nginx_prox"), "bad_input"),
        (("--skip-tags", "uwf"), "bad_input"),
    ],
)
def test_a_run_by_half_is_refused(served, arguments, cause):
    done = run({**MODEL, "webapp_apps": moved()}, *arguments)
    assert (done.status != 0, done.failure["cause"], done.changed) == (True, cause, []), done.text
    assert served()


@pytest.mark.parametrize(("tags", "cause"), [("nginx_proxy", "port_changed"), ("ufw", "would_close_sites")])
def test_a_site_that_would_move_to_a_closed_port_is_refused(served, tags, cause):
    done = run({**MODEL, "webapp_sites": [{**SITES[0], "http_port": 8080}]}, "--tags", tags)
    assert (done.status != 0, done.failure["cause"], done.changed) == (True, cause, []), done.text
    assert served()


ALONE = """
- hosts: webapp
  become: true
  roles:
    - role: gatehouse.webapp.%s
      vars: %s
"""


@pytest.mark.parametrize(
    ("role", "variables", "cause"),
    [
        ("nginx_proxy", {"nginx_proxy_app": APPS, "nginx_proxy_site": SITES}, "nothing_left"),
        ("ufw", {"ufw_site": SITES}, "would_close_sites"),
    ],
)
def test_a_role_used_alone_takes_nothing_down(served, tmp_path, role, variables, cause):
    (tmp_path / "alone.yml").write_text(ALONE % (role, json.dumps(variables)))
    done = Run(INVENTORY, tmp_path / "alone.yml")
    assert (done.status != 0, done.failure["cause"]) == (True, cause), done.text
    assert served()


@pytest.mark.parametrize(
    ("tags", "wrong"),
    [
        ("nginx_proxy", {"nginx_proxy_timeout": "soon"}),
        ("ufw", {"ufw_confirm_within": "abc"}),
    ],
)
def test_a_wrong_type_shows_no_value_of_the_environment(served, tags, wrong):
    apps = [{**APPS[0], "env": {**APPS[0]["env"], "API_KEY": "canary-of-the-environment"}}]
    done = run({**MODEL, "webapp_apps": apps, **wrong}, "--tags", tags)
    assert done.status != 0
    assert next(iter(wrong)) in done.text
    assert "canary-of-the-environment" not in done.text


def test_a_rollback_to_other_ports_or_to_nothing_is_refused(served):
    done = run({**MODEL, "webapp_apps": moved()}, playbook="rollback.yml")
    assert (done.failure["cause"], done.changed) == ("port_changed", [])
    done = run(MODEL, playbook="rollback.yml")
    assert (done.failure["cause"], done.changed) == ("no_release", [])
    done = run({**MODEL, "webapp_apps": [*APPS, OTHER_APP]}, playbook="rollback.yml")
    assert "-e webapp_only=chat-api   # or all of them: -e webapp_only=chat-api,blog" in done.failure["msg"]
    assert served()


@pytest.mark.parametrize(
    "playbook", ["preflight.yml", "verify.yml", "diagnose.yml", "history.yml", "rollback.yml", "redeploy.yml"]
)
def test_every_playbook_refuses_an_unknown_variable(playbook):
    done = run({**MODEL, "webapp_sitse": []}, playbook=playbook)
    assert done.failure["cause"] == "unknown_variable"
    assert "webapp_sitse: unknown variable. Did you mean: webapp_sites" in done.failure["msg"]


@pytest.mark.parametrize(
    "playbook",
    ["site.yml", "preflight.yml", "verify.yml", "diagnose.yml", "history.yml", "rollback.yml", "redeploy.yml"],
)
def test_a_group_without_hosts_is_an_error(tmp_path, playbook):
    (tmp_path / "hosts").write_text("[webap]\napp1\n[db]\ndb1\n")
    command = ["ansible-playbook", "-i", tmp_path / "hosts", PROJECT / "playbooks" / playbook]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    told = done.stdout + done.stderr
    assert "No host of the inventory is in webapp. Its groups: db (db1); webap (app1)" in told
    assert "-e webapp_hosts=webap" in told


def test_one_app_alone_is_deployed_and_measured(host, served):
    model = {**MODEL, "webapp_apps": [*APPS, OTHER_APP], "webapp_sites": [*SITES, OTHER_SITE]}
    done = run({**model, "webapp_only": "blgo"})
    assert "no app is called blgo (apps: chat-api, blog)" in done.failure["msg"]
    done = run({**model, "webapp_only": "chat-api"})
    assert done.status == 0, done.text
    assert not host.file("/srv/blog").exists
    assert served()
    # Measured without the names, the other one is missed.
    assert run(model, playbook="verify.yml").status != 0
    assert run({**model, "webapp_only": ["chat-api"]}, playbook="verify.yml").status == 0


def test_a_switch_given_as_text_is_one(host, served):
    done = run({**MODEL, "nginx_proxy_ipv6": "false"}, "--tags", "nginx_proxy")
    assert done.status == 0, done.text
    assert "listen [::]" not in host.file("/etc/nginx/gatehouse/sites.conf").content_string
    assert served()
    assert run({**MODEL, "nginx_proxy_ipv6": "true"}, "--tags", "nginx_proxy").status == 0
    assert "listen [::]:80" in host.file("/etc/nginx/gatehouse/sites.conf").content_string


def test_what_is_meant_is_done(host, served):
    done = run({"webapp_empty": "true"}, "--tags", "nginx_proxy,ufw")
    assert done.status == 0, done.text
    assert "80/tcp" not in host.check_output("ufw status")
