"""Encryption of the sites: what is refused with the right input, and what follows."""

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _site_certificate
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _tls
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._model import resolve

ACME = {"mode": "acme", "email": "ops@example.com"}
FILES = {"mode": "files", "certificate": "/c.pem", "key": "/c.key"}


def site(tls=None, name="chat", **changes):
    routes = [{"path": "/", "return": 404}]
    return {"name": name, "server_names": [name + ".example.com"], "routes": routes, "tls": tls or {}, **changes}


def problems(*sites):
    with pytest.raises(GatehouseError) as caught:
        resolve([], list(sites))
    return caught.value.facts["problems"]


@pytest.mark.parametrize(
    ("tls", "changes", "words"),
    [
        ({"mode": "acme"}, {}, ["tls.email: missing", "Write: email: ops@example.com"]),
        (dict(ACME, email="ops"), {}, ["tls.email", "is not a mail address"]),
        (dict(ACME, email="ops@example.com, a@example.com"), {}, ["tls.email", "is not a mail address"]),
        (
            ACME,
            {"server_names": [], "default": True},
            ["server_names: missing", "Write: server_names: [chat.example.com]"],
        ),
        (
            ACME,
            {"server_names": ["*.a.example"]},
            ["*.a.example can't be proven", "server_names: [a.example, www.a.example]"],
        ),
        (ACME, {"server_names": ["192.0.2.1"]}, ["192.0.2.1 is an address", "Write a name"]),
        (ACME, {"server_names": ["chat"]}, ["chat is no name that a public CA knows", "chat.example.com"]),
        (ACME, {"server_names": ["n%d.example.com" % n for n in range(101)]}, ["101 names", "two sites"]),
        (ACME, {"http_port": 8080}, ["http_port", "asks on port 80, not 8080", "Write: http_port: 80"]),
        (dict(ACME, staging=True, directory="https://ca.example.com/d"), {}, ["tls.staging", "Leave one of them out"]),
        (dict(ACME, directory="http://ca.example.com/d"), {}, ["tls.directory", "is not an https address"]),
        (dict(ACME, ca_bundle="ca.pem"), {}, ["tls.ca_bundle", "not an absolute path"]),
        (dict(ACME, certificate="/c.pem"), {}, ["tls.certificate: is not used with mode acme", "Write: mode: files"]),
        (dict(FILES, email="ops@example.com"), {}, ["tls.email: is not used with mode files", "Write: mode: acme"]),
        (dict(FILES, staging=True), {}, ["tls.staging: is not used with mode files", "Write: mode: acme"]),
        ({"mode": "self_signed", "key": "/k"}, {}, ["tls.key: is not used with mode self_signed"]),
        ({"hsts": {"max_age": 300}}, {}, ["tls.hsts: is not used with mode none", "Write: mode: acme"]),
        ({"profile": "modern"}, {}, ["tls.profile: is not used with mode none"]),
        ({"http3": True}, {}, ["tls.http3: is not used with mode none"]),
        (
            {"mode": "self_signed", "hsts": {"max_age": 300}},
            {},
            ["tls.hsts: with mode self_signed browsers would refuse"],
        ),
        (dict(ACME, staging=True, hsts={"max_age": 300}), {}, ["tls.hsts: with staging: true browsers would refuse"]),
        (dict(ACME, redirect=False, hsts={"max_age": 300}), {}, ["tls.hsts", "Write: redirect: true"]),
        (dict(ACME, hsts={}), {}, ["tls.hsts.max_age: missing", "Write: max_age: 300"]),
        (dict(ACME, hsts={"max_age": 0}), {}, ["tls.hsts.max_age", "not a number from 1 up"]),
        (dict(ACME, hsts={"max_age": 31535999, "include_subdomains": True, "preload": True}), {}, ["asks for a year"]),
        (
            dict(ACME, hsts={"max_age": 31536000, "preload": True}),
            {},
            ["Write: hsts: {max_age: 63072000, include_subdomains: true, preload: true}"],
        ),
    ],
)
def test_what_can_not_work_is_refused_with_the_right_input(tls, changes, words):
    (problem,) = problems(site(tls, **changes))
    assert problem.startswith("webapp_sites[chat].")
    for word in words:
        assert word in problem


def test_a_ca_of_ones_own_may_know_short_names():
    own = dict(ACME, directory="https://ca.example.com/d")
    assert resolve([], [site(own, server_names=["chat"])])["sites"][0]["tls"]["directory"] == "https://ca.example.com/d"


@pytest.mark.parametrize(("key", "value"), [("profile", "modern"), ("http3", True)])
def test_sites_of_one_port_share_what_nginx_decides_before_the_name(key, value):
    pair = [site(FILES), site(dict(FILES, **{key: value}), "wiki")]
    (problem,) = problems(*pair)
    assert f"webapp_sites[wiki].tls.{key}: port 443 has {key}: " in problem
    resolve([], [pair[0], dict(pair[1], https_port=8443)])
    resolve([], [site(), pair[1]])


@pytest.mark.parametrize(
    ("tls", "directory", "trusted"),
    [
        (ACME, _tls.DIRECTORY, True),
        (dict(ACME, staging=True), _tls.STAGING, False),
        (dict(ACME, directory="https://ca.example.com/d"), "https://ca.example.com/d", True),
        ({"mode": "self_signed"}, None, False),
    ],
)
def test_a_certificate_that_is_made_here_has_one_place(tls, directory, trusted):
    model = resolve([], [site(tls)])
    found = model["sites"][0]["tls"]
    assert (found["directory"], found["trusted"], found["managed"], found["redirect"]) == (
        directory,
        trusted,
        True,
        True,
    )
    assert found["certificate"] == _site_certificate.Store(_site_certificate.ROOT, "chat").certificate
    assert found["key"] == _site_certificate.Store(_site_certificate.ROOT, "chat").key
    assert found["webroot"] == (_tls.WEBROOT if directory else None)
    assert [port["port"] for port in model["opened_ports"]] == [80, 443]


def test_a_certificate_from_files_stays_where_it_is():
    found = resolve([], [site(FILES)])["sites"][0]["tls"]
    assert (found["certificate"], found["key"], found["managed"], found["webroot"]) == ("/c.pem", "/c.key", False, None)


def test_http3_opens_its_port_for_udp_and_is_told():
    model = resolve([], [site(dict(FILES, http3=True), https_port=8443)])
    assert {"port": 8443, "proto": "udp", "reason": "site chat"} in model["opened_ports"]
    assert model["sites"][0]["routes"][0]["headers"] == {"Alt-Svc": 'h3=":8443"; ma=86400'}


@pytest.mark.parametrize(
    ("hsts", "header"),
    [
        ({"max_age": 300}, "max-age=300"),
        (
            {"max_age": 63072000, "include_subdomains": True, "preload": True},
            "max-age=63072000; includeSubDomains; preload",
        ),
    ],
)
def test_hsts_is_on_every_answer_unless_a_route_has_its_own(hsts, header):
    own = {"path": "/own", "return": 404, "headers": {"strict-transport-security": "max-age=1"}}
    (found,) = resolve([], [site(dict(ACME, hsts=hsts), routes=[{"path": "/", "return": 404}, own])])["sites"]
    assert [route["headers"] for route in found["routes"]] == [{"Strict-Transport-Security": header}, own["headers"]]
