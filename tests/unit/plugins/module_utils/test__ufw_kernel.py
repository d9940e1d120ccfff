"""UFW's rules in the kernel: told apart from those wanted, put there, taken back. What was recorded is of iptables 1.8.9 (nf_tables)."""

from pathlib import Path

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _ufw, _ufw_kernel
from ansible_collections.gatehouse.webapp.plugins.module_utils._ufw_kernel import read_table

RECORDED = Path(__file__).parent / "recorded_ufw"
SAVED = (RECORDED / "iptables-save").read_text()


def policy(level="low", **fields):
    rules = {4: _ufw.parse_rules((RECORDED / "user.rules").read_text(), 4)}
    rules[6] = _ufw.parse_rules((RECORDED / f"user6-{level}.rules").read_text(), 6)
    return _ufw.Policy(rules, "deny", "allow", "deny", level, True, True)._replace(**fields)


def differences(text, saved=SAVED):
    return _ufw_kernel.differences(text, read_table(saved))


def test_what_ufw_has_loaded_is_what_is_wanted():
    assert differences(_ufw_kernel.transaction(policy(), 4, None)) == []


@pytest.mark.parametrize("level", _ufw.LEVELS)
def test_so_it_is_for_ipv6_at_each_level_of_logging(level):
    saved = (RECORDED / f"ip6tables-save-{level}").read_text()
    assert differences(_ufw_kernel.transaction(policy(level), 6, None), saved) == []
    assert _ufw_kernel.state(read_table(saved), 6) == "whole"


@pytest.mark.parametrize(
    ("was", "is_now", "chains"),
    [
        (":INPUT DROP", ":INPUT ACCEPT", ["INPUT"]),
        ("-A ufw-skip-to-policy-input -j DROP", "-A ufw-skip-to-policy-input -j ACCEPT", ["ufw-skip-to-policy-input"]),
        ("-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT\n", "", ["ufw-user-input"]),
        ("--dport 22 -j ACCEPT", "--dport 22 -j DROP", ["ufw-user-input"]),
        ("--dport 22 -j ACCEPT", "--dport 23 -j ACCEPT", ["ufw-user-input"]),
        ("--dport 22 -j ACCEPT", "! --dport 22 -j ACCEPT", ["ufw-user-input"]),
        ("-s 203.0.113.9/32", "-s 203.0.113.9/24", ["ufw-user-input"]),
        ("--hitcount 6", "--hitcount 7", ["ufw-user-input"]),
        ("--reject-with tcp-reset", "--reject-with icmp-port-unreachable", ["ufw-user-input", "ufw-user-output"]),
        ("-A ufw-user-forward -i eth0 -j ACCEPT\n", "-A ufw-user-forward -j ACCEPT\n", ["ufw-user-forward"]),
        (":ufw-user-limit - [0:0]\n", "", ["ufw-user-limit"]),
        (
            '"[UFW BLOCK] "',
            '"[UFW ALLOW] "',
            ["ufw-after-logging-input", "ufw-after-logging-forward", "ufw-logging-deny", "ufw-user-logging-input"],
        ),
    ],
)
def test_what_differs_is_told(was, is_now, chains):
    assert was in SAVED
    assert sorted(differences(_ufw_kernel.transaction(policy(), 4, None), SAVED.replace(was, is_now))) == sorted(chains)


def test_the_order_counts():
    lines = SAVED.splitlines()
    at = lines.index("-A ufw-user-input -s 203.0.113.9/32 -j ACCEPT")
    lines[at], lines[at + 1] = lines[at + 1], lines[at]
    assert differences(_ufw_kernel.transaction(policy(), 4, None), "\n".join(lines)) == ["ufw-user-input"]


@pytest.mark.parametrize(
    ("incoming", "lines"),
    [
        ("deny", [":INPUT DROP [0:0]", "-A ufw-skip-to-policy-input -j DROP"]),
        ("reject", [":INPUT DROP [0:0]", "-A ufw-skip-to-policy-input -j REJECT", "-A ufw-reject-input -j REJECT"]),
        (
            "allow",
            [
                ":INPUT ACCEPT [0:0]",
                "-A ufw-skip-to-policy-input -j ACCEPT",
                "-A ufw-track-input -p tcp -m conntrack --ctstate NEW -j ACCEPT",
                "-A ufw-track-input -p udp -m conntrack --ctstate NEW -j ACCEPT",
            ],
        ),
    ],
)
def test_a_default_policy_is_part_of_the_transaction(incoming, lines):
    text = _ufw_kernel.transaction(policy(incoming=incoming), 4, None).splitlines()
    own = [
        line
        for line in text
        if line.startswith((":INPUT", "-A ufw-skip-to-policy-input", "-A ufw-reject-input", "-A ufw-track-input"))
    ]
    assert own == lines


def test_a_transaction_is_one():
    text = _ufw_kernel.transaction(policy(), 4, None)
    assert (text.count("*filter"), text.count("COMMIT"), text.splitlines()[-1]) == (1, 1, "COMMIT")
    assert "#" not in text


@pytest.mark.parametrize(
    ("saved", "state"),
    [
        (SAVED, "whole"),
        ("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n", "absent"),
        (SAVED.replace("-A INPUT -j ufw-before-input\n", ""), "broken"),
        (SAVED.replace("-A ufw-before-output -j ufw-user-output\n", ""), "broken"),
        (SAVED.replace("-A INPUT -j ufw-track-input\n", "-A INPUT -j f2b\n-A INPUT -j ufw-track-input\n"), "whole"),
    ],
)
def test_whether_packets_get_to_the_chains(saved, state):
    assert _ufw_kernel.state(read_table(saved), 4) == state


BEFORE = """# rules.before
*nat
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -o eth0 -j MASQUERADE
COMMIT
*filter
:ufw-before-input - [0:0]
:ufw-not-local - [0:0]
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
"""
AFTER = "*filter\n:ufw-after-input - [0:0]\n-A ufw-after-input -p udp --dport 137 -j ufw-skip-to-policy-input\nCOMMIT\n"


@pytest.mark.parametrize(
    "harmed",
    [
        "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n",
        "".join(line for line in SAVED.splitlines(True) if not line.startswith("-A")),
        SAVED.replace("-A INPUT -j ufw-before-input\n", "-A INPUT -j f2b\n"),
    ],
)
def test_what_was_flushed_is_built_again_and_what_is_anothers_stays(iptables_restore, harmed):
    text = _ufw_kernel.rebuild(policy(), 4, None, read_table(harmed), BEFORE, AFTER)
    loaded = iptables_restore(harmed, text)
    table = read_table(loaded)
    assert _ufw_kernel.state(table, 4) == "whole"
    assert differences(_ufw_kernel.transaction(policy(), 4, None), loaded) == []
    assert table.rules["ufw-before-input"][-1] == "-A ufw-before-input -j ufw-user-input"
    assert [rule for rule in table.rules["INPUT"] if "ufw" not in rule] == [
        rule for rule in read_table(harmed).rules["INPUT"] if "ufw" not in rule
    ]
    assert text.count("COMMIT") == 1 and "MASQUERADE" not in text


def test_a_change_is_taken_back_to_the_rule(iptables_restore):
    text = _ufw_kernel.transaction(policy(rules={4: [], 6: []}, incoming="reject", logging="full"), 4, True)
    undo = _ufw_kernel.undo(read_table(SAVED), text)
    back = read_table(iptables_restore(iptables_restore(SAVED, text), undo))
    had = read_table(SAVED)
    assert back.rules.pop(_ufw_kernel.DOCKER_CHAIN) == []
    assert back.rules == had.rules
    assert {chain: back.policies[chain] for chain in had.policies} == had.policies


def test_of_a_firewall_that_was_off_only_the_policies_are_taken_back():
    off = read_table("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n")
    undo = _ufw_kernel.undo(off, _ufw_kernel.transaction(policy(), 4, None), without_chains=True)
    assert undo == "*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\nCOMMIT\n"


def test_ipv6_that_is_not_filtered_is_closed_but_for_lo(iptables_restore):
    saved = (RECORDED / "ip6tables-save-low").read_text()
    table = read_table(iptables_restore(saved, _ufw_kernel.closed(read_table(saved))))
    assert [table.policies[chain] for chain in ("INPUT", "FORWARD", "OUTPUT")] == ["DROP"] * 3
    assert table.rules["ufw6-user-input"] == []
    assert table.rules["ufw6-before-input"] == ["-A ufw6-before-input -i lo -j ACCEPT"]
    assert table.rules["ufw6-before-output"] == ["-A ufw6-before-output -o lo -j ACCEPT"]


# Docker

NAT = """*nat
:DOCKER - [0:0]
-A POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
-A DOCKER -d 192.0.2.10/32 ! -i br-1f -p udp -m udp --dport 53 -j DNAT --to-destination 172.18.0.3:5353
-A DOCKER -d 127.0.0.1/32 ! -i docker0 -p tcp -m tcp --dport 5432 -j DNAT --to-destination 172.17.0.4:5432
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8443 -j DNAT --to-destination [fd00::2]:443
COMMIT
"""


def test_what_docker_publishes_to_others_is_told():
    keys = ("address", "port", "proto", "container", "container_port")
    assert [tuple(port[key] for key in keys) for port in _ufw_kernel.published(NAT)] == [
        ("any", 8080, "tcp", "172.17.0.2", 80),
        ("192.0.2.10", 53, "udp", "172.18.0.3", 5353),
        ("any", 8443, "tcp", "fd00::2", 443),
    ]


def test_the_lines_for_docker_come_and_go():
    with_block = _ufw_kernel.set_docker_block(AFTER, 6, True)
    assert with_block.startswith(AFTER)
    assert ":DOCKER-USER - [0:0]" in with_block and "-A DOCKER-USER -j ufw6-user-forward" in with_block
    assert _ufw_kernel.set_docker_block(with_block, 6, True) == with_block
    assert _ufw_kernel.set_docker_block(with_block, 6, False) == AFTER


def test_rules_of_another_in_dockers_chain_are_told_from_ours_and_dockers():
    own = [*_ufw_kernel.docker_rules(4), "-A DOCKER-USER -j RETURN"]
    # As iptables-save tells them.
    saved = [rule.replace("-j REJECT", "-j REJECT --reject-with icmp-port-unreachable") for rule in own]
    table = _ufw_kernel.Table({}, {"DOCKER-USER": [*saved, "-A DOCKER-USER -s 192.0.2.7/32 -j DROP"]})
    assert _ufw_kernel.foreign_docker_rules(table, 4) == ["-A DOCKER-USER -s 192.0.2.7/32 -j DROP"]
