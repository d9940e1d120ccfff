"""An app that is hosted elsewhere, which is the hosting that the target health_restart has left on the host, seen from the control node."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

SCENARIO = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
INVENTORY = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory"
SECRET = "a-very-secret"


@pytest.fixture
def hosting(host):
    """The hosting's address, and its app as new."""
    host.check_output("systemctl restart hosting")
    host.check_output("timeout 60 sh -c 'until curl -sfo /dev/null http://127.0.0.1:8100/health; do sleep 0.1; done'")
    return "http://%s:8100" % host.check_output("hostname -I").split()[0]


def play(playbook, hosting, *arguments, others=()):
    """What a playbook says about the app, and others, as verbose as can be: its status and its output, without a secret."""
    shop = {
        "name": "shop",
        "runtime": "external",
        "url": hosting,
        "health": {"path": "/health", "json": {"status": "healthy"}, "stable_for": 0},
        "deploy_hook": f"{hosting}/hook/{SECRET}-key-1?ends=live",
        "deploy_version": "version",
        "deploy_status": {
            "url": hosting + "/deploys/{deploy.id}",
            "headers": {"Authorization": f"Bearer {SECRET}-token-1"},
            "json": {"status": "live"},
            "interval": 0.5,
        },
    }
    model = SCENARIO / "model.json"
    model.write_text(json.dumps({"webapp_apps": [shop, *others]}))
    command = ["ansible-playbook", "-vvv", "-i", INVENTORY, SCENARIO.parents[1] / "playbooks" / f"{playbook}.yml"]
    try:
        done = subprocess.run(
            [*command, "-e", f"@{model}", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    finally:
        model.unlink()
    assert SECRET not in done.stdout
    return done.returncode, done.stdout


def hooks(host):
    return json.loads(host.check_output("curl -s http://127.0.0.1:8100/hooks"))["hooks"]


def test_it_is_deployed_when_asked_for_and_not_otherwise(host, hosting):
    status, told = play("redeploy", hosting, "--check")
    assert (status, hooks(host)) == (0, 0), told
    assert "its deploy hook is due" in told
    status, told = play("redeploy", hosting)
    assert (status, hooks(host)) == (0, 1), told
    assert "shop: healthy" in told
    status, told = play("redeploy", hosting, "-e", "hosted_app_state=current", "-e", "webapp_version=2")
    assert (status, hooks(host)) == (0, 1), told
    assert "changed=0" in told


def test_an_app_without_a_hook_is_not_deployed(hosting):
    blog = {"name": "blog", "runtime": "external", "url": "http://blog.example.com", "health": {"path": "/health"}}
    status, told = play("redeploy", hosting, "-e", '{"webapp_only": ["shop", "blog"]}', others=[blog])
    assert status
    assert "no deploy hook is known of blog (apps that have one: shop)" in told
    status, told = play("redeploy", hosting, "-e", "webapp_only=shop,shob", others=[blog])
    assert status
    assert "no app is called shob (apps: shop, blog)" in told


def test_it_is_verified_and_diagnosed_at_its_own_address(hosting):
    status, told = play("verify", hosting)
    assert status == 0, told
    assert re.search(r"✔ .* outside +\S+:8100/health +200 ", told), told
    status, told = play("diagnose", hosting, "-e", "diagnose_fail=true")
    assert status == 0, told
    assert "Nothing is wrong." in told


def test_what_is_wrong_with_it_is_named(host, hosting):
    host.check_output("systemctl stop hosting")
    status, told = play("verify", hosting, "-e", "verify_timeout=2")
    assert status
    assert "health from the control node failed: " in told
    assert "connection refused" in told
    status, told = play("diagnose", hosting, "-e", "diagnose_fail=true")
    assert status
    assert "where shop is hosted, takes no connections." in told
    status, told = play("redeploy", hosting)
    assert status
    assert "its deploy hook was not sent: " in told
