"""What is measured where, and what the answer is judged by."""

import json

from ansible_collections.gatehouse.webapp.plugins.module_utils._verify import next_command
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._model import resolve
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._plan import host_plan, outside_plan, secrets_of

OPTIONS = {
    "services": True,
    "firewall": True,
    "successes": 2,
    "timeout": 10.0,
    "validate_certs": True,
    "warn_days": 14.0,
    "fail_days": 3.0,
}
APPS = [
    {
        "name": "shop",
        "runtime": "uvicorn",
        "source": {"directory": "src"},
        "uvicorn": {"target": "a:b"},
        "port": 8000,
        "env": {"DATABASE_URL": "postgres://shop:hunter22@db/shop"},
        "health": {"path": "/health", "headers": {"X-Key": "open-sesame", "Accept": "application/json"}},
        "websocket": {"path": "/ws"},
    },
    {"name": "wiki", "runtime": "external", "port": 9000, "health": {"path": "/ok"}},
]
SITE = {
    "name": "shop",
    "server_names": ["shop.example.com"],
    "routes": [
        {"path": "/", "app": "shop"},
        {"path": "/ws", "app": "shop", "websocket": True},
        {"path": "/api/", "app": "shop", "cors": {"origins": ["https://a.example"]}, "rate": "5r/m", "burst": 3},
        {"path": "/in/", "app": "shop", "allow": ["192.0.2.0/24"]},
        {"path": "/wiki/", "app": "wiki"},
    ],
    "verify": [
        {
            "path": "/api/x",
            "method": "POST",
            "headers": {"Authorization": "Bearer abcdefgh"},
            "json": {"pin": [123456]},
        },
        {"path": "/in/", "method": "PUT", "body": "a=secret-text", "expect": {"status": [403]}},
    ],
}


def model(**site):
    return resolve(APPS, [{**SITE, **site}])


def test_the_host_measures_services_by_both_their_sets():
    plan = host_plan(model(), OPTIONS)
    (service,) = plan["services"]
    assert service["services"] == [{"name": "shop@8000.service", "port": 8000}]
    assert service["green"] == [{"name": "shop@18000.service", "port": 18000}]
    assert (service["flag"], service["upstream"], service["address"]) == (
        "/srv/shop/current/green",
        "shop",
        "127.0.0.1",
    )
    assert service["ask"]["health"]["headers"] == {"X-Key": "open-sesame", "Accept": "application/json"}
    assert plan["firewall"] == [{"port": 80, "proto": "tcp", "reason": "site shop"}]
    assert plan["certificates"] == []


def test_an_app_with_one_set_has_nothing_that_says_which_serves():
    (service,) = host_plan(resolve([{**APPS[0], "strategy": "restart"}], []), OPTIONS)["services"]
    assert (service["flag"], service["green"]) == (None, [])


def test_the_host_is_told_nothing_of_environments_and_of_the_sites_own_checks():
    told = json.dumps(host_plan(model(), OPTIONS))
    assert "hunter22" not in told
    assert "abcdefgh" not in told


def test_a_proxy_has_no_services_and_a_host_without_sites_no_proxy():
    assert host_plan(model(), {**OPTIONS, "services": False})["services"] == []
    plan = host_plan(resolve(APPS, []), {**OPTIONS, "firewall": False})
    assert (plan["sites"], plan["firewall"], plan["proxy"]) == (False, None, [])
    assert plan["services"][0]["upstream"] is None


def test_certificates_are_asked_for_where_the_site_has_one():
    plan = host_plan(model(tls={"mode": "self_signed"}, https_port=8443), OPTIONS)
    assert plan["managed"]
    assert plan["certificates"] == [
        {
            "site": "shop",
            "what": "shop:8443",
            "port": 8443,
            "names": ["shop.example.com"],
            "trusted": False,
            "managed": True,
        }
    ]


def test_a_health_path_that_no_route_leads_to_is_named_once():
    found = model()
    (entry,) = [one for one in host_plan(found, OPTIONS)["proxy"] if one["skip"]]
    assert entry["skip"] == "No route leads to the health path of wiki, so it was not measured through nginx."
    assert not any(one["skip"] for one in outside_plan(found, "192.0.2.1"))


def test_from_outside_come_health_websockets_preflights_and_checks_in_this_order():
    plan = outside_plan(model(), "192.0.2.1")
    assert [(one["link"], one["what"], one["app"]) for one in plan] == [
        ("outside", "shop.example.com/health", "shop"),
        ("websocket", "shop.example.com/ws", "shop"),
        ("cors", "shop.example.com/api/ from https://a.example", "shop"),
        ("cors", "shop.example.com/api/ from https://a.example.gatehouse.invalid", "shop"),
        ("check", "POST shop.example.com/api/x", "shop"),
        ("check", "PUT shop.example.com/in/", "shop"),
    ]
    assert {one["address"] for one in plan} == {"192.0.2.1"}
    assert [one["limit"] for one in plan] == [
        None,
        "/ws (rate: 5r/s, burst: 10)",
        "/api/ (rate: 5r/m, burst: 3)",
        "/api/ (rate: 5r/m, burst: 3)",
        "/api/ (rate: 5r/m, burst: 3)",
        "/in/ (rate: 10r/s, burst: 20)",
    ]
    assert [one["selective"] for one in plan] == [False] * 5 + [True]
    assert not any(one["closed"] for one in plan)


def test_planned_work_and_a_route_without_a_path_are_known():
    routes = [{"path": "~ ^/u/", "app": "shop", "cors": {"origins": ["*"]}}]
    plan = outside_plan(resolve(APPS, [{**SITE, "routes": routes, "maintenance": {"enabled": True}}]), "::1")
    (entry,) = [one for one in plan if one["link"] == "cors"]
    assert entry["closed"]
    assert "is an expression" in entry["skip"]
    assert entry["what"] == "shop.example.com~ ^/u/ from https://gatehouse-verify.example"


def test_what_is_sent_is_secret():
    assert secrets_of(model()) == ["123456", "Bearer abcdefgh", "a=secret-text", "open-sesame"]


def test_a_hosted_app_is_asked_at_its_own_address():
    health = {"path": "/ok", "json": {"a": 1}}
    shop = {
        "name": "away",
        "runtime": "external",
        "url": "https://away.example",
        "health": health,
        "websocket": {"path": "/ws"},
    }
    plan = outside_plan(resolve([shop], []), None)
    assert [(one["link"], one["what"]) for one in plan] == [
        ("outside", "away.example/ok"),
        ("websocket", "away.example/ws"),
    ]
    (first, _websocket) = plan
    assert (first["scheme"], first["address"], first["port"], first["path"], first["site"], first["host"]) == (
        "https", "away.example", 443, "/ok", None, None,
    )  # fmt: skip
    assert (first["health"]["json"], first["trusted"], first["skip"]) == ({"a": 1}, True, None)
    assert next_command(first, "bad_status") == "curl -si 'https://away.example/ok'"
