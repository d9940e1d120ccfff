"""Deploys that lose nothing, and what is left of those that are killed: the site must serve the old or the new release, whole."""

import copy
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import requests
import yaml

from testbed.plays import Run, kill

SCENARIO = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
INVENTORY = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory"
PROJECT = SCENARIO.parents[1]
HOST = "gatehouse-" + SCENARIO.name
ACTIVATION = "Make the release the live one"
# Nothing of nginx or the firewall changes from one release to the next.
APPS_ALONE = ("--tags", "stage,activate,retire")

MODEL = yaml.safe_load((SCENARIO / "vars" / "main.yml").read_text())
MODEL["webapp_apps"][0]["source"] = {"directory": str(PROJECT / "examples" / "broken")}
BLUE, GREEN = (8000, 8001), (18000, 18001)


def model(version, **app):
    changed = copy.deepcopy(MODEL)
    changed["webapp_apps"][0].update(app)
    changed["webapp_apps"][0]["env"]["VERSION"] = version
    return changed


def deploy(version, arguments=APPS_ALONE, extra=None, **app):
    return Run(INVENTORY, PROJECT / "site.yml", {**model(version, **app), **(extra or {})}, arguments)


def play(name, **variables):
    return Run(INVENTORY, PROJECT / "playbooks" / name, {**MODEL, **variables})


def inside(*command):
    return subprocess.run(["docker", "exec", HOST, *command], capture_output=True, text=True, check=False)


def shell(text):
    return inside("sh", "-c", text).stdout.strip()


def version():
    """What the site answers now, asked from outside."""
    address = shell("hostname -I").split()[0]
    answer = requests.get(f"http://{address}/health", timeout=5)
    assert answer.ok, (answer.status_code, answer.text, shell("tail --lines 5 /var/log/nginx/error.log"))
    return answer.json()["version"]


def live():
    return Path(shell("readlink -f /srv/shop/current")).name


def units():
    """The instances: those that run, those that start at boot, and those that have a unit."""
    running = shell("systemctl list-units --plain --no-legend --state=active 'shop@*' | cut -d' ' -f1").split()
    enabled = shell("ls /etc/systemd/system/multi-user.target.wants | grep ^shop@").split()
    return running, enabled, shell("ls /etc/systemd/system | grep ^shop@").split()


def live_ports():
    """The ports of the set that serves."""
    return GREEN if shell("ls /srv/shop/current/green") else BLUE


def ports_beside():
    """The ports of the other set, on which a release is started beside the live one."""
    return BLUE if live_ports() == GREEN else GREEN


def assert_whole(expected):
    """The site serves this release, and nothing of any other is left running or to be started."""
    assert version() == expected
    ports = live_ports()
    names = [f"shop@{port}.service" for port in ports]
    assert units() == (names, names, names)
    for name in names:
        pid = shell(f"systemctl show --value --property MainPID {name}")
        assert live() in shell(f"readlink /proc/{pid}/cwd")
    assert shell("ls /run/gatehouse/deploy") == ""


@pytest.fixture
def before():
    """The version that serves when the test begins, and is whole. Each test takes versions of its own, so none is deployed for it alone."""
    found = version()
    assert_whole(found)
    return found


# A deploy


@pytest.mark.usefixtures("before")
def test_releases_take_turns_and_a_second_run_changes_nothing():
    for name in ("two", "three"):
        assert deploy(name).status == 0
        assert_whole(name)
    again = deploy("three")
    assert (again.status, again.changed) == (0, [])


def test_a_sealed_release_shares_no_file_with_the_cache_it_was_installed_from():
    """uv would link them, and the seal gives a release's files to root: the next install could neither link nor replace them."""
    assert int(shell("find /srv/shop/cache/uv -type f | wc -l")) > 50
    assert shell("find /srv/shop/cache/uv -type f -not -user shop-build") == ""
    assert shell("find /srv/shop/current/venv/lib -type f -links +1") == ""


SESSION = r"""
import base64, os, socket, struct, time
link = socket.create_connection(("127.0.0.1", 80))
link.sendall(b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
             b"Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)) + b"\r\n\r\n")
stream = link.makefile("rb")
assert b" 101 " in stream.readline()
while stream.readline() != b"\r\n":
    pass
while True:
    link.sendall(b"\x81\x82\0\0\0\0hi")
    first = 0x89
    while first == 0x89:  # a ping, which wants its pong
        first, length = stream.read(2)
        payload = stream.read(length)
        if first == 0x89:
            link.sendall(b"\x8a" + bytes([0x80 | length]) + bytes(4) + payload)
    if first == 0x88:
        print(struct.unpack("!H", payload[:2])[0])
        break
    assert (first, payload) == (0x81, b"hi"), (first, payload)
    time.sleep(0.2)
"""


@pytest.fixture
def session():
    """A WebSocket through nginx that talks until it is told to go: give its process, to read the close code from."""
    process = subprocess.Popen(
        ["docker", "exec", "-i", HOST, "python3", "-c", SESSION],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(1)
    assert process.poll() is None
    yield process
    process.kill()


@pytest.mark.usefixtures("before")
def test_a_websocket_outlives_the_switch_and_is_told_to_go_after_the_drain(session):
    run = deploy("with-session")
    assert run.status == 0, run.text
    events = next(result for task, result in run.results if task == ACTIVATION)["timeline"]
    switched = next(event["ms"] for event in events if "the proxy sends to" in event["event"])
    stopped = next(event["ms"] for event in events if event["event"].endswith(": stopped"))
    assert "1 connections are left after 5 s" in str(events)
    assert stopped - switched >= 5000
    assert session.communicate(timeout=20) == ("1012\n", "")


def test_a_release_that_fails_is_not_seen_by_anyone(before):
    run = deploy(
        "bad", uvicorn={"target": "app.never_healthy:app"}, health={**MODEL["webapp_apps"][0]["health"], "timeout": 10}
    )
    assert (run.failure["cause"], run.failure["outcome"]) == ("unhealthy", "reverted")
    assert "went on serving, and is healthy" in run.failure["msg"]
    assert_whole(before)


# Killed, and rebooted. Only the play is killed: what it had begun on the host goes on there, as it does when a connection is lost.


def at_task(name):
    """A moment for kill(): when this task begins."""
    return lambda line: line.startswith("TASK") and name in line


# Before anything live is touched, and after all that is.
TASKS = ["Stage the release", "Install the dependencies", "Import the target", "Seal the release", "List the units"]


def test_a_deploy_killed_while_nothing_live_changes_leaves_nothing_that_disturbs_the_next(before):
    """One after another, so that each finds what those before it left behind; and then the host goes down too."""
    for task in TASKS:
        kill(INVENTORY, PROJECT / "site.yml", model("killed"), APPS_ALONE, at_task(task))
        assert version() == ("killed" if task == TASKS[-1] else before), task
    reboot()
    assert version() == "killed"
    run = deploy("killed")
    assert run.status == 0, run.text
    assert_whole("killed")


# As soon as this is true on the host. $BEFORE is the live release, $OLD and $NEW are the first ports of the set that serves
# and of the other one.
MOMENTS = {
    "starting": "systemctl is-active shop@$NEW",
    "gating": "systemctl is-enabled shop@$NEW",
    "switching": "test $(readlink -f /srv/shop/current) != $BEFORE",
    "draining": "test $(readlink -f /srv/shop/current) != $BEFORE && sleep 1",
    "stopping": "! systemctl is-active shop@$OLD",
}


@pytest.fixture(scope="module")
def two_releases():
    """{version: release} of two that are whole, of which the last is live: from one to the other no build is needed."""
    found = {}
    for name in ("left", "right"):
        assert deploy(name).status == 0
        found[name] = live()
    return found


@pytest.mark.parametrize("end", ["killed", "rebooted"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_release_that_goes_live_and_is_stopped_at_any_moment_leaves_the_site_whole(
    two_releases, moment, end, session
):
    old = version()
    if old not in two_releases:  # a test before this one failed
        assert play("rollback.yml", webapp_release=two_releases["left"]).status == 0
        old = "left"
    new = next(name for name in two_releases if name != old)
    known = "BEFORE=%s OLD=%d NEW=%d; " % (shell("readlink -f /srv/shop/current"), live_ports()[0], ports_beside()[0])
    going = {**MODEL, "webapp_release": two_releases[new]}
    kill(
        INVENTORY,
        PROJECT / "playbooks" / "rollback.yml",
        going,
        [],
        lambda _line: inside("sh", "-c", known + MOMENTS[moment]).returncode == 0,
    )
    if end == "rebooted":
        reboot()
    assert version() in (old, new)
    run = play("rollback.yml", webapp_release=two_releases[new])
    assert run.status == 0, run.text
    assert_whole(new)


def reboot():
    subprocess.run(["docker", "restart", "--time", "0", HOST], check=True, capture_output=True)
    wait_for_boot()


def serves(port=80):
    return inside("curl", "--silent", "--fail", f"http://127.0.0.1:{port}/health").returncode == 0


def wait_for_boot():
    # The instances have started by then; their port opens a moment later.
    wait_until(
        lambda: inside("systemctl", "is-system-running").stdout.strip() in ("running", "degraded") and serves(),
        "the host did not come up again, or does not serve",
    )


def wait_until(true, otherwise):
    for _attempt in range(300):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError(otherwise)


@pytest.mark.usefixtures("before")
def test_whichever_instance_is_the_only_one_that_listens_gets_the_request():
    """As after a boot in the middle of a switch, when both sets start and any of them may be the first."""
    names = " ".join(f"shop@{port}" for port in live_ports())
    shell(f"mkdir -p /tmp/alone && echo well > /tmp/alone/health && systemctl stop {names}")
    answers = {}
    for port in BLUE + GREEN:
        shell(f"systemd-run --quiet --unit alone python3 -m http.server --bind 127.0.0.1 --directory /tmp/alone {port}")
        wait_until(functools.partial(serves, port), f"nothing listens on port {port}")
        # Each worker of nginx starts with another instance.
        answers[port] = {
            inside("curl", "--silent", "--fail", "http://127.0.0.1/health").stdout for _attempt in range(12)
        }
        shell("systemctl stop alone")
    shell(f"systemctl start {names}")
    wait_until(serves, "the site does not serve again")
    assert answers == {port: {"well\n"} for port in BLUE + GREEN}


# One at a time


@pytest.mark.usefixtures("before")
def test_a_lock_that_is_held_says_whose_it_is_and_how_to_break_it():
    """The first deploy is stopped in its gate, as if it were a slow one."""
    begun = time.monotonic()
    first = subprocess.Popen(
        ["ansible-playbook", "-i", INVENTORY, PROJECT / "site.yml", "-e", json.dumps(model("slow")), *APPS_ALONE],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        other = ports_beside()[0]
        while inside("systemctl", "is-active", f"shop@{other}").returncode:
            time.sleep(0.05)
        os.killpg(first.pid, signal.SIGSTOP)
        second = deploy("hasty")
        assert second.failure["cause"] == "locked"
        held = re.search(rf"\(pid {first.pid}\), for (\d+) min", second.failure["msg"])
        assert int(held.group(1)) <= (time.monotonic() - begun) // 60
        assert "webapp_break_lock=true" in second.failure["msg"]
        assert second.changed == []
        broken = deploy("forced", extra={"webapp_break_lock": True})
        assert broken.status == 0, broken.text
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    assert deploy("after").status == 0
    assert_whole("after")


# Back, and what was


def test_going_back_is_to_what_was_live_before_and_is_gated(before):
    first = live()
    assert deploy("forward").status == 0
    second = live()
    run = play("rollback.yml")
    assert run.status == 0, run.text
    assert_whole(before)
    assert play("rollback.yml", webapp_release=second).status == 0
    assert_whole("forward")
    history = play("history.yml", webapp_between=[first, second])
    assert f"* {second}" in history.text
    assert "environment VERSION: changed" in history.text
    assert '"forward"' not in history.text


@pytest.mark.usefixtures("before")
def test_an_unknown_release_is_refused_with_those_that_there_are():
    run = play("rollback.yml", webapp_release="0123456789ab")
    assert run.failure["cause"] == "no_release"
    assert live() in run.failure["msg"]
    assert run.changed == []


@pytest.mark.usefixtures("before")
def test_there_is_nothing_to_go_back_to_before_the_second_release():
    shell("mv /srv/shop/current/passed.json /root/passed.json; cd /srv/shop/current; printf '{}' > passed.json")
    try:
        run = play("rollback.yml")
        assert "there is no release to go back to" in run.failure["msg"]
        assert run.changed == []
    finally:
        shell("mv /root/passed.json /srv/shop/current/passed.json")


def test_of_old_releases_the_one_to_go_back_to_stays(before):
    assert deploy("newest", keep_releases=2).status == 0
    assert len(shell("ls /srv/shop/releases").split()) == 2
    assert play("rollback.yml").status == 0
    assert_whole(before)


# Before a deploy


@pytest.mark.usefixtures("before")
def test_migrations_run_once_for_a_release_and_their_failure_stops_the_deploy():
    count = ['echo "${VERSION}" >> /var/lib/shop/migrated']
    for _again in range(2):
        assert deploy("migrated", migrate=count).status == 0
    assert shell("cat /var/lib/shop/migrated") == "migrated"
    run = deploy("stuck", migrate=["true", "echo the table is locked >&2; exit 3", "touch /var/lib/shop/too-far"])
    assert "this one failed with exit status 3: echo the table is locked" in run.failure["msg"]
    assert shell("ls /var/lib/shop") == "migrated"
    assert "the table is locked" in run.failure["msg"]
    assert not run.did(ACTIVATION)
    assert_whole("migrated")
    shell("rm /var/lib/shop/migrated")


def test_a_migration_that_hangs_is_ended(before):
    run = deploy("hangs", migrate=["sleep 100"], migrate_timeout=1)
    assert "took more than migrate_timeout, 1 s" in run.failure["msg"]
    assert_whole(before)


def test_a_disk_too_full_for_a_build_is_seen_before_it(before, tmp_path):
    # An app of its own: from the same source it would be the other one under another name.
    source = shutil.copytree(MODEL["webapp_apps"][0]["source"]["directory"], tmp_path / "tiny")
    shell("mkdir -p /srv/tiny/releases && mount -t tmpfs -o size=20m tmpfs /srv/tiny/releases")
    try:
        extra = {"webapp_sites": [], "webapp_empty": True}
        run = deploy("tiny", extra=extra, name="tiny", port=9000, source={"directory": str(source)})
        assert run.failure["cause"] == "disk_full"
        assert "room for 20 M more bytes" in run.failure["msg"]
        assert "df -h -i /srv/tiny/releases" in run.failure["msg"]
    finally:
        shell("umount /srv/tiny/releases; rm -r /srv/tiny")


def test_a_revision_that_does_not_exist_is_refused(before):
    shell(
        "git init -q /opt/source && cd /opt/source && git -c user.name=x -c user.email=x@x commit -qm x --allow-empty"
    )
    run = deploy("nowhere", source={"git": "/opt/source", "version": "v9"})
    assert "has no branch or tag named v9" in run.failure["msg"]
    assert not run.did(ACTIVATION)
    assert_whole(before)


# Another strategy, and back


@pytest.mark.usefixtures("before")
def test_one_at_a_time_in_place_the_others_serve():
    run = deploy("in-place", arguments=["--skip-tags", "verify"], strategy="restart")
    assert run.status == 0, run.text
    assert version() == "in-place"
    run = deploy("in-place-2", strategy="restart")
    timeline = str(next(result for task, result in run.results if task == ACTIVATION)["timeline"])
    for port in BLUE:
        assert f"shop@{port}.service: out of the rotation" in timeline
    assert_whole("in-place-2")
    assert deploy("side-by-side", arguments=["--skip-tags", "verify"]).status == 0
    assert_whole("side-by-side")
