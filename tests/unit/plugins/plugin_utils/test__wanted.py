"""What a host is told of the model: enough to judge it, and no secret."""

import json

import yaml

from ansible_collections.gatehouse.webapp.plugins.plugin_utils._model import resolve
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._wanted import databases, wanted

MODEL = yaml.safe_load("""
apps:
  - name: chat-api
    runtime: uvicorn
    source: {git: "https://user:git-secret@git.example.com/chat.git", version: v1}
    uvicorn: {target: "app.main:app"}
    port: 8000
    instances: 2
    env:
      DATABASE_URL: "mysql://chat:db-secret@127.0.0.1/chat"
      PUBLIC_URL: "https://chat.example.com/url-secret"
      OTHER: "https://x.example.com"
    requires: [{tcp: "127.0.0.1:3306"}]
    health: {path: /health, headers: {X-Token: header-secret}}
    websocket: {path: /ws/probe}
  - {name: away, runtime: external, hosts: [192.0.2.9], port: 9000, health: {path: /}}
  - {name: page, runtime: static, source: {directory: page}, static: {root: dist}}
sites:
  - name: chat
    server_names: [chat.example.com]
    routes: [{path: /, app: chat-api}, {path: /ws/, app: chat-api, websocket: true}, {path: /away/, app: away}, {path: /page/, app: page}]
""")
ASKED = wanted(resolve(MODEL["apps"], MODEL["sites"]))


def test_no_value_of_an_environment_and_no_secret_is_told():
    assert "secret" not in json.dumps({key: ASKED[key] for key in ("apps", "sites")})
    # These go in a parameter of their own, which Ansible keeps out of logs.
    assert ASKED["headers"] == {"chat-api": {"X-Token": "header-secret"}}


def test_the_urls_of_sites_are_told_by_scheme_and_host():
    assert ASKED["apps"][0]["urls"] == [{"name": "PUBLIC_URL", "scheme": "https", "host": "chat.example.com"}]


def test_where_an_app_may_write():
    apps = [{**MODEL["apps"][0], "sandbox": {"writable_paths": ["/srv/chat-api/uploads"]}}, *MODEL["apps"][1:]]
    asked = wanted(resolve(apps, MODEL["sites"]))["apps"]
    assert [app["writable_paths"] for app in asked] == [["/srv/chat-api/uploads"], [], []]


def test_which_apps_run_here():
    assert [app["local"] for app in ASKED["apps"]] == [True, False, True]
    assert [app["local"] for app in wanted(resolve(MODEL["apps"], MODEL["sites"]), services=False)["apps"]] == [
        False,
        False,
        True,
    ]


def test_what_is_asked_of_each_app_through_a_site():
    asks = {ask["app"]: ask for ask in ASKED["sites"][0]["asks"]}
    assert asks["chat-api"]["websocket"] == "/ws/probe"
    assert asks["away"]["websocket"] is None
    assert (asks["page"]["path"], ASKED["apps"][2]["upstream"], ASKED["apps"][2]["ports"]) == ("/page/", [], [])
    assert ASKED["apps"][2]["files"] == "/srv/page/current/src/dist"
    assert ASKED["sites"][0]["port"] == 80
    assert ASKED["sites"][0]["host"] == "chat.example.com"


def test_databases_are_told_apart_with_where_the_apps_code_is():
    model = resolve(MODEL["apps"], MODEL["sites"])
    url = MODEL["apps"][0]["env"]["DATABASE_URL"]
    assert databases(model) == [{"app": "chat-api", "name": "DATABASE_URL", "url": url, "code": "src"}]
    assert databases(model, services=False) == []
