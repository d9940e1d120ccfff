"""The loops over sites that have a certificate: Ansible shows the whole item of one that fails, whatever its label says."""

import json

import pytest

SECRET = "kept-from-every-report"
ROUTES = [
    {"path": "/", "app": "shop"},
    {"path": "/staff", "static": "/srv/staff", "auth_basic": {"realm": "Staff", "users": {"ann": "$6$salt$" + SECRET}}},
]
CHECKS = [
    {"path": "/me", "headers": {"X-Token": SECRET}},
    {"path": "/login", "method": "POST", "json": {"password": SECRET}},
]
HSTS = {"max_age": 300}
SITES = [
    {"name": "own", "tls": {"mode": "files", "certificate": "/c.pem", "key": "/c.key", "hsts": HSTS}},
    {"name": "chat", "tls": {"mode": "acme", "email": "ops@example.com", "hsts": HSTS}},
]


@pytest.fixture
def items(value_of, tasks_of, an_app):
    """What the loops of a role's tasks go over, for sites with secrets."""

    def found(role, path):
        sites = [
            dict(site, server_names=[site["name"] + ".example.com"], routes=ROUTES, verify=CHECKS) for site in SITES
        ]
        model = {role + "_apps": [an_app()], role + "_sites": sites}
        assert SECRET in json.dumps(value_of(role, "__%s_model" % role, **model))
        loops = [task["loop"] for task in tasks_of(role, path) if "loop" in task]
        return [item for loop in loops for item in value_of(role, "loop", loop=loop, **model)]

    return found


@pytest.mark.parametrize(
    ("role", "path", "names"),
    [
        ("nginx_proxy", "certificates.yml", ["own", "chat"]),
        ("tls_certificate", "prepare.yml", ["own", "chat"]),
        ("tls_certificate", "keep.yml", ["chat", "own", "chat"]),
    ],
)
def test_a_loop_over_sites_holds_no_secrets(items, role, path, names):
    found = items(role, path)
    assert [item["name"] for item in found] == names
    assert [item["server_names"] for item in found] == [[name + ".example.com"] for name in names]
    assert all(item["tls"]["mode"] for item in found)
    assert SECRET not in json.dumps(found)
