"""The configuration the role renders, read as nginx reads it: directives with parameters and blocks."""

import re
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLE = Path(__file__).parents[4] / "roles" / "nginx_proxy"

APPS = [
    {"name": "api", "runtime": "external", "port": 3000, "instances": 2, "health": {"path": "/health"}},
]
ROUTES = [
    {"path": "/", "app": "api"},
    {"path": "/ws/", "app": "api", "websocket": True},
    {"path": "/docs", "static": "/srv/docs"},
    {"path": "/gone", "return": 410},
]
SITE = {"name": "chat", "server_names": ["chat.example.com"], "routes": ROUTES}
TLS = {"mode": "files", "certificate": "/etc/ssl/chat.pem", "key": "/etc/ssl/chat.key"}


def parse(text):
    """[[name, parameters, block or None], ...] of nginx's syntax; raises where braces or quotes don't match."""
    tokens = re.findall(r"""#[^\n]*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[{};]|[^\s{};"'#][^\s{};]*""", text)
    rest = iter([token for token in tokens if not token.startswith("#")])

    def block(inside):
        found, words = [], []
        for token in rest:
            if token == ";":
                assert words
                found.append([words[0], words[1:], None])
                words = []
            elif token == "{":
                found.append([words[0], words[1:], block(True)])
                words = []
            elif token == "}":
                assert inside
                assert not words
                return found
            else:
                words.append(unquoted(token))
        assert not inside
        assert not words
        return found

    return block(False)


def unquoted(token):
    return re.sub(r"\\(.)", r"\1", token[1:-1]) if token[0] in "\"'" else token


def all_of(block, name):
    return [parameters for each, parameters, _block in block if each == name]


def one(block, name):
    (parameters,) = all_of(block, name)
    return parameters


def blocks(block, name):
    return {" ".join(parameters): inner for each, parameters, inner in block if each == name}


@pytest.fixture
def rendered():
    """The set's files, parsed, for these sites."""

    def render(sites, apps=None, nginx="nginx version: nginx/1.22.1", **settings):
        loader = DataLoader()

        def read(path):
            return loader.load_from_file(str(ROLE / path), trusted_as_template=True)

        variables = {**read("defaults/main.yml"), **read("vars/main.yml"), "ansible_managed": "Managed"}
        variables.update(
            nginx_proxy_apps=APPS if apps is None else apps, nginx_proxy_sites=sites, ansible_search_path=[str(ROLE)]
        )
        variables.update(settings, __nginx_proxy_version_output={"stderr": nginx})
        task = read("tasks/configure.yml")[0]
        variables.update(task.get("vars", {}))
        templar = Templar(loader=loader, variables=variables)
        files = templar.template(task["gatehouse.webapp.nginx_config"]["files"])
        return {name: parse(text) for name, text in files.items()}

    return render


def servers(files):
    return [inner for name, _parameters, inner in files["sites.conf"] if name == "server"]


def site_of(files, name="chat.example.com", port="80"):
    (found,) = [
        s for s in servers(files) if name in one(s, "server_name") and [port] in [p[:1] for p in all_of(s, "listen")]
    ]
    return found


def test_every_file_of_the_set_is_included(rendered):
    for sites in ([SITE], [dict(SITE, routes=[{"path": "/docs", "static": "/srv/docs"}])], []):
        files = rendered(sites)
        named = {parameters[0] for block in _all_blocks(files) for parameters in all_of(block, "include")}
        assert {name for name in files if "gatehouse/" + name not in named} == {"nginx.conf"}


def _all_blocks(files):
    waiting = list(files.values())
    while waiting:
        block = waiting.pop()
        yield block
        waiting += [inner for _name, _parameters, inner in block if inner is not None]


def test_the_upstream_has_every_instance_and_never_leaves_one_out_of_turn(rendered):
    upstream = blocks(rendered([SITE])["upstreams.conf"], "upstream")["api"]
    assert all_of(upstream, "server") == [["127.0.0.1:3000", "max_fails=0"], ["127.0.0.1:3001", "max_fails=0"]]
    assert one(upstream, "keepalive") == ["128"]
    # A part that is taken out of turn has to be without idle connections soon.
    assert one(upstream, "keepalive_timeout") == ["4s"]


def test_an_app_that_no_route_leads_to_has_no_upstream(rendered):
    other = {"name": "other", "runtime": "external", "port": 4000, "health": {"path": "/health"}}
    assert set(blocks(rendered([SITE], apps=[*APPS, other])["upstreams.conf"], "upstream")) == {"api"}


def test_an_api_route(rendered):
    location = blocks(site_of(rendered([SITE])), "location")["/"]
    assert one(location, "proxy_pass") == ["http://api"]
    assert one(location, "proxy_read_timeout") == ["300s"]
    assert one(location, "proxy_buffering") == ["off"]
    assert ["Connection", ""] in all_of(location, "proxy_set_header")
    assert one(location, "limit_req")[1:] == ["burst=20", "nodelay"]
    assert one(location, "proxy_next_upstream_tries") == ["3"]
    assert one(location, "proxy_next_upstream_timeout") == ["10s"]


@pytest.fixture
def uvicorn(an_app):
    return an_app(name="api", instances=2, drain_timeout=90)


def members(block):
    return [" ".join(words) for words in all_of(block, "server")]


def lookups(site):
    """[[what is set before, the file that is looked for, what is set then], ...] of a server block."""
    found = [one(site, "set")]
    for name, words, block in site:
        if name == "if":
            found.append([" ".join(words), one(block, "set")])
    return found


def test_a_blue_green_app_is_looked_up_for_each_request(rendered, uvicorn):
    files = rendered([SITE], apps=[uvicorn])
    upstreams = blocks(files["upstreams.conf"], "upstream")
    blue = ["127.0.0.1:%d max_fails=0" % port for port in (8000, 8001)]
    green = ["127.0.0.1:%d max_fails=0" % port for port in (18000, 18001)]
    assert members(upstreams["api"]) == blue + [server + " backup" for server in green]
    assert members(upstreams["api.green"]) == green + [server + " backup" for server in blue]
    assert lookups(site_of(files)) == [
        ["$gatehouse_to_api", "api"],
        ["(-f /srv/api/current/green)", ["$gatehouse_to_api", "api.green"]],
    ]


def test_a_release_beside_the_live_one_is_not_asked_for_what_was_answered(rendered, uvicorn):
    location = blocks(site_of(rendered([SITE], apps=[uvicorn])), "location")["/"]
    assert one(location, "proxy_pass") == ["http://$gatehouse_to_api"]
    assert one(location, "proxy_next_upstream") == ["error", "timeout"]
    # Both of its own, and one of the other set: a request that waited for its body meets a set that has stopped since.
    assert one(location, "proxy_next_upstream_tries") == ["3"]


def test_an_app_without_a_second_set_tries_again_on_a_bad_answer_too(rendered):
    location = blocks(site_of(rendered([SITE])), "location")["/"]
    assert one(location, "proxy_next_upstream") == ["error", "timeout", "http_502", "http_503"]


def test_a_part_that_is_out_gets_nothing_unless_nobody_else_takes_it(rendered, uvicorn):
    files = rendered([SITE], apps=[{**uvicorn, "strategy": "restart"}])
    upstreams = blocks(files["upstreams.conf"], "upstream")
    assert members(upstreams["api.without-8000"]) == ["127.0.0.1:8001 max_fails=0", "127.0.0.1:8000 max_fails=0 backup"]
    assert lookups(site_of(files))[1] == [
        "(-f /run/gatehouse/rotation/api/8000)",
        ["$gatehouse_to_api", "api.without-8000"],
    ]


def test_old_workers_end_after_the_longest_drain(rendered, uvicorn):
    for apps, seconds in ((APPS, "75s"), ([uvicorn], "105s")):
        assert one(rendered([SITE], apps=apps)["nginx.conf"], "worker_shutdown_timeout") == [seconds]


def test_a_websocket_route(rendered):
    location = blocks(site_of(rendered([SITE])), "location")["/ws/"]
    assert all_of(location, "proxy_set_header") == [
        ["Upgrade", "$http_upgrade"],
        ["Connection", "$gatehouse_connection"],
    ]
    assert one(location, "proxy_read_timeout") == one(location, "proxy_send_timeout") == ["86400s"]


def test_only_what_ends_soon_has_a_large_buffer(rendered):
    locations = blocks(site_of(rendered([SITE])), "location")
    assert one(locations["/"], "proxy_buffer_size") == ["16k"]
    assert all_of(locations["/ws/"], "proxy_buffer_size") == []


def test_an_apps_answers_are_compressed_faster_than_files(rendered):
    files = rendered([SITE])
    (for_files,) = one(blocks(files["nginx.conf"], "http")[""], "gzip_comp_level")
    (for_apps,) = one(files["proxy.conf"], "gzip_comp_level")
    assert int(for_apps) < int(for_files)


def test_a_line_of_the_log_waits_for_a_second_at_most(rendered):
    log = one(blocks(rendered([SITE])["nginx.conf"], "http")[""], "access_log")
    assert {"buffer=64k", "flush=1s"} < set(log)


def test_what_is_passed_on_is_set(rendered):
    proxy = rendered([SITE])["proxy.conf"]
    headers = dict(all_of(proxy, "proxy_set_header"))
    assert headers["X-Forwarded-For"] == headers["X-Real-IP"] == "$remote_addr"
    assert one(proxy, "proxy_http_version") == ["1.1"]


def test_the_health_path_has_no_log_and_no_limit(rendered):
    location = blocks(site_of(rendered([SITE])), "location")["= /health"]
    assert one(location, "access_log") == ["off"]
    assert all_of(location, "limit_req") == []


def test_a_static_folder_ends_where_its_path_ends(rendered):
    locations = blocks(site_of(rendered([SITE])), "location")
    assert one(locations["= /docs"], "return") == ["301", "/docs/"]
    assert one(locations["/docs/"], "alias") == ["/srv/docs/"]
    assert "/docs" not in locations


def test_every_location_has_the_security_headers_unless_it_has_its_own(rendered):
    routes = [dict(ROUTES[0], headers={"x-frame-options": "DENY"}), *ROUTES[1:]]
    for path, location in blocks(site_of(rendered([dict(SITE, routes=routes)])), "location").items():
        if path == "= /docs":
            continue
        names = [parameters[0].lower() for parameters in all_of(location, "add_header")]
        assert sorted(set(names) - {"cache-control"}) == [
            "referrer-policy",
            "x-content-type-options",
            "x-frame-options",
        ]
        assert ("cache-control" in names) == (path == "/docs/")
        if path == "/":
            assert ["x-frame-options", "DENY", "always"] in all_of(location, "add_header")


FRONT = {"name": "front", "runtime": "static", "source": {"directory": "src"}, "static": {"root": "dist"}}


def front(rendered, path="/", static=None, headers=None):
    app = dict(FRONT, static=static or FRONT["static"])
    routes = [{"path": path, "app": "front", "headers": headers or {}}]
    return blocks(site_of(rendered([dict(SITE, routes=routes)], [app])), "location")


def test_a_front_end_is_served_from_its_live_release_and_routes_itself(rendered):
    location = front(rendered)["/"]
    assert one(location, "root") == ["/srv/front/current/src/dist"]
    assert one(location, "index") == ["index.html"]
    assert one(location, "try_files") == ["$uri", "$uri/", "/index.html"]
    assert one(blocks(location, "location")[r"~ .[A-Za-z0-9]+$"], "try_files") == ["$uri", "@former /"]


def test_a_front_end_below_a_path_stays_below_it(rendered):
    locations = front(rendered, "/admin", {"root": "out", "index": "app.html"})
    assert one(locations["= /admin"], "return") == ["301", "/admin/"]
    assert one(locations["/admin/"], "alias") == ["/srv/front/current/src/out/"]
    assert one(locations["/admin/"], "try_files") == ["$uri", "$uri/", "/admin/app.html"]


def test_files_without_routes_of_their_own_are_files_alone(rendered):
    location = front(rendered, static={"spa": False})["/"]
    assert all_of(location, "try_files") == []


@pytest.mark.parametrize(("path", "rewritten"), [("/", []), ("/admin", [["^/admin/(.*)$", "/$1", "break"]])])
def test_scripts_of_the_release_before_are_found_and_nothing_else_of_it(rendered, path, rewritten):
    location = front(rendered, path)["@former " + path.rstrip("/") + "/"]
    assert one(location, "root") == ["/srv/front/former/src/dist"]
    assert one(location, "try_files") == ["$uri", "=404"]
    assert all_of(location, "rewrite") == rewritten
    assert blocks(location, "if") == {"($gatehouse_cache_control = no-cache)": [["return", ["404"], None]]}
    assert ["Cache-Control", "$gatehouse_cache_control"] in all_of(location, "add_header")


def test_a_route_that_says_how_to_cache_is_heard(rendered):
    location = front(rendered, headers={"Cache-Control": "max-age=60"})["/"]
    assert [p for p in all_of(location, "add_header") if p[0] == "Cache-Control"] == [
        ["Cache-Control", "max-age=60", "always"]
    ]


@pytest.mark.parametrize(
    ("path", "for_ever"),
    [
        ("/assets/index-DiwrgTda.js", True),
        ("/assets/index-B2c-4_eF.css", True),
        ("/admin/assets/fonts/inter-latin-C1nco2VV.woff2", True),
        ("/static/js/main.8f3a9b1c.js", True),
        ("/_next/static/chunks/main-0a1b2c3d4e5f6071.js", True),
        ("/", False),
        ("/index.html", False),
        ("/assets/my-component.js", False),
        ("/assets/Component.js", False),
        ("/downloads/report-20261121.pdf", False),
        ("/service-worker.js", False),
    ],
)
def test_only_a_name_with_a_digest_is_kept_for_ever(path, for_ever):
    text = (ROLE / "templates/etc/nginx/nginx.conf.j2").read_text()
    pattern = re.search(r'"~(/\(\?:assets[^"]*)" "public, max-age=31536000, immutable";', text).group(1)
    assert bool(re.search(pattern, path)) == for_ever


def test_values_can_not_add_directives(rendered):
    value = 'a"; return 200 "\\'
    location = blocks(site_of(rendered([dict(SITE, routes=[dict(ROUTES[0], headers={"X-A": value})])])), "location")[
        "/"
    ]
    assert ["X-A", value, "always"] in all_of(location, "add_header")
    assert all_of(location, "return") == []


def test_every_zone_that_is_used_is_defined(rendered):
    files = rendered([SITE])
    http = blocks(files["nginx.conf"], "http")[""]
    defined = {
        parameters[1].partition("=")[2].partition(":")[0]: parameters[2]
        for parameters in all_of(http, "limit_req_zone")
    }
    used = {
        parameters[0].partition("=")[2] for block in _all_blocks(files) for parameters in all_of(block, "limit_req")
    }
    assert used == set(defined)
    assert sorted(defined.values()) == ["rate=10r/s", "rate=5r/s"]
    assert one(http, "limit_req_status") == ["429"]


@pytest.mark.parametrize("ipv6", [True, False])
def test_ipv6_is_a_setting_of_every_listener(rendered, ipv6):
    for server in servers(rendered([dict(SITE, tls=TLS)], nginx_proxy_ipv6=ipv6)):
        ports = [parameters[0] for parameters in all_of(server, "listen")]
        plain = [port for port in ports if not port.startswith("[::]:")]
        assert [port for port in ports if port.startswith("[::]:")] == (["[::]:" + p for p in plain] if ipv6 else [])


def test_an_unknown_name_gets_no_answer_unless_a_site_is_the_default(rendered):
    catch_all = [server for server in servers(rendered([SITE])) if one(server, "server_name") == ["_"]]
    assert [one(server, "return") for server in catch_all] == [["444"]]
    assert all("default_server" in parameters for parameters in all_of(catch_all[0], "listen"))

    (server,) = servers(rendered([dict(SITE, default=True)]))
    assert all("default_server" in parameters for parameters in all_of(server, "listen"))


@pytest.mark.parametrize(
    ("nginx", "listen", "directive"),
    [
        ("nginx version: nginx/1.22.1", ["443", "ssl", "http2"], []),
        ("nginx version: nginx/1.25.0 (Ubuntu)", ["443", "ssl", "http2"], []),
        ("nginx version: nginx/1.25.1", ["443", "ssl"], [["on"]]),
        ("", ["443", "ssl", "http2"], []),
    ],
)
def test_http2_is_written_as_this_nginx_wants_it(rendered, nginx, listen, directive):
    server = site_of(rendered([dict(SITE, tls=TLS)], nginx=nginx), port="443")
    assert all_of(server, "listen")[0] == listen
    assert all_of(server, "http2") == directive
    assert one(server, "ssl_certificate") == ["/etc/ssl/chat.pem"]


def test_http_is_redirected_to_https_unless_told_not_to(rendered):
    server = site_of(rendered([dict(SITE, tls=TLS)]), port="80")
    assert one(server, "return") == ["301", "https://$host$request_uri"]
    assert blocks(server, "location") == {}

    server = site_of(rendered([dict(SITE, tls=dict(TLS, redirect=False))]), port="80")
    assert "/" in blocks(server, "location")
    assert ["443", "ssl", "http2"] in all_of(server, "listen")


def test_hand_made_files_are_still_read(rendered):
    http = blocks(rendered([SITE], nginx_proxy_includes=["conf.d/*.conf"])["nginx.conf"], "http")[""]
    assert [parameters[0] for parameters in all_of(http, "include")] == [
        "mime.types",
        "gatehouse/upstreams.conf",
        "gatehouse/sites.conf",
        "conf.d/*.conf",
    ]
