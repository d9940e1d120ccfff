"""One host with a port for each trouble, asked from the control node over IPv4 and IPv6."""

import os
from pathlib import Path

import pytest

from testbed.plays import Run

SCENARIO = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
INVENTORY = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory"
WRONG_NAMES = {"nowhere.invalid": "no_name", "localhost": "elsewhere"}


@pytest.fixture(scope="module")
def measured():
    run = Run(INVENTORY, SCENARIO / "measure.yml")
    assert run.status == 0, run.text
    assert not run.changed
    return next(result for task, result in run.results if task == "Measure")


def family_of(verdict):
    return "IPv6" if ":" in verdict["name"] else "IPv4"


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
@pytest.mark.parametrize(
    ("port", "verdicts", "saw"),
    [
        (8081, {"IPv4": "open", "IPv6": "open"}, "accepts connections"),
        (8082, {"IPv4": "not_listening", "IPv6": "not_listening"}, "refused"),
        (8083, {"IPv4": "loopback_only", "IPv6": "loopback_only"}, "refused"),
        (8084, {"IPv4": "ufw", "IPv6": "ufw"}, "no complete answer"),
        (8085, {"IPv4": "in_front", "IPv6": "in_front"}, "no complete answer"),
        (8086, {"IPv4": "packet_filter", "IPv6": "packet_filter"}, "no complete answer"),
        (8087, {"IPv4": "ufw", "IPv6": "ufw"}, "refused"),
        (8088, {"IPv4": "open", "IPv6": "other_address"}, ""),
    ],
)
def test_each_trouble_has_its_verdict(measured, port, verdicts, saw, family):
    found = [
        one
        for one in measured["verdicts"]
        if one["port"] == port and one["name"] not in WRONG_NAMES and family_of(one) == family
    ]
    assert [one["verdict"] for one in found] == [verdicts[family]]
    assert saw in found[0]["evidence"][0]
    assert found[0]["ok"] is (found[0]["verdict"] == "open")


def test_the_rule_that_stops_it_is_told(measured):
    evidence = {
        (one["port"], family_of(one)): one["evidence"][-1]
        for one in measured["verdicts"]
        if one["name"] not in WRONG_NAMES
    }
    assert evidence[8087, "IPv4"].endswith(
        "-A ufw-user-input -p tcp -m tcp --dport 8087 -j REJECT --reject-with tcp-reset"
    )
    assert evidence[8086, "IPv6"].endswith("-A INPUT -p tcp -m tcp --dport 8086 -j DROP")


@pytest.mark.parametrize(("name", "verdict"), WRONG_NAMES.items())
def test_names_that_lead_nowhere_and_elsewhere(measured, name, verdict):
    assert {one["verdict"] for one in measured["verdicts"] if one["name"] == name} == {verdict}


def test_the_message_says_all_that_is_wrong(measured):
    for words in (
        "nothing listens on port 8082",
        "port 8083 is bound to loopback only (127.0.0.1, ::1)",
        "UFW drops connections to port 8084 from",
        ":8085 gets no answer, though the host listens there and lets it through",
        "a rule of the host's packet filter that is not UFW's drops connections to port 8086",
        "UFW rejects connections to port 8087 from",
        "port 8088 is bound to 0.0.0.0, and not to fd00:6a7e::10",
        "the name nowhere.invalid does not resolve",
        "Next: ss -ltnp",
    ):
        assert words in measured["msg"]
