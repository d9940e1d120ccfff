"""Node apps under PM2: what runs, what a deploy loses (nothing), and what is refused while the old release serves."""

import copy
import json
import os
import shutil
import socket
import subprocess
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
HOST = "gatehouse-" + SCENARIO.name
ACTIVATION = "Make the release the live one"
SITES = ("shop.example.com", "realtime.example.com")

MODEL = yaml.safe_load((SCENARIO / "vars" / "main.yml").read_text())
MODEL["webapp_apps"][0]["source"] = {"directory": str(SCENARIO / "files" / "shop")}
MODEL["webapp_apps"][1]["source"] = {"directory": str(PROJECT / "examples" / "realtime")}


def deploy(env=None, tags="stage,activate,retire", **app):
    """Deploy the shop, changed; the other app stays as it is."""
    model = copy.deepcopy(MODEL)
    model["webapp_apps"] = [{**model["webapp_apps"][0], **app}]
    model["webapp_apps"][0]["env"] = {"VERSION": "first", **(env or {})}
    model["webapp_sites"] = model["webapp_sites"][:1]
    return Run(INVENTORY, PROJECT / "site.yml", model, ["--tags", tags])


def inside(text):
    done = subprocess.run(["docker", "exec", HOST, "sh", "-c", text], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def address():
    return inside("hostname -I").split()[0]


def version():
    return requests.get(f"http://{address()}/health", timeout=5).json()["version"]


def serving():
    """The unit of the shop that serves."""
    return "shop@13000.service" if inside("ls /srv/shop/current/green") else "shop@3000.service"


def workers(unit):
    main = inside(f"systemctl show --value --property MainPID {unit}")
    return inside(f"cat /proc/{main}/task/{main}/children").split()


class Client:
    """Asks the shop through nginx, over and over, from outside; keeps what went wrong."""

    def __enter__(self):
        self.failed, self.seen, self._stop = [], [], threading.Event()
        self._url = f"http://{address()}/health"
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()
        return self

    def _ask(self):
        session = requests.Session()
        while not self._stop.wait(0.02):
            try:
                answer = session.get(self._url, timeout=10)
                answer.raise_for_status()
                self.seen.append(answer.json()["version"])
            except requests.RequestException as error:
                self.failed.append(str(error))

    def __exit__(self, *_error):
        self._stop.set()
        self._thread.join()


# What runs


def test_two_workers_share_the_port_as_the_apps_user(host):
    unit = serving()
    assert host.service(unit).is_enabled
    pids = workers(unit)
    assert len(pids) == 2
    assert {inside(f"stat --format %U /proc/{pid}") for pid in pids} == {"shop"}
    seen = {requests.get(f"http://{address()}/health", timeout=5).json()["pid"] for _each in range(8)}
    assert {str(pid) for pid in seen} == set(pids)


def test_the_unit_is_a_sandbox(host):
    report = host.check_output(f"systemd-analyze security --no-pager {serving()}")
    assert float(report.split("Overall exposure level for")[1].split(": ")[1].split()[0]) <= 1.5
    main = inside(f"systemctl show --value --property MainPID {serving()}")
    within = f"nsenter --target {main} --mount runuser -u shop --"
    assert host.run(f"{within} touch /var/lib/shop/data").rc == 0
    assert host.run(f"{within} touch /srv/shop/current/src/x").rc != 0


def test_what_the_app_says_is_in_the_journal_as_it_says_it(host):
    log = host.check_output("journalctl --unit 'realtime@*' --output cat --no-pager")
    assert "listening on 127.0.0.1 port 3100" in log.splitlines()


def test_the_host_comes_up_with_the_live_release():
    subprocess.run(["docker", "restart", "--time", "0", HOST], check=True, capture_output=True)
    for _attempt in range(600):
        if all(inside(f"curl --silent --fail --header 'Host: {site}' http://127.0.0.1/health") for site in SITES):
            break
        time.sleep(0.1)
    assert version() == "first"


# WebSocket through nginx


def open_session(site, offer=""):
    """A WebSocket to the realtime app through nginx: its socket, and the head of the answer."""
    link = socket.create_connection((address(), 80), timeout=15)
    head = f"GET /ws HTTP/1.1\r\nHost: {site}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    link.sendall((head + offer + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += link.recv(1) or pytest.fail(f"cut off after {answer}")
    return link, answer.decode()


def lives(link):
    """Whether the session is open: a ping gets its pong."""
    seen = b""
    try:
        link.sendall(b"\x89\x82\0\0\0\0hi")
        while b"\x8a\x02hi" not in seen:
            got = link.recv(4096)
            if not got:
                return False
            seen += got
    except ConnectionError:
        return False
    return True


def test_compression_of_messages_is_agreed_through_nginx():
    _link, answer = open_session("realtime.example.com", "Sec-WebSocket-Extensions: permessage-deflate\r\n")
    assert answer.startswith("HTTP/1.1 101 ")
    assert "sec-websocket-extensions: permessage-deflate" in answer.lower()


def test_a_quiet_session_lives_by_the_routes_read_timeout():
    kept, _answer = open_session("realtime.example.com")
    cut, _answer = open_session("impatient.example.com")
    assert lives(kept)
    assert lives(cut)
    time.sleep(4)
    assert not lives(cut)
    assert lives(kept)


# Deploys


def test_a_variable_that_is_removed_is_gone():
    assert deploy({"EXTRA": "1"}).status == 0
    assert "EXTRA=1" in inside(f"tr '\\0' '\\n' < /proc/{workers(serving())[0]}/environ").split()
    assert deploy().status == 0
    told = inside(f"tr '\\0' '\\n' < /proc/{workers(serving())[0]}/environ").split()
    assert "VERSION=first" in told
    assert "EXTRA=1" not in told


def test_an_app_that_is_slow_to_be_ready_loses_nothing_and_one_that_never_is_gets_nothing():
    with Client() as client:
        slow = deploy({"VERSION": "slow", "READY_AFTER": "8"})
        assert slow.status == 0, slow.text
        never = deploy(
            {"VERSION": "never", "READY_AFTER": "3600"}, health={**MODEL["webapp_apps"][0]["health"], "timeout": 15}
        )
    assert (never.failure["cause"], never.failure["outcome"]) == ("unhealthy", "reverted")
    assert client.failed == []
    assert set(client.seen) == {"first", "slow"}
    assert version() == "slow"
    assert deploy().status == 0


@pytest.mark.parametrize(
    ("env", "cause", "words"),
    [
        ({"CRASH": "1"}, "crashed", "a worker of PM2 has ended"),
        ({"LISTEN_ON": "3999"}, "wrong_port", "answers healthy on port 3999, and"),
    ],
)
def test_what_pm2_calls_online_is_asked(env, cause, words):
    run = deploy({"VERSION": "bad", **env})
    assert (run.failure["cause"], run.failure["outcome"]) == (cause, "reverted")
    assert words in run.failure["msg"]
    if env.get("CRASH"):
        assert "DATABASE_URL is missing" in "\n".join(run.failure["log"])
    assert version() == "first"
    assert inside("systemctl list-units --plain --no-legend 'shop@*' | cut -d' ' -f1").split() == [serving()]


# Refused before anything live is touched


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("lock", "The source has no lock file"),
        ("build", "this one failed with exit status 3: echo no more memory; exit 3"),
    ],
)
def test_a_release_that_can_not_be_built_is_refused(tmp_path, change, words):
    source = tmp_path / "shop"
    shutil.copytree(SCENARIO / "files" / "shop", source)
    app = {"source": {"directory": str(source)}}
    if change == "lock":
        (source / "package-lock.json").unlink()
    else:
        app["build"] = ["true", "echo no more memory; exit 3", "touch too-far"]
    run = deploy({"VERSION": "bad"}, **app)
    assert words in run.failure["msg"]
    assert "What runs was not touched" in run.failure["msg"]
    assert not run.did(ACTIVATION)
    assert version() == "first"


# The port in four places


def test_a_proxy_that_sends_elsewhere_is_shown_beside_the_other_three():
    upstreams = "/etc/nginx/gatehouse/upstreams.conf"
    inside(f"cp {upstreams} /root/upstreams.conf; sed -i 's/:3100 /:3103 /' {upstreams}")
    try:
        run = Run(INVENTORY, PROJECT / "playbooks" / "verify.yml", {**MODEL, "verify_firewall": False})
        told = json.dumps(run.failure)
        assert "the model says 3100; its process was told PORT=3100; it listens on 3100" in told
        assert "nginx sends to 3103, 13100 <- differs" in told
    finally:
        inside(f"mv /root/upstreams.conf {upstreams}")
    whole = Run(INVENTORY, PROJECT / "playbooks" / "verify.yml", {**MODEL, "verify_firewall": False})
    assert whole.status == 0, whole.text
