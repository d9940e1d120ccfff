"""The chat on MariaDB: messages outlive the app, and a database that is down is named before anything is touched."""

import json
import os
import subprocess
import time

import pytest
import yaml

from testbed.plays import Run

SCENARIO = os.environ["MOLECULE_SCENARIO_DIRECTORY"]
PREFLIGHT = os.path.join(SCENARIO, "..", "..", "playbooks", "preflight.yml")
INVENTORY = os.path.join(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "inventory")
CHAT = "http://127.0.0.1:8000"


def healthy(host):
    return host.run(f"curl --silent --fail {CHAT}/health").rc == 0


def wait_until(condition):
    for _attempt in range(300):
        if condition():
            return True
        time.sleep(0.1)
    return False


@pytest.fixture
def main_pid(host):
    return lambda: host.check_output("systemctl show -P MainPID chat-api@8000")


def test_messages_are_in_the_database_and_outlive_the_app(host):
    message = json.dumps({"session_id": "kept", "message": "hello"})
    host.check_output(
        f"curl --silent --fail --header 'Content-Type: application/json' --data '{message}' {CHAT}/api/v1/chat/message"
    )
    host.check_output("systemctl restart chat-api@8000")
    assert wait_until(lambda: healthy(host))
    history = json.loads(host.check_output(f"curl --silent --fail {CHAT}/api/v1/chat/history/kept"))
    assert (history["messages"][0]["role"], history["messages"][0]["content"]) == ("user", "hello")
    assert "hello" in host.check_output("mariadb chat --execute 'SELECT content FROM messages'")


def test_a_database_that_is_down_is_named_and_the_app_is_left_alone(host, main_pid):
    before = main_pid()
    host.check_output("systemctl stop mariadb")
    try:
        deploy = subprocess.run(
            ["ansible-playbook", "-i", INVENTORY, f"{SCENARIO}/converge.yml", "-e", "chat_version=2"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    finally:
        host.check_output("systemctl start mariadb")
    assert deploy.returncode != 0
    assert "cause: dependency" in deploy.stdout
    assert "can't live without 127.0.0.1:3306: connection refused" in deploy.stdout
    assert main_pid() == before
    assert wait_until(lambda: healthy(host))
    assert json.loads(host.check_output(f"curl --silent --fail {CHAT}/health"))["version"] == "1"


def preflight(user="chat", password="p%40ss%2Fw0rd%3Ax", database="chat"):
    """What a preflight tells of the app as it is deployed, with another URL of its database."""
    with open(f"{SCENARIO}/converge.yml") as file:
        app = yaml.safe_load(file)[0]["vars"]["webapp_apps"][0]
    app["source"] = {"directory": os.path.join(SCENARIO, "..", "..", "examples", "chat", "backend")}
    app["env"] = {"DATABASE_URL": f"mysql://{user}:{password}@127.0.0.1:3306/{database}"}
    return Run(INVENTORY, PREFLIGHT, {"webapp_apps": [app]})


def test_a_preflight_logs_in_to_the_database_with_the_apps_own_driver(host):
    logins = "mariadb --silent --skip-column-names --execute \"SHOW STATUS LIKE 'Connections'\" | cut -f2"
    before = int(host.check_output(logins))
    run = preflight()
    assert run.status == 0, run.text
    # One to greet, one to log in, and this one; the app itself asks at times.
    assert int(host.check_output(logins)) >= before + 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"password": "not%3Athis-one"}, "Access denied for user 'chat'"),
        ({"user": "nobody"}, "Access denied for user 'nobody'"),
        ({"database": "nowhere"}, "to nowhere"),
    ],
)
def test_a_login_that_the_database_refuses_is_told_before_a_deploy(change, words):
    run = preflight(**change)
    assert run.status == 2
    assert (run.failure["cause"], len(run.failure["problems"])) == ("database_refuses", 1)
    assert words in run.failure["msg"]
    assert "Next: correct webapp_apps[chat-api].env.DATABASE_URL" in run.failure["msg"]
    assert "not:this-one" not in run.text and "not%3Athis-one" not in run.text


def test_a_database_that_is_down_is_told_once_before_a_deploy(host):
    host.check_output("systemctl stop mariadb")
    try:
        run = preflight()
    finally:
        host.check_output("systemctl start mariadb")
    assert [one["cause"] for one in run.failure["problems"]] == ["dependency_down"]
    assert "Next: systemctl start mariadb" in run.failure["msg"]
