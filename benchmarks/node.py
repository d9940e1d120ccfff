"""What a reload of a Node app costs those who use it: requests lost of 5,000 and more, under an open-loop load through nginx.

The usual ways: PM2's daemon with a cluster of two workers behind nginx as tutorials have it. `pm2 restart`; `pm2 reload` of an app
that listens before it is ready, as most do; and for fairness of one that listens late and tells PM2 that it is ready, once with a
start of 8 s, which is longer than PM2 waits by default. Ours: site.yml puts a changed release of the app that listens early live,
under the same PM2 with two workers, with the short start and with the one of 8 s.
"""

from __future__ import annotations

import json
import time
from functools import partial
from types import SimpleNamespace

import _traffic
from _common import figures, table, write
from _traffic import HERE, say_when_busy

from testbed import host, image, steps

NAME = "gatehouse-bench-node"
APP = "bench"
WORKERS = 2
REQUESTS = 5000
START = 1.5
SLOW = 8
SETTLE = 3
PORT = 8080
PM2_PORT = 9000


def usual(name, verb, start=START, early=True):
    return SimpleNamespace(name=name, verb=verb, start=start, early=early)


RESTART = usual("pm2 restart", "restart")
RELOAD = usual("pm2 reload", "reload")
USUAL = (
    RESTART,
    RELOAD,
    usual("pm2 reload, listens late, wait_ready", "reload", early=False),
    usual(f"pm2 reload, listens late, wait_ready, {SLOW} s to start", "reload", SLOW, early=False),
)

run = partial(_traffic.run, NAME)
answers = partial(_traffic.answers, NAME)
load = partial(_traffic.load, NAME)


def model(version, start):
    """The app in the words of the collection."""
    app = {
        "name": APP,
        "runtime": "pm2",
        "source": {"directory": str(HERE / "node")},
        "pm2": {"script": "server.js", "workers": WORKERS},
        "port": 3000,
        "strategy": "blue_green",
        "drain_timeout": 10,
        "env": {"VERSION": version, "START_SECONDS": str(start)},
        "health": {"path": "/health", "json": {"status": "healthy"}},
    }
    # All of the load comes from one address, which the default limits would take for abuse.
    routes = [{"path": "/", "app": APP, "rate": "none"}]
    site = {"name": APP, "server_names": ["bench.example.com"], "default": True, "routes": routes}
    return {"ansible_user": "root", "webapp_apps": [app], "webapp_sites": [site]}


def deploy(version, start):
    result = host.play(NAME, "site.yml", variables=model(version, start))
    if result.returncode:
        raise steps.Failure(f"deploying version {version} failed:\n{steps.tail(result.stdout + result.stderr)}")


def measure_ours(version, start):
    """Deploy a version under load."""
    with load(80, 0, REQUESTS) as found:
        time.sleep(SETTLE)
        deploy(version, start)
        time.sleep(SETTLE)
    return _traffic.changed(found, version)


def measure_usual(side):
    """Have the daemon start the app anew under load, with another version in its environment."""
    # The same PM2 as ours.
    pm2 = run("sh", "-c", "echo /opt/gatehouse/pm2-*/node_modules/.bin/pm2").strip()
    write(NAME, "/opt/bench/pm2.json", json.dumps({"apps": [process(side)]}))
    run(pm2, "start", "/opt/bench/pm2.json")
    answers(PM2_PORT)
    # It forgets which workers it could not reach.
    run("systemctl", "restart", "usual-nginx.service")
    answers(PORT)
    with load(PORT, 0, REQUESTS) as found:
        time.sleep(SETTLE)
        run("env", "VERSION=after", pm2, side.verb, APP, "--update-env")
        time.sleep(side.start + SETTLE)
    run(pm2, "kill")
    return _traffic.changed(found, "after")


def process(side):
    """The app in the words of PM2."""
    return {
        "name": APP,
        "script": "/opt/bench/node/server.js",
        "exec_mode": "cluster",
        "instances": WORKERS,
        "wait_ready": not side.early,
        "env": {
            "PORT": str(PM2_PORT),
            "VERSION": "before",
            "START_SECONDS": str(side.start),
            "LISTEN": "early" if side.early else "late",
        },
    }


def main():
    with host.booted(NAME, image.ensure()):
        _traffic.copy(NAME, HERE / "_load.py", HERE / "node" / "server.js")
        _traffic.install_usual_nginx(NAME, {PORT: [PM2_PORT]})
        deploy("v0", START)
        founds = {side.name: measure_usual(side) for side in USUAL}
        ours = measure_ours("v1", START)
        slow = measure_ours("v2", SLOW)
    founds.update({"ours": ours, f"ours, {SLOW} s to start": slow})
    rows = [_traffic.row(name, found) for name, found in founds.items()]
    table(rows[0].keys(), [each.values() for each in rows])
    say_when_busy(*founds.values())
    print()
    figures(
        "node",
        lost_pm2_restart=founds[RESTART.name].failed,
        lost_pm2_reload=founds[RELOAD.name].failed,
        lost_ours=ours.failed,
        lost_ours_slow=slow.failed,
    )


main()
