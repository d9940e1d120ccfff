"""UFW's files, read and written. What was recorded is of ufw 0.36.2 with rules of every kind, made by hand."""

import random
from pathlib import Path

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _ufw
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._ufw_plan import Surroundings, read_wish

RECORDED = Path(__file__).parent / "recorded_ufw"
POLICY = _ufw.Policy({4: [], 6: []}, "deny", "allow", "deny", "low", True, True)
RULE = _ufw.Rule(False, "allow", "", "any", "any", "0.0.0.0/0", "any", "0.0.0.0/0", "", "", "in", "", "", "")


def recorded(name):
    return (RECORDED / name).read_text()


def rule(**fields):
    return RULE._replace(**fields)


def test_what_ufw_has_written_is_written_again_to_the_letter():
    text = recorded("user.rules")
    assert _ufw.render_rules(POLICY._replace(rules={4: _ufw.parse_rules(text, 4), 6: []}), 4) == text


@pytest.mark.parametrize("level", _ufw.LEVELS)
def test_so_it_is_at_each_level_of_logging(level):
    text = recorded(f"user6-{level}.rules")
    assert _ufw.render_rules(POLICY._replace(rules={4: [], 6: _ufw.parse_rules(text, 6)}, logging=level), 6) == text


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in", {"proto": "tcp", "port": "22"}),
        ("allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in comment=67617465", {"proto": "tcp", "port": "22", "comment": "gate"}),
        (
            "limit_log udp 99 0.0.0.0/0 any 0.0.0.0/0 in",
            {"action": "limit", "log": "log", "proto": "udp", "port": "99"},
        ),
        (
            "deny_log-all any any 0.0.0.0/0 any 10.0.0.0/8 in",
            {"action": "deny", "log": "log-all", "source": "10.0.0.0/8"},
        ),
        (
            "reject any any 0.0.0.0/0 any 0.0.0.0/0 out_eth0",
            {"action": "reject", "direction": "out", "interface_out": "eth0"},
        ),
        ("allow any any 0.0.0.0/0 any 0.0.0.0/0 in_br-a_b", {"interface_in": "br-a_b"}),
        (
            "route:allow tcp 80 172.17.0.2 any 0.0.0.0/0 in_eth0!out_wg0",
            {
                "routed": True,
                "proto": "tcp",
                "port": "80",
                "to": "172.17.0.2",
                "interface_in": "eth0",
                "interface_out": "wg0",
            },
        ),
        (
            "allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 Nginx%20Full - in",
            {"proto": "tcp", "port": "80,443", "app": "Nginx Full"},
        ),
        # The format of old, without a direction; and what only an editor writes.
        ("allow tcp 22 0.0.0.0/0 any 0.0.0.0/0", {"proto": "tcp", "port": "22"}),
        ("allow any any 0.0.0.0/0 any 10.1.2.3/255.0.0.0 in", {"source": "10.0.0.0/8"}),
        ("allow any any 192.0.2.5/32 any 0.0.0.0/0 in", {"to": "192.0.2.5"}),
        ("allow tcp 443,80 0.0.0.0/0 any 0.0.0.0/0 in", {"proto": "tcp", "port": "80,443"}),
    ],
)
def test_a_line_is_read(line, fields):
    assert _ufw.parse_rules(f"*filter\n### tuple ### {line}\n", 4) == [rule(**fields)]


@pytest.mark.parametrize(
    "line",
    [
        "permit tcp 22 0.0.0.0/0 any 0.0.0.0/0 in",
        "allow tcp 22",
        "allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 sideways",
        "allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in comment=xyz",
        "allow tcp 80,x 0.0.0.0/0 any 0.0.0.0/0 in",
    ],
)
def test_a_line_that_cant_be_read_is_shown_and_never_dropped(line):
    with pytest.raises(GatehouseError) as error:
        _ufw.parse_rules(f"*filter\n### tuple ### {line}\n", 4)
    assert error.value.cause == "unreadable"
    assert f"Line 2 of /etc/ufw/user.rules can't be read: ### tuple ### {line}" in error.value.message


def random_wish(dice):
    """A rule that UFW can have, of any kind."""
    several = dice.random() < 0.3
    proto = dice.choice(["tcp", "udp"]) if several else dice.choice(["any", "tcp", "udp"])
    port = dice.choice([f"{dice.randint(1, 9)},{dice.randint(10, 99)}:{dice.randint(100, 65535)}", "6000:6007"])
    direction = dice.choice(["in", "out", "routed"])
    family = dice.choice([4, 6, None])
    address = {4: ["192.0.2.7", "10.0.0.0/8"], 6: ["2001:db8::7", "2001:db8::/32"], None: [None]}[family]
    return {
        "rule": dice.choice(["allow", "deny", "limit", "reject"]),
        "direction": direction,
        "proto": proto,
        "port": port if several else str(dice.randint(1, 65535)),
        "from_port": dice.choice([None, str(dice.randint(1, 65535))]),
        "from": dice.choice([None, *address]),
        "to": dice.choice([None, *address]),
        "interface_in": dice.choice([None, "eth0"]) if direction != "out" else None,
        "interface_out": dice.choice([None, "wg0", "br-+"]) if direction != "in" else None,
        "log": dice.choice(["none", "new", "all"]),
        "comment": dice.choice([None, "site chat", "ünïcode, # and = too", "in comment=61"]),
    }


@pytest.mark.parametrize("seed", range(20))
def test_what_is_written_is_read_again_as_the_same(seed):
    dice = random.Random(seed)
    host = Surroundings({}, None, True)
    for _round in range(50):
        wanted = read_wish([random_wish(dice)], "gatehouse", host)
        policy = POLICY._replace(rules=wanted, logging=dice.choice(_ufw.LEVELS))
        for family in (4, 6):
            text = _ufw.render_rules(policy, family)
            assert _ufw.parse_rules(text, family) == wanted[family]
            assert _ufw.strays(text, wanted[family], family) == []


def test_lines_that_no_rule_has_made_are_told():
    text = recorded("user.rules").replace(
        "### END RULES", "-A ufw-user-input -p tcp --dport 4444 -j ACCEPT\n### END RULES"
    )
    assert _ufw.strays(text, _ufw.parse_rules(text, 4), 4) == ["-A ufw-user-input -p tcp --dport 4444 -j ACCEPT"]


DEFAULTS = """# Set to yes to apply rules to support IPv6 (no means only IPv6 on loopback
IPV6=no

DEFAULT_INPUT_POLICY="REJECT"
DEFAULT_OUTPUT_POLICY="ACCEPT"
DEFAULT_FORWARD_POLICY="DROP"
IPT_MODULES=""
"""
CONF = "# /etc/ufw/ufw.conf\n#\nENABLED=no\nLOGLEVEL=medium\n"


def test_the_settings_are_read():
    policy = _ufw.parse_policy("", "", DEFAULTS, CONF)
    assert policy == ({4: [], 6: []}, "reject", "allow", "deny", "medium", False, False)


def test_settings_are_set_where_they_stand_and_all_else_stays():
    policy = POLICY._replace(incoming="deny", routed="allow", logging="off")
    assert _ufw.render_defaults(DEFAULTS, policy) == DEFAULTS.replace("=no", "=yes").replace(
        '"REJECT"', '"DROP"'
    ).replace('FORWARD_POLICY="DROP"', 'FORWARD_POLICY="ACCEPT"')
    assert _ufw.render_conf(CONF, policy) == CONF.replace("=no", "=yes").replace("medium", "off")
    assert _ufw.render_conf("# none", policy) == "# none\nENABLED=yes\nLOGLEVEL=off\n"


def test_profiles_are_read():
    text = "[Web Shop]\ntitle=Shop\nports=443,80/tcp|6000:6007/udp|5353\n\n[SSH]\nports = 22/tcp\n"
    assert _ufw.parse_profiles(["# empty\n", text]) == {
        "Web Shop": [("80,443", "tcp"), ("6000:6007", "udp"), ("5353", "any")],
        "SSH": [("22", "tcp")],
    }


@pytest.mark.parametrize(
    ("fields", "family", "shown"),
    [
        (
            {"proto": "tcp", "port": "80", "comment": "gatehouse: site chat"},
            4,
            "80/tcp ALLOW IN Anywhere  # gatehouse: site chat",
        ),
        ({"proto": "tcp", "port": "80", "to": "::/0", "source": "::/0"}, 6, "80/tcp (v6) ALLOW IN Anywhere (v6)"),
        ({"port": "25", "action": "reject", "direction": "out"}, 4, "25 REJECT OUT Anywhere"),
        ({"port": "53", "log": "log-all", "source": "10.0.0.0/8"}, 4, "53 ALLOW IN 10.0.0.0/8 (log-all)"),
        ({"port": "80,443", "proto": "tcp", "app": "Shop"}, 4, "80,443/tcp (Shop) ALLOW IN Anywhere"),
        ({"port": "22", "interface_in": "eth0", "to": "192.0.2.1"}, 4, "192.0.2.1 22 on eth0 ALLOW IN Anywhere"),
        ({"direction": "out", "interface_out": "eth0"}, 4, "Anywhere ALLOW OUT Anywhere on eth0"),
        (
            {"routed": True, "interface_in": "eth0", "interface_out": "wg0"},
            4,
            "Anywhere on wg0 ALLOW FWD Anywhere on eth0",
        ),
        ({"proto": "esp", "source": "10.2.0.0/16"}, 4, "Anywhere/esp ALLOW IN 10.2.0.0/16/esp"),
    ],
)
def test_a_rule_is_shown_as_ufw_shows_it(fields, family, shown):
    assert _ufw.describe(rule(**fields), family) == shown


def test_a_policy_is_shown_without_rules_that_are_not_in_force():
    policy = POLICY._replace(rules={4: [rule(port="80")], 6: [rule(port="81")]}, ipv6=False)
    assert _ufw.describe_policy(policy) == [
        "Status: active",
        "Logging: low",
        "Default: deny (incoming), allow (outgoing), deny (routed)",
        "IPv6: no",
        "80 ALLOW IN Anywhere",
    ]
