"""What UFW is told to add and to remove, from what its files hold."""

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._ufw import plan

# Recorded from /etc/ufw/user.rules and user6.rules of ufw 0.36.2.
BY_HAND = """
*filter
:ufw-user-input - [0:0]
### RULES ###

### tuple ### deny any any 0.0.0.0/0 any 192.0.2.5 in
-A ufw-user-input -s 192.0.2.5 -j DROP

### tuple ### allow tcp 7000,7001 0.0.0.0/0 any 0.0.0.0/0 in comment=61202862292063
### tuple ### route:allow any any 0.0.0.0/0 any 0.0.0.0/0 in_eth0
### tuple ### allow tcp 81 0.0.0.0/0 any 0.0.0.0/0 in_eth0
### tuple ### allow any 25 0.0.0.0/0 any 0.0.0.0/0 out
### tuple ### allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 Nginx%20Full - in
### tuple ### allow tcp 8082 10.0.0.1 any 0.0.0.0/0 in
### tuple ### allow udp 5353 0.0.0.0/0 53 0.0.0.0/0 in
"""
SITE = {"rule": "allow", "port": 80, "proto": "tcp", "reason": "site chat"}
SITE_ADD = {"rule": "allow", "port": "80", "proto": "tcp", "from": "any", "comment": "gatehouse: site chat"}


def recorded(words, comment="", families=(4, 6)):
    """The lines of a rule in UFW's files; an address of the rule's own stands for FROM."""
    lines = []
    for family in families:
        anywhere = "0.0.0.0/0" if family == 4 else "::/0"
        action, proto, port, *source = words.split()
        line = f"### tuple ### {action} {proto} {port} {anywhere} any {source[0] if source else anywhere} in"
        lines.append(line + (f" comment={comment.encode().hex()}" if comment else ""))
    return "\n".join([BY_HAND, *lines, ""])


def test_on_a_fresh_host_everything_is_added_in_the_order_wanted():
    ssh = {"rule": "limit", "port": 22, "proto": "tcp", "comment": "SSH"}
    assert plan([ssh, SITE], "") == {
        "add": [{**SITE_ADD, "rule": "limit", "port": "22", "comment": "gatehouse: SSH"}, SITE_ADD],
        "remove": [],
    }


@pytest.mark.parametrize(
    ("wanted", "has"),
    [
        (SITE, recorded("allow tcp 80", "gatehouse: site chat")),
        ({"rule": "allow", "port": "443"}, recorded("allow any 443", "gatehouse: rule")),
        ({"rule": "deny", "port": "6000:6007", "proto": "udp"}, recorded("deny udp 6000:6007", "gatehouse: rule")),
        # UFW drops host bits, the length of a single address, and a network's capitals.
        ({"rule": "allow", "from": "10.1.2.3/8"}, recorded("allow any any 10.0.0.0/8", "gatehouse: rule", [4])),
        ({"rule": "allow", "from": "192.0.2.5/32"}, recorded("allow any any 192.0.2.5", "gatehouse: rule", [4])),
        ({"rule": "allow", "from": "2001:DB8::/32"}, recorded("allow any any 2001:db8::/32", "gatehouse: rule", [6])),
        ({"rule": "allow", "port": 1, "from": "0.0.0.0/0"}, recorded("allow any 1", "gatehouse: rule", [4])),
        ({"rule": "allow", "port": 1, "from": "any"}, recorded("allow any 1", "gatehouse: rule")),
    ],
)
def test_what_is_there_is_neither_added_nor_removed(wanted, has):
    assert plan([wanted], has) == {"add": [], "remove": []}


@pytest.mark.parametrize(
    "has",
    [
        BY_HAND,
        pytest.param(recorded("allow tcp 80", "gatehouse: site chat", [4]), id="IPv6 was off when it was made"),
        pytest.param(recorded("deny tcp 80"), id="it does something else"),
        pytest.param(recorded("allow udp 80"), id="another protocol"),
        pytest.param(recorded("allow tcp 80 192.0.2.5", "", [4]), id="for one address only"),
        pytest.param(recorded("allow tcp 80", "gatehouse: site shop"), id="another site's"),
        pytest.param(recorded("allow tcp 80").replace("80 0.0.0.0/0", "80 10.0.0.1"), id="to one address only"),
    ],
)
def test_what_differs_is_added_again_which_replaces_it(has):
    assert plan([SITE], has) == {"add": [SITE_ADD], "remove": []}


@pytest.mark.parametrize("has", [recorded("allow tcp 80", "mine"), recorded("allow_log tcp 80")])
def test_a_rule_by_hand_that_does_what_is_wanted_is_left_alone(has):
    assert plan([SITE], has) == {"add": [], "remove": []}


def test_a_rule_of_ours_that_is_no_longer_wanted_is_removed_from_both_families():
    removed = plan([], recorded("allow tcp 8443", "gatehouse: site old"))["remove"]
    assert [(rule["port"], rule["from"]) for rule in removed] == [("8443", "0.0.0.0/0"), ("8443", "::/0")]


@pytest.mark.parametrize(
    "has",
    [
        recorded("allow tcp 7777", "by hand"),
        recorded("allow tcp 7777"),
        recorded("allow tcp 2222", "gatehouse: SSH"),
        recorded("allow_log tcp 7777", "gatehouse: made by hand in our name"),
    ],
)
def test_rules_by_hand_and_those_of_ssh_are_never_removed(has):
    assert plan([], has)["remove"] == []


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"rule": "permit", "port": 80}, "rule is one of allow, deny, limit, reject"),
        ({"port": 80}, "rule is one of"),
        ({"rule": "allow", "port": 0}, "port 0 is not from 1 to 65535"),
        ({"rule": "allow", "port": 70000}, "port 70000 is not from 1 to 65535"),
        ({"rule": "allow", "port": "http"}, "port http is neither a port nor a range"),
        ({"rule": "allow", "port": "6000:6007"}, "needs proto: tcp or udp"),
        ({"rule": "allow", "port": "6007:6000", "proto": "tcp"}, "from the lower port to the higher one"),
        ({"rule": "allow", "port": 80, "proto": "icmp"}, "proto is one of any, tcp, udp"),
        ({"rule": "allow", "from": "999.1.1.1/8"}, "neither an address nor a network"),
        ({"rule": "allow", "from": "192.0.2.0/33"}, "neither an address nor a network"),
        ({"rule": "allow"}, "would hold for everything"),
        ({"rule": "allow", "from": "::/0"}, "would hold for everything"),
        ({"rule": "allow", "port": 80, "comment": "it's"}, "a comment has no quote"),
    ],
)
def test_a_wrong_rule_is_shown_with_a_right_one(rule, words):
    with pytest.raises(GatehouseError) as error:
        plan([rule], "")
    assert words in error.value.message
    assert str(rule) in error.value.message
    assert "{rule: allow, port: 9100, proto: tcp, from: 192.0.2.0/24, comment: metrics}" in error.value.message


def test_all_wrong_rules_are_told_at_once():
    with pytest.raises(GatehouseError) as error:
        plan([{"rule": "allow", "port": 0}, SITE, {"rule": "allow", "port": 70000}], "")
    assert error.value.message.count("is not from 1 to 65535") == 2
    assert "site chat" not in error.value.message
