"""Which rules are wanted, what becomes of those that are there, and whom the outcome lets in."""

import ipaddress

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _ufw, _ufw_plan
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._ufw_plan import Connection, Surroundings

HOST = Surroundings({"Shop": [("80,443", "tcp"), ("5353", "any")]}, ["eth0", "lo", "wg0"], True)
TUPLE = "### tuple ### {}\n"


def wish(*rules, host=HOST, tag="gatehouse"):
    return _ufw_plan.read_wish([{"rule": "allow"} | rule for rule in rules], tag, host)


def shown(rules, family=4):
    return [_ufw.describe(rule, family) for rule in rules]


# The wish


@pytest.mark.parametrize(
    ("rule", "shown4", "shown6"),
    [
        (
            {"port": 80, "proto": "tcp", "comment": "web"},
            ["80/tcp ALLOW IN Anywhere  # web"],
            ["80/tcp (v6) ALLOW IN Anywhere (v6)  # web"],
        ),
        (
            {"port": "443,80,0022", "proto": "tcp"},
            ["22,80,443/tcp ALLOW IN Anywhere"],
            ["22,80,443/tcp (v6) ALLOW IN Anywhere (v6)"],
        ),
        ({"from": "192.0.2.0/24"}, ["Anywhere ALLOW IN 192.0.2.0/24"], []),
        ({"from": "192.0.2.7/32", "to": "any"}, ["Anywhere ALLOW IN 192.0.2.7"], []),
        ({"port": 80, "from": "0.0.0.0/0"}, ["80 ALLOW IN Anywhere"], []),
        ({"to": "2001:DB8::/32"}, [], ["2001:db8::/32 ALLOW IN Anywhere (v6)"]),
        (
            {"rule": "limit", "port": 22, "log": "new"},
            ["22 LIMIT IN Anywhere (log)"],
            ["22 (v6) LIMIT IN Anywhere (v6) (log)"],
        ),
        (
            {"interface_in": "wg0"},
            ["Anywhere on wg0 ALLOW IN Anywhere"],
            ["Anywhere (v6) on wg0 ALLOW IN Anywhere (v6)"],
        ),
        (
            {"direction": "routed", "interface_out": "br-+", "from": "10.0.0.1"},
            ["Anywhere on br-+ ALLOW FWD 10.0.0.1"],
            [],
        ),
        ({"direction": "out", "rule": "deny", "port": 25, "from": "10.0.0.1"}, ["25 DENY OUT 10.0.0.1"], []),
        (
            {"app": "Shop", "from": "192.0.2.7"},
            ["80,443/tcp (Shop) ALLOW IN 192.0.2.7", "5353 (Shop) ALLOW IN 192.0.2.7"],
            [],
        ),
        (
            {"from_app": "Shop", "from": "192.0.2.7", "to": "192.0.2.8"},
            ["192.0.2.8 ALLOW IN 192.0.2.7 80,443/tcp (Shop)", "192.0.2.8 ALLOW IN 192.0.2.7 5353 (Shop)"],
            [],
        ),
        ({"proto": "igmp", "interface_in": "eth0"}, ["Anywhere/igmp on eth0 ALLOW IN Anywhere/igmp"], []),
    ],
)
def test_a_rule_holds_for_the_families_of_its_addresses(rule, shown4, shown6):
    wanted = wish(rule)
    for family, expected in ((4, shown4), (6, shown6)):
        lines = [
            line.replace("  # gatehouse: rule", "").replace("gatehouse: ", "") for line in shown(wanted[family], family)
        ]
        assert lines == expected


def test_without_ipv6_a_rule_holds_for_ipv4_alone():
    assert wish({"port": 80}, host=HOST._replace(ipv6=False))[6] == []


def test_the_same_rule_twice_is_one():
    wanted = wish({"port": 80, "comment": "a"}, {"port": 80, "comment": "b"})
    assert [rule.comment for rule in wanted[4]] == ["gatehouse: a"]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"port": 0}, "port 0 is not from 1 to 65535"),
        ({"port": 70000}, "port 70000 is not from 1 to 65535"),
        ({"port": "http"}, "port http is neither a port nor a range"),
        ({"port": "80,"}, "neither a port nor a range"),
        ({"port": "6000:6007"}, "port 6000:6007 needs proto: tcp or udp"),
        ({"port": "6007:6000", "proto": "tcp"}, "from the lower port to the higher one"),
        (
            {"port": ",".join(map(str, range(1, 17))), "proto": "tcp"},
            "port holds 16 ports, of which the kernel takes 15",
        ),
        ({"port": 80, "from_port": 0}, "from_port 0 is not from 1 to 65535"),
        ({"port": 80, "proto": "esp"}, "proto esp has no ports"),
        ({"from": "999.1.1.1/8"}, "from 999.1.1.1/8 is neither an address nor a network"),
        ({"from": "192.0.2.0/33"}, "neither an address nor a network"),
        ({"from": "192.0.2.1/24"}, "from 192.0.2.1/24 has host bits: the network is 192.0.2.0/24"),
        ({"to": "2001:db8::1/32"}, "to 2001:db8::1/32 has host bits: the network is 2001:db8::/32"),
        ({"from": "192.0.2.1", "to": "2001:db8::1"}, "from and to are of two families"),
        ({"from": "2001:db8::1", "proto": "igmp"}, "proto igmp belongs to IPv4"),
        ({}, "would hold for everything"),
        ({"port": 80, "comment": "it's"}, "a comment has no quote"),
        (
            {"port": 80, "interface_in": "eth1"},
            "there is no interface eth1, but eth0, lo, wg0; eth1+ holds for one that comes later",
        ),
        ({"port": 80, "interface_in": "eth0:1"}, "interface eth0:1 can't be one"),
        ({"port": 80, "interface_out": "eth0"}, "what comes in has an interface_in"),
        ({"port": 80, "interface_in": "eth0", "direction": "out"}, "what goes out an interface_out"),
        ({"app": "Nowhere"}, "there is no application profile Nowhere in /etc/ufw/applications.d, but Shop"),
        ({"app": "Shop", "proto": "tcp"}, "a profile has a protocol of its own"),
        ({"app": "Shop", "port": 80}, "port and a profile's ports exclude one another"),
    ],
)
def test_a_wrong_rule_is_shown_with_a_right_one(rule, words):
    with pytest.raises(GatehouseError) as error:
        wish(rule)
    assert error.value.cause == "bad_input"
    assert words in error.value.message
    assert "{rule: allow, port: 9100, proto: tcp, from: 192.0.2.0/24, comment: metrics}" in error.value.hint


def test_a_rule_for_ipv6_needs_ipv6():
    with pytest.raises(GatehouseError, match="IPV6=no in /etc/default/ufw"):
        wish({"from": "2001:db8::/32"}, host=HOST._replace(ipv6=False))


def test_all_wrong_rules_are_told_at_once():
    with pytest.raises(GatehouseError) as error:
        wish({"port": 0}, {"port": 80}, {"port": 70000})
    assert error.value.message.count("is not from 1 to 65535") == 2
    assert "port: 80}" not in error.value.message


@pytest.mark.parametrize("action", ["deny", "reject", "limit"])
def test_two_rules_that_contradict_each_other_are_refused(action):
    with pytest.raises(GatehouseError) as error:
        wish({"port": 80, "proto": "tcp"}, {"rule": action, "port": 80, "proto": "tcp"})
    assert (
        "{rule: %s, port: 80, proto: tcp}: it contradicts {rule: allow, port: 80, proto: tcp}" % action
        in error.value.message
    )


def test_where_the_host_cant_be_asked_the_rest_is_checked():
    nothing = Surroundings(None, None, None)
    assert wish({"port": 80, "interface_in": "eth1"}, {"app": "Nowhere"}, host=nothing)[4]
    with pytest.raises(GatehouseError, match="host bits"):
        wish({"from": "192.0.2.1/24"}, host=nothing)


# The plan

SSH = "allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in"
BY_HAND = "deny any any 0.0.0.0/0 any 203.0.113.9 in"
STALE = "allow tcp 8443 0.0.0.0/0 any 0.0.0.0/0 in comment=" + b"gatehouse: site old".hex()
OTHERS = "allow tcp 9100 0.0.0.0/0 any 0.0.0.0/0 in comment=" + b"metrics: rule".hex()
OURS = "allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 in comment=" + b"gatehouse: rule".hex()
WEB = {"port": 80, "proto": "tcp"}


def merge(existing, *rules, purge="managed"):
    has = _ufw.parse_rules("".join(map(TUPLE.format, existing)), 4)
    after = _ufw_plan.merge(has, wish(*rules)[4], purge, "gatehouse")
    # Whatever was done, a second time nothing is to be done.
    assert _ufw_plan.merge(after, wish(*rules)[4], purge, "gatehouse") == after
    return [line.replace("ALLOW IN Anywhere", "").replace("gatehouse: ", "") for line in shown(after)]


@pytest.mark.parametrize(
    ("existing", "purge", "after"),
    [
        ([], "managed", ["80/tcp   # rule"]),
        (
            [BY_HAND, STALE, OTHERS],
            "managed",
            ["Anywhere DENY IN 203.0.113.9", "9100/tcp   # metrics: rule", "80/tcp   # rule"],
        ),
        ([BY_HAND, STALE, OTHERS], "all", ["80/tcp   # rule"]),
        ([BY_HAND, STALE], "none", ["Anywhere DENY IN 203.0.113.9", "8443/tcp   # site old", "80/tcp   # rule"]),
        # What is there stays in its place.
        ([OURS, BY_HAND], "managed", ["80/tcp   # rule", "Anywhere DENY IN 203.0.113.9"]),
        ([OURS, BY_HAND], "all", ["80/tcp   # rule"]),
        ([OURS, OURS], "managed", ["80/tcp   # rule"]),
        # A rule by hand that does the same stays as it is; one that does something else gives way.
        (["allow_log tcp 80 0.0.0.0/0 any 0.0.0.0/0 in"], "managed", ["80/tcp  (log)"]),
        (["allow_log tcp 80 0.0.0.0/0 any 0.0.0.0/0 in"], "all", ["80/tcp   # rule"]),
        (
            ["deny tcp 80 0.0.0.0/0 any 0.0.0.0/0 in", BY_HAND],
            "managed",
            ["80/tcp   # rule", "Anywhere DENY IN 203.0.113.9"],
        ),
        # What matches something else is another rule.
        (["allow any 80 0.0.0.0/0 any 0.0.0.0/0 in"], "managed", ["80 ", "80/tcp   # rule"]),
        (["allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 in_eth0"], "managed", ["80/tcp on eth0 ", "80/tcp   # rule"]),
    ],
)
def test_what_becomes_of_the_rules_that_are_there(existing, purge, after):
    assert merge(existing, WEB, purge=purge) == after


def test_ours_come_in_the_wanted_order_around_those_by_hand():
    wanted = [{"rule": "deny", "port": 80, "from": "192.0.2.7"}, WEB, {"port": 443}]
    assert merge([SSH, OURS, BY_HAND], *wanted) == [
        "22/tcp ",
        "80 DENY IN 192.0.2.7  # rule",
        "Anywhere DENY IN 203.0.113.9",
        "80/tcp   # rule",
        "443   # rule",
    ]


def test_changes_are_told():
    before, after = wish({"port": 1}, {"port": 2})[4], wish({"port": 2}, {"port": 3})[4]
    added, removed = _ufw_plan.changes(before, after)
    assert [rule.port for rule in added] == ["3"]
    assert [rule.port for rule in removed] == ["1"]


# The guard


def policy(*rules, incoming="deny", ipv6=True):
    return _ufw.Policy(wish(*rules), incoming, "allow", "deny", "low", ipv6, True)


@pytest.mark.parametrize(
    ("text", "connection"),
    [
        ("192.0.2.7 51442 192.0.2.10 22", ("192.0.2.7", "192.0.2.10", 22, "eth0")),
        ("192.0.2.7 51442 192.0.2.11 2222", ("192.0.2.7", "192.0.2.11", 2222, None)),
        ("2001:db8::7 51442 2001:db8::10 22", ("2001:db8::7", "2001:db8::10", 22, None)),
        ("fe80::7%eth0 51442 fe80::10%eth0 22", ("fe80::7", "fe80::10", 22, "eth0")),
        ("::ffff:192.0.2.7 51442 ::ffff:192.0.2.10 22", ("192.0.2.7", "192.0.2.10", 22, "eth0")),
        ("the session has no SSH_CONNECTION", None),
        ("nobody 1 nowhere 2", None),
        ("", None),
    ],
)
def test_the_session_is_read(text, connection):
    expected = connection and Connection(*map(ipaddress.ip_address, connection[:2]), *connection[2:])
    assert _ufw_plan.read_session(text, {"192.0.2.10": "eth0"}) == expected


V4 = "192.0.2.7 51442 192.0.2.10 2222"
V6 = "2001:db8::7 51442 2001:db8::10 2222"
LOOP = "127.0.0.1 51442 127.0.0.1 2222"
SELF = "192.0.2.10 51442 192.0.2.10 2222"
SSH_RULE = {"port": 2222, "proto": "tcp"}


@pytest.mark.parametrize(
    ("session", "rules", "gets_in"),
    [
        (V4, [SSH_RULE], True),
        (V6, [SSH_RULE], True),
        (V4, [], False),
        (V6, [], False),
        (LOOP, [], True),
        (SELF, [], True),
        (V4, [{"port": 2222}], True),
        (V4, [{"port": "2000:3000", "proto": "tcp"}], True),
        (V4, [{"port": "22,2222", "proto": "tcp"}], True),
        (V4, [{"rule": "limit", "port": 2222, "proto": "tcp"}], True),
        # The usual mistake: SSH is not on 22 here.
        (V4, [{"port": 22, "proto": "tcp"}], False),
        (V4, [{"port": 2222, "proto": "udp"}], False),
        (V4, [SSH_RULE | {"from": "192.0.2.0/24"}], True),
        (V4, [SSH_RULE | {"from": "198.51.100.0/24"}], False),
        (V6, [SSH_RULE | {"from": "192.0.2.0/24"}], False),
        (V6, [SSH_RULE | {"from": "2001:db8::/32"}], True),
        (V4, [SSH_RULE | {"to": "192.0.2.10"}], True),
        (V4, [SSH_RULE | {"to": "192.0.2.11"}], False),
        (V4, [SSH_RULE | {"direction": "out"}], False),
        (V4, [SSH_RULE | {"direction": "routed"}], False),
        # The first that matches decides.
        (V4, [{"rule": "deny", "from": "192.0.2.7"}, SSH_RULE], False),
        (V4, [SSH_RULE, {"rule": "deny", "from": "192.0.2.7"}], True),
        (V4, [{"rule": "reject", "port": "2000:3000", "proto": "tcp"}, SSH_RULE], False),
        (V4, [{"rule": "deny", "from": "192.0.2.8"}, SSH_RULE], True),
        # By the interface that has the address.
        (V4, [SSH_RULE | {"interface_in": "eth0"}], True),
        (V4, [SSH_RULE | {"interface_in": "eth+"}], True),
        (V4, [SSH_RULE | {"interface_in": "wg0"}], False),
        (V4, [{"rule": "deny", "interface_in": "wg0"}, SSH_RULE], True),
        # What can't be known is taken for the worse.
        (V6, [SSH_RULE | {"interface_in": "eth0"}], False),
        (V6, [{"rule": "deny", "interface_in": "wg0"}, SSH_RULE], False),
        (V4, [SSH_RULE | {"from_port": 51442}], False),
        (V4, [{"rule": "deny", "proto": "tcp", "from_port": 1024}, SSH_RULE], False),
    ],
)
def test_whom_a_policy_lets_in(session, rules, gets_in):
    connection = _ufw_plan.read_session(session, {"192.0.2.10": "eth0"})
    assert _ufw_plan.lets_in(policy(*rules), connection)[0] is gets_in


def test_what_the_default_policy_lets_in():
    connection = _ufw_plan.read_session(V4, {})
    assert _ufw_plan.lets_in(policy(incoming="allow"), connection) == (True, None)
    assert _ufw_plan.lets_in(policy(incoming="reject"), connection) == (False, None)


def test_over_ipv6_nobody_gets_in_where_ufw_does_not_filter_it():
    connection = _ufw_plan.read_session(V6, {})
    assert _ufw_plan.lets_in(policy(SSH_RULE, ipv6=False), connection) == (False, None)
