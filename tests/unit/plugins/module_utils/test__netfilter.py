"""A packet's way through rules as iptables 1.8.9 and UFW 0.36.2 print them."""

from pathlib import Path

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils._netfilter import (
    Packet,
    decide,
    is_of_ufw,
    runs_ufw,
)

RECORDED = Path(__file__).parent / "recorded"
# Made by: ufw allow 80/tcp; ufw limit 22/tcp; ufw deny from 10.9.0.0/16 to any port 81 proto tcp;
# ufw allow in on eth0 to any port 82 proto tcp; ufw reject 83/tcp; ufw allow proto tcp to any port 84,85; ufw allow 6000:6007/tcp
UFW = {4: (RECORDED / "iptables-ufw.txt").read_text(), 6: (RECORDED / "ip6tables-ufw.txt").read_text()}
CLIENT = {4: "192.0.2.1", 6: "2001:db8::1"}
HOST = {4: "172.17.0.10", 6: "2001:db8::10"}


def ask(listing, port, source="192.0.2.1", interface="eth0", host="172.17.0.10"):
    return decide(listing, Packet(source, host, interface, port))


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    ("port", "action", "interface"),
    [
        (80, "accept", "eth0"),
        (22, "accept", "eth0"),
        (82, "accept", "eth0"),
        (82, "drop", "eth1"),
        (83, "reject", "eth0"),
        (84, "accept", "eth0"),
        (85, "accept", "eth0"),
        (86, "drop", "eth0"),
        (6000, "accept", "eth0"),
        (6007, "accept", "eth0"),
        (6008, "drop", "eth0"),
        (139, "drop", "eth0"),
        (443, "drop", "eth0"),
        (443, "accept", "lo"),
    ],
)
def test_what_ufw_does(family, port, action, interface):
    found = ask(UFW[family], port, CLIENT[family], interface, HOST[family])
    assert (found.action, found.skipped) == (action, [])


def test_a_rule_for_some_sources_and_where_it_was_decided():
    found = ask(UFW[4], 81, source="10.9.3.4")
    assert found[:2] == ("drop", "ufw-user-input")
    assert found.rule == "-A ufw-user-input -s 10.9.0.0/16 -p tcp -m tcp --dport 81 -j DROP"
    assert ask(UFW[4], 81).rule == "-P INPUT DROP"


@pytest.mark.parametrize(
    ("rules", "action"),
    [
        # By hand, before UFW's own.
        ("-A INPUT -i eth0 -p tcp -m tcp --dport 80 -j DROP", "drop"),
        ("-A INPUT -i eth+ -p tcp -m tcp --dport 79:81 -j DROP", "drop"),
        ("-A INPUT ! -i eth0 -p tcp -m tcp --dport 80 -j DROP", "accept"),
        ("-A INPUT ! -s 192.0.2.0/24 -j DROP", "accept"),
        ("-A INPUT -d 172.17.0.11/32 -j DROP", "accept"),
        ("-A INPUT -p udp -m udp --dport 80 -j DROP", "accept"),
        ("-A INPUT -p tcp -m multiport --dports 22,80,443 -j REJECT --reject-with tcp-reset", "reject"),
        ("-A INPUT -p tcp -m multiport ! --dports 22,80 -j DROP", "accept"),
        ("-A INPUT -p tcp -m tcp --sport 0:1023 -j DROP", "accept"),
        ("-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP", "drop"),
        ("-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN FIN,SYN -j DROP", "accept"),
        ("-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK NONE -j DROP", "accept"),
        ("-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j DROP", "accept"),
        ("-A INPUT -m state --state NEW -j DROP", "drop"),
        ('-A INPUT -m comment --comment "no way -j ACCEPT" -j DROP', "drop"),
        ("-A INPUT -j LOG --log-prefix x", "accept"),
        # In a chain that other base chains jump to as well.
        ("-N both\n-A INPUT -j both\n-A both -o eth0 -j DROP", "accept"),
        ("-A INPUT -p tcp", "accept"),
        # As fail2ban does it: a chain that mostly returns.
        (
            "-N f2b-web\n-A INPUT -p tcp -j f2b-web\n-A f2b-web -s 192.0.2.1/32 -j REJECT\n-A f2b-web -j RETURN",
            "reject",
        ),
        (
            "-N f2b-web\n-A INPUT -p tcp -j f2b-web\n-A f2b-web -s 192.0.2.9/32 -j REJECT\n-A f2b-web -j RETURN",
            "accept",
        ),
        # -g does not come back: what follows the jump is not asked.
        ("-N aside\n-A INPUT -g aside\n-A INPUT -j DROP", "accept"),
        ("-N aside\n-A INPUT -j aside\n-A INPUT -j DROP", "drop"),
    ],
)
def test_rules_of_any_maker(rules, action):
    assert ask("-P INPUT ACCEPT\n" + rules, 80).action == action


def test_a_condition_that_cannot_be_told_is_named_and_does_not_decide():
    unknown = "-A INPUT -m set --match-set banned src -j DROP"
    found = ask("-P INPUT ACCEPT\n%s\n-A INPUT -p udp -m set --match-set banned src -j DROP" % unknown, 80)
    assert (found.action, found.skipped) == ("accept", [unknown])


def test_no_chain_for_what_comes_in():
    assert ask("", 80) is None


@pytest.mark.parametrize(
    ("listing", "runs", "port", "ufws"),
    [
        (UFW[4], True, 443, True),
        (UFW[4], True, 83, True),
        (UFW[4] + "-A INPUT -p tcp -j DROP", True, 443, False),
        ("-P INPUT DROP", False, 443, False),
        # IPV6=no: UFW sets the policies for IPv6 and no rules.
        ("-P INPUT DROP", True, 443, True),
    ],
)
def test_whether_it_was_ufw(listing, runs, port, ufws):
    assert is_of_ufw(ask(listing, port), runs) is ufws


def test_whether_ufw_is_on():
    assert runs_ufw(UFW[4])
    assert not runs_ufw("-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n")
