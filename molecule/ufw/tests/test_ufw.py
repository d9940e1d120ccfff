"""What the firewall lets through, asked from outside, and how it says so itself."""

import socket

import pytest


@pytest.fixture
def address(host):
    return host.check_output("hostname -I").split()[0]


@pytest.fixture
def rules(host):
    lines = host.check_output("ufw status verbose").splitlines()
    return {line[:27].strip(): line[27:].split("#")[0].strip() for line in lines if "ALLOW IN" in line}


def opens(address, port):
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("port", [80, 2222, 9100])
def test_what_is_wanted_is_open(address, port):
    assert opens(address, port)


@pytest.mark.parametrize("port", [8000, 3306])
def test_what_listens_but_is_not_wanted_is_closed(host, address, port):
    assert host.socket(f"tcp://:::{port}").is_listening
    assert not opens(address, port)


def test_the_port_of_ssh_was_found(rules):
    assert "2222/tcp" in rules
    assert "22/tcp" not in rules


@pytest.mark.parametrize("port", ["80/tcp (v6)", "2222/tcp (v6)"])
def test_the_policy_holds_for_ipv6(rules, port):
    assert port in rules


def test_everything_else_is_denied_and_the_firewall_starts_at_boot(host):
    assert "Default: deny (incoming), allow (outgoing)" in host.check_output("ufw status verbose")
    assert "ENABLED=yes" in host.file("/etc/ufw/ufw.conf").content_string


def test_a_port_that_no_site_needs_any_more_is_closed(rules):
    assert not [rule for rule in rules if rule.startswith("8443")]


def test_rules_made_by_hand_stay(rules):
    assert "7000/tcp" in rules
