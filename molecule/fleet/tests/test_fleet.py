"""Two proxies, three hosts of an app: releases go from host to host, and a bad one no further than the first that is not well."""

import copy
import json
import os
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
APPS = ["gatehouse-fleet-app1", "gatehouse-fleet-app2", "gatehouse-fleet-app3"]
PROXIES = ["gatehouse-fleet-proxy1", "gatehouse-fleet-proxy2"]
ACTIVATION = "Make the release the live one"

# All tests run once, from the control node: not once for each host.
testinfra_hosts = [APPS[0]]

MODEL = yaml.safe_load((SCENARIO / "vars" / "main.yml").read_text())
MODEL["webapp_apps"][0]["source"] = {"directory": str(PROJECT / "examples" / "broken")}


def deploy(version, target="app.ok:app", arguments=("--tags", "preflight,stage,activate,verify")):
    model = copy.deepcopy(MODEL)
    model["webapp_apps"][0]["env"]["VERSION"] = version
    model["webapp_apps"][0]["uvicorn"]["target"] = target
    return Run(INVENTORY, PROJECT / "site.yml", model, arguments)


def shell(name, text):
    command = ["docker", "exec", name, "sh", "-c", text]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def address(name):
    return shell(name, "hostname -I").split()[0]


def versions():
    """What each host serves by itself."""
    return [json.loads(shell(name, "curl --silent http://127.0.0.1:8000/health"))["version"] for name in APPS]


def out():
    """Which parts each proxy leaves out."""
    return [shell(name, "cd /run/gatehouse/rotation/shop && ls | grep -v follows").split() for name in PROXIES]


@pytest.fixture
def users():
    """Clients that ask both proxies all the time: what they were answered, and what was wrong."""
    answers, wrong, over = set(), [], threading.Event()

    def ask(url):
        session = requests.Session()
        for number in range(10**6):
            if over.is_set():
                return
            try:
                # Every other one is a POST, which nobody may send twice.
                method = "POST" if number % 2 else "GET"
                answer = session.request(method, url, json={"n": number} if number % 2 else None, timeout=5)
                answers.add(answer.json()["version"]) if answer.status_code == 200 else wrong.append(answer.status_code)
            except requests.RequestException as error:
                wrong.append(repr(error))
            time.sleep(0.02)

    threads = [threading.Thread(target=ask, args=(f"http://{address(name)}/health",)) for name in PROXIES]
    for thread in threads:
        thread.start()
    yield answers, wrong
    over.set()
    for thread in threads:
        thread.join()


def test_a_release_goes_from_host_to_host_and_no_request_is_lost(users):
    answers, wrong = users
    seen, over = [], threading.Event()

    def look():
        while not over.wait(0.1):
            seen.append(out())

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        run = deploy("two")
    finally:
        over.set()
        watcher.join()
    assert run.status == 0, run.text
    assert versions() == ["two"] * 3
    assert out() == [[], []]
    assert wrong == []
    assert {"good", "two"} <= answers
    left = [task for task, _result in run.results if task == "Take this host out of its proxies"]
    assert len(left) == 3
    # One at a time was out of both proxies.
    both = [parts[0] for parts in seen if parts[0] and parts[0] == parts[1]]
    assert all(len(parts) == 1 for parts in both)
    assert list(dict.fromkeys(part for parts in both for part in parts)) == [address(name) for name in APPS]


def test_a_bad_release_ends_the_run_on_the_first_host_and_the_rest_stay(users):
    answers, wrong = users
    before = versions()
    assert len(set(before)) == 1
    run = deploy("bad", "app.never_healthy:app")
    assert (run.failure["cause"], run.failure["outcome"]) == ("unhealthy", "reverted")
    assert len([task for task, _result in run.results if task == ACTIVATION]) == 1
    assert versions() == before
    assert wrong == []
    assert "bad" not in answers
    assert out() == [[], []]


def test_a_host_that_its_proxies_can_not_reach_stays_out():
    """Nobody asks meanwhile: a host whose packets are dropped costs those who ask it a time-out, in or out."""
    before = versions()
    assert len(set(before)) == 1
    shell(APPS[0], "iptables -I INPUT -p tcp --dport 8000 -i eth0 -j DROP")
    try:
        run = deploy("unreached")
        assert [item["cause"] for item in run.failure["results"]] == ["timed_out"] * 2
        assert out() == [[address(APPS[0])]] * 2
        assert versions() == ["unreached", *before[1:]]
    finally:
        shell(APPS[0], "iptables -D INPUT -p tcp --dport 8000 -i eth0 -j DROP")
    assert deploy("unreached").status == 0
    assert versions() == ["unreached"] * 3
    assert out() == [[], []]


def test_a_host_that_is_not_well_stops_those_after_it(users):
    _answers, wrong = users
    before = versions()
    target = "app.{{ 'never_healthy' if inventory_hostname is search('app2') else 'ok' }}:app"
    run = deploy("half", target)
    assert run.status != 0
    assert versions() == ["half", *before[1:]]
    assert wrong == []


def test_the_apps_are_closed_to_everybody_but_the_proxies():
    for name in APPS:
        rules = shell(name, "ufw status")
        for proxy in PROXIES:
            assert f"ALLOW       {address(proxy)}" in rules
        assert "80/tcp" not in rules
    with pytest.raises(requests.RequestException):
        requests.get(f"http://{address(APPS[0])}:8000/health", timeout=2)
