"""Find a Docker Engine that answers, or install and start one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from . import machine, paths, steps

STATE = paths.CACHE / "engine.json"
START_TIMEOUT = 60
SECOND_CHANCE = 10
ETHERNET_MTU = 1500


def answers():
    return steps.succeeds(["docker", "info"])


def ensure():
    """Make an engine answer. One that runs already is used as it is."""
    if answers():
        return
    if not machine.may_install():
        raise steps.Failure(
            "no Docker Engine answers: install one (Debian and Ubuntu: apt-get install docker.io), start it and let "
            "this user use it, then run this again; as root on Debian or Ubuntu this is done for you"
        )
    with steps.stage("engine"):
        if not (shutil.which("dockerd") and shutil.which("iptables")):
            machine.install("docker.io", "iptables")
        if not shutil.which("docker"):
            machine.install("docker-cli")
        if not answers():
            start()


def start():
    if machine.runs_systemd():
        steps.must(["systemctl", "start", "docker"], paths.LOGS / "dockerd.log")
        record = {"unit": "docker"}
        process = None
    else:
        process = spawn()
        record = {"pid": process.pid}
    remember(record)
    deadline = time.monotonic() + START_TIMEOUT
    while not answers():
        if process and process.poll() is not None:
            # The package's own start script may have been faster, and its engine is on its way.
            process = None
            deadline = time.monotonic() + SECOND_CHANCE
        if time.monotonic() > deadline:
            log = paths.LOGS / "dockerd.log"
            raise steps.Failure(f"dockerd does not answer, the end of {log}:\n{steps.tail(log.read_text(), 20)}")
        time.sleep(0.2)


def spawn():
    """Start dockerd by hand, where no init system does, so that it outlives this command."""
    command = ["dockerd"]
    mtu = machine.route_mtu()
    if mtu and mtu < ETHERNET_MTU:
        # Packets of containers must fit the machine's own link, or large answers are lost on the way.
        command += ["--mtu", str(mtu)]
    paths.LOGS.mkdir(parents=True, exist_ok=True)
    with (paths.LOGS / "dockerd.log").open("w") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )


def remember(record):
    STATE.parent.mkdir(parents=True, exist_ok=True)
    STATE.write_text(json.dumps(record) + "\n")


def stop():
    """Stop the engine if this checkout started it and nothing runs in it; say what was done, or None."""
    if not STATE.is_file():
        return None
    record = json.loads(STATE.read_text())
    if answers() and steps.output(["docker", "ps", "--quiet"]).strip():
        return "engine kept: other containers run in it"
    STATE.unlink()
    if "unit" in record:
        steps.must(["systemctl", "stop", "docker.socket", "docker"], paths.LOGS / "dockerd-stop.log")
    elif is_dockerd(record["pid"]):
        os.kill(record["pid"], signal.SIGTERM)
    return "engine stopped"


def is_dockerd(pid):
    """Whether the process still is the engine: a process id is used again after its owner ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd"
    except OSError:
        return False
