"""What is let in: rules as people write them, and groups as amazon.aws gives them."""

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._ingress import lets_in, plan, read


def opening(ports, source, proto="tcp", reason="gatehouse: rule"):
    return {"proto": proto, "ports": ports, "from": source, "reason": reason}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"port": 80}, [opening("80", "0.0.0.0/0"), opening("80", "::/0")]),
        ({"port": "80", "from": "any"}, [opening("80", "0.0.0.0/0"), opening("80", "::/0")]),
        ({"port": 9100, "from": "192.0.2.7"}, [opening("9100", "192.0.2.7/32")]),
        ({"port": 9100, "from": "2001:DB8::/32", "proto": "tcp"}, [opening("9100", "2001:db8::/32")]),
        ({"port": "6000:6007", "from": "192.0.2.0/24", "proto": "udp"}, [opening("6000-6007", "192.0.2.0/24", "udp")]),
        (
            {"port": "22", "from": "192.0.2.0/24", "comment": "SSH"},
            [opening("22", "192.0.2.0/24", reason="gatehouse: SSH")],
        ),
        ({"port": 80, "from": "::/0", "reason": "sites a, b"}, [opening("80", "::/0", reason="gatehouse: sites a, b")]),
        # SSH is TCP.
        ({"port": 22, "proto": "udp", "from": "::/0"}, [opening("22", "::/0", "udp")]),
    ],
)
def test_a_rule_becomes_an_opening_for_each_network(given, found):
    assert read([given]) == found


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "port None is neither a port nor a range such as '6000:6007'"),
        ({"port": "http"}, "port http is neither"),
        ({"port": 0}, "port 0 is not from 1 to 65535"),
        ({"port": 70000}, "port 70000 is not from 1 to 65535"),
        ({"port": "90:80"}, "the lower one first"),
        ({"port": 80, "proto": "any"}, "proto is tcp or udp"),
        (
            {"port": 80, "from": "192.0.2.7/24"},
            "from 192.0.2.7/24 is an address within a network; the network is 192.0.2.0/24",
        ),
        ({"port": 80, "from": "192.0.2.0/33"}, "neither an address nor a network such as 192.0.2.0/24"),
        ({"port": 80, "from": "office"}, "neither an address nor a network"),
        ({"port": 80, "comment": "it's"}, "a comment has letters"),
        ({"port": 80, "rule": "deny"}, "there is no rule; there are comment, from, port, proto, reason"),
        ({"port": 22}, "it opens SSH (port 22) to the whole internet"),
        ({"port": 2222, "from": "::/0"}, "it opens SSH (port 2222) to the whole internet"),
        ({"port": "1:65535"}, "it opens SSH (port 22, 2222) to the whole internet"),
    ],
)
def test_what_cannot_be_let_in(given, says):
    with pytest.raises(GatehouseError) as caught:
        read([{"port": 443}, given], ssh_ports=[2222])
    assert says in caught.value.message
    assert "A right one: {port: 9100" in caught.value.message
    assert "443" not in caught.value.message


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(GatehouseError) as caught:
        read([{"port": 0}, {"port": 22}])
    assert caught.value.message.count("  - ") == 2


def test_ssh_from_anywhere_when_it_is_said():
    assert [one["from"] for one in read([{"port": 22}], ssh_from_anywhere=True)] == ["0.0.0.0/0", "::/0"]


def test_the_first_reason_for_a_network_and_port_counts():
    found = read([{"port": 80, "from": "::/0", "reason": "site a"}, {"port": 80, "from": "::/0", "comment": "web"}])
    assert found == [opening("80", "::/0", reason="gatehouse: site a")]


def test_a_long_reason_is_cut_to_what_aws_takes():
    assert len(read([{"port": 80, "from": "::/0", "comment": "x" * 300}])[0]["reason"]) == 255


# Recorded from amazon.aws 10.1.
PERMISSIONS = [
    {
        "from_port": 80,
        "to_port": 80,
        "ip_protocol": "tcp",
        "ip_ranges": [{"cidr_ip": "0.0.0.0/0", "description": "by hand"}, {"cidr_ip": "192.0.2.0/24"}],
        "ipv6_ranges": [{"cidr_ipv6": "::/0"}],
        "prefix_list_ids": [],
        "user_id_group_pairs": [],
    },
    {"from_port": 6000, "to_port": 6007, "ip_protocol": "udp", "prefix_list_ids": [{"prefix_list_id": "pl-1"}]},
    {"ip_protocol": "-1", "user_id_group_pairs": [{"group_id": "sg-2", "user_id": "1", "description": "inside"}]},
    {"from_port": -1, "to_port": -1, "ip_protocol": "icmp", "ip_ranges": [{"cidr_ip": "10.0.0.0/8"}]},
]


def test_what_a_group_lets_in():
    assert lets_in(PERMISSIONS) == [
        opening("any", "sg-2", "any", "inside"),
        opening("any", "10.0.0.0/8", "icmp", ""),
        opening("80", "0.0.0.0/0", reason="by hand"),
        opening("80", "192.0.2.0/24", reason=""),
        opening("80", "::/0", reason=""),
        opening("6000-6007", "pl-1", "udp", ""),
    ]


def test_only_what_is_missing_is_added():
    made = plan([opening("80", "0.0.0.0/0"), opening("443", "::/0"), opening("443", "192.0.2.0/24")], PERMISSIONS)
    assert (made["purge_rules"], made["remove"]) == (False, [])
    assert made["rules"] == [
        {"proto": "tcp", "ports": ["443"], "cidr_ipv6": ["::/0"], "rule_desc": "gatehouse: rule"},
        {"proto": "tcp", "ports": ["443"], "cidr_ip": ["192.0.2.0/24"], "rule_desc": "gatehouse: rule"},
    ]


def test_exact_tells_all_that_is_wanted_and_what_goes():
    made = plan([opening("80", "0.0.0.0/0")], PERMISSIONS[:1], exact=True)
    assert made["purge_rules"] is True
    assert [rule["ports"] for rule in made["rules"]] == [["80"]]
    assert [one["from"] for one in made["remove"]] == ["192.0.2.0/24", "::/0"]


def test_what_several_hosts_want_is_told_once():
    made = plan([opening("443", "::/0", reason="gatehouse: site a"), opening("443", "::/0")], [])
    assert [rule["rule_desc"] for rule in made["rules"]] == ["gatehouse: site a"]


@pytest.mark.parametrize(
    ("wanted", "needs", "right"),
    [
        ([opening("80", "::/0")], [22], False),
        ([opening("22", "192.0.2.0/24", "udp")], [22], False),
        ([opening("22", "192.0.2.0/24")], [22], True),
        ([opening("20-30", "192.0.2.0/24")], [22, 2222], True),
        ([opening("80", "::/0")], [], True),
    ],
)
def test_exact_never_closes_ssh_to_everybody(wanted, needs, right):
    assert plan(wanted, [], needs_ssh=needs)["remove"] == []
    if right:
        assert plan(wanted, [], exact=True, needs_ssh=needs)["purge_rules"] is True
    else:
        with pytest.raises(GatehouseError, match="aws_ingress_exact would close SSH .port 22. to everybody"):
            plan(wanted, [], exact=True, needs_ssh=needs)
