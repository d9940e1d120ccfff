"""The port in four places, and who differs."""

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils._agreement import (
    agreement,
    describe,
    next_step,
    upstream_ports,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._gated import Service

WEB = Service("web@3000.service", 3000)
NGINX = """
# configuration file /etc/nginx/nginx.conf:
upstream web {
    zone web 64k;
    # server 127.0.0.1:9999;
    server 127.0.0.1:3000 max_fails=0;
    server [::1]:3001 max_fails=0;
    server 127.0.0.1:13000 max_fails=0 backup;
}
upstream web.green { server 127.0.0.1:13000; server 127.0.0.1:3000 backup; }
upstream web2 { server 127.0.0.1:4000; }
"""


@pytest.mark.parametrize(
    ("name", "ports"), [("web", [3000, 3001, 13000]), ("web2", [4000]), ("web3", None), ("we", None)]
)
def test_an_upstream_is_read_with_what_takes_its_place(name, ports):
    assert upstream_ports(NGINX, name) == ports


@pytest.mark.parametrize(
    ("environment", "listening", "proxied", "wrong"),
    [
        ("3000", [3000], [3000, 13000], []),
        (None, [3000, 9100], None, []),
        ("3001", [3000], [3000], ["environment"]),
        ("3000", [3003], [3000], ["listening"]),
        ("3000", [], [3000], ["listening"]),
        ("3000", [3000], [3003], ["proxied"]),
        ("3001", [3001], [3003], ["environment", "listening", "proxied"]),
    ],
)
def test_whoever_differs_from_the_model_is_named(environment, listening, proxied, wrong):
    found = agreement(WEB, environment, listening, proxied)
    assert (found["wrong"], found["ok"]) == (wrong, not wrong)


def test_all_four_are_shown():
    found = agreement(WEB, "3000", [3000], [3003])
    assert describe(found) == (
        "web@3000.service: the model says 3000; its process was told PORT=3000; it listens on 3000; nginx sends to 3003 <- differs"
    )
    assert next_step(found).startswith("ansible-playbook site.yml --tags nginx_proxy")
    assert "listens on no port <- differs" in describe(agreement(WEB, None, [], None))
