"""Every verdict, from what a client met and what the host says; over IPv4 and IPv6."""

import json
from pathlib import Path

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import Holder, Socket
from ansible_collections.gatehouse.webapp.plugins.module_utils._probes import Answer
from ansible_collections.gatehouse.webapp.plugins.module_utils._reachability import Question, failures, judge, look

RECORDED = Path(__file__).parent / "recorded"
UFW = {"4": (RECORDED / "iptables-ufw.txt").read_text(), "6": (RECORDED / "ip6tables-ufw.txt").read_text()}
OFF = {"4": "-P INPUT ACCEPT\n", "6": "-P INPUT ACCEPT\n"}
BY_HAND = {"4": "-P INPUT ACCEPT\n-A INPUT -j DROP\n", "6": "-P INPUT ACCEPT\n-A INPUT -j DROP\n"}

V4, V6 = "172.17.0.10", "2001:db8::10"
CLIENT = {"4": "192.0.2.1", "6": "2001:db8::1"}

OPEN = Answer(True, None, "accepts connections", 0.001)
REFUSED = Answer(False, "refused", "connection refused", 0.001)
SILENT = Answer(False, "timed_out", "no complete answer within 3 s", 3.0)
UNREACHABLE = Answer(False, "unreachable", "can't be reached: Network is unreachable", 0.0)
UNKNOWN = Answer(False, "dns", "the name chat.example.com can't be resolved", 0.1)


def view(*bound, filters=None, port=80):
    return {
        "interfaces": [
            {"name": "lo", "addresses": ["127.0.0.1", "::1"]},
            {"name": "eth0", "addresses": [V4, V6, "fe80::42:acff:fe11:a"]},
        ],
        "routes": {"4": "eth0", "6": "eth0"},
        "listeners": [{"port": port, "addresses": list(bound), "holders": "pid 7 (nginx)" if bound else None}],
        "filters": filters or OFF,
    }


def asked(address, answer, port=80, name=None, source="same family"):
    version = "6" if address and ":" in address else "4"
    source = CLIENT[version] if source == "same family" else source
    return Question(name or address, address, port, answer, source)


@pytest.mark.parametrize(
    ("bound", "filters", "port", "answer", "verdict"),
    [
        ({V4: ["0.0.0.0"], V6: ["::"]}, OFF, 80, OPEN, "open"),
        ({V4: [], V6: []}, OFF, 80, REFUSED, "not_listening"),
        ({V4: [], V6: []}, UFW, 443, SILENT, "not_listening"),
        ({V4: ["127.0.0.1"], V6: ["::1"]}, OFF, 80, REFUSED, "loopback_only"),
        ({V4: ["127.0.0.1", "::1"], V6: ["127.0.0.1", "::1"]}, UFW, 443, SILENT, "loopback_only"),
        ({V4: ["172.17.0.11"], V6: ["2001:db8::11"]}, OFF, 80, REFUSED, "other_address"),
        ({V4: ["2001:db8::10"], V6: ["0.0.0.0"]}, OFF, 80, REFUSED, "other_address"),
        ({V4: ["127.0.0.1", "172.17.0.11"], V6: ["0.0.0.0", "::1"]}, OFF, 80, REFUSED, "other_address"),
        ({V4: ["::"], V6: ["::"]}, UFW, 443, SILENT, "ufw"),
        ({V4: ["0.0.0.0"], V6: ["::"]}, UFW, 83, REFUSED, "ufw"),
        ({V4: [V4], V6: [V6]}, BY_HAND, 80, SILENT, "packet_filter"),
        ({V4: ["0.0.0.0"], V6: ["::"]}, UFW, 80, SILENT, "in_front"),
        ({V4: ["0.0.0.0"], V6: ["::"]}, OFF, 80, REFUSED, "in_front"),
        ({V4: ["0.0.0.0"], V6: ["::"]}, UFW, 80, UNREACHABLE, "no_route"),
        ({V4: ["0.0.0.0"], V6: ["::"]}, BY_HAND, 80, UNREACHABLE, "packet_filter"),
    ],
)
@pytest.mark.parametrize("address", [V4, V6])
def test_the_verdict_on_an_address_of_the_host(address, bound, filters, port, answer, verdict):
    found = judge(asked(address, answer, port), view(*bound[address], filters=filters, port=port))
    assert (found["verdict"], found["ok"]) == (verdict, answer.ok)
    assert str(port) in found["message"] or address in found["message"]
    assert bool(found["hint"]) is (verdict != "open")
    assert any(answer.message in line for line in found["evidence"])


def test_a_rule_holds_for_the_client_it_is_judged_for():
    seen = view("0.0.0.0", filters=UFW, port=81)
    found = judge(asked(V4, SILENT, 81, source="10.9.3.4"), seen)
    assert found["message"] == "UFW drops connections to port 81 from 10.9.3.4"
    assert found["evidence"][-1].endswith("by: -A ufw-user-input -s 10.9.0.0/16 -p tcp -m tcp --dport 81 -j DROP")
    assert found["hint"].endswith("ufw allow 81/tcp")


def test_a_host_that_asks_itself_does_so_over_loopback():
    found = judge(asked(V4, REFUSED, 443, source=V4), view("0.0.0.0", filters=UFW, port=443))
    assert found["verdict"] == "in_front"
    assert "accept for 172.17.0.10 on lo" in found["evidence"][-1]


def test_a_name_that_does_not_resolve():
    found = judge(asked(None, UNKNOWN, name="chat.example.com"), view("0.0.0.0"))
    assert found["verdict"] == "no_name"
    assert found["message"] == "the name chat.example.com does not resolve"
    assert found["hint"].startswith("getent ahosts chat.example.com")


@pytest.mark.parametrize("answer", [SILENT, REFUSED, OPEN])
def test_a_name_that_points_elsewhere(answer):
    found = judge(asked("203.0.113.9", answer, name="chat.example.com"), view("0.0.0.0"))
    assert (found["verdict"], found["ok"]) == ("elsewhere", answer.ok)
    assert "203.0.113.9" in found["message"] and "chat.example.com" in found["message"]
    assert found["evidence"][-1] == "on the host: its addresses are 172.17.0.10, 2001:db8::10"


def test_a_host_that_does_not_know_its_addresses_is_taken_for_the_one():
    seen = dict(view(), interfaces=[])
    assert judge(asked("203.0.113.9", REFUSED), seen)["verdict"] == "not_listening"


@pytest.mark.parametrize(
    ("bound", "filters", "verdict"),
    [
        ("0.0.0.0", UFW, "in_front"),
        (V4, UFW, "in_front"),
        (V6, UFW, "other_address"),
        ("0.0.0.0", BY_HAND, "packet_filter"),
    ],
)
def test_a_public_address_of_a_cloud_is_the_hosts_too(bound, filters, verdict):
    found = judge(asked("203.0.113.9", SILENT), view(bound, filters=filters), known=["203.0.113.9"])
    assert found["verdict"] == verdict


@pytest.mark.parametrize(("address", "verdict"), [("10.0.0.5", "packet_filter"), (V4, "in_front")])
def test_rules_are_judged_for_the_interface_that_has_the_address(address, verdict):
    seen = view("0.0.0.0", filters={"4": "-P INPUT ACCEPT\n-A INPUT -i eth1 -j DROP", "6": None})
    seen["interfaces"].append({"name": "eth1", "addresses": ["10.0.0.5"]})
    assert judge(asked(address, SILENT), seen)["verdict"] == verdict


@pytest.mark.parametrize(("rule", "verdict"), [(V4, "packet_filter"), ("203.0.113.9", "in_front")])
def test_rules_are_judged_for_the_address_that_a_public_one_is_translated_to(rule, verdict):
    seen = view("0.0.0.0", filters={"4": "-P INPUT ACCEPT\n-A INPUT -d %s/32 -j DROP" % rule, "6": None})
    assert judge(asked("203.0.113.9", SILENT), seen, known=["203.0.113.9"])["verdict"] == verdict


@pytest.mark.parametrize(
    ("filters", "source"), [({"4": None, "6": None}, "192.0.2.1"), (UFW, None)], ids=["no listing", "no source"]
)
def test_what_cannot_be_told_is_not_made_up(filters, source):
    found = judge(asked(V4, SILENT, 443, source=source), view("0.0.0.0", filters=filters, port=443))
    assert found["verdict"] == "in_front"
    assert "lets it through" not in found["message"]
    assert found["evidence"][-1] == "packet filter: could not be asked"


def test_a_rule_that_is_not_judged_is_told():
    rule = "-A INPUT -m set --match-set banned src -j DROP"
    found = judge(asked(V4, SILENT), view("0.0.0.0", filters={"4": "-P INPUT ACCEPT\n" + rule, "6": None}))
    assert found["evidence"][-1] == "packet filter, not judged: " + rule


def test_no_way_to_one_family_is_a_failure_only_where_the_other_was_not_asked():
    seen = view("0.0.0.0", "::")
    good, lost = (judge(asked(a, b, name="host.example.com"), seen) for a, b in [(V4, OPEN), (V6, UNREACHABLE)])
    alone = judge(asked(V6, UNREACHABLE), seen)
    assert failures([good, lost]) == []
    assert failures([good, lost, alone]) == [alone]
    bad = judge(asked(V4, SILENT, name="host.example.com"), seen)
    assert failures([bad, lost]) == [bad]


# Recorded from iproute2 6.1, shortened.
LINKS = json.dumps(
    [
        {"ifname": "lo", "addr_info": [{"family": "inet", "local": "127.0.0.1"}, {"family": "inet6", "local": "::1"}]},
        {"ifname": "eth0", "addr_info": [{"family": "inet", "local": V4, "prefixlen": 16}]},
        {"ifname": "eth1", "addr_info": []},
    ]
)
OUTPUTS = {
    "ip -json address show": (0, LINKS),
    "ip -4 -json route show default": (0, '[{"dst":"default","gateway":"172.17.0.1","dev":"eth0","flags":[]}]'),
    "ip -6 -json route show default": (0, "[]"),
    "iptables -w -S": (0, OFF["4"]),
    "ip6tables -w -S": (3, "modprobe: can't load the table"),
}


class Kernel:
    def listening(self, port):
        return [Socket("::1", port, "0A", 1), Socket("127.0.0.1", port, "0A", 2)] if port == 80 else []

    def holders(self, sockets):
        return [Holder(7, "/usr/sbin/nginx", "root", "nginx.service")]


def test_what_the_host_says_of_itself():
    seen = look([80, 443], Kernel(), lambda words: (*OUTPUTS[" ".join(words)], ""), lambda name: name)
    assert seen == {
        "interfaces": [
            {"name": "lo", "addresses": ["127.0.0.1", "::1"]},
            {"name": "eth0", "addresses": [V4]},
            {"name": "eth1", "addresses": []},
        ],
        "routes": {"4": "eth0", "6": None},
        "listeners": [
            {
                "port": 80,
                "addresses": ["127.0.0.1", "::1"],
                "holders": "pid 7 (/usr/sbin/nginx, user root, unit nginx.service)",
            },
            {"port": 443, "addresses": [], "holders": None},
        ],
        "filters": {"4": OFF["4"], "6": None},
    }


def test_a_host_without_these_commands_tells_its_listeners():
    seen = look([443], Kernel(), None, lambda name: None)
    assert (seen["interfaces"], seen["filters"]) == ([], {"4": None, "6": None})
    assert seen["listeners"] == [{"port": 443, "addresses": [], "holders": None}]
