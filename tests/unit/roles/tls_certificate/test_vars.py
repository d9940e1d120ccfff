"""Whose certificates the role looks at, and whose it makes."""

import pytest

SITES = [
    {"name": "plain", "tls": {}},
    {"name": "own", "tls": {"mode": "files", "certificate": "/c.pem", "key": "/c.key"}},
    {"name": "demo", "tls": {"mode": "self_signed"}},
    {"name": "chat", "tls": {"mode": "acme", "email": "ops@example.com"}},
]
ROUTES = [{"path": "/", "return": 404}]


@pytest.fixture
def found(value_of):
    def value(name, sites, wishes=()):
        whole = [dict(site, server_names=[site["name"] + ".example.com"], routes=ROUTES) for site in sites]
        found = {"stdout_lines": list(wishes)}
        return value_of("tls_certificate", name, tls_certificate_sites=whole, __tls_certificate_wishes=found)

    return value


def test_files_are_looked_at_and_the_others_are_kept(found):
    assert [site["name"] for site in found("__tls_certificate_files", SITES)] == ["own"]
    assert [site["name"] for site in found("__tls_certificate_managed", SITES)] == ["demo", "chat"]
    assert found("__tls_certificate_paths", SITES) == ["/etc/gatehouse/tls/demo.json", "/etc/gatehouse/tls/chat.json"]


@pytest.mark.parametrize(
    ("sites", "wishes", "needed"),
    [(SITES, [], True), (SITES[:2], [], False), (SITES[:2], ["/etc/gatehouse/tls/gone.json"], True)],
)
def test_the_timer_is_there_as_long_as_it_is_needed(found, sites, wishes, needed):
    assert found("__tls_certificate_was_needed", sites, wishes) is needed
