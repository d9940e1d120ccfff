"""The chat on MariaDB: messages outlive the app, and a database that is down is named before anything is touched."""

import json
import os
import subprocess
import time

import pytest

SCENARIO = os.environ["MOLECULE_SCENARIO_DIRECTORY"]
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
