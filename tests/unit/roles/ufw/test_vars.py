"""Which ports of SSH are found."""

import pytest

# Recorded: sshd -T of OpenSSH 9.2, and systemctl show --property=Listen ssh.socket.
SSHD = "port 22\naddressfamily any\nlistenaddress [::]:22\nlistenaddress 0.0.0.0:22\nusepam yes\n"
SSHD_WITH_ADDRESS = "port 2222\nlistenaddress 0.0.0.0:2200\nlistenaddress [::1]:2300\n"
SOCKET = "Listen=[::]:2022 (Stream)\n"

CONTAINER = {"ansible_connection": "community.docker.docker"}
CONNECTION = {"__ufw_connection": {"stdout": "192.0.2.7 51442 192.0.2.10 2200"}}


def looked(*parts):
    return {"__ufw_look": {"stdout": "".join(parts)}}


@pytest.mark.parametrize(
    ("host", "ports"),
    [
        ({**CONTAINER}, [22]),
        ({**CONTAINER, **looked()}, [22]),
        ({**CONTAINER, **looked(SSHD)}, [22]),
        ({**CONTAINER, **looked(SSHD_WITH_ADDRESS)}, [2200, 2300]),
        ({**CONTAINER, **looked(SSHD, SOCKET)}, [22, 2022]),
        ({**CONNECTION, **looked(SSHD)}, [22, 2200]),
        # A forwarded port is of no use on the host, unless there is nothing better.
        ({**CONNECTION, **looked(), "ansible_port": 62200}, [2200]),
        ({**looked(), "ansible_port": 62200, "ansible_connection": "ansible.builtin.ssh"}, [62200]),
        ({**looked(), "ansible_port": 62200, **CONTAINER}, [22]),
        ({**CONNECTION, **looked(SSHD), "ufw_ssh_ports": [2022]}, [2022]),
    ],
)
def test_the_ports_of_ssh_are_found(value_of, host, ports):
    assert value_of("ufw", "__ufw_ssh_ports", **host) == ports


def test_ssh_comes_first_and_the_rules_of_the_user_last(value_of):
    rules = value_of(
        "ufw",
        "__ufw_wanted",
        **CONTAINER,
        ufw_apps=[{"name": "web", "runtime": "external", "port": 8000, "health": {"path": "/"}}],
        ufw_sites=[{"name": "web", "default": True, "routes": [{"path": "/", "app": "web"}]}],
        ufw_rules=[{"rule": "allow", "port": 9100}],
    )
    assert [(rule["rule"], rule["port"], rule.get("comment")) for rule in rules] == [
        ("allow", 22, "SSH"),
        ("allow", 80, "site web"),
        ("allow", 9100, None),
    ]


@pytest.mark.parametrize(
    ("ssh_rule", "rules"),
    [
        ("limit", [("allow", "192.0.2.0/24"), ("allow", "2001:db8::1"), ("limit", None)]),
        ("trusted", [("allow", "192.0.2.0/24"), ("allow", "2001:db8::1")]),
    ],
)
def test_who_is_trusted_comes_before_any_limit(value_of, ssh_rule, rules):
    host = {"ufw_ssh_rule": ssh_rule, "ufw_trusted": ["192.0.2.0/24", "2001:db8::1"], "ufw_ssh_ports": [22]}
    wanted = value_of("ufw", "__ufw_wanted", **CONTAINER, **host)
    assert [(rule["rule"], rule.get("from")) for rule in wanted] == rules


@pytest.mark.parametrize(("here", "sources"), [(True, ["192.0.2.20", "192.0.2.21"]), (False, [])])
def test_an_app_is_exposed_on_its_own_hosts_to_those_who_were_named(value_of, an_app, here, sources):
    app = an_app(expose=["192.0.2.20", "192.0.2.21"])
    rules = value_of("ufw", "__ufw_wanted", **CONTAINER, ufw_apps=[app], ufw_sites=[], ufw_expose=here)
    assert [rule["from"] for rule in rules if rule["port"] == 8000] == sources
