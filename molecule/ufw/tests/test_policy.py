"""The module ufw_policy against a real UFW, a real sshd and a real kernel: what it does, what it refuses, and what comes back."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

EPHEMERAL = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
INVENTORY = EPHEMERAL / "inventory"
SSH_RULE = {"rule": "allow", "port": 2222, "proto": "tcp", "comment": "SSH"}
WEB_RULE = {"rule": "allow", "port": 80, "proto": "tcp", "comment": "web"}
FILES = "cat /etc/ufw/user.rules /etc/ufw/user6.rules /etc/default/ufw /etc/ufw/ufw.conf /etc/ufw/after.rules"
KERNEL = "for tool in iptables ip6tables; do $tool-save -t filter | grep -E '^:|ufw|DOCKER' | sed 's/\\[.*//'; done"


@pytest.fixture
def address(host):
    return host.check_output("hostname -I").split()[0]


@pytest.fixture
def calm(host):
    """The host, whose firewall is after the test what it was before."""
    host.check_output(
        "rm -rf /root/calm && mkdir /root/calm && cp -a /etc/ufw /root/calm/etc && cp -a /etc/default/ufw /root/calm/default"
    )
    yield host
    host.check_output(
        "cp -a /root/calm/etc/. /etc/ufw/ && cp -a /root/calm/default /etc/default/ufw && ufw --force enable && ufw reload"
    )


@pytest.fixture
def by_ssh(host, address):
    """An inventory by which the host is reached through the network."""
    variables = {
        "ansible_connection": "ssh",
        "ansible_host": address,
        "ansible_port": 2222,
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(EPHEMERAL / "key"),
        "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
        "ansible_timeout": 3,
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    path = EPHEMERAL / "by_ssh.json"
    path.write_text(json.dumps({"all": {"hosts": {"box": variables}}}))
    return path


def command(inventory, options, *flags):
    return [
        "ansible",
        "-i",
        str(inventory),
        "all",
        "-m",
        "gatehouse.webapp.ufw_policy",
        "-a",
        json.dumps(options),
        *flags,
    ]


def policy(options, *flags, inventory=INVENTORY):
    """The module's result, and all that was printed."""
    done = subprocess.run(
        command(inventory, options, *flags),
        env={**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_FORCE_COLOR": "false"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert "=> {" in done.stdout, done.stdout
    result = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("=> {") + 3 :])[0]
    return result | {"printed": done.stdout}


def opens(address, port, timeout=1):
    try:
        socket.create_connection((address, port), timeout=timeout).close()
    except OSError:
        return False
    return True


def state(host):
    return host.check_output(FILES), host.check_output(KERNEL)


def until(answer, seconds):
    """Ask until the answer is yes. False when it never was."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer():
            return True
        time.sleep(0.2)
    return False


def test_fifty_rules_go_in_with_one_call_and_a_second_changes_nothing(calm):
    rules = [
        SSH_RULE,
        *({"rule": "allow", "port": 10000 + i, "proto": "tcp", "comment": f"number {i}"} for i in range(50)),
    ]
    first = policy({"rules": rules})
    assert (first["outcome"], first["changed"]) == ("loaded", True)
    assert "10049/tcp ALLOW IN Anywhere  # gatehouse: number 49" in first["added"]
    assert "10049/tcp (v6) ALLOW IN Anywhere (v6)  # gatehouse: number 49" in first["added"]
    assert calm.check_output("ufw show added | grep -c 'number'") == "50"
    again = policy({"rules": rules})
    assert (again["outcome"], again["changed"]) == ("unchanged", False)


@pytest.mark.parametrize(
    ("purge", "left"),
    [
        ("none", ["7000/tcp", "9300/tcp", "80/tcp", "2222/tcp"]),
        ("managed", ["7000/tcp", "9300/tcp", "2222/tcp"]),
        ("all", ["2222/tcp"]),
    ],
)
def test_what_is_purged(calm, purge, left):
    policy({"rules": [SSH_RULE], "purge": purge})
    there = {line.split()[2] for line in calm.check_output("ufw show added").splitlines()[1:]}
    assert there >= set(left)
    assert not {"7000/tcp", "9300/tcp", "80/tcp"} - set(left) & there


def test_check_mode_shows_the_change_and_makes_none(host):
    before = state(host)
    result = policy({"rules": [SSH_RULE, WEB_RULE | {"port": 8088}]}, "--check")
    assert result["added"] == [
        "8088/tcp ALLOW IN Anywhere  # gatehouse: web",
        "8088/tcp (v6) ALLOW IN Anywhere (v6)  # gatehouse: web",
    ]
    assert state(host) == before


def test_open_connections_stay_and_nothing_gets_through_meanwhile(calm, address):
    """What `ufw reload` does not do: it lets everything through while it empties the chains."""
    through = []
    done = threading.Event()

    def knock():
        while not done.is_set():
            if opens(address, 8000, timeout=0.05):
                through.append(time.monotonic())

    with contextlib.closing(socket.create_connection((address, 80), timeout=5)) as connection:
        knocking = threading.Thread(target=knock)
        knocking.start()
        try:
            for level in ("low", "medium", "high"):
                result = policy(
                    {"rules": [SSH_RULE, WEB_RULE | {"port": 8088}], "logging": level, "incoming": "reject"}
                )
                assert result["outcome"] == "loaded"
        finally:
            done.set()
            knocking.join()
        assert not opens(address, 80)
        connection.sendall(b"GET /nothing HTTP/1.0\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.0 404")
    assert through == []


@pytest.mark.parametrize("harm", ["iptables -D ufw-user-input 1", "iptables -F", "ip6tables -F", "ip6tables -F INPUT"])
def test_a_policy_that_is_in_the_files_alone_is_loaded_again(calm, harm):
    rules = [SSH_RULE, WEB_RULE]
    policy({"rules": rules})
    before = state(calm)
    calm.check_output(harm)
    assert policy({"rules": rules})["outcome"] == "loaded"
    assert state(calm) == before


def test_a_firewall_that_is_off_is_switched_on(calm):
    before = state(calm)[1]
    calm.check_output("ufw disable")
    assert policy({"rules": [SSH_RULE], "purge": "none"})["outcome"] == "started"
    assert "ENABLED=yes" in calm.check_output("cat /etc/ufw/ufw.conf")
    assert state(calm)[1] == before


@pytest.mark.parametrize("harm", ["disable", "mask"])
def test_a_firewall_that_is_not_started_at_boot_is_again(calm, by_ssh, harm):
    calm.check_output(f"systemctl {harm} ufw.service")
    result = policy({"rules": [SSH_RULE], "purge": "none", "confirm_within": 30}, inventory=by_ssh)
    assert result["reasons"] == [f"The firewall is not started at boot: ufw.service is {harm.rstrip('e')}ed."]
    assert calm.check_output("systemctl is-enabled ufw.service") == "enabled"


def test_a_policy_that_lets_us_in_by_ssh_is_confirmed(calm, by_ssh):
    result = policy({"rules": [SSH_RULE, WEB_RULE | {"port": 8088}], "confirm_within": 30}, inventory=by_ssh)
    assert (result["outcome"], result["changed"]) == ("confirmed", True)
    assert "8088" in calm.check_output("ufw show added")
    assert calm.run("systemctl is-active gatehouse-ufw-undo.timer").stdout.strip() == "inactive"
    assert not calm.file("/run/gatehouse-ufw").exists


def test_a_policy_that_would_shut_out_our_connection_is_refused(host, by_ssh):
    before = state(host)
    result = policy({"rules": [WEB_RULE, {"rule": "allow", "port": 22}]}, inventory=by_ssh)
    assert result["cause"] == "would_shut_out"
    assert "port 2222" in result["msg"] and "no rule lets it in" in result["msg"]
    assert "{rule: allow, port: 2222, proto: tcp, from: " in result["hint"]
    assert state(host) == before


def test_a_policy_that_blocks_ssh_comes_back_by_itself(host, address, by_ssh):
    before = state(host)
    result = policy({"rules": [WEB_RULE], "guard": False, "confirm_within": 8}, inventory=by_ssh)
    assert (result["cause"], result["outcome"], result["changed"]) == ("not_confirmed", "reverted", False)
    assert state(host) == before
    assert opens(address, 2222)


def test_it_comes_back_too_when_the_firewall_was_off(calm, address, by_ssh):
    calm.check_output("ufw disable")
    before = state(calm)
    result = policy({"rules": [WEB_RULE], "guard": False, "confirm_within": 8}, inventory=by_ssh)
    assert (result["cause"], result["outcome"]) == ("not_confirmed", "reverted")
    assert state(calm)[0] == before[0]
    assert calm.check_output("ufw status") == "Status: inactive"
    assert opens(address, 8000)


def test_it_comes_back_too_when_ansible_is_killed(host, address, by_ssh):
    before = state(host)
    options = {"rules": [WEB_RULE], "guard": False, "confirm_within": 12}
    with subprocess.Popen(command(by_ssh, options), start_new_session=True, stdout=subprocess.DEVNULL) as ansible:
        assert until(lambda: not opens(address, 2222), 30)
        os.killpg(ansible.pid, signal.SIGKILL)
    assert not opens(address, 2222)
    assert host.check_output(FILES) == before[0]
    assert until(lambda: opens(address, 2222), 30)
    assert state(host) == before


def test_what_a_killed_run_left_is_undone_by_the_next(host, address, by_ssh):
    before = state(host)
    options = {"rules": [WEB_RULE], "guard": False, "confirm_within": 300}
    with subprocess.Popen(command(by_ssh, options), start_new_session=True, stdout=subprocess.DEVNULL) as ansible:
        assert until(lambda: not opens(address, 2222), 30)
        os.killpg(ansible.pid, signal.SIGKILL)
    rules = [SSH_RULE, WEB_RULE | {"comment": "site web"}]
    rules.append({"rule": "allow", "port": 9100, "proto": "tcp", "from": "172.16.0.0/12", "comment": "metrics"})
    assert policy({"rules": rules})["outcome"] == "unchanged"
    assert state(host) == before


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"port": 0}, "port 0 is not from 1 to 65535"),
        ({"port": 70000}, "port 70000 is not from 1 to 65535"),
        ({"port": 80, "from": "192.0.2.1/24"}, "host bits: the network is 192.0.2.0/24"),
        ({"port": 80, "interface_in": "nope0"}, "there is no interface nope0, but eth0, "),
        (
            {"port": 2222, "proto": "tcp", "rule": "deny"},
            "it contradicts {rule: allow, port: 2222, proto: tcp, comment: SSH}",
        ),
        ({"app": "Nowhere"}, "there is no application profile Nowhere in /etc/ufw/applications.d"),
    ],
)
def test_bad_input_leaves_the_policy_as_it_is(host, rule, words):
    before = state(host)
    result = policy({"rules": [SSH_RULE, {"rule": "allow"} | rule]})
    assert result["cause"] == "bad_input"
    assert words in result["msg"]
    assert "a right one is {rule: allow, port: 9100" in result["msg"]
    assert state(host) == before


def test_a_rule_for_ipv6_is_refused_where_ufw_does_not_filter_it(calm):
    calm.check_output("sed -i s/^IPV6=.*/IPV6=no/ /etc/default/ufw && ufw reload")
    before = state(calm)
    result = policy({"rules": [SSH_RULE, {"rule": "allow", "port": 80, "from": "2001:db8::/32"}]})
    assert result["cause"] == "bad_input"
    assert "IPV6=no in /etc/default/ufw" in result["msg"]
    assert state(calm) == before


@pytest.mark.parametrize(("condition", "outcome"), [("true", "unchanged"), ('[ "$3" != --test ]', "reverted")])
def test_a_rule_the_kernel_has_no_match_for_is_refused(host, condition, outcome):
    """By a tool that answers as the real one does on a kernel without xt_recent, in its test or only when it loads."""
    before = state(host)
    script = f"""#!/bin/bash
input=$(cat)
if {condition} && echo "$input" | grep -q 'recent --set'; then
    line=$(echo "$input" | grep -n 'recent --set' | head -1 | cut -d: -f1)
    echo "iptables-restore: line $line failed: No such file or directory" >&2
    exit 1
fi
echo "$input" | exec /usr/sbin/iptables-nft-restore "$@"
"""
    host.check_output("mv /usr/sbin/iptables-restore /usr/sbin/iptables-restore.real")
    try:
        host.check_output("echo %s > /usr/sbin/iptables-restore", script)
        host.check_output("chmod 0755 /usr/sbin/iptables-restore")
        result = policy({"rules": [SSH_RULE, {"rule": "limit", "port": 8088, "proto": "tcp"}], "purge": "none"})
    finally:
        host.check_output("mv /usr/sbin/iptables-restore.real /usr/sbin/iptables-restore")
    assert (result["cause"], result["outcome"]) == ("kernel_refused", outcome)
    assert "-m conntrack --ctstate NEW -m recent --set: iptables-restore: line " in result["msg"]
    assert state(host) == before


def test_without_ufw_it_says_so(host):
    host.check_output("mv /lib/ufw /lib/ufw.away")
    try:
        result = policy({"rules": [SSH_RULE]})
    finally:
        host.check_output("mv /lib/ufw.away /lib/ufw")
    assert result["cause"] == "not_installed"
    assert "apt-get install ufw" in result["hint"]


@pytest.fixture
def published(calm):
    """A container as Docker publishes it: its port 80 at 8090 of the host, past UFW's chains."""
    calm.check_output(
        "ip netns add box && ip link add docker0 type veth peer name inside && ip link set inside netns box"
        " && ip address add 172.31.99.1/24 dev docker0 && ip link set docker0 up"
        " && ip -n box address add 172.31.99.2/24 dev inside && ip -n box link set inside up && ip -n box link set lo up"
        " && ip -n box route add default via 172.31.99.1"
        " && iptables -t nat -N DOCKER && iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER"
        " && iptables -t nat -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8090 -j DNAT --to-destination 172.31.99.2:80"
        " && iptables -N DOCKER-USER && iptables -A DOCKER-USER -j RETURN"
        " && iptables -I FORWARD -o docker0 -j ACCEPT && iptables -I FORWARD -i docker0 -j ACCEPT && iptables -I FORWARD -j DOCKER-USER"
        " && systemd-run --unit=inside ip netns exec box python3 -m http.server 80"
    )
    yield calm
    calm.check_output(
        "systemctl stop inside; ip netns delete box; ip link delete docker0"
        "; iptables -D FORWARD -j DOCKER-USER; iptables -D FORWARD -i docker0 -j ACCEPT; iptables -D FORWARD -o docker0 -j ACCEPT"
        "; for tool in iptables ip6tables; do $tool -F DOCKER-USER; $tool -X DOCKER-USER; done"
        "; iptables -t nat -F PREROUTING; iptables -t nat -F DOCKER; iptables -t nat -X DOCKER; true"
    )


def test_what_docker_publishes_past_ufw_is_reported_and_closed_by_setting(address, published):
    assert until(lambda: opens(address, 8090), 10)
    told = policy({"rules": [SSH_RULE]})
    port = {
        "address": "any",
        "port": 8090,
        "proto": "tcp",
        "container": "172.31.99.2",
        "container_port": 80,
        "family": "IPv4",
    }
    assert told["published"] == [port | {"closed": False}]
    assert "Docker publishes 8090/tcp past UFW" in " ".join(told["printed"].split())
    assert opens(address, 8090)

    closed = policy({"rules": [SSH_RULE], "docker": "close"})
    assert closed["published"] == [port | {"closed": True}]
    assert not opens(address, 8090)
    assert "DOCKER-USER" in published.check_output("cat /etc/ufw/after.rules")
    assert policy({"rules": [SSH_RULE], "docker": "close"})["outcome"] == "unchanged"

    policy(
        {"rules": [SSH_RULE, {"rule": "allow", "direction": "routed", "port": 80, "proto": "tcp"}], "docker": "close"}
    )
    assert opens(address, 8090)

    policy({"rules": [SSH_RULE]})
    assert "DOCKER-USER" not in published.check_output("cat /etc/ufw/after.rules")
    assert opens(address, 8090)


def test_rules_of_another_in_dockers_chain_are_not_lost(published):
    published.check_output("iptables -I DOCKER-USER -s 192.0.2.7 -j DROP")
    before = state(published)
    result = policy({"rules": [SSH_RULE], "docker": "close"})
    assert result["cause"] == "docker_rules"
    assert "-A DOCKER-USER -s 192.0.2.7/32 -j DROP" in result["msg"]
    assert state(published) == before
