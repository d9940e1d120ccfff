"""Where a host is asked from outside, which rule of UFW opens a port, and what is reported."""

import re

import pytest

APPS = [
    {"name": "web", "runtime": "external", "port": 8000, "health": {"path": "/"}, "websocket": {"path": "/ws"}},
]
SITES = [
    {
        "name": "web",
        "server_names": ["web.example.com"],
        "routes": [{"path": "/", "app": "web"}, {"path": "/ws", "app": "web", "websocket": True}],
    }
]
FACTS = {"ansible_facts": {"default_ipv4": {"address": "172.17.0.9"}}}


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ({"ansible_host": "192.0.2.10"}, "192.0.2.10"),
        ({"inventory_hostname": "web.example.com"}, "web.example.com"),
        ({"ansible_connection": "local", "ansible_host": "127.0.0.1", **FACTS}, "127.0.0.1"),
        ({"ansible_connection": "ansible.builtin.ssh", "ansible_host": "2001:db8::10", **FACTS}, "[2001:db8::10]"),
        ({"ansible_connection": "community.docker.docker", "ansible_host": "192.0.2.10", **FACTS}, "172.17.0.9"),
        ({"ansible_connection": "containers.podman.podman", **FACTS}, "172.17.0.9"),
        ({"verify_address": "www.example.com", **FACTS}, "www.example.com"),
    ],
)
def test_the_host_is_asked_where_the_control_node_reaches_it(value_of, host, address):
    assert value_of("verify", "__verify_authority", **host).strip() == address


# Lines of `ufw status verbose`, recorded from ufw 0.36.2.
@pytest.mark.parametrize(
    ("line", "opens"),
    [
        ("80/tcp                     ALLOW IN    Anywhere                   # gatehouse: site a", True),
        ("80                         LIMIT IN    Anywhere", True),
        ("80,443/tcp (Nginx Full)    ALLOW IN    Anywhere", True),
        ("443,80/tcp                 ALLOW IN    Anywhere                   # a (b) c", True),
        ("80/tcp                     DENY IN     Anywhere", False),
        ("80/tcp                     ALLOW IN    10.0.0.0/8", False),
        ("80/tcp (v6)                ALLOW IN    Anywhere (v6)", False),
        ("80/tcp                     ALLOW OUT   Anywhere", False),
        ("8080/tcp                   ALLOW IN    Anywhere", False),
        ("180/tcp                    ALLOW IN    Anywhere", False),
        ("80/udp                     ALLOW IN    Anywhere", False),
    ],
)
def test_a_rule_opens_a_port_for_everybody_or_not(value_of, line, opens):
    pattern = value_of("verify", "__verify_opens") % 80
    assert bool(re.search(pattern, f"To   Action   From\n{line}\n")) is opens


def measured(value_of, **host):
    def result(status, latency, item):
        return {"status": status, "latency": latency, "item": item}

    probe = {"host": "web.example.com", "path": "/", "websocket": "/ws"}
    return value_of(
        "verify",
        "__verify_report",
        **{
            "verify_apps": APPS,
            "verify_sites": SITES,
            "verify_address": "192.0.2.10",
            "__verify_ufw": {"rc": 0},
            "__verify_on_ports": {"results": [result(200, 0.0012, [{}, {"name": "web@1.service", "port": 8000}])]},
            "__verify_on_host": {"results": [result(200, 0.003, probe)]},
            "__verify_from_outside": {"results": [result(204, 0.0416, probe)]},
            "__verify_by_websocket": {"results": [result(101, 0.005, probe)]},
            **host,
        },
    ).splitlines()


def test_the_report_has_a_line_for_each_measurement(value_of):
    assert measured(value_of) == [
        "web@1.service on port 8000: 200 in 1 ms",
        "UFW is active and lets through: 80",
        "web.example.com/ through nginx on the host: 200 in 3 ms",
        "web.example.com/ at 192.0.2.10: 204 in 42 ms",
        "web.example.com/ws at 192.0.2.10: 101 in 5 ms",
    ]


@pytest.mark.parametrize(
    ("host", "line"),
    [
        ({"verify_firewall": False}, "The firewall was not measured: verify_firewall is false."),
        ({"__verify_ufw": {"rc": 127}}, "The firewall was not measured: UFW is not installed."),
        ({"verify_sites": []}, "There are no sites, so neither nginx nor the firewall was measured."),
    ],
)
def test_the_report_says_what_was_not_measured_and_why(value_of, host, line):
    assert measured(value_of, **host)[1] == line


def test_the_report_names_a_health_path_that_no_route_leads_to(value_of):
    apps = [*APPS, {"name": "admin", "runtime": "external", "port": 9000, "health": {"path": "/admin-health"}}]
    sites = [{**SITES[0], "routes": [*SITES[0]["routes"], {"path": "/admin/", "app": "admin"}]}]
    assert measured(value_of, verify_apps=apps, verify_sites=sites)[-1] == (
        "Site web: no route leads to the health path of admin, so it was not measured through nginx."
    )


@pytest.mark.parametrize(("green", "ports"), [(False, [9000, 8000]), (True, [9000, 18000])])
def test_the_set_that_serves_is_measured(value_of, an_app, green, ports):
    apps = [an_app(name="in-place", port=9000, strategy="restart"), an_app()]
    sets = {"results": [{"item": {"name": "shop"}, "stat": {"exists": green}}]}
    services = value_of("verify", "__verify_services", verify_apps=apps, verify_sites=[], __verify_sets=sets)
    assert [service["port"] for _app, service in services] == ports


def test_on_a_proxy_no_service_is_measured_and_the_report_says_nothing_of_one(value_of):
    skipped = {"results": [{"skipped": True, "item": [{}, {"name": "web@1.service", "port": 8000}]}]}
    assert measured(value_of, __verify_on_ports=skipped)[0] == "UFW is active and lets through: 80"


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
