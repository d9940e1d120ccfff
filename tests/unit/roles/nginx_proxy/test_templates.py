"""The configuration the role renders, read as nginx reads it: directives with parameters and blocks."""

import json
import re
import subprocess
import sys
from pathlib import Path

import crossplane
import hypothesis
import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from hypothesis import strategies as st

from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _schema

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


def parse(path):
    """[[name, parameters, block or None], ...] of a file, as crossplane reads it; raises where nginx would not."""
    payload = crossplane.parse(str(path), single=True, catch_errors=False, check_ctx=False, check_args=False)

    def read(block):
        return [
            [
                unescaped(each["directive"]),
                [unescaped(word) for word in each["args"]],
                read(each["block"]) if "block" in each else None,
            ]
            for each in block
        ]

    return read(payload["config"][0]["parsed"])


def unescaped(word):
    """crossplane leaves a backslash's own escape as it is."""
    return re.sub(r"\\\\", r"\\", word)


def all_of(block, name):
    return [parameters for each, parameters, _block in block if each == name]


def one(block, name):
    (parameters,) = all_of(block, name)
    return parameters


def blocks(block, name):
    return {" ".join(parameters): inner for each, parameters, inner in block if each == name}


@pytest.fixture
def written(tmp_path):
    """Write the set's files for these sites, as they lie in /etc/nginx, and give the folder."""

    def render(sites, apps=None, nginx="nginx version: nginx/1.22.1", modules=(), **settings):
        loader = DataLoader()

        def read(path):
            return loader.load_from_file(str(ROLE / path), trusted_as_template=True)

        variables = {**read("defaults/main.yml"), **read("vars/main.yml"), "ansible_managed": "Managed"}
        variables.update(
            nginx_proxy_apps=APPS if apps is None else apps, nginx_proxy_sites=sites, ansible_search_path=[str(ROLE)]
        )
        variables.update(
            settings,
            __nginx_proxy_version_output={"stderr": nginx},
            __nginx_proxy_modules_output={"stdout_lines": list(modules)},
        )
        task = read("tasks/configure.yml")[0]
        variables.update(task.get("vars", {}))
        templar = Templar(loader=loader, variables=variables)
        files = templar.template(task["gatehouse.webapp.nginx_config"]["files"])
        (tmp_path / "gatehouse").mkdir(exist_ok=True)
        for name, text in files.items():
            (tmp_path / ("" if name == "nginx.conf" else "gatehouse") / name).write_text(text)
        return tmp_path, list(files)

    return render


@pytest.fixture
def rendered(written):
    """The set's files, parsed, for these sites."""

    def render(*arguments, **settings):
        folder, names = written(*arguments, **settings)
        return {name: parse(folder / ("" if name == "nginx.conf" else "gatehouse") / name) for name in names}

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
        if name == "if" and words[0] == "-f":
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
        ["-f /srv/api/current/green", ["$gatehouse_to_api", "api.green"]],
    ]


def test_a_release_beside_the_live_one_is_not_asked_for_what_was_answered(rendered, uvicorn):
    location = blocks(site_of(rendered([SITE], apps=[uvicorn])), "location")["/"]
    assert one(location, "proxy_pass") == ["http://$gatehouse_to_api"]
    assert one(location, "proxy_next_upstream") == ["error", "timeout"]
    # Both of its own, and both of the other set: a request that waited for its body meets a set that has stopped since, and
    # after a boot during a switch any one of the four may be the first that listens.
    assert one(location, "proxy_next_upstream_tries") == ["4"]


def test_an_app_without_a_second_set_tries_again_on_a_bad_answer_too(rendered):
    location = blocks(site_of(rendered([SITE])), "location")["/"]
    assert one(location, "proxy_next_upstream") == ["error", "timeout", "http_502", "http_503"]


def test_a_part_that_is_out_gets_nothing_unless_nobody_else_takes_it(rendered, uvicorn):
    files = rendered([SITE], apps=[{**uvicorn, "strategy": "restart"}])
    upstreams = blocks(files["upstreams.conf"], "upstream")
    assert members(upstreams["api.without-8000"]) == ["127.0.0.1:8001 max_fails=0", "127.0.0.1:8000 max_fails=0 backup"]
    assert lookups(site_of(files))[1] == [
        "-f /run/gatehouse/rotation/api/8000",
        ["$gatehouse_to_api", "api.without-8000"],
    ]


def test_old_workers_end_after_the_longest_drain(rendered, uvicorn):
    for apps, seconds in ((APPS, "75s"), ([uvicorn], "105s")):
        assert one(rendered([SITE], apps=apps)["nginx.conf"], "worker_shutdown_timeout") == [seconds]


def test_a_websocket_route(rendered):
    location = blocks(site_of(rendered([SITE])), "location")["/ws/"]
    assert all_of(location, "proxy_set_header") == [
        ["X-Forwarded-Prefix", ""],
        ["Upgrade", "$gatehouse_upgrade"],
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
    assert {"buffer=32k", "flush=1s"} < set(log)


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


def test_links_to_files_of_others_are_not_followed_in_folders_that_are_no_release(rendered):
    routes = [
        {"path": "/docs", "static": "/srv/docs"},
        {"path": "/", "static": "/srv/www"},
        {"path": "= /robots.txt", "static": "/srv/www/robots.txt"},
        {"path": "= /news/", "static": "/srv/news"},
        {"path": "/app/", "app": "front"},
        {"path": "/api/", "app": "api"},
    ]
    site = site_of(rendered([dict(SITE, routes=routes)], [*APPS, FRONT]))
    found = {path: all_of(location, "disable_symlinks") for path, location in blocks(site, "location").items()}
    owner = [["if_not_owner", "from=$document_root"]]
    assert {path: told for path, told in found.items() if told} == {
        "/docs/": owner,
        "/": owner,
        "= /robots.txt": [["if_not_owner", "from=/srv/www"]],
        "= /news/": owner,
    }
    # In a server block it would hold for the look at current/green too.
    assert all_of(site, "disable_symlinks") == []


def test_every_location_has_the_security_headers_unless_it_has_its_own(rendered):
    routes = [dict(ROUTES[0], headers={"x-frame-options": "DENY"}), *ROUTES[1:]]
    for path, location in blocks(site_of(rendered([dict(SITE, routes=routes)])), "location").items():
        if path == "= /docs":
            continue
        names = [parameters[0].lower() for parameters in all_of(location, "add_header")]
        assert len(names) == len(set(names))
        assert ("cache-control" in names) == (path == "/docs/")
        assert len(set(names) - {"cache-control"}) == 9
        assert {"referrer-policy", "x-content-type-options", "x-frame-options", "content-security-policy"} < set(names)
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
    assert one(blocks(location, "location")[r"~ \.[A-Za-z0-9]+$"], "try_files") == ["$uri", "@former /"]


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
    assert blocks(location, "if") == {"$gatehouse_cache_control = no-cache": [["return", ["404"], None]]}
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
    text = (ROLE / "templates/etc/nginx/gatehouse/common.conf.j2").read_text()
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
    http = files["common.conf"]
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


@pytest.mark.parametrize(
    ("nginx", "refusal"),
    [
        ("nginx version: nginx/1.19.4", {"ssl_reject_handshake": ["on"]}),
        ("nginx version: nginx/1.18.0", {"ssl_certificate": ["data:$gatehouse_nothing"]}),
    ],
)
def test_a_handshake_for_a_name_of_no_site_is_refused(rendered, nginx, refusal):
    files = rendered([dict(SITE, tls=TLS)], nginx=nginx)
    (server,) = (
        server
        for server in servers(files)
        if any({"443", "default_server"} <= set(parameters) for parameters in all_of(server, "listen"))
    )
    assert {name: one(server, name) for name in refusal} == refusal
    assert one(blocks(server, "location")["/"], "return") == ["421"]


def test_http_is_redirected_to_https_unless_told_not_to(rendered):
    server = site_of(rendered([dict(SITE, tls=TLS)]), port="80")
    (location,) = blocks(server, "location").items()
    assert location == ("/", [["return", ["301", "https://$host$request_uri"], None]])

    server = site_of(rendered([dict(SITE, tls=dict(TLS, redirect=False))]), port="80")
    assert "/" in blocks(server, "location")
    assert ["443", "ssl", "http2"] in all_of(server, "listen")


@pytest.mark.parametrize("redirect", [True, False])
def test_the_challenges_of_a_ca_are_served_over_http_and_never_redirected(rendered, redirect):
    tls = {"mode": "acme", "email": "ops@example.com", "redirect": redirect}
    location = blocks(site_of(rendered([dict(SITE, tls=tls)])), "location")["^~ /.well-known/acme-challenge/"]
    assert one(location, "root") == ["/var/lib/gatehouse/acme"]
    assert "acme-challenge" not in str(rendered([dict(SITE, tls={"mode": "self_signed"})]))


def test_the_profile_is_that_of_every_server_of_its_port(rendered):
    modern = dict(SITE, tls=dict(TLS, profile="modern"))
    other = dict(SITE, name="other", server_names=["other.example.com"], https_port=8443, tls=TLS)
    for server in servers(rendered([modern, other])):
        ports = {parameters[0] for parameters in all_of(server, "listen") if "ssl" in parameters}
        assert all_of(server, "ssl_protocols") == ([["TLSv1.3"]] if "443" in ports else [])


HTTP3 = "nginx version: nginx/1.26.3\nconfigure arguments: --with-http_ssl_module --with-http_v3_module"


@pytest.mark.parametrize("default", [True, False])
def test_http3_is_on_where_it_is_asked_for_and_nginx_has_it(rendered, default):
    sites = [dict(SITE, default=default, tls=dict(TLS, http3=True))]
    sites.append(dict(SITE, name="other", server_names=["other.example.com"], tls=dict(TLS, http3=True)))
    listens = [listen for server in servers(rendered(sites, nginx=HTTP3)) for listen in all_of(server, "listen")]
    quic = [listen for listen in listens if "quic" in listen]
    assert ["443", "quic"] in quic
    # Once for each address: nginx refuses it the second time, and without it packets come to any worker.
    assert [listen for listen in quic if "reuseport" in listen] == [
        ["443", "quic", "default_server", "reuseport"],
        ["[::]:443", "quic", "default_server", "reuseport"],
    ]
    assert "Alt-Svc" in str(rendered(sites, nginx=HTTP3))
    without = str(rendered(sites))
    assert "quic" not in without
    assert "Alt-Svc" not in without
    assert "quic" not in str(rendered([dict(SITE, tls=TLS)], nginx=HTTP3))


def test_ocsp_is_stapled_where_the_certificate_has_an_address(rendered):
    sites = [dict(SITE, name=name, server_names=[name + ".example.com"], tls=TLS) for name in ("one", "two")]
    found = [{"item": {"name": "one"}, "ocsp": "http://ocsp.example.com"}, {"item": {"name": "two"}, "ocsp": None}]
    files = rendered(sites, __nginx_proxy_certificates={"results": found})
    assert one(site_of(files, "one.example.com", "443"), "ssl_stapling") == ["on"]
    assert all_of(site_of(files, "two.example.com", "443"), "ssl_stapling") == []


def test_hand_made_files_are_still_read(rendered):
    http = blocks(rendered([SITE], nginx_proxy_includes=["conf.d/*.conf"])["nginx.conf"], "http")[""]
    assert [parameters[0] for parameters in all_of(http, "include")] == [
        "mime.types",
        "gatehouse/common.conf",
        "gatehouse/upstreams.conf",
        "gatehouse/sites.conf",
        "gatehouse/status.conf",
        "conf.d/*.conf",
    ]


def location_of(files, path, **site):
    return blocks(site_of(files, **site), "location")[path]


def maps(files):
    """{variable: (what it looks at, {value: result})} of common.conf."""
    found = {}
    for name, words, block in files["common.conf"]:
        if name in ("map", "geo"):
            source, variable = words if len(words) == 2 else ("$remote_addr", words[0])
            found[variable] = (source, {each: values[0] if values else None for each, values, _block in block})
    return found


def with_routes(*routes, **site):
    return [dict(SITE, routes=list(routes), **site)]


def test_locations_are_written_in_the_order_nginx_asks_them(rendered):
    files = rendered(
        with_routes(
            ROUTES[0],
            {"path": "~ ^/b/[0-9]{1,3}$", "app": "api"},
            {"path": "= /robots.txt", "return": 200, "text": "Disallow: /\n"},
            {"path": "~ ^/a$", "app": "api"},
        )
    )
    assert list(blocks(site_of(files), "location")) == [
        "= /health",
        "= /robots.txt",
        "~ ^/b/[0-9]{1,3}$",
        "~ ^/a$",
        "/",
    ]
    assert one(location_of(files, "= /robots.txt"), "return") == ["200", "Disallow: /\n"]


def test_a_text_is_what_it_says_to_be(rendered):
    for headers, kind in (
        ({}, "text/plain; charset=utf-8"),
        ({"content-type": "application/json"}, "application/json"),
    ):
        files = rendered(with_routes({"path": "= /x.html", "return": 200, "text": "{}", "headers": headers}))
        location = location_of(files, "= /x.html")
        assert one(location, "default_type") == [kind]
        assert blocks(location, "types") == {"": []}
        assert "content-type" not in [words[0] for words in all_of(location, "add_header")]


def test_a_prefix_is_taken_off_before_the_app_sees_it(rendered, uvicorn):
    files = rendered(with_routes({"path": "/api/", "app": "api", "strip_prefix": True}), apps=[uvicorn])
    for path in ("/api/", "= /api/health"):
        location = location_of(files, path)
        expression, replacement, flag = one(location, "rewrite")
        assert re.sub(expression, replacement.replace("$", "\\"), "/api/x/y") == "/x/y"
        assert re.sub(expression, replacement.replace("$", "\\"), "/api/x\ny") == "/x\ny"
        assert flag == "break"
        assert ["X-Forwarded-Prefix", "/api"] in all_of(location, "proxy_set_header")
    assert location_of(files, "= /api/health")


def test_a_redirect_is_temporary_unless_told(rendered):
    where = "https://www.example.com$request_uri"
    for keys, status in (({}, "302"), ({"status": 301}, "301")):
        files = rendered(with_routes({"path": "/", "redirect": where, **keys}))
        assert one(location_of(files, "/"), "return") == [status, where]


def test_an_external_address_is_verified_and_told_nothing_of_the_client(rendered):
    route = {"path": "/files/", "url": "https://Files.example.com:8443/public/"}
    files = rendered(with_routes(route), nginx_proxy_resolvers=["192.0.2.53", "2001:db8::53"])
    location = location_of(files, "/files/")
    assert one(location, "set") == ["$gatehouse_external", "files.example.com:8443"]
    assert one(location, "proxy_pass") == ["https://$gatehouse_external"]
    assert one(location, "proxy_ssl_server_name") == one(location, "proxy_ssl_verify") == ["on"]
    assert one(location, "proxy_ssl_name") == ["files.example.com"]
    assert one(location, "proxy_ssl_trusted_certificate") == ["/etc/ssl/certs/ca-certificates.crt"]
    expression, replacement, _flag = one(location, "rewrite")
    assert re.sub(expression, replacement.replace("$", "\\"), "/files/a/b") == "/public/a/b"
    told = dict(all_of(location, "proxy_set_header"))
    assert told["Host"] == "files.example.com:8443"
    assert {name for name, value in told.items() if value} == {"Host", "X-Request-ID"}
    assert one(files["common.conf"], "resolver")[:2] == ["192.0.2.53", "[2001:db8::53]"]


def test_a_password_of_this_proxy_is_not_told_to_another_server(rendered):
    shop = {"name": "shop", "runtime": "external", "url": "https://shop.example", "health": {"path": "/ok"}}
    ways = [
        {"path": "/app/", "app": "shop"},
        {"path": "/url/", "url": "https://files.example.com"},
    ]
    users = {"users": {"ann": "$6$salt$hash"}}
    files = rendered([dict(SITE, routes=[dict(way, auth_basic=users) for way in ways])], [shop])
    for way in ways:
        assert ["Authorization", ""] in all_of(location_of(files, way["path"]), "proxy_set_header")
    files = rendered([dict(SITE, routes=ways)], [shop])
    for way in ways:
        told = [name for name, _value in all_of(location_of(files, way["path"]), "proxy_set_header")]
        assert "Authorization" not in told


def test_no_client_says_which_prefix_was_taken_off(rendered):
    files = rendered(
        with_routes(
            {"path": "/app/", "app": "api"},
            {"path": "/url/", "url": "https://files.example.com"},
            {"path": "/pkg.Svc/", "app": "api", "grpc": True},
            tls=TLS,
        )
    )
    https = blocks(site_of(files, port="443"), "location")
    common = {path: files[name] for path, name in (("/app/", "proxy.conf"), ("/pkg.Svc/", "grpc.conf"))}
    for path, kind in (("/app/", "proxy"), ("/url/", "proxy"), ("/pkg.Svc/", "grpc")):
        told = all_of(https[path] + common.get(path, []), kind + "_set_header")
        assert [words for words in told if words[0] == "X-Forwarded-Prefix"] == [["X-Forwarded-Prefix", ""]], path


def test_a_hosted_app_is_asked_by_its_own_name(rendered):
    shop = {"name": "shop", "runtime": "external", "url": "https://shop.example", "health": {"path": "/ok"}}
    site = dict(SITE, routes=[
        {"path": "/", "app": "shop"},
        {"path": "/app/", "app": "shop", "strip_prefix": True, "headers": {"X-A": "b"}},
        {"path": "/ws/", "app": "shop", "websocket": True},
    ])  # fmt: skip
    files = rendered([site], [shop])
    for path in ("/", "/app/", "/ws/"):
        location = location_of(files, path)
        assert one(location, "set") == ["$gatehouse_external", "shop.example"]
        assert one(location, "proxy_pass") == ["https://$gatehouse_external"]
        assert (one(location, "proxy_ssl_name"), one(location, "proxy_ssl_verify")) == (["shop.example"], ["on"])
        told = dict(all_of(location, "proxy_set_header"))
        assert told["Host"] == "shop.example"
        assert told["Upgrade"] == ("$gatehouse_upgrade" if path == "/ws/" else "")
    assert all_of(location_of(files, "/"), "rewrite") == []
    expression, replacement, _flag = one(location_of(files, "/app/"), "rewrite")
    assert re.sub(expression, replacement.replace("$", "\\"), "/app/a") == "/a"
    assert ["X-A"] in all_of(location_of(files, "/app/"), "proxy_hide_header")
    assert [words for name, words, _block in files["upstreams.conf"] if name == "upstream"] == []
    # nginx has none of its own for a name in a variable.
    assert one(files["common.conf"], "resolver")[0] == "127.0.0.53"
    assert all_of(rendered([SITE])["common.conf"], "resolver") == []


def test_claims_are_dropped_in_one_order(rendered, value_of):
    """A set has another order in each run, and nginx would be reloaded for it."""
    dropped = [name for name, value in all_of(rendered([SITE])["proxy.conf"], "proxy_set_header") if not value]
    assert dropped == [name for name in value_of("nginx_proxy", "__nginx_proxy_claims") if name in dropped]


def test_claims_of_a_client_are_dropped(rendered):
    told = dict(all_of(rendered([SITE])["proxy.conf"], "proxy_set_header"))
    for name in ("Forwarded", "X-Original-URL", "X-Forwarded-Ssl", "True-Client-IP", "Proxy"):
        assert told[name] == ""
    assert told["X-Request-ID"] == "$request_id"


def test_a_proxy_in_front_is_believed_and_nobody_else(rendered):
    common = rendered([SITE])["common.conf"]
    assert all_of(common, "set_real_ip_from") == []

    files = rendered([SITE], nginx_proxy_trusted_proxies=["10.0.0.0/8"], nginx_proxy_real_ip_header="CF-Connecting-IP")
    assert one(files["common.conf"], "set_real_ip_from") == ["10.0.0.0/8"]
    assert one(files["common.conf"], "real_ip_header") == ["CF-Connecting-IP"]
    assert one(files["common.conf"], "real_ip_recursive") == ["on"]
    assert dict(all_of(files["proxy.conf"], "proxy_set_header"))["X-Forwarded-Proto"] == "$gatehouse_scheme"
    assert maps(files)["$gatehouse_scheme"][1] == {"default": "$scheme", "1|http": "http", "1|https": "https"}


def test_routes_share_a_named_rate(rendered):
    files = rendered(
        with_routes(
            {"path": "/login", "app": "api", "rate": "login"},
            {"path": "/register", "app": "api", "rate": "login", "connections": 5},
            rates={"login": "5r/m", "unused": "1r/s"},
        )
    )
    assert [one(location_of(files, path), "limit_req")[0] for path in ("/login", "/register")] == [
        "zone=chat_rate_login"
    ] * 2
    assert all_of(files["common.conf"], "limit_req_zone") == [
        ["$binary_remote_addr", "zone=chat_rate_login:10m", "rate=5r/m"]
    ]
    assert one(location_of(files, "/register"), "limit_conn") == ["connections_chat_register", "5"]
    assert one(files["common.conf"], "limit_conn_zone")[1] == "zone=connections_chat_register:10m"


def test_who_may_not_come_in_is_turned_away_before_anything_answers(rendered):
    route = {"path": "/", "app": "api", "allow": ["10.0.0.0/8"], "deny": ["10.1.0.0/16"]}
    files = rendered(with_routes(route))
    for path, own in (("/", {}), ("= /health", {"127.0.0.1": "1", "::1": "1"})):
        (condition, refusal) = next(
            (words, block) for name, words, block in location_of(files, path) if name == "if" and "admitted" in words[0]
        )
        assert one(refusal, "return") == ["403"]
        assert maps(files)[condition[0]][1] == {"default": "", "10.1.0.0/16": "", "10.0.0.0/8": "1", **own}
    files = rendered(with_routes({"path": "/", "app": "api", "deny": ["192.0.2.7"]}))
    assert {"default": "1", "192.0.2.7": ""} in [values for _source, values in maps(files).values()]


def test_a_password_is_asked_for_and_not_for_health(rendered):
    users = {"realm": 'St"aff $1', "users": {"ann": "$6$salt$hash"}}
    files = rendered(with_routes({"path": "/", "app": "api", "auth_basic": users}))
    assert one(location_of(files, "/"), "auth_basic") == ['St"aff ${gatehouse_dollar}1']
    assert all_of(location_of(files, "= /health"), "auth_basic") == []
    assert "$6$salt" not in str(files)


def users_file_of(files, path):
    return one(location_of(files, path), "auth_basic_user_file")[0]


def guarded(path, user="ann", digest="$6$salt$hash"):
    return {"path": path, "app": "api", "auth_basic": {"users": {user: digest}}}


def test_a_file_of_users_is_never_that_of_other_users_or_another_route(rendered):
    before = rendered(with_routes(guarded("/a/"), guarded("/b/", user="bob")))
    after = rendered(with_routes(guarded("/new/"), guarded("/a/", digest="$6$salt$other"), guarded("/b/", user="bob")))
    assert users_file_of(after, "/b/") == users_file_of(before, "/b/")
    assert (
        len({users_file_of(*way) for way in [(before, "/a/"), (after, "/new/"), (after, "/a/"), (after, "/b/")]}) == 4
    )
    assert re.fullmatch(r"/etc/nginx/gatehouse-users/chat-[0-9a-f]{32}", users_file_of(before, "/a/"))


def test_files_of_users_that_no_route_has_are_removed(rendered):
    (site,) = with_routes(guarded("/a/"), guarded("/b/"))
    wanted = {users_file_of(rendered([site]), path) for path in ("/a/", "/b/")}
    found = [{"path": path} for path in ["/etc/nginx/gatehouse-users/0_1", *sorted(wanted)]]
    loader = DataLoader()

    def read(path):
        return loader.load_from_file(str(ROLE / path), trusted_as_template=True)

    variables = {**read("defaults/main.yml"), **read("vars/main.yml"), "nginx_proxy_apps": APPS}
    variables.update(nginx_proxy_sites=[site], __nginx_proxy_found_user_files={"files": found})
    templar = Templar(loader=loader, variables=variables)
    assert templar.template(read("tasks/forget_users.yml")[1]["loop"]) == ["/etc/nginx/gatehouse-users/0_1"]
    write = read("tasks/users.yml")[1]
    items = templar.template(write["loop"])
    written = [Templar(loader=loader, variables={**variables, "item": item}) for item in items]
    assert {each.template(write["ansible.builtin.copy"]["dest"]) for each in written} == wanted


def test_cors_for_a_list_of_origins(rendered):
    cors = {"origins": ["https://a.example.com", "https://*.b.example.com"], "credentials": True, "expose": ["X-Total"]}
    files = rendered(with_routes({"path": "/", "app": "api", "cors": cors}))
    location = location_of(files, "/")
    added = {words[0]: words[1:] for words in all_of(location, "add_header")}
    assert added["Access-Control-Allow-Origin"] == ["$gatehouse_cors_0_1", "always"]
    assert added["Access-Control-Expose-Headers"] == ["X-Total", "always"]
    assert added["Vary"] == ["Origin", "always"]
    _source, origins = maps(files)["$gatehouse_cors_0_1"]
    assert (origins.pop("default"), origins.pop("https://a.example.com")) == ("", "$http_origin")
    ((expression, echoed),) = origins.items()
    assert echoed == "$http_origin"
    for origin, allowed in (
        ("https://x.b.example.com", True),
        ("https://b.example.com", False),
        ("https://x.b.example.com.evil.net", False),
        ("http://x.b.example.com", False),
        ("https://xb.example.com", False),
    ):
        assert bool(re.search(expression[1:], origin)) == allowed
    assert maps(files)["$gatehouse_cors_credentials_0_1"][1] == {"default": "true", "": ""}
    assert maps(files)["$gatehouse_cors_age_0_1"][1] == {"default": "", "1": "600"}
    preflight = blocks(location, "if")["$gatehouse_preflight"]
    assert one(preflight, "return") == ["204"]
    assert ["Access-Control-Allow-Origin"] in all_of(location, "proxy_hide_header")


def test_the_name_of_a_header_is_one_word(rendered):
    name = "X-#!$&'*^`|~a"
    route = {"path": "/", "app": "api", "headers": {name: "1"}}
    location = location_of(rendered(with_routes(route)), "/")
    assert [name, "1", "always"] in all_of(location, "add_header")
    assert [name] in all_of(location, "proxy_hide_header")
    cors = {"origins": ["*"], "headers": [name], "expose": [name]}
    files = rendered(with_routes({"path": "/", "app": "api", "cors": cors}))
    written = name.replace("$", "${gatehouse_dollar}")
    assert ["Access-Control-Expose-Headers", written, "always"] in all_of(location_of(files, "/"), "add_header")
    assert maps(files)["$gatehouse_cors_headers_0_1"][1] == {"default": "", "1": written}


@pytest.mark.parametrize("name", ["#x", "'x"])
def test_the_name_of_a_header_neither_opens_a_quote_nor_a_comment(rendered, name):
    location = location_of(rendered(with_routes({"path": "/", "app": "api", "headers": {name: "1"}})), "/")
    assert [name, "1", "always"] in all_of(location, "add_header")


def test_cors_for_everybody_has_no_credentials(rendered):
    files = rendered(with_routes({"path": "/", "app": "api", "cors": {"origins": ["*"]}}))
    assert maps(files)["$gatehouse_cors_0_1"][1] == {"default": "*"}
    assert "Access-Control-Allow-Credentials" not in [
        words[0] for words in all_of(location_of(files, "/"), "add_header")
    ]


def test_a_stream_is_neither_collected_nor_compressed(rendered):
    files = rendered(
        with_routes({"path": "/", "app": "api", "stream": True}), modules=["50-mod-http-brotli-filter.conf"]
    )
    location = location_of(files, "/")
    assert one(location, "gzip") == one(location, "brotli") == one(location, "proxy_buffering") == ["off"]
    assert one(location, "proxy_read_timeout") == ["3600s"]


def test_a_cache_tells_sites_and_schemes_apart(rendered):
    site = with_routes({"path": "/", "app": "api", "cache": "60s"})
    assert one(location_of(rendered(site), "/"), "proxy_cache_key") == ["$scheme$host:$server_port$request_uri"]
    behind = rendered(site, nginx_proxy_trusted_proxies=["10.0.0.0/8"])
    assert one(location_of(behind, "/"), "proxy_cache_key") == ["$gatehouse_scheme$host:$server_port$request_uri"]


def test_a_cache_keeps_nothing_personal(rendered):
    files = rendered(with_routes({"path": "/", "app": "api", "cache": "60s"}))
    location = location_of(files, "/")
    assert one(location, "proxy_cache_valid") == ["200", "301", "404", "60s"]
    assert (
        one(location, "proxy_no_cache")
        == one(location, "proxy_cache_bypass")
        == ["$http_authorization", "$http_cookie"]
    )
    assert one(location, "proxy_buffering") == ["on"]
    assert "keys_zone=%s:10m" % one(location, "proxy_cache")[0] in one(files["common.conf"], "proxy_cache_path")
    assert all_of(rendered([SITE])["common.conf"], "proxy_cache_path") == []


def test_a_grpc_route(rendered):
    files = rendered(with_routes({"path": "/pkg.Svc/", "app": "api", "grpc": True}, tls=TLS))
    location = location_of(files, "/pkg.Svc/", port="443")
    assert one(location, "grpc_pass") == ["grpc://api"]
    assert ["gatehouse/grpc.conf"] in all_of(location, "include")
    assert one(location, "client_max_body_size") == ["0"]
    assert dict(all_of(files["grpc.conf"], "grpc_set_header"))["X-Forwarded-For"] == "$remote_addr"
    assert "proxy.conf" not in files


def test_planned_work_closes_a_site_but_for_health_and_those_who_do_it(rendered):
    work = {"enabled": True, "retry_after": "10m", "page": '<p>"$5"</p>', "allow": ["192.0.2.0/24"]}
    files = rendered([dict(SITE, maintenance=work)])
    page = location_of(files, "@gatehouse_maintenance")
    assert one(page, "return") == ["503", '<p>"${gatehouse_dollar}5"</p>']
    assert ["Retry-After", "600", "always"] in all_of(page, "add_header")
    assert one(blocks(site_of(files), "if")["$gatehouse_maintenance_0"], "return") == ["503"]
    assert maps(files)["$gatehouse_closed_0"][1] == {"default": "1", "127.0.0.1": "", "::1": "", "192.0.2.0/24": ""}
    source, rules = maps(files)["$gatehouse_maintenance_0"]
    assert source == "$gatehouse_closed_0|$uri"
    assert rules["1|/health"] == ""
    first = next(name for name in rules if name[0] == "~" and re.search(name[1:], "1|/.well-known/acme-challenge/x"))
    assert rules[first] == ""
    assert "$gatehouse_closed_0" not in maps(rendered([dict(SITE, maintenance=dict(work, enabled=False))]))


def test_what_is_written_raw_stands_as_it_is(rendered):
    files = rendered(
        [
            dict(
                SITE,
                raw="error_page 404 /404.html;",
                routes=[dict(ROUTES[0], raw="proxy_max_temp_file_size 0;\nallow all;")],
            )
        ],
        nginx_proxy_http_raw="map_hash_max_size 4096;",
    )
    assert one(site_of(files), "error_page") == ["404", "/404.html"]
    assert one(location_of(files, "/"), "proxy_max_temp_file_size") == ["0"]
    assert one(blocks(files["nginx.conf"], "http")[""], "map_hash_max_size") == ["4096"]


def test_a_page_says_what_browsers_may_do_with_it(rendered):
    files = rendered(with_routes({"path": "/", "static": "/srv/www", "security_headers": "page"}))
    value = next(
        words[1] for words in all_of(location_of(files, "/"), "add_header") if words[0] == "Content-Security-Policy"
    )
    assert maps(files)[value][1][""].startswith("default-src 'self'; ")
    assert maps(files)["$gatehouse_page_cross_origin_opener_policy"] == (
        "$scheme$upstream_http_cross_origin_opener_policy",
        {"default": "", "https": "same-origin"},
    )
    files = rendered(with_routes({"path": "/", "static": "/srv/www", "security_headers": "none"}))
    assert [words[0] for words in all_of(location_of(files, "/"), "add_header")] == ["Cache-Control"]


def test_only_json_is_told_to_be_no_page(rendered):
    files = rendered([SITE])
    source, values = maps(files)["$gatehouse_basic_content_security_policy"]
    assert source == "$gatehouse_json$upstream_http_content_security_policy"
    assert values == {"default": "", "json": "default-src 'none'; frame-ancestors 'none'"}
    expression = next(name for name in maps(files)["$gatehouse_json"][1] if name.startswith("~*"))[2:]
    for kind, told in (
        ("application/json; charset=utf-8", True),
        ("application/problem+json", True),
        ("text/html", False),
    ):
        assert bool(re.search(expression, kind)) == told


def test_brotli_is_on_where_its_module_is(rendered):
    for modules, expected in (([], []), (["50-mod-http-brotli-filter.conf"], [["on"]])):
        http = blocks(rendered([SITE], modules=modules)["nginx.conf"], "http")[""]
        assert all_of(http, "brotli") == expected


def test_the_log_is_json(rendered):
    http = blocks(rendered([SITE])["nginx.conf"], "http")[""]
    name, escape, *parts = one(http, "log_format")
    assert (name, escape) == ("gatehouse", "escape=json")
    line = json.loads(re.sub(r"\$[a-z_]+", "1", "".join(parts)))
    assert {"request_id", "status", "seconds", "upstream_seconds", "upstream_connect_seconds"} <= set(line)
    assert isinstance(line["status"], int)
    assert one(http, "access_log")[1] == "gatehouse"


def test_counters_are_for_the_host_itself(rendered):
    (server,) = [inner for name, _words, inner in rendered([SITE])["status.conf"] if name == "server"]
    assert one(server, "listen") == ["127.0.0.1:8999"]
    assert "status.conf" not in rendered([SITE], nginx_proxy_status_port=0)


def test_how_instances_are_chosen(rendered):
    app = dict(APPS[0], hosts=["192.0.2.10", "192.0.2.11"], instances=1)
    balance = {
        "method": "least_conn",
        "weights": {"192.0.2.10": 3},
        "backup": ["192.0.2.11"],
        "max_fails": 2,
        "keepalive": 8,
    }
    upstream = blocks(rendered([SITE], apps=[dict(app, balance=balance)])["upstreams.conf"], "upstream")["api"]
    assert all_of(upstream, "least_conn") == [[]]
    assert members(upstream) == [
        "192.0.2.10:3000 weight=3 max_fails=2 fail_timeout=10s",
        "192.0.2.11:3000 max_fails=2 fail_timeout=10s backup",
    ]
    assert one(upstream, "keepalive") == ["8"]


def test_hash_has_no_backups(rendered, uvicorn):
    balance = {"method": "hash", "key": "$cookie_session"}
    files = rendered([SITE], apps=[dict(uvicorn, balance=balance)])
    upstream = blocks(files["upstreams.conf"], "upstream")["api.green"]
    assert one(upstream, "hash") == ["$cookie_session", "consistent"]
    assert [member for member in members(upstream) if "backup" in member] == []


def test_the_last_hosts_that_are_left_are_no_backups(rendered, uvicorn):
    app = dict(
        uvicorn, hosts=["192.0.2.10", "192.0.2.11"], instances=1, listen="0.0.0.0", balance={"backup": ["192.0.2.11"]}
    )
    upstreams = blocks(rendered([SITE], apps=[app])["upstreams.conf"], "upstream")
    assert members(upstreams["api.without-192.0.2.10"]) == [
        "192.0.2.11:8000 max_fails=0",
        "192.0.2.10:8000 max_fails=0 backup",
    ]


def test_hidden_files_are_not_served(rendered):
    files = rendered([SITE])
    assert one(blocks(location_of(files, "/docs/"), "if")["$gatehouse_hidden"], "return") == ["404"]
    expression = next(name for name in maps(files)["$gatehouse_hidden"][1] if name != "default")[1:]
    for path, hidden in (("/docs/.git/config", True), ("/docs/.well-known/x", False), ("/docs/a.b", False)):
        assert bool(re.search(expression, path)) == hidden


def test_requests_that_can_be_read_in_two_ways_are_refused(rendered):
    files = rendered([SITE])
    assert one(blocks(site_of(files), "if")["$gatehouse_refused"], "return") == ["400"]
    _source, rules = maps(files)["$gatehouse_two_hosts"]
    expressions = [
        re.compile(name.lstrip("~*"), re.IGNORECASE) for name, result in rules.items() if name[0] == "~" and not result
    ]
    for hosts, same in (
        ("a.example|a.example", True),
        ("a.example|A.example:80", True),
        ("a.example|a.example.", True),
        ("a.example|", True),
        ("[::1]|[::1]:80", True),
        ("a.example|b.example", False),
        ("a.example|a.example.evil", False),
    ):
        assert any(each.search(hosts) for each in expressions) == same, hosts


# Every kind of route at once, with room for texts.
def everything(
    text="x", header="x", realm="x", page="x", origin="https://a.example.com", path="/p/", url_path="/x", **_rest
):
    return [
        {
            "name": "every",
            "server_names": ["every.example.com", "*.every.example.com"],
            "maintenance": {"enabled": True, "page": page, "allow": ["192.0.2.0/24"]},
            "rates": {"login": "5r/m"},
            "routes": [
                {
                    "path": path,
                    "app": "api",
                    "headers": {"X-A": header},
                    "cors": {"origins": [origin], "credentials": True},
                },
                {"path": "= /text", "return": 200, "text": text, "allow": ["192.0.2.0/24"]},
                {
                    "path": "/staff/",
                    "app": "api",
                    "auth_basic": {"realm": realm, "users": {"ann": "$6$a$b"}},
                    "deny": ["::/0"],
                },
                {
                    "path": "/blue/",
                    "app": "blue",
                    "strip_prefix": True,
                    "cache": "60s",
                    "rate": "login",
                    "connections": 9,
                },
                {"path": "/out/", "url": "https://out.example.com" + url_path},
                {"path": "/old/", "redirect": "https://new.example.com$request_uri", "cors": None},
                {"path": "/ws/", "app": "api", "websocket": True},
                {"path": "/stream/", "app": "api", "stream": True},
                {"path": "~ ^/re/[0-9]{2}$", "app": "api", "security_headers": "page"},
                {"path": "/docs", "static": "/srv/docs"},
                {"path": "/front", "app": "front", "cors": {"origins": ["*"]}, "allow": ["192.0.2.0/24"]},
            ],
        },
        {
            "name": "safe",
            "server_names": ["safe.example.com"],
            "tls": TLS,
            "routes": [{"path": "/", "app": "api"}, {"path": "/pkg.Svc/", "app": "api", "grpc": True}],
        },
    ]


def skeleton(block):
    """Which directives there are, with how many words, and what is in them."""
    return [(name, len(words), skeleton(inner) if inner is not None else None) for name, words, inner in block]


def test_no_text_becomes_a_directive(rendered, uvicorn):
    apps = [*APPS, dict(uvicorn, name="blue", port=8000), FRONT]
    expected = {name: skeleton(block) for name, block in rendered(everything(), apps=apps).items()}

    special = list(";{}\"'\\# /.*~=") + ["a", "return 200", '\\"', "é", "# ", "${host}", "$host "]
    lines_and_dollars = ["\n", "\t", "$", "$5", "${x}"]

    def text(parts):
        return st.lists(st.sampled_from(parts), min_size=1, max_size=6).map("".join)

    def right(check, parts, start=""):
        """Such a text as far as the model takes it."""
        return text(parts).map(start.__add__).filter(lambda value: not check(value))

    in_paths = list("/.*~=()[]|^+é%&@!") + ["..", "a"]

    # A tree is rendered for each: few, the same ones every time, and no search for the smallest that fails.
    @hypothesis.settings(
        max_examples=12, deadline=None, derandomize=True, database=None, phases=[hypothesis.Phase.generate]
    )
    @hypothesis.given(
        st.fixed_dictionaries(
            {
                "text": text(special + lines_and_dollars),
                "page": text(special + lines_and_dollars),
                "header": right(_schema.check_variables, special),
                "realm": right(_schema.check_realm, [*special, "$", "$5"]),
                "path": right(_schema.check_route_path, in_paths, start="/p/"),
                "url_path": text(in_paths).map("/".__add__),
            }
        )
    )
    def check(values):
        files = rendered(everything(**values), apps=apps)
        assert {name: skeleton(block) for name, block in files.items()} == expected
        assert one(location_of(files, "= /text", name="every.example.com"), "return")[1] == values["text"].replace(
            "$", "${gatehouse_dollar}"
        )

    check()


@pytest.mark.parametrize("nginx", ["nginx version: nginx/1.18.0", "nginx version: nginx/1.26.3"])
def test_the_analyser_finds_nothing(written, uvicorn, nginx):
    apps = [*APPS, dict(uvicorn, name="blue", port=8000), FRONT]
    settings = {"nginx_proxy_trusted_proxies": ["10.0.0.0/8"], "nginx_proxy_resolvers": ["127.0.0.53"]}
    folder, _names = written(
        everything(), apps=apps, nginx=nginx, modules=["50-mod-http-brotli-filter.conf"], **settings
    )
    (folder / "mime.types").write_text("types {}\n")
    found = subprocess.run(
        # Whether a site wants to be bound to TLS for a year is not ours to say. And a cache of open files would go on serving a
        # release that has been switched away from, so try_files goes without.
        [
            Path(sys.executable).parent / "gixy",
            "-ll",
            "--format",
            "json",
            "--skips",
            "hsts_header,try_files_is_evil_too",
            folder / "nginx.conf",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(found.stdout) == [], found.stderr
