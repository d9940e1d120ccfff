"""What the firewall lets through, asked from outside, and how it says so itself."""

import os
import socket
import subprocess

import pytest

SCENARIO = os.environ["MOLECULE_SCENARIO_DIRECTORY"]
INVENTORY = os.path.join(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "inventory")


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


@pytest.mark.parametrize("port", [8000, 3306, 9200])
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


@pytest.mark.parametrize("port", ["8443", "9200", "2022"])
def test_what_no_site_and_no_rule_asks_for_any_more_is_removed(rules, port):
    assert not [rule for rule in rules if rule.startswith(port)]


def test_rules_made_by_hand_stay_in_their_places(host):
    assert host.check_output("ufw show added").splitlines()[1:3] == [
        "ufw allow 7000/tcp comment 'by hand'",
        "ufw limit 9300/tcp",
    ]


def test_the_files_are_to_the_letter_what_ufw_itself_writes(host):
    files = "/etc/ufw/user.rules /etc/ufw/user6.rules"
    before = host.check_output(f"cat {files}")
    host.check_output("ufw logging low")
    assert host.check_output(f"cat {files}") == before


def test_a_wrong_rule_is_refused_before_anything_is_touched(host):
    before = host.check_output("cat /etc/ufw/user.rules")
    wrong = '{"ufw_rules": [{"rule": "deny", "port": 22}, {"rule": "allow", "port": 80, "from": "192.0.2.0/33"}]}'
    command = ["ansible-playbook", "-i", INVENTORY, f"{SCENARIO}/converge.yml", "-e", wrong]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert result.returncode != 0
    assert "from 192.0.2.0/33 is neither an address nor a network such as 192.0.2.0/24" in result.stdout
    assert host.check_output("cat /etc/ufw/user.rules") == before
