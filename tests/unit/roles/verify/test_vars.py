"""Where a host is asked from outside, and what is told of one that can't be reached."""

import pytest

FACTS = {"ansible_facts": {"default_ipv4": {"address": "172.17.0.9"}}}


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ({"ansible_host": "192.0.2.10"}, "192.0.2.10"),
        ({"inventory_hostname": "web.example.com"}, "web.example.com"),
        ({"ansible_connection": "local", "ansible_host": "127.0.0.1", **FACTS}, "127.0.0.1"),
        ({"ansible_connection": "ansible.builtin.ssh", "ansible_host": "2001:db8::10", **FACTS}, "2001:db8::10"),
        ({"ansible_connection": "community.docker.docker", "ansible_host": "192.0.2.10", **FACTS}, "172.17.0.9"),
        ({"ansible_connection": "containers.podman.podman", **FACTS}, "172.17.0.9"),
        ({"verify_address": "www.example.com", **FACTS}, "www.example.com"),
    ],
)
def test_the_host_is_asked_where_the_control_node_reaches_it(value_of, host, address):
    assert value_of("verify", "verify_address", **host).strip() == address


BAD = {"verdict": "ufw", "ok": False, "evidence": ["from the control node: silence", "packet filter: drop"]}


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ({}, ""),
        ({"__verify_reach": {"skipped": True}}, ""),
        ({"__verify_reach": {"failed": True, "msg": "the module broke"}}, ""),
        ({"__verify_reach": {"verdicts": [{"verdict": "open", "ok": True}]}}, ""),
        (
            {"__verify_reach": {"msg": "UFW drops it\nNext: ufw status", "verdicts": [{"ok": True}, BAD]}},
            "\n\nWhy: UFW drops it\nNext: ufw status\nfrom the control node: silence\npacket filter: drop",
        ),
    ],
)
def test_why_a_port_cannot_be_reached_is_told_where_it_is_known(value_of, host, why):
    assert value_of("verify", "__verify_why", **host).rstrip(" ") == why


@pytest.mark.parametrize(
    ("check", "asked"),
    [
        ({"stage": 5, "cause": "timed_out", "port": 80}, [80]),
        ({"stage": 6, "cause": "refused", "port": 443}, [443]),
        ({"stage": 4, "cause": "refused", "port": 80}, []),
        ({"stage": 5, "cause": "bad_status", "port": 80}, []),
        ({"stage": 5, "cause": None, "port": 80}, []),
        ({"stage": 5, "cause": "refused", "port": 443, "site": None}, []),
    ],
)
def test_the_host_is_asked_about_a_port_that_could_not_be_connected_to(value_of, check, asked):
    unreached = value_of("verify", "__verify_unreached", __verify_found={"checks": [{"site": "shop", **check}]})
    assert [one["port"] for one in unreached] == asked
