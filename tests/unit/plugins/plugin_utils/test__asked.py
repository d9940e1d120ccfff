"""Which preflight requests and checks of its own a site is asked."""

import pytest

from ansible_collections.gatehouse.webapp.plugins.plugin_utils._model import resolve

APPS = [{"name": "api", "runtime": "external", "port": 8000, "health": {"path": "/api/health"}}]
WAY = {"site": "shop", "host": "shop.example.com", "scheme": "http", "port": 80, "trusted": True}


def resolved(routes, **site):
    site = {"name": "shop", "server_names": ["shop.example.com"], "routes": routes, **site}
    return resolve(APPS, [site])


def preflights(*routes, **site):
    return resolved(list(routes), **site)["preflights"]


def test_each_origin_of_a_route_is_asked_for_and_one_that_is_none_of_them():
    cors = {"origins": ["https://app.example.com", "http://localhost:3000"], "credentials": True}
    found = preflights({"path": "/", "app": "api"}, {"path": "/api/", "app": "api", "cors": cors})
    assert [(one["origin"], one["allowed"]) for one in found] == [
        ("https://app.example.com", True),
        ("http://localhost:3000", True),
        ("https://app.example.com.gatehouse.invalid", False),
    ]
    rest = {"every": False, "credentials": True, "methods": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]}
    for one in found:
        assert {**WAY, **rest, "route": "/api/", "path": "/api/"}.items() <= one.items()
        assert one["headers"] == ["Authorization", "Content-Type"]


@pytest.mark.parametrize(
    ("origin", "asked"),
    [
        ("https://*.example.com", ["https://gatehouse-verify.example.com", "https://gatehouse-verify.example.com.gatehouse.invalid"]),
        ("http://[::1]:3000", ["http://[::1]:3000", "http://gatehouse.invalid"]),
        ("https://app.example.com:8443", ["https://app.example.com:8443", "https://app.example.com.gatehouse.invalid"]),
        # There is no foreign one.
        ("*", ["https://gatehouse-verify.example"]),
    ],
)  # fmt: skip
def test_an_origin_stands_for_those_that_a_pattern_means(origin, asked):
    found = preflights({"path": "/", "app": "api", "cors": {"origins": [origin]}})
    assert [one["origin"] for one in found] == asked


def cors(path, **keys):
    return {"path": path, "app": "api", "cors": {"origins": ["https://a.example"]}, **keys}


@pytest.mark.parametrize(
    ("routes", "path"),
    [
        ([cors("/api/")], "/api/"),
        ([cors("= /one")], "/one"),
        ([cors("~ ^/u/[0-9]+$")], None),
        ([cors("/api/"), {"path": "= /api/", "app": "api"}], "/api/gatehouse-verify"),
        ([{"path": "/files", "static": "/srv/www", "cors": {"origins": ["https://a.example"]}}], "/files/"),
    ],
)
def test_the_path_that_is_asked_for_takes_the_route(routes, path):
    assert {one["path"] for one in preflights(*routes)} == {path}


def test_checks_have_the_way_to_their_site_and_every_key():
    tls = {"mode": "self_signed"}
    asked = {"method": "POST", "path": "/api/x?y=1", "json": {"n": 1}, "expect": {"status": [201]}}
    (found,) = resolved([{"path": "/", "app": "api"}], verify=[asked], tls=tls, https_port=8443)["checks"]
    assert found == {
        **WAY,
        "scheme": "https",
        "port": 8443,
        "trusted": False,
        "method": "POST",
        "path": "/api/x?y=1",
        "headers": {},
        "json": {"n": 1},
        "body": None,
        "expect": {"status": [201], "json": {}, "text": None, "headers": {}},
    }
