"""What a deploy costs those who use the app meanwhile: requests, WebSocket sessions, waiting, memory.

Under an open-loop load through nginx: the usual ways to put a new version live, each once, before and after ours; ours (site.yml
with strategy blue_green), five deploys in a row; and ours with two releases that never get healthy. A session counts as cut
unless the server ended it properly once the drain was over. `switch_s` is the median time from the gate's last question to
the new version until the first answer of that version through nginx. `broken_failed` counts what failed during the broken
deploys, and every request that a broken release saw.
"""

from __future__ import annotations

import json
import math
import time
from functools import partial
from types import SimpleNamespace

import _traffic
from _common import figures, median, table, write
from _load import was_cut
from _traffic import HERE, RATE, counts, say_when_busy

from testbed import host, image, steps

NAME = "gatehouse-bench-deploy"
APP = "bench"

REQUESTS = 20000
WEBSOCKETS = 100
DEPLOYS = 5
STRATEGY = "blue_green"
DRAIN = 10
FAULTS = ("unhealthy", "hangs")

USUAL_REQUESTS = 2500
USUAL_WEBSOCKETS = 10
SETTLE = 3

UNIT = """
[Service]
Type=exec
WorkingDirectory=/opt/bench/app
ExecStart=/opt/bench/venv/bin/python -m uvicorn main:app --no-access-log {listen}
Restart=always
"""
SOCKET = """
[Socket]
ListenStream=127.0.0.1:9003
"""


def usual(name, port, apps, units, restarted=None):
    return SimpleNamespace(name=name, port=port, apps=apps, units=units, restarted=restarted or units)


USUAL = (
    usual("systemctl restart, one instance", 8080, [9000], ["usual@9000.service"]),
    usual("two instances restarted in turn, no gate", 8081, [9001, 9002], ["usual@9001.service", "usual@9002.service"]),
    usual("socket activation, one instance", 8082, [9003], ["usual.socket", "usual.service"], ["usual.service"]),
)


run = partial(_traffic.run, NAME)
answers = partial(_traffic.answers, NAME)
beside = partial(_traffic.beside, NAME)
load = partial(_traffic.load, NAME)


def prepare():
    _traffic.copy(NAME, HERE / "_load.py", HERE / "_memory.py", *(HERE / "app").glob("*.*"))
    run("python3", "-m", "venv", "/opt/bench/venv")
    run("/opt/bench/venv/bin/pip", "install", "--quiet", "--requirement", "/opt/bench/app/requirements.txt")
    write(NAME, "/etc/systemd/system/usual@.service", UNIT.format(listen="--port %i"))
    write(NAME, "/etc/systemd/system/usual.service", UNIT.format(listen="--fd 3"))
    write(NAME, "/etc/systemd/system/usual.socket", SOCKET)
    _traffic.install_usual_nginx(NAME, {side.port: side.apps for side in USUAL})


def measure_usual(side):
    """Restart the side's app under load, and nothing else: it has no new version, and needs none to lose requests."""
    run("systemctl", "start", *side.units)
    for unit in side.units:
        _name, _at, port = unit.removesuffix(".service").partition("@")
        if port:
            answers(port)
    # It forgets which instances it could not reach.
    run("systemctl", "restart", "usual-nginx.service")
    answers(side.port)
    with load(side.port, USUAL_WEBSOCKETS, USUAL_REQUESTS, USUAL_REQUESTS / RATE) as found:
        time.sleep(SETTLE)
        for unit in side.restarted:
            run("systemctl", "restart", unit)
    run("systemctl", "stop", *side.units, "usual-nginx.service")
    # Nothing of these drains.
    found.ws_cut = len(found.ws_closes)
    return found


def model(version, fault=""):
    """The app in the words of the collection."""
    app = {
        "name": APP,
        "runtime": "uvicorn",
        "source": {"directory": str(HERE / "app")},
        "uvicorn": {"target": "main:app", "extra_args": ["--no-access-log"]},
        "port": 8000,
        "instances": 2,
        "strategy": STRATEGY,
        "drain_timeout": DRAIN,
        "env": {"VERSION": version, "FAULT": fault},
        "health": {"path": "/health", "json": {"status": "healthy"}, "timeout": 10},
        "websocket": {"path": "/ws"},
    }
    # All of the load comes from one address, which the default limits would take for abuse.
    routes = [{"path": "/", "app": APP, "rate": "none"}, {"path": "/ws", "app": APP, "websocket": True, "rate": "none"}]
    site = {"name": APP, "server_names": ["bench.example.com"], "default": True, "routes": routes}
    return {"ansible_user": "root", "webapp_apps": [app], "webapp_sites": [site]}


def deploy(version, fault=""):
    """The seconds that site.yml takes to put a version live, or to refuse it when it has a fault."""
    begin = time.monotonic()
    result = host.play(NAME, "site.yml", variables=model(version, fault))
    if bool(result.returncode) != bool(fault):
        raise steps.Failure(
            f"deploying version {version} ended with {result.returncode}:\n{steps.tail(result.stdout + result.stderr)}"
        )
    return time.monotonic() - begin


def app_log():
    """What the app's processes logged of those who asked them."""
    lines = run("journalctl", "--output=cat", f"--identifier={APP}").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def measure_ours():
    """Five versions, one after another, under one load."""
    versions = [f"v{number}" for number in range(1, DEPLOYS + 1)]
    with beside("_memory.py", APP) as memory, load(80, WEBSOCKETS, REQUESTS) as found:
        time.sleep(SETTLE)
        seconds = [deploy(version) for version in versions]
    found.memory = memory
    log = app_log()
    switches = [found.versions[version][0] for version in versions]
    found.ws_cut = sum(was_cut(*close, switches, DRAIN) for close in found.ws_closes)
    found.deploys = [
        (version, taken, switched - gate_passed(log, version, switched))
        for version, taken, switched in zip(versions, seconds, switches, strict=True)
    ]
    return found


def gate_passed(log, version, switched):
    """When the gate asked the version for the last time before it had traffic. No number if it had traffic before."""
    asked = [line["at"] for line in log if (line["event"], line["version"]) == ("gate", version)]
    return max((at for at in asked if at < switched), default=math.nan)


def measure_broken():
    """Releases that can't become healthy, under the same load. Nobody may notice."""
    with load(80, WEBSOCKETS, 0) as found:
        time.sleep(SETTLE)
        for fault in FAULTS:
            deploy(fault, fault)
        time.sleep(SETTLE)
    found.ws_cut = len(found.ws_closes)
    log = app_log()
    unseen = set(FAULTS) - {line["version"] for line in log if line["event"] == "start"}
    if unseen:
        raise steps.Failure(
            f"deploying {', '.join(unseen)} failed before the release was ever started: that shows nothing"
        )
    found.reached = [line["version"] for line in log if line["event"] == "traffic" and line["version"] in FAULTS]
    return found


def row(side, found):
    sessions = {
        "WebSockets": found.ws,
        "cut": found.ws_cut,
        "reopened": found.ws_reconnects,
        "closed with": counts(code for _opened, _closed, code in found.ws_closes),
    }
    return {**_traffic.row(side, found), **sessions}


def main():
    with host.booted(NAME, image.ensure()):
        prepare()
        rows = [row(side.name, measure_usual(side)) for side in USUAL]
        deploy("v0")
        ours = measure_ours()
        broken = measure_broken()
        rows += [row(f"ours, {DEPLOYS} deploys", ours), row(f"ours, {len(FAULTS)} broken releases", broken)]
        rows += [row(side.name, measure_usual(side)) for side in USUAL]
    table(rows[0].keys(), [each.values() for each in rows])
    table(
        ["deploy", "site.yml", "gate to traffic"],
        [[version, f"{taken:.1f} s", f"{switch:.3f} s"] for version, taken, switch in ours.deploys],
    )
    print(f"memory of the app: {ours.memory.before:.0f} MB before, {ours.memory.peak:.0f} MB at the peak")
    print(f"broken releases that saw traffic: {', '.join(broken.reached) or 'none'}")
    say_when_busy(ours)
    print()
    figures(
        "deploy",
        requests=ours.requests,
        failed=ours.failed,
        ws=ours.ws,
        ws_cut=ours.ws_cut,
        worst_ms=ours.worst_ms,
        broken_failed=broken.failed + len(broken.reached),
        switch_s=median([switch for _version, _taken, switch in ours.deploys]),
    )


main()
