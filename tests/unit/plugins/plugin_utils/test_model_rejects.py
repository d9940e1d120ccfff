"""What resolve refuses: each line of the error has the place, what is wrong and the right input."""

import copy
import json

import pytest
import yaml

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _schema
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._model import resolve

SHA = "sha256:" + "a" * 64
GONE = object()


def an_app(**changes):
    return changed(
        {
            "name": "chat-api",
            "runtime": "uvicorn",
            "source": {"directory": "src"},
            "uvicorn": {"target": "app.main:app"},
            "port": 8000,
            "health": {"path": "/health"},
        },
        changes,
    )


def an_external(**changes):
    return changed({"name": "wiki", "runtime": "external", "port": 9000, "health": {"path": "/ok"}}, changes)


def a_site(**changes):
    return changed(
        {"name": "chat", "server_names": ["chat.example.com"], "routes": [{"path": "/", "app": "chat-api"}]}, changes
    )


def changed(item, changes):
    return {key: value for key, value in dict(item, **changes).items() if value is not GONE}


def problems(apps, sites=None):
    with pytest.raises(GatehouseError) as caught:
        resolve(apps, sites)
    error = caught.value
    assert error.cause == "bad_model"
    for line in error.facts["problems"]:
        assert "\n  - " + line in error.message
    return error.facts["problems"]


APP_CASES = [
    # changes of a right app, the place below webapp_apps[NAME], what the line has to say
    ({"name": "Chat_API"}, "[Chat_API].name", ["1 to 31 of a-z", "Write: name: chat-api"]),
    ({"name": "9to5"}, "[9to5].name", ["Write: name: to5"]),
    ({"name": "a" * 32}, "[%s].name" % ("a" * 32), ["Write: name: " + "a" * 31]),
    ({"name": "root"}, "[root].name", ["of the system", "Write: name: app-root"]),
    ({"name": "gatehouse"}, "[gatehouse].name", ["/var/lib", "Write: name: app-gatehouse"]),
    ({"balance": {"fail_timeout": "500ms"}}, ".balance.fail_timeout", ["whole seconds", "Write: fail_timeout: 30s"]),
    ({"name": "dpkg"}, "[dpkg].name", ["/var/lib", "Write: name: app-dpkg"]),
    ({"name": "systemd-run"}, "[systemd-run].name", ["Write: name: app-systemd-run"]),
    ({"name": GONE}, "[0].name", ["missing", "Write: name: chat-api"]),
    ({"name": {"a": 1}}, "[0].name", ["not a string", "Write: name: chat-api"]),
    (
        {"runtime": "uvicon"},
        ".runtime",
        ['"uvicon" is not one of: uvicorn, pm2, static, external', "Write: runtime: uvicorn"],
    ),
    ({"runtime": "docker"}, ".runtime", ["is not one of: uvicorn, pm2, static, external"]),
    ({"runtime": GONE}, ".runtime", ["missing", "Write: runtime: uvicorn"]),
    ({"prot": 1}, ".prot", ["unknown key", "Did you mean: port"]),
    ({"zzz": 1}, ".zzz", ["unknown key", "Known keys: name, runtime, source"]),
    ({"source": GONE}, ".source", ["missing", "Write: source: {directory: examples/chat/backend}"]),
    ({"source": "src"}, ".source", ["not a mapping", "Write: source: {directory: examples/chat/backend}"]),
    ({"source": {}}, ".source", ["says no place", "source: {directory: ", "source: {git: ", "source: {archive: "]),
    ({"source": {"directory": "a", "git": "g", "version": "v"}}, ".source", ["has directory and git, which exclude"]),
    ({"source": {"directry": "a"}}, ".source.directry", ["Did you mean: directory"]),
    ({"source": {"directory": "~/src"}}, ".source.directory", ["begins with ~", "Write: directory: examples/"]),
    ({"source": {"git": "https://x/y.git"}}, ".source.version", ["missing", "Write: version: v1.4.2"]),
    ({"source": {"git": "https://x/y", "version": 1.10}}, ".source.version", ["put it in quotes", "version: v1.4.2"]),
    ({"source": {"git": "-x", "version": "v"}}, ".source.git", ["not the address", "Write: git: 'https://"]),
    ({"source": {"git": "g", "version": "-f"}}, ".source.version", ["is not a tag", "Write: version: v1.4.2"]),
    ({"source": {"directory": "a", "version": "v"}}, ".source.version", ["only for git. Leave it out"]),
    ({"source": {"directory": "a", "checksum": SHA}}, ".source.checksum", ["only for archive. Leave it out"]),
    ({"source": {"archive": "https://x/y.tgz"}}, ".source.checksum", ["missing", "Write: checksum: 'sha256:0123"]),
    (
        {"source": {"archive": "https://x/y.tgz", "checksum": "A" * 64}},
        ".source.checksum",
        ["sha256: and 64", "Write: checksum: '%s'" % SHA],
    ),
    ({"build": "npm ci, npm run"}, ".build", ["is not a list", "Write: build: ['npm ci, npm run']"]),
    ({"build": ["x", " "]}, ".build[1]", ["is no command", "Write: build: [make assets]"]),
    ({"build": [None]}, ".build[0]", ["null is not a string", "Write: build: [make assets]"]),
    ({"uvicorn": GONE}, ".uvicorn", ["missing", "Write: uvicorn: {target: 'app.main:app'}"]),
    ({"uvicorn": {}}, ".uvicorn.target", ["missing", "Write: target: 'app.main:app'"]),
    ({"uvicorn": {"target": "src/main.py"}}, ".uvicorn.target", ["MODULE:ATTRIBUTE", "Write: target: 'src.main:app'"]),
    ({"uvicorn": {"target": "main:"}}, ".uvicorn.target", ["Write: target: 'main:app'"]),
    ({"uvicorn": {"target": "a:b", "workers": 0}}, ".uvicorn.workers", ["0 is not between 1 and 64", "workers: 2"]),
    ({"uvicorn": {"target": "a:b", "app_dir": "../x"}}, ".uvicorn.app_dir", ["below the source", "app_dir: src"]),
    ({"uvicorn": {"target": "a:b", "app_dir": "/x"}}, ".uvicorn.app_dir", ["below the source folder"]),
    ({"uvicorn": {"target": "a:b", "python": "py thon"}}, ".uvicorn.python", ["Write: python: /usr/bin/python3.12"]),
    ({"uvicorn": {"target": "a:b", "installer": "pipp"}}, ".uvicorn.installer", ["Write: installer: pip"]),
    (
        {"uvicorn": {"target": "a:b", "extra_args": ["--port=1"]}},
        ".uvicorn.extra_args[0]",
        ["contradicts the model", "use port", "Write: extra_args: [--no-access-log]"],
    ),
    ({"uvicorn": {"target": "a:b", "extra_args": ["--reload"]}}, ".uvicorn.extra_args[0]", ["contradicts the model"]),
    ({"listen": "fe80::1%eth0"}, ".listen", ["names an interface (%)", "Write: listen: 192.0.2.10"]),
    ({"hosts": ["192.0.2.1"]}, ".listen", ["reached from the host itself only", "Write: listen: 0.0.0.0"]),
    ({"hosts": ["192.0.2.1", "::1"], "listen": "::"}, ".hosts", ["::1 mean this host, and others do not"]),
    ({"hosts": ["192.0.2.1"], "listen": "::", "strategy": "blue_green"}, ".strategy", ["Write: strategy: restart"]),
    ({"listen": "eth0"}, ".listen", ["is not an IP address", "Write: listen: 192.0.2.10"]),
    ({"expose": ["10.0.0.1/24"]}, ".expose[0]", ["has host bits set", "Write: expose: [192.0.2.20, 10.0.0.0/24]"]),
    ({"green_port": 8000}, ".green_port", ["8000 to 8000 are not free ports", "Write: green_port: 8001"]),
    ({"instances": 3, "green_port": 8002}, ".green_port", ["Write: green_port: 8003"]),
    ({"strategy": "restart", "green_port": 8100}, ".green_port", ["only for strategy blue_green. Leave it out"]),
    ({"drain_timeout": -1}, ".drain_timeout", ["is not a number from 0 up"]),
    ({"migrate": [" "]}, ".migrate[0]", ["is no command"]),
    ({"port": GONE}, ".port", ["missing", "Write: port: 8000"]),
    ({"port": "80a"}, ".port", ['"80a" is not a whole number', "Write: port: 8000"]),
    ({"port": True}, ".port", ["true is not a whole number", "Write: port: 8000"]),
    ({"port": 0}, ".port", ["0 is not between 1 and 65535", "Write: port: 8000"]),
    ({"port": 70000}, ".port", ["70000 is not between 1 and 65535", "Write: port: 8000"]),
    ({"port": 80}, ".port", ["below 1024", "Write: port: 8080"]),
    ({"port": 65535, "instances": 2}, ".port", ["end at 65536", "Write: port: 65534"]),
    ({"instances": 33}, ".instances", ["33 is not between 1 and 32", "Write: instances: 2"]),
    ({"strategy": "rolling"}, ".strategy", ["is not one of: blue_green, restart", "Write: strategy: restart"]),
    ({"env": ["A=1"]}, ".env", ["is not a mapping", "Write: env: {LOG_LEVEL: info}"]),
    ({"env": {"A-B": "x"}}, ".env", ['"A-B" is not the name', "Write: env: {LOG_LEVEL: info}"]),
    ({"env": {"A": ["x"]}}, ".env.A", ["not a string, number or boolean", "Write: A: some text"]),
    ({"env": {"A": {"x": 1}}}, ".env.A", ["not a string, number or boolean", "Write: A: some text"]),
    ({"env": {"A": None}}, ".env.A", ["is empty (null)", "Write: A: ''"]),
    ({"env": {"A": "\x00"}}, ".env.A", ["NUL"]),
    ({"required_env": ["DB"]}, ".env.DB", ["missing, and required_env asks for it", "Write: env: {DB: '...'}"]),
    ({"required_env": ["DB"], "env": {"DB": ""}}, ".env.DB", ["empty, and required_env asks for it"]),
    ({"required_env": ["DB-URL"]}, ".required_env[0]", ["not the name", "Write: required_env: [DB_URL]"]),
    ({"health": GONE}, ".health", ["missing", "Write: health: {path: /health}"]),
    ({"health": {}}, ".health.path", ["missing", "Write: path: /health"]),
    ({"health": {"path": "/", "pth": "/x"}}, ".health.pth", ["unknown key", "Did you mean: path"]),
    ({"health": {"path": "health"}}, ".health.path", ["begins with /", "Write: path: /health"]),
    ({"health": {"path": "http://h:1/up"}}, ".health.path", ["begins with /", "Write: path: /up"]),
    ({"health": {"path": "/", "status": 200}}, ".health.status", ["is not a list", "Write: status: [200]"]),
    ({"health": {"path": "/", "status": ["ok"]}}, ".health.status[0]", ['"ok" is not a whole number']),
    ({"health": {"path": "/", "status": [99]}}, ".health.status[0]", ["99 is not between 100 and 599"]),
    ({"health": {"path": "/", "json": "{}"}}, ".health.json", ["not a mapping", "Write: json: {status: healthy}"]),
    ({"health": {"path": "/", "headers": {"A b": "x"}}}, ".health.headers", ['"A b" is not a header', "{Accept: app"]),
    ({"health": {"path": "/", "headers": {"A": "x\ny"}}}, ".health.headers.A", ["line break", "Write: A: some text"]),
    ({"health": {"path": "/", "host": "http://a.b/"}}, ".health.host", ["not a host name", "Write: host: a.b"]),
    ({"health": {"path": "/", "successes": 0}}, ".health.successes", ["from 1 up", "Write: successes: 3"]),
    ({"health": {"path": "/", "stable_for": -1}}, ".health.stable_for", ["from 0 up", "Write: stable_for: 5.0"]),
    ({"health": {"path": "/", "timeout": 0}}, ".health.timeout", ["above 0", "Write: timeout: 90.0"]),
    ({"health": {"path": "/", "timeout": float("nan")}}, ".health.timeout", ["above 0"]),
    ({"health": {"path": "/", "interval": 0}}, ".health.interval", ["above 0", "Write: interval: 0.5"]),
    ({"health": {"path": "/", "stable_for": 60}}, ".health.timeout", ["no time for stable_for", "timeout: 120.0"]),
    ({"websocket": {}}, ".websocket.path", ["missing", "Write: path: /ws/probe"]),
    ({"websocket": True}, ".websocket", ["not a mapping", "Write: websocket: {path: /ws/probe}"]),
    ({"requires": [{"tcp": "db"}]}, ".requires[0].tcp", ["is not HOST:PORT", "Write: tcp: '127.0.0.1:3306'"]),
    ({"requires": [{"tcp": "::1:5"}]}, ".requires[0].tcp", ["is not HOST:PORT"]),
    ({"requires": [{"tcp": "db:0"}]}, ".requires[0].tcp", ["no port from 1 to 65535"]),
    ({"requires": [{"tcp": "db:1", "udp": "db:1"}]}, ".requires[0].udp", ["unknown key"]),
    ({"requires": ["db:1"]}, ".requires[0]", ["not a mapping", "Write: requires: [{tcp: '127.0.0.1:3306'}]"]),
    ({"memory_max": "512 MB"}, ".memory_max", ["512M, 2G, 50%", "Write: memory_max: 512M"]),
    ({"memory_max": "lots"}, ".memory_max", ["Write: memory_max: 512M"]),
    ({"cpu_quota": "1.5"}, ".cpu_quota", ["percent", "Write: cpu_quota: 150%"]),
    ({"cpu_quota": "80"}, ".cpu_quota", ["Write: cpu_quota: 80%"]),
    ({"balance": {"method": "sticky"}}, ".balance.method", ["is not one of: round_robin, least_conn, hash"]),
    ({"balance": {"key": "cookie"}}, ".balance.key", ["nginx's variables", "Write: key: $cookie_session"]),
    ({"balance": {"weights": {"127.0.0.1": 0}}}, ".balance.weights.127.0.0.1", ["whole number from 1 up"]),
    ({"balance": {"weights": {"192.0.2.1": 2}}}, ".balance.weights", ["none of the app's hosts (127.0.0.1)"]),
    ({"balance": {"backup": ["127.0.0.1"]}}, ".balance.backup", ["has all of the app's hosts"]),
    (
        {
            "balance": {"backup": ["192.0.2.2"], "method": "hash"},
            "hosts": ["192.0.2.1", "192.0.2.2"],
            "listen": "0.0.0.0",
        },
        ".balance.backup",
        ["nginx knows none with method hash", "method: least_conn"],
    ),
    ({"cpu_quota": "two"}, ".cpu_quota", ["Write: cpu_quota: 150%"]),
    ({"log_file": "maybe"}, ".log_file", ["is not true or false", "Write: log_file: true"]),
    ({"keep_releases": 1}, ".keep_releases", ["1 is not a number from 2 up", "Write: keep_releases: 3"]),
    ({"packages": ["libpq5; rm"]}, ".packages[0]", ["not the name of a Debian package", "Write: packages: [libpq5]"]),
    ({"sandbox": {"writable_paths": ["up"]}}, ".sandbox.writable_paths[0]", ["not an absolute path", "[/srv/uploads]"]),
    ({"sandbox": {"overrides": {"a b": 1}}}, ".sandbox.overrides", ["not the name of a systemd directive"]),
    ({"sandbox": {"overrides": {"Ab": [1]}}}, ".sandbox.overrides.Ab", ["not a string, number or boolean"]),
    ({"sandbox": {"overrides": {"Ab": "x\ny"}}}, ".sandbox.overrides.Ab", ["line break"]),
    ({"restart_sec": -1}, ".restart_sec", ["from 0 up", "Write: restart_sec: 0.5"]),
    ({"start_timeout": 0}, ".start_timeout", ["from 1 up", "Write: start_timeout: 120"]),
    ({"stop_timeout": 1.5}, ".stop_timeout", ["is not a whole number", "Write: stop_timeout: 30"]),
]


@pytest.mark.parametrize("changes, place, words", APP_CASES)
def test_wrong_app(changes, place, words):
    place = "webapp_apps" + (place if place.startswith("[") else "[chat-api]" + place)
    found = problems([an_app(**changes)])
    assert [line.split(": ")[0] for line in found] == [place]
    for word in words:
        assert word in found[0]
    assert ("put it in quotes" in found[0]) == ("put it in quotes" in words)


@pytest.mark.parametrize(
    "changes, place, words",
    [
        (
            {"source": {"directory": "x"}},
            ".source",
            ["not for runtime external, only for uvicorn, pm2 and static. Leave it out"],
        ),
        ({"uvicorn": {"target": "a:b"}}, ".uvicorn", ["only for uvicorn. Leave"]),
        ({"env": {"A": "secret"}}, ".env", ["only for uvicorn, pm2 and static"]),
        ({"sandbox": {"allow_network": False}}, ".sandbox", ["only for uvicorn and pm2"]),
        ({"requires": [{"tcp": "db:1"}]}, ".requires", ["only for uvicorn and pm2"]),
        ({"keep_releases": 9}, ".keep_releases", ["only for uvicorn, pm2 and static"]),
        ({"hosts": ["http://a.example:80/"]}, ".hosts[0]", ["is not a host name", "Write: hosts: [a.example]"]),
        ({"hosts": "a.example"}, ".hosts", ["is not a list", "Write: hosts: [a.example]"]),
    ],
)
def test_wrong_external_app(changes, place, words):
    found = problems([an_external(**changes)])
    assert [line.split(": ")[0] for line in found] == ["webapp_apps[wiki]" + place]
    for word in words:
        assert word in found[0]


def a_hosted(**changes):
    app = {"name": "shop", "runtime": "external", "url": "https://shop.example", "health": {"path": "/ok"}}
    return changed(dict(app, deploy_hook="https://host.example/s3cret"), changes)


STATUS = {"url": "https://host.example/s3cret", "json": {"state": "live"}}


@pytest.mark.parametrize(
    "changes, place, words",
    [
        ({"url": GONE, "deploy_hook": GONE}, "", ["says no place", "Write one of: url: 'https://api.example.com'; port: 8000"]),
        ({"port": 8000}, "", ["has url and port, which exclude each other"]),
        ({"url": "shop.example/"}, ".url", ["is not http(s)://HOST in lower case", "Write: url: 'https://shop.example'"]),
        ({"url": "https://Shop.example/api"}, ".url", ["paths are said by `health`", "Write: url: 'https://shop.example'"]),
        ({"url": "https://shop.example:99999"}, ".url", ["has no port from 1 to 65535", "Write: url: 'https://api.example.com'"]),
        ({"hosts": ["192.0.2.1"]}, ".hosts", ["this one is at its url. Leave it out"]),
        ({"instances": 2}, ".instances", ["for an app on ports"]),
        ({"balance": {"method": "hash"}}, ".balance", ["for an app on ports"]),
        ({"url": GONE, "port": 8000}, ".deploy_hook", ["needs url. Write: url: 'https://api.example.com', or leave"]),
        ({"deploy_hook": GONE, "deploy_status": STATUS}, ".deploy_status", ["needs deploy_hook. Write: deploy_hook: "]),
        ({"deploy_hook": GONE, "deploy_version": "commit"}, ".deploy_version", ["needs deploy_hook"]),
        ({"deploy_hook": "host.example/s3cret"}, ".deploy_hook", ["the value is no http(s) address"]),
        ({"deploy_hook": "https://host.example/s3cret\n"}, ".deploy_hook", ["or has a blank or a line break in it"]),
        ({"deploy_status": "s3cret"}, ".deploy_status", ["the value is not a mapping"]),
        ({"deploy_status": {"url": "https://host.example/s3cret"}}, ".deploy_status", ["Write one of: json: {status: live}"]),
        ({"deploy_status": dict(STATUS, failed=[{}])}, ".deploy_status.failed[0]", ["Write one of: json: {status: build_failed}"]),
        ({"deploy_status": {"json": {}}}, ".deploy_status.url", ["missing. Write: url: 'https://api.example.com"]),
        ({"deploy_version": "a b"}, ".deploy_version", ["is not the name of a field"]),
        ({"deploy_timeout": 0}, ".deploy_timeout", ["is not a number above 0"]),
        ({"health": GONE}, ".health", ["missing"]),
    ],
)  # fmt: skip
def test_wrong_hosted_app(changes, place, words):
    found = problems([a_hosted(**changes)])
    assert [line.split(": ")[0] for line in found] == ["webapp_apps[shop]" + place]
    for word in words:
        assert word in found[0]
    assert "s3cret" not in found[0]


def test_a_deploy_hook_is_for_hosted_apps():
    (line,) = problems([an_app(deploy_hook="https://host.example/s3cret")])
    assert "not for runtime uvicorn, only for external" in line


@pytest.mark.parametrize("key, value", [("grpc", True), ("retries", {"tries": 2})])
def test_wrong_route_to_a_hosted_app(key, value):
    (line,) = problems(
        [a_hosted()],
        [
            a_site(
                routes=[{"path": "/", "app": "shop", key: value}],
                tls={"mode": "files", "certificate": "/c", "key": "/k"},
            )
        ],
    )
    assert line.startswith("webapp_sites[chat].routes[/].%s: shop is hosted elsewhere (url)" % key)


def a_pm2(**changes):
    app = {"name": "web", "runtime": "pm2", "source": {"directory": "src"}, "pm2": {"script": "server.js"}}
    return dict(app, port=3000, health={"path": "/health"}, **changes)


@pytest.mark.parametrize(
    "changes, place, words",
    [
        ({"pm2": GONE}, ".pm2", ["missing", "Write: pm2: {script: server.js}"]),
        ({"pm2": {}}, ".pm2", ["says no program", "Write one of: script: server.js; npm: start"]),
        ({"pm2": {"script": "a.js", "npm": "start"}}, ".pm2", ["script and npm, which exclude each other"]),
        ({"pm2": {"script": "/srv/a.js"}}, ".pm2.script", ["not a file below the source folder"]),
        ({"pm2": {"script": "../a.js"}}, ".pm2.script", ["not a file below the source folder"]),
        ({"pm2": {"npm": "npm run start"}}, ".pm2.npm", ["not the name of a script", "Write: npm: start"]),
        ({"pm2": {"npm": "start", "workers": 2}}, ".pm2.workers", ["npm is another program", "Write the file"]),
        ({"pm2": {"npm": "start", "node_args": ["-x"]}}, ".pm2.node_args", ["npm is another program"]),
        ({"pm2": {"script": "a.js", "max_memory_restart": "300 mb"}}, ".pm2.max_memory_restart", ["Write: max_memory_restart: 300M"]),
        ({"env": {"PORT": "3000"}}, ".env.PORT", ["from the model's port. Leave it out"]),
        ({"uvicorn": {"target": "a:b"}}, ".uvicorn", ["not for runtime pm2, only for uvicorn"]),
        ({"port": 80}, ".port", ["below 1024"]),
        ({"required_env": ["KEY"]}, ".env.KEY", ["missing, and required_env asks for it"]),
    ],
)  # fmt: skip
def test_wrong_pm2_app(changes, place, words):
    app = {key: value for key, value in {**a_pm2(), **changes}.items() if value is not GONE}
    found = problems([app])
    assert [line.split(": ")[0] for line in found] == ["webapp_apps[web]" + place]
    for word in words:
        assert word in found[0]


def a_static(**changes):
    return dict({"name": "web", "runtime": "static", "source": {"directory": "src"}, "static": {}}, **changes)


@pytest.mark.parametrize(
    "changes, place, words",
    [
        ({"static": GONE}, ".static", ["missing", "Write: static: {root: dist}"]),
        ({"static": {"root": "../dist"}}, ".static.root", ["not a folder below the source folder"]),
        ({"static": {"index": "a/b.html"}}, ".static.index", ["not the name of a file"]),
        ({"port": 3000}, ".port", ["not for runtime static, only for uvicorn, pm2 and external"]),
        ({"health": {"path": "/"}}, ".health", ["not for runtime static"]),
        ({"source": GONE}, ".source", ["missing"]),
    ],
)
def test_wrong_static_app(changes, place, words):
    app = {key: value for key, value in {**a_static(), **changes}.items() if value is not GONE}
    found = problems([app])
    assert [line.split(": ")[0] for line in found] == ["webapp_apps[web]" + place]
    for word in words:
        assert word in found[0]


@pytest.mark.parametrize("key, value", [("websocket", True), ("read_timeout", "5s")])
def test_a_route_to_files_has_nothing_of_a_proxy(key, value):
    site = {"name": "s", "default": True, "routes": [{"path": "/", "app": "web", key: value}]}
    (found,) = problems([a_static()], [site])
    assert found.startswith("webapp_sites[s].routes[/].%s: web is an app of files" % key)


@pytest.mark.parametrize("path, right", [("= /admin", "/admin/"), ("~ ^/a", "/files/")])
def test_an_app_of_files_is_below_a_path(path, right):
    site = {"name": "s", "default": True, "routes": [{"path": path, "app": "web"}]}
    (found,) = problems([a_static()], [site])
    assert found.startswith("webapp_sites[s].routes[%s].path: web is an app of files" % path)
    assert found.endswith("Write: path: " + right)


@pytest.mark.parametrize("rival", ["/admin/", "= /admin", "=/admin"])
def test_an_app_of_files_takes_its_path_without_the_slash_too(rival):
    routes = [{"path": "/admin", "app": "web"}, {"path": rival, "return": 404}]
    (found,) = problems([a_static()], [{"name": "s", "default": True, "routes": routes}])
    assert found.startswith("webapp_sites[s].routes[/admin]: overlaps with path")


def route(**keys):
    return {"routes": [dict({"path": "/"}, **keys)]}


def asked(**keys):
    return {"verify": [dict({"path": "/x"}, **keys)]}


SITE_CASES = [
    ({"verify": {"path": "/x"}}, ".verify", ["is not a list", "Write: verify: [{path: /api/items, expect: {json: "]),
    ({"verify": [{}]}, ".verify[0].path", ["missing", "Write: path: /api/login"]),
    (asked(path="x y"), ".verify[x y].path", ["is not a path", "Write: path: /x"]),
    (asked(method="post"), ".verify[/x].method", ["capital letters", "Write: method: POST"]),
    (asked(mehtod="GET"), ".verify[/x].mehtod", ["Did you mean: method"]),
    (
        asked(headers={"Host": "a.example"}),
        ".verify[/x].headers",
        ['"Host" is set by who asks', "Write: headers: {Accept: "],
    ),
    (asked(headers={"X-Key": "a\nb"}), ".verify[/x].headers.X-Key", ["the value has a line break"]),
    (
        asked(method="POST", json="secret-word"),
        ".verify[/x].json",
        ["the value is not a mapping", "Write: json: {user: probe}"],
    ),
    (asked(method="POST", json={}, body=""), ".verify[/x]", ["has json and body, which exclude each other. Keep one"]),
    (asked(json={"a": 1}), ".verify[/x].json", ["GET sends none. Write: method: POST"]),
    (asked(method="HEAD", body="a"), ".verify[/x].body", ["HEAD sends none. Write: method: POST"]),
    (
        asked(method="HEAD", expect={"text": "a"}),
        ".verify[/x].expect.text",
        ["answer to HEAD has no body. Write: method: GET"],
    ),
    (asked(expect={"status": 201}), ".verify[/x].expect.status", ["is not a list", "Write: status: [201]"]),
    (asked(expect={"status": 42}), ".verify[/x].expect.status", ["is not a list", "Write: status: [200, 204]"]),
    (asked(expect={"status": [42]}), ".verify[/x].expect.status[0]", ["is not between 100 and 599"]),
    (asked(expect={"headers": {"X A": "b"}}), ".verify[/x].expect.headers", ["is not a header's name"]),
    (
        asked(expect=200),
        ".verify[/x].expect",
        ["is not a mapping", "Write: expect: {status: [200], json: {status: ok}}"],
    ),
    ({"name": "My Site"}, "[My Site].name", ["can't name a file", "Write: name: my-site"]),
    ({"name": GONE}, "[0].name", ["missing", "Write: name: chat"]),
    ({"server_name": "x"}, ".server_name", ["Did you mean: server_names"]),
    ({"server_names": GONE}, ".server_names", ["missing", "Write: server_names: [chat.example.com]", "default: true"]),
    ({"server_names": []}, ".server_names", ["missing"]),
    ({"server_names": "a.example"}, ".server_names", ["is not a list", "Write: server_names: [a.example]"]),
    ({"server_names": ["https://a.example:8/x"]}, ".server_names[0]", ["not a host name", "server_names: [a.example]"]),
    ({"server_names": ["a..example"]}, ".server_names[0]", ["not a host name", "Write: server_names: [a.example]"]),
    ({"server_names": ["_"]}, ".server_names[0]", ["default: true"]),
    ({"server_names": ["a.b", "A.b"]}, ".server_names", ["a.b is there twice"]),
    ({"http_port": 0}, ".http_port", ["not between 1 and 65535", "Write: http_port: 8080"]),
    ({"http_port": 8000}, ".http_port", ["port 8000 is also webapp_apps[chat-api]'s", "that app: port: 8001"]),
    ({"tls": "files"}, ".tls", ["is not a mapping", "Write: tls: {mode: acme, email: "]),
    ({"tls": {"mode": "acne"}}, ".tls.mode", ["is not one of: none, files, self_signed, acme", "Write: mode: acme"]),
    ({"tls": {"mode": "files", "key": "/k"}}, ".tls.certificate", ["missing", "certificate: /etc/ssl/certs/chat.pem"]),
    ({"tls": {"mode": "files", "certificate": "/c"}}, ".tls.key", ["missing", "Write: key: /etc/ssl/private/chat.key"]),
    ({"tls": {"certificate": "/c"}}, ".tls.certificate", ["not used with mode none", "Write: mode: files"]),
    ({"tls": {"mode": "files", "certificate": "c", "key": "/k"}}, ".tls.certificate", ["not an absolute path"]),
    (
        {"tls": {"mode": "files", "certificate": "/c", "key": "/k"}, "http_port": 443},
        ".https_port",
        ["speaks https here and http in webapp_sites[chat]", "http_port: 80, https_port: 443"],
    ),
    ({"client_max_body_size": "10 MB"}, ".client_max_body_size", ["is not a size", "Write: client_max_body_size: 10m"]),
    ({"routes": GONE}, ".routes", ["missing", "Write: routes: [{path: /, app: chat-api}]"]),
    ({"routes": []}, ".routes", ["empty", "Write: routes: [{path: /, app: chat-api}]"]),
    ({"routes": ["/"]}, ".routes[0]", ["not a mapping"]),
    ({"routes": [{"app": "chat-api"}]}, ".routes[0].path", ["missing", "Write: path: /api/"]),
    (route(path="api", app="chat-api"), ".routes[api].path", ["begins with /", "Write: path: /api"]),
    (route(path="/a b", app="chat-api"), ".routes[/a b].path", ["blanks", "Write: path: /a"]),
    (route(app="chat-ap"), ".routes[/].app", ['no app "chat-ap"', "Write: app: chat-api (apps: chat-api)"]),
    (route(app="zzz"), ".routes[/].app", ['no app "zzz"', "Write: app: chat-api"]),
    (route(), ".routes[/]", ["leads nowhere", "app: chat-api; static: /srv/www/chat; url: ", "; return: 404"]),
    (route(app="chat-api", static="/x"), ".routes[/]", ["has app and static, which exclude"]),
    (route(static="www"), ".routes[/].static", ["not an absolute path", "Write: static: /srv/www/chat"]),
    (route(**{"return": 301}), ".routes[/].return", ["redirect", "Write: return: 404"]),
    (route(**{"return": 42}), ".routes[/].return", ["200 to 599"]),
    (route(static="/x", websocket=True), ".routes[/].websocket", ["only for a route to an app"]),
    (route(static="/x", read_timeout="5s"), ".routes[/].read_timeout", ["only for a route to an app"]),
    (route(static="/x", buffering=False), ".routes[/].buffering", ["only for a route to an app"]),
    (route(**{"return": 404, "retries": {"tries": 2}}), ".routes[/].retries", ["only for a route to an app"]),
    (route(app="chat-api", read_timeout=300), ".routes[/].read_timeout", ["with its unit", "read_timeout: 300s"]),
    (route(app="chat-api", read_timeout="300"), ".routes[/].read_timeout", ["with its unit", "read_timeout: 300s"]),
    (route(app="chat-api", send_timeout="5 min"), ".routes[/].send_timeout", ["with its unit", "send_timeout: 60s"]),
    (route(app="chat-api", rate="10/s"), ".routes[/].rate", ["10r/s, 600r/m", "Write: rate: 10r/s"]),
    (route(app="chat-api", rate="600 per minute"), ".routes[/].rate", ["Write: rate: 600r/m"]),
    (route(app="chat-api", rate=10), ".routes[/].rate", ["Write: rate: 10r/s"]),
    (route(app="chat-api", burst=-1), ".routes[/].burst", ["from 0 up", "Write: burst: 40"]),
    (route(app="chat-api", body_size="big"), ".routes[/].body_size", ["is not a size", "Write: body_size: 50m"]),
    (route(app="chat-api", headers={"X:": "1"}), ".routes[/].headers", ["not a header's name", "Cache-Control"]),
    (route(app="chat-api", retries={"tries": 0}), ".routes[/].retries.tries", ["from 1 up", "Write: tries: 2"]),
    (route(app="chat-api", retries={"timeout": 5}), ".routes[/].retries.timeout", ["Write: timeout: 5s"]),
    ({"routes": [{"path": "/", "app": "chat-api"}] * 2}, ".routes", ["path / is there 2 times"]),
    (
        {"routes": [{"path": "= /a", "return": 200}, {"path": "=/a", "return": 404}]},
        ".routes",
        ["= /a is there 2 times"],
    ),
    (
        {
            "routes": [{"path": "/.well-known/acme-challenge/", "app": "chat-api"}],
            "tls": {"mode": "acme", "email": "ops@example.com"},
        },
        ".routes[/.well-known/acme-challenge/]",
        ["where the site answers the CA. Leave it out"],
    ),
    (route(app="chat-api", cache="100ms"), ".routes[/].cache", ["whole seconds", "Write: cache: 60s"]),
    (route(**{"return": 200, "text": "é" * 2001}), ".routes[/].text", ["takes 4002 bytes", "Write: text: "]),
    (route(**{"return": 200, "text": "$" * 300}), ".routes[/].text", ["takes 5700 bytes", "a route with static"]),
    ({"maintenance": {"page": "x" * 4001}}, ".maintenance.page", ["takes 4001 bytes", "Write: page: "]),
    (route(path="~ /x", app="chat-api"), ".routes[~ /x].path", ["begins with ^/", "Write: path: ~ ^/x"]),
    (route(path="~ ^/(", app="chat-api"), ".routes[~ ^/(].path", ["is no regular expression", "Write: path: /api/"]),
    (
        route(path="~ ^/(?P<http_x>.*)$", app="chat-api"),
        ".routes[~ ^/(?P<http_x>.*)$].path",
        ["names a group http_x, which is a variable of nginx"],
    ),
    (route(path="= x y", app="chat-api"), ".routes[= x y].path", ["begins with /", "Write: path: = /x"]),
    (
        {"routes": [{"path": "~ ^/api", "app": "chat-api"}, {"path": "/api/", "app": "chat-api"}]},
        ".routes[/api/]",
        ["is never taken, as the expression ^/api comes first"],
    ),
    (
        {"routes": [{"path": "/docs", "static": "/x"}, {"path": "/docs/", "app": "chat-api"}]},
        ".routes[/docs]",
        ["overlaps with path /docs/"],
    ),
    (
        {"routes": [{"path": "/docs", "static": "/x"}, {"path": "= /docs", "app": "chat-api"}]},
        ".routes[/docs]",
        ["overlaps with path = /docs"],
    ),
    (route(path="= /x", app="chat-api", strip_prefix=True), ".routes[= /x].strip_prefix", ["no prefix to take off"]),
    (route(path="~ ^/x$", static="/x"), ".routes[~ ^/x$].static", ["one place", "Write: path: /files/"]),
    (
        route(path="~ ^/x$", url="https://a.example/y"),
        ".routes[~ ^/x$].url",
        ["no path that /y could", "Write: url: 'https://a.example'"],
    ),
    (
        route(url="files.example.com/x"),
        ".routes[/].url",
        ["is not http(s)", "Write: url: 'https://files.example.com/x'"],
    ),
    (route(url="http://a.example", ca="/ca.pem"), ".routes[/].ca", ["only for https"]),
    (route(app="chat-api", ca="/ca.pem"), ".routes[/].ca", ["only for a route to a url. Leave it out"]),
    (route(redirect="example.com"), ".routes[/].redirect", ["neither a path nor", "Write: redirect: 'https://www"]),
    (route(redirect="//evil.example"), ".routes[/].redirect", ["neither a path nor"]),
    (route(redirect="https://a.example$uri"), ".routes[/].redirect", ["a $ that is none of $request_uri, $host"]),
    (route(redirect="/x", status=200), ".routes[/].status", ["none of 301, 302", "Write: status: 301"]),
    (route(app="chat-api", status=301), ".routes[/].status", ["only for a route to a redirect"]),
    (route(app="chat-api", text="x"), ".routes[/].text", ["only for a route to a return"]),
    (
        route(**{"return": 200}, auth_basic={"users": {"a": "$6$x$y"}}),
        ".routes[/].auth_basic",
        ["an app, a url or a static"],
    ),
    (route(app="chat-api", websocket=True, stream=True), ".routes[/]", ["has websocket and stream, which exclude"]),
    (route(app="chat-api", grpc=True), ".routes[/].grpc", ["needs HTTP/2", "Give the site a tls: mode"]),
    (route(app="chat-api", cache="60s", stream=True), ".routes[/].cache", ["passed on as it comes (stream)"]),
    (route(app="chat-api", cache="60s", buffering=False), ".routes[/].cache", ["(buffering: false)"]),
    (route(app="chat-api", rate="slow"), ".routes[/].rate", ['no rate "slow"', "for the site: rates: {slow: 10r/s}"]),
    (dict(route(app="chat-api", rate="logn"), rates={"login": "5r/m"}), ".routes[/].rate", ["Write: rate: login"]),
    ({"rates": {"login": "5"}}, ".rates.login", ["not requests per second or minute", "Write: login: 5r/m"]),
    ({"rates": {"none": "5r/m"}}, ".rates", ["can't name a rate"]),
    (route(app="chat-api", connections=0), ".routes[/].connections", ["from 1 up"]),
    (
        route(app="chat-api", allow=["office"]),
        ".routes[/].allow[0]",
        ["not an address", "Write: allow: [192.0.2.0/24]"],
    ),
    (
        route(app="chat-api", deny=["fe80::1%x; } map $a $b { default"]),
        ".routes[/].deny[0]",
        ["names an interface (%)", "Write: deny: [198.51.100.7]"],
    ),
    (
        route(app="chat-api", auth_basic={"users": {"ann": "secret"}}),
        ".routes[/].auth_basic.users.ann",
        ["is not the hash of a password (openssl passwd -6", "Write: ann: $6$salt$hash"],
    ),
    (
        route(app="chat-api", auth_basic={"realm": "Off", "users": {"ann": "$6$salt$hash"}}),
        ".routes[/].auth_basic.realm",
        ["switches the question off", "Write: realm: Staff"],
    ),
    (route(app="chat-api", auth_basic={"users": {}}), ".routes[/].auth_basic.users", ["empty", "{ann: $6$salt$hash}"]),
    (
        route(app="chat-api", cors={"origins": ["*"], "credentials": True}),
        ".routes[/].cors.origins",
        ["let every site of the web act as the visitor", "Write: origins: ['https://app.example.com']"],
    ),
    (
        route(app="chat-api", cors={"origins": ["*", "https://a.example"]}),
        ".routes[/].cors.origins",
        ["* is all there are"],
    ),
    (
        route(app="chat-api", cors={"origins": ["App.example.com/"]}),
        ".routes[/].cors.origins[0]",
        ["is not an origin", "Write: origins: ['https://app.example.com']"],
    ),
    (route(app="chat-api", cors={"origins": []}), ".routes[/].cors.origins", ["empty"]),
    (route(**{"return": 204}, cors={"origins": ["*"]}), ".routes[/].cors", ["an app, a url or a static"]),
    (route(app="chat-api", headers={"X": "a $"}), ".routes[/].headers.X", ["a $ that begins no variable"]),
    (
        route(app="chat-api", headers={"X": "$host" + '"' * 1998}),
        ".routes[/].headers.X",
        ["takes 4001 bytes", "the app"],
    ),
    *(
        (
            {"routes": [{"path": "~ ^/(?P<tail>.*)$", "app": "chat-api", "headers": {"X": value}}]},
            ".routes[~ ^/(?P<tail>.*)$].headers.X",
            ["none of those in which no request can end the line ($request_uri"],
        )
        for value in (
            *("$uri", "${document_uri}", "$tail", "$request_filename", "$realpath_root", "$fastcgi_path_info"),
            *("a$request_body", "$remote_user", "$host$uri"),
        )
    ),
    (route(app="chat-api", headers={"X": "${host"}), ".routes[/].headers.X", ["a $ that begins no variable"]),
    (route(app="chat-api", raw="gzip off"), ".routes[/].raw", ["does not end with ; or }"]),
    (route(app="chat-api", raw="} location /x {"), ".routes[/].raw", ["has a } too many"]),
    (route(app="chat-api", raw="if ($x) {"), ".routes[/].raw", ["a { that no } ends"]),
    (route(app="chat-api", raw="add_header X 'y;"), ".routes[/].raw", ["a quote that does not end"]),
    (
        route(app="chat-api", security_headers="strict"),
        ".routes[/].security_headers",
        ["is not one of: basic, page, none"],
    ),
    ({"maintenance": {"retry_after": 300}}, ".maintenance.retry_after", ["with its unit", "retry_after: 300s"]),
]


@pytest.mark.parametrize("changes, place, words", SITE_CASES)
def test_wrong_site(changes, place, words):
    place = "webapp_sites" + (place if place.startswith("[") else "[chat]" + place)
    found = problems([an_app()], [a_site(**changes)])
    assert [line.split(": ")[0] for line in found] == [place]
    for word in words:
        assert word in found[0]


@pytest.mark.parametrize(
    "apps, sites, place, words",
    [
        ({"a": 1}, [], "webapp_apps", ["is not a list", "Write: webapp_apps: [{name: chat-api, runtime: uvicorn"]),
        (["chat-api"], [], "webapp_apps[0]", ["is not a mapping", "{name: chat-api, runtime: uvicorn"]),
        ([], "x", "webapp_sites", ["is not a list", "Write: webapp_sites: [{name: chat, "]),
        ([], [a_site()], "webapp_sites[chat].routes[/].app", ["webapp_apps is empty", "webapp_apps: [{name: chat-api"]),
        (
            [an_app(), an_app(port=9000)],
            [],
            "webapp_apps[chat-api].name",
            ["names 2 apps", "Write: name: chat-api-2 for the other"],
        ),
        (
            [an_app(instances=3), an_app(name="b", port=8002)],
            [],
            "webapp_apps[b].port",
            ["port 8002 is also webapp_apps[chat-api]'s", "8000 to 8002", "Write: port: 8003"],
        ),
        (
            [an_app(), an_external(port=8000)],
            [],
            "webapp_apps[wiki].port",
            ["port 8000 is also webapp_apps[chat-api]'s", "Write: port: 8001"],
        ),
        (
            [an_app()],
            [a_site(), a_site(server_names=["b.example"])],
            "webapp_sites[chat].name",
            ["names 2 sites", "Write: name: chat-2 for the other"],
        ),
        (
            [an_app()],
            [a_site(default=True), a_site(name="b", server_names=[], default=True)],
            "webapp_sites[b].default",
            ["site chat is the default of port 80 already", "Write: default: false"],
        ),
        (
            [an_app()],
            [a_site(), a_site(name="b", server_names=["Chat.example.com"])],
            "webapp_sites[b].server_names",
            ["chat.example.com belongs to site chat already"],
        ),
        (
            [an_app()],
            [
                a_site(tls={"mode": "files", "certificate": "/c", "key": "/k"}),
                a_site(name="b", server_names=["b.example"], http_port=443),
            ],
            "webapp_sites[b].http_port",
            ["port 443 speaks http here and https in webapp_sites[chat]", "http_port: 80, https_port: 443"],
        ),
        (
            [an_app(websocket={"path": "/ws/probe"})],
            [a_site()],
            "webapp_sites[chat].routes[/]",
            ["WebSockets of app chat-api", "Write one more: {path: /ws/, app: chat-api, websocket: true}"],
        ),
        (
            [an_app(websocket={"path": "/ws"})],
            [a_site()],
            "webapp_sites[chat].routes[/]",
            ["Write: {path: /, app: chat-api, websocket: true}"],
        ),
    ],
)
def test_wrong_together(apps, sites, place, words):
    found = problems(apps, sites)
    assert [line.split(": ")[0] for line in found] == [place]
    for word in words:
        assert word in found[0]


@pytest.mark.parametrize("value", [[], [[]], {}, {"x": []}, "x", -1, 1.5, True, None], ids=repr)
def test_no_value_of_any_key_breaks_the_checks(value):
    """Whatever stands at a key: the model resolves, or there is a list of problems."""
    tls = {"mode": "files", "certificate": "/c", "key": "/k"}
    for make, schema in ((an_app, _schema.APP), (an_external, _schema.APP), (a_hosted, _schema.APP)):
        for key in schema:
            _resolves_or_tells([make(**{key: value})], [a_site(tls=tls)], key)
    for key in _schema.SITE:
        _resolves_or_tells([an_app()], [a_site(**{key: value}), a_site(name="b", default=True)], key)
    for key in _schema.ROUTE:
        _resolves_or_tells([an_app(websocket={"path": "/ws"})], [a_site(**route(**{key: value}))], key)
    for outer, schema in (("source", _schema.SOURCE), ("uvicorn", _schema.UVICORN), ("health", _schema.HEALTH)):
        for key in schema:
            _resolves_or_tells([an_app(**{outer: dict(an_app()[outer], **{key: value})})], [a_site()], key)
    for key in _schema.TLS:
        _resolves_or_tells([an_app()], [a_site(tls=dict(tls, **{key: value}))], key)


def _resolves_or_tells(apps, sites, key):
    try:
        model = resolve(apps, sites)
    except GatehouseError as error:
        assert error.facts["problems"]
    else:
        assert json.loads(json.dumps(model)) == model, key


def test_all_problems_are_told_at_once():
    found = problems(
        [an_app(port=0, colour=1), an_app(name="B", port=9000)],
        [a_site(routes=[{"path": "x", "app": "chat-api"}]), a_site(name="b", routes=[{"path": "/", "rate": "1"}])],
    )
    assert [line.split(": ")[0] for line in found] == [
        "webapp_apps[chat-api].colour",
        "webapp_apps[chat-api].port",
        "webapp_apps[B].name",
        "webapp_sites[chat].routes[x].path",
        "webapp_sites[b].routes[/].rate",
        "webapp_sites[b].server_names",
        "webapp_sites[b].routes[/]",
    ]


def test_route_to_a_misnamed_app_is_told_once():
    found = problems([an_app(name="Chat_API")], [a_site()])
    assert [line.split(": ")[0] for line in found] == ["webapp_apps[Chat_API].name"]


@pytest.mark.parametrize(
    "changes",
    [
        {"env": {"A": ["hush-hush"], "B": {"x": "hush-hush"}, "C": "hush-hush\x00"}},
        {"env": "hush-hush"},
        {"env": ["hush-hush"]},
        {"health": {"path": "/", "headers": {"Authorization": "hush-hush\n"}}},
        {"health": {"path": "/", "headers": "hush-hush"}},
        {"source": {"git": "https://hush-hush@x y", "version": "v"}},
        {"source": {"archive": ["https://x/?token=hush-hush"]}},
    ],
)
def test_secrets_are_not_shown(changes):
    assert "hush" not in "".join(problems([an_app(**changes)]))


def test_long_values_are_cut():
    (line,) = problems([an_app(cpu_quota="9" * 500 + "x")])
    assert len(line) < 250


def test_the_right_inputs_of_the_errors_are_right():
    """The smallest app and site that errors show resolve as they are."""
    (line,) = problems(None, [a_site()])
    app = yaml.safe_load(line.split("Write: ")[1])["webapp_apps"]
    (line,) = problems(app, "x")
    site = yaml.safe_load(line.split("Write: ")[1])["webapp_sites"]
    site[0]["default"] = True
    assert resolve(app, site)["probes"][0]["path"] == "/health"


def test_input_is_kept_on_failure():
    app = an_app(port=0, env={"A": 1})
    before = copy.deepcopy(app)
    problems([app])
    assert app == before


def test_two_apps_can_not_swap_names_in_one_deploy():
    found = problems([an_app(name="one", renamed_from="two"), an_app(name="two", port=9000, renamed_from="one")])
    assert len(found) == 2
    assert all("give this one a third name first" in line for line in found)


@pytest.mark.parametrize(
    ("former", "told"),
    [
        ("chat-api", "is the name of this app in the model"),
        ("blog", "is the name of another app in the model"),
        ("shop", "was press too, which has its data"),
        ("blog-build", "is also the user that builds blog"),
        ("root", "names a user, a unit or a folder"),
    ],
)
def test_a_former_name_is_one_app_s_alone(former, told):
    press = an_app(name="press", port=8200, renamed_from="shop")
    blog = an_app(name="blog", port=8300)
    (line,) = problems([press, blog, an_app(renamed_from=former)])
    assert line.startswith("webapp_apps[chat-api].renamed_from: ")
    assert told in line
