"""What resolve fills in and derives from right apps and sites."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _schema
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._model import resolve

ROOT = Path(__file__).resolve().parents[4]
TLS = {"mode": "files", "certificate": "/c.pem", "key": "/k.pem"}


def an_app(name="chat-api", **changes):
    app = {
        "name": name,
        "runtime": "uvicorn",
        "source": {"directory": "src"},
        "uvicorn": {"target": "app.main:app"},
        "port": 8000,
        "health": {"path": "/health"},
    }
    return dict(app, **changes)


def an_external(name="wiki", **changes):
    return dict({"name": name, "runtime": "external", "port": 9000, "health": {"path": "/ok"}}, **changes)


def a_pm2(name="web", **changes):
    app = {"name": name, "runtime": "pm2", "source": {"directory": "src"}, "pm2": {"script": "server.js"}}
    return dict(app, port=3000, health={"path": "/health"}, **changes)


def a_static(name="front", **changes):
    return dict(
        {"name": name, "runtime": "static", "source": {"directory": "src"}, "static": {"root": "out"}}, **changes
    )


def a_site(*routes, **changes):
    site = {"name": "chat", "server_names": ["chat.example.com"], "routes": [dict(route) for route in routes]}
    return dict(site, **changes)


def resolved_app(**changes):
    return resolve([an_app(**changes)], [])["apps"][0]


def resolved_routes(apps, site):
    """{(path, exact): route}"""
    return {(route["path"], route["match"] == "exact"): route for route in resolve(apps, [site])["sites"][0]["routes"]}


def test_example_inventory():
    """The example inventory resolves to the snapshot beside this file."""
    inventory = yaml.safe_load((ROOT / "inventory/example/group_vars/webapp.yml").read_text())
    snapshot = json.loads(Path(__file__).with_name("example_model.json").read_text())
    assert resolve(inventory["webapp_apps"], inventory["webapp_sites"]) == snapshot


def test_nothing_makes_an_empty_model():
    empty = {"apps": [], "sites": [], "opened_ports": [], "exposed_ports": [], "probes": []}
    empty.update(preflights=[], checks=[], local_sources=[])
    assert resolve(None, None) == resolve([], []) == empty


def test_input_is_not_changed_and_shares_nothing_with_the_result():
    apps, sites = [an_app(env={"A": "1"})], [a_site({"path": "/", "app": "chat-api"}, tls={})]
    before = copy.deepcopy((apps, sites))
    model = resolve(apps, sites)
    model["apps"][0]["env"]["B"] = "2"
    model["sites"][0]["routes"][0]["retries"]["tries"] = 99
    assert (apps, sites) == before
    assert resolve(apps, sites)["sites"][0]["routes"][0]["retries"]["tries"] == 3


@pytest.mark.parametrize(("port", "green"), [(3000, 13000), (22767, 32767), (22768, 12768), (50000, 40000)])
def test_the_second_set_stays_below_the_ports_of_outgoing_connections(port, green):
    assert resolved_app(port=port)["green_port"] == green


def test_a_restart_takes_one_instance_at_a_time_out_of_the_proxy():
    upstream = resolved_app(instances=2, strategy="restart")["upstream"]
    assert (upstream["backup"], upstream["follows"]) == ([], "parts")
    assert upstream["alternatives"][1] == {
        "name": "chat-api.without-8001",
        "out": "8001",
        "when": "/run/gatehouse/rotation/chat-api/8001",
        "servers": ["127.0.0.1:8000"],
        "backup": ["127.0.0.1:8001"],
    }
    assert resolved_app(strategy="restart")["upstream"]["alternatives"] == []


def test_an_app_on_hosts_of_its_own_is_taken_out_host_by_host():
    app = resolved_app(instances=2, hosts=["192.0.2.10", "2001:db8::10"], listen="::", expose=["192.0.2.20"])
    assert (app["strategy"], app["green"], app["gate_address"], app["proxy"]) == ("restart", [], "::1", None)
    assert app["upstream"]["alternatives"][1] == {
        "name": "chat-api.without-2001_db8__10",
        "out": "2001:db8::10",
        "when": "/run/gatehouse/rotation/chat-api/2001_db8__10",
        "servers": ["192.0.2.10:8000", "192.0.2.10:8001"],
        "backup": ["[2001:db8::10]:8000", "[2001:db8::10]:8001"],
    }


def test_exposed_ports_are_for_those_who_were_named():
    model = resolve([an_app(instances=2, expose=["192.0.2.20"])], [])
    assert model["exposed_ports"] == [
        {"port": port, "proto": "tcp", "from": "192.0.2.20", "reason": "app chat-api"} for port in (8000, 8001)
    ]


def test_a_blue_green_app_is_asked_through_the_proxy_of_its_host():
    site = a_site({"path": "/", "app": "chat-api"}, http_port=8080)
    assert resolve([an_app()], [site])["apps"][0]["proxy"] == {
        "url": "http://127.0.0.1:8080/health",
        "host": "chat.example.com",
    }
    assert resolve([an_app(strategy="restart")], [site])["apps"][0]["proxy"] is None
    assert resolved_app()["proxy"] is None


def test_same_input_same_result_to_the_byte():
    apps = [an_app(instances=3), an_external()]
    sites = [a_site({"path": "/", "app": "chat-api"}, {"path": "/wiki/", "app": "wiki"})]
    assert json.dumps(resolve(apps, sites)) == json.dumps(resolve(copy.deepcopy(apps), copy.deepcopy(sites)))


def test_a_node_app_is_run_and_switched_as_a_python_app_is():
    app, other = resolve([a_pm2(), an_app("web2", port=3100)], [])["apps"]
    assert (app["strategy"], app["unit"], app["upstream"]["follows"]) == ("blue_green", "web@.service", "green")
    assert [service["name"] for service in app["services"] + app["green"]] == ["web@3000.service", "web@13000.service"]
    assert {key for key in app if app[key] is None} - {"uvicorn"} == {key for key in other if other[key] is None} - {
        "pm2"
    }


def test_an_app_of_files_has_no_instances_and_is_served_from_its_live_release():
    model = resolve([a_static(static={"app_dir": "web", "root": "out"})], [a_site({"path": "/", "app": "front"})])
    (app,) = model["apps"]
    assert (app["services"], app["ports"], app["upstream"], app["unit"]) == ([], [], None, None)
    assert (app["user"], app["root"]) == ("front", "/srv/front")
    assert (app["files"]["below"], app["files"]["root"]) == ("src/web/out", "/srv/front/current/src/web/out")
    assert app["proxy"] == {"url": "http://127.0.0.1:80/", "host": "chat.example.com"}
    (route,) = model["sites"][0]["routes"]
    assert route["files"] == {
        "root": "/srv/front/current/src/web/out",
        "former": "/srv/front/former/src/web/out",
        "index": "index.html",
        "spa": True,
    }
    assert (route["upstream"], route["rate"], route["read_timeout"]) == (None, None, None)
    (probe,) = model["probes"]
    assert (probe["path"], probe["health"]["status"], probe["websocket"]) == ("/", [200], None)


def test_beside_files_an_app_keeps_its_health_path():
    site = a_site({"path": "/", "app": "front"}, {"path": "/api/", "app": "chat-api"})
    model = resolve([a_static(), an_app()], [site])
    assert [(probe["app"], probe["path"]) for probe in model["probes"]] == [("front", "/"), ("chat-api", "/health")]
    exact = next(route for route in model["sites"][0]["routes"] if route["match"] == "exact")
    assert (exact["path"], exact["upstream"], exact["files"]) == ("/health", "chat-api", None)


def test_a_folder_of_the_host_is_served_as_it_is():
    (route,) = resolve([], [a_site({"path": "/", "static": "/srv/www"})])["sites"][0]["routes"]
    assert route["files"] == {"root": "/srv/www", "former": None, "index": "index.html", "spa": False}


class LazyMapping(Mapping):
    """Like a container of Ansible's that makes its values when they are asked for."""

    def __init__(self, values):
        self.values_ = values

    def __getitem__(self, key):
        return self.values_[key]

    def __iter__(self):
        return iter(self.values_)

    def __len__(self):
        return len(self.values_)


class Tagged(str):
    """Like a string of Ansible's that carries a tag."""


class Vaulted:
    """Like a vaulted value of ansible-core before 2.19, which is no str."""

    def __str__(self):
        return "opened"


def test_ansibles_own_containers_and_strings_are_plain_data():
    env = LazyMapping({"LOG_LEVEL": Tagged("info"), "KEY": Vaulted()})
    app = LazyMapping(an_app(name=Tagged("chat-api"), env=env))
    (resolved,) = resolve((app,), None)["apps"]
    assert resolved["env"] == {"LOG_LEVEL": "info", "KEY": "opened"}
    assert isinstance(resolved["env"]["LOG_LEVEL"], Tagged)
    assert isinstance(resolved["env"], dict)
    json.dumps(resolved)


def test_wrong_tagged_strings_can_be_shown():
    with pytest.raises(Exception, match="Write: app: chat-api"):
        resolve([an_app(name=Tagged("chat-api"))], [a_site({"path": "/", "app": Tagged("chat-ap")})])


@pytest.mark.parametrize(
    "given, text",
    [("x", "x"), ("", ""), ("{{ x }}", "{{ x }}"), (1, "1"), (1.5, "1.5"), (True, "true"), (False, "false")],
)
def test_env_values_are_strings(given, text):
    assert resolved_app(env={"A": given})["env"] == {"A": text}


def test_json_values_keep_their_types():
    json_keys = {"ok": True, "workers": 2, "checks": [{"db": None}]}
    assert resolved_app(health={"path": "/", "json": json_keys})["health"]["json"] == json_keys


def test_numbers_and_booleans_may_come_as_strings():
    app = resolved_app(port="8000", instances="2", log_file="yes", health={"path": "/", "timeout": "5"})
    assert (app["ports"], app["log_file"], app["health"]["timeout"]) == ([8000, 8001], True, 5.0)


def test_null_is_a_key_left_out():
    assert resolved_app(env=None, websocket=None, instances=None) == resolved_app()


def test_uvicorn_app():
    app = resolved_app(instances=2, log_file=True, requires=[{"tcp": "[::1]:3306"}])
    assert app["user"] == "chat-api"
    assert app["root"] == "/srv/chat-api"
    assert app["state_dir"] == "/var/lib/chat-api"
    assert app["log_dir"] == "/var/log/chat-api"
    assert app["unit"] == "chat-api@.service"
    assert app["ports"] == [8000, 8001]
    assert app["services"] == [
        {"name": "chat-api@8000.service", "port": 8000},
        {"name": "chat-api@8001.service", "port": 8001},
    ]
    assert app["green"] == [
        {"name": "chat-api@18000.service", "port": 18000},
        {"name": "chat-api@18001.service", "port": 18001},
    ]
    blue, green = ["127.0.0.1:8000", "127.0.0.1:8001"], ["127.0.0.1:18000", "127.0.0.1:18001"]
    assert app["upstream"] == {
        "name": "chat-api",
        "servers": blue,
        "backup": green,
        "follows": "green",
        "alternatives": [
            {
                "name": "chat-api.green",
                "out": None,
                "when": "/srv/chat-api/current/green",
                "servers": green,
                "backup": blue,
            }
        ],
        "weights": {},
        "spare": [],
        "balance": {
            "method": "round_robin",
            "key": "$remote_addr",
            "keepalive": 128,
            "max_fails": 0,
            "fail_timeout": "10s",
        },
    }
    assert app["requires"] == [{"tcp": "[::1]:3306"}]


def test_app_logs_to_the_journal_alone_unless_asked():
    assert resolved_app()["log_dir"] is None


def test_external_app():
    (app,) = resolve([an_external(hosts=["192.0.2.1", "::1"], instances=2)], [])["apps"]
    assert [app[key] for key in ("user", "root", "state_dir", "log_dir", "unit", "services", "source", "uvicorn")] == [
        None, None, None, None, None, [], None, None,
    ]  # fmt: skip
    assert app["upstream"]["servers"] == ["192.0.2.1:9000", "192.0.2.1:9001", "[::1]:9000", "[::1]:9001"]


def a_hosted(**changes):
    app = {"name": "shop", "runtime": "external", "url": "https://shop.example", "health": {"path": "/ok?full=1"}}
    return dict(app, deploy_hook="https://host.example/s3cret", **changes)


def test_hosted_app():
    status = {"url": "https://host.example/s3cret", "json": {"state": "live"}}
    (app,) = resolve([a_hosted(websocket={"path": "/ws"}, deploy_status=status)], [])["apps"]
    assert app["hosted"] == {
        "external": {"scheme": "https", "authority": "shop.example", "host": "shop.example", "path": None},
        "port": 443,
        "health": "https://shop.example/ok?full=1",
        "websocket": "wss://shop.example/ws",
        "deployable": True,
    }
    assert (app["ports"], app["upstream"], app["services"], app["unit"], app["proxy"]) == ([], None, [], None, None)


def test_nothing_secret_of_a_hosted_app_is_derived():
    status = {"url": "https://host.example/s3cret", "headers": {"A": "s3cret"}, "json": {"state": "live"}}
    site = a_site({"path": "/", "app": "shop"})
    assert "s3cret" not in json.dumps(resolve([a_hosted(deploy_status=status)], [site]))


def test_hosted_app_on_a_port_and_without_a_hook():
    (app,) = resolve([dict(a_hosted(), url="http://[::1]:8080", deploy_hook=None)], [])["apps"]
    assert (app["hosted"]["port"], app["hosted"]["external"]["host"]) == (8080, "[::1]")
    assert (app["hosted"]["websocket"], app["hosted"]["deployable"]) == (None, False)


def test_routes_to_a_hosted_app():
    site = a_site(
        {"path": "/shop/", "app": "shop", "strip_prefix": True},
        {"path": "/shop/ws", "app": "shop", "websocket": True, "strip_prefix": True},
    )
    model = resolve([a_hosted(websocket={"path": "/"})], [site])
    routes = {(route["path"], route["match"]): route for route in model["sites"][0]["routes"]}
    plain, websocket, health = (
        routes[key] for key in (("/shop/", "prefix"), ("/shop/ws", "prefix"), ("/shop/ok", "exact"))
    )
    for route in (plain, websocket, health):
        assert (route["upstream"], route["files"], route["external"]["authority"]) == (None, None, "shop.example")
    assert (plain["read_timeout"], plain["buffering"], plain["retries"]) == ("60s", True, None)
    assert websocket["read_timeout"] == "86400s"
    assert (health["prefix"], health["access_log"]) == ("/shop", False)
    assert (model["probes"][0]["path"], model["opened_ports"][0]["port"]) == ("/shop/ok?full=1", 80)


def test_external_app_elsewhere_takes_no_port_here():
    model = resolve([an_app(), an_external(port=8000, hosts=["192.0.2.1"])], [])
    assert [app["ports"] for app in model["apps"]] == [[8000], [8000]]


@pytest.mark.parametrize(
    "source, directory, key, path, kind",
    [
        ({"directory": "a/../b/"}, "/home/me", "directory", "/home/me/b", "directory"),
        ({"directory": "/abs"}, "/home/me", "directory", "/abs", "directory"),
        ({"directory": "a"}, "", "directory", "a", "directory"),
        ({"archive": "a.tgz"}, "/home/me", "archive", "/home/me/a.tgz", "file"),
    ],
)
def test_local_source(source, directory, key, path, kind):
    model = resolve([an_app(source=source)], [], directory=directory)
    assert model["apps"][0]["source"][key] == path
    place = "webapp_apps[chat-api].source." + key
    assert model["local_sources"] == [{"app": "chat-api", "place": place, "path": path, "kind": kind}]


@pytest.mark.parametrize(
    "source",
    [{"git": "g", "version": "v"}, {"archive": "https://x/a.tgz", "checksum": "sha256:" + "a" * 64}],
)
def test_source_elsewhere(source):
    model = resolve([an_app(source=source)], [], directory="/home/me")
    assert {key: model["apps"][0]["source"][key] for key in source} == source
    assert model["local_sources"] == []


def test_local_archive_needs_no_checksum():
    assert resolved_app(source={"archive": "a.tgz"})["source"]["checksum"] is None


@pytest.mark.parametrize(
    "keys, kind",
    [
        ({"app": "chat-api"}, "app"),
        ({"app": "chat-api", "websocket": True}, "websocket"),
        ({"static": "/srv/www"}, "static"),
        ({"return": 404}, "return"),
        ({"app": "chat-api", "stream": True}, "stream"),
        ({"url": "https://files.example.com"}, "url"),
        ({"redirect": "/y/"}, "redirect"),
    ],
)
def test_route_defaults_by_kind(keys, kind):
    route = resolved_routes([an_app()], a_site(dict(keys, path="/x/")))["/x/", False]
    for key, value in _schema.ROUTE_DEFAULTS[kind].items():
        assert route[key] == value
    assert route["upstream"] == keys.get("app")
    assert (route["body_size"], route["access_log"], route["headers"]) == ("10m", True, {})


def test_route_keeps_what_it_says():
    said = {
        "path": "/x/", "app": "chat-api", "read_timeout": "1s", "send_timeout": "2s", "connect_timeout": "3s",
        "buffering": True, "rate": "60r/m", "burst": 0, "body_size": "0", "access_log": False,
        "headers": {"X-A": "1"}, "retries": {"tries": 1, "timeout": "4s"},
    }  # fmt: skip
    route = resolved_routes([an_app()], a_site(said))["/x/", False]
    assert {key: route[key] for key in said} == said


def test_routes_inherit_from_their_site():
    site = a_site({"path": "/x/", "app": "chat-api"}, client_max_body_size="1g", access_log=False)
    route = resolved_routes([an_app()], site)["/x/", False]
    assert (route["body_size"], route["access_log"]) == ("1g", False)


@pytest.mark.parametrize(
    "keys, rate, burst, zone",
    [
        ({}, "10r/s", 20, "chat_x"),
        ({"websocket": True}, "5r/s", 10, "chat_x"),
        ({"rate": "1r/s", "burst": 5}, "1r/s", 5, "chat_x"),
        ({"rate": "none"}, None, None, None),
        ({"rate": "none", "burst": 5}, None, None, None),
    ],
)
def test_rate(keys, rate, burst, zone):
    (site,) = resolve([an_app()], [a_site(dict({"path": "/x/", "app": "chat-api"}, **keys))])["sites"]
    route = site["routes"][-1]
    assert (route["rate"], route["burst"], route["zone"]) == (rate, burst, zone)
    assert site["zones"] == ([{"zone": zone, "rate": rate}] if zone else [])


def test_below_a_prefix_that_is_taken_off_an_app_is_asked_for_its_health_and_websocket():
    app = an_app(websocket={"path": "/ws/probe"})
    route = {"path": "/chat/", "app": "chat-api", "strip_prefix": True, "websocket": True}
    model = resolve([app, an_external()], [a_site(route, {"path": "/", "app": "wiki"})])
    health = next(each for each in model["sites"][0]["routes"] if each["app"] == "chat-api" and each["health"])
    assert (health["path"], health["match"], health["prefix"]) == ("/chat/health", "exact", "/chat")
    probe = next(probe for probe in model["probes"] if probe["app"] == "chat-api")
    assert (probe["path"], probe["websocket"]) == ("/chat/health", "/chat/ws/probe")
    assert model["apps"][0]["proxy"]["url"] == "http://127.0.0.1:80/chat/health"


def test_a_path_takes_the_route_that_nginx_takes():
    routes = [
        {"path": "/", "app": "wiki"},
        {"path": "~ ^/he", "app": "wiki"},
        {"path": "~ ^/health$", "app": "chat-api"},
    ]
    model = resolve([an_app(), an_external()], [a_site(*routes)])
    assert [probe["path"] for probe in model["probes"]] == ["/ok", None]
    routes.append({"path": "= /health", "app": "chat-api", "rate": "none"})
    model = resolve([an_app(), an_external()], [a_site(*routes)])
    assert [probe["path"] for probe in model["probes"]] == ["/ok", "/health"]


def test_nobody_asks_for_health_in_grpc():
    site = a_site({"path": "/pkg.Svc/", "app": "chat-api", "grpc": True}, tls=TLS)
    model = resolve([an_app(health={"path": "/pkg.Svc/x"})], [site])
    (route,) = model["sites"][0]["routes"]
    assert (route["grpc"], route["body_size"], model["probes"][0]["path"]) == (True, "0", None)


def test_health_is_closed_to_whom_its_route_is_closed():
    site = a_site({"path": "/", "app": "chat-api", "allow": ["10.0.0.0/8"], "auth_basic": {"users": {"a": "$6$x$y"}}})
    health = resolved_routes([an_app()], site)["/health", True]
    assert (health["allow"], health["auth_basic"], health["health"]) == (["10.0.0.0/8"], None, True)


def test_an_external_address_is_taken_apart():
    route = resolved_routes([], a_site({"path": "/x/", "url": "https://A.example:8443/y/"}))["/x/", False]
    assert route["external"] == {
        "scheme": "https",
        "authority": "a.example:8443",
        "host": "a.example",
        "path": "/y/",
    }


@pytest.mark.parametrize("given, seconds", [("500ms", 1), ("90s", 90), ("5m", 300), ("2h", 7200), ("1d", 86400)])
def test_planned_work_is_told_in_seconds(given, seconds):
    site = a_site({"path": "/", "static": "/x"}, maintenance={"retry_after": given})
    assert resolve([], [site])["sites"][0]["maintenance"]["seconds"] == seconds


def test_weights_and_spare_hosts_reach_every_instance():
    app = an_external(
        hosts=["a.example", "b.example"], instances=2, balance={"weights": {"a.example": "3"}, "backup": ["b.example"]}
    )
    upstream = resolve([app], [])["apps"][0]["upstream"]
    assert upstream["weights"] == {"a.example:9000": 3, "a.example:9001": 3}
    assert upstream["spare"] == ["b.example:9000", "b.example:9001"]


def test_static_route_with_a_rate_has_a_burst():
    route = resolved_routes([], a_site({"path": "/", "static": "/srv/www", "rate": "1r/s"}))["/", False]
    assert (route["rate"], route["burst"], route["zone"]) == ("1r/s", 20, "chat_root")


def test_zones_differ_where_paths_look_alike():
    paths = ["/a-b/", "/a/b/", "/a_b", "/"]
    (site,) = resolve([an_app()], [a_site(*({"path": path, "app": "chat-api"} for path in paths))])["sites"]
    assert [zone["zone"] for zone in site["zones"]] == ["chat_a_b", "chat_a_b_2", "chat_a_b_3", "chat_root"]


HEALTH_CASES = [
    # what, the routes besides the apps chat-api (/health) and wiki (/ok), {app: path of its exact route}, {app: probed}
    ("covered", [("/", "chat-api")], {"chat-api": "/health"}, {"chat-api": "/health"}),
    ("only app, not covered", [("/api/", "chat-api")], {"chat-api": "/health"}, {"chat-api": "/health"}),
    ("only app, static covers", [("/", None), ("/api/", "chat-api")], {"chat-api": "/health"}, {"chat-api": "/health"}),
    ("only app, path is another's", [("/health", None), ("/", "chat-api")], {}, {"chat-api": None}),
    ("own route for it", [("/", "chat-api"), ("/health", "chat-api")], {}, {"chat-api": "/health"}),
    (
        "two apps, one covered",
        [("/", "chat-api"), ("/wiki/", "wiki")],
        {"chat-api": "/health"},
        {"chat-api": "/health", "wiki": None},
    ),
    (
        "two apps, both covered",
        [("/", "chat-api"), ("/ok", "wiki")],
        {"chat-api": "/health"},
        {"chat-api": "/health", "wiki": "/ok"},
    ),
    ("two apps, none covered", [("/a/", "chat-api"), ("/b/", "wiki")], {}, {"chat-api": None, "wiki": None}),
]


@pytest.mark.parametrize("what, routes, exact, probed", HEALTH_CASES, ids=[case[0] for case in HEALTH_CASES])
def test_health_through_a_site(what, routes, exact, probed):
    said = [{"path": path, "app": app} if app else {"path": path, "static": "/srv/www"} for path, app in routes]
    model = resolve([an_app(), an_external()], [a_site(*said)])
    derived = [route for route in model["sites"][0]["routes"] if route["match"] == "exact"]
    assert {route["app"]: route["path"] for route in derived} == exact
    for route in derived:
        assert (route["access_log"], route["rate"], route["zone"]) == (False, None, None)
        assert route["upstream"] == route["app"]
    assert [route["path"] for route in model["sites"][0]["routes"][len(derived) :]] == [path for path, _app in routes]
    assert {probe["app"]: probe["path"] for probe in model["probes"]} == probed


def test_two_apps_with_one_health_path():
    model = resolve([an_app(), an_external(health={"path": "/health"})], [
        a_site({"path": "/wiki/", "app": "wiki"}, {"path": "/", "app": "chat-api"})
    ])  # fmt: skip
    assert {probe["app"]: probe["path"] for probe in model["probes"]} == {"wiki": None, "chat-api": "/health"}


def test_health_path_with_a_query():
    model = resolve([an_app(health={"path": "/health?deep=1"})], [a_site({"path": "/", "app": "chat-api"})])
    assert [route["path"] for route in model["sites"][0]["routes"] if route["match"] == "exact"] == ["/health"]
    assert model["probes"][0]["path"] == "/health?deep=1"


@pytest.mark.parametrize(
    "keys, access_log, rate",
    [({}, False, None), ({"access_log": True, "rate": "1r/s"}, True, "1r/s")],
)
def test_own_route_for_health_is_quiet_unless_it_says_otherwise(keys, access_log, rate):
    routes = resolved_routes([an_app()], a_site(dict({"path": "/health", "app": "chat-api"}, **keys)))
    assert list(routes) == [("/health", False)]
    assert (routes["/health", False]["access_log"], routes["/health", False]["rate"]) == (access_log, rate)


@pytest.mark.parametrize(
    "path, routes, probed",
    [
        ("/ws/probe", [{"path": "/", "app": "chat-api"}, {"path": "/ws/", "app": "chat-api", "websocket": True}], True),
        ("/ws/probe?x=1", [{"path": "/", "app": "chat-api", "websocket": True}], True),
        ("/health-ws", [{"path": "/", "app": "chat-api", "websocket": True}], True),
        ("/ws/probe", [{"path": "/api/", "app": "chat-api"}], False),
        ("/ws/probe", [{"path": "/", "app": "chat-api"}, {"path": "/ws/", "return": 404}], False),
        ("/ws/probe", [{"path": "/a", "app": "chat-api"}, {"path": "/", "app": "wiki", "websocket": True}], False),
        (None, [{"path": "/", "app": "chat-api", "websocket": True}], False),
    ],
)
def test_websocket_through_a_site(path, routes, probed):
    apps = [an_app(websocket={"path": path} if path else None), an_external()]
    probe = resolve(apps, [a_site(*routes)])["probes"][0]
    assert (probe["app"], probe["websocket"]) == ("chat-api", path if probed else None)


def test_probe_carries_what_healthy_means():
    app = an_app(health={"path": "/health", "host": "inside", "json": {"status": "healthy"}, "timeout": 5})
    (probe,) = resolve([app], [a_site({"path": "/", "app": "chat-api"})])["probes"]
    assert probe == {
        "site": "chat", "host": "chat.example.com", "scheme": "http", "port": 80, "trusted": True,
        "app": "chat-api", "path": "/health", "websocket": None,
        "health": {
            "status": [200], "json": {"status": "healthy"}, "text": None, "headers": {}, "successes": 2,
            "stable_for": 2.0, "timeout": 5.0, "interval": 0.1,
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    "names, host",
    [(["*.b.example", "A.example"], "a.example"), (["*.b.example"], "www.b.example"), ([], "localhost")],
)
def test_name_that_probes_ask_for(names, host):
    site = a_site({"path": "/", "app": "chat-api"}, server_names=names, default=True)
    (probe,) = resolve([an_app()], [site])["probes"]
    assert probe["host"] == host


def test_each_site_is_probed_for_each_of_its_apps_once():
    sites = [
        a_site({"path": "/", "app": "chat-api"}, {"path": "/api/", "app": "chat-api"}, {"path": "/w/", "app": "wiki"}),
        a_site({"path": "/", "app": "wiki"}, name="wiki", server_names=["wiki.example.com"]),
        a_site({"path": "/", "static": "/srv/www"}, name="www", server_names=["www.example.com"]),
    ]
    probes = resolve([an_app(), an_external()], sites)["probes"]
    asked = [(probe["site"], probe["app"]) for probe in probes]
    assert asked == [("chat", "chat-api"), ("chat", "wiki"), ("wiki", "wiki")]


def test_tls_site():
    model = resolve([an_app()], [a_site({"path": "/", "app": "chat-api"}, tls=TLS, https_port=8443)])
    assert model["sites"][0]["tls"].items() >= dict(TLS, redirect=True, managed=False, trusted=True).items()
    assert (model["probes"][0]["scheme"], model["probes"][0]["port"]) == ("https", 8443)
    assert [opened["port"] for opened in model["opened_ports"]] == [80, 8443]


def test_site_without_tls_does_not_redirect():
    assert resolve([], [a_site({"path": "/", "return": 404})])["sites"][0]["tls"]["redirect"] is False


def test_a_header_may_hold_what_no_request_can_end_a_line_in():
    headers = {"X-A": "${scheme}://$host$request_uri", "X-B": "$arg_x $http_origin $upstream_cache_status $request_id"}
    route = resolve([], [a_site({"path": "/", "return": 404, "headers": headers})])["sites"][0]["routes"][0]
    assert route["headers"] == headers


def test_opened_ports_are_told_once_with_their_reasons():
    sites = [
        a_site({"path": "/", "return": 404}, tls=TLS),
        a_site({"path": "/", "return": 404}, name="b", server_names=["b.example"]),
        a_site({"path": "/", "return": 404}, name="c", http_port=8080),
    ]
    assert resolve([], sites)["opened_ports"] == [
        {"port": 80, "proto": "tcp", "reason": "sites chat, b"},
        {"port": 443, "proto": "tcp", "reason": "site chat"},
        {"port": 8080, "proto": "tcp", "reason": "site c"},
    ]


def test_sites_on_different_ports_may_share_names_and_both_be_default():
    sites = [
        a_site({"path": "/", "return": 404}, default=True),
        a_site({"path": "/", "return": 404}, name="admin", default=True, http_port=8080),
    ]
    assert [site["name"] for site in resolve([], sites)["sites"]] == ["chat", "admin"]


def test_a_renamed_app_keeps_its_user_and_its_data():
    app = resolved_app(renamed_from="old", log_file=True)
    assert (app["user"], app["state_dir"]) == ("old", "/var/lib/old")
    assert (app["build_user"], app["root"], app["log_dir"]) == ("chat-api-build", "/srv/chat-api", "/var/log/chat-api")
    assert app["services"][0]["name"] == "chat-api@8000.service"


@pytest.mark.parametrize(
    ("source", "origin"),
    [
        ({"directory": "src"}, "src"),
        (
            {"git": "https://user:secret@git.example.com/shop", "version": "main"},
            "https://***@git.example.com/shop",
        ),
        (
            {"archive": "https://files.example.com/shop.tgz?sig=secret", "checksum": "sha256:" + "a" * 64},
            "https://files.example.com/shop.tgz",
        ),
    ],
)
def test_where_code_comes_from_is_told_without_what_is_secret(source, origin):
    told = resolved_app(source=source)["origin"]
    assert "secret" not in told
    assert told == origin
