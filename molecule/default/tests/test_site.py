"""The whole example site on one host: what it looks like, and what it does."""

import asyncio
import json
import subprocess
import time

import pytest
import requests
import websockets

UNITS = ["chat-api@8000.service", "chat-api@8001.service"]


def address_of(host):
    return host.check_output("hostname -I").split()[0]


@pytest.fixture
def address(host):
    return address_of(host)


@pytest.fixture
def site(address):
    return f"http://{address}"


def healthy(site):
    try:
        return requests.get(f"{site}/health", timeout=2).json().get("status") == "healthy"
    except requests.RequestException:
        return False


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("unit", UNITS)
def test_services_run_now_and_at_boot(host, unit):
    assert host.service(unit).is_running
    assert host.service(unit).is_enabled


@pytest.mark.parametrize("port", [8000, 8001])
def test_apps_listen_on_loopback_alone(host, port):
    assert host.socket(f"tcp://127.0.0.1:{port}").is_listening
    assert not host.socket(f"tcp://0.0.0.0:{port}").is_listening


def test_apps_run_as_their_own_user(host):
    assert host.user("chat-api").shell == "/usr/sbin/nologin"
    pid = host.check_output("systemctl show -P MainPID chat-api@8000")
    assert host.check_output(f"stat -c %U /proc/{pid}") == "chat-api"


def test_the_environment_is_readable_by_root_alone(host):
    env = host.file("/srv/chat-api/current/env")
    assert (env.user, env.mode) == ("root", 0o600)
    assert host.run("runuser -u chat-api -- cat /srv/chat-api/current/env").rc != 0


def test_the_app_cannot_change_its_code(host):
    assert host.run("runuser -u chat-api -- touch /srv/chat-api/current/src/app/main.py").rc != 0


@pytest.mark.parametrize("unit", UNITS)
def test_the_sandbox_is_tight(host, unit):
    verdict = host.check_output(f"systemd-analyze security --no-pager {unit}")
    exposure = float(verdict.splitlines()[-1].split(": ")[1].split()[0])
    assert exposure <= 1.5, verdict


@pytest.mark.parametrize("family", ["", " (v6)"])
def test_the_firewall_opens_ssh_and_the_site(host, family):
    status = host.check_output("ufw status verbose")
    assert "Default: deny (incoming), allow (outgoing)" in status
    for port in (22, 80):
        assert any(line.split("  ")[0] == f"{port}/tcp{family}" and "ALLOW IN" in line for line in status.splitlines())


@pytest.mark.parametrize("port", [8000, 8001])
def test_the_ports_of_the_apps_are_closed_from_outside(address, port):
    with pytest.raises(requests.RequestException):
        requests.get(f"http://{address}:{port}/health", timeout=1)


def test_the_page_and_its_script_are_served(site):
    page = requests.get(f"{site}/", timeout=5)
    assert page.status_code == 200
    assert 'src="/page/page.js"' in page.text
    assert requests.get(f"{site}/page/page.js", timeout=5).status_code == 200


def test_a_message_is_answered_and_kept(site):
    answer = requests.post(
        f"{site}/api/v1/chat/message", json={"session_id": "molecule", "message": "hello"}, timeout=5
    )
    assert answer.json()["response"].startswith("Hello")
    history = requests.get(f"{site}/api/v1/chat/history/molecule", timeout=5).json()
    assert [message["content"] for message in history["messages"]][-2] == "hello"


def test_a_websocket_talks_through_nginx(address):
    async def talk():
        async with websockets.connect(f"ws://{address}/api/v1/chat/ws/molecule") as socket:
            assert json.loads(await socket.recv())["status"] == "connected"
            await socket.send(json.dumps({"type": "message", "message": "hello"}))
            assert json.loads(await socket.recv())["type"] == "processing"
            assert json.loads(await socket.recv())["type"] == "response"

    asyncio.run(asyncio.wait_for(talk(), 10))


def test_the_health_path_is_kept_out_of_the_access_log(host, site):
    requests.get(f"{site}/health", params={"mark": "unseen"}, timeout=5)
    requests.get(f"{site}/", params={"mark": "seen"}, timeout=5)

    def log():
        return host.file("/var/log/nginx/access.log").content_string

    # nginx writes it once a second, in the order of the requests.
    assert wait_for(lambda: "mark=seen" in log())
    assert "mark=unseen" not in log()


def test_a_killed_app_comes_back(host, site):
    pid = host.check_output("systemctl show -P MainPID chat-api@8000")
    host.check_output(f"kill -9 {pid}")
    assert healthy(site), "the other instance answers meanwhile"
    assert wait_for(lambda: host.run("curl -sf http://127.0.0.1:8000/health").rc == 0)


def test_everything_is_back_after_a_reboot(host):
    name = host.check_output("hostname")
    subprocess.run(["docker", "restart", "--time", "20", name], check=True, capture_output=True)
    # A container may come back at another address.
    assert wait_for(lambda: healthy(f"http://{address_of(host)}"), 60)
    # Its unit was disabled before the first run.
    assert "Status: active" in host.check_output("ufw status")
