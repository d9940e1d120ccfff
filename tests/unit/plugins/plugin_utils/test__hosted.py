"""An app that is hosted elsewhere: what the control node asks of it, and what follows from the answers."""

import copy
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _hosted
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._diagnosis import diagnose
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._hosted import of_hosted
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._model import resolve
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._wanted import wanted

DAY = 86400
SITE = {"name": "shop", "server_names": ["shop.example.com"], "routes": [{"path": "/", "app": "shop"}]}


def asked_of(url, sites=(), **changes):
    health = {"path": "/health", "json": {"status": "healthy"}, "headers": {"X-Probe": "yes"}}
    app = {"name": "shop", "runtime": "external", "url": url, "health": health, **changes}
    return wanted(resolve([app, {"name": "here", "runtime": "external", "port": 9, "health": health}], sites))


@pytest.fixture
def server():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            told.append((self.path, self.headers["X-Probe"], self.headers["Host"]))
            body = json.dumps({"status": "healthy" if self.path == "/health" else "sick"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args):
            pass

    told = []
    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.told = told
    threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


def test_a_hosted_app_is_asked_link_by_link(server):
    asked = asked_of("http://127.0.0.1:%d" % server.server_port, deploy_hook="https://host.example/s3cret")
    assert "s3cret" not in json.dumps(asked)
    seen, probes = of_hosted(asked["apps"], asked["headers"])
    assert list(seen) == ["shop"]
    assert (seen["shop"]["addresses"], seen["shop"]["connects"], seen["shop"]["served"]) == (["127.0.0.1"], True, None)
    assert [(probe["app"], probe["ok"], probe["status"]) for probe in probes] == [("shop", True, 200)]
    assert server.told == [("/health", "yes", "127.0.0.1:%d" % server.server_port)]


def test_what_is_not_in_dns_or_takes_no_connection_is_asked_no_further(server, monkeypatch):
    monkeypatch.setattr(_hosted, "_addresses", lambda host, _port: [host] if host != "gone.example" else [])
    seen, probes = of_hosted(asked_of("http://gone.example")["apps"], {})
    assert (seen["shop"]["addresses"], seen["shop"]["connects"], probes) == ([], False, [])
    port = server.server_port
    server.shutdown()
    server.server_close()
    seen, probes = of_hosted(asked_of("http://127.0.0.1:%d" % port)["apps"], {})
    assert (seen["shop"]["connects"], probes) == (False, [])
    assert "connection refused" in seen["shop"]["tcp"]


def test_who_speaks_no_tls_has_no_certificate(server):
    seen, probes = of_hosted(asked_of("https://127.0.0.1:%d" % server.server_port)["apps"], {})
    assert (seen["shop"]["served"]["ok"], probes, server.told) == (False, [], [])


def test_a_model_without_hosted_apps_asks_nobody():
    health = {"path": "/"}
    asked = wanted(resolve([{"name": "here", "runtime": "external", "port": 9, "health": health}], []))
    assert of_hosted(asked["apps"], {}) == ({}, [])


def test_the_host_is_asked_for_a_connection_where_its_sites_lead_there():
    assert [app["upstream"] for app in asked_of("https://shop.example")["apps"]] == [[], ["127.0.0.1:9"]]
    (shop, _here) = asked_of("https://shop.example", [SITE])["apps"]
    assert (shop["upstream"], shop["local"], shop["services"]) == (["shop.example:443"], False, [])


# What follows

WELL = {
    "addresses": ["192.0.2.7"],
    "connects": True,
    "tcp": "shop.example:443 accepts connections",
    "served": {"ok": True, "code": 0, "message": "trusted", "ends": 100 * DAY},
}
ANSWER = {
    "kind": "health", "via": "direct", "app": "shop", "unit": None, "port": 443, "site": None, "ok": True, "cause": None,
    "url": "https://shop.example/health", "message": "answered 200", "status": 200, "ms": 20.0, "server": None,
    "location": None, "excerpt": "",
}  # fmt: skip
UPSTREAM = dict(ANSWER, kind="upstream", url="shop.example:443", cause="refused", ok=False, message="it refuses")


def evidence(probes=(), **seen):
    return {
        "now": DAY, "apps": [], "unanswered": {}, "hosted": {"shop": {**copy.deepcopy(WELL), **seen}}, "probes": list(probes),
    }  # fmt: skip


def diagnosed(found, sites=()):
    asked = asked_of("https://shop.example", sites)
    asked["apps"] = asked["apps"][:1]
    return diagnose(asked, found)


def links(found, way=0):
    return {link["link"]: link["state"] for link in found["chain"][way]["links"]}


def test_a_hosted_app_that_is_well_has_a_chain_without_a_unit():
    found = diagnosed(evidence([ANSWER]))
    assert found["ok"], found["causes"]
    assert links(found) == {"dns": "ok", "tcp": "ok", "tls": "ok", "health": "ok"}
    told = [link["told"] for link in found["chain"][0]["links"]]
    assert told[0] == "shop.example is 192.0.2.7"
    assert told[2:] == ["trusted, until 1970-04-11", "200 in 20 ms"]


def served(code, ok=False, ends=None):
    return {"served": {"ok": ok, "code": code, "message": "refused", "ends": ends}}


@pytest.mark.parametrize(
    ("cause", "link", "effect", "probes", "seen"),
    [
        ("dns_missing", "dns", "outage", [], {"addresses": [], "connects": False, "tcp": None, "served": None}),
        ("hosted_unreachable", "tcp", "outage", [], {"connects": False, "tcp": "connection refused", "served": None}),
        ("hosted_unreachable", "tls", "outage", [], served(None)),
        ("certificate_expired", "tls", "outage", [], served(10)),
        ("certificate_not_yet_valid", "tls", "outage", [], served(9)),
        ("certificate_wrong_name", "tls", "outage", [], served(62)),
        ("certificate_self_signed", "tls", "degraded", [], served(18)),
        ("certificate_chain", "tls", "degraded", [], served(20)),
        ("certificate_expiring", "tls", "risk", [ANSWER], served(0, True, 4 * DAY)),
        ("unhealthy", "health", "outage", [dict(ANSWER, ok=False, cause="bad_status", status=503, message="503")], {}),
        ("hung", "health", "outage", [dict(ANSWER, ok=False, cause="timed_out", status=None, message="nothing")], {}),
    ],
)
def test_what_is_wrong_with_a_hosted_app_is_named_once(cause, link, effect, probes, seen):
    found = diagnosed(evidence(probes, **seen))
    (one,) = found["causes"]
    assert (one["cause"], one["link"], one["effect"], one["app"]) == (cause, link, effect, "shop")
    assert one["evidence"] and one["show"] and one["mend"]
    assert links(found)[link] == ("risk" if effect == "risk" else "broken")


def test_on_a_sites_way_a_hosted_app_is_the_upstream():
    """Neither the control node nor the host gets there: that is one cause, and no trouble of the site's own name or certificate."""
    found = diagnosed(evidence([UPSTREAM], connects=False, tcp="refused", served=None), [SITE])
    assert [one["cause"] for one in found["causes"]] == ["hosted_unreachable"]
    assert [way["site"] for way in found["chain"]] == ["shop", None]
    site, own = links(found, 0), links(found, 1)
    assert (site["tcp"], site["upstream"], own["dns"], own["tcp"], own["health"]) == (
        "unknown", "broken", "ok", "broken", "unjudged",
    )  # fmt: skip
    assert not {"listener", "unit", "dependencies"} & set(site)


def test_only_the_host_gets_no_connection():
    found = diagnosed(evidence([ANSWER, UPSTREAM]), [SITE])
    (one,) = found["causes"]
    assert (one["cause"], one["link"]) == ("upstream_unreachable", "upstream")
    assert "let this host out to shop.example:443" in one["mend"]


def test_what_nobody_asked_from_outside_is_not_judged():
    found = diagnosed(dict(evidence(), hosted={}))
    assert found["ok"]
    assert set(links(found).values()) == {"unknown"}


def test_the_certificate_of_a_hosted_app_is_read(monkeypatch):
    class Connection:
        def __enter__(self):
            return self

        def __exit__(self, *_error):
            return False

        def getpeercert(self):
            return {"notAfter": "Apr 11 00:00:00 1970 GMT"}

    class Context:
        def wrap_socket(self, _connection, server_hostname):
            if server_hostname == "bad.example":
                error = ssl.SSLCertVerificationError("bad")
                error.verify_code, error.verify_message = 10, "certificate has expired"
                raise error
            return Connection()

    monkeypatch.setattr(_hosted.socket, "create_connection", lambda *_args, **_options: Connection())
    monkeypatch.setattr(_hosted.ssl, "create_default_context", Context)
    assert _hosted._certificate("good.example", 443) == {"ok": True, "code": 0, "message": "trusted", "ends": 100 * DAY}
    bad = _hosted._certificate("bad.example", 443)
    assert (bad["ok"], bad["code"], bad["message"]) == (False, 10, "certificate has expired")
